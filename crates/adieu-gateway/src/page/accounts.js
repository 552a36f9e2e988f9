// Both accounts of each connection, as data: what the page saw, what the gateway saw, and which of
// the two belong together. Nothing here knows how it is drawn.

import { sentenceOf, who } from "./words.js";

const EVENTS_MAX = 300; // a tab's own history; about 40 kB of the 5 MB that sessionStorage offers
const ENDED_MAX = 1000; // as many as the gateway keeps

const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

function changed() {
  for (const listener of listeners) listener();
}

// ---- what is kept across a refresh --------------------------------------------------------------

// sessionStorage survives a refresh and dies with the tab: exactly the life of a person's tab.
// Where it is refused, this object stands in and the history lives as long as the document.
const fallback = {};

export function stored(key) {
  try {
    return sessionStorage.getItem(key) ?? fallback[key] ?? null;
  } catch {
    return fallback[key] ?? null;
  }
}

export function store(key, value) {
  fallback[key] = value;
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Refused or full: the fallback has it.
  }
}

export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}

function ownTab() {
  const known = stored("adieu-tab");
  if (known) return known;
  const fresh = randomId();
  store("adieu-tab", fresh);
  return fresh;
}

export const tab = ownTab();

// ---- what the page saw --------------------------------------------------------------------------

// Read again each time: another document of this tab may have written while this one slept.
export function history() {
  try {
    return JSON.parse(stored("adieu-events") ?? "[]");
  } catch {
    return [];
  }
}

function remember(list) {
  store("adieu-events", JSON.stringify(list.slice(-EVENTS_MAX)));
}

// Wall-clock time with the resolution the browser grants: Date.now() alone cannot order a close
// and a pagehide that happen in the same millisecond.
const now = () => performance.timeOrigin + performance.now();

// `key` names a socket before the gateway has told its number.
export function record(key, kind, details = {}) {
  const list = history();
  const sibling = list.find((event) => event.socket === key && event.connection !== null);
  list.push({
    at: now(), kind, code: null, reason: null, wasClean: null, persisted: null,
    connection: sibling?.connection ?? null, openedAt: sibling?.openedAt ?? null,
    socket: key, ...details,
  });
  remember(list);
  changed();
}

// `hello` tells the number of this connection; what was recorded before it gets it afterwards.
// The time it was opened goes with it, because a restarted gateway counts from one again.
export function nameSocket(key, id, openedAt) {
  const list = history();
  for (const event of list) {
    if (event.socket !== key) continue;
    event.connection = id;
    event.openedAt = openedAt;
  }
  remember(list);
}

// ---- what the gateway saw -----------------------------------------------------------------------

export const gateway = { open: new Map(), ended: new Map(), counts: [] };
let news = []; // sentences nobody has read out yet

export function takeAll(endings) {
  gateway.open = new Map(endings.open.map((account) => [account.id, account]));
  gateway.ended = new Map(endings.ended.map((account) => [account.id, account]));
  gateway.counts = endings.counts;
  changed();
}

export function takeOpened(account) {
  if (!gateway.ended.has(account.id)) gateway.open.set(account.id, account);
  changed();
}

export function takeEnded(account, counts) {
  gateway.open.delete(account.id);
  gateway.ended.set(account.id, account);
  gateway.counts = counts;
  if (gateway.ended.size > ENDED_MAX) {
    const oldest = [...gateway.ended.values()].reduce((a, b) => (a.endedAt < b.endedAt ? a : b));
    gateway.ended.delete(oldest.id);
  }
  news.push(sentenceOf(account.ending.sentence, who(account)));
  changed();
}

// Whose an ended connection was: told when that is written down, right behind its ending.
export function takeBelonged({ id, sessionId, userId }) {
  const account = gateway.ended.get(id);
  if (account) gateway.ended.set(id, { ...account, sessionId, userId });
  changed();
}

export async function fetchEndings() {
  try {
    const answer = await fetch("/endings", { cache: "no-store" });
    if (answer.ok) takeAll(await answer.json());
  } catch {
    // The gateway is away; the status line says so already.
  }
}

export function takeNews() {
  const taken = news;
  news = [];
  return taken;
}

// ---- which belong together ----------------------------------------------------------------------

// A restarted gateway counts from one again, so the number alone does not name an account.
export const accountKey = (account) => `${account.id}@${account.openedAt}`;

function belongs(event, account) {
  return event.connection === account.id && account.tab === tab
    && (event.openedAt === null || event.openedAt === account.openedAt);
}

// Sorts what this tab saw to the accounts of the gateway. The living socket is no orphan: its
// account is still on its way.
export function pageAccounts(livingKey) {
  const accounts = new Map(); // key of an account -> what this tab saw of it
  const orphans = new Map(); // sockets no account of the gateway speaks of
  const events = history();
  const opened = new Set(events.filter((e) => e.kind === "open").map((e) => e.socket));
  for (const event of events) {
    const account = gateway.ended.get(event.connection) ?? gateway.open.get(event.connection);
    const known = account && belongs(event, account);
    if (!known && event.socket === livingKey) continue;
    const group = known ? accounts : orphans;
    const key = known ? accountKey(account) : opened.has(event.socket) ? event.socket : "attempts";
    if (!group.has(key)) group.set(key, []);
    group.get(key).push(event);
  }
  return { accounts, orphans };
}
