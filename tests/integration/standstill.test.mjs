// Redis stands still, or is stopped, for longer than every lease, while clients of a channel with history
// come and go.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { Redis } from '../lib/servers.mjs';
import { SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { sleep } from '../lib/wait.mjs';
import { assertComplete, during } from '../lib/wanderer.mjs';

const STILL_MS = Number(process.env.POLLUX_STANDSTILL_MS ?? 40000);

async function through(topic, gone, back) {
  const dir = tempDir('standstill');
  const redis = await new Redis(dir).start();
  let stack;
  try {
    stack = await startStack({ config: 'recovery.conf', fcgi: 2, ws: 2, args: ['--redis', redis.url] });
    const pids = [...stack.workers('fcgi'), ...stack.workers('ws')];
    assertComplete(await during(stack, topic, { cuts: 100, up: 1000, down: 500 }, async () => {
      await sleep(3000);
      await gone(redis);
      await sleep(STILL_MS);
      await back(redis);
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
}

describe('Redis is away for longer than every lease', { concurrency: 2 }, () => {
  test(`it stands still for ${STILL_MS / 1000} s: nothing is lost`, { timeout: 180000 * SLOW }, () =>
    through('long:still', (redis) => redis.pause(), (redis) => redis.resume()));

  test(`it is stopped for ${STILL_MS / 1000} s: nothing is lost`, { timeout: 180000 * SLOW }, () =>
    through('long:stopped', (redis) => redis.stop('SIGKILL'), (redis) => redis.start()));
});
