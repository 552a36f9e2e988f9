// The timeline of a session on a line: bars for connections, gaps for the time away, marks where it
// was resumed or ended; and the same in words, for who cannot or will not look at it.

import { el, icon } from "./elements.js";
import { causeHue, causeIcon, causeSentence, departureText, entryText } from "./session-words.js";
import { gatewayNow, last, spans, stateOf } from "./sessions.js";
import { clock, duration } from "./words.js";

const SPANS_MAX = 40; // on one line: more would be too narrow to tell apart
const ENTRIES_MAX = 40; // in words at once

// ---- the line -----------------------------------------------------------------------------------

// As wide as they were long, but never too narrow to be seen: the widths are set by script, because
// the page's policy allows no style in its markup.
export function bar(timeline) {
  const all = spans(timeline);
  const shown = all.slice(-SPANS_MAX);
  const line = el("span", "time-line");
  line.setAttribute("aria-hidden", "true");
  if (all.length > shown.length) line.append(el("span", "earlier", "…"));
  for (const span of shown) line.append(...spanNodes(span));
  const end = last(timeline);
  if (end?.kind === "ended") line.append(endMark(end.cause));
  if (end?.kind === "away") line.append(...deadline(end));
  return line;
}

function spanNodes(span) {
  const node = el("span", `span span-${span.kind}`);
  node.title = spanTitle(span);
  if (span.to === null) {
    node.dataset.from = span.from;
    setWidth(node, gatewayNow() - span.from);
  } else {
    // Hidden by the style sheet where it does not fit.
    const text = span.kind === "unknown" ? "not known" : duration(span.to - span.from);
    node.append(el("span", "span-length", text));
    setWidth(node, span.to - span.from);
  }
  return span.resumed ? [resumeMark(span.resumed), node] : [node];
}

function setWidth(node, ms) {
  node.style.flexGrow = Math.max(ms, 1);
}

// What is left of the wait, and the announcement at its end.
function deadline({ until }) {
  const left = el("span", "span span-left");
  left.dataset.to = until;
  left.title = "What is left of the wait";
  setWidth(left, until - gatewayNow());
  const node = el("span", "mark mark-until");
  node.title = `Announced as gone at ${clock(until, false)}`;
  return [left, node];
}

function spanTitle({ kind, from, to, away }) {
  const when = `${clock(from, false)} to ${to === null ? "now" : clock(to, false)}`;
  const length = to === null ? "" : `, ${duration(to - from)}`;
  const what = {
    connection: "Connected", unknown: "Not known: before what the server remembers",
    away: `Away${away ? `: ${departureText(away.departure)}` : ""}`,
  }[kind];
  return `${what}. ${when}${length}`;
}

function resumeMark({ at, generation, superseded }) {
  const node = el("span", `mark ${superseded ? "mark-took-over" : "mark-resumed"}`);
  const how = superseded ? "A newer connection took over" : "Back";
  node.title = `${how}: connection ${generation}. ${clock(at, false)}`;
  return node;
}

function endMark(cause) {
  const node = el("span", `mark mark-ended cause-${causeHue(cause)}`, icon(causeIcon(cause)));
  node.title = causeSentence(cause);
  return node;
}

// What goes on gets longer, what is left gets shorter.
export function growBars() {
  for (const node of document.querySelectorAll(".span[data-from]")) {
    setWidth(node, gatewayNow() - Number(node.dataset.from));
  }
  for (const node of document.querySelectorAll(".span[data-to]")) {
    setWidth(node, Number(node.dataset.to) - gatewayNow());
  }
}

// ---- the same in words --------------------------------------------------------------------------

export function words(timeline) {
  const list = el("ol", "entries");
  const { startedAt, knownFrom, entries } = timeline;
  list.append(item(startedAt, "started", "cause-open", "Started", started(timeline)));
  const skipped = entries.length - ENTRIES_MAX;
  const unknown = knownFrom !== null && "What happened next is not known here any more.";
  const more = skipped > 0 && `${skipped} earlier entries are not shown.`;
  const gap = [unknown, more].filter(Boolean).join(" ");
  if (gap) list.append(el("li", "entry-gap", gap));
  entries.forEach((entry, i) => {
    if (i < skipped) return;
    const { title, gloss } = entryText(entry, entries[i - 1]);
    list.append(item(entry.at, entry.kind, entryIcon(entry), title, gloss));
  });
  if (stateOf(timeline) === "here") list.append(el("li", "entry-gap", "Here now."));
  return list;
}

function started({ plain }) {
  return plain ? "A client that does not speak adieu.v1: one connection is all of it."
    : "Connection 1.";
}

function entryIcon({ kind, cause }) {
  if (kind === "ended") return causeIcon(cause);
  return kind === "away" ? "session-away" : "session-back";
}

function item(at, kind, symbol, title, gloss) {
  const time = el("time", "when", clock(at));
  time.dateTime = new Date(at).toISOString();
  return el("li", `entry entry-${kind}`, time, icon(symbol),
    el("div", "words", el("span", "what", title), gloss ? el("span", "gloss", gloss) : null));
}
