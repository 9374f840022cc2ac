// Channels with history as a client and an application see them: positions, `since`, recovered or
// not, both transports and serializers, phoenix.js old and new, GET /history and `pollux history`.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { answer, page, VERSIONS, versionOf } from '../lib/phoenix.mjs';
import { bin, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
let stack;
let counter = 0;
const fresh = (kind) => `${kind}:h${counter++}`;
const offset = (position) => Number(position.split(':')[1]);
const epoch = (position) => position.split(':')[0];
const publish = (topic, n, event = 'm') => stack.api.publish(topic, event, { n });

async function publishMany(topic, count) {
  const positions = [];
  for (let n = 0; n < count; n++) positions.push(await publish(topic, n));
  return positions;
}

/** A raw client: join(topic, payload) -> response; next() -> {ref, event, payload}; push. */
class WsClient {
  async open({ vsn = '2.0.0', socket = '/h', options } = {}) {
    this.vsn = vsn;
    this.ref = 0;
    this.ws = await openWs(stack.front, `${socket}/websocket?vsn=${vsn}`, options);
    return this;
  }

  send(topic, event, payload, joinRef = null) {
    const ref = String(++this.ref);
    this.ws.send(this.vsn === '1.0.0' ? JSON.stringify({ topic, event, payload, ref }) : JSON.stringify([joinRef ?? ref, ref, topic, event, payload]));
    return ref;
  }

  async next(ms = 5000 * SLOW) {
    const e = await this.ws.next(ms);
    if (e === null) return null;
    assert.equal(e.type, 'text', JSON.stringify(e));
    const m = JSON.parse(e.text);
    return this.vsn === '1.0.0' ? m : { ref: m[1], topic: m[2], event: m[3], payload: m[4] };
  }

  close() {
    this.ws.destroy();
  }
}

class LpClient extends WsClient {
  async open({ vsn = '2.0.0', socket = '/h' } = {}) {
    this.vsn = vsn;
    this.ref = 0;
    this.url = `${stack.url}${socket}/longpoll?vsn=${vsn}`;
    this.token = (await request(this.url)).json.token;
    this.got = [];
    this.ws = { send: (text) => {
      this.posted = request(`${this.url}&token=${this.token}`, { method: 'POST', body: text });
    } };
    return this;
  }

  async next(ms = 5000 * SLOW) {
    const end = Date.now() + ms;
    assert.equal((await this.posted)?.json.status ?? 200, 200);
    while (this.got.length === 0 && Date.now() < end) {
      const r = await request(`${this.url}&token=${this.token}`, { ms: 20000 });
      assert.ok(r.json.status === 200 || r.json.status === 204, r.text);
      this.token = r.json.token;
      this.got.push(...r.json.messages);
    }
    if (this.got.length === 0) return null;
    const m = JSON.parse(this.got.shift());
    return this.vsn === '1.0.0' ? m : { ref: m[1], topic: m[2], event: m[3], payload: m[4] };
  }

  close() {}
}

const KINDS = [[WsClient, '2.0.0'], [WsClient, '1.0.0'], [LpClient, '2.0.0'], [LpClient, '1.0.0']];
const nameOf = ([Client, vsn]) => `${Client === WsClient ? 'WebSocket' : 'long-poll'} V${vsn[0]}`;

async function joined(client, topic, payload = {}) {
  client.send(topic, 'phx_join', payload);
  const reply = await client.next();
  assert.equal(reply.event, 'phx_reply');
  assert.equal(reply.payload.status, 'ok', JSON.stringify(reply));
  return reply.payload.response;
}

describe('history', { concurrency: 4 }, () => {
  before(async () => {
    stack = await startStack({ config: 'recovery.conf', fcgi: 2, ws: 2 });
  });
  after(() => stack?.stop());

  for (const kind of KINDS) {
    const [Client, vsn] = kind;
    const open = () => new Client().open({ vsn });

    test(`${nameOf(kind)}: positions in the join's response and in broadcasts`, TIMEOUT, async () => {
      const topic = fresh('long');
      const c = await open();
      const response = await joined(c, topic);
      assert.deepEqual(Object.keys(response), ['position']);
      assert.match(response.position, /^[A-Za-z0-9_-]+:0$/);
      const position = await publish(topic, 1);
      assert.deepEqual(await c.next(), { ref: position, topic, event: 'm', payload: { n: 1 } });
      c.send(topic, 'said', { n: 2 }, '1');
      const said = await c.next();
      assert.equal(said.ref, `${epoch(position)}:2`);
      const reply = await c.next();
      assert.equal(reply.event, 'phx_reply');
      c.close();
    });

    test(`${nameOf(kind)}: too old, of another epoch, from the future, malformed`, TIMEOUT, async () => {
      const topic = fresh('short');
      const positions = await publishMany(topic, 110);
      const e = epoch(positions[0]);
      const wrong = [`${e}:9`, `${e}:0`, `${e}:111`, `${e}:99999999999999999999`, 'other:110', 'x', '', ':', `${e}:-1`, `${e}:1.5`, 17, true, [positions[9]], { since: 1 }];
      for (const since of wrong) {
        const c = await open();
        assert.deepEqual(await joined(c, topic, { since }), { position: positions[109], recovered: false }, JSON.stringify(since));
        c.close();
      }
      const c = await open();
      assert.deepEqual(await joined(c, topic, { since: null }), { position: positions[109] });
      await publish(topic, 'new');
      assert.equal((await c.next()).payload.n, 'new', 'nothing old');
      c.close();
    });

    test(`${nameOf(kind)}: a channel without history says false and gives no position`, TIMEOUT, async () => {
      const topic = fresh('plain');
      const c = await open();
      assert.deepEqual(await joined(c, topic, { since: 'a:1' }), { recovered: false });
      await publish(topic, 1);
      assert.equal((await c.next()).ref, null);
      c.close();
    });
  }

  for (const kind of KINDS)
    test(`${nameOf(kind)}: exactly the last 100 are recovered, not one more`, TIMEOUT, async () => {
      const [Client, vsn] = kind;
      for (const missed of [0, 1, 2, 99, 100, 101]) {
        const topic = fresh('short');
        const positions = await publishMany(topic, 103);
        const c = await new Client().open({ vsn });
        const since = positions[102 - missed];
        const { recovered, position } = await joined(c, topic, { since });
        assert.equal(recovered, missed <= 100);
        assert.equal(position, recovered ? since : positions[102]);
        for (let n = 103 - missed; recovered && n < 103; n++) {
          const m = await c.next();
          assert.deepEqual([m.ref, m.payload.n], [positions[n], n]);
        }
        const live = await publish(topic, 'live');
        assert.deepEqual((await c.next()).ref, live);
        c.close();
      }
    });

  test('the backend\'s response keeps its bytes; position and recovered are ours', TIMEOUT, async () => {
    const topic = fresh('rec');
    const c = await new WsClient().open();
    const response = await joined(c, topic, { since: 'x:1', some: 'param' });
    assert.equal(response.recovered, false);
    assert.match(response.position, /:\d+$/);
    c.close();
  });

  test('a rejoin on the same connection gives what its since asks for', TIMEOUT, async () => {
    for (const Client of [WsClient, LpClient]) {
      const topic = fresh('long');
      const c = await new Client().open();
      const { position } = await joined(c, topic);
      const positions = await publishMany(topic, 5);
      for (let n = 0; n < 5; n++) assert.equal((await c.next()).payload.n, n);
      const response = await joined(c, topic, { since: positions[1] });
      assert.deepEqual(response, { position: positions[1], recovered: true });
      const rest = [];
      for (let i = 0; i < 4; i++) rest.push(await c.next());
      assert.deepEqual(rest.filter((m) => m.event === 'm').map((m) => m.payload.n), [2, 3, 4]);
      assert.equal(rest.filter((m) => m.event === 'phx_close').length, 1);
      // Without since it goes on where the socket stands.
      const again = await joined(c, topic);
      assert.equal(again.position, positions[4]);
      assert.ok(offset(position) === 0);
      c.close();
    }
  });

  test('a rejoin that goes back, behind a push: the reply to that follows its broadcast', TIMEOUT, async () => {
    for (const Client of [WsClient, LpClient])
      for (let round = 0; round < 10; round++) {
        const topic = fresh('long');
        const c = await new Client().open();
        const { position } = await joined(c, topic);
        await publishMany(topic, 2);
        for (let n = 0; n < 2; n++) assert.equal((await c.next()).payload.n, n);
        const both = [['1', '2', topic, 'said', { n: 'own' }], ['3', '3', topic, 'phx_join', { since: position }]].map((m) => JSON.stringify(m));
        if (Client === WsClient) for (const text of both) c.ws.send(text);
        else c.posted = request(`${c.url}&token=${c.token}`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: both.join('\n') });
        const got = [];
        const has = (e) => got.includes(e);
        const again = (e) => got.includes('reply 3') && got.lastIndexOf(e) > got.indexOf('reply 3');
        while (!again('m 0') || !again('m 1') || !again('said own') || !has('close 1')) {
          const m = await c.next();
          assert.ok(m, `${Client.name}: ${got}`);
          got.push(m.event === 'phx_reply' ? `reply ${m.ref}` : m.event === 'phx_close' ? `close ${m.ref}` : `${m.event} ${m.payload.n}`);
        }
        assert.ok(got.indexOf('said own') < got.indexOf('reply 2'), `${Client.name}: ${got}`);
        assert.ok(has('reply 2') && got.indexOf('reply 2') < got.indexOf('reply 3'), `${Client.name}: ${got}`);
        assert.deepEqual(got.slice(got.indexOf('reply 3')).filter((e) => e !== 'close 1'), ['reply 3', 'm 0', 'm 1', 'said own'], `${Client.name}: ${got}`);
        c.close();
      }
  });

  for (const kind of KINDS)
    test(`${nameOf(kind)}: latest: the last message of each event on joining, then what is new`, TIMEOUT, async () => {
      const [Client, vsn] = kind;
      const topic = fresh('last');
      for (let n = 0; n < 10; n++) await publish(topic, n, n % 3 === 0 ? 'a' : 'b');
      const c = await new Client().open({ vsn });
      assert.deepEqual(await joined(c, topic), {});
      const two = [await c.next(), await c.next()];
      assert.deepEqual(two.map((m) => [m.event, m.payload.n, m.ref]), [['b', 8, null], ['a', 9, null]]);
      await publish(topic, 10, 'b');
      assert.deepEqual((await c.next()).payload, { n: 10 });
      // A rejoin on the same connection: the state again, nothing older behind it.
      assert.deepEqual(await joined(c, topic), {});
      const again = [await c.next(), await c.next(), await c.next()];
      assert.deepEqual(again.filter((m) => m.event !== 'phx_close').map((m) => m.payload.n), [9, 10]);
      await publish(topic, 11, 'b');
      assert.deepEqual((await c.next()).payload, { n: 11 });
      c.close();
    });

  test('binary is refused where history is kept, also where another section keeps it', TIMEOUT, async () => {
    for (const [socket, kind] of [['/h', 'long'], ['/h', 'mixed'], ['/plain', 'mixed']]) {
      const topic = fresh(kind);
      const c = await new WsClient().open({ socket });
      await joined(c, topic);
      const parts = ['1', '9', topic, 'bin'];
      c.ws.sendBinary(Buffer.concat([Buffer.from([0, ...parts.map((p) => p.length)]), Buffer.from(parts.join('')), Buffer.from([1, 2, 3])]));
      const reply = await c.next();
      assert.deepEqual(reply.payload, { status: 'error', response: { reason: 'binary not kept' } });
      const r = await stack.api.call('POST', '/publish', { topic, event: 'e', payload_base64: 'AQI=' });
      assert.equal(r.status, 422);
      assert.equal(r.json.error.code, 'binary_not_kept');
      c.close();
    }
  });

  test('one topic, two sections: only the one with history shows positions', TIMEOUT, async () => {
    const topic = fresh('mixed');
    const all = [];
    for (const socket of ['/h', '/plain'])
      for (const Client of [WsClient, LpClient]) {
        const c = await new Client().open({ socket });
        const response = await joined(c, topic);
        assert.equal('position' in response, socket === '/h');
        all.push([c, socket]);
      }
    const position = await publish(topic, 1);
    for (const [c, socket] of all) {
      assert.equal((await c.next()).ref, socket === '/h' ? position : null);
      c.close();
    }
  });

  for (const name of VERSIONS)
    for (const transport of ['websocket', 'longpoll'])
      test(`phoenix.js ${versionOf(name)} ${transport}: a function for the join's parameters makes it lossless`, TIMEOUT, async () => {
        const topic = fresh('long');
        const p = page(name);
        try {
          const socket = p.connect(`ws://127.0.0.1:${stack.port}/h`, { transport, params: { user_id: topic } });
          let last = null;
          const got = [];
          const recovered = [];
          const channel = socket.channel(topic, () => (last === null ? {} : { since: last }));
          channel.onMessage = (event, payload, ref) => {
            if (ref && event === 'm') last = ref;
            return payload;
          };
          channel.on('m', ({ n }) => got.push(n));
          channel.join().receive('ok', (r) => {
            recovered.push(r.recovered);
            last = r.position;
          });
          await until('the join', () => recovered.length === 1, 10000 * SLOW);
          await publish(topic, 0);
          await until('a message', () => got.length === 1, 10000 * SLOW);
          for (let round = 1; round <= 2; round++) {
            // The transport is cut; what is published meanwhile is missed. phoenix.js lets a poll that is
            // under way live on, which a cut would not: without its messages.
            const cut = socket.conn;
            cut.onmessage = () => {};
            cut.onclose?.({ code: 1006 });
            cut.close?.();
            await publish(topic, round * 2 - 1);
            await publish(topic, round * 2);
            await until('rejoined', () => recovered.length === round + 1, 20000 * SLOW);
            await until('what was missed', () => got.length === 1 + 2 * round, 10000 * SLOW);
          }
          await sleep(200);
          assert.deepEqual(got, [0, 1, 2, 3, 4]);
          assert.deepEqual(recovered, [undefined, true, true]);
        } finally {
          p.close();
        }
      });

  describe('GET /history', () => {
    const history = (query) => stack.api.call('GET', `/history?${query}`);
    const numbers = (r) => r.json.messages.map((m) => m.payload.n);

    test('the last messages, those after since, page by page', TIMEOUT, async () => {
      const topic = fresh('short');
      const t = `topic=${encodeURIComponent(topic)}`;
      const empty = await history(t);
      assert.equal(empty.status, 200);
      assert.deepEqual(empty.json.messages, []);
      const positions = await publishMany(topic, 120);
      assert.equal(epoch(empty.json.position), epoch(positions[0]));
      const all = await history(`${t}&limit=1000`);
      assert.deepEqual(all.json.messages.map((m) => m.position), positions.slice(20), 'within history.size');
      assert.deepEqual(all.json.messages[0], { position: positions[20], event: 'm', payload: { n: 20 } });
      assert.equal(all.json.position, positions[119]);
      assert.equal(numbers(await history(t)).length, 100);
      assert.deepEqual(numbers(await history(`${t}&limit=3`)), [117, 118, 119]);
      const some = await history(`${t}&since=${encodeURIComponent(positions[100])}&limit=10`);
      assert.deepEqual(numbers(some), [101, 102, 103, 104, 105, 106, 107, 108, 109, 110]);
      assert.equal(some.json.position, positions[110]);
      const rest = await history(`${t}&since=${some.json.position}`);
      assert.deepEqual(numbers(rest), [111, 112, 113, 114, 115, 116, 117, 118, 119]);
      assert.equal(rest.json.position, positions[119]);
      assert.deepEqual((await history(`${t}&since=${positions[119]}`)).json, { messages: [], position: positions[119] });
      for (const since of [positions[18], `${epoch(positions[0])}:121`, 'other:1']) {
        const gone = await history(`${t}&since=${since}`);
        assert.equal(gone.status, 410);
        assert.equal(gone.json.error.code, 'gone');
        assert.ok(gone.json.error.hint);
      }
      assert.equal((await history(`${t}&since=${positions[19]}`)).status, 200);
    });

    test('wrong questions', TIMEOUT, async () => {
      const cases = [
        ['', 422, 'invalid_topic'], ['topic=', 422, 'invalid_topic'], ['topic[]=a', 422, 'invalid_topic'],
        ['topic=nobody', 404, 'unknown_topic'], ['topic=plain:1', 422, 'no_history'],
        ['topic=long:1&since=x', 422, 'invalid_since'], ['topic=long:1&since=', 422, 'invalid_since'],
        ['topic=long:1&limit=0', 422, 'invalid_limit'], ['topic=long:1&limit=1001', 422, 'invalid_limit'],
        ['topic=long:1&limit=-1', 422, 'invalid_limit'], ['topic=long:1&limit=', 422, 'invalid_limit'],
        ['topic=long:1&limit=99999999999999999999999', 422, 'invalid_limit'], ['topic=long:1&count', 422, 'unknown_member'],
        ['topic=%ff', 400, 'invalid_query'],
      ];
      for (const [query, status, code] of cases) {
        const r = await history(query);
        assert.deepEqual([r.status, r.json.error.code], [status, code], query);
      }
      assert.equal((await stack.api.call('POST', '/history', {})).status, 405);
      assert.equal((await request(`${stack.url}/api/history?topic=long:1`)).status, 401);
    });

    test('pollux history says the same', TIMEOUT, async () => {
      const topic = fresh('long');
      const positions = await publishMany(topic, 5);
      const run = (...args) => spawnSync(bin('pollux'), ['--config', path.join(stack.state, 'pollux.conf'), 'history', ...args], { encoding: 'utf8' });
      const r = run(topic, '--since', positions[1], '--limit', '2');
      assert.equal(r.status, 0, r.stderr);
      assert.deepEqual(JSON.parse(r.stdout), (await history(`topic=${topic}&since=${positions[1]}&limit=2`)).json);
      assert.deepEqual(JSON.parse(run(topic).stdout).messages.length, 5);
      const gone = run(topic, '--since', 'other:1');
      assert.equal(gone.status, 1);
      assert.match(gone.stderr, /^pollux history: .*does not reach back/);
      assert.equal(gone.stdout, '');
      assert.equal(run('plain:1').status, 1);
      assert.equal(run().status, 2);
      assert.equal(run(topic, '--since').status, 2);
      assert.match(run('--help').stdout, /--limit N/);
    });
  });
});
