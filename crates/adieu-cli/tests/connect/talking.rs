//! Lines in, messages out, and how it is ended.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use testkit::{Frame, Listener, Peer};

use crate::world::{Said, close, command, connect, ended, json, opened, read_all};

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
    goodbye(&mut server);
    let Said { err, code, .. } = ended(client);
    assert!(err.contains("subprotocol chat") && err.contains("1000"), "{err}");
    assert_eq!(code, Some(0), "{err}");
}

/// Hears Close 1000, answers it, and ends TCP.
fn goodbye(server: &mut Peer) {
    let close = server.read_frame();
    assert_eq!(close.close_code(), Some(1000));
    server.send(&close);
    server.fin();
}

#[test]
fn bytes_go_both_ways_as_they_are_when_asked() {
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url(), "--binary"]);
    let mut server = listener.accept();
    server.answer_101();
    let mut stdin = client.stdin.take().expect("a standard input");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    stdin.write_all(&bytes).expect("bytes");
    drop(stdin);
    let mut came = Vec::new();
    while came.len() < bytes.len() {
        let frame = server.read_frame();
        assert_eq!(frame.opcode, 0x2);
        assert!(frame.payload.len() <= 64 * 1024, "{}", frame.payload.len());
        came.extend(frame.payload);
    }
    assert!(came == bytes);
    let shown = read_all(client.stdout.take().expect("a standard output"));
    server.send_all(&[Frame::binary([0, 255]), Frame::text("\u{1b}c"), Frame::binary([13])]);
    goodbye(&mut server);
    assert_eq!(ended(client).code, Some(0));
    assert_eq!(shown.join().unwrap(), b"\x00\xff\x1bc\r");
}

#[test]
fn binary_messages_are_digits_when_asked() {
    let said = opened(&["--hex"], |server| {
        server.send_all(&[Frame::binary([0, 255, 16]), Frame::text("a")]);
        close(server, &Frame::close(1000, ""));
    });
    assert_eq!((said.out.as_str(), said.code), ("00ff10\na\n", Some(0)), "{said:?}");
}

#[test]
fn an_input_that_is_no_text_is_told_and_closes() {
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    server.answer_101();
    let mut stdin = client.stdin.take().expect("a standard input");
    stdin.write_all(b"good\nb\xffd\nlater\n").expect("lines");
    assert_eq!(server.read_frame(), Frame::text("good"));
    goodbye(&mut server);
    let said = ended(client);
    assert!(said.err.contains("no UTF-8") && said.err.contains("--binary"), "{said:?}");
    assert_eq!(said.code, Some(2), "{said:?}");
    drop(stdin);
}

#[test]
fn without_input_it_goes_on_until_the_server_ends() {
    let listener = Listener::bind();
    let mut client = command(&[&listener.url(), "--no-input"]);
    let client = client.stdin(Stdio::null()).spawn().expect("adieu runs");
    let mut server = listener.accept();
    server.answer_101();
    // Whoever had read the end of the input would say goodbye before the Pong.
    server.send(&Frame::ping("still there?"));
    assert_eq!(server.read_frame(), Frame::pong("still there?"));
    server.send(&Frame::text("news"));
    close(&mut server, &Frame::close(1001, "restart"));
    let said = ended(client);
    assert_eq!((said.out.as_str(), said.code), ("news\n", Some(0)), "{said:?}");
}

#[test]
fn whoever_reads_no_more_of_the_output_has_the_connection_closed() {
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    server.answer_101();
    drop(client.stdout.take());
    server.send(&Frame::text("who reads this?"));
    goodbye(&mut server);
    assert_eq!(ended(client).code, Some(0));
}

#[cfg(unix)]
#[test]
fn a_signal_says_goodbye_and_a_second_one_ends_at_once() {
    use rustix::process::{Pid, Signal, kill_process};
    for signals in 1..=2 {
        let listener = Listener::bind();
        let client = connect(&[&listener.url()]);
        let mut server = listener.accept();
        server.answer_101();
        // Whoever answers a Ping is connected.
        server.send(&Frame::ping(""));
        assert_eq!(server.read_frame(), Frame::pong(""));
        let interrupt = || {
            let pid = Pid::from_child(&client);
            kill_process(pid, Signal::INT).expect("a process that runs");
        };
        interrupt();
        let close = server.read_frame();
        assert_eq!(close.close_code(), Some(1000));
        if signals == 1 {
            server.send(&close);
            server.fin();
            assert_eq!(ended(client).code, Some(0));
        } else {
            interrupt();
            let said = ended(client);
            assert_eq!(said.code, Some(130), "{said:?}");
            assert!(said.err.contains("at once"), "{said:?}");
        }
    }
}

#[test]
fn the_whole_ending_is_printed() {
    let said = opened(&[], |server| {
        server.send(&Frame::text("x"));
        close(server, &Frame::close(1001, "restart"));
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "The peer sent Close 1001 (going away) \"restart\" and we answered with Close 1001",
        "id              ending-peer-closed",
        "began by        the server",
        "Close received  1001 (going away) \"restart\", after ",
        "Close sent      1001 (going away), after ",
        "transport       TCP: the server finished it, before us",
        "cut             nothing",
        "not delivered   nothing",
        "opened          after ",
        "lasted          ",
    ] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn the_ending_is_one_line_of_json_when_asked() {
    let said = opened(&["--json"], |server| close(server, &Frame::close(4001, "b\u{1b}\u{9b}ye")));
    let ending = json(&said);
    assert_eq!(said.err.lines().count(), 1, "nothing else is there: {}", said.err);
    assert_eq!((&ending["class"], &ending["exitCode"]), (&"closed".into(), &7.into()));
    assert_eq!((said.code, &ending["errorId"]), (Some(7), &().into()));
    let ending = &ending["ending"];
    assert_eq!(ending["id"], "ending-peer-closed");
    assert_eq!(ending["received"], serde_json::json!({"code": 4001, "reason": "b\u{1b}\u{9b}ye"}));
    assert_eq!(ending["sent"]["code"], 4001);
    assert_eq!((&ending["initiator"], &ending["firstClose"]), (&"peer".into(), &"peer".into()));
    assert_eq!((&ending["transport"], &ending["clean"]), (&"fin".into(), &true.into()));
    assert_eq!((&ending["unsentBytes"], &ending["error"]), (&0.into(), &().into()));
    assert!(ending["lastedMs"].as_f64() > Some(0.0), "{ending}");
    assert_eq!(said.err.trim_end().chars().find(|c| c.is_control()), None, "{:?}", said.err);
}

#[test]
fn the_head_of_the_answer_is_shown_when_asked() {
    for verbose in [false, true] {
        let args: &[&str] = if verbose { &["-v"] } else { &[] };
        let listener = Listener::bind();
        let url = listener.url();
        let client = connect(&[&[url.as_str()], args].concat());
        let mut server = listener.accept();
        server.answer_101_with("Set-Cookie: sid=1\r\n");
        close(&mut server, &Frame::close(1000, ""));
        let said = ended(client);
        let shown = "< HTTP/1.1 101 Switching Protocols\n< Upgrade: websocket\n";
        assert_eq!(said.err.contains(shown), verbose, "{}", said.err);
        assert_eq!(said.err.contains("< Set-Cookie: sid=1"), verbose, "{}", said.err);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_before_it_is_connected_ends_it_at_once() {
    use rustix::process::{Pid, Signal, kill_process};
    let listener = Listener::bind();
    let client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    let _ = server.read_head();
    kill_process(Pid::from_child(&client), Signal::INT).expect("a process that runs");
    let said = ended(client);
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.err.contains("before it was connected"), "{said:?}");
}

#[test]
fn a_reader_that_stalls_does_not_keep_it_from_closing() {
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url()]);
    let mut server = listener.accept();
    server.answer_101();
    // More than a pipe holds: nobody reads it yet.
    let text = "x".repeat(1 << 20);
    server.send_all(&[Frame::text(&text), Frame::text("last")]);
    drop(client.stdin.take());
    goodbye(&mut server);
    let shown = read_all(client.stdout.take().expect("a standard output"));
    assert_eq!(ended(client).code, Some(0));
    assert!(shown.join().unwrap() == format!("{text}\nlast\n").into_bytes());
}

#[cfg(unix)]
#[test]
fn after_a_signal_a_reader_that_never_reads_does_not_keep_it_for_ever() {
    use rustix::process::{Pid, Signal, kill_process};
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url(), "--close-timeout", "100ms"]);
    let mut server = listener.accept();
    server.answer_101();
    // More than a pipe holds, and nobody reads it.
    let pipe = client.stdout.take().expect("a standard output");
    server.send(&Frame::text("x".repeat(1 << 20)));
    server.send(&Frame::ping(""));
    assert_eq!(server.read_frame(), Frame::pong(""));
    kill_process(Pid::from_child(&client), Signal::TERM).expect("a process that runs");
    goodbye(&mut server);
    let said = ended(client);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("nobody has read"), "{said:?}");
    drop(pipe);
}
