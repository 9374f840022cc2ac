// A backend hears of every end, at least once: also of those whose worker was killed with -9, whose
// client vanished, and whose end was being told by a worker that was killed over it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { LongPollClient } from '../lib/longpoll.mjs';
import { kill, signal } from '../lib/proc.mjs';
import { BUILD, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const LEASE_MS = 10000; // of a WebSocket worker
const LIFE_MS = 30000; // of a long-poll session
const TIMEOUT = { timeout: 120000 * SLOW };

const config = (dir) => `
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    channel "room:*" { backend = "module" path = "${path.join(BUILD, 'modules/farewell.so')}" settings = "${dir}" }
}
api { path = "/api" keys = { "test-api-key-0123456789" } }
`;

async function withStack(options, body) {
  const dir = tempDir('farewell');
  const stack = await startStack({ config: { text: config(dir) }, ...options });
  /** What was told so far: [{topic, session, reason, assigns}]. */
  const told = () => (fs.existsSync(path.join(dir, 'log')) ? fs.readFileSync(path.join(dir, 'log'), 'utf8') : '').split('\n').filter(Boolean).map((line) => {
    const [topic, session, reason, ...rest] = line.split(' ');
    return { topic, session, reason, assigns: JSON.parse(rest.join(' ')) };
  });
  try {
    await body(stack, { told, fatal: () => fs.writeFileSync(path.join(dir, 'fatal'), ''), isFatal: () => fs.existsSync(path.join(dir, 'fatal')) });
  } catch (e) {
    stack.show(40);
    console.error(JSON.stringify(told()));
    throw e;
  } finally {
    await stack.stop({ status: null });
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

/** A WebSocket that has joined, with assigns {"n": n}. */
async function onWebSocket(stack, n) {
  const topic = `room:w${n}`;
  const ws = await openWs(stack.address('ws'), '/s/websocket?vsn=2.0.0');
  ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
  const { session } = JSON.parse((await ws.next()).text)[4].response;
  ws.send(JSON.stringify(['1', '2', topic, 'keep', { n }]));
  assert.match((await ws.next()).text, /phx_reply/);
  return { n, topic, ws, session };
}

async function onLongPoll(stack, n) {
  const topic = `room:l${n}`;
  const lp = new LongPollClient(`${stack.url}/s/longpoll`);
  await lp.open();
  await lp.send([lp.message(topic, 'phx_join', {}), lp.message(topic, 'keep', { n })]);
  const { messages, token } = await lp.pollOnce();
  lp.token = token;
  return { n, topic, lp, session: JSON.parse(messages[0])[4].response.session };
}

const sort = (list) => list.map((x) => x.session).sort();
const whose = (told, clients) => told.filter((t) => clients.some((c) => c.session === t.session));

/** Each of them was told of, as `reason`, with what it had assigned. */
async function toldOf(told, clients, reason, ms) {
  const missing = () => clients.filter((c) => !told().some((t) => t.session === c.session));
  await until('all of them to be told of', () => missing().length === 0, ms, 50).catch((e) => {
    throw new Error(`${e.message}: not of ${JSON.stringify(sort(missing()))}`);
  });
  for (const t of whose(told(), clients)) {
    const c = clients.find((x) => x.session === t.session);
    assert.deepEqual(t, { topic: c.topic, session: c.session, reason, assigns: { n: c.n } });
  }
}

/** Whose connection has ended, or does within a moment. */
async function ended(client) {
  for (let e; (e = await client.ws.next(500));) if (e.type === 'eof' || e.type === 'close') return true;
  return false;
}

describe('the end of a membership', { concurrency: 3 }, () => {
  test('a WebSocket worker is killed', TIMEOUT, () => withStack({ fcgi: 1, ws: 2 }, async (stack, { told }) => {
    // So many that each worker has some of them.
    const clients = await Promise.all(Array.from({ length: 24 }, (_, n) => onWebSocket(stack, n)));
    const [left, stopped, ...rest] = clients;
    left.ws.send(JSON.stringify(['1', '3', left.topic, 'phx_leave', {}]));
    stopped.ws.send(JSON.stringify(['1', '3', stopped.topic, 'leave_me', {}]));
    await toldOf(told, [left], 'left', 5000 * SLOW);
    await toldOf(told, [stopped], 'closed', 5000 * SLOW);
    await kill(stack.workers('ws')[0]);
    const dead = await Promise.all(rest.map(ended));
    const [gone, alive] = [rest.filter((_, i) => dead[i]), rest.filter((_, i) => !dead[i])];
    assert.ok(gone.length > 0 && alive.length > 0, `${gone.length} of ${rest.length} were on that worker`);
    await toldOf(told, gone, 'closed', LEASE_MS + 4000 * SLOW);
    await sleep(500);
    assert.deepEqual(whose(told(), alive), [], 'who lives');
    assert.deepEqual(sort(whose(told(), [left, stopped])), sort([left, stopped]), 'what had ended well is told of once');
    for (const c of alive) c.ws.destroy();
    await toldOf(told, alive, 'closed', 5000 * SLOW);
  }));

  test('all are killed; who tells of it is killed over it', TIMEOUT, () => withStack({ fcgi: 2, ws: 2 }, async (stack, { told, fatal, isFatal }) => {
    const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => onWebSocket(stack, n)));
    fatal();
    for (const kind of ['ws', 'fcgi']) for (const pid of stack.workers(kind)) signal(pid, 'SIGKILL');
    // New workers judge after a whole lease of their own; and then once more.
    await toldOf(told, clients, 'closed', 2 * LEASE_MS + 2 * LEASE_MS + 6000 * SLOW);
    assert.equal(isFatal(), false, 'one was killed');
  }));

  test('long-poll clients vanish, workers die', TIMEOUT, () => withStack({ fcgi: 2, ws: 1 }, async (stack, { told, fatal, isFatal }) => {
    const clients = await Promise.all(Array.from({ length: 8 }, (_, n) => onLongPoll(stack, n)));
    const stays = clients.shift();
    stays.lp.start();
    clients.slice(0, 4).forEach((c) => {
      c.lp.pollOnce().catch(() => {}); // away in the middle of a poll
      setTimeout(() => c.lp.pollConn?.abort({ reset: true }), 200);
    });
    await sleep(300);
    await kill(stack.workers('fcgi')[0]);
    fatal();
    await toldOf(told, clients, 'expired', LIFE_MS + 15000 * SLOW);
    assert.equal(isFatal(), false, 'one was killed over it');
    assert.deepEqual(whose(told(), [stays]), [], 'who lives');
    await stays.lp.send([stays.lp.message(stays.topic, 'phx_leave', {})]);
    await toldOf(told, [stays], 'left', 5000 * SLOW);
    assert.equal(whose(told(), [stays]).length, 1);
    await stays.lp.stop();
    assert.deepEqual(stays.lp.trouble, []);
  }));
});
