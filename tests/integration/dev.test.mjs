// `pollux dev` itself: what it starts, what it says, and that it leaves nothing behind.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { request } from '../lib/http.mjs';
import { alive, descendants, mentioning } from '../lib/proc.mjs';
import { signToken } from '../lib/phoenix_token.mjs';
import { bin, configText, ROOT, SLOW, Stack, startStack, tempDir } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };

describe('pollux dev', { concurrency: 4 }, () => {
  test('pid files, the effective configuration, the page; SIGTERM ends it all', TIMEOUT, async () => {
    const stack = await startStack();
    try {
      for (const name of ['redis', 'fcgi', 'ws', 'lighttpd']) assert.ok(fs.existsSync(`/proc/${stack.pid(name)}`), name);
      assert.equal(spawnSync(bin('pollux'), ['check', '--config', path.join(stack.state, 'pollux.conf')]).status, 0);
      const r = await request(`${stack.url}/`);
      assert.equal(r.status, 200);
      assert.match(r.headers['content-type'], /^text\/html/);
    } finally {
      await stack.stop();
    }
  });

  // It asked the application who it is, and was not ready before that said so; and at every start the
  // log began with refusals.
  for (const [name, auth] of Object.entries({
    'an application that is not there yet': 'type = "hook" url = "http://127.0.0.1:1/" secret = "0123456789abcdef0123"',
    'a token that is required': 'type = "ticket" key = "0123456789abcdef0123" required = true',
  }))
    test(`ready without ${name}, and nothing was refused`, TIMEOUT, async () => {
      const stack = await startStack({ config: { text: `secret = "${'s'.repeat(40)}"\nsocket "/socket" { auth { ${auth} } channel "room:*" { } }\n` } });
      try {
        assert.doesNotMatch(stack.log.text, /refused|hook/);
        assert.equal((await request(`${stack.url}/socket/longpoll`, { method: 'POST', body: '' })).json.status, 410);
      } finally {
        await stack.stop();
      }
    });

  test('SIGINT ends it all', TIMEOUT, async () => {
    const stack = await startStack();
    await stack.stop({ signal: 'SIGINT' });
    assert.equal(stack.exit.signal, null);
  });

  test('killed with -9, it still leaves nothing behind', TIMEOUT, async () => {
    const stack = await startStack({ fcgi: 2, ws: 2 });
    const all = descendants(stack.child.pid);
    assert.ok(all.length >= 8, `${all.length} processes`);
    stack.child.kill('SIGKILL');
    await until('all to be gone', () => !all.some(alive) && mentioning(stack.dir).length === 0, 5000 * SLOW);
    fs.rmSync(stack.dir, { recursive: true, force: true });
  });

  test('workers that crash are replaced; a part that ends for good ends the whole', TIMEOUT, async () => {
    const stack = await startStack({ fcgi: 2, ws: 2 });
    try {
      for (const name of ['fcgi', 'ws']) {
        const before = stack.workers(name);
        process.kill(before[0], 'SIGKILL');
        await until(`a new ${name} worker`, () => stack.workers(name).length === 2 && !stack.workers(name).includes(before[0]), 10000 * SLOW);
      }
      assert.equal((await request(`${stack.url}/socket/longpoll?vsn=2.0.0`)).json.status, 410);
    } finally {
      await stack.stop();
    }
  });

  test('a configuration that is wrong is told with file and line, and nothing is started', TIMEOUT, () => {
    const dir = tempDir('dev');
    try {
      const file = path.join(dir, 'wrong.conf');
      fs.writeFileSync(file, configText('recorded.conf').replace('window_ms = 10000', 'window_ms = "long"'));
      const r = spawnSync(bin('pollux'), ['dev', '--config', file, '--state', path.join(dir, 'state')], { encoding: 'utf8', timeout: 20000 });
      assert.equal(r.status, 1, r.stderr);
      assert.equal(r.stdout, '');
      assert.match(r.stderr, /wrong\.conf:\d+:.*window_ms/);
      assert.deepEqual(mentioning(dir), []);
    } finally {
      fs.rmSync(dir, { recursive: true });
    }
  });

  test('the contract file is accepted as it stands, and takes effect', TIMEOUT, async () => {
    const text = fs.readFileSync(path.join(ROOT, 'tests/contract/pollux.conf'), 'utf8');
    const stack = await new Stack({ config: { text } }).start();
    try {
      const check = spawnSync(bin('pollux'), ['check', '--config', path.join(stack.state, 'pollux.conf')], { encoding: 'utf8' });
      assert.equal(check.status, 0, check.stderr);
      assert.doesNotMatch(check.stdout + check.stderr, /not yet there/);
      await contract(stack);
    } finally {
      await stack.stop();
    }
  });
});

const SECRET = 'a-secret-key-base-shared-with-the-application-that-signs-tokens';

/** A session by hand: {post(...messages), poll(), join(topic)}. */
async function openSession(url) {
  let { token } = (await request(url)).json;
  const post = async (...messages) => {
    const body = messages.map((m) => JSON.stringify(m)).join('\n');
    const r = await request(`${url}&token=${token}`, { method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body });
    assert.equal(r.json.status, 200);
  };
  const poll = async () => {
    const r = (await request(`${url}&token=${token}`)).json;
    token = r.token;
    return r.messages.map((m) => JSON.parse(m));
  };
  const join = async (topic) => {
    await post([topic, topic, topic, 'phx_join', {}]);
    for (;;) for (const m of await poll()) if (m[1] === topic) return m[4];
  };
  return { post, poll, join };
}

/** What the contract file promises, seen from outside. */
async function contract(stack) {
  const url = `${stack.url}/socket/longpoll?vsn=2.0.0&user_id=7`;
  const origin = (o) => request(url, { headers: { Origin: o } });
  assert.equal((await origin('http://evil.example')).json.status, 403);
  assert.equal((await origin('https://www.example.com')).json.status, 410);
  assert.equal((await request(`${url}&token=wrong`)).json.status, 403, 'a wrong token is always refused');


  const { post, poll, join } = await openSession(url);
  assert.equal((await join('deny:x')).status, 'error');
  assert.equal((await join('user:7')).status, 'error', 'without claims nobody joins user:7');
  assert.equal((await join('echo:x')).status, 'ok');
  assert.equal((await join('realtime:x')).status, 'ok');
  assert.deepEqual(await join('nowhere:x'), { status: 'error', response: { reason: 'unmatched topic' } });
  await post(['echo:x', 'e', 'echo:x', 'any', { x: 1 }]);
  assert.deepEqual((await poll())[0], ['echo:x', 'e', 'echo:x', 'phx_reply', { response: { x: 1 }, status: 'ok' }]);
  assert.equal((await stack.api.call('POST', '/publish', { topic: 'realtime:x', event: 'e', payload: {} }, { headers: { Authorization: 'Bearer contract-api-key' } })).status, 200);

  const own = await openSession(`${url}&token=${signToken(SECRET, 'user socket', 7)}`);
  assert.equal((await own.join('user:7')).status, 'ok', 'the claim is the topic');
  assert.equal((await own.join('user:8')).status, 'error');
  const expired = signToken(SECRET, 'user socket', 7, { signedAt: Date.now() - 1209601000, maxAge: 99999999 });
  assert.equal((await request(`${url}&token=${expired}`)).json.status, 403, 'older than max_age_s');
  assert.equal(await stack.api.call('POST', '/disconnect', { id: 'user_socket:7' }, { headers: { Authorization: 'Bearer contract-api-key' } }).then((r) => r.json.sockets), 3);
}
