// Unmodified phoenix.js, old and new, on both transports and with its automatic fallback.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, batches, join, page, VERSIONS, versionOf } from '../lib/phoenix.mjs';
import { refuseWebSocket } from '../lib/refuse_ws.mjs';
import { SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until, within } from '../lib/wait.mjs';

const MESSAGES = 200;
const TIMEOUT = { timeout: 60000 * SLOW };
let stack;
let counter = 0;
const topic = (kind = 'room') => `${kind}:px${process.pid}x${counter++}`;

/** Runs `body` with pages that are closed afterwards whatever happens. */
async function withPages(names, body) {
  const pages = names.map(page);
  try {
    return await body(...pages);
  } catch (e) {
    stack.show(20);
    throw e;
  } finally {
    for (const p of pages) p.close();
  }
}

const url = () => `ws://127.0.0.1:${stack.port}/socket`;

/** Collects the payloads of an event. */
function collect(channel, event) {
  const got = [];
  channel.on(event, (payload) => got.push(payload));
  return got;
}

const numbers = (n) => Array.from({ length: n }, (_, i) => i);

async function conversation(name, transport) {
  await withPages([name, 'phoenix-1.8'], async (a, b) => {
    const room = topic();
    const one = await join(a.connect(url(), { transport }), room, { some: 'param' });
    const two = await join(b.connect(url(), { transport: 'websocket' }), room);
    const [atOne, atTwo] = [collect(one, 'msg'), collect(two, 'msg')];

    const payload = { n: 1.5, text: 'grüße 😀 "quoted" \\ </script>', list: [1, null, { deep: true }] };
    assert.deepEqual(await within('echo', 8000 * SLOW, answer(one.push('echo', payload))), payload);
    await assert.rejects(answer(one.push('fail', {})), /"reason":"no"/);

    one.push('msg', { from: 'one' });
    await until('broadcast at both', () => atOne.length === 1 && atTwo.length === 1, 8000 * SLOW);
    two.push('msg', { from: 'two' });
    await until('broadcast back', () => atOne.length === 2 && atTwo.length === 2, 8000 * SLOW);
    await stack.api.publish(room, 'msg', { from: 'server' });
    await until('the server\'s', () => atOne.length === 3 && atTwo.length === 3, 8000 * SLOW);
    assert.deepEqual(atOne, [{ from: 'one' }, { from: 'two' }, { from: 'server' }]);
    assert.deepEqual(atTwo, atOne);

    await within('leave', 8000 * SLOW, answer(one.leave()));
    two.push('msg', { from: 'two again' });
    await until('two alone', () => atTwo.length === 4, 8000 * SLOW);
    assert.equal(atOne.length, 3, 'nothing after leaving');

    const again = await join(one.socket, room);
    const atAgain = collect(again, 'msg');
    two.push('msg', { from: 'two' });
    await until('after rejoining', () => atAgain.length === 1, 8000 * SLOW);
  });
}

async function refusals(name, transport) {
  await withPages([name], async (a) => {
    const socket = a.connect(url(), { transport });
    await assert.rejects(join(socket, topic(), { deny: true }), /unauthorized/);
    await assert.rejects(join(socket, 'nowhere'), /unmatched topic/);
    // Both retry in the background; the socket is healthy.
    await join(socket, topic());
  });
}

async function rapid(name, transport) {
  await withPages([name, 'phoenix-1.8', 'phoenix-1.8'], async (a, b, c) => {
    const room = topic();
    const sender = await join(a.connect(url(), { transport }), room);
    const others = [await join(b.connect(url(), { transport: 'websocket' }), room), await join(c.connect(url(), { transport: 'longpoll' }), room)];
    const got = [sender, ...others].map((ch) => collect(ch, 'msg'));
    for (const n of numbers(MESSAGES)) sender.push('msg', { n });
    await until(`${MESSAGES} messages everywhere`, () => got.every((g) => g.length >= MESSAGES), 25000 * SLOW);
    await sleep(300); // a doubled one would come late
    for (const g of got) {
      const seen = g.map((p) => p.n);
      if (transport === 'websocket' || batches(name)) assert.deepEqual(seen, numbers(MESSAGES));
      else assert.deepEqual([...seen].sort((x, y) => x - y), numbers(MESSAGES));
    }
    for (const g of got) assert.deepEqual(g, got[0], 'everybody sees the same order');
  });
}

async function forced(name, transport) {
  await withPages([name], async (a) => {
    const user = `u${counter++}`;
    const room = topic();
    const socket = a.connect(url(), { transport, params: { user_id: user } });
    const channel = socket.channel(room, {});
    const states = [];
    socket.onOpen(() => states.push('open'));
    socket.onClose(() => states.push('close'));
    let joins = 0;
    const push = channel.join();
    push.receive('ok', () => joins++);
    await until('joined', () => joins === 1, 8000 * SLOW);
    const got = collect(channel, 'msg');
    await sleep(100); // a poll is parked
    assert.equal(await stack.api.disconnect(`user_socket:${user}`), 1);
    await until('rejoined', () => joins === 2, 15000 * SLOW);
    await stack.api.publish(room, 'msg', { n: 1 });
    await until('message after rejoining', () => got.length === 1, 8000 * SLOW);
    assert.ok(states.includes('close'), 'the page saw the disconnect');
  });
}

describe('phoenix.js', { concurrency: 3 }, () => {
  before(async () => {
    stack = await startStack({ fcgi: 3, ws: 2 });
  });
  after(() => stack?.stop());

  for (const name of VERSIONS)
    for (const transport of ['websocket', 'longpoll'])
      describe(`${versionOf(name)} ${transport}`, () => {
        test('join, push and reply, broadcast, leave, rejoin', TIMEOUT, () => conversation(name, transport));
        test('refused joins', TIMEOUT, () => refusals(name, transport));
        test(`${MESSAGES} rapid messages exactly once`, TIMEOUT, () => rapid(name, transport));
        test('forced disconnect and rejoin', TIMEOUT, () => forced(name, transport));
      });

  for (const name of ['phoenix-1.7', 'phoenix-1.8'])
    for (const mode of ['reset', '404'])
      test(`${versionOf(name)} falls back to long-poll (WebSocket: ${mode})`, TIMEOUT, async () => {
        const proxy = await refuseWebSocket(stack.front, mode);
        try {
          await withPages([name, 'phoenix-1.8'], async (a, b) => {
            const room = topic();
            const socket = a.connect(`ws://127.0.0.1:${proxy.port}/socket`, { longPollFallbackMs: 1500 });
            const one = await join(socket, room);
            assert.ok(proxy.refused() > 0, 'WebSocket was tried');
            const two = await join(b.connect(url(), { transport: 'websocket' }), room);
            const got = [collect(one, 'msg'), collect(two, 'msg')];
            for (const n of numbers(20)) one.push('msg', { n });
            for (const n of numbers(20)) two.push('msg', { n: n + 20 });
            await until('all messages', () => got.every((g) => g.length >= 40), 15000 * SLOW);
            assert.deepEqual(got[0], got[1]);
            assert.equal(new Set(got[0].map((p) => p.n)).size, 40);
          });
        } finally {
          proxy.close();
        }
      });

  test('every version in one room, each hears each once', { timeout: 90000 * SLOW }, async () => {
    const names = [...VERSIONS, ...VERSIONS];
    await withPages(names, async (...pages) => {
      const room = topic();
      const channels = await Promise.all(pages.map((p, i) => join(p.connect(url(), { transport: i < VERSIONS.length ? 'websocket' : 'longpoll' }), room)));
      const got = channels.map((ch) => collect(ch, 'msg'));
      for (const n of numbers(10)) for (const [i, ch] of channels.entries()) ch.push('msg', { i, n });
      const total = channels.length * 10;
      await until(`${total} messages at each`, () => got.every((g) => g.length >= total), 40000 * SLOW);
      await sleep(300);
      for (const g of got) assert.deepEqual(g, got[0]);
      assert.equal(got[0].length, total);
      assert.equal(new Set(got[0].map((p) => `${p.i}.${p.n}`)).size, total);
    });
  });

  test('a binary payload goes from V2 WebSocket to V2 WebSocket', TIMEOUT, async () => {
    await withPages(['phoenix-1.8', 'phoenix-1.6'], async (a, b) => {
      const room = topic();
      const one = await join(a.connect(url(), { transport: 'websocket' }), room);
      const two = await join(b.connect(url(), { transport: 'websocket' }), room);
      const got = collect(two, 'bin_cast');
      const bytes = new Uint8Array([0, 255, 1, 2]).buffer;
      one.push('bin_cast', bytes);
      await until('the bytes', () => got.length === 1, 8000 * SLOW);
      assert.deepEqual([...new Uint8Array(got[0])], [0, 255, 1, 2]);
    });
  });
});
