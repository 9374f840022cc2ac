// Single programs, started without `pollux dev`: a Redis that tests may stop, pause and start again,
// and pollux-fcgi and pollux-ws on addresses of their own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { alive, children, descendants, signal as send } from './proc.mjs';
import { bin, freePort, SLOW } from './stack.mjs';
import { until } from './wait.mjs';

const answers = (where) => new Promise((resolve) => {
  const c = net.connect(where);
  c.once('connect', () => {
    c.destroy();
    resolve(true);
  });
  c.once('error', () => resolve(false));
});

/** A child process with its log, stopped by pid with everything below it. */
export class Program {
  constructor(command, args, { stderr = 'pipe', env = {} } = {}) {
    this.name = path.basename(command);
    this.text = '';
    this.child = spawn('setpriv', ['--pdeathsig', 'TERM', command, ...args], { stdio: ['ignore', 'ignore', stderr], env: { ...process.env, ...env } });
    this.child.stderr?.on('data', (d) => {
      this.text = (this.text + d).slice(-200000);
    });
    this.exited = new Promise((resolve) => this.child.once('exit', (code, signal) => {
      this.exit = { code, signal };
      resolve(this.exit);
    }));
  }

  get pid() {
    return this.child.pid;
  }

  async stop(signal = 'SIGTERM', ms = 5000 * SLOW) {
    const below = descendants(this.pid);
    if (!this.exit) this.child.kill(signal);
    try {
      await until(`${this.name} to stop`, () => this.exit && !below.some(alive), ms);
    } finally {
      if (!this.exit) this.child.kill('SIGKILL');
      for (const p of below) if (alive(p)) send(p.pid, 'SIGKILL');
    }
    return this.exit;
  }
}

/** redis-server on a Unix socket in `dir`, with an append-only file when `durable`. */
export class Redis {
  constructor(dir, { durable = true } = {}) {
    this.socket = path.join(dir, 'redis.sock');
    this.data = path.join(dir, 'redis');
    this.durable = durable;
    this.url = `unix:${this.socket}`;
  }

  async start() {
    fs.mkdirSync(this.data, { recursive: true });
    this.program = new Program('redis-server', ['--port', '0', '--unixsocket', this.socket, '--dir', this.data, '--save', '',
      '--appendonly', this.durable ? 'yes' : 'no', '--appendfsync', 'always', '--loglevel', 'warning']);
    await until('Redis to answer', () => answers({ path: this.socket }), 5000 * SLOW);
    return this;
  }

  pause() {
    process.kill(this.program.pid, 'SIGSTOP');
  }

  resume() {
    process.kill(this.program.pid, 'SIGCONT');
  }

  async stop(signal = 'SIGKILL') {
    if (!this.program) return;
    if (!this.program.exit) this.resume();
    await this.program.stop(signal);
  }
}

/** pollux-fcgi on a Unix socket; where: {path}. under: words before its name (a debugger's). */
export async function startFcgi(dir, config, { workers = 1, under = [], ...options } = {}) {
  const where = { path: path.join(dir, 'fcgi.sock') };
  const [command, ...args] = [...under, bin('pollux-fcgi'), '--config', config, '--listen', `unix:${where.path}`, '--workers', String(workers)];
  const program = new Program(command, args, options);
  await until('pollux-fcgi to listen', async () => program.exit || answers(where), (under.length ? 30000 : 5000) * SLOW);
  await until('its workers', () => program.exit || children(program.pid).length >= workers, (under.length ? 30000 : 5000) * SLOW);
  assert.equal(program.exit, undefined, `pollux-fcgi ended: ${program.text}`);
  return { program, where };
}

/** pollux-ws on a free port; where: {host, port}. */
export async function startWs(dir, config, { workers = 1, under = [], ...options } = {}) {
  const where = { host: '127.0.0.1', port: await freePort() };
  const [command, ...args] = [...under, bin('pollux-ws'), '--config', config, '--listen', `${where.host}:${where.port}`, '--workers', String(workers)];
  const program = new Program(command, args, options);
  await until('pollux-ws to listen', async () => program.exit || answers(where), (under.length ? 30000 : 5000) * SLOW);
  await until('its workers', () => program.exit || children(program.pid).length >= workers, (under.length ? 30000 : 5000) * SLOW);
  assert.equal(program.exit, undefined, `pollux-ws ended: ${program.text}`);
  return { program, where };
}
