// Follows the topic from where the page that the server made ends.
import { Socket } from "/phoenix.mjs";

const list = document.getElementById("news");
const status = document.getElementById("status");
let last = list.dataset.position;
let joined = false;

function say(state, text) {
  status.dataset.state = state;
  status.textContent = text;
}

function showEmpty() {
  document.getElementById("none").hidden = list.children.length > 0;
}

const clock = (at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function add({ headline, by, time }) {
  const at = new Date(time * 1000);
  const item = document.createElement("li");
  const [what, who, when] = ["b", "span", "time"].map((name) => document.createElement(name));
  what.textContent = headline; // as text, whatever it says
  who.className = "by";
  when.dateTime = at.toISOString();
  when.textContent = clock(at);
  who.append(`${by}, `, when);
  item.append(what, " ", who);
  list.prepend(item);
  showEmpty();
}

showEmpty();
for (const when of list.querySelectorAll("time")) when.textContent = clock(new Date(when.dateTime)); // the visitor's time
// WebSocket; where something on the way blocks it, long-polling after 2.5 seconds.
const socket = new Socket("/socket", { longPollFallbackMs: 2500 });
const channel = socket.channel(list.dataset.topic, () => ({ since: last }));

// Each message carries its position: after a pause, the join asks for what came since.
channel.onMessage = (event, payload, ref) => {
  if (typeof ref === "string" && ref.includes(":")) last = ref;
  return payload;
};
channel.on("headline", add);
channel.join()
  .receive("ok", ({ recovered }) => {
    if (joined && recovered === false) location.reload(); // away for too long: the server makes the page anew
    joined = true;
    say("ok", "Live");
  })
  .receive("error", ({ reason }) => say("bad", `Not live: ${reason}`));
socket.onError(() => say("busy", "Not connected; trying again"));
socket.connect();
