// A channel in C by somebody who has Pollux installed: the example is compiled out of tree against
// `make install`, its unit test runs against the installed test kit, and it is played for real behind
// lighttpd: one player on WebSocket, one on long-polling.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { NO_CHROMIUM } from '../lib/chromium.mjs';
import { Example, withBrowser } from '../lib/examples.mjs';
import { answer, page } from '../lib/phoenix.mjs';
import { BUILD, ROOT, SLOW, tempDir } from '../lib/stack.mjs';
import { until, within } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
const LIMIT = 10000 * SLOW;
const SAN = /\/san-([a-z-]+)$/.exec(BUILD)?.[1].replaceAll('-', ',');

const run = promisify(execFile);

test('compiles out of tree with pkg-config, passes its unit test, and installs', { timeout: 120000 * SLOW }, async () => {
  const dir = tempDir('game');
  const root = path.join(dir, 'root');
  const own = { ...process.env };
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL']) delete own[name];
  const env = { ...own, PKG_CONFIG_SYSROOT_DIR: root, PKG_CONFIG_PATH: `${root}/usr/lib/pkgconfig`, CFLAGS: `-O1 -g -Werror ${SAN ? `-fsanitize=${SAN}` : ''}` };
  const make = (args, options) => run('make', ['--no-print-directory', ...args], { env, ...options });
  try {
    await run('make', ['-C', ROOT, ...(SAN ? [`SAN=${SAN}`] : []), 'install', `DESTDIR=${root}`, 'PREFIX=/usr'], { env: own });
    fs.cpSync(path.join(ROOT, 'conf/examples/game'), path.join(dir, 'game'), { recursive: true });
    const { stdout, stderr } = await make(['game.so', 'test'], { cwd: path.join(dir, 'game') });
    assert.match(`${stdout}${stderr}`, /\[ {2}PASSED {2}\] [6-9] test/);
    await make(['install'], { cwd: path.join(dir, 'game') });
    assert.ok(fs.statSync(path.join(root, 'usr/lib/pollux/game.so')).size > 1000);

    // The test notices what is wrong with the game.
    const file = path.join(dir, 'game/game.c');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('hypot(x - p.x, y - p.y) <= EARSHOT', 'hypot(x - p.x, y - p.y) >= 0'));
    // (A failing test jumps out of its scene, past what would have freed it.)
    const failing = { ...env, ASAN_OPTIONS: `${env.ASAN_OPTIONS ?? ''}:detect_leaks=0` };
    await assert.rejects(make(['test'], { cwd: path.join(dir, 'game'), env: failing }), ({ stdout: out, stderr: err }) => {
      assert.match(`${out}${err}`, /did not expect a push "say"\n {2}ann:\n {4}push {6}"game:1" "say" \{"name":"bob"/);
      return true;
    });
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

for (const server of ['lighttpd', 'nginx']) describe(`played behind ${server}`, () => {
  const example = new Example('game', { server });
  before(() => example.start(), { timeout: 120000 * SLOW });
  after(() => example.stop());
  let room = 0;

  /** A player with what its page knows: {channel, people(), ticks, heard, welcome}. */
  async function player(p, name, transport, at) {
    const channel = p.connect(example.socket, { transport, params: { name } }).channel(`game:${room}`, at);
    const presence = new p.Presence(channel);
    const ticks = [];
    const heard = [];
    channel.on('tick', (tick) => ticks.push(tick));
    channel.on('say', (said) => heard.push(said));
    const welcome = await within(`${name} to join`, LIMIT, answer(channel.join()));
    return { name, channel, ticks, heard, welcome, people: () => Object.fromEntries(presence.list((who, { metas }) => [who, { x: metas.at(-1).x, y: metas.at(-1).y }])) };
  }

  const push = (who, event, payload) => within(`${who.name}'s ${event}`, LIMIT, answer(who.channel.push(event, payload)));
  const sees = (who, expected) => until(`${who.name} to see ${JSON.stringify(expected)}`, () => {
    try {
      assert.deepEqual(who.people(), expected);
      return true;
    } catch {
      return false;
    }
  }, LIMIT);

  /** body(ann, bob, open): ann on WebSocket, bob on long-polling. */
  async function play(body) {
    const pages = [];
    const open = () => pages[pages.push(page('phoenix-1.8')) - 1];
    room++;
    try {
      const ann = await player(open(), 'ann', 'websocket', { x: 100, y: 100 });
      const bob = await player(open(), 'bob', 'longpoll', { x: 200, y: 200 });
      await body(ann, bob, open);
    } catch (e) {
      throw new Error(`${e.message}\n--- log ---\n${example.log.slice(-6000)}`, { cause: e });
    } finally {
      for (const p of pages) p.close();
    }
  }

  test('each sees where the others are, and that they leave', TIMEOUT, () => play(async (ann, bob) => {
    assert.deepEqual(ann.welcome, { width: 800, height: 500, tick_ms: 100, earshot: 200, you: { name: 'ann', x: 100, y: 100 } });
    const both = { ann: { x: 100, y: 100 }, bob: { x: 200, y: 200 } };
    await sees(ann, both);
    await sees(bob, both);
    await within('leave', LIMIT, answer(bob.channel.leave()));
    await sees(ann, { ann: both.ann });
  }));

  for (const mover of ['ann', 'bob']) {
    test(`${mover} moves: ticks say where to, and a late joiner sees it`, TIMEOUT, () => play(async (ann, bob, open) => {
      const [moving, other] = mover === 'ann' ? [ann, bob] : [bob, ann];
      const steps = 40;
      let pushed = 0;
      while (pushed < steps) { // four at a time, as a page in a hurry would
        const group = Array.from({ length: 4 }, () => push(moving, 'move', { x: 300 + ++pushed, y: 400 }));
        await Promise.all(group);
      }
      const last = { name: mover, x: 300 + steps, y: 400 };
      for (const who of [moving, other]) {
        await until(`${who.name} to get the last tick`, () => who.ticks.length > 0 && who.ticks.at(-1).x === last.x, LIMIT);
        assert.deepEqual(who.ticks.at(-1), last);
        const xs = who.ticks.map((tick) => tick.x);
        assert.deepEqual(xs, [...new Set(xs)].sort((a, b) => a - b), 'in order, each place once');
      }
      assert.deepEqual(other.ticks, moving.ticks);
      // Standing still it is in the presence, for everybody, also for who comes now.
      const people = { ann: { x: 100, y: 100 }, bob: { x: 200, y: 200 }, [mover]: { x: last.x, y: last.y } };
      await sees(other, people);
      const late = await player(open(), 'late', mover === 'ann' ? 'longpoll' : 'websocket', { x: 1, y: 1 });
      await sees(late, { ...people, late: { x: 1, y: 1 } });
      const count = other.ticks.length;
      assert.deepEqual(await push(moving, 'move', { x: -1000, y: 1e9 }), { x: 0, y: 500 }, 'the room has walls');
      await until('one more tick', () => other.ticks.length > count, LIMIT);
      assert.deepEqual(other.ticks.at(-1), { name: mover, x: 0, y: 500 });
    }));
  }

  test('a crowd of moves is few ticks', TIMEOUT, () => play(async (ann, bob) => {
    const began = Date.now();
    await Promise.all(Array.from({ length: 200 }, (_, i) => push(ann, 'move', { x: i, y: i })));
    const took = Date.now() - began;
    await until('the last tick', () => bob.ticks.at(-1)?.x === 199, LIMIT);
    assert.ok(bob.ticks.length <= 3 + took / 90, `${bob.ticks.length} ticks for 200 moves in ${took} ms`);
  }));

  test('who is near hears it, on either transport', TIMEOUT, () => play(async (ann, bob) => {
    await push(bob, 'say', { text: 'näher "geht" es nicht' });
    await until('ann to hear it', () => ann.heard.length === 1, LIMIT);
    assert.deepEqual(ann.heard, [{ name: 'bob', x: 200, y: 200, text: 'näher "geht" es nicht' }]);
    await push(ann, 'move', { x: 790, y: 490 });
    await push(ann, 'say', { text: 'too far' });
    await push(ann, 'move', { x: 210, y: 190 });
    await push(ann, 'say', { text: 'near again' });
    await until('bob to hear that', () => bob.heard.some(({ text }) => text === 'near again'), LIMIT);
    assert.deepEqual(bob.heard.map(({ text }) => text), ['näher "geht" es nicht', 'near again']);
    assert.deepEqual(ann.heard.map(({ text }) => text), ['näher "geht" es nicht', 'too far', 'near again']);
  }));

  test('what makes no sense is refused and harms nobody', TIMEOUT, () => play(async (ann, bob, open) => {
    await assert.rejects(push(ann, 'move', { x: 'left' }), /x and y must be numbers/);
    await assert.rejects(push(bob, 'say', { text: 'x'.repeat(201) }), /a text of 1 to 200 bytes/);
    await assert.rejects(player(open(), 'x'.repeat(25), 'websocket', {}), /a name of 1 to 24 bytes/);
    await assert.rejects(player(open(), '', 'longpoll', {}), /a name of 1 to 24 bytes/);
    await sees(ann, { ann: { x: 100, y: 100 }, bob: { x: 200, y: 200 } });
  }));

  test('two pages in a browser', { ...TIMEOUT, skip: NO_CHROMIUM }, () => withBrowser(example.url, async (open) => {
    const ann = await open();
    const bob = await open({ phone: true });
    await ann.goto('/?name=ann&room=browser');
    await bob.goto('/?name=bob&room=browser&longpoll');
    await ann.locator('#people', { hasText: 'ann, bob' }).waitFor({ timeout: LIMIT });
    await bob.locator('#people', { hasText: 'ann, bob' }).waitFor({ timeout: LIMIT });
    assert.match(await bob.locator('#status').textContent(), /bob, over long-polling/);
    assert.match(await ann.locator('#status').textContent(), /ann, over WebSocket/);
  }));
});
