// The sessions as the gateway tells them, as data. Nothing here knows how it is drawn.

const HERE_MAX = 1000; // as many as the gateway keeps
const OVER_MAX = 500;
const MOMENTS_MAX = 100;

// Stories by session, the one that something happened to last at the end of each map. A story is
// { sessionId, userId, plain, startedAt, knownFrom, connections, moments }.
export const sessions = {
  here: new Map(), over: new Map(), causes: {}, counts: { attached: 0, away: 0, users: 0 },
};
let number = 0; // of the last moment that is known
let skew = 0; // how far the gateway's clock is ahead of this one
let news = [];
let listener = () => {};

export function onSessions(act) {
  listener = act;
}

// The gateway's time: deadlines are told in it.
export const gatewayNow = () => Date.now() + skew;

export function takeSessions(list) {
  const oldestFirst = (stories) =>
    new Map(stories.reverse().map((story) => [story.sessionId, story]));
  sessions.here = oldestFirst(list.here);
  sessions.over = oldestFirst(list.over);
  sessions.causes = list.causes;
  sessions.counts = list.counts;
  number = list.number;
  skew = list.now - Date.now();
  listener();
}

// What the list had already comes once more.
export function takeMoment(message) {
  if (message.number <= number) return;
  number = message.number;
  sessions.counts = message.counts;
  sessions.causes = message.causes;
  const story = withMoment(message);
  const over = message.moment.what === "ended";
  sessions.here.delete(story.sessionId);
  const map = over ? sessions.over : sessions.here;
  map.set(story.sessionId, story);
  if (map.size > (over ? OVER_MAX : HERE_MAX)) map.delete(map.keys().next().value);
  if (over) news.push(story);
  listener();
}

function withMoment({ session, moment }) {
  const known = sessions.here.get(session.sessionId);
  // What this page knows may begin earlier than what the gateway still keeps.
  const story = { ...session, ...known, connections: session.connections };
  story.moments = [...known?.moments ?? []];
  if (moment.what !== "started") story.moments.push(moment);
  if (story.moments.length > MOMENTS_MAX) story.knownFrom = story.moments.shift().at;
  return story;
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

// ---- what a story says --------------------------------------------------------------------------

export const last = (story) => story.moments[story.moments.length - 1] ?? null;

// "here", "away" or "over".
export function stateOf(story) {
  const what = last(story)?.what;
  return what === "ended" ? "over" : what === "away" ? "away" : "here";
}

export const lastAt = (story) => last(story)?.at ?? story.startedAt;

// What fills the time of a story: { kind, from, to, ... }, without a gap. The last one has no end
// while it goes on.
export function spans(story) {
  const found = [];
  let from = story.startedAt;
  if (story.knownFrom !== null && story.knownFrom > from) {
    found.push({ kind: "unknown", from, to: story.knownFrom });
    from = story.knownFrom;
  }
  let span = { kind: firstKind(story), from, to: null };
  for (const moment of story.moments) {
    span.to = moment.at;
    // A story that begins in the middle may begin with its first moment.
    if (span.to > span.from) found.push(span);
    if (moment.what === "ended") return found;
    span = moment.what === "away"
      ? { kind: "away", from: moment.at, to: null, away: moment }
      : { kind: "connection", from: moment.at, to: null, resumed: moment };
  }
  return [...found, span];
}

function firstKind({ moments, knownFrom }) {
  const [first] = moments;
  const wasAway = knownFrom !== null && first?.what === "resumed" && !first.superseded;
  return wasAway ? "away" : "connection";
}
