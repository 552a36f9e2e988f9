//! What a client says that adieu.v1 does not allow.

use std::fmt;

use adieu_proto::{Close, CloseCode};

use super::MAX_PAYLOAD;

/// What is no message of adieu.v1, or breaks its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A binary message: adieu.v1 is text.
    Binary,
    /// No JSON object; what the parser said.
    NotJson(String),
    /// This field is missing.
    Missing(&'static str),
    /// Both `text` and `binary`.
    TwoPayloads,
    /// `binary` is no base64.
    NotBase64,
    /// A payload of more than [`MAX_PAYLOAD`].
    TooLarge {
        /// Its bytes.
        came: usize,
    },
    /// A message is missing before this one.
    Gap {
        /// The one that was due.
        expected: u64,
        /// The one that came.
        came: u64,
    },
    /// An acknowledgement of what was never sent.
    Future {
        /// The highest that was sent.
        sent: u64,
        /// What was acknowledged.
        came: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Binary => f.write_str("adieu.v1 is text; a binary message came"),
            Fault::NotJson(error) => write!(f, "no JSON object with a type: {error}"),
            Fault::Missing(field) => write!(f, "{field} is missing"),
            Fault::TwoPayloads => f.write_str("a message has text or binary, not both"),
            Fault::NotBase64 => f.write_str("binary is no base64"),
            Fault::TooLarge { came } => {
                write!(f, "a message has {MAX_PAYLOAD} bytes at most, {came} came")
            }
            Fault::Gap { came: 0, .. } => f.write_str("sequenceIds count from 1; 0 came"),
            Fault::Gap { expected, came } => {
                write!(f, "message {expected} is missing before {came}")
            }
            Fault::Future { sent, came } => {
                write!(f, "{came} acknowledged, but only {sent} sent")
            }
        }
    }
}

/// Bytes of a Close's reason at most (RFC 6455 §5.5).
pub(super) const MAX_REASON: usize = 123;

impl Fault {
    /// A short word for it that stays the same in all versions, for searches and for programs; the
    /// FAQ of the documentation (`docs/faq/`) has a heading for each.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Fault::Binary => "session-binary",
            Fault::NotJson(_) => "session-not-json",
            Fault::Missing(_) => "session-missing-field",
            Fault::TwoPayloads => "session-two-payloads",
            Fault::NotBase64 => "session-not-base64",
            Fault::TooLarge { .. } => "session-too-large",
            Fault::Gap { .. } => "session-gap",
            Fault::Future { .. } => "session-future",
        }
    }

    /// The Close that answers it: 1007 for what cannot be read, 1008 for what breaks the rules,
    /// 1009 for what is too large.
    #[must_use]
    pub fn close(&self) -> Close {
        let code = match self {
            Fault::Gap { .. } | Fault::Future { .. } => CloseCode::POLICY_VIOLATION,
            Fault::TooLarge { .. } => CloseCode::MESSAGE_TOO_BIG,
            _ => CloseCode::INVALID_PAYLOAD,
        };
        close(code.get(), &self.to_string())
    }
}

/// A Close with as much of the reason as fits; 1000 without one if the code may not be sent.
pub fn close(code: u16, reason: &str) -> Close {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Close::new(code, &reason[..end]).unwrap_or_else(|_| CloseCode::NORMAL.into())
}
