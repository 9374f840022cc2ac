// A raw WebSocket client (RFC 6455): frames are made by hand, nothing is answered by itself, and
// what arrives is a plain list of events, so that a test can send what no library would send and
// see what no library would show.
//
// Events: {type: 'text' | 'binary' | 'ping' | 'pong', data, rsv1}, {type: 'close', code, reason},
// {type: 'eof'} once the server has closed the TCP connection (reset: true when it was reset).
import crypto from 'node:crypto';
import zlib from 'node:zlib';
import { HttpConn } from './http.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TYPES = { 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };
export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export const newKey = () => crypto.randomBytes(16).toString('base64');
export const acceptOf = (key) => crypto.createHash('sha1').update(key + GUID).digest('base64');

/** The bytes of one frame. `rsv` is the three reserved bits as a number (4 = RSV1). */
export function frame(opcode, payload, { fin = true, rsv = 0, mask = true, maskKey } = {}) {
  const data = Buffer.from(payload);
  const n = data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const m = mask ? 0x80 : 0;
  if (n < 126) head.push(m | n);
  else if (n < 65536) head.push(m | 126, n >> 8, n & 255);
  else {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(n));
    head.push(m | 127, ...size);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), data]);
  const key = maskKey ?? crypto.randomBytes(4);
  const masked = Buffer.allocUnsafe(n);
  for (let i = 0; i < n; i++) masked[i] = data[i] ^ key[i & 3];
  return Buffer.concat([Buffer.from(head), key, masked]);
}

export class RawWs {
  /** `where`: {host, port}. */
  constructor(where) {
    this.conn = new HttpConn(where);
    this.events = [];
    this.parts = []; // of a fragmented message
    this.partial = null;
  }

  /** Sends the handshake; returns the HTTP answer ({status, headers, body?}). */
  async connect(target, { headers = {}, key = newKey(), method = 'GET', version = 'HTTP/1.1', host, bare = false, ms = 20000 } = {}) {
    await this.conn.connect();
    const upgrade = bare
      ? {}
      : { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key };
    this.conn.send({ method, target, version, host, headers: { ...upgrade, ...headers } });
    const head = await this.conn.readHead(ms);
    if (head.status !== 101) {
      const body = await this.conn.readBody(head, method, ms);
      this.conn.abort();
      return { ...head, body };
    }
    this.accepted = head.headers['sec-websocket-accept'] === acceptOf(key);
    this.deflate = /permessage-deflate/.test(head.headers['sec-websocket-extensions'] ?? '');
    return head;
  }

  send(text) {
    this.sendFrame(OP.text, text);
  }

  sendBinary(data) {
    this.sendFrame(OP.binary, data);
  }

  sendFrame(opcode, payload, options) {
    this.conn.write(frame(opcode, payload, options));
  }

  /** A text message compressed by itself (no context takeover needed from the server's view). */
  sendDeflated(text) {
    const packed = zlib.deflateRawSync(Buffer.from(text), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
    this.sendFrame(OP.text, packed.subarray(0, packed.length - 4), { rsv: 4 });
  }

  sendClose(code, reason = '') {
    const body = Buffer.alloc(2 + Buffer.byteLength(reason));
    body.writeUInt16BE(code);
    body.write(reason, 2);
    this.sendFrame(OP.close, body);
  }

  destroy(options) {
    this.conn.abort(options);
  }

  /** The next event, or null when none comes within `ms`. */
  async next(ms = 20000) {
    try {
      return await this.conn.wait('frame', ms, () => this.parse());
    } catch (e) {
      if (/^frame: nothing within/.test(e.message)) return null;
      throw e;
    }
  }

  parse() {
    for (;;) {
      const f = this.parseFrame();
      if (f === undefined) return this.eof();
      const event = this.assemble(f);
      if (event) return event;
    }
  }

  eof() {
    if (!this.conn.ended) return undefined;
    return { type: 'eof', reset: this.conn.error?.code === 'ECONNRESET' };
  }

  parseFrame() {
    const b = this.conn.buffer;
    if (b.length < 2) return undefined;
    if (b[1] & 0x80) throw new Error('the server masked a frame');
    let n = b[1] & 0x7f;
    let at = 2;
    if (n === 126) {
      if (b.length < 4) return undefined;
      n = b.readUInt16BE(2);
      at = 4;
    } else if (n === 127) {
      if (b.length < 10) return undefined;
      n = Number(b.readBigUInt64BE(2));
      at = 10;
    }
    if (b.length < at + n) return undefined;
    const f = { fin: (b[0] & 0x80) !== 0, rsv: (b[0] >> 4) & 7, opcode: b[0] & 15, data: Buffer.from(b.subarray(at, at + n)) };
    this.conn.take(at + n);
    return f;
  }

  assemble(f) {
    if (f.opcode === OP.close) {
      const code = f.data.length >= 2 ? f.data.readUInt16BE(0) : null;
      return { type: 'close', code, reason: f.data.subarray(2).toString('utf8') };
    }
    if (f.opcode > 8) return { type: TYPES[f.opcode] ?? `opcode ${f.opcode}`, data: f.data };
    if (f.opcode !== OP.continuation) this.partial = { opcode: f.opcode, rsv: f.rsv };
    this.parts.push(f.data);
    if (!f.fin) return null;
    let data = Buffer.concat(this.parts);
    this.parts = [];
    const rsv1 = (this.partial.rsv & 4) !== 0;
    if (rsv1) data = this.inflate(data);
    return { type: TYPES[this.partial.opcode] ?? `opcode ${this.partial.opcode}`, data, text: data.toString('utf8'), rsv1 };
  }

  /** Inflates with the history of earlier messages as dictionary (context takeover). */
  inflate(data) {
    const whole = Buffer.concat([data, Buffer.from([0, 0, 255, 255])]);
    const out = zlib.inflateRawSync(whole, { finishFlush: zlib.constants.Z_SYNC_FLUSH, dictionary: this.history });
    this.history = Buffer.concat([this.history ?? Buffer.alloc(0), out]).subarray(-32768);
    return out;
  }
}

/** An open V2 (or V1) connection, or an error that names the refusal. */
export async function openWs(where, target, options) {
  const ws = new RawWs(where);
  const r = await ws.connect(target, options);
  if (r.status !== 101) throw new Error(`WebSocket refused: HTTP ${r.status}`);
  return ws;
}
