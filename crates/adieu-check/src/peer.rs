//! A raw peer: says what it is told to and notes how the other end behaves. It never speaks
//! through Adieu's own code, so that it judges Adieu like any other server.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::frame::{Frame, MASK};
use super::head::{ACCEPT, Head, Request};
use super::target::Target;
use super::transport::Transport;

/// A server that does not answer a request by then does not answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Read at once at most.
const CHUNK: usize = 16 * 1024;

/// How the server's direction ended. Over HTTP/2 the FIN is END_STREAM, and the RST is RST_STREAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpEnd {
    Fin,
    Reset,
}

/// Why there is no WebSocket.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// No TCP, or it (or TLS) failed.
    Io(io::Error),
    /// The server answered, but not with 101.
    Refused(Head),
    /// The server's 101 does not answer the key.
    BadAccept,
    /// The server does not speak HTTP/2.
    NoHttp2,
    /// It does, without extended CONNECT (RFC 8441 §3).
    NoExtendedConnect,
    /// It answered an extended CONNECT with an RST_STREAM that has this code.
    StreamReset(u32),
    /// It ended instead of answering.
    Ended(TcpEnd),
    /// What came is no HTTP.
    NotHttp(Vec<u8>),
    /// Nothing came within [`PATIENCE`].
    Silent,
}

/// One client's side of a connection.
pub(crate) struct Peer {
    stream: Transport,
    input: Vec<u8>,
    /// Bytes of `input` that have been taken.
    taken: usize,
    output: VecDeque<u8>,
    /// A write failed: what a client that writes first would have stumbled over.
    pub(crate) write_failed: bool,
    reset: bool,
    end: Option<TcpEnd>,
    /// What TLS found wrong, if it did.
    error: Option<io::Error>,
}

/// How a connection ended, as its client saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    /// The server's Close: its code, if it had one.
    pub(crate) close: Option<Option<u16>>,
    /// `None` if it had not ended when the client stopped waiting.
    pub(crate) end: Option<TcpEnd>,
    /// An RST, before or after a FIN, or a failed write.
    pub(crate) reset: bool,
    /// When the Close was read, or else when waiting began.
    pub(crate) started: Option<Instant>,
    /// From then to the end.
    pub(crate) waited: Duration,
}

impl Ended {
    /// A Close that could be read, then a FIN, and no RST at any time.
    pub(crate) fn is_clean(&self) -> bool {
        self.close.is_some() && self.end == Some(TcpEnd::Fin) && !self.reset
    }

    /// The same, with this code.
    pub(crate) fn is_clean_with(&self, code: u16) -> bool {
        self.is_clean() && self.close == Some(Some(code))
    }

    /// When the Close was read.
    pub(crate) fn close_read(&self) -> Option<Instant> {
        self.started.filter(|_| self.close.is_some())
    }

    /// When the FIN was read.
    pub(crate) fn fin_read(&self) -> Option<Instant> {
        let started = self.started.filter(|_| self.end == Some(TcpEnd::Fin));
        started.map(|started| started + self.waited)
    }
}

impl Peer {
    /// Connects over TCP and says nothing.
    pub(crate) async fn connect(target: &Target, buffer: Option<u32>) -> io::Result<Self> {
        Ok(Self::over(target.connect(buffer).await?))
    }

    fn over(stream: Transport) -> Self {
        Peer {
            stream,
            input: Vec::new(),
            taken: 0,
            output: VecDeque::new(),
            write_failed: false,
            reset: false,
            end: None,
            error: None,
        }
    }

    /// Connects and opens a WebSocket of RFC 6455.
    pub(crate) async fn open(target: &Target) -> Result<Self, OpenError> {
        Self::open_with(target, None).await
    }

    /// The same with a receive buffer of this size.
    pub(crate) async fn open_with(target: &Target, buffer: Option<u32>) -> Result<Self, OpenError> {
        let mut peer = Self::connect(target, buffer).await.map_err(OpenError::Io)?;
        peer.handshake(target, Request::rfc6455()).await?;
        Ok(peer)
    }

    /// Connects and opens a WebSocket of RFC 6455 with this offer of extensions, if there is one.
    /// The server's answer comes with it.
    pub(crate) async fn offer(
        target: &Target,
        extensions: Option<&str>,
    ) -> Result<(Self, Head), OpenError> {
        let mut peer = Self::connect(target, None).await.map_err(OpenError::Io)?;
        let request = Request::rfc6455();
        let request = match extensions {
            Some(offer) => request.field("Sec-WebSocket-Extensions", offer),
            None => request,
        };
        let head = peer.handshake(target, request).await?;
        Ok((peer, head))
    }

    /// The opening handshake: the server's answer, if it is a 101 for this key (a 200 over HTTP/2).
    async fn handshake(&mut self, target: &Target, request: Request) -> Result<Head, OpenError> {
        let request = target.address(request);
        if let Transport::Http2(http2) = &mut self.stream {
            let opened = timeout(PATIENCE, http2.open(&request, target.scheme())).await;
            return opened.map_err(|_| OpenError::Silent)?;
        }
        self.say_bytes(&request.bytes());
        let head = timeout(PATIENCE, self.head()).await.map_err(|_| OpenError::Silent)??;
        match head.try_status() {
            Some(101) if head.first_field("sec-websocket-accept") == Some(ACCEPT) => Ok(head),
            Some(101) => Err(OpenError::BadAccept),
            _ => Err(OpenError::Refused(head)),
        }
    }

    // What it says.

    /// Queues bytes; the next steps write them.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    /// Queues a frame, masked.
    pub(crate) fn say(&mut self, frame: &Frame) {
        self.say_bytes(&frame.bytes(Some(MASK)));
    }

    /// Bytes that have not left.
    pub(crate) fn unwritten(&self) -> usize {
        self.output.len()
    }

    /// Writes everything and reads nothing; gives up if the connection fails.
    pub(crate) async fn flush(&mut self) {
        while (!self.output.is_empty() || self.stream.holds_output()) && !self.write_failed {
            if !self.write_some() {
                self.stream.writable().await;
            }
        }
    }

    fn write_some(&mut self) -> bool {
        if self.write_failed {
            return false;
        }
        let (front, _) = self.output.as_slices();
        let written = if front.is_empty() {
            self.stream.try_flush().map(|()| 0)
        } else {
            self.stream.try_write(front)
        };
        match written {
            Ok(n) => {
                self.output.drain(..n);
                n > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                // Only an RST makes a write fail before we have ended our direction. What had
                // arrived before it can still be read.
                self.write_failed = true;
                self.reset = true;
                self.output.clear();
                true
            }
        }
    }

    // What it reads.

    /// Reads at most `limit` bytes if something is there.
    fn read_some(&mut self, limit: usize) -> bool {
        if self.end.is_some() {
            return false;
        }
        // Not into `input`: ten thousand peers would keep the space for a whole chunk each.
        let mut chunk = [0; CHUNK];
        let read = self.stream.try_read(&mut chunk[..limit.min(CHUNK)]);
        match read {
            Ok(0) => {
                self.end = Some(if self.reset { TcpEnd::Reset } else { TcpEnd::Fin });
            }
            Ok(n) => self.input.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.reset = true;
                self.end = Some(TcpEnd::Reset);
                self.error = Some(error);
            }
        }
        true
    }

    /// Reads and writes once; returns when either did something, or at the end.
    pub(crate) async fn step(&mut self) {
        while self.end.is_none() {
            let wrote = self.write_some();
            let read = self.read_some(CHUNK);
            if wrote || read {
                // A peer that is always busy must not keep the others and the clock waiting.
                tokio::task::consume_budget().await;
                return;
            }
            let wants = self.stream.wants_write(!self.output.is_empty());
            self.stream.ready(wants && !self.write_failed).await;
        }
    }

    /// Waits until something can be read, and leaves it there.
    pub(crate) async fn readable(&mut self) {
        self.stream.readable().await;
    }

    /// Reads up to `limit` bytes, and writes nothing: a reader that takes its time.
    pub(crate) async fn sip(&mut self, limit: usize) {
        while self.end.is_none() && !self.read_some(limit) {
            self.stream.ready(false).await;
        }
    }

    /// Whether the server's direction has ended.
    pub(crate) fn end(&self) -> Option<TcpEnd> {
        self.end
    }

    /// Bytes that have come and are no whole frame yet.
    pub(crate) fn incomplete(&self) -> usize {
        self.input.len() - self.taken
    }

    /// The next frame that has come whole.
    pub(crate) fn frame_here(&mut self) -> Option<Frame> {
        let (frame, len) = Frame::parse(&self.input[self.taken..])?;
        self.taken += len;
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        } else if self.taken >= CHUNK {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        Some(frame)
    }

    /// The next frame, Pings answered; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.frame_here() {
                Some(frame) if frame.opcode == 0x9 => self.say(&Frame::pong(frame.payload)),
                Some(frame) => return Some(frame),
                None => {}
            }
            if self.end.is_some() {
                return None;
            }
            self.step().await;
        }
    }

    /// The next Close; `None` at the end. Other frames are dropped.
    pub(crate) async fn close_frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.opcode == 0x8 {
                return Some(frame);
            }
        }
    }

    /// Reads to the end and drops what comes.
    pub(crate) async fn reach_end(&mut self) {
        while self.end.is_none() {
            self.step().await;
            self.input.clear();
            self.taken = 0;
        }
    }

    /// The next head.
    pub(crate) async fn head(&mut self) -> Result<Head, OpenError> {
        loop {
            if let Some((head, len)) = Head::parse(&self.input[self.taken..]) {
                self.taken += len;
                return Ok(head);
            }
            match self.end {
                _ if self.error.is_some() => {
                    let error = self.error.take().unwrap_or_else(|| ErrorKind::Other.into());
                    return Err(OpenError::Io(error));
                }
                Some(end) if self.input.is_empty() => return Err(OpenError::Ended(end)),
                Some(_) => return Err(OpenError::NotHttp(std::mem::take(&mut self.input))),
                None => self.step().await,
            }
        }
    }

    /// So many bytes, or fewer at the end.
    pub(crate) async fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.input.len() < self.taken + n && self.end.is_none() {
            self.step().await;
        }
        let to = self.input.len().min(self.taken + n);
        let bytes = self.input[self.taken..to].to_vec();
        self.taken = to;
        bytes
    }

    // How it goes.

    /// Ends our direction.
    pub(crate) async fn fin(&mut self) {
        self.stream.fin().await;
    }

    /// Leaves the page as browsers do. Over a connection of its own: Close 1001, then the FIN. Over
    /// HTTP/2 the connection goes on: Chromium sends RST_STREAM(CANCEL) and nothing else, Firefox
    /// Close 1001 and nothing else; `number` chooses, so that both are met.
    pub(crate) async fn leave_page(&mut self, number: usize) {
        if let Transport::Http2(http2) = &mut self.stream
            && number % 2 == 0
        {
            self.output.clear();
            return http2.cancel().await;
        }
        self.say(&Frame::close(1001, ""));
        self.flush().await;
        if matches!(self.stream, Transport::Connection(_)) {
            self.fin().await;
        }
    }

    /// The next page of the same browser: over HTTP/2 another stream of the connection, else a
    /// connection of its own.
    pub(crate) async fn next_page(self, target: &Target) -> Result<Self, OpenError> {
        let Some(stream) = self.stream.next_stream() else { return Self::open(target).await };
        let mut peer = Self::over(stream);
        peer.handshake(target, Request::rfc6455()).await?;
        Ok(peer)
    }

    /// Reads until the server's Close, answers it, and hears the end out as a browser does.
    pub(crate) async fn hear_out(mut self, deadline: Instant) -> Ended {
        let started = Instant::now();
        let close = timeout_at(deadline, self.close_frame()).await.unwrap_or(None);
        let started = if close.is_some() { Instant::now() } else { started };
        self.farewell(close.as_ref(), started, deadline).await
    }

    /// Answers a Close that was read (a browser repeats its code), reads to the server's end, then
    /// ends as well.
    pub(crate) async fn farewell(
        mut self,
        close: Option<&Frame>,
        started: Instant,
        deadline: Instant,
    ) -> Ended {
        if let Some(close) = close {
            // Over HTTP/2 browsers take it for a failure, though the Close could be read.
            self.reset |= self.stream.is_reset();
            self.say(&Frame::new(0x8, &close.payload[..close.payload.len().min(2)]));
        }
        self.last(close.map(Frame::close_code), started, deadline).await
    }

    /// Reads to the server's end and says nothing more; then ends as well.
    pub(crate) async fn last(
        mut self,
        close: Option<Option<u16>>,
        started: Instant,
        deadline: Instant,
    ) -> Ended {
        let _ = timeout_at(deadline, self.reach_end()).await;
        let waited = started.elapsed();
        if self.end == Some(TcpEnd::Fin) {
            self.fin().await;
            self.reset |= self.stream.reset_follows().await;
        }
        Ended { close, end: self.end, reset: self.reset, started: Some(started), waited }
    }
}
