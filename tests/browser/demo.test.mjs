// The demonstration in a real Chromium: two people chat, one of them without WebSocket; what the page
// says about its connection is true.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cable } from '../lib/cable.mjs';
import { launch, NO_CHROMIUM } from '../lib/chromium.mjs';
import { bin, ROOT, SLOW, startStack } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const WAIT = { timeout: 15000 * SLOW };
let stack;
let browser;

/** A browser of its own (context), in the room under a name. */
async function enter(name, { room = 'test', block = false, url = stack.url, ...options } = {}) {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  if (block) await context.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        setTimeout(() => this.onerror?.(new Event('error')), 10);
        setTimeout(() => this.onclose?.(new CloseEvent('close', { code: 1006 })), 20);
      }

      close() {}

      send() {}
    };
  });
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(e.message));
  await page.goto(`${url}/?room=${room}`);
  await page.fill('#name', name);
  await page.click('#name-form button[type=submit]');
  await page.waitForSelector('#status[data-state=ok]', WAIT);
  return page;
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

const shows = (page, text) => page.waitForFunction((t) => document.getElementById('log').innerText.includes(t), text, WAIT);

/** How often a text stands in the log. */
const count = (page, text) => page.evaluate((t) => document.getElementById('log').innerText.split(t).length - 1, text);

describe('demonstration', { skip: NO_CHROMIUM }, () => {
  before(async () => {
    // The demonstration's own configuration, which is what `make run` serves.
    stack = await startStack({ config: { text: fs.readFileSync(path.join(ROOT, 'conf/demo.conf'), 'utf8') }, fcgi: 2, ws: 2 });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await stack?.stop();
  });

  test('two pages chat, one of them with WebSocket blocked', TIMEOUT, async () => {
    const [anna, berta] = [await enter('Anna'), await enter('Berta', { block: true })];
    assert.match(await anna.textContent('#transport'), /WebSocket/);
    assert.match(await berta.textContent('#transport'), /long-polling/);
    assert.equal(await berta.isVisible('#fallback'), true, 'the page says that it fell back');
    await say(anna, 'hello over WebSocket');
    await shows(berta, 'hello over WebSocket');
    await say(berta, 'hello over <b>long-polling</b> & "quotes" 😀');
    await shows(anna, 'hello over <b>long-polling</b> & "quotes" 😀');
    for (const page of [anna, berta]) {
      await until('each message once', async () => (await count(page, 'hello over')) === 2, 5000);
      assert.deepEqual(page.problems, []);
      await page.context().close();
    }
  });

  test('who is here: several devices are one person; who is writing', TIMEOUT, async () => {
    const room = 'people';
    const people = (page) => page.evaluate(() => [...document.querySelectorAll('#people li')].map((li) => [...li.children].slice(1).map((e) => e.textContent).join(' ')));
    const sees = (page, list) => until(`people ${list}`, async () => JSON.stringify(await people(page)) === JSON.stringify(list), 15000 * SLOW, 100).catch(async (e) => {
      throw new Error(`${e.message}; there are ${JSON.stringify(await people(page))}`);
    });
    const anna = await enter('Anna', { room });
    await sees(anna, ['Anna you']);
    const [phone, berta] = [await enter('Anna', { room, block: true }), await enter('Berta', { room })];
    for (const page of [anna, phone]) await sees(page, ['Anna you 2 devices', 'Berta']);
    await sees(berta, ['Berta you', 'Anna 2 devices']);
    await berta.type('#text', 'hello');
    await until('the notice', async () => /Berta is writing/.test(await anna.textContent('#typing')), 15000 * SLOW, 50);
    await berta.press('#text', 'Enter');
    await shows(anna, 'hello');
    await until('its end', async () => (await anna.textContent('#typing')) === '', 5000 * SLOW, 50);
    await berta.reload();
    await berta.waitForSelector('#status[data-state=ok]', WAIT);
    await berta.context().close();
    await sees(anna, ['Anna you 2 devices']);
    for (const page of [anna, phone]) {
      assert.deepEqual(page.problems, []);
      await page.context().close();
    }
  });

  test('the switch forces long-polling and back', TIMEOUT, async () => {
    const page = await enter('Carla');
    for (const [on, words] of [[true, /long-polling/], [false, /WebSocket/]]) {
      await page.setChecked('#force', on, { force: true });
      await until('the other transport', async () => words.test(await page.textContent('#transport')) && (await page.getAttribute('#status', 'data-state')) === 'ok', 15000 * SLOW, 100);
    }
    await say(page, 'still here');
    await shows(page, 'still here');
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test('workers die: the page says so, comes back by itself, and counts it', TIMEOUT, async () => {
    const [page, other] = [await enter('Dora'), await enter('Emma')];
    for (const pid of stack.workers('ws')) process.kill(pid, 'SIGKILL');
    await until('a reconnect', async () => Number(await page.textContent('#reconnects')) >= 1, 15000 * SLOW, 50);
    await page.waitForSelector('#status[data-state=ok]', WAIT);
    await other.waitForSelector('#status[data-state=ok]', WAIT);
    for (const p of [page, other]) {
      assert.ok((await count(p, 'Nothing is missing')) >= 1, 'it says that everything was recovered');
      assert.equal(await count(p, 'may be missing'), 0);
    }
    await say(page, 'back again');
    await shows(other, 'back again');
    for (const p of [page, other]) {
      assert.deepEqual(p.problems, []);
      await p.context().close();
    }
  });

  test('a page that was away shows what was said meanwhile; or that it can not', TIMEOUT, async () => {
    const line = await cable({ host: '127.0.0.1', port: new URL(stack.url).port });
    const [page, other] = [await enter('Hanna', { room: 'away', url: `http://127.0.0.1:${line.port}` }), await enter('Ida', { room: 'away' })];
    const key = /keys\s*=\s*\{\s*"([^"]+)"/.exec(fs.readFileSync(path.join(ROOT, 'conf/demo.conf'), 'utf8'))[1];
    const publish = (n) => stack.api.call('POST', '/publish', { topic: 'room:away', event: 'message', payload: { id: `p${n}`, name: 'shell', text: `number ${n}.` } }, { headers: { Authorization: `Bearer ${key}` } });
    await say(other, 'before');
    await shows(page, 'before');
    for (const [away, missed] of [[3, 'Nothing is missing'], [201, 'may be missing']]) {
      line.pull();
      await page.waitForSelector('#status:not([data-state=ok])', WAIT);
      for (let n = 0; n < away; n++) assert.equal((await publish(away * 1000 + n)).status, 200);
      line.restore();
      await page.waitForSelector('#status[data-state=ok]', WAIT);
      await shows(page, missed);
      if (away === 3) for (let n = 0; n < 3; n++) await until('once', async () => (await count(page, `number ${3000 + n}.`)) === 1, 5000);
      else assert.equal(await count(page, 'number 201000.'), 0);
    }
    for (const p of [page, other]) {
      assert.deepEqual(p.problems, []);
      await p.context().close();
    }
    line.close();
  });

  test('who comes later, or loads the page again, sees what was said before, whose it was and when', TIMEOUT, async () => {
    const room = 'before';
    const page = await enter('Jana', { room });
    await say(page, 'said early');
    const key = /keys\s*=\s*\{\s*"([^"]+)"/.exec(fs.readFileSync(path.join(ROOT, 'conf/demo.conf'), 'utf8'))[1];
    const hourAgo = Date.now() - 3600000;
    for (const payload of [{ name: 'shell', text: 'said without an id' }, { name: 'shell', text: 'an hour old', at: hourAgo }, { name: 'shell', text: 'of tomorrow', at: hourAgo + 86400000 }])
      assert.equal((await stack.api.call('POST', '/publish', { topic: `room:${room}`, event: 'message', payload }, { headers: { Authorization: `Bearer ${key}` } })).status, 200);
    await shows(page, 'of tomorrow');
    const later = await enter('Karl', { room });
    await page.reload();
    for (const p of [page, later]) {
      await shows(p, 'of tomorrow');
      for (const text of ['said early', 'said without an id', 'an hour old', 'of tomorrow']) assert.equal(await count(p, text), 1, text);
      const times = await p.$$eval('#log .message time', (all) => all.map((t) => Date.parse(t.dateTime)));
      assert.equal(times[2], hourAgo);
      assert.ok(times.every((t) => t <= Date.now()), 'nothing is from the future');
      assert.equal(await p.isVisible('#empty'), false);
      assert.equal(await p.textContent('#reconnects'), '0');
      await p.waitForSelector('#status[data-state=ok]', WAIT);
    }
    assert.equal(await page.locator('.message.mine').count(), 1, 'the own message is still the own one');
    assert.equal(await later.locator('.message.mine').count(), 0);
    await say(later, 'and now this');
    for (const p of [page, later]) {
      await shows(p, 'and now this');
      assert.equal(await count(p, 'may be missing') + await count(p, 'Nothing is missing'), 0);
      assert.deepEqual(p.problems, []);
      await p.context().close();
    }
  });

  test('the command that the README gives shows in the room that the page enters by itself', TIMEOUT, async () => {
    const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
    const [, command] = /^ +build\/release\/bin\/pollux --config state\/pollux.conf (publish .*)$/m.exec(readme);
    const page = await enter('Mona', { room: '' });
    execFileSync('sh', ['-c', `"$0" --config "$1" ${command}`, bin('pollux'), path.join(stack.state, 'pollux.conf')]);
    await shows(page, /"text":"([^"]+)"/.exec(command)[1]);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test('wide: the buttons of the head stand at its right end', TIMEOUT, async () => {
    const page = await enter('Lena', { viewport: { width: 1280, height: 800 } });
    const right = (selector) => page.$eval(selector, (e) => e.getBoundingClientRect().right);
    const gap = (await right('.facts')) - (await right('#theme'));
    assert.ok(Math.abs(gap) <= 16, `${gap} px between the panel's edge and the last button`);
    await page.context().close();
  });

  test('phone width, dark: nothing sticks out; everything can be reached by keyboard', TIMEOUT, async () => {
    const page = await enter('Frida', { viewport: { width: 360, height: 640 }, colorScheme: 'dark' });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${wide} px too wide`);
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [r, g, b] = background.match(/\d+/g).map(Number);
    assert.ok(r + g + b < 200, `dark background, not ${background}`);
    const reached = new Set();
    for (let i = 0; i < 25; i++) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement.id));
    }
    for (const id of ['change-name', 'theme', 'show-panel', 'text']) assert.ok(reached.has(id), `#${id} by keyboard: ${[...reached]}`);
    await page.context().close();
  });

  test('what a stranger publishes is shown as text, or left out', TIMEOUT, async () => {
    const page = await enter('Gerda', { room: 'strange' });
    const key = /keys\s*=\s*\{\s*"([^"]+)"/.exec(fs.readFileSync(path.join(ROOT, 'conf/demo.conf'), 'utf8'))[1];
    const publish = (payload) => stack.api.call('POST', '/publish', { topic: 'room:strange', event: 'message', payload }, { headers: { Authorization: `Bearer ${key}` } });
    for (const payload of [null, 5, { text: 7 }, { name: '<img src=x onerror=alert(1)>', text: '<script>alert(1)</script>' }])
      assert.equal((await publish(payload)).status, 200);
    await shows(page, '<script>alert(1)</script>');
    assert.equal(await page.evaluate(() => document.querySelectorAll('#log img, #log script').length), 0);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
});
