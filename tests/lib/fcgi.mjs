// A raw FastCGI client: it plays the web server, record by record, so that tests can stop in the
// middle of one, abort a parked request, or keep a connection.
import { HttpConn } from './http.mjs';

export const TYPE = { begin: 1, abort: 2, end: 3, params: 4, stdin: 5, stdout: 6, stderr: 7, data: 8, getValues: 9, getValuesResult: 10, unknown: 11 };

export function record(type, id, content = '', { version = 1, padding = 0 } = {}) {
  const data = Buffer.from(content);
  const head = Buffer.from([version, type, id >> 8, id & 255, data.length >> 8, data.length & 255, padding, 0]);
  return Buffer.concat([head, data, Buffer.alloc(padding)]);
}

const length = (n) => (n < 128 ? Buffer.from([n]) : Buffer.from([(n >>> 24) | 128, (n >> 16) & 255, (n >> 8) & 255, n & 255]));

export function pairs(object) {
  const parts = [];
  for (const [name, value] of Object.entries(object)) {
    const n = Buffer.from(name);
    const v = Buffer.from(String(value));
    parts.push(length(n.length), length(v.length), n, v);
  }
  return Buffer.concat(parts);
}

export const begin = (id, { keep = false, role = 1 } = {}) => record(TYPE.begin, id, [role >> 8, role & 255, keep ? 1 : 0, 0, 0, 0, 0, 0]);

/** A stream record sequence of any length, with its empty last record. */
export function stream(type, id, content) {
  const data = Buffer.from(content);
  const parts = [];
  for (let at = 0; at < data.length; at += 65528) parts.push(record(type, id, data.subarray(at, at + 65528)));
  return Buffer.concat([...parts, record(type, id)]);
}

/** CGI variables of a request, as a web server on 127.0.0.1 sets them. */
export function variables({ method = 'GET', target = '/', headers = {}, body }) {
  const [path, query = ''] = target.split('?');
  const env = {
    GATEWAY_INTERFACE: 'CGI/1.1', SERVER_PROTOCOL: 'HTTP/1.1', SERVER_SOFTWARE: 'test', REQUEST_METHOD: method, REQUEST_URI: target,
    SCRIPT_NAME: path, QUERY_STRING: query, REMOTE_ADDR: '127.0.0.1', SERVER_NAME: '127.0.0.1', SERVER_PORT: '80', HTTP_HOST: '127.0.0.1',
  };
  for (const [name, value] of Object.entries(headers)) {
    const key = name.toUpperCase().replaceAll('-', '_');
    env[key === 'CONTENT_TYPE' ? key : `HTTP_${key}`] = value;
  }
  if (body !== undefined) env.CONTENT_LENGTH = Buffer.byteLength(body);
  return env;
}

export class FcgiConn {
  /** `where`: {path} or {host, port}. */
  constructor(where) {
    this.conn = new HttpConn(where);
  }

  async connect() {
    await this.conn.connect();
    return this;
  }

  write(bytes) {
    this.conn.write(bytes);
  }

  abort(options) {
    this.conn.abort(options);
  }

  /** Sends a whole request. */
  send(req, { id = 1, keep = false } = {}) {
    this.write(Buffer.concat([begin(id, { keep }), stream(TYPE.params, id, pairs(variables(req))), stream(TYPE.stdin, id, req.body ?? '')]));
  }

  sendAbort(id = 1) {
    this.write(record(TYPE.abort, id));
  }

  /** The next record {type, id, data}; throws at the end of the connection. */
  async readRecord(ms = 30000) {
    return this.conn.wait('FastCGI record', ms, () => {
      const b = this.conn.buffer;
      if (b.length >= 8) {
        const n = b.readUInt16BE(4);
        if (b.length >= 8 + n + b[6]) {
          const r = { type: b[1], id: b.readUInt16BE(2), data: Buffer.from(b.subarray(8, 8 + n)) };
          this.conn.take(8 + n + b[6]);
          return r;
        }
      }
      if (this.conn.ended) this.conn.broken('FastCGI record');
      return undefined;
    });
  }

  /** Reads up to the end record: {status, headers, body, text, json, appStatus, protocolStatus}. */
  async readResponse(ms = 30000) {
    const out = [];
    for (;;) {
      const r = await this.readRecord(ms);
      if (r.type === TYPE.stdout) out.push(r.data);
      if (r.type !== TYPE.end) continue;
      return { ...cgiAnswer(Buffer.concat(out)), appStatus: r.data.readUInt32BE(0), protocolStatus: r.data[4] };
    }
  }
}

/** A CGI answer (headers, blank line, body) taken apart. */
export function cgiAnswer(bytes) {
  const text = bytes.toString('utf8');
  const m = /\r?\n\r?\n/.exec(text);
  const head = m ? text.slice(0, m.index) : '';
  const body = m ? text.slice(m.index + m[0].length) : text;
  const headers = {};
  for (const line of head.split(/\r?\n/).filter(Boolean)) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  let json;
  try {
    json = JSON.parse(body);
  } catch {
    json = undefined;
  }
  return { status: Number.parseInt(headers.status ?? '200', 10), headers, text: body, json };
}

/** One request on a connection of its own. */
export async function fcgiRequest(where, req, { ms = 30000 } = {}) {
  const c = await new FcgiConn(where).connect();
  try {
    c.send(req);
    return await c.readResponse(ms);
  } finally {
    c.abort();
  }
}
