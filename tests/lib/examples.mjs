// conf/examples, each started by its own script as a newcomer starts it, and looked at through the
// browser's eyes: forms, cookies, pages.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { launch } from './chromium.mjs';
import { alive, descendants, mentioning, signal } from './proc.mjs';
import { BUILD, ROOT, SLOW, tempDir } from './stack.mjs';
import { until } from './wait.mjs';

export const RUN = path.join(ROOT, 'conf/examples/run.sh');

export class Example {
  /** server: the web server, when the example has files for several. */
  constructor(name, { server } = {}) {
    this.name = name;
    this.args = [name, ...(server ? ['--server', server] : [])];
    this.log = '';
  }

  async start(ms = 40000 * SLOW) {
    this.dir = tempDir(`example-${this.name}`);
    fs.chmodSync(this.dir, 0o755); // as root, the web server runs as nobody
    this.child = spawn('setpriv', ['--pdeathsig', 'TERM', RUN, ...this.args], { env: { ...process.env, TMPDIR: this.dir, POLLUX_BUILD: BUILD }, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    this.child.stdout.on('data', (d) => {
      out += d;
    });
    this.child.stderr.on('data', (d) => {
      this.log = (this.log + d).slice(-200000);
    });
    this.child.once('exit', (code, signal) => {
      this.exit = { code, signal };
    });
    try {
      await until('the line "ready URL"', () => out.includes('\n') || this.exit, ms);
      const m = /^ready (http:\/\/127\.0\.0\.1:\d+)\/\n$/.exec(out);
      assert.ok(m, `expected one line "ready URL", got ${JSON.stringify(out)}`);
      this.url = m[1];
    } catch (e) {
      await this.stop().catch(() => {});
      throw new Error(`${e.message}\n--- log ---\n${this.log}`);
    }
    return this;
  }

  /** For phoenix.js: the socket's address. */
  get socket() {
    return `${this.url.replace('http', 'ws')}/socket`;
  }

  /** Stops it; nothing may be left, neither processes nor files. */
  async stop() {
    if (!this.child) return;
    const all = descendants(this.child.pid);
    const limit = 10000 * SLOW;
    try {
      if (!this.exit) this.child.kill('SIGTERM');
      await until(`${this.name} to stop`, () => this.exit, limit);
      await until('its processes to be gone', () => !all.some(alive) && mentioning(this.dir).length === 0, limit);
      assert.deepEqual(fs.readdirSync(this.dir), [], 'files are left');
    } catch (e) {
      for (const p of all) if (alive(p)) signal(p.pid, 'SIGKILL');
      throw new Error(`${e.message}\n--- log ---\n${this.log}`);
    } finally {
      fs.rmSync(this.dir, { recursive: true, force: true });
    }
    assert.deepEqual(this.exit, { code: 0, signal: null });
  }

  /** One visitor with cookies of their own. */
  visitor() {
    return new Visitor(this.url);
  }
}

/** The Set-Cookie lines. Debian's node has no getSetCookie; joined lines are parted before a name. */
const cookiesOf = (headers) => headers.getSetCookie?.() ?? (headers.get('set-cookie') ?? '').split(/, (?=[^;,=\s]+=)/).filter(Boolean);

/** A browser without scripts: keeps cookies, sends forms, does not follow redirections. */
export class Visitor {
  constructor(url) {
    this.url = url;
    this.cookies = new Map();
  }

  get cookie() {
    return [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ');
  }

  /** form: an object, sent as POST; returns {status, headers, text}. */
  async ask(target, { form, headers = {}, ...options } = {}) {
    const r = await fetch(this.url + target, {
      method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form), redirect: 'manual',
      headers: { Cookie: this.cookie, ...(form ? { Origin: this.url } : {}), ...headers }, ...options,
    });
    for (const line of cookiesOf(r.headers)) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '' || value === 'deleted' || /max-age=0\b/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { status: r.status, headers: r.headers, text: await r.text() };
  }
}

/** The value of an attribute in a page: attribute(html, 'name="key" value'). */
export function attribute(html, before) {
  const m = new RegExp(`${before}="([^"]*)"`).exec(html);
  assert.ok(m, `no ${before} in ${html}`);
  return m[1];
}

/**
 * Runs `visit(open)` with a Chromium. open({dark, phone, ...}) gives a page of a browser of its own, on
 * which nothing may go wrong: no script error, no refused resource, nothing wider than the screen.
 */
export async function withBrowser(url, visit) {
  const browser = await launch();
  const pages = [];
  const open = async ({ dark, phone, ...options } = {}) => {
    const context = await browser.newContext({ baseURL: url, colorScheme: dark ? 'dark' : 'light', viewport: phone ? { width: 360, height: 640 } : { width: 1000, height: 700 }, ...options });
    const page = await context.newPage();
    page.problems = [];
    page.on('pageerror', (e) => page.problems.push(e.message));
    page.on('console', (m) => m.type() === 'error' && page.problems.push(`${m.text()} (${m.location().url})`));
    pages.push({ page, dark });
    return page;
  };
  try {
    await visit(open);
    for (const { page, dark } of pages) await checkPage(page, dark);
  } finally {
    await browser.close();
  }
}

async function checkPage(page, dark) {
  const seen = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number),
    unnamed: [...document.querySelectorAll('input:not([type=hidden]), textarea, button')].filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML),
    language: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
  }));
  assert.deepEqual(page.problems, []);
  assert.ok(seen.wide <= 0, `${seen.wide} px too wide`);
  assert.equal(seen.background.reduce((a, b) => a + b) < 300, Boolean(dark), `background ${seen.background}`);
  assert.deepEqual(seen.unnamed, [], 'every control has a name');
  assert.equal(seen.language, 'en');
  assert.equal(seen.headings, 1);
}
