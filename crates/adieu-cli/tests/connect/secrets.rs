//! No error shows a password, a token or a query: terminals are shared and logs are kept.

use testkit::{Frame, Listener, Peer};

use crate::world::{Said, close, closed_port, connect, ended, refuse, run};

/// What stands at each place where a secret may be.
const SECRET: &str = "hush";

/// The options that have a secret in them.
const OPTIONS: [&str; 4] = ["-H", "X-Token: hush", "--user", "me:hush"];

fn url(addr: impl std::fmt::Display) -> String {
    format!("ws://me:hush@{addr}/path?token=hush")
}

/// Runs with secrets everywhere; a server that is asked does this. In words and in JSON.
fn silent(url: &str, args: &[&str], code: i32, serve: &dyn Fn()) {
    for more in [&[][..], &["--json"]] {
        let args = [&[url], &OPTIONS[..], args, more].concat();
        let client = connect(&args);
        serve();
        let said = ended(client);
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
        assert!(!said.err.contains(SECRET) && !said.out.contains(SECRET), "{args:?}: {said:?}");
        // The credentials as they are sent.
        assert!(!said.err.contains("bWU6aHVzaA"), "{args:?}: {said:?}");
    }
}

#[test]
fn errors_of_the_command_line_are_silent() {
    let addr = closed_port().to_string();
    for url in ["me:hush@h", "ws://me:hush@h:x/?hush", "ws://me:hu/hush@h/#hush", "x://h/?hush"] {
        silent(url, &[], 2, &|| {});
    }
    for args in [
        &["-H", "Authorization hush"][..],
        &["-H", "Authorization: hu\nsh hush"],
        &["-H", "Upgrade: hush"],
        &["--user", "me\t:hush"],
        &["--proxy", "socks5://me:hush@h"],
        &["--proxy", "http://me:hush@h:x"],
    ] {
        // The last --user counts for clap: it has to be the only one.
        let args: Vec<&str> = [&["ws://h/"], args].concat();
        let said = run(&args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(!said.err.contains(SECRET), "{args:?}: {said:?}");
    }
    // Two URLs, as where a shell has split one; one where a command is missing; and one where the
    // value of an option is.
    for args in [
        &["connect", "ws://h/", "ws://me:hush@h/?hush"][..],
        &["ws://me:hush@h/?hush"],
        &["connect", "--max-redirs", "ws://me:hush@h/?hush"],
        &["connect", "--connect-timeout", "ws://me:hush@h/?hush"],
        &["connect", "--resolve", "ws://me:hush@h/?hush", "ws://h/"],
    ] {
        let adieu = std::process::Command::new(env!("CARGO_BIN_EXE_adieu")).args(args).output();
        let said = Said::from(adieu.expect("adieu runs"));
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.err.contains("ws://…") && !said.err.contains(SECRET), "{args:?}: {said:?}");
    }
    silent(&url(&addr), &["--subprotocol", "a b"], 2, &|| {});
    silent("ws://me:hush@h/pa\u{7f}th?hush\u{7f}", &["--subprotocol", ""], 2, &|| {});
}

#[test]
fn errors_on_the_way_are_silent() {
    let addr = closed_port();
    silent(&url(addr), &[], 3, &|| {});
    silent(&url(addr), &["-6"], 3, &|| {});
    silent(&url("h"), &["--proxy", &format!("http://me:hush@{addr}")], 3, &|| {});
    let silence = Listener::bind();
    silent(&url(silence.addr()), &["--connect-timeout", "100ms"], 8, &|| {
        let _ = silence.accept().read_to_end();
    });
    let proxy = Listener::bind();
    let through = format!("http://me:hush@{}", proxy.addr());
    silent(&url("h"), &["--proxy", &through], 5, &|| {
        refuse(proxy.accept(), "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    });
    silent(&url("h"), &["--proxy", &through], 6, &|| {
        refuse(proxy.accept(), "SSH\r\n\r\n");
    });
    #[cfg(unix)]
    silent(&url("h"), &["--unix-socket", "/nowhere/socket"], 3, &|| {});
}

#[test]
fn errors_of_the_handshake_are_silent() {
    let answer = |listener: &Listener, answer: &str| refuse(listener.accept(), answer);
    let redirect =
        |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let server = Listener::bind();
    let url = url(server.addr());
    silent(&url, &[], 5, &|| answer(&server, "HTTP/1.1 401 No\r\nSet-Cookie: a=hush\r\n\r\n"));
    silent(&url, &[], 6, &|| answer(&server, "SSH\r\n\r\n"));
    silent(&url, &[], 1, &|| answer(&server, ""));
    // Not followed; in a circle; without end; to what cannot be followed.
    silent(&url, &[], 5, &|| answer(&server, &redirect("/x?token=hush")));
    silent(&url, &["-L"], 5, &|| answer(&server, &redirect("/path?token=hush")));
    silent(&url, &["--max-redirs", "1"], 5, &|| {
        answer(&server, &redirect("/x?token=hush"));
        answer(&server, &redirect("/y?token=hush"));
    });
    silent(&url, &["-L"], 5, &|| answer(&server, &redirect("ftp://me:hush@h/?hush")));
    silent(&url, &["-L"], 5, &|| answer(&server, &redirect("http://me:hush@h:x/?hush")));
}

#[test]
fn endings_are_silent() {
    let server = Listener::bind();
    let url = url(server.addr());
    let end = |end: &dyn Fn(&mut Peer)| {
        let mut peer = server.accept();
        peer.answer_101_with("Set-Cookie: a=hush\r\n");
        end(&mut peer);
    };
    silent(&url, &[], 0, &|| end(&|peer| close(peer, &Frame::close(1000, ""))));
    silent(&url, &[], 1, &|| end(&Peer::fin));
    silent(&url, &[], 6, &|| end(&|peer| close(peer, &Frame::text(b"\xff"))));
}
