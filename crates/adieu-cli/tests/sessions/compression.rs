//! Compression: what is compressed for whom, and what is told of it. The peer inflates with a
//! library that is not ours.

use adieu::session::Session;
use adieu::{Client, Config, Deflate};
use serde_json::{Value, json};
use testkit::{Frame, Inflater, Peer, Request, deflated};

use crate::world::{Backend, Gateway, Member};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const FIRST: &str = "adieu.v1, adieu.first.AAAAAAAAAAAAAAAAAAAAAA";
const COMPRESS: [&str; 1] = ["--compress"];

/// As a browser asks.
fn asks(subprotocols: &str) -> Request {
    let request = Request::rfc6455().target("/ws").field("Sec-WebSocket-Protocol", subprotocols);
    request.field("Sec-WebSocket-Extensions", OFFER)
}

/// What was agreed on for this request.
fn agreed(gateway: &Gateway, request: &Request) -> Option<String> {
    let head = Peer::connect(gateway.addr).handshake(request);
    head.field("Sec-WebSocket-Extensions").map(str::to_owned)
}

/// A page whose frames are looked at.
struct RawPage {
    peer: Peer,
    inflater: Inflater,
    session: String,
    token: String,
}

impl RawPage {
    fn open(gateway: &Gateway, subprotocols: &str) -> Self {
        let peer = Peer::open_with(gateway.addr, &asks(subprotocols));
        let (session, token) = (String::new(), String::new());
        let mut page = RawPage { peer, inflater: Inflater::default(), session, token };
        let (first, compressed) = page.next();
        assert!(!compressed, "the token is never compressed: {first}");
        assert_eq!(first["type"], "connected");
        page.session = first["sessionId"].as_str().unwrap().to_owned();
        page.token = first["reconnectionToken"].as_str().unwrap().to_owned();
        page
    }

    /// What comes next, and whether it was compressed.
    fn next(&mut self) -> (Value, bool) {
        let frame = self.peer.read_frame();
        assert!(frame.fin && frame.opcode == 1, "{frame:x?}");
        let compressed = frame.reserved == 0b100;
        let text = match compressed {
            true => self.inflater.text(&frame.payload),
            false => String::from_utf8(frame.payload).unwrap(),
        };
        (serde_json::from_str(&text).unwrap(), compressed)
    }

    /// Says something compressed; bytes before and after.
    fn say(&mut self, message: &Value) -> (u64, u64) {
        let text = message.to_string();
        let payload = deflated(&text);
        let bytes = (text.len() as u64, payload.len() as u64);
        self.peer.send(&Frame::text(payload).reserved(0b100));
        bytes
    }
}

/// A text that shrinks.
fn long(number: usize) -> String {
    (0..100).map(|line| format!("line {line} of text {number}, ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_compressed_both_ways_and_the_bytes_before_and_after_are_told() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &COMPRESS);
    let mut page = RawPage::open(&gateway, FIRST);
    let mut sent = 0;
    for number in 1..=3 {
        gateway.send(&page.session, &long(number)).await;
        let (message, compressed) = page.next();
        assert!(compressed && message["text"] == long(number), "{compressed} {message}");
        sent += message.to_string().len() as u64;
    }
    // What refers to earlier text is worth it from 64 bytes on.
    gateway.send(&page.session, &long(3)[..100]).await;
    let (message, compressed) = page.next();
    assert!(compressed && message["text"] == long(3)[..100], "{compressed} {message}");
    sent += message.to_string().len() as u64;
    let (before, after) = page.say(&json!({ "type": "message", "sequenceId": 1, "text": long(7) }));
    backend.until("it is heard", |backend| !backend.said(&page.session).is_empty()).await;
    assert_eq!(backend.said(&page.session), [long(7)]);
    page.peer.send(&Frame::close(1000, ""));
    let told = backend.end_of(&page.session).await.json();
    let compressed = &told["ending"]["compressed"];
    let sent_as = compressed["sentAs"].as_u64().unwrap();
    assert!(sent_as < sent / 3, "{sent_as} of {sent}");
    let want = json!({
        "sent": sent, "sentAs": sent_as, "received": before, "receivedAs": after
    });
    assert_eq!(*compressed, want, "session.ended");
    let (_, endings) = gateway.request("GET", "/endings", "").await;
    let endings: Value = serde_json::from_str(&endings).unwrap();
    let told = |of: &&Value| of["ending"]["compressed"] == want;
    let all = endings["ended"].as_array().unwrap();
    assert_eq!(all.iter().filter(told).count(), 1, "{endings}");
    gateway.until_metric("adieu_compressed_connections_total", 1.0).await;
    for (name, bytes) in [
        (r#"adieu_compressed_messages_before_bytes_total{direction="to_client"}"#, sent),
        (r#"adieu_compressed_messages_after_bytes_total{direction="to_client"}"#, sent_as),
        (r#"adieu_compressed_messages_before_bytes_total{direction="from_client"}"#, before),
        (r#"adieu_compressed_messages_after_bytes_total{direction="from_client"}"#, after),
    ] {
        assert_eq!(gateway.metric(name).await, bytes as f64, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_agreed_on_where_the_gateway_and_the_client_want_it() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &COMPRESS);
    let each_alone = "permessage-deflate; client_no_context_takeover";
    assert_eq!(agreed(&gateway, &asks(FIRST)).as_deref(), Some(each_alone));
    // A page cannot keep its browser from offering it, but can ask the gateway.
    let without = format!("{FIRST}, adieu.uncompressed, chat");
    assert_eq!(agreed(&gateway, &asks(&without)), None);
    backend.until("it was asked", |backend| backend.asked().len() >= 2).await;
    let offered = backend.asked().into_iter().map(|asked| asked["subprotocols"].clone());
    assert!(offered.into_iter().any(|it| it == json!(["adieu.v1", "chat"])), "it is not told");
    let safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, \
                  like Gecko) Version/15.1 Safari/605.1.15";
    assert_eq!(agreed(&gateway, &asks(FIRST).field("User-Agent", safari)), None);
    let off = Gateway::start(None, &backend, &[]);
    assert_eq!(agreed(&off, &asks(FIRST)), None, "off by default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_a_message_that_cannot_be_inflated() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &COMPRESS);
    let mut page = RawPage::open(&gateway, FIRST);
    // A block of a type that DEFLATE does not have.
    page.peer.send(&Frame::text([0x07]).reserved(0b100));
    let close = page.peer.read_to_end_answering();
    assert_eq!(close.close_code(), Some(1007), "{close:?}");
    gateway.send(&page.session, &long(1)).await;
    let back = format!("adieu.v1, adieu.uncompressed, adieu.resume.{}.0.-.0", page.token);
    let (session, mut page) = (page.session, RawPage::open(&gateway, &back));
    assert_eq!(page.session, session, "resumed");
    let (message, compressed) = page.next();
    assert!(!compressed && message["text"] == long(1), "{compressed} {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_speak_adieu_v1_is_compressed_as_well() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &COMPRESS);
    let request = Request::rfc6455().target("/ws?user=anna");
    let request = request.field("Sec-WebSocket-Extensions", OFFER);
    let mut peer = Peer::open_with(gateway.addr, &request);
    backend.until("it is there", |backend| !backend.of_type("session.started").is_empty()).await;
    let (status, body) = gateway.request("POST", "/api/users/anna/messages", &long(1)).await;
    assert_eq!(status, 202, "{body}");
    let frame = peer.read_frame();
    assert_eq!((frame.opcode, frame.reserved), (1, 0b100));
    assert_eq!(Inflater::default().text(&frame.payload), long(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_client_in_rust_compresses_where_its_settings_say_so() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &COMPRESS);
    let config = Config { deflate: Some(Deflate::default()), ..Config::default() };
    let client = Client::new().config(config);
    let mut member = Member::new(Session::builder(&gateway.url()).client(client));
    member.begins().await;
    member.say(&long(1));
    member.all_committed().await;
    let (status, body) =
        gateway.request("POST", &format!("/api/sessions/{}/messages", member.id), &long(2)).await;
    assert_eq!(status, 202, "{body}");
    member.receive(1).await;
    assert_eq!(member.received, [long(2)]);
    let id = member.id.clone();
    member.goodbye().await;
    backend.end_of(&id).await;
    gateway.until_metric("adieu_compressed_connections_total", 1.0).await;
    for direction in ["to_client", "from_client"] {
        let of = |when: &str| {
            format!("adieu_compressed_messages_{when}_bytes_total{{direction=\"{direction}\"}}")
        };
        let (before, after) =
            (gateway.metric(&of("before")).await, gateway.metric(&of("after")).await);
        assert!(after > 0.0 && after < before / 3.0, "{direction}: {before} as {after}");
    }
}
