// The connection: phoenix.js, unmodified, and what this page wants to know about it.
//
// A Connection holds one socket with one channel. phoenix.js reconnects and rejoins by itself; here
// its doings become a few words ("waiting", attempt 3, next try at ...) that the page can show.
import { LongPoll, Presence, Socket } from "./phoenix.mjs";

const PUSH_TIMEOUT_MS = 10000;
const TYPING_EVERY_MS = 2000;
const EARLIER = 150; // places in the log that whoever enters looks back: fewer than conf/demo.conf keeps
const FALLBACK_KEY = "phx:fallback:LongPoll"; // where phoenix.js remembers that it fell back

// Without jitter all pages would come back in the same moment after an outage.
const delay = (tries) => {
  const base = [200, 500, 1000, 2000, 4000][tries - 1] ?? 8000;
  return Math.round(base * (0.75 + Math.random() / 2));
};

export class Connection {
  /**
   * hooks: state({name, text, attempt, nextAt}), message(payload), joined({again, awayMs, recovered}),
   * event(text), roundTrip(ms), transport({name, forced, fellBack})
   */
  constructor({ path, topic, user, longpollOnly, hooks }) {
    Object.assign(this, { topic, longpollOnly, hooks });
    this.everJoined = false;
    this.lostAt = null;
    this.attempt = 0;
    this.ended = false;
    const options = {
      params: { user, device: deviceName() },
      reconnectAfterMs: (tries) => this.retryIn(tries),
      rejoinAfterMs: delay,
    };
    if (longpollOnly) options.transport = LongPoll;
    else options.longPollFallbackMs = 2500;
    this.socket = new Socket(path, options);
    this.socket.onOpen(() => this.opened());
    this.socket.onClose((event) => this.closed(event));
    this.socket.onError(() => this.failed());
    this.position = null; // everything up to there has come
    this.openRoom();
    // Notices are of the moment: a topic of its own, of which nothing is kept.
    this.typing = this.socket.channel(topic.replace(/^room:/, "typing:"), {});
    this.typing.on("typing", (payload) => this.hooks.typing(payload));
    this.typedAt = -Infinity;
  }

  /** The room's channel: a new one at the beginning, and another when it is entered to look back. */
  openRoom() {
    const channel = this.socket.channel(this.topic, () => (this.position === null ? {} : { since: this.position }));
    const current = () => this.channel === channel && !this.ended;
    const presence = new Presence(channel);
    this.channel = channel;
    channel.onMessage = (event, payload, ref) => {
      if (current() && isPosition(event, ref)) this.position = ref;
      return payload;
    };
    channel.on("message", (payload) => current() && this.hooks.message(payload));
    channel.onError((reason) => current() && this.channelLost(reason));
    channel.onClose(() => current() && this.hooks.event("The server closed the room"));
    presence.onSync(() => current() && this.hooks.people(presence.list(person)));
    presence.onJoin((name, before) => current() && this.settled && !before && this.hooks.came(name));
    presence.onLeave((name, left) => current() && this.settled && left.metas.length === 0 && this.hooks.left(name));
  }

  enterRoom() {
    const channel = this.channel;
    const current = (then) => (answer) => this.channel === channel && !this.ended && then(answer);
    channel.join()
      .receive("ok", current((response) => this.joined(response)))
      .receive("error", current((reason) => this.refused(reason)))
      .receive("timeout", current(() => this.hooks.event("The room did not answer in time; trying again")));
  }

  start() {
    this.hooks.state({ name: "connecting", text: "Connecting…" });
    this.socket.connect();
    this.enterRoom();
    this.typing.join();
    this.pinger = setInterval(() => this.ping(), 10000);
  }

  end() {
    this.ended = true;
    clearInterval(this.pinger);
    this.channel.leave();
    this.typing.leave();
    this.socket.disconnect();
    this.socket.reconnectTimer.reset();
  }

  /** Sends a message; done("ok" | "error" | "timeout", reason, ms) is called once. */
  send(payload, done) {
    const start = performance.now();
    this.channel.push("message", payload, PUSH_TIMEOUT_MS)
      .receive("ok", () => done("ok", null, performance.now() - start))
      .receive("error", (reason) => done("error", explain(reason)))
      .receive("timeout", () => done("timeout", "no answer from the server"));
  }

  /** Tells the others that `name` is writing, now and then. */
  sayTyping(name) {
    const now = performance.now();
    if (now - this.typedAt < TYPING_EVERY_MS || this.typing.state !== "joined") return;
    this.typedAt = now;
    this.typing.push("typing", { name });
  }

  get transportName() {
    return this.socket.transport === LongPoll ? "long-polling" : "WebSocket";
  }

  get fellBack() {
    return !this.longpollOnly && this.socket.transport === LongPoll;
  }

  // ---- what phoenix.js reports ----

  opened() {
    if (this.ended) return;
    this.attempt = 0;
    this.hooks.event(`Connected over ${this.transportName}${this.fellBack ? " (fallback)" : ""}`);
    this.hooks.transport({ name: this.transportName, forced: this.longpollOnly, fellBack: this.fellBack });
    this.hooks.state({ name: "connecting", text: "Entering the room…" });
  }

  closed(event) {
    if (this.ended) return;
    this.away();
    const code = event && event.code ? ` (code ${event.code})` : "";
    this.hooks.event(`Connection closed${code}`);
  }

  failed() {
    if (this.ended) return;
    this.hooks.event(`${this.transportName} did not get through`);
  }

  retryIn(tries) {
    const ms = delay(tries);
    this.attempt = tries;
    this.away();
    this.hooks.state({
      name: "waiting",
      text: navigator.onLine === false ? "This device is offline" : "No connection to the server",
      attempt: tries,
      nextAt: performance.now() + ms,
    });
    return ms;
  }

  channelLost(reason) {
    this.away();
    if (this.socket.isConnected() && reason !== "connection_closed") {
      this.hooks.event("The room failed on the server; entering it again");
      this.hooks.state({ name: "connecting", text: "Entering the room again…" });
    }
  }

  /** Who enters for the first time learns only then where the log ends: it enters again from somewhat
      before, and so is told what was said. */
  lookBack(position) {
    const [epoch, offset] = position.split(":");
    this.position = `${epoch}:${Math.max(0, Number(offset) - EARLIER)}`;
    this.channel.leave();
    this.openRoom();
    this.enterRoom();
  }

  joined({ position, recovered }) {
    if (this.position === null && typeof position === "string" && !position.endsWith(":0")) {
      this.lookBack(position);
      return;
    }
    if (typeof position === "string") this.position = position;
    const awayMs = this.lostAt === null ? 0 : performance.now() - this.lostAt;
    this.hooks.event(`Entered ${this.topic}`);
    this.hooks.state({ name: "ok", text: `Connected over ${this.transportName}` });
    this.settled = false; // the first state is no news
    setTimeout(() => (this.settled = true), 1500);
    this.hooks.joined({ again: this.everJoined, awayMs, recovered: recovered === true });
    this.everJoined = true;
    this.lostAt = null;
    this.ping();
  }

  refused(reason) {
    this.hooks.event(`The room refused: ${explain(reason)}`);
    this.hooks.state({ name: "bad", text: `The server does not let you into this room: ${explain(reason)}` });
  }

  // ---- helpers ----

  away() {
    if (this.everJoined) this.lostAt ??= performance.now();
  }

  ping() {
    if (!this.ended && !document.hidden) this.socket.ping((ms) => this.hooks.roundTrip(ms));
  }
}

/** Whether a message's ref is its place in the room's log (those of replies are numbers). */
const isPosition = (event, ref) => typeof ref === "string" && ref.includes(":") && !/^(phx|chan)_/.test(event);

const person = (name, { metas }) => ({ name, devices: metas.map((m) => String(m.device ?? "device")) });

/** What the others see of this device: its kind, nothing more. */
function deviceName() {
  const agent = navigator.userAgent;
  if (/iPad|Tablet/.test(agent)) return "tablet";
  return /Mobi|Android|iPhone/.test(agent) ? "phone" : "computer";
}

/** Lets the next connection try WebSocket again. */
export function forgetFallback() {
  try {
    sessionStorage.removeItem(FALLBACK_KEY);
  } catch {
    // storage is switched off: then nothing was remembered
  }
}

function explain(reason) {
  if (reason && typeof reason.reason === "string") return reason.reason.slice(0, 200);
  const text = JSON.stringify(reason);
  return text && text !== "{}" ? text.slice(0, 200) : "no reason given";
}
