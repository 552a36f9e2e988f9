//! What a handler returns says how its connection ends.

use std::convert::Infallible;

use adieu_proto::{Cause, Close, CloseCode};

use crate::closed::{Closed, ConnectionId};
use crate::handled::Handled;

/// A value that says with which Close a connection ends.
///
/// A handler may return `()` (1000), a [`CloseCode`], a [`Close`] with a reason, or a `Result`
/// of these. An error of another kind is 1011: the server met something unexpected. The
/// [`Ending`](crate::Ending) tells whether the handler returned or returned an error
/// ([`Cause::HandlerReturned`], [`Cause::HandlerFailed`]).
///
/// [`Closed`] as an error is no failure where it is the handler's own connection that is closing.
/// Of another connection, to which the handler was sending, it is an error like others: 1011.
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

    /// The same, and whether it is an error, for the handler of this connection.
    #[doc(hidden)]
    fn handled(self, own: ConnectionId) -> Handled
    where
        Self: Sized,
    {
        let _ = own;
        Handled { cause: Cause::HandlerReturned, close: self.into_close() }
    }

    /// The same where it is the error of a `Result`.
    #[doc(hidden)]
    fn handled_as_error(self, own: ConnectionId) -> Handled
    where
        Self: Sized,
    {
        let _ = own;
        Handled { cause: Cause::HandlerFailed, close: self.into_close() }
    }
}

fn failed(close: Close) -> Handled {
    Handled { cause: Cause::HandlerFailed, close }
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

    fn handled(self, own: ConnectionId) -> Handled {
        if self.connection() == own {
            return Handled { cause: Cause::HandlerReturned, close: self.into_close() };
        }
        failed(CloseCode::INTERNAL_ERROR.into())
    }

    fn handled_as_error(self, own: ConnectionId) -> Handled {
        self.handled(own)
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

    fn handled(self, _: ConnectionId) -> Handled {
        failed(self.into_close())
    }
}

impl IntoClose for Box<dyn std::error::Error> {
    fn into_close(self) -> Close {
        CloseCode::INTERNAL_ERROR.into()
    }

    fn handled(self, _: ConnectionId) -> Handled {
        failed(self.into_close())
    }
}

impl IntoClose for Box<dyn std::error::Error + Send + Sync> {
    fn into_close(self) -> Close {
        CloseCode::INTERNAL_ERROR.into()
    }

    fn handled(self, _: ConnectionId) -> Handled {
        failed(self.into_close())
    }
}

impl<T: IntoClose, E: IntoClose> IntoClose for Result<T, E> {
    fn into_close(self) -> Close {
        match self {
            Ok(value) => value.into_close(),
            Err(error) => error.into_close(),
        }
    }

    fn handled(self, own: ConnectionId) -> Handled {
        match self {
            Ok(value) => value.handled(own),
            Err(error) => error.handled_as_error(own),
        }
    }
}
