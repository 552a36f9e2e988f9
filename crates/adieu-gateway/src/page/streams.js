// The connections of HTTP/2, each with its streams as lanes: WebSockets that share a connection end
// apart, and may end together with it.

import { gateway, tab } from "./accounts.js";
import { $, el, svg } from "./elements.js";
import { kindOf, kindText, lookOf, plural, wholeSeconds } from "./words.js";

const CONNECTIONS_MAX = 3; // drawn at once: the newest
const STREAMS_MAX = 12; // lanes of one connection: the newest
const SHORTEST_PERCENT = 1; // a stream of milliseconds is still seen

export function drawStreams() {
  const all = connections();
  $("streams-section").hidden = all.length === 0;
  $("streams-count").textContent = all.length || "";
  $("streams-list").replaceChildren(...all.slice(0, CONNECTIONS_MAX).map(connection));
  const hidden = all.length - CONNECTIONS_MAX;
  $("streams-more").hidden = hidden <= 0;
  $("streams-more").textContent = `${plural(hidden, "older connection")} in /endings.`;
}

// The newest first; the streams of each in the order of their numbers.
function connections() {
  const found = new Map();
  for (const account of [...gateway.open.values(), ...gateway.ended.values()]) {
    if (!account.http2) continue;
    const { connection } = account.http2;
    if (!found.has(connection)) found.set(connection, []);
    found.get(connection).push(account);
  }
  for (const streams of found.values()) streams.sort((a, b) => a.http2.stream - b.http2.stream);
  return [...found].sort(([a], [b]) => b - a);
}

function connection([number, streams]) {
  const shown = streams.slice(-STREAMS_MAX);
  const from = Math.min(...shown.map(({ openedAt }) => openedAt));
  const open = shown.some(({ ending }) => !ending);
  const to = Math.max(open ? Date.now() : 0, ...shown.map((account) => account.endedAt ?? 0));
  const title = `Connection ${number}: ${plural(streams.length, "WebSocket")}`;
  const lanes = el("ol", "lanes", ...shown.map((account) => lane(account, from, to)));
  const node = el("div", "streams", el("h3", "", title), lanes);
  if (shown.some((account) => account.tab === tab)) node.classList.add("own");
  return node;
}

function lane(account, from, to) {
  const { ending, http2 } = account;
  const look = ending ? lookOf(kindOf(ending)) : "open";
  const words = ending ? endText(ending) : `open for ${wholeSeconds(account.openedAt)}`;
  const name = account.tab === tab ? `Stream ${http2.stream}, this tab` : `Stream ${http2.stream}`;
  return el("li", `lane cause-${look}`,
    el("span", "lane-name", name), bar(account, from, to), el("span", "lane-end", words));
}

function endText(ending) {
  const shared = ending.http2?.byConnection ? ", with its connection" : "";
  return `${kindText(kindOf(ending))}${shared}`;
}

// The wire of the connection, and on it the life of one stream.
function bar(account, from, to) {
  const share = (at) => ((at - from) / Math.max(to - from, 1)) * 100;
  const begin = Math.min(share(account.openedAt), 100 - SHORTEST_PERCENT);
  const end = Math.max(share(account.endedAt ?? to), begin + SHORTEST_PERCENT);
  const box = { class: "lane-bar", width: "100%", height: 14, "aria-hidden": "true" };
  return svg("svg", box,
    svg("line", { class: "lane-wire", x1: 0, x2: "100%", y1: 7, y2: 7 }),
    svg("rect", {
      class: "lane-life", x: `${begin}%`, width: `${end - begin}%`, y: 3, height: 8, rx: 4,
    }));
}
