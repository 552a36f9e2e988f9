// "What this means": an ending in the words of somebody who explains it.
//
// Measured with Chromium 156, Firefox 153 and WebKitGTK 2.50; a page cannot know more than that.

import { kindOf, who } from "./words.js";

const about = (peer) => ({
  close_frame: `The ${peer} said goodbye first.`,
  application: "The server’s own code asked for this ending. A good client answers the Close, "
    + "and its page hears the server’s code in onclose.",
  handler_returned: "The server’s code for this connection was done with it. A good client "
    + "answers the Close, and its page hears the server’s code in onclose.",
  handler_failed: `The server’s code for this connection gave up with an error. The ${peer} `
    + "was told so by a Close.",
  slow_consumer: `The ${peer} read more slowly than the group it was in speaks. The server `
    + "does not let one keep the others waiting.",
  no_binary: "The server’s code sent binary data, which the old version that this client speaks "
    + "does not have.",
  too_much_received: "All clients together sent too much at once; this one has to send again.",
  too_many_connections: "The server has a limit for connections, and this one was above it.",
  drain: "The server is being stopped or replaced. It says so to everybody, waits for what is "
    + "still on its way, and only then goes.",
  dropped: "The server’s code let go of the connection without a word. The library still closed "
    + "it properly on its behalf.",
  panicked: `The server’s code failed. The ${peer} was still told, with 1011, instead of `
    + "finding a dead line.",
  protocol_error: `The ${peer} sent something no WebSocket may send, so the server had to `
    + "end it.",
  pong_timeout: `The ${peer} stopped answering: a lost network, a sleeping laptop, a stopped `
    + "process. Nobody can say goodbye then; only the lack of an answer tells.",
  write_timeout: `The ${peer} did not take or say in time what it had to: a stopped process, `
    + "or a program that does not read. Which clock ran out stands under Detail.",
  tcp_timeout: `The ${peer}’s machine acknowledged nothing any more: a lost network, or a `
    + "machine that is off. Nobody can say goodbye then; only the silence tells.",
  fin: "The line was ended without a goodbye. Killed browsers end like this, and programs that "
    + "just close their socket. Chromium does it on a refresh too while much is still unsent.",
  rst: "The line was cut off. This happens when a program dies with unread data, and when "
    + "something in between drops the connection.",
  end_stream: "The stream of HTTP/2 was ended without a goodbye. Programs do that which just "
    + "close their socket.",
  rst_stream: "The stream of HTTP/2 was reset. Over HTTP/2 Chromium does that, and says no "
    + "goodbye, when its page is reloaded, left, closed or has crashed: these cannot be told apart.",
  transport_error: `The line failed with an error that does not say how the ${peer} ended. `
    + "The error stands above.",
  handshake: "It never became a WebSocket, so no page and no handler ever heard of it.",
  unknown: "The server knows a reason this page has no words for. Its sentence has it.",
});

const PAGE_CLOSED = "The page closed the socket itself, with a code of its own. The server "
  + "answered, and the code of that answer is what onclose reports.";

function aboutKind(account) {
  const kind = kindOf(account.ending);
  const { received } = account.ending;
  if (kind === "close_frame" && received) return aboutGoodbye(received, account);
  const words = about(who(account));
  return words[kind] ?? words.unknown;
}

function aboutGoodbye({ code, reason }, account) {
  const peer = who(account);
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
  if (code === null) return `The ${peer} closed without giving a code, as close() does.`;
  if (code === 1000) return `The ${peer} was done and said so.`;
  if (code >= 3000) return PAGE_CLOSED;
  return `The ${peer} ended it and gave its reason.`;
}

// Why the gateway let go, where none of its clocks is the reason.
const LET_GO = {
  forced: "The server was told to let go of everything at once.",
  task_dropped: "The server’s code dropped the task that drove the connection.",
  runtime_gone: "The server’s process was ending already.",
  refused: "The server refused the connection without waiting for its request.",
};

// Mechanisms that say already that the peer never ended.
const SILENCE = ["pong_timeout", "write_timeout", "tcp_timeout"];

// What TCP adds, where a reader would wonder.
function aboutTransport(account) {
  const { mechanism, received, sent, firstClose, transport, letGo } = account.ending;
  const peer = who(account);
  const cut = transport === "rst" && received;
  if (cut || transport === "fin_then_rst") {
    const answered = firstClose === "client" && sent;
    const what = answered ? "the server’s answer" : "all that the server had sent";
    const normal = account.browser
      ? " This is normal for a refresh or a closed tab in Chromium and WebKit." : "";
    return `The ${peer} was gone before it read ${what}.${normal}`;
  }
  if (LET_GO[letGo]) return `The ${peer} never ended its side of the line. ${LET_GO[letGo]}`;
  const unheard = transport === "timed_out" || transport === "abandoned";
  if (unheard && !SILENCE.includes(mechanism)) {
    return `The ${peer} never ended its side of the line. The server waited as long as it is `
      + "told to, and then let go by itself.";
  }
  return null;
}

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

// One text for each paragraph.
export function meaning(account, events) {
  return [aboutKind(account), aboutTransport(account), aboutPage(events)].filter(Boolean);
}
