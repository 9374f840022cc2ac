// The whole system under test: `pollux dev` with its private Redis, workers and lighttpd, in a
// temporary directory. Stopping checks that nothing is left behind; a failure shows the log.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './api.mjs';
import { alive, children, descendants, listeners, mentioning, signal as send } from './proc.mjs';
import { until } from './wait.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = path.resolve(ROOT, process.env.POLLUX_BUILD ?? 'build/release');
export const SANITIZED = /\/san-/.test(BUILD);
export const bin = (name) => path.join(BUILD, 'bin', name);
export const API_KEY = 'test-api-key-0123456789';

/** Time limits are for a quiet machine; sanitizers and other load stretch them. */
export const SLOW = Number(process.env.POLLUX_TEST_SLOW ?? (SANITIZED ? 3 : 1));

// Ports that are asked for here and taken by a program later: none that the kernel gives to anybody
// (from 32768 on) or `pollux dev` takes (20000 to 31999), and each process of tests has some of its own.
const PORTS = { first: 10000, count: 9984, each: 32 };
let portsAsked = 0;

const isFree = (port) => new Promise((resolve) => {
  const s = net.createServer();
  s.once('error', () => resolve(false));
  s.listen(port, '127.0.0.1', () => s.close(() => resolve(true)));
});

/** A port of 127.0.0.1 on which nobody listens, and which nobody else is given for a while. */
export async function freePort() {
  for (let tries = 0; tries < PORTS.count; tries++) {
    // Its own ones first; when something sits on all of them, those of others.
    const block = process.pid + Math.floor(tries / PORTS.each);
    const port = PORTS.first + ((block * PORTS.each + (portsAsked++ % PORTS.each)) % PORTS.count);
    if (await isFree(port)) return port;
  }
  throw new Error('there is no free port');
}

export const tempDir = (name) => fs.mkdtempSync(path.join(os.tmpdir(), `pollux-${name}-`));

/** The text of a configuration of tests/integration, with @BUILD@ filled in. */
export function configText(name) {
  const text = fs.readFileSync(path.join(ROOT, 'tests/integration', name), 'utf8');
  return text.replaceAll('@BUILD@', BUILD);
}

/** stderr of a child, kept up to a bound; sanitizer reports are looked for in it. */
class Log {
  constructor() {
    this.text = '';
  }

  add(chunk) {
    this.text = (this.text + chunk).slice(-400000);
  }

  tail(lines = 60) {
    return this.text.split('\n').slice(-lines).join('\n');
  }
}

const SANITIZER_REPORT = /(ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|detected memory leaks)/;

export class Stack {
  /**
   * config: a file name in tests/integration, or {text}; fcgi, ws: worker counts; args: further
   * arguments; env: further environment; ulimit: a value for `ulimit -n` of the whole system.
   */
  constructor({ config = 'recorded.conf', fcgi = 1, ws = 1, args = [], env = {}, ulimit } = {}) {
    Object.assign(this, { fcgi, ws, args, env, ulimit });
    this.configText = typeof config === 'string' ? configText(config) : config.text;
    this.log = new Log();
  }

  async start(ms = 20000 * SLOW) {
    this.dir = tempDir('stack');
    this.state = path.join(this.dir, 'state');
    this.configFile = path.join(this.dir, 'pollux.conf');
    fs.writeFileSync(this.configFile, this.configText);
    for (let tries = 1; ; tries++) {
      try {
        await this.launch(ms);
        break;
      } catch (e) {
        await this.kill();
        // Ports are chosen and then used: somebody may have been faster.
        if (tries === 3 || !/in use/i.test(this.log.text)) throw new Error(`${e.message}\n--- log of pollux dev ---\n${this.log.tail()}`);
        this.log.text = '';
        this.exit = undefined;
      }
    }
    this.port = Number(new URL(this.url).port);
    this.api = new Api(`${this.url}/api`, API_KEY);
    return this;
  }

  /** Runs `pollux dev`; resolves when it is ready. */
  async launch(ms) {
    const args = ['dev', '--config', this.configFile, '--state', this.state, '--port', String(await freePort()),
      '--fcgi-workers', String(this.fcgi), '--ws-workers', String(this.ws), ...this.args];
    // The system must not outlive a test process that is killed.
    const command = ['--pdeathsig', 'TERM', ...(this.ulimit ? ['sh', '-c', `ulimit -n ${this.ulimit}; exec "$0" "$@"`] : []), bin('pollux'), ...args];
    this.child = spawn('setpriv', command, { env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (d) => this.log.add(d));
    this.exited = new Promise((resolve) => this.child.once('exit', (code, signal) => {
      this.exit = { code, signal };
      resolve(this.exit);
    }));
    let out = '';
    this.child.stdout.on('data', (d) => {
      out += d;
    });
    await until('the line "ready URL"', () => out.includes('\n') || this.exit, ms);
    const m = /^ready (http:\/\/127\.0\.0\.1:\d+)\/\n$/.exec(out);
    assert.ok(m, `expected exactly one line "ready URL", got ${JSON.stringify(out)} (exit ${JSON.stringify(this.exit)})`);
    this.url = m[1];
  }

  /** Of a part; undefined while it is being started again. */
  pid(name) {
    try {
      return Number(fs.readFileSync(path.join(this.state, 'run', `${name}.pid`), 'utf8'));
    } catch (e) {
      if (e.code === 'ENOENT') return undefined;
      throw e;
    }
  }

  /** Pids of the workers of `fcgi` or `ws`. */
  workers(name) {
    return children(this.pid(name));
  }

  /** Where a program listens by itself, beside lighttpd: {path} or {host, port}. */
  address(name) {
    const parent = this.pid(name);
    for (const pid of [parent, ...children(parent)])
      for (const l of listeners(pid)) return l.path ? { path: l.path } : { host: '127.0.0.1', port: l.port };
    throw new Error(`${name} (pid ${parent}) listens nowhere`);
  }

  get front() {
    return { host: '127.0.0.1', port: this.port };
  }

  async kill() {
    const all = [...descendants(this.child.pid)];
    this.child.kill('SIGKILL');
    await this.exited;
    for (const p of all) if (alive(p)) send(p.pid, 'SIGKILL');
  }

  /**
   * Stops by SIGTERM; everything must be gone soon, and no sanitizer may have spoken. status: of
   * its exit; null when the test ended a part and either outcome may win.
   */
  async stop({ signal = 'SIGTERM', status = 0 } = {}) {
    if (!this.child || this.stopped) return;
    this.stopped = true;
    const all = descendants(this.child.pid);
    if (!this.exit) this.child.kill(signal);
    const limit = 5000 * SLOW;
    try {
      await until('pollux dev to exit', () => this.exit, limit);
      await until('its processes to be gone', () => !all.some(alive) && mentioning(this.dir).length === 0, limit);
    } catch (e) {
      const left = all.filter(alive).map((p) => p.pid);
      for (const pid of left) send(pid, 'SIGKILL');
      throw new Error(`${e.message}; left: ${left}\n${this.log.tail()}`);
    }
    fs.rmSync(this.dir, { recursive: true, force: true });
    if (signal === 'SIGTERM' && status !== null) assert.deepEqual(this.exit, { code: status, signal: null }, `exit of pollux dev\n${this.log.tail()}`);
    const report = SANITIZER_REPORT.exec(this.log.text);
    assert.equal(report, null, `a sanitizer spoke:\n${this.log.text.slice(report?.index ?? 0).slice(0, 6000)}`);
  }

  /** Prints the log's end when `t` (a node:test context or a flag) failed. */
  show(lines = 60) {
    process.stderr.write(`--- log of pollux dev ---\n${this.log.tail(lines)}\n---\n`);
  }
}

export const startStack = (options) => new Stack(options).start();
