// A raw HTTP/1.1 client: one socket, exact control over what goes out and when, and over how it
// ends. node:http would tidy requests up, retry, or hide half an answer; the tests need all of it.
import net from 'node:net';
import { within } from './wait.mjs';

const HEAD_END = Buffer.from('\r\n\r\n');

/** The bytes of a request. `host: null` leaves Host out; header values may be arrays. */
export function requestBytes({ method = 'GET', target = '/', headers = {}, body, version = 'HTTP/1.1', host = '127.0.0.1' }) {
  const lines = [`${method} ${target} ${version}`];
  if (host !== null) lines.push(`Host: ${host}`);
  for (const [name, value] of Object.entries(headers))
    for (const one of [value].flat()) lines.push(`${name}: ${one}`);
  const data = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  const names = Object.keys(headers).map((n) => n.toLowerCase());
  if ((data.length > 0 || ['POST', 'PUT', 'PATCH'].includes(method)) && !names.includes('content-length') && !names.includes('transfer-encoding'))
    lines.push(`Content-Length: ${data.length}`);
  return Buffer.concat([Buffer.from(lines.join('\r\n') + '\r\n\r\n', 'latin1'), data]);
}

export class HttpConn {
  /** `where`: {host, port} or {path} of a Unix socket. */
  constructor(where) {
    this.where = where;
    this.buffer = Buffer.alloc(0);
    this.ended = false; // the peer closed its side, or the connection broke
    this.error = null;
    this.wake = null;
  }

  async connect(ms = 10000) {
    this.socket = net.connect(this.where);
    this.socket.setNoDelay?.(true);
    this.socket.on('data', (d) => {
      this.buffer = this.buffer.length ? Buffer.concat([this.buffer, d]) : d;
      this.lastDataAt = performance.now();
      this.wake?.();
    });
    const over = (e) => {
      if (e instanceof Error) this.error ??= e;
      this.ended = true;
      this.wake?.();
    };
    this.socket.on('end', over);
    this.socket.on('close', over);
    await within(`connect to ${JSON.stringify(this.where)}`, ms, new Promise((resolve, reject) => {
      this.socket.once('connect', resolve);
      this.socket.once('error', reject);
    }));
    this.socket.on('error', over);
    return this;
  }

  write(bytes) {
    if (!this.ended) this.socket.write(bytes);
  }

  send(request) {
    this.write(requestBytes(request));
  }

  /** Ends the connection as a vanishing client does (reset: with RST, where TCP has one). */
  abort({ reset = false } = {}) {
    this.ended = true;
    if (reset && this.where.port) this.socket.resetAndDestroy();
    else this.socket.destroy();
    this.wake?.();
  }

  /** Waits until `done()` returns something other than undefined. */
  async wait(what, ms, done) {
    const end = Date.now() + ms;
    for (;;) {
      const value = done();
      if (value !== undefined) return value;
      const left = end - Date.now();
      if (left <= 0) throw new Error(`${what}: nothing within ${ms} ms (have ${JSON.stringify(this.buffer.toString('latin1').slice(0, 200))})`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = null;
    }
  }

  take(n) {
    const part = this.buffer.subarray(0, n);
    this.buffer = this.buffer.subarray(n);
    return part;
  }

  broken(what) {
    const e = new Error(`${what}: the connection ended early${this.error ? ` (${this.error.message})` : ''}`);
    e.code = 'EARLY_END';
    throw e;
  }

  async readHead(ms = 30000) {
    const end = await this.wait('response head', ms, () => {
      const i = this.buffer.indexOf(HEAD_END);
      if (i >= 0) return i;
      if (this.ended) this.broken('response head');
      return undefined;
    });
    const [first, ...lines] = this.take(end + 4).subarray(0, end).toString('latin1').split('\r\n');
    const m = /^HTTP\/1\.[01] (\d{3})/.exec(first);
    if (!m) throw new Error(`not an HTTP answer: ${first}`);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    return { status: Number(m[1]), headers };
  }

  /** The next whole response: {status, headers, body}. */
  async readResponse({ method = 'GET', ms = 30000 } = {}) {
    let head;
    do head = await this.readHead(ms);
    while (head.status >= 100 && head.status < 200 && head.status !== 101);
    return { ...head, body: await this.readBody(head, method, ms) };
  }

  async readBody({ status, headers }, method, ms) {
    if (method === 'HEAD' || status === 204 || status === 304 || status === 101) return Buffer.alloc(0);
    if (/chunked/i.test(headers['transfer-encoding'] ?? '')) return this.readChunks(ms);
    if ('content-length' in headers) return this.readBytes(Number(headers['content-length']), ms);
    await this.wait('end of the answer', ms, () => (this.ended ? true : undefined));
    return this.take(this.buffer.length);
  }

  async readBytes(n, ms) {
    await this.wait(`${n} bytes of body`, ms, () => {
      if (this.buffer.length >= n) return true;
      if (this.ended) this.broken('response body');
      return undefined;
    });
    return Buffer.from(this.take(n));
  }

  async readLine(ms) {
    const at = await this.wait('a line', ms, () => {
      const i = this.buffer.indexOf('\r\n');
      if (i >= 0) return i;
      if (this.ended) this.broken('chunk');
      return undefined;
    });
    return this.take(at + 2).subarray(0, at).toString('latin1');
  }

  async readChunks(ms) {
    const parts = [];
    for (;;) {
      const size = parseInt(await this.readLine(ms), 16);
      if (size > 0) parts.push(await this.readBytes(size, ms));
      await this.readLine(ms);
      if (size === 0) return Buffer.concat(parts);
    }
  }

  /** Waits for the server to close the connection. */
  async readEnd(ms = 20000) {
    await this.wait('end of the connection', ms, () => (this.ended ? true : undefined));
  }
}

const addressOf = (url) => ({ host: url.hostname, port: Number(url.port || 80) });

/**
 * One request on a connection of its own. `url` is absolute; returns {status, headers, body, text,
 * json, ms}. `json` is undefined when the body is none. A connection that ends early is an error
 * with code EARLY_END.
 */
export async function request(url, { method = 'GET', headers = {}, body, ms = 30000, onConn } = {}) {
  const u = new URL(url);
  // URL would re-encode the target: take it from the text, as the caller wrote it.
  const target = url.slice(url.indexOf(u.host) + u.host.length) || '/';
  const conn = await new HttpConn(addressOf(u)).connect();
  onConn?.(conn);
  const started = performance.now();
  try {
    conn.send({ method, target, headers: { ...headers, Connection: 'close' }, body, host: u.host });
    const r = await conn.readResponse({ method, ms });
    return finish(r, performance.now() - started);
  } finally {
    conn.abort();
  }
}

export function finish(r, elapsed) {
  const text = r.body.toString('utf8');
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { ...r, text, json, ms: elapsed };
}
