//! What a handler's run came to.

use adieu_proto::{Cause, Close};

/// What a handler's run came to: why its connection ends, and with which Close.
#[derive(Debug)]
pub struct Handled {
    pub(crate) cause: Cause,
    pub(crate) close: Close,
}
