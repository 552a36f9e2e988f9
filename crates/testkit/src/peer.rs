//! One end of a TCP connection in the hands of a test: it says what it is told to, reads what
//! comes, and dies as told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::frame::{Frame, MASK};
use crate::head::{Head, Request};
use crate::kernel::{self, Tcp, wait_until};
use crate::key::accept_key;
use crate::{DEADLINE, head::NONCE};

/// How the other end's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpEnd {
    /// A FIN.
    Fin,
    /// An RST.
    Reset,
}

/// Everything that came before the end, and the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The bytes that had not been read.
    pub bytes: Vec<u8>,
    /// How the other end ended.
    pub end: TcpEnd,
}

impl Rest {
    /// The frames; panics if one is cut.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        Frame::parse_all(&self.bytes)
    }

    /// The body of an answer that was cut off at its head: text for people.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A raw peer. Dropping it closes the socket, as the kernel does for a process that exits.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    /// Came, and was not asked for yet.
    buffer: Vec<u8>,
    /// As a client its frames are masked.
    client: bool,
    deadline: Duration,
}

impl Peer {
    /// Connects over TCP and says nothing.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, |_| {})
    }

    /// Connects with options set before, such as a small receive buffer.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect_with(addr: SocketAddr, options: impl FnOnce(&Socket)) -> Self {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
        options(&socket);
        socket.connect_timeout(&addr.into(), DEADLINE).expect("a server that listens");
        Self::new(socket.into(), true)
    }

    /// Connects and opens a WebSocket of RFC 6455.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, &Request::rfc6455())
    }

    /// Connects and opens a WebSocket with this request (hixie-76: nonce included).
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn open_with(addr: SocketAddr, request: &Request) -> Self {
        let mut peer = Self::connect(addr);
        peer.handshake(request);
        peer
    }

    /// A stream that a listener accepted.
    pub(crate) fn server(stream: TcpStream) -> Self {
        Self::new(stream, false)
    }

    /// A stream that a test connected.
    pub(crate) fn client(stream: TcpStream) -> Self {
        Self::new(stream, true)
    }

    /// The socket itself, for a protocol that lies on it.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What came and was not asked for yet.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn new(stream: TcpStream, client: bool) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_write_timeout(Some(DEADLINE)).expect("a write time-out");
        let local = stream.local_addr().expect("our address");
        let remote = stream.peer_addr().expect("the other end's address");
        Peer { stream, local, remote, buffer: Vec::new(), client, deadline: DEADLINE }
    }

    /// A second handle of the same end, to write in another thread while this one reads. The
    /// end is closed with the last of them.
    ///
    /// # Panics
    /// If no descriptor is free.
    #[must_use]
    pub fn second(&self) -> Self {
        let stream = self.stream.try_clone().expect("a free descriptor");
        let (local, remote) = (self.local, self.remote);
        let (client, deadline) = (self.client, self.deadline);
        Peer { stream, local, remote, buffer: Vec::new(), client, deadline }
    }

    /// The same with another deadline for each wait.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
        self.stream.set_write_timeout(Some(deadline)).expect("a write time-out");
    }

    /// Opens the WebSocket: sends the request, expects the 101 (hixie-76: sends the nonce with
    /// it and expects its answer). Gives the 101.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn handshake(&mut self, request: &Request) -> Head {
        let mut bytes = request.bytes();
        let hixie76 = String::from_utf8_lossy(&bytes).contains("Sec-WebSocket-Key1");
        if hixie76 {
            bytes.extend(NONCE.0);
        }
        self.write(&bytes);
        let head = self.read_head();
        assert_eq!(head.status(), 101, "{:?}", head.text);
        if hixie76 {
            assert_eq!(self.read_exact(NONCE.1.len()), NONCE.1);
        }
        head
    }

    /// As a server: reads a request of RFC 6455 and answers 101. Gives the request.
    ///
    /// # Panics
    /// If it is none.
    pub fn answer_101(&mut self) -> Head {
        self.answer_101_with("")
    }

    /// The same with more fields in the answer, each with its line's end.
    ///
    /// # Panics
    /// If it is none.
    pub fn answer_101_with(&mut self, fields: &str) -> Head {
        let request = self.read_head();
        let key = accept_key(request.field("Sec-WebSocket-Key").expect("a key"));
        self.write(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n{fields}\r\n"
        ));
        request
    }

    /// Our end's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The other end's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// How the other end stands, as its kernel says.
    #[must_use]
    pub fn other_end(&self) -> Tcp {
        Tcp::of(self.remote, self.local)
    }

    /// Bytes of ours that the other end has not read: on their way or in its kernel.
    ///
    /// # Panics
    /// Where the kernel does not tell.
    #[must_use]
    pub fn unread_by_other_end(&self) -> usize {
        kernel::queues(self.local, self.remote).0 + kernel::queues(self.remote, self.local).1
    }

    /// Bytes of ours that the other end's kernel does not have yet.
    ///
    /// # Panics
    /// Where the kernel does not tell.
    #[must_use]
    pub fn bytes_under_way(&self) -> usize {
        kernel::queues(self.local, self.remote).0
    }

    /// Bytes that have come and that the test has not read.
    ///
    /// # Panics
    /// Where the kernel does not tell.
    #[must_use]
    pub fn bytes_to_read(&self) -> usize {
        self.buffer.len() + kernel::queues(self.local, self.remote).1
    }

    // What it says.

    /// Writes raw bytes.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("bytes that leave");
    }

    /// Writes raw bytes to somebody who may have gone; whether they left.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Writes as much as the kernels take while the other end does not read; how much that was.
    ///
    /// # Panics
    /// If the connection broke.
    pub fn write_until_full(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_nonblocking(true).expect("a stream that does not block");
        let mut written = 0;
        let mut full = 0;
        // Full only if it stays so: the other end's kernel may still be taking bytes over.
        while written < bytes.len() && full < 50 {
            match self.stream.write(&bytes[written..]) {
                Ok(n) => (written, full) = (written + n, 0),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    full += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(e) => panic!("after {written} bytes: {e}"),
            }
        }
        self.stream.set_nonblocking(false).expect("a stream that blocks");
        written
    }

    /// Sends frames in one write, masked as its role demands.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_all(&mut self, frames: &[Frame]) {
        let mask = self.client.then_some(MASK);
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes(mask)).collect();
        self.write(bytes);
    }

    /// Sends one frame.
    ///
    /// # Panics
    /// If it cannot leave.
    pub fn send(&mut self, frame: &Frame) {
        self.send_all(std::slice::from_ref(frame));
    }

    // What it reads.

    /// Reads once more into the buffer; how the other end ended, if it did.
    fn fill(&mut self, started: Instant) -> Option<TcpEnd> {
        let left = self.deadline.checked_sub(started.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { panic!("nothing more came, after {:x?}", self.shown()) };
        self.stream.set_read_timeout(Some(left)).expect("a read time-out");
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Some(TcpEnd::Fin),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                None
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Some(TcpEnd::Reset),
            Err(e) if e.kind() == ErrorKind::Interrupted => None,
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::TimedOut => {
                panic!("nothing more came within {:?}, after {:x?}", self.deadline, self.shown())
            }
            Err(e) => panic!("reading failed: {e}"),
        }
    }

    fn shown(&self) -> &[u8] {
        &self.buffer[self.buffer.len().saturating_sub(200)..]
    }

    /// Reads until `parse` finds something at the front; how the other end ended if it did first.
    fn read_until<T>(&mut self, parse: impl Fn(&[u8]) -> Option<(T, usize)>) -> Result<T, TcpEnd> {
        let started = Instant::now();
        loop {
            if let Some((found, len)) = parse(&self.buffer) {
                self.buffer.drain(..len);
                return Ok(found);
            }
            if let Some(end) = self.fill(started) {
                return Err(end);
            }
        }
    }

    /// The next head.
    ///
    /// # Panics
    /// If the other end ends without one.
    pub fn read_head(&mut self) -> Head {
        self.read_until(Head::parse)
            .unwrap_or_else(|end| panic!("{end:?} instead of a head, after {:x?}", self.shown()))
    }

    /// The next frame, or how the other end ended instead.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_read_frame(&mut self) -> Result<Frame, TcpEnd> {
        self.read_until(Frame::parse)
    }

    /// The next frame.
    ///
    /// # Panics
    /// If the other end ends without one.
    pub fn read_frame(&mut self) -> Frame {
        self.try_read_frame()
            .unwrap_or_else(|end| panic!("{end:?} instead of a frame, after {:x?}", self.shown()))
    }

    /// So many bytes.
    ///
    /// # Panics
    /// If the other end ends before.
    pub fn read_exact(&mut self, n: usize) -> Vec<u8> {
        self.read_until(|bytes| bytes.get(..n).map(|bytes| (bytes.to_vec(), n)))
            .unwrap_or_else(|end| panic!("{end:?} before {n} bytes, after {:x?}", self.shown()))
    }

    /// What is there, at most so many bytes; waits for the first. Nothing = the other end ended.
    ///
    /// # Panics
    /// If nothing comes within the deadline.
    pub fn read_some(&mut self, most: usize) -> Vec<u8> {
        if !self.buffer.is_empty() {
            let n = most.min(self.buffer.len());
            return self.buffer.drain(..n).collect();
        }
        self.stream.set_read_timeout(Some(self.deadline)).expect("a read time-out");
        let mut chunk = vec![0; most];
        let n = self.stream.read(&mut chunk).expect("bytes or a FIN");
        chunk.truncate(n);
        chunk
    }

    /// Everything up to the end, and which end it was.
    ///
    /// # Panics
    /// If it does not end within the deadline.
    pub fn read_to_end(&mut self) -> Rest {
        let started = Instant::now();
        loop {
            if let Some(end) = self.fill(started) {
                return Rest { bytes: std::mem::take(&mut self.buffer), end };
            }
        }
    }

    /// Sends frames whose last segment carries the FIN, as a kernel does that has both to send:
    /// the other end hears of both at once.
    ///
    /// # Panics
    /// If they cannot leave.
    pub fn send_all_with_fin(&mut self, frames: &[Frame]) {
        SockRef::from(&self.stream).set_tcp_cork(true).expect("TCP_CORK");
        self.send_all(frames);
        self.fin();
    }

    /// Answers the Close that comes next, hears the other end out, and gives that Close.
    ///
    /// # Panics
    /// If something else comes.
    pub fn read_to_end_answering(&mut self) -> Frame {
        let close = self.read_frame();
        assert_eq!(close.opcode, 0x8, "{close:?}");
        self.send(&close);
        let rest = self.read_to_end();
        assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin), "nothing follows a Close");
        close
    }

    // How it dies. Silence is to do nothing; a stall is not to read; a half-close is `fin`.

    /// Half-closes: a FIN, and reading goes on.
    ///
    /// # Panics
    /// If it is reset already.
    pub fn fin(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a FIN that leaves");
    }

    /// Half-closes, and returns when the other end's kernel has the FIN (or is ending as well).
    ///
    /// # Panics
    /// If the other end's kernel does not hear it.
    pub fn fin_and_wait(&mut self) {
        self.fin();
        wait_until("the FIN arrives", || self.other_end() != Tcp::Established);
    }

    /// Closes as a process that exits: a FIN, or an RST if something came that was not read.
    pub fn close(self) {
        drop(self);
    }

    /// An RST. Returns when the other end's kernel has it.
    ///
    /// # Panics
    /// If the other end's kernel does not hear it.
    pub fn reset(self) {
        let (ours, theirs) = (self.local, self.remote);
        self.abort();
        wait_until("the RST arrives", || Tcp::of(theirs, ours) == Tcp::Gone);
    }

    /// An RST, and no wait for its arrival: for many in a row.
    ///
    /// # Panics
    /// If the kernel does not take the wish.
    pub fn abort(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}
