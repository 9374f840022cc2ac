// The demonstration: a chat room over Phoenix channels.
//
// Every message has an id that its author chose. It comes back with the broadcast, so that the
// author's own copy is recognised, and a retry is shown once even when the first try had arrived.
import { Connection, forgetFallback } from "./connection.js";
import { duration, Log, panel, People, startTheme, Status } from "./view.js";

const NAME_MAX = 40;
const TEXT_MAX = 2000;
const KEY = "only-for-trying-pollux"; // the API key in conf/demo.conf

const $ = (id) => document.getElementById(id);

const asked = new URLSearchParams(location.search).get("room") ?? "";
const topic = `room:${/^[\w-]{1,64}$/.test(asked) ? asked : "lobby"}`;

// ---- what this browser remembers ----

const memory = {
  get(key) {
    try {
      return localStorage.getItem(`pollux-demo:${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`pollux-demo:${key}`, value);
    } catch {
      // storage is switched off: it is forgotten with the page
    }
  },
};

/** Without control characters, and short enough. */
const clean = (text, max) => [...String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "")].slice(0, max).join("");
/** A name stays on its own line and in its own direction: no line breaks, no direction overrides. */
const cleanName = (text) =>
  clean(String(text).replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, ""), NAME_MAX).replace(/\s+/g, " ").trim();

/** This browser's part of the ids of its messages, by which it knows them again. */
function authorId() {
  const id = memory.get("author") ?? randomText(6);
  memory.set("author", id);
  return `${id}.`;
}

const randomText = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(36).padStart(2, "0")).join("");

const state = {
  author: authorId(),
  name: cleanName(memory.get("name") ?? ""),
  longpollOnly: memory.get("longpoll") === "yes",
  connection: null,
  reconnects: 0,
  mine: new Map(), // id -> entry, ours
  seen: new Set(), // ids that are on the screen
};

const status = new Status();
const log = new Log((entry) => transmit(entry));
const people = new People((name) => name === state.name);

// ---- connection ----

const hooks = {
  state: (s) => status.set(s),
  event: panel.event,
  roundTrip: panel.roundTrip,
  transport: panel.transport,
  message: received,
  people: (list) => people.show(list.map((p) => ({ ...p, name: cleanName(p.name) || "somebody" }))),
  came: (name) => panel.event(`${cleanName(name)} came`),
  left(name) {
    people.stopped(cleanName(name));
    panel.event(`${cleanName(name)} left`);
  },
  typing(payload) {
    const name = cleanName(payload && typeof payload.name === "string" ? payload.name : "");
    if (name !== "" && name !== state.name) people.typing(name);
  },
  joined({ again, awayMs, recovered }) {
    if (!again) return;
    state.reconnects += 1;
    panel.reconnects(state.reconnects);
    if (recovered) log.note(`Back after ${duration(awayMs)}. Nothing is missing: what came in between follows.`, "recovered");
    else log.note(`Back after ${duration(awayMs)}. Messages from in between may be missing.`, "gap");
  },
};

function connect() {
  const before = state.connection;
  before?.end();
  state.connection = new Connection({ path: "/socket", topic, user: state.name, longpollOnly: state.longpollOnly, hooks });
  state.connection.everJoined = before?.everJoined ?? false;
  state.connection.position = before?.position ?? null;
  state.connection.away();
  state.connection.start();
  for (const entry of state.mine.values()) if (entry.state === "sending") transmit(entry);
}

// ---- messages ----

function received(payload) {
  if (payload === null || typeof payload !== "object" || typeof payload.text !== "string") {
    panel.event("A message of another shape came and was left out");
    return;
  }
  const id = typeof payload.id === "string" ? payload.id.slice(0, 64) : null;
  const own = id !== null && state.mine.get(id);
  if (own) {
    settle(own, "sent");
    return;
  }
  if (id !== null && state.seen.has(id)) return;
  if (id !== null) state.seen.add(id);
  const name = cleanName(typeof payload.name === "string" ? payload.name : "") || "somebody";
  people.stopped(name);
  // Earlier words of this browser's own are the user's as well; its other pages may use other names.
  const mine = id !== null && id.startsWith(state.author) && name === state.name;
  log.add({ id, name, text: clean(payload.text, TEXT_MAX), mine, state: "sent", at: timeOf(payload.at) });
}

/** When something was said, by its author's clock; never later than now. */
const timeOf = (at) => new Date(Number.isFinite(at) && at > 0 ? Math.min(at, Date.now()) : Date.now());

function settle(entry, to, reason) {
  if (entry.state === "sent") return; // its broadcast came; a late time-out changes nothing
  entry.state = to;
  entry.reason = reason;
  log.showState(entry);
}

function transmit(entry) {
  const attempt = (entry.attempt = (entry.attempt ?? 0) + 1);
  settle(entry, "sending");
  state.connection.send({ id: entry.id, name: state.name, text: entry.text, at: entry.at.getTime() }, (outcome, reason, ms) => {
    if (outcome === "ok") {
      panel.roundTrip(ms);
      settle(entry, "sent");
    } else if (entry.attempt === attempt) {
      settle(entry, "failed", reason);
    }
  });
}

function say(text) {
  const id = state.author + randomText(9);
  const entry = { id, name: state.name, text, mine: true, state: "sending", at: new Date() };
  state.mine.set(id, entry);
  log.add(entry);
  transmit(entry);
}

// ---- composer ----

function fit() {
  const t = $("text");
  t.style.height = "auto";
  t.style.height = `${Math.min(t.scrollHeight + 2, 160)}px`;
}

$("text").addEventListener("input", () => {
  fit();
  if ($("text").value.trim() !== "") state.connection?.sayTyping(state.name);
});
$("text").addEventListener("keydown", (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  $("composer").requestSubmit();
});
$("composer").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = clean($("text").value, TEXT_MAX).trim();
  $("text").focus();
  if (text === "") return;
  $("text").value = "";
  fit();
  say(text);
});

// ---- name ----

function askName() {
  $("name").value = state.name;
  $("name-error").textContent = "";
  $("name").removeAttribute("aria-invalid");
  $("name-cancel").hidden = state.name === "";
  $("name-dialog").showModal();
  $("name").select();
}

$("name-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const name = cleanName($("name").value);
  if (name === "") {
    $("name").setAttribute("aria-invalid", "true");
    $("name-error").textContent = "Please type a name: one letter is enough.";
    $("name").focus();
    return;
  }
  $("name-dialog").close();
  enter(name);
});
$("name-dialog").addEventListener("cancel", (e) => {
  if (state.name === "") e.preventDefault(); // there is no room without a name
});
$("name-dialog").addEventListener("close", () => {
  if (state.name === "") queueMicrotask(() => state.name === "" && askName());
});
$("name-cancel").addEventListener("click", () => $("name-dialog").close());
$("change-name").addEventListener("click", askName);

function enter(name) {
  const changed = name !== state.name;
  state.name = name;
  memory.set("name", name);
  $("my-name").textContent = name;
  if (changed || !state.connection) connect();
  $("text").focus();
}

// ---- panel ----

$("force").checked = state.longpollOnly;
$("force").addEventListener("change", () => {
  state.longpollOnly = $("force").checked;
  memory.set("longpoll", state.longpollOnly ? "yes" : "no");
  panel.event(state.longpollOnly ? "You chose long-polling only" : "You allowed WebSocket again");
  forgetFallback();
  $("fallback").hidden = true;
  if (state.name !== "") connect();
});
$("retry-websocket").addEventListener("click", () => {
  forgetFallback();
  $("fallback").hidden = true;
  $("force").focus();
  connect();
});

function showPanel(open) {
  $("panel").classList.toggle("open", open);
  $("show-panel").setAttribute("aria-expanded", String(open));
}
$("show-panel").addEventListener("click", (e) => {
  e.stopPropagation();
  showPanel($("show-panel").getAttribute("aria-expanded") !== "true");
});
document.addEventListener("click", (e) => {
  if (!$("panel").contains(e.target)) showPanel(false);
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape" || !$("panel").classList.contains("open")) return;
  showPanel(false);
  $("show-panel").focus();
});

const example = JSON.stringify({ topic, event: "message", payload: { name: "terminal", text: "Hello" } });
const command = `curl -H 'X-Pollux-Key: ${KEY}' \\\n  -H 'Content-Type: application/json' \\\n  -d '${example}' \\\n  ${location.origin}/api/publish`;
$("command").textContent = command;
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(command);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("command"));
    $("copy").textContent = "Selected: copy it with your keyboard";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 3000);
});

// ---- start ----

startTheme(memory.get("theme"), (theme) => memory.set("theme", theme));
$("room-name").textContent = topic;
if (state.name === "") askName();
else enter(state.name);
