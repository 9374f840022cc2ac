// Parked polls in one FastCGI worker: what each costs in resident memory, and how long it takes until
// one publish has answered all of them.
//
//   node tests/bench/lp_parked.mjs [POLLS]        default 5000; needs twice as many descriptors
//
// The clients are one Node process on the same machine and are part of the times printed.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { begin, cgiAnswer, pairs, stream, TYPE, variables } from '../lib/fcgi.mjs';
import { children, cpuMs, rssBytes } from '../lib/proc.mjs';
import { Redis, startFcgi } from '../lib/servers.mjs';
import { API_KEY, tempDir } from '../lib/stack.mjs';

const POLLS = Number(process.argv[2] ?? 5000);
const ROUNDS = 3;
const AT_ONCE = 64;
const TOPIC = 'room:bench';

const CONFIG = (redis) => `redis { url = "${redis}" }
secret = "for-the-benchmark-only-0123456789abcdef"
log_level = "warning"
socket "/socket" {
    longpoll { window_ms = 18000 }
    check_origin = { "any" }
    channel "room:*" { backend = "relay" }
}
api { path = "/api" keys = { "${API_KEY}" } }
`;

// What a browser sends along, roughly.
const HEADERS = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: '*/*',
  'accept-language': 'en-US,en;q=0.5', 'accept-encoding': 'gzip, deflate, br', referer: 'https://example.com/chat/room/42',
  cookie: 'session=0123456789abcdef0123456789abcdef; theme=dark', connection: 'keep-alive',
};

let where;

/** One kept connection to the worker; ask() resolves with {json, at}. */
class Conn {
  constructor() {
    this.buffer = [];
    this.socket = net.connect(where);
    this.socket.on('data', (d) => this.take(d));
    this.socket.on('close', () => this.reject?.(new Error('the worker closed a connection')));
    this.socket.on('error', () => {});
  }

  take(data) {
    this.buffer.push(data);
    const all = this.buffer.length > 1 ? Buffer.concat(this.buffer) : data;
    const out = [];
    for (let at = 0; at + 8 <= all.length;) {
      const n = all.readUInt16BE(at + 4);
      const next = at + 8 + n + all[at + 6];
      if (next > all.length) break;
      if (all[at + 1] === TYPE.stdout) out.push(all.subarray(at + 8, at + 8 + n));
      if (all[at + 1] === TYPE.end) {
        this.buffer = [];
        this.resolve({ json: cgiAnswer(Buffer.concat(out)).json, at: performance.now() });
        return;
      }
      at = next;
    }
    this.buffer = [all];
  }

  ask(req) {
    const env = variables({ ...req, headers: { ...HEADERS, ...req.headers } });
    const answer = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.socket.write(Buffer.concat([begin(1, { keep: true }), stream(TYPE.params, 1, pairs(env)), stream(TYPE.stdin, 1, req.body ?? '')]));
    return answer;
  }

  close() {
    this.reject = undefined;
    this.socket.destroy();
  }
}

const target = (token) => `/socket/longpoll?vsn=2.0.0${token ? `&token=${token}` : ''}`;

function expect(what, answer, status) {
  if (answer.json?.status !== status) throw new Error(`${what}: ${JSON.stringify(answer.json)}`);
  return answer;
}

/** Opens a session and joins; resolves with the token that acknowledges the join's reply. */
async function openSession(conn) {
  const { token } = expect('connect', await conn.ask({ target: target() }), 410).json;
  expect('join', await conn.ask({ method: 'POST', target: target(token), body: JSON.stringify(['1', '1', TOPIC, 'phx_join', {}]) }), 200);
  return expect('first poll', await conn.ask({ target: target(token) }), 200).json.token;
}

async function eachOf(list, work) {
  let next = 0;
  const one = async () => {
    while (next < list.length) await work(list[next++]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function waitParked(api) {
  // The worker has read every request once it answers one that came after them.
  await api.ask({ target: '/api/health', headers: { 'x-pollux-key': API_KEY } });
  await new Promise((r) => setTimeout(r, 500));
}

async function round(clients, api, worker, n) {
  const answers = clients.map((c) => c.conn.ask({ target: target(c.token) }));
  await waitParked(api);
  const rss = rssBytes(worker);
  const cpu = cpuMs(worker);
  const started = performance.now();
  const published = api.ask({
    method: 'POST', target: '/api/publish', headers: { 'x-pollux-key': API_KEY },
    body: JSON.stringify({ topic: TOPIC, event: 'tick', payload: { n } }),
  });
  const got = await Promise.all(answers);
  if (!(await published).json?.position) throw new Error('the publish was refused');
  got.forEach((a, i) => {
    expect('poll', a, 200);
    if (a.json.messages.length !== 1 || JSON.parse(a.json.messages[0])[4].n !== n) throw new Error(`wrong answer ${JSON.stringify(a.json)}`);
    clients[i].token = a.json.token;
  });
  return { rss, ms: Math.max(...got.map((a) => a.at)) - started, cpu: cpuMs(worker) - cpu };
}

const dir = tempDir('bench');
const redis = await new Redis(dir, { durable: false }).start();
const config = path.join(dir, 'pollux.conf');
fs.writeFileSync(config, CONFIG(redis.url));
const fcgi = await startFcgi(dir, config);
where = fcgi.where;
try {
  const api = new Conn();
  await openSession(new Conn());
  const [worker] = children(fcgi.program.pid);
  const before = rssBytes(worker);
  const clients = Array.from({ length: POLLS }, () => ({}));
  await eachOf(clients, async (c) => {
    c.conn = new Conn();
    c.token = await openSession(c.conn);
  });
  const rounds = [];
  for (let n = 1; n <= ROUNDS; n++) rounds.push(await round(clients, api, worker, n));
  const worst = (key) => Math.max(...rounds.map((r) => r[key]));
  console.log(`parked polls in one worker:  ${POLLS}`);
  console.log(`resident memory per poll:    ${((worst('rss') - before) / POLLS / 1024).toFixed(2)} KB (worker ${(before / 1048576).toFixed(1)} MB before, ${(worst('rss') / 1048576).toFixed(1)} MB with all parked)`);
  console.log(`all answered by one publish: ${Math.round(worst('ms'))} ms, the worst of ${ROUNDS} (${rounds.map((r) => Math.round(r.ms)).join(', ')}; CPU of the worker ${worst('cpu')} ms)`);
  for (const c of [...clients.map((x) => x.conn), api]) c.close();
} finally {
  await fcgi.program.stop();
  await redis.stop();
  if (fcgi.program.text) process.stderr.write(fcgi.program.text);
  fs.rmSync(dir, { recursive: true, force: true });
}
process.exit(0);
