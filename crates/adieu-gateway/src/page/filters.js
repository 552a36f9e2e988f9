// The kinds of ending as bars that filter, and the switch for this tab's own.

import { gateway } from "./accounts.js";
import { $, el, icon, placeAt } from "./elements.js";
import { countInTab, focusPanel } from "./tabs.js";
import { KINDS, kindOf, kindText, lookOf } from "./words.js";

const filter = { kind: null, own: false };

// Whether a list shows an account at all, open or ended.
export function passes(account, own) {
  if (filter.own && !own) return false;
  return !filter.kind || !account.ending || kindOf(account.ending) === filter.kind;
}

// What only this page saw has no kind that could be chosen.
export const passesWithoutKind = () => !filter.kind;

export function wireFilters(redraw) {
  $("only-this-tab").addEventListener("change", (event) => {
    filter.own = event.target.checked;
    redraw();
  });
  $("clear-filter").addEventListener("click", () => {
    filter.kind = null;
    filter.own = false;
    $("only-this-tab").checked = false;
    redraw();
    focusPanel("endings");
  });
}

// ---- bars ---------------------------------------------------------------------------------------

// They are changed in place: a button that is replaced between press and release is never
// clicked, and on a busy gateway they change many times a second.
const barOf = new Map();

export function drawBars(redraw) {
  const counts = counted();
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const largest = Math.max(1, ...Object.values(counts));
  const kinds = new Set([...Object.keys(KINDS), ...Object.keys(counts)]);
  const shown = [...kinds].filter((kind) => counts[kind] || barOf.has(kind));
  [null, ...shown].forEach((kind, place) => {
    if (!barOf.has(kind)) barOf.set(kind, newBar(kind, redraw));
    const { item, button, number, fill } = barOf.get(kind);
    const count = kind === null ? total : counts[kind] ?? 0;
    number.textContent = count.toLocaleString("en");
    fill.style.width = `${(count / largest) * 100}%`;
    button.setAttribute("aria-pressed", String(filter.kind === kind));
    placeAt($("kinds"), item, place);
  });
  countInTab("endings", total);
  $("kinds").hidden = total === 0;
  $("kinds-empty").hidden = total !== 0;
}

// By kind.
function counted() {
  const counts = {};
  for (const count of gateway.counts) {
    const kind = kindOf(count);
    counts[kind] = (counts[kind] ?? 0) + count.connections;
  }
  return counts;
}

function newBar(kind, redraw) {
  const name = el("span", "bar-name", kind && icon(`cause-${lookOf(kind)}`),
    kind === null ? "All" : kindText(kind));
  const number = el("span", "bar-count");
  const fill = el("span", "bar-fill");
  const button = el("button", `bar cause-${kind ? lookOf(kind) : "all"}`, name, number,
    kind && el("span", "bar-track", fill));
  button.type = "button";
  button.dataset.kind = kind ?? "";
  button.addEventListener("click", () => {
    filter.kind = kind;
    redraw();
  });
  return { item: el("li", "", button), button, number, fill };
}
