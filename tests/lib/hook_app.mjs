// An application behind backend "http": a plain HTTP server that checks each question's signature as
// the README tells applications to, keeps the questions, and answers as the test says.
import { createHmac, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import { until } from './wait.mjs';

export const HOOK_SECRET = 'what-the-questions-are-signed-with';

/** The README's recipe: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>. */
export function signed(header, body, secret = HOOK_SECRET, now = Date.now() / 1000) {
  const m = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header ?? '');
  if (!m || Math.abs(now - Number(m[1])) > 300) return false;
  const mac = createHmac('sha256', secret).update(`${m[1]}.`).update(body).digest();
  return timingSafeEqual(mac, Buffer.from(m[2], 'hex'));
}

export class HookApp {
  /**
   * decide(question, {req, res, n}): the answer (an object: 200 with its JSON; null or undefined: 204),
   * or a promise of it, or false when it has answered (or will) on res by itself.
   */
  constructor(decide = () => ({ status: 'ok' })) {
    this.decide = decide;
    this.questions = [];
    this.unsigned = [];
    this.asking = 0;
    this.mostAsking = 0;
    this.server = http.createServer((req, res) => this.serve(req, res));
    this.server.keepAliveTimeout = 5000;
  }

  async start(port = 0) {
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/hook`;
    return this;
  }

  async serve(req, res) {
    const parts = [];
    for await (const part of req) parts.push(part);
    const body = Buffer.concat(parts);
    if (req.method !== 'POST' || req.headers['content-type'] !== 'application/json' || !signed(req.headers['x-pollux-signature'], body))
      this.unsigned.push({ headers: req.headers, body: body.toString() });
    const question = JSON.parse(body);
    this.questions.push(question);
    this.mostAsking = Math.max(this.mostAsking, ++this.asking);
    res.once('close', () => this.asking--);
    const answer = await this.decide(question, { req, res, n: this.questions.length });
    if (answer === false) return;
    res.statusCode = answer == null ? 204 : 200;
    res.setHeader('content-type', 'application/json');
    res.end(answer == null ? undefined : JSON.stringify(answer));
  }

  /** The questions with these members, waited for until there are n. */
  async asked(like, n = 1, ms = 20000) {
    const those = () => this.questions.filter((q) => Object.entries(like).every(([k, v]) => JSON.stringify(q[k]) === JSON.stringify(v)));
    await until(`${n} questions like ${JSON.stringify(like)}`, () => those().length >= n, ms)
      .catch((e) => { throw new Error(`${e.message}; there are ${JSON.stringify(those()).slice(0, 2000)}`); });
    return those();
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
