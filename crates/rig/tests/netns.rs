//! A Redis on this machine, and clients in networks of their own that are cut off from it.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use rig::{Connection, Directory, Namespace, Network, Process, RedisOptions, wait_for, wait_until};

/// A command that is answered.
fn ask(connection: &mut Connection, args: &[&str]) -> String {
    connection.patience(rig::DEADLINE).expect("a time-out");
    connection.command(args).expect("an answer").to_string()
}

/// A command that is not answered, and nobody says why.
fn hears_nothing(connection: &mut Connection, args: &[&str]) {
    connection.patience(Duration::from_millis(400)).expect("a time-out");
    let kind = connection.command(args).expect_err("nothing passes").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "told: {kind:?}");
}

#[test]
fn a_namespace_is_cut_off_silently_and_comes_back() {
    if !rig::has("network namespaces", &["redis-server", "ip", "iptables"]) {
        return;
    }
    let Some(network) = Network::new("a namespace that is cut off") else { return };
    let (one, other) = (network.namespace(), network.namespace());
    let redis = RedisOptions::new().bind(network.address()).start();
    let open = |from: &Namespace| {
        let addr = redis.addr();
        from.within(move || Connection::open(addr)).expect("a connection")
    };
    let (mut a, mut b) = (open(&one), open(&other));
    for connection in [&mut a, &mut b] {
        assert_eq!(ask(connection, &["PING"]), "PONG");
    }
    let named = ask(&mut a, &["CLIENT", "INFO"]);
    assert!(named.contains(&format!("addr={}:", one.address())), "{named}");

    one.cut_off(network.address());
    hears_nothing(&mut a, &["INCR", "n"]);
    assert_eq!(ask(&mut b, &["INCR", "n"]), "1", "the other one is not cut off");
    // In each direction by itself; UDP needs no answer.
    let (host, inside) = (Udp::of_machine(&network), Udp::of_namespace(&one));
    let is_apart = || !host.reaches(&inside) && !inside.reaches(&host);
    assert!(is_apart());
    // Only from this machine: they still reach each other.
    let (ours, theirs) = (Listener::at(&one), Listener::at(&other));
    wait_until("they reach each other", || theirs.accepts(&one) && ours.accepts(&other));
    one.reconnect();
    wait_until("packets pass again", || host.reaches(&inside) && inside.reaches(&host));
    // The kernel has repeated it: the command arrives, without anybody's doing.
    a.patience(rig::DEADLINE).expect("a time-out");
    assert_eq!(a.answer().expect("the answer, late").integer(), 2);

    one.isolate();
    assert!(is_apart());
    one.reconnect();
    other.isolate();
    hears_nothing(&mut b, &["PING"]);
    assert!(!theirs.accepts(&one));
    other.reconnect();
    wait_until("it is reached again", || theirs.accepts(&one));

    // The kernel inside knows of this one: it has no route any more.
    one.link_down();
    let addr = redis.addr();
    let error = one.within(move || Connection::open(addr)).expect_err("no network");
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    one.link_up();
    wait_until("the network is back", || one.within(move || Connection::open(addr)).is_ok());
}

/// A socket for datagrams.
struct Udp(UdpSocket);

impl Udp {
    fn of_machine(network: &Network) -> Self {
        Udp(UdpSocket::bind((network.address(), 0)).expect("a port"))
    }

    fn of_namespace(namespace: &Namespace) -> Self {
        let address = namespace.address();
        Udp(namespace.within(move || UdpSocket::bind((address, 0)).expect("a port")))
    }

    /// Whether a datagram arrives within a while.
    fn reaches(&self, other: &Udp) -> bool {
        // An error: the kernel has dropped it at once.
        let _ = self.0.send_to(b"hello", other.0.local_addr().expect("its address"));
        other.0.set_read_timeout(Some(Duration::from_millis(150))).expect("a time-out");
        other.0.recv(&mut [0; 5]).is_ok()
    }
}

/// A listener inside a namespace.
struct Listener(std::net::TcpListener);

impl Listener {
    fn at(namespace: &Namespace) -> Self {
        let address: IpAddr = namespace.address();
        Listener(
            namespace.within(move || std::net::TcpListener::bind((address, 0))).expect("a port"),
        )
    }

    /// Whether a client in this namespace reaches it.
    fn accepts(&self, from: &Namespace) -> bool {
        let addr: SocketAddr = self.0.local_addr().expect("its address");
        let patience = Duration::from_millis(500);
        from.within(move || std::net::TcpStream::connect_timeout(&addr, patience)).is_ok()
    }
}

#[test]
fn a_program_runs_in_a_namespace_and_is_reached_there() {
    if !rig::has("a program in a namespace", &["redis-server", "ip", "iptables"]) {
        return;
    }
    let Some(network) = Network::new("a program in a namespace") else { return };
    let namespace = network.namespace();
    let directory = Directory::new();
    let address = namespace.address().to_string();
    // Its ports are all free.
    let mut command = namespace.command("redis-server");
    command.args(["--port", "6379", "--save", "", "--protected-mode", "no", "--bind", &address]);
    command.current_dir(directory.path()).stdin(Stdio::null());
    let mut process = Process::start(command, &directory.file("log"));
    let addr = SocketAddr::new(namespace.address(), 6379);
    let mut client = wait_for("it answers", || Connection::open(addr).ok());
    let info = client.command(&["INFO", "server"]).expect("an answer").text();
    assert!(info.contains(&format!("process_id:{}\r", process.id())), "the id is the program's");
    process.stop();
    hears_nothing(&mut client, &["PING"]);
    process.cont();
    process.terminate();
    assert!(Connection::open(addr).is_err());
}
