//! Close codes (RFC 6455 §7.4) and the body of a Close frame (§5.5.1).

use std::fmt;

use crate::error::UsageError;
use crate::message::Utf8Bytes;

/// A close code, as said on the wire.
///
/// The set is open: a code that nobody registered is kept as the number it was, never corrected.
/// Source: RFC 6455 §7.4 and the IANA WebSocket Close Code Number Registry.
///
/// ```
/// use adieu_proto::CloseCode;
/// assert_eq!(CloseCode::GOING_AWAY.get(), 1001);
/// assert_eq!(CloseCode::new(4001).to_string(), "4001");
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 (going away)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $words:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: CloseCode = CloseCode($number);)*

            /// The registered meaning in words, if there is one.
            #[must_use]
            pub fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($words),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The purpose of the connection is fulfilled.
    NORMAL = 1000, "normal";
    /// A server is stopping, or a browser has left the page.
    GOING_AWAY = 1001, "going away";
    /// The peer broke the protocol.
    PROTOCOL_ERROR = 1002, "protocol error";
    /// A kind of data that the endpoint cannot accept.
    UNSUPPORTED_DATA = 1003, "unsupported data";
    /// Reserved; must not be sent.
    RESERVED = 1004, "reserved";
    /// Never on the wire: an API reports it for an empty Close.
    NO_STATUS = 1005, "no status";
    /// Never on the wire: an API reports it where no Close came.
    ABNORMAL = 1006, "abnormal";
    /// Data that does not fit the message's type, such as bad UTF-8 in text.
    INVALID_PAYLOAD = 1007, "invalid payload";
    /// A message against the endpoint's policy, where no other code fits.
    POLICY_VIOLATION = 1008, "policy violation";
    /// A message too big to process.
    MESSAGE_TOO_BIG = 1009, "message too big";
    /// A client missed an extension that it needs.
    MANDATORY_EXTENSION = 1010, "mandatory extension";
    /// A server met an unexpected condition.
    INTERNAL_ERROR = 1011, "internal error";
    /// The service restarts. WebKitGTK answers it with 1002.
    SERVICE_RESTART = 1012, "service restart";
    /// The service is overloaded. WebKitGTK answers it with 1002.
    TRY_AGAIN_LATER = 1013, "try again later";
    /// A gateway got an invalid answer from its upstream.
    BAD_GATEWAY = 1014, "bad gateway";
    /// Never on the wire: an API reports it for a failed TLS handshake.
    TLS_HANDSHAKE = 1015, "TLS handshake";
}

impl CloseCode {
    /// A code by its number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        CloseCode(code)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry this code (RFC 6455 §7.4.1, §7.4.2 and the registry).
    #[must_use]
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some(words) => write!(f, "{} ({words})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        CloseCode(code)
    }
}

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
    pub fn new(
        code: impl Into<CloseCode>,
        reason: impl Into<Utf8Bytes>,
    ) -> Result<Self, UsageError> {
        let (code, reason) = (code.into(), reason.into());
        if !code.is_allowed_on_wire() {
            return Err(UsageError::CloseCode(code));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(UsageError::CloseReason(reason.len()));
        }
        Ok(Close { code: Some(code), reason })
    }

    /// A Close with a code that is known to be allowed, and no reason.
    pub(crate) const fn with(code: CloseCode) -> Self {
        Close { code: Some(code), reason: Utf8Bytes::new() }
    }

    /// What the peer said, kept as it was said, allowed or not.
    pub(crate) const fn as_said(code: Option<CloseCode>, reason: Utf8Bytes) -> Self {
        Close { code, reason }
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

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => f.write_str("no code"),
            Some(code) if self.reason.is_empty() => write!(f, "{code}"),
            Some(code) => write!(f, "{code} {:?}", self.reason()),
        }
    }
}

impl From<CloseCode> for Close {
    /// A Close with this code and no reason. A code that must not be on the wire becomes an
    /// empty Close; use [`Close::new`] to be told.
    fn from(code: CloseCode) -> Self {
        if code.is_allowed_on_wire() { Close::with(code) } else { Close::empty() }
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
    fn a_reason_may_have_123_bytes() {
        assert!(Close::new(1000, "é".repeat(61) + "x").is_ok());
        assert_eq!(Close::new(1000, "é".repeat(62)), Err(UsageError::CloseReason(124)));
    }
}
