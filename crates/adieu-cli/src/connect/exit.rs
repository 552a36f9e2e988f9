//! How it went, as one of a few classes that a script can tell apart.

use std::process::ExitCode;

use adieu::{
    Cause, Close, CloseCode, ConnectError, End, Ending, HandshakeError, LetGo, ProxyError,
};

/// The class of an end. Its number is the exit code: numbers and words do not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Clean = 0,
    Lost = 1,
    Usage = 2,
    Unreached = 3,
    Tls = 4,
    Refused = 5,
    Violation = 6,
    ClosedWith = 7,
    Deadline = 8,
}

/// Ended by a second signal: what a shell says of a process that Ctrl-C ends (128 + SIGINT).
pub(super) const INSISTED: i32 = 130;

/// Each with what it means, for the help and the documents.
const CLASSES: [(Exit, &str); 9] = [
    (Exit::Clean, "ended cleanly: a Close each way, the server's 1000, 1001 or empty"),
    (Exit::Lost, "the connection was lost, or ended without the closing handshake"),
    (Exit::Usage, "the command line, the URL or what was to be sent is wrong"),
    (Exit::Unreached, "no connection: the name or no address answers, or the proxy"),
    (Exit::Tls, "TLS failed: certificate, version, no TLS at all"),
    (Exit::Refused, "the server or the proxy answered with an HTTP status that refuses"),
    (Exit::Violation, "the server broke the protocol, in the handshake or later"),
    (Exit::ClosedWith, "the server closed with another code than 1000 or 1001"),
    (Exit::Deadline, "a deadline passed: to connect, for a Pong, a Close, or progress"),
];

impl Exit {
    /// For the end of the help.
    pub(super) fn help() -> String {
        let mut help = String::from(
            "Messages go to stdout, all else to stderr. On a terminal control characters of the \
             server's\nare shown as \\x1b and the like; into a file or a pipe the bytes of \
             messages go as they are.\nThe end of stdin, or Ctrl-C, closes with 1000; a second \
             Ctrl-C ends at once.\n\nExit codes:\n",
        );
        for (exit, meaning) in CLASSES {
            help += &format!("  {:<4} {:<10} {meaning}\n", exit as u8, exit.word());
        }
        help += &format!(
            "  {INSISTED:<4} {:<10} ended at once: a second Ctrl-C, or one before it was connected",
            "-"
        );
        help
    }

    /// The class in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Exit::Clean => "clean",
            Exit::Lost => "lost",
            Exit::Usage => "usage",
            Exit::Unreached => "unreached",
            Exit::Tls => "tls",
            Exit::Refused => "refused",
            Exit::Violation => "violation",
            Exit::ClosedWith => "closed",
            Exit::Deadline => "deadline",
        }
    }

    /// Why no connection was opened.
    pub(super) fn of_error(error: &ConnectError) -> Self {
        match error {
            error if error.is_timeout() => Exit::Deadline,
            ConnectError::Url(_) | ConnectError::Usage(_) => Exit::Usage,
            ConnectError::Tls(_) => Exit::Tls,
            ConnectError::Redirect(_) => Exit::Refused,
            ConnectError::Proxy(ProxyError::Url(_)) => Exit::Usage,
            ConnectError::Proxy(ProxyError::Answer(_)) => Exit::Violation,
            ConnectError::Proxy(ProxyError::Refused(_)) => Exit::Refused,
            ConnectError::Handshake(error, _) => Exit::of_handshake(error),
            _ => Exit::Unreached,
        }
    }

    fn of_handshake(error: &HandshakeError) -> Self {
        use HandshakeError as H;
        match error {
            H::TimedOut => Exit::Deadline,
            H::Incomplete | H::Reset | H::Unreachable | H::Failed | H::Abandoned => Exit::Lost,
            H::Tls(_) => Exit::Tls,
            H::RefusedByServer(_) => Exit::Refused,
            _ => Exit::Violation,
        }
    }

    /// How an open connection ended. What the server did wrong goes before what was said, and what
    /// was said before how the transport ended.
    pub(super) fn of_ending(ending: &Ending) -> Self {
        let code = ending.closing_handshake.received().map(Close::code);
        let good = |code: CloseCode| [CloseCode::NORMAL, CloseCode::GOING_AWAY].contains(&code);
        match (&ending.cause, code) {
            (Cause::Handshake(error), _) => Exit::of_handshake(error),
            (Cause::Violation(_), _) => Exit::Violation,
            (_, Some(Some(code))) if !code.is_allowed_on_wire() => Exit::Violation,
            (Cause::Timeout(_), _) => Exit::Deadline,
            (_, Some(Some(code))) if !good(code) => Exit::ClosedWith,
            _ if ending.is_clean() => Exit::Clean,
            _ if matches!(ending.transport.end, End::LetGo(LetGo::Clock(_))) => Exit::Deadline,
            _ => Exit::Lost,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
