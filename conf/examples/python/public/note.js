// The note in the page: what others write appears, what one writes is sent.
import { Socket } from "/phoenix.mjs";

const { topic, ticket: first } = document.querySelector("main").dataset;
const text = document.getElementById("text");
const status = document.getElementById("status");
let ticket = first;

function say(state, words) {
  status.dataset.state = state;
  status.textContent = words;
}

// A ticket lives for five minutes; a page that stays open asks for the next one in time. The socket
// takes whatever there is when it connects: params is asked each time.
async function renew() {
  const answer = await fetch("/ticket").catch(() => null);
  if (answer?.status === 401) location.assign("/"); // signed out
  else if (answer?.ok) ({ ticket } = await answer.json());
}
setInterval(renew, 120000);

const socket = new Socket("/socket", { params: () => ({ token: ticket }), longPollFallbackMs: 2500 });
const channel = socket.channel(topic, {});

channel.on("text", (note) => {
  text.value = note.text;
});
channel.join()
  .receive("ok", () => say("ok", text.readOnly ? "Live; you may read" : "Live; you may write"))
  .receive("error", ({ reason }) => say("bad", `Not allowed: ${reason}`));
socket.onError(() => {
  say("busy", "Not connected; trying again");
  renew(); // after a long sleep the ticket is too old
});
socket.connect();

let timer = null;
text.addEventListener("input", () => {
  timer ??= setTimeout(() => {
    timer = null;
    channel.push("text", { text: text.value });
  }, 200);
});
