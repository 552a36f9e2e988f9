//! nginx, HAProxy and Caddy as processes, each with the snippet of `deploy/`, of which only the
//! addresses, the certificate and the length of the time-out are changed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use adieu::Client;
use adieu::tls::rustls::ClientConfig;

use crate::world::Scratch;

/// The name in the snippets.
pub(super) const SITE: &str = "chat.example.com";

/// Where the programs were unpacked: `cargo xtask deploy` says it.
const PROGRAMS: &str = "ADIEU_PROXIES";

/// From where the clients of the tests connect.
pub(super) const CLIENT: [u8; 4] = [127, 0, 0, 77];

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::Caddy];

    fn snippet(self) -> &'static str {
        match self {
            Kind::Nginx => include_str!("../../../../../deploy/nginx/adieu.conf"),
            Kind::Haproxy => include_str!("../../../../../deploy/haproxy/adieu.cfg"),
            Kind::Caddy => include_str!("../../../../../deploy/caddy/Caddyfile"),
        }
    }

    /// What of the snippet is changed, and what stands around it.
    fn config(self, at: &Place) -> String {
        let Place { listen, gateway, timeout, dir, .. } = at;
        let (certificate, key, both) =
            (shown(dir, "cert.pem"), shown(dir, "key.pem"), shown(dir, "both.pem"));
        let gateway = ("127.0.0.1:8080", gateway.to_string());
        match self {
            Kind::Nginx => {
                let snippet = changed(
                    self.snippet(),
                    &[
                        gateway,
                        ("listen 443 ssl", format!("listen {listen} ssl")),
                        ("/etc/ssl/chat.example.com.pem", certificate),
                        ("/etc/ssl/private/chat.example.com.key", key),
                        ("proxy_read_timeout 60s", format!("proxy_read_timeout {timeout}")),
                        ("proxy_send_timeout 60s", format!("proxy_send_timeout {timeout}")),
                    ],
                );
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|of| format!("{of}_temp_path {};\n", shown(dir, of)))
                    .concat();
                // One process, so that it ends with the test.
                format!(
                    "daemon off; master_process off; pid {};\nevents {{}}\nhttp {{\n\
                     access_log off;\n{temporary}{snippet}}}\n",
                    shown(dir, "pid")
                )
            }
            Kind::Haproxy => changed(
                self.snippet(),
                &[
                    gateway,
                    ("bind :443", format!("bind {listen}")),
                    ("/etc/haproxy/chat.example.com.pem", both),
                    ("timeout tunnel 60s", format!("timeout tunnel {timeout}")),
                    ("maxconn 20000", "maxconn 200".into()),
                ],
            ),
            Kind::Caddy => {
                let (ip, port) = (listen.ip(), listen.port());
                let site =
                    format!("https://{SITE}:{port} {{\n\tbind {ip}\n\ttls {certificate} {key}\n");
                let snippet = changed(self.snippet(), &[gateway, ("chat.example.com {\n", site)]);
                format!(
                    "{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\n\
                     {snippet}"
                )
            }
        }
    }

    fn command(self, file: &Path, dir: &Path) -> Command {
        let root = std::env::var_os(PROGRAMS);
        let root = PathBuf::from(root.unwrap_or_else(|| {
            panic!("{PROGRAMS} names no directory with the proxies: run cargo xtask deploy")
        }));
        let (program, before, after): (_, &[&str], &[&str]) = match self {
            Kind::Nginx => ("usr/sbin/nginx", &["-e", "stderr", "-c"], &[]),
            Kind::Haproxy => ("usr/sbin/haproxy", &["-db", "-f"], &[]),
            Kind::Caddy => ("usr/bin/caddy", &["run", "--config"], &["--adapter", "caddyfile"]),
        };
        let mut command = Command::new(root.join(program));
        command.args(before).arg(file).args(after);
        // Libraries that came with it.
        command.env(
            "LD_LIBRARY_PATH",
            std::env::var_os("ADIEU_PROXIES_LIBRARIES").unwrap_or_default(),
        );
        // Where Caddy writes.
        command.env("HOME", dir).env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir);
        command
    }
}

/// What a configuration is made for.
struct Place {
    listen: SocketAddr,
    gateway: SocketAddr,
    timeout: String,
    dir: PathBuf,
}

fn shown(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

/// A snippet in which each of these stands, once or more.
fn changed(snippet: &str, changes: &[(&str, String)]) -> String {
    changes.iter().fold(snippet.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the snippet has no {from:?} any more:\n{text}");
        text.replace(from, to)
    })
}

/// A proxy that runs; it ends with this value.
pub(super) struct Proxy {
    child: Child,
    listen: SocketAddr,
    tls: Arc<ClientConfig>,
    _dir: Scratch,
}

impl Proxy {
    /// Before this gateway, with this time for a silent WebSocket.
    pub(super) fn start(kind: Kind, gateway: SocketAddr, timeout: &str) -> Self {
        let scratch = Scratch::new();
        let dir = scratch.path().to_owned();
        std::fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed([SITE.to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("cert.pem", &certificate);
        write("key.pem", &key);
        write("both.pem", &format!("{certificate}{key}"));
        let tls = adieu::tls::client_config_trusting(dir.join("cert.pem")).unwrap();
        // Nobody else uses this address, so its port stays free.
        let free = TcpListener::bind(testkit::own_address()).unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let place = Place { listen, gateway, timeout: timeout.to_owned(), dir: dir.clone() };
        let file = dir.join("config");
        std::fs::write(&file, kind.config(&place)).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = kind.command(&file, &dir);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut proxy = Proxy { child, listen, tls, _dir: scratch };
        testkit::wait_until(&format!("{kind:?} listens"), || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                let said = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
                panic!("{kind:?} has ended ({status}): {said}");
            }
            TcpStream::connect(listen).is_ok()
        });
        proxy
    }

    /// A client whose name for the proxy is that of the site, and that comes from `CLIENT`.
    pub(super) async fn client(&self) -> Client {
        let relay = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = relay.local_addr().unwrap();
        let to = self.listen;
        tokio::spawn(async move {
            while let Ok((mut near, _)) = relay.accept().await {
                tokio::spawn(async move {
                    let socket = tokio::net::TcpSocket::new_v4().unwrap();
                    socket.bind((CLIENT, 0).into()).unwrap();
                    let Ok(mut far) = socket.connect(to).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Client::new().resolve(SITE, [at]).tls(self.tls.clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
