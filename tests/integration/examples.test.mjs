// The examples of conf/examples, each started for real behind its web server, and driven by phoenix.js
// over both transports.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { NO_CHROMIUM } from '../lib/chromium.mjs';
import { attribute, Example, RUN, withBrowser } from '../lib/examples.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { alive, cmdline, descendants, mentioning } from '../lib/proc.mjs';
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

describe('the script that starts them', () => {
  test('says what there is when it is asked for something else', TIMEOUT, async () => {
    for (const args of [[], ['nope'], ['perl', '--server'], ['perl', '--colour', 'red']]) {
      const r = spawnSync(RUN, args, { encoding: 'utf8' });
      assert.deepEqual([r.status, r.stdout], [2, ''], args.join(' '));
      assert.match(r.stderr, /usage: .*game perl php python/);
    }
    const r = spawnSync(RUN, ['perl', '--server', 'nginx'], { encoding: 'utf8' });
    assert.deepEqual([r.status, r.stdout], [1, '']);
    assert.match(r.stderr, /there is no perl\/nginx\.conf/);
  });

  test('killed: nothing goes on running', TIMEOUT, async () => {
    const site = await new Example('python').start();
    const all = descendants(site.child.pid);
    assert.ok(all.length > 5, 'they are known');
    site.child.kill('SIGKILL');
    await until('everything to end', () => !all.some(alive) && mentioning(site.dir).length === 0, 10000 * SLOW);
    fs.rmSync(site.dir, { recursive: true, force: true });
  });

  test('ends with the first part that ends, and says so', TIMEOUT, async () => {
    const site = await new Example('python').start();
    const [app] = mentioning('app.py 127.0.0.1').filter((pid) => cmdline(pid).includes(site.dir));
    process.kill(app, 'SIGKILL');
    await until('the end', () => site.exit, 10000 * SLOW);
    assert.deepEqual(site.exit, { code: 1, signal: null });
    assert.match(site.log, /a part of the example ended/);
    await until('everything to be gone', () => mentioning(site.dir).length === 0); // what shows the logs ends a moment later
    assert.deepEqual(fs.readdirSync(site.dir), []);
    fs.rmSync(site.dir, { recursive: true, force: true });
  });
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
      const next = await ticketOf('anna');
      const tickets = [sign({ exp: inSeconds(6), join: [topic] }), next];
      const socket = p.connect(site.socket, { transport, params: () => ({ token: tickets[0] }) });
      let joins = 0;
      const channel = socket.channel(topic, {});
      channel.join().receive('ok', () => joins++);
      await until('the first join', () => joins === 1, 6000 * SLOW);
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
for (const server of ['lighttpd', 'nginx']) example('php', { server }, (site) => {
  const secret = 'only-for-trying-the-php-example';

  async function signIn(name) {
    const visitor = site.visitor();
    const csrf = attribute((await visitor.ask('/')).text, 'name="csrf" value');
    const r = await visitor.ask('/', { form: { name, password: name, csrf } });
    assert.deepEqual([r.status, r.headers.get('location')], [303, '/']);
    visitor.csrf = attribute((await visitor.ask('/')).text, 'data-csrf');
    return visitor;
  }

  /** A page of somebody who has signed in, with its socket. */
  async function enter(name, transport) {
    const visitor = await signIn(name);
    const p = page(PHOENIX, { headers: { Cookie: visitor.cookie } });
    return { visitor, p, socket: p.connect(site.socket, { transport, params: { csrf: visitor.csrf }, reconnectAfterMs: () => 200 }) };
  }

  for (const transport of TRANSPORTS) {
    test(`${transport}: PHP knows the session, answers pushes and broadcasts`, TIMEOUT, async () => {
      const [anna, ben] = [await enter('anna', transport), await enter('ben', transport)];
      const channel = anna.socket.channel('room:garden', {});
      const { position, ...joined } = await answer(channel.join());
      assert.deepEqual(joined, { room: 'Garden', you: 'anna' });
      const other = ben.socket.channel('room:garden', {});
      const people = new ben.p.Presence(other);
      await answer(other.join());
      const got = collect(other, 'message');
      const { id } = await answer(channel.push('message', { text: '  <b>hello</b> wörld ' }));
      await until('the message', () => got.length > 0, 10000 * SLOW);
      assert.deepEqual([got[0].id, got[0].name, got[0].text], [id, 'anna', '<b>hello</b> wörld']);
      await until('who is here', () => people.list((name) => name).sort().join() === 'anna,ben', 10000 * SLOW);
      for (const [event, payload] of [['message', { text: ' ' }], ['message', {}], ['message', { text: ['x'] }], ['message', { text: 'x'.repeat(2001) }], ['shout', { text: 'x' }]])
        assert.match(await outcome(channel.push(event, payload)), /a text of up to/);
      assert.equal(got.length, 1);
      // Who was away gets it with the next join.
      const back = ben.socket.channel('room:garden', { since: position });
      const missed = collect(back, 'message');
      await answer(other.leave());
      assert.equal((await answer(back.join())).recovered, true);
      await until('what was missed', () => missed.length > 0, 10000 * SLOW);
      assert.deepEqual(missed, got);
      for (const { p } of [anna, ben]) p.close();
    });

    test(`${transport}: PHP refuses rooms of others`, TIMEOUT, async () => {
      const [ben, cleo] = [await enter('ben', transport), await enter('cleo', transport)];
      for (const [who, room] of [[ben, 'kitchen'], [cleo, 'garden'], [cleo, 'attic']])
        assert.equal(await outcome(who.socket.channel(`room:${room}`, {}).join()), 'this room is not yours');
      assert.equal(await outcome(cleo.socket.channel('room:kitchen', {}).join()), 'ok');
      for (const { p } of [ben, cleo]) p.close();
    });

    test(`${transport}: refused without the session's cookie, or without knowing its value`, TIMEOUT, async () => {
      const { cookie, csrf } = await signIn('anna');
      const stranger = await site.visitor();
      const form = attribute((await stranger.ask('/')).text, 'name="csrf" value');
      const tries = [[cookie, { csrf }], [cookie, {}], [cookie, { csrf: 'x'.repeat(32) }], ['', {}], ['', { csrf }], [`csrf=${csrf}`, { csrf }],
        [`csrf=${csrf}; PHPSESSID=${'0'.repeat(32)}`, { csrf }], [`csrf=${csrf}; PHPSESSID=../../etc/passwd`, { csrf }], [stranger.cookie, { csrf: form }]];
      const pages = tries.map(([Cookie]) => page(PHOENIX, { headers: { Cookie } }));
      const let_in = await Promise.all(tries.map(([, params], i) => letIn(pages[i], site.socket, { transport, params })));
      assert.deepEqual(let_in, tries.map((_, i) => i === 0));
      for (const p of pages) p.close();
    });

    test(`${transport}: signing out ends the sockets of this session, and of no other`, TIMEOUT, async () => {
      const [here, elsewhere] = [await enter('anna', transport), await enter('anna', transport)];
      let [closed, kept] = [0, 0];
      for (const { socket } of [here, elsewhere]) await join(socket, 'room:garden');
      here.socket.onClose(() => closed++);
      here.socket.onError(() => closed++);
      elsewhere.socket.onClose(() => kept++);
      const r = await here.visitor.ask('/logout.php', { form: { csrf: here.visitor.csrf } });
      assert.equal(r.status, 303);
      await until('the socket to end', () => closed > 0, 10000 * SLOW);
      const again = page(PHOENIX, { headers: { Cookie: here.visitor.cookie } });
      assert.equal(await letIn(again, site.socket, { transport, params: { csrf: here.visitor.csrf } }), false);
      assert.equal(kept, 0);
      for (const p of [here.p, elsewhere.p, again]) p.close();
    });
  }

  test('the site: wrong passwords and forms of other sites', TIMEOUT, async () => {
    const visitor = site.visitor();
    const csrf = attribute((await visitor.ask('/')).text, 'name="csrf" value');
    assert.equal((await visitor.ask('/', { form: { name: 'anna', password: 'ben', csrf } })).status, 403);
    assert.equal((await visitor.ask('/', { form: { name: 'anna', password: 'anna' } })).status, 403);
    const anna = await signIn('anna');
    assert.equal((await anna.ask('/logout.php', { form: {} })).status, 403);
    assert.match((await anna.ask('/')).text, /Sign out anna/);
  });

  test('questions: only with a signature of now', TIMEOUT, async () => {
    const body = JSON.stringify({ hook: 'join', topic: 'room:garden', payload: {}, socket: { claims: { name: 'ben' } } });
    const now = Math.floor(Date.now() / 1000);
    const ask = async (signature, sent = body) => {
      const r = await fetch(`${site.url}/pollux.php`, { method: 'POST', body: sent, headers: { 'Content-Type': 'application/json', ...(signature ? { 'X-Pollux-Signature': signature } : {}) } });
      return [r.status, await r.text()];
    };
    const sign = (t, text = body, key = secret) => `t=${t},v1=${createHmac('sha256', key).update(`${t}.${text}`).digest('hex')}`;
    const [status, text] = await ask(sign(now));
    assert.deepEqual([status, JSON.parse(text).status], [200, 'ok']);
    for (const bad of [undefined, '', sign(now - 301), sign(now + 301), sign(now, 'x'), sign(now, body, 'x'), `${sign(now)}0`, sign(now).replace('t=', 't=0'), 't=,v1='])
      assert.equal((await ask(bad))[0], 403, String(bad));
    assert.equal((await ask(sign(now), body.replace('ben', 'eve')))[0], 403);
  });

  if (server === 'lighttpd') test('in a browser: two people chat', { ...TIMEOUT, skip: NO_CHROMIUM }, () => withBrowser(site.url, async (open) => {
    const [anna, ben] = [await open(), await open({ dark: true, phone: true })];
    for (const [p, name] of [[anna, 'anna'], [ben, 'ben']]) {
      await p.goto('/');
      await p.fill('#name', name);
      await p.fill('#password', name);
      await p.press('#password', 'Enter');
      await p.waitForSelector('#status[data-state=ok]');
    }
    await anna.fill('#text', 'Hello <i>Ben</i>');
    await anna.press('#text', 'Enter');
    for (const p of [anna, ben]) {
      await p.waitForSelector('#log >> text=Hello <i>Ben</i>');
      assert.equal(await p.locator('#log i').count(), 0);
      await p.waitForFunction(() => document.getElementById('people').textContent === 'anna, ben');
    }
    assert.equal(await anna.inputValue('#text'), '');
    assert.equal(await ben.isVisible('nav >> text=Kitchen'), false);
    // Signing out in one window ends the other one's socket, and that goes to the login by itself.
    const second = await ben.context().newPage();
    await second.goto('/');
    await second.click('text=Sign out');
    for (const p of [second, ben]) await p.waitForSelector('#password');
    // What Chromium prints about refused requests is no mistake of the page.
    ben.problems = ben.problems.filter((text) => !/40[13]|WebSocket/.test(text));
  }));
});
