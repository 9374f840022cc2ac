// What long-polling does better than the recorded server (PROTOCOL, deliberate differences), and
// what no recording shows.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { listeners } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

const NDJSON = { 'Content-Type': 'application/x-ndjson' };
const TIMEOUT = { timeout: 30000 * SLOW };
let stack;
let counter = 0;
const fresh = (kind = 'room') => `${kind}:lp${counter++}`;
const base = (mount) => `${stack.url}${mount}/longpoll`;

/** A session by hand: each call is one request. */
class Session {
  constructor(mount, query = 'vsn=2.0.0') {
    this.base = base(mount);
    this.query = query;
  }

  async get(token, options) {
    const r = await request(`${this.base}?${this.query}${token === undefined ? '' : `&token=${token}`}`, options);
    return { ...r.json, http: r.status, ms: r.ms };
  }

  async open() {
    const r = await this.get();
    assert.equal(r.status, 410, JSON.stringify(r));
    this.token = r.token;
    return this;
  }

  async poll() {
    const r = await this.get(this.token);
    assert.ok(r.status === 200 || r.status === 204, JSON.stringify(r));
    this.token = r.token;
    return r.messages.map((m) => JSON.parse(m));
  }

  async post(messages, { token = this.token, headers = NDJSON } = {}) {
    const body = messages.map((m) => (typeof m === 'string' ? m : JSON.stringify(m))).join('\n');
    const r = await request(`${this.base}?${this.query}&token=${token}`, { method: 'POST', headers, body });
    return r.json;
  }

  async join(topic, ref = '1') {
    assert.deepEqual(await this.post([[ref, ref, topic, 'phx_join', {}]]), { status: 200 });
    assert.deepEqual(await this.poll(), [[ref, ref, topic, 'phx_reply', { response: {}, status: 'ok' }]]);
    return this;
  }
}

const session = (mount = '/relay') => new Session(mount).open();

describe('long-poll', { concurrency: 6 }, () => {
  before(async () => {
    stack = await startStack({ fcgi: 3, ws: 1 });
  });
  after(() => stack?.stop());

  test('a lost answer is given again to the same token, and again', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    for (let n = 0; n < 3; n++) await stack.api.publish(topic, 'm', { n });
    const held = s.token;
    const first = await s.get(held);
    const second = await s.get(held);
    const third = await s.get(held);
    assert.equal(first.messages.length, 3);
    assert.deepEqual(second.messages, first.messages);
    assert.deepEqual(third.messages, first.messages);
    await stack.api.publish(topic, 'm', { n: 3 });
    assert.deepEqual((await s.get(held)).messages, [...first.messages, `[null,null,"${topic}","m",{"n":3}]`]);
    s.token = first.token;
    assert.deepEqual(await s.poll(), [[null, null, topic, 'm', { n: 3 }]]);
  });

  test('a lost answer with a reply in it is given again, too', TIMEOUT, async () => {
    const topic = fresh('echo');
    const s = await (await session()).join(topic);
    await s.post([['1', '2', topic, 'e', { x: 1 }]]);
    const held = s.token;
    const first = await s.get(held);
    assert.equal(first.messages.length, 1);
    assert.deepEqual((await s.get(held)).messages, first.messages);
    s.token = first.token;
    await s.post([['1', '3', topic, 'e', { x: 2 }]]);
    assert.deepEqual((await s.poll()).map((m) => m[1]), ['3']);
  });

  test('an answer holds at most 500 messages; the rest follows', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    const batch = (from) => Array.from({ length: 300 }, (_, i) => ({ topic, event: 'm', payload: { n: from + i } }));
    for (const from of [0, 300]) assert.equal((await stack.api.call('POST', '/publish', batch(from))).status, 200);
    const first = await s.poll();
    const second = await s.poll();
    assert.ok(first.length <= 500, `${first.length} in one answer`);
    assert.deepEqual([...first, ...second].map((m) => m[4].n), Array.from({ length: 600 }, (_, n) => n));
  });

  test('a newer poll supersedes a parked one, which is answered 204 at once', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    const older = s.get(s.token);
    await sleep(300);
    const newer = s.get(s.token);
    const r = await older;
    assert.equal(r.status, 204);
    assert.ok(r.ms < 2800 * SLOW, `${r.ms} ms`); // its own window is 3 s
    await stack.api.publish(topic, 'm', { n: 1 });
    assert.equal((await newer).messages.length, 1);
  });

  test('two pollers on one token do not chase each other', TIMEOUT, async () => {
    const s = await session();
    let answers = 0;
    const end = Date.now() + 2500;
    const poller = async () => {
      while (Date.now() < end) {
        assert.equal((await s.get(s.token)).status, 204);
        answers++;
      }
    };
    await Promise.all([poller(), poller()]);
    assert.ok(answers <= 10, `${answers} answers in 2.5 s`);
  });

  test('a repeated POST is not handled twice', TIMEOUT, async () => {
    const topic = fresh('acked');
    const s = await (await session()).join(topic);
    const push = [['1', '2', topic, 'said', { n: 1 }], ['1', '3', topic, 'said', { n: 2 }]];
    for (let i = 0; i < 3; i++) assert.deepEqual(await s.post(push), { status: 200 });
    await s.post([['1', '4', topic, 'said', { n: 3 }]]);
    const got = [];
    while (got.length < 6) got.push(...await s.poll());
    assert.deepEqual(got.filter((m) => m[3] === 'said').map((m) => m[4].n), [1, 2, 3]);
    assert.deepEqual(got.filter((m) => m[3] === 'phx_reply').map((m) => m[1]), ['2', '3', '4']);
  });

  test('a push whose answers were lost, its own and that of the poll, is repeated: handled once, replied to again', TIMEOUT, async () => {
    const topic = fresh('acked');
    const s = await (await session()).join(topic);
    const other = await (await session()).join(topic);
    const held = s.token;
    const push = [['1', '2', topic, 'said', { n: 1 }]];
    await s.post(push);
    const lost = await s.get(held);
    assert.deepEqual(lost.messages.map((m) => JSON.parse(m)[3]), ['said', 'phx_reply']);
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(await s.post(push), { status: 200 });
      assert.deepEqual((await s.get(held)).messages, lost.messages);
    }
    // Once it has come nothing of it comes again, also when the push does.
    s.token = (await s.get(held)).token;
    assert.deepEqual(await s.post(push), { status: 200 });
    await s.post([['1', '3', topic, 'said', { n: 2 }]]);
    const got = [];
    while (got.length < 2) got.push(...await s.poll());
    assert.deepEqual(got.map((m) => [m[1], m[3]]), [[null, 'said'], ['3', 'phx_reply']]);
    const heard = [];
    while (heard.length < 2) heard.push(...await other.poll());
    assert.deepEqual(heard.map((m) => m[4].n), [1, 2]);
  });

  test('a message without a ref is handled each time it is sent', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    for (let i = 0; i < 2; i++) await s.post([['1', null, topic, 'said', { n: 1 }]]);
    const got = [];
    while (got.length < 2) got.push(...await s.poll());
    assert.equal(got.length, 2);
  });

  test('twenty POSTs at once are each handled once', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => s.post([['1', `${n + 2}`, topic, 'said', { n }]])));
    for (const a of answers) assert.deepEqual(a, { status: 200 });
    const got = [];
    while (got.length < 20) got.push(...await s.poll());
    assert.deepEqual(got.map((m) => m[4].n).sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n));
  });

  test('the parked poll of one session does not delay its POSTs', TIMEOUT, async () => {
    const s = await session();
    const poll = s.get(s.token);
    await sleep(100);
    const started = performance.now();
    assert.deepEqual(await s.post([[null, '1', 'phoenix', 'heartbeat', {}]]), { status: 200 });
    assert.ok(performance.now() - started < 2500 * SLOW); // the window is 3 s
    assert.deepEqual((await poll).messages, ['[null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]']);
  });

  test('replies come after the broadcasts that the push caused', TIMEOUT, async () => {
    const topic = fresh('acked');
    const s = await (await session()).join(topic);
    await s.post(Array.from({ length: 30 }, (_, n) => ['1', `${n + 2}`, topic, 'said', { n }]));
    const got = [];
    while (got.length < 60) got.push(...await s.poll());
    const seen = new Set();
    for (const [, ref, , event, payload] of got) {
      if (event === 'said') seen.add(payload.n);
      else assert.ok(seen.has(Number(ref) - 2), `reply ${ref} before its broadcast`);
    }
  });

  test('nothing of a topic precedes its join reply, nothing follows its phx_close', TIMEOUT, async () => {
    const topic = fresh();
    let flood = true;
    const publisher = (async () => {
      for (let n = 0; flood; n++) await stack.api.publish(topic, 'm', { n });
    })();
    try {
      for (let round = 0; round < 5; round++) {
        const s = await session();
        await s.post([['1', '1', topic, 'phx_join', {}]]);
        const got = await s.poll();
        while (got.length < 10) got.push(...await s.poll());
        assert.equal(got[0][3], 'phx_reply', 'the first is the join reply');
        const ns = got.slice(1).map((m) => m[4].n);
        assert.deepEqual(ns, ns.map((_, i) => ns[0] + i), 'then everything, in order');
        await s.post([['1', '2', topic, 'phx_leave', {}]]);
        while (!got.some((m) => m[3] === 'phx_close')) got.push(...await s.poll());
        await s.post([[null, '3', 'phoenix', 'heartbeat', {}]]);
        while (!got.some((m) => m[1] === '3')) got.push(...await s.poll());
        const closed = got.findIndex((m) => m[3] === 'phx_close');
        assert.deepEqual(got.slice(closed + 1).filter((m) => m[2] === topic), []);
      }
    } finally {
      flood = false;
      await publisher;
    }
  });

  test('what the log lost before it was polled is told with phx_error, or a worker remembers it; never silence', { timeout: 60000 * SLOW }, async () => {
    const topic = fresh();
    const [redis] = listeners(stack.pid('redis'));
    let told = 0;
    for (let round = 0; round < 12; round++) {
      const s = await (await session()).join(topic);
      for (let n = 0; n < 3; n++) await stack.api.publish(topic, 'm', { n });
      await redisCommand(redis, 'DEL', `plx:{t:${topic}}:log`);
      const got = await s.poll();
      if (got[0][3] === 'phx_error') {
        assert.equal(got.length, 1);
        told++;
        await s.join(topic, '5');
        await stack.api.publish(topic, 'm', { n: 7 });
        assert.deepEqual((await s.poll()).map((m) => m[4].n), [7]);
      } else assert.deepEqual(got.map((m) => m[4].n), [0, 1, 2]);
    }
    console.log(`lost log: ${told} of 12 polls were told, the others had it from memory`);
  });

  test('more messages than the log keeps, unpolled: phx_error, never a silent gap', { timeout: 60000 * SLOW }, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    for (let from = 0; from < 3000; from += 500) {
      const r = await stack.api.call('POST', '/publish', Array.from({ length: 500 }, (_, i) => ({ topic, event: 'm', payload: { n: from + i } })));
      assert.equal(r.status, 200);
    }
    const got = [];
    while (!got.some((m) => m[3] === 'phx_error') && got.length < 3000) got.push(...await s.poll());
    const ns = got.filter((m) => m[3] === 'm').map((m) => m[4].n);
    assert.deepEqual(ns, ns.map((_, i) => i), 'from the first on without a hole');
    assert.ok(got.at(-1)[3] === 'phx_error' || ns.length === 3000);
  });

  test('replies that nobody fetches end the session at a bound', { timeout: 60000 * SLOW }, async () => {
    const topic = fresh('echo');
    const s = await (await session()).join(topic);
    let ref = 2;
    let answer;
    for (let i = 0; i < 15; i++) {
      answer = await s.post(Array.from({ length: 100 }, () => ['1', `${ref++}`, topic, 'e', { x: 'y'.repeat(50) }]));
      if (answer.status !== 200) break;
    }
    assert.equal(answer.status, 410, 'past a thousand unfetched replies the session is over');
    assert.equal((await s.get(s.token)).status, 500);
  });

  test('the token may come twice in the query (the last is the session), and in a header (it wins)', TIMEOUT, async () => {
    const s = await session();
    const twice = new Session('/relay', 'token=of-the-application&vsn=2.0.0');
    const opened = await twice.get();
    assert.equal(opened.status, 410, 'without auth a stray token opens a session');
    twice.token = opened.token;
    assert.deepEqual(await twice.post([[null, '1', 'phoenix', 'heartbeat', {}]]), { status: 200 });
    assert.deepEqual((await twice.poll()).map((m) => m[1]), ['1']);

    await s.post([[null, '7', 'phoenix', 'heartbeat', {}]]);
    const byHeader = await request(`${base('/relay')}?vsn=2.0.0&token=${twice.token}`, { headers: { 'X-Phoenix-Longpoll-Token': s.token } });
    assert.deepEqual(byHeader.json.messages.map((m) => JSON.parse(m)[1]), ['7']);
  });

  test('binary pushes and broadcasts are skipped, the session stays healthy', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session('/socket')).join(topic);
    const { status } = await stack.api.call('POST', '/publish', { topic, event: 'b', payload_base64: 'AAH/' });
    assert.equal(status, 200);
    await stack.api.publish(topic, 'm', { n: 1 });
    assert.deepEqual(await s.poll(), [[null, null, topic, 'm', { n: 1 }]]);
  });

  test('a session that is not heard of for 30 s is gone: poll 500, POST 410', { timeout: 90000 }, async () => {
    const s = await (await session('/short')).join(fresh());
    await sleep(26000);
    assert.deepEqual(await s.post([[null, '2', 'phoenix', 'heartbeat', {}]]), { status: 200 }, 'alive after 26 s');
    await sleep(34000);
    assert.deepEqual(await s.post([[null, '3', 'phoenix', 'heartbeat', {}]]), { status: 410 });
    const r = await s.get(s.token);
    assert.deepEqual({ status: r.status, messages: r.messages }, { status: 500, messages: undefined });
  });

  test('V1 over ndjson, and V1 without any content type', TIMEOUT, async () => {
    const topic = fresh();
    const s = await new Session('/relay', 'vsn=1.0.0').open();
    const v1 = (event, ref, payload = {}) => JSON.stringify({ topic, event, payload, ref });
    assert.deepEqual(await s.post([v1('phx_join', '1'), v1('said', '2', { n: 1 })]), { status: 200 });
    const got = [];
    while (got.length < 2) got.push(...await s.poll());
    assert.deepEqual(got.map((m) => m.event), ['phx_reply', 'said']);
    assert.deepEqual(await s.post([v1('said', '3', { n: 2 })], { headers: {} }), { status: 200 });
    assert.deepEqual((await s.poll()).map((m) => m.payload), [{ n: 2 }]);
  });

  test('payload bytes are relayed as they were sent', TIMEOUT, async () => {
    const topic = fresh();
    const s = await (await session()).join(topic);
    const payload = '{"big":123456789012345678901234567890,"z":1.50e+1,"a":"\\u00e9\\/","a":2, "sp" : [ ]}';
    await s.post([`["1","2","${topic}","said",${payload}]`]);
    assert.deepEqual((await s.get(s.token)).messages, [`[null,null,"${topic}","said",${payload}]`]);
  });

  test('200 sessions in one room get one publish each, once', { timeout: 60000 * SLOW }, async () => {
    const topic = fresh();
    const clients = [];
    for (let i = 0; i < 200; i++) {
      const c = new LongPollClient(base('/socket'));
      c.got = [];
      c.onMessage = (m) => c.got.push(m[3]);
      clients.push(c);
    }
    for (let i = 0; i < clients.length; i += 25)
      await Promise.all(clients.slice(i, i + 25).map(async (c) => {
        await c.open();
        await c.send([c.message(topic, 'phx_join', {})]);
        c.start();
      }));
    await until('all joined', () => clients.every((c) => c.got.length === 1), 20000 * SLOW);
    await stack.api.publish(topic, 'm', {});
    await until('all told', () => clients.every((c) => c.got.length === 2), 20000 * SLOW);
    await Promise.all(clients.map((c) => c.stop()));
    for (const c of clients) assert.deepEqual([c.got, c.trouble], [['phx_reply', 'm'], []]);
  });
});
