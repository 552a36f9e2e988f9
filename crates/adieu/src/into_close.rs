//! What a handler returns says how its connection ends.

use std::convert::Infallible;
use std::error::Error;

use adieu_proto::{Cause, Close, CloseCode, TransportError};

use crate::closed::{Closed, ConnectionId};
use crate::detached::Detached;
use crate::handled::Handled;
use crate::socket::NotText;

/// A value that says with which Close a connection ends: what a handler returns, and what `close`
/// takes.
///
/// A handler may return `()` (1000), a number or a [`CloseCode`], a [`Close`] with a reason, or a
/// `Result` of these. The error of a `Result` may be of any type that implements
/// [`std::error::Error`], `Send` and `Sync`, or that turns into
/// `Box<dyn Error + Send + Sync>`: `anyhow::Error`, a `String`, such a box itself.
///
/// | the handler returns | Close | [`Cause`] |
/// |---|---|---|
/// | `()`, `Ok(())` | 1000 | [`HandlerReturned`](Cause::HandlerReturned) |
/// | a code or a [`Close`], also in `Ok` | that | [`HandlerReturned`](Cause::HandlerReturned) |
/// | [`Detached`], also in `Ok` | none: it goes on | – |
/// | `Err` of a [`CloseCode`] or [`Close`] | that | [`HandlerFailed`](Cause::HandlerFailed) |
/// | `Err` of [`NotText`] | 1003 (RFC 6455 §7.4.1) | [`HandlerFailed`](Cause::HandlerFailed) |
/// | `Err` of another error | 1011 | [`HandlerFailed`](Cause::HandlerFailed) |
/// | `Err` of [`Closed`] | 1000 | [`HandlerReturned`](Cause::HandlerReturned) |
///
/// [`Closed`] as an error is no failure where it is the handler's own connection that is closing.
/// Of another connection, to which the handler was sending, it is an error like others: 1011.
/// What is named in this table is also found as the [`source`](Error::source) of another error. (An
/// `anyhow::Error` does not show what is in it, and is 1011.) The error of a handler that failed is
/// in [`Ending::error`](crate::Ending::error); the peer is not told of it.
///
/// `Box<dyn Error>` without `Send + Sync` is not among them: it turns into nothing that a report
/// can keep.
///
/// ```
/// use adieu::{Close, CloseCode, IntoClose};
/// assert_eq!(().into_close(), Close::from(CloseCode::NORMAL));
/// let refused: Result<(), CloseCode> = Err(CloseCode::POLICY_VIOLATION);
/// assert_eq!(refused.into_close().code(), Some(CloseCode::POLICY_VIOLATION));
/// let failed: Result<(), std::io::Error> = Err(std::io::Error::other("disk full"));
/// assert_eq!(failed.into_close().code(), Some(CloseCode::INTERNAL_ERROR));
/// let failed: Result<(), &str> = Err("disk full");
/// assert_eq!(failed.into_close().code(), Some(CloseCode::INTERNAL_ERROR));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say with which Close a connection ends",
    label = "expected `()`, a close code, a `Close`, or a `Result`",
    note = "`()` is Close 1000, a number such as `4001` is a close code, \
            `Close::new(4001, \"why\")?` is a code with a reason",
    note = "a handler may return `Result<(), E>` where `E` is a `std::error::Error + Send + Sync`, \
            a `Box<dyn Error + Send + Sync>` (`Box<dyn Error>` alone is not enough), an \
            `anyhow::Error`, a `String`, or a `CloseCode`"
)]
pub trait IntoClose: Sized {
    /// The Close to send.
    fn into_close(self) -> Close;

    /// The same, and whether it is an error, for the handler of this connection.
    #[doc(hidden)]
    fn handled(self, own: ConnectionId) -> Handled {
        let _ = own;
        Handled::new(Cause::HandlerReturned, self.into_close())
    }
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

/// The number of a close code. One that must not be on the wire is not sent, but 1011 in its place.
impl IntoClose for u16 {
    fn into_close(self) -> Close {
        CloseCode::new(self).into()
    }
}

impl IntoClose for () {
    fn into_close(self) -> Close {
        CloseCode::NORMAL.into()
    }
}

/// As the error of a `Result`, and as what a handler returns that sends without an end.
impl IntoClose for Closed {
    fn into_close(self) -> Close {
        Known::Closed(self).close()
    }

    fn handled(self, own: ConnectionId) -> Handled {
        failed(self.into(), own)
    }
}

/// The connection goes on without its handler. The Close is that of a dropped `Socket`.
impl IntoClose for Detached {
    fn into_close(self) -> Close {
        CloseCode::GOING_AWAY.into()
    }

    fn handled(self, _: ConnectionId) -> Handled {
        Handled::Detached
    }
}

impl IntoClose for Infallible {
    fn into_close(self) -> Close {
        match self {}
    }
}

#[diagnostic::do_not_recommend]
impl<T, E> IntoClose for Result<T, E>
where
    T: IntoClose,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn into_close(self) -> Close {
        match self {
            Ok(value) => value.into_close(),
            Err(error) => Known::of(&*error.into()).close(),
        }
    }

    fn handled(self, own: ConnectionId) -> Handled {
        match self {
            Ok(value) => value.handled(own),
            Err(error) => failed(error.into(), own),
        }
    }
}

/// What a handler's error is, as far as it says how the connection ends.
enum Known {
    Closed(Closed),
    Close(Close),
    Other,
}

impl Known {
    /// Looks at the error and at what it came from.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(closed) = error.downcast_ref::<Closed>() {
                return Known::Closed(*closed);
            }
            if let Some(close) = error.downcast_ref::<Close>() {
                return Known::Close(close.clone());
            }
            if let Some(code) = error.downcast_ref::<CloseCode>() {
                return Known::Close((*code).into());
            }
            if let Some(not_text) = error.downcast_ref::<NotText>() {
                return Known::Close(not_text.close());
            }
            #[cfg(feature = "json")]
            if let Some(close) =
                error.downcast_ref::<crate::socket::JsonError>().and_then(|json| json.close())
            {
                return Known::Close(close);
            }
            next = inside(error);
        }
        Known::Other
    }

    fn close(self) -> Close {
        match self {
            Known::Closed(_) => CloseCode::NORMAL.into(),
            Known::Close(close) => close,
            Known::Other => CloseCode::INTERNAL_ERROR.into(),
        }
    }
}

/// What an error came from. An [`io::Error`](std::io::Error) that was made of another error passes
/// it over as its source, and gives what that came from.
fn inside<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn failed(error: Box<dyn Error + Send + Sync>, own: ConnectionId) -> Handled {
    let close = match Known::of(&*error) {
        Known::Closed(closed) if closed.connection() == own => {
            // The connection is closing already: nothing is left to say.
            return Handled::new(Cause::HandlerReturned, CloseCode::NORMAL.into());
        }
        Known::Closed(_) => CloseCode::INTERNAL_ERROR.into(),
        known => known.close(),
    };
    Handled::failed(close, TransportError::new(error))
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use adieu_proto::CloseRequest;

    use super::*;

    /// An error of an application, with what it came from.
    #[derive(Debug)]
    struct Wrapped(Box<dyn Error + Send + Sync>);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the handler gave up")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    fn ends(result: impl IntoClose, own: ConnectionId) -> CloseRequest {
        match result.handled(own) {
            Handled::Ends(request) => request,
            Handled::Detached => panic!("nothing here is detached"),
        }
    }

    fn code_of(result: impl IntoClose, own: ConnectionId) -> (Option<u16>, Cause) {
        let request = ends(result, own);
        (request.close.code().map(CloseCode::get), request.cause)
    }

    #[test]
    fn every_error_is_1011_and_is_kept() {
        let own = ConnectionId::next();
        let kinds: [Result<(), Box<dyn Error + Send + Sync>>; 3] = [
            Err("text".into()),
            Err(String::from("text").into()),
            Err(std::io::Error::other("text").into()),
        ];
        for result in kinds {
            let request = ends(result, own);
            assert_eq!(request.close.code(), Some(CloseCode::INTERNAL_ERROR));
            assert_eq!(request.cause, Cause::HandlerFailed);
            assert_eq!(request.error.map(|error| error.to_string()).as_deref(), Some("text"));
        }
        let typed: Result<(), std::num::ParseIntError> = "x".parse::<u8>().map(drop);
        assert_eq!(code_of(typed, own), (Some(1011), Cause::HandlerFailed));
        let by_anyhow: anyhow::Result<()> = Err(anyhow::anyhow!("text"));
        assert_eq!(code_of(by_anyhow, own), (Some(1011), Cause::HandlerFailed));
    }

    #[test]
    fn closed_says_whose_connection_is_closing() {
        let (own, other) = (ConnectionId::next(), ConnectionId::next());
        for (whose, expected) in [
            (own, (Some(1000), Cause::HandlerReturned)),
            (other, (Some(1011), Cause::HandlerFailed)),
        ] {
            let closed = Closed::new(whose);
            assert_eq!(code_of(Err::<(), _>(closed), own), expected);
            assert_eq!(code_of(Err::<(), _>(Wrapped(closed.into())), own), expected);
            assert_eq!(code_of(Err::<(), std::io::Error>(closed.into()), own), expected);
            assert!(closed.to_string().contains(&whose.to_string()), "{closed}");
        }
    }

    #[test]
    fn a_code_or_a_close_is_found_behind_other_errors() {
        let own = ConnectionId::next();
        let expected = (Some(4001), Cause::HandlerFailed);
        assert_eq!(code_of(Err::<(), _>(CloseCode::new(4001)), own), expected);
        assert_eq!(code_of(Err::<(), _>(Wrapped(CloseCode::new(4001).into())), own), expected);
        let close = Close::new(4001, "why").unwrap();
        assert_eq!(code_of(Err::<(), _>(Wrapped(close.into())), own), expected);
        assert_eq!(code_of(4001, own), (Some(4001), Cause::HandlerReturned));
        assert_eq!(code_of(Ok::<_, Infallible>(4001), own), (Some(4001), Cause::HandlerReturned));
    }
}
