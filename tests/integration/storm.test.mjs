// Everything at once: sessions that join, rejoin, leave, push, abort and repeat at random, over three
// workers that are killed, stopped, replaced and cut off from Redis. Nothing may be lost, doubled or
// out of order, no reply before its broadcast, no event outside of a membership.
//
//     POLLUX_STORM_SECONDS=60 POLLUX_STORM_SEED=$RANDOM node --test tests/integration/storm.test.mjs
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { children, signal } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis, startFcgi } from '../lib/servers.mjs';
import { SLOW, tempDir } from '../lib/stack.mjs';
import { audit, Book, lastWords, missingWords, random, readLog, StormSession } from '../lib/storm.mjs';
import { sleep, until } from '../lib/wait.mjs';

const SECONDS = Number(process.env.POLLUX_STORM_SECONDS ?? 10);
const SEED = Number(process.env.POLLUX_STORM_SEED ?? 20251120);
const SESSIONS = Number(process.env.POLLUX_STORM_SESSIONS ?? 12);
const WORKERS = 3;
const SHARED = ['room:1', 'room:2', 'room:3', 'others:1'];

const config = (redis, windowMs) => `
secret = "integration-tests-only-0123456789abcdef"
redis { url = "${redis.url}" }
refuse_delay_ms = 0
delivery_log { messages = 1000000 bytes = 200000000 }
socket "/s" {
    longpoll { window_ms = ${windowMs} }
    check_origin = { "any" }
    channel "room:*"   { backend = "relay" reply = true }
    channel "others:*" { backend = "relay" reply = true relay_to = "others" }
}
`;

/** What may happen to a system, each for a while. */
const blows = {
  kill: async (s, rng) => signal(rng.pick(s.workers()), 'SIGKILL'),
  replace: async (s, rng) => signal(rng.pick(s.workers()), 'SIGTERM'),
  stop: (s, rng) => s.stopFor(rng.pick(s.workers()), rng.between(100, 1500)),
  // Longer than a lease: the worker comes back to what others have finished meanwhile.
  stall: (s, rng) => s.stopFor(rng.pick(s.workers()), rng.between(4500, 7000)),
  pause: async (s, rng) => {
    s.redis.pause();
    await sleep(rng.between(100, 1500));
    s.redis.resume();
  },
  cut: async (s, rng) => {
    await redisCommand({ path: s.redis.socket }, 'CLIENT', 'KILL', 'TYPE', rng.pick(['normal', 'pubsub'])).catch(() => {});
  },
};
const ODDS = ['kill', 'kill', 'kill', 'kill', 'replace', 'replace', 'stop', 'stall', 'pause', 'cut', 'cut'];

class System {
  async start(dir, windowMs) {
    this.redis = await new Redis(dir, { durable: false }).start();
    const file = path.join(dir, 'pollux.conf');
    fs.writeFileSync(file, config(this.redis, windowMs));
    Object.assign(this, await startFcgi(dir, file, { workers: WORKERS }));
    this.stopped = new Set();
    this.later = [];
    this.counts = {};
    return this;
  }

  workers() {
    return children(this.program.pid);
  }

  /** Goes on by itself: the storm does not wait. */
  stopFor(pid, ms) {
    signal(pid, 'SIGSTOP');
    this.later.push(sleep(ms).then(() => signal(pid, 'SIGCONT')));
  }

  async rage(rng) {
    while (!this.calm) {
      await sleep(rng.between(200, 900));
      const what = rng.pick(ODDS);
      if (this.calm || this.workers().length === 0) continue;
      this.counts[what] = (this.counts[what] ?? 0) + 1;
      await blows[what](this, rng);
    }
    await Promise.all(this.later);
  }

  async stop() {
    this.calm = true;
    await Promise.all(this.later ?? []);
    await this.program?.stop();
    await this.redis?.stop();
  }
}

async function readLogs(redis, sessions) {
  const topics = [...new Set(sessions.flatMap((s) => s.topics))];
  return new Map(await Promise.all(topics.map(async (t) => [t, await readLog(redis, t)])));
}

function report(system, sessions, book, seconds) {
  const sum = (k) => sessions.reduce((n, s) => n + s.stats[k], 0);
  console.log(`seed ${SEED}, ${seconds} s: ${book.messages.size} messages pushed, ${sum('messages')} delivered in ${sum('polls')} polls; ${sum('posts')} POSTs; `
    + `${sum('repeated')} requests repeated, ${sum('lost')} answers lost, ${sum('twice')} sent twice; ${JSON.stringify(system.counts)}`);
}

async function finish(sessions, book) {
  const words = await lastWords(sessions);
  let why;
  try {
    await until('everybody to finish', () => {
      why = sessions.map((s) => s.unfinished() && `session ${s.name}: ${s.unfinished()}`).find(Boolean) ?? missingWords(sessions, words, book);
      return !why;
    }, 30000 * SLOW, 200);
  } catch (e) {
    throw new Error(`${e.message}: ${why}`);
  }
}

async function weather(system, sessions, book, { raging, seconds }) {
  const rage = raging ? system.rage(random(SEED)) : null;
  await Promise.all(sessions.map((s) => s.start()));
  await sleep(seconds * 1000);
  system.calm = true;
  await rage;
  await Promise.all(sessions.map((s) => s.settle()));
  await finish(sessions, book);
}

async function run({ raging, seconds, windowMs, requestMs, topics }, check = () => {}) {
  const dir = tempDir('storm');
  const system = new System();
  const book = new Book();
  let sessions = [];
  try {
    await system.start(dir, windowMs);
    sessions = Array.from({ length: SESSIONS }, (_, i) => new StormSession(`s${i}`, { where: system.where, mount: '/s', topics: topics(i), book, rng: random(SEED + 1 + i), gentle: !raging, requestMs }));
    await weather(system, sessions, book, { raging, seconds }).catch((e) => book.complain({ name: '-' }, e.message));
    report(system, sessions, book, seconds);
    audit(sessions, await readLogs(system.redis, sessions), book);
    assert.deepEqual(book.wrong, []);
    assert.doesNotMatch(system.program.text, /signal (6|11) |Sanitizer|runtime error/);
    check(sessions);
    assert.ok(book.messages.size > seconds * SESSIONS, `${book.messages.size} messages: too few to prove anything`);
  } catch (e) {
    console.error(`--- seed ${SEED}; log of pollux-fcgi ---\n${system.program?.text.split('\n').slice(-40).join('\n')}\n---`);
    throw e;
  } finally {
    system.calm = true;
    for (const s of sessions) s.running = false;
    await Promise.all(sessions.map((s) => s.stop()));
    await system.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

test(`a storm (seed ${SEED})`, { timeout: (SECONDS + 90) * 1000 * SLOW }, () => run({ raging: true, seconds: SECONDS, windowMs: 1000, requestMs: 4000, topics: () => SHARED }));

// Nobody dies, nobody repeats anything, nobody else's messages come by: whatever takes longer than a
// moment has waited for a window's end because nobody woke its poll.
test('in fair weather nothing waits for the end of a window', { timeout: 60000 * SLOW }, () => {
  const alone = { raging: false, seconds: 5, windowMs: 15000, requestMs: 20000, topics: (i) => [`room:of${i}`, `others:of${i}`] };
  return run(alone, (sessions) => {
    const slowest = sessions.map((s) => s.slowest).reduce((a, b) => (b.ms > a.ms ? b : a));
    assert.ok(slowest.ms < 3000 * SLOW, `${slowest.what} took ${slowest.ms} ms`);
    assert.equal(sessions.reduce((n, s) => n + s.stats.repeated, 0), 0, 'no request failed');
  });
});
