// What is on the screen. Everything that came over the wire ends in textContent, nothing in HTML.

const KEPT = 500; // messages in the page
const TOGETHER_MS = 3 * 60 * 1000; // one author's messages within this share a heading

const $ = (id) => document.getElementById(id);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function time(date, format = clock) {
  const e = element("time", "", format.format(date));
  e.dateTime = date.toISOString();
  return e;
}

function colourOf(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) >>> 0;
  return h % 8;
}

const initialOf = (name) => [...name][0]?.toLocaleUpperCase() ?? "?";

/** "12 seconds", "3 minutes" */
export function duration(ms) {
  const s = Math.max(1, Math.round(ms / 1000));
  if (s < 90) return s === 1 ? "1 second" : `${s} seconds`;
  const m = Math.round(s / 60);
  return m < 90 ? `${m} minutes` : `${Math.round(m / 60)} hours`;
}

const entries = new WeakMap(); // a message's element -> its entry

/** Whether a message continues the one above it, and so needs no heading of its own. */
function group(item) {
  const entry = entries.get(item);
  const above = entries.get(item.previousElementSibling);
  const follows = entry && above && above.name === entry.name && above.mine === entry.mine && entry.at - above.at < TOGETHER_MS;
  item.classList.toggle("follows", Boolean(follows));
}

/** The messages. Entries are objects {id, name, text, at, mine, state, reason} with their element. */
export class Log {
  constructor(onRetry) {
    this.onRetry = onRetry;
    this.list = $("log");
    this.list.addEventListener("scroll", () => {
      if (this.atEnd) $("newer").hidden = true;
    });
    $("newer").addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.stuck && this.toEnd()).observe(this.list);
  }

  get atEnd() {
    const l = this.list;
    this.stuck = l.scrollHeight - l.scrollTop - l.clientHeight < 60;
    return this.stuck;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.stuck = true;
    $("newer").hidden = true;
  }

  /** Own messages that are still under way stay below what arrives meanwhile: so the order on the
      screen is the room's, the same for everybody. */
  append(item, underWay) {
    const follow = underWay || this.atEnd;
    this.list.insertBefore(item, underWay ? null : this.list.querySelector(".message.waiting"));
    while (this.list.childElementCount > KEPT) this.list.firstElementChild.remove();
    group(item);
    if (item.nextElementSibling) group(item.nextElementSibling);
    $("empty").hidden = true;
    if (follow) this.toEnd();
    else $("newer").hidden = false;
  }

  add(entry) {
    const item = element("li", `message${entry.mine ? " mine" : ""}`);
    const avatar = element("span", `avatar a${colourOf(entry.name)}`, initialOf(entry.name));
    avatar.setAttribute("aria-hidden", "true");
    const body = element("div", "body");
    const who = element("p", "who");
    const name = element("bdi", "", entry.mine ? "You" : entry.name);
    name.title = entry.name;
    who.append(name, time(entry.at));
    const text = element("p", "text", entry.text);
    text.dir = "auto";
    entry.delivery = element("p", "delivery");
    body.append(who, text);
    if (entry.mine) body.append(entry.delivery);
    item.append(avatar, body);
    entry.element = item;
    entries.set(item, entry);
    this.append(item, entry.state === "sending");
    if (entry.mine) this.showState(entry);
  }

  showState(entry) {
    const { element: item, delivery, state } = entry;
    item.classList.toggle("waiting", state === "sending");
    item.classList.toggle("unsent", state === "failed");
    delivery.className = `delivery${state === "failed" ? " failed" : ""}`;
    delivery.replaceChildren();
    delivery.hidden = state === "sent";
    if (state === "sending") {
      delivery.append("Sending…");
    } else if (state === "failed") {
      const retry = element("button", "", "Retry");
      retry.type = "button";
      retry.addEventListener("click", () => {
        this.list.focus();
        this.onRetry(entry);
      });
      delivery.append(`Not sent: ${entry.reason}`, retry);
    }
    if (this.stuck) this.toEnd();
  }

  /** A line between messages; kind "gap" where some may be missing, "recovered" where none is. */
  note(text, kind = "") {
    const item = element("li", `note ${kind}`);
    item.append(element("span", "", text));
    this.append(item, false);
  }
}

/** The line above the messages. */
export class Status {
  constructor() {
    setInterval(() => this.tick(), 250);
  }

  set({ name, text, attempt, nextAt }) {
    $("status").dataset.state = name;
    const full = attempt ? `${text}. Attempt ${attempt}` : text;
    if ($("status-text").textContent !== full) $("status-text").textContent = full; // announced once
    this.nextAt = nextAt ?? null;
    this.tick();
  }

  tick() {
    const left = this.nextAt === null || this.nextAt === undefined ? 0 : Math.ceil((this.nextAt - performance.now()) / 1000);
    const text = left > 0 ? `in ${left} s` : "";
    if ($("countdown").textContent !== text) $("countdown").textContent = text;
  }
}

/** "Anna", "Anna and Berta", "Anna, Berta and 3 others" */
function named(names) {
  if (names.length <= 2) return names.join(" and ");
  return `${names.slice(0, 2).join(", ")} and ${names.length === 3 ? names[2] : `${names.length - 2} others`}`;
}

/** Who is here, and who is writing. Several devices are one person. */
export class People {
  constructor(isMe) {
    this.isMe = isMe;
    this.writing = new Map(); // name -> timer
  }

  show(people) {
    people.sort((a, b) => Number(this.isMe(b.name)) - Number(this.isMe(a.name)) || a.name.localeCompare(b.name));
    $("people-count").textContent = people.length > 0 ? `(${people.length})` : "";
    $("people").replaceChildren(...people.map(({ name, devices }) => {
      const item = element("li");
      const avatar = element("span", `avatar small a${colourOf(name)}`, initialOf(name));
      avatar.setAttribute("aria-hidden", "true");
      item.append(avatar, element("bdi", "person", name));
      if (this.isMe(name)) item.append(element("span", "hint", "you"));
      if (devices.length > 1) item.append(element("span", "hint", `${devices.length} devices`));
      item.title = devices.join(", ");
      return item;
    }));
  }

  typing(name) {
    clearTimeout(this.writing.get(name));
    this.writing.set(name, setTimeout(() => this.stopped(name), 4000));
    this.tell();
  }

  stopped(name) {
    clearTimeout(this.writing.get(name));
    if (this.writing.delete(name)) this.tell();
  }

  tell() {
    const names = [...this.writing.keys()];
    $("typing").textContent = names.length === 0 ? "" : `${named(names)} ${names.length === 1 ? "is" : "are"} writing…`;
  }
}

/** The panel at the side. */
export const panel = {
  transport({ name, forced, fellBack }) {
    $("transport").textContent = name === "WebSocket" ? name : forced ? "long-polling" : "long-polling (fallback)";
    $("fallback").hidden = !fellBack;
  },
  reconnects(n) {
    $("reconnects").textContent = String(n);
  },
  roundTrip(ms) {
    $("rtt").textContent = ms < 1 ? "under 1 ms" : `${Math.round(ms)} ms`;
  },
  event(text) {
    const item = element("li");
    item.append(time(new Date(), clockSeconds), element("span", "", text));
    $("events").prepend(item);
    while ($("events").childElementCount > 50) $("events").lastElementChild.remove();
  },
};

/** Light, dark, or as the system has it. */
export function startTheme(stored, store) {
  const order = ["auto", "light", "dark"];
  const words = { auto: "Theme: as the system has it", light: "Theme: light", dark: "Theme: dark" };
  let theme = order.includes(stored) ? stored : "auto";
  const apply = () => {
    $("dark").media = { auto: "(prefers-color-scheme: dark)", light: "not all", dark: "all" }[theme];
    $("theme-label").textContent = words[theme];
    $("theme").title = words[theme];
  };
  $("theme").addEventListener("click", () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    store(theme);
    apply();
  });
  apply();
}
