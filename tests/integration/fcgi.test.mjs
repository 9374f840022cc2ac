// The FastCGI worker face to face: peers that stall, abort, vanish, or send what no web server
// would. One worker, so that whatever stops it stops everything.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { begin, fcgiRequest, FcgiConn, pairs, record, stream, TYPE, variables } from '../lib/fcgi.mjs';
import { request } from '../lib/http.mjs';
import { cpuMs, openFiles } from '../lib/proc.mjs';
import { SANITIZED, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';

let stack;
let where;
let worker;
const CONNECT = { target: '/socket/longpoll?vsn=2.0.0' };
const connection = () => new FcgiConn(where).connect();

async function openSession() {
  const r = await fcgiRequest(where, CONNECT);
  assert.equal(r.json?.status, 410, r.text);
  return r.json.token;
}

const pollOf = (token) => ({ target: `/socket/longpoll?vsn=2.0.0&token=${token}` });

/** The worker serves, quickly, and is still the same process. */
async function assertServes(what, ms = 2000 * SLOW) {
  const started = performance.now();
  await openSession();
  const took = performance.now() - started;
  assert.ok(took < ms, `${what}: a request took ${took} ms`);
  assert.deepEqual(stack.workers('fcgi'), [worker], `${what}: the worker lives`);
}

/** CPU that the worker uses in two idle seconds, in ms. */
async function idleCpu() {
  await sleep(200);
  const before = cpuMs(worker);
  await sleep(2000);
  return cpuMs(worker) - before;
}

describe('FastCGI', () => {
  before(async () => {
    stack = await startStack({ fcgi: 1, ws: 1 });
    where = stack.address('fcgi');
    [worker] = stack.workers('fcgi');
  });
  after(() => stack?.stop());

  test('50 peers that say nothing, one byte, a header only, or half a request', { timeout: 60000 * SLOW }, async () => {
    const whole = Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(variables(CONNECT))), stream(TYPE.stdin, 1, '')]);
    const stalls = [0, 1, 8, 16, 20, 40, whole.length - 9];
    const peers = [];
    for (let i = 0; i < 50; i++) {
      const c = await connection();
      const n = stalls[i % stalls.length];
      if (n) c.write(whole.subarray(0, n));
      peers.push(c);
    }
    await sleep(200);
    for (let i = 0; i < 20; i++) await assertServes(`request ${i} beside 50 stalled peers`);
    assert.ok(await idleCpu() <= 40 * SLOW, 'stalled peers cost no CPU');
    // One of them goes on after all.
    const late = peers[6];
    if (!late.conn.ended) {
      late.write(whole.subarray(whole.length - 9));
      assert.equal((await late.readResponse()).json.status, 410);
    }
    for (const c of peers) c.abort();
    await assertServes('after they left');
  });

  test('a request that comes byte by byte is served', async () => {
    const c = await connection();
    const whole = Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(variables(CONNECT))), stream(TYPE.stdin, 1, '')]);
    for (let i = 0; i < whole.length; i += 7) {
      c.write(whole.subarray(i, i + 7));
      await sleep(1);
    }
    assert.equal((await c.readResponse()).json.status, 410);
    c.abort();
  });

  test('1,000 aborted polls leave nothing behind and cost no CPU', { timeout: 120000 * SLOW }, async () => {
    const files = openFiles(worker);
    const rounds = 4;
    for (let round = 0; round < rounds; round++) {
      const conns = [];
      for (let i = 0; i < 250; i++) {
        const token = await openSession();
        const c = await connection();
        c.send(pollOf(token), { keep: i % 2 === 0 });
        conns.push(c);
      }
      await sleep(100);
      for (const c of conns) c.sendAbort();
      await Promise.all(conns.map(async (c, i) => {
        const r = await c.readResponse(5000 * SLOW);
        assert.equal(r.text, '', 'an aborted poll gets no answer');
        if (i % 2) await c.conn.readEnd();
      }));
      if (round === rounds - 1) {
        const cpu = await idleCpu();
        console.log(`CPU of the idle worker after 1,000 aborted polls, 125 kept connections: ${cpu} ms in 2 s`);
        assert.ok(cpu <= (SANITIZED ? 100 : 20), `${cpu} ms of CPU in two idle seconds`);
      }
      for (const c of conns) c.abort();
    }
    await until('descriptors to be given back', () => openFiles(worker) <= files + 2);
    await assertServes('after the aborts');
  });

  test('closed connections leave no parked poll and no busy loop', { timeout: 60000 * SLOW }, async () => {
    const files = openFiles(worker);
    const conns = [];
    for (let i = 0; i < 200; i++) {
      const c = await connection();
      c.send(pollOf(await openSession()), { keep: i % 2 === 0 });
      conns.push(c);
    }
    await sleep(100);
    for (const c of conns) c.abort();
    await until('descriptors to be given back', () => openFiles(worker) <= files + 2);
    assert.ok(await idleCpu() <= (SANITIZED ? 100 : 20));
  });

  test('bytes after the request of a parked poll do not spin the loop', async () => {
    const c = await connection();
    c.send(pollOf(await openSession()), { keep: true });
    await sleep(100);
    c.write(record(TYPE.stdin, 1, 'late'));
    const cpu = await idleCpu();
    assert.ok(cpu <= (SANITIZED ? 100 : 20), `${cpu} ms`);
    c.abort();
  });

  test('a kept connection carries one request after the other, also after a parked poll', { timeout: 60000 * SLOW }, async () => {
    const c = await connection();
    for (let i = 0; i < 20; i++) {
      c.send(CONNECT, { id: 1, keep: true });
      const r = await c.readResponse();
      assert.equal(r.json.status, 410);
      assert.equal(r.protocolStatus, 0);
    }
    const short = (await fcgiRequest(where, { target: '/short/longpoll?vsn=2.0.0' })).json.token;
    c.send({ target: `/short/longpoll?vsn=2.0.0&token=${short}` }, { id: 1, keep: true });
    assert.equal((await c.readResponse()).json.status, 204);
    c.send(CONNECT, { id: 1, keep: true });
    assert.equal((await c.readResponse()).json.status, 410);
    await sleep(300);
    assert.equal(c.conn.ended, false, 'still open');
    c.abort();
  });

  test('two requests in one write are both answered, in order', async () => {
    const c = await connection();
    c.send(CONNECT, { id: 1, keep: true });
    c.send({ target: '/socket/longpoll?vsn=9.0.0' }, { id: 1, keep: false });
    assert.equal((await c.readResponse()).json.status, 410);
    assert.equal((await c.readResponse()).json.status, 403);
    await c.conn.readEnd();
  });

  test('a body past the bound is answered 413 with a JSON body; one at the bound is read', { timeout: 60000 * SLOW }, async () => {
    const token = await openSession();
    const post = (body) => ({ method: 'POST', target: pollOf(token).target, headers: { 'content-type': 'application/json' }, body });
    const padded = (n) => {
      const [a, b] = ['[null,"1","phoenix","heartbeat","', '"]'];
      return a + 'x'.repeat(n - a.length - b.length) + b;
    };
    const fits = await fcgiRequest(where, post(padded(1048576)));
    assert.deepEqual([fits.status, fits.json], [200, { status: 200 }]);
    const over = await fcgiRequest(where, post(padded(1048577)));
    assert.equal(over.status, 413);
    assert.ok(over.json, `a JSON body: ${over.text.slice(0, 200)}`);
    const through = await request(`${stack.url}${post('').target}`, { method: 'POST', body: padded(3000000) });
    assert.equal(through.status, 413, 'through lighttpd, too');
    assert.ok(through.json);
    await assertServes('after big bodies');
  });

  test('a body longer or shorter than CONTENT_LENGTH harms nobody', async () => {
    const token = await openSession();
    const target = pollOf(token).target;
    const body = '[null,"1","phoenix","heartbeat",{}]';
    for (const claimed of ['', '0', '-1', '1e9', '99999999999999999999', 'garbage', '5', String(body.length + 50)]) {
      const c = await connection();
      const env = { ...variables({ method: 'POST', target, headers: { 'content-type': 'application/json' } }), CONTENT_LENGTH: claimed };
      c.write(Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(env)), stream(TYPE.stdin, 1, body)]));
      const r = await c.readResponse(12000 * SLOW);
      assert.ok([200, 400, 411, 413].includes(r.status), `CONTENT_LENGTH ${claimed}: HTTP ${r.status}`);
      c.abort();
    }
    await assertServes('after odd lengths');
  });

  test('a body that stops halfway holds up nobody', { timeout: 60000 * SLOW }, async () => {
    const token = await openSession();
    const env = { ...variables({ method: 'POST', target: pollOf(token).target }), CONTENT_LENGTH: '1000' };
    const peers = [];
    for (let i = 0; i < 12; i++) {
      const c = await connection();
      c.write(Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(env)), record(TYPE.stdin, 1, 'x'.repeat(100))]));
      peers.push(c);
    }
    await sleep(100);
    for (let i = 0; i < 5; i++) await assertServes('beside half bodies');
    for (const c of peers) c.abort();
  });

  test('odd parameters get a clear answer', async () => {
    const bad = {
      'no method': { ...variables(CONNECT), REQUEST_METHOD: '' },
      'no parameters': {},
      'a path with no socket': variables({ target: '/nosuch/longpoll' }),
      'a path with a NUL': { ...variables(CONNECT), SCRIPT_NAME: '/socket\0/longpoll', REQUEST_URI: '/socket\0/longpoll' },
      'a long query': variables({ target: `/socket/longpoll?vsn=2.0.0&x=${'y'.repeat(60000)}` }),
      'a query that is no UTF-8': variables({ target: '/socket/longpoll?vsn=2.0.0&x=%ff%fe' }),
      'many parameters': variables({ target: `/socket/longpoll?vsn=2.0.0${'&a[]=1'.repeat(5000)}` }),
      'deep parameters': variables({ target: `/socket/longpoll?vsn=2.0.0&a${'[b]'.repeat(2000)}=1` }),
      'a long method': { ...variables(CONNECT), REQUEST_METHOD: 'X'.repeat(5000) },
      'a header of 60 KB': variables({ ...CONNECT, headers: { 'x-phoenix-longpoll-token': 'A'.repeat(60000) } }),
    };
    for (const [what, env] of Object.entries(bad)) {
      const c = await connection();
      c.write(Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(env)), stream(TYPE.stdin, 1, '')]));
      const r = await c.readResponse();
      assert.ok(r.status === 200 ? [403, 410].includes(r.json?.status) : r.status >= 400 && r.status < 500, `${what}: HTTP ${r.status} ${r.text.slice(0, 100)}`);
      c.abort();
    }
    await assertServes('after odd parameters');
  });

  test('name-value pairs that lie about their length do not crash the worker', { timeout: 60000 * SLOW }, async () => {
    const lies = [Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Buffer.from([5, 5, 65]), Buffer.from([0x80, 0, 0, 0, 0x80, 0, 0, 0]), Buffer.from([0x84, 0, 0, 0, 1, 65, 66])];
    for (const lie of lies) {
      const c = await connection();
      c.write(Buffer.concat([begin(1), stream(TYPE.params, 1, lie), stream(TYPE.stdin, 1, '')]));
      await c.readResponse(3000 * SLOW).catch(() => {}); // an answer or the end: both are fine
      c.abort();
    }
    await assertServes('after lying lengths');
  });

  test('management records and unknown types are answered as the specification says', async () => {
    const c = await connection();
    c.write(record(TYPE.getValues, 0, pairs({ FCGI_MPXS_CONNS: '', FCGI_MAX_REQS: '' })));
    const r = await c.readRecord();
    assert.equal(r.type, TYPE.getValuesResult);
    assert.match(r.data.toString('latin1'), /FCGI_MPXS_CONNS0/);
    c.write(record(77, 0, 'x'));
    const u = await c.readRecord();
    assert.deepEqual([u.type, u.data[0]], [TYPE.unknown, 77]);
    c.send(CONNECT);
    assert.equal((await c.readResponse()).json.status, 410);
    c.abort();
  });

  test('multiplexing is refused cleanly, the first request goes on', async () => {
    const c = await connection();
    c.write(Buffer.concat([begin(1), stream(TYPE.params, 1, pairs(variables(CONNECT)))]));
    c.write(begin(2));
    c.write(stream(TYPE.stdin, 1, ''));
    const ends = {};
    for (let i = 0; i < 6 && Object.keys(ends).length < 2; i++) {
      const r = await c.readRecord(3000 * SLOW).catch(() => null);
      if (!r) break;
      if (r.type === TYPE.end) ends[r.id] = r.data[4];
    }
    assert.equal(ends[2], 1, `FCGI_CANT_MPX_CONN for the second: ${JSON.stringify(ends)}`);
    assert.equal(ends[1], 0, 'the first is complete');
    c.abort();
  });

  test('other roles and versions are refused', { timeout: 60000 * SLOW }, async () => {
    const c = await connection();
    c.write(begin(1, { role: 2 }));
    c.write(Buffer.concat([stream(TYPE.params, 1, pairs(variables(CONNECT))), stream(TYPE.stdin, 1, '')]));
    const r = await c.readResponse(5000 * SLOW).catch(() => null);
    if (r) assert.ok(r.protocolStatus === 3 || r.status >= 400, `role 2: ${JSON.stringify(r)}`);
    c.abort();
    const v = await connection();
    v.write(record(TYPE.begin, 1, [0, 1, 0, 0, 0, 0, 0, 0], { version: 9 }));
    await v.conn.readEnd(8000 * SLOW);
    await assertServes('after refused roles');
  });

  test('random bytes harm nobody', { timeout: 60000 * SLOW }, async () => {
    let seed = 12345;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
    for (let i = 0; i < 150; i++) {
      const c = await connection();
      const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 300) }, () => Math.floor(random() * 256)));
      if (i % 2) c.write(begin(1));
      c.write(bytes);
      await sleep(1);
      c.abort({ reset: i % 3 === 0 });
    }
    await assertServes('after random bytes', 3000 * SLOW);
  });
});
