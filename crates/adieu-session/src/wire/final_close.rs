//! Closes that end a session.

use std::fmt;

use adieu_proto::{Close, CloseCode, UsageError, Utf8Bytes};

use super::{CONNECTION_LOST, MAY_RETURN, SUPERSEDED};

/// A Close with which a session can be ended: each client of adieu.v1 takes it for the end. After
/// another one a client comes back by itself, and begins a new session.
///
/// ```
/// use adieu_session::wire::FinalClose;
///
/// assert!(FinalClose::new(4000, "enough").is_ok());
/// let error = FinalClose::new(1011, "").unwrap_err().to_string();
/// assert!(error.starts_with("a Close with 1011 does not end a session"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalClose(Close);

/// Why a Close cannot end a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFinal {
    /// After one with this code the client comes back.
    Code(u16),
    /// It is no Close at all.
    Invalid(UsageError),
}

impl fmt::Display for NotFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFinal::Code(code) => write!(
                f,
                "a Close with {code} does not end a session, for its client would come back; codes \
                 that end it are 1000, 4000, 4003, 4004 and 4006 to 4999"
            ),
            NotFinal::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotFinal {}

impl FinalClose {
    /// Of a code and a reason.
    ///
    /// # Errors
    /// [`NotFinal`].
    pub fn new(code: u16, reason: impl Into<Utf8Bytes>) -> Result<Self, NotFinal> {
        if !ends_session(code) {
            return Err(NotFinal::Code(code));
        }
        Close::new(code, reason).map(FinalClose).map_err(NotFinal::Invalid)
    }

    /// As a store keeps it: the code, a space, the reason.
    #[must_use]
    pub fn to_text(&self) -> String {
        let code = self.0.code().map_or(CloseCode::NORMAL, |code| code);
        format!("{} {}", code.get(), self.0.reason())
    }

    /// As a store kept it; `None`: it is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (code, reason) = text.split_once(' ')?;
        FinalClose::new(code.parse().ok()?, reason).ok()
    }
}

impl From<FinalClose> for Close {
    fn from(close: FinalClose) -> Self {
        close.0
    }
}

/// Whether no client comes back to a session whose connection ended with this code. A browser that
/// hears that it is superseded begins a session of its own.
pub(crate) fn ends_session(code: u16) -> bool {
    let other = [MAY_RETURN, SUPERSEDED, CONNECTION_LOST].contains(&code);
    code == 1000 || (4000..=4999).contains(&code) && !other
}
