//! One connection of HTTP/2 of a server, from its preface to the end of TCP.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use adieu_proto::{End, LetGo, Timer, TransportError};
use bytes::Bytes;
use h2::server::Connection;
use http::{Request, Response};
use hyper::service::Service;
use tokio::net::TcpStream;

use super::answer::answer;
use super::below::Below;
use super::body::RequestBody;
use super::clock::{Clock, Due};
use super::io::{Io, linger};
use super::settings::Settings;
use super::{BoxError, ResponseBody};
use crate::drain::Drain;
use crate::transport::{AnyTransport, Tcp, Transport};

/// What carries a connection of HTTP/2.
pub struct Carried(AnyTransport, Bytes);

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Carried({})", self.0.kind())
    }
}

impl Carried {
    pub(crate) fn new(transport: AnyTransport, first: Bytes) -> Self {
        Carried(transport, first)
    }

    /// What TLS knows of it.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_info(&self) -> Option<crate::tls::TlsInfo> {
        self.0.tls_info()
    }
}

impl From<TcpStream> for Carried {
    /// Cleartext, by prior knowledge (RFC 9113 §3.3).
    fn from(tcp: TcpStream) -> Self {
        Carried(AnyTransport::Tcp(Tcp::new(tcp)), Bytes::new())
    }
}

#[cfg(feature = "tls")]
impl From<crate::tls::TlsStream> for Carried {
    /// TLS by which `h2` was agreed on (RFC 7301).
    fn from(tls: crate::tls::TlsStream) -> Self {
        Carried(AnyTransport::Tls(Box::new(tls)), Bytes::new())
    }
}

/// Serves one connection of HTTP/2 to its end: each request goes to the service in a task of its
/// own. When the drain starts, the client is told with GOAWAY to open no more streams; the
/// connection ends behind the last of its streams.
pub async fn serve_connection<S, B>(
    carried: impl Into<Carried>,
    service: S,
    settings: &Settings,
    drain: &Drain,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: ResponseBody,
{
    // A drain waits for the last frames.
    let _expected = drain.expect();
    let Carried(transport, first) = carried.into();
    let service = Arc::new(service);
    let below = Below::of_server();
    let (io, back) = Io::of_server(transport, first, below.clone());
    let builder = settings.builder();
    let handshake = tokio::time::timeout(settings.handshake_timeout, builder.handshake(io));
    match handshake.await {
        Ok(Ok(connection)) => {
            let connection = Served { connection, below: &below, settings };
            connection
                .run(drain, |request, respond| {
                    let (service, below) = (service.clone(), below.clone());
                    tokio::spawn(async move { answer(request, respond, &*service, &below).await });
                })
                .await;
        }
        Ok(Err(error)) => tracing::debug!("a connection of HTTP/2 was never opened: {error}"),
        Err(_) => tracing::debug!("a connection of HTTP/2 was not opened in time"),
    }
    // A client that does not answer is not waited for.
    if below.end() != Some(End::LetGo(LetGo::Clock(Timer::Pong))) {
        linger(back).await;
    }
}

/// A connection that is open.
struct Served<'a> {
    connection: Connection<Io, Bytes>,
    below: &'a Below,
    settings: &'a Settings,
}

impl Served<'_> {
    /// Gives each request to `ask`, until the connection is over.
    async fn run(
        mut self,
        drain: &Drain,
        mut ask: impl FnMut(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>),
    ) {
        let mut clock = Clock::new(self.settings);
        let mut pings = self.connection.ping_pong();
        let mut stop = pin!(drain.started());
        let mut stopping = false;
        loop {
            let next = tokio::time::sleep_until(clock.next(self.below).into());
            tokio::select! {
                accepted = self.connection.accept() => match accepted {
                    Some(Ok((request, respond))) => ask(request, respond),
                    Some(Err(error)) => {
                        tracing::debug!("a connection of HTTP/2 has failed: {error}");
                        if self.below.end().is_none() {
                            self.below.fails(TransportError::new(error));
                        }
                        return;
                    }
                    None => return,
                },
                () = stop.as_mut(), if !stopping => {
                    stopping = true;
                    self.below.watch();
                    clock.stops();
                    self.connection.graceful_shutdown();
                }
                pong = poll_fn(|cx| match &mut pings {
                    Some(pings) => pings.poll_pong(cx),
                    None => Poll::Pending,
                }) => if pong.is_err() { pings = None },
                () = next => {
                    let has_streams = self.connection.has_streams();
                    match clock.passes(self.below, has_streams) {
                        Due::Nothing => {}
                        Due::Ping => if let Some(pings) = &mut pings {
                            // One that is still under way asks the same.
                            let _ = pings.send_ping(h2::Ping::opaque());
                        },
                        Due::GoAway => self.connection.graceful_shutdown(),
                        Due::LetGo(timer) => {
                            self.below.lets_go(End::LetGo(LetGo::Clock(timer)));
                            return;
                        }
                    }
                }
            }
        }
    }
}
