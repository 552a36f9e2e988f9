//! The client's end of a connection, and how it dies.

mod read;
mod send;
mod windows;

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
