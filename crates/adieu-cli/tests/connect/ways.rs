//! How the server is reached, and what is asked of it.

use testkit::{Frame, Head, Listener, Peer};

use crate::world::{Said, close, command, connect, ended, opened, refuse, served};

/// The request of a run with these options.
fn request(args: &[&str]) -> Head {
    let mut head = None;
    let said = served(args, |mut server| {
        head = Some(server.answer_101());
        close(&mut server, &Frame::close(1000, ""));
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    head.expect("a request")
}

/// A client that was let in, and what it says.
fn let_in(mut server: Peer, client: std::process::Child) -> Said {
    server.answer_101();
    close(&mut server, &Frame::close(1000, ""));
    ended(client)
}

#[test]
fn fields_of_the_caller_stand_in_the_request_once() {
    let head = request(&[
        "-H",
        "Host: other.example",
        "--header",
        "X-A:b:c",
        "--origin",
        "https://a.example",
        "-H",
        "sec-websocket-protocol: x, y",
        "--subprotocol",
        "z",
    ]);
    assert_eq!(head.field("Host"), Some("other.example"));
    assert_eq!(head.field("Origin"), Some("https://a.example"));
    assert_eq!(head.field("Sec-WebSocket-Protocol"), Some("x, y"));
    assert_eq!(head.field("X-A"), Some("b:c"));
}

#[test]
fn credentials_come_from_the_url_or_an_option() {
    let head = request(&["--user", "Aladdin:open sesame"]);
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(head.field("Authorization"), Some(basic));
    let listener = Listener::bind();
    let url = format!("ws://Aladdin:open%20sesame@{}/", listener.addr());
    let client = connect(&[&url]);
    let mut server = listener.accept();
    assert_eq!(server.answer_101().field("Authorization"), Some(basic));
    close(&mut server, &Frame::close(1000, ""));
    assert_eq!(ended(client).code, Some(0));
}

fn redirect(server: Peer, to: &str) {
    refuse(server, format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn redirects_are_followed_when_asked() {
    for args in [&["-L"][..], &["--max-redirs", "1"], &["--redirects", "1", "-v"]] {
        let (from, to) = (Listener::bind(), Listener::bind());
        let (url, there) = (from.url(), to.url().replace("ws://", "http://"));
        let client = connect(&[&[url.as_str()], args].concat());
        redirect(from.accept(), &there);
        let said = let_in(to.accept(), client);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains(&format!("Connected to {}", to.addr())), "{said:?}");
        let shown = said.err.contains(&format!("< Location: {there}"));
        assert_eq!(shown, args.contains(&"-v"), "{said:?}");
    }
    let said = served(&[], |server| redirect(server, "/there?token=secret"));
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.err.contains("-L") && said.err.contains("< Location: /there…"), "{said:?}");
    // Nothing there that could be followed.
    for location in ["", "Location: /\u{fc}\r\n"] {
        let answer = format!("HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n");
        let latin1: Vec<u8> = answer.chars().map(|c| c as u8).collect();
        let said = served(&["-L"], |server| refuse(server, &latin1));
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(!said.err.contains("follows redirects"), "{said:?}");
    }
    let listener = Listener::bind();
    let client = connect(&[&listener.url(), "--max-redirs", "1"]);
    redirect(listener.accept(), "/a");
    redirect(listener.accept(), "/b");
    let said = ended(client);
    assert_eq!(said.code, Some(5), "{said:?}");
    assert!(said.err.contains("more than 1 times"), "{said:?}");
}

/// Makes the tunnel that a client asks of a proxy; gives the request for it.
fn tunnel(server: &mut Peer) -> Head {
    let head = server.read_head();
    server.write("HTTP/1.1 200 Connected\r\n\r\n");
    head
}

#[test]
fn a_proxy_is_gone_through_when_named() {
    let listener = Listener::bind();
    let proxy = format!("http://u:secret@{}", listener.addr());
    let client = connect(&["ws://a.example:81/x", "--proxy", &proxy]);
    let mut server = listener.accept();
    let head = tunnel(&mut server);
    assert_eq!(head.first_line(), "CONNECT a.example:81 HTTP/1.1");
    assert!(head.field("Proxy-Authorization").is_some_and(|it| it.starts_with("Basic ")));
    let said = let_in(server, client);
    assert_eq!(said.code, Some(0), "{said:?}");
    let via = format!("through the proxy {}", listener.addr());
    assert!(said.err.contains(&via) && !said.err.contains("secret"), "{said:?}");
}

#[test]
fn the_environments_proxy_is_gone_through_only_when_asked() {
    let (proxy, direct) = (Listener::bind(), Listener::bind());
    let run = |args: &[&str]| {
        let mut command = command(&[&[direct.url().as_str()], args].concat());
        command.env("http_proxy", proxy.addr().to_string());
        command.spawn().expect("adieu runs")
    };
    let client = run(&["--proxy-from-env"]);
    let mut server = proxy.accept();
    let head = tunnel(&mut server);
    assert_eq!(head.first_line(), format!("CONNECT {} HTTP/1.1", direct.addr()));
    assert_eq!(let_in(server, client).code, Some(0));
    let client = run(&[]);
    assert_eq!(let_in(direct.accept(), client).code, Some(0));
}

#[test]
fn a_proxy_that_refuses_is_printed() {
    let listener = Listener::bind();
    let client = connect(&["ws://a.example/", "-x", &listener.addr().to_string()]);
    let answer =
        "HTTP/1.1 407 Log In\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nno\n";
    refuse(listener.accept(), answer);
    let said = ended(client);
    assert_eq!(said.code, Some(5), "{said:?}");
    for part in ["proxy refused", "407", "< Proxy-Authenticate: Basic", "<\nno\n"] {
        assert!(said.err.contains(part), "{part}: {said:?}");
    }
}

#[test]
fn names_have_the_addresses_that_are_given() {
    let listener = Listener::bind();
    let port = listener.addr().port();
    let given = format!("a.example:{port}:[::1],127.0.0.1");
    let url = format!("ws://a.example:{port}/");
    let client = connect(&[&url, "--resolve", &given, "-4"]);
    let mut server = listener.accept();
    assert_eq!(server.answer_101().field("Host"), Some(&*format!("a.example:{port}")));
    close(&mut server, &Frame::close(1000, ""));
    let said = ended(client);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains(&format!("Connected to 127.0.0.1:{port}")), "{said:?}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_connected_to_when_named() {
    use std::io::{Read, Write};
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join(format!("connect-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let path = path.to_str().expect("a path");
    let client = connect(&["ws://localhost/chat", "--unix-socket", path]);
    let (mut stream, _) = listener.accept().expect("a client");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let (head, _) = Head::parse(&head).expect("a head");
    assert_eq!(head.first_line(), "GET /chat HTTP/1.1");
    let key = testkit::accept_key(head.field("Sec-WebSocket-Key").expect("a key"));
    let answer = format!(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {key}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).expect("an answer");
    stream.write_all(&Frame::close(1000, "").unmasked()).expect("a Close");
    stream.read_exact(&mut [0; 8]).expect("a Close of 1000, masked");
    drop(stream);
    let said = ended(client);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains(&format!("Connected to {path}")), "{said:?}");
}

#[test]
fn a_clock_that_is_switched_off_is_told() {
    let said = opened(&["--ping-interval", "off", "--write-timeout", "off"], |server| {
        close(server, &Frame::close(1000, ""));
    });
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("switched off"), "{said:?}");
}
