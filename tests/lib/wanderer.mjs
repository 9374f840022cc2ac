// A client that is cut off again and again and goes on where it was: on either transport, with either
// serializer, at any worker. It writes down all that it is told; `judge` says whether that was right.
import assert from 'node:assert/strict';
import { request } from './http.mjs';
import { SLOW } from './stack.mjs';
import { sleep, until } from './wait.mjs';
import { openWs } from './ws.mjs';

const V1 = (m) => JSON.stringify({ topic: m[2], event: m[3], payload: m[4], ref: m[1], join_ref: m[0] });
const encode = (vsn, m) => (vsn === '1.0.0' ? V1(m) : JSON.stringify(m));

function decode(vsn, text) {
  const m = JSON.parse(text);
  if (vsn === '1.0.0') return { ref: m.ref, topic: m.topic, event: m.event, payload: m.payload };
  return { ref: m[1], topic: m[2], event: m[3], payload: m[4] };
}

export class Wanderer {
  /** where: {front, url} of a stack; path of the socket section; topic. */
  constructor(where, path, topic, { transports = ['websocket', 'longpoll'], vsns = ['2.0.0', '1.0.0'] } = {}) {
    Object.assign(this, { where, path, topic, transports, vsns });
    this.position = null;
    this.log = []; // {type: 'join', ...} | {type: 'message', ref, n} | {type: 'error'}
    this.numbers = [];
    this.cuts = 0;
    this.life = 0; // of the connection; what belongs to an older one is ignored
  }

  pick(list) {
    return list[Math.floor(Math.random() * list.length)];
  }

  /** Connects and joins, once. Resolves with true when the join was accepted. */
  async arrive() {
    const life = ++this.life;
    const vsn = this.pick(this.vsns);
    const transport = this.pick(this.transports);
    this.joined = false;
    this.failed = false;
    // known: offset of the last message that was surely published before this join.
    this.asked = { since: this.position, sent: Date.now(), known: this.publisher?.last ? offsetOf(this.publisher.last) : 0 };
    const join = encode(vsn, ['1', '1', this.topic, 'phx_join', this.position === null ? {} : { since: this.position }]);
    const take = (text) => this.life === life && this.take(decode(vsn, text));
    try {
      if (transport === 'websocket') await this.viaWebSocket(life, vsn, join, take);
      else await this.viaLongPoll(life, vsn, join, take);
    } catch {
      if (this.life === life) this.failed = true;
    }
  }

  async viaWebSocket(life, vsn, join, take) {
    const ws = await openWs(this.where.front, `${this.path}/websocket?vsn=${vsn}`);
    if (this.life !== life) return ws.destroy();
    this.cutNow = () => ws.destroy({ reset: Math.random() < 0.5 });
    ws.send(join);
    while (this.life === life) {
      const e = await ws.next(60000);
      if (e?.type === 'text') take(e.text);
      else if (this.life === life) throw new Error(`WebSocket: ${e?.type}`);
    }
  }

  async viaLongPoll(life, vsn, join, take) {
    const url = (token) => `${this.where.url}${this.path}/longpoll?vsn=${vsn}${token ? `&token=${token}` : ''}`;
    let conn;
    const call = async (u, options = {}) => {
      const r = await request(u, { ms: 20000, ...options, onConn: (c) => {
        conn = c;
      } });
      if (this.life !== life) throw new Error('cut');
      return r.json;
    };
    this.cutNow = () => conn?.abort({ reset: true });
    let { token, status } = await call(url());
    if (status !== 410) throw new Error(`connect: ${status}`);
    if ((await call(url(token), { method: 'POST', body: join })).status !== 200) throw new Error('join');
    while (this.life === life) {
      const body = await call(url(token));
      if (body.status !== 200 && body.status !== 204) throw new Error(`poll: ${body.status}`);
      token = body.token;
      for (const text of body.messages) take(text);
    }
  }

  take({ ref, topic, event, payload }) {
    if (topic !== this.topic) return;
    if (event === 'phx_reply' && payload.status === 'ok') {
      this.log.push({ type: 'join', ...this.asked, ...payload.response, replied: Date.now() });
      this.position = payload.response.position;
      this.joined = true;
    } else if (event === 'm') {
      this.log.push({ type: 'message', ref, n: payload.n });
      this.numbers.push(payload.n);
      this.position = ref;
    } else if (event === 'phx_error' || event === 'phx_close' || event === 'phx_reply') {
      this.log.push({ type: 'error', event, payload });
      this.failed = true;
    }
  }

  cut() {
    this.life++;
    this.cutNow?.();
    this.cutNow = null;
    this.joined = false;
  }

  /** Joins once and goes away: from now on it has a place. */
  async visit() {
    this.arrive();
    await until('the first join', () => this.joined, 10000 * SLOW);
    this.cut();
  }

  /** Cut off `cuts` times, each time after up to `up` ms, for up to `down` ms; then stays. */
  async wander(cuts, { up = 400, down = 300 } = {}) {
    while (this.cuts < cuts && !this.left) {
      this.arrive();
      const end = Date.now() + Math.random() * up;
      while (Date.now() < end && !this.failed) await sleep(5);
      this.cut();
      this.cuts++;
      await sleep(Math.random() * down);
    }
    this.staying = this.stay();
  }

  /** Keeps a connection until `leave`. */
  async stay() {
    while (!this.left) {
      this.arrive();
      while (!this.failed && !this.left) await sleep(10);
      this.cut();
      await sleep(100);
    }
  }

  async leave() {
    this.left = true;
    await this.staying;
    this.cut();
  }

  /** Waits until it is joined and has got everything up to a position. */
  reach(position, ms) {
    return until(`everything up to ${position} (last ${this.position})`, () => this.joined && this.position === position, ms);
  }

  get joins() {
    return this.log.filter((e) => e.type === 'join');
  }

  /**
   * Whether each message is the one after the client's place, which the joins tell: a place that was
   * recovered is the one that was asked for. numberAt: position -> number, as publishing told.
   */
  judge(numberAt) {
    let at = null;
    for (const e of this.log) {
      if (e.type === 'join') {
        assert.equal(e.since, at, 'the client asks with its own place');
        assert.equal('recovered' in e, at !== null, JSON.stringify(e));
        assert.match(e.position, /^[\w-]+:\d+$/);
        if (e.recovered) assert.equal(e.position, at, 'recovered: deliveries begin at since');
        at = e.position;
      } else if (e.type === 'message') {
        assert.equal(e.ref, next(at), `after ${at}`);
        assert.equal(e.n, numberAt.get(e.ref), `number at ${e.ref}`);
        at = e.ref;
      }
    }
  }
}

export const offsetOf = (position) => Number(position.split(':')[1]);
export const epochOf = (position) => position.split(':')[0];
const next = (position) => `${epochOf(position)}:${offsetOf(position) + 1}`;

/** Publishes 0, 1, 2 ... with keys, so that each number is published once whatever happens. */
export class Publisher {
  constructor(api, topic) {
    Object.assign(this, { api, topic });
    this.numberAt = new Map();
    this.n = 0;
    this.last = null; // position of number n - 1
  }

  async batch(count) {
    const items = Array.from({ length: count }, (_, i) => ({ topic: this.topic, event: 'm', payload: { n: this.n + i }, key: `k${this.n + i}` }));
    while (!this.stopped) {
      const r = await this.api.call('POST', '/publish', items, { ms: 10000 }).catch(() => null);
      if (r?.status === 200) {
        r.json.forEach(({ position }, i) => {
          assert.ok(!this.numberAt.has(position), `${position} was given twice`);
          this.numberAt.set(position, this.n + i);
        });
        this.n += count;
        this.last = r.json.at(-1).position;
        return;
      }
      await sleep(50);
    }
  }

  /** Up to `end` numbers, `perSecond` of them. pause/resume keep it still. */
  async run(end, perSecond) {
    const begun = Date.now();
    let still = 0;
    while (this.n < end && !this.stopped) {
      while (this.wanted) {
        this.paused = true;
        await sleep(5);
        still += 5;
      }
      this.paused = false;
      const due = Math.min(end, Math.ceil(((Date.now() - begun - still) / 1000) * perSecond));
      if (due > this.n) await this.batch(Math.min(20, due - this.n));
      else await sleep(3);
    }
  }

  async still(body) {
    this.wanted = true;
    await until('the publisher to pause', () => this.paused, 20000 * SLOW, 2);
    const result = await body();
    this.wanted = false;
    return result;
  }
}

export const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** Clients that wander while 0 ... messages - 1 are published; `meanwhile` does its mischief. */
export async function during(stack, topic, { messages = 5000, cuts = 50, clients = 2, perSecond = 280, ...moments }, meanwhile = async () => {}) {
  const publisher = new Publisher(stack.api, topic);
  const all = Array.from({ length: clients }, () => new Wanderer(stack, '/h', topic));
  for (const c of all) c.publisher = publisher;
  try {
    await Promise.all(all.map((c) => c.visit()));
    await Promise.all([publisher.run(messages, perSecond), meanwhile(publisher), ...all.map((c) => c.wander(cuts, moments))]);
    for (const c of all) await c.reach(publisher.last, 30000 * SLOW);
  } finally {
    publisher.stopped = true;
    publisher.wanted = false;
    for (const c of all) await c.leave();
  }
  for (const c of all) c.judge(publisher.numberAt);
  return { publisher, all };
}

/** Every number once, in order, and every join but the first recovered. */
export function assertComplete({ publisher, all }, joins = 13) {
  for (const c of all) {
    assert.deepEqual(c.numbers, upTo(publisher.n));
    assert.ok(c.joins.slice(1).every((j) => j.recovered === true));
    assert.ok(c.joins.length >= joins, `${c.joins.length} joins`);
  }
}
