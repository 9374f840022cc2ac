// A cable between clients and a server that can be pulled out: every connection ends at once, and new
// ones are refused until it is put back. Unlike a browser's "offline" it leaves nothing half open.
import net from 'node:net';

/** target: {host, port}. Returns {port, pull(), restore(), close()}. */
export function cable(target) {
  const open = new Set();
  let pulled = false;
  const server = net.createServer((client) => {
    client.on('error', () => {});
    if (pulled) {
      client.destroy();
      return;
    }
    const back = net.connect(target);
    open.add(client);
    back.on('error', () => client.destroy());
    back.on('close', () => client.destroy());
    client.on('close', () => {
      open.delete(client);
      back.destroy();
    });
    client.pipe(back).pipe(client);
  });
  const pull = () => {
    pulled = true;
    for (const c of open) c.destroy();
  };
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    port: server.address().port,
    pull,
    restore: () => {
      pulled = false;
    },
    close: () => {
      pull();
      server.close();
    },
  })));
}
