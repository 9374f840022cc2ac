// The examples of conf/examples, each started for real behind its web server, and driven by phoenix.js
// over both transports.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
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

/** Whether a socket is let in: true once it is open, false when it is refused. */
async function letIn(p, url, options) {
  const socket = p.connect(url, { ...options, reconnectAfterMs: () => 1e6 });
  let open;
  socket.onOpen(() => (open = true));
  socket.onError(() => (open ??= false));
  await until('an answer to the connect', () => open !== undefined, 10000 * SLOW);
  return open;
}

/** A join as it ends: 'ok', or the reason of its refusal. */
const outcome = (push) => new Promise((resolve) => {
  push.receive('ok', () => resolve('ok')).receive('error', ({ reason }) => resolve(reason)).receive('timeout', () => resolve('timeout'));
});

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

example('python', {}, (site) => {
  const topic = 'note:garden';
  const sign = (claims, key = 'only-for-trying-the-python-example') => {
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    return `${body}.${createHmac('sha256', key).update(body).digest('hex')}`;
  };
  const inSeconds = (s) => Math.floor(Date.now() / 1000) + s;

  async function signIn(name) {
    const visitor = site.visitor();
    assert.equal((await visitor.ask('/login', { form: { name, password: name } })).status, 303);
    return visitor;
  }

  const ticketOf = async (name) => JSON.parse((await (await signIn(name)).ask('/ticket')).text).ticket;

  for (const transport of TRANSPORTS) {
    test(`${transport}: tickets by Python let in, and say who joins and writes what`, TIMEOUT, async () => {
      const [anna, ben, late] = [page(PHOENIX), page(PHOENIX), page(PHOENIX)];
      const writer = await join(anna.connect(site.socket, { transport, params: { token: await ticketOf('anna') } }), topic);
      const socket = ben.connect(site.socket, { transport, params: { token: await ticketOf('ben') } });
      const reader = await join(socket, topic);
      const got = collect(reader, 'text');
      writer.push('text', { text: `by ${transport}` });
      await until('the text', () => got.some((g) => g.text === `by ${transport}`), 10000 * SLOW);
      assert.equal(await outcome(reader.push('text', { text: 'by ben' })), 'unauthorized');
      assert.equal(await outcome(socket.channel('note:other').join()), 'unauthorized');
      assert.equal(writer.state, 'joined');
      // Who comes later gets the last text, which is not ben's.
      const channel = late.connect(site.socket, { transport, params: { token: await ticketOf('ben') } }).channel(topic, {});
      const found = collect(channel, 'text');
      await answer(channel.join());
      await until('the text as it is', () => found.length > 0, 10000 * SLOW);
      assert.deepEqual([found[0], got.filter((g) => g.text === 'by ben')], [{ text: `by ${transport}` }, []]);
      for (const p of [anna, ben, late]) p.close();
    });

    test(`${transport}: refused: no ticket, an altered, another key's, an expired one`, TIMEOUT, async () => {
      const p = page(PHOENIX);
      const good = await ticketOf('anna');
      const [body, mac] = good.split('.');
      const other = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, 'base64url')), join: ['*'] })).toString('base64url');
      const bad = [undefined, '', `${other}.${mac}`, good.slice(0, -1), sign({ exp: inSeconds(60) }, 'another key altogether'), sign({ exp: inSeconds(-1) })];
      const let_in = await Promise.all(bad.map((token) => letIn(p, site.socket, { transport, params: { token } })));
      assert.deepEqual(let_in, bad.map(() => false));
      assert.equal(await letIn(p, site.socket, { transport, params: { token: good } }), true);
      p.close();
    });

    test(`${transport}: a ticket that ends while it is used: phoenix.js comes back with the next one`, TIMEOUT, async () => {
      const p = page(PHOENIX);
      const tickets = [sign({ exp: inSeconds(2), join: [topic] }), await ticketOf('anna')];
      const socket = p.connect(site.socket, { transport, params: () => ({ token: tickets[0] }) });
      let joins = 0;
      const channel = socket.channel(topic, {});
      channel.join().receive('ok', () => joins++);
      await until('the first join', () => joins === 1, 2000 * SLOW);
      tickets.shift();
      await until('the second join', () => joins === 2, 15000 * SLOW);
      p.close();
    });
  }

  test('the site: wrong passwords, forged cookies, no ticket without a login', TIMEOUT, async () => {
    for (const form of [{ name: 'anna', password: 'ben' }, { name: 'nobody', password: '' }, {}])
      assert.equal((await site.visitor().ask('/login', { form })).status, 403);
    assert.equal((await site.visitor().ask('/ticket')).status, 401);
    for (const login of ['x', 'x.y', '.', sign({ name: 'anna', exp: inSeconds(60) })])
      assert.equal((await site.visitor().ask('/ticket', { headers: { Cookie: `login=${login}` } })).status, 401, login);
    const anna = await signIn('anna');
    assert.equal((await anna.ask('/ticket')).status, 200);
    assert.equal((await anna.ask('/logout', { form: {} })).status, 303);
    assert.equal((await anna.ask('/ticket')).status, 401);
  });

  test('in a browser: one writes, the other reads along', { ...TIMEOUT, skip: NO_CHROMIUM }, () => withBrowser(site.url, async (open) => {
    const [anna, ben] = [await open(), await open({ dark: true, phone: true })];
    for (const [p, name] of [[anna, 'anna'], [ben, 'ben']]) {
      await p.goto('/');
      await p.fill('#name', name);
      await p.fill('#password', name);
      await p.click('button');
      await p.waitForSelector('#status[data-state=ok]');
    }
    await anna.fill('#text', 'Water <b>the beans</b>');
    await ben.waitForFunction(() => document.getElementById('text').value === 'Water <b>the beans</b>');
    assert.match(await ben.textContent('#status'), /you may read/);
    assert.equal(await ben.getAttribute('#text', 'readonly'), '');
  }));
});
