//! One conversation for each task of the guides, held with each program that does the task: with
//! Adieu and with the libraries that people come from. So the lines of programs are compared that
//! do the same.

use testkit::{Frame, Head, Listener, Peer, Request, TcpEnd};

use crate::process::{Program, Server};

/// Opens a WebSocket at this path.
fn open(server: &Server, path: &str) -> Peer {
    Peer::open_with(server.addr, &Request::rfc6455().target(path))
}

#[track_caller]
fn hears(peer: &mut Peer, text: &str) {
    assert_eq!(peer.read_frame(), Frame::text(text));
}

#[track_caller]
fn all_hear(peers: &mut [&mut Peer], text: &str) {
    peers.iter_mut().for_each(|peer| hears(peer, text));
}

fn say(peer: &mut Peer, text: &str) {
    peer.send(&Frame::text(text));
}

/// The peer closes, is answered with the same code, and TCP ends with a FIN.
#[track_caller]
fn leaves(peer: &mut Peer) {
    peer.send(&Frame::close(1000, ""));
    assert_eq!(peer.read_frame().close_code(), Some(1000));
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin));
}

fn chat(exe: &str) {
    let server = Server::start(exe);
    let mut ann = open(&server, "/ws");
    say(&mut ann, "Ann");
    hears(&mut ann, "Ann came in");
    let mut bob = open(&server, "/ws");
    say(&mut bob, "Bob");
    all_hear(&mut [&mut ann, &mut bob], "Bob came in");
    let mut another = open(&server, "/ws");
    say(&mut another, "Ann");
    assert_eq!(another.read_to_end_answering(), Frame::close(4000, "that name is taken"));
    say(&mut ann, "hi");
    all_hear(&mut [&mut ann, &mut bob], "Ann: hi");
    say(&mut bob, "hello");
    all_hear(&mut [&mut ann, &mut bob], "Bob: hello");
    leaves(&mut ann);
    hears(&mut bob, "Ann left");
    // Her name is free again.
    let mut another = open(&server, "/ws");
    say(&mut another, "Ann");
    all_hear(&mut [&mut another, &mut bob], "Ann came in");
    // One who says nothing at the end has left as well.
    drop(another);
    hears(&mut bob, "Ann left");
}

#[test]
fn chat_in_axum() {
    chat(env!("CARGO_BIN_EXE_axum_chat"));
}

#[test]
fn chat_with_axums_own() {
    chat(env!("CARGO_BIN_EXE_axum_ws_chat"));
}

#[test]
fn chat_by_the_server() {
    chat(env!("CARGO_BIN_EXE_server_chat"));
}

#[test]
fn chat_with_tungstenite() {
    chat(env!("CARGO_BIN_EXE_tungstenite_chat"));
}

fn rooms(exe: &str) {
    let server = Server::start(exe);
    let mut ann = open(&server, "/rooms/kitchen");
    say(&mut ann, "Ann");
    hears(&mut ann, "Ann");
    let mut bob = open(&server, "/rooms/kitchen");
    say(&mut bob, "Bob");
    all_hear(&mut [&mut ann, &mut bob], "Bob");
    let mut cleo = open(&server, "/rooms/hall");
    say(&mut cleo, "Cleo");
    hears(&mut cleo, "Cleo");
    say(&mut bob, "tea?");
    all_hear(&mut [&mut ann, &mut bob], "tea?");
    leaves(&mut bob);
    say(&mut cleo, "alone");
    hears(&mut cleo, "alone");
    ann.send(&Frame::binary([1, 2, 3]));
    assert_eq!(ann.read_frame(), Frame::binary([1, 2, 3]));
    leaves(&mut cleo);
    // A room that was left is a new one.
    let mut cleo = open(&server, "/rooms/hall");
    say(&mut cleo, "back");
    hears(&mut cleo, "back");
}

#[test]
fn rooms_in_axum() {
    rooms(env!("CARGO_BIN_EXE_axum_rooms"));
}

#[test]
fn rooms_with_axums_own() {
    rooms(env!("CARGO_BIN_EXE_axum_ws_rooms"));
}

#[test]
fn rooms_by_the_server() {
    rooms(env!("CARGO_BIN_EXE_server_rooms"));
}

#[test]
fn rooms_with_tungstenite() {
    rooms(env!("CARGO_BIN_EXE_tungstenite_rooms"));
}

fn two_tasks(exe: &str) {
    let server = Server::start(exe);
    let mut ann = open(&server, "/ws");
    hears(&mut ann, "0");
    let mut bob = open(&server, "/ws");
    hears(&mut bob, "0");
    for (says, total) in [("5", "5"), ("-2", "3")] {
        say(&mut ann, says);
        all_hear(&mut [&mut ann, &mut bob], total);
    }
    say(&mut bob, "4");
    all_hear(&mut [&mut ann, &mut bob], "7");
    leaves(&mut ann);
    say(&mut bob, "1");
    hears(&mut bob, "8");
}

#[test]
fn two_tasks_in_axum() {
    two_tasks(env!("CARGO_BIN_EXE_axum_tasks"));
}

#[test]
fn two_tasks_with_axums_own() {
    two_tasks(env!("CARGO_BIN_EXE_axum_ws_tasks"));
}

#[test]
fn two_tasks_by_the_server() {
    two_tasks(env!("CARGO_BIN_EXE_server_tasks"));
}

#[test]
fn two_tasks_with_tungstenite() {
    two_tasks(env!("CARGO_BIN_EXE_tungstenite_tasks"));
}

fn refused(server: &Server, request: &Request) -> (Head, Peer) {
    let mut peer = Peer::connect(server.addr);
    peer.write(request.bytes());
    (peer.read_head(), peer)
}

/// Whether each 401 says how long its body is.
fn cookie(exe: &str, has_length: bool) {
    let server = Server::start(exe);
    let request = || Request::rfc6455().target("/ws");
    for request in [request(), request().field("Cookie", "session=nobody's; theme=dark")] {
        let (head, mut peer) = refused(&server, &request);
        assert_eq!(head.status(), 401, "{}", head.text);
        let text = head.text.to_ascii_lowercase();
        assert_eq!(text.contains("\r\ncontent-length: 14\r\n"), has_length, "{text}");
        assert_eq!(peer.read_exact(14), b"sign in first\n");
    }
    let request = request().field("Cookie", "theme=dark; session=3f9a");
    let mut ann = Peer::open_with(server.addr, &request);
    hears(&mut ann, "hello, Ann");
    say(&mut ann, "it is me");
    hears(&mut ann, "it is me");
    leaves(&mut ann);
}

#[test]
fn auth_by_cookie_in_axum() {
    cookie(env!("CARGO_BIN_EXE_axum_cookie"), true);
}

#[test]
fn auth_by_cookie_with_axums_own() {
    cookie(env!("CARGO_BIN_EXE_axum_ws_cookie"), true);
}

#[test]
fn auth_by_cookie_by_the_server() {
    cookie(env!("CARGO_BIN_EXE_server_cookie"), true);
}

#[test]
fn auth_by_cookie_with_tungstenite() {
    cookie(env!("CARGO_BIN_EXE_tungstenite_cookie"), false);
}

/// Gives the last line that the program prints.
fn shutdown(exe: &str) -> String {
    let server = Server::start(exe);
    let mut peers: Vec<Peer> = (0..3).map(|_| open(&server, "/ws")).collect();
    for peer in &mut peers {
        say(peer, "hello");
        hears(peer, "hello");
    }
    server.interrupt();
    for mut peer in peers {
        assert_eq!(peer.read_to_end_answering().close_code(), Some(1001));
        peer.close();
    }
    let (lines, status) = server.finish();
    assert!(status.success(), "{status}");
    lines.into_iter().next_back().expect("a last line")
}

#[test]
fn shutdown_in_axum() {
    let told = shutdown(env!("CARGO_BIN_EXE_axum_shutdown"));
    assert!(told.starts_with("3 connections ended") && told.contains(": 3 cleanly"), "{told}");
}

#[test]
fn shutdown_with_axums_own() {
    assert_eq!(shutdown(env!("CARGO_BIN_EXE_axum_ws_shutdown")), "all have ended");
}

#[test]
fn shutdown_by_the_server() {
    let told = shutdown(env!("CARGO_BIN_EXE_server_shutdown"));
    assert!(told.starts_with("3 connections ended") && told.contains(": 3 cleanly"), "{told}");
}

#[test]
fn shutdown_with_tungstenite() {
    assert_eq!(shutdown(env!("CARGO_BIN_EXE_tungstenite_shutdown")), "all have ended");
}

/// Gives the last line that the program prints.
fn client(exe: &str) -> String {
    let listener = Listener::bind();
    let program = Program::start(exe, &listener.url());
    let mut server = listener.accept();
    server.answer_101();
    assert_eq!(server.read_frame(), Frame::text("how are you?"));
    server.send(&Frame::text("fine"));
    let close = server.read_frame();
    assert_eq!(close.close_code(), Some(1000));
    server.send(&close);
    server.fin();
    let (lines, status) = program.finish();
    assert!(status.success(), "{status}");
    assert_eq!(lines[0], "heard \"fine\"");
    lines.into_iter().next_back().expect("a last line")
}

#[test]
fn client_of_adieu() {
    let told = client(env!("CARGO_BIN_EXE_client_talk"));
    assert!(told.contains("we sent Close 1000") && told.contains("FIN"), "{told}");
}

#[test]
fn client_of_tungstenite() {
    let told = client(env!("CARGO_BIN_EXE_tungstenite_talk"));
    assert!(told.contains("Normal"), "{told}");
}
