//! The report of a request that came through an HTTP library, until a driver has its connection:
//! told once, whatever becomes of it.

use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{Ending, HandshakeError, Request, TransportError, Version};

use crate::endpoint::{Ended, Endpoint};
use crate::now;
use crate::peer::Peer;

/// What is known of a request, and what is told of it if it is dropped.
pub(super) struct Report {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) peer: Peer,
    /// `None` if its head could not be read.
    pub(super) request: Option<Request>,
    /// `None` if none that is served was asked for.
    pub(super) version: Option<Version>,
    started: Instant,
    /// What it came to if nothing else is said. `None`: nothing is to be told any more.
    otherwise: Option<HandshakeError>,
}

impl Report {
    /// A request that is still to be judged.
    pub(super) fn new(endpoint: Arc<Endpoint>, peer: Peer) -> Self {
        let otherwise = Some(HandshakeError::RequestDropped);
        Report { endpoint, peer, request: None, version: None, started: now(), otherwise }
    }

    /// From here on this is what is told if the request is dropped.
    pub(super) fn otherwise(&mut self, error: HandshakeError) {
        self.otherwise = Some(error);
    }

    /// Tells what it came to, unless that was told before.
    pub(super) fn tell(&mut self, error: HandshakeError, source: Option<TransportError>) {
        if self.otherwise.take().is_none() {
            return;
        }
        let ending = Ending::never_opened(error, now() - self.started, source);
        let (peer, version, request) = (self.peer, self.version, self.request.as_ref());
        self.endpoint.ended(Ended { peer, request, version, ending: &ending });
    }

    /// The connection is a driver's, which reports it; or there is nothing to report.
    pub(super) fn is_not_needed(&mut self) {
        self.otherwise = None;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(error) = self.otherwise.clone() {
            self.tell(error, None);
        }
    }
}
