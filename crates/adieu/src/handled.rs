//! What a handler's run came to.

use adieu_proto::{Cause, Close, CloseRequest, TransportError};

/// What a handler's run came to.
#[derive(Debug)]
pub enum Handled {
    /// Its connection ends: why, and with which Close.
    Ends(#[doc(hidden)] CloseRequest),
    /// Its connection goes on until its `Socket` is dropped.
    Detached,
}

impl Handled {
    pub(crate) fn new(cause: Cause, close: Close) -> Self {
        Handled::Ends(CloseRequest::of(cause, close))
    }

    /// The handler failed with this error.
    pub(crate) fn failed(close: Close, error: TransportError) -> Self {
        let request = CloseRequest::of(Cause::HandlerFailed, close);
        Handled::Ends(CloseRequest { error: Some(error), ..request })
    }
}
