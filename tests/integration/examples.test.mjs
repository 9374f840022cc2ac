// The examples of conf/examples, each started for real behind its web server, and driven by phoenix.js
// over both transports.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { attribute, Example, NO_CHROMIUM, withBrowser } from '../lib/examples.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { SLOW } from '../lib/stack.mjs';
import { until, within } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const TRANSPORTS = ['websocket', 'longpoll'];
const PHOENIX = 'phoenix-1.8';

/** Runs `tests(example)` against a started example; a failed start or stop shows its log. */
function example(name, options, tests) {
  describe([name, options.server].filter(Boolean).join(' behind '), () => {
    const it = new Example(name, options);
    before(() => it.start());
    after(() => it.stop());
    tests(it);
  });
}

/** Collects what comes on a channel under an event. */
function collect(channel, event) {
  const got = [];
  channel.on(event, (payload) => got.push(payload));
  return got;
}

example('perl', {}, (site) => {
  const editor = { Authorization: `Basic ${Buffer.from('editor:editor').toString('base64')}` };
  const topic = 'news:front';

  /** Publishes by the form, with its hidden key (or the one given). */
  async function write(headline, { key, ...options } = {}) {
    const form = await site.visitor().ask('/editor', { headers: editor });
    return site.visitor().ask('/editor', { form: { headline, key: key ?? attribute(form.text, 'name="key" value') }, headers: { ...editor, ...options } });
  }

  for (const transport of TRANSPORTS) {
    test(`${transport}: what the form publishes is on the page, and comes to whoever follows from there`, TIMEOUT, async () => {
      const p = page(PHOENIX);
      assert.equal((await write(`before ${transport}`)).status, 303);
      const front = (await site.visitor().ask('/')).text;
      assert.ok(front.includes(`<b>before ${transport}</b>`));
      // Between the page and the join: `since` brings it.
      assert.equal((await write(`between ${transport}`)).status, 303);
      const channel = p.connect(site.socket, { transport }).channel(topic, { since: attribute(front, 'data-position') });
      const got = collect(channel, 'headline');
      assert.equal((await within('join', 10000 * SLOW, answer(channel.join()))).recovered, true);
      assert.equal((await write('<b>wörld</b> & "after"')).status, 303);
      await until('both headlines', () => got.length === 2, 10000 * SLOW);
      assert.deepEqual(got.map((g) => [g.headline, g.by]), [[`between ${transport}`, 'editor'], ['<b>wörld</b> & "after"', 'editor']]);
      assert.ok(Math.abs(got[0].time - Date.now() / 1000) < 60);
      p.close();
    });

    test(`${transport}: visitors publish nothing`, TIMEOUT, async () => {
      const p = page(PHOENIX);
      const channel = await join(p.connect(site.socket, { transport }), topic);
      await assert.rejects(answer(channel.push('headline', { headline: 'mine', by: 'nobody', time: 0 })), /error reply/);
      assert.ok(!(await site.visitor().ask('/')).text.includes('mine'));
      p.close();
    });
  }

  test('a form that is sent twice is one message', TIMEOUT, async () => {
    const key = 'ab'.repeat(16);
    for (let i = 0; i < 2; i++) assert.equal((await write('only once', { key })).status, 303);
    assert.equal((await site.visitor().ask('/')).text.split('only once').length, 2);
  });

  test('refused: no password, another site\'s form, an empty or endless headline', TIMEOUT, async () => {
    assert.equal((await site.visitor().ask('/editor')).status, 401);
    assert.equal((await site.visitor().ask('/editor', { form: { headline: 'x' } })).status, 401);
    assert.equal((await write('foreign', { Origin: 'https://evil.example' })).status, 403);
    for (const headline of ['', ' \t', 'x'.repeat(201)]) assert.equal((await write(headline)).status, 422);
    const form = await write('<script>alert(1)</script>'.padEnd(201, 'x'));
    assert.ok(!form.text.includes('<script>alert'), 'what was typed comes back as text');
    assert.equal((await write('x'.repeat(70000))).status, 413);
    const front = (await site.visitor().ask('/')).text;
    assert.ok(!front.includes('foreign') && !front.includes('xxx'));
  });

  test('in a browser: a headline appears while the page is watched', { ...TIMEOUT, skip: NO_CHROMIUM }, () => withBrowser(site.url, async (open) => {
    const [reader, phone] = [await open(), await open({ dark: true, phone: true })];
    const desk = await open({ httpCredentials: { username: 'editor', password: 'editor' } });
    for (const p of [reader, phone]) {
      await p.goto('/');
      await p.waitForSelector('#status[data-state=ok]');
    }
    await desk.goto('/editor');
    await desk.fill('#headline', 'Seen <i>live</i>');
    await desk.press('#headline', 'Enter');
    for (const p of [reader, phone]) {
      await p.waitForSelector('#news li:first-child >> text=Seen <i>live</i>');
      assert.equal(await p.locator('#news i').count(), 0);
    }
    await desk.waitForSelector('#headline');
  }));
});
