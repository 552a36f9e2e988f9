// "What this means": an ending in the words of somebody who explains it.
//
// Measured with Chromium 156, Firefox 153 and WebKitGTK 2.50; a page cannot know more than that.

import { kindOf, who } from "./words.js";

const ABOUT = {
  close_frame: "The other side said goodbye first.",
  application: "The gateway’s own code asked for this ending. A good client answers the Close, "
    + "and its page hears the gateway’s code in onclose.",
  handler_returned: "The gateway’s code for this connection was done with it. A good client "
    + "answers the Close, and its page hears the gateway’s code in onclose.",
  handler_failed: "The gateway’s code for this connection gave up with an error. The other side "
    + "was told so by a Close.",
  slow_consumer: "The other side read more slowly than the group it was in speaks. The gateway "
    + "does not let one keep the others waiting.",
  no_binary: "The gateway’s code sent binary data, which the old version that this client speaks "
    + "does not have.",
  too_much_received: "All clients together sent too much at once; this one has to send again.",
  too_many_connections: "The gateway has a limit for connections, and this one was above it.",
  drain: "The gateway is being stopped or replaced. It says so to everybody, waits for what is "
    + "still on its way, and only then goes.",
  dropped: "The gateway’s code let go of the connection without a word. The library still closed "
    + "it properly on its behalf.",
  panicked: "The gateway’s code failed. The other side was still told, with 1011, instead of "
    + "finding a dead line.",
  protocol_error: "The other side sent something no WebSocket may send, so the gateway had to "
    + "end it.",
  pong_timeout: "The other side stopped answering: a lost network, a sleeping laptop, a stopped "
    + "process. Nobody can say goodbye then; only the lack of an answer tells.",
  write_timeout: "The other side did not take or say in time what it had to: a stopped process, "
    + "or a program that does not read. Which clock ran out stands under Detail.",
  tcp_timeout: "The other side’s machine acknowledged nothing any more: a lost network, or a "
    + "machine that is off. Nobody can say goodbye then; only the silence tells.",
  fin: "The line was ended without a goodbye. Killed browsers end like this, and programs that "
    + "just close their socket. Chromium does it on a refresh too while much is still unsent.",
  rst: "The line was cut off. This happens when a program dies with unread data, and when "
    + "something in between drops the connection.",
  transport_error: "The line failed with an error that does not say how the other side ended. "
    + "The error stands above.",
  handshake: "It never became a WebSocket, so no page and no handler ever heard of it.",
  unknown: "The gateway knows a reason this page has no words for. Its sentence has it.",
};

const PAGE_CLOSED = "The page closed the socket itself, with a code of its own. The gateway "
  + "answered, and the code of that answer is what onclose reports.";

function aboutKind(account) {
  const kind = kindOf(account.ending);
  const { received } = account.ending;
  if (kind === "close_frame" && received) return aboutGoodbye(received, account);
  return ABOUT[kind] ?? ABOUT.unknown;
}

function aboutGoodbye({ code, reason }, account) {
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

// Why the gateway let go, where none of its clocks is the reason.
const LET_GO = {
  forced: "The gateway was told to let go of everything at once.",
  task_dropped: "The gateway’s code dropped the task that drove the connection.",
  runtime_gone: "The gateway’s process was ending already.",
  refused: "The gateway refused the connection without waiting for its request.",
};

// Mechanisms that say already that the other side never ended.
const SILENCE = ["pong_timeout", "write_timeout", "tcp_timeout"];

// What TCP adds, where a reader would wonder.
function aboutTransport(account) {
  const { mechanism, received, sent, firstClose, transport, letGo } = account.ending;
  const peer = who(account);
  const cut = transport === "rst" && received;
  if (cut || transport === "fin_then_rst") {
    const answered = firstClose === "client" && sent;
    const what = answered ? "the gateway’s answer" : "all that the gateway had sent";
    const normal = account.browser
      ? " This is normal for a refresh or a closed tab in Chromium and WebKit." : "";
    return `The ${peer} was gone before it read ${what}.${normal}`;
  }
  if (LET_GO[letGo]) return `The ${peer} never ended its side of the line. ${LET_GO[letGo]}`;
  const unheard = transport === "timed_out" || transport === "abandoned";
  if (unheard && !SILENCE.includes(mechanism)) {
    return `The ${peer} never ended its side of the line. The gateway waited as long as it is `
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
      + "had nobody to call. Only the gateway knows how this connection ended.";
  }
  return null;
}

// One text for each paragraph.
export function meaning(account, events) {
  return [aboutKind(account), aboutTransport(account), aboutPage(events)].filter(Boolean);
}
