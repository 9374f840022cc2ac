// Every recording of Phoenix 1.8.12 against the running system: long-poll through lighttpd with one
// and with three FastCGI workers; WebSocket once through lighttpd's proxy and once straight to
// pollux-ws. Recordings of the HTTP handshake itself (DIRECT) only go straight there, because a
// proxy answers or rewrites such requests by itself (lighttpd drops an empty Origin, for one).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Replay, resources } from '../lib/replay.mjs';
import { ROOT, SLOW, startStack } from '../lib/stack.mjs';

const DIR = path.join(ROOT, 'tests/vectors');
const DIRECT = new Set(['ws_http_level', 'ws_vsn_negotiation', 'ws_check_origin']);
// A connection that is closed after 1.5 s of silence bears no busy machine: these run after the others.
const HURRIED = /^ws_idle_/;
const OWN_SYSTEM = new Set(['ws_v2_server_shutdown']); // it stops the server
const only = process.env.POLLUX_ONLY ? new RegExp(process.env.POLLUX_ONLY) : /./;

const recordings = fs.readdirSync(DIR).filter((f) => /^(lp|ws|presence)_.*\.json$/.test(f)).sort()
  .map((f) => JSON.parse(fs.readFileSync(path.join(DIR, f), 'utf8')));

const deviations = JSON.parse(fs.readFileSync(path.join(DIR, 'deviations.json'), 'utf8'));

/** {step: patch} of one recording. */
function patchesOf(name) {
  const found = {};
  for (const { recordings: names, steps } of deviations.flatMap((d) => d.cases))
    if (names.includes(name))
      for (const [step, patch] of Object.entries(steps)) {
        assert.ok(!(step in found), `${name} step ${step} deviates twice`);
        found[step] = patch;
      }
  return found;
}

const exercised = new Map(); // recording -> steps

/** Recordings use fixed topics: those that share one run one after the other. */
class Locks {
  constructor() {
    this.held = new Set();
    this.waiting = [];
  }

  async take(names) {
    while (names.some((n) => this.held.has(n))) await new Promise((resolve) => this.waiting.push(resolve));
    for (const n of names) this.held.add(n);
  }

  release(names) {
    for (const n of names) this.held.delete(n);
    for (const wake of this.waiting.splice(0)) wake();
  }
}

async function replay(recording, where) {
  const r = new Replay(recording, { ...where, patches: patchesOf(recording.name) });
  await r.run();
  const seen = exercised.get(recording.name) ?? new Set();
  for (const step of r.used) seen.add(step);
  exercised.set(recording.name, seen);
}

function suite(title, { fcgi, ws, wsTarget, wanted }) {
  describe(title, { concurrency: 10 }, () => {
    const locks = new Locks();
    let stack;
    before(async () => {
      stack = await startStack({ fcgi, ws });
    });
    after(() => stack?.stop());
    for (const recording of recordings.filter((r) => wanted(r) && only.test(r.name)))
      test(recording.name, { timeout: 120000 * SLOW }, async () => {
        const names = [...resources(recording)];
        await locks.take(names);
        try {
          await replay(recording, { front: stack.front, ws: wsTarget(stack), api: stack.api });
        } catch (e) {
          stack.show(15);
          throw e;
        } finally {
          locks.release(names);
        }
      });
  });
}

const common = (r) => !OWN_SYSTEM.has(r.name);

/** The recordings that are `wanted`, in both arrangements. */
function suites(wanted) {
  suite('one FastCGI worker, WebSocket through lighttpd', {
    fcgi: 1, ws: 1, wsTarget: (s) => s.front, wanted: (r) => common(r) && !DIRECT.has(r.name) && wanted(r),
  });
  suite('three FastCGI workers, WebSocket straight to pollux-ws', {
    fcgi: 3, ws: 2, wsTarget: (s) => s.address('ws'), wanted: (r) => common(r) && wanted(r),
  });
}

describe('recordings', { concurrency: 2 }, () => {
  suites((r) => !HURRIED.test(r.name));

  for (const recording of recordings.filter((r) => OWN_SYSTEM.has(r.name) && only.test(r.name)))
    test(recording.name, { timeout: 60000 * SLOW }, async () => {
      const stack = await startStack();
      const sigterm = () => process.kill(stack.pid('ws'), 'SIGTERM');
      try {
        await replay(recording, { front: stack.front, ws: stack.address('ws'), api: stack.api, sigterm });
      } finally {
        await stack.stop({ status: null });
      }
    });
});

describe('recordings of idle connections', { concurrency: 2 }, () => {
  suites((r) => HURRIED.test(r.name));
});

test('every deviation is exercised', { skip: process.env.POLLUX_ONLY ? 'a part of the recordings ran' : false }, () => {
  const listed = deviations.flatMap((d) => d.cases).flatMap((c) => c.recordings.flatMap((name) => Object.keys(c.steps).map((step) => [name, Number(step)])));
  for (const [name, step] of listed) assert.ok(exercised.get(name)?.has(step), `${name} step ${step} is listed but did not deviate`);
  for (const { why } of deviations) assert.ok(why.length > 40, `a reason, not "${why}"`);
  const files = new Set(listed.map(([name]) => name));
  console.log(`deviations: ${deviations.length} reasons, ${listed.length} steps in ${files.size} of ${recordings.length} recordings`);
});
