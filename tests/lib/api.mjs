// The server's own HTTP API, as an application would call it.
import assert from 'node:assert/strict';
import { request } from './http.mjs';

export class Api {
  constructor(base, key) {
    this.base = base; // e.g. http://127.0.0.1:4000/api
    this.key = key;
  }

  call(method, path, body, { headers = {}, ms = 30000 } = {}) {
    return request(this.base + path, {
      method,
      headers: { Authorization: `Bearer ${this.key}`, 'Content-Type': 'application/json', ...headers },
      body: body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      ms,
    });
  }

  /** Publishes; returns the position (or positions). */
  async publish(topic, event, payload, extra = {}) {
    const r = await this.call('POST', '/publish', { topic, event, payload, ...extra });
    assert.equal(r.status, 200, `publish to ${topic}: HTTP ${r.status} ${r.text}`);
    return r.json.position;
  }

  /** Forces a disconnect; returns how many sockets were told. */
  async disconnect(id) {
    const r = await this.call('POST', '/disconnect', { id });
    assert.equal(r.status, 200, `disconnect ${id}: HTTP ${r.status} ${r.text}`);
    return r.json.sockets;
  }

  health(ms) {
    return this.call('GET', '/health', undefined, { ms });
  }
}
