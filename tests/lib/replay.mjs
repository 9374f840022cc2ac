// Replays one recording (tests/vectors/README.md) against a running system and compares.
//
// How strict: HTTP statuses, the headers that the protocol names, the members of long-poll answers,
// close codes, silence and the end of TCP must be as recorded. A message's envelope must be equal
// byte for byte. Its payload must be equal in value, and byte for byte either as recorded or as one
// of this recording's clients sent it: Pollux relays payloads with the bytes they came with, the
// recorded server re-encodes them. Binary frames must be equal byte for byte.
//
// What may differ stands in tests/vectors/deviations.json as a merge patch (RFC 7396) on the step;
// a patched step whose recorded outcome occurs after all fails, so that no entry outlives its reason.
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { request } from './http.mjs';
import { cutMessage, payloadText, sameValue } from './json.mjs';
import { SLOW } from './stack.mjs';
import { sleep } from './wait.mjs';
import { newKey, RawWs } from './ws.mjs';

const SOON_MS = 1000 * SLOW; // "at once": less than the shortest window would take, plus a margin
const HEADERS = ['content-type', 'access-control-allow-origin', 'access-control-allow-headers', 'access-control-allow-methods', 'access-control-max-age'];

/** RFC 7396. */
export function mergePatch(target, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const out = target !== null && typeof target === 'object' && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}

/** A step with its deviation: a merge patch, and `messages_append` for what comes in addition. */
function deviate(step, patch) {
  const out = mergePatch(step, patch);
  const body = out.response?.body;
  if (!body?.messages_append) return out;
  const { messages_append: more, ...rest } = body;
  return { ...out, response: { ...out.response, body: { ...rest, messages: [...rest.messages, ...more] } } };
}

const paddedHeartbeat = (bytes) => {
  const [head, tail] = ['[null,"1","phoenix","heartbeat",{"p":"', '"}]'];
  return head + 'x'.repeat(bytes - head.length - tail.length) + tail;
};

const isLongpoll = (path) => /^\/\w+\/longpoll/.test(path);

export class Replay {
  /**
   * front: {host, port} of the web server; ws: where WebSocket paths go (the same, or pollux-ws
   * itself); api: tests/lib/api.mjs; patches: {step index: patch}; sigterm: stops the WebSocket daemon.
   */
  constructor(recording, { front, ws, api, patches = {}, sigterm }) {
    Object.assign(this, { recording, front, ws, api, patches, sigterm });
    this.sockets = new Map(); // client -> RawWs
    this.tokens = new Map(); // "<token:N>" -> {value, seq}
    this.polls = new Map(); // name -> {promise, conn}
    this.sent = new Set(); // payload texts
    this.refs = new Map(); // "<phx_ref:N>" -> the ref that stands for it here
    this.seq = 0;
    this.used = []; // step indexes whose patch was needed
  }

  async run() {
    try {
      for (const [index, step] of this.recording.steps.entries()) await this.step(index, step);
    } finally {
      for (const s of this.sockets.values()) s.destroy();
      for (const p of this.polls.values()) p.conn?.abort();
    }
  }

  async step(index, recorded) {
    const patch = this.patches[index];
    const expected = patch ? deviate(recorded, patch) : recorded;
    const where = `step ${index} ${JSON.stringify(recorded).slice(0, 300)}`;
    try {
      const seen = await this.perform(expected, index);
      if (patch) this.checkStale(recorded, expected, seen);
      this.compare(expected, seen);
      if (patch) this.used.push(index);
      await this.settle(expected, seen);
    } catch (e) {
      throw new Error(`${where}:\n${e.message}`, { cause: e });
    }
  }

  /** A patch is stale when what was seen satisfies the recording. */
  checkStale(recorded, expected, seen) {
    if (Object.keys(recorded).find((k) => k in STEP) !== Object.keys(expected).find((k) => k in STEP)) return;
    try {
      this.compare(recorded, seen);
    } catch {
      return;
    }
    throw new Error('deviates no longer: remove its entry from deviations.json');
  }

  kind(step) {
    return Object.keys(STEP).find((k) => k in step);
  }

  perform(step, index) {
    const kind = this.kind(step);
    return kind ? STEP[kind].call(this, step, index) : undefined;
  }

  compare(step, seen) {
    const kind = this.kind(step);
    if (kind && COMPARE[kind]) COMPARE[kind].call(this, step, seen);
  }

  /** After a step that passed: learn tokens, or connect again where a client would. */
  async settle(step, seen) {
    const body = step.response?.body;
    if (step.reconnect) {
      const r = await request(this.url(step.http.path.replace(/&?token=[^&]*/, '')), {});
      assert.equal(r.json?.status, 410);
      this.tokens.set(step.reconnect, { value: r.json.token, seq: ++this.seq });
    } else if (body && typeof body.token === 'string') {
      for (const name of [body.token, step.alias]) {
        const known = this.tokens.get(name);
        if (name && (!known || known.seq < seen.seq)) this.tokens.set(name, { value: seen.json.token, seq: seen.seq });
      }
    }
  }

  fill(text) {
    return text.replace(/<token:\d+>/g, (name) => {
      const known = this.tokens.get(name);
      assert.ok(known, `${name} is not known yet`);
      return known.value;
    });
  }

  url(path) {
    const to = isLongpoll(path) ? this.front : this.ws;
    return `http://${to.host}:${to.port}${path}`;
  }

  socket(step) {
    const s = this.sockets.get(step.client ?? '');
    assert.ok(s, 'no such client');
    return s;
  }

  remember(text) {
    try {
      JSON.parse(text);
      const p = payloadText(text);
      if (p !== undefined) this.sent.add(p);
    } catch {
      // not a message: nothing to relay
    }
  }

  bodyOf(http) {
    const { body } = http;
    if (body === undefined) return undefined;
    if (typeof body === 'object') return paddedHeartbeat(body.bytes);
    for (const line of body.split(/\r?\n/)) this.remember(line);
    return body;
  }

  /** The recorded server's own routes are our API. */
  async applicationRoute(http) {
    if (http.path === '/broadcast') {
      this.remember(http.body);
      const { topic, event, payload } = JSON.parse(http.body);
      await this.broadcast(topic, event, payload);
    } else {
      await this.api.disconnect(`user_socket:${http.path.slice('/disconnect/'.length)}`);
    }
    return { application: true };
  }

  async broadcast(topic, event, payload) {
    const r = await this.api.call('POST', '/publish', { topic, event, payload });
    // A topic that no section routes is refused by our API; the recorded server let it pass unheard.
    assert.ok(r.status === 200 || (r.status === 404 && topic.startsWith('user_socket:')), `publish: ${r.status} ${r.text}`);
  }

  async http(step) {
    const { http } = step;
    if (/^\/(broadcast|disconnect)/.test(http.path)) return this.applicationRoute(http);
    if (!isLongpoll(http.path)) return this.upgrade(step);
    return this.longpoll(step);
  }

  async longpoll({ http }, onConn) {
    const seq = ++this.seq;
    const headers = Object.fromEntries(Object.entries(http.headers ?? {}).map(([k, v]) => [k, this.fill(v)]));
    const r = await request(this.url(this.fill(http.path)), { method: http.method, headers, body: this.bodyOf(http), ms: 20000 * SLOW, onConn });
    return { ...r, seq };
  }

  /** A request to a WebSocket path, with whatever headers the recording has. */
  async upgrade({ http, about = '' }) {
    const s = new RawWs(this.ws);
    const key = /not 16 bytes/.test(about) ? 'AQIDBA==' : newKey();
    const headers = Object.fromEntries(Object.entries(http.headers ?? {}).map(([k, v]) => [k, v.replace('<key>', key)]));
    const r = await s.connect(http.path, {
      bare: true, headers, key, method: http.method, version: http.version, host: /without Host/.test(about) ? null : undefined, ms: 5000 * SLOW,
    });
    s.destroy();
    return { ...r, text: (r.body ?? '').toString(), accepted: s.accepted };
  }

  async nextEvent(step, ms) {
    return (await this.socket(step).next(ms)) ?? { type: `silence for ${ms} ms` };
  }
}

const STEP = {
  async connect({ connect, client = '' }) {
    const s = new RawWs(this.ws);
    const query = new URLSearchParams(connect.query).toString();
    s.lastSentAt = performance.now();
    const r = await s.connect(`${connect.path}?${query}`, { headers: connect.headers, ms: 5000 * SLOW });
    this.sockets.get(client)?.destroy();
    if (r.status === 101) this.sockets.set(client, s);
    return { ...r, text: (r.body ?? '').toString(), accepted: s.accepted };
  },
  send(step) {
    const s = this.socket(step);
    const { send } = step;
    s.lastSentAt = performance.now();
    if (send.base64 !== undefined) return s.sendBinary(Buffer.from(send.base64, 'base64'));
    const text = send.text !== undefined && Object.keys(send).length === 1 ? send.text : JSON.stringify(send);
    this.remember(text);
    return s.send(text);
  },
  send_frame(step) {
    const s = this.socket(step);
    const { opcode, payload_base64: payload, ...options } = step.send_frame;
    s.lastSentAt = performance.now();
    s.sendFrame(opcode, typeof payload === 'object' ? paddedHeartbeat(payload.bytes) : Buffer.from(payload, 'base64'), options);
  },
  send_close(step) {
    const s = this.socket(step);
    if (step.send_close.raw_base64 !== undefined) s.sendFrame(8, Buffer.from(step.send_close.raw_base64, 'base64'));
    else s.sendClose(step.send_close.code, step.send_close.reason);
  },
  recv(step) {
    return this.nextEvent(step, 5000 * SLOW);
  },
  close(step) {
    return this.nextEvent(step, 5000 * SLOW);
  },
  tcp_after_close(step) {
    return this.nextEvent(step, 5000 * SLOW);
  },
  silence_ms(step) {
    return step.client === undefined && this.sockets.size === 0 ? sleep(step.silence_ms) : this.nextEvent(step, step.silence_ms);
  },
  wait_ms(step) {
    return sleep(step.wait_ms);
  },
  poll_start(step, index) {
    const { steps } = this.recording;
    const end = steps.slice(index).find((s) => s.poll_end === step.poll_start) ??
      steps.slice(0, index).reverse().find((s) => s.http?.method === 'GET' && s.client === step.client);
    const poll = {};
    poll.promise = this.longpoll(end, (conn) => {
      poll.conn = conn;
    });
    poll.promise.catch(() => {}); // an aborted one
    this.polls.set(step.poll_start, poll);
    // It must have arrived before the next step, be answered when there is something for it, and else
    // still be held: /short does that for a second, and two polls may be started in it.
    const ms = end.http.path.startsWith('/short/') ? 200 : 300 * SLOW;
    return Promise.race([poll.promise.then(() => {}, () => {}), sleep(ms)]);
  },
  poll_abort(step) {
    this.polls.get(step.poll_abort).conn.abort();
    return sleep(100);
  },
  tcp_close_by_client(step) {
    this.socket(step).destroy();
  },
  server() {
    return this.sigterm();
  },
  http(step) {
    return step.poll_end ? this.polls.get(step.poll_end).promise : this.http(step);
  },
  elapsed_ms_about(step) {
    const s = this.socket(step);
    return s.conn.lastDataAt - s.lastSentAt;
  },
};

const COMPARE = {
  connect({ response }, seen) {
    compareHandshake(response, seen);
  },
  http({ http, response }, seen) {
    if (seen.application) return;
    if (isLongpoll(http.path)) compareLongpoll.call(this, http, response, seen);
    else compareHandshake(response, seen);
  },
  recv({ recv, raw }, seen) {
    if (recv.pong !== undefined) return compareData('pong', recv.pong, seen);
    if (recv.base64 !== undefined) return compareData('binary', recv.base64, seen);
    assert.equal(seen.type, 'text', `expected ${raw}, got ${describe(seen)}`);
    compareMessage(seen.text, raw, this);
  },
  close({ close }, seen) {
    if (close.code === null) return assert.equal(seen.type, 'eof', describe(seen));
    assert.equal(seen.type, 'close', `expected close ${close.code}, got ${describe(seen)}`);
    assert.deepEqual({ code: seen.code, reason: seen.reason }, { code: close.code, reason: close.reason });
  },
  tcp_after_close(step, seen) {
    assert.equal(seen.type, 'eof', `expected the end of TCP, got ${describe(seen)}`);
  },
  silence_ms(step, seen) {
    if (seen) assert.match(seen.type, /^silence/, `expected silence, got ${describe(seen)}`);
  },
  elapsed_ms_about(step, seen) {
    const about = step.elapsed_ms_about;
    if (about > 0) assert.ok(seen > about * 0.9 && seen < about + SOON_MS, `closed after ${seen} ms, expected about ${about}`);
  },
};

const describe = (e) => JSON.stringify({ ...e, data: undefined }).slice(0, 400);

function compareData(type, base64, seen) {
  assert.equal(seen.type, type, describe(seen));
  assert.equal(seen.data.toString('base64'), base64);
}

/** Equal in value, where <phx_ref:N> stands for one and the same ref throughout the recording. */
function sameWithRefs(actual, expected, refs) {
  if (typeof expected === 'string' && /^<phx_ref:\d+>$/.test(expected)) {
    if (typeof actual !== 'string' || actual.length < 8) return false;
    if (!refs.has(expected)) {
      if ([...refs.values()].includes(actual)) return false;
      refs.set(expected, actual);
    }
    return refs.get(expected) === actual;
  }
  if (Array.isArray(expected)) return Array.isArray(actual) && actual.length === expected.length && expected.every((e, i) => sameWithRefs(actual[i], e, refs));
  if (expected === null || typeof expected !== 'object') return actual === expected;
  if (actual === null || typeof actual !== 'object' || Array.isArray(actual)) return false;
  const keys = Object.keys(expected);
  return Object.keys(actual).length === keys.length && keys.every((k) => k in actual && sameWithRefs(actual[k], expected[k], refs));
}

function compareMessage(actual, expected, { sent, refs }) {
  let a;
  try {
    a = cutMessage(actual);
  } catch {
    assert.equal(actual, expected);
  }
  const e = cutMessage(expected);
  assert.equal(a.envelope, e.envelope, 'envelope');
  if (a.payload === e.payload) return;
  if (e.payload.includes('<phx_ref:'))
    return assert.ok(sameWithRefs(JSON.parse(a.payload), JSON.parse(e.payload), refs), `payload ${a.payload} is not ${e.payload}`);
  assert.ok(sent.has(a.payload), `payload ${a.payload} is neither as recorded (${e.payload}) nor as it was sent`);
  assert.ok(sameValue(JSON.parse(a.payload), JSON.parse(e.payload)), `payload ${a.payload} is not ${e.payload}`);
}

function compareHandshake(expected, seen) {
  assert.equal(seen.status, expected.status, `HTTP ${seen.status} ${seen.text}`);
  const header = (r, name) => r.headers[name];
  if (expected.status === 101) {
    assert.ok(seen.accepted, 'sec-websocket-accept');
    assert.equal(header(seen, 'upgrade').toLowerCase(), 'websocket');
    assert.match(header(seen, 'connection'), /upgrade/i);
    assert.equal(header(seen, 'sec-websocket-protocol'), header(expected, 'sec-websocket-protocol'));
    // Which parameters of permessage-deflate a server answers is its own business (RFC 7692 7.1).
    const extension = (r) => header(r, 'sec-websocket-extensions')?.split(';')[0].trim();
    assert.equal(extension(seen), extension(expected));
  } else if (expected.status === 403) {
    assert.equal(seen.text, '', 'body of a refusal');
  }
}

function compareLongpoll(http, expected, seen) {
  assert.equal(seen.status, expected.status, `HTTP ${seen.status} ${seen.text.slice(0, 300)}`);
  // Errors outside the protocol (400, 404) are the web framework's: only their status counts.
  if (expected.status !== 200) return;
  for (const name of HEADERS) assert.equal(seen.headers[name] ?? '', expected.headers[name] ?? '', `header ${name}`);
  if (expected.headers['cache-control'] === 'no-store') assert.equal(seen.headers['cache-control'], 'no-store');
  compareTime(expected, seen);
  if (expected.body === undefined || expected.body === '') assert.equal(seen.text, '');
  else compareBody.call(this, expected.body, seen);
}

/** Only a poll's window is a promise; the recorded 410s were slow because that server asked its cluster. */
function compareTime({ body, elapsed_ms_about: about }, { ms }) {
  if (body?.status === 204 && about > 0) assert.ok(ms > about * 0.9 && ms < about + SOON_MS, `took ${ms} ms, expected about ${about}`);
  else assert.ok(ms < SOON_MS, `took ${ms} ms, expected at once`);
}

function compareBody(expected, seen) {
  assert.ok(seen.json, `not JSON: ${seen.text.slice(0, 300)}`);
  assert.equal(seen.json.status, expected.status, seen.text.slice(0, 400));
  assert.deepEqual(Object.keys(seen.json).sort(), Object.keys(expected).sort());
  if (expected.token !== undefined) {
    assert.match(seen.json.token, /^[\w-]+$/, 'token: URL-safe base64');
    const others = [...this.tokens].filter(([name]) => name !== expected.token).map(([, t]) => t.value);
    assert.ok(!others.includes(seen.json.token), 'token of another session');
  }
  if (expected.messages === undefined) return;
  assert.equal(seen.json.messages.length, expected.messages.length, seen.text.slice(0, 1000));
  const [a, e] = [byTopic(seen.json.messages), byTopic(expected.messages)];
  for (const [i, m] of e.entries()) compareMessage(a[i], m, this);
}

/** The messages topic by topic: order is promised within a topic, not between them. */
function byTopic(messages) {
  const groups = new Map();
  for (const text of messages) {
    let m;
    try {
      m = JSON.parse(text);
    } catch {
      m = []; // a recorded binary reply
    }
    const topic = JSON.stringify(Array.isArray(m) ? m[2] : m.topic) ?? '';
    groups.set(topic, [...(groups.get(topic) ?? []), text]);
  }
  return [...groups.keys()].sort().flatMap((t) => groups.get(t));
}

/** What other recordings must not touch meanwhile: topics that are broadcast to, and user ids. */
export function resources(recording) {
  const text = JSON.stringify(recording.steps);
  const found = new Set(text.match(/\b(room|quiet|lobby):\w+/g) ?? []);
  for (const m of text.matchAll(/user_id"?[:=]"?(\w+)/g)) found.add(`user:${m[1]}`);
  for (const s of recording.steps) {
    const b = s.send?.base64;
    if (b) for (const t of Buffer.from(b, 'base64').toString('latin1').match(/(room|quiet):[a-z]{1,6}/g) ?? []) found.add(t.slice(0, 6));
  }
  return found;
}
