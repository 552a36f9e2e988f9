// Equal endings that follow one another, folded into one row "16 times: …" that unfolds. Endings
// of this tab's own connections are in no such row: a visitor always finds them at once.

import { unfolded } from "./cards.js";
import { el, icon } from "./elements.js";
import { clock, kindOf, kindText, lookOf, plural, sentenceOf, who } from "./words.js";

const RUN_MIN = 3; // two equal endings are as easy to see as a row that stands for them
const MEMBERS_MAX = 200; // endings drawn in one unfolded row

// How long a connection lasted differs each time, and stands at the end of the sentence.
const LASTED = "; the connection lasted ";

const rows = new Map(); // key of a run -> its row
let runOf = new Map(); // key of an ending -> key of the run that it was last drawn in
let made = 0;

// The items of a list, newest first. `item.ending` is that of another tab or client, else null.
export function folded(items) {
  const taken = new Set();
  const found = runs(items).flatMap((run) => (run.length < RUN_MIN ? run : [rowOf(run, taken)]));
  for (const key of [...rows.keys()]) if (!taken.has(key)) rows.delete(key);
  runOf = new Map(found.flatMap(({ key, run }) => (run ?? []).map((one) => [one.key, key])));
  return found;
}

// Draws what has changed of the rows, each with its endings if it is unfolded. Gives those items.
export function drawRuns(items, cards) {
  return items.filter(({ run }) => run).flatMap(({ key, run }) => rows.get(key).draw(run, cards));
}

// How many endings the items of a list stand for.
export const countOf = (items) => items.reduce((sum, { run }) => sum + (run?.length ?? 1), 0);

function runs(items) {
  const found = [];
  let stem = null;
  for (const item of items) {
    const its = item.ending
      ? `${who(item.account)} ${kindOf(item.ending)} ${stemOf(item.ending)}` : null;
    if (its !== null && its === stem) found[found.length - 1].push(item);
    else found.push([item]);
    stem = its;
  }
  return found;
}

function stemOf({ sentence }) {
  const at = sentence.lastIndexOf(LASTED);
  return at < 0 ? sentence : sentence.slice(0, at);
}

// A run keeps its row while it grows at one end and is forgotten at the other.
function rowOf(run, taken) {
  const known = run.map(({ key }) => runOf.get(key)).find((key) => key && !taken.has(key));
  const key = known ?? `run ${(made += 1)}`;
  taken.add(key);
  if (!rows.has(key)) rows.set(key, newRow(key, run[0]));
  return { key, at: run[0].at, signature: key, run, build: () => rows.get(key).node };
}

// ---- a row --------------------------------------------------------------------------------------

const newRow = (key, { ending, account }) => new Row(key, ending, who(account));

// It is changed in place: on a busy server it grows many times a second, and a row that is replaced
// between press and release is never unfolded.
class Row {
  node;
  #key;
  #times = el("strong");
  #users = el("span", "user");
  #browsers = el("span");
  #when = el("span");
  #list = el("div", "list");
  #more = el("p", "more");
  #redraw = () => {};

  constructor(key, ending, peer) {
    this.#key = key;
    const look = lookOf(kindOf(ending));
    const kind = el("span", "kind", icon(`cause-${look}`), kindText(kindOf(ending)));
    const meta = el("span", "meta", this.#users, this.#browsers, this.#when);
    this.node = el("details", `card run cause-${look}`,
      el("summary", "", el("span", "card-head", kind, meta, icon("chevron", "icon chevron")),
        el("span", "sentence", this.#times, ` ${sentenceOf(stemOf(ending), peer)}`)),
      this.#list, this.#more);
    // Only what the visitor did is remembered: a script opens it with an ending that is unfolded.
    this.node.querySelector("summary").addEventListener("click", () => {
      unfolded.set(key, !this.node.open);
    });
    this.node.addEventListener("toggle", () => this.#redraw());
  }

  draw(run, cards) {
    this.#times.textContent = `${run.length.toLocaleString("en")} times:`;
    this.#users.textContent = users(run);
    this.#browsers.textContent = browsers(run);
    const [newest, oldest] = [run[0], run[run.length - 1]];
    this.#when.textContent = `${clock(oldest.at, false)} to ${clock(newest.at, false)}`;
    this.node.open = unfolded.get(this.#key) ?? run.some(({ open }) => open);
    const shown = run.slice(0, MEMBERS_MAX);
    this.#more.hidden = shown.length === run.length;
    this.#more.textContent = `The newest ${MEMBERS_MAX} of them are shown; all are in /endings.`;
    this.#redraw = () => {
      if (this.node.open) cards.reconcile(this.#list, shown);
      else this.#list.replaceChildren();
    };
    this.#redraw();
    return this.node.open ? shown : [];
  }
}

function browsers(run) {
  const names = new Set(run.map(({ account }) => account.browser ?? "not a browser"));
  return names.size > 2 ? `${names.size} kinds of client` : [...names].join(", ");
}

function users(run) {
  const names = new Set(run.map(({ account }) => account.userId).filter(Boolean));
  return names.size > 3 ? plural(names.size, "user") : [...names].join(", ");
}
