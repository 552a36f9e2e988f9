//! The switches of the proxy, in front of a server that sends back what it gets, and of Redis.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rig::{Connection, Proxy, RedisOptions, wait_until};

/// Short against what a machine is busy for, and long against none.
const DELAY: Duration = Duration::from_millis(150);

/// Sends back what it gets, behind a greeting.
fn echo(greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.write_all(greeting.as_bytes());
                let mut from = stream.try_clone().expect("another handle");
                let _ = std::io::copy(&mut from, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

/// A client of the proxy, which has been greeted.
fn client(proxy: &Proxy, greeting: &str) -> TcpStream {
    let mut client = TcpStream::connect(proxy.addr()).expect("a connection");
    client.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
    assert_eq!(read(&mut client, greeting.len()), greeting);
    client
}

fn read(client: &mut TcpStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    client.read_exact(&mut bytes).expect("bytes");
    String::from_utf8(bytes).expect("text")
}

/// How long something sent takes to come back.
fn round_trip(client: &mut TcpStream) -> Duration {
    let began = Instant::now();
    client.write_all(b"ping").expect("it is sent");
    assert_eq!(read(client, 4), "ping");
    began.elapsed()
}

/// That nothing comes for a while.
fn hears_nothing(client: &mut TcpStream) {
    client.set_read_timeout(Some(DELAY)).expect("a time-out");
    let error = client.read(&mut [0]).expect_err("nothing");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    client.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
}

#[test]
fn it_delays_each_direction_and_keeps_the_order() {
    let proxy = Proxy::start(echo("hello"));
    let mut client = client(&proxy, "hello");
    proxy.delay(DELAY, Duration::ZERO);
    assert!(round_trip(&mut client) >= DELAY);
    proxy.delay(Duration::ZERO, DELAY);
    assert!(round_trip(&mut client) >= DELAY);
    proxy.delay(DELAY, 2 * DELAY);
    assert!(round_trip(&mut client) >= 3 * DELAY);
    // A delay is no limit of the bandwidth: what is sent within it arrives together.
    let text: String = (0..5_000).map(|number| format!("{number:04},")).collect();
    let began = Instant::now();
    for part in text.as_bytes().chunks(250) {
        client.write_all(part).expect("it is sent");
    }
    assert_eq!(read(&mut client, text.len()), text);
    assert!(began.elapsed() >= 3 * DELAY);
    proxy.pass();
    let quickest = (0..50).map(|_| round_trip(&mut client)).min().expect("some");
    assert!(quickest < DELAY, "{quickest:?}");
    // The end passes as well, in one direction after the other.
    client.shutdown(Shutdown::Write).expect("a FIN");
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    wait_until("it is over", || proxy.connections() == 0);
}

#[test]
fn a_silence_holds_everything_and_loses_nothing() {
    let proxy = Proxy::start(echo("hello"));
    let mut old = client(&proxy, "hello");
    proxy.silence();
    old.write_all(b"ping").expect("it is sent");
    let mut new = TcpStream::connect(proxy.addr()).expect("it is accepted");
    hears_nothing(&mut old);
    hears_nothing(&mut new);
    assert_eq!(proxy.connections(), 2);
    proxy.pass();
    assert_eq!(read(&mut old, 4), "ping");
    new.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
    assert_eq!(read(&mut new, 5), "hello");
    // An RST does not pass in a silence either.
    proxy.silence();
    rst(old);
    thread::sleep(DELAY / 10);
    assert_eq!(proxy.connections(), 2);
    proxy.pass();
    wait_until("the reset has passed", || proxy.connections() == 1);
}

/// Closes with an RST: there are bytes that it has not read.
fn rst(mut client: TcpStream) {
    client.write_all(b"more").expect("it is sent");
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("SO_LINGER");
}

#[test]
fn a_reset_is_seen_by_both_ends_and_a_refusal_by_new_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("its address"));
    let open = || {
        let client = TcpStream::connect(proxy.addr()).expect("a connection");
        let (server, _) = listener.accept().expect("the proxy connects");
        [client, server].map(|end| {
            end.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
            end
        })
    };
    let [mut client, mut server] = open();
    proxy.reset();
    for end in [&mut client, &mut server] {
        let error = end.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(proxy.connections(), 0);

    let [mut client, mut server] = open();
    proxy.refuse();
    let error = TcpStream::connect(proxy.addr()).expect_err("nobody accepts");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"on").expect("it goes on");
    assert_eq!(read(&mut server, 2), "on");
    let accepted = proxy.accepted();
    proxy.pass();
    let _again = open();
    assert_eq!(proxy.accepted(), accepted + 1);

    // A client that resets is a reset for the server.
    rst(client);
    assert_eq!(read(&mut server, 4), "more");
    assert_eq!(server.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn it_can_be_pointed_at_another_server_and_at_none() {
    let proxy = Proxy::start(echo("first"));
    let mut before = client(&proxy, "first");
    proxy.point_at(echo("second"));
    let _after = client(&proxy, "second");
    round_trip(&mut before);
    let nobody = rig::Port::take();
    proxy.point_at(nobody.addr());
    let mut refused = TcpStream::connect(proxy.addr()).expect("the proxy accepts");
    refused.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
    assert_eq!(refused.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_write_that_nobody_reads_does_not_outlive_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("its address"));
    let mut client = TcpStream::connect(proxy.addr()).expect("a connection");
    let (_server, _) = listener.accept().expect("the proxy connects");
    client.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    while client.write(&[7; 64 * 1024]).is_ok() {}
    drop(proxy);
}

#[test]
fn redis_behind_it_is_slow_and_away() {
    if !rig::has("Redis behind a proxy", &["redis-server"]) {
        return;
    }
    let redis = RedisOptions::new().start();
    let proxy = Proxy::start(redis.addr());
    let mut slow = Connection::open(proxy.addr()).expect("a connection");
    assert!(slow.command(&["SET", "a", "1"]).expect("an answer").is_ok());
    proxy.delay(DELAY / 2, DELAY / 2);
    let began = Instant::now();
    assert_eq!(slow.command(&["GET", "a"]).expect("an answer").text(), "1");
    assert!(began.elapsed() >= DELAY);
    proxy.silence();
    slow.patience(DELAY).expect("a time-out");
    assert!(slow.command(&["INCR", "a"]).is_err());
    assert_eq!(redis.command(&["GET", "a"]).text(), "1", "it has not arrived");
    proxy.pass();
    wait_until("it arrives", || redis.command(&["GET", "a"]).text() == "2");
}
