//! The peer's end of a connection, over whatever carries it: it says what it is told to, and dies
//! as told.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use adieu::tls::rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;
use testkit::{DEADLINE, Frame, Head, Request, Tcp, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::tls_peer::{Authority, Raw};

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

/// What carries the peer's bytes.
enum Wire {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
    Pipe(Pipe),
}

/// The peer's end of a pipe in memory. The runtime keeps the deadlines.
struct Pipe {
    stream: DuplexStream,
    runtime: Runtime,
}

/// A peer whose WebSocket is open.
pub(crate) struct Peer {
    wire: Wire,
    /// Came, and was not asked for yet.
    buffer: Vec<u8>,
    /// A Close was among it.
    heard_close: bool,
}

impl Peer {
    pub(crate) fn over_tcp(addr: SocketAddr, request: &Request) -> Self {
        let tcp = TcpStream::connect(addr).expect("a server that listens");
        tcp.set_nodelay(true).expect("TCP_NODELAY");
        tcp.set_read_timeout(Some(DEADLINE)).expect("a read time-out");
        tcp.set_write_timeout(Some(DEADLINE)).expect("a write time-out");
        Self::open(Wire::Tcp(tcp), request)
    }

    pub(crate) fn over_tls(addr: SocketAddr, authority: &Authority, request: &Request) -> Self {
        let (raw, head) = Raw::connect(addr, &authority.roots, &request.bytes());
        assert_eq!(head.status(), 101, "{}", head.text);
        Peer { wire: Wire::Tls(Box::new(raw.stream)), buffer: raw.buffer, heard_close: false }
    }

    pub(crate) fn over_unix(socket: UnixStream, request: &Request) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a read time-out");
        socket.set_write_timeout(Some(DEADLINE)).expect("a write time-out");
        Self::open(Wire::Unix(socket), request)
    }

    pub(crate) fn over_pipe(stream: DuplexStream, request: &Request) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self::open(Wire::Pipe(Pipe { stream, runtime }), request)
    }

    fn open(wire: Wire, request: &Request) -> Self {
        let mut peer = Peer { wire, buffer: Vec::new(), heard_close: false };
        peer.write(&request.bytes());
        // Nothing of what comes behind the head: see `leave_unread`.
        let head = peer.read_until(1, Head::parse);
        assert_eq!(head.status(), 101, "{}", head.text);
        peer
    }

    // What it says.

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Tcp(tcp) => tcp.write_all(bytes),
            // All of it in one record.
            Wire::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            Wire::Unix(unix) => unix.write_all(bytes),
            Wire::Pipe(pipe) => pipe.write(bytes),
        }
        .expect("bytes that leave");
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&frame.masked());
    }

    /// Bytes that are no TLS, where TLS is expected.
    pub(crate) fn write_below_tls(&mut self, bytes: &[u8]) {
        self.tcp().write_all(bytes).expect("bytes that leave");
    }

    /// Bytes with a Ping in front: what the server has answered it has read, and they with it.
    pub(crate) fn write_behind_ping(&mut self, bytes: &[u8]) {
        self.write(&[&Frame::ping("read?").masked(), bytes].concat());
    }

    // What it hears.

    pub(crate) fn frame(&mut self) -> Frame {
        let frame = self.read_until(CHUNK, Frame::parse);
        self.heard_close |= frame.opcode == 0x8;
        frame
    }

    /// Reads all that is left of a server that has let go: whether a Close was among what came.
    pub(crate) fn has_heard_a_close(mut self) -> bool {
        let mut chunk = vec![0; CHUNK];
        // However it ended: what came before counts.
        while let Ok(read @ 1..) = self.read(&mut chunk) {
            self.buffer.extend_from_slice(&chunk[..read]);
        }
        while let Some((frame, len)) = Frame::parse(&self.buffer) {
            self.buffer.drain(..len);
            self.heard_close |= frame.opcode == 0x8;
        }
        self.heard_close
    }

    /// The server's Close, which has to be this one.
    pub(crate) fn hear_close(&mut self, code: u16) {
        assert_eq!(self.frame(), Frame::close(code, ""));
    }

    fn read_until<T>(&mut self, most: usize, parse: impl Fn(&[u8]) -> Option<(T, usize)>) -> T {
        loop {
            if let Some((found, len)) = parse(&self.buffer) {
                self.buffer.drain(..len);
                return found;
            }
            let mut chunk = vec![0; most];
            let read = self.read(&mut chunk).expect("bytes that come");
            assert_ne!(read, 0, "the server ended after {:x?}", self.buffer);
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    fn read(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.wire {
            Wire::Tcp(tcp) => tcp.read(chunk),
            Wire::Tls(tls) => tls.read(chunk),
            Wire::Unix(unix) => unix.read(chunk),
            Wire::Pipe(pipe) => pipe.read(chunk),
        }
    }

    /// Hears that the server's direction is over, where that can be heard.
    pub(crate) fn hear_end(&mut self) {
        let read = match &mut self.wire {
            Wire::Tcp(tcp) => tcp.read(&mut [0]),
            // Its close_notify, then its FIN.
            Wire::Tls(tls) => {
                assert_eq!(tls.read(&mut [0]).expect("the server's close_notify"), 0);
                tls.sock.read(&mut [0])
            }
            Wire::Unix(unix) => unix.read(&mut [0]),
            Wire::Pipe(pipe) => pipe.read(&mut [0]),
        };
        assert_eq!(read.expect("the server's end"), 0);
    }

    // How it ends.

    /// Finishes its direction, and goes on reading: over TLS without a close_notify.
    pub(crate) fn fin(&mut self) {
        match &mut self.wire {
            Wire::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Wire::Tls(tls) => tls.sock.shutdown(Shutdown::Write),
            Wire::Unix(unix) => unix.shutdown(Shutdown::Write),
            Wire::Pipe(pipe) => pipe.runtime.block_on(pipe.stream.shutdown()),
        }
        .expect("an end that leaves");
    }

    pub(crate) fn close_notify(&mut self) {
        let Wire::Tls(tls) = &mut self.wire else { panic!("there is no TLS here") };
        tls.conn.send_close_notify();
        tls.flush().expect("a close_notify that leaves");
    }

    /// Finishes its direction as it should: over TLS with a close_notify first.
    pub(crate) fn finish(&mut self) {
        if matches!(self.wire, Wire::Tls(_)) {
            self.close_notify();
        }
        self.fin();
    }

    /// Hears the server's end, then finishes: what a peer does that keeps to the RFC.
    pub(crate) fn hear_out(mut self) -> Option<Self> {
        self.hear_end();
        self.finish();
        Some(self)
    }

    /// This frame has come when this returns. Over a Unix socket it is left unread: closing that
    /// with something unread is its reset.
    pub(crate) fn leave_unread(&mut self, frame: &Frame) {
        match &self.wire {
            Wire::Unix(unix) => {
                wait_until("it comes", || unread(unix) >= frame.unmasked().len());
            }
            _ => assert_eq!(self.frame(), *frame),
        }
    }

    /// Hears this frame, then breaks off.
    pub(crate) fn reset_behind(mut self, last: &Frame) {
        self.leave_unread(last);
        self.reset();
    }

    /// Breaks off: over TCP with an RST, which the server's kernel has when this returns; over a
    /// Unix socket by closing it with something unread; a pipe in memory can only be dropped.
    pub(crate) fn reset(self) {
        let ends = self.ends();
        if ends.is_some() {
            let linger = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
            linger.expect("SO_LINGER");
        }
        drop(self);
        if let Some((ours, theirs)) = ends {
            wait_until("the RST arrives", || Tcp::of(theirs, ours) == Tcp::Gone);
        }
    }

    /// Finishes its direction; the server's kernel has that when this returns.
    pub(crate) fn fin_and_wait(&mut self) {
        self.fin();
        if let Some((ours, theirs)) = self.ends() {
            wait_until("the FIN arrives", || Tcp::of(theirs, ours) != Tcp::Established);
        }
    }

    /// The addresses of both ends, over TCP.
    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let has_tcp = matches!(self.wire, Wire::Tcp(_) | Wire::Tls(_));
        has_tcp.then(|| {
            let tcp = self.tcp();
            (tcp.local_addr().expect("ours"), tcp.peer_addr().expect("theirs"))
        })
    }

    fn tcp(&self) -> &TcpStream {
        match &self.wire {
            Wire::Tcp(tcp) => tcp,
            Wire::Tls(tls) => &tls.sock,
            Wire::Unix(_) | Wire::Pipe(_) => panic!("there is no TCP here"),
        }
    }
}

/// Bytes that have come on a Unix socket and were not read.
fn unread(unix: &UnixStream) -> usize {
    SockRef::from(unix).peek(&mut [MaybeUninit::uninit(); 256]).expect("bytes that come")
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.runtime.block_on(async { timeout(DEADLINE, self.stream.write_all(bytes)).await })?
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.runtime.block_on(async { timeout(DEADLINE, self.stream.read(bytes)).await })?
    }
}
