// From two accounts to one sequence of moments, and what each moment is called.

import { closeFull, who } from "./words.js";

const SKEW_MS = 250; // clocks that differ by less are taken as one: the difference is the way there

// ---- the gateway's ------------------------------------------------------------------------------

const PEER_END = {
  fin: { wire: "FIN", chip: "done (FIN)", text: (peer) => `The ${peer} ended its side` },
  rst: { wire: "RST", chip: "cut (RST)", text: (peer) => `The ${peer} cut the line` },
  fin_then_rst: { wire: "FIN, RST", chip: "done (FIN), then cut (RST)",
    text: (peer) => `The ${peer} ended its side, then cut the line` },
  end_stream: { wire: "END_STREAM", chip: "done (END_STREAM)",
    text: (peer) => `The ${peer} ended its side of the stream` },
  rst_stream: { wire: "RST_STREAM", chip: "reset (RST_STREAM)",
    text: (peer) => `The ${peer} reset the stream` },
  end_stream_then_rst_stream: { wire: "END_STREAM, RST_STREAM", chip: "done, then reset",
    text: (peer) => `The ${peer} ended its side of the stream, then reset it` },
  both_closed: { wire: "RST_STREAM", text: () => "Both sides have said goodbye" },
  timed_out: { wire: "silence", text: (peer) => `Nothing more from the ${peer}` },
  abandoned: { wire: "gave up", text: () => "Stopped waiting" },
  unknown: { wire: "failed", text: (peer) => `How the ${peer} ended is not known` },
};

// When, what the gateway would say of it, which way something travelled, and what that is called
// on the wire and, for those who never read a protocol, on a chip.
export function gatewayMoments(account) {
  const { ending, timeline: t } = account;
  if (!ending) return [{ ms: 0, text: "Open", way: "in", wire: "connect" }];
  const moments = [
    { ms: t.opened, text: "Opened", way: "in", wire: "connect" },
    { ms: t.closeReceived, way: "in", ...closeMoment("Heard", ending.received) },
    { ms: t.closeSent, way: "out", ...closeMoment("Said", ending.sent) },
    ourEnd(t.finSent, ending),
    peerEnd(t, ending.transport, who(account)),
  ];
  return moments.filter((moment) => Number.isFinite(moment.ms)).sort((a, b) => a.ms - b.ms);
}

function ourEnd(ms, { transportKind }) {
  const of = transportKind === "http2" ? "the stream" : "TCP";
  const wire = transportKind === "http2" ? "END_STREAM" : "FIN";
  return { ms, text: `Ended its side of ${of}`, way: "out", wire, chip: `done (${wire})` };
}

function closeMoment(verb, close) {
  if (!close) return {};
  const code = close.code === null ? ", no code" : ` ${close.code}`;
  return { text: `${verb} ${closeFull(close)}`, wire: `Close${code}`, chip: `goodbye${code}` };
}

function peerEnd(timeline, transport, peer) {
  const end = PEER_END[transport] ?? { wire: transport, text: () => "Ended" };
  const lost = ["timed_out", "abandoned", "unknown"].includes(transport);
  return { ms: timeline.peerEnded ?? (lost ? timeline.ended : null), text: end.text(peer),
    way: lost ? "lost" : "in", wire: end.wire, chip: end.chip };
}

// ---- the page's ---------------------------------------------------------------------------------

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

export function eventGloss(event) {
  return GLOSS[event.kind]?.(event) ?? "";
}

export function eventTitle(event) {
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

// ---- both ---------------------------------------------------------------------------------------

// Gateway and page may live by different clocks. The opening is the one moment both know.
function skew(account, events) {
  const open = events.find((event) => event.kind === "open");
  if (!open) return 0;
  const shift = open.at - (account.openedAt + (account.timeline?.opened ?? 0));
  return Math.abs(shift) > SKEW_MS ? shift : 0;
}

export function moments(account, events) {
  const shift = account ? skew(account, events) : 0;
  const fromGateway = account
    ? gatewayMoments(account).map((m) => ({ ...m, at: account.openedAt + m.ms + shift }))
    : [];
  const fromPage = events.map((event) => ({ at: event.at, event }));
  // The sort is stable and the gateway's moments come first: cause before effect on a tie.
  return [...fromGateway, ...fromPage].sort((a, b) => a.at - b.at);
}
