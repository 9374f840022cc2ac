// A crowd that vanishes: clients of both transports connect, ask, and are gone at any moment, while the
// application that judges them is slow, silent, down or talks nonsense, Redis stands still now and then,
// and workers are replaced or killed. When all have gone nothing may be left of them: no question, no waiting
// request, no descriptor, no session, nobody in a presence list.
//
//     POLLUX_VANISH_SECONDS=60 POLLUX_VANISH_SEED=$RANDOM node tests/integration/vanish.mjs
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { FcgiConn, fcgiRequest } from '../lib/fcgi.mjs';
import { HOOK_SECRET, HookApp } from '../lib/hook_app.mjs';
import { children, openFiles, signal } from '../lib/proc.mjs';
import { Redis, startFcgi, startWs } from '../lib/servers.mjs';
import { SLOW, tempDir } from '../lib/stack.mjs';
import { random } from '../lib/storm.mjs';
import { ticket } from '../lib/tokens.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { frame, newKey, OP, RawWs } from '../lib/ws.mjs';

const SECONDS = Number(process.env.POLLUX_VANISH_SECONDS ?? 8);
const SEED = Number(process.env.POLLUX_VANISH_SEED ?? 20261120);
const CLIENTS = Number(process.env.POLLUX_VANISH_CLIENTS ?? 300);
const KEY = 'vanish-ticket-key-0123456789abcdef';
const API = { 'X-Pollux-Key': 'test-api-key-0123456789' };
const TOPICS = [...['shop', 'shop', 'room'].flatMap((kind, k) => Array.from({ length: 8 }, (_, i) => `${kind}:${8 * k + i}`)), 'lobby:1', 'lobby:2'];
const KEPT = 40; // connections to the application that a worker may keep, and what else comes and goes
const SANITIZER = /ERROR: \w+Sanitizer|runtime error:|detected memory leaks|signal (6|11) /;

const config = (redis, url) => `
secret = "integration-tests-only-0123456789abcdef"
log_level = "error"
refuse_delay_ms = 200
redis { url = "${redis.url}" }
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "//example.com" }
    id = "user:{claims.user}"
    auth { type = "hook" url = "${url}" secret = "${HOOK_SECRET}" timeout_ms = 600 max_in_flight = 8 }
    channel "shop:*"  { backend = "http" url = "${url}" secret = "${HOOK_SECRET}" timeout_ms = 600 max_in_flight = 8 hooks = { "join", "push", "leave" } rate { per_s = 20 } }
    channel "room:*"  { backend = "relay" reply = true }
    channel "lobby:*" { backend = "relay" presence { key = "{claims.user}" } }
}
socket "/t" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    auth { type = "ticket" key = "${KEY}" required = true }
    channel "shop:*"  { backend = "http" url = "${url}" secret = "${HOOK_SECRET}" timeout_ms = 600 max_in_flight = 8 hooks = { "join", "push", "leave" } }
    channel "room:*"  { backend = "relay" }
    channel "lobby:*" { backend = "relay" presence { key = "{claims.user}" } }
}
api { path = "/api" keys = { "${API['X-Pollux-Key']}" } }
`;

// ---- the application

const GARBAGE = [
  'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot JSON!',
  'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"status":["ok"]',
  'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"status":"ok",',
  'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n',
  'HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
  'SSH-2.0-OpenSSH_9.2\r\n',
  '',
];

/** What it says when it is well. */
function verdict(q, rng) {
  if (q.hook === 'connect') return rng.chance(0.1) ? { status: 'error', reason: 'no' } : { status: 'ok', claims: { user: /sid=(\w+)/.exec(q.socket.headers.cookie)?.[1] ?? 'nobody' }, cache_s: rng.below(2) };
  const presence = { track: { key: q.socket.session, meta: { n: 1 } } };
  if (q.hook === 'join') return rng.chance(0.1) ? { status: 'error' } : { status: 'ok', assigns: { joined: true }, presence, push: [{ event: 'hello', payload: {} }] };
  const all = { reply: { status: 'ok', response: {} }, broadcast: [{ event: 'said', payload: { q: q.ref ?? null } }], stop: rng.chance(0.05) };
  return q.hook === 'push' ? { ...all, ...(rng.chance(0.3) ? { presence: { untrack: { key: q.socket.session } } } : {}) } : { broadcast: [{ event: 'bye', payload: {} }] };
}

const moods = {
  well: () => undefined,
  slow: async (rng) => {
    await sleep(rng.between(0, 1200));
  },
  garbage: (rng, res) => {
    res.socket?.write(rng.pick(GARBAGE));
    res.socket?.end();
    return false;
  },
  silent: () => false,
  reset: (rng, res) => {
    res.socket?.resetAndDestroy();
    return false;
  },
};

function application(rng) {
  const app = new HookApp(async (q, { res }) => ((await moods[app.mood](rng, res)) === false ? false : verdict(q, rng)));
  app.mood = 'well';
  return app;
}

async function changeMoods(app, state, rng) {
  const seen = {};
  while (!state.calm) {
    const mood = rng.pick([...Object.keys(moods), 'slow', 'well', 'well', 'well', 'down']);
    seen[mood] = (seen[mood] ?? 0) + 1;
    if (mood === 'down') {
      await app.stop();
      await sleep(rng.between(50, 300));
      await app.start(app.port);
    } else {
      app.mood = mood;
    }
    await sleep(mood === 'well' ? rng.between(300, 900) : rng.between(50, 400));
  }
  app.mood = 'well';
  return seen;
}

// ---- clients

const tokenOf = (rng, name) => `token=${ticket(KEY, { user: name, exp: Date.now() / 1000 + rng.between(0.3, 3) })}`;

/** Messages of a socket in the order of time: joins, pushes, leaves, rejoins, heartbeats. */
function* talk(rng) {
  const joined = new Map();
  for (let ref = 1; ; ref++) {
    const topic = rng.pick(TOPICS);
    const dice = rng.next();
    if (dice < 0.1) yield [null, `${ref}`, 'phoenix', 'heartbeat', {}];
    else if (!joined.has(topic) || dice < 0.2) {
      joined.set(topic, `${ref}`);
      yield [`${ref}`, `${ref}`, topic, 'phx_join', { since: 'x:1' }];
    } else yield [joined.get(topic), `${ref}`, topic, dice < 0.3 ? 'phx_leave' : 'order', { n: ref }];
  }
}

class Visitor {
  constructor(name, world, rng) {
    Object.assign(this, { name, world, rng, counts: { visits: 0, opened: 0, heard: 0 } });
  }

  /** Target and headers of a connect. */
  way(transport) {
    const { rng } = this;
    if (rng.chance(0.3)) return { target: `/t/${transport}?vsn=2.0.0&${tokenOf(rng, this.name)}`, headers: {} };
    const headers = { Cookie: `a=b; sid=u${rng.below(40)}`, Origin: 'http://example.com' };
    return { target: `/s/${transport}?vsn=2.0.0&n=${rng.below(3)}`, headers };
  }

  async websocket(gone) {
    const { rng } = this;
    const ws = new RawWs(this.world.wsWhere);
    gone(() => ws.destroy({ reset: rng.chance(0.5) }));
    const { target, headers } = this.way('websocket');
    const words = talk(rng);
    const next = () => JSON.stringify(words.next().value);
    await ws.conn.connect();
    const upgrade = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': newKey() };
    ws.conn.send({ target, headers: { ...upgrade, ...headers }, host: 'example.com' });
    if (rng.chance(0.3)) for (let i = 0; i < 5; i++) ws.conn.write(frame(OP.text, next())); // before the answer
    if ((await ws.conn.readHead(20000)).status !== 101) return;
    this.counts.opened++;
    for (;;) {
      for (let i = rng.below(4); i > 0; i--) ws.send(next());
      await sleep(rng.between(0, 150));
      const e = await ws.next(rng.between(1, 100));
      if (e?.type === 'eof' || e?.type === 'close') return;
      this.counts.heard += e !== null;
    }
  }

  async longpoll(gone) {
    const { rng, world } = this;
    const open = new Set();
    let over = false;
    gone(() => {
      over = true;
      for (const c of open) rng.chance(0.2) ? c.sendAbort() : c.abort();
      setTimeout(() => open.forEach((c) => c.abort()), 50);
    });
    const ask = async (req) => {
      const c = new FcgiConn(world.fcgiWhere);
      open.add(c);
      try {
        await c.connect();
        c.send(req);
        return (await c.readResponse(20000)).json;
      } finally {
        open.delete(c);
        c.abort();
      }
    };
    const { target, headers } = this.way('longpoll');
    let token = (await ask({ target, headers: { ...headers, Host: 'example.com' } }))?.token;
    if (!token) return;
    this.counts.opened++;
    const words = talk(rng);
    const mount = target.slice(0, 2);
    const url = () => `${mount}/longpoll?vsn=2.0.0&token=${token}`;
    const origin = { Origin: 'http://example.com' };
    const posting = (async () => {
      while (!over && token) {
        const body = Array.from({ length: 1 + rng.below(6) }, () => JSON.stringify(words.next().value)).join('\n');
        await ask({ method: 'POST', target: url(), headers: { ...origin, 'Content-Type': 'application/x-ndjson' }, body });
        await sleep(rng.between(0, 200));
      }
    })().catch(() => {});
    while (!over) {
      const r = await ask({ target: url(), headers: origin });
      if (r?.status !== 200 && r?.status !== 204) break;
      token = r.token;
      this.counts.heard += r.messages.length;
    }
    over = true;
    await posting;
  }

  /** Comes, and goes within a second or so, until the storm is over. */
  async run(state) {
    while (!state.calm) {
      let leave = () => {};
      const timer = setTimeout(() => leave(), this.rng.chance(0.2) ? this.rng.between(0, 20) : this.rng.between(0, 1500));
      this.counts.visits++;
      await this[this.rng.chance(0.5) ? 'websocket' : 'longpoll']((how) => {
        leave = how;
      }).catch(() => {});
      clearTimeout(timer);
      leave();
      await sleep(this.rng.between(0, 100));
    }
  }
}

// ---- the system

class World {
  async start(dir, app) {
    this.redis = await new Redis(dir, { durable: false }).start();
    const file = path.join(dir, 'pollux.conf');
    fs.writeFileSync(file, config(this.redis, app.url));
    const fcgi = await startFcgi(dir, file, { workers: 2 });
    const ws = await startWs(dir, file, { workers: 2 });
    Object.assign(this, { fcgi: fcgi.program, fcgiWhere: fcgi.where, ws: ws.program, wsWhere: ws.where });
    return this;
  }

  workers() {
    return [...children(this.fcgi.pid), ...children(this.ws.pid)];
  }

  /** Redis stands still for a moment; workers are replaced, or one of them dies. */
  async disturb(state, rng) {
    for (let i = 0; !state.calm; i++) {
      await sleep(rng.between(500, 1200));
      const program = rng.pick([this.fcgi, this.ws]);
      if (i % 4 === 1) {
        process.kill(program.pid, 'SIGHUP');
      } else if (i % 4 === 3) {
        const pids = children(program.pid);
        if (pids.length > 0) signal(rng.pick(pids), 'SIGKILL');
      } else if (!state.calm) {
        this.redis.pause();
        await sleep(rng.between(50, 1000));
        this.redis.resume();
      }
    }
  }

  async metrics() {
    const r = await fcgiRequest(this.fcgiWhere, { target: '/api/metrics', headers: API });
    assert.equal(r.status, 200, r.text);
    const sums = {};
    for (const [, name, value] of r.text.matchAll(/^(\w+)(?:\{[^}]*\})? (\S+)$/gm)) sums[name] = (sums[name] ?? 0) + Number(value);
    return sums;
  }

  presence(topic) {
    return fcgiRequest(this.fcgiWhere, { target: `/api/presence?topic=${topic}`, headers: API }).then((r) => r.json);
  }
}

const EMPTY = ['pollux_websockets', 'pollux_polls_waiting', 'pollux_posts_waiting', 'pollux_channels', 'pollux_hook_in_flight', 'pollux_hook_waiting', 'pollux_longpoll_sessions'];

async function assertEmpty(world, before) {
  let left;
  await until('everything to come to rest', async () => {
    const m = await world.metrics();
    left = Object.fromEntries(EMPTY.filter((name) => m[name] !== 0).map((name) => [name, m[name]]));
    return Object.keys(left).length === 0 && m.pollux_workers_silent === 0;
  }, 60000 * SLOW, 500).catch((e) => assert.fail(`${e.message}: ${JSON.stringify(left)}`));
  for (const topic of TOPICS) {
    let who;
    await until(`nobody to be in ${topic}`, async () => Object.keys(who = await world.presence(topic)).length === 0, 30000 * SLOW, 500)
      .catch((e) => assert.fail(`${e.message}: ${JSON.stringify(who).slice(0, 300)}`));
  }
  for (const pid of world.workers()) assert.ok(openFiles(pid) <= before + KEPT, `worker ${pid} has ${openFiles(pid)} descriptors, before the crowd it was ${before}`);
}

/** Who has left was there. */
function assertLeaves(app) {
  const key = (q) => `${q.socket.session} ${q.topic}`;
  const joins = new Set(app.questions.filter((q) => q.hook === 'join').map(key));
  const leaves = app.questions.filter((q) => q.hook === 'leave');
  for (const q of leaves) assert.ok(joins.has(key(q)), `a leave of nobody: ${JSON.stringify(q)}`);
  return leaves.length;
}

async function crowd() {
  const rng = random(SEED);
  const dir = tempDir('vanish');
  const app = await application(random(SEED + 1)).start();
  const world = new World();
  const state = { calm: false };
  try {
    await world.start(dir, app);
    const before = Math.max(...world.workers().map(openFiles));
    const visitors = Array.from({ length: CLIENTS }, (_, i) => new Visitor(`v${i}`, world, random(SEED + 2 + i)));
    const running = visitors.map((v) => v.run(state));
    const moodsSeen = changeMoods(app, state, rng);
    const disturbing = world.disturb(state, random(SEED - 1));
    await sleep(SECONDS * 1000);
    state.calm = true;
    await Promise.all([...running, disturbing]);
    const seen = await moodsSeen;
    await assertEmpty(world, before);
    const sum = (k) => visitors.reduce((n, v) => n + v.counts[k], 0);
    console.log(`seed ${SEED}: ${sum('visits')} visits, ${sum('opened')} sockets, ${sum('heard')} messages; ${app.questions.length} questions, ${assertLeaves(app)} leaves; the application was ${JSON.stringify(seen)}`);
    assert.deepEqual(app.unsigned, []);
    assert.ok(sum('opened') > CLIENTS / 4, `${sum('opened')} sockets: too few to prove anything`);
    for (const program of [world.fcgi, world.ws]) {
      const exit = await program.stop();
      assert.doesNotMatch(program.text, SANITIZER);
      assert.deepEqual(exit, { code: 0, signal: null }, program.text.slice(-4000));
    }
  } catch (e) {
    for (const program of [world.fcgi, world.ws]) console.error(`--- ${program?.name}, seed ${SEED} ---\n${program?.text.slice(-6000)}`);
    throw e;
  } finally {
    state.calm = true;
    for (const program of [world.fcgi, world.ws]) if (program && !program.exit) await program.stop();
    await world.redis?.stop();
    await app.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

// A process of its own (vanish.test.mjs starts it): node:test's books of everything asynchronous take
// longer at the end than the crowd itself.
setTimeout(() => {
  console.error(`seed ${SEED}: not over in time`);
  process.exit(1);
}, (SECONDS + 120) * 1000 * SLOW);
try {
  await crowd();
} catch (e) {
  console.error(e);
  process.exit(1);
}
process.exit(0);
