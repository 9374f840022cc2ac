// Wrong input on every entrance: a clear error, bounded memory, and other clients left alone
// (promise 7). The FastCGI records themselves are in fcgi.test.mjs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HttpConn, request } from '../lib/http.mjs';
import { cpuMs, rssBytes } from '../lib/proc.mjs';
import { Redis, startWs } from '../lib/servers.mjs';
import { API_KEY, bin, BUILD, configText, ROOT, SANITIZED, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep } from '../lib/wait.mjs';
import { frame, openWs, RawWs } from '../lib/ws.mjs';

let stack;
let ws; // address of pollux-ws
let witness; // a client that must not notice anything
const TIMEOUT = { timeout: 60000 * SLOW };
const UPGRADE = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const HEARTBEAT = '[null,"1","phoenix","heartbeat",{}]';
const MB = 1048576;

async function assertUnharmed(what) {
  witness.send('["1","w","room:witness","echo",{}]');
  const e = await witness.next(3000 * SLOW);
  assert.equal(e?.text, '["1","w","room:witness","phx_reply",{"response":{},"status":"ok"}]', `${what}: the witness got ${JSON.stringify(e)}`);
}

/** Sends raw bytes to pollux-ws; returns {status, ended} of what came back. */
async function rawHead(bytes, ms = 3000 * SLOW) {
  const c = await new HttpConn(ws).connect();
  try {
    c.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    const head = await c.readHead(ms).catch((e) => ({ status: e.code === 'EARLY_END' ? 'closed' : e.message }));
    return head.status;
  } finally {
    c.abort();
  }
}

const rssOf = (name) => Math.max(...stack.workers(name).map(rssBytes));

/** Resident memory has grown by less than `bytes` (a sanitizer keeps freed memory: nothing to see). */
function assertGrew(name, before, bytes) {
  const grown = rssOf(name) - before;
  assert.ok(SANITIZED || grown < bytes, `${name} grew by ${grown} bytes`);
}

describe('bad input', () => {
  before(async () => {
    stack = await startStack({ fcgi: 1, ws: 1 });
    ws = stack.address('ws');
    witness = await openWs(ws, '/socket/websocket?vsn=2.0.0');
    witness.send('["1","1","room:witness","phx_join",{}]');
    assert.match((await witness.next(5000)).text, /"ok"/);
  });
  after(async () => {
    witness?.destroy();
    await stack?.stop();
  });

  describe('HTTP head of a WebSocket', () => {
    const refused = {
      'garbage': 'garbage\r\n\r\n',
      'no version': 'GET /socket/websocket?vsn=2.0.0\r\n\r\n',
      'a lower-case version': `GET /socket/websocket?vsn=2.0.0 http/1.1\r\nHost: x\r\n${UPGRADE}\r\n`,
      'a NUL in the target': `GET /socket/\0websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n${UPGRADE}\r\n`,
      'a header without colon': `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nnonsense\r\n${UPGRADE}\r\n`,
      'a space before the colon': `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost : x\r\n${UPGRADE}\r\n`,
      'a folded header': `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n${UPGRADE}\r\n`,
      'two keys': `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n${UPGRADE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      'a TLS hello': Buffer.from('16030100a5010000a10303', 'hex'),
    };
    for (const [what, bytes] of Object.entries(refused))
      test(`${what} is refused`, TIMEOUT, async () => {
        const status = await rawHead(Buffer.isBuffer(bytes) ? Buffer.concat([bytes, Buffer.from('\r\n\r\n')]) : bytes);
        assert.ok(status === 'closed' || (status >= 400 && status < 500), `${what}: ${status}`);
        await assertUnharmed(what);
      });

    test('a head of 64 KB is refused, and so is one that never ends', TIMEOUT, async () => {
      const big = `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n${UPGRADE}X-Big: ${'a'.repeat(65536)}\r\n\r\n`;
      const status = await rawHead(big);
      assert.ok(status === 'closed' || [400, 413, 414, 431].includes(status), `64 KB: ${status}`);
      const c = await new HttpConn(ws).connect();
      c.write('GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\n');
      for (let i = 0; i < 300 && !c.ended; i++) {
        c.write(`X-${i}: ${'b'.repeat(1000)}\r\n`);
        await sleep(1);
      }
      await c.readEnd(5000 * SLOW);
      await assertUnharmed('big heads');
    });

    test('50 slow heads hold up nobody, cost no CPU, and are ended', { timeout: 120000 * SLOW }, async () => {
      const conns = [];
      for (let i = 0; i < 50; i++) conns.push(await new HttpConn(ws).connect());
      const head = `GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n`;
      const [pid] = stack.workers('ws');
      const before = cpuMs(pid);
      for (let i = 0; i < 30; i++) {
        for (const c of conns) c.write(head[i]);
        await sleep(50);
        if (i % 10 === 0) (await openWs(ws, '/socket/websocket?vsn=2.0.0')).destroy();
      }
      assert.ok(cpuMs(pid) - before < 400 * SLOW, `${cpuMs(pid) - before} ms of CPU`);
      await assertUnharmed('slow heads');
      await Promise.all(conns.map((c) => c.readEnd(70000)));
    });

    test('60 silent peers with 64 descriptors: each new one takes the place of the one silent for longest', { timeout: 120000 * SLOW }, async () => {
      const dir = tempDir('silent');
      const redis = await new Redis(dir, { durable: false }).start();
      const config = path.join(dir, 'pollux.conf');
      fs.writeFileSync(config, `redis { url = "${redis.url}" }\nsecret = "0123456789abcdef0123456789abcdef"\nsocket "/socket" { check_origin = { "any" }\n channel "room:*" { } }\n`);
      const few = await startWs(dir, config, { under: ['sh', '-c', 'ulimit -n 64; exec "$0" "$@"'] });
      const silent = [];
      try {
        const since = performance.now();
        for (let i = 0; i < 60; i++) silent.push(await new HttpConn(few.where).connect());
        const guests = [];
        for (let i = 0; i < 3; i++) guests.push(await openWs(few.where, '/socket/websocket?vsn=2.0.0'));
        const inTime = performance.now() - since < 9000; // then none of the heads' own time is over
        assert.match(few.program.text, /closing the connection that has waited for longest/);
        for (const g of guests) {
          g.send(HEARTBEAT);
          assert.match((await g.next(5000 * SLOW)).text, /"ok"/);
        }
        const ended = silent.filter((c) => c.ended).length;
        if (inTime) assert.ok(ended < 40, `${ended} of 60 were closed, which is more than was needed`);
        for (const g of guests) g.destroy();
      } finally {
        for (const c of silent) c.abort();
        await few.program.stop();
        await redis.stop();
        fs.rmSync(dir, { recursive: true, force: true });
      }
    });

    test('a refused handshake with a huge body behind it, or none of it', TIMEOUT, async () => {
      const status = await rawHead(`POST /socket/websocket HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n${'z'.repeat(100000)}`);
      assert.ok(status === 'closed' || status === 400, `${status}`);
      await assertUnharmed('a huge body');
    });

    test('frames in the same packet as the handshake are served', TIMEOUT, async () => {
      const s = new RawWs(ws);
      await s.conn.connect();
      s.conn.write(Buffer.concat([Buffer.from(`GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n${UPGRADE}\r\n`), frame(1, HEARTBEAT), frame(1, HEARTBEAT)]));
      assert.equal((await s.conn.readHead()).status, 101);
      for (let i = 0; i < 2; i++) assert.match((await s.next()).text, /phx_reply/);
      s.destroy();
    });
  });

  describe('frames', () => {
    const open = (mount = '/socket', options) => openWs(ws, `${mount}/websocket?vsn=2.0.0`, options);
    const header = (...bytes) => Buffer.from(bytes);
    const faults = {
      'a length of 2^63': [header(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4), [1002, 1009]],
      'a length of 2^40': [header(0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4), [1009]],
      'a fragmented ping': [frame(9, 'x', { fin: false }), [1002]],
      'a close frame of 126 bytes': [frame(8, Buffer.concat([Buffer.from([3, 232]), Buffer.alloc(124, 97)])), [1002]],
      'a close reason that is no UTF-8': [frame(8, Buffer.from([3, 232, 0xff, 0xfe])), [1007, 1002]],
      'RSV1 without an extension': [frame(1, HEARTBEAT, { rsv: 4 }), [1002]],
      'RSV1 on a ping': [frame(9, 'x', { rsv: 4 }), [1002]],
      'half a character at the end': [frame(1, Buffer.from([0x22, 0xc3])), [1007]],
      'an overlong encoding': [frame(1, Buffer.from([0x22, 0xc0, 0xaf, 0x22])), [1007]],
      'an encoded surrogate': [frame(1, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), [1007]],
      'JSON 101 deep': [frame(1, `["1","2","room:a","echo",${'['.repeat(101)}${']'.repeat(101)}]`), [1011]],
      'JSON 100,000 deep': [frame(1, '['.repeat(100000)), [1011]],
      'NaN': [frame(1, '["1","2","room:a","echo",NaN]'), [1011]],
      'single quotes': [frame(1, "['1','2','room:a','echo',{}]"), [1011]],
      'a raw newline in a string': [frame(1, '["1","2","room:a","echo",{"a":"\n"}]'), [1011]],
      'a topic of 1,025 bytes': [frame(1, `["1","2","room:${'t'.repeat(1020)}","phx_join",{}]`), [1011]],
      'a ref of 1,025 bytes': [frame(1, `["1","${'r'.repeat(1025)}","room:a","phx_join",{}]`), [1011]],
    };
    for (const [what, [bytes, codes]] of Object.entries(faults))
      test(`${what} closes with ${codes.join(' or ')}`, TIMEOUT, async () => {
        const s = await open();
        s.conn.write(bytes);
        const e = await s.next(5000 * SLOW);
        assert.equal(e?.type, 'close', JSON.stringify(e));
        assert.ok(codes.includes(e.code), `closed with ${e.code}`);
        assert.equal((await s.next(5000 * SLOW))?.type, 'eof');
        await assertUnharmed(what);
      });

    test('invalid UTF-8 is refused before the message is complete', TIMEOUT, async () => {
      const s = await open();
      s.sendFrame(1, Buffer.from([0x22, 0xff]), { fin: false });
      assert.equal((await s.next(5000 * SLOW))?.code, 1007);
    });

    test('a character split over two fragments is no fault', TIMEOUT, async () => {
      const s = await open();
      const text = Buffer.from('[null,"ü","phoenix","heartbeat",{}]');
      const at = text.indexOf(0xc3) + 1;
      s.sendFrame(1, text.subarray(0, at), { fin: false });
      s.sendFrame(0, text.subarray(at));
      assert.equal((await s.next()).text, '[null,"ü","phoenix","phx_reply",{"response":{},"status":"ok"}]');
      s.destroy();
    });

    test('a frame byte by byte is served', TIMEOUT, async () => {
      const s = await open();
      for (const b of frame(1, HEARTBEAT)) {
        s.conn.write(Buffer.from([b]));
        await sleep(1);
      }
      assert.match((await s.next()).text, /phx_reply/);
      s.destroy();
    });

    test('compressed messages: served both ways, also with context takeover', TIMEOUT, async () => {
      const s = await openWs(ws, '/relay/websocket?vsn=2.0.0', { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
      assert.ok(s.deflate, 'negotiated');
      s.send('["1","1","echo:z","phx_join",{}]');
      assert.match((await s.next()).text, /"ok"/);
      const payload = JSON.stringify({ text: 'compress me '.repeat(200) });
      for (let i = 0; i < 3; i++) {
        s.sendDeflated(`["1","2","echo:z","e",${payload}]`);
        const e = await s.next();
        assert.equal(e.text, `["1","2","echo:z","phx_reply",{"response":${payload},"status":"ok"}]`);
        assert.ok(e.rsv1, 'a long answer is compressed');
      }
      s.destroy();
    });

    test('a deflate bomb is refused with 1009 and costs no memory', TIMEOUT, async () => {
      const before = rssOf('ws');
      for (let i = 0; i < 5; i++) {
        const s = await open('/limited', { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
        assert.ok(s.deflate);
        s.sendDeflated(`"${'a'.repeat(20 * MB)}"`);
        assert.equal((await s.next(5000 * SLOW))?.code, 1009);
        s.destroy();
      }
      assertGrew('ws', before, 8 * MB);
    });

    test('bytes that are no deflate stream are refused', TIMEOUT, async () => {
      const s = await open('/limited', { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
      s.sendFrame(1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x00]), { rsv: 4 });
      const e = await s.next(5000 * SLOW);
      assert.ok([1002, 1007].includes(e?.code), JSON.stringify(e));
    });

    test('endless fragments stop at the bound', TIMEOUT, async () => {
      const before = rssOf('ws');
      const s = await open('/relay'); // 1 MiB
      s.sendFrame(1, '"', { fin: false });
      const chunk = Buffer.alloc(65536, 97);
      let closed = null;
      for (let i = 0; i < 64 && !closed; i++) {
        s.sendFrame(0, chunk, { fin: false });
        closed = await s.next(5);
      }
      closed ??= await s.next(5000 * SLOW);
      assert.equal(closed?.code, 1009);
      assertGrew('ws', before, 6 * MB);
    });

    test('a client that reads nothing is closed at a bound; others still get everything', { timeout: 90000 * SLOW }, async () => {
      const topic = 'room:slow';
      const reader = await openWs(ws, '/relay/websocket?vsn=2.0.0');
      const sleeper = await openWs(ws, '/relay/websocket?vsn=2.0.0');
      for (const s of [reader, sleeper]) {
        s.send(`["1","1","${topic}","phx_join",{}]`);
        assert.match((await s.next()).text, /"ok"/);
      }
      sleeper.conn.socket.pause();
      const before = rssOf('ws');
      const payload = { x: 'y'.repeat(200000) };
      for (let n = 0; n < 100; n++) {
        await stack.api.publish(topic, 'big', { n, ...payload });
        assert.equal(JSON.parse((await reader.next(10000 * SLOW)).text)[4].n, n);
      }
      assertGrew('ws', before, 24 * MB);
      sleeper.conn.socket.resume();
      let last;
      for (let e = await sleeper.next(5000); e && e.type !== 'eof'; e = await sleeper.next(5000)) last = e;
      assert.ok(sleeper.conn.ended, `the sleeper was closed (last: ${last?.type} ${last?.code ?? ''})`);
      reader.destroy();
      await assertUnharmed('a sleeper');
    });

    test('random frames harm nobody', TIMEOUT, async () => {
      const before = rssOf('ws');
      let seed = 4711;
      const random = (n) => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
      for (let i = 0; i < 200; i++) {
        const s = await open(i % 2 ? '/socket' : '/limited', { headers: i % 4 ? {} : { 'Sec-WebSocket-Extensions': 'permessage-deflate' } });
        for (let k = 0; k < 3; k++)
          s.sendFrame(random(16), Buffer.from(Array.from({ length: random(200) }, () => random(256))), { fin: random(2) === 0, rsv: random(8), mask: random(10) > 0 });
        await s.next(2);
        s.destroy({ reset: i % 3 === 0 });
      }
      await assertUnharmed('random frames');
      assertGrew('ws', before, 8 * MB);
    });
  });

  describe('session tokens', () => {
    const get = (mount, token) => request(`${stack.url}${mount}/longpoll?vsn=2.0.0${token === undefined ? '' : `&token=${token}`}`);
    const post = (mount, token) => request(`${stack.url}${mount}/longpoll?vsn=2.0.0&token=${token}`, { method: 'POST', body: HEARTBEAT });
    const open = async (mount) => (await get(mount)).json.token;
    const flips = (token) => {
      const raw = Buffer.from(token, 'base64url');
      return Array.from(raw, (_, i) => {
        const copy = Buffer.from(raw);
        copy[i] ^= 1 << (i % 8);
        return copy.toString('base64url');
      });
    };

    /** A forged token is as none: GET opens another session (or is refused), POST says 410. */
    async function assertForged(mount, token, what) {
      const g = await get(mount, token);
      if (g.status === 400) return; // lighttpd does not let it through
      assert.ok(g.json.status === 410 || g.json.status === 403, `${what}: GET ${g.text}`);
      assert.equal((await post(mount, token)).json.status, 410, `${what}: POST`);
    }

    test('a bit flipped in every byte, cut at every length: forged', { timeout: 120000 * SLOW }, async () => {
      const token = await open('/relay');
      for (const [i, t] of flips(token).entries()) await assertForged('/relay', t, `bit in byte ${i}`);
      for (let n = 0; n < token.length; n++) await assertForged('/relay', token.slice(0, n), `first ${n} characters`);
      for (const more of ['A', 'AAAA', '=', '%00', '.x', 'A'.repeat(10000)]) await assertForged('/relay', token + more, `appended ${more.slice(0, 5)}`);
      assert.equal((await post('/relay', token)).json.status, 200, 'the genuine one still works');
    });

    test('a token of another mount, or of another secret: forged', TIMEOUT, async () => {
      const token = await open('/short');
      await assertForged('/relay', token, 'of /short');
      const text = configText('recorded.conf').replace('integration-tests-only', 'another-secret-altogether');
      const other = await startStack({ config: { text } });
      try {
        const foreign = (await request(`${other.url}/relay/longpoll?vsn=2.0.0`)).json.token;
        await assertForged('/relay', foreign, 'of another secret');
      } finally {
        await other.stop();
      }
    });

    test('what is no token at all', TIMEOUT, async () => {
      for (const t of ['%00', '%ff', '..%2f', 'null', '0', '-', '%F0%9F%98%80', 'A'.repeat(6000)]) await assertForged('/relay', t, t.slice(0, 20));
    });
  });

  describe('tokens of the application', () => {
    const { tokens } = JSON.parse(fs.readFileSync(path.join(ROOT, 'tests/vectors/tokens.json'), 'utf8'));
    const good = tokens.filter((t) => t.verifies);
    const handshake = async (query, headers = {}) => {
      const s = new RawWs(ws);
      const r = await s.connect(`/auth/websocket?vsn=2.0.0${query}`, { headers });
      s.destroy();
      return r;
    };

    test(`all ${tokens.length} recorded ones are judged as Plug.Crypto judges them, on both transports`, TIMEOUT, async () => {
      for (const { name, token, verifies, options } of tokens) {
        // Signed with another digest or other rounds than the socket is configured for: forged.
        const good = verifies && Object.keys(options).length === 0;
        const r = await handshake(`&token=${encodeURIComponent(token)}`);
        assert.equal(r.status, good ? 101 : 403, `WebSocket: ${name}`);
        const lp = await request(`${stack.url}/auth/longpoll?vsn=2.0.0&token=${encodeURIComponent(token)}`);
        assert.equal(lp.json.status, good ? 410 : 403, `long-poll: ${name}`);
      }
    });

    test('authToken of phoenix.js 1.8: subprotocol on WebSocket, header on long-poll', TIMEOUT, async () => {
      const { token } = good[0];
      const protocol = (t) => ({ 'Sec-WebSocket-Protocol': `phoenix, base64url.bearer.phx.${Buffer.from(t).toString('base64url')}` });
      const r = await handshake('', protocol(token));
      assert.equal(r.status, 101);
      assert.equal(r.headers['sec-websocket-protocol'], 'phoenix');
      assert.equal((await handshake('', protocol(`${token}x`))).status, 403);
      const lp = (t) => request(`${stack.url}/auth/longpoll?vsn=2.0.0`, { headers: { 'X-Phoenix-AuthToken': t } });
      assert.equal((await lp(token)).json.status, 410);
      assert.equal((await lp(`x${token}`)).json.status, 403);
      assert.equal((await lp('')).json.status, 403, 'required');
    });

    test('a bit flipped in every byte, cut at every length: refused', { timeout: 120000 * SLOW }, async () => {
      const { token } = good[0];
      for (let i = 0; i < token.length; i++) {
        const flipped = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
        const spare = i === token.length - 1; // its low bits are padding of the base64
        const r = await handshake(`&token=${encodeURIComponent(flipped)}`);
        assert.ok(r.status === 403 || spare, `character ${i}: ${r.status}`);
        assert.equal((await handshake(`&token=${encodeURIComponent(token.slice(0, i))}`)).status, 403, `cut at ${i}`);
      }
      await assertUnharmed('forged tokens');
    });
  });

  describe('HTTP API', () => {
    const call = (method, p, body, headers) => stack.api.call(method, p, body, { headers });
    const publish = { topic: 'room:api', event: 'e', payload: {} };

    test('a wrong, missing or malformed key is refused', TIMEOUT, async () => {
      for (const value of ['', 'Bearer', 'Bearer ', 'Bearer wrong', `Basic ${API_KEY}`, `Bearer ${API_KEY}x`, `Bearer ${API_KEY.slice(0, -1)}`, `bearer  `, 'x'.repeat(5000)])
        assert.equal((await call('POST', '/publish', publish, { Authorization: value })).status, 401, value.slice(0, 30));
      const r = await request(`${stack.url}/api/publish`, { method: 'POST', body: JSON.stringify(publish) });
      assert.equal(r.status, 401);
      assert.ok(r.json.error.code && r.json.error.message, r.text);
    });

    test('both headers for the key work', TIMEOUT, async () => {
      const r = await request(`${stack.url}/api/publish`, { method: 'POST', headers: { 'X-Pollux-Key': API_KEY }, body: JSON.stringify(publish) });
      assert.equal(r.status, 200, r.text);
      assert.match(r.json.position, /^[^:]+:\d+$/);
    });

    const wrong = {
      'not JSON': ['{"topic":', 400],
      'NaN': ['{"topic":"room:a","event":"e","payload":NaN}', 400],
      'trailing text': ['{"topic":"room:a","event":"e","payload":{}} x', 400],
      'empty': ['', 400],
      'no object': ['"s"', 422],
      'no topic': [{ event: 'e', payload: {} }, 422],
      'an empty topic': [{ topic: '', event: 'e', payload: {} }, 422],
      'a topic that is a number': [{ topic: 5, event: 'e', payload: {} }, 422],
      'no event': [{ topic: 'room:a', payload: {} }, 422],
      'an event that is null': [{ topic: 'room:a', event: null, payload: {} }, 422],
      'no payload': [{ topic: 'room:a', event: 'e' }, 422],
      'two payloads': [{ topic: 'room:a', event: 'e', payload: {}, payload_base64: 'AA==' }, 422],
      'bad base64': [{ topic: 'room:a', event: 'e', payload_base64: '!!!' }, 422],
      'an unknown member': [{ ...publish, paylaod: {} }, 422],
      'a key that is no string': [{ ...publish, key: 7 }, 422],
      'a topic of 5,000 bytes': [{ ...publish, topic: `room:${'t'.repeat(5000)}` }, 422],
      'a topic that nobody routes': [{ ...publish, topic: 'nowhere' }, 404],
      'a body of 2 MB': [{ ...publish, payload: 'x'.repeat(2 * MB) }, 413],
    };
    for (const [what, [body, status]] of Object.entries(wrong))
      test(`publish: ${what} gives ${status}`, TIMEOUT, async () => {
        const r = await call('POST', '/publish', body);
        assert.equal(r.status, status, r.text.slice(0, 200));
        assert.ok(r.json?.error?.code && r.json.error.message, `a JSON error: ${r.text.slice(0, 200)}`);
      });

    test('in an array, the wrong one alone is refused', TIMEOUT, async () => {
      const r = await call('POST', '/publish', [publish, { topic: 'nowhere', event: 'e', payload: {} }, publish]);
      assert.equal(r.status, 207, r.text);
      assert.ok(r.json[0].position && r.json[1].error && r.json[2].position);
      assert.equal((await call('POST', '/publish', Array(1001).fill(publish))).status, 422);
    });

    test('a key makes a publish safe to repeat', TIMEOUT, async () => {
      const key = crypto.randomUUID();
      const first = await stack.api.publish('room:keyed', 'e', { n: 1 }, { key });
      assert.equal(await stack.api.publish('room:keyed', 'e', { n: 1 }, { key }), first);
      assert.notEqual(await stack.api.publish('room:keyed', 'e', { n: 1 }, { key: `${key}2` }), first);
    });

    test('disconnect: wrong bodies; an id that nobody has', TIMEOUT, async () => {
      for (const body of [{}, { id: 5 }, { id: '' }, []]) assert.equal((await call('POST', '/disconnect', body)).status, 422, JSON.stringify(body));
      assert.equal((await call('POST', '/disconnect', 'x')).status, 400);
      assert.equal(await stack.api.disconnect('user_socket:nobody'), 0);
    });

    test('other methods and paths', TIMEOUT, async () => {
      assert.equal((await call('GET', '/publish')).status, 405);
      assert.equal((await call('POST', '/health', {})).status, 405);
      assert.equal((await call('POST', '/nosuch', {})).status, 404);
      assert.equal((await call('GET', '')).status, 404);
      assert.equal((await stack.api.health()).status, 200);
    });
  });

  describe('command line', () => {
    const run = (args, input, env = {}) => {
      const r = spawnSync(bin('pollux'), args, { input, encoding: 'utf8', timeout: 20000, env: { ...process.env, POLLUX_CONFIG: '', ...env } });
      return { status: r.status, out: r.stdout, err: r.stderr };
    };
    const config = () => ['--config', path.join(stack.state, 'pollux.conf')];
    const withFile = (text, body) => {
      const dir = tempDir('conf');
      try {
        const file = path.join(dir, 'x.conf');
        fs.writeFileSync(file, text);
        return body(file);
      } finally {
        fs.rmSync(dir, { recursive: true });
      }
    };

    test('--help and --version of every program and command', () => {
      for (const args of [[], ['dev'], ['check'], ['publish'], ['disconnect']]) {
        const r = run([...args, '--help']);
        assert.deepEqual([r.status, r.err], [0, ''], args.join(' '));
        assert.match(r.out, /usage/i);
      }
      assert.match(run(['--version']).out, /\d+\.\d+/);
      for (const name of ['pollux-fcgi', 'pollux-ws'])
        for (const flag of ['--help', '--version']) assert.equal(spawnSync(bin(name), [flag]).status, 0, `${name} ${flag}`);
    });

    test('usage errors: status 2, a word on stderr, nothing on stdout', () => {
      const wrong = [[], ['nonsense'], ['publish'], ['publish', 'room:a'], ['publish', 'room:a', 'e', '{}', 'more'], ['disconnect'], ['dev', '--port', 'x'],
        ['dev', '--port', '99999'], ['dev', '--fcgi-workers', '0'], ['dev', '--fcgi-workers', '-3'], ['check', '--nosuch'], ['--config']];
      for (const args of wrong) {
        const r = run(args);
        assert.deepEqual([r.status, r.out], [2, ''], args.join(' '));
        assert.ok(r.err.length > 0, args.join(' '));
      }
      for (const name of ['pollux-fcgi', 'pollux-ws'])
        for (const args of [['--listen'], ['--listen', 'nonsense:x:y', '--workers', '1'], ['--workers', 'x'], ['--nosuch']]) {
          const r = spawnSync(bin(name), args, { encoding: 'utf8', timeout: 10000 });
          assert.ok(r.status === 2 || r.status === 1, `${name} ${args}: ${r.status}`);
          assert.ok(r.stderr.length > 0);
        }
    });

    test('publish and disconnect beside a running system', () => {
      const p = run([...config(), 'publish', 'room:cli', 'e', '{"n":1}']);
      assert.equal(p.status, 0, p.err);
      assert.match(JSON.parse(p.out).position, /^[^:]+:\d+$/);
      assert.equal(JSON.parse(run(['disconnect', 'user_socket:nobody', ...config()]).out).sockets, 0);
      const bad = run([...config(), 'publish', 'room:cli', 'e', '{not json']);
      assert.ok(bad.status === 1 || bad.status === 2);
      assert.equal(bad.out, '');
      assert.ok(bad.err.length > 0);
      const nobody = run([...config(), 'publish', 'nowhere', 'e', '{}']);
      assert.equal(nobody.status, 1);
      assert.match(nobody.err, /nowhere|unknown_topic/);
    });

    test('check: the contract file and ours pass as far as they can; what is wrong is named', () => {
      assert.equal(run(['check', ...config()]).status, 0, run(['check', ...config()]).err);
      const text = fs.readFileSync(path.join(stack.state, 'pollux.conf'), 'utf8');
      const faults = {
        'secret = "short"': /secret/,
        'nosuch_key = 1': /nosuch_key/,
        'log_level = "loud"': /log_level|loud/,
        'max_body_bytes = "x"': /max_body_bytes/,
      };
      for (const [line, words] of Object.entries(faults))
        withFile(`${text}\n${line}\n`, (file) => {
          const r = run(['check', '--config', file]);
          assert.equal(r.status, 1, line);
          const last = `${text}\n${line}`.split('\n').length;
          assert.match(r.err + r.out, words);
          assert.match(r.err + r.out, new RegExp(`${file}:${last}:`), `${line}: file and line in ${r.err}`);
        });
      for (const [module, words] of Object.entries({
        '/nonexistent/x.so': /can't be read/,
        '/dev/null': /can't be loaded/,
        [path.join(BUILD, 'modules/fault_no_symbol.so')]: /no function pollux_backend/,
        [path.join(BUILD, 'modules/fault_abi.so')]: /ABI/i,
      }))
        withFile(`${text}\nsocket "/mod" {\n  channel "m:*" { backend = "module" path = "${module}" }\n}\n`, (file) => {
          const r = run(['check', '--no-redis', '--config', file]);
          assert.equal(r.status, 1, module);
          assert.match(r.err, words);
          assert.match(r.err, new RegExp(`${file}:${text.split('\n').length + 2}:`), `${module}: file and line in ${r.err}`);
        });
      const missing = run(['check', '--config', '/nonexistent/pollux.conf']);
      assert.equal(missing.status, 1);
      assert.match(missing.err, /\/nonexistent\/pollux\.conf/);
    });

    test('check: a module whose file is cut off takes only the trial along', () => {
      const whole = fs.readFileSync(path.join(BUILD, 'modules/parrot.so'));
      withFile('', (file) => {
        const cut = path.join(path.dirname(file), 'cut.so');
        fs.writeFileSync(cut, whole.subarray(0, 6000));
        fs.writeFileSync(file, `secret = "${'0123456789abcdef'.repeat(4)}"\nsocket "/mod" {\n  channel "m:*" { backend = "module" path = "${cut}" }\n}\n`);
        const r = run(['check', '--no-redis', '--config', file], undefined, { ASAN_OPTIONS: 'handle_sigbus=0' });
        assert.equal(r.status, 1);
        assert.equal(r.out, '');
        assert.match(r.err, new RegExp(`^${file}: loading its modules ended the process with signal 7 `));
      });
    });

    test('a configuration that check warns about: publishing from cron stays silent', () => {
      const text = fs.readFileSync(path.join(stack.state, 'pollux.conf'), 'utf8');
      withFile(`${text}\nsocket "/empty" { }\n`, (file) => {
        assert.match(run(['check', '--config', file]).err, /warning: .*nothing can be joined/);
        const r = run(['publish', 'room:a', 'e', '{}', '--config', file]);
        assert.deepEqual([r.status, r.err], [0, '']);
        const wrong = run(['publish', 'nowhere', 'e', '{}', '--config', file]);
        assert.equal(wrong.status, 1);
        assert.match(wrong.err, /^pollux publish: .*nowhere/);
      });
    });

    test('a Redis that is not there: check and publish say so', () => {
      const text = fs.readFileSync(path.join(stack.state, 'pollux.conf'), 'utf8').replace(/url\s*=\s*("[^"]*"|'[^']*')/, 'url = "unix:/nonexistent/redis.sock"');
      withFile(text, (file) => {
        for (const args of [['check'], ['publish', 'room:a', 'e', '{}'], ['disconnect', 'x']]) {
          const r = run([...args, '--config', file]);
          assert.equal(r.status, 1, args[0]);
          assert.match(r.err, /redis/i, args[0]);
        }
      });
    });

    test('odd configurations do not crash the reader', () => {
      for (const text of ['', '{', 'socket', 'socket "/a" {', '\0\0', 'a'.repeat(100000), 'secret = "${X}"', 'include("/etc/passwd")', '"', `${'socket "/a" {'.repeat(2000)}`])
        withFile(text, (file) => {
          const r = run(['check', '--config', file]);
          assert.equal(r.status, 1, `${text.slice(0, 20)}: ${r.status} ${r.err.slice(0, 200)}`);
          assert.ok(r.err.length > 0);
        });
    });
  });

  test('after all this, no process was replaced and memory is bounded', () => {
    for (const name of ['fcgi', 'ws']) {
      assert.ok(!/died|crash|signal 11|signal 6/i.test(stack.log.text), stack.log.tail(20));
      assert.ok(rssOf(name) < (SANITIZED ? 600 : 80) * MB, `${name}: ${rssOf(name)} bytes resident`);
    }
  });
});
