//! One TLS connection of the generator and its WebSockets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use adieu::tls::rustls::{ClientConfig, ClientConnection};

use super::framing::{self, Frame};
use super::{Message, Over};
use crate::frames;
use crate::load::dial::{PATIENCE, head_end, wrong};
use crate::load::echo::compare;

/// The windows of Chromium: what it takes on a stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 6 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 15 * 1024 * 1024;

/// The window of a connection before anything is said (RFC 9113 §6.9.2).
const DEFAULT_WINDOW: u32 = 65_535;

/// The largest payload of a frame, which browsers do not exceed.
const FRAME: usize = 16_384;

/// Bytes that are not encrypted yet; more are written when these have left.
const OUTPUT: usize = 256 * 1024;

/// Read at once.
const CHUNK: usize = 256 * 1024;

/// One connection.
pub(super) struct Connection {
    tcp: TcpStream,
    tls: ClientConnection,
    over: Over,
    sockets: Vec<Socket>,
    /// Came, and is no whole frame of HTTP/2 yet.
    input: Vec<u8>,
    /// Is to be encrypted.
    output: Vec<u8>,
    /// What may be sent on all streams.
    window: i64,
    /// Sockets that owe bytes, each once.
    owing: VecDeque<usize>,
    /// Came on all streams and was not given back.
    taken: u32,
    chunk: Vec<u8>,
    pub(super) verify: bool,
}

/// One WebSocket.
struct Socket {
    stream: u32,
    /// What may be sent on its stream.
    window: i64,
    /// Bytes to be sent, and where in a message they begin.
    owed: usize,
    position: usize,
    /// Bytes of the answer that is arriving that are here.
    arrived: usize,
    taken: u32,
    is_open: bool,
    /// It stands in `owing`.
    waits: bool,
}

impl Connection {
    /// Opens a connection with so many WebSockets.
    pub(super) fn open(
        port: u16,
        config: Arc<ClientConfig>,
        over: Over,
        sockets: usize,
    ) -> io::Result<Self> {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = "127.0.0.1".try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let socket = |n: usize| Socket {
            stream: 2 * n as u32 + 1,
            window: if over == Over::Http1 { i64::MAX } else { DEFAULT_WINDOW.into() },
            owed: 0,
            position: 0,
            arrived: 0,
            taken: 0,
            is_open: false,
            waits: false,
        };
        let mut connection = Connection {
            tcp,
            tls,
            over,
            sockets: (0..sockets).map(socket).collect(),
            input: Vec::new(),
            output: Vec::new(),
            window: if over == Over::Http1 { i64::MAX } else { DEFAULT_WINDOW.into() },
            owing: VecDeque::new(),
            taken: 0,
            chunk: vec![0; CHUNK],
            verify: true,
        };
        while connection.tls.is_handshaking() {
            connection.tls.complete_io(&mut connection.tcp)?;
        }
        match over {
            Over::Http1 => connection.upgrade()?,
            Over::Http2 => connection.connect(port)?,
        }
        connection.tcp.set_nonblocking(true)?;
        Ok(connection)
    }

    /// The opening handshake of HTTP/1.1.
    fn upgrade(&mut self) -> io::Result<()> {
        self.output = frames::upgrade_request();
        self.encrypt()?;
        while head_end(&self.input).is_none() {
            self.read()?;
        }
        let head = String::from_utf8_lossy(&self.input).into_owned();
        self.input.clear();
        let accept = frames::expected_accept();
        let right = head.starts_with("HTTP/1.1 101")
            && frames::field(&head, "sec-websocket-accept") == Some(&*accept);
        if right { Ok(()) } else { Err(wrong(format!("not the answer to an upgrade: {head}"))) }
    }

    /// SETTINGS, and an extended CONNECT for each socket.
    fn connect(&mut self, port: u16) -> io::Result<()> {
        let mut settings = Vec::new();
        let ours = [(framing::HEADER_TABLE_SIZE, 0), (framing::INITIAL_WINDOW_SIZE, STREAM_WINDOW)];
        for (id, value) in ours {
            settings.extend(id.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        self.output.extend_from_slice(framing::PREFACE);
        framing::frame(&mut self.output, framing::SETTINGS, 0, 0, &settings);
        self.give(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
        let fields = framing::connect_fields(&format!("127.0.0.1:{port}"));
        self.encrypt()?;
        // The server's SETTINGS have to say first that it takes them.
        let mut asked = false;
        while !self.sockets.iter().all(|socket| socket.is_open) {
            self.read()?;
            let served = self.take_in(None, &mut Vec::new())?;
            if served && !asked {
                asked = true;
                for socket in &self.sockets {
                    let (kind, flags) = (framing::HEADERS, framing::END_HEADERS);
                    framing::frame(&mut self.output, kind, flags, socket.stream, &fields);
                }
            }
            self.encrypt()?;
        }
        Ok(())
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(super) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    // Out.

    /// A socket is to send so many messages more.
    pub(super) fn owe(&mut self, socket: usize, messages: usize, message: &Message) {
        let it = &mut self.sockets[socket];
        it.owed += messages * message.sent.len();
        if !it.waits {
            it.waits = true;
            self.owing.push_back(socket);
        }
    }

    /// Whether the socket of TCP took not all.
    pub(super) fn is_stuck(&self) -> bool {
        self.tls.wants_write()
    }

    /// Writes what is owed, as far as windows and TCP allow.
    pub(super) fn flush(&mut self, message: &Message) -> io::Result<()> {
        loop {
            let moved = self.fill(message);
            self.encrypt()?;
            if !moved || self.is_stuck() {
                return Ok(());
            }
        }
    }

    /// Puts what is owed into the output; whether anything was.
    fn fill(&mut self, message: &Message) -> bool {
        let mut moved = !self.output.is_empty();
        // Each socket that waits has its turn once; one without a window waits on.
        for _ in 0..self.owing.len() {
            if self.output.len() >= OUTPUT || self.window <= 0 {
                break;
            }
            let Some(at) = self.owing.pop_front() else { break };
            moved |= self.fill_from(at, message);
            let socket = &mut self.sockets[at];
            socket.waits = socket.owed > 0;
            if socket.waits {
                self.owing.push_back(at);
            }
        }
        moved
    }

    /// The messages of one socket, each in a DATA of its own, or in two.
    fn fill_from(&mut self, at: usize, message: &Message) -> bool {
        let socket = &mut self.sockets[at];
        let mut moved = false;
        while socket.owed > 0 && self.output.len() < OUTPUT {
            let left = message.sent.len() - socket.position;
            let mut n = left.min(socket.owed);
            if self.over == Over::Http2 {
                let window = self.window.min(socket.window).max(0) as usize;
                n = n.min(FRAME).min(window);
                if n == 0 {
                    break;
                }
                framing::header(&mut self.output, n, framing::DATA, 0, socket.stream);
                self.window -= n as i64;
                socket.window -= n as i64;
            }
            let piece = &message.sent[socket.position..socket.position + n];
            self.output.extend_from_slice(piece);
            socket.owed -= n;
            socket.position = (socket.position + n) % message.sent.len();
            moved = true;
        }
        moved
    }

    /// Encrypts the output and writes what TCP takes.
    fn encrypt(&mut self) -> io::Result<()> {
        if !self.output.is_empty() && !self.tls.wants_write() {
            self.tls.writer().write_all(&self.output)?;
            self.output.clear();
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    // In.

    /// Reads what is there, once from TCP. `false` if there was nothing.
    fn read(&mut self) -> io::Result<bool> {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(0) => return Err(wrong("a server hung up under load".into())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        self.tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            match self.tls.reader().read(&mut self.chunk) {
                Ok(0) => return Err(wrong("a server said close_notify under load".into())),
                Ok(n) => self.input.extend_from_slice(&self.chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there, and says which socket had how many answers.
    pub(super) fn receive(
        &mut self,
        message: &Message,
        answered: &mut Vec<(usize, usize)>,
    ) -> io::Result<()> {
        while self.read()? {
            self.take_in(Some(message), answered)?;
        }
        Ok(())
    }

    /// Takes in what was read; whether the server's SETTINGS were among it, with extended CONNECT.
    fn take_in(
        &mut self,
        message: Option<&Message>,
        answered: &mut Vec<(usize, usize)>,
    ) -> io::Result<bool> {
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        let mut served = false;
        if self.over == Over::Http1 {
            self.data(0, rest, message, answered)?;
            rest = &[];
        }
        while let Some((frame, behind)) = framing::split(rest) {
            served |= self.frame(&frame, message, answered)?;
            rest = behind;
        }
        let taken = input.len() - rest.len();
        self.input = input;
        self.input.drain(..taken);
        Ok(served)
    }

    fn frame(
        &mut self,
        frame: &Frame<'_>,
        message: Option<&Message>,
        answered: &mut Vec<(usize, usize)>,
    ) -> io::Result<bool> {
        let at = (frame.stream as usize).wrapping_sub(1) / 2;
        match frame.kind {
            framing::DATA => self.data(at, frame.payload, message, answered)?,
            framing::HEADERS if framing::is_200(frame.payload) => {
                self.socket(at)?.is_open = true;
            }
            framing::SETTINGS if frame.flags & framing::ACK == 0 => {
                framing::frame(&mut self.output, framing::SETTINGS, framing::ACK, 0, b"");
                return Ok(self.set(frame.payload));
            }
            framing::PING if frame.flags & framing::ACK == 0 => {
                framing::frame(&mut self.output, framing::PING, framing::ACK, 0, frame.payload);
            }
            framing::WINDOW_UPDATE => {
                let increment = frame.payload.try_into().map_err(io::Error::other)?;
                let increment = i64::from(u32::from_be_bytes(increment));
                match frame.stream {
                    0 => self.window += increment,
                    _ => self.socket(at)?.window += increment,
                }
            }
            framing::HEADERS | framing::RST_STREAM | framing::GOAWAY => {
                let (kind, stream, payload) = (frame.kind, frame.stream, frame.payload);
                return Err(wrong(format!("type {kind} on stream {stream}: {payload:x?}")));
            }
            _ => {}
        }
        Ok(false)
    }

    fn socket(&mut self, at: usize) -> io::Result<&mut Socket> {
        self.sockets.get_mut(at).ok_or_else(|| wrong(format!("a frame on no stream of ours: {at}")))
    }

    fn set(&mut self, payload: &[u8]) -> bool {
        let mut served = false;
        for (id, value) in framing::settings(payload) {
            match id {
                framing::ENABLE_CONNECT_PROTOCOL => served = value == 1,
                framing::INITIAL_WINDOW_SIZE => {
                    // The streams are not open yet: it is the first that they have.
                    self.sockets.iter_mut().for_each(|socket| socket.window = value.into());
                }
                _ => {}
            }
        }
        served
    }

    /// Bytes of a WebSocket: counted, and compared if that is wanted.
    fn data(
        &mut self,
        at: usize,
        bytes: &[u8],
        message: Option<&Message>,
        answered: &mut Vec<(usize, usize)>,
    ) -> io::Result<()> {
        let verify = self.verify;
        let message = message.ok_or_else(|| wrong("an answer to nothing".into()))?;
        let socket = self.socket(at)?;
        if verify {
            compare(&message.expected, message.answer, socket.arrived, bytes)?;
        }
        let all = socket.arrived + bytes.len();
        socket.arrived = all % message.answer;
        let n = all / message.answer;
        if n > 0 {
            answered.push((at, n));
        }
        if self.over == Over::Http2 {
            self.give_back(at, bytes.len() as u32);
        }
        Ok(())
    }

    /// Opens the windows again when half of them is used.
    fn give_back(&mut self, at: usize, bytes: u32) {
        self.taken += bytes;
        let socket = &mut self.sockets[at];
        socket.taken += bytes;
        if socket.taken >= STREAM_WINDOW / 2 {
            let (stream, taken) = (socket.stream, std::mem::take(&mut socket.taken));
            self.give(stream, taken);
        }
        if self.taken >= CONNECTION_WINDOW / 2 {
            let taken = std::mem::take(&mut self.taken);
            self.give(0, taken);
        }
    }

    fn give(&mut self, stream: u32, bytes: u32) {
        let payload = bytes.to_be_bytes();
        framing::frame(&mut self.output, framing::WINDOW_UPDATE, 0, stream, &payload);
    }
}
