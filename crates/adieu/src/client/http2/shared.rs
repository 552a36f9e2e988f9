//! One connection of HTTP/2 of a client. A task of its own drives it, opens a stream on it when it
//! is asked, asks with PING whether the server is there, and ends it when nobody needs it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adieu_proto::{Config, End, LetGo, TransportError};
use bytes::Bytes;
use h2::PingPong;
use h2::client::{Connection, SendRequest};
use http::Request;
use tokio::sync::{mpsc, oneshot};

use crate::http2::{Below, Clock, Due, Io, Settings, linger};
use crate::peer::Peer;
use crate::transport::{AnyTransport, Http2Stream};

/// How long a connection without a stream is kept for the next. It is shorter than what servers
/// keep one for (60 s and more are common, ours 120 s), so that the client ends it as a rule, and
/// seldom opens a stream on a connection that the server is just ending.
const IDLE: Duration = Duration::from_secs(30);

/// A stream whose request was sent, and what to know of it when it fails.
pub(in crate::client) struct Asked {
    pub(in crate::client) transport: AnyTransport,
    pub(in crate::client) peer: Peer,
    pub(super) id: u32,
    pub(super) below: Arc<Below>,
    /// The connection was there before.
    pub(super) was_shared: bool,
}

/// A handle of one connection. When the last one is gone the connection opens no more streams, and
/// ends behind the last of them.
pub(super) struct Shared {
    peer: Peer,
    below: Arc<Below>,
    open: mpsc::Sender<Open>,
}

/// A stream is to be opened. The answer is `None` where the connection cannot have another.
struct Open {
    request: Request<()>,
    /// The connection was there before: whether its server still is, is asked with it.
    was_shared: bool,
    opened: oneshot::Sender<Option<(u32, Box<Http2Stream>)>>,
}

/// What has become of a connection that was begun.
pub(super) enum Begun {
    /// It takes WebSockets.
    Shared(Shared),
    /// The server's first SETTINGS are without SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3).
    WithoutWebSockets,
    /// It ended before its first SETTINGS.
    Ended,
}

impl Shared {
    /// Begins HTTP/2 on a transport that has agreed on it, and waits for the server's first
    /// SETTINGS (RFC 9113 §3.4). Given up before, it ends the connection.
    pub(super) async fn begin(transport: AnyTransport, peer: Peer, config: &Config) -> Begun {
        let below = Below::of_client();
        let (open, opens) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let settings = Settings { idle_timeout: IDLE, ..Settings::of(config) };
        tokio::spawn(carry(transport, below.clone(), settings, opens, tell));
        match told.await {
            Ok(true) => Begun::Shared(Shared { peer, below, open }),
            Ok(false) => Begun::WithoutWebSockets,
            Err(_) => Begun::Ended,
        }
    }

    /// Its number in this process.
    pub(super) fn id(&self) -> u64 {
        self.below.id()
    }

    /// Whether it may have more streams.
    pub(super) fn is_alive(&self) -> bool {
        !self.open.is_closed() && self.below.goaway().is_none() && self.below.end().is_none()
    }

    /// Opens a stream with this request; `None` where the connection cannot have another.
    pub(super) async fn ask(&self, request: Request<()>, was_shared: bool) -> Option<Asked> {
        let (opened, stream) = oneshot::channel();
        self.open.send(Open { request, was_shared, opened }).await.ok()?;
        let (id, stream) = stream.await.ok().flatten()?;
        let transport = AnyTransport::Http2(stream);
        Some(Asked { transport, peer: self.peer, id, below: self.below.clone(), was_shared })
    }
}

/// Carries one connection from its preface to the end of TCP.
async fn carry(
    transport: AnyTransport,
    below: Arc<Below>,
    settings: Settings,
    opens: mpsc::Receiver<Open>,
    tell: oneshot::Sender<bool>,
) {
    let (io, back) = Io::of_client(transport, below.clone());
    match settings.client_builder().handshake(io).await {
        Ok((requests, mut connection)) => {
            let (requests, tell) = (Some(requests), Some(tell));
            let pings = connection.ping_pong();
            let mut carrier = Carrier { connection, pings, requests, tell, opens, below };
            carrier.run(&settings).await;
        }
        Err(error) => tracing::debug!("a connection of HTTP/2 was never opened: {error}"),
    }
    linger(back).await;
}

struct Carrier {
    connection: Connection<Io, Bytes>,
    pings: Option<PingPong>,
    /// `None` once no more streams are opened: the library ends a connection without streams then.
    requests: Option<SendRequest<Bytes>>,
    /// Hears whether the server takes WebSockets, once its SETTINGS are there.
    tell: Option<oneshot::Sender<bool>>,
    opens: mpsc::Receiver<Open>,
    below: Arc<Below>,
}

/// What happened on the connection.
enum Happened {
    /// The first SETTINGS of the server came.
    Settings,
    Over(Result<(), h2::Error>),
}

impl Carrier {
    /// Goes on until the connection is over.
    async fn run(&mut self, settings: &Settings) {
        let mut clock = Clock::new(settings);
        loop {
            let next = tokio::time::sleep_until(clock.next(&self.below).into());
            let (connection, pings) = (&mut self.connection, &mut self.pings);
            let below = &self.below;
            let awaits_settings = self.tell.is_some();
            tokio::select! {
                happened = poll_fn(|cx| poll(connection, below, awaits_settings, cx)) => {
                    match happened {
                        Happened::Settings => self.has_settings(),
                        Happened::Over(over) => return self.is_over(over),
                    }
                }
                open = self.opens.recv(), if self.requests.is_some() => match open {
                    Some(open) => self.open(open),
                    // The client is gone.
                    None => self.requests = None,
                },
                pong = poll_fn(|cx| match pings {
                    Some(pings) => pings.poll_pong(cx),
                    None => Poll::Pending,
                }) => if pong.is_err() { self.pings = None },
                () = next => {
                    let has_streams = self.below.streams() > 0;
                    match clock.passes(&self.below, has_streams) {
                        Due::Nothing => {}
                        Due::Ping => self.ping(),
                        Due::GoAway => self.opens_no_more(),
                        Due::LetGo(timer) => {
                            self.below.lets_go(End::LetGo(LetGo::Clock(timer)));
                            return;
                        }
                    }
                }
            }
        }
    }

    fn has_settings(&mut self) {
        let takes =
            self.requests.as_ref().is_some_and(|it| it.is_extended_connect_protocol_enabled());
        if let Some(tell) = self.tell.take() {
            // Who has given up has no handle either: the connection ends.
            let _ = tell.send(takes);
        }
    }

    fn ping(&mut self) {
        if let Some(pings) = &mut self.pings {
            // One that is still under way asks the same.
            let _ = pings.send_ping(h2::Ping::opaque());
        }
    }

    fn open(&mut self, Open { request, was_shared, opened }: Open) {
        if was_shared {
            self.ping();
        }
        let stream = self.requests.as_ref().and_then(|requests| self.ask(requests, request));
        // Where nobody waits for it, the stream is cancelled.
        let _ = opened.send(stream);
    }

    fn ask(
        &self,
        requests: &SendRequest<Bytes>,
        request: Request<()>,
    ) -> Option<(u32, Box<Http2Stream>)> {
        if self.below.streams() >= requests.current_max_send_streams() {
            return None;
        }
        // The handle would keep the last stream that waits for room.
        let mut requests = requests.clone();
        match requests.send_request(request, false) {
            Ok((response, send)) => {
                let id = response.stream_id().as_u32();
                let below_stream = self.below.open(id);
                let stream = Http2Stream::asked(send, response, self.below.clone(), below_stream);
                Some((id, Box::new(stream)))
            }
            Err(error) => {
                tracing::debug!("a connection of HTTP/2 opens no stream: {error}");
                None
            }
        }
    }

    /// It is not used. Who asks for a stream all the same gets another connection.
    fn opens_no_more(&mut self) {
        self.requests = None;
        self.opens.close();
        while self.opens.try_recv().is_ok() {}
    }

    fn is_over(&mut self, over: Result<(), h2::Error>) {
        if let Err(error) = over {
            tracing::debug!("a connection of HTTP/2 has failed: {error}");
            if self.below.end().is_none() {
                self.below.fails(TransportError::new(error));
            }
        }
    }
}

/// Goes on with the connection.
fn poll(
    connection: &mut Connection<Io, Bytes>,
    below: &Below,
    awaits_settings: bool,
    cx: &mut Context<'_>,
) -> Poll<Happened> {
    match Pin::new(connection).poll(cx) {
        Poll::Ready(over) => Poll::Ready(Happened::Over(over)),
        // The library has taken in what it has read.
        Poll::Pending if awaits_settings && below.has_settings() => Poll::Ready(Happened::Settings),
        Poll::Pending => Poll::Pending,
    }
}

#[cfg(test)]
mod tests {
    use adieu_proto::{ClientRequest, Timer};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::client::http2::request;
    use crate::now;

    /// SETTINGS with SETTINGS_ENABLE_CONNECT_PROTOCOL.
    const SETTINGS: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1];

    async fn begin(ours: DuplexStream) -> Shared {
        let (transport, peer) = (AnyTransport::stream(ours), Peer::new(None));
        match Shared::begin(transport, peer, &Config::default()).await {
            Begun::Shared(shared) => shared,
            Begun::WithoutWebSockets => panic!("it takes WebSockets"),
            Begun::Ended => panic!("it goes on"),
        }
    }

    /// A server that answers nothing; gives how long its connection lasted.
    fn server(theirs: DuplexStream) -> JoinHandle<Duration> {
        let started = now();
        tokio::spawn(async move {
            let mut builder = h2::server::Builder::new();
            let connection = builder.enable_connect_protocol().handshake::<_, Bytes>(theirs);
            let mut connection = connection.await.unwrap();
            let mut requests = Vec::new();
            while let Some(Ok(request)) = connection.accept().await {
                requests.push(request);
            }
            now() - started
        })
    }

    async fn ask(shared: &Shared) -> Asked {
        let asked = ClientRequest::new("h", "/").extended_connect(&Config::default()).unwrap();
        shared.ask(request(&asked).unwrap(), false).await.expect("a stream")
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_stream_is_ended_after_a_while() {
        let (ours, theirs) = duplex(64 * 1024);
        let server = server(theirs);
        let shared = begin(ours).await;
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert!(shared.is_alive());
        let lasted = server.await.unwrap();
        let about = IDLE..IDLE + Duration::from_secs(4);
        assert!(about.contains(&lasted), "{lasted:?}");
        assert!(!shared.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_stream_is_not() {
        let (ours, theirs) = duplex(64 * 1024);
        let server = server(theirs);
        let shared = begin(ours).await;
        let asked = ask(&shared).await;
        tokio::time::sleep(3 * IDLE).await;
        assert!(shared.is_alive());
        drop((asked, shared));
        let lasted = server.await.unwrap();
        assert!(lasted < 3 * IDLE + Duration::from_secs(1), "without both at once: {lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up_with_its_streams() {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(&SETTINGS).await.unwrap();
        let shared = begin(ours).await;
        let asked = ask(&shared).await;
        // 15 s of silence, and 10 s for an answer.
        tokio::time::sleep(Duration::from_secs(24)).await;
        assert_eq!(asked.below.end(), None);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(asked.below.end(), Some(End::LetGo(LetGo::Clock(Timer::Pong))));
        assert!(!shared.is_alive());
        drop(theirs);
    }
}
