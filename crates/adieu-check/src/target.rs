//! The server under test: its URL, its address, how to trust it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adieu::tls::rustls::ClientConfig;
use http::Uri;
use tokio::net::{TcpSocket, TcpStream};

use super::head::Request;
use super::http2::Http2;
use super::stream::Stream;
use super::transport::Transport;
use crate::trust;

/// TCP has to be up by then. Loopback needs microseconds, a far server some hundred milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a segment of a slow reader, as on an Ethernet with some tunnel.
#[cfg(unix)]
const SEGMENT: u32 = 1400;

/// A parsed `ws://` or `wss://` URL with what is needed to connect to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) url: String,
    /// Host and port as the `Host` field wants them.
    authority: String,
    pub(crate) host: String,
    path: String,
    pub(crate) addr: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// WebSockets are opened over HTTP/2.
    pub(crate) http2: bool,
}

impl Target {
    /// Reads the URL, looks the host up, loads the certificates.
    pub(crate) async fn new(
        url: &str,
        ca: Option<&PathBuf>,
        insecure: bool,
        http2: bool,
    ) -> Result<Self, String> {
        // FAQ: check-url
        let bad = |why: &str| format!("`{url}` {why}; a URL like ws://127.0.0.1:9001/ is needed");
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(bad("does not begin with ws:// or wss://")),
        };
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let addr = look_up(&host, port).await?;
        let tls = if secure { Some(trust::client_config(ca, insecure)?) } else { None };
        let authority = authority.as_str().to_owned();
        let target = Target { url: url.to_owned(), authority, host, path, addr, tls, http2: false };
        Ok(if http2 { target.over_http2() } else { target })
    }

    /// The same server over HTTP/2: agreed on in TLS, or known before without TLS.
    pub(crate) fn over_http2(mut self) -> Self {
        self.tls = self.tls.map(|config| {
            let mut config = (*config).clone();
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        });
        self.http2 = true;
        self
    }

    /// Whether it is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The scheme of HTTP.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.addr.ip().is_loopback()
    }

    /// A request for this server: host, path and, where the request has one, origin.
    pub(crate) fn address(&self, request: Request) -> Request {
        let origin = format!("{}://{}", self.scheme(), self.authority);
        let mut request = request.set("Host", &self.authority).target(&self.path);
        for field in ["Origin", "Sec-WebSocket-Origin"] {
            if request.has(field) {
                request = request.set(field, &origin);
            }
        }
        request
    }

    /// Connects over TCP; `receive_buffer` makes a client that takes little at once.
    pub(crate) async fn connect(&self, receive_buffer: Option<u32>) -> std::io::Result<Transport> {
        let socket = if self.addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
            small_segments(&socket)?;
        }
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(self.addr));
        let tcp: TcpStream = connecting.await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Tcp(tcp),
            Some(config) => Stream::tls(tcp, config.clone(), &self.host)?,
        };
        Ok(match self.http2 {
            true => Transport::Http2(Box::new(Http2::new(stream))),
            false => Transport::Connection(stream),
        })
    }
}

/// A network's segments instead of loopback's, which are 64 KiB each: a server's kernel grows its
/// buffer with them, and would take a megabyte off its hands that should wait in the process.
fn small_segments(socket: &TcpSocket) -> std::io::Result<()> {
    #[cfg(unix)]
    socket2::SockRef::from(socket).set_tcp_mss(SEGMENT)?;
    #[cfg(not(unix))]
    let _ = socket;
    Ok(())
}

async fn look_up(host: &str, port: u16) -> Result<SocketAddr, String> {
    let addrs = tokio::net::lookup_host((host, port)).await;
    let mut addrs = addrs.map_err(|error| format!("`{host}` is not known: {error}"))?;
    addrs.next().ok_or_else(|| format!("`{host}` has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn target(url: &str) -> Result<Target, String> {
        Target::new(url, None, false, false).await
    }

    #[tokio::test]
    async fn urls_are_taken_apart() {
        let it = target("ws://127.0.0.1:9001/chat?room=1").await.unwrap();
        assert_eq!((it.addr.port(), it.path.as_str(), it.is_local()), (9001, "/chat?room=1", true));
        let it = target("ws://[::1]").await.unwrap();
        assert_eq!((it.host.as_str(), it.addr.port(), it.path.as_str()), ("::1", 80, "/"));
        assert_eq!(it.authority, "[::1]");
    }

    #[tokio::test]
    async fn other_urls_are_refused_with_a_word() {
        for bad in ["http://127.0.0.1/", "127.0.0.1:80", "ftp://127.0.0.1/", "ws://", ""] {
            let why = target(bad).await.err().expect(bad);
            assert!(why.contains("ws://127.0.0.1:9001/"), "{bad}: {why}");
        }
    }

    #[tokio::test]
    async fn requests_name_the_server() {
        let it = target("ws://127.0.0.1:9001/a").await.unwrap();
        let text = |request| String::from_utf8(it.address(request).bytes()).unwrap();
        let head = text(Request::hixie76());
        assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Host: 127.0.0.1:9001\r\n"), "{head}");
        assert!(head.contains("Origin: http://127.0.0.1:9001\r\n"), "{head}");
        assert!(!text(Request::rfc6455()).contains("Origin"));
    }
}
