//! What a handler's run came to.

use adieu_proto::{Cause, Close, CloseRequest, TransportError};

/// What a handler's run came to: why its connection ends, and with which Close.
#[derive(Debug)]
pub struct Handled(pub(crate) CloseRequest);

impl Handled {
    pub(crate) fn new(cause: Cause, close: Close) -> Self {
        Handled(CloseRequest::of(cause, close))
    }

    /// The handler failed with this error.
    pub(crate) fn failed(close: Close, error: TransportError) -> Self {
        let request = CloseRequest::of(Cause::HandlerFailed, close);
        Handled(CloseRequest { error: Some(error), ..request })
    }
}
