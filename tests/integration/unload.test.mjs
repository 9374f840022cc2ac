// A worker that ends at once while Redis still owes a module its answer: the module's callback comes
// when the connection to Redis is given up, and finds the module loaded.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { fcgiRequest } from '../lib/fcgi.mjs';
import { children } from '../lib/proc.mjs';
import { Redis, startFcgi } from '../lib/servers.mjs';
import { BUILD, SLOW, tempDir } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';

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

test('a worker ends while a module waits for Redis', { timeout: 60000 * SLOW }, async () => {
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
    const started = await startFcgi(dir, file);
    program = started.program;
    const ask = (method, token, body) => fcgiRequest(started.where, { method, target: `/s/longpoll?vsn=2.0.0${token ? `&token=${token}` : ''}`, body });
    const { token } = (await ask('GET')).json;
    assert.equal((await ask('POST', token, '["1","1","lobby:1","phx_join",{}]')).json.status, 200);
    proxy.pattern = /lobby:1\}:pres/;
    ask('POST', token, '["1","2","lobby:1","list",{}]').catch(() => {});
    await until('the question to Redis', () => proxy.asked, 10000 * SLOW);
    const [worker] = children(program.pid);
    process.kill(worker, 'SIGTERM'); // to drain, and then
    process.kill(worker, 'SIGTERM'); // at once
    await until('another worker', () => !children(program.pid).includes(worker), 10000 * SLOW);
    await program.stop();
    assert.doesNotMatch(program.text, /signal (6|11)|Sanitizer|runtime error/);
  } finally {
    if (program && !program.exit) await program.stop();
    proxy.close();
    await redis.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
