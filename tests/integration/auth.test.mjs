// Who may connect: the application asked over HTTP, the proof that a page may use cookies, origins,
// and what becomes of sockets whose token runs out. On both transports, with real phoenix.js where it
// matters what clients make of an answer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Application } from '../lib/application.mjs';
import { HOOK_SECRET } from '../lib/hook_app.mjs';
import { cgiAnswer, variables } from '../lib/fcgi.mjs';
import { request } from '../lib/http.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { openFiles } from '../lib/proc.mjs';
import { startWs } from '../lib/servers.mjs';
import { API_KEY, bin, freePort, SLOW, startStack } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';
import { frame, openWs, OP, RawWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const HOOK_MS = 1500 * SLOW;
const TRANSPORTS = ['websocket', 'longpoll'];

const config = (app) => `secret = "integration-tests-only-0123456789abcdef"
log_level = "info"
refuse_delay_ms = 0
trusted_proxies = { "127.0.0.1", "unix" }
socket "/asked" {
    longpoll { window_ms = 3000 }
    check_origin = { "same", "//allowed.example" }
    auth {
        type = "hook" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = ${HOOK_MS}
        headers = { "cookie", "X-Phoenix-AuthToken" }
    }
    id = "user:{claims.user_id}"
    channel "mine:*" { backend = "relay" only_topic = "mine:{claims.user_id}" reply = true }
    channel "room:*" { backend = "relay" join = "authenticated" reply = true }
}
socket "/asked/:room" {
    check_origin = { "same" }
    auth { type = "hook" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = ${HOOK_MS} }
    channel "room:*" { backend = "relay" }
}
socket "/patient" {
    auth { type = "hook" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = 30000 }
}
socket "/proven" {
    auth { csrf_param = "_csrf" csrf_cookie = "csrf" }
    channel "room:*" { backend = "echo" }
}
socket "/other/:room" {
    channel "room:*" { backend = "relay" }
}
api { path = "/api" keys = { "${API_KEY}" } }
`;

let app;
let stack;
const pages = [];

const open = (name, headers) => {
  const p = page(name, { headers });
  pages.push(p);
  return p;
};

const ok = (claims, more) => () => ({ status: 'ok', claims, ...more });
const refuse = (reason, more) => () => ({ status: 'error', reason, ...more });

/** One connect without phoenix.js: 'open', or how it was refused: the HTTP status (of long-polling: the body's). */
async function connect(transport, { path = '/asked', query = 'vsn=2.0.0', headers = {} } = {}) {
  if (transport === 'longpoll') {
    const r = await request(`${stack.url}${path}/longpoll?${query}`, { headers });
    if (r.status === 200) return r.json.status === 410 ? 'open' : r.json.status;
    assert.deepEqual(r.json, { status: 500 }, 'what phoenix.js takes for an overload');
    return r.status;
  }
  const ws = new RawWs(stack.front);
  const r = await ws.connect(`${path}/websocket?${query}`, { headers, host: `127.0.0.1:${stack.port}` });
  ws.destroy();
  return r.status === 101 ? 'open' : r.status;
}

const cookie = (text) => ({ headers: { Cookie: text } });
/** A cookie that nobody had before: the cache knows nothing of it. */
let guests = 0;
const stranger = () => cookie(`sid=stranger-${++guests}`);

/** Until the hook is not taken for dead any more. */
const recovered = (transport) => until('the hook to be asked again', async () => (await connect(transport, stranger())) === 'open', 20000 * SLOW, 100);

before(async () => {
  app = await new Application().start(await freePort()); // it goes and comes again
  stack = await startStack({ config: { text: config(app) } });
});
after(async () => {
  await stack?.stop();
  await app?.stop();
  assert.deepEqual(app?.unsigned, []);
});
afterEach(() => {
  for (const p of pages.splice(0)) p.close();
});

describe('the application is asked', () => {
  for (const transport of TRANSPORTS) {
    for (const version of ['phoenix-1.4', 'phoenix-1.8']) {
      test(`${version} on ${transport}: cookies go there, claims come back`, TIMEOUT, async () => {
        app.forget();
        app.decide = ok({ user_id: 42, name: 'Ida' }, { cache_s: 60 });
        const sid = `sid=${version}-${transport}; other=1`;
        const p = open(version, { Cookie: sid });
        const socket = p.connect(`${stack.url}/asked`, { transport, params: { token: 'theirs', x: { y: '1' } } });
        const mine = await join(socket, 'mine:42');
        await answer(mine.push('hello', {}));
        await assert.rejects(join(socket, 'mine:43'), /error reply/);
        await join(socket, 'room:1');
        assert.equal(app.questions.length, 1);
        const { hook, socket: asked } = app.questions[0];
        assert.equal(hook, 'connect');
        assert.equal(asked.path, '/asked');
        assert.equal(asked.transport, transport);
        assert.equal(asked.remote_ip, '127.0.0.1');
        assert.deepEqual(asked.headers, { cookie: sid });
        assert.equal(asked.params.token, 'theirs');
        assert.deepEqual(asked.params.x, { y: '1' });
        assert.equal(await stack.api.disconnect('user:42'), 1);
      });
    }

    test(`authToken of 1.8 on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.decide = (q) => (q.socket.headers['x-phoenix-authtoken'] === 'the token' ? { status: 'ok', claims: { user_id: 1 } } : { status: 'error' });
      const socket = open('phoenix-1.8', { Cookie: 'sid=1' }).connect(`${stack.url}/asked`, { transport, authToken: 'the token' });
      await join(socket, 'mine:1');
      assert.equal(app.questions.length, 1);
    });

    test(`a refusal on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.decide = refuse('not on a Sunday');
      assert.equal(await connect(transport, stranger()), 403);
      assert.equal(await connect(transport, cookie(`sid=stranger-${guests}`)), 403);
      assert.equal(app.questions.length, 2, 'refusals are kept only for as long as the answer says');
      assert.match(stack.log.text, /\/asked: connect from 127\.0\.0\.1 refused: by the application: not on a Sunday/);
      app.decide = refuse('banned', { cache_s: 60 });
      const guest = stranger();
      for (let i = 0; i < 3; i++) assert.equal(await connect(transport, guest), 403);
      assert.equal(app.questions.length, 3);
    });

    test(`answers are kept for as long as they say, on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.decide = ok({ user_id: 1 }, { cache_s: 60 });
      const guest = stranger();
      for (let i = 0; i < 5; i++) assert.equal(await connect(transport, guest), 'open');
      assert.equal(app.questions.length, 1);
      assert.equal(await connect(transport, stranger()), 'open');
      assert.equal(await connect(transport, { ...guest, query: 'vsn=2.0.0&x=1' }), 'open');
      assert.equal(await connect(transport, {}), 'open');
      assert.equal(app.questions.length, 4, 'another cookie, another parameter, no cookie');
      app.decide = ok({ user_id: 1 }, { cache_s: 1 });
      const brief = stranger();
      assert.equal(await connect(transport, brief), 'open');
      await until('it to be asked again', async () => {
        await connect(transport, brief);
        return app.questions.length === 6;
      }, 5000 * SLOW);
      app.decide = ok({ user_id: 1 });
      const fresh = stranger();
      for (let i = 0; i < 3; i++) assert.equal(await connect(transport, fresh), 'open');
      assert.equal(app.questions.length, 9, 'without cache_s: each time');
    });

    test(`the same question is asked once at a time, on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.hold();
      const guest = stranger();
      const all = Array.from({ length: 40 }, () => connect(transport, guest));
      await app.count(1);
      const another = connect(transport, stranger());
      await app.count(2);
      app.release(ok({ user_id: 1 }));
      assert.deepEqual(await Promise.all([...all, another]), Array(41).fill('open'));
      assert.ok(app.questions.length <= 3, `asked ${app.questions.length} times`);
    });

    test(`one client's flood of connects waits behind everybody else, on ${transport}`, TIMEOUT, async () => {
      const from = (ip, guest) => connect(transport, { path: '/patient', headers: { ...guest.headers, 'x-forwarded-for': ip } });
      app.forget();
      app.hold();
      const flood = Array.from({ length: 40 }, () => from('192.0.2.66', stranger()));
      await app.count(13, 20000);
      const others = [1, 2, 3].map((n) => from(`192.0.2.${n}`, stranger()));
      await app.count(16, 20000);
      assert.deepEqual(app.questions.slice(13).map((q) => q.socket.remote_ip).sort(), ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
        'three places of sixteen were left, whatever else waits');
      app.release(ok({ user_id: 1 }));
      assert.deepEqual(await Promise.all(others), Array(3).fill('open'));
      assert.deepEqual(await Promise.all(flood), Array(40).fill('open'));
    });

    test(`what is refused anyway is not asked about, on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.decide = ok({ user_id: 1 });
      const guest = stranger();
      const from = (Origin) => connect(transport, { headers: { ...guest.headers, Origin } });
      assert.equal(await from('http://evil.example'), 403);
      assert.equal(await from('null'), 403);
      assert.equal(await from(`http://127.0.0.1:${stack.port + 1}`), 403);
      assert.equal(await connect(transport, { ...guest, query: 'vsn=7.0.0' }), 403);
      assert.equal(app.questions.length, 0);
      assert.equal(await from('https://allowed.example'), 'open');
      assert.equal(await from(`http://127.0.0.1:${stack.port}`), 'open');
    });
  }

  test('a path with a variable', TIMEOUT, async () => {
    app.forget();
    app.decide = ok({});
    for (const transport of TRANSPORTS) assert.equal(await connect(transport, { path: '/asked/kitchen' }), 'open');
    assert.deepEqual(app.questions.map((q) => [q.socket.path, q.socket.params.room]), Array(2).fill(['/asked/:room', 'kitchen']));
  });

  test('a cookie that is no UTF-8', TIMEOUT, async () => {
    app.forget();
    app.decide = ok({});
    for (const transport of TRANSPORTS) assert.equal(await connect(transport, cookie('name=Andr\xe9')), 'open');
    assert.deepEqual(app.questions.map((q) => q.socket.headers.cookie), Array(2).fill('name=Andr\u00e9'));
  });
});

/** It answers by itself. */
const itself = (make) => (question, { res }) => {
  make(res);
  return false;
};
const text = (body) => itself((res) => res.end(body));

const FAULTS = {
  slow: () => new Promise(() => {}),
  'half an answer': itself((res) => {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
    res.write('{"status":"ok"');
    setTimeout(() => res.destroy(), 20);
  }),
  'half an answer and silence': itself((res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    res.write('{"status":"ok"');
  }),
  'nothing at all': itself((res) => res.destroy()),
  huge: itself((res) => {
    res.on('error', () => {});
    res.writeHead(200);
    res.end(`{"status":"ok","claims":{"a":"${'x'.repeat(2000000)}"}}`);
  }),
  'claims that are too large': () => ({ status: 'ok', claims: { a: 'x'.repeat(17000) } }),
  'a redirection': itself((res) => {
    res.writeHead(302, { location: `${app.url}/elsewhere`, 'content-type': 'application/json' });
    res.end('{"status":"ok","claims":{}}');
  }),
  'status 500': itself((res) => {
    res.writeHead(500);
    res.end('{"status":"ok","claims":{}}');
  }),
  'no content': () => null,
  'no JSON': text('<html>Fatal error: Uncaught Error</html>'),
  'JSON with something before it': text('Notice: Undefined index\n{"status":"ok","claims":{}}'),
  'an array': text('[]'),
  'another status': () => ({ status: 'yes' }),
  'claims that are no object': () => ({ status: 'ok', claims: [0] }),
  'a negative time': () => ({ status: 'ok', claims: {}, cache_s: -1 }),
  'half a surrogate': text('{"status":"ok","claims":{"a":"\\ud800"}}'),
};

describe('a crowd', () => {
  for (const transport of TRANSPORTS) {
    test(`of strangers is asked about a few at a time, on ${transport}`, TIMEOUT, async () => {
      app.forget();
      app.mostAsking = 0;
      app.decide = () => new Promise((resolve) => setTimeout(resolve, 5, { status: 'ok', claims: {} }));
      const all = await Promise.all(Array.from({ length: 200 }, () => connect(transport, stranger())));
      assert.deepEqual(all, Array(200).fill('open'));
      assert.equal(app.questions.length, 200);
      assert.ok(app.mostAsking <= 16, `${app.mostAsking} at a time`);
    });
  }
});

describe('an application that does not do its part', () => {
  afterEach(async () => {
    app.decide = ok({ user_id: 1 });
    for (const transport of TRANSPORTS) await recovered(transport);
  });

  for (const [name, fault] of Object.entries(FAULTS)) {
    test(name, TIMEOUT, async () => {
      app.decide = fault;
      const answers = await Promise.all(TRANSPORTS.map((t) => connect(t, stranger())));
      assert.deepEqual(answers, [503, 503]);
    });
  }

  test('none there', TIMEOUT, async () => {
    const { port } = app;
    await app.stop();
    try {
      for (const transport of TRANSPORTS) {
        for (let i = 0; i < 3; i++) assert.equal(await connect(transport, stranger()), 503);
      }
      // A page that is there keeps trying, and gets in when the application is back.
      const errors = [];
      const sockets = TRANSPORTS.map((transport) => {
        const socket = open('phoenix-1.8', { Cookie: `sid=patient-${transport}` }).connect(`${stack.url}/asked`, { transport });
        socket.onError((e) => errors.push(e));
        return socket;
      });
      await until('two errors', () => errors.length >= 2, 10000 * SLOW);
      app = await Object.assign(new Application(), { decide: ok({ user_id: 7 }) }).start(port);
      for (const socket of sockets) await join(socket, 'mine:7');
    } finally {
      if (!app.server.listening) app = await Object.assign(new Application(), { decide: ok({}) }).start(port);
    }
  });

  test('other sockets are not kept waiting', TIMEOUT, async () => {
    app.decide = ok({ user_id: 5 }, { cache_s: 60 });
    const socket = open('phoenix-1.8', { Cookie: 'sid=resident' }).connect(`${stack.url}/asked`, { transport: 'websocket' });
    const channel = await join(socket, 'room:1');
    app.hold();
    const before = app.questions.length;
    const waiting = Array.from({ length: 10 }, () => connect('websocket', stranger()));
    await app.count(before + 10);
    for (let i = 0; i < 20; i++) await answer(channel.push('hello', { i }));
    assert.equal(app.held.length, 10, 'they wait still');
    app.release(ok({ user_id: 1 }));
    assert.deepEqual(await Promise.all(waiting), Array(10).fill('open'));
  });
});

describe('while the application is asked', () => {
  beforeEach(async () => {
    app.decide = ok({ user_id: 1 });
    for (const transport of TRANSPORTS) await recovered(transport);
  });

  test('clients go away, and nothing of them is left', TIMEOUT, async () => {
    const [worker] = stack.workers('ws');
    const files = () => openFiles(worker);
    const before = files();
    app.forget();
    app.hold();
    const ws = stack.address('ws');
    const gone = [];
    for (let i = 0; i < 30; i++) {
      const raw = await new RawWs(ws).conn.connect();
      raw.send({ target: '/asked/websocket?vsn=2.0.0', headers: { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==', Cookie: `sid=gone-${i}` } });
      gone.push(raw);
    }
    await app.count(16); // as many as are asked at a time
    await until('all to be accepted', () => files() >= before + 30);
    for (const raw of gone) raw.abort({ reset: true });
    // The questions under way stay.
    await until('the worker to let go of them', () => files() <= before + 16);
    app.release(ok({ user_id: 1 }));
  });

  test('frames that come with the handshake wait for the answer', TIMEOUT, async () => {
    app.forget();
    app.hold();
    const ws = new RawWs(stack.address('ws'));
    await ws.conn.connect();
    const key = 'AAAAAAAAAAAAAAAAAAAAAA==';
    const head = `GET /asked/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nCookie: sid=eager\r\n\r\n`;
    const joins = (n) => frame(OP.text, JSON.stringify([String(n), String(n), `room:${n}`, 'phx_join', {}]));
    const second = joins(2);
    ws.conn.write(Buffer.concat([Buffer.from(head), joins(1), second.subarray(0, 5)]));
    await app.count(1);
    ws.conn.write(second.subarray(5));
    app.release(ok({ user_id: 1 }));
    assert.equal((await ws.conn.readHead()).status, 101);
    for (const n of [1, 2]) assert.match((await ws.next()).text, new RegExp(`^\\["${n}","${n}","room:${n}","phx_reply",.*"status":"ok"`));
    ws.destroy();
  });

  test('a worker that stops answers first', TIMEOUT, async () => {
    app.forget();
    const own = await startWs(stack.dir, `${stack.state}/pollux.conf`);
    try {
      app.hold();
      const ws = new RawWs(own.where);
      const opened = ws.connect('/asked/websocket?vsn=2.0.0', { headers: { Cookie: 'sid=late' } });
      await app.count(1);
      own.program.child.kill('SIGTERM');
      await until('the worker to be stopping', () => /stopping/.test(own.program.text));
      app.release(ok({ user_id: 1 }));
      assert.equal((await opened).status, 101);
      assert.equal((await ws.next()).code, 1012);
      ws.destroy();
    } finally {
      await own.program.stop();
    }
  });

  test('plain CGI waits for the answer', TIMEOUT, async () => {
    app.forget();
    app.hold();
    const env = variables({ target: '/asked/longpoll?vsn=2.0.0', headers: { Cookie: 'sid=cgi' } });
    const child = spawn(bin('pollux-fcgi'), ['--config', `${stack.state}/pollux.conf`], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (d) => {
      out += d;
    });
    child.stderr.on('data', (d) => {
      err += d;
    });
    const exit = new Promise((resolve) => child.once('close', resolve));
    await app.count(1);
    assert.equal(out, '');
    app.release(ok({ user_id: 1 }));
    assert.equal(await exit, 0, err);
    assert.equal(cgiAnswer(Buffer.from(out)).json.status, 410);
    assert.equal(err.replace(/^.*(warning: |no daemon|redis).*$/gm, '').trim(), '');
  });
});

describe('the proof that a page may use cookies', () => {
  const socketOf = (p, transport, params) => p.connect(`${stack.url}/proven`, { transport, params });

  for (const transport of TRANSPORTS) {
    test(`on ${transport}`, TIMEOUT, async () => {
      const value = 'a+b/c==%20';
      const socket = socketOf(open('phoenix-1.8', { Cookie: `sid=1; csrf=${value}` }), transport, () => ({ _csrf: value, x: '1' }));
      await join(socket, 'room:1');
      const tries = {
        'csrf=abc&_csrf=abc': 403, // the cookie is no parameter
        '_csrf=abd': 403,
        '_csrf=': 403,
        '': 403,
        '_csrf=abc': 'open',
      };
      for (const [query, expected] of Object.entries(tries)) {
        const headers = query.startsWith('csrf') ? {} : { Cookie: 'sid=1; csrf=abc' };
        assert.equal(await connect(transport, { path: '/proven', query: `vsn=2.0.0&${query}`, headers }), expected, query);
      }
      assert.equal(await connect(transport, { path: '/proven', query: '_csrf=evil', headers: { Cookie: 'csrf=evil; csrf=abc' } }), 403, 'one that a neighbour added');
    });
  }
});

describe('what was judged', () => {
  test('is counted', TIMEOUT, async () => {
    app.decide = ok({ user_id: 1 }, { cache_s: 60 });
    for (const transport of TRANSPORTS) await recovered(transport);
    const counts = async () => {
      const r = await stack.api.call('GET', '/metrics');
      const hooks = (await stack.api.call('GET', '/info')).json.workers.map(({ kind, hooks: list }) => ({ kind, ...list.find((h) => h.hook === '/asked') }));
      return (kind, name, family = 'connects') => {
        const n = Number(new RegExp(`^pollux_${family}_${name}_total\\{kind="${kind}",[^}]*${family === 'connects' ? '' : 'hook="/asked"'}\\} (\\d+)$`, 'm').exec(r.text)?.[1]);
        if (family !== 'connects') assert.equal(hooks.find((h) => h.kind === kind).counts[name], n, `${name} of info and of metrics`);
        return n;
      };
    };
    const before = await counts();
    const guest = stranger();
    for (const transport of TRANSPORTS) for (let i = 0; i < 3; i++) await connect(transport, guest);
    app.decide = refuse('no');
    for (const transport of TRANSPORTS) await connect(transport, stranger());
    app.decide = text('no JSON');
    for (const transport of TRANSPORTS) await connect(transport, stranger());
    const now = await counts();
    for (const kind of TRANSPORTS) {
      assert.equal(now(kind, 'cached') - before(kind, 'cached'), 2);
      assert.equal(now(kind, 'refused') - before(kind, 'refused'), 1);
      assert.equal(now(kind, 'unavailable') - before(kind, 'unavailable'), 1);
      for (const [name, n] of Object.entries({ accepted: 3, cached: 2, denied: 1, unanswered: 1 }))
        assert.equal(now(kind, name, 'auth_hook') - before(kind, name, 'auth_hook'), n, `${name} of the hook, ${kind}`);
    }
  });
});

describe('long-poll tokens', () => {
  test('are worth nothing at another section, nor at one with variables', TIMEOUT, async () => {
    app.decide = ok({ user_id: 1 }, { cache_s: 60 });
    const paths = ['/asked', '/asked/kitchen', '/other/kitchen'];
    const tokenOf = {};
    for (const path of paths) tokenOf[path] = (await request(`${stack.url}${path}/longpoll?vsn=2.0.0`)).json.token;
    for (const from of paths) {
      for (const to of paths) {
        const url = `${stack.url}${to}/longpoll?vsn=2.0.0&token=${tokenOf[from]}`;
        const posted = await request(url, { method: 'POST', body: '[null,"1","phoenix","heartbeat",{}]' });
        assert.equal(posted.json.status, from === to ? 200 : 410, `POST: ${from} at ${to}`);
        if (from === to) continue;
        const polled = await request(url);
        assert.equal(polled.json.status, 410, `GET: ${from} at ${to}`);
        assert.notEqual(polled.json.token, tokenOf[from]);
      }
    }
  });
});
