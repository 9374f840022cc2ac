// Who may connect, join and push, decided by configuration and tokens alone: every rule, on both
// transports, with phoenix.js.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { BUILD, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { jwt, keyPair, ticket } from '../lib/tokens.mjs';
import { until } from '../lib/wait.mjs';

const KEY = 'rules-test-key-0123456789abcdef';
const OLD_KEY = 'rules-test-old-key-0123456789';
const [rsa, ec] = [keyPair('rsa'), keyPair('ec')];

const CHANNELS = `
    channel "room:*"   { backend = "relay" reply = true }
    channel "named:*"  { backend = "relay" reply = true events = { "said", "typing" } }
    channel "small:*"  { backend = "relay" reply = true max_payload_bytes = 20 }
    channel "slow:*"   { backend = "relay" reply = true rate { per_s = 1 burst = 5 } }
    channel "echoed:*" { backend = "echo" events = { "said" } rate { per_s = 1000 } max_payload_bytes = 20 }
    channel "known:*"  { backend = "relay" reply = true join = "authenticated" }
    channel "dies:*"   { backend = "module" path = "${BUILD}/modules/dies.so" settings = "@DIR@/flag" rate { per_s = 1 burst = 2 } }
    channel "deny:*"   { backend = "relay" join = "none" }
    channel "mute:*"   { backend = "relay" push = "none" }
    channel "user:*"   { backend = "relay" reply = true only_topic = "user:{claims.user_id}" }`;

const CONFIG = `
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
socket "/open"   { longpoll { window_ms = 3000 } check_origin = { "any" } ${CHANNELS} }
socket "/ticket" { longpoll { window_ms = 3000 } check_origin = { "any" } id = "users:{claims.user_id}"
    auth { type = "ticket" key = "${KEY}" previous_key = "${OLD_KEY}" } ${CHANNELS} }
socket "/must"   { check_origin = { "any" } auth { type = "ticket" key = "${KEY}" required = true param = "pass" } ${CHANNELS} }
socket "/hs"     { check_origin = { "any" } auth { type = "jwt" algorithms = { "HS256", "HS512" } key = "${KEY}" previous_key = "${OLD_KEY}" } ${CHANNELS} }
socket "/rs"     { check_origin = { "any" } auth { type = "jwt" algorithms = { "RS256" } key = "${rsa.publicPem}" issuer = "us" audience = "pollux" } ${CHANNELS} }
socket "/es"     { check_origin = { "any" } auth { type = "jwt" algorithms = { "ES256" } key = "${ec.publicPem}" } ${CHANNELS} }
api { path = "/api" keys = { "test-api-key-0123456789" } }
`;

let stack;
let dir;
const pages = [];

/** The status that a connect gets: "open", or the HTTP or body status of its refusal. */
async function connect(transport, mount, params = {}, headers = {}) {
  const query = new URLSearchParams({ vsn: '2.0.0', ...params });
  if (transport === 'longpoll') {
    const r = await request(`${stack.url}${mount}/longpoll?${query}`, { headers });
    assert.equal(r.status, 200);
    return r.json.status === 410 ? 'open' : r.json.status;
  }
  const ws = new WebSocket(`${stack.url.replace('http', 'ws')}${mount}/websocket?${query}`);
  try {
    return await new Promise((resolve) => {
      ws.on('open', () => resolve('open'));
      ws.on('unexpected-response', (_, r) => resolve(r.statusCode));
      ws.on('error', () => {});
    });
  } finally {
    ws.terminate();
  }
}

function socketOf(transport, mount, options = {}) {
  const p = page('phoenix-1.8');
  pages.push(p);
  return p.connect(`${stack.url.replace('http', transport === 'websocket' ? 'ws' : 'http')}${mount}`, { transport, ...options });
}

/** The error reply's reason of a push or join; null when it was answered with ok. */
const reasonOf = (push) => new Promise((resolve, reject) => {
  push.receive('ok', () => resolve(null));
  push.receive('error', (r) => resolve(r.reason));
  push.receive('timeout', () => reject(new Error('no reply in time')));
});

async function joined(socket, topic, params) {
  const channel = socket.channel(topic, params);
  channel.heard = [];
  channel.onMessage = (event, payload) => {
    if (!event.startsWith('phx_') && !event.startsWith('chan_')) channel.heard.push([event, payload]);
    return payload;
  };
  await answer(channel.join());
  return channel;
}

describe('rules', () => {
  before(async () => {
    dir = tempDir('rules');
    stack = await startStack({ config: { text: CONFIG.replaceAll('@DIR@', dir) }, fcgi: 3, ws: 2 });
  });
  after(async () => {
    for (const p of pages) p.close();
    await stack?.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  for (const transport of ['websocket', 'longpoll'])
    describe(transport, { timeout: 60000 * SLOW }, () => {
      const refusedJoin = async (socket, topic, params) => {
        const channel = socket.channel(topic, params);
        const reason = await reasonOf(channel.join());
        channel.leave();
        return reason;
      };

      test('nobody closes, fails, answers or fills the channels of others by an event name', async () => {
        const [ann, bob] = [socketOf(transport, '/open'), socketOf(transport, '/open')];
        const mine = await joined(ann, 'room:names');
        const theirs = await joined(bob, 'room:names');
        const felt = [];
        theirs.onClose(() => felt.push('closed'));
        theirs.onError(() => felt.push('failed'));
        for (const name of ['presence_state', 'presence_diff', 'chan_reply_2']) theirs.on(name, () => felt.push(name));
        for (const name of ['phx_close', 'phx_error', 'phx_reply', 'chan_reply_2', 'presence_state', 'presence_diff'])
          assert.equal(await reasonOf(mine.push(name, { status: 'ok', response: {} })), 'event not allowed');
        assert.equal(await reasonOf(mine.push('said', { n: 1 })), null);
        await until('what follows', () => theirs.heard.some(([event]) => event === 'said'), 5000 * SLOW);
        assert.deepEqual(felt, []);
        assert.equal(theirs.state, 'joined');
      });

      test('tokens: genuine ones get in, others do not', async () => {
        const late = Math.floor(Date.now() / 1000) - 1;
        const party = { iss: 'us', aud: ['x', 'pollux'] };
        const cases = [
          ['/ticket', { token: ticket(KEY) }, 'open'],
          ['/ticket', { token: ticket(OLD_KEY) }, 'open'],
          ['/ticket', {}, 'open'],
          ['/ticket', { token: '' }, 'open'],
          ['/ticket', { token: ticket(`${KEY}x`) }, 403],
          ['/ticket', { token: ticket(KEY, { exp: late }) }, 403],
          ['/ticket', { token: ticket(KEY, { exp: undefined }) }, 403],
          ['/ticket', { token: `${ticket(KEY)}0` }, 403],
          ['/ticket', { token: jwt('HS256', KEY) }, 403],
          ['/must', { pass: ticket(KEY) }, 'open'],
          ['/must', { token: ticket(KEY) }, 403],
          ['/must', {}, 403],
          ['/hs', { token: jwt('HS256', KEY) }, 'open'],
          ['/hs', { token: jwt('HS512', OLD_KEY) }, 'open'],
          ['/hs', { token: jwt('HS384', KEY) }, 403],
          ['/hs', { token: ticket(KEY) }, 403],
          ['/hs', { token: jwt('HS256', KEY, { exp: late }) }, 403],
          ['/hs', { token: jwt('HS256', KEY, { nbf: late + 600 }) }, 403],
          ['/hs', { token: jwt('RS256', rsa.privateKey) }, 403],
          ['/rs', { token: jwt('RS256', rsa.privateKey, party) }, 'open'],
          ['/rs', { token: jwt('RS256', rsa.privateKey, { ...party, iss: 'them' }) }, 403],
          ['/rs', { token: jwt('RS256', rsa.privateKey, { ...party, aud: 'x' }) }, 403],
          ['/rs', { token: jwt('RS256', rsa.privateKey) }, 403],
          ['/rs', { token: jwt('HS256', rsa.publicPem, party) }, 403],
          ['/es', { token: jwt('ES256', ec.privateKey) }, 'open'],
          ['/es', { token: jwt('ES256', ec.privateKey, { aud: 'pollux' }) }, 403],
          ['/es', { token: jwt('HS256', ec.publicPem) }, 403],
          ['/es', { token: jwt('ES256', keyPair('ec').privateKey) }, 403],
        ];
        for (const [mount, params, expected] of cases)
          assert.equal(await connect(transport, mount, params), expected, `${mount} ${JSON.stringify(params)}`);
      });

      test('authToken, claims in templates', async () => {
        const socket = socketOf(transport, '/rs', { authToken: jwt('RS256', rsa.privateKey, { iss: 'us', aud: 'pollux', user_id: 42 }) });
        await joined(socket, 'known:a');
        await joined(socket, 'user:42');
        assert.equal(await refusedJoin(socket, 'user:43'), 'unauthorized');
        const stranger = socketOf(transport, '/ticket');
        assert.equal(await refusedJoin(stranger, 'known:a'), 'unauthorized');
        assert.equal(await refusedJoin(stranger, 'user:42'), 'unauthorized');
      });

      test('the id comes from the claims, and is disconnected by', async () => {
        const socket = socketOf(transport, '/ticket', { params: { token: ticket(KEY, { user_id: `id-${transport}` }) } });
        let closed = 0;
        socket.onClose(() => closed++);
        socket.onError(() => closed++);
        await joined(socket, 'room:a');
        assert.equal(await stack.api.disconnect(`users:id-${transport}`), 1);
        await until('the socket to be closed', () => closed > 0, 5000 * SLOW);
      });

      test('join, push', async () => {
        const socket = socketOf(transport, '/open');
        assert.equal(await refusedJoin(socket, 'deny:a'), 'unauthorized');
        assert.equal(await refusedJoin(socket, 'known:a'), 'unauthorized');
        assert.equal(await refusedJoin(socket, 'nowhere:a'), 'unmatched topic');
        const channel = await joined(socket, 'mute:a');
        assert.equal(await reasonOf(channel.push('said', {})), 'unauthorized');
      });

      test('capabilities of a ticket', async () => {
        const params = { token: ticket(KEY, { join: ['room:*', 'named:1'], push: ['room:a'] }) };
        const socket = socketOf(transport, '/ticket', { params });
        const a = await joined(socket, 'room:a');
        const b = await joined(socket, 'room:b');
        const named = await joined(socket, 'named:1');
        assert.equal(await reasonOf(a.push('said', {})), null);
        assert.equal(await reasonOf(b.push('said', {})), 'unauthorized');
        assert.equal(await reasonOf(named.push('said', {})), 'unauthorized');
        assert.equal(await refusedJoin(socket, 'named:12'), 'unauthorized');
        assert.equal(await refusedJoin(socket, 'small:a'), 'unauthorized');
      });

      test('capabilities of a JWT, malformed ones, and those that the channel does not allow', async () => {
        const claims = (more) => ({ params: { token: jwt('HS256', KEY, more) } });
        const bad = socketOf(transport, '/hs', claims({ join: 'room:*' }));
        assert.equal(await refusedJoin(bad, 'room:a'), 'unauthorized');
        const wide = socketOf(transport, '/hs', claims({ join: ['*'], push: null }));
        assert.equal(await refusedJoin(wide, 'deny:a'), 'unauthorized');
        const channel = await joined(wide, 'room:a');
        assert.equal(await reasonOf(channel.push('said', {})), 'unauthorized');
      });

      test('events: what is refused disturbs nothing, and is heard by nobody', async () => {
        const listener = await joined(socketOf(transport, '/open'), `named:${transport}`);
        const channel = await joined(socketOf(transport, '/open'), `named:${transport}`);
        const pushes = ['said', 'shouted', 'typing', 'Said', 'said'].map((event, n) => channel.push(event, { n }));
        assert.deepEqual(await Promise.all(pushes.map(reasonOf)), [null, 'event not allowed', null, 'event not allowed', null]);
        await until('what was allowed', () => listener.heard.length >= 3, 5000 * SLOW);
        assert.deepEqual(listener.heard, [['said', { n: 0 }], ['typing', { n: 2 }], ['said', { n: 4 }]]);
      });

      test('max_payload_bytes: of pushes and joins', async () => {
        const socket = socketOf(transport, '/open');
        const text = (bytes) => ({ t: 'x'.repeat(bytes - '{"t":""}'.length) });
        assert.equal(await refusedJoin(socket, 'small:a', text(21)), 'payload too large');
        const channel = await joined(socket, 'small:a', text(20));
        assert.equal(await reasonOf(channel.push('said', text(21))), 'payload too large');
        assert.equal(await reasonOf(channel.push('said', text(20))), null);
        assert.equal(await reasonOf(channel.push('said', new ArrayBuffer(21))), 'payload too large');
        assert.equal(await reasonOf(channel.push('said', new ArrayBuffer(20))), null);
      });

      test('rate: five at once, then one a second; for each socket and topic', async () => {
        const socket = socketOf(transport, '/open');
        const channel = await joined(socket, `slow:${transport}`);
        const other = await joined(socket, `slow:${transport}-2`);
        const somebody = await joined(socketOf(transport, '/open'), `slow:${transport}`);
        const burst = async (c, count) => {
          const started = Date.now();
          const reasons = await Promise.all(Array.from({ length: count }, (_, n) => reasonOf(c.push('said', { n }))));
          return { reasons, seconds: (Date.now() - started) / 1000 };
        };
        const first = await burst(channel, 12);
        const allowed = first.reasons.filter((r) => r === null).length;
        // While they were under way the bucket may have been filled by one a second.
        assert.ok(allowed >= 5 && allowed <= 5 + Math.ceil(first.seconds), `${allowed} in ${first.seconds} s`);
        assert.deepEqual(first.reasons.slice(0, 5), [null, null, null, null, null]);
        assert.ok(first.reasons.every((r) => r === null || r === 'rate limited'));
        assert.equal((await burst(other, 5)).reasons.every((r) => r === null), true);
        assert.equal((await burst(somebody, 5)).reasons.every((r) => r === null), true);
        await until('one more', async () => (await reasonOf(channel.push('said', {}))) === null, 5000 * SLOW);
        assert.equal(channel.state, 'joined');
      });

      test('rate: one request after the other, whichever workers handle them', async () => {
        const channel = await joined(socketOf(transport, '/open'), `slow:${transport}-3`);
        const started = Date.now();
        const reasons = [];
        for (let n = 0; n < 20; n++) reasons.push(await reasonOf(channel.push('said', { n })));
        const seconds = (Date.now() - started) / 1000;
        const allowed = reasons.filter((r) => r === null).length;
        assert.ok(allowed >= 5 && allowed <= 5 + Math.ceil(seconds), `${allowed} in ${seconds} s: ${reasons}`);
      });

      test('rate: leaving and joining again does not fill the bucket', async () => {
        const socket = socketOf(transport, '/open');
        const started = Date.now();
        let allowed = 0;
        for (let round = 0; round < 4; round++) {
          const channel = await joined(socket, `slow:${transport}-4`);
          const reasons = await Promise.all(Array.from({ length: 5 }, (_, n) => reasonOf(channel.push('said', { n }))));
          allowed += reasons.filter((r) => r === null).length;
          await answer(channel.leave());
        }
        const seconds = (Date.now() - started) / 1000;
        assert.ok(allowed >= 5 && allowed <= 5 + Math.ceil(seconds), `${allowed} in ${seconds} s`);
      });

      test('with another backend', async () => {
        const channel = await joined(socketOf(transport, '/open'), 'echoed:a');
        assert.equal(await reasonOf(channel.push('said', {})), null);
        assert.equal(await reasonOf(channel.push('shouted', {})), 'event not allowed');
        assert.equal(await reasonOf(channel.push('said', { t: 'x'.repeat(20) })), 'payload too large');
      });
    });

  // Of two at once one is spent. The next request's first push is let through and broadcast, and its
  // worker is gone before it is answered. Seconds later, when the bucket is full again, another worker
  // handles the same request: by when it came, the first push is let in and the second one is not.
  test('rate: a request that is handled again after a crash gets the answers that it would have got', { timeout: 60000 * SLOW }, async () => {
    const got = [];
    const c = new LongPollClient(`${stack.url}/open/longpoll`);
    c.onMessage = ([, , topic, event, payload]) => got.push(`${topic} ${event === 'phx_reply' ? `${payload.status} ${payload.response.reason ?? ''}` : event}`);
    await c.open();
    c.start();
    try {
      let topic;
      for (let n = 0, late = true; late; n++) {
        topic = `dies:${n}`;
        await c.send([c.message(topic, 'phx_join', {})]);
        await until('the join', () => got.length === 1, 5000 * SLOW);
        const started = Date.now();
        await c.send([c.message(topic, 'first', {})]);
        await until('its reply', () => got.length === 4, 5000 * SLOW);
        got.length = 0;
        late = Date.now() - started > 500; // a slow machine: the bucket would be full too soon
      }
      fs.writeFileSync(path.join(dir, 'flag'), '');
      await c.send(['die', 'second'].map((event) => c.message(topic, event, {})));
      await until('all replies', () => got.length === 4, 20000 * SLOW);
      assert.ok(!fs.existsSync(path.join(dir, 'flag')), 'a worker died');
      assert.deepEqual(got.map((g) => g.slice(topic.length + 1)), ['die', 'again', 'ok ', 'error rate limited']);
    } finally {
      await c.stop();
    }
  });

  test('what the log says of refusals: the reason, nothing of the token', async () => {
    const token = ticket(KEY, { exp: 1 });
    await connect('longpoll', '/must', { pass: token });
    await until('the log', () => stack.log.text.includes('refused: token expired'), 5000 * SLOW);
    assert.ok(!stack.log.text.includes(token));
    assert.ok(!stack.log.text.includes(KEY));
  });
});
