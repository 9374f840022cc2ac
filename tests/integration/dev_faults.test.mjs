// `pollux dev` when things are missing, taken, or die; and what it does without a configuration.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { alive, children, descendants, mentioning } from '../lib/proc.mjs';
import { Redis } from '../lib/servers.mjs';
import { bin, configText, SLOW, startStack, tempDir } from '../lib/stack.mjs';
import { until, within } from '../lib/wait.mjs';
import { openWs } from '../lib/ws.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };

const run = (args, options = {}) => spawnSync(bin('pollux'), args, { encoding: 'utf8', timeout: 30000 * SLOW, ...options });

/** `pollux dev` without the harness: {child, url, log, exit}. */
async function startDev(args, env = {}) {
  const dev = { child: spawn(bin('pollux'), ['dev', ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } }), log: '', out: '' };
  dev.child.stderr.on('data', (d) => { dev.log += d; });
  dev.child.stdout.on('data', (d) => { dev.out += d; });
  dev.child.once('exit', (code, signal) => { dev.exit = { code, signal }; });
  await until(`ready; so far: ${dev.log}`, () => dev.out.includes('\n') || dev.exit, 20000 * SLOW);
  dev.url = /^ready (http:\/\/127\.0\.0\.1:\d+)\/\n$/.exec(dev.out)?.[1];
  assert.ok(dev.url, `no ready line: ${dev.out}\n${dev.log}`);
  dev.stop = async (signal = 'SIGTERM') => {
    const all = descendants(dev.child.pid);
    if (!dev.exit) dev.child.kill(signal);
    await until('the end of pollux dev', () => dev.exit, 5000 * SLOW);
    await until('the end of its children', () => !all.some(alive), 5000 * SLOW);
    return dev.exit;
  };
  return dev;
}

describe('pollux dev, when something is wrong', { concurrency: 2 }, () => {
  let dir;
  before(() => { dir = tempDir('faults'); });
  after(() => {
    assert.deepEqual(mentioning(dir), []);
    fs.rmSync(dir, { recursive: true });
  });

  test('a port in use is told, and nothing is started or left', TIMEOUT, async () => {
    const taken = net.createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address();
    const state = path.join(dir, 'busy');
    const r = run(['dev', '--state', state, '--port', String(port)]);
    taken.close();
    assert.equal(r.status, 1, r.stderr);
    assert.equal(r.stdout, '');
    assert.match(r.stderr, new RegExp(`${port}.*in use`));
    assert.equal(fs.existsSync(path.join(state, 'run')), false);
  });

  for (const [program, hint] of [['redis-server', 'apt-get install redis-server'], ['pollux-ws', 'beside pollux']])
    test(`a missing ${program} is told with what to do`, TIMEOUT, () => {
      // A copy of the programs where this one does not exist, and a PATH that finds nothing.
      const tree = fs.mkdtempSync(path.join(dir, 'tree-'));
      fs.mkdirSync(path.join(tree, 'bin'));
      fs.mkdirSync(path.join(tree, 'share'));
      fs.copyFileSync(bin('pollux'), path.join(tree, 'bin/pollux'));
      fs.symlinkSync(bin('pollux-fcgi'), path.join(tree, 'bin/pollux-fcgi'));
      fs.symlinkSync(path.join(bin(''), '../../../conf'), path.join(tree, 'share/pollux'));
      if (program !== 'redis-server') fs.symlinkSync('/usr/bin/redis-server', path.join(tree, 'bin/redis-server'));
      const r = spawnSync(path.join(tree, 'bin/pollux'), ['dev', '--state', path.join(tree, 'state')],
        { encoding: 'utf8', timeout: 30000 * SLOW, env: { ...process.env, PATH: '/nonexistent' } });
      assert.equal(r.status, 1, r.stderr);
      assert.match(r.stderr, new RegExp(`${program} was not found .*${hint}`));
      assert.deepEqual(mentioning(tree), []);
    });

  test('one state directory serves one pollux dev', TIMEOUT, async () => {
    const state = path.join(dir, 'shared');
    const first = await startDev(['--state', state]);
    try {
      const r = run(['dev', '--state', state]);
      assert.equal(r.status, 1);
      assert.match(r.stderr, /another 'pollux dev' is using/);
      assert.equal((await request(`${first.url}/api/health`, { headers: { 'X-Pollux-Key': 'only-for-trying-pollux' } })).status, 200);
    } finally {
      assert.deepEqual(await first.stop(), { code: 0, signal: null });
    }
  });

  test('a given Redis that refuses is told once, not once for each try', TIMEOUT, () => {
    const r = run(['dev', '--state', path.join(dir, 'noredis'), '--redis', 'unix:/nonexistent/redis.sock']);
    assert.equal(r.status, 1);
    assert.equal(r.stderr.match(/No such file or directory/g).length, 1, r.stderr);
  });

  test('a Redis that is away does not make publish print its password', TIMEOUT, () => {
    const conf = path.join(dir, 'away.conf');
    fs.writeFileSync(conf, 'secret = "0123456789012345678901234567890123456789"\n' +
      'redis { url = "redis://me:top-secret@127.0.0.1:1/0" }\nsocket "/s" { channel "a" { } }\n');
    const r = run(['publish', 'a', 'e', '1', '--config', conf]);
    assert.equal(r.status, 1);
    assert.match(r.stderr, /Redis at 127\.0\.0\.1:1\/0 can't be reached.*pollux check/);
    assert.doesNotMatch(r.stderr + r.stdout, /top-secret/);
  });

  test('--version is answered also after a command', () => {
    const r = run(['publish', '--version']);
    assert.equal(r.status, 0, r.stderr);
    assert.equal(r.stdout, run(['--version']).stdout);
  });

  test('a state directory whose sockets would have too long names is refused', () => {
    const r = run(['dev', '--state', path.join(dir, 'x'.repeat(100))]);
    assert.equal(r.status, 1);
    assert.match(r.stderr, /too long/);
  });

  for (const part of ['fcgi', 'ws', 'lighttpd'])
    test(`when ${part} is killed, all ends and the reason is told`, TIMEOUT, async () => {
      const stack = await startStack();
      const all = descendants(stack.child.pid);
      process.kill(stack.pid(part), 'SIGKILL');
      await until('pollux dev to end', () => stack.exit, 5000 * SLOW);
      assert.deepEqual(stack.exit, { code: 1, signal: null });
      assert.match(stack.log.text, new RegExp(`pollux dev: \\S*${part}\\S* \\(pid \\d+\\) was killed by signal 9`));
      await until('the rest to be gone', () => !all.some(alive) && mentioning(stack.dir).length === 0, 5000 * SLOW);
      assert.equal(fs.existsSync(path.join(stack.state, 'run')), false, 'sockets and pid files are removed');
      fs.rmSync(stack.dir, { recursive: true });
    });

  test('when redis is killed, it is started again: a parked poll is answered, a WebSocket stays', TIMEOUT, async () => {
    const stack = await startStack();
    try {
      const lp = new LongPollClient(`${stack.url}/short/longpoll`, { requestMs: 10000 * SLOW });
      await lp.open();
      const poll = lp.pollOnce();
      const ws = await openWs(stack.front, '/relay/websocket?vsn=2.0.0');
      const workers = [...stack.workers('fcgi'), ...stack.workers('ws')];
      await until('the poll to be on its way', () => lp.pollConn);
      for (let round = 0; round < 3; round++) {
        const before = stack.pid('redis');
        process.kill(before, 'SIGKILL');
        await until('everything to work again', async () => ![before, undefined].includes(stack.pid('redis')) && (await stack.api.health()).status === 200);
        assert.equal((await request(`${stack.url}/`)).status, 200);
        assert.equal((await request(`${stack.url}/relay/longpoll?vsn=2.0.0`)).json?.status, 410);
        await until('word of its end', () => stack.log.text.includes(`redis-server (pid ${before}) was killed by signal 9`));
        await until('word of the new one', () => stack.log.text.includes(`redis-server runs again (pid ${stack.pid('redis')})`));
      }
      const body = await within('the parked poll', 10000 * SLOW, poll);
      assert.ok(body, 'the poll got no usable answer');
      assert.ok([204, 410, 500].includes(body.status), JSON.stringify(body)); // its session is gone with Redis
      // The WebSocket worker has a back-off of its own; until then a join is answered "unavailable".
      await until('a join', () => {
        ws.send('["1","1","room:x","phx_join",{}]');
        return ws.next().then((e) => /"ok"/.test(e?.text));
      });
      await stack.api.publish('room:x', 'said', { n: 1 });
      assert.equal((await ws.next()).text, '[null,null,"room:x","said",{"n":1}]');
      assert.deepEqual([...stack.workers('fcgi'), ...stack.workers('ws')], workers);
    } finally {
      await stack.stop();
    }
  });

  test('after redis was started again, kill -9 of the inner process still leaves nothing', TIMEOUT, async () => {
    const stack = await startStack();
    const before = stack.pid('redis');
    process.kill(before, 'SIGKILL');
    await until('the new one', () => ![before, undefined].includes(stack.pid('redis')));
    const all = descendants(stack.child.pid);
    process.kill(children(stack.child.pid)[0], 'SIGKILL');
    await until('pollux dev to end', () => stack.exit, 5000 * SLOW);
    assert.equal(all.some(alive), false);
    assert.equal(fs.existsSync(path.join(stack.state, 'run')), false);
    fs.rmSync(stack.dir, { recursive: true });
  });

  test('a redis that can not be started again is given up after ten tries', TIMEOUT, async () => {
    // This one starts as long as a file is there.
    const programs = fs.mkdtempSync(path.join(dir, 'programs-'));
    fs.writeFileSync(path.join(programs, 'good'), '');
    fs.writeFileSync(path.join(programs, 'redis-server'), `#!/bin/sh\n[ -e '${programs}/good' ] && exec /usr/bin/redis-server "$@"\necho no luck today\nexit 3\n`, { mode: 0o755 });
    const stack = await startStack({ env: { PATH: `${programs}:${process.env.PATH}` } });
    const all = descendants(stack.child.pid);
    fs.unlinkSync(path.join(programs, 'good'));
    process.kill(stack.pid('redis'), 'SIGKILL');
    await until('pollux dev to end', () => stack.exit, 20000 * SLOW);
    assert.deepEqual(stack.exit, { code: 1, signal: null });
    assert.equal(stack.log.text.match(/redis-server \(pid \d+\) ended unexpectedly with status 3/g).length, 10, stack.log.text);
    assert.match(stack.log.text, /no luck today/);
    assert.match(stack.log.text, /could not be started again: 10 tries in a row failed/);
    assert.equal(all.some(alive), false);
    assert.equal(fs.existsSync(path.join(stack.state, 'run')), false);
    fs.rmSync(stack.dir, { recursive: true });
  });

  test('a Redis that takes the place of the killed one is used, and left alone at the end', TIMEOUT, async () => {
    const stack = await startStack();
    const run = path.join(stack.state, 'run');
    const foreign = new Redis(run, { durable: false });
    foreign.data = fs.mkdtempSync(path.join(dir, 'foreign-'));
    try {
      process.kill(stack.pid('redis'), 'SIGKILL');
      await until('ours to run again', () => stack.log.text.includes('redis-server runs again'), 5000 * SLOW);
      await foreign.start(); // takes the socket's name
      await until('word of it', () => stack.log.text.includes(`another Redis (pid ${foreign.program.pid})`), 5000 * SLOW);
      assert.equal(fs.existsSync(path.join(run, 'redis.pid')), false);
      await until('everything to work again', async () => (await stack.api.health()).status === 200, 5000 * SLOW);
      const all = descendants(stack.child.pid);
      stack.child.kill('SIGTERM');
      await until('pollux dev to end', () => stack.exit, 5000 * SLOW);
      assert.deepEqual(stack.exit, { code: 0, signal: null });
      assert.equal(all.some(alive), false);
      assert.equal(foreign.program.exit, undefined, 'it is not ours to stop');
      assert.deepEqual(fs.readdirSync(run), ['redis.sock']);
    } finally {
      await foreign.stop();
      fs.rmSync(stack.dir, { recursive: true });
    }
  });

  test('when its inner process is killed with -9, the outer one cleans up', TIMEOUT, async () => {
    const stack = await startStack({ fcgi: 2, ws: 2 });
    const all = descendants(stack.child.pid);
    const [inner, ...others] = children(stack.child.pid);
    assert.deepEqual(others, []);
    process.kill(inner, 'SIGKILL');
    await until('pollux dev to end', () => stack.exit, 5000 * SLOW);
    assert.deepEqual(stack.exit, { code: 1, signal: null });
    assert.equal(all.some(alive), false, 'the rest is gone before it ends');
    assert.equal(fs.existsSync(path.join(stack.state, 'run')), false);
    fs.rmSync(stack.dir, { recursive: true });
  });

  test('when both are killed with -9, the children end by themselves, and the next start works', TIMEOUT, async () => {
    const state = path.join(dir, 'both');
    const dev = await startDev(['--state', state]);
    const all = descendants(dev.child.pid);
    process.kill(dev.child.pid, 'SIGSTOP'); // or it would clean up before its turn comes
    for (const pid of [...children(dev.child.pid), dev.child.pid]) process.kill(pid, 'SIGKILL');
    await until('all to be gone', () => !all.some(alive) && mentioning(state).length === 0, 5000 * SLOW);
    assert.ok(fs.existsSync(path.join(state, 'run/fcgi.pid')), 'nobody was left to remove it');
    const next = await startDev(['--state', state]);
    assert.deepEqual(await next.stop(), { code: 0, signal: null });
    assert.deepEqual(fs.readdirSync(state).sort(), ['log', 'pollux.conf']);
  });

  test('a given Redis is used, and one that does not answer is told soon, without its password', TIMEOUT, async () => {
    const redis = await new Redis(fs.mkdtempSync(path.join(dir, 'redis-')), { durable: false }).start();
    try {
      const dev = await startDev(['--redis', redis.url, '--state', path.join(dir, 'given')]);
      assert.equal(fs.existsSync(path.join(dir, 'given/run/redis.pid')), false);
      assert.match(fs.readFileSync(path.join(dir, 'given/pollux.conf'), 'utf8'), new RegExp(`url = '${redis.url}'`));
      assert.deepEqual(await dev.stop(), { code: 0, signal: null });
      assert.equal(redis.program.exit, undefined, 'it is not ours to stop');
    } finally {
      await redis.stop();
    }
    const begun = Date.now();
    const r = run(['dev', '--redis', 'redis://:geheim@127.0.0.1:1/0']);
    assert.equal(r.status, 1);
    assert.match(r.stderr, /given Redis does not answer: Connection refused/);
    assert.doesNotMatch(r.stderr, /geheim/);
    assert.ok(Date.now() - begun < 20000 * SLOW);
  });

  test('wrong command lines: exit status 2, nothing on stdout', () => {
    for (const args of [['--port', 'x'], ['--port', '65536'], ['--port'], ['--fcgi-workers', '0'], ['--ws-workers', '257'], ['--nonsense'], ['extra'], ['--state', ''], ['--redis', 'localhost'], ['--redis', 'rediss://localhost']]) {
      const r = run(['dev', ...args]);
      assert.equal(r.status, 2, args.join(' '));
      assert.equal(r.stdout, '');
      assert.match(r.stderr, /^pollux dev: .*\nTry 'pollux dev --help'\.\n$/);
    }
  });
});

describe('pollux dev without a configuration', { concurrency: 2 }, () => {
  test('the demonstration: page, phoenix.js, API; publish works beside it; the directory goes away', TIMEOUT, async () => {
    const tmp = tempDir('tmp');
    const dev = await startDev([], { TMPDIR: tmp });
    try {
      const page = await request(`${dev.url}/`);
      assert.match(page.text, /<title>Pollux/);
      const names = [...page.text.matchAll(/(?:src|href)="([\w.]+\.(?:css|js))"/g)].map((m) => m[1]);
      for (const name of [...names, 'chat.js', 'phoenix.mjs']) {
        const r = await request(`${dev.url}/${name}`);
        assert.equal(r.status, 200, name);
        assert.match(r.headers['content-type'], name.endsWith('css') ? /^text\/css/ : /^text\/javascript/);
      }
      for (const hidden of ['node_modules/phoenix/package.json', 'package.json', '.npmrc']) assert.equal((await request(`${dev.url}/${hidden}`)).status, 403, hidden);
      const [state] = fs.readdirSync(tmp);
      assert.match(state, /^pollux-dev\./);
      assert.equal(fs.statSync(path.join(tmp, state)).mode & 0o777, 0o700);
      const r = run(['publish', '--config', path.join(tmp, state, 'pollux.conf'), 'room:lobby', 'message', '{"text":"hello"}']);
      assert.equal(r.status, 0, r.stderr);
      assert.match(JSON.parse(r.stdout).position, /^[^:]+:\d+$/);
    } finally {
      assert.deepEqual(await dev.stop(), { code: 0, signal: null });
    }
    assert.deepEqual(fs.readdirSync(tmp), []);
    fs.rmdirSync(tmp);
  });

  test('killed with -9, its temporary directory goes away too', TIMEOUT, async () => {
    const tmp = tempDir('tmp');
    const dev = await startDev([], { TMPDIR: tmp });
    await dev.stop('SIGKILL');
    await until('the directory to be gone', () => fs.readdirSync(tmp).length === 0, 5000 * SLOW);
    fs.rmdirSync(tmp);
  });
});

describe('what pollux dev routes', { concurrency: 2 }, () => {
  test('paths with variables and dots, trailing slashes, and nothing beside them', TIMEOUT, async () => {
    const text = configText('recorded.conf').replace('api {', `
      socket "/v1.2/:room/s" { channel "a:*" { backend = "echo" } }
      api {`);
    const stack = await startStack({ config: { text } });
    try {
      const status = async (target) => (await request(stack.url + target)).status;
      for (const target of ['/v1.2/lobby/s/longpoll', '/v1.2/lobby/s/longpoll/', '/socket/longpoll/']) {
        const r = await request(`${stack.url}${target}?vsn=2.0.0`);
        assert.equal(r.json?.status, 410, target);
      }
      for (const target of ['/v1x2/lobby/s/longpoll', '/v1.2//s/longpoll', '/v1.2/a/b/s/longpoll', '/socket/longpoll/x', '/xsocket/longpoll', '/apix'])
        assert.equal(await status(target), 404, target);
      assert.notEqual(await status('/v1.2/lobby/s/websocket'), 404);
    } finally {
      await stack.stop();
    }
  });

  test('secret_file counts from the configuration, also from its copy', TIMEOUT, async () => {
    const dir = tempDir('secret');
    fs.writeFileSync(path.join(dir, 'key'), `${'k'.repeat(40)}\n`, { mode: 0o600 });
    const text = configText('recorded.conf').replace(/^secret\s*=.*$/m, 'secret_file = "key"');
    assert.match(text, /secret_file/);
    fs.writeFileSync(path.join(dir, 'pollux.conf'), text);
    const dev = await startDev(['--config', path.join(dir, 'pollux.conf'), '--state', path.join(dir, 'state')]);
    try {
      const r = run(['check', '--config', path.join(dir, 'state/pollux.conf')], { cwd: '/' });
      assert.equal(r.status, 0, r.stderr);
    } finally {
      await dev.stop();
      fs.rmSync(dir, { recursive: true });
    }
  });
});
