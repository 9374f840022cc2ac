// Behind lighttpd, nginx and Apache with the ready-made snippets of conf/, and as plain CGI.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Api } from '../lib/api.mjs';
import { request } from '../lib/http.mjs';
import { LongPollClient } from '../lib/longpoll.mjs';
import { answer, join, page } from '../lib/phoenix.mjs';
import { signal } from '../lib/proc.mjs';
import { API_KEY, bin, BUILD, SLOW, startStack } from '../lib/stack.mjs';
import { sleep, until, within } from '../lib/wait.mjs';
import { apache, letIn, lighttpd, nginxWithSnippet, snippet } from '../lib/webservers.mjs';

const TIMEOUT = { timeout: 60000 * SLOW };
let stack;
let counter = 0;

const cgiLighttpd = () => `server.modules += ( "mod_cgi", "mod_alias", "mod_setenv" )
setenv.add-environment = ( "POLLUX_CONFIG" => "${stack.state}/pollux.conf" )
$HTTP["url"] =~ "^/(relay/longpoll|api/)" {
  alias.url = ( "/relay/longpoll" => "${bin('pollux-fcgi')}", "/api" => "${bin('pollux-fcgi')}" )
  cgi.assign = ( "" => "" )
}`;

/**
 * A copy of the build inside the stack's directory, for a web server that serves as nobody: the clone
 * may lie where only its owner looks. Returns {bin, config}.
 */
function copyForNobody() {
  const copy = path.join(stack.dir, 'build');
  const config = path.join(copy, 'pollux.conf');
  for (const part of ['bin', 'modules']) fs.cpSync(path.join(BUILD, part), path.join(copy, part), { recursive: true });
  fs.writeFileSync(config, fs.readFileSync(`${stack.state}/pollux.conf`, 'utf8').replaceAll(`${BUILD}/`, `${copy}/`));
  letIn(stack);
  return { bin: path.join(copy, 'bin'), config };
}

/** The snippet's own words for CGI, out of their comment. */
function cgiApache() {
  const copy = copyForNobody();
  const lines = fs.readFileSync(new URL('../../conf/apache/pollux.conf', import.meta.url), 'utf8').split('\n');
  const wanted = lines.filter((l) => /^#\s+(ScriptAlias|SetEnv) /.test(l)).map((l) => l.replace(/^#\s+/, ''));
  assert.ok(wanted.length >= 3, 'the snippet shows how to use CGI');
  return `${wanted.join('\n').replaceAll('/socket', '/relay').replaceAll('/usr/local/bin', copy.bin)
    .replaceAll('/etc/pollux/pollux.conf', copy.config)}
<Directory "${copy.bin}">\nOptions +ExecCGI\nRequire all granted\n</Directory>
<Location "/api">\nCGIPassAuth On\n</Location>`;
}

const where = () => ({ fcgi: stack.address('fcgi'), ws: stack.address('ws') });

const SERVERS = {
  lighttpd: (dir) => lighttpd(dir, snippet('lighttpd/pollux.conf', where())),
  nginx: (dir) => nginxWithSnippet(dir, where()),
  Apache: (dir) => apache(dir, snippet('apache/pollux.conf', where())),
};

const CGI = {
  'lighttpd mod_cgi': (dir) => lighttpd(dir, cgiLighttpd()),
  'Apache mod_cgid': (dir) => apache(dir, cgiApache()),
};

/** README's short forms, by prefix; and a script of any name. */
const PREFIXES = {
  'lighttpd by prefix': (dir) => lighttpd(dir, `server.modules += ( "mod_fastcgi" )
fastcgi.server = ( "/relay/longpoll" => (( "socket" => "${where().fcgi.path}", "check-local" => "disable" )) )`),
  'Apache by prefix': (dir) => apache(dir, `ProxyPass "/relay/longpoll" "unix:${where().fcgi.path}|fcgi://pollux/"`),
  ...CGI,
};

const scriptLighttpd = () => `server.modules += ( "mod_cgi", "mod_alias", "mod_setenv" )
setenv.add-environment = ( "POLLUX_CONFIG" => "${stack.state}/pollux.conf" )
$HTTP["url"] =~ "^/cgi-bin/" {
  alias.url = ( "/cgi-bin/p" => "${bin('pollux-fcgi')}" )
  cgi.assign = ( "" => "" )
}`;

async function withServer(name, start, body) {
  const dir = path.join(stack.dir, name.replace(/\W/g, ''));
  fs.mkdirSync(dir);
  letIn(stack);
  const server = await start(dir);
  try {
    await body(server, new Api(`${server.url}/api`, API_KEY));
  } catch (e) {
    stack.show(20);
    throw new Error(`${e.message}\n${server.logs()}`, { cause: e });
  } finally {
    await server.stop();
  }
}

/** join, push and reply, broadcasts both ways, for each pair of transports. */
async function conversation(server, api, transports) {
  const pages = transports.map((t) => ({ p: page(t === 'longpoll' ? 'phoenix-1.7' : 'phoenix-1.8'), t }));
  try {
    const topic = `acked:web${counter++}`;
    const members = [];
    for (const { p, t } of pages) {
      const channel = await within(`join over ${t}`, 10000 * SLOW, join(p.connect(`ws://127.0.0.1:${server.port}/relay`, { transport: t }), topic));
      const got = [];
      channel.on('m', ({ n }) => got.push(n));
      members.push({ channel, got, t });
    }
    for (const [n, m] of members.entries()) {
      await within(`reply over ${m.t}`, 10000 * SLOW, answer(m.channel.push('m', { n })));
      await until(`broadcast from ${m.t} at all`, () => members.every((x) => x.got.length === n + 1), 10000 * SLOW);
    }
    await api.publish(topic, 'm', { n: 99 });
    await until('the server\'s at all', () => members.every((x) => x.got.at(-1) === 99), 10000 * SLOW);
    await answer(members[0].channel.leave());
  } finally {
    for (const { p } of pages) p.close();
  }
}

describe('web servers', { concurrency: 2 }, () => {
  before(async () => {
    stack = await startStack({ fcgi: 3, ws: 2 });
    letIn(stack);
  });
  after(() => stack?.stop());

  for (const [name, start] of Object.entries(SERVERS))
    test(`${name}: both transports, the API, big bodies, an empty window`, TIMEOUT, () => withServer(name, start, async (server, api) => {
      await conversation(server, api, ['websocket', 'longpoll', 'longpoll', 'websocket']);
      assert.equal((await api.health()).status, 200);
      const r = await request(`${server.url}/relay/longpoll?vsn=2.0.0`);
      assert.equal(r.headers['content-type'], 'application/json; charset=utf-8');
      assert.equal(r.headers['cache-control'], 'no-store');
      assert.equal(r.headers['access-control-allow-origin'], '*');
      const url = `${server.url}/relay/longpoll?vsn=2.0.0&token=${r.json.token}`;
      const empty = await request(url, { ms: 10000 * SLOW });
      assert.equal(empty.json.status, 204);
      assert.ok(empty.ms > 2500, 'held for the window');
      const body = `[null,"1","phoenix","heartbeat","${'x'.repeat(900000)}"]`;
      assert.deepEqual((await request(url, { method: 'POST', body })).json, { status: 200 });
      assert.equal((await request(url, { method: 'POST', body: body.repeat(2) })).status, 413);
      const options = await request(url, { method: 'OPTIONS', headers: { Origin: 'http://other.example', 'Access-Control-Request-Headers': 'content-type,x-a' } });
      assert.equal(options.headers['access-control-allow-headers'], 'content-type,x-a');
      const slash = await request(`${server.url}/relay/longpoll/?vsn=2.0.0`);
      assert.equal(slash.json?.status, 410, 'a trailing slash');
    }));

  // What a web server says about /api (only from here, only with a password) holds for all of it.
  for (const [name, start] of Object.entries(PREFIXES))
    test(`${name}: no way to the API or another socket through long-polling's place`, TIMEOUT, () => withServer(`${name} place`, start, async (server) => {
      const headers = { 'X-Pollux-Key': API_KEY };
      assert.equal((await request(`${server.url}/relay/longpoll?vsn=2.0.0`)).json?.status, 410);
      for (const way of ['/api/health', '/api/info', '/echo/longpoll?vsn=2.0.0', '/relay/longpoll?vsn=2.0.0'])
        for (const place of ['/relay/longpoll', '/%72elay/longpoll', '/x/../relay/longpoll']) {
          const r = await request(`${server.url}${place}${way}`, { headers });
          assert.equal(r.status, 404, `${place}${way}: ${r.text.slice(0, 200)}`);
        }
    }));

  test('a script of any name: what follows it is the path', TIMEOUT, () => withServer('script', (dir) => lighttpd(dir, scriptLighttpd()), async (server) => {
    assert.equal((await request(`${server.url}/cgi-bin/p/relay/longpoll?vsn=2.0.0`)).json?.status, 410);
    assert.equal((await request(`${server.url}/cgi-bin/p/api/health`, { headers: { 'X-Pollux-Key': API_KEY } })).json?.status, 'ok');
  }));

  for (const [name, start] of Object.entries(CGI))
    test(`plain CGI under ${name}: connect, join, push, poll, API`, TIMEOUT, () => withServer(name, start, async (server, api) => {
      const topic = `acked:cgi${counter++}`;
      const clients = [];
      for (let i = 0; i < 2; i++) {
        const c = new LongPollClient(`${server.url}/relay/longpoll`);
        c.got = [];
        c.onMessage = (m) => c.got.push(m);
        await c.open();
        c.start();
        await c.send([c.message(topic, 'phx_join', {})]);
        clients.push(c);
      }
      await until('both joined', () => clients.every((c) => c.got.length === 1), 10000 * SLOW);
      for (const c of clients) c.got.length = 0;
      await clients[0].send([clients[0].message(topic, 'm', { n: 1 })]);
      await until('the push at both', () => clients[1].got.length === 1 && clients[0].got.length === 2, 10000 * SLOW);
      assert.deepEqual(clients[0].got.map((m) => m[3]), ['m', 'phx_reply'], 'the reply follows the broadcast');
      await api.publish(topic, 'm', { n: 2 });
      await until('the published at both', () => clients.every((c) => c.got.filter((m) => m[3] === 'm').length === 2), 10000 * SLOW);
      await conversation(server, api, ['longpoll', 'longpoll']);
      for (const c of clients) {
        assert.deepEqual(c.trouble, []);
        await c.stop();
      }
    }));
});

describe('a proxy that repeats requests', () => {
  before(async () => {
    stack = await startStack({ fcgi: 3, ws: 1 });
    letIn(stack);
  });
  after(() => stack?.stop());

  test('nginx repeats requests: stock phoenix.js loses nothing and never reconnects while workers die', TIMEOUT, () => withServer('nginxrepeats', SERVERS.nginx, async (server) => {
    const pages = ['phoenix-1.6', 'phoenix-1.7', 'phoenix-1.8'].map((name) => ({ name, p: page(name), got: [], closes: 0, joins: 0 }));
    try {
      const topic = `room:web${counter++}`;
      for (const x of pages) {
        const socket = x.p.connect(`ws://127.0.0.1:${server.port}/relay`, { transport: 'longpoll' });
        socket.onClose(() => x.closes++);
        const channel = socket.channel(topic, {});
        channel.on('m', ({ n }) => x.got.push(n));
        channel.join().receive('ok', () => x.joins++);
      }
      await until('joins', () => pages.every((x) => x.joins === 1), 10000 * SLOW);
      let n = 0;
      for (let kills = 0; kills < 8; kills++) {
        const pids = stack.workers('fcgi');
        signal(pids[kills % pids.length], 'SIGKILL');
        for (const end = Date.now() + 600; Date.now() < end; await sleep(50)) {
          const r = await stack.api.call('POST', '/publish', { topic, event: 'm', payload: { n }, key: `${topic}.${n}` }).catch(() => null);
          if (r?.status === 200) n++;
        }
        // A request has two tries: the next worker dies only when nobody waits in a second one.
        await until(`${n} messages`, () => pages.every((x) => x.got.length >= n), 10000 * SLOW);
      }
      for (const x of pages) assert.deepEqual([x.got, x.closes, x.joins], [Array.from({ length: n }, (_, i) => i), 0, 1], x.name);
    } finally {
      for (const x of pages) x.p.close();
    }
  }));
});
