// What a channel module in C has, on both transports and with one worker and three: intercepted
// events judged for each subscriber, timers, messages between channels, stops and crashes from
// handle_info, broadcasts in terminate, connect and id.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { signal } from '../lib/proc.mjs';
import { BUILD, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

const MODULE = `${BUILD}/modules/arena.so`;
const CONFIG = `
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
socket "/socket" {
    module = "${MODULE}"
    longpoll { window_ms = 2000 }
    check_origin = { "any" }
    channel "arena:*"   { backend = "module" path = "${MODULE}" }
    channel "kept:*"    { backend = "module" path = "${MODULE}" history { size = 50 } }
    channel "latest:*"  { backend = "module" path = "${MODULE}" latest { ttl_s = 60 } }
    channel "relay:*"   { backend = "relay" reply = true }
}
api { path = "/api" keys = { "test-api-key-0123456789" } }
`;

const EVENTS = ['score', 'card', 'hidden', 'bomb', 'plain', 'tick', 'told', 'welcome', 'stop', 'cast', 'gone', 'later', 'first', 'second'];

let stack;
let pages = [];
let names = 0;
const topicOf = (what = 'arena') => `${what}:${++names}`;

/** A player: a socket, one channel of it, and what it was sent: [event, payload]. */
async function player(transport, topic, params = {}, { who = `p${++names}`, since } = {}) {
  const p = page('phoenix-1.8');
  pages.push(p);
  const socket = p.connect(`${stack.url.replace('http', 'ws')}/socket`, { transport, params: { who } });
  const channel = socket.channel(topic, since ? { ...params, since } : params);
  const me = { who, socket, channel, got: [], ended: [] };
  for (const e of EVENTS) channel.on(e, (payload, ref) => me.got.push([e, payload, ref]));
  channel.onError((reason) => me.ended.push(['error', reason?.reason]));
  channel.onClose(() => me.ended.push(['close']));
  me.joined = await answer(channel.join());
  me.push = (event, payload = {}) => answer(channel.push(event, payload, 10000 * SLOW));
  me.saw = (event) => me.got.filter(([e]) => e === event).map(([, payload]) => payload);
  me.wait = (event, n = 1) => until(`${who} (${transport}) to see ${n} ${event}, saw ${JSON.stringify(me.got)}`,
    () => me.saw(event).length >= n && me.saw(event), 10000 * SLOW);
  return me;
}

function suite(fcgi, ws) {
  before(async () => {
    stack = await startStack({ config: { text: CONFIG }, fcgi, ws });
  });
  after(async () => {
    for (const p of pages) p.close();
    pages = [];
    await stack.stop();
  });
}

const transports = ['websocket', 'longpoll'];

function tests(fcgi) {
  for (const transport of transports) {
    const other = transports.find((t) => t !== transport);

    test(`${transport}: each subscriber sees what handle_out lets through`, async () => {
      const topic = topicOf();
      const low = await player(transport, topic, { name: 'low' });
      const high = await player(transport, topic, { name: 'high', min: 5 });
      const far = await player(other, topic, { name: 'far', min: 3 });
      for (const n of [1, 7, 4, 9]) await low.push('score', { n });
      await low.push('card', { for: 'high', card: 'ace' });
      await low.push('plain', { last: true });
      for (const p of [low, high, far]) await p.wait('plain');
      assert.deepEqual(low.saw('score').map((s) => s.n), [1, 7, 4, 9]);
      assert.deepEqual(high.saw('score').map((s) => s.n), [7, 9]);
      assert.deepEqual(far.saw('score').map((s) => s.n), [7, 4, 9]);
      assert.deepEqual(high.saw('card'), [{ for: 'high', card: 'ace' }]);
      for (const p of [low, far]) {
        assert.deepEqual(p.saw('card'), [], 'a card for somebody else');
        assert.deepEqual(p.saw('hidden'), [{}]);
      }
      for (const p of [low, high, far]) assert.equal(p.got.at(-1)[0], 'plain', 'in order');
      // A reply follows the broadcast of its push also when the pusher is not shown it.
      await high.push('score', { n: 1 });
      // What is published from outside is judged, too, and by what the channel knows then.
      await high.push('keep', { min: 100 });
      await stack.api.publish(topic, 'score', { n: 50 });
      await stack.api.publish(topic, 'plain', {});
      for (const p of [low, high, far]) await p.wait('plain', 2);
      assert.deepEqual(high.saw('score').map((s) => s.n), [7, 9]);
      assert.deepEqual(low.saw('score').map((s) => s.n), [1, 7, 4, 9, 1, 50]);
    });

    test(`${transport}: a crash in handle_out ends that channel alone`, async () => {
      const topic = topicOf();
      const brittle = await player(transport, topic, { name: 'brittle', fragile: true });
      const firm = await player(transport, topic, { name: 'firm' });
      await firm.push('bomb');
      await until('the crash', () => brittle.ended.length > 0, 10000 * SLOW);
      assert.deepEqual(brittle.ended[0], ['error', 'channel_crash']);
      assert.deepEqual(brittle.saw('bomb'), []);
      await firm.wait('bomb');
      assert.deepEqual(firm.ended, []);
    });

    test(`${transport}: what comes again by history and latest is judged as well`, async () => {
      const topic = topicOf('kept');
      const first = await player(transport, topic, { name: 'first' });
      const { position } = first.joined;
      await first.push('score', { n: 1 });
      await first.push('score', { n: 9 });
      await first.push('card', { for: 'late', card: 'king' });
      const late = await player(transport, topic, { name: 'late', min: 5 }, { since: position });
      assert.equal(late.joined.recovered, true);
      await late.wait('card');
      assert.deepEqual(late.got.map(([e, p]) => [e, p]), [['score', { n: 9 }], ['card', { for: 'late', card: 'king' }]]);
      for (const [, , ref] of late.got) assert.match(ref, /^[\w-]+:\d+$/, 'a position');
      const nosy = await player(transport, topic, { name: 'nosy' }, { since: position });
      await nosy.wait('hidden');
      assert.match(nosy.got.at(-1)[2], /^[\w-]+:\d+$/, 'also what was put in its place has one');

      const now = topicOf('latest');
      await stack.api.publish(now, 'score', { n: 2 });
      await stack.api.publish(now, 'card', { for: 'x', card: 'queen' });
      const joiner = await player(transport, now, { name: 'y', min: 5 });
      await joiner.wait('hidden');
      assert.deepEqual(joiner.got.map(([e]) => e), ['hidden']);
    });

    test(`${transport}: timers come, come again, and can be cancelled`, async () => {
      const p = await player(transport, topicOf(), { name: 'ticker', welcome: true });
      await p.wait('welcome');
      const begun = Date.now();
      await p.push('after', { name: 'tick', ms: 100, times: 5 });
      await p.push('after', { name: 'later', ms: 300000 });
      await p.push('cancel', { name: 'later' });
      await assert.rejects(p.push('cancel', { name: 'later' }), /error/);
      await p.wait('tick', 5);
      const took = Date.now() - begun;
      assert.deepEqual(p.saw('tick').map((t) => t.n), [1, 2, 3, 4, 5]);
      assert.ok(took >= 490, `five times 100 ms took ${took} ms`);
      console.log(`${transport}, ${fcgi} workers: five timers of 100 ms, one after the other: ${took} ms`);
      // Replaced long before it is due, however slow this machine is.
      await p.push('after', { name: 'second', ms: 2500, was: 'old' });
      await p.push('after', { name: 'second', ms: 500, was: 'new' });
      await p.push('after', { name: 'first', ms: 10 });
      await p.wait('second');
      await p.wait('first');
      await sleep(2500);
      assert.deepEqual(p.saw('second').map((s) => s.was), ['new']);
      assert.equal(p.saw('first').length, 1);
      assert.equal(p.saw('later').length, 0);
      for (let i = 0; i < 16; i++) await p.push('after', { name: `t${i}`, ms: 60000 });
      await assert.rejects(p.push('after', { name: 'one more', ms: 60000 }), /error/);
    });

    test(`${transport}: timers end with the membership`, async () => {
      const topic = topicOf();
      const watcher = await player(other, topic, { name: 'watcher' });
      const p = await player(transport, topic, { name: 'leaver' });
      await p.push('after', { name: 'cast', ms: 2000 });
      await answer(p.channel.leave());
      assert.deepEqual((await watcher.wait('gone'))[0], { name: 'leaver', reason: 0 });
      await sleep(2500);
      assert.deepEqual(watcher.saw('cast'), []);
    });

    test(`${transport}: a timer stops its channel, another crashes it`, async () => {
      const p = await player(transport, topicOf(), { name: 'short' });
      await p.push('after', { name: 'stop', ms: 50 });
      await until('the close', () => p.ended.length > 0, 10000 * SLOW);
      assert.deepEqual(p.ended, [['close']]);
      assert.equal(p.saw('stop').length, 1, 'what it said before');
      const topic = topicOf();
      const q = await player(transport, topic, { name: 'shorter' });
      const neighbour = q.socket.channel('relay:beside', {});
      await answer(neighbour.join());
      await q.push('after', { name: 'crash', ms: 50 });
      await until('the crash', () => q.ended.length > 0, 10000 * SLOW);
      assert.deepEqual(q.ended[0], ['error', 'channel_crash']);
      await answer(neighbour.push('still', {}, 10000 * SLOW));
      await until('it to have joined again', () => q.channel.state === 'joined', 15000 * SLOW);
    });

    test(`${transport}: a stop with an error reply`, async () => {
      const p = await player(transport, topicOf());
      await assert.rejects(p.push('end', { why: 'enough' }), /enough/);
      await until('the close', () => p.ended.length > 0, 10000 * SLOW);
      assert.deepEqual(p.ended, [['close']]);
    });

    test(`${transport}: messages reach the channels of a socket id on either transport`, async () => {
      const topic = topicOf();
      const sender = await player(transport, topic, { name: 'sender' });
      const near = await player(transport, topic, { name: 'near' }, { who: `both${names}` });
      const far = await player(other, topic, { name: 'far' }, { who: near.who });
      const bystander = await player(other, topic, { name: 'bystander' });
      for (let n = 1; n <= 3; n++) await sender.push('tell', { id: `player:${near.who}`, n });
      await sender.push('tell', { id: 'player:nobody', n: 9 });
      for (const p of [near, far]) {
        await p.wait('told', 3);
        assert.deepEqual(p.saw('told').map((m) => m.n), [1, 2, 3]);
      }
      await sender.push('tell', { id: `player:${near.who}`, name: 'cast', n: 4 });
      await bystander.wait('cast', 2);
      assert.deepEqual(bystander.saw('told'), []);
      await assert.rejects(sender.push('tell', { id: '', n: 1 }), /error/);
    });

    test(`${transport}: connect gives claims and an id, or refuses`, async () => {
      const p = await player(transport, topicOf(), {}, { who: `ann${++names}` });
      const who = await p.push('whoami');
      assert.equal(who.id, `player:${p.who}`);
      assert.equal(who.claims.who, p.who);
      assert.equal(who.claims.by, transport);
      assert.match(who.claims.ip, /^127\./);
      assert.equal(await stack.api.disconnect(`player:${p.who}`), 1);
      const r = await request(`${stack.url}/socket/${transport}?vsn=2.0.0&who=mallory`);
      assert.equal(transport === 'longpoll' ? r.json.status : r.status, 403);
      const line = /connect from 127\.\S+ refused: by the module: nobody is called that/;
      await until('the reason in the log', () => line.test(stack.log.text), 5000 * SLOW);
    });
  }

  test('websocket: terminate is called for whom a dead worker had, and tells the others', { timeout: 60000 * SLOW }, async () => {
    const topic = topicOf();
    const watcher = await player('longpoll', topic, { name: 'watcher' });
    const p = await player('websocket', topic, { name: 'victim' });
    await p.push('after', { name: 'cast', ms: 30000 });
    for (const pid of stack.workers('ws')) signal(pid, 'SIGKILL');
    assert.deepEqual((await until('the word of its end', () => watcher.saw('gone').length > 0 && watcher.saw('gone'), 30000 * SLOW))[0],
      { name: 'victim', reason: 1 });
  });

  test('longpoll: a timer fires between two polls', async () => {
    const c = new LongPollClient(`${stack.url}/socket/longpoll`, { params: { who: 'idle' }, requestMs: 5000 });
    const seen = [];
    c.onMessage = (m) => seen.push(m);
    await c.open();
    const topic = topicOf();
    const watcher = await player('websocket', topic);
    await c.send([c.message(topic, 'phx_join', {}), c.message(topic, 'after', { name: 'tick', ms: 200, times: 3 }),
      c.message(topic, 'after', { name: 'cast', ms: 1000 })]);
    await watcher.wait('cast'); // nobody has polled so far
    c.start();
    await until('all of them', () => seen.filter((m) => m[3] === 'tick').length === 3, 5000 * SLOW);
    assert.deepEqual(seen.filter((m) => m[3] === 'tick').map((m) => m[4].n), [1, 2, 3]);
    await c.stop();
    assert.deepEqual(c.trouble, []);
  });

  test('longpoll: timers go on when Redis has stood still', { timeout: 60000 * SLOW }, async () => {
    const c = new LongPollClient(`${stack.url}/socket/longpoll`, { params: { who: 'patient' } });
    const ticks = [];
    c.onMessage = (m) => m[3] === 'tick' && ticks.push(m[4].n);
    await c.open();
    c.start();
    await c.send([c.message(topicOf(), 'phx_join', {}), c.message(`arena:${names}`, 'after', { name: 'tick', ms: 100, times: 10 })]);
    await until('the first of them', () => ticks.length >= 2, 10000 * SLOW);
    process.kill(stack.pid('redis'), 'SIGSTOP');
    await sleep(2000);
    process.kill(stack.pid('redis'), 'SIGCONT');
    await until('all of them', () => ticks.length >= 10, 30000 * SLOW);
    await sleep(300);
    await c.stop();
    assert.deepEqual(ticks, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'each once, in order');
    assert.deepEqual(c.trouble, []);
  });

  test('longpoll: timers and their effects survive the death of workers', { timeout: 90000 * SLOW }, async () => {
    const clients = [];
    const topic = topicOf();
    for (let i = 0; i < 6; i++) {
      const c = new LongPollClient(`${stack.url}/socket/longpoll`, { params: { who: `tough${i}` } });
      c.ticks = [];
      c.onMessage = (m) => m[3] === 'tick' && c.ticks.push(m[4].n);
      await c.open();
      c.start();
      await c.send([c.message(topic, 'phx_join', {}), c.message(topic, 'after', { name: 'tick', ms: 150, times: 20 })]);
      clients.push(c);
    }
    for (let kills = 0; kills < 4; kills++) {
      await sleep(400);
      const [pid] = stack.workers('fcgi');
      if (pid) signal(pid, 'SIGKILL');
    }
    await until('every tick of everybody', () => clients.every((c) => c.ticks.length >= 20), 60000 * SLOW);
    for (const c of clients) {
      await c.stop();
      assert.deepEqual(c.ticks, Array.from({ length: 20 }, (_, i) => i + 1), 'each once, in order');
      assert.deepEqual(c.trouble, []);
    }
  });
}

for (const [fcgi, ws] of [[1, 1], [3, 3]]) {
  describe(`${fcgi} and ${ws} workers`, () => {
    suite(fcgi, ws);
    tests(fcgi);
  });
}
