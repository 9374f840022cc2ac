// pollux token: what it signs is what others verify, what others sign is what it verifies.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { signToken } from '../lib/phoenix_token.mjs';
import { bin, ROOT, SLOW, tempDir } from '../lib/stack.mjs';
import { jwt, keyPair, ticket } from '../lib/tokens.mjs';

const KEY = 'token-test-key-0123456789abcdef';
const SALT = 'user socket';
const [rsa, ec] = [keyPair('rsa'), keyPair('ec')];
const { secret, salt, tokens } = JSON.parse(fs.readFileSync(path.join(ROOT, 'tests/vectors/tokens.json'), 'utf8'));
let dir;

function pollux(args, { input = '', env = {} } = {}) {
  const r = spawnSync(bin('pollux'), ['token', ...args], { input, encoding: 'utf8', timeout: 20000 * SLOW, env: { ...process.env, POLLUX_CONFIG: '', ...env } });
  return { ...r, json: r.status === 0 ? JSON.parse(r.stdout) : undefined };
}

/** Succeeds: the document on standard output, nothing on standard error. */
function good(args, options) {
  const r = pollux(args, options);
  assert.equal(r.status, 0, `${args}: ${r.stderr}`);
  assert.equal(r.stderr, '');
  return r.json;
}

/** Fails with that status: a line on standard error, nothing on standard output. */
function bad(status, expected, args, options) {
  const r = pollux(args, options);
  assert.equal(r.status, status, `${args}: ${r.stdout}${r.stderr}`);
  assert.equal(r.stdout, '');
  assert.match(r.stderr, expected);
  assert.ok(!r.stderr.includes(KEY), 'no key in complaints');
}

const payloadOf = (token, part) => JSON.parse(Buffer.from(token.split('.')[part], 'base64url').toString());
const nowS = () => Math.floor(Date.now() / 1000);
const file = (name, text) => {
  fs.writeFileSync(path.join(dir, name), text, { mode: 0o600 });
  return path.join(dir, name);
};

describe('pollux token', { timeout: 60000 * SLOW }, () => {
  before(() => {
    dir = tempDir('token');
    file('pollux.conf', `secret = "${'s'.repeat(40)}"
socket "/none" { channel "a" { } }
socket "/p" { auth { type = "phoenix_token" secret = "${KEY}" salt = "${SALT}" max_age_s = 100 claim = "uid" } channel "a" { } }
socket "/t" { auth { type = "ticket" key = "file:key" } channel "a" { } }
socket "/j" { auth { type = "jwt" algorithms = { "HS512" } key = "${KEY}" issuer = "us" audience = "you" } channel "a" { } }
socket "/r" { auth { type = "jwt" algorithms = { "RS256" } key = "file:rsa.pem" } channel "a" { } }
`);
    file('key', `${KEY}\n`);
    file('rsa.pem', rsa.publicPem);
  });
  after(() => fs.rmSync(dir, { recursive: true, force: true }));

  test('verify takes what sign prints', () => {
    const options = ['--type', 'ticket', '--key', KEY];
    const printed = pollux(['sign', ...options, '{"user_id":42}']).stdout;
    assert.equal(good(['verify', ...options, '-'], { input: printed }).claims.user_id, 42);
    assert.equal(good(['verify', ...options, printed.trim()]).claims.user_id, 42);
    bad(1, /token invalid/, ['verify', ...options, '{"token":"x.y"}']);
    bad(1, /token invalid/, ['verify', ...options, '{"token":5}']);
    bad(2, /empty/, ['verify', ...options, '{"token":""}']);
  });

  test('tickets, by hand and back', () => {
    const { token } = good(['sign', '--type', 'ticket', '--key', KEY, '{"user_id":42}']);
    const [text, mac] = token.split('.');
    assert.equal(mac, crypto.createHmac('sha256', KEY).update(text).digest('hex'));
    const claims = payloadOf(token, 0);
    assert.ok(Math.abs(claims.exp - nowS() - 3600) < 60);
    assert.deepEqual(good(['verify', '--type', 'ticket', '--key', KEY, token]), { claims, expires_ms: claims.exp * 1000 });
    assert.deepEqual(good(['verify', '--type', 'ticket', '--key', KEY, ticket(KEY, { exp: 9999999999, a: 1 })]), { claims: { exp: 9999999999, a: 1 }, expires_ms: 9999999999000 });
    assert.equal(payloadOf(good(['sign', '--type', 'ticket', '--key', KEY, '--expires-in', '5', ' { } ']).token, 0).exp > nowS(), true);
    assert.deepEqual(payloadOf(good(['sign', '--type', 'ticket', '--key', KEY, '{"exp":7}']).token, 0), { exp: 7 });
  });

  test('JWTs with secrets and with keys', () => {
    for (const alg of ['HS256', 'HS384', 'HS512']) {
      const { token } = good(['sign', '--type', 'jwt', '--algorithm', alg, '--key', KEY, '{"exp":9999999999,"sub":"x"}']);
      assert.equal(token.split('.')[2], crypto.createHmac(`sha${alg.slice(2)}`, KEY).update(token.split('.').slice(0, 2).join('.')).digest('base64url'));
      assert.deepEqual(good(['verify', '--type', 'jwt', '--algorithm', alg, '--key', KEY, token]), { claims: { exp: 9999999999, sub: 'x' }, expires_ms: 9999999999000 });
    }
    for (const [alg, pair] of [['RS256', rsa], ['ES256', ec]]) {
      const [priv, pub] = [file('priv', pair.privatePem), file('pub', pair.publicPem)];
      const { token } = good(['sign', '--type', 'jwt', '--algorithm', alg, '--key-file', priv, '{"sub":"x"}']);
      const [head, body, signature] = token.split('.');
      assert.ok(crypto.verify('sha256', Buffer.from(`${head}.${body}`), { key: pair.publicPem, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
      assert.equal(good(['verify', '--type', 'jwt', '--algorithm', alg, '--key-file', pub, token]).claims.sub, 'x');
      assert.equal(good(['verify', '--type', 'jwt', '--algorithm', alg, '--key-file', pub, jwt(alg, pair.privateKey, { sub: 'y' })]).claims.sub, 'y');
      bad(1, /signs with a PEM private key/, ['sign', '--type', 'jwt', '--algorithm', alg, '--key-file', pub, '{}']);
      bad(1, /PEM/, ['sign', '--type', 'jwt', '--algorithm', 'HS256', '--key-file', pub, '{}']);
    }
  });

  test('Phoenix tokens, those of a real Phoenix among them', () => {
    const key = ['--type', 'phoenix', '--secret-env', 'THE_SECRET', '--salt', salt];
    for (const t of tokens.filter((f) => Object.keys(f.options).length === 0)) {
      const args = ['verify', ...key, t.token];
      if (t.verifies) {
        const { claims } = good(args, { env: { THE_SECRET: secret } });
        // Numbers beyond what JavaScript can say are compared by the unit tests.
        if (!/big/.test(t.name)) assert.deepEqual(claims, t.json !== null && typeof t.json === 'object' && !Array.isArray(t.json) ? t.json : { user_id: t.json }, t.name);
      } else {
        bad(1, /^pollux token verify: token /, args, { env: { THE_SECRET: secret } });
      }
    }
    const mine = ['--type', 'phoenix', '--secret', KEY, '--salt', SALT];
    const { token } = good(['sign', ...mine, '{"a":[1,"x",null]}']);
    const verified = good(['verify', ...mine, token]);
    assert.deepEqual(verified.claims, { a: [1, 'x', null] });
    assert.ok(Math.abs(verified.expires_ms - Date.now() - 86400000) < 60000);
    assert.equal(good(['verify', ...mine, good(['sign', ...mine, '--max-age', 'infinity', '7']).token]).expires_ms, null);
    assert.deepEqual(good(['verify', ...mine, '--claim', 'me', signToken(KEY, SALT, 'bob')]).claims, { me: 'bob' });
    const old = signToken(KEY, SALT, 1, { signedAt: Date.now() - 10000, maxAge: 5 });
    bad(1, /token expired/, ['verify', ...mine, old]);
    assert.deepEqual(good(['verify', ...mine, '--max-age', '60', old]).claims, { user_id: 1 });
  });

  test('keys and rules out of a configuration', () => {
    const conf = ['--config', path.join(dir, 'pollux.conf')];
    for (const type of ['phoenix', 'phoenix_token', 'ticket', 'jwt']) {
      const { token } = good(['sign', ...conf, '--type', type, '{"n":1}']);
      assert.equal(good(['verify', ...conf, '--type', type, token]).claims.n, 1, type);
    }
    // The first section with tokens; its max_age_s and claim.
    const first = good(['verify', ...conf, good(['sign', ...conf, '5']).token]);
    assert.deepEqual(first.claims, { uid: 5 });
    assert.ok(Math.abs(first.expires_ms - Date.now() - 100000) < 30000);
    assert.deepEqual(good(['verify', ...conf, '--socket', '/t', ticket(KEY, { exp: 9999999999 })]).claims, { exp: 9999999999 });
    const { token } = good(['sign', ...conf, '--socket', '/j', '{"sub":"x"}']);
    assert.deepEqual(payloadOf(token, 0), { alg: 'HS512', typ: 'JWT' });
    assert.deepEqual([payloadOf(token, 1).iss, payloadOf(token, 1).aud], ['us', 'you']);
    bad(1, /another issuer/, ['verify', ...conf, '--socket', '/j', jwt('HS512', KEY, { iss: 'them', aud: 'you' })]);
    bad(1, /not configured/, ['verify', ...conf, '--socket', '/j', jwt('HS256', KEY, { iss: 'us', aud: 'you' })]);
    assert.equal(good(['verify', ...conf, '--socket', '/r', jwt('RS256', rsa.privateKey, { sub: 'x' })]).claims.sub, 'x');
    bad(1, /private key/, ['sign', ...conf, '--socket', '/r', '{}']);
    assert.equal(good(['verify', ...conf, '--socket', '/r', good(['sign', ...conf, '--socket', '/r', '--key-file', file('priv', rsa.privatePem), '{"sub":"z"}']).token]).claims.sub, 'z');
    bad(1, /no socket \/none/, ['sign', ...conf, '--socket', '/none', '{}']);
    bad(1, /no socket \/p .* has auth of type ticket/, ['sign', ...conf, '--socket', '/p', '--type', 'ticket', '{}']);
    assert.deepEqual(good(['verify', good(['sign', '5'], { env: { POLLUX_CONFIG: conf[1] } }).token], { env: { POLLUX_CONFIG: conf[1] } }).claims, { uid: 5 });
    bad(1, /can't be read/, ['sign', '--config', '/nonexistent/pollux.conf', '5']);
  });

  test('keys from files, the environment and standard input; JSON and tokens from standard input', () => {
    const token = ticket(KEY, { exp: 9999999999 });
    const type = ['--type', 'ticket'];
    assert.ok(good(['verify', ...type, '--key-file', path.join(dir, 'key'), token]));
    assert.ok(good(['verify', ...type, '--key-env', 'K', token], { env: { K: KEY } }));
    assert.ok(good(['verify', ...type, '--key-file', '-', token], { input: `${KEY}\n` }));
    assert.ok(good(['verify', ...type, '--key', KEY, '-'], { input: `${token}\n` }));
    assert.ok(good(['sign', ...type, '--key', KEY, '-'], { input: '{"a":1}' }));
    bad(1, /no environment variable NOT_THERE/, ['verify', ...type, '--key-env', 'NOT_THERE', token]);
    bad(1, /No such file/, ['verify', ...type, '--key-file', path.join(dir, 'nothing'), token]);
    bad(1, /no key in/, ['verify', ...type, '--key-file', file('empty', '\n'), token]);
    bad(2, /can't be both/, ['verify', ...type, '--key-file', '-', '-'], { input: KEY });
  });

  test('what is refused, and what is no command line', () => {
    const key = ['--type', 'ticket', '--key', KEY];
    bad(1, /token invalid/, ['verify', ...key, 'nonsense']);
    bad(1, /token expired/, ['verify', ...key, ticket(KEY, { exp: 1 })]);
    bad(1, /no exp/, ['verify', ...key, ticket(KEY, { exp: undefined })]);
    bad(1, /too long/, ['verify', ...key, 'x'.repeat(9000)]);
    bad(1, /8192 bytes/, ['sign', ...key, JSON.stringify({ a: 'x'.repeat(8000) })]);
    for (const json of ['[]', '7', 'nonsense', '', '{"a":1,"a":2}', '{"a":1']) bad(2, /JSON/, ['sign', ...key, json]);
    bad(2, /JSON/, ['sign', '--type', 'phoenix', '--key', KEY, '--salt', 's', 'nonsense']);
    bad(1, /exp is beyond the year 9999: it is in seconds/, ['verify', ...key, ticket(KEY, { exp: Date.now() + 60000 })]);
    bad(1, /this can't be signed/, ['sign', ...key, '{"exp":"soon"}']);
    bad(2, /--salt is missing/, ['sign', '--type', 'phoenix', '--key', KEY, '1']);
    bad(2, /--type is missing/, ['sign', '--key', KEY, '1']);
    bad(2, /unknown type "x"/, ['sign', '--type', 'x', '--key', KEY, '1']);
    bad(2, /unknown algorithm "none"/, ['sign', '--type', 'jwt', '--algorithm', 'none', '--key', KEY, '{}']);
    bad(2, /one of --key/, ['sign', ...key, '--key-env', 'X', '{}']);
    bad(2, /the key is empty/, ['sign', '--type', 'ticket', '--key', '', '{}']);
    bad(2, /needs a number of seconds/, ['sign', ...key, '--expires-in', '1h', '{}']);
    bad(2, /needs a number of seconds/, ['sign', ...key, '--expires-in', '0', '{}']);
    bad(2, /beside the JSON's own exp/, ['sign', ...key, '--expires-in', '5', '{"exp":7}']);
    bad(2, /sign or verify/, []);
    bad(2, /sign or verify/, ['mint', '{}']);
    bad(2, /expected TOKEN/, ['verify', ...key]);
    bad(2, /expected JSON/, ['sign', ...key, '{}', '{}']);
    bad(2, /unknown option "--nope"/, ['sign', '--nope']);
    bad(2, /needs a value/, ['sign', '--key']);
    bad(2, /the token is empty/, ['verify', ...key, '']);
    const help = spawnSync(bin('pollux'), ['token', '--help'], { encoding: 'utf8' });
    assert.equal(help.status, 0);
    assert.match(help.stdout, /Usage: pollux token sign/);
  });
});
