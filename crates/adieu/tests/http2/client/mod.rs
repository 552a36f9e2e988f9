//! Our client over HTTP/2: against our own server, and against a raw one that fails as told.
#![cfg(feature = "tls")]

mod ending;
mod fallback;
mod others;
mod refused;
mod sharing;

use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

use adieu::tls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use adieu::{Client, ConnectError, Endpoint, Handler, Server, Socket};
use testkit::http2::{Http2Server, TAKES_WEBSOCKETS};
use testkit::{DEADLINE, Head, accept_key, wait_until};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::served::{Account, Served};
use crate::tls_peer::{Authority, authority};

/// A client on a runtime of its own, and what it hears of its connections.
struct World {
    authority: Authority,
    client: Client,
    accounts: mpsc::Receiver<Account>,
    runtime: Runtime,
}

type Connecting = JoinHandle<Result<Socket, ConnectError>>;

impl World {
    fn new() -> Self {
        Self::with(|client| client)
    }

    /// With a client that is set up so.
    fn with(set_up: impl FnOnce(Client) -> Client) -> Self {
        let authority = authority();
        let (tell, accounts) = mpsc::channel();
        let client = authority.client().http2(true).on_end(move |ended| {
            // A test that fails does not listen to the end.
            let _ = tell.send(Account::of(ended));
        });
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        World { authority, client: set_up(client), accounts, runtime }
    }

    /// A server of ours that speaks HTTP/2 and HTTP/1.1 over TLS.
    fn serve(&self, endpoint: Endpoint, handler: impl Handler) -> Served {
        let config = self.authority.server_config();
        Served::start(endpoint, |endpoint, listener, _| async move {
            let server = Server::with(endpoint, handler).tls(config).http2(true);
            server.serve_on(listener).await.expect("a server");
        })
    }

    /// A raw server that chooses the first of these protocols that the client offers.
    fn raw(&self, chooses: &[&str]) -> Raw {
        let mut config = self.authority.server_config();
        let names = chooses.iter().map(|name| name.as_bytes().to_vec());
        Arc::make_mut(&mut config).alpn_protocols = names.collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Raw { listener, config }
    }

    /// Begins to connect.
    fn connecting(&self, url: impl Into<String>) -> Connecting {
        let (client, url) = (self.client.clone(), url.into());
        self.runtime.spawn(async move { client.connect(&url).await })
    }

    /// Waits for something that the client does.
    #[track_caller]
    fn wait<T>(&self, for_it: impl Future<Output = T>) -> T {
        let waited = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, for_it).await });
        waited.expect("it happens")
    }

    #[track_caller]
    fn connected(&self, connecting: Connecting) -> Socket {
        self.wait(connecting).unwrap().expect("a connection")
    }

    #[track_caller]
    fn connect(&self, url: &str) -> Socket {
        self.connected(self.connecting(url))
    }

    #[track_caller]
    fn refused(&self, connecting: Connecting) -> ConnectError {
        match self.wait(connecting).unwrap() {
            Ok(_) => panic!("it is connected"),
            Err(error) => error,
        }
    }

    /// What the client heard next of a connection.
    #[track_caller]
    fn heard(&self) -> adieu::Ending {
        self.accounts.recv_timeout(DEADLINE).expect("an account").ending
    }

    /// Nothing more is heard.
    #[track_caller]
    fn done(self) {
        drop(self.client);
        drop(self.runtime);
        assert!(self.accounts.try_recv().is_err(), "one more account");
    }
}

/// The URL of a server.
fn url(addr: SocketAddr, path: &str) -> String {
    format!("wss://{addr}{path}")
}

/// Says something and hears the echo.
async fn echoes(socket: &mut Socket, text: &str) {
    socket.send(text).await.expect("it is open");
    let heard = socket.recv().await.expect("an echo");
    assert_eq!(heard.as_text(), Some(text));
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server over TLS in the hands of a test.
struct Raw {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Raw {
    fn url(&self) -> String {
        url(self.listener.local_addr().unwrap(), "/")
    }

    /// The next connection: its TLS, what was chosen in it, and a second handle of its TCP.
    #[track_caller]
    fn accept(&self) -> (Tls, String, TcpStream) {
        let mut accepted = None;
        wait_until("a client connects", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (mut tcp, _) = accepted.unwrap();
        tcp.set_nonblocking(false).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut tls = ServerConnection::new(self.config.clone()).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).unwrap();
        }
        let chosen = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        let second = tcp.try_clone().unwrap();
        (StreamOwned::new(tls, tcp), chosen.unwrap_or_default(), second)
    }

    /// The next connection has to be HTTP/2; the server's SETTINGS are these.
    #[track_caller]
    fn http2(&self, settings: &[(u16, u32)]) -> Http2Server {
        let (tls, chosen, tcp) = self.accept();
        assert_eq!(chosen, "h2");
        Http2Server::over(tls, tcp, settings)
    }

    /// The same, which takes WebSockets.
    #[track_caller]
    fn websockets(&self) -> Http2Server {
        self.http2(&[TAKES_WEBSOCKETS])
    }

    /// The next connection has to be HTTP/1.1, and asks for a WebSocket, which is opened.
    #[track_caller]
    fn http1(&self) -> Tls {
        use std::io::{Read, Write};
        let (mut tls, chosen, _) = self.accept();
        assert_eq!(chosen, "http/1.1");
        let mut bytes = Vec::new();
        let head = loop {
            if let Some((head, _)) = Head::parse(&bytes) {
                break head;
            }
            let mut chunk = [0; 4096];
            let n = tls.read(&mut chunk).unwrap();
            assert_ne!(n, 0, "no request");
            bytes.extend_from_slice(&chunk[..n]);
        };
        let accept = accept_key(head.field("Sec-WebSocket-Key").expect("a key"));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tls.write_all(answer.as_bytes()).unwrap();
        tls.flush().unwrap();
        tls
    }
}
