// Promise 2: no state dies with a worker. Careful long-poll clients are served by three workers of
// which one is killed with SIGKILL every second, while their own connections are cut now and then.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { signal } from '../lib/proc.mjs';
import { BUILD, configText, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until, within } from '../lib/wait.mjs';

const SECONDS = Number(process.env.POLLUX_CAREFUL_SECONDS ?? 30);
const CLIENTS = 8;

/** Kills one FastCGI worker a second, in turn, and waits for its successor; returns a stopper. */
function killWorkers(stack) {
  let running = true;
  let kills = 0;
  const loop = (async () => {
    while (running) {
      await sleep(1000);
      const pids = stack.workers('fcgi');
      if (!running || pids.length === 0) continue;
      signal(pids[kills++ % pids.length], 'SIGKILL');
    }
  })();
  return async () => {
    running = false;
    await loop;
    return kills;
  };
}

/** Cuts a random client's poll about five times a second. */
function cutConnections(clients) {
  const timer = setInterval(() => clients[Math.floor(Math.random() * clients.length)].cut(), 200);
  return () => clearInterval(timer);
}

/** Publishes with an idempotency key until it is answered: the application is careful, too. */
async function publish(stack, topic, n) {
  for (;;) {
    try {
      const r = await stack.api.call('POST', '/publish', { topic, event: 'tick', payload: { n }, key: `k${n}` }, { ms: 5000 });
      if (r.status === 200) return;
      assert.ok(r.status >= 500, `publish: HTTP ${r.status} ${r.text}`);
    } catch (e) {
      if (e instanceof assert.AssertionError) throw e;
    }
    await sleep(20);
  }
}

async function openClients(stack, topic) {
  const clients = [];
  for (let i = 0; i < CLIENTS; i++) {
    const c = new LongPollClient(`${stack.url}/relay/longpoll`, { params: { user_id: `careful${i}` } });
    c.ticks = [];
    c.others = [];
    c.joins = 0;
    c.pushes = [];
    c.onMessage = ([, , , event, payload]) => {
      if (event === 'tick') c.ticks.push(payload.n);
      else if (event === 'said') c.pushes.push(`${payload.who}.${payload.n}`);
      else if (event === 'phx_reply' && payload.status === 'ok') c.joins++;
      else c.others.push(event);
    };
    await c.open();
    c.start();
    await c.send([c.message(topic, 'phx_join', {})]);
    clients.push(c);
  }
  await until('every client to have joined', () => clients.every((c) => c.joins === 1), 10000 * SLOW);
  return clients;
}

/** Runs `work` while workers die; returns the number of kills. */
async function whileWorkersDie(stack, clients, work) {
  const [stopKilling, stopCutting] = [killWorkers(stack), cutConnections(clients)];
  try {
    await work();
  } finally {
    stopCutting();
    stack.kills = await stopKilling();
  }
}

function report(what, stack, clients) {
  const sum = (k) => clients.reduce((n, c) => n + c.stats[k], 0);
  console.log(`${what}: ${stack.kills} workers killed, ${sum('polls')} polls (${sum('pollRetries')} repeated, ${sum('cuts')} cut), ${sum('posts')} POSTs (${sum('postRetries')} repeated)`);
}

function assertUntroubled(clients, joins = 1) {
  for (const [i, c] of clients.entries()) {
    assert.deepEqual(c.trouble, [], `client ${i}: no 410, no 500 in a body`);
    assert.deepEqual(c.others, [], `client ${i}: no phx_error, nothing unexpected`);
    assert.equal(c.joins, joins, `client ${i}: one reply to its join`);
  }
}

async function withStack(body) {
  const stack = await startStack({ fcgi: 3, ws: 1 });
  let clients = [];
  try {
    await body(stack, async (topic) => {
      clients = await openClients(stack, topic);
      return clients;
    });
  } catch (e) {
    stack.show(30);
    throw e;
  } finally {
    for (const c of clients) await c.stop();
    await stack.stop();
  }
}

test('published messages arrive in order, once, while workers are killed', { timeout: (SECONDS + 90) * 1000 * SLOW }, async () => {
  await withStack(async (stack, open) => {
    const topic = 'room:careful';
    const clients = await open(topic);
    let n = 0;
    await whileWorkersDie(stack, clients, async () => {
      const end = Date.now() + SECONDS * 1000;
      while (Date.now() < end) {
        const started = Date.now();
        await publish(stack, topic, n++);
        await sleep(Math.max(0, 50 - (Date.now() - started)));
      }
    });
    await until(`all ${n} messages`, () => clients.every((c) => c.ticks.length >= n), 20000 * SLOW);
    await sleep(300);
    report(`${n} messages to ${CLIENTS} clients`, stack, clients);
    const all = Array.from({ length: n }, (_, i) => i);
    for (const c of clients) assert.deepEqual(c.ticks, all);
    assertUntroubled(clients);
    assert.ok(stack.kills >= SECONDS * 0.8 && n > SECONDS * 5, `${stack.kills} kills, ${n} messages: too few to prove anything`);
  });
});

test('pushes of clients are neither lost nor doubled while workers are killed', { timeout: (SECONDS + 90) * 1000 * SLOW }, async () => {
  await withStack(async (stack, open) => {
    const topic = 'room:pushes';
    const clients = await open(topic);
    const sent = clients.map(() => 0);
    await whileWorkersDie(stack, clients, async () => {
      const end = Date.now() + SECONDS * 1000;
      await Promise.all(clients.map(async (c, who) => {
        while (Date.now() < end) {
          const batch = Array.from({ length: 1 + (sent[who] % 3) }, () => c.message(topic, 'said', { who, n: sent[who]++ }));
          await c.send(batch, { cutAfterMs: Math.random() < 0.2 ? Math.random() * 10 : undefined });
          await sleep(150);
        }
      }));
    });
    const total = sent.reduce((a, b) => a + b, 0);
    await until(`all ${total} pushes`, () => clients.every((c) => c.pushes.length >= total), 20000 * SLOW);
    await sleep(300);
    report(`${total} pushes of ${CLIENTS} clients`, stack, clients);
    for (const c of clients) {
      assert.deepEqual(c.pushes, clients[0].pushes, 'everybody sees the same log');
      for (const [who, count] of sent.entries()) {
        const mine = c.pushes.filter((p) => p.startsWith(`${who}.`));
        assert.deepEqual(mine, Array.from({ length: count }, (_, n) => `${who}.${n}`), `pushes of client ${who}`);
      }
    }
    assertUntroubled(clients);
  });
});

test('a worker dies after a push was broadcast and before it was answered: done again, heard once', { timeout: 60000 * SLOW }, async () => {
  const dir = tempDir('dies');
  const flag = path.join(dir, 'flag');
  const channel = `channel "dies:*" { backend = "module" path = "${BUILD}/modules/dies.so" settings = "${flag}" }\n    channel "mute:*"`;
  const stack = await startStack({ fcgi: 2, ws: 1, config: { text: configText('recorded.conf').replace('channel "mute:*"', channel) } });
  try {
    const topic = 'dies:x';
    const got = [];
    const c = new LongPollClient(`${stack.url}/relay/longpoll`);
    c.onMessage = ([, ref, , event]) => got.push(event === 'phx_reply' ? `reply ${ref}` : event);
    await c.open();
    await c.send([c.message(topic, 'phx_join', {})]);
    c.start();
    await until('the join', () => got.length === 1, 5000 * SLOW);
    for (let round = 0; round < 2; round++) {
      got.length = 0;
      fs.writeFileSync(flag, '');
      const before = stack.workers('fcgi');
      await c.send([c.message(topic, 'first', {}), c.message(topic, 'die', {}), c.message(topic, 'last', {})]);
      await until('all replies', () => got.filter((e) => e.startsWith('reply')).length === 3, 20000 * SLOW);
      assert.ok(!fs.existsSync(flag) && stack.workers('fcgi').some((p) => !before.includes(p)), 'a worker died');
      const n = c.ref;
      assert.deepEqual(got.filter((e) => !e.startsWith('reply')), ['first', 'again', 'die', 'again', 'last', 'again']);
      assert.deepEqual(got.filter((e) => e.startsWith('reply')), [`reply ${n - 2}`, `reply ${n - 1}`, `reply ${n}`]);
      assert.ok(got.indexOf(`reply ${n - 1}`) > got.indexOf('die') && got.indexOf(`reply ${n}`) > got.indexOf('last'));
    }
    assert.deepEqual(c.trouble, []);
    await c.stop();
  } catch (e) {
    stack.show(30);
    throw e;
  } finally {
    await stack.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test('a worker dies over a join and pushes of one POST: whoever is cut off at the join goes on before the pushes', { timeout: 60000 * SLOW }, async () => {
  const dir = tempDir('dies');
  const flag = path.join(dir, 'flag');
  const channel = `channel "dies:*" { backend = "module" path = "${BUILD}/modules/dies.so" settings = "${flag}" history { size = 100 } }\n    channel "mute:*"`;
  const stack = await startStack({ fcgi: 2, ws: 1, config: { text: configText('recorded.conf').replace('channel "mute:*"', channel) } });
  try {
    const topic = 'dies:joined';
    const join = async (params, pushes, expected) => {
      const c = new LongPollClient(`${stack.url}/relay/longpoll`);
      await c.open();
      await c.send([c.message(topic, 'phx_join', params), ...pushes.map((event) => c.message(topic, event, {}))]);
      const got = [];
      while (got.length < 1 + expected) {
        const polled = await c.pollOnce();
        if (polled === null) continue; // its worker is gone
        c.token = polled.token;
        got.push(...polled.messages.map((m) => JSON.parse(m)));
      }
      const [, ref, , event, { response }] = got[0];
      assert.deepEqual([ref, event], ['1', 'phx_reply']);
      assert.deepEqual(c.trouble, []);
      return { ...response, events: got.slice(1).map((m) => m[3]) };
    };
    await stack.api.publish(topic, 'before', {});
    fs.writeFileSync(flag, '');
    const { position } = await join({}, ['first', 'die', 'last'], 0);
    assert.ok(!fs.existsSync(flag), 'a worker died');
    // Of all that came with the reply nothing has reached the page.
    const { recovered, events } = await join({ since: position }, [], 6);
    assert.equal(recovered, true);
    assert.deepEqual(events, ['first', 'again', 'die', 'again', 'last', 'again']);
  } catch (e) {
    stack.show(30);
    throw e;
  } finally {
    await stack.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test('a planned stop of the workers is noticed by nobody', { timeout: 60000 * SLOW }, async () => {
  await withStack(async (stack, open) => {
    const topic = 'room:planned';
    const clients = await open(topic);
    await until('parked polls', () => clients.every((c) => c.pollConn), 5000);
    const asked = clients.reduce((n, c) => n + c.stats.pollRetries, 0);
    for (const pid of stack.workers('fcgi')) {
      const held = new Set(stack.workers('fcgi'));
      process.kill(pid, 'SIGTERM');
      await until('a successor', () => {
        const now = stack.workers('fcgi');
        return !now.includes(pid) && now.some((p) => !held.has(p));
      }, 5000 * SLOW);
    }
    await publish(stack, topic, 0);
    await within('the message', 10000 * SLOW, until('tick', () => clients.every((c) => c.ticks.length === 1), 9000 * SLOW));
    assertUntroubled(clients);
    assert.equal(clients.reduce((n, c) => n + c.stats.pollRetries, 0), asked, 'no request failed');
    const r = await request(`${stack.url}/relay/longpoll?vsn=2.0.0`);
    assert.equal(r.json.status, 410);
  });
});
