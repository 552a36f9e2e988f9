//! `adieu serve` under a service manager, as systemd starts it: what it tells over a real
//! NOTIFY_SOCKET, and a listening socket that it is handed over.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use testkit::{Frame, Peer, Request};

use crate::world::{Backend, Page, Process, Scratch, refused_by};

/// The process ID is known once the process is there: the shell becomes the gateway.
const AS_SYSTEMD_DOES: &str = r#"exec 3<&0 0</dev/null
export WATCHDOG_PID=$$
if [ -n "$LISTEN_FDS" ]; then export LISTEN_PID=$$; fi
exec "$ADIEU" "$@""#;

/// The command with this as the first socket that it is handed over, if it is one.
fn started(first: Option<TcpListener>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", AS_SYSTEMD_DOES, "adieu"]).env("ADIEU", env!("CARGO_BIN_EXE_adieu"));
    for name in ["ADIEU_BACKEND_SECRET", "ADIEU_API_KEY", "RUST_LOG", "LISTEN_FDS"] {
        command.env_remove(name);
    }
    if let Some(listener) = first {
        command.stdin(Stdio::from(OwnedFd::from(listener))).env("LISTEN_FDS", "1");
    }
    command
}

/// What listens to NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
    /// How many of these lines were looked at.
    looked_at: usize,
    dir: Scratch,
}

impl Manager {
    fn listens(command: &mut Command) -> Self {
        let dir = Scratch::new();
        std::fs::create_dir_all(dir.path()).unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(testkit::DEADLINE)).unwrap();
        command.env("NOTIFY_SOCKET", &path);
        Manager { socket, heard: Vec::new(), looked_at: 0, dir }
    }

    /// Hears what it is told until it is this line.
    fn hears(&mut self, expected: &str) {
        loop {
            while let Some(line) = self.heard.get(self.looked_at) {
                self.looked_at += 1;
                if line == expected {
                    return;
                }
            }
            let mut datagram = [0; 4096];
            let length = self.socket.recv(&mut datagram);
            let length = length.unwrap_or_else(|e| panic!("no {expected}: {e}: {:?}", self.heard));
            let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }
}

#[test]
fn a_service_manager_hears_that_it_is_ready_lives_and_how_far_its_stop_is() {
    let mut command = started(None);
    // Nobody waits for a tenth of a second: two of them are asked for.
    command.env("WATCHDOG_USEC", "200000");
    let mut manager = Manager::listens(&mut command);
    let mut gateway = Process::spawn(command, &[]);
    manager.hears("READY=1");
    assert_eq!(manager.heard[0], "READY=1", "the first that it says");
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    let mut peer = Peer::open_with(gateway.addr, &Request::rfc6455().target("/ws"));
    manager.hears("STATUS=1 connection; 1 session connected, 0 away");
    gateway.signal("TERM");
    manager.hears("STOPPING=1");
    // It answers late.
    while peer.read_frame().close_code().is_none() {}
    manager.hears("STATUS=Stopping: 1 of 1 connection left");
    manager.hears("WATCHDOG=1");
    peer.send(&Frame::close(1001, ""));
    peer.read_to_end();
    drop(peer);
    // 3: on a slow machine its answer came too late for the gateway.
    assert!(matches!(gateway.ended().code(), Some(0 | 3)), "{}", gateway.errors());
    assert_eq!(manager.heard.iter().filter(|line| *line == "READY=1").count(), 1);
}

/// As `ExecReload` of the unit does it. Without a terminal SIGHUP reads the certificate anew.
#[test]
fn a_service_manager_hears_that_the_certificate_is_read_anew() {
    let mut without_terminal = Command::new("env");
    let plain = started(None);
    // The tests may be run with nohup.
    let command = ["--default-signal=HUP", "setsid", "--wait", "sh"];
    without_terminal.args(command).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => without_terminal.env(name, value),
            None => without_terminal.env_remove(name),
        };
    }
    let mut manager = Manager::listens(&mut without_terminal);
    let gateway = Process::spawn(without_terminal, &[]);
    manager.hears("READY=1");
    gateway.signal("HUP");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
}

#[test]
fn a_service_manager_that_is_gone_stops_nothing() {
    let mut command = started(None);
    // It is told each tenth of a second.
    command.env("WATCHDOG_USEC", "200000");
    let manager = Manager::listens(&mut command);
    drop(manager);
    let mut gateway = Process::spawn(command, &[]);
    gateway.until_error("NOTIFY_SOCKET");
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.errors());
    // That it is ready, how it is, and that it stops.
    assert_eq!(gateway.errors().matches("NOTIFY_SOCKET").count(), 1, "{}", gateway.errors());
}

/// The stop of a gateway that cannot say that it stops.
#[test]
fn a_service_manager_that_hears_nothing_holds_up_no_stop() {
    let mut command = started(None);
    let manager = Manager::listens(&mut command);
    let other = UnixDatagram::unbound().unwrap();
    other.connect(manager.dir.path().join("notify")).unwrap();
    other.set_nonblocking(true).unwrap();
    // Its queue is full, and whoever has more to say waits.
    while other.send(b"STATUS=full").is_ok() {}
    let mut gateway = Process::spawn(command, &[]);
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.errors());
}

#[test]
fn an_address_that_is_not_listened_on_is_named_where_a_socket_is_handed_over() {
    let (listener, addr) = socket();
    let mut gateway = Process::spawn(started(Some(listener)), &["--listen", "unix:./not.sock"]);
    assert_eq!(gateway.addr, addr);
    gateway.until_error("--listen unix:./not.sock is not used");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.errors());
}

/// A socket that is listened on, as long as this test runs.
fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_during_a_restart_wait_for_the_next_process() {
    let (backend, data) = (Backend::start().await, Scratch::new());
    let (listener, addr) = socket();
    let start = || {
        let mut command = started(Some(listener.try_clone().unwrap()));
        command.env("ADIEU_BACKEND_SECRET", Backend::SECRET);
        let data = data.path().to_str().unwrap();
        let process = Process::spawn(command, &["--data", data, "--backend", &backend.url()]);
        assert_eq!(process.addr, addr, "it listens on the socket, not on its --listen");
        process
    };
    let mut first = start();
    let mut page = Page::default();
    page.connect(&first.url()).await;
    page.say("before").await;
    page.all_acknowledged().await;
    let upgrade = Request::rfc6455().target("/ws");
    let mut holds_it_up = Peer::open_with(addr, &upgrade);
    first.signal("TERM");
    assert_eq!(page.closed_with().await.0, 1001);
    while holds_it_up.read_frame().close_code().is_none() {}
    // From here on the first process takes no more. These are in the queue of the kernel.
    let come = (0..20).map(|_| {
        let mut peer = Peer::connect(addr);
        peer.write(upgrade.bytes());
        peer
    });
    let come: Vec<Peer> = come.collect();
    holds_it_up.send(&Frame::close(1001, ""));
    holds_it_up.read_to_end();
    drop(holds_it_up);
    // 3: on a slow machine its answer came too late for the gateway.
    assert!(matches!(first.ended().code(), Some(0 | 3)), "{}", first.errors());
    let mut second = start();
    for mut peer in come {
        assert_eq!(peer.read_head().status(), 101);
        peer.send(&Frame::close(1000, ""));
        while peer.read_frame().close_code().is_none() {}
        peer.read_to_end();
    }
    assert!(page.connect(&second.url()).await.resumed, "nothing of the session is lost");
    page.say("after").await;
    page.all_acknowledged().await;
    backend.until("all is heard", |it| it.said(&page.session) == ["before", "after"]).await;
    second.signal("TERM");
    assert_eq!(page.closed_with().await.0, 1001);
    assert_eq!(second.ended().code(), Some(0), "{}", second.errors());
}

/// Two sockets: the second as standard error, which is the shell's until then.
#[test]
fn each_socket_that_is_handed_over_is_listened_on() {
    let dir = Scratch::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    let path = dir.path().join("adieu.sock");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (tcp, addr) = socket();
    let mut command = Command::new("sh");
    let both = AS_SYSTEMD_DOES.replace("exec 3<&0 0</dev/null", "exec 3<&0 0</dev/null 4<&2 2>&1");
    command.args(["-c", &both, "adieu"]).env("ADIEU", env!("CARGO_BIN_EXE_adieu"));
    command.env_remove("ADIEU_API_KEY").env("LISTEN_FDS", "2").arg("serve");
    command.stdin(Stdio::from(OwnedFd::from(tcp))).stderr(Stdio::from(OwnedFd::from(unix)));
    command.stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    drop(command);
    let mut said = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), format!("adieu is listening on http://{addr}/"));
    let unix = format!("adieu is listening on unix:{}", path.display());
    assert_eq!(said.next().unwrap().unwrap(), unix);
    let ask = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let mut over_unix = std::os::unix::net::UnixStream::connect(&path).unwrap();
    over_unix.write_all(ask.as_bytes()).unwrap();
    over_unix.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ready\n"), "{answer}");
    let mut over_tcp = std::net::TcpStream::connect(addr).unwrap();
    over_tcp.write_all(ask.as_bytes()).unwrap();
    over_tcp.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ready\n") && answer.matches("200 OK").count() == 2, "{answer}");
}

/// A process that ends with this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_no_socket_is_refused_with_what_is_wrong() {
    let mut command = started(None);
    // Standard input, as the first of them.
    command.stdin(Stdio::null()).env("LISTEN_FDS", "1");
    let said = refused_by(command);
    assert!(said.contains("LISTEN_FDS") && said.contains("fd 3"), "{said}");
    assert!(said.contains("adieu.socket"), "{said}");
}
