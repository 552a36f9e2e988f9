//! The report of a request that came through an HTTP library, until a driver has its connection:
//! told once, whatever becomes of it.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Instant;

use adieu_proto::{Ending, HandshakeError, Request, TransportError, Version, VersionSet};

use crate::endpoint::{Ended, Endpoint};
use crate::handshake::{self, Decided, Handshake, OnHandshake};
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
    /// The versions that are served, and that its HTTP can carry.
    pub(super) served: VersionSet,
    /// What it came to if nothing else is said. `None`: nothing is to be told any more.
    otherwise: Option<HandshakeError>,
}

impl Report {
    /// A request that is still to be judged.
    pub(super) fn new(endpoint: Arc<Endpoint>, peer: Peer) -> Self {
        let otherwise = Some(HandshakeError::RequestDropped);
        let served = endpoint.config.versions;
        Report { endpoint, peer, request: None, version: None, started: now(), served, otherwise }
    }

    /// From here on this is what is told if the request is dropped.
    pub(super) fn otherwise(&mut self, error: HandshakeError) {
        self.otherwise = Some(error);
    }

    /// What the application says of it, in time and while the server goes on.
    ///
    /// # Errors
    /// The application has not said it: it panicked, or took too long, or the server stops.
    pub(super) async fn ask(
        &self,
        on_handshake: &OnHandshake,
        handshake: Handshake,
    ) -> Result<Decided, HandshakeError> {
        let mut deciding = handshake::ask(on_handshake, handshake)?;
        let decided = poll_fn(|cx| handshake::poll_decision(&mut deciding, cx));
        let decided = tokio::select! {
            biased;
            () = self.endpoint.drain.started() => Err(HandshakeError::Draining),
            decided = self.in_time(decided) => decided,
        }?;
        // Its clock may have run out, or its server may have stopped, while it was polled.
        if self.endpoint.drain.has_started() {
            return Err(HandshakeError::Draining);
        }
        decided
    }

    /// Waits as long as the handshake may take in all.
    ///
    /// # Errors
    /// [`HandshakeError::TimedOut`]
    pub(super) async fn in_time<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, HandshakeError> {
        match self.started.checked_add(self.endpoint.config.handshake_timeout) {
            Some(at) => {
                let in_time = tokio::time::timeout_at(at.into(), future).await;
                in_time.map_err(|_| HandshakeError::TimedOut)
            }
            None => Ok(future.await),
        }
    }

    /// Tells what it came to, unless that was told before.
    pub(super) fn tell(&mut self, error: HandshakeError, source: Option<TransportError>) {
        if self.otherwise.take().is_none() {
            return;
        }
        let ending = Ending::never_opened(error, now() - self.started, source);
        let (peer, version, request) = (self.peer, self.version, self.request.as_ref());
        self.endpoint.ended(Ended { id: None, peer, request, version, ending: &ending });
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
