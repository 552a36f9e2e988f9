//! The connections of HTTP/2 that a client and its clones share, by origin.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adieu_proto::Config;
use http::Request;
use tokio::sync::Mutex as Lock;

use super::shared::{Asked, Begun, Shared};
use crate::client::dial::Deadline;
use crate::client::error::ConnectError;
use crate::now;
use crate::peer::Peer;
use crate::tls::TlsStream;
use crate::transport::AnyTransport;

/// How long an origin is asked for HTTP/1.1 alone that was found to take no WebSockets over HTTP/2.
/// Until then each connection would cost a second TLS handshake; after that a server that was
/// updated meanwhile is found out.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// What is known of each origin: `host:port`, for the scheme is always `wss`.
#[derive(Default)]
pub(in crate::client) struct Pool(Mutex<HashMap<String, Arc<Lock<Known>>>>);

/// What is known of one origin. Whoever makes a connection holds it meanwhile: those who come then
/// wait, and share the connection.
#[derive(Default)]
struct Known {
    connections: Vec<Shared>,
    /// HTTP/1.1 is the way, as was found out then.
    http1: Option<Instant>,
}

/// How a WebSocket is opened.
pub(in crate::client) enum Way {
    /// On this stream, whose request was sent.
    Stream(Asked),
    /// Over HTTP/1.1 on this connection, for the server has chosen that, or its TLS has failed.
    Chosen(AnyTransport, Peer),
    /// Over HTTP/1.1, on a connection that offers nothing else.
    Http1,
}

impl Pool {
    /// Finds the way for a request to an origin: a stream on a connection that is there, but not on
    /// the one with the number `but`; else on a new one, which `connect` makes up to the end of the
    /// TLS handshake.
    ///
    /// # Errors
    /// Those of `connect`, and the deadline's.
    pub(in crate::client) async fn way(
        &self,
        origin: String,
        request: &Request<()>,
        but: Option<u64>,
        config: &Config,
        deadline: &Deadline,
        connect: impl Future<Output = Result<(Box<TlsStream>, Peer), ConnectError>>,
    ) -> Result<Way, ConnectError> {
        let origin = self.known(origin);
        let lock = async { Ok(origin.lock().await) };
        let late = || "the connection that another call makes to it was not there".to_owned();
        let mut known = deadline.within(lock, late).await?;
        if let Some(asked) = known.ask(request, but).await {
            return Ok(Way::Stream(asked));
        }
        if known.is_http1() {
            return Ok(Way::Http1);
        }
        let (tls, peer) = connect.await?;
        if !tls.speaks_http2() {
            if !tls.is_handshaking() {
                known.http1 = Some(now());
            }
            return Ok(Way::Chosen(AnyTransport::Tls(tls), peer));
        }
        let begun = async { Ok(Shared::begin(AnyTransport::Tls(tls), peer, config).await) };
        let late = || "the server's SETTINGS of HTTP/2 did not come".to_owned();
        match deadline.within(begun, late).await? {
            Begun::Shared(connection) => {
                // A call that is given up from here on leaves it to others.
                known.connections.push(connection);
                if let Some(asked) = known.ask_newest(request).await {
                    return Ok(Way::Stream(asked));
                }
                known.connections.pop();
            }
            Begun::WithoutWebSockets => known.http1 = Some(now()),
            Begun::Ended => {}
        }
        Ok(Way::Http1)
    }

    fn known(&self, origin: String) -> Arc<Lock<Known>> {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !origins.contains_key(&origin) {
            // Those of which nothing is known any more are not kept.
            origins.retain(|_, known| {
                Arc::strong_count(known) > 1 || known.try_lock().is_ok_and(|it| it.is_worth_it())
            });
        }
        origins.entry(origin).or_default().clone()
    }
}

impl Known {
    /// A stream on one of the connections, but not on the one with the number `but`.
    async fn ask(&mut self, request: &Request<()>, but: Option<u64>) -> Option<Asked> {
        self.connections.retain(|connection| connection.is_alive() && Some(connection.id()) != but);
        for connection in &self.connections {
            if let Some(asked) = connection.ask(request.clone(), true).await {
                return Some(asked);
            }
        }
        None
    }

    /// A stream on the connection that was just made.
    async fn ask_newest(&self, request: &Request<()>) -> Option<Asked> {
        self.connections.last()?.ask(request.clone(), false).await
    }

    fn is_http1(&self) -> bool {
        self.http1.is_some_and(|since| now().saturating_duration_since(since) < REMEMBERED)
    }

    fn is_worth_it(&self) -> bool {
        self.is_http1() || self.connections.iter().any(Shared::is_alive)
    }
}
