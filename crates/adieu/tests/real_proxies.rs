//! A client through tinyproxy and squid, as Debian has them: tunnels, credentials, refusals, a
//! proxy that is killed, and the environment. `cargo xtask setup` installs both; the test run says
//! which of them is missing.
#![cfg(all(target_os = "linux", feature = "tls"))]

mod proxy_program;
mod support;
mod tls_peer;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use adieu::tls::rustls::ClientConfig;
use adieu::{Cause, Client, CloseCode, ConnectError, End, ProxyError, Refusal, Server, Socket};
use proxy_program::{Kind, PASSWORD, Proxy};
use support::Host;
use testkit::{DEADLINE, figure, wait_until};
use tokio::time::timeout;

/// A server for each scheme, and proxies that make tunnels to both.
struct Servers {
    plain: Host,
    secure: Host,
    tls: Arc<ClientConfig>,
    authority: tls_peer::Authority,
}

impl Servers {
    fn start() -> Self {
        let authority = tls_peer::authority();
        let plain = Host::start(support::echo);
        let secure = Host::run(Server::new(support::echo).tls(authority.server_config()));
        let tls = adieu::tls::client_config_with(authority.roots.clone());
        Servers { plain, secure, tls, authority }
    }

    fn ports(&self) -> [u16; 2] {
        [self.plain.addr.port(), self.secure.addr.port()]
    }

    /// Each server with its URL.
    fn both(&self) -> [(&Host, String); 2] {
        let url = |scheme: &str, host: &Host| format!("{scheme}://{}/", host.addr);
        [(&self.plain, url("ws", &self.plain)), (&self.secure, url("wss", &self.secure))]
    }

    fn client(&self, proxy: String) -> Client {
        Client::new().tls(self.tls.clone()).proxy(proxy)
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.plain.runtime.block_on(async { timeout(DEADLINE, future).await.expect("in time") })
    }

    fn connect(&self, client: &Client, url: &str) -> Result<Socket, ConnectError> {
        self.block_on(client.connect(url))
    }

    fn finish(self) {
        self.plain.finish();
        self.secure.finish();
    }
}

fn refusal(error: ConnectError) -> Refusal {
    assert!(error.to_string().contains("the proxy refused the tunnel"), "{error}");
    let ConnectError::Proxy(ProxyError::Refused(refusal)) = error else { panic!("{error}") };
    *refusal
}

#[test]
fn messages_and_goodbyes_go_through_a_tunnel() {
    let servers = Servers::start();
    for proxy in Proxy::all(&servers.ports()) {
        let client = servers.client(proxy.url(PASSWORD));
        for (host, url) in servers.both() {
            let mut socket = servers.connect(&client, &url).unwrap();
            assert_eq!(socket.peer().addr(), Some(proxy.addr), "the peer is the proxy");
            let large = "x".repeat(300_000);
            servers.block_on(async {
                socket.send(large.as_str()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap().as_text(), Some(large.as_str()));
            });
            let ending = servers.block_on(socket.close(CloseCode::new(4001)));
            assert!(ending.is_clean(), "{ending}");
            let account = host.account().ending;
            assert!(account.is_clean() && account.cause == Cause::Peer, "{account}");
            // Squid closes its socket behind the server's FIN, and so answers our close_notify with
            // an RST, which is seen or not.
            let what = format!("{:?}, {}", proxy.kind, url.split(':').next().unwrap());
            figure(&what, &support::masked(&ending.to_string()));
        }
    }
    servers.finish();
}

/// The client's resolver is not asked: the proxy is named by its address, the server by name to the
/// proxy alone.
#[test]
fn the_proxy_looks_the_name_up() {
    let servers = Servers::start();
    for proxy in Proxy::all(&servers.ports()) {
        let client = servers.client(proxy.url(PASSWORD));
        let client = client.resolver(|name, _| async move { panic!("{name} is looked up") });
        let url = format!("ws://localhost:{}/", servers.plain.addr.port());
        let socket = servers.connect(&client, &url).unwrap();
        assert!(servers.block_on(socket.close(CloseCode::NORMAL)).is_clean());
        servers.plain.account();
    }
    servers.finish();
}

#[test]
fn without_the_right_password_the_proxys_407_is_told_with_its_body() {
    let servers = Servers::start();
    for proxy in Proxy::all(&servers.ports()) {
        let none = format!("http://{}", proxy.addr);
        for url in [none, proxy.url("wrong")] {
            for (_, server) in servers.both() {
                let error = servers.connect(&servers.client(url.clone()), &server).unwrap_err();
                let text = error.to_string();
                let refusal = refusal(error);
                // Tinyproxy 1.11 answers a wrong password with the status of an origin server.
                let odd = url.contains("wrong") && proxy.kind == Kind::Tinyproxy;
                assert!(refusal.status == 407 || (odd && refusal.status == 401), "{text}");
                assert!(!text.contains("wrong"), "no password in {text}");
                let asks = ["Proxy-Authenticate", "WWW-Authenticate"].map(|n| refusal.header(n));
                assert!(asks.iter().flatten().any(|how| how.starts_with("Basic ")), "{asks:?}");
                assert!(refusal.body_is_whole && refusal.body_text().contains("<html"), "{text}");
            }
        }
        let what = format!("{:?}, no password; a wrong one", proxy.kind);
        figure(&what, "told with status (407; 401 of tinyproxy for a wrong one), field and body");
    }
    servers.finish();
}

#[test]
fn a_tunnel_that_the_proxy_does_not_make_is_told_with_status_and_body() {
    let servers = Servers::start();
    let listener = std::net::TcpListener::bind(testkit::own_address()).unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    for proxy in Proxy::all(&[closed.port()]) {
        let client = servers.client(proxy.url(PASSWORD));
        for (_, url) in servers.both() {
            let error = servers.connect(&client, &url).unwrap_err();
            let text = error.to_string();
            let refusal = refusal(error);
            assert_eq!((refusal.status, refusal.body_is_whole), (403, true), "{text}");
            assert!(!refusal.body.is_empty());
            figure(&format!("{:?}, a port that it does not serve", proxy.kind), &text);
        }
        let error = servers.connect(&client, &format!("ws://{closed}/")).unwrap_err();
        let text = error.to_string();
        let refusal = refusal(error);
        assert!(matches!(refusal.status, 500..=599), "nobody listens there: {text}");
        figure(&format!("{:?}, a port where nobody listens", proxy.kind), &text);
    }
    servers.finish();
}

#[test]
fn a_proxy_that_is_killed_is_told_as_what_came_of_it() {
    let servers = Servers::start();
    for mut proxy in Proxy::all(&servers.ports()) {
        let client = servers.client(proxy.url(PASSWORD));
        let mut sockets = Vec::new();
        for (host, url) in servers.both() {
            let mut socket = servers.connect(&client, &url).unwrap();
            servers.block_on(async {
                socket.send("before").await.unwrap();
                assert_eq!(socket.recv().await.unwrap().as_text(), Some("before"));
            });
            sockets.push((host, url, socket));
        }
        proxy.kill();
        for (host, url, mut socket) in sockets {
            assert!(servers.block_on(socket.recv()).is_none(), "no message is made up");
            let ending = servers.block_on(socket.ended());
            for ending in [&ending, &host.account().ending] {
                // No Close came, and none is made up. The kernel ended TCP for the dead in order,
                // and resets what still comes to it, as a close_notify.
                assert!(!ending.is_clean(), "{ending}");
                assert_eq!(ending.cause, Cause::Eof, "{ending}");
                let end = ending.transport.end;
                assert!(matches!(end, End::Finished | End::FinishedThenReset), "{ending}");
                assert_ne!(ending.transport.close_notify, Some(true), "{ending}");
            }
            let what = format!("{:?} is killed, {}", proxy.kind, url.split(':').next().unwrap());
            figure(&what, &support::masked(&ending.to_string()));
        }
        let error = servers.connect(&client, &servers.both()[0].1).unwrap_err();
        assert!(matches!(error, ConnectError::Proxy(ProxyError::Io(_))), "{error}");
        assert!(error.to_string().contains(&proxy.addr.to_string()), "{error}");
    }
    servers.finish();
}

/// What [`the_environment_names_a_proxy_when_asked`] runs with an environment of its own.
#[test]
fn child_of_the_environment() {
    let Ok(url) = std::env::var("ADIEU_TEST_URL") else { return };
    let client = match std::env::var_os("ADIEU_TEST_ASKS") {
        Some(_) => Client::new().proxy_from_env(),
        None => Client::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = client.connect(&url).await.unwrap();
        println!("peer={}", socket.peer().addr().unwrap());
        assert!(socket.close(CloseCode::NORMAL).await.is_clean());
    });
}

#[test]
fn the_environment_names_a_proxy_when_asked() {
    let servers = Servers::start();
    let dir = tls_peer::tempdir();
    let roots = dir.join("roots.pem");
    std::fs::write(&roots, &servers.authority.pem).unwrap();
    let peer = |url: &str, asks: bool, vars: &[(&str, &str)]| -> SocketAddr {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "child_of_the_environment", "--nocapture"])
            .env("ADIEU_TEST_URL", url);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
            child.env_remove(name).env_remove(name.to_lowercase());
        }
        child.env("SSL_CERT_FILE", &roots).envs(vars.iter().copied());
        if asks {
            child.env("ADIEU_TEST_ASKS", "1");
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = text.split_whitespace().find_map(|word| word.strip_prefix("peer="));
        said.and_then(|addr| addr.parse().ok()).unwrap_or_else(|| {
            panic!("{vars:?}: {text}{}", String::from_utf8_lossy(&output.stderr))
        })
    };
    let [(plain, ws), (secure, wss)] = servers.both();
    for proxy in Proxy::all(&servers.ports()) {
        let url = proxy.url(PASSWORD);
        let to = proxy.addr;
        assert_eq!(peer(&ws, true, &[("HTTP_PROXY", &url)]), to);
        assert_eq!(peer(&ws, true, &[("HTTPS_PROXY", &url)]), plain.addr, "not for ws");
        assert_eq!(peer(&ws, true, &[("all_proxy", &url)]), to);
        let spared = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.0/8")];
        assert_eq!(peer(&ws, true, &spared), plain.addr, "NO_PROXY");
        assert_eq!(peer(&ws, false, &[("HTTP_PROXY", &url)]), plain.addr, "nobody asked");
        // With the roots of the system, which SSL_CERT_FILE names here.
        assert_eq!(peer(&wss, true, &[("https_proxy", &url)]), to);
        assert_eq!(peer(&wss, true, &[("HTTP_PROXY", &url)]), secure.addr, "not for wss");
        (0..5).for_each(|_| drop(plain.account()));
        (0..2).for_each(|_| drop(secure.account()));
    }
    std::fs::remove_dir_all(dir).unwrap();
    wait_until("all is over", || servers.plain.drain.connections() == 0);
    servers.finish();
}
