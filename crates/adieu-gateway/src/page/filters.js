// The kinds of ending as bars that filter, and the switch for this tab's own.

import { server } from "./accounts.js";
import { $, el, icon, placeAt } from "./elements.js";
import { CAUSES, causeLook, causeText } from "./words.js";

const filter = { cause: null, own: false };

// Whether a list shows an account at all, open or ended.
export function passes(account, own) {
  if (filter.own && !own) return false;
  return !filter.cause || !account.ending || account.ending.cause === filter.cause;
}

// What only this page saw has no cause that could be chosen.
export const passesWithoutCause = () => !filter.cause;

export function wireFilters(redraw) {
  $("only-this-tab").addEventListener("change", (event) => {
    filter.own = event.target.checked;
    redraw();
  });
  $("clear-filter").addEventListener("click", () => {
    filter.cause = null;
    filter.own = false;
    $("only-this-tab").checked = false;
    redraw();
    $("endings").focus();
  });
}

// ---- bars ---------------------------------------------------------------------------------------

// They are changed in place: a button that is replaced between press and release is never
// clicked, and on a busy server they change many times a second.
const barOf = new Map();

export function drawBars(redraw) {
  const { counts } = server;
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const largest = Math.max(1, ...Object.values(counts));
  const causes = new Set([...Object.keys(CAUSES), ...Object.keys(counts)]);
  const shown = [...causes].filter((cause) => counts[cause] || barOf.has(cause));
  [null, ...shown].forEach((cause, place) => {
    if (!barOf.has(cause)) barOf.set(cause, newBar(cause, redraw));
    const { item, button, number, fill } = barOf.get(cause);
    const count = cause === null ? total : counts[cause] ?? 0;
    number.textContent = count.toLocaleString("en");
    fill.style.width = `${(count / largest) * 100}%`;
    button.setAttribute("aria-pressed", String(filter.cause === cause));
    placeAt($("kinds"), item, place);
  });
  $("kinds").hidden = total === 0;
  $("kinds-empty").hidden = total !== 0;
}

function newBar(cause, redraw) {
  const name = el("span", "bar-name", cause && icon(`cause-${causeLook(cause)}`),
    cause === null ? "All" : causeText(cause));
  const number = el("span", "bar-count");
  const fill = el("span", "bar-fill");
  const button = el("button", `bar cause-${cause ? causeLook(cause) : "all"}`, name, number,
    cause && el("span", "bar-track", fill));
  button.type = "button";
  button.dataset.cause = cause ?? "";
  button.addEventListener("click", () => {
    filter.cause = cause;
    redraw();
  });
  return { item: el("li", "", button), button, number, fill };
}
