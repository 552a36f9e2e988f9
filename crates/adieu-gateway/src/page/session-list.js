// The section of the sessions: who is here, who is away and until when, why people left.

import { $, el, icon, placeAt } from "./elements.js";
import { Redrawn } from "./redrawn.js";
import {
  CAUSE_NAMES, causeHue, causeIcon, causeSentence, causeShort, countdown, departureText, name,
} from "./session-words.js";
import { gatewayNow, last, lastAt, sessions, spans, stateOf, takeOver } from "./sessions.js";
import { countInTab } from "./tabs.js";
import { bar, growBars, words } from "./time-line.js";
import { clock, duration, plural } from "./words.js";

const CARDS_FIRST = 12; // drawn at once
const CARDS_MORE = 30; // drawn with each press of the button
const RENDER_EVERY_MS = 80; // a busy gateway may tell of hundreds of entries in a second

const filter = { bar: null, text: "" };
const unfolded = new Map(); // what the visitor folded or unfolded by hand
const cards = new Redrawn(unfolded);
let shown = CARDS_FIRST;
let timer = null;

export function renderSessionsSoon() {
  timer ??= setTimeout(render, RENDER_EVERY_MS);
}

export function wireSessions() {
  $("session-text").addEventListener("input", ({ target }) => {
    filter.text = target.value.trim().toLowerCase();
    render();
  });
  $("sessions-more").addEventListener("click", () => {
    shown += CARDS_MORE;
    render();
  });
}

function render() {
  clearTimeout(timer);
  timer = null;
  const all = inOrder();
  const matching = all.filter(passes);
  const items = matching.slice(0, shown).map(item);
  cards.reconcile($("session-list"), items);
  cards.done(items);
  drawBars();
  const none = all.length === 0;
  $("sessions-empty").hidden = !none;
  $("session-list").hidden = none;
  $("session-search").hidden = none;
  $("sessions-no-match").hidden = none || items.length > 0;
  const more = matching.length - items.length;
  $("sessions-more").hidden = more === 0;
  $("sessions-more").textContent = `Show more of ${matching.length.toLocaleString("en")}`;
  announce(takeOver());
}

// Who is away first, the next to be announced on top; then who is here, then who was.
function inOrder() {
  const newestFirst = (map) => [...map.values()].reverse();
  const living = newestFirst(sessions.here);
  const away = living.filter((timeline) => stateOf(timeline) === "away");
  away.sort((a, b) => last(a).until - last(b).until);
  const here = living.filter((timeline) => stateOf(timeline) === "here");
  return [...away, ...here, ...newestFirst(sessions.over)];
}

function passes(timeline) {
  const { bar: wanted, text } = filter;
  const kind = stateOf(timeline) === "over" ? last(timeline).cause : stateOf(timeline);
  if (wanted && wanted !== kind) return false;
  return !text || `${timeline.userId ?? ""} ${timeline.sessionId}`.toLowerCase().includes(text);
}

function announce(timelines) {
  if (!timelines.length) return;
  const newest = timelines[timelines.length - 1];
  const said = `${name(newest)} is gone. ${causeSentence(last(newest).cause)}`;
  $("sessions-announcer").textContent = timelines.length === 1
    ? said : `${timelines.length} sessions are over. The newest: ${said}`;
}

// ---- bars ---------------------------------------------------------------------------------------

const STATES = { here: ["Here", "open", "cause-open"], away: ["Away", "fin", "session-away"] };
const barOf = new Map();

// Changed in place, as those of the endings.
function drawBars() {
  const { attached, away, users } = sessions.counts;
  const counts = { here: attached, away, ...sessions.causes };
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const largest = Math.max(1, ...Object.values(counts));
  const causes = new Set([...CAUSE_NAMES, ...Object.keys(sessions.causes)]);
  const shown = [...causes].filter((cause) => counts[cause] || barOf.has(cause));
  [null, "here", "away", ...shown].forEach((kind, place) => {
    if (!barOf.has(kind)) barOf.set(kind, newBar(kind));
    const { item, button, number, fill } = barOf.get(kind);
    const count = kind === null ? total : counts[kind] ?? 0;
    number.textContent = count.toLocaleString("en");
    fill.style.width = count ? `${(count / largest) * 100}%` : "0";
    fill.hidden = count === 0;
    button.setAttribute("aria-pressed", String(filter.bar === kind));
    placeAt($("session-bars"), item, place);
  });
  countInTab("sessions", attached + away);
  $("session-bars").hidden = total === 0;
  $("sessions-users").textContent = users
    ? `${plural(users, "user")} with a session.` : "A session outlives its connections.";
}

function newBar(kind) {
  const [text, hue, symbol] = kind === null ? ["All"]
    : STATES[kind] ?? [causeShort(kind), causeHue(kind), causeIcon(kind)];
  const label = el("span", "bar-name", symbol && icon(symbol), text);
  const number = el("span", "bar-count");
  const fill = el("span", "bar-fill");
  const button = el("button", `bar cause-${hue ?? "all"}`, label, number,
    kind && el("span", "bar-track", fill));
  button.type = "button";
  button.dataset.kind = kind ?? "";
  button.addEventListener("click", () => {
    filter.bar = kind;
    render();
  });
  return { item: el("li", "", button), button, number, fill };
}

// ---- cards --------------------------------------------------------------------------------------

function item(timeline) {
  const key = timeline.sessionId;
  const open = unfolded.get(key) ?? false;
  const signature = `${timeline.entries.length} ${lastAt(timeline)}`;
  return { key, signature, open, build: () => card(timeline, open) };
}

function card(timeline, open) {
  const state = stateOf(timeline);
  const hue = state === "over" ? causeHue(last(timeline).cause) : STATES[state][1];
  const node = el("details", `card session is-${state} cause-${hue}`,
    summary(timeline, state), open ? body(timeline) : null);
  node.open = open;
  // At once: the toggle event comes later, and the list may be redrawn before.
  node.querySelector("summary").addEventListener("click", () => {
    unfolded.set(timeline.sessionId, !node.open);
  });
  node.addEventListener("toggle", () => {
    if (node.open && !node.querySelector(".card-body")) node.append(body(timeline));
  });
  return node;
}

function summary(timeline, state) {
  const entry = last(timeline);
  const [text, symbol] = state === "over"
    ? [causeShort(entry.cause), causeIcon(entry.cause)] : [STATES[state][0], STATES[state][2]];
  const who = el("span", timeline.userId ? "session-user" : "session-id", name(timeline));
  who.title = `Session ${timeline.sessionId}`;
  const meta = el("span", "meta", el("span", "", plural(timeline.connections, "connection")),
    el("span", "", when(timeline, state)));
  if (timeline.plain) meta.prepend(el("span", "badge", "without adieu.v1"));
  const head = el("span", "card-head", el("span", "kind", icon(symbol), text), meta,
    icon("chevron", "icon chevron"));
  return el("summary", "", head, el("span", "session-line", who, sentence(timeline, state)),
    bar(timeline));
}

function when(timeline, state) {
  const at = lastAt(timeline);
  return state === "over" ? clock(at, false) : `since ${clock(at, false)}`;
}

function sentence(timeline, state) {
  const entry = last(timeline);
  if (state === "over") return el("span", "session-why", causeSentence(entry.cause));
  if (state === "here") return null;
  const left = el("span", "session-left");
  left.dataset.until = entry.until;
  left.textContent = countdown(entry.until - gatewayNow());
  return el("span", "session-why", `${departureText(entry.departure)}: announced as gone `, left);
}

function body(timeline) {
  return el("div", "card-body", words(timeline), facts(timeline));
}

function facts(timeline) {
  const list = el("dl", "facts");
  const fact = (title, value) => {
    if (value) list.append(el("div", "fact", el("dt", "", title), el("dd", "", value)));
  };
  const end = stateOf(timeline) === "over" ? last(timeline) : null;
  fact("User", timeline.userId ?? "not known: no backend says who it is");
  fact("Session", el("code", "", timeline.sessionId));
  fact("Lasted", end && duration(end.at - timeline.startedAt));
  // Of a timeline that begins in the middle nobody can tell.
  fact("Connected", end && timeline.knownFrom === null && duration(connected(timeline)));
  fact("Messages", end && `${end.received} from the client, ${end.sent} to it`);
  fact("Not acknowledged", end?.unacknowledged && plural(end.unacknowledged, "message"));
  return list;
}

function connected(timeline) {
  const lengths = spans(timeline).filter(({ kind }) => kind === "connection");
  return lengths.reduce((sum, { from, to }) => sum + (to ?? gatewayNow()) - from, 0);
}

// ---- what passes --------------------------------------------------------------------------------

export function refreshSessions() {
  for (const node of document.querySelectorAll("[data-until]")) {
    node.textContent = countdown(Number(node.dataset.until) - gatewayNow());
  }
  growBars();
}
