// The storm on one presence topic (presence_storm.c) with real phoenix.js among the clients: what each
// client knows afterwards must be what Redis holds, at no more than 25 diffs a second.
//
//   node tests/bench/presence_storm.mjs [SOCKETS] [SECONDS]        default 5000 in 5 s
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { follow, published, refsOf } from '../lib/people.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { rssBytes, cpuMs } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { ROOT, SLOW, startStack } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';

const SOCKETS = Number(process.argv[2] ?? 5000);
const SECONDS = Number(process.argv[3] ?? 5);
const REAL = 50;
const MAX_DIFFS = 25;
const TOPIC = 'lobby:storm';

const MASK = (1n << 64n) - 1n;
const fnv = (text) => {
  let h = 0xcbf29ce484222325n;
  for (const c of Buffer.from(text)) h = ((h ^ BigInt(c)) * 0x100000001b3n) & MASK;
  return h;
};
const hashOf = (refs) => refs.reduce((sum, r) => (sum + fnv(r)) & MASK, 0n);

function build() {
  const out = path.join(os.tmpdir(), `pollux-presence-storm-${process.pid}`);
  const r = spawnSync('cc', ['-O2', '-std=c11', '-D_GNU_SOURCE', 'tests/bench/presence_storm.c', '-lev', '-o', out], { cwd: ROOT, encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  return out;
}

/** A line of the generator as an object. */
const fields = (line) => {
  const [phase, ...words] = line.split(' ');
  const o = { phase };
  for (let i = 0; i < words.length; i += 2) o[words[i]] = words[i] === 'hash' ? BigInt(words[i + 1]) : Number(words[i + 1]);
  return o;
};

/** The refs in the topic's hash of entries, read past everything of ours. */
async function stored(stack) {
  const text = await redisCommand({ path: path.join(stack.state, 'run/redis.sock') }, 'HKEYS', `plx:{t:${TOPIC}}:pres`);
  return [...text.matchAll(/\$16\r\n([\w-]{16})\r\n/g)].map(([, ref]) => ref);
}

const stack = await startStack({ fcgi: 1, ws: 2 });
const pages = [];
let generator;
try {
  const { port } = stack.address('ws');
  const cpu = () => stack.workers('ws').reduce((sum, pid) => sum + cpuMs(pid), 0);
  generator = spawn(build(), ['127.0.0.1', String(port), '/relay/websocket', TOPIC, String(SOCKETS), String(SECONDS)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: generator.stdout })[Symbol.asyncIterator]();

  const real = [];
  for (let i = 0; i < REAL; i++) {
    const p = page('phoenix-1.8');
    pages.push(p);
    const channel = p.connect(`ws://127.0.0.1:${port}/relay`, { transport: 'websocket', params: { user_id: `real${i}` } }).channel(TOPIC, {});
    real.push(follow(p, channel));
    answer(channel.join()).catch(() => {});
  }

  const check = async (line, expected) => {
    const r = fields(line);
    const server = await stored(stack);
    console.log(`${line}\n  Redis: count ${server.length} hash ${hashOf(server)}; workers ${stack.workers('ws').map((p) => `${(rssBytes(p) / 1048576).toFixed(0)} MB`).join(', ')}, ${cpu()} ms of CPU`);
    assert.equal(server.length, expected, 'published entries');
    assert.deepEqual([r.count, r.hash], [server.length, hashOf(server)], 'what the clients hold is what Redis holds');
    assert.deepEqual(Object.values(refsOf(await published(stack.api, TOPIC))).flat().sort(), [...server].sort(), 'what the API tells');
    assert.equal(r.agree, r.clients, 'all of them');
    assert.equal(r.states, r.clients, 'one state each');
    assert.equal(r.errors, 0, 'connections that failed');
    assert.ok(r.diffs_per_s <= MAX_DIFFS, `${r.diffs_per_s} diffs a second`);
    const want = JSON.stringify([...server].sort());
    await until('phoenix.js to agree', () => real.every((p) => JSON.stringify(Object.values(p.refs()).flat().sort()) === want), 15000 * SLOW);
    console.log(`  ${REAL} phoenix.js agree`);
  };

  await check((await lines.next()).value, SOCKETS + REAL);
  generator.stdin.write('go on\n');
  await check((await lines.next()).value, SOCKETS - Math.floor(SOCKETS / 2) + REAL);
  generator.stdin.end();
} catch (e) {
  stack.show(30);
  throw e;
} finally {
  generator?.kill();
  for (const p of pages) p.close();
  await stack.stop({ status: null });
}
