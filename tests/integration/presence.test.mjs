// Who is on a topic: real phoenix.js Presence of old and new majors on both transports, bad input, the
// API and the command line.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { LongPollClient } from '../lib/longpoll.mjs';
import { follow, published, refsOf } from '../lib/people.mjs';
import { answer, join, page, VERSIONS } from '../lib/phoenix.mjs';
import { bin, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const ALL = ['phoenix-1.3', ...VERSIONS];
let stack;
let counter = 0;
const fresh = (kind = 'lobby') => `${kind}:pr${process.pid}x${counter++}`;
const url = (mount = 'relay') => `ws://127.0.0.1:${stack.port}/${mount}`;
const sum = (refs) => Object.values(refs).flat().length;

async function withPages(names, body) {
  const pages = names.map(page);
  try {
    return await body(...pages);
  } catch (e) {
    stack.show(20);
    throw e;
  } finally {
    for (const p of pages) p.close();
  }
}

/** One more socket on the topic, with what it knows of the others. */
async function enter(p, topic, transport, params, mount) {
  const socket = p.connect(url(mount), { transport, params });
  const channel = socket.channel(topic, {});
  const people = follow(p, channel);
  await answer(channel.join());
  return { socket, channel, people };
}

/** Everybody knows what the server has published, and that is `n` entries. */
async function agreed(topic, n, members) {
  let server;
  await until(`${n} entries at everybody`, async () => {
    server = refsOf(await published(stack.api, topic));
    return sum(server) === n && members.every((m) => JSON.stringify(m.people.refs()) === JSON.stringify(server));
  }, 10000 * SLOW, 50).catch((e) => {
    throw new Error(`${e.message}\nserver ${JSON.stringify(server)}\n${members.map((m) => JSON.stringify(m.people.refs())).join('\n')}`);
  });
  return server;
}

async function conversation(name, transport) {
  await withPages([name, 'phoenix-1.8', 'phoenix-1.4'], async (a, b, c) => {
    const topic = fresh();
    const one = await enter(a, topic, transport, { user_id: 'ann', device: 'desk' });
    await agreed(topic, 1, [one]);
    const two = await enter(b, topic, 'websocket', { user_id: 'bob', device: 'desk' });
    const three = await enter(c, topic, 'longpoll', { user_id: 'ann', device: 'phone' });
    const server = await agreed(topic, 3, [one, two, three]);
    assert.equal(server.ann.length, 2, 'two devices of one person');
    assert.deepEqual(one.people.list((key, { metas }) => [key, metas.map((m) => m.device).sort()]).sort(), [['ann', ['desk', 'phone']], ['bob', ['desk']]]);
    for (const m of [one, two, three]) {
      assert.equal(m.people.states, 1, 'one presence_state for each join');
      if (['phoenix-1.3', 'phoenix-1.4'].includes(name)) continue; // there onJoin gets all metas of the key
      const joined = m.people.joins.flatMap((j) => j.refs);
      assert.equal(new Set(joined).size, joined.length, 'nobody is told of an entry twice');
    }
    assert.ok(one.people.joins.some((j) => j.key === 'ann' && j.before === 1), 'onJoin of a second device');

    await answer(three.channel.leave());
    await agreed(topic, 2, [one, two]);
    assert.ok(two.people.leaves.some((l) => l.key === 'ann' && l.left === 1), 'onLeave of one device of two');
    two.socket.disconnect();
    await agreed(topic, 1, [one]);
    assert.ok(one.people.leaves.some((l) => l.key === 'bob' && l.left === 0), 'onLeave of the last one');
    assert.ok(one.people.syncs >= 3, `onSync ${one.people.syncs}`);
  });
}

describe('presence', { concurrency: 4 }, () => {
  before(async () => {
    stack = await startStack({ fcgi: 2, ws: 2 });
  });
  after(() => stack?.stop());

  for (const name of ALL)
    for (const transport of ['websocket', 'longpoll'])
      test(`${name} on ${transport}`, TIMEOUT, () => conversation(name, transport));

  test('a crowd on both transports agrees, and leaves', TIMEOUT, async () => {
    await withPages(ALL, async (...pages) => {
      const topic = fresh();
      const members = await Promise.all(pages.flatMap((p, i) => ['websocket', 'longpoll']
        .map((t) => enter(p, topic, t, { user_id: `u${i % 3}` }))));
      await agreed(topic, members.length, members);
      await Promise.all(members.slice(0, 6).map((m) => answer(m.channel.leave())));
      await agreed(topic, members.length - 6, members.slice(6));
    });
  });

  test('a rejoin leaves one entry', TIMEOUT, async () => {
    await withPages(['phoenix-1.8'], async (p) => {
      for (const transport of ['websocket', 'longpoll']) {
        const topic = fresh();
        const one = await enter(p, topic, transport, { user_id: 'ann' });
        await agreed(topic, 1, [one]);
        await answer(one.channel.leave());
        for (let i = 0; i < 5; i++) {
          const again = one.socket.channel(topic, {});
          const people = follow(p, again);
          await answer(again.join());
          if (i < 4) await answer(again.leave());
          else await agreed(topic, 1, [{ people }]);
        }
      }
    });
  });

  test('an update replaces, with phx_ref_prev; the module lists', TIMEOUT, async () => {
    await withPages(['phoenix-1.8'], async (p) => {
      for (const transport of ['websocket', 'longpoll']) {
        const topic = fresh();
        const one = await enter(p, topic, transport, { user_id: 'ann' }, 'socket');
        const before = await agreed(topic, 1, [one]);
        await answer(one.channel.push('update', { mood: 'fine' }));
        await until('the update', () => one.people.state().ann?.metas[0].mood === 'fine', 5000 * SLOW);
        const [meta] = one.people.state().ann.metas;
        assert.equal(meta.phx_ref_prev, before.ann[0]);
        assert.deepEqual(refsOf(await answer(one.channel.push('list', {}))), { ann: [meta.phx_ref] });
        await answer(one.channel.push('untrack', {}));
        await agreed(topic, 0, [one]);
      }
    });
  });

  test('metas that are no objects, forge phx_ref, are too large or too many are refused with a reason', TIMEOUT, async () => {
    await withPages(['phoenix-1.8'], async (p) => {
      for (const transport of ['websocket', 'longpoll']) {
        const topic = fresh();
        const { channel } = await enter(p, topic, transport, { user_id: 'ann' }, 'socket');
        for (const meta of [[], { phx_ref: 'x' }, { phx_ref_prev: 'x' }, { 'phx\u005fref': 'x' }])
          await assert.rejects(answer(channel.push('update', meta)), /invalid meta/);
        await assert.rejects(answer(channel.push('update', { x: 'y'.repeat(4096) })), /too large/);
        await assert.rejects(answer(channel.push('track', { key: 'k'.repeat(257), meta: {} })), /too large/);
        await assert.rejects(answer(channel.push('track', { key: 'ann', meta: {} })), /already tracked/);
        const results = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => answer(channel.push('track', { key: `k${i}`, meta: { i } }))));
        assert.equal(results.filter((r) => r.status === 'fulfilled').length, 63);
        assert.match(results[99].reason.message, /too large/);
        await until('64 entries', async () => (await published(stack.api, topic, true)).count === 64, 5000 * SLOW);
        await answer(channel.leave());
        await until('none', async () => (await published(stack.api, topic, true)).count === 0, 5000 * SLOW);
      }
    });
  });

  test('10,000 tracks by one socket are bounded', TIMEOUT, async () => {
    const topic = fresh();
    const ws = await openWs(stack.front, '/socket/websocket?vsn=2.0.0&user_id=x');
    ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    assert.match((await ws.next()).text, /"ok"/);
    let replies = 0;
    for (let i = 0; i < 10000; i++) {
      ws.send(JSON.stringify(['1', `t${i}`, topic, 'track', { key: `k${i}`, meta: {} }]));
      if (i % 50 === 49) while (replies <= i) if (/phx_reply/.test((await ws.next()).text)) replies++;
    }
    assert.equal((await published(stack.api, topic, true)).count, 64);
    ws.destroy();
  });

  test('a crash and a stop of the channel untrack', TIMEOUT, async () => {
    for (const event of ['boom', 'stop']) {
      const topic = fresh();
      const ws = await openWs(stack.front, '/socket/websocket?vsn=2.0.0&user_id=x');
      const lp = new LongPollClient(`${stack.url}/socket/longpoll`, { params: { user_id: 'y' } });
      ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
      await lp.open();
      await lp.send([lp.message(topic, 'phx_join', {})]);
      await until('both', async () => (await published(stack.api, topic, true)).count === 2, 5000 * SLOW);
      ws.send(JSON.stringify(['1', '2', topic, event, {}]));
      await lp.send([lp.message(topic, event, {})]);
      await until('none', async () => (await published(stack.api, topic, true)).count === 0, 5000 * SLOW);
      ws.destroy();
    }
  });

  test('a page reload within the grace is no flicker; staying away is', TIMEOUT, async () => {
    await withPages(['phoenix-1.8', 'phoenix-1.8'], async (a, b) => {
      const topic = fresh('grace');
      const one = await enter(a, topic, 'websocket', { user_id: 'ann' });
      const two = await enter(b, topic, 'websocket', { user_id: 'bob' });
      const before = await agreed(topic, 2, [one, two]);
      two.socket.disconnect();
      await sleep(300);
      const back = await enter(b, topic, 'websocket', { user_id: 'bob' });
      const after = await agreed(topic, 2, [one, back]);
      assert.deepEqual(after, before, 'the same entry');
      await sleep(2500);
      assert.equal(one.people.leaves.length, 0, 'nothing was seen of it');
      assert.deepEqual(await agreed(topic, 2, [one, back]), before);
      back.socket.disconnect();
      await agreed(topic, 1, [one]);
    });
  });

  test('above count_only_above there is a number', TIMEOUT, async () => {
    const topic = fresh('crowd');
    const counts = [];
    const clients = [];
    for (let i = 0; i < 6; i++) {
      const ws = await openWs(stack.front, `/relay/websocket?vsn=2.0.0&user_id=u${i}`);
      ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
      clients.push(ws);
    }
    await until('all', async () => (await published(stack.api, topic, true)).count === 6, 5000 * SLOW);
    const read = async (ms) => {
      const e = await clients[5].next(ms);
      if (e === null) return false;
      const [, , , event, payload] = JSON.parse(e.text);
      if (event === 'presence_count') counts.push(payload.count);
      return true;
    };
    while (counts.at(-1) !== 6) assert.ok(await read(), `the number of all: ${counts}`);
    while (await read(500));
    assert.equal(counts.at(-1), 6);
    const r = await stack.api.call('GET', `/presence?topic=${topic}`);
    assert.equal(r.status, 422);
    assert.equal(r.json.error.code, 'count_only');
    for (const c of clients) c.destroy();
  });

  test('a repeated poll with an old token comes to an equivalent answer', TIMEOUT, async () => {
    const topic = fresh();
    const lp = new LongPollClient(`${stack.url}/relay/longpoll`, { params: { user_id: 'ann' } });
    await lp.open();
    await lp.send([lp.message(topic, 'phx_join', {})]);
    const events = (body) => body.messages.map((m) => JSON.parse(m)[3]);
    const first = await lp.pollOnce();
    assert.deepEqual(events(first), ['phx_reply', 'presence_state'], 'the state comes with the reply');
    const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0&user_id=bob');
    ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    await until('both', async () => (await published(stack.api, topic, true)).count === 2, 5000 * SLOW);
    const again = await lp.pollOnce(); // the first answer was lost
    assert.deepEqual(events(again), ['phx_reply', 'presence_state']);
    const state = JSON.parse(again.messages[1]);
    assert.deepEqual(refsOf(state[4]), refsOf(await published(stack.api, topic)), 'the newer state, and no diff');
    assert.equal(state[0], '1', 'with its join_ref');
    lp.token = first.token; // or it was not
    assert.deepEqual(events(await lp.pollOnce()), ['presence_diff']);
    lp.token = again.token;
    ws.send(JSON.stringify(['1', '2', topic, 'phx_leave', {}]));
    const last = await lp.pollOnce();
    assert.deepEqual(events(last), ['presence_diff'], 'what comes after the state');
    assert.match(last.messages[0], /leaves":\{"bob"/);
    ws.destroy();
  });

  test('forced disconnects untrack on both transports', TIMEOUT, async () => {
    const topic = fresh();
    const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0&user_id=gone');
    ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    const lp = new LongPollClient(`${stack.url}/relay/longpoll`, { params: { user_id: 'gone' } });
    await lp.open();
    await lp.send([lp.message(topic, 'phx_join', {})]);
    await until('both', async () => (await published(stack.api, topic, true)).count === 2, 5000 * SLOW);
    await stack.api.disconnect('user_socket:gone');
    await until('none', async () => (await published(stack.api, topic, true)).count === 0, 15000 * SLOW);
    ws.destroy();
  });

  test('the API and the command line', TIMEOUT, async () => {
    const topic = fresh();
    const pollux = (...args) => spawnSync(bin('pollux'), ['--config', `${stack.state}/pollux.conf`, 'presence', ...args], { encoding: 'utf8' });
    assert.deepEqual(await published(stack.api, topic), {});
    const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0&user_id=ann');
    ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    await until('it', async () => (await published(stack.api, topic, true)).count === 1, 5000 * SLOW);
    const list = await published(stack.api, topic);
    assert.deepEqual(Object.keys(list), ['ann']);
    assert.equal(list.ann.metas[0].name, 'ann');
    assert.equal(list.ann.metas[0].device, null, 'a parameter that is missing');
    assert.deepEqual(JSON.parse(pollux(topic).stdout), list);
    assert.deepEqual(JSON.parse(pollux(topic, '--count').stdout), { count: 1 });
    assert.match(pollux('--help').stdout, /--count/);
    assert.equal(pollux().status, 2);
    assert.equal(pollux('nowhere').status, 1);
    for (const [path, status, code] of [['/presence', 422, 'invalid_topic'], ['/presence?topic=nowhere', 404, 'unknown_topic'], ['/presence?topic=a&x=1', 422, 'unknown_member']]) {
      const r = await stack.api.call('GET', path);
      assert.equal(r.status, status, path);
      if (status !== 422) assert.equal(r.json.error.code, code);
    }
    assert.equal((await stack.api.call('POST', '/presence', {})).status, 405);
    ws.destroy();
  });

  test('a module that listens only gets the diffs as they come', TIMEOUT, async () => {
    const topic = fresh();
    const quiet = await openWs(stack.front, '/listen/websocket?vsn=2.0.0');
    quiet.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    assert.match((await quiet.next()).text, /phx_reply/);
    const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0&user_id=ann');
    ws.send(JSON.stringify(['1', '1', topic, 'phx_join', {}]));
    assert.match((await quiet.next()).text, /"presence_diff",\{"joins":\{"ann"/);
    ws.destroy();
    assert.match((await quiet.next()).text, /"presence_diff",\{"joins":\{\},"leaves":\{"ann"/);
    quiet.destroy();
  });
});
