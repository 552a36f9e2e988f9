// A tab with a session: what it hears, and buttons for all ways to go.

import { store, stored } from "./accounts.js";
import { AdieuSocket } from "./adieu-client.js"; // @adieu/client as it is published
import { $, el } from "./elements.js";
import { addFooter } from "./footer.js";
import { clock, duration, plural, wholeSeconds } from "./words.js";

const LOG_MAX = 50; // lines of the log, kept across a refresh
const WAITING_MS = 50; // between two looks at what waits for the gateway
const BUTTONS = ["lose", "goodbye", "close", "backend-send", "backend-end", "send"];

let lostAt = null; // when the network was lost, until this page has noticed
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
// A backend may be asked whose tab it is: /session?user=anna names a user to the example.
// So each name has a session of its own in this tab, also where no backend is asked.
const socket = new AdieuSocket(`${scheme}//${location.host}/ws${location.search}`, {
  storageKey: `adieu:/session${location.search}`,
});

// ---- what is heard ------------------------------------------------------------------------------

const WHY_ENDED = {
  goodbye: "The session is over: this tab said so.",
  superseded: "Another tab has the session now.",
  backend: "The backend ended the session.",
  refused: "The backend refused this tab.",
  replaced: "Another user is in this tab now.",
  expired: "The old session was over: this tab came back too late.",
  invalid: "The server did not know the old session.",
  stale: "The old session is in use elsewhere.",
  lost: "The old session could not go on: messages were missing.",
  origin: "The old session was begun on another site.",
  closed: "The session is over: this tab closed it.",
  unsupported: "The server does not speak adieu.v1.",
};

socket.addEventListener("open", () => {
  note("A new session began.");
  connected("A new session");
});

socket.addEventListener("resumed", ({ detail }) => {
  const { generation, afterPageLoad } = detail;
  const how = afterPageLoad ? " after a page load" : "";
  note(`The session goes on${how}: connection ${generation}.`);
  connected(`The same session, connection ${generation}`);
});

socket.addEventListener("interrupted", ({ detail }) => {
  if (lostAt !== null) noticed();
  const seconds = (detail.retryIn / 1000).toFixed(1);
  note(`The connection ended (${detail.code}); the next try is in ${seconds} s.`);
  setState("connecting", "Connecting again…", `Session ${socket.sessionId}`);
});

socket.addEventListener("ended", ({ detail }) => {
  const { reason, code, text } = detail;
  const said = text ? ` It said “${text}”.` : "";
  note(`${WHY_ENDED[reason] ?? "The session is over."}${code ? ` Close ${code}.` : ""}${said}`);
});

socket.addEventListener("close", ({ code }) => {
  lostAt = null;
  setState("closed", "The session is over", `The page was told close(${code}).`);
});

socket.addEventListener("message", ({ data }) => note(`The backend says “${data}”.`));

// There is no event for it: as with a WebSocket, one looks at what is still waiting.
function tellWaiting() {
  const waits = socket.bufferedAmount;
  $("sent").textContent = waits
    ? `${plural(waits, "byte")} not acknowledged yet.`
    : "The server has all messages.";
  if (waits) setTimeout(tellWaiting, WAITING_MS);
}

function connected(title) {
  setState("open", title, `Session ${socket.sessionId}`);
  tellUser(socket.sessionId);
}

// Who this is stands with the session: a page may say what it likes in its address.
async function tellUser(id) {
  const view = await api("GET", id, "");
  if (!view?.ok || id !== socket.sessionId || document.body.dataset.state !== "open") return;
  const { userId } = await view.json();
  const asked = new URLSearchParams(location.search).get("user");
  const unknown = asked
    ? `. The server does not know you as “${asked}”: only a backend names users.` : "";
  $("status-detail").textContent =
    userId ? `User ${userId}, session ${id}` : `Session ${id}${unknown}`;
}

function setState(next, title, detail) {
  document.body.dataset.state = next;
  $("status").textContent = title;
  $("status-detail").textContent = detail;
  const focused = document.activeElement;
  for (const id of BUTTONS) $(id).disabled = next !== "open";
  $("again").hidden = next !== "closed";
  // The button that was pressed is gone for the keyboard now; go on at what can be done.
  if (next === "closed" && focused?.disabled) $("again").focus();
}

// ---- the log ------------------------------------------------------------------------------------

function log() {
  return JSON.parse(stored("adieu-session-log") ?? "[]");
}

function note(text) {
  const at = Date.now();
  store("adieu-session-log", JSON.stringify([{ at, text }, ...log()].slice(0, LOG_MAX)));
  $("log").prepend(line({ at, text }));
}

function line({ at, text }) {
  return el("li", "", el("time", "when", clock(at)), el("span", "", text));
}

tellOfCopy();
$("log").replaceChildren(...log().map(line));
addFooter();

// ---- buttons ------------------------------------------------------------------------------------

const press = (id, act) => $(id).addEventListener("click", act);

press("refresh", () => location.reload());
press("lose", loseNetwork);
press("duplicate", duplicate);
press("goodbye", () => socket.goodbye());
press("close", () => socket.close(1000));
press("again", () => location.reload());
press("backend-send", () => asBackend("POST", "/messages", "A message of the backend"));
press("backend-end", () => asBackend("DELETE", ""));

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  socket.send($("text").value);
  tellWaiting();
});

// What a backend would do through the API.
async function asBackend(method, path, text) {
  const answer = await api(method, socket.sessionId, path, text);
  if (!answer) note("The API does not answer.");
  else if (!answer.ok) note(`The API answered ${answer.status}: ${await answer.text()}`);
}

async function api(method, id, path, text) {
  const headers = text ? { "Content-Type": "text/plain" } : {};
  return ask(`/api/sessions/${encodeURIComponent(id)}${path}`, { method, headers, body: text });
}

async function ask(url, options) {
  try {
    return await fetch(url, { cache: "no-store", ...options });
  } catch {
    return null;
  }
}

// ---- the network --------------------------------------------------------------------------------

// A script cannot end a WebSocket without a Close, so the server does it: its kernel drops all that
// comes on this connection. Each side finds that out by the silence alone.
async function loseNetwork() {
  $("lose").disabled = true;
  const path = `/sessions/${encodeURIComponent(socket.sessionId)}/lose-network`;
  const answer = await ask(path, { method: "POST" });
  if (answer?.ok) {
    lostAt = Date.now();
    note("The network of this connection is lost. No goodbye was said.");
    tellLost();
    return;
  }
  $("lose").disabled = false;
  note(answer ? `The network is still there: ${(await answer.json()).error}.`
    : "The server does not answer.");
}

// The seconds pass until the page notices.
function tellLost() {
  if (lostAt === null) return;
  $("lose-said").textContent = `Lost for ${wholeSeconds(lostAt)}, and this page has not noticed: `
    + "it still believes that it is connected. Now and then it asks the server for a sign of life.";
  setTimeout(tellLost, 1000);
}

function noticed() {
  const after = duration(Date.now() - lostAt);
  lostAt = null;
  note(`The server did not answer: this page noticed the lost network after ${after}.`);
  $("lose-said").textContent = `This page noticed the lost network after ${after}.`;
}

// ---- a duplicated tab ---------------------------------------------------------------------------

// A tab that is opened by another one gets a copy of its sessionStorage, as if it were duplicated
// by the browser's menu.
function duplicate() {
  if (!window.open(location.href)) note("The browser did not let this page open a tab.");
}

function tellOfCopy() {
  const [navigation] = performance.getEntriesByType("navigation");
  if (!window.opener || navigation?.type !== "navigate") return;
  store("adieu-session-log", "[]"); // the other tab has heard that, not this one
  note("This tab is a copy of another one, with all that it had stored. But a session belongs to "
    + "one tab, so this one begins its own.");
}

// For tests and for the curious at the console.
window.adieu = { socket };
