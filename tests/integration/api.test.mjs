// The server API over HTTP and the command line, as an application and an operator use it, with
// several workers of both kinds and real phoenix.js clients on both transports.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { published } from '../lib/people.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { bin, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const TRANSPORTS = ['websocket', 'longpoll'];
let stack;
let counter = 0;
const pages = [];
const fresh = (kind) => `${kind}:a${counter++}`;

/** A phoenix.js client that keeps what it gets. */
async function client(transport, user, topic, { version = 'phoenix-1.8', params = {} } = {}) {
  const p = page(version);
  pages.push(p);
  const socket = p.connect(`ws://127.0.0.1:${stack.port}/a`.replace('ws:', transport === 'websocket' ? 'ws:' : 'http:'), { transport, params: { user_id: user } });
  const c = { user, socket, got: [], closes: 0, errors: 0, joins: 0 };
  c.channel = socket.channel(topic, params);
  c.channel.on('m', (m) => c.got.push(m.n));
  c.channel.onClose(() => { c.closes++; });
  c.channel.onError(() => { c.errors++; });
  await answer(c.channel.join().receive('ok', () => { c.joins++; }));
  return c;
}

/** `pollux ARGS` with the stack's configuration: {status, out, err}. */
function pollux(args, { input = '' } = {}) {
  const child = spawn(bin('pollux'), ['--config', path.join(stack.state, 'pollux.conf'), ...args]);
  const r = { out: '', err: '' };
  child.stdout.on('data', (d) => { r.out += d; });
  child.stderr.on('data', (d) => { r.err += d; });
  child.stdin.on('error', () => {}); // it need not read it
  child.stdin.end(input);
  return new Promise((resolve) => child.once('close', (status) => resolve({ ...r, status, json: r.out ? JSON.parse(r.out) : undefined })));
}

const publish = (topic, from, to) => stack.api.call('POST', '/publish', Array.from({ length: to - from }, (_, i) => ({ topic, event: 'm', payload: { n: from + i } })));
const unsubscribe = async (id, topic) => {
  const r = await stack.api.call('POST', '/unsubscribe', { id, topic });
  assert.equal(r.status, 200, r.text);
  return r.json.channels;
};
const numbers = (n) => Array.from({ length: n }, (_, i) => i);

before(async () => {
  stack = await startStack({ config: 'api.conf', fcgi: 2, ws: 2 });
});
after(async () => {
  for (const p of pages) p.close();
  await stack?.stop();
});

describe('unsubscribe', { concurrency: 4 }, () => {
  test('the channel is closed on every socket of the id, on both transports, in order', TIMEOUT, async () => {
    const topic = fresh('lobby');
    const [user, other] = [`u${counter++}`, `u${counter++}`];
    const tabs = await Promise.all([...TRANSPORTS, ...TRANSPORTS].map((t) => client(t, user, topic)));
    const others = await Promise.all(TRANSPORTS.map((t) => client(t, other, topic)));
    await until('all to be present', async () => (await published(stack.api, topic))[user]?.metas.length === 4);
    await publish(topic, 0, 20);
    assert.equal(await unsubscribe(`user_socket:${user}`, topic), 4);
    await publish(topic, 20, 40);
    await until('the closes', () => tabs.every((c) => c.closes > 0), 8000 * SLOW);
    await until('the others to have all', () => others.every((c) => c.got.length === 40), 8000 * SLOW);
    // A rejoin would come after 1 s.
    await sleep(1500);
    for (const c of tabs) {
      assert.deepEqual(c.got, numbers(20));
      assert.equal(c.channel.state, 'closed');
      assert.deepEqual([c.closes, c.errors, c.joins], [1, 0, 1]);
      assert.ok(c.socket.isConnected(), 'the socket stays');
    }
    for (const c of others) assert.deepEqual([c.closes, c.got.length], [0, 40]);
    assert.deepEqual(Object.keys(await published(stack.api, topic)), [other]);
    assert.equal(await unsubscribe(`user_socket:${user}`, topic), 0, 'once more');
    // The socket goes on, and the topic may be joined again.
    for (const c of tabs) {
      const again = await join(c.socket, topic);
      assert.equal(again.state, 'joined');
    }
    assert.equal((await pollux(['unsubscribe', `user_socket:${user}`, topic])).json.channels, 4);
    await until('nobody but the other', async () => Object.keys(await published(stack.api, topic)).join() === other);
  });

  test('old phoenix.js does not come back either; other topics and ids are left alone', TIMEOUT, async () => {
    const [topic, elsewhere] = [fresh('room'), fresh('room')];
    const user = `u${counter++}`;
    const tabs = await Promise.all(TRANSPORTS.map((t) => client(t, user, topic, { version: 'phoenix-1.4' })));
    const stays = await Promise.all(TRANSPORTS.map((t) => client(t, user, elsewhere)));
    assert.equal(await unsubscribe(`user_socket:${user}`, topic), 2);
    assert.equal(await unsubscribe('user_socket:nobody', topic), 0);
    await until('the closes', () => tabs.every((c) => c.closes === 1), 8000 * SLOW);
    await publish(elsewhere, 0, 3);
    await until('what is published elsewhere', () => stays.every((c) => c.got.length === 3), 8000 * SLOW);
    await sleep(1500);
    for (const c of tabs) assert.deepEqual([c.closes, c.errors, c.joins], [1, 0, 1]);
  });

  test('from the command line, with a poll parked and none', TIMEOUT, async () => {
    const topic = fresh('room');
    const user = `u${counter++}`;
    const tabs = await Promise.all([...TRANSPORTS, 'longpoll'].map((t) => client(t, user, topic)));
    const r = await pollux(['unsubscribe', `user_socket:${user}`, topic]);
    assert.deepEqual([r.status, r.json], [0, { channels: 3 }], r.err);
    await until('the closes', () => tabs.every((c) => c.closes === 1), 8000 * SLOW);
    for (const [args, status, words] of [
      [['unsubscribe'], 2, /expected one ID and one TOPIC/],
      [['unsubscribe', 'a', 'b', 'c'], 2, /expected one ID/],
      [['unsubscribe', '--what', 'a', 'b'], 2, /unknown option/],
      [['unsubscribe', 'a', 'nowhere:1'], 1, /no socket has a channel/],
      [['unsubscribe', '', topic], 1, /"id" must be a string/],
    ]) {
      const wrong = await pollux(args);
      assert.deepEqual([wrong.status, wrong.out], [status, ''], wrong.err);
      assert.match(wrong.err, words);
    }
  });

  test('storms of publishing and unsubscribing: each client sees a prefix, in order', TIMEOUT, async () => {
    const topic = fresh('room');
    const tabs = await Promise.all(numbers(8).map((i) => client(TRANSPORTS[i % 2], `s${i}`, topic)));
    const storm = (async () => {
      for (let n = 0; n < 400; n += 10) await publish(topic, n, n + 10);
    })();
    for (let i = 0; i < 8; i++) assert.equal(await unsubscribe(`user_socket:s${i}`, topic), 1);
    await storm;
    await until('the closes', () => tabs.every((c) => c.closes === 1), 10000 * SLOW);
    for (const c of tabs) assert.deepEqual(c.got, numbers(c.got.length));
  });

  test('wrong requests', TIMEOUT, async () => {
    for (const [body, status, code] of [
      [{ id: 'a' }, 422, 'invalid_topic'], [{ topic: 'room:1' }, 422, 'invalid_id'],
      [{ id: 'a', topic: 'x:1' }, 404, 'unknown_topic'], [{ id: 1, topic: 'room:1' }, 422, 'invalid_id'],
      [{ id: 'a', topic: 'room:1', x: 1 }, 422, 'unknown_member'], [[], 422, 'invalid_body'],
      ['{', 400, 'invalid_json'], ['', 400, 'invalid_json'], [{ id: 'a'.repeat(1025), topic: 'room:1' }, 422, 'invalid_id'],
    ]) {
      const r = await stack.api.call('POST', '/unsubscribe', body);
      assert.deepEqual([r.status, r.json.error?.code], [status, code], r.text);
      assert.ok(r.json.error.message && r.json.error.hint, r.text);
    }
  });
});
