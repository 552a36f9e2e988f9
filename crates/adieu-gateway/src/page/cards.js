// One connection as a card: folded a sentence and both accounts in a line each, unfolded the
// picture, the facts and what they mean.

import { accountKey, tab } from "./accounts.js";
import { el, icon } from "./elements.js";
import { meaning } from "./meaning.js";
import { eventTitle, gatewayMoments } from "./moments.js";
import { heading, picture } from "./picture.js";
import {
  clock, closeFull, compressedText, cutText, duration, kindOf, kindText, lookOf, messagesText, plural,
  sentenceOf, transportText, unsentText, versionText, wholeSeconds, who,
} from "./words.js";

const TELLING = ["pagehide", "error", "close"]; // the page's events on a folded card
const TELLING_MAX = 5;

export const unfolded = new Map(); // what the visitor folded or unfolded by hand

export function card(account, events, open) {
  const key = accountKey(account);
  const look = account.ending ? lookOf(kindOf(account.ending)) : "open";
  const node = el("details", `card cause-${look}`,
    summary(account, events), open ? body(account, events) : null);
  if (account.tab === tab) node.classList.add("own");
  node.open = open;
  // At once: the toggle event comes later, and the list may be redrawn before.
  node.querySelector("summary").addEventListener("click", () => unfolded.set(key, !node.open));
  node.addEventListener("toggle", () => {
    if (node.open && !node.querySelector(".card-body")) node.append(body(account, events));
  });
  return node;
}

// Sockets of this tab that the gateway knows nothing about: it was away, or has been restarted.
export function orphanCard(events) {
  const failed = events.filter((event) => event.kind === "close").length;
  const never = !events.some((event) => event.kind === "open");
  const text = never
    ? `${plural(failed, "attempt")} to connect reached no server. The page is only told 1006.`
    : "The server has no account of this connection: it was restarted, or it forgot.";
  const head = el("span", "card-head",
    el("span", "kind", icon("cause-handshake"), "Seen by this page only"),
    el("span", "meta", el("span", "badge", "this tab"),
      el("span", "", clock(events[events.length - 1].at, false))),
    icon("chevron", "icon chevron"));
  const inside = el("div", "card-body", heading(null), picture(null, events));
  return el("details", "card own cause-handshake",
    el("summary", "", head, el("span", "sentence", text)), inside);
}

// ---- folded -------------------------------------------------------------------------------------

function summary(account, events) {
  const { ending } = account;
  const kind = ending
    ? el("span", "kind", icon(`cause-${lookOf(kindOf(ending))}`),
      kindText(kindOf(ending)))
    : el("span", "kind", icon("cause-open"), "Open");
  const meta = el("span", "meta",
    account.userId && el("span", "user", account.userId),
    el("span", "number", `#${account.id}`),
    el("span", "", account.browser ?? "not a browser"),
    ending ? el("span", "", clock(account.endedAt, false)) : since(account.openedAt));
  if (account.tab === tab) meta.prepend(el("span", "badge", "this tab"));
  if (account.userAgent) meta.title = account.userAgent;
  const head = el("span", "card-head", kind, meta, icon("chevron", "icon chevron"));
  if (!ending) return el("summary", "", head);
  return el("summary", "", head,
    el("span", "sentence", sentenceOf(ending.sentence, who(account))), strip(account, events));
}

function since(openedAt) {
  const node = el("span", "since");
  node.dataset.since = openedAt;
  node.textContent = `for ${wholeSeconds(openedAt)}`;
  return node;
}

// The seconds of the open ones pass.
export function refreshAges() {
  for (const node of document.querySelectorAll("[data-since]")) {
    node.textContent = `for ${wholeSeconds(Number(node.dataset.since))}`;
  }
}

// The arrows point as in the picture: the gateway stands on the left, the page on the right.
function strip(account, events) {
  const seen = gatewayMoments(account).filter((moment) => moment.wire !== "connect");
  const lines = [stripLine("Server", seen.map((moment) => chip(moment, account)))];
  if (events.length) {
    const told = events.filter((event) => TELLING.includes(event.kind)).slice(-TELLING_MAX)
      .map((event) => el("span",
        `chip kind-${event.kind} ${event.wasClean ? "clean" : "unclean"}`,
        el("span", "what", eventTitle(event))));
    if (!events.some((event) => event.kind === "close")) {
      told.push(el("span", "chip none", "no close event"));
    }
    lines.push(stripLine("Page", told));
  }
  return el("span", "strip", ...lines);
}

function stripLine(name, chips) {
  return el("span", "strip-line", el("span", "strip-name", name), ...chips);
}

function chip({ way, wire, chip: words = wire, text }, account) {
  const arrow = { in: "←", out: "→", lost: "×" }[way];
  const from = way === "out" ? "from the server" : `from the ${who(account)}`;
  const node = el("span", `chip ${way}`, el("span", "chip-arrow", arrow), words);
  node.title = way === "lost" ? text : `${wire} ${from}: ${text}`;
  return node;
}

// ---- unfolded -----------------------------------------------------------------------------------

function body(account, events) {
  const note = notes(account, events);
  const box = el("div", "card-body", heading(account), picture(account, events));
  if (note) box.append(el("p", "note", note));
  box.append(facts(account));
  if (account.ending) {
    const paragraphs = meaning(account, events).map((text) => el("p", "", text));
    box.append(el("div", "meaning", el("h3", "", "What this means"), ...paragraphs));
  }
  return box;
}

function notes(account, events) {
  if (account.sessionId) return "It was a connection of a session: see the tab Sessions.";
  if (account.tab === null) return "A program, not this page, held this connection.";
  if (account.tab !== tab) return "Another tab held it. Only that page knows what it was told.";
  if (!events.length) return "This tab has forgotten what it saw of it.";
  if (account.ending && !events.some((event) => event.kind === "close")) {
    return "No close event. The page was never told.";
  }
  return null;
}

function facts(account) {
  const { ending } = account;
  const list = el("dl", "facts");
  const fact = (name, value) => {
    if (value) list.append(el("div", "fact", el("dt", "", name), el("dd", "", value)));
  };
  const peer = who(account);
  fact("User", account.userId);
  fact("Session", account.sessionId && el("code", "", account.sessionId));
  fact(`The ${peer}’s Close`, ending && closeFull(ending.received));
  fact("The server’s Close", ending && closeFull(ending.sent));
  fact("TCP", ending && transportText(ending, peer));
  fact("Lasted", ending && duration(account.timeline.ended));
  fact("Messages", ending && messagesText(account));
  fact("Version", versionText(account.version));
  fact("Cut", ending && cutText(ending.cut));
  fact("Lost", ending && unsentText(ending));
  fact("Compressed", ending?.compressed && compressedText(ending.compressed));
  fact("Detail", ending?.detail);
  fact("Error", ending?.error);
  fact("Address", account.peer);
  return list;
}
