// What an application that sleeps for 30 s over every second join does to everybody else.
//
//   node tests/bench/hooks.mjs [ROUNDS [SECONDS]]       default 3 rounds, each 2 x 6 seconds
//
// A crowd joins channels of backend "http", 40 a second. Meanwhile others push, to the same section, to
// another section of the same application, and to a relay, on both transports. Each round measures them
// once while the application answers every join at once, and once while it sleeps over every second one.
// Bound: of all the others' replies the 99th percentile is at most twice as late (median of the rounds).
// The clients and the application are this one process and are part of the times.
import assert from 'node:assert/strict';
import { HOOK_SECRET, HookApp } from '../lib/hook_app.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { startStack } from '../lib/stack.mjs';
import { sleep } from '../lib/wait.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);
const SECONDS = Number(process.argv[3] ?? 6);
const JOINS_PER_S = 40;
const SLEEP_MS = 30000;
const BOUND = 2;
const OTHERS = [['websocket', 'shop', 6], ['websocket', 'quick', 6], ['websocket', 'relay', 6], ['longpoll', 'shop', 3], ['longpoll', 'relay', 3]];

let sleepy = false;
let joins = 0;
let slept = 0;
const app = await new HookApp(async (q) => {
  if (q.hook === 'join' && q.payload.crowd && ++joins % 2 === 0 && sleepy) {
    slept++;
    await sleep(SLEEP_MS);
  }
  return q.hook === 'join' ? { status: 'ok' } : { reply: { status: 'ok' } };
}).start();
const http = `backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}"`;
const stack = await startStack({ config: { text: `
secret = "for-the-benchmark-only-0123456789abcdef"
log_level = "error"
refuse_delay_ms = 0
socket "/socket" {
    check_origin = { "any" }
    max_channels = 10000
    channel "shop:*" { ${http} }
    channel "quick:*" { ${http} }
    channel "relay:*" { backend = "relay" reply = true }
}
` } });

const p99 = (list) => [...list].sort((x, y) => x - y)[Math.floor(list.length * 0.99)];
const median = (list) => [...list].sort((x, y) => x - y)[list.length >> 1];
const ms = (x) => `${x.toFixed(1)} ms`;
const pages = [];
const connect = (transport) => {
  const p = page('phoenix-1.8');
  pages.push(p);
  return p.connect(`ws://127.0.0.1:${stack.port}/socket`, { transport, timeout: 60000 });
};

/** Pushes one after the other until `end`; what each took goes to `times`. */
async function push(channel, end, times) {
  while (performance.now() < end) {
    const start = performance.now();
    await answer(channel.push('x', { n: 1 }));
    times.push(performance.now() - start);
    await sleep(20);
  }
}

const crowd = connect('websocket');
let next = 0;
const outcome = { ok: 0, refused: 0 };
function joinOne() {
  const channel = crowd.channel(`shop:c${next++}`, { crowd: true });
  channel.join().receive('ok', () => { outcome.ok++; channel.leave(); }).receive('error', () => { outcome.refused++; channel.leave(); });
}

async function measure(channels) {
  const times = new Map(OTHERS.map(([t, kind]) => [`${kind} on ${t}`, []]));
  const timer = setInterval(joinOne, 1000 / JOINS_PER_S);
  await sleep(1500); // the sleepers have their places
  const end = performance.now() + SECONDS * 1000;
  await Promise.all(channels.map(([name, c]) => push(c, end, times.get(name))));
  clearInterval(timer);
  return times;
}

try {
  const channels = [];
  for (const [transport, kind, count] of OTHERS) {
    for (let i = 0; i < count; i++) {
      const channel = connect(transport).channel(`${kind}:${transport}${i}`, {});
      await answer(channel.join());
      channels.push([`${kind} on ${transport}`, channel]);
    }
  }
  await measure(channels); // warm
  const ratios = [];
  for (let round = 0; round < ROUNDS; round++) {
    sleepy = false;
    const without = await measure(channels);
    sleepy = true;
    Object.assign(outcome, { ok: 0, refused: 0 });
    slept = 0;
    const beside = await measure(channels);
    sleepy = false;
    const [a, b] = [without, beside].map((m) => p99([...m.values()].flat()));
    ratios.push(b / a);
    console.log(`round ${round + 1}: p99 ${ms(a)} without, ${ms(b)} beside ${slept} joins that were slept over (x ${(b / a).toFixed(2)}); of the crowd ${outcome.ok} joined, ${outcome.refused} refused`);
    for (const [name, list] of without)
      console.log(`  ${name.padEnd(20)} p99 ${ms(p99(list)).padStart(9)} without, ${ms(p99(beside.get(name))).padStart(9)} with   (median ${ms(median(list))}, ${ms(median(beside.get(name)))}; ${list.length + beside.get(name).length} replies)`);
    await sleep(3500); // the last sleepers time out
  }
  console.log(`median of ${ROUNDS}: x ${median(ratios).toFixed(2)} (bound: x ${BOUND})`);
  assert.ok(median(ratios) <= BOUND, `p99 beside sleepers is x ${median(ratios).toFixed(2)}`);
} finally {
  for (const p of pages) p.close();
  await stack.stop();
  await app.stop();
}
