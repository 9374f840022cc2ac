// Signs tickets and JWTs as an application does: with node's own crypto.
import crypto from 'node:crypto';

const text = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const inSeconds = (s) => Math.floor(Date.now() / 1000) + s;

/** A ticket with these claims, valid for a minute unless they say otherwise. */
export function ticket(key, claims = {}) {
  const part = text({ exp: inSeconds(60), ...claims });
  return `${part}.${crypto.createHmac('sha256', key).update(part).digest('hex')}`;
}

/** A JWT. key: a secret (HS...) or a private KeyObject (RS256, ES256). */
export function jwt(alg, key, claims = {}) {
  const part = `${text({ alg, typ: 'JWT' })}.${text({ exp: inSeconds(60), ...claims })}`;
  const signature = alg.startsWith('HS')
    ? crypto.createHmac(`sha${alg.slice(2)}`, key).update(part).digest()
    : crypto.sign('sha256', Buffer.from(part), { key, dsaEncoding: 'ieee-p1363' });
  return `${part}.${signature.toString('base64url')}`;
}

/** {privateKey, publicPem, privatePem} of "rsa" or "ec" (P-256). */
export function keyPair(type) {
  const options = type === 'rsa' ? { modulusLength: 2048 } : { namedCurve: 'P-256' };
  const { publicKey, privateKey } = crypto.generateKeyPairSync(type, options);
  return {
    privateKey,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}
