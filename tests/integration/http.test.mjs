// Backend "http": a Node application decides, asked by Pollux on both transports. What it answers is in
// the question's own payload, so that each test reads as one piece: {answer}, {raw: [text of an HTTP
// answer]}, {after: ms}, {pad: bytes}.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HOOK_SECRET, HookApp } from '../lib/hook_app.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { signal } from '../lib/proc.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis } from '../lib/servers.mjs';
import { bin, freePort, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until, within } from '../lib/wait.mjs';
import { lighttpd } from '../lib/webservers.mjs';
import { openWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const TRANSPORTS = ['websocket', 'longpoll'];
const UNAVAILABLE = { reason: 'unavailable' };
const MOST = 16;
let app;
let stack;
let deadPort;
let counter = 0;
const fresh = (kind = 'shop') => `${kind}:${process.pid}x${counter++}`;

const config = () => `
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
trusted_proxies = { "127.0.0.1", "unix" }
socket "/socket" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    id = "user:{params.user}"
    channel "shop:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = 5000 hooks = { "join", "push", "leave" } }
    channel "plain:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" }
    channel "crowd:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = 30000 max_in_flight = ${MOST} }
    channel "some:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" events = { "order" } relay_to = "others" reply = true }
    channel "front:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" hooks = { "leave" } }
    channel "joins:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" hooks = { "join" } }
    channel "pushes:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" hooks = { "push" } }
    channel "kept:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" history { size = 10 ttl_s = 60 } }
    channel "hasty:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" timeout_ms = 1500 max_in_flight = 16 }
    channel "ruled:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" join = "none" }
    channel "dead:*" { backend = "http" url = "http://127.0.0.1:${deadPort}/" secret = "${HOOK_SECRET}" timeout_ms = 1000 }
    channel "relay:*" { backend = "relay" reply = true }
}
api { path = "/api" keys = { "test-api-key-0123456789" } }
`;

/** What the application does with the questions of one topic: undefined as an answer means as any. */
const special = new Map();

/** What the application does with any question. */
async function decide(question, { res }) {
  const own = await special.get(question.topic)?.(question, { res });
  if (own !== undefined) return own;
  const { answer: what, raw, pad, after: ms } = question.payload ?? {};
  if (ms) await sleep(ms);
  if (raw) {
    for (const part of raw) {
      if (typeof part === 'number') await sleep(part);
      else res.socket?.write(part);
    }
    res.socket?.end();
    return false;
  }
  if (pad) what.pad = 'x'.repeat(pad);
  if (what !== undefined) return what;
  return question.hook === 'join' ? { status: 'ok' } : null;
}

/** A phoenix.js page on a transport: {socket, channel(topic, payload), close}. */
function visitor(transport, user = 'ann', version = 'phoenix-1.8') {
  const p = page(version);
  const socket = p.connect(`ws://127.0.0.1:${stack.port}/socket`, { transport, params: { user } });
  return {
    socket,
    close: () => p.close(),
    /** Joined; what comes for it is kept as [event, payload]. */
    async join(topic, payload = {}) {
      const channel = socket.channel(topic, payload);
      channel.got = [];
      const { onMessage } = channel;
      channel.onMessage = (event, data, ...rest) => {
        if (!/^phx_|^chan_reply_/.test(event)) channel.got.push([event, data]);
        return onMessage.call(channel, event, data, ...rest);
      };
      channel.response = await answer(channel.join());
      return channel;
    },
  };
}

/** The reason of an error reply; null: it was ok. */
const refusal = (push) => new Promise((resolve, reject) => {
  push.receive('ok', () => resolve(null));
  push.receive('error', resolve);
  push.receive('timeout', () => reject(new Error('no reply')));
});

const got = (channel, event) => channel.got.filter(([e]) => e === event).map(([, payload]) => payload);

async function withVisitors(transports, body) {
  const all = transports.map((t, i) => visitor(t, `u${i}`));
  try {
    await body(...all);
  } catch (e) {
    stack.show(30);
    throw e;
  } finally {
    for (const v of all) v.close();
  }
}

const both = (name, body) => {
  for (const transport of TRANSPORTS)
    test(`${name} (${transport})`, TIMEOUT, () => withVisitors([transport], (v) => body(v, transport)));
};

describe('backend http', { concurrency: 4 }, () => {
  before(async () => {
    app = await new HookApp(decide).start();
    deadPort = await freePort();
    stack = await startStack({ config: { text: config() }, fcgi: 2, ws: 2 });
  });
  after(async () => {
    await stack?.stop();
    assert.deepEqual(app.unsigned, [], 'questions without a good signature');
    await app.stop();
  });

  both('the documents', async (v, transport) => {
    const topic = fresh();
    const shop = await v.join(topic, { hello: [1, 2.50], answer: { status: 'ok', response: { you: 'in' }, assigns: { cart: [] } } });
    assert.deepEqual(shop.response, { you: 'in' });
    const [join] = await app.asked({ hook: 'join', topic });
    const { session } = join.socket;
    assert.match(join.message_id, new RegExp(`^${session}:\\d+:\\d+$`));
    const socket = { id: 'user:u0', session, transport, claims: {}, params: { user: 'u0', vsn: '2.0.0' }, assigns: {} };
    assert.deepEqual(join, { hook: 'join', topic, message_id: join.message_id, payload: join.payload, socket });
    assert.deepEqual(join.payload.hello, [1, 2.5]);

    assert.deepEqual(await answer(shop.push('order', { item: 5, answer: { reply: { status: 'ok', response: { n: 1 } } } })), { n: 1 });
    const [push] = await app.asked({ hook: 'push', topic });
    assert.deepEqual(Object.keys(push).sort(), ['event', 'hook', 'message_id', 'payload', 'ref', 'socket', 'topic']);
    assert.equal(push.event, 'order');
    assert.equal(push.payload.item, 5);
    assert.match(push.ref, /^\d+$/);
    assert.notEqual(push.message_id, join.message_id);
    assert.deepEqual(push.socket, { ...socket, assigns: { cart: [] } });

    await answer(shop.leave());
    const [leave] = await app.asked({ hook: 'leave', topic });
    assert.match(leave.message_id, new RegExp(`^${session}:leave:[0-9a-f]{16}$`));
    assert.deepEqual(leave, { hook: 'leave', topic, message_id: leave.message_id, reason: 'left', socket: push.socket });
  });

  both('refused joins, error replies, no reply', async (v) => {
    const channel = v.socket.channel(fresh(), { answer: { status: 'error', response: { reason: 'sold out' } } });
    assert.deepEqual(await refusal(channel.join()), { reason: 'sold out' });
    channel.leave();
    const shop = await v.join(fresh());
    assert.deepEqual(await refusal(shop.push('x', { answer: { reply: { status: 'error', response: { reason: 'no' } } } })), { reason: 'no' });
    const silent = shop.push('x', { answer: null });
    let replied = false;
    for (const status of ['ok', 'error']) silent.receive(status, () => { replied = true; });
    await answer(shop.push('x', { answer: { reply: { status: 'ok' } } }));
    assert.equal(replied, false, '204: no reply');
  });

  for (const [a, b] of [['websocket', 'longpoll'], ['longpoll', 'websocket']]) {
    test(`every verb, before the reply (${a}, ${b} listens)`, TIMEOUT, () => withVisitors([a, b], async (v, w) => {
      const [topic, elsewhere] = [fresh(), fresh('relay')];
      const one = await v.join(topic, { answer: {
        status: 'ok', assigns: { a: 1, b: { deep: 1 }, c: 3 }, push: [{ event: 'welcome', payload: { n: 0 } }],
        presence: { track: { key: 'ann', meta: { device: 'desk' } } },
      } });
      const two = await w.join(topic);
      const other = await w.join(elsewhere);
      await until('the push of the join', () => got(one, 'welcome').length === 1, 5000 * SLOW);

      const order = [];
      one.on('pushed', () => order.push('push'));
      one.on('told', () => order.push('broadcast'));
      await answer(one.push('go', { answer: {
        reply: { status: 'ok' }, assigns: { a: null, b: 2, d: { e: [] } },
        push: [{ event: 'pushed', payload: { n: 1 } }, { event: 'pushed', payload: { n: 2 } }],
        broadcast: [{ event: 'told', payload: { to: 'all', exact: 1.50 } }, { event: 'news', payload: { x: 1 }, topic: elsewhere }],
        broadcast_from: [{ event: 'hint', payload: { to: 'others' } }],
        presence: { update: { key: 'ann', meta: { device: 'phone' } } },
      } }));
      // A poll that waits gets a broadcast as soon as it is in the log, pushes with the entry's commit.
      assert.deepEqual(a === 'longpoll' ? order.sort().reverse() : order, ['push', 'push', 'broadcast'], 'before the reply');
      await until('what the other one gets', () => got(two, 'hint').length === 1 && got(other, 'news').length === 1, 5000 * SLOW);
      assert.deepEqual(got(two, 'told'), [{ to: 'all', exact: 1.5 }]);
      assert.deepEqual(got(two, 'pushed'), []);
      assert.deepEqual(got(one, 'hint'), []);

      await answer(one.push('look', { answer: { reply: { status: 'ok' } } }));
      const [look] = await app.asked({ hook: 'push', topic, event: 'look' });
      assert.deepEqual(look.socket.assigns, { c: 3, b: 2, d: { e: [] } });
      await until('the update', async () => {
        const people = (await stack.api.call('GET', `/presence?topic=${topic}`)).json ?? {};
        return people.ann?.metas.length === 1 && people.ann.metas[0].device === 'phone';
      }, 5000 * SLOW);
      // Tracking once more is an update; taking away what is not there is nothing.
      await answer(one.push('again', { answer: { reply: { status: 'ok' }, presence: { track: { key: 'ann', meta: { device: 'tv' } } } } }));
      await answer(one.push('away', { answer: { reply: { status: 'ok' }, presence: { untrack: { key: 'nobody' } } } }));
      await answer(one.push('away', { answer: { reply: { status: 'ok' }, presence: { untrack: { key: 'ann' } } } }));
      await until('nobody there', async () => Object.keys((await stack.api.call('GET', `/presence?topic=${topic}`)).json).length === 0, 5000 * SLOW);

      const closed = new Promise((resolve) => one.onClose(resolve));
      await answer(one.push('bye', { answer: { reply: { status: 'ok', response: { last: 1 } }, stop: true } }));
      await within('phx_close', 5000 * SLOW, closed);
      const [leave] = await app.asked({ hook: 'leave', topic });
      assert.equal(leave.reason, 'closed');
    }));
  }

  both('what a leave is answered with is carried out, but for pushes', async (v) => {
    await withVisitors(['websocket'], async (w) => {
      const topic = fresh();
      const stays = await w.join(topic);
      const goes = await v.join(topic);
      const [, { socket: { session } }] = await app.asked({ hook: 'join', topic }, 2);
      special.set(topic, (q) => (q.hook === 'leave' && q.socket.session === session
        ? { broadcast: [{ event: 'gone', payload: { who: q.socket.id } }], push: [{ event: 'never', payload: {} }], assigns: { x: 1 }, stop: true }
        : undefined));
      await answer(goes.leave());
      await until('the broadcast', () => got(stays, 'gone').length > 0, 5000 * SLOW);
      assert.deepEqual(got(stays, 'gone'), [{ who: 'user:u0' }]);
      assert.deepEqual(got(stays, 'never'), []);
    });
  });

  both('a leave is told again when the web server before the application has none', async (v) => {
    const topic = fresh('front'); // whose leaves wait for each other now
    const shop = await v.join(topic);
    const statuses = [502, 503, 504];
    special.set(topic, (q, { res }) => {
      if (q.hook !== 'leave' || statuses.length === 0) return undefined;
      res.writeHead(statuses.shift(), { 'content-type': 'text/html' }).end('<h1>Bad Gateway</h1>');
      return false;
    });
    await answer(shop.leave());
    const told = await app.asked({ hook: 'leave', topic }, 4, 20000 * SLOW);
    assert.equal(new Set(told.map((q) => q.message_id)).size, 1, 'each time with the same id');
  });

  both('who joins again has left before', async (v) => {
    const topic = fresh();
    await v.join(topic);
    let left = false;
    special.set(topic, async (q) => {
      if (q.hook === 'join') return { status: 'ok', response: { left } };
      await sleep(300);
      left = true;
      return null;
    });
    const again = await v.join(topic); // phoenix.js leaves the first one
    assert.deepEqual(again.response, { left: true });
    assert.deepEqual(app.questions.filter((q) => q.topic === topic).map((q) => q.hook), ['join', 'leave', 'join']);
  });

  test('which hooks and events are asked', TIMEOUT, () => withVisitors(['websocket', 'longpoll'], async (v, w) => {
    const some = fresh('some');
    const [one, two] = [await v.join(some), await w.join(some)];
    assert.equal(await refusal(one.push('chat', { text: 'hi' })), null, 'relayed, with relay_to and reply');
    await until('the relayed event', () => got(two, 'chat').length === 1, 5000 * SLOW);
    assert.deepEqual(got(one, 'chat'), []);
    await answer(one.push('order', { answer: { reply: { status: 'ok' } } }));
    assert.deepEqual((await app.asked({ hook: 'push', topic: some })).map((q) => q.event), ['order']);

    const joins = fresh('joins');
    const three = await v.join(joins);
    three.push('said', { x: 1 });
    await until('the relayed push', () => got(three, 'said').length === 1, 5000 * SLOW);
    assert.deepEqual(app.questions.filter((q) => q.topic === joins).map((q) => q.hook), ['join']);

    const pushes = fresh('pushes');
    const four = await w.join(pushes, { answer: { status: 'error' } });
    await answer(four.push('x', { answer: { reply: { status: 'ok' } } }));
    await answer(four.leave());
    assert.deepEqual(app.questions.filter((q) => q.topic === pushes).map((q) => q.hook), ['push']);

    const ruled = v.socket.channel(fresh('ruled'), {});
    assert.deepEqual(await refusal(ruled.join()), { reason: 'unauthorized' });
    assert.deepEqual(app.questions.filter((q) => q.topic === ruled.topic), [], 'rules come first');
    ruled.leave();
  }));

  both('binary payloads, both ways', async (v, transport) => {
    if (transport === 'longpoll') return; // no socket on long-poll gets binary messages
    const shop = await v.join(fresh());
    const reply = new Promise((resolve) => shop.push('bin', new Uint8Array([0, 255, 7]).buffer).receive('ok', resolve));
    const [push] = await app.asked({ hook: 'push', topic: shop.topic, event: 'bin' });
    assert.equal(push.payload_base64, 'AP8H');
    assert.equal('payload' in push, false);
    assert.equal(await Promise.race([reply, sleep(200)]), undefined, '204: no reply');
    special.set(shop.topic, (q) => (q.event === 'bin2'
      ? { reply: { status: 'ok', response_base64: q.payload_base64 }, push: [{ event: 'data', payload_base64: 'AQI' }] }
      : undefined));
    const echoed = await answer(shop.push('bin2', new Uint8Array([1, 2, 3, 255]).buffer));
    assert.deepEqual([...new Uint8Array(echoed)], [1, 2, 3, 255]);
    assert.deepEqual([...new Uint8Array(got(shop, 'data')[0])], [1, 2]);
    const kept = await v.join(fresh('kept'));
    assert.deepEqual(await refusal(kept.push('x', { answer: { reply: { status: 'ok' }, broadcast: [{ event: 'b', payload_base64: 'AQI' }] } })), UNAVAILABLE);
  });

  const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n';
  const sized = (body) => `${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const ok = '"status":"ok","reply":{"status":"ok"}';
  const BAD = {
    'no JSON': { raw: [sized('<html>Fatal error</html>')] },
    'NaN, which is no JSON': { raw: [sized(`{${ok},"x":NaN}`)] },
    'an array': { answer: [] },
    'half an answer': { raw: [`${head}content-length: 1000\r\n\r\n{${ok}`] },
    'half a head': { raw: ['HTTP/1.1 200 OK\r\ncontent-le'] },
    'nothing at all': { raw: [''] },
    'no HTTP': { raw: ['SSH-2.0-x\r\n'] },
    'drop by drop, too slow': { raw: [head, 300, 'content-length: 100\r\n\r\n', 300, '{"st', 5000], kind: 'hasty' },
    'too slow': { answer: { status: 'ok' }, after: 6000, kind: 'hasty' },
    'a redirection': { raw: [`HTTP/1.1 307 X\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\n{}`] },
    'status 500': { raw: [`HTTP/1.1 500 X\r\ncontent-length: ${ok.length + 2}\r\n\r\n{${ok}}`] },
    'too large': { pad: 1100000, answer: { status: 'ok', reply: { status: 'ok' } } },
    'an impossible status': { answer: { status: 'perhaps', reply: { status: 'perhaps' } } },
    'assigns that are no object': { answer: { status: 'ok', reply: { status: 'ok' }, assigns: [1] } },
    'assigns that are too large': { answer: { status: 'ok', reply: { status: 'ok' }, assigns: { x: 'x'.repeat(16384) } } },
    'a push without a payload': { answer: { status: 'ok', reply: { status: 'ok' }, push: [{ event: 'x', paylod: {} }] } },
    'an event name that is too long': { answer: { status: 'ok', reply: { status: 'ok' }, broadcast_from: [{ event: 'x'.repeat(2000), payload: {} }] } },
    'a presence key that is too long': { answer: { status: 'ok', reply: { status: 'ok' }, presence: { track: { key: 'x'.repeat(300), meta: {} } } } },
    'an update of nobody': { answer: { status: 'ok', reply: { status: 'ok' }, presence: { update: { key: 'nobody', meta: {} } } } },
    'forged presence': { answer: { status: 'ok', reply: { status: 'ok' }, presence: { track: { key: 'x', meta: { phx_ref: 'x' } } } } },
    'too many messages': { answer: { status: 'ok', reply: { status: 'ok' }, push: Array.from({ length: 1001 }, () => ({ event: 'x', payload: {} })) } },
  };
  for (const [name, { kind = 'shop', ...bad }] of Object.entries(BAD)) {
    // Of such an answer nothing is carried out.
    if (bad.answer && !Array.isArray(bad.answer)) bad.answer.broadcast = [{ event: 'never', payload: {} }];
    both(`wrong answers: ${name}`, async (v) => {
      const watch = await v.join(fresh(kind));
      const channel = v.socket.channel(fresh(kind), bad);
      assert.deepEqual(await refusal(channel.join()), UNAVAILABLE, 'a join');
      channel.leave();
      assert.deepEqual(await refusal(watch.push('x', bad)), UNAVAILABLE, 'a push');
      if (kind !== 'hasty') {
        await answer(watch.push('look', { answer: { reply: { status: 'ok' } } }));
        const [look] = await app.asked({ hook: 'push', topic: watch.topic, event: 'look' });
        assert.deepEqual(look.socket.assigns, {});
      }
      assert.deepEqual(watch.got, []);
    });
  }

  test('while one question waits, other topics and other sockets go on', TIMEOUT, () => withVisitors(['websocket', 'longpoll', 'websocket'], async (v, lp, w) => {
    const slow = await v.join(fresh());
    const quick = await v.join(fresh());
    const relay = await v.join(fresh('relay'));
    const others = [await lp.join(fresh()), await w.join(fresh())];
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    special.set(slow.topic, async (q) => {
      if (q.event === 'slow') await held;
    });
    const waiting = answer(slow.push('slow', { answer: { reply: { status: 'ok' } } }));
    const behind = answer(slow.push('behind', { answer: { reply: { status: 'ok' } } }));
    await app.asked({ hook: 'push', topic: slow.topic, event: 'slow' });
    await Promise.all([
      answer(quick.push('x', { answer: { reply: { status: 'ok' } } })), answer(relay.push('x', {})),
      ...others.map((c) => answer(c.push('x', { answer: { reply: { status: 'ok' } } }))), v.join(fresh()),
    ]);
    assert.equal(app.questions.filter((q) => q.topic === slow.topic && q.event === 'behind').length, 0, 'one after the other');
    release();
    await Promise.all([waiting, behind]);
  }));

  test('an application that is down is found out, and that it is back', TIMEOUT, () => withVisitors(TRANSPORTS, async (...visitors) => {
    let back;
    try {
      for (const v of visitors) {
        const start = Date.now();
        for (let i = 0; i < 30; i++) {
          const channel = v.socket.channel(fresh('dead'), {});
          assert.deepEqual(await refusal(channel.join()), UNAVAILABLE);
          channel.leave();
        }
        assert.ok(Date.now() - start < 15000 * SLOW, `30 refused joins took ${Date.now() - start} ms`);
      }
      await until('the breakers', () => /hook "\/socket dead:\*" is down/.test(stack.log.text));
      back = await new HookApp().start(deadPort);
      for (const v of visitors) {
        await until('a join', async () => {
          const channel = v.socket.channel(fresh('dead'), {});
          const refused = await refusal(channel.join());
          if (refused) channel.leave();
          return !refused;
        }, 25000 * SLOW, 200);
      }
      assert.deepEqual(back.unsigned, []);
    } finally {
      await back?.stop();
    }
  }));

  test('a thousand sockets that join at once ask so many questions at a time and no more', TIMEOUT, async () => {
    const topic = fresh('crowd');
    const where = stack.address('ws');
    let asking = 0;
    let most = 0;
    special.set(topic, async (q) => {
      most = Math.max(most, ++asking);
      await sleep(5);
      asking--;
      return { status: 'ok', response: { s: q.socket.session } };
    });
    const sockets = await Promise.all(Array.from({ length: 700 }, () => openWs(where, '/socket/websocket?vsn=2.0.0')));
    const polls = await Promise.all(Array.from({ length: 300 }, async () => {
      const c = new LongPollClient(`${stack.url}/socket/longpoll`);
      await c.open();
      return c;
    }));
    let sessions;
    try {
      await Promise.all(polls.map((c) => c.send([c.message(topic, 'phx_join', {})])).concat(sockets.map((s) => s.send(JSON.stringify(['1', '1', topic, 'phx_join', {}])))));
      const replies = await Promise.all(sockets.map(async (s) => JSON.parse((await s.next(30000 * SLOW)).text)));
      // A POST is answered at its window's end though the application is not that far.
      const answers = await Promise.all(polls.map(async (c) => {
        for (;;) {
          const { token, messages } = await c.pollOnce();
          if (messages.length > 0) return JSON.parse(messages[0]);
          c.token = token;
        }
      }));
      sessions = [...replies, ...answers].map((m) => {
        assert.equal(m[4].status, 'ok', JSON.stringify(m));
        return m[4].response.s;
      });
    } finally {
      for (const s of sockets) s.destroy();
      for (const c of polls) await c.stop();
    }
    assert.equal(new Set(sessions).size, 1000, 'each has its own answer');
    assert.ok(most <= 4 * MOST, `${most} at a time, of 4 workers that may ask ${MOST} each`);
    assert.ok(most > 8, `only ${most} at a time`);
  });
});

describe('backend http, at least once', { concurrency: 3 }, () => {
  const withOwn = async (options, body) => {
    const own = await new HookApp(decide).start(await freePort()); // it may go and come again
    const text = `
secret = "integration-tests-only-0123456789abcdef"
refuse_delay_ms = 0
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    channel "shop:*" { backend = "http" url = "${own.url}" secret = "${HOOK_SECRET}" timeout_ms = 8000 hooks = { "join", "push", "leave" } }
}
api { path = "/api" keys = { "test-api-key-0123456789" } }
`;
    const mine = await startStack({ config: { text }, ...options });
    try {
      await body(mine, own);
    } catch (e) {
      mine.show(40);
      throw e;
    } finally {
      await mine.stop({ status: null });
      assert.deepEqual(own.unsigned, []);
      await own.stop();
    }
  };

  test('long-poll: workers are killed over a join, a push and a leave', TIMEOUT, () => withOwn({ fcgi: 2, ws: 1 }, async (mine, own) => {
    const killed = new Set();
    own.decide = async (q) => {
      if (killed.has(q.message_id)) return { status: 'ok', reply: { status: 'ok' }, broadcast: [{ event: `did ${q.hook}`, payload: {} }] };
      killed.add(q.message_id);
      for (const pid of mine.workers('fcgi')) signal(pid, 'SIGKILL');
      return { status: 'error', reply: { status: 'error' }, broadcast: [{ event: 'never', payload: {} }] };
    };
    const heard = [];
    const c = new LongPollClient(`${mine.url}/s/longpoll`, { onMessage: (m) => heard.push(m) });
    await c.open();
    c.start();
    for (const [event, hook] of [['phx_join', 'join'], ['order', 'push'], ['phx_leave', 'leave']]) {
      const m = c.message('shop:1', event, { n: 1 });
      await c.send([m]);
      const questions = await own.asked({ hook }, 2, 20000 * SLOW);
      assert.equal(new Set(questions.map((q) => JSON.stringify(q))).size, 1, `the same question: ${JSON.stringify(questions)}`);
      await until(`the reply to ${event}`, () => heard.some((h) => h[1] === m[1] && h[3] === 'phx_reply' && h[4].status === 'ok'), 10000 * SLOW);
    }
    await c.stop();
    assert.deepEqual(c.trouble, []);
    assert.deepEqual(heard.filter((h) => h[3] === 'never'), []);
    assert.equal(heard.filter((h) => h[3] === 'did push').length, 1);
  }));

  test('long-poll: a worker dies over an entry that had tracked, and the application answers the repetition otherwise', TIMEOUT, () => withOwn({ fcgi: 2, ws: 1 }, async (mine, own) => {
    const keys = async (topic) => {
      const r = await mine.api.call('GET', `/presence?topic=${topic}`);
      if (r.status !== 200) return ['no answer'];
      return Object.entries(r.json).map(([key, { metas }]) => `${key} ${metas.length}`).sort();
    };
    const track = (key) => ({ status: 'ok', reply: { status: 'ok' }, presence: { track: { key, meta: {} } } });
    const seen = new Set();
    let answers;
    own.decide = async (q) => {
      const [first, then] = answers[q.topic] ?? [];
      const again = seen.has(q.message_id);
      seen.add(q.message_id);
      if (q.topic === 'shop:hold') return again ? { status: 'ok', reply: { status: 'ok' } } : new Promise(() => {});
      return again ? then : first;
    };
    const heard = [];
    const c = new LongPollClient(`${mine.url}/s/longpoll`, { onMessage: (m) => heard.push(m) });
    await c.open();
    c.start();
    /** All in one POST, whose worker is killed when its presence is as `left`; then it is as `right`. */
    const dieOver = async (what, left, right) => {
      const sent = c.send([...Object.keys(answers), 'shop:hold'].map((topic) => c.message(topic, what, {})));
      for (const topic of Object.keys(left)) await until(`what is tracked first on ${topic}`, async () => `${await keys(topic)}` === left[topic], 10000 * SLOW);
      for (const pid of mine.workers('fcgi')) signal(pid, 'SIGKILL');
      await sent;
      for (const topic of Object.keys(right)) await until(`what is right on ${topic}`, async () => `${await keys(topic)}` === right[topic], 15000 * SLOW);
    };
    answers = {
      'shop:refused': [track('a'), { status: 'error', response: {} }],
      'shop:other': [track('a'), track('b')],
      'shop:none': [track('a'), { status: 'ok' }],
      'shop:same': [track('a'), track('a')],
    };
    await dieOver('phx_join', { 'shop:refused': 'a 1', 'shop:other': 'a 1', 'shop:none': 'a 1', 'shop:same': 'a 1' },
      { 'shop:refused': '', 'shop:other': 'b 1', 'shop:none': '', 'shop:same': 'a 1' });
    answers = { 'shop:none': [track('c'), track('d')], 'shop:same': [track('c'), track('c')] };
    await dieOver('order', { 'shop:none': 'c 1', 'shop:same': 'a 1,c 1' }, { 'shop:none': 'd 1', 'shop:same': 'a 1,c 1' });
    for (const topic of ['shop:none', 'shop:same']) {
      await c.send([c.message(topic, 'phx_leave', {})]);
      await until(`nobody on ${topic}`, async () => (await keys(topic)).length === 0, 10000 * SLOW);
    }
    await c.stop();
    assert.deepEqual(c.trouble, []);
  }));

  for (const [when, answered] of [['', false], [' whose POST was answered', true]]) test(`long-poll: a worker stands still over a join${when}, another one takes the session; nobody has left`, TIMEOUT, () => withOwn({ fcgi: 2, ws: 1 }, async (mine, own) => {
    const workers = mine.workers('fcgi');
    let answerFirst;
    own.decide = async (q) => {
      if (q.hook !== 'join' || answerFirst) return { status: 'ok', reply: { status: 'ok', response: { here: 1 } } };
      await new Promise((resolve) => { answerFirst = resolve; });
      return { status: 'ok' };
    };
    const heard = [];
    const c = new LongPollClient(`${mine.url}/s/longpoll`, { onMessage: (m) => heard.push(m), requestMs: 4000 });
    await c.open();
    const joined = c.send([c.message('shop:1', 'phx_join', {})]);
    await until('the first question', () => answerFirst, 5000 * SLOW);
    // Which of them asks? The one that holds a connection to the application.
    const port = own.port.toString(16).toUpperCase().padStart(4, '0');
    const asks = (pid) => fs.readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').filter((l) => l.includes(`:${port} 01`)).map((l) => l.trim().split(/\s+/)[9])
      .some((inode) => fs.readdirSync(`/proc/${pid}/fd`).some((fd) => { try { return fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`; } catch { return false; } }));
    const still = workers.find(asks);
    if (answered) { // at the window's end: the client has no reason to ask again
      await joined;
      await until('somebody else to look after it', async () => /^:1\b/.test(await redisCommand({ path: path.join(mine.state, 'run/redis.sock') }, 'ZCARD', 'plx:timers')));
    }
    process.kill(still, 'SIGSTOP');
    try {
      await own.asked({ hook: 'join' }, 2, 20000 * SLOW);
      await joined;
    } finally {
      process.kill(still, 'SIGCONT');
    }
    await sleep(700); // it finds out
    answerFirst();
    c.start();
    await until('the reply', () => heard.some((m) => m[3] === 'phx_reply' && m[4].status === 'ok'), 10000 * SLOW);
    await sleep(1500); // the first answer has come to nothing
    const push = c.message('shop:1', 'x', {});
    await c.send([push]);
    await until('the reply to a push', () => heard.some((m) => m[1] === push[1] && m[4].response.here === 1), 10000 * SLOW);
    assert.deepEqual(own.questions.map((q) => q.hook), ['join', 'join', 'push']);
    assert.equal(own.questions[0].message_id, own.questions[1].message_id);
    await c.stop();
    assert.deepEqual(c.trouble, []);
  }));

  test('long-poll: who vanishes has expired', { timeout: 90000 * SLOW }, () => withOwn({ fcgi: 2, ws: 1 }, async (mine, own) => {
    const c = new LongPollClient(`${mine.url}/s/longpoll`);
    await c.open();
    await c.send([c.message('shop:1', 'phx_join', { answer: { status: 'ok', assigns: { n: 7 } } })]);
    const [leave] = await own.asked({ hook: 'leave' }, 1, 45000 * SLOW);
    assert.equal(leave.reason, 'expired');
    assert.deepEqual(leave.socket.assigns, { n: 7 });
    await sleep(1500);
    assert.equal(own.questions.filter((q) => q.hook === 'leave').length, 1);
  }));

  test('WebSocket: a worker is killed, also over telling of a leave; the application is down for a while', TIMEOUT, () => withOwn({ fcgi: 1, ws: 1 }, async (mine, own) => {
    const clients = await Promise.all([1, 2].map(async (n) => {
      const ws = await openWs(mine.address('ws'), '/s/websocket?vsn=2.0.0');
      ws.send(JSON.stringify(['1', '1', `shop:${n}`, 'phx_join', { answer: { status: 'ok', assigns: { n } } }]));
      assert.match((await ws.next()).text, /"status":"ok"/);
      return ws;
    }));
    let first;
    own.decide = async (q) => {
      if (q.hook !== 'leave' || first) return null;
      first = q;
      for (const pid of mine.workers('ws')) signal(pid, 'SIGKILL');
      return false;
    };
    clients[0].send(JSON.stringify(['1', '2', 'shop:1', 'phx_leave', {}]));
    await own.asked({ hook: 'leave' }, 1);
    assert.equal(first.reason, 'left');
    await own.stop(); // nobody listens for some seconds after the lease is over
    await sleep(13000);
    const { port } = own;
    own.server = (await import('node:http')).createServer((req, res) => own.serve(req, res));
    await own.start(port);
    await own.asked({ hook: 'leave', topic: 'shop:2' }, 1, 30000 * SLOW);
    const again = await own.asked({ hook: 'leave', topic: 'shop:1' }, 2, 30000 * SLOW);
    assert.deepEqual(again.map((q) => q.message_id), [first.message_id, first.message_id]);
    assert.deepEqual(again.map((q) => q.socket.assigns), [{ n: 1 }, { n: 1 }]);
    for (const ws of clients) ws.destroy();
  }));

  test('a planned stop tells of everybody', TIMEOUT, () => withOwn({ fcgi: 1, ws: 1 }, async (mine, own) => {
    const where = mine.address('ws'); // takes a while
    await Promise.all(Array.from({ length: 40 }, async (_, n) => {
      const ws = await openWs(where, '/s/websocket?vsn=2.0.0');
      ws.send(JSON.stringify(['1', '1', `shop:${n}`, 'phx_join', {}]));
      assert.match((await ws.next()).text, /"status":"ok"/);
    }));
    await mine.stop();
    assert.equal(new Set(own.questions.filter((q) => q.hook === 'leave').map((q) => q.topic)).size, 40);
  }));
});

describe('backend http without a daemon', () => {
  test('plain CGI asks and waits', TIMEOUT, async () => {
    const dir = tempDir('cgi-http');
    const own = await new HookApp(decide).start();
    const redis = await new Redis(dir, { durable: false }).start();
    fs.writeFileSync(path.join(dir, 'pollux.conf'), `
secret = "integration-tests-only-0123456789abcdef"
redis { url = "${redis.url}" }
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    channel "shop:*" { backend = "http" url = "${own.url}" secret = "${HOOK_SECRET}" hooks = { "join", "push", "leave" } }
}
`);
    const server = await lighttpd(dir, `server.modules += ( "mod_cgi", "mod_alias", "mod_setenv" )
setenv.add-environment = ( "POLLUX_CONFIG" => "${dir}/pollux.conf" )
$HTTP["url"] =~ "^/s/longpoll" {
  alias.url = ( "/s/longpoll" => "${bin('pollux-fcgi')}" )
  cgi.assign = ( "" => "" )
}`);
    try {
      const c = new LongPollClient(`${server.url}/s/longpoll`);
      await c.open();
      await c.send([c.message('shop:1', 'phx_join', { after: 300, answer: { status: 'ok', response: { a: 1 }, assigns: { n: 1 } } })]);
      await c.send([c.message('shop:1', 'order', { answer: { reply: { status: 'ok', response: { b: 2 } }, broadcast: [{ event: 'said', payload: {} }] } })]);
      await c.send([c.message('shop:1', 'phx_leave', {})]);
      const { messages } = await c.pollOnce();
      assert.deepEqual(messages.map((m) => JSON.parse(m)).map((m) => [m[3], m[4].response]), [
        ['phx_reply', { a: 1 }], ['said', undefined], ['phx_reply', { b: 2 }], ['phx_reply', {}], ['phx_close', undefined],
      ]);
      const [leave] = await own.asked({ hook: 'leave' });
      assert.deepEqual(leave.socket.assigns, { n: 1 });
      assert.deepEqual(own.unsigned, []);
    } catch (e) {
      throw new Error(`${e.message}\n${server.logs()}`, { cause: e });
    } finally {
      await server.stop();
      await redis.stop();
      await own.stop();
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });
});
