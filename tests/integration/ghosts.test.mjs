// Nobody stays on a topic who is gone: workers killed with -9 one by one and all at once, a machine with
// all that ran there, long-poll sessions abandoned at any moment. Ghosts are counted; there must be none, and none may outlive its
// lease: a WebSocket worker's ends 10 s after its last sign of life, a session's 30 s after its last poll
// or POST, or 1.5 windows if that is more. What is found late is counted from the lease's end.
//
//     POLLUX_GHOST_ROUNDS=20 node --test tests/integration/ghosts.test.mjs     (the suite: 1 round)
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { Leases } from '../lib/leases.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { published } from '../lib/people.mjs';
import { descendants, kill, signal } from '../lib/proc.mjs';
import { Redis } from '../lib/servers.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const ROUNDS = Number(process.env.POLLUX_GHOST_ROUNDS ?? 1);
const LEASE_MS = 10000; // of a WebSocket worker
const LIFE_MS = 30000; // of a long-poll session
const SLACK_MS = 3000 * SLOW; // what a loaded machine takes longer
const TIMEOUT = { timeout: (60000 + ROUNDS * 60000) * SLOW };
let counter = 0;

/** A WebSocket client that reads all it gets and notices its end. */
async function wsClient(stack, topic, user) {
  const ws = await openWs(stack.address('ws'), `/relay/websocket?vsn=2.0.0&user_id=${user}`);
  const client = { user, ws, alive: true, replies: 0, joins: [], leaves: [] };
  ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
  client.loop = (async () => {
    while (client.alive) {
      const e = await ws.next(500);
      if (e?.type === 'eof' || e?.type === 'close') client.alive = false;
      if (e?.type !== 'text') continue;
      const [, , , event, payload] = JSON.parse(e.text);
      if (event === 'phx_reply') client.replies++;
      if (event === 'presence_diff') {
        client.joins.push(...Object.keys(payload.joins));
        client.leaves.push(...Object.keys(payload.leaves));
      }
      if (event === 'phx_error') client.told = true;
    }
  })().catch(() => { client.alive = false; });
  return client;
}

/** Asks each of them whether it still has somebody to talk to: `alive` tells. */
async function sound(clients) {
  await Promise.all(clients.map(async (c) => {
    const before = c.replies;
    c.ws.send('[null,"h","phoenix","heartbeat",{}]');
    await until(`${c.user} to be answered, or cut off`, () => !c.alive || c.replies > before);
  }));
}

async function close(clients) {
  for (const c of clients) {
    c.alive = false;
    c.ws.destroy();
  }
  await Promise.all(clients.map((c) => c.loop));
}

/** Who is there; undefined while the API does not answer. */
const present = async (stack, topic) => {
  try {
    return Object.keys(await published(stack.api, topic)).sort();
  } catch {
    return undefined;
  }
};

/** Waits until exactly `users` are there, at most until `ms` after `begin`; returns how long it took. */
async function only(stack, topic, users, ms, begin = Date.now(), leases = null) {
  const wanted = JSON.stringify([...users].sort());
  let seen;
  await until(`only ${wanted}`, async () => {
    seen = await present(stack, topic);
    await leases?.look();
    return JSON.stringify(seen) === wanted;
  }, begin + ms - Date.now(), 100).catch((e) => {
    throw new Error(`${e.message}: ghosts ${JSON.stringify(seen?.filter((u) => !users.includes(u)))}, missing ${JSON.stringify(users.filter((u) => !seen?.includes(u)))}`);
  });
  const took = Date.now() - begin;
  assert.ok(took <= ms, `only ${wanted}: it took ${took} ms, not ${ms}`);
  return took;
}

async function withStack(options, body) {
  const stack = await startStack(options);
  try {
    await body(stack);
  } catch (e) {
    stack.show(40);
    throw e;
  } finally {
    await stack.stop({ status: null });
  }
}

/** No process of it can do anything any more when the first one has gone. */
async function powerCut(machine) {
  const pids = [machine.child.pid, ...descendants(machine.child.pid).map((p) => p.pid)];
  // (The first to be killed takes others with it.)
  for (const name of ['SIGSTOP', 'SIGKILL']) for (const pid of pids) signal(pid, name);
  await machine.kill();
}

describe('ghosts', { concurrency: 4 }, () => {
  test(`a WebSocket worker is killed, ${ROUNDS} times`, TIMEOUT, () => withStack({ fcgi: 1, ws: 2 }, async (stack) => {
    let slowest = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const topic = `lobby:kill${counter++}`;
      const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => wsClient(stack, topic, `u${i}`)));
      await only(stack, topic, clients.map((c) => c.user), 20000 * SLOW);
      const victims = stack.workers('ws');
      const killed = Date.now();
      await kill(victims[round % victims.length]);
      await sound(clients);
      const alive = clients.filter((c) => c.alive);
      const gone = clients.filter((c) => !c.alive).map((c) => c.user);
      slowest = Math.max(slowest, await only(stack, topic, alive.map((c) => c.user), LEASE_MS + SLACK_MS, killed));
      for (const c of alive) {
        await until('the leaves', () => gone.every((u) => c.leaves.includes(u)), 5000 * SLOW);
        assert.equal(new Set(c.leaves).size, c.leaves.length, 'each of them once');
        assert.ok(!c.told, 'who lives is not disturbed');
      }
      await close(clients);
      await only(stack, topic, [], 10000 * SLOW);
    }
    console.log(`one worker killed: ${ROUNDS} rounds, 0 ghosts, gone ${slowest} ms after the kill at most (lease ${LEASE_MS})`);
  }));

  test(`all workers are killed at once and come back, ${ROUNDS} times`, TIMEOUT, () => withStack({ fcgi: 2, ws: 2 }, async (stack) => {
    let slowest = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const topic = `lobby:all${counter++}`;
      const clients = await Promise.all(Array.from({ length: 8 }, (_, i) => wsClient(stack, topic, `w${i}`)));
      const polls = await Promise.all(Array.from({ length: 4 }, async (_, i) => {
        const lp = new LongPollClient(`${stack.url}/relay/longpoll`, { params: { user_id: `l${i}` } });
        await lp.open();
        await lp.send([lp.message(topic, 'phx_join', {})]);
        return lp.start();
      }));
      const lpUsers = polls.map((_, i) => `l${i}`);
      await only(stack, topic, [...clients.map((c) => c.user), ...lpUsers], 20000 * SLOW);
      const killed = Date.now();
      for (const pid of [...stack.workers('ws'), ...stack.workers('fcgi')]) signal(pid, 'SIGKILL');
      // New workers judge others only after a whole lease of their own: that began when these died.
      slowest = Math.max(slowest, await only(stack, topic, lpUsers, LEASE_MS + SLACK_MS, killed));
      for (const lp of polls) assert.deepEqual(lp.trouble, []);
      await Promise.all(polls.map((lp) => lp.send([lp.message(topic, 'phx_leave', {})])));
      await only(stack, topic, [], 10000 * SLOW);
      await Promise.all(polls.map((lp) => lp.stop()));
      await close(clients);
    }
    console.log(`all workers killed: ${ROUNDS} rounds, 0 ghosts, gone ${slowest} ms after the kill at most (lease ${LEASE_MS})`);
  }));

  test(`one machine of two is killed with all its processes, ${ROUNDS} times`, TIMEOUT, async () => {
    const dir = tempDir('machines');
    const redis = await new Redis(dir, { durable: false }).start();
    const machine = () => startStack({ fcgi: 1, ws: 1, args: ['--redis', redis.url] });
    const lives = await machine();
    let slowest = 0;
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const topic = `lobby:machine${counter++}`;
        const dies = await machine();
        const gone = await Promise.all(Array.from({ length: 6 }, (_, i) => wsClient(dies, topic, `g${i}`)));
        const stay = await Promise.all(Array.from({ length: 3 }, (_, i) => wsClient(lives, topic, `s${i}`)));
        const lp = new LongPollClient(`${dies.url}/relay/longpoll`, { params: { user_id: 'lp' } });
        await lp.open();
        await lp.send([lp.message(topic, 'phx_join', {})]);
        lp.start();
        const staying = [...stay.map((c) => c.user), 'lp'];
        await only(lives, topic, [...gone.map((c) => c.user), ...staying], 20000 * SLOW);
        const killed = Date.now();
        await powerCut(dies);
        lp.base = `${lives.url}/relay/longpoll`; // the other machine goes on with its session
        slowest = Math.max(slowest, await only(lives, topic, staying, LEASE_MS + SLACK_MS, killed));
        for (const c of stay) {
          await until('the leaves', () => gone.every((g) => c.leaves.includes(g.user)), 3000 * SLOW);
          assert.equal(new Set(c.leaves).size, c.leaves.length, 'each of them once');
        }
        await lp.send([lp.message(topic, 'phx_leave', {})]);
        await lp.stop();
        assert.deepEqual(lp.trouble, []);
        await close([...gone, ...stay]);
        await only(lives, topic, [], 10000 * SLOW);
        fs.rmSync(dies.dir, { recursive: true, force: true });
      }
      console.log(`one machine of two killed: ${ROUNDS} rounds, 0 ghosts, gone ${slowest} ms after the kill at most (lease ${LEASE_MS})`);
    } catch (e) {
      lives.show(40);
      throw e;
    } finally {
      await lives.stop({ status: null });
      await redis.stop();
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });

  test('20 long-poll sessions are abandoned at any moment, while workers are killed', TIMEOUT, () => withStack({ fcgi: 2, ws: 1 }, async (stack) => {
    const topic = `lobby:lp${counter++}`;
    const sessions = Array.from({ length: 20 }, (_, i) => new LongPollClient(`${stack.url}/relay/longpoll`, { params: { user_id: `a${i}` } }));
    await Promise.all(sessions.map(async (lp, i) => {
      await lp.open();
      if (i % 4 === 0) { // in the middle of its join
        lp.postOnce(JSON.stringify(lp.message(topic, 'phx_join', {})), i % 8).catch(() => {});
        return;
      }
      await lp.send([lp.message(topic, 'phx_join', {})]);
      if (i % 4 === 1) return; // before its first poll
      lp.start();
      await sleep(50 * i);
      lp.running = false;
      lp.stopping = true;
      lp.cut(); // in the middle of a poll
    }));
    const leases = new Leases(stack);
    for (let i = 0; i < 3; i++) {
      const pids = await until('workers', () => stack.workers('fcgi').length > 0 && stack.workers('fcgi'));
      signal(pids[i % pids.length], 'SIGKILL');
      await sleep(1500);
    }
    await only(stack, topic, [], LIFE_MS + LEASE_MS + SLACK_MS, Date.now(), leases);
    const late = Date.now() - leases.ended;
    console.log(`20 sessions abandoned: 0 ghosts, the last gone ${late} ms after its lease's end`);
    assert.ok(leases.ended > 0 && late < 1500 + SLACK_MS, `gone ${late} ms after its lease's end`);
  }));
});
