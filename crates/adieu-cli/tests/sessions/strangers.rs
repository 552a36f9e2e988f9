//! Strangers who say nothing, too much, or guess.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{API_KEY, Process, Scratch};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The command where it may have this many descriptors.
fn with_descriptors(n: usize) -> Command {
    let mut command = Command::new("sh");
    let serve = format!("ulimit -n {n}; exec {} \"$@\"", env!("CARGO_BIN_EXE_adieu"));
    command.args(["-c", &serve, "adieu"]).env_remove("ADIEU_API_KEY").env_remove("RUST_LOG");
    command
}

fn silent(gateway: &Process) -> TcpStream {
    let tcp = TcpStream::connect(gateway.addr).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// Waits until the gateway ends it.
fn until_closed(mut tcp: TcpStream) {
    match tcp.read(&mut [0; 1024]) {
        Ok(0) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

/// How long a connection may say nothing where there is room for it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// One that came after this moment is open, if its own time is not up: what was ended before it
/// was not ended because of its time.
fn is_open_in_its_time(tcp: &mut TcpStream, came_after: Instant) {
    tcp.set_nonblocking(true).unwrap();
    let is_open = matches!(tcp.read(&mut [0]), Err(error) if is_timeout(&error));
    assert!(is_open || came_after.elapsed() >= HEAD_TIMEOUT, "the youngest made room");
}

fn is_healthy(gateway: &Process) -> bool {
    gateway.request("GET", "/healthz", "").0.starts_with("HTTP/1.1 200")
}

#[cfg(target_os = "linux")]
#[test]
fn silent_sockets_take_neither_all_descriptors_nor_the_place_of_those_who_speak() {
    let gateway = Process::spawn(with_descriptors(256), &[]);
    let crowd: Vec<_> = (0..300).map(|_| silent(&gateway)).collect();
    assert!(is_healthy(&gateway));
    let mut peer =
        testkit::Peer::open_with(gateway.addr, &testkit::Request::rfc6455().target("/ws"));
    assert!(gateway.metric(r#"adieu_refused_total{by="descriptors"}"#) >= 1.0);
    peer.send(&testkit::Frame::close(1000, ""));
    peer.read_to_end();
    drop(crowd);
}

/// However many come at a time when those before them have had theirs.
#[cfg(target_os = "linux")]
#[test]
fn a_crowd_that_takes_the_place_of_another_takes_no_descriptor_that_is_kept() {
    // 96 for connections, 32 for probes, and 32 for no connection: for the store and its like.
    let gateway = Process::spawn(with_descriptors(160), &[]);
    let mut first: Vec<_> = (0..600).map(|_| silent(&gateway)).collect();
    for tcp in first.drain(..256) {
        until_closed(tcp);
    }
    assert!(is_healthy(&gateway));
    assert!(!gateway.errors().contains("accept"), "{}", gateway.errors());
}

/// However young the silent sockets are: the one who speaks waits until one of them has had its
/// time, and is not refused.
#[cfg(target_os = "linux")]
#[test]
fn a_websocket_waits_for_room_that_silent_sockets_have() {
    let gateway = Process::spawn(with_descriptors(256), &[]);
    let mut crowd = Vec::new();
    for _ in 0..4 {
        // The gateway accepts no more of them than leave some descriptors.
        crowd.extend((0..100).map(|_| silent(&gateway)));
        let request = testkit::Request::rfc6455().target("/ws");
        let mut peer = testkit::Peer::open_with(gateway.addr, &request);
        peer.send(&testkit::Frame::close(1000, ""));
        peer.read_to_end();
    }
    drop(crowd);
}

#[cfg(target_os = "linux")]
#[test]
fn websockets_leave_descriptors_for_the_probes() {
    let gateway = Process::spawn(with_descriptors(128), &[]);
    let request = testkit::Request::rfc6455().target("/ws");
    let mut open = Vec::new();
    let refused = loop {
        let mut peer = testkit::Peer::connect(gateway.addr);
        peer.write(request.bytes());
        let head = peer.read_head();
        if head.status() != 101 {
            break head;
        }
        open.push(peer);
        assert!(open.len() < 128);
    };
    assert_eq!((refused.status(), refused.field("Retry-After")), (503, Some("5")));
    assert!(open.len() >= 60, "{}", open.len());
    assert!(is_healthy(&gateway));
    assert!(gateway.metric(r#"adieu_refused_total{by="descriptors"}"#) >= 1.0);
}

#[test]
fn connections_that_say_nothing_make_room_for_those_that_come() {
    let gateway = Process::start(&["--max-handshakes", "5"]);
    let began = Instant::now();
    let mut crowd: Vec<_> = (0..8).map(|_| silent(&gateway)).collect();
    assert!(is_healthy(&gateway), "the first four have made room");
    crowd.drain(..4).for_each(until_closed);
    is_open_in_its_time(&mut crowd[3], began);
    assert!(gateway.metric(r#"adieu_refused_total{by="handshakes"}"#) >= 4.0);
}

/// Asks whether the gateway lives, and keeps the connection.
fn asks(tcp: &mut TcpStream) {
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).expect("it was not sent away");
    assert_eq!(answer, *b"HTTP/1.1 200");
}

/// Waits until the gateway ends it, whatever it says before.
fn until_over(mut tcp: TcpStream) {
    while matches!(tcp.read(&mut [0; 1024]), Ok(1..)) {}
}

#[test]
fn a_connection_that_was_served_makes_room_before_one_that_has_not_asked_yet() {
    let gateway = Process::start(&["--max-handshakes", "2"]);
    let mut slow = silent(&gateway);
    let mut served = silent(&gateway);
    asks(&mut served);
    assert!(is_healthy(&gateway));
    until_over(served);
    asks(&mut slow);
}

/// Connects from another address of this machine, if it has that.
#[cfg(target_os = "linux")]
fn silent_from(last: u8, gateway: &Process) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
    socket.connect(&gateway.addr.into()).unwrap();
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_above_its_share_makes_room_before_one_that_has_waited_longer() {
    let limits = ["--max-handshakes", "4", "--max-handshakes-per-address", "2"];
    let gateway = Process::start(&limits);
    let mut slow = silent_from(2, &gateway);
    let crowd: Vec<_> = (0..3).map(|_| silent_from(3, &gateway)).collect();
    assert!(is_healthy(&gateway));
    until_closed(crowd.into_iter().next().unwrap());
    asks(&mut slow);
}

#[test]
fn an_address_whose_connections_say_nothing_loses_them_and_no_other_does() {
    let gateway = Process::start(&["--max-handshakes-per-address", "5"]);
    let mut crowd: Vec<_> = (0..8).map(|_| silent(&gateway)).collect();
    // They are let in at first: so a herd of clients behind a proxy is.
    assert!(crowd.iter_mut().rev().take(5).all(|tcp| {
        tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        tcp.read_exact(&mut answer).unwrap();
        answer == *b"HTTP/1.1 200"
    }));
    let (mut more, mut youngest) = (Vec::new(), Instant::now());
    let began = Instant::now();
    while gateway.metric(r#"adieu_refused_total{by="address"}"#) < 3.0 {
        assert!(began.elapsed() < PATIENCE, "they are never refused");
        youngest = Instant::now();
        more.push(silent(&gateway));
        std::thread::sleep(Duration::from_millis(50));
    }
    crowd.into_iter().take(3).for_each(until_closed);
    is_open_in_its_time(more.last_mut().expect("they made others go"), youngest);
}

#[test]
fn a_head_that_dribbles_in_ends_its_connection_and_one_that_showed_the_key_is_kept() {
    let mut command = crate::world::adieu(&[]);
    command.env("ADIEU_API_KEY", API_KEY);
    let gateway = Process::spawn(command, &[]);
    let ask = |tcp: &mut TcpStream, fields: &str| {
        let head = format!("GET /api/sessions HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let n = tcp.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    };
    let key = format!("Authorization: Bearer {API_KEY}\r\n");
    let mut known = silent(&gateway);
    assert!(ask(&mut known, &key).starts_with("HTTP/1.1 200"));
    let mut wrong = silent(&gateway);
    assert!(ask(&mut wrong, "").starts_with("HTTP/1.1 401"));
    let mute = silent(&gateway);
    let mut dribbles = silent(&gateway);
    dribbles.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    dribbles.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Its bytes keep nobody waiting.
    while matches!(dribbles.read(&mut [0]), Err(error) if is_timeout(&error)) {
        if dribbles.write_all(b"a").is_err() {
            break;
        }
    }
    until_closed(mute);
    until_closed(wrong);
    // By now it has been idle for longer than those were allowed to be.
    assert!(ask(&mut known, &key).starts_with("HTTP/1.1 200"));
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

#[cfg(unix)]
#[test]
fn a_store_that_is_removed_while_it_runs_is_told_loudly() {
    let data = Scratch::new();
    let gateway = Process::start(&["--data", data.path().to_str().unwrap()]);
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
    testkit::wait_until("its size is known", || gateway.metric("adieu_store_file_bytes") > 4096.0);
    std::fs::remove_file(data.path().join("adieu.redb")).unwrap();
    gateway.until_error("adieu.redb was removed while it is in use");
    let (head, body) = gateway.request("GET", "/readyz", "");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert_eq!(body, "the store is lost\n", "its path is for the log");
}

#[cfg(unix)]
#[test]
fn a_data_directory_that_everybody_may_write_to_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let data = Scratch::new();
    std::fs::create_dir(data.path()).unwrap();
    std::fs::set_permissions(data.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let gateway = Process::start(&["--data", data.path().to_str().unwrap()]);
    gateway.until_error("chmod o-w");
}
