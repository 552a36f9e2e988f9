//! Whether a stream that came to nothing is tried once more: only where no WebSocket was opened, so
//! that nothing that it would have carried can have been processed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::{Ending, HandshakeError, Http2ErrorCode};

use super::shared::Asked;
use crate::http2::Below;
use crate::now;

/// RFC 9113 §7: nothing of the stream was processed.
const REFUSED_STREAM: Http2ErrorCode = Http2ErrorCode(0x7);
/// RFC 9113 §7: HTTP/1.1 is to be used instead.
const HTTP_1_1_REQUIRED: Http2ErrorCode = Http2ErrorCode(0xd);

/// How long a connection that was there before may say nothing at all behind a request and a PING.
/// It may be dead without knowing it, as that of a machine that slept; the handshake's deadline
/// (10 s) leaves time for another one. The connection itself is judged by its own clocks.
const SILENCE: Duration = Duration::from_secs(3);

/// What is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Next {
    /// Nothing: the error is what came of it.
    Nothing,
    /// A stream on another connection than the one with this number.
    Elsewhere(u64),
    /// HTTP/1.1.
    Http1,
}

/// What to know of a stream when it has failed.
pub(in crate::client) struct Failed {
    id: u32,
    below: Arc<Below>,
    was_shared: bool,
    since: Instant,
}

impl Asked {
    /// To be asked when it has failed.
    pub(in crate::client) fn if_it_fails(&self) -> Failed {
        let (id, below, was_shared) = (self.id, self.below.clone(), self.was_shared);
        Failed { id, below, was_shared, since: now() }
    }
}

impl Failed {
    /// Waits until a connection that was there before has said nothing for too long: its number.
    pub(in crate::client) async fn falls_silent(&self) -> u64 {
        if self.was_shared {
            tokio::time::sleep(SILENCE).await;
            if self.below.heard() <= self.since {
                return self.below.id();
            }
        }
        std::future::pending().await
    }

    /// What is tried next, after this error and this report.
    pub(in crate::client) fn next(&self, error: &HandshakeError, ending: &Ending) -> Next {
        if !is_without_answer(error) {
            return Next::Nothing;
        }
        let http2 = ending.http2;
        match http2.and_then(|http2| http2.reset) {
            Some(HTTP_1_1_REQUIRED) => return Next::Http1,
            Some(REFUSED_STREAM) => return Next::Elsewhere(self.below.id()),
            _ => {}
        }
        // A connection that was there before may have been dead, or about to end, for long.
        let died = http2.is_some_and(|http2| http2.connection_end.is_some());
        if self.below.leaves_out(self.id) || (self.was_shared && died) {
            return Next::Elsewhere(self.below.id());
        }
        Next::Nothing
    }
}

/// Whether the server has said nothing of the request: its stream, or its connection, ended first.
fn is_without_answer(error: &HandshakeError) -> bool {
    use HandshakeError as H;
    matches!(error, H::Reset | H::Incomplete | H::Unreachable | H::Failed)
}
