// A report, not a test: what stock phoenix.js loses while FastCGI workers are killed, behind lighttpd
// and behind nginx. It does not repeat failed requests by itself; nginx does, when its upstream has
// two `server` lines. Run: node tests/integration/stock.mjs [SECONDS]
import fs from 'node:fs';
import path from 'node:path';
import { page, versionOf } from '../lib/phoenix.mjs';
import { startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { letIn, nginx, snippet } from '../lib/webservers.mjs';

const SECONDS = Number(process.argv[2] ?? 20);
const CLIENTS = 6;
const VERSIONS = ['phoenix-1.6', 'phoenix-1.7', 'phoenix-1.8'];

/** nginx with the ready-made snippet; `servers`: how often its upstream names the workers' socket. */
async function startNginx(stack, servers) {
  const dir = path.join(stack.dir, `nginx${servers}`);
  fs.mkdirSync(dir);
  letIn(stack);
  const where = { fcgi: stack.address('fcgi'), ws: stack.address('ws') };
  const upstream = snippet('nginx/pollux-upstream.conf', where);
  const lines = upstream.split('\n').filter((l) => l.includes('server unix:'));
  const http = servers === lines.length ? upstream : upstream.replace(`${lines[0]}\n`, '');
  return nginx(dir, { http, server: snippet('nginx/pollux.conf', where) });
}

async function measure(name, port, stack, topic) {
  const clients = [];
  for (let i = 0; i < CLIENTS; i++) {
    const p = page(name);
    const c = { p, got: [], joins: 0, errors: 0, closes: 0 };
    const socket = p.connect(`ws://127.0.0.1:${port}/relay`, { transport: 'longpoll' });
    socket.onClose(() => c.closes++);
    const channel = socket.channel(topic, {});
    channel.onError(() => c.errors++);
    channel.on('tick', ({ n }) => c.got.push(n));
    channel.join().receive('ok', () => c.joins++);
    clients.push(c);
  }
  await until('joins', () => clients.every((c) => c.joins === 1), 10000);
  let n = 0;
  let kills = 0;
  const end = Date.now() + SECONDS * 1000;
  let nextKill = Date.now() + 1000;
  while (Date.now() < end) {
    if (Date.now() >= nextKill) {
      const pids = stack.workers('fcgi');
      if (pids.length) process.kill(pids[kills++ % pids.length], 'SIGKILL');
      nextKill += 1000;
    }
    const r = await stack.api.call('POST', '/publish', { topic, event: 'tick', payload: { n }, key: `${topic}${n}` }).catch(() => null);
    if (r?.status === 200) n++;
    await sleep(50);
  }
  await sleep(4000);
  for (const c of clients) c.reconnects = c.closes;
  for (const c of clients) c.p.close();
  const lost = clients.map((c) => n - new Set(c.got).size);
  const doubled = clients.map((c) => c.got.length - new Set(c.got).size);
  const sum = (f) => clients.reduce((a, c) => a + f(c), 0);
  return { n, kills, lost, doubled, reconnects: sum((c) => c.reconnects), rejoins: sum((c) => c.joins - 1) };
}

const stack = await startStack({ fcgi: 3, ws: 1 });
const fronts = [];
try {
  fronts.push({ title: 'lighttpd', port: stack.port });
  for (const servers of [1, 2]) fronts.push({ title: `nginx, ${servers} server line${servers > 1 ? 's' : ''}`, ...await startNginx(stack, servers) });
  console.log(`stock phoenix.js, ${CLIENTS} long-poll clients each, ${SECONDS} s, one of 3 workers killed every second, channel without history`);
  let i = 0;
  for (const f of fronts)
    for (const name of VERSIONS) {
      const r = await measure(name, f.port, stack, `room:stock${i++}`);
      console.log(`${f.title.padEnd(22)} phoenix.js ${versionOf(name).padEnd(7)} ${r.n} messages, ${r.kills} kills: lost per client ${r.lost.join(' ')}; doubled ${r.doubled.join(' ')}; ${r.reconnects} reconnects, ${r.rejoins} rejoins`);
    }
} finally {
  for (const f of fronts) await f.stop?.();
  await stack.stop();
}
