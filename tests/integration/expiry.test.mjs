// Sockets whose token runs out: they end at that moment on both transports, every phoenix.js comes
// back with a fresh token, and whoever has none to show does not come back in a hurry.
import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { after, afterEach, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { answer, page, VERSIONS } from '../lib/phoenix.mjs';
import { signToken } from '../lib/phoenix_token.mjs';
import { SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const SECRET = 'a-secret-key-base-shared-with-the-application-that-signs-tokens';
const TRANSPORTS = ['websocket', 'longpoll'];
const CONFIG = `secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
socket "/timed" {
    longpoll { window_ms = 8000 }
    auth { type = "phoenix_token" secret = "${SECRET}" salt = "user socket" required = true }
    id = "user:{claims.user_id}"
    channel "room:*"  { backend = "relay" reply = true }
    channel "lobby:*" { backend = "relay" presence { key = "{claims.user_id}" } }
}
`;
const token = (maxAge, user = 7) => signToken(SECRET, 'user socket', user, { maxAge });

let stack;
const pages = [];
const open = (name) => {
  const p = page(name);
  pages.push(p);
  return p;
};

/** What pages ask of the server, by query, until stop(). */
function countRequests() {
  const seen = [];
  const note = ({ request: r }) => seen.push(r.path);
  diagnostics.subscribe('http.client.request.start', note);
  return { of: (mark) => seen.filter((p) => p.includes(mark)).length, stop: () => diagnostics.unsubscribe('http.client.request.start', note) };
}

before(async () => {
  stack = await startStack({ config: { text: CONFIG }, fcgi: 2, ws: 2 });
});
after(() => stack?.stop());
afterEach(() => {
  for (const p of pages.splice(0)) p.close();
});

/** A page's socket with one channel, and what happened to both. */
function visitor(version, transport, mark, fresh) {
  const v = { opens: 0, closes: [], joins: 0 };
  const params = {
    get token() {
      return fresh();
    },
    mark,
  };
  // 1.3 takes no function, but looks at the object each time.
  const socket = open(version).connect(`${stack.url}/timed`, { transport, params: version === 'phoenix-1.3' ? params : () => params });
  socket.onOpen(() => v.opens++);
  socket.onClose((e) => v.closes.push(e?.code));
  const channel = socket.channel(`room:${mark}`, {});
  channel.join().receive('ok', () => v.joins++);
  return Object.assign(v, { socket, channel, name: `${version} on ${transport}`, mark, transport });
}

const everyone = (versions, fresh) => versions.flatMap((version) => TRANSPORTS.map((transport) => visitor(version, transport, `${version}-${transport}`, fresh)));

describe('a token that runs out', () => {
  test('every phoenix.js comes back with a fresh one, and goes on', TIMEOUT, async () => {
    const requests = countRequests();
    const visitors = everyone(VERSIONS, () => token(2));
    // 1.3 takes some seconds to rejoin.
    const slow = everyone(['phoenix-1.3'], () => token(6));
    const started = Date.now();
    await Promise.all(visitors.map((v) => until(`${v.name}: the third join`, () => v.joins >= 3, 20000 * SLOW)));
    await Promise.all(slow.map((v) => until(`${v.name}: the second join`, () => v.joins >= 2, 20000 * SLOW)));
    visitors.push(...slow);
    await Promise.all(visitors.map((v) => until(`${v.name}: a push`, () => answer(v.channel.push('hello', {})).then(() => true, () => false), 10000 * SLOW)));
    const rounds = Math.ceil((Date.now() - started) / 2000) + 1;
    requests.stop();
    for (const v of visitors) {
      assert.ok(v.opens >= 2 && v.opens <= rounds, `${v.name}: ${v.opens} connects in ${rounds} rounds`);
      // Each round of long-polling: connect, join, a few polls, the reply.
      const most = v.transport === 'websocket' ? rounds : 8 * rounds;
      assert.ok(requests.of(v.mark) <= most, `${v.name}: ${requests.of(v.mark)} requests in ${rounds} rounds`);
      if (v.transport === 'websocket') assert.ok(v.closes.length >= 1 && v.closes.every((c) => c === 3000), `${v.name}: closed with ${v.closes}`);
    }
  });

  test('whoever shows the old one again is refused, at the pace of its back-off', TIMEOUT, async () => {
    // Clients before 1.5 break over a refusal on long-polling ("unhandled poll status 403"), with Phoenix too.
    const versions = VERSIONS.filter((v) => v !== 'phoenix-1.4');
    let shown = token(5);
    const visitors = [...everyone(versions, () => shown), visitor('phoenix-1.4', 'websocket', 'phoenix-1.4-websocket', () => shown)];
    await Promise.all(visitors.map((v) => until(`${v.name}: the join`, () => v.joins === 1, 10000 * SLOW)));
    await Promise.all(visitors.map((v) => until(`${v.name}: the end`, () => v.closes.length > 0, 10000 * SLOW)));
    const requests = countRequests();
    await sleep(4000); // what is looked at is the number of requests in a time
    requests.stop();
    for (const v of visitors) {
      const n = requests.of(v.mark);
      assert.ok(n >= 1 && n <= 12, `${v.name}: ${n} requests in 4 s`);
      assert.equal(v.joins, 1);
    }
    shown = token(600);
    await Promise.all(visitors.map((v) => until(`${v.name}: back again`, () => v.joins === 2, 20000 * SLOW)));
  });

  test('a WebSocket is told why', TIMEOUT, async () => {
    const target = (t) => `/timed/websocket?vsn=2.0.0&token=${t}`;
    const brief = await openWs(stack.address('ws'), target(token(3)));
    const long = await openWs(stack.address('ws'), target(token(4e9))); // more seconds than 31 bits hold
    assert.deepEqual(await brief.next(20000 * SLOW), { type: 'close', code: 3000, reason: 'token expired' });
    brief.sendClose(3000);
    assert.deepEqual(await brief.next(), { type: 'eof', reset: false });
    long.send('[null,"1","phoenix","heartbeat",{}]');
    assert.match((await long.next()).text, /"status":"ok"/);
    long.destroy();
  });

  test('a long-poll session ends: the parked poll, the next POST and poll', TIMEOUT, async () => {
    const url = (more) => `${stack.url}/timed/longpoll?vsn=2.0.0&${more}`;
    const started = Date.now();
    const connected = (await request(url(`token=${token(4)}`))).json;
    assert.equal(connected.status, 410);
    const session = url(`token=${connected.token}`);
    const poll = await request(session);
    assert.deepEqual(poll.json, { status: 500 });
    const took = Date.now() - started;
    assert.ok(took >= 3900 && took < 4000 + 2500 * SLOW, `parked for ${took} ms`);
    assert.deepEqual((await request(session, { method: 'POST', body: '[null,"1","phoenix","heartbeat",{}]' })).json, { status: 410 });
    const again = await request(session);
    assert.deepEqual(again.json, { status: 500 });
    assert.ok(again.ms < 1000 * SLOW);
  });

  test('its presence ends with it, also without another word from the client', TIMEOUT, async () => {
    const observer = await openWs(stack.address('ws'), `/timed/websocket?vsn=2.0.0&token=${token(600, 1)}`);
    observer.send('["1","1","lobby:1","phx_join",{}]');
    const present = new Set();
    const left = new Set();
    const watch = (async () => {
      while (left.size < 2) {
        const e = await observer.next(15000 * SLOW);
        assert.equal(e?.type, 'text', JSON.stringify(e));
        const [, , , event, payload] = JSON.parse(e.text);
        if (event === 'presence_state') for (const key of Object.keys(payload)) present.add(key);
        if (event !== 'presence_diff') continue;
        for (const key of Object.keys(payload.joins)) present.add(key);
        for (const key of Object.keys(payload.leaves)) left.add(key);
      }
    })();
    const ws = await openWs(stack.address('ws'), `/timed/websocket?vsn=2.0.0&token=${token(6, 20)}`);
    ws.send('["1","1","lobby:1","phx_join",{}]');
    const url = `${stack.url}/timed/longpoll?vsn=2.0.0&token=`;
    const { json } = await request(url + token(6, 21));
    assert.equal((await request(url + json.token, { method: 'POST', body: '["1","1","lobby:1","phx_join",{}]' })).json.status, 200);
    await until('both to be there', () => present.has('20') && present.has('21'), 5000 * SLOW);
    await watch;
    assert.deepEqual([...left].sort(), ['20', '21']);
    ws.destroy();
    observer.destroy();
  });
});
