// The page's one WebSocket: opened, used, closed, and opened again where nobody wished it closed.

import {
  fetchEndings, gateway, nameSocket, randomId, record, tab, takeAll, takeBelonged, takeEnded,
  takeOpened,
} from "./accounts.js";
import { watchDeadLetters } from "./dead-letters.js";
import { $ } from "./elements.js";
import { fetchSessions, takeEntry, takeSessions } from "./sessions.js";
import { duration, wholeSeconds } from "./words.js";

const RETRY_FIRST_MS = 1000; // longer than Firefox needs to leave a page whose socket it has ended
const RETRY_MAX_MS = 30000;
const POLL_SOON_MS = 400; // while the account of our own connection is still being written
const POLL_MS = 5000;

// The latest socket. Its number comes from the gateway, with `hello`. `wish` says who asked for
// the coming close: "page", "gateway", "left", "returned" or nobody.
export let current = null;
const retry = { attempt: 0, timer: null, at: null, said: "" };

const state = () => document.body.dataset.state;
const isOpen = () => current.socket.readyState === WebSocket.OPEN;

// The key of the socket that is not over yet, if there is one.
export function livingKey() {
  return state() === "closed" ? null : current.key;
}

// Something happened on the page while this socket was its latest.
export function note(kind, details) {
  record(current.key, kind, details);
}

// ---- opening and ending -------------------------------------------------------------------------

export function connect() {
  clearTimeout(retry.timer);
  retry.at = null;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/?tab=${encodeURIComponent(tab)}`);
  const fresh = { socket, key: randomId(), number: null, openSince: 0, wish: null };
  current = fresh;
  setState("connecting", "Connecting…", "Opening a WebSocket to this server.");
  // A socket of the past still speaks for itself, under its own key; only the latest one counts
  // for the page's state.
  socket.addEventListener("open", () => {
    record(fresh.key, "open");
    if (fresh === current) opened();
  });
  socket.addEventListener("error", () => record(fresh.key, "error"));
  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    record(fresh.key, "close", { code, reason, wasClean });
    if (fresh === current) closed(code, wasClean);
  });
  socket.addEventListener("message", ({ data }) => hear(fresh, data));
}

export function reconnect() {
  retry.attempt = 0;
  connect();
}

function opened() {
  current.openSince = Date.now();
  retry.attempt = 0;
  clearTimeout(poll);
  setState("open", "Connected", "Waiting for the server’s first words.");
}

function closed(code, wasClean) {
  const said = `The page was told close(${code}), ${wasClean ? "clean" : "not clean"}.`;
  if (current.wish === "returned") {
    connect();
    return;
  }
  if (current.wish === "page") {
    setState("closed", "Closed by this page", `${said} It stays closed until you reconnect.`);
  } else if (current.wish === "gateway") {
    setState("closed", "Closed by the server, as you asked",
      `${said} It stays closed until you reconnect.`);
  } else {
    const again = retry.attempt > 0;
    setState("closed", again ? "The server cannot be reached" : "The connection is gone", said);
    retryLater(said);
  }
  fetchAll().then(pollWhileClosed);
}

// Back-off doubles; the random half keeps a thousand pages from coming back in one instant.
function retryLater(said) {
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** retry.attempt);
  const delay = Math.max(RETRY_FIRST_MS, ceiling * (0.5 + Math.random() / 2));
  retry.attempt += 1;
  retry.at = Date.now() + delay;
  retry.said = said;
  retry.timer = setTimeout(connect, delay);
  refreshStatus();
}

// The network is back: do not wait for the next attempt.
export function networkIsBack() {
  if (retry.at !== null) connect();
}

// Awake again. The socket has not been told yet what became of it: let it say so, and connect anew
// when it has. One that a button closed before the page was left stays closed.
export function comeBack() {
  if (current.wish === "page" || current.wish === "gateway") return;
  if (current.socket.readyState === WebSocket.CLOSED) connect();
  else current.wish = "returned";
}

const fetchAll = () => Promise.all([fetchEndings(), fetchSessions()]);

// Without a socket nobody tells us about endings, our own least of all: ask, often while our own
// account is still missing, seldom afterwards, never while nobody looks.
let poll = null;
function pollWhileClosed() {
  clearTimeout(poll);
  if (state() === "open") return;
  const { number } = current;
  const missing = number !== null && !gateway.ended.has(number) && !retry.attempt;
  poll = setTimeout(async () => {
    if (state() === "closed" && !document.hidden) await fetchAll();
    pollWhileClosed();
  }, missing ? POLL_SOON_MS : POLL_MS);
}

// ---- what is said -------------------------------------------------------------------------------

function hear(connection, data) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return; // an echo of something that was not said through this page's protocol
  }
  if (message.type === "hello") {
    const own = message.endings.open.find((account) => account.id === message.id);
    nameSocket(connection.key, message.id, own?.openedAt ?? null);
    connection.number = message.id;
    takeAll(message.endings);
    takeSessions(message.sessions);
    watchDeadLetters(message.backend);
    refreshStatus();
  } else if (message.type === "opened") {
    takeOpened(message.account);
  } else if (message.type === "ended") {
    takeEnded(message.account, message.counts);
  } else if (message.type === "belonged") {
    takeBelonged(message);
  } else if (message.type === "entry") {
    takeEntry(message);
  } else if (message.type === "echo") {
    echoed(message.text);
  }
}

let saidAt = null;
export function say(text) {
  if (!isOpen()) return;
  saidAt = performance.now();
  current.socket.send(JSON.stringify({ type: "say", text }));
}

function echoed(text) {
  const after = saidAt === null ? "" : ` after ${duration(performance.now() - saidAt)}`;
  $("echo").textContent = `The server sent back “${text}”${after}.`;
}

export function closeFromGateway(code) {
  current.wish = "gateway";
  const reason = "the page asked for it";
  current.socket.send(JSON.stringify({ type: "close_me", code, reason }));
}

export function closeFromPage(...how) {
  current.wish = "page";
  current.socket.close(...how);
}

export function closeOnLeaving(kind) {
  if (!isOpen()) return;
  current.wish = "left"; // if the page stays alive after all, it connects again
  current.socket.close(4001, kind);
}

// ---- the status line ----------------------------------------------------------------------------

function setState(next, title, detail) {
  document.body.dataset.state = next;
  $("status").textContent = title;
  $("status-detail").textContent = detail;
  const focused = document.activeElement;
  for (const id of ["close", "close-4001", "send", "gateway-close-1001", "gateway-close-4000"]) {
    $(id).disabled = next !== "open";
  }
  $("reconnect").hidden = next !== "closed";
  // The button that was pressed is gone for the keyboard now; go on at its counterpart.
  if (next === "closed" && focused?.disabled) $("reconnect").focus();
}

// The seconds in it pass.
export function refreshStatus() {
  if (state() === "open" && current.number !== null) {
    $("status-detail").textContent =
      `Connection #${current.number}, open for ${wholeSeconds(current.openSince)}.`;
  } else if (retry.at !== null) {
    const left = Math.max(0, Math.ceil((retry.at - Date.now()) / 1000));
    $("status-detail").textContent =
      `${retry.said} Trying again in ${left} s (attempt ${retry.attempt}).`;
  }
}
