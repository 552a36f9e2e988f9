// What the backend has not taken: how much is on the way, what was refused, what the backend said
// last; and buttons that send one again or throw it away. Where there is no backend, the tab says
// how to name one.

import { $, el, icon } from "./elements.js";
import { Redrawn } from "./redrawn.js";
import { countInTab } from "./tabs.js";
import { date, plural } from "./words.js";

const SHOWN = 20; // the newest are enough to see what is wrong
const ASK_EVERY_MS = 2000; // dead letters are rare, and nobody waits for one
const LIST = `/api/dead-letters?order=newest&limit=${SHOWN}`;

// Name, colour and symbol of each state.
const STATES = {
  dead: ["Dead letter", "rst", "cause-rst"],
  parked: ["Parked", "drain", "session-away"],
  retrying: ["Being sent again", "open", "session-back"],
};

const cards = new Redrawn(new Map());
let timer = null;

// The gateway says with each list of the endings whether it has a backend.
export function watchDeadLetters(backend) {
  clearTimeout(timer);
  $("dead-letters").hidden = !backend;
  $("letters-no-backend").hidden = backend;
  if (backend) askAgainAndAgain();
}

export function wireDeadLetters() {
  $("letters-retry").addEventListener("click", () => act("POST", "/retry", "All are sent again."));
}

async function askAgainAndAgain() {
  clearTimeout(timer);
  if (!document.hidden) await ask();
  timer = setTimeout(askAgainAndAgain, ASK_EVERY_MS);
}

async function ask() {
  try {
    const answer = await fetch(LIST, { cache: "no-store" });
    if (answer.ok) show(await answer.json());
  } catch {
    // The gateway is away; the status line says so already.
  }
}

// What is said here is read out.
async function act(method, path, done) {
  try {
    const answer = await fetch(`/api/dead-letters${path}`, { method });
    $("letters-said").textContent = answer.ok ? done : (await answer.json()).error;
  } catch {
    $("letters-said").textContent = "The server does not answer.";
  }
  await ask();
}

// ---- what is shown ------------------------------------------------------------------------------

function show({ waiting, total, parked, deadLetters }) {
  const items = deadLetters.map((letter) => ({
    key: letter.id,
    signature: `${letter.state} ${letter.tries} ${letter.lastTriedAt}`,
    build: () => card(letter),
  }));
  const focused = $("letters-list").contains(document.activeElement);
  cards.reconcile($("letters-list"), items);
  cards.done(items);
  // The button that was pressed went with its card: the keyboard goes on at the title.
  if (focused && document.activeElement === document.body) $("letters-title").focus();
  countInTab("waiting", waiting + total);
  $("letters-summary").textContent = summary(total - parked, parked);
  $("letters-empty").textContent = onTheWay(waiting);
  $("letters-retry").hidden = total === 0;
  $("letters-empty").hidden = total > 0 && waiting === 0;
  $("letters-more").hidden = total <= SHOWN;
  $("letters-more").textContent =
    `The newest ${SHOWN} of ${total.toLocaleString("en")} are shown; all are in /api/dead-letters.`;
}

function onTheWay(waiting) {
  if (!waiting) return "The backend has taken everything.";
  return `${plural(waiting, "event")} on the way to the backend. Each session’s are told in order, `
    + "and tried again where the backend fails.";
}

function summary(messages, parked) {
  const parts = [];
  if (messages) parts.push(`${plural(messages, "message")}, not tried any more.`);
  if (parked) {
    parts.push(`${plural(parked, "event")} of sessions or users, parked: tried again at the next `
      + "start of the server, or here.");
  }
  return parts.join(" ") || "Messages and events that the backend will not take are kept here.";
}

function card(letter) {
  const [name, hue, symbol] = STATES[letter.state] ?? [letter.state, "unknown", "cause-unknown"];
  const meta = el("span", "meta", el("code", "", letter.type), el("span", "", date(letter.time)));
  const head = el("p", "card-head", el("span", "kind", icon(symbol), name), meta);
  const of = el("p", "session-line",
    el("span", letter.userId ? "session-user" : "session-id", letter.userId ?? letter.sessionId));
  of.title = `Session ${letter.sessionId}, event ${letter.eventId}`;
  const tried = `Tried ${plural(letter.tries, "time")}, last ${date(letter.lastTriedAt)}; `
    + `${plural(letter.bytes, "byte")}.`;
  return el("article", `card letter cause-${hue}`, head, of,
    el("p", "letter-error", letter.error), el("p", "letter-tried", tried), buttons(letter));
}

function buttons(letter) {
  const again = button("Send again", () =>
    act("POST", `/${letter.id}/retry`, "It is being sent again."));
  const discard = button("Discard", () => {
    const what = letter.state === "dead" ? "this message" : `this ${letter.type}`;
    if (!window.confirm(`The backend will never be told ${what}. Throw it away?`)) return;
    act("DELETE", `/${letter.id}`, "It was thrown away.");
  });
  return el("div", "letter-buttons", again, discard);
}

function button(text, press) {
  const node = el("button", "button", text);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
}
