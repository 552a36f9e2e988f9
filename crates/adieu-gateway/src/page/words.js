// How things are called: kinds of ending, codes, versions, ends; and how numbers and times are
// written.

// A kind of ending is why the gateway closed the connection, or else by what it ended.
export const kindOf = ({ closedBecause, mechanism }) => closedBecause ?? mechanism;

export const KINDS = {
  close_frame: "Ended with a goodbye",
  application: "The server closed it",
  handler_returned: "The server was done",
  handler_failed: "The server gave an error",
  slow_consumer: "Read too slowly",
  no_binary: "Cannot take binary data",
  too_many_connections: "Too many connections",
  too_much_received: "Too much at once",
  drain: "The server shut down",
  fin: "Ended without a goodbye",
  rst: "Cut off by a reset",
  end_stream: "Stream ended, no goodbye",
  rst_stream: "Stream reset",
  transport_error: "The line failed",
  pong_timeout: "Went silent",
  write_timeout: "Did not read",
  tcp_timeout: "Out of reach",
  protocol_error: "Broke the protocol",
  dropped: "The server let go",
  panicked: "The server failed",
  handshake: "Never opened",
  unknown: "Something else",
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

// Colour and symbol of each kind: some share them.
const LOOKS = {
  close_frame: "client", application: "application", handler_returned: "application",
  handler_failed: "panicked", slow_consumer: "timeout", no_binary: "application",
  too_many_connections: "application", too_much_received: "application", drain: "drain",
  fin: "fin", rst: "rst", end_stream: "fin", rst_stream: "rst", transport_error: "rst", pong_timeout: "timeout",
  write_timeout: "timeout", tcp_timeout: "timeout", protocol_error: "protocol_error",
  dropped: "dropped", panicked: "panicked", handshake: "handshake",
};

export const kindText = (kind) => KINDS[kind] ?? kind;
export const lookOf = (kind) => LOOKS[kind] ?? "unknown";
export const versionText = (version) => VERSIONS[version] ?? version;

// ---- numbers and times --------------------------------------------------------------------------

export function plural(count, one) {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

export function duration(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function wholeSeconds(startedAt) {
  const seconds = Math.max(0, Math.floor((Date.now() - startedAt) / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

export function clock(at, withMillis = true) {
  const date = new Date(at);
  const two = (n) => String(n).padStart(2, "0");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return withMillis ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

// As short as it can be: with the day only if that was another one.
export function date(at) {
  const then = new Date(at);
  if (then.toDateString() === new Date().toDateString()) return clock(at, false);
  const two = (n) => String(n).padStart(2, "0");
  const day = [then.getFullYear(), two(then.getMonth() + 1), two(then.getDate())].join("-");
  return `${day} ${clock(at, false)}`;
}

// ---- parts of an account ------------------------------------------------------------------------

export function who(account) {
  return account.browser ? "browser" : "client";
}

// The report calls its own side "we" and the other "the peer": here they are named. What stands in
// quotation marks was said by the other side and is left as it is.
export function sentenceOf(sentence, peer) {
  return sentence.split(/("(?:[^"\\]|\\.)*")/)
    .map((part, i) => (i % 2 ? part : named(part, peer))).join("");
}

const NAMED = [
  [/\bwe broadcast\b/g, "the server broadcasts"],
  [/\bOur (?:application|handler)\b/g, "The server’s code"],
  [/\bour application\b/g, "the server’s code"],
  [/\bOur server\b/g, "The server"],
  [/\bour server\b/g, "the server"],
  [/\bof ours\b/g, "of the server"],
  [/\bOur\b/g, "The server’s"],
  [/\bour\b/g, "the server’s"],
  [/\bwe\b/g, "the server"],
];

function named(text, peer) {
  const ours = NAMED.reduce((said, [from, to]) => said.replace(from, to), text);
  return ours.replace(/\b([Tt])he peer\b/g, `$1he ${peer}`);
}

export function closeFull(close) {
  if (!close) return "none";
  const name = CODES[close.code] ? ` (${CODES[close.code]})` : "";
  const code = close.code === null ? "no code" : `${close.code}${name}`;
  return close.reason ? `${code} “${close.reason}”` : code;
}

export function transportText(ending, peer) {
  const how = { fin: "FIN", fin_then_rst: "FIN, then RST", rst: "RST", timed_out: "no answer",
    abandoned: "given up", unknown: "not known how", end_stream: "END_STREAM",
    end_stream_then_rst_stream: "END_STREAM, then RST_STREAM",
    rst_stream: `RST_STREAM (${ending.http2?.reset})`,
    both_closed: "END_STREAM and RST_STREAM (NO_ERROR)" };
  const end = how[ending.transport] ?? ending.transport;
  const first = { client: `, ${peer} first`, gateway: ", server first" };
  const tls = { true: ", TLS said so too", false: ", TLS did not say so" };
  const { http2 } = ending;
  const of = http2 ? `, stream ${http2.stream} of HTTP/2 connection ${http2.connection}` : "";
  return `${end}${first[ending.transportEndedFirst] ?? ""}${tls[ending.closeNotify] ?? ""}${of}`;
}

export function cutText(cut) {
  return { mid_message: "in the middle of a message", mid_frame: "in the middle of a frame" }[cut];
}

// Of a connection of a session they are counted with the session.
export function messagesText(account) {
  if (account.messagesIn === null) return null;
  return `${account.messagesIn} from the ${who(account)}, ${account.messagesOut} to it`;
}

export function compressedText({ sent, sentAs, received, receivedAs }) {
  return `${plural(sent, "byte")} sent as ${sentAs}, ${plural(received, "byte")} received as `
    + receivedAs;
}

export function unsentText({ unsentMessages, unsentBytes, unacknowledgedBytes }) {
  const parts = [];
  if (unsentMessages || unsentBytes) {
    const messages = plural(unsentMessages, "message");
    parts.push(`${messages} never left (${plural(unsentBytes, "byte")})`);
  }
  if (unacknowledgedBytes) {
    parts.push(`${plural(unacknowledgedBytes, "byte")} sent, arrival unknown`);
  }
  return parts.join("; ") || null;
}
