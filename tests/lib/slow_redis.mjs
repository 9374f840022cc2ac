// A Redis whose subscriptions are slow: between the programs and the real server, everything that a
// subscribing connection is told comes later. What only looks ordered because pub/sub is fast falls
// apart behind it.
import net from 'node:net';

/** Listens on a free port in front of `target`. Returns {url, close()}. */
export function slowSubscriptions(target, delayMs) {
  const open = new Set();
  const server = net.createServer((client) => {
    const back = net.connect(target);
    let late = false;
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
      late ||= /\r\nS?SUBSCRIBE\r\n/i.test(d.toString('latin1'));
      back.write(d);
    });
    back.on('data', (d) => {
      if (!late) client.write(d);
      else setTimeout(() => client.destroyed || client.write(d), delayMs);
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
