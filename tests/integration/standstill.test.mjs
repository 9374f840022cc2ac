// Redis stands still for longer than every lease, while clients of a channel with history come and go.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Redis } from '../lib/servers.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep } from '../lib/wait.mjs';
import { assertComplete, during } from '../lib/wanderer.mjs';

const STILL_MS = Number(process.env.POLLUX_STANDSTILL_MS ?? 40000);

test(`Redis stands still for ${STILL_MS / 1000} s: nothing is lost`, { timeout: 180000 * SLOW }, async () => {
  const dir = tempDir('standstill');
  const redis = await new Redis(dir).start();
  let stack;
  try {
    stack = await startStack({ config: 'recovery.conf', fcgi: 2, ws: 2, args: ['--redis', redis.url] });
    const pids = [...stack.workers('fcgi'), ...stack.workers('ws')];
    assertComplete(await during(stack, 'long:still', { cuts: 100, up: 1000, down: 500 }, async () => {
      await sleep(3000);
      redis.pause();
      await sleep(STILL_MS);
      redis.resume();
    }), 5);
    assert.deepEqual([...stack.workers('fcgi'), ...stack.workers('ws')], pids, 'no worker died');
  } catch (e) {
    stack?.show(40);
    throw e;
  } finally {
    if (!redis.program.exit) redis.resume();
    await stack?.stop();
    await redis.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
