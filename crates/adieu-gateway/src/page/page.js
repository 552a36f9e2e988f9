// The live page: it holds one WebSocket, keeps its own account of what the browser told it, and
// shows it beside the server's account of the same connection.
//
// Two rules shape this file. The page must stay eligible for the back/forward cache, because what
// happens there is half of the story: no `unload` listener, and a `beforeunload` listener only
// while its switch is on. And everything a peer said is shown with textContent, never as markup.

const EVENTS_MAX = 300; // a tab's own history; about 40 kB of the 5 MB that sessionStorage offers
const CARDS_MAX = 200; // endings drawn at once: enough to scroll, cheap enough for a phone
const OPEN_MAX = 8; // open connections of other tabs drawn at once
const ORPHANS_MAX = 3; // what only this page saw: the newest tell enough
const ROWS_MAX = 32; // moments drawn in one picture
const UNFOLDED = 2; // this tab's newest endings are shown with their picture
const RENDER_EVERY_MS = 80; // a busy server may report hundreds of endings in a second
const RETRY_FIRST_MS = 1000; // longer than Firefox needs to leave a page whose socket it has ended
const RETRY_MAX_MS = 30000;
const POLL_SOON_MS = 400; // while the account of our own connection is still being written
const POLL_MS = 5000;
const GAP_MS = 1000; // a pause worth drawing
const SKEW_MS = 250; // clocks that differ by less are taken as one: the difference is the way there

const CAUSES = {
  peer: "The peer said goodbye",
  application: "The server closed it",
  drain: "The server shut down",
  eof: "Ended without a goodbye",
  reset: "Cut off by a reset",
  timeout: "Went silent",
  violation: "Broke the protocol",
  dropped: "The handler let go",
  panicked: "The handler failed",
  handshake: "Never opened",
};

const CODES = {
  1000: "normal", 1001: "going away", 1002: "protocol error", 1003: "unsupported data",
  1005: "no code given", 1006: "no proper goodbye", 1007: "invalid data", 1008: "policy",
  1009: "message too big", 1010: "extension missing", 1011: "internal error",
  1012: "restarting", 1013: "try again later", 1014: "bad gateway", 1015: "TLS failed",
};

const VERSIONS = {
  rfc6455: "RFC 6455", hybi08: "draft hybi-08", hybi07: "draft hybi-07",
  hixie76: "draft hixie-76", hixie75: "draft hixie-75",
};

const $ = (id) => document.getElementById(id);

// ---- small builders -----------------------------------------------------------------------------

function el(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function icon(name, className = "icon") {
  const box = { class: className, "aria-hidden": "true", focusable: "false" };
  return svg("svg", box, svg("use", { href: "#" + name }));
}

function plural(count, one, many = one + "s") {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function wholeSeconds(startedAt) {
  const seconds = Math.max(0, Math.floor((Date.now() - startedAt) / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

function clock(at, withMillis = true) {
  const date = new Date(at);
  const two = (n) => String(n).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return withMillis ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}

// Wall-clock time with the resolution the browser grants: Date.now() alone cannot order a close
// and a pagehide that happen in the same millisecond.
const now = () => performance.timeOrigin + performance.now();

// ---- what the page saw, kept across a refresh ---------------------------------------------------

// sessionStorage survives a refresh and dies with the tab: exactly the life of a person's tab.
// Where it is refused, this object stands in and the history lives as long as the document.
const fallback = {};
function stored(key) {
  try {
    return sessionStorage.getItem(key) ?? fallback[key] ?? null;
  } catch {
    return fallback[key] ?? null;
  }
}
function store(key, value) {
  fallback[key] = value;
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // Refused or full: the fallback has it.
  }
}

function ownTab() {
  const known = stored("adieu-tab");
  if (known) return known;
  const tab = randomId();
  store("adieu-tab", tab);
  return tab;
}

const tab = ownTab();
let socket = null;
let socketKey = null; // names a socket before the server has told its number
let connection = null; // the server's number for this socket, once `hello` has come

// Read again each time: another document of this tab may have written while this one slept.
function history() {
  try {
    return JSON.parse(stored("adieu-events") ?? "[]");
  } catch {
    return [];
  }
}

function remember(list) {
  store("adieu-events", JSON.stringify(list.slice(-EVENTS_MAX)));
}

function record(kind, details = {}, key = socketKey) {
  const list = history();
  const sibling = list.find((event) => event.socket === key && event.connection !== null);
  list.push({
    at: now(), kind, code: null, reason: null, wasClean: null, persisted: null,
    connection: sibling?.connection ?? null, openedAt: sibling?.openedAt ?? null,
    socket: key, ...details,
  });
  remember(list);
  renderSoon();
}

// `hello` tells the number of this connection; what was recorded before it gets it afterwards.
// The time it was opened goes with it, because a restarted server counts from one again.
function nameSocket(key, id, openedAt) {
  const list = history();
  for (const event of list) {
    if (event.socket !== key) continue;
    event.connection = id;
    event.openedAt = openedAt;
  }
  remember(list);
}

// ---- what the server saw ------------------------------------------------------------------------

const server = { open: new Map(), ended: new Map(), counts: {} };
const toAnnounce = [];

function takeAll(endings) {
  server.open = new Map(endings.open.map((account) => [account.id, account]));
  server.ended = new Map(endings.ended.map((account) => [account.id, account]));
  server.counts = endings.counts;
  renderSoon();
}

function takeOpened(account) {
  if (!server.ended.has(account.id)) server.open.set(account.id, account);
  renderSoon();
}

function takeEnded(account, counts) {
  server.open.delete(account.id);
  server.ended.set(account.id, account);
  server.counts = counts;
  if (server.ended.size > 1000) {
    const oldest = [...server.ended.values()].reduce((a, b) => (a.ended_at < b.ended_at ? a : b));
    server.ended.delete(oldest.id);
  }
  toAnnounce.push(account.ending.sentence);
  renderSoon();
}

async function fetchEndings() {
  try {
    const answer = await fetch("/endings", { cache: "no-store" });
    if (answer.ok) takeAll(await answer.json());
  } catch {
    // The server is away; the status line says so already.
  }
}

// Without a socket nobody tells us about endings, our own least of all: ask, often while our own
// account is still missing, seldom afterwards, never while nobody looks.
let poll = null;
function pollWhileClosed() {
  clearTimeout(poll);
  if (document.body.dataset.state === "open") return;
  const missing = connection !== null && !server.ended.has(connection) && !retry.attempt;
  poll = setTimeout(async () => {
    if (document.body.dataset.state === "closed" && !document.hidden) await fetchEndings();
    pollWhileClosed();
  }, missing ? POLL_SOON_MS : POLL_MS);
}

// ---- the socket ---------------------------------------------------------------------------------

const retry = { attempt: 0, timer: null, at: null };
let openSince = 0;
let wish = null; // who asked for the coming close: "page", "server", "left", "returned" or nobody

function setState(state, title, detail) {
  document.body.dataset.state = state;
  $("status").textContent = title;
  $("status-detail").textContent = detail;
  const focused = document.activeElement;
  for (const id of ["close", "close-4001", "send", "server-close-1001", "server-close-4000"]) {
    $(id).disabled = state !== "open";
  }
  $("reconnect").hidden = state !== "closed";
  // The button that was pressed is gone for the keyboard now; go on at its counterpart.
  if (state === "closed" && focused?.disabled) $("reconnect").focus();
}

function connect() {
  clearTimeout(retry.timer);
  retry.at = null;
  wish = null;
  connection = null;
  const key = (socketKey = randomId());
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const fresh = new WebSocket(`${scheme}//${location.host}/?tab=${encodeURIComponent(tab)}`);
  socket = fresh;
  setState("connecting", "Connecting…", "Opening a WebSocket to this server.");
  // A socket of the past still speaks for itself, under its own key; only the latest one counts
  // for the page's state.
  fresh.addEventListener("open", () => {
    record("open", {}, key);
    if (fresh === socket) opened();
  });
  fresh.addEventListener("error", () => record("error", {}, key));
  fresh.addEventListener("close", ({ code, reason, wasClean }) => {
    record("close", { code, reason, wasClean }, key);
    if (fresh === socket) closed(code, wasClean);
  });
  fresh.addEventListener("message", ({ data }) => hear(key, data));
}

function opened() {
  openSince = Date.now();
  retry.attempt = 0;
  clearTimeout(poll);
  setState("open", "Connected", "Waiting for the server’s first words.");
}

function closed(code, wasClean) {
  const said = `The page was told close(${code}), ${wasClean ? "clean" : "not clean"}.`;
  if (wish === "page") {
    setState("closed", "Closed by this page", `${said} It stays closed until you reconnect.`);
  } else if (wish === "server") {
    setState("closed", "Closed by the server, as you asked",
      `${said} It stays closed until you reconnect.`);
  } else if (wish === "returned") {
    connect();
    return;
  } else {
    const attempts = retry.attempt;
    setState("closed", attempts ? "The server cannot be reached" : "The connection is gone", said);
    retryLater(said);
  }
  fetchEndings().then(pollWhileClosed);
}

// Back-off doubles; the random half keeps a thousand pages from coming back in one instant.
function retryLater(said) {
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** retry.attempt);
  const delay = Math.max(RETRY_FIRST_MS, ceiling * (0.5 + Math.random() / 2));
  retry.attempt += 1;
  retry.at = Date.now() + delay;
  retry.said = said;
  retry.timer = setTimeout(connect, delay);
  tick();
}

function hear(key, data) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return; // an echo of something that was not said through this page's protocol
  }
  if (message.type === "hello") {
    const own = message.endings.open.find((account) => account.id === message.id);
    nameSocket(key, message.id, own?.opened_at ?? null);
    if (key === socketKey) connection = message.id;
    takeAll(message.endings);
    tick();
  } else if (message.type === "opened") {
    takeOpened(message.account);
  } else if (message.type === "ended") {
    takeEnded(message.account, message.counts);
  } else if (message.type === "echo") {
    echoed(message.text);
  }
}

let saidAt = null;
function say(text) {
  saidAt = performance.now();
  socket.send(JSON.stringify({ type: "say", text }));
}

function echoed(text) {
  const after = saidAt === null ? "" : ` after ${duration(performance.now() - saidAt)}`;
  $("echo").textContent = `The server sent back “${text}”${after}.`;
}

// ---- from two accounts to one picture -----------------------------------------------------------

function belongs(event, account) {
  return event.connection === account.id && account.tab === tab
    && (event.openedAt === null || event.openedAt === account.opened_at);
}

function who(account) {
  return account.browser ? "browser" : "client";
}

function closeText(close) {
  if (close.code === null) return "Close, no code";
  return `Close ${close.code}`;
}

function closeFull(close) {
  if (!close) return "none";
  const name = CODES[close.code] ? ` (${CODES[close.code]})` : "";
  const code = close.code === null ? "no code" : `${close.code}${name}`;
  return close.reason ? `${code} “${close.reason}”` : code;
}

const PEER_END = {
  fin: { wire: "FIN", text: (peer) => `The ${peer} ended its side` },
  reset: { wire: "RST", text: (peer) => `The ${peer} cut the line` },
  timed_out: { wire: "silence", text: (peer) => `Nothing more from the ${peer}` },
  abandoned: { wire: "gave up", text: () => "Stopped waiting" },
};

// The server's moments: when, what it would say of them, and which way something travelled.
function serverMoments(account) {
  const { ending } = account;
  if (!ending) return [{ ms: 0, text: "Open", way: "in", wire: "connect" }];
  const { timeline: t, goodbye, transport } = ending;
  const peer = who(account);
  const end = PEER_END[transport.end] ?? { wire: transport.end, text: () => "Ended" };
  const lost = transport.end === "timed_out" || transport.end === "abandoned";
  const moments = [
    { ms: t.opened, text: "Opened", way: "in", wire: "connect" },
    { ms: t.close_received, text: `Heard ${closeFull(goodbye.received)}`, way: "in",
      wire: goodbye.received && closeText(goodbye.received) },
    { ms: t.close_sent, text: `Said ${closeFull(goodbye.sent)}`, way: "out",
      wire: goodbye.sent && closeText(goodbye.sent) },
    { ms: t.fin_sent, text: "Ended its side of TCP", way: "out", wire: "FIN" },
    { ms: t.peer_ended, text: end.text(peer), way: lost ? "lost" : "in",
      wire: transport.then_reset ? `${end.wire}, RST` : end.wire },
  ];
  if (lost && t.peer_ended === null) {
    moments.push({ ms: t.ended, text: end.text(peer), way: "lost", wire: end.wire });
  }
  return moments.filter((moment) => Number.isFinite(moment.ms)).sort((a, b) => a.ms - b.ms);
}

// Server and page may live by different clocks. The opening is the one moment both know.
function skew(account, events) {
  const open = events.find((event) => event.kind === "open");
  if (!open) return 0;
  const shift = open.at - (account.opened_at + (account.ending?.timeline.opened ?? 0));
  return Math.abs(shift) > SKEW_MS ? shift : 0;
}

function moments(account, events) {
  const shift = account ? skew(account, events) : 0;
  const fromServer = account
    ? serverMoments(account).map((m) => ({ ...m, at: account.opened_at + m.ms + shift }))
    : [];
  const fromPage = events.map((event) => ({ at: event.at, event }));
  // The sort is stable and the server's moments come first: cause before effect on a tie.
  return [...fromServer, ...fromPage].sort((a, b) => a.at - b.at);
}

const GLOSS = {
  open: () => "the socket is open",
  error: () => "something failed; browsers never say what",
  beforeunload: () => "the page is about to be left",
  pagehide: (e) => (e.persisted ? "put to sleep, it may come back" : "the page is being left"),
  pageshow: (e) => (e.persisted
    ? `woken up; the socket claims to be ${e.readyState}` : "a fresh page"),
  visibilitychange: (e) => (e.visibility === "hidden" ? "nobody looks at it" : "somebody looks"),
  action: () => "you pressed it",
  close: (e) => {
    if (e.code === 1006) return "the browser made up 1006: it heard no proper goodbye";
    return e.wasClean ? "both sides said goodbye" : "the ending was not complete";
  },
};

function eventTitle(event) {
  if (event.kind === "close") {
    const reason = event.reason ? `, "${event.reason}"` : "";
    return `close(${event.code}${reason}) ${event.wasClean ? "clean" : "not clean"}`;
  }
  if (event.kind === "pagehide" || event.kind === "pageshow") {
    return `${event.kind} persisted=${event.persisted}`;
  }
  if (event.kind === "visibilitychange") return `visibilitychange ${event.visibility}`;
  return event.kind === "action" ? event.label : event.kind;
}

// ---- what this means ----------------------------------------------------------------------------

// Measured with Chromium 156, Firefox 153 and WebKitGTK 2.50; a page cannot know more than that.
function aboutPeerGoodbye({ code, reason }, account) {
  if (reason === "WebSocket is closed due to suspension.") {
    return "WebKit says this when it puts a page to sleep so that Back is instant.";
  }
  if (reason === "Child was killed") return "Firefox says this when the tab’s process has died.";
  if (code === 1001) {
    return account.browser
      ? "The browser said goodbye by itself. It does so when a page is refreshed, when its tab or "
        + "window is closed, when a sleeping page is given up, and when it quits. On the wire "
        + "these look the same: at this moment no server can tell a refresh from a departure."
      : "The client went away and said so.";
  }
  if (code === null) return "The other side closed without giving a code, as close() does.";
  if (code === 1000) return "The other side was done and said so.";
  if (code >= 3000) return PAGE_CLOSED;
  return "The other side ended it and gave its reason.";
}

const PAGE_CLOSED = "The page closed the socket itself, with a code of its own. The server "
  + "answered, and the code of that answer is what onclose reports.";

const ABOUT = {
  application: "The server’s own code asked for this ending. A good client answers the Close, "
    + "and its page hears the server’s code in onclose.",
  drain: "The server is being stopped or replaced. It says so to everybody, waits for what is "
    + "still on its way, and only then goes.",
  dropped: "The server’s code let go of the connection without a word. The library still closed "
    + "it properly on its behalf.",
  panicked: "The server’s code failed. The other side was still told, with 1011, instead of "
    + "finding a dead line.",
  violation: "The other side sent something no WebSocket may send, so the server had to end it.",
  timeout: "The other side stopped answering: a lost network, a sleeping laptop, a stopped "
    + "process. Nobody can say goodbye then; only the lack of an answer tells.",
  eof: "The line was ended without a goodbye. Killed browsers end like this, and programs that "
    + "just close their socket. Chromium does it on a refresh too while much is still unsent.",
  reset: "The line was cut off. This happens when a program dies with unread data, and when "
    + "something in between drops the connection.",
  handshake: "It never became a WebSocket, so no page and no handler ever heard of it.",
};

function aboutPage(events) {
  const at = (test) => events.findIndex(test);
  const close = at((e) => e.kind === "close");
  const hide = at((e) => e.kind === "pagehide");
  const back = at((e) => e.kind === "pageshow" && e.persisted === true);
  if (close >= 0 && back >= 0 && back < close && events[close].code === 1006) {
    return "You came back to the very page you had left. Its socket claimed to be open, then "
      + "error and close(1006) fired at once. This is why onclose fires “when I come back”: it "
      + "reports the leaving, late.";
  }
  if (close >= 0 && hide > close) {
    return "The old page heard onclose before it was left: this browser ends the socket first and "
      + "the page afterwards. This is the onclose that people see on a refresh.";
  }
  if (hide >= 0 && close < 0) {
    return "The page was told nothing. After pagehide no script of it ran any more, so onclose "
      + "had nobody to call. Only the server knows how this connection ended.";
  }
  return null;
}

function meaning(account, events) {
  const { ending } = account;
  const first = ending.cause === "peer" && ending.goodbye.received
    ? aboutPeerGoodbye(ending.goodbye.received, account)
    : ABOUT[ending.cause];
  return [first, aboutPage(events)].filter(Boolean);
}

// ---- drawing ------------------------------------------------------------------------------------

// One row of the sequence diagram: the two lifelines, and what travelled between them. They stand
// at 0 % and 100 %, so that a row stretches with its text without distorting the arrow.
function wire(moment) {
  const box = { class: "wire", width: "100%", height: "100%", "aria-hidden": "true" };
  const life = (x) => svg("line", { class: "life", x1: x, x2: x, y1: 0, y2: "100%" });
  return svg("svg", box, life("0"), life("100%"), ...(moment ? mark(moment) : []));
}

function mark({ event, way, wire: words }) {
  const atPage = (shape) =>
    svg("svg", { x: "100%", y: 17, width: 1, height: 1, overflow: "visible" }, shape);
  if (event) return [atPage(svg("circle", { class: "dot", r: 4 }))];
  const label = svg("text", { x: "50%", y: 11, "text-anchor": "middle" });
  label.textContent = words ?? "";
  const line = svg("line", { class: `arrow ${way}`, x1: 0, x2: "100%", y1: 17, y2: 17 });
  return [line, label, ...arrowHead(way, atPage)];
}

function arrowHead(way, atPage) {
  const shape = (d) => svg("path", { class: "head", d });
  if (way === "out") return [atPage(shape("M-8 -4.5L-1 0l-7 4.5z"))];
  if (way === "in") return [shape("M8 12.5L1 17l7 4.5z")];
  const box = { x: "50%", y: 17, width: 1, height: 1, overflow: "visible" };
  return [svg("svg", box, svg("path", { class: "cross", d: "M-4 -4l8 8M4 -4l-8 8" }))];
}

function timeTag(at, className) {
  const node = el("time", className, clock(at));
  node.dateTime = new Date(at).toISOString();
  return node;
}

// A narrow column should break these names where a reader would, not in the middle of "true".
function breakable(title) {
  const parts = title.replace(/visibility|persisted=/, "$&\n").split("\n");
  return parts.flatMap((part, i) => (i > 0 ? [document.createElement("wbr"), part] : [part]));
}

function row(moment) {
  const { event } = moment;
  const words = event
    ? el("div", "words", el("code", "what", ...breakable(eventTitle(event))),
      el("span", "gloss", GLOSS[event.kind]?.(event) ?? ""))
    : el("div", "words", el("span", "what", moment.text));
  words.append(timeTag(moment.at, "when narrow"));
  const node = el("li", `row ${event ? `at-page kind-${event.kind}` : "at-server"}`,
    timeTag(moment.at, "when wide"),
    el("div", "server", event ? null : words),
    el("div", "between", wire(moment)),
    el("div", "page", event ? words : null));
  if (event?.kind === "close") node.classList.add(event.wasClean ? "clean" : "unclean");
  return node;
}

function gap(ms) {
  const between = el("div", "between", wire(null), el("span", "pause", duration(ms)));
  return el("li", "row pause-row", el("div", "when wide"), el("div", "server"), between,
    el("div", "page"));
}

function picture(account, events) {
  const all = moments(account, events);
  const shown = all.slice(-ROWS_MAX);
  const list = el("ol", "rows");
  if (all.length > shown.length) {
    list.append(el("li", "skipped", `${plural(all.length - shown.length, "earlier moment")}`));
  }
  shown.forEach((moment, i) => {
    const pause = i > 0 ? moment.at - shown[i - 1].at : 0;
    if (pause >= GAP_MS) list.append(gap(pause));
    list.append(row(moment));
  });
  return list;
}

function heading(account) {
  const own = account === null || account.tab === tab;
  const page = own ? "This page saw" : account.tab ? "Its own page" : "No page";
  return el("div", "row rows-head",
    el("div", "when wide"), el("h3", "server", "The server saw"), el("div", "between"),
    el("h3", "page", page));
}

function notes(account, events) {
  if (account.tab === null) return "A program, not this page, held this connection.";
  if (account.tab !== tab) return "Another tab held it. Only that page knows what it was told.";
  if (!events.length) return "This tab has forgotten what it saw of it.";
  if (account.ending && !events.some((event) => event.kind === "close")) {
    return "No close event. The page was never told.";
  }
  return null;
}

function facts(account) {
  const { ending } = account;
  const list = el("dl", "facts");
  const fact = (name, value) => {
    if (value) list.append(el("div", "fact", el("dt", "", name), el("dd", "", value)));
  };
  const peer = who(account);
  fact(`The ${peer}’s Close`, ending && closeFull(ending.goodbye.received));
  fact("The server’s Close", ending && closeFull(ending.goodbye.sent));
  fact("TCP", ending && tcp(ending.transport, peer));
  fact("Lasted", ending && duration(ending.lasted_ms));
  fact("Messages", ending && `${account.messages_in} in, ${account.messages_out} out`);
  fact("Version", VERSIONS[account.version] ?? account.version);
  fact("Cut", ending && cutText(ending.cut));
  fact("Lost", ending && unsentText(ending.unsent));
  fact("Detail", ending?.cause_detail);
  fact("Address", account.peer);
  return list;
}

function tcp(transport, peer) {
  const how = { fin: "FIN", reset: "RST", timed_out: "no answer", abandoned: "given up" };
  const end = `${how[transport.end] ?? transport.end}${transport.then_reset ? ", then RST" : ""}`;
  const first = transport.first === "peer" ? `${peer} first` : "server first";
  const tls = { true: ", TLS said so too", false: ", TLS did not say so" };
  return `${end}, ${first}${tls[transport.close_notify] ?? ""}`;
}

function cutText(cut) {
  return { mid_message: "in the middle of a message", mid_frame: "in the middle of a frame" }[cut];
}

function unsentText({ messages, bytes, unacknowledged }) {
  const parts = [];
  if (messages || bytes) {
    parts.push(`${plural(messages, "message")} never left (${plural(bytes, "byte")})`);
  }
  if (unacknowledged) parts.push(`${plural(unacknowledged, "byte")} sent, arrival unknown`);
  return parts.join("; ") || null;
}

// Both accounts in one line each, for a folded card. The arrows point as in the picture: the
// server stands on the left, the page on the right.
function strip(account, events) {
  const lines = [el("span", "strip-line", el("span", "strip-name", "Server"),
    ...serverMoments(account).filter((m) => m.wire !== "connect").map((m) => chip(m, account)))];
  if (events.length) {
    const told = events.filter((e) => TELLING.includes(e.kind)).slice(-5)
      .map((e) => el("span", `chip kind-${e.kind} ${e.wasClean ? "clean" : "unclean"}`,
        el("span", "what", eventTitle(e))));
    const silent = events.some((e) => e.kind === "close") ? null
      : el("span", "chip none", "no close event");
    lines.push(
      el("span", "strip-line", el("span", "strip-name", "Page"), ...told, silent));
  }
  return el("span", "strip", ...lines);
}

const TELLING = ["pagehide", "error", "close"];

function chip({ way, wire: words, text }, account) {
  const arrow = { in: "←", out: "→", lost: "×" }[way];
  const from = way === "out" ? "from the server" : `from the ${who(account)}`;
  const node = el("span", `chip ${way}`, el("span", "chip-arrow", arrow), words);
  node.title = way === "lost" ? text : `${words} ${from}`;
  return node;
}

const unfolded = new Map(); // what the visitor folded or unfolded by hand

function summary(account, events) {
  const { ending } = account;
  const cause = ending ? ending.cause : "open";
  const kind = el("span", "kind", icon(`cause-${cause}`), ending ? CAUSES[cause] ?? cause : "Open");
  const meta = el("span", "meta",
    el("span", "number", `#${account.id}`),
    el("span", "", account.browser ?? "not a browser"),
    ending ? el("span", "", clock(account.ended_at, false)) : since(account.opened_at));
  if (account.tab === tab) meta.prepend(el("span", "badge", "this tab"));
  const first = el("span", "card-head", kind, meta, icon("chevron", "icon chevron"));
  if (account.user_agent) meta.title = account.user_agent;
  if (!ending) return el("summary", "", first);
  return el("summary", "", first, el("span", "sentence", ending.sentence),
    strip(account, events));
}

function since(openedAt) {
  const node = el("span", "since", "");
  node.dataset.since = openedAt;
  node.textContent = `for ${wholeSeconds(openedAt)}`;
  return node;
}

function body(account, events) {
  const note = notes(account, events);
  const box = el("div", "card-body", heading(account), picture(account, events));
  if (note) box.append(el("p", "note", note));
  box.append(facts(account));
  if (account.ending) {
    const paragraphs = meaning(account, events).map((text) => el("p", "", text));
    box.append(el("div", "meaning", el("h3", "", "What this means"), ...paragraphs));
  }
  return box;
}

function card(account, events, open) {
  const key = cardKey(account);
  const node = el("details", `card cause-${account.ending ? account.ending.cause : "open"}`,
    summary(account, events), open ? body(account, events) : null);
  if (account.tab === tab) node.classList.add("own");
  node.open = open;
  node.addEventListener("toggle", () => {
    if (node.open && !node.querySelector(".card-body")) node.append(body(account, events));
    if (node.open !== open || unfolded.has(key)) unfolded.set(key, node.open);
  });
  return node;
}

// Sockets of this tab that the server knows nothing about: it was away, or has been restarted.
function orphanCard(events) {
  const failed = events.filter((event) => event.kind === "close").length;
  const never = !events.some((event) => event.kind === "open");
  const text = never
    ? `${plural(failed, "attempt")} to connect reached no server. The page is only told 1006.`
    : "The server has no account of this connection: it was restarted, or it forgot.";
  const head = el("span", "card-head",
    el("span", "kind", icon("cause-handshake"), "Seen by this page only"),
    el("span", "meta", el("span", "badge", "this tab"),
      el("span", "", clock(events[events.length - 1].at, false))),
    icon("chevron", "icon chevron"));
  const inside = el("div", "card-body", heading(null), picture(null, events));
  return el("details", "card own cause-handshake",
    el("summary", "", head, el("span", "sentence", text)), inside);
}

// ---- the list -----------------------------------------------------------------------------------

const filter = { cause: null, own: false };
const cardKey = (account) => `${account.id}@${account.opened_at}`;

// Sorts what this tab saw to the accounts of the server.
function pageAccounts() {
  const accounts = new Map(); // key of an account -> what this tab saw of it
  const orphans = new Map(); // sockets no account of the server speaks of
  const events = history();
  const opened = new Set(events.filter((e) => e.kind === "open").map((e) => e.socket));
  const alive = document.body.dataset.state === "closed" ? null : socketKey;
  for (const event of events) {
    const account = server.ended.get(event.connection) ?? server.open.get(event.connection);
    const known = account && belongs(event, account);
    // The living socket is no orphan: its account is still on its way.
    if (!known && event.socket === alive) continue;
    const group = known ? accounts : orphans;
    const key = known ? cardKey(account) : opened.has(event.socket) ? event.socket : "attempts";
    if (!group.has(key)) group.set(key, []);
    group.get(key).push(event);
  }
  return { accounts, orphans };
}

// What a list should show, newest first: { key, at, signature, open, build }.
function endedItems(groups) {
  const accounts = [...server.ended.values()]
    .filter((account) => !filter.cause || account.ending.cause === filter.cause)
    .filter((account) => !filter.own || account.tab === tab)
    .sort((a, b) => b.ended_at - a.ended_at || b.id - a.id);
  let ownSeen = 0;
  const items = accounts.slice(0, CARDS_MAX).map((account) => {
    const key = cardKey(account);
    const events = groups.accounts.get(key) ?? [];
    const byDefault = account.tab === tab && ownSeen++ < UNFOLDED;
    const open = unfolded.get(key) ?? byDefault;
    return { key, at: account.ended_at, signature: `ended ${events.length}`, open,
      build: () => card(account, events, open) };
  });
  if (!filter.cause) {
    items.push(...orphanItems(groups.orphans));
    items.sort((a, b) => b.at - a.at);
  }
  return { items, matching: accounts.length };
}

function orphanItems(orphans) {
  return [...orphans]
    .map(([key, events]) => ({ key, at: events[events.length - 1].at,
      signature: `orphan ${events.length}`, build: () => orphanCard(events) }))
    .sort((a, b) => b.at - a.at)
    .slice(0, ORPHANS_MAX);
}

function openItems(groups) {
  const own = (account) => account.tab === tab;
  const accounts = [...server.open.values()]
    .filter((account) => !filter.own || own(account))
    .sort((a, b) => own(b) - own(a) || b.opened_at - a.opened_at);
  return accounts.slice(0, OPEN_MAX).map((account) => {
    const events = groups.accounts.get(cardKey(account)) ?? [];
    const open = unfolded.get(cardKey(account)) ?? false;
    return { key: cardKey(account), signature: `open ${events.length}`, open,
      build: () => card(account, events, open) };
  });
}

const drawn = new Map(); // key -> { node, signature }, for both lists

function reconcile(list, items) {
  const keys = new Set(items.map((item) => item.key));
  for (const node of [...list.children]) if (!keys.has(node.dataset.key)) node.remove();
  items.forEach((item, i) => {
    let entry = drawn.get(item.key);
    if (!entry || entry.signature !== item.signature) {
      const old = entry?.node;
      const focused = old?.contains(document.activeElement);
      entry = { signature: item.signature, node: item.build() };
      entry.node.dataset.key = item.key;
      if (!old && rendered) entry.node.classList.add("fresh");
      old?.remove();
      drawn.set(item.key, entry);
      placeAt(list, entry.node, i);
      if (focused) entry.node.querySelector("summary").focus();
    } else {
      placeAt(list, entry.node, i);
      followDefault(entry.node, item);
    }
  });
}

function placeAt(list, node, i) {
  if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
}

// A card that was unfolded only because it was among the newest folds when newer ones come.
function followDefault(node, item) {
  if (item.open !== undefined && !unfolded.has(item.key) && node.open && !item.open) {
    if (!node.contains(document.activeElement)) node.open = false;
  }
}

function forget(items) {
  const keys = new Set(items.map((item) => item.key));
  for (const key of [...drawn.keys()]) if (!keys.has(key)) drawn.delete(key);
}

// The bars are changed in place: a button that is replaced between press and release is never
// clicked, and on a busy server they change many times a second.
const barOf = new Map();

function bars() {
  const { counts } = server;
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const largest = Math.max(1, ...Object.values(counts));
  const causes = new Set([...Object.keys(CAUSES), ...Object.keys(counts)]);
  let place = 0;
  for (const cause of [null, ...[...causes].filter((known) => counts[known] || barOf.has(known))]) {
    if (!barOf.has(cause)) barOf.set(cause, newBar(cause));
    const { item, button, number, fill } = barOf.get(cause);
    const count = cause === null ? total : counts[cause] ?? 0;
    number.textContent = count.toLocaleString("en");
    fill.style.width = `${(count / largest) * 100}%`;
    button.setAttribute("aria-pressed", String(filter.cause === cause));
    placeAt($("kinds"), item, place++);
  }
  $("kinds").hidden = total === 0;
  $("kinds-empty").hidden = total !== 0;
}

function newBar(cause) {
  const name = el("span", "bar-name", cause && icon(`cause-${cause}`),
    cause === null ? "All" : CAUSES[cause] ?? cause);
  const number = el("span", "bar-count");
  const fill = el("span", "bar-fill");
  const button = el("button", `bar cause-${cause ?? "all"}`, name, number,
    cause && el("span", "bar-track", fill));
  button.type = "button";
  button.dataset.cause = cause ?? "";
  button.addEventListener("click", () => {
    filter.cause = cause;
    render();
  });
  return { item: el("li", "", button), button, number, fill };
}

let renderTimer = null;
let rendered = false;
function renderSoon() {
  renderTimer ??= setTimeout(render, RENDER_EVERY_MS);
}

function render() {
  clearTimeout(renderTimer);
  renderTimer = null;
  const groups = pageAccounts();
  const open = openItems(groups);
  const { items, matching } = endedItems(groups);
  reconcile($("open-list"), open);
  reconcile($("ended-list"), items);
  forget([...open, ...items]);
  bars();
  const nothing = server.ended.size === 0 && groups.orphans.size === 0;
  $("empty").hidden = !nothing;
  $("no-match").hidden = nothing || items.length > 0;
  $("open-section").hidden = open.length === 0;
  $("open-count").textContent = server.open.size || "";
  $("ended-count").textContent = matching || "";
  $("more").hidden = matching <= CARDS_MAX;
  $("more").textContent = `The newest ${CARDS_MAX} of ${matching} are shown; all are in /endings.`;
  announce();
  rendered = true;
}

function announce() {
  if (!toAnnounce.length) return;
  const last = toAnnounce[toAnnounce.length - 1];
  $("announcer").textContent = toAnnounce.length === 1
    ? last : `${toAnnounce.length} connections ended. The newest: ${last}`;
  toAnnounce.length = 0;
}

function tick() {
  for (const node of document.querySelectorAll("[data-since]")) {
    node.textContent = `for ${wholeSeconds(Number(node.dataset.since))}`;
  }
  if (document.body.dataset.state === "open" && connection !== null) {
    $("status-detail").textContent =
      `Connection #${connection}, open for ${wholeSeconds(openSince)}.`;
  } else if (retry.at !== null) {
    const left = Math.max(0, Math.ceil((retry.at - Date.now()) / 1000));
    $("status-detail").textContent =
      `${retry.said} Trying again in ${left} s (attempt ${retry.attempt}).`;
  }
}

// ---- buttons, switches and the life of the page -------------------------------------------------

function press(id, label, act) {
  $(id).addEventListener("click", () => {
    record("action", { label });
    act();
  });
}

function closeFromServer(code) {
  wish = "server";
  const reason = "the page asked for it";
  socket.send(JSON.stringify({ type: "close_me", code, reason }));
}

function closeFromPage(...how) {
  wish = "page";
  socket.close(...how);
}

function closeOnLeaving(kind) {
  if (socket.readyState !== WebSocket.OPEN) return;
  wish = "left"; // if the page stays alive after all, it connects again
  socket.close(4001, kind);
}

function wireButtons() {
  press("refresh", "Refresh", () => location.reload());
  press("leave", "Leave and come back", () => {});
  press("close", "close()", () => closeFromPage());
  press("close-4001", 'close(4001, "bye")', () => closeFromPage(4001, "bye"));
  press("server-close-1001", "Let the server close with 1001", () => closeFromServer(1001));
  press("server-close-4000", "Let the server close with 4000", () => closeFromServer(4000));
  $("reconnect").addEventListener("click", () => {
    retry.attempt = 0;
    connect();
  });
  // Without an opener: a page that shares its browsing context group is barred from the
  // back/forward cache, and sessionStorage would be copied, which is this tab's identity.
  $("second-tab").addEventListener("click", () => window.open("/", "_blank", "noopener"));
  $("say").addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState === WebSocket.OPEN) say($("text").value);
  });
  $("only-this-tab").addEventListener("change", (event) => {
    filter.own = event.target.checked;
    render();
  });
  $("clear-filter").addEventListener("click", () => {
    filter.cause = null;
    filter.own = false;
    $("only-this-tab").checked = false;
    render();
    $("endings").focus();
  });
}

function onBeforeUnload() {
  record("beforeunload");
  closeOnLeaving("beforeunload");
}

function wireSwitches() {
  for (const id of ["beforeunload-close", "pagehide-close"]) {
    const input = $(id);
    input.checked = stored(id) === "on";
    input.addEventListener("change", () => {
      store(id, input.checked ? "on" : "off");
      applySwitches();
    });
  }
  applySwitches();
}

// The listener itself changes what a browser does, so it exists only while it is wanted.
function applySwitches() {
  window.removeEventListener("beforeunload", onBeforeUnload);
  if ($("beforeunload-close").checked) window.addEventListener("beforeunload", onBeforeUnload);
}

const READY = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];

function watchThePage() {
  window.addEventListener("pagehide", ({ persisted }) => {
    record("pagehide", { persisted, readyState: READY[socket.readyState] });
    if ($("pagehide-close").checked) closeOnLeaving("pagehide");
  });
  window.addEventListener("pageshow", ({ persisted }) => {
    record("pageshow", { persisted, readyState: READY[socket.readyState] });
    if (persisted) comeBack();
  });
  document.addEventListener("visibilitychange", () => {
    record("visibilitychange", { visibility: document.visibilityState });
  });
  window.addEventListener("online", () => {
    if (retry.at !== null) connect();
  });
}

// Awake again. The socket has not been told yet what became of it: let it say so, and connect anew
// when it has. One that a button closed before the page was left stays closed.
function comeBack() {
  if (wish === "page" || wish === "server") return;
  if (socket.readyState === WebSocket.CLOSED) connect();
  else wish = "returned";
}

// ---- the other page -----------------------------------------------------------------------------

// It has no socket. It asks what became of the one that was left.
async function askAboutTheLeft() {
  try {
    const answer = await fetch(`/endings?tab=${encodeURIComponent(tab)}`, { cache: "no-store" });
    const { open, ended } = await answer.json();
    verdict(open[0], ended[0]);
  } catch {
    $("verdict").textContent = "The server does not answer.";
  }
  setTimeout(askAboutTheLeft, 1000);
}

function verdict(open, ended) {
  const account = open ?? ended;
  if (!account) {
    $("verdict").textContent = "It knows no connection of this tab.";
  } else if (open) {
    $("verdict").textContent = `Connection #${open.id} is still open.`;
    $("verdict-detail").textContent =
      "The page sleeps, its socket does not: the server has been told nothing.";
  } else {
    const text = ended.ending.sentence;
    if ($("verdict").textContent !== text) $("verdict").textContent = text;
    $("verdict-detail").textContent = `Connection #${ended.id}, ${clock(ended.ended_at)}.`;
  }
}

// ---- start --------------------------------------------------------------------------------------

function startLive() {
  // For tests and for the curious at the console.
  window.adieu = { tab, events: history, socket: () => socket };
  wireButtons();
  connect();
  wireSwitches();
  watchThePage();
  setInterval(tick, 1000);
}

function startAway() {
  $("back").addEventListener("click", () => window.history.back());
  askAboutTheLeft();
}

if (document.body.dataset.page === "away") startAway();
else startLive();
