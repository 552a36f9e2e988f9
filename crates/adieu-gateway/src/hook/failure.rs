//! Why the backend has not taken an event, or not answered a question.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;

/// Lines of the log of the same kind are at least so far apart: a backend with a wrong secret would
/// fill the log with one for each client.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What may be done about a signature that the backend does not accept.
pub(super) const ABOUT_SIGNATURES: &str = "an answer of 401 or 403 without a reason means that \
    the backend does not accept the signature: check that ADIEU_BACKEND_SECRET is the same on \
    both sides, that the backend verifies the body as it came, and that the two clocks differ by \
    less than five minutes; where it is a verdict on a person, answer with {\"reason\": \"…\"}";

/// Characters of what is wrong with an answer that are shown: serde quotes a string whole.
const SHOWN: usize = 300;

/// What is wrong with an answer, not longer than a line of the log should be.
pub(super) fn cut(wrong: &str) -> String {
    match wrong.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &wrong[..at]),
        None => wrong.to_owned(),
    }
}

/// Why the backend has not taken an event, or not answered a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    kind: Kind,
    /// What happened, with the type of the event and the address of the backend.
    pub(super) why: String,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There was no connection to the backend.
    Unreachable,
    /// The connection ended after the request was sent and before there was an answer, and no other
    /// connection could be made: the backend may have died of this very request.
    Died,
    /// There was a connection, and no whole answer in time.
    NoAnswer,
    /// The backend does not accept our signature (401 or 403 without a reason): the mistake is the
    /// operator's. It says nothing of the event or of the person.
    BadSignature,
    /// The backend answered with this status. With one of 2xx it was asked a question, and the
    /// answer could not be understood.
    Answered(StatusCode),
    /// The request could not be written.
    Unwritten,
}

impl NotTaken {
    pub(super) fn new(kind: Kind, why: impl Into<String>) -> Self {
        NotTaken { kind, why: why.into() }
    }

    /// The same, with what was told or asked, and where.
    pub(super) fn of(self, what: &str, address: &str) -> Self {
        NotTaken { kind: self.kind, why: format!("{what} to {address}: {}", self.why) }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether what it said is of the event itself: the same again will be answered the same.
    pub(super) fn is_final(&self) -> bool {
        let Kind::Answered(status) = self.kind else { return false };
        matches!(status.as_u16(), 400 | 410 | 413 | 415 | 422)
    }

    /// What a client is told: it comes back by itself.
    #[must_use]
    pub fn for_clients(&self) -> &'static str {
        match self.kind {
            // FAQ: backend-answered-wrongly
            Kind::Answered(status) if !status.is_server_error() => "the backend answered wrongly",
            // FAQ: backend-signature
            Kind::BadSignature => "the backend does not accept the gateway's signature",
            // FAQ: backend-no-answer
            _ => "the backend did not answer",
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotTaken {}

/// Lets a line of the log through, and then none for a while; it counts what it holds back.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// What is added to the line, if it is to be written now.
    pub(super) fn line(&self) -> Option<String> {
        self.line_at(Instant::now())
    }

    /// The same at this time.
    pub(super) fn line_at(&self, now: Instant) -> Option<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held_back) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < LOG_EVERY) {
            *held_back += 1;
            return None;
        }
        *last = Some(now);
        Some(match std::mem::take(held_back) {
            0 => String::new(),
            n => format!(" (and {n} more like this since the last such line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_not_shown_at_any_length() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ü".repeat(1_000)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn lines_of_a_kind_are_far_apart_and_those_between_are_counted() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.line_at(start).as_deref(), Some(""));
        for _ in 0..3 {
            assert_eq!(seldom.line_at(start + LOG_EVERY / 2), None);
        }
        assert!(seldom.line_at(start + LOG_EVERY).unwrap().contains("3 more"));
        assert_eq!(seldom.line_at(start + 2 * LOG_EVERY).as_deref(), Some(""));
    }
}
