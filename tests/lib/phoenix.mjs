// Real phoenix.js from npm, each version loaded as a page of its own with the few globals that a
// browser would give it.
import fs from 'node:fs';
import path from 'node:path';
import WebSocket from 'ws';
import { ROOT } from './stack.mjs';
import { xhrOfPage } from './xhr.mjs';

const MODULES = path.join(ROOT, 'tests/node_modules');
export const VERSIONS = ['phoenix-1.4', 'phoenix-1.6', 'phoenix-1.7-first', 'phoenix-1.7', 'phoenix-1.8'];

export const versionOf = (name) => JSON.parse(fs.readFileSync(path.join(MODULES, name, 'package.json'), 'utf8')).version;

/** Whether this version sends one POST at a time on long-poll, so that order is kept. */
export const batches = (name) => !['phoenix-1.4', 'phoenix-1.6'].includes(name);

/** ws, with the origin of a page of the same site and with the headers that the browser adds by itself. */
const webSocketOfPage = (own) => class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { headers: own, origin: new URL(url).origin.replace(/^ws/, 'http') });
  }
};

/**
 * A page with one phoenix.js: {LongPoll, Presence, connect, close}. headers: what the browser adds to
 * its requests by itself (cookies).
 */
export function page(name, { headers } = {}) {
  const dir = path.join(MODULES, name, 'priv/static');
  const file = ['phoenix.cjs.js', 'phoenix.js'].map((f) => path.join(dir, f)).find((f) => fs.existsSync(f));
  const { XMLHttpRequest, close } = xhrOfPage(headers);
  const PageSocket = headers ? webSocketOfPage(headers) : WebSocket;
  const store = new Map();
  const sessionStorage = { getItem: (k) => store.get(k) ?? null, setItem: (k, v) => store.set(k, String(v)) };
  const window = { WebSocket: PageSocket, XMLHttpRequest, sessionStorage, addEventListener() {}, document: { addEventListener() {}, visibilityState: 'visible' } };
  window.self = window;
  const module = { exports: {} };
  // Old versions leave heartbeat timers running when they disconnect; a closed page has none.
  const timers = [];
  const setTimer = (...args) => {
    timers.push(setInterval(...args));
    return timers.at(-1);
  };
  const console = { log() {}, error() {}, warn() {} }; // it prints every answer that is no JSON
  const globals = { module, exports: module.exports, self: window, window, setInterval: setTimer, console };
  new Function(...Object.keys(globals), fs.readFileSync(file, 'utf8'))(...Object.values(globals));
  const sockets = [];
  const { Socket, LongPoll, Presence } = module.exports;
  return {
    LongPoll,
    Presence,
    /** A connected Socket of this page. transport: 'websocket' | 'longpoll' | undefined (its default). */
    connect(url, { transport, params = {}, ...options } = {}) {
      const chosen = { websocket: PageSocket, longpoll: LongPoll }[transport];
      const socket = new Socket(url, { ...(chosen ? { transport: chosen } : {}), params, ...options });
      sockets.push(socket);
      socket.connect();
      return socket;
    },
    close() {
      for (const s of sockets) {
        try {
          s.disconnect();
        } catch {
          // old versions trip over a transport that is gone already
        }
        s.reconnectTimer?.reset();
      }
      for (const t of timers) clearInterval(t);
      close();
    },
  };
}

/** A push (or join, or leave) as a promise: resolves with the ok response, rejects otherwise. */
export const answer = (push) => new Promise((resolve, reject) => {
  push.receive('ok', resolve);
  push.receive('error', (r) => reject(new Error(`error reply ${JSON.stringify(r)}`)));
  push.receive('timeout', () => reject(new Error('no reply in time')));
});

/** A channel, joined. */
export async function join(socket, topic, params = {}) {
  const channel = socket.channel(topic, params);
  await answer(channel.join());
  return channel;
}
