// The sequence diagram of one connection: the gateway's lifeline on the left, the page's on the
// right, what travelled in between, oldest on top.

import { tab } from "./accounts.js";
import { el, svg } from "./elements.js";
import { eventGloss, eventTitle, moments } from "./moments.js";
import { clock, duration, plural } from "./words.js";

const ROWS_MAX = 32; // moments drawn in one picture
const GAP_MS = 1000; // a pause worth drawing

export function heading(account) {
  const own = account === null || account.tab === tab;
  const page = own ? "This page saw"
    : account.tab || account.sessionId ? "Its own page" : "No page";
  return el("div", "row rows-head",
    el("div", "when wide"), el("h3", "gateway", "The server saw"), el("div", "between"),
    el("h3", "page", page));
}

export function picture(account, events) {
  const all = moments(account, events);
  const shown = all.slice(-ROWS_MAX);
  const list = el("ol", "rows");
  if (all.length > shown.length) {
    list.append(el("li", "skipped", plural(all.length - shown.length, "earlier moment")));
  }
  shown.forEach((moment, i) => {
    const pause = i > 0 ? moment.at - shown[i - 1].at : 0;
    if (pause >= GAP_MS) list.append(gap(pause));
    list.append(row(moment));
  });
  return list;
}

function row(moment) {
  const { event } = moment;
  const words = event
    ? el("div", "words", el("code", "what", ...breakable(eventTitle(event))),
      el("span", "gloss", eventGloss(event)))
    : el("div", "words", el("span", "what", moment.text));
  words.append(timeTag(moment.at, "when narrow"));
  const node = el("li", `row ${event ? `at-page kind-${event.kind}` : "at-gateway"}`,
    timeTag(moment.at, "when wide"),
    el("div", "gateway", event ? null : words),
    el("div", "between", wire(moment)),
    el("div", "page", event ? words : null));
  if (event?.kind === "close") node.classList.add(event.wasClean ? "clean" : "unclean");
  return node;
}

function gap(ms) {
  const between = el("div", "between", wire(null), el("span", "pause", duration(ms)));
  return el("li", "row pause-row", el("div", "when wide"), el("div", "gateway"), between,
    el("div", "page"));
}

function timeTag(at, className) {
  const node = el("time", className, clock(at));
  node.dateTime = new Date(at).toISOString();
  return node;
}

// A narrow column should break these names where a reader would, not in the middle of "true".
function breakable(title) {
  const parts = title.replace(/visibility|persisted=/, "$&\n").split("\n");
  return parts.flatMap((part, i) => (i > 0 ? [document.createElement("wbr"), part] : [part]));
}

// ---- the lines of a row -------------------------------------------------------------------------

// The lifelines stand at 0 % and 100 %, so that a row stretches with its text without distorting
// the arrow.
function wire(moment) {
  const box = { class: "wire", width: "100%", height: "100%", "aria-hidden": "true" };
  const life = (x) => svg("line", { class: "life", x1: x, x2: x, y1: 0, y2: "100%" });
  return svg("svg", box, life("0"), life("100%"), ...(moment ? mark(moment) : []));
}

function mark({ event, way, wire: words }) {
  if (event) return [standing("100%", svg("circle", { class: "dot", r: 4 }))];
  const label = svg("text", { x: "50%", y: 11, "text-anchor": "middle" });
  label.textContent = words ?? "";
  const line = svg("line", { class: `arrow ${way}`, x1: 0, x2: "100%", y1: 17, y2: 17 });
  return [line, label, arrowHead(way)];
}

function arrowHead(way) {
  const shape = (className, d) => svg("path", { class: className, d });
  if (way === "out") return standing("100%", shape("head", "M-8 -4.5L-1 0l-7 4.5z"));
  if (way === "in") return shape("head", "M8 12.5L1 17l7 4.5z");
  return standing("50%", shape("cross", "M-4 -4l8 8M4 -4l-8 8"));
}

// A shape around a point of the line; a path itself knows no percentages.
function standing(x, shape) {
  return svg("svg", { x, y: 17, width: 1, height: 1, overflow: "visible" }, shape);
}
