//! What people say to each other, and what proves who they are, never reaches a log.

mod support;

use std::fmt::{self, Write};
use std::sync::{Mutex, Once};

use adieu::{Client, Config, Server, Socket, VersionSet};
use support::Host;
use testkit::{Frame, Listener, Peer, Request};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Stands wherever something private may stand.
const SECRET: &str = "xyzzy-plugh";

/// Every line at every level, spans and fields included.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl Capture {
    fn line(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.line(span.metadata(), |line| span.record(line));
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.line(event.metadata(), |line| event.record(line));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Has every line of this process captured.
fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Capture).unwrap());
}

async fn handler(mut socket: Socket) {
    // What a handler is likely to log of its own.
    tracing::info!(?socket, request = ?socket.request(), sender = ?socket.sender(), "opened");
    while let Some(message) = socket.recv().await {
        tracing::info!(length = message.len(), "received");
        assert!(!message.as_bytes().ends_with(b"panic"), "as the test wants it");
        // Hixie has no binary: the server logs that it closes for it.
        let _ = socket.send(message.clone().into_bytes()).await;
    }
}

fn private(request: Request) -> Request {
    request
        .target(&format!("/private?token={SECRET}"))
        .field("Cookie", &format!("session={SECRET}"))
        .field("Authorization", &format!("Bearer {SECRET}"))
}

fn say(host: &Host, request: &Request, bytes: &[u8]) {
    let mut peer = Peer::open_with(host.addr, request);
    peer.try_write(bytes);
    peer.fin();
    let _ = peer.read_to_end();
    drop(peer);
    host.account();
}

fn conversations(host: &Host) {
    let request = private(Request::rfc6455());
    let secret = |more: &str| format!("{SECRET}{more}");
    let cases = [
        Frame::text(secret("")).masked(),
        Frame::binary(secret("")).masked(),
        Frame::ping(secret("")).masked(),
        Frame::text(secret("")).unfinished().masked(),
        Frame::text(secret("")).masked()[..9].to_vec(),
        Frame::text(secret(" panic")).masked(),
        Frame::text([SECRET.as_bytes(), b"\xFF"].concat()).masked(),
        Frame::text(secret("")).unmasked(),
        Frame::text(secret("")).reserved(1).masked(),
        Frame::text(SECRET.repeat(200)).masked(),
        Frame::new(0x9, SECRET.repeat(20)).masked(),
    ];
    for bytes in cases {
        say(host, &request, &bytes);
    }
    let hixie: Vec<u8> = [b"\0", SECRET.as_bytes(), b"\xFF"].concat();
    say(host, &private(Request::hixie76()), &hixie);
    Peer::open_with(host.addr, &request).reset();
    host.account();
    for refused in [
        private(Request::rfc6455()).without("Sec-WebSocket-Key").bytes(),
        private(Request::rfc6455()).set("Sec-WebSocket-Version", "9").bytes(),
        private(Request::hixie76()).set("Sec-WebSocket-Key1", "nothing").bytes(),
        request.clone().field("Cookie", &SECRET.repeat(2000)).bytes(),
        request.bytes()[..request.bytes().len() - 3].to_vec(),
        secret("\r\n\r\n").into_bytes(),
    ] {
        let mut peer = Peer::connect(host.addr);
        peer.try_write(&refused);
        peer.fin();
        let _ = peer.read_to_end();
        drop(peer);
        host.account();
    }
}

fn a_client() {
    let listener = Listener::bind();
    let url = format!("{}?token={SECRET}", listener.url());
    let server = std::thread::spawn(move || {
        for answer in [Frame::text(SECRET), Frame::text([SECRET.as_bytes(), b"\xFF"].concat())] {
            let mut peer = listener.accept();
            let head = peer.answer_101_with(&format!("Set-Cookie: {SECRET}\r\n"));
            assert!(head.text.contains(SECRET));
            peer.send(&answer);
            peer.fin();
            let _ = peer.read_to_end();
        }
        let mut refusing = listener.accept();
        let _ = refusing.read_head();
        refusing.write(format!("HTTP/1.1 401 Unauthorized\r\nSet-Cookie: {SECRET}\r\n\r\n"));
        let _ = refusing.read_to_end();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::new().header("Authorization", SECRET);
        tracing::info!(?client, "a client");
        for _ in 0..2 {
            let mut socket = client.connect(&url).await.unwrap();
            socket.send(SECRET).await.unwrap();
            while let Some(message) = socket.recv().await {
                tracing::info!(length = message.len(), "received");
            }
            tracing::info!(ending = ?socket.ended().await, "ended");
        }
        let refused = client.connect(&url).await.unwrap_err();
        tracing::info!(?refused, "{refused}");
    });
    server.join().unwrap();
}

#[test]
fn nothing_private_is_logged() {
    capture();
    let config = Config { versions: VersionSet::all(), max_message: 1000, ..Config::default() };
    let server = Server::new(handler).config(config);
    let host = Host::run_telling(server, |account| {
        tracing::info!(ending = ?account.ending, "{}", account.ending);
    });
    conversations(&host);
    a_client();
    host.finish();
    let lines = LINES.lock().unwrap().clone();
    let of_the_library =
        lines.iter().filter(|line| line.split(' ').nth(1).is_some_and(|t| t.starts_with("adieu")));
    assert!(of_the_library.count() > 3, "the library logs: {lines:#?}");
    let levels = ["ERROR", "DEBUG", "INFO"];
    for level in levels {
        assert!(lines.iter().any(|line| line.starts_with(level)), "nothing at {level}");
    }
    let asked = adieu_proto::ClientRequest::new("example.com", format!("/?token={SECRET}"))
        .header("Cookie", SECRET);
    assert_eq!(format!("{asked:?}"), "ClientRequest(example.com/)");
    let now = std::time::Instant::now();
    let connection = {
        let scratch = &mut adieu_proto::Scratch::default();
        adieu_proto::Connection::client(now, Default::default(), asked, [0; 32], scratch)
    };
    let shown = format!("{connection:?}");
    assert!(shown.len() < 200, "its request waits to leave and is not shown: {shown}");
    assert_nothing_private(&lines);
}

/// Refused for the field, and the account tells which value it had: to the application, which may
/// know what to do with it. The library's own line tells no value.
#[test]
fn no_field_of_a_request_that_is_refused_is_logged() {
    capture();
    let host = Host::run(Server::new(handler).origin(|origin| origin.is_none()));
    let mut quoted = Vec::new();
    for field in ["Origin", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Upgrade", "Connection"] {
        let mut peer = Peer::connect(host.addr);
        peer.write(private(Request::rfc6455().without(field)).field(field, SECRET).bytes());
        let status = peer.read_head().status();
        assert!((400..500).contains(&status), "{field}: {status}");
        let _ = peer.read_to_end();
        drop(peer);
        let account = host.account();
        assert!(!account.ending.opened(), "{field}: {}", account.ending);
        if account.ending.to_string().contains(SECRET) {
            quoted.push(field);
        }
    }
    host.finish();
    assert_eq!(quoted, ["Origin", "Sec-WebSocket-Version"], "what the accounts quote");
    let lines = LINES.lock().unwrap().clone();
    let told = lines.iter().filter(|line| line.contains("accepted and never opened")).count();
    assert!(told >= 5, "each is in the log: {lines:#?}");
    assert_nothing_private(&lines);
}

/// In bytes or in text, as it is or as numbers.
fn assert_nothing_private(lines: &[String]) {
    let numbers = format!("{:?}", &SECRET.as_bytes()[..6]);
    let numbers = numbers.trim_matches(['[', ']']);
    for line in lines {
        assert!(!line.contains(SECRET) && !line.contains(numbers), "{line}");
    }
}
