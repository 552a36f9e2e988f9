// The two lists of cards, open and ended: what belongs in them, and how little of them is redrawn.

import { accountKey, gateway, pageAccounts, tab, takeNews } from "./accounts.js";
import { card, orphanCard, unfolded } from "./cards.js";
import { livingKey } from "./connection.js";
import { $ } from "./elements.js";
import { drawBars, passes, passesWithoutKind } from "./filters.js";
import { drawLatest } from "./latest.js";
import { Redrawn } from "./redrawn.js";
import { countOf, drawRuns, folded } from "./runs.js";
import { drawStreams } from "./streams.js";

const ROWS_MAX = 200; // rows drawn at once: enough to scroll, cheap enough for a phone
const OPEN_MAX = 8; // open connections of other tabs drawn at once
const ORPHANS_MAX = 3; // what only this page saw: the newest tell enough
const UNFOLDED = 2; // this tab's newest endings are shown with their picture
const RENDER_EVERY_MS = 80; // a busy gateway may report hundreds of endings in a second

const own = (account) => account.tab === tab;

let renderTimer = null;
const cards = new Redrawn(unfolded);

export function renderSoon() {
  renderTimer ??= setTimeout(render, RENDER_EVERY_MS);
}

export function render() {
  clearTimeout(renderTimer);
  renderTimer = null;
  const groups = pageAccounts(livingKey());
  const { items: open, hidden } = openItems(groups);
  const { items, shown, matching } = endedItems(groups);
  const focused = document.activeElement;
  cards.reconcile($("open-list"), open);
  cards.reconcile($("ended-list"), items);
  cards.done([...open, ...items, ...drawRuns(items, cards)]);
  keepFocus(focused, items);
  drawLatest(groups);
  drawStreams();
  drawBars(render);
  const nothing = gateway.ended.size === 0 && groups.orphans.size === 0;
  $("empty").hidden = !nothing;
  $("no-match").hidden = nothing || items.length > 0;
  $("open-section").hidden = open.length === 0;
  $("open-count").textContent = gateway.open.size || "";
  $("open-more").hidden = hidden === 0;
  $("open-more").textContent = `${hidden.toLocaleString("en")} more are open; all are in /endings.`;
  $("ended-count").textContent = matching || "";
  $("more").hidden = matching <= shown;
  $("more").textContent = `The newest ${shown} of ${matching} are shown; all are in /endings.`;
  announce(takeNews());
}

// A card that was moved has lost the focus; one that was folded into a row leaves it to the row.
function keepFocus(focused, items) {
  if (focused === document.activeElement || document.activeElement !== document.body) return;
  const key = focused.closest("[data-key]")?.dataset.key;
  const row = items.find(({ run }) => run?.some((one) => one.key === key));
  if (focused.isConnected) focused.focus();
  else if (row) row.build().querySelector("summary").focus();
}

function announce(news) {
  if (!news.length) return;
  const last = news[news.length - 1];
  $("announcer").textContent = news.length === 1
    ? last : `${news.length} connections ended. The newest: ${last}`;
}

// ---- what a list should show: { key, at, signature, open, build } -------------------------------

function openItems(groups) {
  const accounts = [...gateway.open.values()]
    .filter((account) => passes(account, own(account)))
    .sort((a, b) => own(b) - own(a) || b.openedAt - a.openedAt);
  const items = accounts.slice(0, OPEN_MAX).map((account) => item(account, groups, "open", false));
  return { items, hidden: accounts.length - items.length };
}

// Newest first, equal ones of others in one row.
function endedItems(groups) {
  const accounts = [...gateway.ended.values()]
    .filter((account) => passes(account, own(account)))
    .sort((a, b) => b.endedAt - a.endedAt || b.id - a.id);
  let ownSeen = 0;
  let items = accounts.map((account) =>
    item(account, groups, "ended", own(account) && ownSeen++ < UNFOLDED));
  items = folded(withOrphans(items, groups)).slice(0, ROWS_MAX);
  const shown = countOf(items.filter((item) => !item.orphan));
  return { items, shown, matching: accounts.length };
}

function withOrphans(items, groups) {
  if (!passesWithoutKind()) return items;
  return [...items, ...orphanItems(groups.orphans)].sort((a, b) => b.at - a.at);
}

function item(account, groups, kind, openByDefault) {
  const key = accountKey(account);
  const events = groups.accounts.get(key) ?? [];
  const open = unfolded.get(key) ?? openByDefault;
  return { key, at: account.endedAt, signature: `${kind} ${events.length} ${account.sessionId}`,
    open, ending: own(account) ? null : account.ending, account,
    build: () => card(account, events, open) };
}

function orphanItems(orphans) {
  return [...orphans]
    .map(([key, events]) => ({ key, at: events[events.length - 1].at, orphan: true,
      ending: null, signature: `orphan ${events.length}`, build: () => orphanCard(events) }))
    .sort((a, b) => b.at - a.at)
    .slice(0, ORPHANS_MAX);
}
