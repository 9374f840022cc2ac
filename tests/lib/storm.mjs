// Long-poll sessions that do everything at once, over raw FastCGI, each with a book of what it was
// told; and an auditor that compares all books with the logs in Redis when the storm is over.
//
// A session is careful: it repeats a request that got no answer, with the token that it holds. It also
// polls twice at once, throws answers away as if they were lost, and posts the same twice, unless it
// is a gentle one.
import { FcgiConn } from './fcgi.mjs';
import { redisCommand } from './resp.mjs';
import { sleep } from './wait.mjs';

/** A generator of random numbers that a seed repeats (mulberry32). */
export function random(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { next, below, chance: (p) => next() < p, between: (a1, b) => a1 + next() * (b - a1), pick: (list) => list[below(list.length)] };
}

const OTHERS = /^others:/;

/** What all sessions share: a clock of events, and when each message was sent and acknowledged. */
export class Book {
  constructor() {
    this.tick = 0;
    this.messages = new Map(); // id -> {topic, by, sentAt, ackedAt}
    this.wrong = [];
  }

  now() {
    return ++this.tick;
  }

  complain(session, text) {
    if (this.wrong.length < 50) this.wrong.push(`session ${session.name}: ${text}`);
  }
}

export class StormSession {
  constructor(name, { where, mount, topics, book, rng, gentle = false, requestMs = 4000 }) {
    Object.assign(this, { name, where, mount, topics, book, rng, gentle, requestMs });
    this.ref = 0;
    this.pending = new Map(); // ref -> what was asked
    this.joined = new Map(); // topic -> join_ref, as far as it was sent
    this.open = new Map(); // topic -> membership, as far as it was answered
    this.memberships = [];
    this.seen = new Set();
    this.running = true;
    this.conns = new Set();
    this.stats = { polls: 0, posts: 0, repeated: 0, lost: 0, twice: 0, messages: 0 };
    this.slowest = { ms: 0 };
  }

  get rough() {
    return !this.calm && !this.gentle;
  }

  waited(what, since) {
    const ms = Date.now() - since;
    if (ms > this.slowest.ms) this.slowest = { ms, what };
  }

  wrong(text) {
    this.book.complain(this, text);
  }

  // ---- requests

  /** One request: the body, or null when no usable answer came. */
  async ask(req, cutAfterMs) {
    const conn = new FcgiConn(this.where);
    let timer;
    this.conns.add(conn);
    try {
      await conn.connect();
      conn.send(req);
      if (cutAfterMs !== undefined) timer = setTimeout(() => conn.abort(), cutAfterMs);
      const r = await conn.readResponse(this.requestMs);
      return r.status < 500 && r.json !== undefined ? r.json : null;
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
      this.conns.delete(conn);
      conn.abort();
    }
  }

  target(token) {
    return `${this.mount}/longpoll?vsn=2.0.0${token ? `&token=${token}` : ''}`;
  }

  async start() {
    for (let body = null; body === null; ) {
      body = await this.ask({ target: this.target() });
      if (body?.token) this.token = body.token;
    }
    this.polling = this.pollLoop();
    this.posting = this.postLoop();
  }

  // ---- polling

  async poll(cutAfterMs) {
    const token = this.token;
    this.stats.polls++;
    const body = await this.ask({ target: this.target(token) }, cutAfterMs);
    if (body === null || token !== this.token) return false; // none, or another one was faster
    if (body.status !== 200 && body.status !== 204) {
      this.wrong(`a poll was answered ${JSON.stringify(body).slice(0, 200)}`);
      this.running = false;
      return false;
    }
    if (this.rough && body.messages.length > 0 && this.rng.chance(0.05)) {
      this.stats.lost++; // on its way to us
      return true;
    }
    this.token = body.token;
    for (const text of body.messages) this.take(JSON.parse(text));
    return true;
  }

  async pollLoop() {
    while (this.running) {
      const { rough } = this;
      if (rough && this.rng.chance(0.05)) {
        this.stats.twice++;
        await Promise.all([this.poll(), sleep(this.rng.between(0, 30)).then(() => this.poll())]);
      } else if (!(await this.poll(rough && this.rng.chance(0.15) ? this.rng.between(0, 300) : undefined))) {
        this.stats.repeated++;
        await sleep(10);
      }
    }
  }

  // ---- posting

  ask1(kind, topic, event, payload, more = {}) {
    const ref = String(++this.ref);
    const joinRef = kind === 'join' ? ref : (this.joined.get(topic) ?? null);
    this.pending.set(ref, { kind, topic, joinRef, ms: Date.now(), ...more });
    if (kind === 'join') this.joined.set(topic, ref);
    return JSON.stringify([joinRef, ref, topic, event, payload]);
  }

  push(topic) {
    const id = `${this.name}.${this.ref + 1}`;
    this.book.messages.set(id, { topic, by: this.name, sentAt: this.book.now(), ackedAt: Infinity, ms: Date.now() });
    return this.ask1('push', topic, 'said', { id }, { id });
  }

  leave(topic) {
    const line = this.ask1('leave', topic, 'phx_leave', {});
    this.noteEnd(topic, 'leave');
    this.joined.delete(topic);
    return line;
  }

  join(topic) {
    const again = this.joined.has(topic);
    if (again) this.noteEnd(topic, 'rejoin');
    return this.ask1('join', topic, 'phx_join', {});
  }

  /** From now on we can't tell what the membership still gets. */
  noteEnd(topic, how) {
    const joinRef = this.joined.get(topic);
    this.ends ??= new Map();
    this.ends.set(joinRef, { at: this.book.now(), how });
  }

  line() {
    const topic = this.rng.pick(this.topics);
    const dice = this.rng.next();
    if (dice < 0.05) return this.ask1('heartbeat', 'phoenix', 'heartbeat', {});
    if (!this.joined.has(topic)) return this.join(topic);
    if (dice < 0.08) return this.join(topic);
    if (dice < 0.12) return this.leave(topic);
    return this.push(topic);
  }

  async postOnce(body) {
    const req = { method: 'POST', target: this.target(this.token), headers: { 'Content-Type': 'application/x-ndjson' }, body };
    const cut = this.rough && this.rng.chance(0.2) ? this.rng.between(0, 30) : undefined;
    if (!this.rough || !this.rng.chance(0.05)) return this.ask(req, cut);
    this.stats.twice++;
    const both = await Promise.all([this.ask(req, cut), this.ask(req)]);
    return both[0] ?? both[1];
  }

  /** Until it is answered. */
  async post(body) {
    this.stats.posts++;
    for (;;) {
      const answer = await this.postOnce(body);
      if (answer?.status === 200) return;
      if (answer && answer.status !== 408) {
        this.wrong(`a POST was answered ${JSON.stringify(answer).slice(0, 200)}`);
        return;
      }
      this.stats.repeated++;
      await sleep(20);
    }
  }

  async postLoop() {
    while (this.running && !this.calm) {
      const lines = Array.from({ length: 1 + this.rng.below(5) }, () => this.line());
      await this.post(lines.join('\n'));
      await sleep(this.gentle ? this.rng.between(20, 300) : this.rng.between(5, 60));
    }
  }

  // ---- what comes

  take([joinRef, ref, topic, event, payload]) {
    this.stats.messages++;
    if (event === 'phx_reply') this.takeReply(joinRef, ref, topic, payload);
    else if (event === 'phx_close') this.takeClose(joinRef, topic);
    else if (event === 'said') this.takeSaid(topic, payload.id);
    else this.wrong(`unexpected ${JSON.stringify([joinRef, ref, topic, event, payload])}`);
  }

  takeReply(joinRef, ref, topic, payload) {
    const asked = this.pending.get(ref);
    if (!asked) {
      this.wrong(`a second reply, or one that nobody asked for: ${topic} ref ${ref}`);
      return;
    }
    this.pending.delete(ref);
    this.waited(`the reply to ${asked.kind} ${topic} ref ${ref}`, asked.ms);
    if (payload.status !== 'ok') this.wrong(`${asked.kind} ${topic} ref ${ref} failed: ${JSON.stringify(payload)}`);
    if (asked.kind === 'join') this.opened(topic, joinRef);
    if (asked.kind !== 'push') return;
    this.book.messages.get(asked.id).ackedAt = this.book.now();
    if (!OTHERS.test(topic) && !this.seen.has(asked.id)) this.wrong(`the reply to ${asked.id} came before its broadcast on ${topic}`);
  }

  opened(topic, joinRef) {
    const m = { topic, joinRef, openedAt: this.book.now(), ids: [], before: this.open.get(topic) ?? null, closed: false };
    this.memberships.push(m);
    this.open.set(topic, m);
  }

  takeClose(joinRef, topic) {
    const m = this.memberships.findLast((x) => x.joinRef === joinRef);
    if (!m || m.closed) {
      this.wrong(`phx_close of ${topic} ${joinRef}, which is not open`);
      return;
    }
    m.closed = true;
    if (this.open.get(topic) === m) this.open.delete(topic);
  }

  takeSaid(topic, id) {
    const m = this.open.get(topic);
    const message = this.book.messages.get(id);
    if (!message || message.topic !== topic) this.wrong(`${id} on ${topic} is no message of ours`);
    if (this.seen.has(id)) this.wrong(`${id} came twice on ${topic}`);
    this.seen.add(id);
    if (message) this.waited(`${id} on ${topic}`, message.ms);
    if (!m) this.wrong(`${id} came while ${topic} was not joined`);
    else m.ids.push(id);
    if (OTHERS.test(topic) && message?.by === this.name) this.wrong(`${id} came back to its sender on ${topic}`);
  }

  /** What it waits for, or nothing. */
  unfinished() {
    if (this.pending.size > 0) return `${this.pending.size} replies, the first to ${JSON.stringify([...this.pending][0])}`;
    const m = this.memberships.find((x) => !x.closed && this.open.get(x.topic) !== x);
    return m ? `phx_close of ${m.topic} ${m.joinRef}` : null;
  }

  async settle() {
    this.calm = true;
    await this.posting;
  }

  /** A last message for everybody who is joined; its id. */
  async mark(topic) {
    const id = `${this.name}.${this.ref + 1}`;
    await this.post(this.push(topic));
    return id;
  }

  async stop() {
    this.running = false;
    for (const c of this.conns) if (c.conn.socket) c.abort();
    await Promise.all([this.polling, this.posting]);
  }
}

/** The ids in a topic's log, in order. */
export async function readLog(redis, topic) {
  const text = await redisCommand({ path: redis.socket }, 'XRANGE', `plx:{t:${topic}}:log`, '-', '+');
  return [...text.matchAll(/\{"id":"([^"]+)"\}/g)].map((m) => m[1]);
}

/** Once nobody joins or leaves any more: two members of each topic say a last word. */
export async function lastWords(sessions) {
  const ids = [];
  for (const topic of new Set(sessions.flatMap((s) => s.topics))) {
    const members = sessions.filter((s) => s.joined.has(topic)).slice(0, 2);
    for (const s of members) ids.push(await s.mark(topic));
  }
  return ids;
}

/** Who has not got one of the last words that are for him; null: nobody. */
export function missingWords(sessions, ids, book) {
  for (const id of ids) {
    const { topic, by } = book.messages.get(id);
    for (const s of sessions)
      if (s.open.has(topic) && !s.seen.has(id) && !(OTHERS.test(topic) && by === s.name)) return `session ${s.name} has not got ${id} on ${topic} (last: ${s.open.get(topic).ids.at(-1)})`;
  }
  return null;
}

/** Compares what one membership got with the log: in order, without a hole, from early enough on. */
function auditMembership(s, m, place, book) {
  const own = (id) => OTHERS.test(m.topic) && book.messages.get(id)?.by === s.name;
  const { log } = place;
  const end = s.ends?.get(m.joinRef);
  const got = new Set(m.ids);
  m.ids.forEach((id, i) => {
    if (i === 0) return;
    const [from, to] = [place.at.get(m.ids[i - 1]), place.at.get(id)];
    if (to <= from) s.wrong(`${id} after ${m.ids[i - 1]} on ${m.topic}: not the log's order`);
    for (let k = from + 1; k < to; k++) if (!own(log[k])) s.wrong(`${log[k]} is missing on ${m.topic} between ${m.ids[i - 1]} and ${id}`);
  });
  for (const id of log) {
    const message = book.messages.get(id);
    const due = message.sentAt > m.openedAt && (!end || message.ackedAt < end.at);
    if (due && !own(id) && !got.has(id)) s.wrong(`${id} never came on ${m.topic} (membership ${m.joinRef})`);
  }
  auditSuccession(s, m, place, own);
}

/** Between a membership and the one that it replaced nothing is lost. */
function auditSuccession(s, m, place, own) {
  const old = m.before;
  if (!old || s.ends?.get(old.joinRef)?.how !== 'rejoin' || old.ids.length === 0 || m.ids.length === 0) return;
  for (let k = place.at.get(old.ids.at(-1)) + 1; k < place.at.get(m.ids[0]); k++)
    if (!own(place.log[k])) s.wrong(`${place.log[k]} on ${m.topic} was lost by a rejoin`);
}

export function audit(sessions, logs, book) {
  const places = new Map();
  const inLogs = new Map();
  for (const [topic, log] of logs) {
    const at = new Map();
    log.forEach((id, i) => {
      if (inLogs.has(id)) book.complain({ name: '-' }, `${id} is twice in the log of ${topic}`);
      inLogs.set(id, topic);
      at.set(id, i);
    });
    places.set(topic, { log, at });
  }
  for (const [id, m] of book.messages) if (m.ackedAt < Infinity && inLogs.get(id) !== m.topic) book.complain({ name: m.by }, `${id} was acknowledged and is not in the log of ${m.topic}`);
  for (const s of sessions) for (const m of s.memberships) auditMembership(s, m, places.get(m.topic), book);
}
