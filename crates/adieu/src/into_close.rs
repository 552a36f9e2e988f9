//! What a handler returns is its goodbye.

use std::convert::Infallible;

use adieu_proto::{Close, CloseCode};

use crate::socket::Closed;

/// A value that says with which Close a connection ends.
///
/// A handler may return `()` (1000), a [`CloseCode`], a [`Close`] with a reason, or a `Result`
/// of these. An error of another kind is 1011: the server met something unexpected.
///
/// ```
/// use adieu::{Close, CloseCode, IntoClose};
/// assert_eq!(().into_close(), Close::from(CloseCode::NORMAL));
/// let refused: Result<(), CloseCode> = Err(CloseCode::POLICY_VIOLATION);
/// assert_eq!(refused.into_close().code(), Some(CloseCode::POLICY_VIOLATION));
/// let failed: Result<(), std::io::Error> = Err(std::io::Error::other("disk full"));
/// assert_eq!(failed.into_close().code(), Some(CloseCode::INTERNAL_ERROR));
/// ```
pub trait IntoClose {
    /// The Close to send.
    fn into_close(self) -> Close;
}

impl IntoClose for Close {
    fn into_close(self) -> Close {
        self
    }
}

impl IntoClose for CloseCode {
    fn into_close(self) -> Close {
        self.into()
    }
}

impl IntoClose for () {
    fn into_close(self) -> Close {
        CloseCode::NORMAL.into()
    }
}

/// The connection is closing already: nothing is left to say.
impl IntoClose for Closed {
    fn into_close(self) -> Close {
        CloseCode::NORMAL.into()
    }
}

impl IntoClose for Infallible {
    fn into_close(self) -> Close {
        match self {}
    }
}

impl IntoClose for std::io::Error {
    fn into_close(self) -> Close {
        CloseCode::INTERNAL_ERROR.into()
    }
}

impl IntoClose for Box<dyn std::error::Error> {
    fn into_close(self) -> Close {
        CloseCode::INTERNAL_ERROR.into()
    }
}

impl IntoClose for Box<dyn std::error::Error + Send + Sync> {
    fn into_close(self) -> Close {
        CloseCode::INTERNAL_ERROR.into()
    }
}

impl<T: IntoClose, E: IntoClose> IntoClose for Result<T, E> {
    fn into_close(self) -> Close {
        match self {
            Ok(value) => value.into_close(),
            Err(error) => error.into_close(),
        }
    }
}
