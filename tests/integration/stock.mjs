// A report, not a test: what stock phoenix.js loses while FastCGI workers are killed, behind lighttpd
// and behind nginx. It does not repeat failed requests by itself; nginx does, when its upstream has
// two `server` lines. Run: node tests/integration/stock.mjs [SECONDS]
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { page, versionOf } from '../lib/phoenix.mjs';
import { freePort, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { request } from '../lib/http.mjs';

const SECONDS = Number(process.argv[2] ?? 20);
const CLIENTS = 6;
const VERSIONS = ['phoenix-1.6', 'phoenix-1.7', 'phoenix-1.8'];

/** nginx in front of the same FastCGI socket; `servers`: how often its upstream names it. */
async function startNginx(stack, servers) {
  const dir = path.join(stack.dir, `nginx${servers}`);
  fs.mkdirSync(dir);
  const port = await freePort();
  const { path: socket } = stack.address('fcgi');
  const params = ['QUERY_STRING $query_string', 'REQUEST_METHOD $request_method', 'CONTENT_TYPE $content_type', 'CONTENT_LENGTH $content_length',
    'SCRIPT_NAME $fastcgi_script_name', 'REQUEST_URI $request_uri', 'SERVER_PROTOCOL $server_protocol', 'GATEWAY_INTERFACE CGI/1.1', 'REMOTE_ADDR $remote_addr',
    'SERVER_NAME $host', 'SERVER_PORT $server_port', 'HTTPS $https if_not_empty'].map((p) => `fastcgi_param ${p};`).join('\n');
  fs.writeFileSync(path.join(dir, 'nginx.conf'), `
daemon off; worker_processes 1; pid ${dir}/pid; error_log ${dir}/error.log;
events { worker_connections 512; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((t) => `${t}_temp_path ${dir}/${t};`).join(' ')}
  upstream pollux { ${`server unix:${socket} max_fails=0; `.repeat(servers)} keepalive 16; }
  server {
    listen 127.0.0.1:${port};
    location / { fastcgi_pass pollux; fastcgi_keep_conn on; fastcgi_read_timeout 60s; fastcgi_next_upstream error timeout; ${params} }
  }
}`);
  const child = spawn('/usr/sbin/nginx', ['-c', path.join(dir, 'nginx.conf'), '-p', dir], { stdio: 'ignore' });
  await until('nginx', async () => (await request(`http://127.0.0.1:${port}/relay/longpoll?vsn=2.0.0`).catch(() => null))?.status === 200, 5000);
  return { port, stop: () => new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  }) };
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
  for (const c of clients) c.p.close();
  const lost = clients.map((c) => n - new Set(c.got).size);
  const doubled = clients.map((c) => c.got.length - new Set(c.got).size);
  const sum = (f) => clients.reduce((a, c) => a + f(c), 0);
  return { n, kills, lost, doubled, reconnects: sum((c) => c.closes), rejoins: sum((c) => c.joins - 1) };
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
