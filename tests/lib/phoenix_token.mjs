// Signs tokens as Phoenix.Token does (Plug.Crypto: PBKDF2, HMAC-SHA256, Erlang's external term
// format), for integers and strings.
import crypto from 'node:crypto';

const integer = (n) => {
  if (n >= 0 && n < 256) return Buffer.from([97, n]);
  const bytes = [];
  for (let x = BigInt(n); x > 0n; x >>= 8n) bytes.push(Number(x & 255n));
  return Buffer.from([110, bytes.length, 0, ...bytes]);
};

const term = (x) => {
  if (typeof x === 'number') return integer(x);
  const text = Buffer.from(x);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(text.length);
  return Buffer.concat([Buffer.from([109]), size, text]);
};

export function signToken(secret, salt, data, { signedAt = Date.now(), maxAge = 86400 } = {}) {
  const key = crypto.pbkdf2Sync(secret, salt, 1000, 32, 'sha256');
  const payload = Buffer.concat([Buffer.from([131, 104, 3]), term(data), integer(signedAt), integer(maxAge)]);
  const text = `SFMyNTY.${payload.toString('base64url')}`;
  return `${text}.${crypto.createHmac('sha256', key).update(text).digest('base64url')}`;
}
