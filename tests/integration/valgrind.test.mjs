// The programs under valgrind: they serve clients of every kind, stop on SIGTERM while some are still
// there, and neither leak nor touch what is not theirs. Sanitizers see more while programs run; this
// sees uninitialised memory, and leaks of the build that users get.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Application } from '../lib/application.mjs';
import { FcgiConn, cgiAnswer, fcgiRequest, variables } from '../lib/fcgi.mjs';
import { HOOK_SECRET } from '../lib/hook_app.mjs';
import { signToken } from '../lib/phoenix_token.mjs';
import { descendants } from '../lib/proc.mjs';
import { Redis, startFcgi, startWs } from '../lib/servers.mjs';
import { API_KEY, bin, configText, SANITIZED, tempDir } from '../lib/stack.mjs';
import { openWs, RawWs } from '../lib/ws.mjs';

const OPTIONS = { timeout: 120000, skip: SANITIZED && 'the sanitizers look for the same' };
const MS = 20000; // valgrind is slow
const JSON_HEAD = { 'Content-Type': 'application/json' };
const API_HEAD = { ...JSON_HEAD, 'X-Pollux-Key': API_KEY };
let dir;
let redis;
let config;

/** valgrind's words, its logs of a program's processes in `dir`/NAME.PID. */
const valgrind = (name) => ['valgrind', '--quiet', '--leak-check=full', '--show-leak-kinds=definite,indirect',
  '--errors-for-leak-kinds=definite,indirect', '--error-exitcode=99', '--num-callers=30', `--log-file=${path.join(dir, name)}.%p`];

/** Asserts that every one of `pids` was watched to its end, and that valgrind had nothing to say. */
function assertSilent(name, pids) {
  const logs = fs.readdirSync(dir).filter((f) => f.startsWith(`${name}.`) && /\.\d+$/.test(f));
  for (const pid of pids) assert.ok(logs.includes(`${name}.${pid}`), `no log of process ${pid}: ${logs}`);
  for (const log of logs) assert.equal(fs.readFileSync(path.join(dir, log), 'utf8'), '', log);
}

/** Stops a program by SIGTERM; everything must have ended well. */
async function stop(name, program) {
  const pids = [program.pid, ...descendants(program.pid).map((p) => p.pid)];
  assert.ok(pids.length >= 2, 'a parent and its worker');
  const exit = await program.stop('SIGTERM', MS);
  assertSilent(name, pids);
  assert.deepEqual(exit, { code: 0, signal: null }, program.text);
}

const texts = (r) => r.json.messages.map((m) => JSON.parse(m));

/** A session of a mount: {post(messages), poll(), get()}. */
async function session(where, mount, params = '') {
  const target = (token) => `${mount}/longpoll?vsn=2.0.0${params}${token ? `&token=${token}` : ''}`;
  let { token } = (await fcgiRequest(where, { target: target() }, { ms: MS })).json;
  assert.ok(token);
  return {
    get url() {
      return target(token);
    },
    async post(...messages) {
      const body = messages.map((m) => (typeof m === 'string' ? m : JSON.stringify(m))).join('\n');
      const headers = { 'Content-Type': 'application/x-ndjson' };
      return (await fcgiRequest(where, { method: 'POST', target: target(token), headers, body }, { ms: MS })).json;
    },
    async poll() {
      const r = await fcgiRequest(where, { target: target(token) }, { ms: MS });
      token = r.json.token ?? token;
      return texts(r);
    },
  };
}

/** The next text frame, parsed. */
async function read(ws) {
  const e = await ws.next(MS);
  assert.equal(e?.type, 'text', JSON.stringify(e));
  return JSON.parse(e.text);
}

describe('under valgrind', () => {
  before(async () => {
    dir = tempDir('valgrind');
    redis = await new Redis(dir, { durable: false }).start();
    config = path.join(dir, 'pollux.conf');
    fs.writeFileSync(config, `${configText('recorded.conf')}\nredis { url = "${redis.url}" }\n`);
  });

  after(async () => {
    await redis?.stop();
    if (dir) fs.rmSync(dir, { recursive: true, force: true });
  });

  test('pollux-fcgi serves long-poll clients and the API, and stops', OPTIONS, async () => {
    const { program, where } = await startFcgi(dir, config, { under: valgrind('fcgi') });
    const parked = [];
    try {
      const a = await session(where, '/socket', '&user_id=7');
      const b = await session(where, '/relay');
      await a.post(['1', '1', 'room:v', 'phx_join', {}], ['1', '2', 'room:v', 'echo', { text: 'grüße' }], ['1', '3', 'room:v', 'fail', {}]);
      assert.equal((await a.poll()).length, 3);
      await b.post(['1', '1', 'room:v', 'phx_join', {}]);
      await b.post(['1', '2', 'room:v', 'said', { by: 'b' }]);
      assert.ok((await b.poll()).length >= 1);
      // Channels that crash, stop, are refused, left, joined twice; messages that are none.
      await a.post(['1', '4', 'room:v', 'boom', {}]);
      await a.post(['2', '5', 'room:v', 'phx_join', {}], ['2', '6', 'room:v', 'stop', {}]);
      await a.post(['3', '7', 'nowhere', 'phx_join', {}], ['4', '8', 'room:w', 'phx_join', {}], ['5', '9', 'room:w', 'phx_join', {}]);
      await a.post(['5', '10', 'room:w', 'phx_leave', {}], [null, '11', 'phoenix', 'heartbeat', {}]);
      assert.ok((await a.poll()).length >= 4);
      assert.equal((await b.post('{"not": "an array"}')).status, 400);
      assert.equal((await fcgiRequest(where, { target: '/socket/longpoll?vsn=2.0.0&token=forged' }, { ms: MS })).json.status, 403);
      assert.equal((await fcgiRequest(where, { target: '/nowhere' }, { ms: MS })).status, 404);
      // The API, its errors, its repetition.
      for (const [body, status] of [[{ topic: 'room:v', event: 'e', payload: [1], key: 'k' }, 200], [{ topic: 'room:v', event: 'e', payload: [1], key: 'k' }, 200],
        [[{ topic: 'room:v', event: 'e', payload: 'x'.repeat(70000) }], 200], [{ topic: 5 }, 422]]) {
        const r = await fcgiRequest(where, { method: 'POST', target: '/api/publish', headers: API_HEAD, body: JSON.stringify(body) }, { ms: MS });
        assert.equal(r.status, status, r.text);
      }
      assert.equal((await fcgiRequest(where, { target: '/api/health', headers: API_HEAD }, { ms: MS })).status, 200);
      assert.equal((await fcgiRequest(where, { method: 'POST', target: '/api/publish', body: '{' }, { ms: MS })).status, 401);
      assert.ok((await b.poll()).some((m) => m[3] === 'e'));
      const gone = await session(where, '/socket', '&user_id=8');
      const r = await fcgiRequest(where, { method: 'POST', target: '/api/disconnect', headers: API_HEAD, body: '{"id":"user_socket:8"}' }, { ms: MS });
      assert.equal(r.json?.sockets, 1, r.text);
      assert.ok(gone.url);
      // Peers that go away: in the middle of a request, and while their poll is parked.
      const half = await new FcgiConn(where).connect();
      half.conn.write(Buffer.from([1, 1, 0, 1, 0, 8, 0, 0, 0, 1]));
      parked.push(half);
      for (const s of [a, b]) {
        const c = await new FcgiConn(where).connect();
        c.send({ target: s.url });
        parked.push(c);
      }
      assert.equal((await fcgiRequest(where, { target: '/nowhere' }, { ms: MS })).status, 404);
      parked.pop().abort();
      await stop('fcgi', program);
    } finally {
      for (const c of parked) c.abort();
      await program.stop('SIGKILL').catch(() => {});
    }
  });

  test('pollux-ws serves WebSockets, and stops', OPTIONS, async () => {
    const { program, where } = await startWs(dir, config, { under: valgrind('ws') });
    const open = [];
    try {
      const a = await openWs(where, '/socket/websocket?vsn=2.0.0&user_id=7');
      const deflate = { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } };
      const b = await openWs(where, '/relay/websocket?vsn=2.0.0', deflate);
      const old = await openWs(where, '/relay/websocket?vsn=1.0.0');
      open.push(a, b, old);
      assert.ok(b.deflate);
      const say = async (ws, message) => {
        ws.send(JSON.stringify(message));
        return read(ws);
      };
      assert.equal((await say(a, ['1', '1', 'room:ws', 'phx_join', {}]))[4].status, 'ok');
      await say(a, ['1', '2', 'room:ws', 'echo', { n: 1e300, text: '\u0000' }]);
      await say(a, ['1', '3', 'room:ws', 'fail', {}]);
      await say(a, ['1', '4', 'room:ws', 'boom', {}]);
      assert.equal((await say(a, ['2', '5', 'nowhere', 'phx_join', {}]))[4].status, 'error');
      assert.equal((await say(b, ['1', '1', 'room:wide', 'phx_join', {}]))[4].status, 'ok');
      old.send('{"topic":"room:wide","event":"phx_join","ref":"1","payload":{}}');
      assert.equal((await read(old)).event, 'phx_reply');
      b.sendDeflated(JSON.stringify(['1', '2', 'room:wide', 'said', { long: 'x'.repeat(30000) }]));
      assert.equal((await read(b))[3], 'said');
      assert.equal((await read(old)).event, 'said');
      for (const bytes of ['nonsense', '[1,2,3]']) {
        const bad = await openWs(where, '/socket/websocket?vsn=2.0.0');
        bad.send(bytes);
        assert.match((await bad.next(MS)).type, /^(close|eof)$/);
        bad.destroy();
      }
      const leaver = await openWs(where, '/relay/websocket?vsn=2.0.0');
      leaver.send(JSON.stringify(['1', '1', 'room:wide', 'phx_join', {}]));
      leaver.destroy({ reset: true });
      await assert.rejects(openWs(where, '/nowhere/websocket?vsn=2.0.0'), /404/);
      await stop('ws', program);
    } finally {
      for (const ws of open) ws.destroy();
      await program.stop('SIGKILL').catch(() => {});
    }
  });

  test('connects that ask an application, and tokens that run out', OPTIONS, async () => {
    const app = await new Application().start();
    const asking = path.join(dir, 'asking.conf');
    const secret = 'a-secret-key-base-shared-with-the-application';
    fs.writeFileSync(asking, `redis { url = "${redis.url}" }
secret = "integration-tests-only-0123456789abcdef"
socket "/asked" { auth { type = "hook" url = "${app.url}" secret = "${HOOK_SECRET}" } channel "room:*" {} }
socket "/timed" { auth { type = "phoenix_token" secret = "${secret}" salt = "s" } channel "room:*" {} }
`);
    const guest = (sid) => ({ headers: { Cookie: `sid=${sid}` } });
    const fcgi = await startFcgi(dir, asking, { under: valgrind('asking-fcgi') });
    const ws = await startWs(dir, asking, { under: valgrind('asking-ws') });
    const left = [];
    try {
      const token = signToken(secret, 's', 7, { maxAge: 3 });
      const timed = await openWs(ws.where, `/timed/websocket?vsn=2.0.0&token=${token}`);
      const byPoll = (await fcgiRequest(fcgi.where, { target: `/timed/longpoll?vsn=2.0.0&token=${token}` }, { ms: MS })).json;
      const answers = [{ status: 'ok', claims: { a: 1 }, cache_s: 60 }, { status: 'error', reason: 'no', cache_s: 60 }, { status: 'ok', claims: [1] }, null];
      for (const [i, a] of answers.entries()) {
        app.decide = () => a;
        for (let repeated = 0; repeated < 2; repeated++) {
          const lp = await fcgiRequest(fcgi.where, { target: '/asked/longpoll?vsn=2.0.0', ...guest(i) }, { ms: MS });
          assert.equal(lp.json.status, [410, 403, 500, 500][i]);
          const raw = new RawWs(ws.where);
          assert.equal((await raw.connect('/asked/websocket?vsn=2.0.0', { ...guest(i), ms: MS })).status, [101, 403, 503, 503][i]);
          raw.destroy();
        }
      }
      // Clients that go away while the application thinks, and some that are there when the programs stop.
      app.forget();
      app.hold();
      for (const sid of ['x', 'y']) {
        const raw = new RawWs(ws.where);
        raw.connect('/asked/websocket?vsn=2.0.0', { ...guest(sid), ms: MS }).catch(() => {});
        const polling = await new FcgiConn(fcgi.where).connect();
        polling.send({ target: '/asked/longpoll?vsn=2.0.0', ...guest(sid) });
        left.push(() => raw.destroy(), () => polling.abort());
      }
      await app.count(4, MS);
      for (const go of left.splice(0, 2)) go();
      assert.equal((await timed.next(MS))?.code, 3000);
      assert.ok(byPoll.token);
      timed.destroy();
      await stop('asking-fcgi', fcgi.program);
      await stop('asking-ws', ws.program);
    } finally {
      for (const go of left) go();
      for (const { program } of [fcgi, ws]) await program.stop('SIGKILL').catch(() => {});
      await app.stop();
    }
  });

  test('pollux-fcgi as a CGI program; pollux check, publish, disconnect', OPTIONS, () => {
    const run = (name, program, args, options = {}) => {
      const [command, ...words] = [...valgrind(name), bin(program), ...args];
      const r = spawnSync(command, words, { encoding: 'utf8', timeout: 60000, ...options });
      assertSilent(name, [r.pid]);
      return r;
    };
    const request = variables({ target: '/socket/longpoll?vsn=2.0.0' });
    const cgi = run('cgi', 'pollux-fcgi', ['--config', config], { env: { ...process.env, ...request }, input: '' });
    assert.equal(cgiAnswer(Buffer.from(cgi.stdout)).json?.status, 410, cgi.stderr);
    for (const [args, status] of [[['check'], 0], [['publish', 'room:v', 'e', '{"a":[1,2]}'], 0], [['publish', 'room:v', 'e', '{'], 2],
      [['disconnect', 'user_socket:1'], 0], [['nothing'], 2]]) {
      const r = run(args[0], 'pollux', ['--config', config, ...args]);
      assert.equal(r.status, status, `${args}: ${r.stderr}`);
    }
  });
});
