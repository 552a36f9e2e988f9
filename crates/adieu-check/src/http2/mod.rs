//! A WebSocket on a stream of HTTP/2 (RFC 9113, RFC 8441), read and written step by step as TCP
//! is: END_STREAM stands for the FIN, RST_STREAM for the RST.

pub(crate) mod advertised;
// The testkit includes these two and uses more of them.
#[allow(dead_code, unreachable_pub, reason = "shared with the testkit, which uses all of it")]
mod frame;
#[allow(dead_code, unreachable_pub, reason = "shared with the testkit, which uses all of it")]
mod hpack;
mod wire;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use self::frame::{Http2Frame, PREFACE, RawFrame, code, flag, kind, setting};
use self::wire::Wire;
use crate::head::{Head, Request};
use crate::peer::{OpenError, TcpEnd};
use crate::stream::Stream;

/// The window of a stream and of the connection, where nothing else is said (RFC 9113 §6.9.2). A
/// client that reads slowly is to leave its messages at the server: this is small on purpose.
const WINDOW: i64 = 65_535;

/// The largest window (§6.9.1).
const LARGEST_WINDOW: i64 = (1 << 31) - 1;

/// The largest payload of a frame, where nothing else is said (§4.2).
const FRAME: usize = 16_384;

/// What was read is given back to the server when it is so much: a frame for each byte would be a
/// flood.
const GIVE_BACK: usize = 16 * 1024;

/// A connection with one WebSocket at a time.
pub(crate) struct Http2 {
    wire: Wire,
    /// What the server allows, once its SETTINGS are here.
    server: Option<Server>,
    /// What we may send on all streams.
    window: i64,
    /// What came on any stream and was not given back to the connection's window.
    taken: usize,
    /// The last stream that the server serves, if it sent a GOAWAY.
    last_served: Option<u32>,
    current: Current,
}

/// The settings of the server that matter here.
#[derive(Clone, Copy, Debug)]
struct Server {
    extended_connect: bool,
    window: i64,
    frame: usize,
}

/// The stream of the WebSocket.
struct Current {
    id: u32,
    /// What we may send on it.
    window: i64,
    answer: Option<Head>,
    /// DATA that was not read yet.
    data: VecDeque<u8>,
    /// What was read and not given back to its window.
    taken: usize,
    end: Option<StreamEnd>,
    /// We have sent END_STREAM.
    finished: bool,
}

/// How the server's direction of the stream ended. An RST_STREAM behind END_STREAM replaces it,
/// for the client's answer may be lost then; with NO_ERROR it only says that nothing more is needed
/// (RFC 9113 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    EndStream,
    Reset(u32),
}

impl StreamEnd {
    fn is_graceful(self) -> bool {
        matches!(self, StreamEnd::EndStream | StreamEnd::Reset(code::NO_ERROR))
    }
}

impl Current {
    fn new(id: u32, window: i64) -> Self {
        let (data, taken) = (VecDeque::new(), 0);
        Current { id, window, answer: None, data, taken, end: None, finished: false }
    }
}

impl Http2 {
    /// Over a connection that says nothing yet.
    pub(crate) fn new(below: Stream) -> Self {
        Http2 {
            wire: Wire::new(below),
            server: None,
            window: WINDOW,
            taken: 0,
            last_served: None,
            current: Current::new(1, WINDOW),
        }
    }

    // The opening handshake.

    /// Opens a WebSocket by an extended CONNECT (RFC 8441 §4): the server's answer, if it is 200.
    pub(crate) async fn open(
        &mut self,
        request: &Request,
        scheme: &str,
    ) -> Result<Head, OpenError> {
        if self.server.is_none() {
            self.begin().await?;
        }
        let server = self.server.ok_or(OpenError::NoHttp2)?;
        if !server.extended_connect {
            return Err(OpenError::NoExtendedConnect);
        }
        self.current.window = server.window;
        let fields = hpack::encode(&request.extended_connect(scheme));
        self.headers(&fields);
        while self.current.answer.is_none() && self.current.end.is_none() {
            self.step().await?;
        }
        match (self.current.answer.take(), self.current.end) {
            (Some(head), None) if head.try_status() == Some(200) => Ok(head),
            (Some(head), _) => Err(OpenError::Refused(head)),
            (None, Some(StreamEnd::Reset(code))) => Err(OpenError::StreamReset(code)),
            (None, _) => Err(OpenError::Ended(TcpEnd::Fin)),
        }
    }

    /// The field block in as many frames as it needs.
    fn headers(&mut self, fields: &[u8]) {
        let id = self.current.id;
        let mut parts = fields.chunks(FRAME).peekable();
        let mut kind = kind::HEADERS;
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { flag::END_HEADERS } else { 0 };
            self.wire.say(&RawFrame::new(kind, flags, id, part));
            kind = kind::CONTINUATION;
        }
    }

    /// TLS, the preface and the SETTINGS of both sides.
    async fn begin(&mut self) -> Result<(), OpenError> {
        self.wire.below.shake_hands().await.map_err(tls_error)?;
        if self.wire.below.alpn().is_some_and(|alpn| alpn != b"h2") {
            return Err(OpenError::NoHttp2);
        }
        self.wire.say_bytes(PREFACE);
        let settings = [(setting::HEADER_TABLE_SIZE, 0), (setting::ENABLE_PUSH, 0)];
        self.wire.say(&RawFrame::settings(&settings));
        while self.server.is_none() {
            match self.step().await {
                // What came is no HTTP/2.
                Err(OpenError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                    return Err(OpenError::NoHttp2);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Writes and reads once, and waits if there is nothing to do.
    async fn step(&mut self) -> Result<(), OpenError> {
        let blocked = |error: &io::Error| error.kind() == ErrorKind::WouldBlock;
        match self.wire.push() {
            Err(error) if !blocked(&error) => return Err(OpenError::Io(error)),
            _ => {}
        }
        match self.pump(FRAME) {
            Ok(()) if self.wire.ended => Err(OpenError::Ended(TcpEnd::Fin)),
            Err(error) if blocked(&error) => {
                self.wire.below.ready(self.wire.holds_output()).await;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                Err(OpenError::Ended(TcpEnd::Reset))
            }
            done => done.map_err(OpenError::Io),
        }
    }

    /// Another stream of the same connection, for another page of the same browser. `false` if the
    /// connection takes none: it has ended, or the server sent a GOAWAY.
    pub(crate) fn next_stream(&mut self) -> bool {
        let window = self.server.map_or(WINDOW, |server| server.window);
        self.current = Current::new(self.current.id + 2, window);
        self.last_served.is_none() && !self.wire.ended
    }

    // Frames that come.

    /// Reads once, at most so many bytes, and takes the frames in that are whole.
    fn pump(&mut self, limit: usize) -> io::Result<()> {
        self.wire.fill(limit)?;
        while let Some(frame) = self.wire.frame()? {
            self.take_in(frame)?;
        }
        // What has to be said to it leaves as soon as it can.
        match self.wire.push() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            done => done,
        }
    }

    fn take_in(&mut self, frame: Http2Frame) -> io::Result<()> {
        if self.server.is_none() && !matches!(frame, Http2Frame::Settings { ack: false, .. }) {
            return Err(ErrorKind::InvalidData.into());
        }
        let ours = frame.stream() == self.current.id;
        match frame {
            Http2Frame::Settings { settings, ack: false } => self.set(&settings),
            Http2Frame::Ping { payload, ack: false } => {
                self.wire.say(&RawFrame::new(kind::PING, flag::ACK, 0, payload));
            }
            Http2Frame::GoAway(goaway) => self.last_served = Some(goaway.last),
            Http2Frame::WindowUpdate { stream: 0, increment } => {
                self.window = widened(self.window, increment);
            }
            Http2Frame::WindowUpdate { increment, .. } if ours => {
                self.current.window = widened(self.current.window, increment);
            }
            Http2Frame::Data { bytes, end_stream, .. } => self.data(&bytes, end_stream, ours),
            Http2Frame::Headers { fields, end_stream, .. } if ours => {
                // An interim answer (1xx) is followed by another.
                let head = Head::of_http2(&fields);
                let interim = head.try_status().is_some_and(|status| status < 200);
                self.current.answer = self.current.answer.take().or((!interim).then_some(head));
                self.current.end = self.current.end.or(end_stream.then_some(StreamEnd::EndStream));
            }
            Http2Frame::RstStream { code, .. } if ours => {
                let behind_its_end = self.current.end == Some(StreamEnd::EndStream);
                if !(behind_its_end && code == code::NO_ERROR) {
                    self.current.end = Some(StreamEnd::Reset(code));
                }
            }
            _ => {}
        }
        // A server that does not serve the stream has forgotten it (RFC 9113 §6.8).
        if self.last_served.is_some_and(|last| last < self.current.id) && self.current.end.is_none()
        {
            self.current.end = Some(StreamEnd::Reset(code::REFUSED_STREAM));
        }
        Ok(())
    }

    fn set(&mut self, settings: &[(u16, u32)]) {
        let before = Server { extended_connect: false, window: WINDOW, frame: FRAME };
        let mut server = self.server.unwrap_or(before);
        for &(id, value) in settings {
            match id {
                setting::ENABLE_CONNECT_PROTOCOL => server.extended_connect = value == 1,
                setting::INITIAL_WINDOW_SIZE => {
                    self.current.window += i64::from(value) - server.window;
                    server.window = i64::from(value);
                }
                setting::MAX_FRAME_SIZE => server.frame = (value as usize).max(FRAME),
                _ => {}
            }
        }
        self.server = Some(server);
        self.wire.say(&RawFrame::new(kind::SETTINGS, flag::ACK, 0, ""));
    }

    fn data(&mut self, bytes: &[u8], end_stream: bool, ours: bool) {
        if ours && self.current.end.is_none() {
            self.current.data.extend(bytes);
            self.current.end = end_stream.then_some(StreamEnd::EndStream);
        } else {
            // Nobody reads it.
            self.give_back(bytes.len());
        }
    }

    /// So much was read of DATA: the connection's window is opened again.
    fn give_back(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= GIVE_BACK {
            let increment = u32::try_from(std::mem::take(&mut self.taken)).unwrap_or(u32::MAX >> 1);
            self.wire.say(&RawFrame::window_update(0, increment));
        }
    }

    // The bytes of the WebSocket.

    /// Reads what is there: 0 is END_STREAM or the connection's end, `WouldBlock` is nothing yet,
    /// and `ConnectionReset` is an RST_STREAM.
    pub(crate) fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.current.data.is_empty() {
                let n = self.current.data.read(bytes)?;
                self.was_read(n);
                return Ok(n);
            }
            match self.current.end {
                Some(end) if end.is_graceful() => return Ok(0),
                Some(_) => return Err(ErrorKind::ConnectionReset.into()),
                None if self.wire.ended => return Ok(0),
                None => self.pump(bytes.len())?,
            }
        }
    }

    fn was_read(&mut self, bytes: usize) {
        self.give_back(bytes);
        self.current.taken += bytes;
        if self.current.taken >= GIVE_BACK && self.current.end.is_none() {
            let taken = std::mem::take(&mut self.current.taken);
            let increment = u32::try_from(taken).unwrap_or(u32::MAX >> 1);
            self.wire.say(&RawFrame::window_update(self.current.id, increment));
        }
        // An error shows in the next read or write.
        let _ = self.wire.push();
    }

    /// How much may be sent now.
    fn room(&self) -> usize {
        if self.wire.is_full() {
            return 0;
        }
        let window = self.window.min(self.current.window).max(0);
        let frame = self.server.map_or(FRAME, |server| server.frame);
        usize::try_from(window).unwrap_or(0).min(frame)
    }

    /// Takes bytes as one DATA; `WouldBlock` if no window or no room is left.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.current.end {
            // Nobody needs it (RFC 9113 §8.1).
            Some(StreamEnd::Reset(code::NO_ERROR)) => return Ok(bytes.len()),
            Some(StreamEnd::Reset(_)) => return Err(ErrorKind::BrokenPipe.into()),
            _ => {}
        }
        let n = self.room().min(bytes.len());
        if n == 0 {
            self.wire.push()?;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.wire.say(&RawFrame::new(kind::DATA, 0, self.current.id, &bytes[..n]));
        self.window -= n as i64;
        self.current.window -= n as i64;
        match self.wire.push() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(n),
        }
    }

    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        self.wire.push()
    }

    pub(crate) fn holds_output(&self) -> bool {
        self.wire.holds_output()
    }

    /// Whether a write could do something, for output that waits.
    pub(crate) fn wants_write(&self, waiting: bool) -> bool {
        self.wire.holds_output() || (waiting && self.room() > 0)
    }

    /// Waits until a read, or a write if wanted, may do something.
    pub(crate) async fn ready(&self, write: bool) {
        if self.current.data.is_empty() && self.current.end.is_none() {
            self.wire.below.ready(write || self.wire.holds_output()).await;
        }
    }

    /// Waits until DATA or the end is there, and leaves it there.
    pub(crate) async fn readable(&mut self) {
        while self.current.data.is_empty() && self.current.end.is_none() && !self.wire.ended {
            match self.pump(FRAME) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wire.below.ready(self.wire.holds_output()).await;
                }
                // It shows in the next read.
                Err(_) => return,
            }
        }
    }

    /// Waits until a write may do something: where the window is used up, until frames came.
    pub(crate) async fn writable(&mut self) {
        if self.wants_write(true) {
            return self.wire.below.writable().await;
        }
        self.wire.below.ready(false).await;
        // An error shows in the next write, an end of the connection in the next read.
        if self.pump(FRAME).is_ok() && self.wire.ended {
            self.current.end.get_or_insert(StreamEnd::Reset(code::CANCEL));
        }
    }

    // How it goes.

    /// END_STREAM.
    pub(crate) async fn fin(&mut self) {
        let over = matches!(self.current.end, Some(StreamEnd::Reset(_)));
        if !self.current.finished && !over {
            self.current.finished = true;
            self.wire.say(&RawFrame::new(kind::DATA, flag::END_STREAM, self.current.id, ""));
        }
        self.leaves().await;
    }

    /// RST_STREAM with CANCEL, as Chromium says it when a page goes.
    pub(crate) async fn cancel(&mut self) {
        self.current.finished = true;
        self.wire.say(&RawFrame::rst_stream(self.current.id, code::CANCEL));
        self.leaves().await;
    }

    /// What waits has left, or cannot.
    async fn leaves(&mut self) {
        while self.wire.holds_output() {
            match self.wire.push() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wire.below.writable().await;
                }
                Err(_) => return,
                Ok(()) => {}
            }
        }
    }

    /// Whether the server has reset the stream, with whatever code. What came before may still be
    /// there to read.
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self.current.end, Some(StreamEnd::Reset(_)))
    }

    /// Reads on until an RST_STREAM, an end of the connection or for ever: whether there was an
    /// RST_STREAM that is no graceful one.
    pub(crate) async fn reset_follows(&mut self) -> bool {
        loop {
            if let Some(end @ StreamEnd::Reset(_)) = self.current.end {
                return !end.is_graceful();
            }
            match self.pump(FRAME) {
                Ok(()) if self.wire.ended => return false,
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wire.below.ready(self.wire.holds_output()).await;
                }
                // The stream was over before.
                Err(_) => return false,
            }
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        self.wire.say(&RawFrame::goaway(0, code::NO_ERROR, ""));
        self.leaves().await;
        self.wire.below.fin().await;
    }
}

/// TLS failed; a server that knows none of the protocols that are offered to it says so by an alert
/// (RFC 7301 §3.2).
fn tls_error(error: io::Error) -> OpenError {
    use adieu::tls::rustls::{AlertDescription, Error};
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match tls {
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => OpenError::NoHttp2,
        _ => OpenError::Io(error),
    }
}

/// A window with so much more.
fn widened(window: i64, increment: u32) -> i64 {
    (window + i64::from(increment)).min(LARGEST_WINDOW)
}
