//! The body of a Close frame (RFC 6455 §5.5.1).

use std::fmt;

use crate::close_code::CloseCode;
use crate::error::UsageError;
use crate::utf8::Utf8Bytes;

/// What a Close frame says: nothing, a code, or a code and a reason (RFC 6455 §5.5.1).
///
/// hixie-76 has only the empty form (its bytes `FF 00`).
///
/// ```
/// use adieu_proto::{Close, CloseCode};
/// let close = Close::new(4001, "bye")?;
/// assert_eq!(close.code(), Some(CloseCode::new(4001)));
/// assert_eq!(close.to_string(), "4001 \"bye\"");
/// assert!(Close::new(1006, "").is_err());      // never allowed on the wire
/// assert!(Close::new(1000, "x".repeat(124)).is_err());
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Close {
    code: Option<CloseCode>,
    reason: Utf8Bytes,
}

impl Close {
    /// The longest reason in bytes: a control frame's 125 less the code's two (RFC 6455 §5.5).
    pub const MAX_REASON: usize = 123;

    /// A Close that says nothing: no code, no reason.
    #[must_use]
    pub const fn empty() -> Self {
        Close { code: None, reason: Utf8Bytes::new() }
    }

    /// A Close to send.
    ///
    /// # Errors
    /// [`UsageError::CloseCode`] for a code that must not be on the wire,
    /// [`UsageError::CloseReason`] for a reason of more than 123 bytes.
    pub fn new(code: impl IntoCloseCode, reason: impl IntoReason) -> Result<Self, UsageError> {
        let (code, reason) = (code.into_close_code(), reason.into_reason());
        if !code.is_allowed_on_wire() {
            return Err(UsageError::CloseCode(code));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(UsageError::CloseReason(reason.len()));
        }
        Ok(Close { code: Some(code), reason })
    }

    /// A Close with a code and no reason.
    pub(crate) const fn with(code: CloseCode) -> Self {
        Close { code: Some(code), reason: Utf8Bytes::new() }
    }

    /// What the peer said, kept as it was said, allowed or not.
    pub(crate) const fn as_said(code: Option<CloseCode>, reason: Utf8Bytes) -> Self {
        Close { code, reason }
    }

    /// Whether it may be sent: it has no code, or one that may be on the wire (RFC 6455 §7.4).
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.code.is_none_or(CloseCode::is_allowed_on_wire)
    }

    /// The code, or `None` for an empty Close.
    #[must_use]
    pub fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// The reason; empty if none was given.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason.as_str()
    }
}

/// What can stand as the code of a [`Close`]: all that turns into a [`CloseCode`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no close code",
    label = "expected a number such as `4001`, or a `CloseCode`",
    note = "the code comes first, then the reason: `Close::new(4001, \"why\")`"
)]
pub trait IntoCloseCode {
    /// The code.
    fn into_close_code(self) -> CloseCode;
}

#[diagnostic::do_not_recommend]
impl<T: Into<CloseCode>> IntoCloseCode for T {
    fn into_close_code(self) -> CloseCode {
        self.into()
    }
}

/// What can stand as the reason of a [`Close`]: all that turns into a [`Utf8Bytes`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no reason of a Close",
    label = "expected text: `&str`, `String` or `Utf8Bytes`",
    note = "the code comes first, then the reason: `Close::new(4001, \"why\")`"
)]
pub trait IntoReason {
    /// The reason.
    fn into_reason(self) -> Utf8Bytes;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Utf8Bytes>> IntoReason for T {
    fn into_reason(self) -> Utf8Bytes {
        self.into()
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => f.write_str("no code"),
            Some(code) if self.reason.is_empty() => write!(f, "{code}"),
            Some(code) => write!(f, "{code} {:?}", self.reason()),
        }
    }
}

/// So that a function can return `Result<(), Close>`, and its caller anything that holds an error.
impl std::error::Error for Close {}

impl From<CloseCode> for Close {
    /// A Close with this code and no reason. It may have a code that must not be on the wire
    /// ([`may_be_sent`](Close::may_be_sent)): such a Close is never sent, the peer is told 1011 in
    /// its place. Use [`Close::new`] to be told before.
    fn from(code: CloseCode) -> Self {
        Close::with(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_judged_as_the_registry_says() {
        let allowed = |n: u16| {
            (1000..=1003).contains(&n) || (1007..=1014).contains(&n) || (3000..=4999).contains(&n)
        };
        for n in 0..=u16::MAX {
            assert_eq!(CloseCode::new(n).is_allowed_on_wire(), allowed(n), "{n}");
            assert_eq!(Close::new(n, "").is_ok(), allowed(n), "{n}");
        }
    }

    #[test]
    fn a_code_that_must_not_be_sent_is_known_as_that_and_not_corrected() {
        let close = Close::from(CloseCode::NO_STATUS);
        assert_eq!((close.code(), close.may_be_sent()), (Some(CloseCode::NO_STATUS), false));
        assert!(Close::empty().may_be_sent() && Close::from(CloseCode::NORMAL).may_be_sent());
    }

    #[test]
    fn a_reason_may_have_123_bytes() {
        assert!(Close::new(1000, "é".repeat(61) + "x").is_ok());
        assert_eq!(Close::new(1000, "é".repeat(62)), Err(UsageError::CloseReason(124)));
    }
}
