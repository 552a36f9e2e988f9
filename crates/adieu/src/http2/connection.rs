//! One connection of HTTP/2, from its preface to the end of TCP.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use adieu_proto::{End, LetGo, Timer, TransportError};
use bytes::Bytes;
use h2::server::Connection;
use http::{Request, Response};
use hyper::service::Service;
use tokio::net::TcpStream;

use super::answer::answer;
use super::below::{Acked, Below};
use super::body::RequestBody;
use super::io::{Back, Io};
use super::settings::Settings;
use super::{BoxError, ResponseBody};
use crate::drain::Drain;
use crate::now;
use crate::transport::{AnyTransport, Read, Tcp, Transport};

/// How long a connection may take to end whose streams are over: for the last frames to leave, and
/// for the client to end TCP.
const LINGER: Duration = Duration::from_secs(1);

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
    let below = Below::new();
    let (io, back) = Io::new(transport, first, below.clone());
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
                    match clock.passes(self.below, has_streams, stopping) {
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

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The client is silent: it is asked.
    Ping,
    /// The connection is not used: it is ended.
    GoAway,
    /// The client has not answered, or has not ended.
    LetGo(Timer),
}

/// When a connection is looked at that nothing else happens to.
#[derive(Debug)]
struct Clock {
    ping_interval: Duration,
    ping_timeout: Duration,
    idle_timeout: Duration,
    /// When a PING went out that nothing has come after.
    asked: Option<Instant>,
    /// The server stops.
    stopping: bool,
    /// What the client's kernel had acknowledged when the client was asked.
    acked: Option<Acked>,
    /// Since when there is no stream, as far as was seen.
    idle: Option<Instant>,
    /// When it was ended for want of streams.
    ending: Option<Instant>,
    /// When it is looked whether there are streams.
    look: Instant,
}

/// How often it is looked whether a connection has streams; while the server stops more often, for
/// an exit is waited for.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_STOPPING: Duration = Duration::from_millis(100);

/// While the server stops, a client is asked after so much silence. One that does not answer for so
/// long, and whose kernel acknowledges nothing meanwhile, is given up: as long as acknowledgements
/// of TCP are waited for. What was sent is in the client's kernel, which can read it later.
const STOP_PING_INTERVAL: Duration = Duration::from_millis(500);
const STOP_PING_TIMEOUT: Duration = Duration::from_millis(2_500);

impl Clock {
    fn new(settings: &Settings) -> Self {
        Clock {
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            idle_timeout: settings.idle_timeout,
            asked: None,
            stopping: false,
            acked: None,
            idle: None,
            ending: None,
            look: now() + LOOK,
        }
    }

    /// The server stops: an exit is waited for, so that a client is asked soon whether it is there,
    /// and again and again.
    fn stops(&mut self) {
        self.stopping = true;
        (self.asked, self.look) = (None, now());
        self.ping_interval = self.ping_interval.min(STOP_PING_INTERVAL);
        self.ping_timeout = self.ping_timeout.min(STOP_PING_TIMEOUT);
    }

    fn next(&self, below: &Below) -> Instant {
        let silent = match self.asked {
            Some(asked) => asked.checked_add(self.ping_timeout),
            None => below.heard().checked_add(self.ping_interval),
        };
        // While the server stops, it is looked at anyway.
        let silent = silent.filter(|_| !self.stopping);
        silent.map_or(self.look, |at| at.min(self.look))
    }

    fn passes(&mut self, below: &Below, has_streams: bool, stopping: bool) -> Due {
        let now = now();
        let heard = below.heard();
        if self.asked.is_some_and(|asked| heard > asked) {
            self.asked = None;
        }
        match self.asked {
            Some(asked) if asked.checked_add(self.ping_timeout).is_some_and(|at| now >= at) => {
                let acked = below.acked();
                let moves_on = self.acked.zip(acked).is_some_and(|(then, now)| then.moves_on(now));
                if !moves_on {
                    return Due::LetGo(Timer::Pong);
                }
                // The answer waits behind what the client still reads.
                (self.acked, self.asked) = (acked, Some(now));
            }
            // What the kernel has acknowledged is to be known before it is asked.
            None if self.stopping && below.acked().is_none() => {}
            None if heard.checked_add(self.ping_interval).is_some_and(|at| now >= at) => {
                (self.acked, self.asked) = (below.acked(), Some(now));
                return Due::Ping;
            }
            _ => {}
        }
        if now < self.look {
            return Due::Nothing;
        }
        self.look = now + if stopping { LOOK_STOPPING } else { LOOK };
        self.looks(now, has_streams, stopping)
    }

    fn looks(&mut self, now: Instant, has_streams: bool, stopping: bool) -> Due {
        if has_streams {
            (self.idle, self.ending) = (None, None);
            return Due::Nothing;
        }
        let idle = *self.idle.get_or_insert(now);
        match self.ending {
            Some(ending) if now >= ending + LINGER => Due::LetGo(Timer::Linger),
            Some(_) => Due::Nothing,
            None if stopping => {
                self.ending = Some(now);
                Due::Nothing
            }
            None if now.saturating_duration_since(idle) >= self.idle_timeout => {
                self.ending = Some(now);
                Due::GoAway
            }
            None => Due::Nothing,
        }
    }
}

/// The library is done with the transport: our direction is finished, and the client's end is
/// awaited for a moment. A socket that is closed with unread input would send an RST, and the
/// client would lose what is on its way.
async fn linger(back: Back) {
    let Ok(mut transport) = back.await else { return };
    let ends = async {
        poll_fn(|cx| transport.poll_flush(Some(cx))).await.ok();
        poll_fn(|cx| transport.poll_finish(cx)).await;
        let mut dropped = [0; 4096];
        while !matches!(poll_fn(|cx| transport.poll_read(cx, &mut dropped)).await, Read::Over(_)) {}
    };
    let _ = tokio::time::timeout(LINGER, ends).await;
}
