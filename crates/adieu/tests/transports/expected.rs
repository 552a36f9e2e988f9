//! The main facts of each way over each transport, and what no report can tell apart.

use adieu::{Cause, CloseCode, End, Ending, LetGo, ProtocolError, Side, Timer};

use crate::over::Over;
use crate::ways::Way;

/// The facts that are compared for each way, not only pairwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cause: Cause,
    pub(crate) end: End,
    pub(crate) first: Option<Side>,
    pub(crate) close_notify: Option<bool>,
    /// Whether our Close left.
    pub(crate) said: bool,
    pub(crate) draining: bool,
}

impl Facts {
    pub(crate) fn told(ending: &Ending) -> Self {
        Facts {
            cause: ending.cause.clone(),
            end: ending.transport.end,
            first: ending.transport.active_closer,
            close_notify: ending.transport.close_notify,
            said: ending.closing_handshake.sent().is_some(),
            draining: ending.draining,
        }
    }

    /// What has to be told.
    pub(crate) fn of(way: Way, over: Over) -> Self {
        let (cause, end, first, came) = over_our_tls(way);
        let draining = matches!(way, Way::Drained | Way::Forced);
        let (close_notify, said) = (None, !ends_without_our_close(way));
        let facts = Facts { cause, end, first, close_notify, said, draining };
        match over {
            Over::Tls => Facts { close_notify: Some(came), ..facts },
            Over::ForeignTls => over_foreign_tls(way, facts),
            Over::Pipe => over_a_pipe(way, facts),
            Over::Buffered => over_a_stream(way, facts),
            Over::Unix => over_a_unix_socket(way, facts),
            Over::Tcp => facts,
        }
    }
}

/// Nobody waits for our Close any more, or it is stuck behind what the peer does not read.
fn ends_without_our_close(way: Way) -> bool {
    let fin = matches!(way, Way::Fin | Way::FinInFrame | Way::FinInMessage);
    let reset = matches!(way, Way::Reset | Way::ResetInFrame | Way::ResetThenWrite);
    let both = way == Way::FinThenResetThenWrite;
    let close_notify =
        matches!(way, Way::CloseNotifyThenFin | Way::CloseNotifyThenReset | Way::CloseNotifyOnly);
    fin || reset || both || close_notify || matches!(way, Way::Garbage | Way::WriteTimeout)
}

/// Cause, end, who ended first, and whether the peer's close_notify came: over our TLS, which tells
/// most. Over TCP it is the same without close_notify.
fn over_our_tls(way: Way) -> (Cause, End, Option<Side>, bool) {
    use ProtocolError as P;
    let (ours, theirs) = (Some(Side::Local), Some(Side::Peer));
    let let_go = |timer| End::LetGo(LetGo::Clock(timer));
    let wrong_code = P::CloseCode(CloseCode::new(1005));
    match way {
        Way::CloseThenFin => (Cause::Peer, End::Finished, ours, true),
        Way::CloseThenBareFin => (Cause::Peer, End::Finished, ours, false),
        Way::CloseThenReset => (Cause::Peer, End::Reset, ours, false),
        Way::Fin | Way::FinInFrame | Way::FinInMessage => {
            (Cause::Eof, End::Finished, theirs, false)
        }
        Way::Reset | Way::ResetInFrame => (Cause::Reset, End::Reset, theirs, false),
        Way::ResetThenWrite => (Cause::Reset, End::Reset, theirs, false),
        Way::FinThenResetThenWrite => (Cause::Eof, End::FinishedThenReset, theirs, false),
        Way::CloseNotifyThenFin => (Cause::Eof, End::Finished, theirs, true),
        Way::CloseNotifyThenReset => (Cause::Eof, End::Reset, theirs, true),
        Way::CloseNotifyOnly => (Cause::Eof, let_go(Timer::Linger), theirs, true),
        Way::Violation => (Cause::Violation(P::ReservedOpcode(3)), End::Finished, ours, true),
        Way::WrongClose => (Cause::Violation(wrong_code), End::Finished, ours, true),
        Way::Garbage => (Cause::Violation(P::UnreadableTls), End::Finished, theirs, false),
        Way::Returned => (Cause::HandlerReturned, End::Finished, ours, true),
        Way::Failed => (Cause::HandlerFailed, End::Finished, ours, true),
        Way::Panicked => (Cause::Panicked, End::Finished, ours, true),
        Way::Dropped => (Cause::Dropped, End::Finished, ours, true),
        Way::Closed => (Cause::Application, End::Finished, ours, true),
        Way::ClosedThenFin => (Cause::Application, End::Finished, theirs, false),
        Way::ClosedThenReset => (Cause::Application, End::Reset, theirs, false),
        Way::AnsweredThenReset => (Cause::Application, End::Reset, ours, false),
        Way::ClosedUnanswered => (Cause::Application, let_go(Timer::Linger), ours, false),
        Way::PongTimeout => (Cause::Timeout(Timer::Pong), let_go(Timer::Linger), ours, false),
        Way::WriteTimeout => (Cause::Timeout(Timer::Write), let_go(Timer::Flush), ours, false),
        Way::Drained => (Cause::Drain, End::Finished, ours, true),
        Way::Forced => (Cause::Drain, End::LetGo(LetGo::Forced), ours, false),
    }
}

/// A stream gives its end once, and does not look again.
fn over_a_stream(way: Way, facts: Facts) -> Facts {
    match way {
        Way::FinThenResetThenWrite => Facts { end: End::Finished, ..facts },
        _ => facts,
    }
}

/// A Unix socket that is reset does not give an end that was there before.
fn over_a_unix_socket(way: Way, facts: Facts) -> Facts {
    match way {
        Way::FinThenResetThenWrite => Facts { cause: Cause::Reset, end: End::Reset, ..facts },
        _ => facts,
    }
}

/// tokio-rustls tells an end without close_notify by an error, and an end with one, or a record
/// that cannot be read, as any stream would.
fn over_foreign_tls(way: Way, facts: Facts) -> Facts {
    match way {
        Way::CloseThenBareFin
        | Way::Fin
        | Way::FinInFrame
        | Way::FinInMessage
        | Way::ClosedThenFin => Facts { close_notify: Some(false), ..facts },
        Way::FinThenResetThenWrite => {
            Facts { close_notify: Some(false), ..over_a_stream(way, facts) }
        }
        // The end of the stream is all that is seen.
        Way::CloseNotifyThenReset | Way::CloseNotifyOnly => Facts { end: End::Finished, ..facts },
        // An error of a stream that is not ours is no violation of ours to judge.
        Way::Garbage => {
            Facts { cause: Cause::TransportFailed, end: End::Unknown, first: None, ..facts }
        }
        _ => facts,
    }
}

/// A pipe in memory that is dropped gives its end, and nothing else.
fn over_a_pipe(way: Way, facts: Facts) -> Facts {
    match way {
        Way::Reset | Way::ResetInFrame | Way::ResetThenWrite | Way::FinThenResetThenWrite => {
            Facts { cause: Cause::Eof, end: End::Finished, ..facts }
        }
        Way::CloseThenReset | Way::ClosedThenReset | Way::AnsweredThenReset => {
            Facts { end: End::Finished, ..facts }
        }
        _ => facts,
    }
}

const READER_STOPS: &str = "the reader of tokio-rustls gives the end of the stream at close_notify \
                            and does not look at TCP again, so a FIN, an RST and silence behind it \
                            are one";

const NO_END_BEFORE: &str = "the kernel gives the reset of a Unix socket and no end that was there \
                             before it";

const NO_RST: &str = "a pipe in memory has no RST: dropped or shut down, its reader gives the end \
                      of the stream";

/// Pairs of ways that nobody can tell apart over a transport, and why. The test fails if a pair
/// differs after all.
pub(crate) const UNKNOWABLE: [(Over, Way, Way, &str); 10] = [
    (Over::ForeignTls, Way::CloseNotifyThenFin, Way::CloseNotifyThenReset, READER_STOPS),
    (Over::ForeignTls, Way::CloseNotifyThenFin, Way::CloseNotifyOnly, READER_STOPS),
    (Over::ForeignTls, Way::CloseNotifyThenReset, Way::CloseNotifyOnly, READER_STOPS),
    (Over::Unix, Way::ResetThenWrite, Way::FinThenResetThenWrite, NO_END_BEFORE),
    (Over::Pipe, Way::ResetThenWrite, Way::FinThenResetThenWrite, NO_RST),
    (Over::Pipe, Way::CloseThenFin, Way::CloseThenReset, NO_RST),
    (Over::Pipe, Way::Fin, Way::Reset, NO_RST),
    (Over::Pipe, Way::FinInFrame, Way::ResetInFrame, NO_RST),
    (Over::Pipe, Way::Closed, Way::AnsweredThenReset, NO_RST),
    (Over::Pipe, Way::ClosedThenFin, Way::ClosedThenReset, NO_RST),
];

/// Why these two cannot be told apart over this transport, if they cannot.
pub(crate) fn unknowable(over: Over, one: Way, other: Way) -> Option<&'static str> {
    let pair = |a: Way, b: Way| (a, b) == (one, other) || (b, a) == (one, other);
    let listed = UNKNOWABLE.iter().find(|(on, a, b, _)| *on == over && pair(*a, *b));
    listed.map(|(.., why)| *why)
}
