//! What others tell the close machine.

use crate::close::{Cause, Close};
use crate::error::TransportError;

/// Our side wants to end the connection: why, and with which words.
///
/// ```
/// use adieu_proto::{Cause, Close, CloseRequest};
/// let close = Close::new(1000, "done")?;
/// let request = CloseRequest::of(Cause::Application, close);
/// # Ok::<(), adieu_proto::UsageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// What the report will give as the cause, if this is the first.
    pub cause: Cause,
    /// What to tell the peer.
    pub close: Close,
    /// The application's error that explains it, for the report, if this is the first.
    pub error: Option<TransportError>,
    /// Whether the application goes on reading what the peer says until its own Close
    /// (RFC 6455 §5.5.1). Otherwise that is dropped.
    pub reads_on: bool,
}

impl CloseRequest {
    /// A request that no error explains.
    #[must_use]
    pub fn of(cause: Cause, close: Close) -> Self {
        CloseRequest { cause, close, error: None, reads_on: false }
    }
}

/// How the peer's direction of the transport ended, as the transport judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// The peer finished it, after all its bytes: a FIN of TCP, the end of a stream.
    Finished,
    /// The peer reset it: ECONNRESET and nothing else.
    Reset,
    /// The operating system gave up on the peer (ETIMEDOUT, EHOSTUNREACH and their like).
    Lost,
    /// The transport failed with an error that does not say how the peer ended.
    Unknown,
}
