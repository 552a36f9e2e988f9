//! Where the gateway listens: several addresses, and Unix sockets.

use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::world::{ADIEU, Adieu, Answer, KEY, Scratch, adieu, by, refuses};

/// A request over a Unix socket.
fn over(path: &Path, target: &str, fields: &str) -> Answer {
    Answer::of(UnixStream::connect(path).unwrap(), "GET", target, fields, "")
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket())
}

#[test]
fn several_addresses_are_one_gateway() {
    let scratch = Scratch::new();
    let (path, listen) = (scratch.path("a.sock"), format!("unix:{}", scratch.name("a.sock")));
    let mut gateway = Adieu::serve(&["--listen", "localhost:0", "--listen", &listen]);
    assert!(gateway.said().contains(&format!("listening on {listen}")), "{}", gateway.said());
    let addresses = gateway.addresses();
    assert_eq!(addresses.len(), 2, "{}", gateway.said());
    assert_ne!(addresses[0], addresses[1]);
    let _peer = testkit::Peer::open_with(addresses[1], &testkit::Request::rfc6455().target("/ws"));
    for addr in addresses {
        let tcp = TcpStream::connect(addr).unwrap();
        let answer = Answer::of(tcp, "GET", "/sessions", "", "");
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    assert_eq!(over(&path, "/readyz", "").status(), 200);
    gateway.signal("KILL");
    gateway.ended();
}

#[test]
fn one_address_that_is_taken_is_named_and_no_socket_is_left() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let listen = format!("unix:{}", scratch.name("a.sock"));
    let said = refuses(&["--listen", &listen, "--listen", &taken]);
    assert!(said.contains(&taken) && said.contains("--listen"), "{said}");
    assert!(!scratch.path("a.sock").exists());
}

#[test]
fn an_address_that_is_given_twice_is_not_called_taken() {
    let scratch = Scratch::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for listen in [free.to_string(), format!("unix:{}", scratch.name("a.sock"))] {
        let said = refuses(&["--listen", &listen, "--listen", &listen]);
        assert!(said.contains(&format!("{listen} is given twice")), "{said}");
    }
}

#[test]
fn a_unix_socket_is_for_its_user_and_group_whatever_the_umask_is_and_goes_at_the_end() {
    for mask in ["000", "077"] {
        let scratch = Scratch::new();
        let path = scratch.path("a.sock");
        let script = format!("umask {mask}; exec \"$0\" \"$@\"");
        let listen = format!("unix:{}", path.display());
        let data = scratch.name("data");
        let mut gateway = Adieu::spawn(by(
            "sh",
            &["-c", &script, ADIEU, "serve", "--listen", &listen, "--data", &data],
        ));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "umask {mask}");
        gateway.stop();
        assert!(!path.exists(), "it is removed");
    }
}

#[test]
fn what_a_dead_process_has_left_is_replaced_and_what_lives_is_not() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let listen = format!("unix:{}", path.display());
    let start = || Adieu::spawn(adieu(&["serve", "--listen", &listen]));
    let mut first = start();
    first.signal("KILL");
    first.ended();
    assert!(is_socket(&path), "nobody was there to remove it");
    let mut second = start();
    assert_eq!(over(&path, "/readyz", "").status(), 200);
    let said = refuses(&["--listen", &listen]);
    assert!(said.contains(&listen) && said.contains("another process listens"), "{said}");
    assert_eq!(over(&path, "/readyz", "").status(), 200, "it is served on");
    // Somebody has put another one in its place: that one stays.
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    second.stop();
    assert!(is_socket(&path));
}

#[test]
fn what_is_no_socket_stays() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("notes"), "mine").unwrap();
    let said = refuses(&["--listen", &format!("unix:{}", scratch.name("notes"))]);
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(scratch.path("notes")).unwrap(), "mine");
    for (path, why) in [("no/such/a.sock", "the directory"), (&"x".repeat(120), "100 bytes")] {
        let said = refuses(&["--listen", &format!("unix:{}", scratch.name(path))]);
        assert!(said.contains(why), "{path}: {said}");
    }
}

#[test]
fn over_a_unix_socket_the_page_and_the_api_need_the_key() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let listen = format!("unix:{}", path.display());
    let gateway = Adieu::spawn(adieu(&["serve", "--listen", &listen]));
    gateway.until_error("set a key");
    // The proxy may pass on anybody's request, and says nothing of it.
    assert_eq!(over(&path, "/", "").status(), 403);
    assert_eq!(over(&path, "/api/sessions", "").status(), 403);
    drop(gateway);
    let mut command = adieu(&["serve", "--listen", &listen]);
    command.env("ADIEU_API_KEY", KEY);
    let _gateway = Adieu::spawn(command);
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    assert_eq!(over(&path, "/api/sessions", &bearer).status(), 200);
    assert_eq!(over(&path, "/api/sessions", "").status(), 401);
}

#[test]
fn a_websocket_over_a_unix_socket_talks_and_is_told_to_go() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    let mut gateway =
        Adieu::spawn(adieu(&["serve", "--listen", &format!("unix:{}", path.display())]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = adieu::Client::new().subprotocol("adieu.v1");
        let mut socket = client.connect_unix(&path, "ws://localhost/ws").await.unwrap();
        let connected = socket.recv().await.unwrap();
        assert!(connected.as_text().unwrap().contains("\"type\":\"connected\""), "{connected:?}");
        gateway.signal("TERM");
        while socket.recv().await.is_some() {}
        let ending = socket.ended().await;
        let close = ending.closing_handshake.received();
        assert_eq!(close.and_then(adieu::Close::code), Some(adieu::CloseCode::GOING_AWAY));
    });
    assert!(gateway.ended().success(), "{}", gateway.errors());
}
