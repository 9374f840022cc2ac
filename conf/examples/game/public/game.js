// The room as phoenix.js sees it: presence says who is here and where they stand, ticks where they
// move. ?longpoll in the address chooses long-polling, ?name=ann a name, ?room=2 another room.
import { LongPoll, Presence, Socket } from "/phoenix.mjs";

const query = new URLSearchParams(location.search);
const NAMES = ["ada", "bruno", "chloe", "dorian", "elif", "farid", "grace", "hugo", "ines", "jonas", "kira", "liam"];
const name = query.get("name") ?? (sessionStorage.name ??= NAMES[Math.floor(Math.random() * NAMES.length)] + Math.floor(Math.random() * 90 + 10));
const byId = (id) => document.getElementById(id);
const canvas = byId("room");
const dots = new Map(); // name -> {x, y: where it is drawn, to: where it is, text, until}
let room = { width: 800, height: 500, earshot: 200 };
let me = null; // where this page wants to be
let sent = null;

// ---- the channel ----

const socket = new Socket("/socket", { params: { name }, ...(query.has("longpoll") ? { transport: LongPoll } : { longPollFallbackMs: 2500 }) });
const channel = socket.channel(`game:${query.get("room") ?? "1"}`, () => me ?? {}); // who comes back stands where it stood
const presence = new Presence(channel);

function put(who, { x, y }) {
  const dot = dots.get(who);
  if (dot) dot.to = { x, y };
  else dots.set(who, { x, y, to: { x, y } });
}

presence.onSync(() => {
  const here = new Set();
  presence.list((who, { metas }) => {
    here.add(who);
    put(who, metas.at(-1));
  });
  for (const who of dots.keys()) if (!here.has(who)) dots.delete(who);
  byId("people").textContent = [...here].sort().join(", ");
});
channel.on("tick", ({ name: who, x, y }) => put(who, { x, y }));
channel.on("say", ({ name: who, text }) => {
  const dot = dots.get(who);
  if (dot) Object.assign(dot, { text, until: performance.now() + 5000 });
});
channel.join()
  .receive("ok", (response) => {
    room = response;
    me ??= { x: response.you.x, y: response.you.y };
    byId("status").textContent = `You are ${name}, over ${socket.transport === LongPoll ? "long-polling" : "WebSocket"}.`;
  })
  .receive("error", ({ reason }) => (byId("status").textContent = `Not let in: ${reason}`));
socket.onError(() => (byId("status").textContent = "Connecting again…"));
socket.connect();

// ---- moving ----

function go(x, y) {
  if (!me) return;
  me = { x: Math.max(0, Math.min(room.width, x)), y: Math.max(0, Math.min(room.height, y)) };
}
// A push for each step of a mouse would be many; the server ticks at 10 a second anyhow.
setInterval(() => {
  if (!me || channel.state !== "joined" || (sent && sent.x === me.x && sent.y === me.y)) return;
  sent = me;
  channel.push("move", me);
}, 50);

const place = ({ clientX, clientY }) => {
  const box = canvas.getBoundingClientRect();
  go(Math.round(((clientX - box.left) / box.width) * room.width), Math.round(((clientY - box.top) / box.height) * room.height));
};
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  place(event);
});
canvas.addEventListener("pointermove", (event) => event.buttons && place(event));
const STEPS = { ArrowLeft: [-12, 0], ArrowRight: [12, 0], ArrowUp: [0, -12], ArrowDown: [0, 12] };
canvas.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step || !me) return;
  event.preventDefault();
  go(me.x + step[0], me.y + step[1]);
});
byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text) channel.push("say", { text });
  byId("text").value = "";
});

// ---- drawing ----

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
const hue = (who) => [...who].reduce((sum, c) => (sum * 33 + c.codePointAt(0)) % 360, 7);

function bubble(g, { x, y, text }, unit) {
  const width = g.measureText(text).width + 16 * unit;
  const left = Math.max(4, Math.min(room.width - width - 4, x - width / 2));
  const top = Math.max(4, y - 16 - 30 * unit);
  g.fillStyle = colour("--ink");
  g.beginPath();
  g.roundRect(left, top, width, 24 * unit, 8 * unit);
  g.fill();
  g.fillStyle = colour("--room");
  g.fillText(text, left + width / 2, top + 17 * unit);
}

function draw(now) {
  const scale = (canvas.clientWidth / room.width) * devicePixelRatio;
  const g = canvas.getContext("2d");
  canvas.width = Math.round(room.width * scale);
  canvas.height = Math.round(room.height * scale);
  g.scale(scale, scale);
  const unit = Math.max(1, room.width / canvas.clientWidth); // words are to be read on a phone, too
  g.font = `${13 * unit}px system-ui, sans-serif`;
  g.textAlign = "center";
  g.fillStyle = colour("--grid");
  for (let x = 25; x < room.width; x += 25) for (let y = 25; y < room.height; y += 25) g.fillRect(x, y, 1.5, 1.5);
  for (const [who, dot] of dots) {
    const to = who === name && me ? me : dot.to;
    // Between ticks a dot glides; one's own is where one wants it.
    const pull = who === name ? 0.5 : 0.18;
    dot.x += (to.x - dot.x) * pull;
    dot.y += (to.y - dot.y) * pull;
    if (who === name) {
      g.strokeStyle = colour("--line");
      g.beginPath();
      g.arc(dot.x, dot.y, room.earshot, 0, 7);
      g.stroke();
    }
    g.fillStyle = `hsl(${hue(who)} ${dark.matches ? "75% 68%" : "65% 48%"})`;
    g.beginPath();
    g.arc(dot.x, dot.y, 12, 0, 7);
    g.fill();
    g.fillStyle = colour("--soft");
    g.fillText(who, dot.x, dot.y + 14 + 14 * unit);
    if (dot.until > now) bubble(g, dot, unit);
  }
  requestAnimationFrame(draw);
}
requestAnimationFrame(draw);
