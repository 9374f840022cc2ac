// Idle joined WebSockets in one worker: what each costs in resident memory, how long until one
// publish has reached all of them, and how long a planned stop takes.
//
//   node tests/bench/ws_idle.bench.mjs [SOCKETS]        default 15000; needs as many descriptors, twice
//
// The clients are one Node process on the same machine and are part of the times printed. They come
// from several loopback addresses, so that ports do not run short.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { children, cpuMs, rssBytes } from '../lib/proc.mjs';
import { Redis, startWs } from '../lib/servers.mjs';
import { bin, tempDir } from '../lib/stack.mjs';
import { spawnSync } from 'node:child_process';
import { frame, newKey, OP } from '../lib/ws.mjs';
import { until } from '../lib/wait.mjs';

const SOCKETS = Number(process.argv[2] ?? 15000);
const BOUND_BYTES = 1200;
const ROUNDS = 3;
const AT_ONCE = 200;
const PER_ADDRESS = 5000;
const TOPIC = 'room:bench';

const CONFIG = (redis) => `redis { url = "${redis}" }
secret = "for-the-benchmark-only-0123456789abcdef"
log_level = "warning"
socket "/socket" {
    websocket { timeout_ms = 600000 }
    check_origin = { "any" }
    id = "user:{params.user_id}"
    channel "room:*" { backend = "relay" }
}
`;

// What a browser sends along, roughly.
const HEAD = (n) => [
  `GET /socket/websocket?user_id=${n}&vsn=2.0.0 HTTP/1.1`, 'Host: example.org', 'Upgrade: websocket', 'Connection: keep-alive, Upgrade',
  'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${newKey()}`, 'Origin: https://example.org',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Accept-Language: en-US,en;q=0.5',
  'Sec-WebSocket-Extensions: permessage-deflate', 'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark', '', '',
].join('\r\n');
const JOIN = frame(OP.text, JSON.stringify(['1', '1', TOPIC, 'phx_join', {}]));
const JOINED = '"phx_reply",{"response":{},"status":"ok"}]';

let port;
let received = 0; // broadcasts, by all
let closed = 0;

/** Connects and joins; resolves with the socket when the reply has come. */
function open(n) {
  return new Promise((resolve, reject) => {
    const s = net.connect({ host: '127.0.0.1', port, localAddress: `127.0.0.${2 + Math.floor(n / PER_ADDRESS)}` });
    let text = '';
    s.setNoDelay();
    s.once('connect', () => s.write(HEAD(n)));
    s.once('error', reject);
    s.once('close', () => {
      closed++;
    });
    s.on('data', (d) => {
      if (text === null) {
        // One small frame each; a close frame at the end.
        received += d[0] === 0x81 ? 1 : 0;
        if (d[0] === 0x88) s.end(frame(OP.close, d.subarray(2)));
        return;
      }
      const had = text.length;
      text += d.toString('latin1');
      if (had === 0) {
        if (!text.startsWith('HTTP/1.1 101')) reject(new Error(text));
        s.write(JOIN);
      }
      if (!text.includes(JOINED)) return;
      text = null;
      resolve(s);
    });
  });
}

async function eachOf(count, work) {
  let next = 0;
  const one = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function round(config, worker, n) {
  received = 0;
  const cpu = cpuMs(worker);
  const started = performance.now();
  const r = spawnSync(bin('pollux'), ['--config', config, 'publish', TOPIC, 'tick', JSON.stringify({ n })], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  await until('every socket to hear it', () => received >= SOCKETS, 30000, 5);
  return { ms: performance.now() - started, cpu: cpuMs(worker) - cpu };
}

const dir = tempDir('bench');
const redis = await new Redis(dir, { durable: false }).start();
const config = path.join(dir, 'pollux.conf');
fs.writeFileSync(config, CONFIG(redis.url));
const ws = await startWs(dir, config);
port = ws.where.port;
let failed = false;
try {
  const [worker] = children(ws.program.pid);
  (await open(SOCKETS)).destroy(); // what the first connection brings about is no connection's
  await until('it to be gone', () => closed === 1);
  const before = rssBytes(worker);
  const sockets = [];
  const started = performance.now();
  await eachOf(SOCKETS, async (n) => {
    sockets.push(await open(n));
  });
  const opened = performance.now() - started;
  const rss = rssBytes(worker);
  const each = (rss - before) / SOCKETS;
  console.log(`idle joined WebSockets in one worker: ${SOCKETS}, opened in ${(opened / 1000).toFixed(1)} s`);
  console.log(`resident memory per socket:           ${Math.round(each)} bytes (worker ${(before / 1048576).toFixed(1)} MB before, ${(rss / 1048576).toFixed(1)} MB with all)`);
  const idle = cpuMs(worker);
  await new Promise((r) => setTimeout(r, 3000));
  console.log(`CPU of the worker in 3 idle seconds:  ${cpuMs(worker) - idle} ms`);
  const rounds = [];
  for (let n = 1; n <= ROUNDS; n++) rounds.push(await round(config, worker, n));
  const worst = (key) => Math.max(...rounds.map((r) => r[key]));
  console.log(`one publish heard by all:             ${Math.round(worst('ms'))} ms, the worst of ${ROUNDS} (${rounds.map((r) => Math.round(r.ms)).join(', ')}; CPU of the worker ${worst('cpu')} ms)`);
  console.log(`resident memory after that:           ${(rssBytes(worker) / 1048576).toFixed(1)} MB`);
  closed = 0;
  const stopping = performance.now();
  process.kill(ws.program.pid, 'SIGTERM');
  await ws.program.exited;
  console.log(`planned stop (1012 to each):          ${((performance.now() - stopping) / 1000).toFixed(1)} s`);
  for (const s of sockets) s.destroy();
  failed = each > BOUND_BYTES;
  if (failed) console.log(`that is more than ${BOUND_BYTES} bytes each`);
} finally {
  await ws.program.stop();
  await redis.stop();
  if (ws.program.text) process.stderr.write(ws.program.text);
  fs.rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
