// Promise 6 and its neighbours: Redis away, descriptors used up, nowhere to write the log.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fcgiRequest, FcgiConn } from '../lib/fcgi.mjs';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { join, page } from '../lib/phoenix.mjs';
import { children, cpuMs } from '../lib/proc.mjs';
import { Redis, startFcgi, startWs } from '../lib/servers.mjs';
import { configText, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep, until } from '../lib/wait.mjs';
import { openWs, RawWs } from '../lib/ws.mjs';

const OUTAGE_MS = 20000;
const JOIN = (topic) => JSON.stringify(['1', '1', topic, 'phx_join', {}]);

/** Runs body(dir) in a temporary directory. */
async function inDir(body) {
  const dir = tempDir('outage');
  try {
    await body(dir);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

async function withSystem(options, body) {
  await inDir(async (dir) => {
    const redis = await new Redis(dir, options).start();
    let stack;
    try {
      stack = await startStack({ fcgi: 2, ws: 1, args: ['--redis', redis.url] });
      await body(stack, redis);
    } catch (e) {
      stack?.show(40);
      throw e;
    } finally {
      if (!redis.program.exit) redis.resume();
      await stack?.stop();
      await redis.stop();
    }
  });
}

/** A long-poll and a WebSocket client on one topic, each with what it got. */
async function twoClients(stack, topic) {
  const lp = new LongPollClient(`${stack.url}/relay/longpoll`);
  lp.got = [];
  lp.onMessage = (m) => lp.got.push(m);
  await lp.open();
  await lp.send([lp.message(topic, 'phx_join', {})]);
  lp.start();
  const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0');
  ws.send(JOIN(topic));
  assert.match((await ws.next()).text, /"ok"/);
  await until('the join', () => lp.got.length === 1, 5000 * SLOW);
  return { lp, ws };
}

async function heartbeat(ws) {
  ws.send('[null,"h","phoenix","heartbeat",{}]');
  const e = await ws.next(2000 * SLOW);
  assert.equal(e?.text, '[null,"h","phoenix","phx_reply",{"response":{},"status":"ok"}]', JSON.stringify(e));
}

/** Connects and POSTs during an outage: a clear answer that a client repeats on, not a hang. */
async function assertRetryable(stack, lp) {
  const connect = await request(`${stack.url}/relay/longpoll?vsn=2.0.0`, { ms: 15000 });
  assert.ok(connect.status === 503 && connect.json?.status === 500, `connect: ${connect.status} ${connect.text}`);
  const post = await request(lp.url(lp.token), { method: 'POST', body: '[null,"1","phoenix","heartbeat",{}]', ms: 15000 });
  assert.ok((post.status === 503 && post.json?.status === 500) || (post.status === 200 && post.json?.status === 408), `POST: ${post.status} ${post.text}`);
  const publish = await stack.api.call('POST', '/publish', { topic: 'room:x', event: 'e', payload: {} }, { ms: 15000 });
  assert.equal(publish.status, 503, publish.text);
  assert.equal(publish.json.error.code, 'unavailable');
  assert.equal((await stack.api.health(15000)).status, 503);
}

/** After Redis came back: both clients get what is published, and nothing else happened to them. */
async function assertContinues(stack, { lp, ws }, topic) {
  await until('the API to work again', async () => (await stack.api.call('POST', '/publish', { topic, event: 'after', payload: { n: 1 }, key: 'after1' })).status === 200, 15000 * SLOW, 100);
  const e = await ws.next(10000 * SLOW);
  assert.equal(e?.text, `[null,null,"${topic}","after",{"n":1}]`, `WebSocket: ${JSON.stringify(e)}`);
  await until('the message on long-poll', () => lp.got.some((m) => m[3] === 'after'), 10000 * SLOW);
  assert.deepEqual(lp.got.map((m) => m[3]), ['phx_reply', 'after']);
  assert.deepEqual(lp.trouble, []);
  await lp.send([lp.message(topic, 'said', { n: 2 })]);
  await until('a push', () => lp.got.some((m) => m[3] === 'said'), 5000 * SLOW);
  assert.match((await ws.next()).text, /"said"/);
}

const workersOf = (stack) => [...stack.workers('fcgi'), ...stack.workers('ws')];

describe('outages', { concurrency: 4 }, () => {
  test(`Redis stands still for ${OUTAGE_MS / 1000} s: nobody notices but by waiting`, { timeout: 120000 * SLOW }, async () => {
    await withSystem({}, async (stack, redis) => {
      const topic = 'room:still';
      const both = await twoClients(stack, topic);
      const { lp, ws } = both;
      const pids = workersOf(stack);
      await sleep(200);
      redis.pause();
      const began = Date.now();
      const cpu = pids.map(cpuMs);
      const held = lp.token;
      const polls = lp.stats.polls;
      await heartbeat(ws);
      await assertRetryable(stack, lp);
      while (Date.now() - began < OUTAGE_MS) {
        await heartbeat(ws);
        assert.equal(lp.token, held, 'polls are answered with the token that they brought');
        await sleep(1000);
      }
      const windows = lp.stats.polls - polls;
      assert.ok(windows >= 3 && windows <= 8, `${windows} polls in ${OUTAGE_MS / 1000} s, window 3 s`);
      for (const [i, pid] of pids.entries()) assert.ok(cpuMs(pid) - cpu[i] < 1000 * SLOW, `pid ${pid} used ${cpuMs(pid) - cpu[i]} ms of CPU`);
      redis.resume();
      await assertContinues(stack, both, topic);
      assert.deepEqual(workersOf(stack), pids, 'no worker died');
      assert.equal(lp.stats.pollRetries, 0);
      await lp.stop();
      ws.destroy();
    });
  });

  test('Redis is restarted with its data: everything continues', { timeout: 120000 * SLOW }, async () => {
    await withSystem({}, async (stack, redis) => {
      const topic = 'room:restart';
      const both = await twoClients(stack, topic);
      const pids = workersOf(stack);
      await redis.stop('SIGKILL');
      await sleep(3000);
      await heartbeat(both.ws);
      await assertRetryable(stack, both.lp);
      await redis.start();
      await assertContinues(stack, both, topic);
      assert.deepEqual(workersOf(stack), pids, 'no worker died');
      await both.lp.stop();
      both.ws.destroy();
    });
  });

  test('Redis is restarted empty: phoenix.js heals by itself on both transports', { timeout: 120000 * SLOW }, async () => {
    await withSystem({ durable: false }, async (stack, redis) => {
      const pages = ['websocket', 'longpoll'].map((transport) => ({ p: page('phoenix-1.8'), transport, got: [] }));
      try {
        for (const x of pages) {
          const channel = await join(x.p.connect(`ws://127.0.0.1:${stack.port}/relay`, { transport: x.transport }), 'room:empty');
          channel.on('m', (payload) => x.got.push(payload.n));
        }
        await redis.stop('SIGKILL');
        await sleep(2000);
        await redis.start();
        let n = 0;
        await until('messages at both again', async () => {
          await stack.api.call('POST', '/publish', { topic: 'room:empty', event: 'm', payload: { n: n++ } });
          return pages.every((x) => x.got.length > 0);
        }, 45000 * SLOW, 500);
      } finally {
        for (const x of pages) x.p.close();
      }
    });
  });

  test('Redis is not there at start: the programs say so, wait, and serve when it comes', { timeout: 60000 * SLOW }, async () => {
    await inDir(async (dir) => {
      const redis = new Redis(dir);
      const config = path.join(dir, 'pollux.conf');
      fs.writeFileSync(config, `${configText('recorded.conf')}\nredis { url = "${redis.url}" }\n`);
      const fcgi = await startFcgi(dir, config);
      const ws = await startWs(dir, config);
      try {
        await sleep(500);
        const pids = [...children(fcgi.program.pid), ...children(ws.program.pid)];
        assert.equal(pids.length, 2);
        const cpu = pids.map(cpuMs);
        const lines = () => [fcgi, ws].map((x) => x.program.text.split('\n').length);
        const before = lines();
        await sleep(2000);
        for (const [i, pid] of pids.entries()) assert.ok(cpuMs(pid) - cpu[i] <= 60 * SLOW, `pid ${pid} spins: ${cpuMs(pid) - cpu[i]} ms`);
        for (const [i, n] of lines().entries()) assert.ok(n - before[i] < 10, `${n - before[i]} log lines in 2 s`);
        assert.match(fcgi.program.text, /redis/i);
        assert.match(ws.program.text, /redis/i);
        const r = await fcgiRequest(fcgi.where, { target: '/relay/longpoll?vsn=2.0.0' });
        assert.ok(r.status === 503 && r.json?.status === 500, `${r.status} ${r.text}`);
        await redis.start();
        await until('a session', async () => (await fcgiRequest(fcgi.where, { target: '/relay/longpoll?vsn=2.0.0' })).json?.status === 410, 10000 * SLOW, 100);
        const s = await openWs(ws.where, '/relay/websocket?vsn=2.0.0');
        await until('a join', async () => {
          s.send(JOIN('room:a'));
          const reply = JSON.parse((await s.next(10000 * SLOW)).text)[4];
          if (reply.status === 'error') assert.equal(reply.response.reason, 'unavailable');
          return reply.status === 'ok';
        }, 10000 * SLOW, 200);
        s.destroy();
      } finally {
        await fcgi.program.stop();
        await ws.program.stop();
        await redis.stop();
      }
    });
  });

  test('descriptors used up: no spin, no crash, and service again when they are free', { timeout: 90000 * SLOW }, async () => {
    const stack = await startStack({ fcgi: 1, ws: 1, ulimit: 100 });
    try {
      const pids = workersOf(stack);
      const held = [];
      for (const where of [stack.address('ws'), stack.address('fcgi')])
        for (let i = 0; i < 150; i++) {
          const c = await new FcgiConn(where).connect().catch(() => null);
          if (c) held.push(c);
        }
      await sleep(500);
      const cpu = pids.map(cpuMs);
      await sleep(2000);
      for (const [i, pid] of pids.entries()) assert.ok(cpuMs(pid) - cpu[i] <= 200 * SLOW, `pid ${pid} spins: ${cpuMs(pid) - cpu[i]} ms in 2 s`);
      for (const c of held) c.abort();
      await until('long-poll again', async () => (await request(`${stack.url}/relay/longpoll?vsn=2.0.0`).catch(() => null))?.json?.status === 410, 10000 * SLOW, 100);
      const s = await until('WebSocket again', () => openWs(stack.address('ws'), '/relay/websocket?vsn=2.0.0').catch(() => null), 10000 * SLOW, 100);
      s.destroy();
      assert.deepEqual(workersOf(stack), pids, 'no worker died');
    } catch (e) {
      stack.show();
      throw e;
    } finally {
      await stack.stop();
    }
  });

  test('nowhere to write the log (/dev/full): service goes on', { timeout: 60000 * SLOW }, async () => {
    await inDir(async (dir) => {
      const redis = await new Redis(dir).start();
      const config = path.join(dir, 'pollux.conf');
      fs.writeFileSync(config, `${configText('recorded.conf').replace('"info"', '"debug"')}\nredis { url = "${redis.url}" }\n`);
      const full = fs.openSync('/dev/full', 'w');
      const fcgi = await startFcgi(dir, config, { stderr: full });
      const ws = await startWs(dir, config, { stderr: full });
      try {
        for (let i = 0; i < 20; i++) {
          assert.equal((await fcgiRequest(fcgi.where, { target: '/relay/longpoll?vsn=2.0.0' })).json?.status, 410);
          assert.equal((await fcgiRequest(fcgi.where, { target: '/socket/longpoll?vsn=2.0.0&token=bad' })).json?.status, 403);
          const s = new RawWs(ws.where);
          assert.equal((await s.connect('/socket/websocket?vsn=2.0.0')).status, 101);
          s.sendFrame(1, 'garbage');
          assert.equal((await s.next())?.code, 1011);
        }
      } finally {
        fs.closeSync(full);
        await fcgi.program.stop();
        await ws.program.stop();
        await redis.stop();
      }
    });
  });
});
