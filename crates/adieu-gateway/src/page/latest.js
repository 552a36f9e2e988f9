// The newest ending of this tab in one sentence, right under the button that caused it.

import { accountKey, gateway, tab } from "./accounts.js";
import { unfolded } from "./cards.js";
import { $, el } from "./elements.js";
import { choose, focusPanel } from "./tabs.js";

// Where the sentence stands when no button caused the ending.
const ELSEWHERE = "latest";

let shown = "";

export function drawLatest(groups) {
  const account = newestOwn();
  const events = account ? groups.accounts.get(accountKey(account)) ?? [] : [];
  const signature = account ? `${accountKey(account)} ${events.length}` : "";
  if (signature === shown) return;
  shown = signature;
  for (const place of document.querySelectorAll(".latest")) place.replaceChildren();
  if (!account) return;
  $(placeOf(events)).append(sentence(account, events));
}

function newestOwn() {
  let newest = null;
  for (const account of gateway.ended.values()) {
    if (account.tab === tab && (newest === null || account.endedAt > newest.endedAt)) {
      newest = account;
    }
  }
  return newest;
}

function placeOf(events) {
  const pressed = events.filter((event) => event.kind === "action").pop();
  return pressed?.place && $(pressed.place) ? pressed.place : ELSEWHERE;
}

function sentence(account, events) {
  const link = el("a", "latest-link",
    `Your last connection #${account.id}: ${serverHeard(account.ending)}; ${pageHeard(events)} `,
    el("span", "latest-more", "▸"));
  link.href = "#endings";
  link.addEventListener("click", (event) => {
    event.preventDefault();
    showCard(accountKey(account));
  });
  return link;
}

function serverHeard({ received, sent, closedBecause }) {
  if (closedBecause !== null && sent) {
    const answer = received ? `heard ${code(received)} back` : "heard no answer";
    return `the server said ${code(sent)} and ${answer}`;
  }
  return received ? `the server heard ${code(received)}` : "the server heard no goodbye";
}

const code = (close) => (close.code === null ? "a goodbye without a code" : close.code);

function pageHeard(events) {
  const close = events.find((event) => event.kind === "close");
  if (!close) return "this page heard nothing";
  return `this page heard ${close.code}, ${close.wasClean ? "clean" : "not clean"}`;
}

// Unfolds the card of an ending in the list, unless a filter hides it.
function showCard(key) {
  const cards = [...$("ended-list").children];
  const card = cards.find((node) => node.dataset.key === key);
  if (!card) {
    focusPanel("endings");
    return;
  }
  choose("endings");
  card.open = true;
  unfolded.set(key, true);
  card.scrollIntoView({ block: "start" });
  card.querySelector("summary").focus({ preventScroll: true });
}
