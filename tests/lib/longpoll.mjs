// A long-poll client of our own. "Careful" means: a request whose answer did not come (connection
// cut, HTTP 5xx, no JSON) is sent again, unchanged, with the token that the client holds. That is all
// it takes to lose nothing; phoenix.js behind a proxy that repeats requests behaves the same.
//
// Whatever must never happen to such a client (410, 403, a body status 500, a repeated cursor) is
// kept in `trouble`.
import { request } from './http.mjs';
import { sleep } from './wait.mjs';

const GIVE_UP_MS = 30000;

export class LongPollClient {
  /** base: "http://host:port/socket/longpoll"; onMessage gets each message parsed. */
  constructor(base, { vsn = '2.0.0', params = {}, onMessage = () => {}, headerToken = false, requestMs = 20000 } = {}) {
    Object.assign(this, { base, vsn, params, onMessage, headerToken, requestMs });
    this.trouble = [];
    this.stats = { polls: 0, pollRetries: 0, posts: 0, postRetries: 0, cuts: 0 };
    this.queue = Promise.resolve();
    this.ref = 0;
    this.running = false;
  }

  url(token) {
    const query = new URLSearchParams({ ...this.params, vsn: this.vsn });
    if (token && !this.headerToken) query.append('token', token);
    return `${this.base}?${query}`;
  }

  headers(more = {}) {
    return this.token && this.headerToken ? { ...more, 'X-Phoenix-Longpoll-Token': this.token } : more;
  }

  /** Opens the session; returns the answer's body. */
  async open() {
    const r = await request(this.url(), { headers: { Accept: 'application/json' } });
    if (r.json?.status !== 410) throw new Error(`connect: HTTP ${r.status} ${r.text.slice(0, 200)}`);
    this.token = r.json.token;
    return r.json;
  }

  /** One poll, once: the body, or null when no usable answer came. */
  async pollOnce() {
    try {
      const r = await request(this.url(this.token), {
        headers: this.headers({ Accept: 'application/json' }), ms: this.requestMs, onConn: (c) => {
          this.pollConn = c;
          if (this.stopping) c.abort();
        },
      });
      return r.status < 500 && r.json !== undefined ? r.json : null;
    } catch {
      return null;
    } finally {
      this.pollConn = null;
    }
  }

  /** Polls until stop(); delivers what comes and takes over each new token. */
  start() {
    this.running = true;
    this.loop = this.pollLoop();
    return this;
  }

  /** Careful, but not for ever: a test that failed must end although nobody stops its clients. */
  async retry(what) {
    this.failingSince ??= Date.now();
    if (Date.now() - this.failingSince > GIVE_UP_MS) {
      this.trouble.push(`${what}: gave up after ${GIVE_UP_MS / 1000} s`);
      this.running = false;
      this.stopping = true;
    }
    await sleep(20);
    return !this.stopping;
  }

  async pollLoop() {
    while (this.running) {
      this.stats.polls++;
      const body = await this.pollOnce();
      if (!this.running) return;
      if (body === null) {
        this.stats.pollRetries++;
        await this.retry('poll');
        continue;
      }
      this.failingSince = undefined;
      if (body.status !== 200 && body.status !== 204) {
        this.trouble.push(`poll answered ${JSON.stringify(body).slice(0, 200)}`);
        return;
      }
      this.token = body.token;
      for (const text of body.messages) this.onMessage(JSON.parse(text), text);
    }
  }

  /** Cuts the connection of the poll that is under way, if any. */
  cut() {
    if (!this.pollConn) return;
    this.stats.cuts++;
    this.pollConn.abort({ reset: true });
  }

  /**
   * POSTs messages (arrays or texts), one POST after the other; repeats until answered. Resolves with
   * the body. `cutAfterMs`: this POST's connection is cut after that time, once.
   */
  send(messages, { cutAfterMs } = {}) {
    const body = messages.map((m) => (typeof m === 'string' ? m : JSON.stringify(m))).join('\n');
    this.queue = this.queue.then(() => this.post(body, cutAfterMs));
    return this.queue;
  }

  async post(body, cutAfterMs) {
    this.stats.posts++;
    for (let attempt = 0; ; attempt++) {
      const answer = await this.postOnce(body, attempt === 0 ? cutAfterMs : undefined);
      if (answer) this.failingSince = undefined;
      if (answer?.status === 200) return answer;
      if (answer && answer.status !== 408) {
        this.trouble.push(`POST answered ${JSON.stringify(answer).slice(0, 200)}`);
        return answer;
      }
      this.stats.postRetries++;
      if (!await this.retry('POST')) return null;
    }
  }

  async postOnce(body, cutAfterMs) {
    let timer;
    try {
      const r = await request(this.url(this.token), {
        method: 'POST', headers: this.headers({ 'Content-Type': 'application/x-ndjson' }), body, ms: this.requestMs, onConn: (c) => {
          if (cutAfterMs !== undefined) timer = setTimeout(() => c.abort({ reset: true }), cutAfterMs);
        },
      });
      return r.status < 500 && r.json !== undefined ? r.json : null;
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A message of this client with its next ref. */
  message(topic, event, payload, joinRef = '1') {
    return [joinRef, String(++this.ref), topic, event, payload];
  }

  async stop() {
    this.running = false;
    this.stopping = true;
    this.pollConn?.abort();
    await this.loop;
    await this.queue;
  }
}
