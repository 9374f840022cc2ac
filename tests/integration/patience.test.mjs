// Long-polling beside an application that takes longer than the window: the session stays.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HOOK_SECRET, HookApp } from '../lib/hook_app.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { SLOW, startStack } from '../lib/stack.mjs';

const WINDOW_MS = 1000;
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

describe('an application slower than the window', { timeout: 60000 * SLOW }, () => {
  let app;
  let stack;

  before(async () => {
    app = await new HookApp(async (q) => {
      await pause(300);
      return q.hook === 'join' ? { status: 'ok' } : { reply: { status: 'ok', response: q.payload } };
    }).start();
    stack = await startStack({ fcgi: 2, ws: 1, config: { text: `
secret = "integration-tests-only-0123456789abcdef"
socket "/socket" {
  longpoll { window_ms = ${WINDOW_MS} }
  channel "shop:*" { backend = "http" url = "${app.url}" secret = "${HOOK_SECRET}" max_in_flight = 4 }
}
api { path = "/api" keys = { "test-api-key-0123456789" } }
` } });
  });
  after(async () => {
    await stack?.stop();
    await app?.stop();
  });

  // It was answered 408 at the window's end; phoenix.js threw its session away and joined everything
  // anew, for ever: 600 questions about 60 joins.
  for (const version of ['phoenix-1.6', 'phoenix-1.8'])
    test(`${version}: joins and pushes for longer than the window are each asked about once`, async () => {
      const p = page(version);
      const errors = [];
      const socket = p.connect(`${stack.url}/socket`, { transport: 'longpoll', timeout: 30000 });
      socket.onError((e) => errors.push(e));
      socket.onClose((e) => errors.push(e));
      const begin = Date.now();
      const asked = app.questions.length;
      const channels = Array.from({ length: 15 }, (_, i) => socket.channel(`shop:${version}-${i}`, {}));
      await Promise.all(channels.map((c) => answer(c.join())));
      assert.ok(Date.now() - begin > WINDOW_MS, 'the test takes longer than the window');
      const replies = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => answer(channels[0].push('order', { n }))));
      assert.deepEqual(replies.map((r) => r.n), [1, 2, 3, 4, 5, 6]);
      assert.equal(app.questions.length - asked, channels.length + 6);
      assert.deepEqual(errors, []);
      p.close();
    });
});
