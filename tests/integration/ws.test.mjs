// The WebSocket daemon by itself (no web server before it): planned stops, back pressure, order,
// compression, refusals, Unix sockets.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import zlib from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { children, cpuMs, rssBytes } from '../lib/proc.mjs';
import { Program, Redis, startWs } from '../lib/servers.mjs';
import { bin, SLOW, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { frame, openWs, OP, RawWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const MB = 1 << 20;
const PATH = '/socket/websocket?vsn=2.0.0';
const join = (topic, ref = '1') => JSON.stringify([ref, ref, topic, 'phx_join', {}]);

const CONFIG = (redis) => `redis { url = "${redis}" }
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 800
queue_bytes = 400000
socket "/socket" {
    websocket { compress = true max_frame_bytes = 300000 }
    check_origin = { "any" }
    auth { type = "phoenix_token" secret = "a-secret-key-base-shared-with-the-application-that-signs-tokens" salt = "user socket" }
    id = "user:{params.user_id}"
    channel "room:*"  { backend = "relay" }
    channel "acked:*" { backend = "relay" reply = true }
    channel "echo:*"  { backend = "echo" }
}
`;

let dir;
let redis;
let config;
let ws;

const cli = (...args) => {
  const r = spawnSync(bin('pollux'), ['--config', config, ...args], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  return JSON.parse(r.stdout);
};

async function joined(topic, { where = ws.where, target = PATH, options } = {}) {
  const s = await openWs(where, target, options);
  s.send(join(topic));
  assert.match((await s.next(5000 * SLOW)).text, /"status":"ok"/);
  return s;
}

async function closeOf(s, ms = 10000 * SLOW) {
  for (;;) {
    const e = await s.next(ms);
    if (!e || e.type === 'close' || e.type === 'eof') return e;
  }
}

describe('pollux-ws', () => {
  before(async () => {
    dir = tempDir('ws');
    redis = await new Redis(dir, { durable: false }).start();
    config = path.join(dir, 'pollux.conf');
    fs.writeFileSync(config, CONFIG(redis.url));
    ws = await startWs(dir, config);
  });
  after(async () => {
    const exit = await ws?.program.stop();
    await redis?.stop();
    fs.rmSync(dir, { recursive: true, force: true });
    assert.deepEqual(exit, { code: 0, signal: null }, ws?.program.text);
    assert.doesNotMatch(ws.program.text, /Sanitizer|runtime error/);
  });

  describe('order and back pressure', () => {
    test('thousands of pushes in one go: every broadcast, then its reply, in order; memory stays', TIMEOUT, async () => {
      const N = 3000;
      const s = await joined('acked:flood');
      const [worker] = children(ws.program.pid);
      const rss = rssBytes(worker);
      const pad = 'x'.repeat(1500);
      s.conn.socket.pause();
      for (let n = 1; n <= N; n++) s.send(JSON.stringify(['1', `r${n}`, 'acked:flood', 'msg', { n, pad }]));
      s.conn.socket.resume();
      let broadcasts = 0;
      let replies = 0;
      while (replies < N) {
        const e = await s.next(20000 * SLOW);
        assert.equal(e?.type, 'text', `after ${broadcasts} broadcasts, ${replies} replies: ${JSON.stringify(e)}`);
        const [, ref, , event, payload] = JSON.parse(e.text);
        if (event === 'msg') assert.equal(payload.n, ++broadcasts);
        else {
          assert.deepEqual([ref, payload.status], [`r${++replies}`, 'ok']);
          assert.ok(broadcasts >= replies, `reply ${replies} came before its broadcast`);
        }
      }
      assert.equal(broadcasts, N);
      assert.ok(rssBytes(worker) - rss < 24 * MB * SLOW, `grew by ${rssBytes(worker) - rss}`);
      s.destroy();
    });

    test('join, push and leave in one packet: all answered, in order', TIMEOUT, async () => {
      const s = await openWs(ws.where, PATH);
      const texts = [join('acked:quick'), '["1","2","acked:quick","a",{"n":1}]', '["1","3","acked:quick","phx_leave",{}]',
        join('acked:quick', '4'), '["4","5","acked:quick","b",{}]', join('acked:quick', '6'), '["6","7","acked:quick","c",{}]'];
      s.conn.write(Buffer.concat(texts.map((t) => frame(OP.text, t))));
      const got = [];
      while (got.length < 11) {
        const e = await s.next(5000 * SLOW);
        assert.equal(e?.type, 'text', got.join('\n'));
        const [joinRef, ref, , event] = JSON.parse(e.text);
        got.push(`${joinRef ?? '-'} ${ref ?? '-'} ${event}`);
      }
      assert.deepEqual(got, ['1 1 phx_reply', '- - a', '1 2 phx_reply', '1 3 phx_reply', '1 1 phx_close', '4 4 phx_reply', '- - b',
        '4 5 phx_reply', '6 6 phx_reply', '4 4 phx_close', '- - c']);
      assert.match((await s.next(5000 * SLOW)).text, /^\["6","7",.*"ok"/);
      s.destroy();
    });

    test('one that does not read is dropped at queue_bytes, 20 others hear everything', TIMEOUT, async () => {
      const sockets = await Promise.all(Array.from({ length: 21 }, () => joined('room:slow')));
      const sleeper = sockets.pop();
      sleeper.conn.socket.pause();
      const pad = 'y'.repeat(60000);
      for (let n = 0; n < 150; n++) {
        sockets[0].send(JSON.stringify(['1', null, 'room:slow', 'big', { n, pad }]));
        for (const s of sockets) assert.equal(JSON.parse((await s.next(10000 * SLOW)).text)[4].n, n);
      }
      await until('the log to tell', () => /dropped, \d+ bytes wait/.test(ws.program.text), 5000 * SLOW);
      for (const s of [...sockets, sleeper]) s.destroy();
    });
  });

  describe('compression', () => {
    const offer = (value) => ({ headers: { 'Sec-WebSocket-Extensions': value } });

    test('one broadcast for sockets of every kind', TIMEOUT, async () => {
      const plain = await joined('room:mix');
      const packed = await joined('room:mix', { options: offer('permessage-deflate; client_max_window_bits') });
      const narrow = await joined('room:mix', { options: offer('permessage-deflate; server_max_window_bits=9') });
      const v1 = await openWs(ws.where, '/socket/websocket?vsn=1.0.0', offer('permessage-deflate'));
      v1.send('{"topic":"room:mix","event":"phx_join","payload":{},"ref":"1"}');
      assert.match((await v1.next()).text, /"ok"/);
      const payload = { text: 'all work and no play '.repeat(60) };
      packed.sendDeflated(JSON.stringify(['1', '2', 'room:mix', 'msg', payload]));
      for (const [s, compressed] of [[plain, false], [packed, true], [narrow, false]]) {
        const e = await s.next(5000 * SLOW);
        assert.equal(e.rsv1, compressed);
        assert.deepEqual(JSON.parse(e.text), [null, null, 'room:mix', 'msg', payload]);
      }
      const e = await v1.next(5000 * SLOW);
      assert.ok(e.rsv1);
      assert.deepEqual(JSON.parse(e.text), { event: 'msg', payload, ref: null, topic: 'room:mix' });
      // Small ones are not worth it; a window of 512 bytes is respected.
      plain.send('["1","3","room:mix","s",{"a":1}]');
      for (const s of [plain, packed, narrow, v1]) assert.equal((await s.next(5000 * SLOW)).rsv1, false);
      plain.send(JSON.stringify(['1', '4', 'room:mix', 'm', { a: 'z'.repeat(400) }]));
      for (const [s, compressed] of [[plain, false], [packed, true], [narrow, true]]) assert.equal((await s.next(5000 * SLOW)).rsv1, compressed);
      for (const s of [plain, packed, narrow, v1]) s.destroy();
    });

    test('replies are compressed too; a bomb and a compressed non-text are refused', TIMEOUT, async () => {
      const open = () => joined('echo:x', { options: offer('permessage-deflate') });
      let s = await open();
      s.sendDeflated(JSON.stringify(['1', '2', 'echo:x', 'e', { a: 'b'.repeat(1000) }]));
      const e = await s.next();
      assert.ok(e.rsv1);
      assert.equal(JSON.parse(e.text)[4].response.a.length, 1000);
      s.sendDeflated(JSON.stringify(['1', '2', 'echo:x', 'e', 'b'.repeat(400000)]));
      assert.equal((await closeOf(s)).code, 1009);
      s = await open();
      const raw = zlib.deflateRawSync(Buffer.from([0x22, 0xff, 0x22]), { finishFlush: zlib.constants.Z_SYNC_FLUSH });
      s.sendFrame(OP.text, raw.subarray(0, raw.length - 4), { rsv: 4 });
      assert.equal((await closeOf(s)).code, 1007);
    });
  });

  describe('refusals', () => {
    test('each waits for a random time and holds up nobody', TIMEOUT, async () => {
      const started = performance.now();
      const times = [];
      const refused = Array.from({ length: 60 }, async () => {
        const s = new RawWs(ws.where);
        const r = await s.connect(`${PATH}&token=wrong`);
        assert.equal(r.status, 403);
        times.push(performance.now() - started);
      });
      const s = await joined('room:meanwhile');
      assert.ok(performance.now() - started < 700 * SLOW);
      s.destroy();
      await Promise.all(refused);
      assert.ok(Math.max(...times) - Math.min(...times) > 300, `between ${Math.min(...times)} and ${Math.max(...times)} ms`);
      assert.ok(Math.max(...times) < 1500 * SLOW);
    });

    test('a head that does not come is answered 408 after 10 s', TIMEOUT, async () => {
      const s = new RawWs(ws.where);
      await s.conn.connect();
      s.conn.write('GET /socket/websocket HTTP/1.1\r\nHost: a\r\n');
      const started = performance.now();
      assert.equal((await s.conn.readHead(15000 * SLOW)).status, 408);
      assert.ok(performance.now() - started > 9000);
      s.destroy();
    });
  });

  test('disconnect by id: 1001 to each of them, before TCP ends; others stay', TIMEOUT, async () => {
    const mine = await Promise.all([1, 2, 3].map(() => joined('room:d', { target: `${PATH}&user_id=7` })));
    const other = await joined('room:d', { target: `${PATH}&user_id=77` });
    mine[0].destroy(); // one has gone by itself
    await sleep(200);
    assert.equal(cli('disconnect', 'user:7').sockets, 2);
    for (const s of mine.slice(1)) {
      assert.equal((await closeOf(s)).code, 1001);
      s.sendClose(1001);
      assert.deepEqual(await s.next(), { type: 'eof', reset: false });
    }
    assert.equal(cli('disconnect', 'user:7').sockets, 0);
    other.send('[null,"9","phoenix","heartbeat",{}]');
    assert.match((await other.next()).text, /"ok"/);
    other.destroy();
  });

  test('frames that arrive while the socket is being closed change nothing', TIMEOUT, async () => {
    const s = await joined('room:late', { target: `${PATH}&user_id=late` });
    assert.equal(cli('disconnect', 'user:late').sockets, 1);
    s.send('["1","2","room:late","msg",{}]');
    s.sendFrame(OP.ping, 'x');
    s.sendFrame(3, 'x');
    const first = await s.next();
    assert.deepEqual([first.type, first.code], ['close', 1001]);
    assert.equal((await s.next()).type, 'eof');
  });

  describe('planned stops', () => {
    test('SIGHUP: no connection is refused, every old socket gets 1012', TIMEOUT, async () => {
      const own = await startWs(dir, config, { workers: 2 });
      try {
        const [oldOnes] = [children(own.program.pid)];
        const sockets = await Promise.all(Array.from({ length: 50 }, (_, i) => joined(`room:h${i % 5}`, own)));
        const codes = Promise.all(sockets.map(async (s) => (await closeOf(s, 20000 * SLOW))?.code));
        process.kill(own.program.pid, 'SIGHUP');
        let stop = false;
        let tried = 0;
        const trying = (async () => {
          while (!stop) {
            // Accepted by an old worker in its last moment, it is told to come back, like the others.
            const s = await openWs(own.where, PATH);
            s.send(join('room:new'));
            const e = await s.next(5000 * SLOW);
            assert.ok(e?.type === 'text' || (e?.type === 'close' && e.code === 1012), JSON.stringify(e));
            tried++;
            s.destroy();
            await sleep(5);
          }
        })();
        assert.deepEqual([...new Set(await codes)], [1012]);
        await until('new workers', () => children(own.program.pid).length === 2 && !children(own.program.pid).some((p) => oldOnes.includes(p)), 20000 * SLOW);
        stop = true;
        await trying;
        assert.ok(tried > 10, `${tried} connections meanwhile`);
        const s = await joined('room:after', own);
        s.destroy();
      } finally {
        assert.deepEqual(await own.program.stop('SIGTERM', 8000 * SLOW), { code: 0, signal: null }, own.program.text);
      }
    });

    test('SIGHUP brings a changed configuration; with a broken one the old workers stay', TIMEOUT, async () => {
      const file = path.join(dir, 'changing.conf');
      const text = CONFIG(redis.url);
      fs.writeFileSync(file, text);
      const own = await startWs(dir, file);
      try {
        (await joined('room:first', own)).destroy(); // its worker has read the file
        const first = children(own.program.pid);
        fs.writeFileSync(file, text.replace('channel "echo:*"', 'chanel "echo:*"'));
        process.kill(own.program.pid, 'SIGHUP');
        await until('the complaint', () => /changing\.conf:\d+:.*chanel/.test(own.program.text), 5000 * SLOW);
        (await joined('room:still', own)).destroy();
        await until('the old worker alone', () => children(own.program.pid).length === 1, 5000 * SLOW);
        assert.deepEqual(children(own.program.pid), first);
        fs.writeFileSync(file, text.replace('channel "echo:*"', 'channel "fresh:*"'));
        process.kill(own.program.pid, 'SIGHUP');
        await until('a new worker alone', () => children(own.program.pid).length === 1 && children(own.program.pid)[0] !== first[0], 10000 * SLOW);
        (await joined('fresh:1', own)).destroy();
      } finally {
        assert.deepEqual(await own.program.stop('SIGTERM', 8000 * SLOW), { code: 0, signal: null }, own.program.text);
      }
    });

    test('SIGTERM: 1012 to all, at once when they are few; peers that do not answer delay it by a second', TIMEOUT, async () => {
      const own = await startWs(dir, config);
      const sockets = await Promise.all(Array.from({ length: 30 }, () => joined('room:t', own)));
      const bare = net.connect(own.where); // has not said anything yet
      await sleep(100);
      const started = performance.now();
      process.kill(own.program.pid, 'SIGTERM');
      for (const s of sockets) assert.equal((await closeOf(s))?.code, 1012);
      assert.ok(performance.now() - started < 800 * SLOW);
      await own.program.exited;
      assert.ok(performance.now() - started < 3000 * SLOW, `${performance.now() - started} ms`);
      assert.deepEqual(own.program.exit, { code: 0, signal: null }, own.program.text);
      bare.destroy();
    });
  });

  test('a Unix socket, and forwarded addresses in the log of a refusal', TIMEOUT, async () => {
    const socket = path.join(dir, 'ws.sock');
    const file = path.join(dir, 'unix.conf');
    fs.writeFileSync(file, `trusted_proxies = { "unix" }\n${CONFIG(redis.url)}`);
    const own = new Program(bin('pollux-ws'), ['--config', file, '--listen', `unix:${socket}`]);
    try {
      await until('it to listen', () => own.exit || fs.existsSync(socket), 5000 * SLOW);
      const s = await joined('room:u', { where: { path: socket } });
      s.destroy();
      const r = await new RawWs({ path: socket }).connect(`${PATH}&token=wrong`, { headers: { 'X-Forwarded-For': '198.51.100.1, 203.0.113.5' } });
      assert.equal(r.status, 403);
      await until('the log line', () => /connect from 203\.0\.113\.5 refused/.test(own.text), 2000 * SLOW);
    } finally {
      assert.deepEqual(await own.stop(), { code: 0, signal: null }, own.text);
    }
    assert.ok(!fs.existsSync(socket));
  });

  test('idle sockets cost no CPU', TIMEOUT, async () => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => joined('room:idle')));
    await sleep(500);
    const [worker] = children(ws.program.pid);
    const cpu = cpuMs(worker);
    await sleep(2000);
    assert.ok(cpuMs(worker) - cpu <= 20 * SLOW, `${cpuMs(worker) - cpu} ms in 2 s`);
    for (const s of sockets) s.destroy();
  });
});
