// A site that has nothing but CGI and Redis: no daemon lives longer than a request, and yet presence is
// right and who vanishes is gone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { LongPollClient } from '../lib/longpoll.mjs';
import { redisCommand } from '../lib/resp.mjs';
import { Redis } from '../lib/servers.mjs';
import { bin, BUILD, SLOW, tempDir } from '../lib/stack.mjs';
import { until } from '../lib/wait.mjs';
import { lighttpd } from '../lib/webservers.mjs';

const LIFE_MS = 30000;
const TIMEOUT = { timeout: 90000 * SLOW };
let dir;
let redis;
let server;

const config = () => `
secret = "integration-tests-only-0123456789abcdef"
redis { url = "${redis.url}" }
socket "/s" {
    longpoll { window_ms = 1000 }
    check_origin = { "any" }
    channel "room:*" { backend = "relay" presence { key = "{params.user}" } }
    channel "told:*" { backend = "module" path = "${path.join(BUILD, 'modules/farewell.so')}" settings = "${dir}" }
}
`;

/** A client with what it knows of who is there. */
async function enter(user, topic) {
  const client = new LongPollClient(`${server.url}/s/longpoll`, { params: { user } });
  client.people = new Set();
  client.onMessage = ([, , , event, payload]) => {
    if (event === 'presence_state') client.people = new Set(Object.keys(payload));
    if (event !== 'presence_diff') return;
    for (const key of Object.keys(payload.leaves)) client.people.delete(key);
    for (const key of Object.keys(payload.joins)) client.people.add(key);
  };
  await client.open();
  await client.send([client.message(topic, 'phx_join', {})]);
  return client.start();
}

const knows = (client, list, ms) => until(`${list} at ${client.params.user}`, () => [...client.people].sort().join() === list.join(), ms).catch((e) => {
  throw new Error(`${e.message}: there are ${[...client.people]}\n${server.logs()}`);
});

describe('CGI alone', { concurrency: 1 }, () => {
  before(async () => {
    dir = tempDir('cgi');
    redis = await new Redis(dir, { durable: false }).start();
    fs.writeFileSync(path.join(dir, 'pollux.conf'), config());
    server = await lighttpd(dir, `server.modules += ( "mod_cgi", "mod_alias", "mod_setenv" )
setenv.add-environment = ( "POLLUX_CONFIG" => "${dir}/pollux.conf" )
$HTTP["url"] =~ "^/s/longpoll" {
  alias.url = ( "/s/longpoll" => "${bin('pollux-fcgi')}" )
  cgi.assign = ( "" => "" )
}`);
  });
  after(async () => {
    await server?.stop();
    await redis?.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  test('who vanishes is gone, and its backend is told', TIMEOUT, async () => {
    const ann = await enter('ann', 'room:1');
    const bob = await enter('bob', 'room:1');
    await knows(ann, ['ann', 'bob'], 10000 * SLOW);
    await knows(bob, ['ann', 'bob'], 10000 * SLOW);
    const eve = await enter('eve', 'told:1');
    const vanished = Date.now();
    for (const c of [bob, eve]) await c.stop();
    await knows(ann, ['ann'], LIFE_MS + 8000 * SLOW);
    assert.ok(Date.now() - vanished > LIFE_MS - 3000, 'not before its time');
    await until('the notice', () => fs.existsSync(path.join(dir, 'log')), 5000 * SLOW);
    assert.match(fs.readFileSync(path.join(dir, 'log'), 'utf8'), /^told:1 \S+ expired /);
    assert.deepEqual(ann.trouble, []);
    // Nothing is left of them.
    await until('their records to go', async () => (await redisCommand({ path: redis.socket }, 'KEYS', 'plx:{s:*}')).startsWith('*1\r\n'), 8000 * SLOW);
    await ann.stop();
  });
});
