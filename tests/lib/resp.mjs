// Just enough of the Redis protocol to ask a server something and to cut its clients off.
import net from 'node:net';

/** Sends one command to {path} or {host, port}; resolves with the reply as text (RESP, unparsed). */
export function redisCommand(where, ...args) {
  const bytes = `*${args.length}\r\n${args.map((a) => `$${Buffer.byteLength(String(a))}\r\n${a}\r\n`).join('')}`;
  return new Promise((resolve, reject) => {
    const c = net.connect(where);
    let text = '';
    c.once('connect', () => c.write(`${bytes}*1\r\n$4\r\nQUIT\r\n`));
    c.on('data', (d) => {
      text += d;
    });
    c.once('error', reject);
    c.once('close', () => (text.startsWith('-') ? reject(new Error(text.trim())) : resolve(text)));
  });
}
