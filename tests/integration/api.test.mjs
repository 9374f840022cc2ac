// The server API over HTTP and the command line, as an application and an operator use it, with
// several workers of both kinds and real phoenix.js clients on both transports.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { HOOK_SECRET, HookApp } from '../lib/hook_app.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { published } from '../lib/people.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { bin, BUILD, configText, ROOT, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const SCRIPT_TIMEOUT = { timeout: 180000 * SLOW }; // workers leave their counts every 3 s
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

describe('unsubscribe', { concurrency: 1 }, () => {
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

  test('when no long-poll worker hears of it: done as soon as there is one again', TIMEOUT, async () => {
    const topic = fresh('room');
    const got = [];
    const c = new LongPollClient(`${stack.url}/a/longpoll`, { params: { user_id: 'alone' }, onMessage: (m) => got.push(m) });
    await c.open();
    await c.send([c.message(topic, 'phx_join', {})]);
    c.start();
    await until('the join', () => got.length === 1);
    const pids = stack.workers('fcgi');
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    const r = await pollux(['unsubscribe', 'user_socket:alone', topic]);
    assert.deepEqual([r.status, r.json], [0, { channels: 0 }], r.err);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('the close', () => got.length > 1, 25000 * SLOW);
    assert.deepEqual(got.slice(1), [['1', '1', topic, 'phx_close', {}]]);
    await c.stop();
    assert.deepEqual(c.trouble, []);
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

/** Prometheus text as {family: {type, samples: [{labels, value}]}}; whatever breaks its grammar throws. */
function readMetrics(text, open = false) {
  const families = {};
  const lines = text.split('\n');
  assert.equal(lines.pop(), '', 'ends with a newline');
  if (open) assert.equal(lines.pop(), '# EOF');
  let family;
  for (const line of lines) {
    const m = /^# (HELP|TYPE) (pollux_[a-z_]+) (.+)$/.exec(line);
    if (m) {
      if (m[1] === 'HELP') {
        assert.ok(!families[m[2]], `${m[2]} twice`);
        family = families[m[2]] = { name: m[2], samples: [] };
      } else {
        assert.equal(m[2], family.name);
        family.type = m[3];
        assert.match(m[3], /^(counter|gauge)$/);
        assert.equal(/_total$/.test(m[2]), m[3] === 'counter' && !open, line);
      }
      continue;
    }
    const sample = /^(pollux_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? ([0-9]+(?:\.[0-9]+)?)$/.exec(line);
    assert.ok(sample, `no sample: ${line}`);
    assert.equal(sample[1], family.name + (open && family.type === 'counter' ? '_total' : ''));
    const labels = Object.fromEntries([...(sample[2] ?? '').matchAll(/([a-z]+)="((?:[^"\\]|\\.)*)"/g)].map((l) => [l[1], l[2]]));
    family.samples.push({ labels, value: Number(sample[3]) });
  }
  return families;
}

const sum = (families, name) => families[name].samples.reduce((n, s) => n + s.value, 0);

async function metrics(headers = {}) {
  const r = await stack.api.call('GET', '/metrics', undefined, { headers });
  assert.equal(r.status, 200, r.text);
  return { type: r.headers['content-type'], families: readMetrics(r.text, /openmetrics/.test(r.headers['content-type'])) };
}

const SCRIPT = path.join(BUILD, 'share/publish.lua');
const INFO = path.join(ROOT, 'store/lua/public/info.lua');
const redisSocket = () => path.join(stack.state, 'run/redis.sock');

/** The script by the RESP client: the position, or the error's text. */
async function evalScript(...args) {
  try {
    const reply = await redisCommand({ path: redisSocket() }, 'EVAL', fs.readFileSync(SCRIPT, 'utf8'), 1, 'plx:rules', ...args);
    return reply.split('\r\n')[1];
  } catch (e) {
    return e.message.split('\r\n')[0];
  }
}

const PYTHON = `
import socket, sys
script = open(sys.argv[2]).read()
args = ["EVAL", script, "1", "plx:rules"] + sys.argv[3:]
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"*%d\\r\\n" % len(args) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(a.encode()), a.encode()) for a in args))
f = s.makefile("rb"); head = f.readline()
print((f.readline() if head[:1] == b"$" else head).decode().strip())
`;

describe('publishing', { concurrency: 4 }, () => {
  const httpPublish = async (topic, payload, key) => (await stack.api.call('POST', '/publish', { topic, event: 'm', payload, ...(key ? { key } : {}) })).json.position;
  const cliPublish = async (topic, payload, key) => (await pollux(['publish', topic, 'm', JSON.stringify(payload), ...(key ? ['--key', key] : [])])).json.position;
  const scriptPublish = (topic, payload, key) => evalScript(topic, 'm', JSON.stringify(payload), ...(key ? [key] : []));
  const WAYS = { httpPublish, cliPublish, scriptPublish };

  for (const [name, first] of Object.entries(WAYS)) {
    test(`a key of ${name} is known to all, for five minutes`, TIMEOUT, async () => {
      const topic = fresh('hist');
      const position = await first(topic, { n: 1 }, 'order-ä-1');
      for (const again of Object.values(WAYS)) assert.equal(await again(topic, { n: 2 }, 'order-ä-1'), position);
      const log = (await stack.api.call('GET', `/history?topic=${topic}`)).json.messages;
      assert.deepEqual(log.map((m) => m.payload), [{ n: 1 }]);
      const keys = (await redisCommand({ path: redisSocket() }, 'KEYS', `plx:{t:${topic}}:key:*`)).match(/plx:[^\r]+/g);
      assert.equal(keys.length, 1);
      const ttl = Number(/:(\d+)/.exec(await redisCommand({ path: redisSocket() }, 'TTL', keys[0]))[1]);
      assert.ok(ttl > 240 && ttl <= 300, `ttl ${ttl}`);
      // When that is over, the key is new again.
      await redisCommand({ path: redisSocket() }, 'PEXPIRE', keys[0], 1);
      await until('the key to expire', async () => /\$0|\*0/.test(await redisCommand({ path: redisSocket() }, 'KEYS', keys[0])));
      assert.notEqual(await first(topic, { n: 3 }, 'order-ä-1'), position);
      assert.notEqual(await first(fresh('hist'), { n: 4 }, 'order-ä-1'), position, 'another topic');
    });
  }

  test('the same key from everywhere at once publishes once; so it does in a batch', TIMEOUT, async () => {
    const topic = fresh('hist');
    const all = await Promise.all(numbers(24).map((i) => Object.values(WAYS)[i % 12 ? (i % 2) * 2 : 1](topic, { n: i }, 'same')));
    assert.equal(new Set(all).size, 1, all.join());
    const r = await stack.api.call('POST', '/publish', [1, 2, 3, 4].map((n) => ({ topic, event: 'm', payload: n, key: n < 4 ? 'batch' : 'other' })));
    assert.equal(r.status, 200);
    assert.deepEqual(r.json.map((x) => x.position === r.json[0].position), [true, true, true, false]);
    assert.equal((await stack.api.call('GET', `/history?topic=${topic}`)).json.messages.length, 3);
  });

  test('the script reaches clients on both transports, in order with the other ways', TIMEOUT, async () => {
    const topic = fresh('hist');
    const clients = await Promise.all(TRANSPORTS.map((t) => client(t, `u${counter++}`, topic)));
    const offsets = [];
    for (let n = 0; n < 24; n++) offsets.push(Number((await Object.values(WAYS)[n % 8 ? 2 * (n % 2) : 1](topic, { n })).split(':')[1]));
    assert.deepEqual(offsets, numbers(24).map((n) => n + 1));
    await until('all messages', () => clients.every((c) => c.got.length === 24), 8000 * SLOW);
    for (const c of clients) assert.deepEqual(c.got, numbers(24));
    // `latest` is kept by the script, too, and binary messages are delivered.
    const last = fresh('last');
    await evalScript(last, 'm', '{"n":7}');
    const late = await client('websocket', `u${counter++}`, last);
    await until('the last message', () => late.got.length === 1);
    assert.deepEqual(late.got, [7]);
    const raw = fresh('room');
    const binary = await client('websocket', `u${counter++}`, raw);
    const got = new Promise((resolve) => binary.channel.on('bin', resolve));
    await evalScript(raw, 'bin', 'abc', '', 'binary');
    assert.equal(Buffer.from(await got).toString(), 'abc');
  });

  test('the script from redis-cli and from Python', TIMEOUT, async () => {
    const topic = fresh('room');
    const c = await client('longpoll', `u${counter++}`, topic);
    const cli = spawnSync('redis-cli', ['-s', redisSocket(), '--eval', SCRIPT, 'plx:rules', ',', topic, 'm', '{"n":1}', 'k1'], { encoding: 'utf8' });
    assert.match(cli.stdout, /^"?[\w-]+:1"?\n$/, cli.stderr);
    const python = (...args) => spawnSync('python3', ['-c', PYTHON, redisSocket(), SCRIPT, ...args], { encoding: 'utf8' });
    assert.match(python(topic, 'm', '{"n":2}').stdout, /:2\n$/);
    assert.match(python(topic, 'm', '{"n":3}', 'k1').stdout, /:1\n$/);
    assert.match(python(topic, 'm', '{n:3}').stdout, /^-POLLUX invalid_json: /);
    assert.match(python('nowhere:1', 'm', '1').stdout, /^-POLLUX unknown_topic: /);
    await until('both messages', () => c.got.length === 2, 8000 * SLOW);
    assert.deepEqual(c.got, [1, 2]);
  });

  test('the script disconnects and unsubscribes, on both transports', TIMEOUT, async () => {
    const call = async (...args) => {
      try {
        const reply = await redisCommand({ path: redisSocket() }, 'EVAL', fs.readFileSync(path.join(ROOT, 'store/lua/public/control.lua'), 'utf8'), 1, 'plx:rules', ...args);
        return reply.split('\r\n')[1];
      } catch (e) {
        return e.message.split('\r\n')[0];
      }
    };
    const counted = async (list) => Number((await redisCommand({ path: redisSocket() }, 'BLPOP', list, '5')).split('\r\n')[4]);
    const topic = fresh('room');
    const user = `u${counter++}`;
    const tabs = await Promise.all(TRANSPORTS.map((t) => client(t, user, topic)));
    assert.equal(await counted(await call('unsubscribe', `user_socket:${user}`, topic)), 2);
    await until('the closes', () => tabs.every((c) => c.closes === 1), 8000 * SLOW);
    assert.equal(await counted(await call('unsubscribe', `user_socket:${user}`, topic)), 0, 'there are none any more');
    let lost = 0;
    for (const c of tabs) c.socket.onClose(() => lost++);
    assert.equal(await counted(await call('disconnect', `user_socket:${user}`)), 2);
    await until('both to be cut off', () => lost >= 2, 8000 * SLOW);
    for (const [args, words] of [
      [[], /invalid_verb/], [['shutdown', 'x'], /invalid_verb/], [['disconnect'], /invalid_id/], [['disconnect', ''], /invalid_id/],
      [['disconnect', 'x'.repeat(1025)], /invalid_id/], [['disconnect', 'a', 'b'], /invalid_topic/], [['unsubscribe', 'a'], /invalid_topic/],
    ]) assert.match(await call(...args), words);
  });

  test('publish - takes an object, an array, or lines', TIMEOUT, async () => {
    const topic = fresh('hist');
    const item = (n, more = {}) => JSON.stringify({ topic, event: 'm', payload: { n }, ...more });
    const one = await pollux(['publish', '-'], { input: item(0) });
    assert.equal(one.status, 0, one.err);
    assert.match(one.json.position, /:1$/);
    const many = await pollux(['publish', '-'], { input: `[${item(1)},${item(2)}]\n` });
    assert.deepEqual(many.json.map((x) => Number(x.position.split(':')[1])), [2, 3]);
    const lines = await pollux(['publish', '-'], { input: `${item(3)}\r\n\n${item(4, { key: 'k' })}\n${item(5, { key: 'k' })}\n` });
    assert.deepEqual(lines.json.map((x) => Number(x.position.split(':')[1])), [4, 5, 5]);
    const some = await pollux(['publish', '-'], { input: `${item(6)}\n${item(7, { topic: 'nowhere:1' })}\n` });
    assert.equal(some.status, 1);
    assert.equal(some.json[1].error.code, 'unknown_topic');
    const none = await pollux(['publish', '-'], { input: '' });
    assert.deepEqual([none.status, none.out.trim()], [0, '[]'], none.err);
    for (const [input, words] of [[`${item(1)}\n{`, /line 2 is no JSON object/], ['1\n2', /line 1 is no JSON object/]]) {
      const r = await pollux(['publish', '-'], { input });
      assert.deepEqual([r.status, r.out], [2, '']);
      assert.match(r.err, words);
    }
    const log = (await stack.api.call('GET', `/history?topic=${topic}`)).json.messages;
    assert.deepEqual(log.map((m) => m.payload.n), [0, 1, 2, 3, 4, 6]);
  });

  test('every error of the API says what to do', TIMEOUT, async () => {
    const call = (...args) => stack.api.call(...args);
    for (const [what, status, code] of [
      [call('POST', '/publish', '{', {}), 400, 'invalid_json'],
      [call('POST', '/publish', {}, { headers: { Authorization: 'Bearer no' } }), 401, 'unauthorized'],
      [call('POST', '/publish', {}, { headers: { Authorization: '' } }), 401, 'unauthorized'],
      [call('POST', '/nothing', {}), 404, 'unknown_path'],
      [call('GET', '/publish'), 405, 'wrong_method'],
      [call('DELETE', '/health'), 405, 'wrong_method'],
      [call('POST', '/publish', Buffer.alloc(1100000, 32)), 413, 'too_large'],
      [call('POST', '/publish', {}), 422, 'invalid_topic'],
      [call('POST', '/publish', { topic: 'room:1', event: 'e', payload_base64: '*' }), 422, 'invalid_payload'],
      [call('GET', '/history?topic=room:1'), 422, 'no_history'],
      [call('GET', '/history?topic=hist:1&since=x:9'), 410, 'gone'],
      [call('GET', '/history?topic=hist:1&limit=0'), 422, 'invalid_limit'],
      [call('GET', '/presence?topic=%ff'), 400, 'invalid_query'],
    ]) {
      const r = await what;
      assert.deepEqual([r.status, r.json?.error?.code], [status, code], r.text);
      for (const member of ['message', 'hint']) assert.ok(r.json.error[member]?.length > 5, r.text);
      if (status === 405) assert.match(r.headers.allow, /^(POST|GET, HEAD), OPTIONS$/);
    }
    const second = await call('GET', '/health', undefined, { headers: { Authorization: '', 'X-Pollux-Key': 'second-key-0123456789ab' } });
    assert.equal(second.status, 200);
    const options = await call('OPTIONS', '/publish');
    assert.deepEqual([options.status, options.headers.allow], [204, 'POST, OPTIONS']);
  });
});

describe('info and metrics', { concurrency: 1 }, () => {
  test('info tells what runs on all workers, and no secret', TIMEOUT, async () => {
    const topic = fresh('room');
    const before = (await stack.api.call('GET', '/info')).json;
    const c = await Promise.all(TRANSPORTS.map((t) => client(t, `u${counter++}`, topic)));
    let info;
    await until('both sockets to be counted', async () => {
      const r = await stack.api.call('GET', '/info');
      assert.equal(r.status, 200, r.text);
      info = r.json;
      return info.workers.length === 4 && info.sockets.websocket === before.sockets.websocket + 1 && info.sockets.longpoll >= before.sockets.longpoll + 1
        && info.channels.websocket > before.channels.websocket && info.polls_waiting >= 1;
    }, 5000 * SLOW);
    assert.match(info.version, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(info.workers.map((w) => w.kind), ['longpoll', 'longpoll', 'websocket', 'websocket']);
    assert.deepEqual(info.workers.map((w) => w.pid).sort(), [...stack.workers('fcgi'), ...stack.workers('ws')].sort());
    assert.ok(info.workers.every((w) => w.memory_bytes > 1e6 && w.version === info.version));
    assert.equal(new Set(info.workers.map((w) => w.worker)).size, 4);
    assert.equal(info.workers_silent, 0);
    assert.match(info.redis.version, /^[\d.]+$/);
    assert.ok(info.redis.memory_bytes > 100000 && info.redis.clients >= 8);
    assert.deepEqual([info.redis.maxmemory_policy, info.redis.warning], ['noeviction', undefined]);
    assert.deepEqual(info.config.sockets.map((s) => s.path), ['/a']);
    assert.ok(!JSON.stringify(info).includes('integration-tests-only') && !JSON.stringify(info).includes('test-api-key'));
    const about = async (query) => (await stack.api.call('GET', `/info?${query}`)).json.about;
    assert.deepEqual(await about(`topic=${encodeURIComponent(topic)}`), { topic, websocket: 1, longpoll: 1 });
    assert.deepEqual(await about(`topic=${topic}0`), { topic: `${topic}0`, websocket: 0, longpoll: 0 });
    assert.deepEqual(await about(`id=user_socket:${c[0].user}`), { id: `user_socket:${c[0].user}`, websocket: 1, longpoll: 0 });
    assert.deepEqual(await about(`id=user_socket:${c[1].user}`), { id: `user_socket:${c[1].user}`, websocket: 0, longpoll: 1 });
    assert.equal(await about(''), undefined);
    for (const [query, code] of [['topic=', 'invalid_topic'], ['id=', 'invalid_id'], ['x=1', 'unknown_member'], ['id=1&topic=1', 'invalid_query']]) {
      const r = await stack.api.call('GET', `/info?${query}`);
      assert.deepEqual([r.status, r.json.error?.code], [422, code], r.text);
    }
    assert.deepEqual((await pollux(['info', '--topic', topic])).json.about, { topic, websocket: 1, longpoll: 1 });
    const cli = await pollux(['info']);
    assert.equal(cli.status, 0, cli.err);
    assert.deepEqual(cli.json.workers.map((w) => w.worker), info.workers.map((w) => w.worker));
    assert.equal((await pollux(['info', 'x'])).status, 2);
    for (const x of c) x.socket.disconnect();
  });

  test('a scrape has all workers, in both formats', TIMEOUT, async () => {
    const topic = fresh('room');
    const [ws, lp] = await Promise.all(TRANSPORTS.map((t) => client(t, `u${counter++}`, topic)));
    const one = await metrics();
    assert.equal(one.type, 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(one.families.pollux_redis_up.samples[0].value, 1);
    assert.equal(one.families.pollux_worker.samples.length, 4);
    for (const s of one.families.pollux_joins_total.samples) assert.deepEqual(Object.keys(s.labels), ['kind', 'worker']);
    for (let n = 0; n < 3; n++) ws.channel.push('m', { n });
    for (let n = 3; n < 5; n++) lp.channel.push('m', { n });
    await until('all messages', () => ws.got.length === 5 && lp.got.length === 5);
    const two = await metrics({ Accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5' });
    assert.equal(two.type, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    const grown = (name) => sum(two.families, name) - sum(one.families, `${name}_total`);
    assert.equal(grown('pollux_pushes'), 5);
    assert.equal(grown('pollux_broadcasts'), 5);
    assert.ok(grown('pollux_api_requests') >= 1);
    assert.ok(sum(two.families, 'pollux_cpu_seconds') > 0);
    assert.ok(sum(two.families, 'pollux_longpoll_sessions') >= 1);
    const head = await stack.api.call('HEAD', '/metrics');
    assert.deepEqual([head.status, head.text], [200, '']);
    const denied = await stack.api.call('GET', '/metrics', undefined, { headers: { Authorization: 'Bearer wrong' } });
    assert.equal(denied.status, 401);
    assert.equal(sum((await metrics()).families, 'pollux_api_unauthorized_total') - sum(two.families, 'pollux_api_unauthorized'), 1);
  });

  test('a worker that starts again is another series; one that stands still is told as silent', TIMEOUT, async () => {
    const names = async () => (await metrics()).families.pollux_worker.samples.filter((s) => s.labels.kind === 'websocket').map((s) => s.labels.worker);
    const before = await names();
    const [pid] = stack.workers('ws');
    process.kill(pid, 'SIGSTOP');
    try {
      const { families } = await metrics();
      assert.equal(families.pollux_workers_silent.samples[0].value, 1);
      assert.equal(families.pollux_worker.samples.length, 3);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    process.kill(pid, 'SIGKILL');
    await until('its successor', async () => (await names()).some((n) => !before.includes(n)), 10000 * SLOW, 100);
    assert.equal((await names()).filter((n) => before.includes(n)).length, 1);
  });

  /** What info.lua answers, or its error's text. */
  async function infoScript(...args) {
    try {
      const reply = await redisCommand({ path: redisSocket() }, 'EVAL_RO', fs.readFileSync(INFO, 'utf8'), 1, 'plx:rules', ...args);
      return JSON.parse(reply.split('\r\n')[1]);
    } catch (e) {
      return e.message.split('\r\n')[0];
    }
  }

  test('info.lua says what HTTP says, as far as it can know it', SCRIPT_TIMEOUT, async () => {
    const topic = fresh('lobby');
    const c = await Promise.all(TRANSPORTS.map((t) => client(t, `u${counter++}`, topic)));
    await until('both to be present', async () => Object.keys(await published(stack.api, topic)).length === 2);
    const position = await stack.api.publish(topic, 'm', { n: 1 });
    /** What both know, without what changes by the second. */
    const common = ({ version, redis, sockets, channels, polls_waiting: polls, workers }) => ({
      version, redis: [redis.status, redis.version, redis.memory_limit_bytes, redis.maxmemory_policy], sockets, channels, polls,
      workers: workers.map(({ uptime_s: a, memory_bytes: b, age_ms: d, hooks, ...w }) => w),
    });
    let script;
    let http;
    try {
      await until('both to agree', async () => {
        [script, { json: http }] = await Promise.all([infoScript('topic', topic), stack.api.call('GET', `/info?topic=${topic}`)]);
        return isDeepStrictEqual(common(script), common(http)) && script.channels.websocket > 0 && script.channels.longpoll > 0;
      }, 30000 * SLOW, 100);
    } catch (e) {
      assert.deepEqual(common(script), common(http), e.message);
      throw e;
    }
    assert.deepEqual(Object.keys(http).filter((name) => !(name in script)), ['config']);
    assert.deepEqual(Object.keys(script).filter((name) => !(name in http)), ['age_ms']);
    assert.deepEqual(Object.keys(script.redis), Object.keys(http.redis));
    assert.equal(script.workers.length, 4);
    for (const w of script.workers) assert.ok(w.age_ms >= 0 && w.age_ms <= script.age_ms && script.age_ms <= 10000 && w.memory_bytes > 1e6);
    const about = async (...args) => (await infoScript(...args)).about;
    const { count } = (await stack.api.call('GET', `/presence?topic=${topic}&count`)).json;
    assert.equal(count, 2);
    await until('a worker of each kind to follow', async () => (await about('topic', topic)).workers_following >= 2, 30000 * SLOW, 100);
    const { workers_following: _, ...rest } = await about('topic', topic);
    assert.deepEqual(rest, { topic, position: (await stack.api.publish(topic, 'm', { n: 2 })).replace(/\d+$/, (n) => n - 1), presence: count });
    assert.match(rest.position, new RegExp(`^${position.split(':')[0]}:`));
    assert.deepEqual(await about('topic', `${topic}0`), { topic: `${topic}0`, position: null, presence: 0, workers_following: 0 });
    for (const { user } of c) {
      const id = `user_socket:${user}`;
      assert.deepEqual(await about('id', id), { id, longpoll: (await stack.api.call('GET', `/info?id=${id}`)).json.about.longpoll });
    }
    const cli = spawnSync('redis-cli', ['-s', redisSocket(), '--eval', INFO, 'plx:rules', ',', 'topic', topic], { encoding: 'utf8' });
    assert.equal(JSON.parse(cli.stdout).about.presence, 2, cli.stderr);
    for (const [args, words] of [
      [['room:1'], /^-POLLUX invalid_query: .*Arguments are /], [['topic'], /^-POLLUX invalid_topic: /], [['id', ''], /^-POLLUX invalid_id: /],
      [['id', 'a', 'b'], /^-POLLUX invalid_query: /], [['topic', 'x'.repeat(1025)], /^-POLLUX invalid_topic: .*1 to 1024 bytes/],
    ]) assert.match(await infoScript(...args), words);
    for (const x of c) x.socket.disconnect();
    await until('the WebSocket to be gone', async () => (await infoScript()).channels.websocket < script.channels.websocket, 30000 * SLOW, 100);
  });

  test('info.lua: a worker that is killed drops out, one that is stopped at once', SCRIPT_TIMEOUT, async () => {
    const named = async () => (await infoScript()).workers.map((w) => w.worker);
    await until('all workers', async () => (await named()).length === 4, 30000 * SLOW, 100);
    const pid = stack.workers('ws')[0];
    const before = await infoScript();
    const { worker } = before.workers.find((w) => w.pid === pid);
    process.kill(pid, 'SIGKILL');
    await until('it to drop out and its successor to be there', async () => {
      const { workers, workers_silent: silent } = await infoScript();
      return workers.length === 4 && !workers.some((w) => w.worker === worker) && silent > before.workers_silent;
    }, 40000 * SLOW, 100);
    const old = await named();
    for (const name of ['ws', 'fcgi']) process.kill(stack.pid(name), 'SIGHUP');
    await until('new workers in the place of all', async () => {
      const names = await named();
      return names.length === 4 && !names.some((n) => old.includes(n));
    }, 40000 * SLOW, 100);
    for (const name of old) assert.match(await redisCommand({ path: redisSocket() }, 'ZSCORE', 'plx:{workers}:at', name), /^\$-1/, 'nothing is left of it');
  });

  test('without Redis: info says so, metrics tell it', TIMEOUT, async () => {
    process.kill(stack.pid('redis'), 'SIGSTOP');
    try {
      const [info, m] = await Promise.all([stack.api.call('GET', '/info'), metrics()]);
      assert.deepEqual([info.status, info.json.error.code], [503, 'unavailable'], info.text);
      assert.equal(m.families.pollux_redis_up.samples[0].value, 0);
      assert.equal(m.families.pollux_worker.samples.length, 1);
    } finally {
      process.kill(stack.pid('redis'), 'SIGCONT');
    }
    await until('Redis to be there again', async () => (await stack.api.call('GET', '/info')).status === 200, 10000 * SLOW, 100);
  });
});

describe('channels that an application answers for', { concurrency: 1 }, () => {
  let own;
  let app;
  const shared = [];
  before(async () => {
    shared.push(stack);
    app = await new HookApp((q) => (q.hook === 'push' ? new Promise((resolve) => { app.release = () => resolve({ reply: { status: 'ok', response: {} } }); }) : { status: 'ok' })).start();
    const http = `channel "shop:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = 20000 hooks = { "join", "push", "leave" } }`;
    own = await startStack({ config: { text: configText('api.conf').replace('channel "room:*"', `${http}\n    channel "room:*"`) }, fcgi: 2, ws: 2 });
    stack = own;
  });
  after(async () => {
    app?.release?.();
    await app?.stop();
    await own?.stop();
    [stack] = shared;
  });

  test('one that thinks about a push keeps nobody in; its leave hook hears why; hooks are measured', TIMEOUT, async () => {
    const topic = fresh('shop');
    const user = `u${counter++}`;
    const tabs = await Promise.all(TRANSPORTS.map((t) => client(t, user, topic)));
    tabs[0].channel.push('order', { n: 1 });
    await app.asked({ hook: 'push' });
    const begin = Date.now();
    assert.equal(await unsubscribe(`user_socket:${user}`, topic), 2);
    await until('the closes', () => tabs.every((c) => c.closes === 1));
    assert.ok(Date.now() - begin < 15000, 'it does not wait for the application'); // which has 20 s
    const left = await app.asked({ hook: 'leave' }, 2);
    assert.deepEqual(left.map((q) => [q.reason, q.topic]), [['closed', topic], ['closed', topic]]);
    const { families } = await metrics();
    const of = (name) => families[name].samples.filter((s) => s.labels.hook === '/a shop:*').reduce((n, s) => n + s.value, 0);
    assert.equal(of('pollux_hook_requests_total'), 5, '2 joins, 1 push, 2 leaves');
    assert.equal(of('pollux_hook_in_flight'), 1);
    assert.equal(of('pollux_hook_down'), 0);
    assert.equal(app.unsigned.length, 0);
    app.release();
    await until('the push to be over', async () => (await metrics()).families.pollux_hook_in_flight.samples.every((s) => s.value === 0));
    assert.deepEqual(tabs.map((c) => [c.closes, c.errors]), [[1, 0], [1, 0]]);
  });

  test('who has gone, in whatever way, is counted no more', TIMEOUT, async () => {
    const topic = fresh('room');
    const [left, closed, cut, ...polls] = await Promise.all(['websocket', 'websocket', 'websocket', 'longpoll', 'longpoll'].map((t) => client(t, `u${counter++}`, topic)));
    const again = await join(cut.socket, topic); // takes the place of the first
    const count = async () => (({ sockets, channels, polls_waiting: n }) => [sockets.websocket, channels.websocket, channels.longpoll, n])((await stack.api.call('GET', '/info')).json);
    await until('them to be counted', async () => isDeepStrictEqual((await count()).slice(1, 3), [3, 2]), 20000 * SLOW, 50);
    await answer(left.channel.leave());
    closed.socket.disconnect();
    for (const p of polls) p.channel.leave();
    await until('fewer', async () => isDeepStrictEqual((await count()).slice(1, 3), [1, 0]), 20000 * SLOW, 50);
    assert.equal(again.state, 'joined');
    for (const p of pages) p.close();
    await until('nothing', async () => isDeepStrictEqual(await count(), [0, 0, 0, 0]), 20000 * SLOW, 50);
  });
});
