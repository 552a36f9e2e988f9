// The sessions as the gateway tells them, as data. Nothing here knows how it is drawn.

const HERE_MAX = 1000; // as many as the gateway keeps
const OVER_MAX = 500;
const ENTRIES_MAX = 100;

// Timelines by session, the one that something happened to last at the end of each map. A timeline
// is { sessionId, userId, plain, startedAt, knownFrom, connections, entries }.
export const sessions = {
  here: new Map(), over: new Map(), causes: {}, counts: { attached: 0, away: 0, users: 0 },
};
let number = 0; // of the last entry that is known
let skew = 0; // how far the gateway's clock is ahead of this one
let news = [];
let listener = () => {};

export function onSessions(act) {
  listener = act;
}

// The gateway's time: deadlines are told in it.
export const gatewayNow = () => Date.now() + skew;

export function takeSessions(list) {
  const oldestFirst = (timelines) =>
    new Map(timelines.reverse().map((timeline) => [timeline.sessionId, timeline]));
  sessions.here = oldestFirst(list.here);
  sessions.over = oldestFirst(list.over);
  sessions.causes = list.causes;
  sessions.counts = list.counts;
  number = list.number;
  skew = list.now - Date.now();
  listener();
}

// What the list had already comes once more.
export function takeEntry(message) {
  if (message.number <= number) return;
  number = message.number;
  sessions.counts = message.counts;
  sessions.causes = message.causes;
  const timeline = withEntry(message);
  const over = message.entry.kind === "ended";
  sessions.here.delete(timeline.sessionId);
  const map = over ? sessions.over : sessions.here;
  map.set(timeline.sessionId, timeline);
  if (map.size > (over ? OVER_MAX : HERE_MAX)) map.delete(map.keys().next().value);
  if (over) news.push(timeline);
  listener();
}

function withEntry({ session, entry }) {
  const known = sessions.here.get(session.sessionId);
  // What this page knows may begin earlier than what the gateway still keeps.
  const timeline = { ...session, ...known, connections: session.connections };
  timeline.entries = [...known?.entries ?? []];
  if (entry.kind !== "started") timeline.entries.push(entry);
  if (timeline.entries.length > ENTRIES_MAX) timeline.knownFrom = timeline.entries.shift().at;
  return timeline;
}

export async function fetchSessions() {
  try {
    const answer = await fetch("/sessions", { cache: "no-store" });
    if (answer.ok) takeSessions(await answer.json());
  } catch {
    // The gateway is away; the status line says so already.
  }
}

export function takeOver() {
  const taken = news;
  news = [];
  return taken;
}

// ---- what a timeline says ----------------------------------------------------------------------

export const last = (timeline) => timeline.entries[timeline.entries.length - 1] ?? null;

// "here", "away" or "over".
export function stateOf(timeline) {
  const kind = last(timeline)?.kind;
  return kind === "ended" ? "over" : kind === "away" ? "away" : "here";
}

export const lastAt = (timeline) => last(timeline)?.at ?? timeline.startedAt;

// What fills the time of a timeline: { kind, from, to, ... }, without a gap. The last span has no
// end while it goes on.
export function spans(timeline) {
  const found = [];
  let from = timeline.startedAt;
  if (timeline.knownFrom !== null && timeline.knownFrom > from) {
    found.push({ kind: "unknown", from, to: timeline.knownFrom });
    from = timeline.knownFrom;
  }
  let span = { kind: firstKind(timeline), from, to: null };
  for (const entry of timeline.entries) {
    span.to = entry.at;
    // A timeline that begins in the middle may begin with its first entry.
    if (span.to > span.from) found.push(span);
    if (entry.kind === "ended") return found;
    span = entry.kind === "away"
      ? { kind: "away", from: entry.at, to: null, away: entry }
      : { kind: "connection", from: entry.at, to: null, resumed: entry };
  }
  return [...found, span];
}

function firstKind({ entries, knownFrom }) {
  const [first] = entries;
  const wasAway = knownFrom !== null && first?.kind === "resumed" && !first.superseded;
  return wasAway ? "away" : "connection";
}
