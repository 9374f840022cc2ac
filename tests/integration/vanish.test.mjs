// Runs vanish.mjs: a crowd that vanishes leaves nothing behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT, SLOW } from '../lib/stack.mjs';

test('a crowd that vanishes leaves nothing behind', { timeout: 140000 * SLOW }, async (t) => {
  const child = spawn(process.execPath, [path.join(ROOT, 'tests/integration/vanish.mjs')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (d) => {
    said += d;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, said);
  t.diagnostic(said.trim());
});
