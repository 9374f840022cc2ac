// Who is there, through what may happen to Redis: away for longer than every lease, standing still as
// long, restarted with its data, restarted without, emptied. Real phoenix.js on both transports.
//
// Whatever it was, nobody is declared gone who is there, nobody is there twice, and who leaves
// afterwards is gone for everybody.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { follow, published, refsOf } from '../lib/people.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { signal } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis } from '../lib/servers.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

const AWAY_MS = Number(process.env.POLLUX_OUTAGE_MS ?? 40000); // a session lives 30 s, a worker's lease 10 s
const TIMEOUT = { timeout: (AWAY_MS + 120000) * SLOW };
const HEAL_MS = 25000 * SLOW;
const TOPIC = 'lobby:outage';
const MEMBERS = [['ann', 'websocket'], ['ann', 'longpoll'], ['bob', 'websocket'], ['cid', 'longpoll'], ['dan', 'websocket'], ['eve', 'longpoll']];

const sum = (refs) => Object.values(refs).flat().length;
const names = (refs) => Object.entries(refs).flatMap(([key, list]) => list.map(() => key));

/** Everybody, with what each of them knows. joins: how often it was told that it has joined. */
async function enter(stack) {
  const members = [];
  for (const [user, transport] of MEMBERS) {
    const p = page('phoenix-1.8');
    const socket = p.connect(`ws://127.0.0.1:${stack.port}/relay`, { transport, params: { user_id: user, device: transport } });
    const channel = socket.channel(TOPIC, {});
    const member = { user, transport, page: p, socket, channel, people: follow(p, channel), joins: 0 };
    members.push(member);
    await answer(channel.join().receive('ok', () => { member.joins++; }));
  }
  return members;
}

/** Waits until the server and every member know the same `n` entries; returns them. */
async function agreed(stack, members, n) {
  let server;
  const known = () => members.map((m) => JSON.stringify(m.people.refs()));
  await until(`${n} entries at everybody`, async () => {
    server = await published(stack.api, TOPIC).then(refsOf, () => null); // Redis is coming back
    return server && sum(server) === n && known().every((k) => k === JSON.stringify(server));
  }, HEAL_MS, 100).catch((e) => {
    throw new Error(`${e.message}\nserver ${JSON.stringify(server)}\n${known().map((k, i) => `${members[i].user} on ${members[i].transport}: ${k}`).join('\n')}`);
  });
  return server;
}

/** Entries stay right once they are: nothing is swept afterwards that is somebody's. */
async function stays(stack, members, n, ms) {
  const before = await agreed(stack, members, n);
  await sleep(ms);
  assert.deepEqual(await agreed(stack, members, n), before);
  return before;
}

/** Who leaves afterwards is gone, and so is who was on a worker that is killed. */
async function endsWell(stack, members) {
  const [gone] = members.splice(members.findIndex((m) => m.user === 'cid'), 1);
  await answer(gone.channel.leave());
  await agreed(stack, members, MEMBERS.length - 1);
  const silent = members.filter((m) => m.transport === 'websocket');
  for (const m of silent) m.page.close();
  for (const pid of stack.workers('ws')) signal(pid, 'SIGKILL');
  const rest = members.filter((m) => m.transport === 'longpoll');
  const left = await agreed(stack, rest, rest.length);
  assert.deepEqual(names(left).sort(), rest.map((m) => m.user).sort());
}

async function through({ durable = true }, body) {
  const dir = tempDir('presence-outage');
  const redis = await new Redis(dir, { durable }).start();
  let stack;
  let members = [];
  try {
    stack = await startStack({ fcgi: 2, ws: 2, args: ['--redis', redis.url] });
    members = await enter(stack);
    const before = await agreed(stack, members, MEMBERS.length);
    await body({ stack, redis, members, before });
    await endsWell(stack, [...members]);
  } catch (e) {
    stack?.show(40);
    throw e;
  } finally {
    for (const m of members) m.page.close();
    if (!redis.program.exit) redis.resume();
    await stack?.stop({ status: null });
    await redis.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** Nobody heard of anything. */
function undisturbed(members, told) {
  for (const [i, m] of members.entries()) {
    assert.deepEqual(m.people.leaves, told[i].leaves, `${m.user} on ${m.transport} was told of leaves`);
    assert.equal(m.joins, told[i].joins, `${m.user} on ${m.transport} had to join again`);
  }
}

const soFar = (members) => members.map((m) => ({ joins: m.joins, leaves: [...m.people.leaves] }));

describe('presence and Redis', { concurrency: 5 }, () => {
  for (const [what, gone, back] of [
    ['is stopped', (redis) => redis.stop('SIGKILL'), (redis) => redis.start()],
    ['stands still', (redis) => redis.pause(), (redis) => redis.resume()],
    ['takes no writes', (redis) => redisCommand({ path: redis.socket }, 'CONFIG', 'SET', 'maxmemory', '1'), (redis) => redisCommand({ path: redis.socket }, 'CONFIG', 'SET', 'maxmemory', '0')],
    ['is only a replica', (redis) => redisCommand({ path: redis.socket }, 'REPLICAOF', '127.0.0.1', '1'), (redis) => redisCommand({ path: redis.socket }, 'REPLICAOF', 'NO', 'ONE')],
  ])
    test(`Redis ${what} for ${AWAY_MS / 1000} s: nobody is declared gone`, TIMEOUT, () => through({}, async ({ stack, redis, members, before }) => {
      const told = soFar(members);
      await gone(redis);
      await sleep(AWAY_MS);
      // Who is late to give a sign of life is not dead either.
      const late = [stack.workers('ws')[0], stack.workers('fcgi')[0]];
      for (const pid of late) process.kill(pid, 'SIGSTOP');
      try {
        await back(redis);
        await sleep(2500);
      } finally {
        for (const pid of late) process.kill(pid, 'SIGCONT');
      }
      assert.deepEqual(await stays(stack, members, MEMBERS.length, 14000), before, 'the very entries');
      undisturbed(members, told);
    }));

  test('Redis is restarted with its data, again and again', TIMEOUT, () => through({}, async ({ stack, redis, members, before }) => {
    const told = soFar(members);
    for (let i = 0; i < 3; i++) {
      await redis.stop('SIGKILL');
      await sleep(500 + 1000 * i);
      await redis.start();
      assert.deepEqual(await agreed(stack, members, MEMBERS.length), before, 'the very entries');
    }
    await stays(stack, members, MEMBERS.length, 12000);
    undisturbed(members, told);
  }));

  for (const [what, lose] of [
    ['is restarted without its data', async (redis) => {
      await redis.stop('SIGKILL');
      await sleep(1500);
      await redis.start();
    }],
    ['is emptied', (redis) => redisCommand({ path: redis.socket }, 'FLUSHALL')],
  ])
    test(`Redis ${what}: everybody is there again, once`, TIMEOUT, () => through({ durable: false }, async ({ stack, redis, members }) => {
      for (let i = 0; i < 2; i++) {
        await lose(redis);
        const after = await stays(stack, members, MEMBERS.length, i === 1 ? 12000 : 0);
        assert.deepEqual(names(after).sort(), MEMBERS.map(([user]) => user).sort());
      }
    }));
});
