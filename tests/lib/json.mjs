// JSON texts cut by their bytes, not by their values: what a relay must keep is the spelling.
// The texts have passed JSON.parse before; these functions only find where things end.
import { isDeepStrictEqual } from 'node:util';

const skipSpace = (text, at) => {
  while (' \t\r\n'.includes(text[at]) && at < text.length) at++;
  return at;
};

function stringEnd(text, at) {
  for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
  return at + 1;
}

/** Where the value that begins at `at` ends. */
function valueEnd(text, at) {
  if (text[at] === '"') return stringEnd(text, at);
  if (text[at] !== '{' && text[at] !== '[') {
    while (at < text.length && !',]} \t\r\n'.includes(text[at])) at++;
    return at;
  }
  for (let depth = 0; ; at++) {
    if (text[at] === '"') at = stringEnd(text, at) - 1;
    else if ('{['.includes(text[at])) depth++;
    else if ('}]'.includes(text[at]) && --depth === 0) return at + 1;
  }
}

/** The members or elements of an object or array text: [{key (undefined in arrays), start, end}]. */
function parts(text) {
  const found = [];
  let at = skipSpace(text, 0);
  const object = text[at] === '{';
  at = skipSpace(text, at + 1);
  while (text[at] !== ']' && text[at] !== '}') {
    let key;
    if (object) {
      const end = stringEnd(text, at);
      key = JSON.parse(text.slice(at, end));
      at = skipSpace(text, skipSpace(text, end) + 1); // past the colon
    }
    const end = valueEnd(text, at);
    found.push({ key, start: at, end });
    at = skipSpace(text, end);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return found;
}

/** The last member of that name, as JSON.parse takes it. */
const member = (text, key) => parts(text).reverse().find((p) => p.key === key);

/** Where a V1 or V2 message text has its payload. */
function payloadRange(text) {
  const first = text.trimStart()[0];
  if (first === '[') return parts(text)[4];
  return first === '{' ? member(text, 'payload') : undefined;
}

/** The bytes of a message's payload as they stand in the text; undefined when it has none. */
export function payloadText(message) {
  if (!/^\s*[[{]/.test(message)) return undefined; // JSON, but no message: a number, a string
  const p = payloadRange(message);
  return p ? message.slice(p.start, p.end) : undefined;
}

/**
 * A server's message cut in two: {envelope, payload}. The payload is what an application chose (in a
 * reply its `response`); the envelope is the text with that cut out.
 */
export function cutMessage(text) {
  const m = JSON.parse(text);
  let { start, end } = payloadRange(text);
  const [event, ref] = Array.isArray(m) ? [m[3], m[1]] : [m.event, m.ref];
  const body = text.slice(start, end);
  if (event === 'phx_reply' && ref !== null) {
    const r = member(body, 'response');
    if (r) [start, end] = [start + r.start, start + r.end];
  }
  return { envelope: `${text.slice(0, start)}…${text.slice(end)}`, payload: text.slice(start, end) };
}

/** Equality of JSON values as JavaScript sees them; -0 and 0 are the same number. */
export function sameValue(a, b) {
  const plain = (x) => {
    if (x === 0) return 0;
    if (Array.isArray(x)) return x.map(plain);
    if (x !== null && typeof x === 'object') return Object.fromEntries(Object.entries(x).map(([k, v]) => [k, plain(v)]));
    return x;
  };
  return isDeepStrictEqual(plain(a), plain(b));
}
