// A worker that ends at once while Redis still owes a module its answer: the module's callback comes
// when the connection to Redis is given up, and finds the module loaded.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { fcgiRequest } from '../lib/fcgi.mjs';
import { children } from '../lib/proc.mjs';
import { Redis, startFcgi, startWs } from '../lib/servers.mjs';
import { BUILD, SLOW, tempDir } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

/** A Redis that says nothing more on a connection that asks for something like `pattern`. */
function mutableRedis(target) {
  const open = new Set();
  const proxy = { pattern: null, asked: false };
  const server = net.createServer((client) => {
    const back = net.connect(target);
    let mute = false;
    for (const s of [client, back]) {
      open.add(s);
      s.on('error', () => {});
      s.on('close', () => {
        client.destroy();
        back.destroy();
      });
    }
    client.on('data', (d) => {
      if (proxy.pattern?.test(d.toString('latin1'))) mute = proxy.asked = true;
      back.write(d);
    });
    back.on('data', (d) => mute || client.write(d));
  });
  proxy.close = () => {
    for (const s of open) s.destroy();
    server.close();
  };
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(Object.assign(proxy, { url: `redis://127.0.0.1:${server.address().port}/0` }))));
}

/** Asks the module for its list of presences, which Redis never gives: `ask` resolves when that was sent. */
async function endWhileListing(start, ask) {
  const dir = tempDir('unload');
  const redis = await new Redis(dir, { durable: false }).start();
  const proxy = await mutableRedis({ path: redis.socket });
  let program;
  try {
    const file = path.join(dir, 'pollux.conf');
    fs.writeFileSync(file, `
secret = "integration-tests-only-0123456789abcdef"
redis { url = "${proxy.url}" }
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    channel "lobby:*" { backend = "module" path = "${BUILD}/modules/recorded.so" settings = "lobby" }
}`);
    const started = await start(dir, file);
    program = started.program;
    await ask(started.where, () => {
      proxy.pattern = /lobby:1\}:pres/;
    });
    await until('the question to Redis', () => proxy.asked, 10000 * SLOW);
    const [worker] = children(program.pid);
    process.kill(worker, 'SIGTERM'); // to drain, and then
    process.kill(worker, 'SIGTERM'); // at once
    await until('another worker', () => !children(program.pid).includes(worker), 20000 * SLOW);
    await program.stop();
    assert.doesNotMatch(program.text, /signal (6|11)|Sanitizer|runtime error/);
  } finally {
    if (program && !program.exit) await program.stop();
    proxy.close();
    await redis.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

test('a worker ends while a module waits for Redis', { timeout: 60000 * SLOW }, () => endWhileListing(startFcgi, async (where, mute) => {
  const ask = (method, token, body) => fcgiRequest(where, { method, target: `/s/longpoll?vsn=2.0.0${token ? `&token=${token}` : ''}`, body });
  const { token } = (await ask('GET')).json;
  assert.equal((await ask('POST', token, '["1","1","lobby:1","phx_join",{}]')).json.status, 200);
  mute();
  ask('POST', token, '["1","2","lobby:1","list",{}]').catch(() => {});
}));

test('the same of a WebSocket', { timeout: 60000 * SLOW }, () => endWhileListing(startWs, async (where, mute) => {
  const ws = await openWs(where, '/s/websocket?vsn=2.0.0');
  ws.send('["1","1","lobby:1","phx_join",{}]');
  assert.match((await ws.next(10000 * SLOW)).text, /"ok"/);
  assert.match((await ws.next(10000 * SLOW)).text, /presence_state/);
  mute();
  ws.send('["1","2","lobby:1","list",{}]');
}));
