// A listener in front of the real one that lets everything through but WebSocket: what a company
// proxy or an old web server does to a page.
import net from 'node:net';

/** mode: 'reset' ends such a connection, '404' answers it. Returns {port, refused(), close()}. */
export function refuseWebSocket(target, mode = 'reset') {
  let count = 0;
  const open = new Set();
  const server = net.createServer((client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => {});
    client.once('data', (first) => {
      if (/^GET [^ ]*\/websocket/.test(first.toString('latin1'))) {
        count++;
        if (mode === '404') client.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        else client.destroy();
        return;
      }
      const back = net.connect(target);
      back.on('error', () => client.destroy());
      back.write(first);
      client.pipe(back).pipe(client);
      client.on('close', () => back.destroy());
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    port: server.address().port,
    refused: () => count,
    close: () => {
      for (const c of open) c.destroy();
      server.close();
    },
  })));
}
