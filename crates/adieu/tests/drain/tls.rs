//! Over TLS the kernel does not tell how many bytes of the application had arrived; an uploader
//! that never stops holds nothing up all the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adieu::tls::rustls::ClientConnection;
use adieu::tls::{client_config_with, rustls::pki_types::ServerName};
use adieu::{Cause, ClosingHandshake, Drain, End, Socket, Timer};
use testkit::{Frame, Head, Peer, Request, wait_until};

use crate::support::Host;
use crate::tls_peer::{Authority, authority};
use crate::{Still, numbers};

/// A client over TLS that reads and writes at the same time.
struct Duplex {
    peer: Peer,
    tls: Arc<Mutex<ClientConnection>>,
    /// Came, decrypted, and was not asked for yet.
    plain: Vec<u8>,
}

impl Duplex {
    /// Opens TLS and a WebSocket in it.
    fn open(addr: SocketAddr, authority: &Authority) -> Self {
        let config = client_config_with(authority.roots.clone());
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tls = ClientConnection::new(config, name).unwrap();
        let tls = Arc::new(Mutex::new(tls));
        let mut duplex = Duplex { peer: Peer::connect(addr), tls, plain: Vec::new() };
        let hello = records(&duplex.tls, &[]);
        duplex.peer.write(hello);
        while duplex.tls.lock().unwrap().is_handshaking() {
            assert!(duplex.read(), "an end before TLS was open");
            let answer = records(&duplex.tls, &[]);
            duplex.peer.write(answer);
        }
        let request = records(&duplex.tls, &Request::rfc6455().bytes());
        duplex.peer.write(request);
        let head = duplex.read_until(Head::parse);
        assert_eq!(head.status(), 101, "{}", head.text);
        duplex
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let bytes = self.peer.read_some(16 * 1024);
        let mut tls = self.tls.lock().unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            let state = tls.process_new_packets().unwrap();
            let len = self.plain.len();
            self.plain.resize(len + state.plaintext_bytes_to_read(), 0);
            std::io::Read::read_exact(&mut tls.reader(), &mut self.plain[len..]).unwrap();
        }
        !bytes.is_empty()
    }

    fn read_until<T>(&mut self, parse: impl Fn(&[u8]) -> Option<(T, usize)>) -> T {
        loop {
            if let Some((found, len)) = parse(&self.plain) {
                self.plain.drain(..len);
                return found;
            }
            assert!(self.read(), "an end after {:x?}", self.plain);
        }
    }

    fn send(&mut self, frame: &Frame) {
        let bytes = records(&self.tls, &frame.masked());
        self.peer.write(bytes);
    }

    /// Uploads in a thread of its own until nothing leaves any more. Counts what has left.
    fn upload(&self) -> (Arc<AtomicU64>, JoinHandle<()>) {
        let sent = Arc::new(AtomicU64::new(0));
        let (mut writer, tls, count) = (self.peer.second(), self.tls.clone(), sent.clone());
        let upload = thread::spawn(move || {
            let frame = Frame::binary(vec![1; 16 * 1024]).masked();
            while writer.try_write(records(&tls, &frame)) {
                count.fetch_add(frame.len() as u64, SeqCst);
            }
        });
        (sent, upload)
    }
}

/// The records of some bytes, and what TLS itself has to say.
fn records(tls: &Mutex<ClientConnection>, plain: &[u8]) -> Vec<u8> {
    let mut tls = tls.lock().unwrap();
    std::io::Write::write_all(&mut tls.writer(), plain).unwrap();
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    records
}

#[test]
fn a_tls_uploader_that_never_stops_holds_nothing_up() {
    const UPLOADERS: usize = 2;
    let authority = authority();
    let handler = async |mut socket: Socket| {
        while socket.recv().await.is_some() {
            // Each takes a moment: there is always more than it has read.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let config = authority.server_config();
    let host = Host::draining_by(Drain::new(), handler, |server| server.tls(config));
    let mut uploaders: Vec<_> =
        (0..UPLOADERS).map(|_| Duplex::open(host.addr, &authority)).collect();
    let still = Still::stand(&host);
    let uploads: Vec<_> = uploaders.iter().map(Duplex::upload).collect();
    for uploader in &uploaders {
        wait_until("much is there", || uploader.peer.unread_by_other_end() > 64 * 1024);
    }
    host.drain.start();
    drop(still);
    let mut heard = Vec::new();
    for (uploader, (sent, upload)) in uploaders.iter_mut().zip(uploads) {
        assert_eq!(uploader.read_until(Frame::parse).close_code(), Some(1001));
        heard.push((sent.load(SeqCst), sent, upload));
    }
    for (by_then, sent, upload) in heard {
        // It has read that, and goes on all the same, until there is nobody who takes it.
        upload.join().unwrap();
        let after = sent.load(SeqCst) - by_then;
        assert!(after > 1024 * 1024, "only {after} bytes went out behind the Close");
    }
    for _ in 0..UPLOADERS {
        let ending = host.account().ending;
        println!("{ending}");
        assert_eq!(ending.cause, Cause::Drain, "{ending}");
        assert!(matches!(ending.closing_handshake, ClosingHandshake::Sent { .. }), "{ending}");
        assert_eq!(ending.transport.end, End::LetGo(adieu::LetGo::Clock(Timer::Close)), "{ending}");
    }
    let drained = host.finish();
    println!("{drained}");
    assert_eq!(numbers(&drained), (0, 0, UPLOADERS, 0, 0));
    assert!(drained.lasted < crate::UNHEEDED, "{drained}");
}

/// The kernel knows that nothing is unread, and TLS holds nothing back: our Close goes out at once,
/// not when the handler has had its second.
#[test]
fn a_tls_peer_that_has_spoken_before_is_told_at_once() {
    let authority = authority();
    let config = authority.server_config();
    let host = Host::draining_by(Drain::new(), crate::support::echo, |server| server.tls(config));
    let mut peer = Duplex::open(host.addr, &authority);
    peer.send(&Frame::text("before"));
    assert_eq!(peer.read_until(Frame::parse), Frame::text("before"));
    host.drain.start();
    assert_eq!(peer.read_until(Frame::parse).close_code(), Some(1001));
    peer.send(&Frame::close(1001, ""));
    drop(peer);
    let ending = host.account().ending;
    assert!(ending.lasted < Duration::from_secs(1), "{ending}");
    host.finish();
}

/// A port scanner, or a client that is still at its TLS handshake: nothing can be said to it.
#[test]
fn a_peer_that_says_nothing_in_tls_is_not_waited_for() {
    let authority = authority();
    let config = authority.server_config();
    let host = Host::draining_by(Drain::new(), crate::support::echo, |server| server.tls(config));
    let silent = Peer::connect(host.addr);
    wait_until("it is there", || host.drain.connections() == 1);
    host.drain.start();
    let ending = host.account().ending;
    assert_eq!(ending.cause, Cause::Handshake(adieu::HandshakeError::Draining), "{ending}");
    assert_eq!(ending.transport.end, End::LetGo(adieu::LetGo::Clock(Timer::Linger)), "{ending}");
    drop(silent);
    host.finish();
}
