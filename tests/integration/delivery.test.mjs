// Promises 3 and 4 on WebSocket, and what a broadcast costs: order, no gaps, no doubles, also while
// connections to Redis or WebSocket workers are cut.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { join, page } from '../lib/phoenix.mjs';
import { listeners } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis } from '../lib/servers.mjs';
import { slowRedis } from '../lib/slow_redis.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

let stack;
let redis;
let counter = 0;
const TIMEOUT = { timeout: 60000 * SLOW };
const fresh = (kind = 'room') => `${kind}:d${counter++}`;
const open = () => openWs(stack.front, '/relay/websocket?vsn=2.0.0');
const say = (s, ...message) => s.send(JSON.stringify(message));

async function receive(s, ms = 5000 * SLOW) {
  const e = await s.next(ms);
  assert.equal(e?.type, 'text', JSON.stringify(e));
  return JSON.parse(e.text);
}

async function joined(topic) {
  const s = await open();
  say(s, '1', '1', topic, 'phx_join', {});
  assert.equal((await receive(s))[4].status, 'ok');
  return s;
}

/** Publishes 0, 1, 2 ... with keys until stopped; stop() resolves with how many. */
function publisher(topic, pauseMs) {
  let running = true;
  let n = 0;
  const loop = (async () => {
    while (running) {
      const r = await stack.api.call('POST', '/publish', { topic, event: 'm', payload: { n }, key: `${topic}-${n}` }).catch(() => null);
      if (r?.status === 200) n++;
      await sleep(pauseMs);
    }
  })();
  return async () => {
    running = false;
    await loop;
    return n;
  };
}

const upTo = (n, from = 0) => Array.from({ length: n - from }, (_, i) => from + i);

describe('delivery', { concurrency: 1 }, () => {
  before(async () => {
    stack = await startStack({ fcgi: 2, ws: 2 });
    [redis] = listeners(stack.pid('redis'));
    if (redis.port) redis.host = '127.0.0.1';
  });
  after(() => stack?.stop());

  test('nothing of a topic precedes its join reply; then everything, in order', TIMEOUT, async () => {
    const topic = fresh();
    const stop = publisher(topic, 1);
    try {
      for (let round = 0; round < 20; round++) {
        const s = await open();
        say(s, '1', '1', topic, 'phx_join', {});
        assert.equal((await receive(s))[3], 'phx_reply');
        const ns = [];
        for (let i = 0; i < 8; i++) ns.push((await receive(s))[4].n);
        assert.deepEqual(ns, upTo(ns[0] + 8, ns[0]));
        s.destroy();
      }
    } finally {
      await stop();
    }
  });

  test('a rejoin while messages flow loses none and doubles none', TIMEOUT, async () => {
    const topic = fresh();
    const s = await joined(topic);
    const stop = publisher(topic, 1);
    const got = [];
    let ref = 1;
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 5; i++) {
        const m = await receive(s);
        if (m[3] === 'm') got.push(m[4].n);
      }
      ref++;
      say(s, `${ref}`, `${ref}`, topic, 'phx_join', {});
    }
    const n = await stop();
    while (got.at(-1) !== n - 1) {
      const m = await receive(s);
      if (m[3] === 'm') got.push(m[4].n);
    }
    assert.deepEqual(got, upTo(n));
    s.destroy();
  });

  test('a reply follows the broadcast that its push caused', TIMEOUT, async () => {
    const topic = fresh('acked');
    const [a, b] = [await joined(topic), await joined(topic)];
    for (let n = 0; n < 50; n++) say(a, '1', `${n + 2}`, topic, 'said', { n });
    const seen = new Set();
    for (let i = 0; i < 100; i++) {
      const [, ref, , event, payload] = await receive(a);
      if (event === 'said') seen.add(payload.n);
      else assert.ok(seen.has(Number(ref) - 2), `reply ${ref} before its broadcast`);
    }
    for (let n = 0; n < 50; n++) assert.equal((await receive(b))[4].n, n);
    for (const s of [a, b]) s.destroy();
  });

  test('nothing follows phx_close; leave and join again starts anew', TIMEOUT, async () => {
    const topic = fresh();
    const s = await joined(topic);
    const stop = publisher(topic, 1);
    for (let i = 0; i < 5; i++) await receive(s);
    say(s, '1', '2', topic, 'phx_leave', {});
    let m;
    do m = await receive(s);
    while (m[3] !== 'phx_close');
    assert.equal(await s.next(300), null, 'silence after phx_close');
    await stop();
    s.destroy();
  });

  test('connections to Redis are cut again and again: every message arrives once, in order', TIMEOUT, async () => {
    const topic = fresh();
    const ws = [await joined(topic), await joined(topic), await joined(topic)];
    const lp = new LongPollClient(`${stack.url}/relay/longpoll`);
    lp.got = [];
    lp.onMessage = (m) => lp.got.push(m);
    await lp.open();
    await lp.send([lp.message(topic, 'phx_join', {})]);
    lp.start();
    await until('the join', () => lp.got.length === 1, 5000 * SLOW);
    const stop = publisher(topic, 20);
    for (let i = 0; i < 12; i++) {
      await sleep(400);
      await redisCommand(redis, 'CLIENT', 'KILL', 'TYPE', i % 3 === 2 ? 'normal' : 'pubsub');
    }
    const n = await stop();
    assert.ok(n > 30, `${n} messages`);
    for (const s of ws) {
      const got = [];
      while (got.length < n) got.push(await receive(s, 10000 * SLOW));
      assert.deepEqual(got.map((m) => [m[3], m[4].n]), upTo(n).map((i) => ['m', i]));
      assert.equal(await s.next(200), null);
      s.destroy();
    }
    await until('long-poll', () => lp.got.length > n, 10000 * SLOW);
    assert.deepEqual(lp.got.slice(1).map((m) => [m[3], m[4].n]), upTo(n).map((i) => ['m', i]));
    assert.deepEqual(lp.trouble, []);
    await lp.stop();
  });

  test('a message that was published while the subscription was down comes, though no other follows it', TIMEOUT, async () => {
    const topic = fresh();
    const members = [await joined(topic), await joined(topic), await joined(topic)];
    for (let n = 0; n < 15; n++) {
      await redisCommand(redis, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
      await stack.api.publish(topic, 'm', { n });
      for (const s of members) assert.equal((await receive(s, 8000 * SLOW))[4].n, n);
    }
    for (const s of members) s.destroy();
  });

  test('a gap that the log can not fill is told: phx_error, never silence', TIMEOUT, async () => {
    const topic = fresh();
    const s = await joined(topic);
    await stack.api.publish(topic, 'm', { n: 0 });
    assert.equal((await receive(s))[4].n, 0);
    // The workers stand still; meanwhile the subscriptions end, messages come, and the log is lost.
    const workers = stack.workers('ws');
    for (const pid of workers) process.kill(pid, 'SIGSTOP');
    await redisCommand(redis, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
    for (let n = 1; n < 4; n++) await stack.api.publish(topic, 'm', { n });
    await redisCommand(redis, 'DEL', `plx:{t:${topic}}:log`);
    for (const pid of workers) process.kill(pid, 'SIGCONT');
    assert.equal((await receive(s, 10000 * SLOW))[3], 'phx_error');
    say(s, '5', '5', topic, 'phx_join', {});
    assert.equal((await receive(s))[4].status, 'ok');
    await stack.api.publish(topic, 'm', { n: 9 });
    assert.equal((await receive(s))[4].n, 9);
    s.destroy();
  });

  test('a topic whose record is lost starts a new epoch: members are told, rejoin, and go on', TIMEOUT, async () => {
    const topic = fresh();
    const s = await joined(topic);
    for (let n = 0; n < 3; n++) await stack.api.publish(topic, 'm', { n });
    for (let n = 0; n < 3; n++) assert.equal((await receive(s))[4].n, n);
    await redisCommand(redis, 'DEL', `plx:{t:${topic}}:log`, `plx:{t:${topic}}:meta`);
    await stack.api.publish(topic, 'm', { n: 3 });
    const m = await receive(s, 10000 * SLOW);
    assert.ok(m[3] === 'phx_error' || (m[3] === 'm' && m[4].n === 3), JSON.stringify(m));
    if (m[3] === 'phx_error') {
      say(s, '5', '5', topic, 'phx_join', {});
      assert.equal((await receive(s))[4].status, 'ok');
    }
    await stack.api.publish(topic, 'm', { n: 4 });
    assert.equal((await receive(s))[4].n, 4);
    s.destroy();
  });

  test('the cost of a broadcast in Redis commands does not grow with its subscribers', TIMEOUT, async () => {
    const topic = fresh();
    const commands = async () => Number(/total_commands_processed:(\d+)/.exec(await redisCommand(redis, 'INFO', 'stats'))[1]);
    const cost = async () => {
      const before = await commands();
      for (let n = 0; n < 100; n++) await stack.api.publish(topic, 'm', { n });
      return (await commands()) - before;
    };
    const few = [await joined(topic)];
    const costOfFew = await cost();
    const many = [];
    for (let i = 0; i < 100; i++) many.push(await joined(topic));
    const costOfMany = await cost();
    console.log(`Redis commands for 100 broadcasts: ${costOfFew} with 1 subscriber, ${costOfMany} with 101`);
    assert.ok(costOfMany < costOfFew * 1.3 + 50, `${costOfFew} with 1 subscriber, ${costOfMany} with 101`);
    for (const s of [...few, ...many]) s.destroy();
  });

  test('WebSocket workers die: phoenix.js comes back, new connections are never refused', { timeout: 90000 * SLOW }, async () => {
    const topic = fresh();
    const p = page('phoenix-1.8');
    try {
      const channel = await join(p.connect(`ws://127.0.0.1:${stack.port}/relay`, { transport: 'websocket' }), topic);
      const got = [];
      channel.on('m', ({ n }) => got.push(n));
      let refused = 0;
      let opened = 0;
      let running = true;
      const direct = stack.address('ws');
      const connector = (async () => {
        while (running) {
          try {
            (await openWs(direct, '/relay/websocket?vsn=2.0.0')).destroy();
            opened++;
          } catch (e) {
            // A connection that the dead worker had already accepted is lost with it.
            if (e.code === 'ECONNREFUSED') refused++;
          }
        }
      })();
      for (let i = 0; i < 5; i++) {
        await sleep(400);
        const [pid] = stack.workers('ws');
        process.kill(pid, 'SIGKILL');
        await until('a successor', () => stack.workers('ws').length === 2 && !stack.workers('ws').includes(pid), 10000 * SLOW);
      }
      running = false;
      await connector;
      assert.equal(refused, 0, `${refused} refused, ${opened} opened`);
      assert.ok(opened > 20);
      await until('a message after it all', async () => {
        await stack.api.publish(topic, 'm', { n: 1 });
        return got.length > 0;
      }, 15000 * SLOW, 200);
    } finally {
      p.close();
    }
  });
});

/** Starts the system with slow lines to Redis; returns a function that stops everything. */
async function startSlow(lines) {
  const dir = tempDir('slow');
  const server = await new Redis(dir, { durable: false }).start();
  const proxy = await slowRedis({ path: server.socket }, lines);
  stack = await startStack({ fcgi: 3, ws: 2, args: ['--redis', proxy.url] });
  return async () => {
    await stack.stop();
    proxy.close();
    await server.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  };
}

describe('delivery when answers of Redis are slow for some workers, pub/sub is not', { concurrency: 1 }, () => {
  let stop;
  before(async () => {
    stop = await startSlow({ answers: [0, 10, 0, 0, 20] });
  });
  after(() => stop?.());

  test('POSTs of one session at once: none waits for a second because its note came before its answer', TIMEOUT, async () => {
    const url = `${stack.url}/relay/longpoll?vsn=2.0.0`;
    let late = [];
    for (let round = 0; round < 30; round++) {
      const { token } = (await request(url)).json;
      const post = (...message) => request(`${url}&token=${token}`, { method: 'POST', body: JSON.stringify(message) });
      const topic = fresh();
      await post('1', '1', topic, 'phx_join', {});
      const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => post('1', `${n + 2}`, topic, 'said', { n })));
      for (const a of answers) assert.deepEqual(a.json, { status: 200 });
      late = late.concat(answers.map((a) => a.ms).filter((ms) => ms > 900 * SLOW));
    }
    // A few of them may be this machine standing still.
    assert.ok(late.length <= 3, `of 180 took longer: ${late} ms`);
  });

  test('WebSocket: join reply first, then everything, in order; replies after their broadcasts', TIMEOUT, async () => {
    const topic = fresh('acked');
    const stop1 = publisher(topic, 5);
    const s = await joined(topic);
    for (let n = 0; n < 5; n++) say(s, '1', `${n + 2}`, topic, 'said', { n });
    const got = [];
    while (got.filter((m) => m[3] === 'phx_reply').length < 5) got.push(await receive(s));
    await stop1();
    const ms = got.filter((m) => m[3] === 'm').map((m) => m[4].n);
    assert.deepEqual(ms, upTo(ms[0] + ms.length, ms[0]));
    for (let n = 0; n < 5; n++)
      assert.ok(got.findIndex((m) => m[3] === 'said' && m[4].n === n) < got.findIndex((m) => m[1] === `${n + 2}`), `reply ${n + 2}`);
    s.destroy();
  });
});

describe('delivery when pub/sub is slow', { concurrency: 1 }, () => {
  const DELAY_MS = 250;
  let stop;
  before(async () => {
    stop = await startSlow({ subscriptions: DELAY_MS });
  });
  after(() => stop?.());

  async function longPoller(topic) {
    const lp = new LongPollClient(`${stack.url}/relay/longpoll`);
    lp.got = [];
    lp.onMessage = (m) => lp.got.push(m);
    await lp.open();
    await lp.send([lp.message(topic, 'phx_join', {})]);
    lp.start();
    await until('the join', () => lp.got.length === 1, 5000 * SLOW);
    return lp;
  }

  const order = (messages) => messages.map(([, ref, , event, payload]) => (event === 'phx_reply' ? `reply ${ref}` : `${event} ${payload.n ?? ''}`.trim()));

  test('WebSocket: a reply waits for the broadcasts of its push', TIMEOUT, async () => {
    const topic = fresh('acked');
    const s = await joined(topic);
    for (let n = 0; n < 3; n++) {
      say(s, '1', `${n + 2}`, topic, 'said', { n });
      assert.deepEqual(order([await receive(s), await receive(s)]), [`said ${n}`, `reply ${n + 2}`]);
    }
    // A reply of another topic, and a heartbeat, wait for nothing.
    say(s, '1', '9', topic, 'said', { n: 9 });
    say(s, null, 'h', 'phoenix', 'heartbeat', {});
    assert.equal((await receive(s))[1], 'h');
    assert.deepEqual(order([await receive(s), await receive(s)]), ['said 9', 'reply 9']);
    s.destroy();
  });

  test('WebSocket: leaving gives what this socket caused before, then phx_close, then nothing', TIMEOUT, async () => {
    const topic = fresh();
    const [a, b] = [await joined(topic), await joined(topic)];
    for (let n = 0; n < 3; n++) say(a, '1', null, topic, 'm', { n });
    say(a, '1', '2', topic, 'phx_leave', {});
    const got = [];
    while (!got.some((m) => m[3] === 'phx_close')) got.push(await receive(a));
    assert.deepEqual(order(got).filter((e) => e.startsWith('m ')), ['m 0', 'm 1', 'm 2']);
    assert.equal(got.at(-1)[3], 'phx_close');
    assert.equal(await a.next(DELAY_MS * 2), null);
    for (let n = 0; n < 3; n++) assert.equal((await receive(b))[4].n, n);
    for (const s of [a, b]) s.destroy();
  });

  test('WebSocket: who joins while messages flow gets the join reply, then all of them', TIMEOUT, async () => {
    const topic = fresh();
    const stop = publisher(topic, 5);
    try {
      for (let round = 0; round < 5; round++) {
        const s = await open();
        say(s, '1', '1', topic, 'phx_join', {});
        assert.equal((await receive(s))[3], 'phx_reply');
        const ns = [];
        for (let i = 0; i < 10; i++) ns.push((await receive(s))[4].n);
        assert.deepEqual(ns, upTo(ns[0] + 10, ns[0]));
        s.destroy();
      }
    } finally {
      await stop();
    }
  });

  test('WebSocket: what was published before the join reply was asked for does not come', TIMEOUT, async () => {
    const topic = fresh();
    await stack.api.publish(topic, 'm', { n: 'old' });
    const s = await joined(topic);
    assert.equal(await s.next(DELAY_MS * 2), null);
    await stack.api.publish(topic, 'm', { n: 'new' });
    assert.equal((await receive(s))[4].n, 'new');
    s.destroy();
  });

  test('long-poll: replies, broadcasts and phx_close in order', TIMEOUT, async () => {
    const topic = fresh('acked');
    const [a, b] = [await longPoller(topic), await longPoller(topic)];
    for (let n = 0; n < 3; n++) await a.send([a.message(topic, 'said', { n })]);
    await until('all', () => a.got.length === 7 && b.got.length === 4, 5000 * SLOW);
    for (let n = 0; n < 3; n++) assert.ok(order(a.got).indexOf(`said ${n}`) < order(a.got).indexOf(`reply ${n + 2}`), JSON.stringify(order(a.got)));
    assert.deepEqual(order(b.got).slice(1), ['said 0', 'said 1', 'said 2']);
    await stack.api.publish(topic, 'm', { n: 7 });
    await a.send([a.message(topic, 'phx_leave', {})]);
    await until('phx_close', () => a.got.some((m) => m[3] === 'phx_close'), 5000 * SLOW);
    assert.deepEqual(order(a.got).slice(7).filter((e) => !e.startsWith('reply')), ['m 7', 'phx_close']);
    for (const c of [a, b]) {
      assert.deepEqual(c.trouble, []);
      await c.stop();
    }
  });
});
