//! A raw server of HTTP/2: what a client's side is tested with. It says what it is told to, and
//! dies as told.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use super::frame::{Http2Frame, PREFACE, RawFrame, flag, kind, setting};
use super::hpack::{self, Fields};
use crate::DEADLINE;
use crate::frame::Frame;
use crate::peer::{Peer, TcpEnd};

/// What lies on TCP.
trait Layer: Read + Write + Send {}
impl<T: Read + Write + Send> Layer for T {}

/// A raw server of HTTP/2 with one client. Dropping it closes the socket, as the kernel does for a
/// process that exits.
///
/// It acknowledges SETTINGS and answers PING by itself, and gives back the windows of what it
/// reads. It does not count them: what it sends has to fit in those of the client.
pub struct Http2Server {
    layer: Box<dyn Layer>,
    /// The TCP connection below, for FIN and RST.
    tcp: Peer,
    buffer: Vec<u8>,
    /// Frames that came, and that nobody asked for yet.
    queue: VecDeque<Http2Frame>,
    answers_pings: bool,
}

impl std::fmt::Debug for Http2Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Server").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// The settings of a server that takes WebSockets (RFC 8441 §3).
pub const TAKES_WEBSOCKETS: (u16, u32) = (setting::ENABLE_CONNECT_PROTOCOL, 1);

impl Http2Server {
    /// Speaks over a layer that lies on TCP, such as TLS: reads the client's preface and says these
    /// settings, and that there is no dynamic table. `tcp` is a second handle of the layer's
    /// socket.
    ///
    /// # Panics
    /// If the client does not speak HTTP/2.
    #[must_use]
    pub fn over(
        layer: impl Read + Write + Send + 'static,
        tcp: TcpStream,
        settings: &[(u16, u32)],
    ) -> Self {
        let mut server = Self::silent(layer, tcp);
        server.say_settings(settings);
        server
    }

    /// The same, and says nothing: it has read the client's preface.
    ///
    /// # Panics
    /// If the client does not speak HTTP/2.
    #[must_use]
    pub fn silent(layer: impl Read + Write + Send + 'static, tcp: TcpStream) -> Self {
        let tcp = Peer::server(tcp);
        tcp.stream().set_read_timeout(Some(DEADLINE)).expect("a read time-out");
        let (buffer, queue) = (Vec::new(), VecDeque::new());
        let layer = Box::new(layer);
        let mut server = Http2Server { layer, tcp, buffer, queue, answers_pings: true };
        while server.buffer.len() < PREFACE.len() {
            server.fill().unwrap_or_else(|end| panic!("{end:?} instead of a preface"));
        }
        let preface: Vec<u8> = server.buffer.drain(..PREFACE.len()).collect();
        assert_eq!(preface, PREFACE, "the client does not speak HTTP/2");
        server
    }

    /// Says its first SETTINGS: these, and that there is no dynamic table.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn say_settings(&mut self, settings: &[(u16, u32)]) {
        let all = [settings, &[(setting::HEADER_TABLE_SIZE, 0)]].concat();
        self.send_raw(&RawFrame::settings(&all));
    }

    /// From now on it answers no PING.
    pub fn stop_answering(&mut self) {
        self.answers_pings = false;
    }

    /// Sends a frame as it is.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_raw(&mut self, frame: &RawFrame) {
        self.send_all_raw(std::slice::from_ref(frame));
    }

    /// Sends frames in one write.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_all_raw(&mut self, frames: &[RawFrame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(RawFrame::bytes).collect();
        self.layer.write_all(&bytes).expect("frames that leave");
        self.layer.flush().expect("frames that leave");
    }

    /// Sends a PING and reads until its acknowledgement: by then the client has read what was sent
    /// before. Other frames stay in the queue.
    ///
    /// # Panics
    /// If no acknowledgement comes.
    pub fn ping_and_wait(&mut self) {
        let payload = *b"are you?";
        self.send_raw(&RawFrame::new(kind::PING, 0, 0, payload));
        loop {
            match self.take_in() {
                Ok(Http2Frame::Ping { ack: true, .. }) => return,
                Ok(other) => self.queue.push_back(other),
                Err(end) => panic!("{end:?} instead of an answer to a PING"),
            }
        }
    }

    /// The next request: its stream and its fields.
    ///
    /// # Panics
    /// If none comes.
    pub fn read_request(&mut self) -> (u32, Fields) {
        loop {
            if let Http2Frame::Headers { stream, fields, .. } = self.read_frame() {
                return (stream, fields);
            }
        }
    }

    /// The next request has to be an extended CONNECT for a WebSocket: its stream, opened with a
    /// 200.
    ///
    /// # Panics
    /// If it is none.
    pub fn open_websocket(&mut self) -> u32 {
        let (stream, fields) = self.read_request();
        let is = |name: &str, value: &str| fields.iter().any(|it| it.0 == name && it.1 == value);
        assert!(is(":method", "CONNECT") && is(":protocol", "websocket"), "{fields:?}");
        self.answer(stream, 200, &[], false);
        stream
    }

    /// The head of an answer.
    #[must_use]
    pub fn head(stream: u32, status: u16, fields: &[(&str, &str)], end_stream: bool) -> RawFrame {
        let status = status.to_string();
        let all = [&[(":status", status.as_str())], fields].concat();
        let end = if end_stream { flag::END_STREAM } else { 0 };
        RawFrame::new(kind::HEADERS, flag::END_HEADERS | end, stream, hpack::encode(&all))
    }

    /// DATA.
    #[must_use]
    pub fn data(stream: u32, bytes: impl AsRef<[u8]>, end_stream: bool) -> RawFrame {
        RawFrame::new(kind::DATA, if end_stream { flag::END_STREAM } else { 0 }, stream, bytes)
    }

    /// Answers with this head.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn answer(&mut self, stream: u32, status: u16, fields: &[(&str, &str)], end_stream: bool) {
        self.send_raw(&Self::head(stream, status, fields, end_stream));
    }

    /// Sends a WebSocket frame.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_ws(&mut self, stream: u32, frame: &Frame) {
        self.send_raw(&Self::data(stream, frame.unmasked(), false));
    }

    /// The next frame of any stream, and of the connection too.
    ///
    /// # Panics
    /// If the client ends the connection without one.
    pub fn read_frame(&mut self) -> Http2Frame {
        self.try_read_frame().unwrap_or_else(|end| panic!("{end:?} instead of a frame"))
    }

    /// The same.
    ///
    /// # Errors
    /// How the client ended the connection.
    ///
    /// # Panics
    /// If what comes is no frame.
    pub fn try_read_frame(&mut self) -> Result<Http2Frame, TcpEnd> {
        if let Some(frame) = self.queue.pop_front() {
            return Ok(frame);
        }
        self.take_in()
    }

    /// The next frame of a stream that is no WINDOW_UPDATE. Others stay in the queue.
    ///
    /// # Panics
    /// If the client ends the connection without one.
    pub fn next_for(&mut self, stream: u32) -> Http2Frame {
        let wanted = |frame: &Http2Frame| {
            frame.stream() == stream && !matches!(frame, Http2Frame::WindowUpdate { .. })
        };
        if let Some(frame) = self.queue.iter().position(wanted).and_then(|at| self.queue.remove(at))
        {
            return frame;
        }
        loop {
            let frame = self.take_in().unwrap_or_else(|end| panic!("{end:?} on stream {stream}"));
            if wanted(&frame) {
                return frame;
            }
            self.queue.push_back(frame);
        }
    }

    /// The next WebSocket frame of a stream, which stands alone in its DATA frame, and whether
    /// END_STREAM was set on it.
    ///
    /// # Panics
    /// If something else comes.
    pub fn read_ws(&mut self, stream: u32) -> (Frame, bool) {
        match self.next_for(stream) {
            Http2Frame::Data { bytes, end_stream, .. } => {
                let (frame, len) = Frame::parse(&bytes).expect("a whole frame of a WebSocket");
                assert_eq!(len, bytes.len(), "one frame");
                (frame, end_stream)
            }
            other => panic!("{other:?} instead of DATA"),
        }
    }

    /// Reads until the connection ends: how, and what came before.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub fn read_to_end(&mut self) -> (Vec<Http2Frame>, TcpEnd) {
        let mut frames: Vec<_> = self.queue.drain(..).collect();
        loop {
            match self.take_in() {
                Ok(frame) => frames.push(frame),
                Err(end) => return (frames, end),
            }
        }
    }

    /// Half-closes TCP: a FIN, without a word of TLS.
    ///
    /// # Panics
    /// If it is reset already.
    pub fn fin(&mut self) {
        self.tcp.fin();
    }

    /// An RST of TCP.
    ///
    /// # Panics
    /// If the client's kernel does not hear it.
    pub fn reset(self) {
        let Http2Server { layer, tcp, .. } = self;
        drop(layer);
        tcp.reset();
    }

    /// Reads one frame, and does what has to be done about it.
    fn take_in(&mut self) -> Result<Http2Frame, TcpEnd> {
        let raw = loop {
            if let Some((frame, len)) = RawFrame::parse(&self.buffer) {
                self.buffer.drain(..len);
                break frame;
            }
            self.fill()?;
        };
        let len = u32::try_from(raw.payload.len()).unwrap_or(0);
        let frame = Http2Frame::read(raw).unwrap_or_else(|wrong| panic!("{wrong}"));
        match frame {
            Http2Frame::Settings { ack: false, .. } => {
                self.respond(&RawFrame::new(kind::SETTINGS, flag::ACK, 0, ""));
            }
            Http2Frame::Ping { ack: false, payload } if self.answers_pings => {
                self.respond(&RawFrame::new(kind::PING, flag::ACK, 0, payload));
            }
            Http2Frame::Data { stream, .. } if len > 0 => {
                self.respond(&RawFrame::window_update(0, len));
                self.respond(&RawFrame::window_update(stream, len));
            }
            _ => {}
        }
        Ok(frame)
    }

    /// To a client that may have gone.
    fn respond(&mut self, frame: &RawFrame) {
        let _ = self.layer.write_all(&frame.bytes()).and_then(|()| self.layer.flush());
    }

    fn fill(&mut self) -> Result<(), TcpEnd> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            return match self.layer.read(&mut chunk) {
                Ok(0) => Err(TcpEnd::Fin),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    Ok(())
                }
                // TLS calls a FIN so that no close_notify came before.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(TcpEnd::Fin),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => Err(TcpEnd::Reset),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => panic!("reading failed: {e}"),
            };
        }
    }
}
