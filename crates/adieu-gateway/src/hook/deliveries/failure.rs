//! Why an event was not taken, as far as the queue treats it differently.

use crate::hook::{FailureKind as Kind, NotTaken};

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// For people.
    pub(super) why: String,
}

/// What a failure says, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The backend could not be connected to: this says nothing of the event.
    Unreachable,
    /// The connection ended without an answer, and no other could be made: the backend is gone, and
    /// may have crashed of this very event.
    Died,
    /// It was connected to, and there was no answer: it may have crashed of this very event.
    NoAnswer,
    /// The backend does not know the signature: the operator's fault, not that of the event.
    BadSignature,
    /// It answered that it will not take it, which may change.
    Refused,
    /// It answered that the event itself is wrong: the same again will be answered the same.
    Final,
}

impl From<NotTaken> for Failure {
    fn from(error: NotTaken) -> Self {
        let kind = match error.kind() {
            Kind::Unreachable => FailureKind::Unreachable,
            Kind::Died => FailureKind::Died,
            Kind::NoAnswer => FailureKind::NoAnswer,
            Kind::BadSignature => FailureKind::BadSignature,
            Kind::Answered(_) if error.is_final() => FailureKind::Final,
            Kind::Answered(_) => FailureKind::Refused,
            // It is not sent at all, and another try would not read it.
            Kind::Unwritten => FailureKind::Final,
        };
        Failure { kind, why: error.to_string() }
    }
}
