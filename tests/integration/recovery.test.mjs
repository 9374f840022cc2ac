// Recovery: clients that are cut off at random moments, hopping between transports, serializers and
// workers, miss nothing of a channel with history, or are told; also when Redis is restarted or
// stands still, and when a topic's keys are lost.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { signal } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis } from '../lib/servers.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { assertComplete, during, epochOf, offsetOf, Publisher, upTo, Wanderer } from '../lib/wanderer.mjs';

const TIMEOUT = { timeout: 180000 * SLOW };
let stack;
let redis;
let dir;

const keys = (topic) => ({ meta: `plx:{t:${topic}}:meta`, log: `plx:{t:${topic}}:log` });
const ask = (...command) => redisCommand({ path: redis.socket }, ...command);

describe('recovery', { concurrency: 1 }, () => {
  before(async () => {
    dir = tempDir('recovery');
    redis = await new Redis(dir).start();
    stack = await startStack({ config: 'recovery.conf', fcgi: 3, ws: 2, args: ['--redis', redis.url] });
  });
  after(async () => {
    if (!redis.program.exit) redis.resume();
    await stack?.stop();
    await redis?.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  describe('undisturbed', { concurrency: 3 }, () => {
    test('cut off 50 times during 5000 messages: each of them once, in order', TIMEOUT, async () => {
      const r = await during(stack, 'long:cut', {});
      assertComplete(r);
      const joins = r.all.map((c) => c.joins.length);
      console.log(`5000 messages, 2 clients cut 50 times each, ${joins} joins: nothing lost, nothing doubled`);
    });

    test('a history of 100: recovered is true and false rightly', TIMEOUT, async () => {
      const { all } = await during(stack, 'short:cut', { up: 200, down: 700 });
      let [yes, no] = [0, 0];
      for (const c of all)
        for (const j of c.joins.slice(1)) {
          const missed = offsetOf(j.position) - offsetOf(j.since);
          if (j.recovered) yes++;
          else no++;
          // Not recovered: the place told is where the topic stood, and that was too far away.
          if (!j.recovered) assert.ok(missed > 100, `not recovered though only ${missed} were missed`);
          // Recovered: what was known to be published when it asked is no more than that.
          else assert.ok(j.known - offsetOf(j.since) <= 100, `recovered though ${j.known - offsetOf(j.since)} were missed`);
        }
      assert.ok(yes > 5 && no > 5, `${yes} recovered, ${no} not`);
      console.log(`${yes + no} messages missed or not: ${yes} joins recovered, ${no} not`);
    });

    test('a history of 100, joins at every distance', TIMEOUT, async () => {
      const topic = 'short:edge';
      const p = new Publisher(stack.api, topic);
      for (let i = 0; i < 15; i++) await p.batch(20);
      const epoch = epochOf(p.last);
      for (const missed of [0, 1, 50, 98, 99, 100, 101, 102, 150, 299, 300]) {
        const c = new Wanderer(stack, '/h', topic);
        c.position = `${epoch}:${300 - missed}`;
        c.staying = c.stay();
        await until('the join', () => c.joined, 10000 * SLOW);
        assert.equal(c.joins[0].recovered, missed <= 100, `${missed} missed`);
        if (missed > 0 && missed <= 100) await c.reach(p.last, 10000 * SLOW);
        else await sleep(100);
        await c.leave();
        assert.deepEqual(c.numbers, missed <= 100 ? upTo(300).slice(300 - missed) : []);
      }
    });

    for (const [what, key] of [['log is evicted', 'log'], ['meta is deleted', 'meta']])
      test(`the ${what} in the middle: who missed something is told`, TIMEOUT, async () => {
        const topic = `long:lost-${key}`;
        const lost = [];
        const { all } = await during(stack, topic, {}, async (publisher) => {
          for (let i = 0; i < 3; i++) {
            await sleep(2500);
            await publisher.still(async () => {
              lost.push({ at: publisher.last, from: Date.now() });
              assert.match(await ask('DEL', keys(topic)[key]), /^:1\b/);
              lost.at(-1).to = Date.now();
            });
          }
        });
        let [yes, no] = [0, 0];
        for (const c of all) {
          assert.equal(new Set(c.numbers).size, c.numbers.length, 'none twice');
          for (const j of c.joins.slice(1)) {
            // Keys were lost before this join was asked: what came before is out of reach.
            const before = lost.filter((l) => l.to < j.sent).at(-1);
            const unsure = lost.some((l) => l.from <= j.replied && l.to >= j.sent);
            if (unsure) continue;
            const reachable = !before || (key === 'log'
              ? offsetOf(j.since) >= offsetOf(before.at)
              : epochOf(j.since) !== epochOf(before.at) && !lost.some((l) => epochOf(l.at) === epochOf(j.since) && l.to < j.sent));
            assert.equal(j.recovered, reachable, `${JSON.stringify(j)} after ${JSON.stringify(lost)}`);
            if (j.recovered) yes++;
            else no++;
          }
        }
        console.log(`${yes + no} messages: ${yes} joins recovered, ${no} not (${what} 3 times)`);
      });
  });

  // Nothing publishes presence diffs yet: one is put into the log by hand, as the publishing script
  // would do it.
  async function publishDiff(topic) {
    const script = `local m, l = KEYS[1], KEYS[2]
      local off = redis.call('HINCRBY', m, 'off', 1)
      local epoch, bytes, hist = unpack(redis.call('HMGET', m, 'epoch', 'bytes', 'hist'))
      redis.call('XADD', l, off .. '-0', 'k', 'p', 'f', '', 'e', 'presence_diff', 'p', '{}', 'c', bytes, 'h', hist)
      redis.call('SPUBLISH', 'plx:{t:' .. ARGV[1] .. '}', '1 ' .. epoch .. ' ' .. off .. ' p 0 13\\npresence_diff{}')
      return off`;
    assert.match(await ask('EVAL', script, '2', keys(topic).meta, keys(topic).log, topic), /^:\d+/);
  }

  test('presence diffs: not replayed, without a position, no message of the history', TIMEOUT, async () => {
    for (const [transport, vsn] of [['websocket', '2.0.0'], ['longpoll', '2.0.0'], ['longpoll', '1.0.0']]) {
      const topic = `short:diffs-${transport}${vsn[0]}`;
      const p = new Publisher(stack.api, topic);
      await p.batch(2);
      const since = p.last;
      for (let i = 0; i < 120; i++) await publishDiff(topic);
      await p.batch(2);
      await publishDiff(topic);
      const c = new Wanderer(stack, '/h', topic, { transports: [transport], vsns: [vsn] });
      const seen = [];
      const take = c.take;
      c.take = (m) => {
        seen.push([m.event, m.ref]);
        take.call(c, m);
      };
      c.position = since;
      c.staying = c.stay();
      await until('what was missed', () => c.numbers.length === 2, 10000 * SLOW);
      assert.equal(c.joins[0].recovered, true, '120 diffs and 2 messages are 2 messages');
      assert.deepEqual(c.numbers, [2, 3]);
      await publishDiff(topic);
      await p.batch(1);
      await until('the next', () => c.numbers.length === 3, 10000 * SLOW);
      await c.leave();
      assert.deepEqual(seen.slice(1), [['m', `${epochOf(since)}:123`], ['m', `${epochOf(since)}:124`], ['presence_diff', null], ['m', p.last]]);
    }
  });

  test('workers die meanwhile', TIMEOUT, async () => {
    assertComplete(await during(stack, 'long:workers', {}, async () => {
      for (let i = 0; i < 10; i++) {
        await sleep(1000);
        for (const kind of ['fcgi', 'ws']) {
          const pids = stack.workers(kind);
          if (pids.length > 0) signal(pids[i % pids.length], 'SIGKILL');
        }
      }
    }));
  });

  test('Redis is restarted with its data in the middle', TIMEOUT, async () => {
    assertComplete(await during(stack, 'long:restart', {}, async () => {
      for (let i = 0; i < 2; i++) {
        await sleep(3000);
        await redis.stop('SIGKILL');
        await sleep(1000);
        await redis.start();
      }
    }));
  });
});
