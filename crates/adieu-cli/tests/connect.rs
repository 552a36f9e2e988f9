//! `adieu connect`: lines in, messages out, and how it ended.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use testkit::{Frame, Listener};

fn connect(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_adieu"))
        .arg("connect")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("adieu runs")
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn lines_go_out_messages_come_in_and_the_end_of_input_says_goodbye() {
    let listener = Listener::bind();
    let args = [&listener.url(), "--subprotocol", "chat", "--header", "X-Room: kitchen"];
    let mut client = connect(&args);
    let mut server = listener.accept();
    let request = server.answer_101_with("Sec-WebSocket-Protocol: chat\r\n");
    assert_eq!(request.field("X-Room"), Some("kitchen"));
    assert_eq!(request.field("Sec-WebSocket-Protocol"), Some("chat"));
    let mut stdin = client.stdin.take().expect("a standard input");
    stdin.write_all(b"hello\nagain\n").expect("lines");
    assert_eq!(server.read_frame(), Frame::text("hello"));
    assert_eq!(server.read_frame(), Frame::text("again"));
    server.send_all(&[Frame::text("good day"), Frame::binary([7; 9])]);
    let mut shown = BufReader::new(client.stdout.take().expect("a standard output"));
    let mut out = String::new();
    while out.lines().count() < 2 {
        assert!(shown.read_line(&mut out).expect("a line") > 0, "it ended after {out:?}");
    }
    assert_eq!(out, "good day\n[binary, 9 bytes]\n");
    drop(stdin);
    let close = server.read_frame();
    assert_eq!(close.close_code(), Some(1000));
    server.send(&close);
    server.fin();
    let (_, err, code) = said(&client.wait_with_output().expect("an end"));
    assert!(err.contains("subprotocol chat") && err.contains("1000"), "{err}");
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn an_end_without_goodbye_is_told_and_is_not_clean() {
    let listener = Listener::bind();
    let client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    server.answer_101();
    server.send(&Frame::text("so long"));
    server.fin();
    let (out, err, code) = said(&client.wait_with_output().expect("an end"));
    assert_eq!((out.as_str(), code), ("so long\n", Some(1)), "{err}");
    assert!(err.contains("FIN"), "{err}");
}

#[test]
fn no_connection_is_told_apart_from_a_bad_end() {
    let listener = Listener::bind();
    let client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    let _ = server.read_head();
    server.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    server.fin();
    let (_, err, code) = said(&client.wait_with_output().expect("an end"));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("403"), "{err}");
}

#[test]
fn who_cannot_connect_is_told_where_to() {
    // A port that was free a moment ago, with nobody listening.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = free.local_addr().expect("its address").to_string();
    drop(free);
    let url = format!("ws://user:secret@{addr}/?token=secret");
    let (_, err, code) = said(&connect(&[&url]).wait_with_output().expect("an end"));
    assert!(err.contains(&addr) && err.contains("refused"), "{err}");
    assert!(!err.contains("secret"), "a log keeps what an error shows: {err}");
    assert_eq!(code, Some(2), "{err}");
}
