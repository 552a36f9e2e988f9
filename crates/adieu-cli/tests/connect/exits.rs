//! The exit code says how it went.

use testkit::{Frame, Listener, Peer};

use crate::world::{close, closed_port, connect, ended, json, opened, refuse, run, served};

#[test]
fn a_close_each_way_is_clean() {
    for code in [1000, 1001] {
        let said = opened(&[], |server| close(server, &Frame::close(code, "")));
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let said = opened(&[], |server| close(server, &Frame::close_empty()));
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn an_end_without_goodbye_is_told_and_is_a_loss() {
    let said = opened(&[], |server| {
        server.send(&Frame::text("so long"));
        server.fin();
    });
    assert_eq!((said.out.as_str(), said.code), ("so long\n", Some(1)), "{said:?}");
    assert!(said.err.contains("FIN"), "{said:?}");
    let said = served(&[], |mut server| {
        server.answer_101();
        server.reset();
    });
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("RST"), "{said:?}");
}

#[test]
fn an_end_before_an_answer_is_a_loss() {
    for json_wanted in [false, true] {
        let args: &[&str] = if json_wanted { &["--json"] } else { &[] };
        let said = served(args, |mut server| {
            let _ = server.read_head();
            server.fin();
        });
        assert_eq!(said.code, Some(1), "{said:?}");
        if json_wanted {
            assert_eq!(json(&said)["ending"]["mechanism"], "handshake", "{said:?}");
        }
    }
}

#[test]
fn why_there_is_no_connection_is_told_by_its_id_too() {
    let refused = closed_port().to_string();
    for (url, id) in [
        (format!("ws://{refused}/"), "connect-unreached"),
        ("localhost:80/x".to_owned(), "connect-url"),
    ] {
        let said = run(&[&url]);
        assert!(said.err.contains(&format!("  id              {id}\n")), "{said:?}");
        assert_eq!(json(&run(&[&url, "--json"]))["errorId"], id);
    }
    let said = served(&["--json"], |mut server| {
        let _ = server.read_head();
        server.fin();
    });
    let told = json(&said);
    assert_eq!(told["errorId"], told["ending"]["id"], "{told}");
    assert_eq!(told["errorId"], "handshake-incomplete");
}

#[test]
fn what_is_asked_wrongly_is_a_mistake_of_usage() {
    let addr = closed_port().to_string();
    let url = format!("ws://{addr}/");
    for (args, said_is) in [
        (&["localhost:80/x"][..], "the scheme is missing"),
        (&["ws:/localhost/"], "the scheme is missing: begin with ws:// or wss://"),
        (&["ftp://localhost/"], "the scheme is ftp: begin with ws:// or wss://"),
        (&[&url, "--subprotocol", "a b"], "which is a token without blanks"),
        (&[&url, "--header", "nothing"], "no colon"),
        (&[&url, "--header", "A b: c"], "field name"),
        (&[&url, "--user", "a\tb:c"], "control character"),
        (&[&url, "--cacert", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (&[&url, "--insecure", "--cert", "/nowhere/me.pem"], "/nowhere/me.pem"),
        (&[&url, "--key", "me.key"], "--cert"),
        (&[&url, "--proxy", "socks5://h:1"], "only http:// proxies"),
        (&[&url, "--connect-timeout", "10"], "like 500ms"),
        (&[&url, "--connect-timeout", "off"], "like 500ms"),
        (&[&url, "--max-message", "0"], "at least 1"),
        (&[&url, "--resolve", "a:b"], "example.org:443:192.0.2.1"),
        (&[&url, "-4", "-6"], "cannot be used with"),
        (&[&url, "--binary", "--hex"], "cannot be used with"),
        #[cfg(unix)]
        (&["wss://h/", "--unix-socket", "/x"], "nothing is encrypted"),
    ] {
        let said = run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.err.contains(said_is), "{args:?}: {said:?}");
    }
}

#[test]
fn fields_of_the_handshake_are_refused_with_the_way_out() {
    let url = format!("ws://{}/", closed_port());
    for name in [
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        let said = run(&[&url, "-H", &format!("{name}: 1")]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(name) && said.err.contains("leave it out"), "{said:?}");
    }
}

#[test]
fn who_cannot_connect_is_told_where_to() {
    let addr = closed_port();
    let said = run(&[&format!("ws://{addr}/")]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains(&addr.to_string()) && said.err.contains("refused"), "{said:?}");
    let said = run(&[&format!("ws://{addr}/"), "-6"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("no IPv6 address"), "{said:?}");
    let said = run(&["ws://a.example/", "-4", "--proxy", "http://u:p@[::1]:81"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("::1 is no IPv4 address"), "{said:?}");
    let said = run(&["ws://a.example/", "--proxy", &addr.to_string()]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("proxy") && said.err.contains("refused"), "{said:?}");
}

#[test]
fn a_refusal_is_printed_with_its_fields_and_body() {
    let answer = "HTTP/1.1 403 Forbidden\r\nX-Why: no ticket\r\nSet-Cookie: a=secret\r\n\
                  Content-Length: 14\r\n\r\nGet a ticket.\n";
    let said = served(&[], |server| refuse(server, answer));
    assert_eq!((said.out.as_str(), said.code), ("", Some(5)), "{said:?}");
    for part in ["status 403 Forbidden", "< X-Why: no ticket\n", "<\nGet a ticket.\n"] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    assert!(!said.err.contains("secret"), "{}", said.err);
    let said = served(&["--json"], |server| refuse(server, answer));
    let refusal = &json(&said)["refusal"];
    assert_eq!((&refusal["status"], &refusal["body"]), (&403.into(), &"Get a ticket.\n".into()));
    assert_eq!(refusal["headers"][0], serde_json::json!(["X-Why", "no ticket"]));
    assert_eq!((said.code, &refusal["bodyIsWhole"]), (Some(5), &true.into()));
}

#[test]
fn of_a_long_body_64_kib_are_printed() {
    let body = "x".repeat(70_000);
    let answer = format!("HTTP/1.1 500 No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let said = served(&[], |mut server| {
        let _ = server.read_head();
        // It may have gone before it is all there.
        server.try_write(answer);
        let _ = server.read_to_end();
    });
    assert_eq!(said.code, Some(5), "{said:?}");
    let body = said.err.lines().find(|line| line.starts_with("xx")).expect("a body");
    assert_eq!(body.len(), 64 * 1024);
    assert!(said.err.contains("the body is cut"), "{}", said.err.replace('x', ""));
}

#[test]
fn what_breaks_the_protocol_is_told_apart() {
    let http = |answer: &'static str| move |server: Peer| refuse(server, answer);
    let said = served(&[], http("SSH-2.0-OpenSSH_9\r\n\r\n"));
    assert_eq!(said.code, Some(6), "{said:?}");
    let wrong_key = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: x\r\n\r\n";
    let said = served(&[], http(wrong_key));
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.err.contains("Sec-WebSocket-Accept"), "{said:?}");
    for (frame, says) in [
        (Frame::text("x").reserved(0b100), "reserved bits"),
        (Frame::text(b"\xff"), "not UTF-8"),
        // What a Close may not have: it is not clean, though a Close went each way.
        (Frame::close(1005, ""), "1005"),
        (Frame::close(1006, "gone"), "1006"),
        (Frame::close(1000, b"\xff"), "not UTF-8"),
        (Frame::new(0x8, "x"), "one byte"),
    ] {
        let said = opened(&[], |server| close(server, &frame));
        assert_eq!(said.code, Some(6), "{frame:?}: {said:?}");
        assert!(said.err.contains(says), "{frame:?}: {said:?}");
    }
    let said = opened(&["--max-message", "1k"], |server| {
        close(server, &Frame::text("x".repeat(1025)));
    });
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.err.contains("limit of 1024 bytes"), "{said:?}");
}

#[test]
fn another_code_of_the_server_is_told_apart() {
    for code in [1002, 1008, 1011, 1012, 3000, 4001] {
        let said = opened(&[], |server| close(server, &Frame::close(code, "why")));
        assert_eq!(said.code, Some(7), "{said:?}");
        assert!(said.err.contains(&code.to_string()) && said.err.contains("why"), "{said:?}");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let said = served(&["--connect-timeout", "200ms"], |mut server| {
        let _ = server.read_head();
        let _ = server.read_to_end();
    });
    assert_eq!(said.code, Some(8), "{said:?}");
}

#[test]
fn pings_without_a_pong_are_a_deadline() {
    let said = opened(&["--ping-interval", "50ms", "--pong-timeout", "50ms"], |server| {
        assert_eq!(server.read_frame().opcode, 0x9);
        let _ = server.read_to_end();
    });
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.err.contains("Pong") || said.err.contains("pong"), "{said:?}");
}

#[test]
fn a_close_without_an_answer_is_a_deadline() {
    let listener = Listener::bind();
    let mut client = connect(&[&listener.url(), "--close-timeout", "50ms"]);
    let mut server = listener.accept();
    server.answer_101();
    drop(client.stdin.take());
    assert_eq!(server.read_frame().close_code(), Some(1000));
    let said = ended(client);
    drop(server);
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.err.contains("Close received  none"), "{said:?}");
}
