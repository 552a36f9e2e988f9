//! The ten smallest programs at work (docs/programs.md).

use std::path::{Path, PathBuf};

use adieu::Client;
use testkit::{Frame, Listener, Peer, Request};

use crate::process::{Program, Server};

#[test]
fn echo_says_back_what_it_hears() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_echo"));
    let mut peer = Peer::open(server.addr);
    for frame in [Frame::text("hello"), Frame::binary([1, 2])] {
        peer.send(&frame);
        assert_eq!(peer.read_frame(), frame);
    }
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_frame().close_code(), Some(1000));
}

/// As a server that one of the clients has connected to.
fn accept(exe: &str) -> (Program, Peer) {
    let listener = Listener::bind();
    let program = Program::start(exe, &listener.url());
    let mut peer = listener.accept();
    peer.answer_101();
    (program, peer)
}

#[track_caller]
fn exits_well(program: Program) -> Vec<String> {
    let (lines, status) = program.finish();
    assert!(status.success(), "{status}: {lines:?}");
    lines
}

#[test]
fn say_says_one_thing_and_closes() {
    let (program, mut server) = accept(env!("CARGO_BIN_EXE_small_say"));
    assert_eq!(server.read_frame(), Frame::text("hello"));
    let close = server.read_frame();
    assert_eq!(close.close_code(), Some(1000));
    server.send(&close);
    server.fin();
    let lines = exits_well(program);
    assert!(lines[0].contains("we sent Close 1000"), "{lines:?}");
}

#[test]
fn listen_prints_what_it_hears_and_how_it_ended() {
    let (program, mut server) = accept(env!("CARGO_BIN_EXE_small_listen"));
    server.send_all(&[Frame::text("one"), Frame::text("two"), Frame::close(4001, "bye")]);
    assert_eq!(server.read_frame().close_code(), Some(4001));
    server.fin();
    let lines = exits_well(program);
    assert!(lines[0].contains("one") && lines[1].contains("two"), "{lines:?}");
    assert!(lines[2].contains("4001") && lines[2].contains("bye"), "{lines:?}");
}

#[test]
fn header_shows_who_it_is_and_tells_a_refusal() {
    let exe = env!("CARGO_BIN_EXE_small_header");
    let listener = Listener::bind();
    let program = Program::start(exe, &listener.url());
    let mut peer = listener.accept();
    assert_eq!(peer.answer_101().field("Authorization"), Some("Bearer 3f9a"));
    peer.send(&Frame::text("welcome"));
    assert!(program.line().contains("welcome"));

    let program = Program::start(exe, &listener.url());
    let mut peer = listener.accept();
    let _ = peer.read_head();
    peer.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 14\r\n\r\nunknown token\n");
    let lines = exits_well(program);
    assert!(lines[0].contains("401") && lines[0].contains("unknown token"), "{lines:?}");
}

#[test]
fn broadcast_lets_everybody_hear() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_broadcast"));
    let mut ann = Peer::open(server.addr);
    ann.send(&Frame::text("Ann"));
    assert_eq!(ann.read_frame(), Frame::text("Ann"));
    let mut bob = Peer::open(server.addr);
    bob.send(&Frame::text("Bob"));
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.read_frame(), Frame::text("Bob"));
    }
}

#[test]
fn axum_serves_a_page_and_a_websocket() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_axum"));
    let mut page = Peer::connect(server.addr);
    page.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(page.read_head().status(), 200);
    assert_eq!(page.read_to_end().text(), "The WebSocket is at /ws.\n");
    let mut peer = Peer::open_with(server.addr, &Request::rfc6455().target("/ws"));
    assert_eq!(peer.read_frame(), Frame::text("good day"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1000));
}

/// A directory of this test's own, with a certificate for `localhost` and its key.
fn certificate() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small_tls");
    std::fs::create_dir_all(&dir).expect("a directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.expect("a certificate");
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).expect("a file");
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    dir
}

#[tokio::test]
async fn tls_serves_wss() {
    let dir = certificate();
    let server = Server::start_in(&dir, env!("CARGO_BIN_EXE_small_tls"));
    let config = adieu::tls::client_config_trusting(dir.join("cert.pem")).expect("a certificate");
    let client = Client::new().resolve("localhost", [server.addr]).tls(config);
    let url = format!("wss://localhost:{}/", server.addr.port());
    let mut socket = client.connect(&url).await.expect("a connection");
    socket.send("hello").await.expect("it is open");
    assert_eq!(socket.recv_text().await.expect("text").as_deref(), Some("hello"));
    assert!(socket.close(1000).await.is_clean());
}

#[test]
fn json_adds_and_tells_what_is_no_question() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_json"));
    let mut peer = Peer::open(server.addr);
    peer.send(&Frame::text(r#"{"a": 3, "b": 4}"#));
    assert_eq!(peer.read_frame(), Frame::text("7"));
    peer.send(&Frame::text("three and four"));
    assert_eq!(peer.read_to_end_answering().close_code(), Some(1007));
}

#[test]
fn heartbeat_notices_a_peer_that_does_not_answer() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_heartbeat"));
    let mut peer = Peer::open(server.addr);
    let ping = peer.read_frame();
    assert_eq!(ping.opcode, 0x9);
    peer.send(&Frame::pong(&ping.payload));
    // The second one is not answered.
    assert_eq!(peer.read_frame().opcode, 0x9);
    let told = server.line();
    assert!(told.starts_with("Our pong deadline ran out"), "{told}");
}

#[test]
fn endings_tells_also_of_those_that_never_opened() {
    let server = Server::start(env!("CARGO_BIN_EXE_small_endings"));
    let mut peer = Peer::open(server.addr);
    peer.send(&Frame::close(4001, "bye"));
    assert_eq!(peer.read_frame().close_code(), Some(4001));
    drop(peer);
    let told = server.line();
    assert!(told.contains("4001") && told.contains("bye"), "{told}");
    let mut page = Peer::connect(server.addr);
    page.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(page.read_head().status(), 426);
    drop(page);
    let told = server.line();
    assert!(told.contains("No WebSocket was opened"), "{told}");
}
