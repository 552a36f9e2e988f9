// How what happens to sessions is called.

import { clock, duration, plural, sentenceOf } from "./words.js";

// Why people left: as short as a bar, and as a sentence; and whose colour and symbol that is.
const CAUSES = {
  goodbye: ["Said goodbye", "The page closed the session, so the server did not wait.", "client",
    "cause-client"],
  left: ["Closed for good", "The connection was closed with a code that ends the session, "
    + "so the server did not wait.", "client", "cause-client"],
  hidden: ["Left the page", "Left the page and did not come back in time.", "timeout",
    "session-hidden"],
  lost: ["Connection lost", "The connection was lost, and nobody came back in time.", "rst",
    "cause-rst"],
  drained: ["After our shutdown", "Did not come back after the server was stopped.", "drain",
    "cause-drain"],
  gateway_down: ["After our crash", "Did not come back after the server was down.", "panicked",
    "cause-panicked"],
  ended_by_backend: ["The backend ended it", "The backend ended the session.", "application",
    "cause-application"],
  replaced: ["Another user", "Another user is in this tab now.", "application",
    "cause-application"],
};

const unknown = (cause) => [cause, "The server has a reason this page has no words for.",
  "unknown", "cause-unknown"];

export const CAUSE_NAMES = Object.keys(CAUSES);
const cause = (name) => CAUSES[name] ?? unknown(name);
export const causeShort = (name) => cause(name)[0];
export const causeSentence = (name) => cause(name)[1];
export const causeHue = (name) => cause(name)[2];
export const causeIcon = (name) => cause(name)[3];

const DEPARTURES = {
  left: "said goodbye for good", hidden: "the page was left, or is being refreshed",
  lost: "the connection was lost without a word",
  drained: "the server went away and said when to come back",
  gateway_down: "the server was down",
};

export const departureText = (departure) => DEPARTURES[departure] ?? departure;

export function name(timeline) {
  return timeline.userId ?? timeline.sessionId.slice(0, 8);
}

// The seconds that are left; less than none while the announcement is on its way.
export function countdown(ms) {
  if (ms <= 0) return "now";
  return ms < 60000 ? `in ${Math.ceil(ms / 1000)} s` : `in ${duration(ms)}`;
}

// One sentence for each entry of a timeline, and what more there is to say.
export function entryText(entry, before) {
  switch (entry.kind) {
    case "away": return awayText(entry);
    case "resumed": return resumedText(entry, before);
    case "ended": return endedText(entry);
    default: return { title: entry.kind, gloss: "" };
  }
}

function awayText({ departure, until, at, sentence }) {
  const wait = `${upper(departureText(departure))}. Waited for until ${clock(until, false)}`
    + ` (${duration(until - at)}).`;
  return { title: "Away", gloss: [stopped(sentence), wait].filter(Boolean).join(" ") };
}

function resumedText({ generation, superseded, replayed, at }, before) {
  const again = replayed ? `${plural(replayed, "message")} sent again.` : "";
  if (superseded) {
    const gloss = "A newer connection took over; the older one was closed with 4002.";
    return { title: `Connection ${generation}`, gloss: [gloss, again].filter(Boolean).join(" ") };
  }
  const away = before?.kind === "away" ? ` after ${duration(at - before.at)}` : "";
  return { title: `Back${away}: connection ${generation}`, gloss: again };
}

function endedText({ cause: name, connections, sentence }) {
  const had = `${plural(connections, "connection")} in all.`;
  const told = [causeSentence(name), stopped(sentence), had];
  return { title: "Over", gloss: told.filter(Boolean).join(" ") };
}

// The sentence of an ending has no full stop of its own.
const stopped = (sentence) => sentence && `${sentenceOf(sentence, "client")}.`;
const upper = (text) => text[0].toUpperCase() + text.slice(1);
