//! Why an event was not taken, as far as the queue treats it differently.

use super::super::backend::NotTaken;

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
        let kind = if error.is_final() {
            FailureKind::Final
        } else if error.was_answered() {
            FailureKind::Refused
        } else if error.why.starts_with("client error (Connect)") {
            FailureKind::Unreachable
        } else {
            FailureKind::NoAnswer
        };
        Failure { kind, why: error.why }
    }
}
