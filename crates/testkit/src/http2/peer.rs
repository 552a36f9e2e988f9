//! The client's end of a connection: what it says, what it reads, its windows, and how it dies.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::frame::{GoAway, Http2Frame, PREFACE, RawFrame, flag, kind, setting};
use super::hpack;
use super::stream::{Stream, StreamEnd};
use super::window::{self, Window};
use crate::DEADLINE;
use crate::peer::{Peer, TcpEnd};

/// The largest payload of a frame where no setting says otherwise (RFC 9113 §4.2).
const DEFAULT_FRAME_SIZE: u32 = 16_384;

/// TCP, or what lies on it.
trait Layer: Read + Write + Send {}
impl<T: Read + Write + Send> Layer for T {}

/// What the client says first.
#[derive(Clone, Debug)]
pub struct Http2Builder {
    settings: Vec<(u16, u32)>,
    connection_window: u32,
    acknowledges: bool,
}

impl Default for Http2Builder {
    /// No dynamic table, no push, and the default for everything else.
    fn default() -> Self {
        let settings = vec![(setting::HEADER_TABLE_SIZE, 0), (setting::ENABLE_PUSH, 0)];
        Http2Builder { settings, connection_window: window::DEFAULT, acknowledges: true }
    }
}

impl Http2Builder {
    /// With this setting, in the place of the value that it has.
    ///
    /// # Panics
    /// If it allows a dynamic table, which the client does not have.
    #[must_use]
    pub fn setting(mut self, id: u16, value: u32) -> Self {
        assert!(id != setting::HEADER_TABLE_SIZE || value == 0, "the client has no dynamic table");
        self.settings.retain(|(other, _)| *other != id);
        self.settings.push((id, value));
        self
    }

    /// With this window for what the server sends on each stream.
    #[must_use]
    pub fn initial_window(self, size: u32) -> Self {
        self.setting(setting::INITIAL_WINDOW_SIZE, size)
    }

    /// With this window for what the server sends on all streams together.
    ///
    /// # Panics
    /// If it is less than 65535: such a window cannot be asked for.
    #[must_use]
    pub fn connection_window(mut self, size: u32) -> Self {
        assert!(size >= window::DEFAULT, "the window of a connection starts with 65535");
        self.connection_window = size;
        self
    }

    /// Never acknowledges SETTINGS.
    #[must_use]
    pub fn without_settings_ack(mut self) -> Self {
        self.acknowledges = false;
        self
    }

    /// Connects over TCP with prior knowledge (RFC 9113 §3.3).
    ///
    /// # Panics
    /// If nobody listens, or if the other side does not speak HTTP/2.
    #[must_use]
    pub fn connect(&self, addr: SocketAddr) -> Http2Peer {
        let mut peer = Http2Peer::silent(addr);
        peer.handshake(self);
        peer
    }

    /// Speaks over a layer that lies on TCP, such as TLS: see [`Http2Peer::over`].
    ///
    /// # Panics
    /// If the other side does not speak HTTP/2.
    #[must_use]
    pub fn over(&self, layer: impl Read + Write + Send + 'static, tcp: TcpStream) -> Http2Peer {
        let mut peer = Http2Peer::over(layer, tcp);
        peer.handshake(self);
        peer
    }
}

/// The settings of the server: the values that it sent, and the default for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL is 1: the server accepts extended CONNECT.
    pub enable_connect_protocol: bool,
    /// SETTINGS_MAX_CONCURRENT_STREAMS, if the server sets a limit.
    pub max_concurrent_streams: Option<u32>,
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    pub initial_window_size: u32,
    /// SETTINGS_MAX_FRAME_SIZE.
    pub max_frame_size: u32,
    /// SETTINGS_HEADER_TABLE_SIZE. The client uses no dynamic table anyway.
    pub header_table_size: u32,
    /// SETTINGS_MAX_HEADER_LIST_SIZE, if the server sets a limit.
    pub max_header_list_size: Option<u32>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            enable_connect_protocol: false,
            max_concurrent_streams: None,
            initial_window_size: window::DEFAULT,
            max_frame_size: DEFAULT_FRAME_SIZE,
            header_table_size: 4096,
            max_header_list_size: None,
        }
    }
}

impl ServerSettings {
    /// Takes over one setting; panics if no server may send it.
    fn set(&mut self, id: u16, value: u32) {
        let allowed = match id {
            setting::ENABLE_PUSH => value == 0,
            setting::INITIAL_WINDOW_SIZE => i64::from(value) <= window::LARGEST,
            setting::MAX_FRAME_SIZE => (DEFAULT_FRAME_SIZE..1 << 24).contains(&value),
            // It cannot be taken back (RFC 8441 §3).
            setting::ENABLE_CONNECT_PROTOCOL => {
                value == 1 || value == 0 && !self.enable_connect_protocol
            }
            _ => true,
        };
        assert!(allowed, "the server sent a setting that is not allowed: {id:#x} = {value}");
        match id {
            setting::HEADER_TABLE_SIZE => self.header_table_size = value,
            setting::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = Some(value),
            setting::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            setting::MAX_FRAME_SIZE => self.max_frame_size = value,
            setting::MAX_HEADER_LIST_SIZE => self.max_header_list_size = Some(value),
            setting::ENABLE_CONNECT_PROTOCOL => self.enable_connect_protocol = value == 1,
            _ => {}
        }
    }
}

/// SETTINGS of ours that the server has not acknowledged yet.
#[derive(Debug)]
struct SentSettings {
    /// By how much they change the windows of the streams that were open then.
    window_change: i64,
    /// The last of those streams.
    last_stream: u32,
    max_frame_size: u32,
}

/// Everything that came before the end of the connection, and the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Rest {
    /// The frames that had not been read.
    pub frames: Vec<Http2Frame>,
    /// What came of a frame that is not whole.
    pub cut: Vec<u8>,
    /// How the server ended the connection.
    pub end: TcpEnd,
}

/// A raw client of HTTP/2. Dropping it closes the socket, as the kernel does for a process that
/// exits.
///
/// It counts its windows by the frames that it sends ([`send_bytes`](Http2Peer::send_bytes) is
/// not counted). Whatever it reads, it takes in what concerns the connection: SETTINGS, PING,
/// GOAWAY and WINDOW_UPDATE have their effect as soon as they are read, even if the test asks
/// for another frame first. It panics if the server breaks the rules of flow control or sends
/// frames on a stream that it has ended.
pub struct Http2Peer {
    layer: Box<dyn Layer>,
    /// The TCP connection below, for deadlines, FIN and RST.
    tcp: Peer,
    pub(super) scheme: &'static str,
    deadline: Duration,
    /// Came, and is no whole frame yet.
    buffer: Vec<u8>,
    /// Frames that came, and that nobody asked for yet.
    pub(super) queue: VecDeque<Http2Frame>,
    /// How the server ended the connection.
    ended: Option<TcpEnd>,
    /// What is to be written at once.
    joined: Option<Vec<u8>>,
    pub(super) settings: ServerSettings,
    pub(super) goaway: Option<GoAway>,
    sent_settings: VecDeque<SentSettings>,
    acknowledges: bool,
    answers_pings: bool,
    connection: Window,
    pub(super) streams: BTreeMap<u32, Stream>,
    next_stream: u32,
    /// For what the server sends on new streams.
    initial_window: u32,
    /// Of frames that the server sends.
    max_frame_size: u32,
    holds_window: bool,
    ignores_windows: bool,
    pings: u64,
}

impl std::fmt::Debug for Http2Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Peer").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Http2Peer {
    /// Connects over TCP with prior knowledge (RFC 9113 §3.3): sends the preface and SETTINGS,
    /// reads those of the server, acknowledges them and waits for the server's
    /// acknowledgement.
    ///
    /// # Panics
    /// If nobody listens, or if the other side does not speak HTTP/2.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::builder().connect(addr)
    }

    /// For a client with other settings.
    #[must_use]
    pub fn builder() -> Http2Builder {
        Http2Builder::default()
    }

    /// Connects over TCP and says nothing, not even the preface.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn silent(addr: SocketAddr) -> Self {
        Self::from_peer(Peer::connect(addr))
    }

    /// Goes on with a connection that a [`Peer`] opened, and says nothing yet.
    ///
    /// # Panics
    /// If no descriptor is free.
    #[must_use]
    pub fn from_peer(mut tcp: Peer) -> Self {
        let layer = tcp.stream().try_clone().expect("a free descriptor");
        let buffer = tcp.take_buffer();
        let mut peer = Self::new(Box::new(layer), tcp);
        (peer.buffer, peer.scheme) = (buffer, "http");
        peer
    }

    /// Speaks over a layer that lies on TCP, such as a stream of TLS, and says nothing yet.
    /// `tcp` is a second handle of the socket that the layer uses ([`TcpStream::try_clone`]):
    /// deadlines, FIN and RST act on it. An RST needs that no third handle is left.
    ///
    /// # Panics
    /// If the socket is not connected.
    #[must_use]
    pub fn over(layer: impl Read + Write + Send + 'static, tcp: TcpStream) -> Self {
        Self::new(Box::new(layer), Peer::client(tcp))
    }

    fn new(layer: Box<dyn Layer>, tcp: Peer) -> Self {
        Http2Peer {
            layer,
            tcp,
            scheme: "https",
            deadline: DEADLINE,
            buffer: Vec::new(),
            queue: VecDeque::new(),
            ended: None,
            joined: None,
            settings: ServerSettings::default(),
            goaway: None,
            sent_settings: VecDeque::new(),
            acknowledges: true,
            answers_pings: true,
            connection: Window::new(window::DEFAULT, window::DEFAULT),
            streams: BTreeMap::new(),
            next_stream: 1,
            initial_window: window::DEFAULT,
            max_frame_size: DEFAULT_FRAME_SIZE,
            holds_window: false,
            ignores_windows: false,
            pings: 0,
        }
    }

    /// Sends the preface and SETTINGS, reads those of the server, acknowledges them and waits
    /// for the server's acknowledgement.
    ///
    /// # Panics
    /// If the other side does not speak HTTP/2.
    pub fn handshake(&mut self, builder: &Http2Builder) {
        self.acknowledges = builder.acknowledges;
        self.together(|peer| {
            peer.send_bytes(PREFACE);
            peer.send_raw(&RawFrame::settings(&builder.settings));
            if builder.connection_window > window::DEFAULT {
                peer.give_window(0, builder.connection_window - window::DEFAULT);
            }
        });
        let started = Instant::now();
        let mut first = true;
        while !self.sent_settings.is_empty() {
            if let Err(end) = self.take_in(started) {
                panic!("{end:?} before SETTINGS were acknowledged, after {}", self.shown());
            }
            let settings =
                matches!(self.queue.back(), Some(Http2Frame::Settings { ack: false, .. }));
            assert!(settings || !first, "no SETTINGS at first, but {}", self.shown());
            first = false;
        }
        self.queue.retain(|frame| !matches!(frame, Http2Frame::Settings { .. }));
    }

    /// The same with another deadline for each wait.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
        self.tcp.set_deadline(deadline);
    }

    /// The TCP connection below, to ask the kernel about it.
    #[must_use]
    pub fn tcp(&self) -> &Peer {
        &self.tcp
    }

    /// The settings of the server, as far as they have been read.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The last GOAWAY of the server, if one has been read.
    #[must_use]
    pub fn goaway(&self) -> Option<&GoAway> {
        self.goaway.as_ref()
    }

    // What it says.

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(joined) = &mut self.joined {
            joined.extend_from_slice(bytes);
            return Ok(());
        }
        self.layer.write_all(bytes)?;
        self.layer.flush()
    }

    /// Writes raw bytes. They are not counted in the windows.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).expect("bytes that leave");
    }

    /// Sends a frame as it is, allowed or not, and whatever the windows are.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_raw(&mut self, frame: &RawFrame) {
        self.try_send_raw(frame).expect("a frame that leaves");
    }

    /// Sends a frame to a server that may have gone; whether it left.
    pub(super) fn try_send_raw(&mut self, frame: &RawFrame) -> io::Result<()> {
        self.note_sent(frame);
        self.try_write(&frame.bytes())
    }

    /// Sends a frame of any type, flags and stream.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) {
        self.send_raw(&RawFrame::new(kind, flags, stream, payload));
    }

    /// Everything that `say` sends leaves in one write: in one segment, if it fits there. Nothing
    /// can be read meanwhile.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn together<R>(&mut self, say: impl FnOnce(&mut Self) -> R) -> R {
        if self.joined.is_some() {
            return say(self);
        }
        self.joined = Some(Vec::new());
        let result = say(self);
        let bytes = self.joined.take().unwrap_or_default();
        self.send_bytes(bytes);
        result
    }

    /// The same, and the last segment carries a FIN: the server hears of both at once.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn together_with_fin(&mut self, say: impl FnOnce(&mut Self)) {
        SockRef::from(self.tcp.stream()).set_tcp_cork(true).expect("TCP_CORK");
        self.together(say);
        self.tcp.fin();
    }

    /// Sends SETTINGS. For what the server sends, they hold from its acknowledgement on.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_settings(&mut self, settings: &[(u16, u32)]) {
        self.send_raw(&RawFrame::settings(settings));
    }

    /// Sends a PING and reads until its acknowledgement, which is not kept. What the server sent
    /// before that is in the queue then: a test need not wait to see that nothing came.
    ///
    /// # Panics
    /// If no acknowledgement comes.
    pub fn ping_and_wait(&mut self) {
        self.pings += 1;
        let payload = self.pings.to_be_bytes();
        self.send_frame(kind::PING, 0, 0, payload);
        let started = Instant::now();
        loop {
            if let Err(end) = self.take_in(started) {
                panic!("{end:?} instead of an answer to a PING, after {}", self.shown());
            }
            if self.queue.back() == Some(&Http2Frame::Ping { ack: true, payload }) {
                self.queue.pop_back();
                return;
            }
        }
    }

    /// From now on it answers neither SETTINGS nor PING by itself.
    pub fn stop_answering(&mut self) {
        (self.acknowledges, self.answers_pings) = (false, false);
    }

    /// A number for a new stream.
    pub fn new_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Sends HEADERS, with CONTINUATION frames if one frame is not enough.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_headers<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        stream: u32,
        fields: &[(N, V)],
        end_stream: bool,
    ) {
        let largest = self.settings.max_frame_size as usize;
        self.send_field_block(stream, &hpack::encode(fields), end_stream, largest);
    }

    /// Sends a field block, cut into pieces of so many bytes: HEADERS, then CONTINUATION frames,
    /// in one write.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_field_block(&mut self, stream: u32, block: &[u8], end_stream: bool, piece: usize) {
        let end = if end_stream { flag::END_STREAM } else { 0 };
        let pieces: Vec<&[u8]> = block.chunks(piece).collect();
        let last = pieces.len().saturating_sub(1);
        self.together(|peer| {
            if pieces.is_empty() {
                peer.send_frame(kind::HEADERS, flag::END_HEADERS | end, stream, "");
            }
            for (i, piece) in pieces.into_iter().enumerate() {
                let (kind, end) =
                    if i == 0 { (kind::HEADERS, end) } else { (kind::CONTINUATION, 0) };
                let whole = if i == last { flag::END_HEADERS } else { 0 };
                peer.send_frame(kind, end | whole, stream, piece);
            }
        });
    }

    /// Sends DATA: as many frames as the windows and the server's largest frame demand, one if
    /// they allow it. Where a window is exhausted, it reads until the server has given more.
    ///
    /// # Panics
    /// If the stream ends before, or in [`together`](Http2Peer::together) if it would have to
    /// wait.
    pub fn send_data(&mut self, stream: u32, bytes: impl AsRef<[u8]>, end_stream: bool) {
        self.try_send_data(stream, bytes, end_stream)
            .unwrap_or_else(|end| panic!("{end:?} before all data was sent on stream {stream}"));
    }

    /// The same on a stream that the server may end before.
    ///
    /// # Errors
    /// How it ended while there was no window.
    ///
    /// # Panics
    /// In [`together`](Http2Peer::together) if it would have to wait.
    pub fn try_send_data(
        &mut self,
        stream: u32,
        bytes: impl AsRef<[u8]>,
        end_stream: bool,
    ) -> Result<(), StreamEnd> {
        let started = Instant::now();
        let mut rest = bytes.as_ref();
        loop {
            let window = if self.ignores_windows { i64::MAX } else { self.send_window(stream) };
            let most = usize::try_from(window.max(0)).unwrap_or(usize::MAX);
            let len = rest.len().min(most).min(self.settings.max_frame_size as usize);
            let last = len == rest.len();
            if last || len > 0 {
                let flags = if last && end_stream { flag::END_STREAM } else { 0 };
                let frame = RawFrame::new(kind::DATA, flags, stream, &rest[..len]);
                if self.try_send_raw(&frame).is_err() {
                    return Err(StreamEnd::Connection(TcpEnd::Reset));
                }
                rest = &rest[len..];
            }
            if last {
                return Ok(());
            }
            if len == 0 {
                if let Some(end) = self.why_no_window_comes(stream) {
                    return Err(end);
                }
                self.take_in(started).map_err(StreamEnd::Connection)?;
            }
        }
    }

    fn why_no_window_comes(&self, stream: u32) -> Option<StreamEnd> {
        let reset = self.streams.get(&stream).and_then(|stream| stream.reset);
        reset.map(StreamEnd::Reset).or_else(|| self.not_processed(stream))
    }

    // What it reads.

    /// Reads once more into the buffer.
    fn fill(&mut self, started: Instant) -> Result<(), TcpEnd> {
        let left = self.deadline.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { panic!("nothing more came, after {}", self.shown()) };
        self.tcp.stream().set_read_timeout(Some(left)).expect("a read time-out");
        let mut chunk = vec![0; 64 * 1024];
        match self.layer.read(&mut chunk) {
            Ok(0) => Err(TcpEnd::Fin),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            // TLS calls a FIN so that no close_notify came before.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(TcpEnd::Fin),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Err(TcpEnd::Reset),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut => {
                panic!("nothing more came within {:?}, after {}", self.deadline, self.shown())
            }
            Err(e) => panic!("reading failed: {e}"),
        }
    }

    /// What came last, for a message.
    pub(super) fn shown(&self) -> String {
        let skipped = self.queue.len().saturating_sub(10);
        let frames: Vec<_> = self.queue.iter().skip(skipped).collect();
        let bytes = &self.buffer[..self.buffer.len().min(200)];
        format!("the frames {frames:?} and the bytes {:?}", String::from_utf8_lossy(bytes))
    }

    /// The next frame as it lies on the wire.
    fn raw_frame(&mut self, started: Instant) -> Result<RawFrame, TcpEnd> {
        loop {
            if let Some(len) = RawFrame::claimed_len(&self.buffer) {
                let allowed = len <= self.max_frame_size as usize;
                assert!(allowed, "a frame of {len} bytes is too long, after {}", self.shown());
            }
            if let Some((frame, len)) = RawFrame::parse(&self.buffer) {
                self.buffer.drain(..len);
                return Ok(frame);
            }
            self.fill(started)?;
        }
    }

    /// The same with the CONTINUATION frames that belong to it.
    fn whole_frame(&mut self, started: Instant) -> Result<RawFrame, TcpEnd> {
        let mut frame = self.raw_frame(started)?;
        assert!(frame.kind != kind::CONTINUATION, "the server sent a CONTINUATION of nothing");
        if frame.kind != kind::HEADERS || frame.has(flag::END_HEADERS) {
            return Ok(frame);
        }
        frame.payload = frame.content().unwrap_or_else(|wrong| panic!("{wrong}")).to_vec();
        frame.flags &= flag::END_STREAM;
        loop {
            let next = self.raw_frame(started)?;
            let follows = next.kind == kind::CONTINUATION && next.stream == frame.stream;
            assert!(follows, "{next:?} came in the middle of a field block");
            frame.payload.extend_from_slice(&next.payload);
            if next.has(flag::END_HEADERS) {
                return Ok(frame);
            }
        }
    }

    /// Reads one frame from the wire, lets it have its effect, and puts it into the queue.
    pub(super) fn take_in(&mut self, started: Instant) -> Result<(), TcpEnd> {
        assert!(self.joined.is_none(), "nothing can be read while `together` collects");
        if let Some(end) = self.ended {
            return Err(end);
        }
        let raw = self.whole_frame(started).inspect_err(|end| self.ended = Some(*end))?;
        // Padding counts as well.
        let len = raw.payload.len();
        let frame = Http2Frame::read(raw).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.arrived(&frame, len);
        self.queue.push_back(frame);
        Ok(())
    }

    /// The next frame in the order of arrival, or how the server ended the connection instead.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_read_frame(&mut self) -> Result<Http2Frame, TcpEnd> {
        let started = Instant::now();
        loop {
            if let Some(frame) = self.queue.pop_front() {
                return Ok(frame);
            }
            self.take_in(started)?;
        }
    }

    /// The next frame in the order of arrival: of any stream, and of the connection too.
    ///
    /// # Panics
    /// If the server ends the connection without one.
    pub fn read_frame(&mut self) -> Http2Frame {
        self.try_read_frame()
            .unwrap_or_else(|end| panic!("{end:?} instead of a frame, after {}", self.shown()))
    }

    /// The next frame of a stream, or of the connection (0), that is no WINDOW_UPDATE; or how the
    /// stream ended without one. All other frames stay in the queue. What is read here of a
    /// stream, [`read_ws`](Http2Peer::read_ws) and the like do not see any more.
    ///
    /// # Errors
    /// [`StreamEnd::GoAway`] or [`StreamEnd::Connection`]; the other ends of a stream are frames.
    pub fn try_next_for(&mut self, stream: u32) -> Result<Http2Frame, StreamEnd> {
        let wanted = |frame: &Http2Frame| {
            frame.stream() == stream && !matches!(frame, Http2Frame::WindowUpdate { .. })
        };
        if let Some(frame) =
            self.queue.iter().position(wanted).and_then(|place| self.queue.remove(place))
        {
            return Ok(frame);
        }
        let started = Instant::now();
        loop {
            if let Some(end) = self.not_processed(stream) {
                return Err(end);
            }
            self.take_in(started).map_err(StreamEnd::Connection)?;
            if self.queue.back().is_some_and(wanted) {
                return Ok(self.queue.pop_back().expect("the frame that came last"));
            }
        }
    }

    /// The same.
    ///
    /// # Panics
    /// If the stream ends without one.
    pub fn next_for(&mut self, stream: u32) -> Http2Frame {
        self.try_next_for(stream).unwrap_or_else(|end| {
            panic!("{end:?} instead of a frame of stream {stream}, after {}", self.shown())
        })
    }

    /// The frames that have been read from the wire while the test asked for others, in the order
    /// of their arrival.
    pub fn queued(&self) -> impl Iterator<Item = &Http2Frame> {
        self.queue.iter()
    }

    /// Reads frames into the queue until a condition holds, and takes none out of it: a test can
    /// wait for an exhausted window, say, and read the data afterwards.
    ///
    /// # Panics
    /// If the server ends the connection before, or if the condition does not hold within the
    /// deadline.
    pub fn read_until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            if let Err(end) = self.take_in(started) {
                panic!("{end:?} before this: {what}; after {}", self.shown());
            }
        }
    }

    /// Everything up to the end of the connection, and which end it was.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub fn read_to_end(&mut self) -> Http2Rest {
        let started = Instant::now();
        loop {
            if let Err(end) = self.take_in(started) {
                let (frames, cut) = (self.queue.drain(..).collect(), self.buffer.clone());
                return Http2Rest { frames, cut, end };
            }
        }
    }

    /// The server has said that it does not process this stream.
    fn not_processed(&self, stream: u32) -> Option<StreamEnd> {
        let goaway = self.goaway.as_ref().filter(|goaway| stream > goaway.last)?;
        Some(StreamEnd::GoAway { last: goaway.last, code: goaway.code })
    }

    // Windows.

    /// How much may be sent on a stream: the smaller one of its window and the connection's
    /// (stream 0: the connection's). It may be less than zero.
    #[must_use]
    pub fn send_window(&self, stream: u32) -> i64 {
        let initial = i64::from(self.settings.initial_window_size);
        let of_stream = match stream {
            0 => i64::MAX,
            _ => self.streams.get(&stream).map_or(initial, |stream| stream.window.send),
        };
        of_stream.min(self.connection.send)
    }

    /// From now on it sends as if all windows were endless. It still counts them.
    pub fn ignore_windows(&mut self) {
        self.ignores_windows = true;
    }

    /// How much the server may still send on a stream, by that stream's own window (stream 0: by
    /// the connection's).
    #[must_use]
    pub fn receive_window(&self, stream: u32) -> i64 {
        match stream {
            0 => self.connection.receive,
            _ => {
                let initial = i64::from(self.initial_window);
                self.streams.get(&stream).map_or(initial, |stream| stream.window.receive)
            }
        }
    }

    /// From now on it gives no window back by itself, neither for the connection nor for any
    /// stream: what the server sends exhausts its windows.
    pub fn hold_window(&mut self) {
        self.holds_window = true;
    }

    /// The same for one stream only (0: for the connection only).
    pub fn hold_window_of(&mut self, stream: u32) {
        match stream {
            0 => self.connection.held = true,
            _ => self.stream(stream).window.held = true,
        }
    }

    /// Gives the server so much more window for a stream (0: for the connection).
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn give_window(&mut self, stream: u32, increment: u32) {
        self.send_raw(&RawFrame::window_update(stream, increment));
    }

    /// Gives everything back that was held, and holds nothing any more.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn release_window(&mut self) {
        (self.holds_window, self.connection.held) = (false, false);
        self.streams.values_mut().for_each(|stream| stream.window.held = false);
        let open = self.streams.iter().filter(|(_, stream)| !stream.over());
        let of_streams = open.map(|(&id, stream)| (id, stream.window.taken));
        let taken: Vec<_> = [(0, self.connection.taken)].into_iter().chain(of_streams).collect();
        self.together(|peer| {
            for (stream, taken) in taken {
                if taken > 0 {
                    peer.give_window(stream, taken);
                }
            }
        });
    }

    pub(super) fn stream(&mut self, stream: u32) -> &mut Stream {
        let (send, receive) = (self.settings.initial_window_size, self.initial_window);
        self.streams.entry(stream).or_insert_with(|| Stream::new(Window::new(send, receive)))
    }

    /// What a frame of ours changes.
    fn note_sent(&mut self, frame: &RawFrame) {
        let stream = frame.stream;
        match frame.kind {
            kind::DATA if stream != 0 => {
                self.connection.sent(frame.payload.len());
                self.stream(stream).window.sent(frame.payload.len());
            }
            kind::HEADERS if stream != 0 => {
                self.stream(stream);
                if stream % 2 == 1 && stream >= self.next_stream {
                    self.next_stream = stream + 2;
                }
            }
            kind::RST_STREAM if stream != 0 => self.stream(stream).cancelled = true,
            kind::SETTINGS if !frame.has(flag::ACK) => {
                if let Ok(Http2Frame::Settings { settings, .. }) = Http2Frame::read(frame.clone()) {
                    self.note_settings(&settings);
                }
            }
            kind::WINDOW_UPDATE => {
                if let Ok(Http2Frame::WindowUpdate { increment, .. }) =
                    Http2Frame::read(frame.clone())
                {
                    match stream {
                        0 => self.connection.gave(increment),
                        _ => self.stream(stream).window.gave(increment),
                    }
                }
            }
            _ => {}
        }
    }

    fn note_settings(&mut self, settings: &[(u16, u32)]) {
        let (window, mut max_frame_size) = (self.initial_window, self.max_frame_size);
        for &(id, value) in settings {
            match id {
                setting::INITIAL_WINDOW_SIZE => self.initial_window = value,
                setting::MAX_FRAME_SIZE => max_frame_size = value,
                _ => {}
            }
        }
        // The server may use a larger size at once, and a smaller one from its ACK on.
        self.max_frame_size = self.max_frame_size.max(max_frame_size);
        let window_change = i64::from(self.initial_window) - i64::from(window);
        let last_stream = self.streams.keys().next_back().copied().unwrap_or(0);
        self.sent_settings.push_back(SentSettings { window_change, last_stream, max_frame_size });
    }

    /// What a frame of the server changes, and what it is answered with.
    fn arrived(&mut self, frame: &Http2Frame, len: usize) {
        match *frame {
            Http2Frame::Data { stream, end_stream, .. } => {
                self.on_stream(frame, end_stream);
                self.count(stream, len, end_stream);
            }
            Http2Frame::Headers { end_stream, .. } => self.on_stream(frame, end_stream),
            Http2Frame::RstStream { stream, code } => {
                let stream = self.stream(stream);
                (stream.reset, stream.server_ended) = (Some(code), true);
            }
            Http2Frame::Settings { ack: true, .. } => {
                if let Some(sent) = self.sent_settings.pop_front() {
                    self.max_frame_size = sent.max_frame_size;
                    for (_, stream) in self.streams.range_mut(..=sent.last_stream) {
                        stream.window.receive += sent.window_change;
                    }
                }
            }
            Http2Frame::Settings { ref settings, .. } => {
                let before = i64::from(self.settings.initial_window_size);
                settings.iter().for_each(|&(id, value)| self.settings.set(id, value));
                let change = i64::from(self.settings.initial_window_size) - before;
                self.streams.values_mut().for_each(|stream| stream.window.send += change);
                if self.acknowledges {
                    self.answer(&RawFrame::new(kind::SETTINGS, flag::ACK, 0, ""));
                }
            }
            Http2Frame::Ping { ack: false, payload } if self.answers_pings => {
                self.answer(&RawFrame::new(kind::PING, flag::ACK, 0, payload));
            }
            Http2Frame::GoAway(ref goaway) => self.goaway = Some(goaway.clone()),
            Http2Frame::WindowUpdate { stream, increment } => {
                assert!(increment > 0, "the server gave a window of 0 for stream {stream}");
                let window = match stream {
                    0 => &mut self.connection,
                    _ => &mut self.stream(stream).window,
                };
                window.send += i64::from(increment);
                let small = window.send <= window::LARGEST;
                assert!(small, "the server gave stream {stream} a window that is too large");
            }
            Http2Frame::Ping { .. } | Http2Frame::Unknown(_) => {}
        }
    }

    /// DATA or HEADERS came.
    fn on_stream(&mut self, frame: &Http2Frame, end_stream: bool) {
        let stream = self.stream(frame.stream());
        assert!(!stream.server_ended, "the server ended the stream before it sent {frame:?}");
        stream.server_ended = end_stream;
    }

    /// Counts data that came, and gives window back where half of it is used up.
    fn count(&mut self, stream: u32, len: usize, end_stream: bool) {
        let allowed = self.connection.came(len);
        assert!(allowed, "the server sent more than the window of the connection allowed");
        let allowed = self.stream(stream).window.came(len);
        assert!(allowed, "the server sent more than the window of stream {stream} allowed");
        if self.holds_window {
            return;
        }
        let of_stream = self.stream(stream);
        let open = !end_stream && !of_stream.over();
        let of_stream = if open { of_stream.window.due() } else { 0 };
        for (stream, due) in [(0, self.connection.due()), (stream, of_stream)] {
            if due > 0 {
                self.answer(&RawFrame::window_update(stream, due));
            }
        }
    }

    /// Sends what the peer sends by itself. The server may have gone: the test that reads on will
    /// see that.
    fn answer(&mut self, frame: &RawFrame) {
        let _ = self.try_send_raw(frame);
    }

    // How it dies. Silence is to do nothing; a stall is not to read.

    /// RST_STREAM: ends one stream.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn reset_stream(&mut self, stream: u32, code: u32) {
        self.send_raw(&RawFrame::rst_stream(stream, code));
    }

    /// GOAWAY. `last` is the last stream of the server that was processed: 0, as there is no push.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send_goaway(&mut self, last: u32, code: u32, debug: impl AsRef<[u8]>) {
        self.send_raw(&RawFrame::goaway(last, code, debug));
    }

    /// Half-closes the TCP connection: a FIN, and reading goes on. TLS says no goodbye of its own.
    ///
    /// # Panics
    /// If it is reset already.
    pub fn fin(&mut self) {
        self.tcp.fin();
    }

    /// The same, and returns when the other end's kernel has the FIN (or is ending as well).
    ///
    /// # Panics
    /// If the other end's kernel does not hear it.
    pub fn fin_and_wait(&mut self) {
        self.tcp.fin_and_wait();
    }

    /// Closes as a process that exits: a FIN, or an RST if something came that was not read.
    pub fn close(self) {
        drop(self);
    }

    /// An RST of TCP. Returns when the other end's kernel has it.
    ///
    /// # Panics
    /// If the other end's kernel does not hear it.
    pub fn reset(self) {
        let Http2Peer { layer, tcp, .. } = self;
        drop(layer);
        tcp.reset();
    }

    /// An RST of TCP, and no wait for its arrival: for many in a row.
    ///
    /// # Panics
    /// If the kernel does not take the wish.
    pub fn abort(self) {
        let Http2Peer { layer, tcp, .. } = self;
        drop(layer);
        tcp.abort();
    }
}
