// The lists of the page as tabs (WAI-ARIA's pattern: arrows move, and what has the focus is shown).
// The one that is shown stands in the address: a refresh, a bookmark and a link keep it.

import { $ } from "./elements.js";

const NAMES = ["endings", "sessions", "waiting"];

const tabOf = (name) => $(`tab-${name}`);
const panelOf = (name) => $(`panel-${name}`);
let shown = NAMES[0];

export function wireTabs() {
  for (const name of NAMES) tabOf(name).addEventListener("click", () => choose(name));
  $("tabs").addEventListener("keydown", moveByKey);
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    tabOf(shown).focus();
  });
  window.addEventListener("hashchange", () => show(inAddress() ?? shown));
  const asked = inAddress();
  if (!asked) return;
  show(asked);
  // Who follows a link to a list wants to see it; who refreshes goes on where they were.
  if (performance.getEntriesByType("navigation")[0]?.type === "navigate") {
    $("tabs").scrollIntoView();
  }
}

// Replaces the address: Back leaves the page, and does not walk through its tabs.
export function choose(name) {
  show(name);
  window.history.replaceState(window.history.state, "", `#${name}`);
}

export function focusPanel(name) {
  choose(name);
  panelOf(name).focus();
}

// Behind the name of a tab; none is not said.
export function countInTab(name, count) {
  tabOf(name).querySelector(".tab-count").textContent = count ? count.toLocaleString("en") : "";
}

function inAddress() {
  const name = location.hash.slice(1);
  return NAMES.includes(name) ? name : null;
}

function show(name) {
  shown = name;
  for (const each of NAMES) {
    const selected = each === name;
    tabOf(each).setAttribute("aria-selected", String(selected));
    // One stop for the Tab key; the arrows reach the others.
    tabOf(each).tabIndex = selected ? 0 : -1;
    panelOf(each).hidden = !selected;
  }
}

function moveByKey(event) {
  const at = NAMES.findIndex((name) => tabOf(name) === document.activeElement);
  const last = NAMES.length - 1;
  const to = {
    ArrowRight: at === last ? 0 : at + 1,
    ArrowLeft: at <= 0 ? last : at - 1,
    Home: 0,
    End: last,
  }[event.key];
  if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  choose(NAMES[to]);
  tabOf(NAMES[to]).focus();
}
