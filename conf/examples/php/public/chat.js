// The chat in the page. Cookies go along by themselves; PHP finds its session by them.
import { Presence, Socket } from "/phoenix.mjs";

const { room, csrf } = document.querySelector("main").dataset;
const [log, people, text, error, status] = ["log", "people", "text", "error", "status"].map((id) => document.getElementById(id));

function say(state, words) {
  status.dataset.state = state;
  status.textContent = words;
}

const socket = new Socket("/socket", { params: { csrf }, longPollFallbackMs: 2500 });
let last = null; // everything up to there has come
const channel = socket.channel(`room:${room}`, () => (last ? { since: last } : {}));
const presence = new Presence(channel);

// Each message carries its position: after a pause, the join asks for what came since.
channel.onMessage = (event, payload, ref) => {
  if (typeof ref === "string" && ref.includes(":")) last = ref;
  return payload;
};

presence.onSync(() => {
  people.textContent = presence.list((name) => name).join(", ");
});

const seen = new Set();
channel.on("message", (message) => {
  if (seen.has(message.id)) return; // PHP was asked twice
  seen.add(message.id);
  const item = document.createElement("li");
  const [who, when] = ["b", "time"].map((name) => document.createElement(name));
  const at = new Date(message.time * 1000);
  who.textContent = message.name;
  when.dateTime = at.toISOString();
  when.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  item.append(who, " ", when, document.createElement("br"), message.text); // as text, whatever it says
  log.append(item);
  log.scrollTop = log.scrollHeight;
});

channel.join()
  .receive("ok", ({ you, position }) => {
    last ??= position;
    say("ok", `Live, as ${you}`);
  })
  .receive("error", ({ reason }) => say("bad", `Not allowed: ${reason}`));
socket.onError(async () => {
  say("busy", "Not connected; trying again");
  const answer = await fetch("/session.php").catch(() => null);
  if (answer?.status === 401) location.assign("/"); // signed out, in another window perhaps
});
socket.connect();

document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  channel.push("message", { text: text.value })
    .receive("ok", () => {
      error.textContent = "";
      text.value = "";
    })
    .receive("error", ({ reason }) => {
      error.textContent = `Not sent: ${reason}`;
    })
    .receive("timeout", () => {
      error.textContent = "Not sent: no answer in time.";
    });
});
