//! HAProxy shares requests among nodes that are well, and nodes come and go.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use rig::{HaProxy, HaProxyOptions, wait_for, wait_until};

/// A key of a client, and the answer to it, which HAProxy looks at (RFC 6455, section 4.2.2).
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const ACCEPT: &str = "ICX+Yqv66kxgM0FcWaLWlFLwTAI=";

/// Says its name to each request; on `/ws` it switches protocols and sends back what it gets.
struct Node {
    name: String,
    addr: SocketAddr,
    is_ready: Arc<AtomicBool>,
}

impl Node {
    fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let is_ready = Arc::new(AtomicBool::new(true));
        let node = Node { name: name.to_owned(), addr, is_ready: is_ready.clone() };
        let name = name.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (name, is_ready) = (name.clone(), is_ready.clone());
                thread::spawn(move || serve(stream, &name, &is_ready));
            }
        });
        node
    }
}

/// The first line of a head, and nothing else of it.
fn head(from: &mut impl BufRead) -> Option<String> {
    let (mut first, mut line) = (String::new(), String::new());
    from.read_line(&mut first).ok()?;
    while line != "\r\n" {
        line.clear();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
    }
    Some(first)
}

fn serve(mut stream: TcpStream, name: &str, is_ready: &AtomicBool) {
    let mut from = BufReader::new(stream.try_clone().expect("another handle"));
    let Some(first) = head(&mut from) else { return };
    if first.contains("/ws") {
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
        let _ = write!(stream, "{switch}\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n{name}");
        let _ = std::io::copy(&mut from, &mut stream);
        return;
    }
    let is_well = !first.contains("/readyz") || is_ready.load(SeqCst);
    let status = if is_well { "200 OK" } else { "503 Service Unavailable" };
    let len = name.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{name}"
    );
}

/// The name of the node that answers; nothing if HAProxy has none.
fn ask(haproxy: &HaProxy) -> String {
    let mut stream = TcpStream::connect(haproxy.addr()).expect("a connection");
    stream.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
    let mut from = BufReader::new(stream);
    let first = head(&mut from).expect("an answer");
    let mut name = String::new();
    from.read_to_string(&mut name).expect("its body");
    if first.contains("200") { name } else { String::new() }
}

/// A WebSocket (its handshake, and bytes), and the name of its node.
fn open(haproxy: &HaProxy) -> (BufReader<TcpStream>, String) {
    let mut stream = TcpStream::connect(haproxy.addr()).expect("a connection");
    stream.set_read_timeout(Some(rig::DEADLINE)).expect("a time-out");
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
    stream.write_all(format!("{request}{KEY}\r\n\r\n").as_bytes()).expect("sent");
    let mut from = BufReader::new(stream);
    let first = head(&mut from).expect("an answer");
    assert!(first.contains("101"), "{first}");
    let name = echo(&mut from, "", 1);
    (from, name)
}

fn echo(stream: &mut BufReader<TcpStream>, text: &str, len: usize) -> String {
    stream.get_mut().write_all(text.as_bytes()).expect("sent");
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).expect("bytes");
    String::from_utf8(bytes).expect("text")
}

/// Waits until these nodes and no others answer. A check that was slow, because the machine is
/// busy, may have taken one out for a moment.
fn serve_all_requests(haproxy: &HaProxy, expected: &str) {
    wait_until(&format!("{expected} serve"), || {
        let mut names: Vec<String> = (0..12).map(|_| ask(haproxy)).collect();
        names.sort();
        names.dedup();
        names.concat() == expected
    });
}

#[test]
fn it_shares_among_those_that_are_well_and_lets_them_be_replaced() {
    if !rig::has("HAProxy", &["haproxy"]) {
        return;
    }
    let (a, b, c) = (Node::start("a"), Node::start("b"), Node::start("c"));
    let haproxy = HaProxyOptions::new()
        .slots(4)
        .check("/readyz", Duration::from_millis(50))
        .start(&[a.addr, b.addr]);
    haproxy.wait_checked(0);
    haproxy.wait_checked(1);
    serve_all_requests(&haproxy, "ab");
    assert_eq!(haproxy.servers().len(), 4);
    assert!(haproxy.servers()[0].total >= 6);

    let is_of_b = |(socket, name)| if name == b.name { Some(socket) } else { None };
    let mut of_b = wait_for("a WebSocket of b", || is_of_b(open(&haproxy)));

    // A check that fails: no new requests, and what is open goes on.
    b.is_ready.store(false, SeqCst);
    haproxy.wait_down(1);
    wait_until("it says why", || haproxy.servers()[1].check.ends_with("L7STS"));
    serve_all_requests(&haproxy, "a");
    assert_eq!(echo(&mut of_b, "still", 5), "still");
    assert_eq!(haproxy.servers()[1].current, 1);
    b.is_ready.store(true, SeqCst);
    haproxy.wait_checked(1);
    serve_all_requests(&haproxy, "ab");

    // Another node in its slot. One that is not well gets nothing.
    c.is_ready.store(false, SeqCst);
    haproxy.set(1, c.addr);
    assert!(!haproxy.servers()[1].is_up(), "not before a good check");
    wait_until("it is checked", || haproxy.servers()[1].check.ends_with("L7STS"));
    serve_all_requests(&haproxy, "a");
    c.is_ready.store(true, SeqCst);
    haproxy.wait_checked(1);
    serve_all_requests(&haproxy, "ac");

    haproxy.drain(0);
    serve_all_requests(&haproxy, "c");
    haproxy.enable(0);
    haproxy.set(2, b.addr);
    haproxy.wait_checked(2);
    serve_all_requests(&haproxy, "abc");
    haproxy.disable(1);
    serve_all_requests(&haproxy, "ab");
    assert_eq!(echo(&mut of_b, "yet", 3), "yet", "a slot is replaced, its connections are not");
    haproxy.close(1);
    assert_eq!(of_b.read(&mut [0]).unwrap_or(0), 0, "now they are");
    // A node that is gone: refused, and the next one is asked.
    let nobody = rig::Port::take();
    haproxy.set(2, nobody.addr());
    haproxy.wait_down(2);
    serve_all_requests(&haproxy, "a");
}
