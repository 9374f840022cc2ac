// A Redis with slow lines: between the programs and the real server, what a connection is told comes
// later. What only looks ordered because Redis is fast falls apart behind it.
import net from 'node:net';
import { sleep } from './wait.mjs';

/**
 * Listens on a free port in front of `target`. subscriptions, answers: how many ms late subscribing
 * and other connections are told; `answers` may be several numbers, which connections take in turn.
 * Order within a connection is kept. Returns {url, close()}.
 */
export function slowRedis(target, { subscriptions = 0, answers = 0 }) {
  const open = new Set();
  const lines = [answers].flat();
  let count = 0;
  const server = net.createServer((client) => {
    const back = net.connect(target);
    let delay = lines[count++ % lines.length];
    let line = Promise.resolve(); // one piece after the other
    for (const s of [client, back]) {
      open.add(s);
      s.setNoDelay?.(true);
      s.on('error', () => {});
      s.on('close', () => {
        open.delete(s);
        client.destroy();
        back.destroy();
      });
    }
    client.on('data', (d) => {
      if (/\r\nS?SUBSCRIBE\r\n/i.test(d.toString('latin1'))) delay = subscriptions;
      back.write(d);
    });
    back.on('data', (d) => {
      const due = performance.now() + delay;
      line = line.then(() => sleep(Math.max(0, due - performance.now()))).then(() => client.destroyed || client.write(d));
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    url: `redis://127.0.0.1:${server.address().port}/0`,
    close: () => {
      for (const s of open) s.destroy();
      server.close();
    },
  })));
}
