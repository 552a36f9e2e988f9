//! Certificates of a test's own, and a client over rustls that can do wrong.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adieu::Client;
use adieu::tls::rustls::pki_types::ServerName;
use adieu::tls::rustls::{ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use adieu::tls::{client_config_with, server_config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use socket2::SockRef;
use testkit::{DEADLINE, Frame, Head, Request};

/// An authority of this run's own, and what it has signed.
pub(crate) struct Authority {
    pub(crate) roots: RootCertStore,
    /// The root, for a file.
    pub(crate) pem: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

pub(crate) fn authority() -> Authority {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Each has a name of its own: one that is trusted is not found under the name of another.
    let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let server = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = params.signed_by(&server, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    Authority { roots, pem: root.pem(), chain: leaf.pem(), key: server.serialize_pem() }
}

impl Authority {
    /// By way of files, as `adieu serve --tls-cert --tls-key` has it.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let dir = tempdir();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, &self.chain).unwrap();
        fs::write(&key, &self.key).unwrap();
        let config = server_config(&cert, &key).unwrap();
        fs::remove_dir_all(dir).unwrap();
        config
    }

    pub(crate) fn client(&self) -> Client {
        Client::new().tls(client_config_with(self.roots.clone()))
    }

    pub(crate) fn connect(&self, addr: SocketAddr, request: &Request) -> Raw {
        let (mut raw, head) = Raw::connect(addr, &self.roots, &request.bytes());
        assert_eq!(head.status(), 101, "{}", head.text);
        raw.buffer.clear();
        raw
    }

    pub(crate) fn open(&self, addr: SocketAddr) -> Raw {
        self.connect(addr, &Request::rfc6455())
    }
}

/// A directory of this call's own, in the place that Cargo gives to tests.
pub(crate) fn tempdir() -> std::path::PathBuf {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tls-{}-{n}", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A client over rustls whose TCP can be ended without a word of TLS.
pub(crate) struct Raw {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    pub(crate) buffer: Vec<u8>,
}

impl Raw {
    /// Says `bytes` over TLS and reads the head that answers.
    pub(crate) fn connect(addr: SocketAddr, roots: &RootCertStore, bytes: &[u8]) -> (Self, Head) {
        let tcp = TcpStream::connect(addr).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp.set_write_timeout(Some(DEADLINE)).unwrap();
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tls = ClientConnection::new(client_config_with(roots.clone()), name).unwrap();
        let mut raw = Raw { stream: StreamOwned::new(tls, tcp), buffer: Vec::new() };
        raw.write(bytes);
        let head = raw.read_until(Head::parse);
        (raw, head)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&frame.masked());
    }

    pub(crate) fn read_until<T>(&mut self, parse: impl Fn(&[u8]) -> Option<(T, usize)>) -> T {
        loop {
            if let Some((found, len)) = parse(&self.buffer) {
                self.buffer.drain(..len);
                return found;
            }
            let mut chunk = [0; 16 * 1024];
            let n = self.stream.read(&mut chunk).unwrap();
            assert_ne!(n, 0, "a close_notify after {:x?}", self.buffer);
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    pub(crate) fn frame(&mut self) -> Frame {
        self.read_until(Frame::parse)
    }

    /// What is left, then the server's close_notify and its FIN: without the first, rustls
    /// would call it an unexpected end.
    pub(crate) fn read_to_close_notify(&mut self) -> Vec<Frame> {
        self.stream.read_to_end(&mut self.buffer).unwrap();
        assert_eq!(self.stream.sock.read(&mut [0]).unwrap(), 0, "a FIN behind the close_notify");
        Frame::parse_all(&self.buffer)
    }

    pub(crate) fn close_notify(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().unwrap();
    }

    pub(crate) fn fin(&self) {
        self.stream.sock.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn reset(self) {
        SockRef::from(&self.stream.sock).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
