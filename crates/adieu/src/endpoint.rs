//! How connections are accepted and where their endings are told: the settings that a
//! [`Server`](crate::Server) and the hyper and axum integrations share.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use adieu_proto::{Close, Config, Ending, HandshakeError, Request, Version};

use crate::drain::Drain;
use crate::peer::Peer;

type OriginPolicy = dyn Fn(Option<&str>) -> bool + Send + Sync;
type RequestPolicy = dyn Fn(&Request) -> Result<(), u16> + Send + Sync;
type OnClosing = dyn Fn(Closing<'_>) + Send + Sync;
type OnEnd = dyn Fn(Ended<'_>) + Send + Sync;

/// How connections are accepted, and who hears how they ended.
///
/// ```
/// use adieu::Endpoint;
/// let endpoint = Endpoint::new()
///     .subprotocols(["chat.v2", "chat.v1"])
///     .origin(|origin| origin.is_none_or(|o| o == "https://example.com"))
///     .on_end(|ended| println!("{}: {}", ended.peer, ended.ending));
/// ```
#[derive(Clone, Default)]
pub struct Endpoint {
    pub(crate) config: Arc<Config>,
    subprotocols: Vec<String>,
    origin: Option<Arc<OriginPolicy>>,
    request: Option<Arc<RequestPolicy>>,
    on_closing: Option<Arc<OnClosing>>,
    on_end: Option<Arc<OnEnd>>,
    pub(crate) drain: Drain,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The defaults: every version but hixie-75, no subprotocol, any Origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits and time-outs.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// The subprotocols served, the preferred one first: the first that the client offers is
    /// chosen. A client that offers none of them gets none (RFC 6455 §4.2.2).
    #[must_use]
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Which pages may connect: gets the `Origin` (none for clients that are no browsers) and
    /// says whether it is allowed. Others are answered 403 (RFC 6455 §10.2).
    #[must_use]
    pub fn origin(mut self, allows: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        self.origin = Some(Arc::new(allows));
        self
    }

    /// Looks at each valid request before it is accepted; `Err(status)` refuses it with that
    /// HTTP status.
    #[must_use]
    pub fn on_request(
        mut self,
        check: impl Fn(&Request) -> Result<(), u16> + Send + Sync + 'static,
    ) -> Self {
        self.request = Some(Arc::new(check));
        self
    }

    /// Hears early, the moment it is read, that a peer has said goodbye: for presence. The
    /// account follows, to [`on_end`](Self::on_end), when the transport is over. Peers that go
    /// without a goodbye are not told here.
    #[must_use]
    pub fn on_closing(mut self, hear: impl Fn(Closing<'_>) + Send + Sync + 'static) -> Self {
        self.on_closing = Some(Arc::new(hear));
        self
    }

    /// Hears the account of every connection, exactly once each, those that never opened too.
    #[must_use]
    pub fn on_end(mut self, hear: impl Fn(Ended<'_>) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Arc::new(hear));
        self
    }

    /// The handle that ends all connections of this endpoint when the server stops.
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    /// Judges a valid request: the subprotocol to agree on, or why it is refused.
    pub(crate) fn decide(&self, request: &Request) -> Result<Option<String>, HandshakeError> {
        if self.drain.has_started() {
            return Err(HandshakeError::Refused(503));
        }
        let origin = request.origin();
        if self.origin.as_ref().is_some_and(|allows| !allows(origin)) {
            return Err(HandshakeError::Origin(origin.unwrap_or("none").to_owned()));
        }
        if let Some(check) = &self.request {
            check(request).map_err(HandshakeError::Refused)?;
        }
        let offered = |name: &&String| request.subprotocols().any(|offer| offer == *name);
        Ok(self.subprotocols.iter().find(offered).cloned())
    }

    /// Tells that a peer has said goodbye.
    pub(crate) fn closing(&self, closing: Closing<'_>) {
        if let Some(hear) = &self.on_closing
            && catch_unwind(AssertUnwindSafe(|| hear(closing))).is_err()
        {
            tracing::error!("on_closing panicked; the connection goes on to end");
        }
    }

    /// Tells an account. A panic in the application's function does not reach the server.
    pub(crate) fn ended(&self, ended: Ended<'_>) {
        if !ended.ending.opened() {
            tracing::debug!(peer = %ended.peer, "{}", ended.ending);
        }
        if let Some(hear) = &self.on_end
            && catch_unwind(AssertUnwindSafe(|| hear(ended))).is_err()
        {
            tracing::error!("on_end panicked; the connection was accounted for once");
        }
    }
}

/// A connection whose peer has said goodbye.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Closing<'a> {
    /// Who said it.
    pub peer: Peer,
    /// The request that opened the connection; `None` as a client.
    pub request: Option<&'a Request>,
    /// What was said.
    pub close: &'a Close,
}

/// A connection that is over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ended<'a> {
    /// Who it was with.
    pub peer: Peer,
    /// The request, if one was read.
    pub request: Option<&'a Request>,
    /// The version, if one was asked for.
    pub version: Option<Version>,
    /// How it ended.
    pub ending: &'a Ending,
}
