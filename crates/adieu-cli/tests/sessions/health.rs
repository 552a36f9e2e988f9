//! `adieu health`, as a container's health check runs it.

use std::process::Output;

use testkit::{Peer, Request};

use crate::world::{Backend, PATIENT, Process, adieu, holds_a_stop_up};

fn health(url: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = adieu(&["health", url]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout) + &text(&stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_ready_until_it_stops() {
    let backend = Backend::start().await;
    let mut gateway = Process::told_to(&backend, &PATIENT);
    let url = format!("http://{}", gateway.addr);
    assert_eq!(health(&url), (Some(0), "ready\n".into()));
    let mut open = Peer::open_with(gateway.addr, &Request::rfc6455().target("/ws"));
    let asked_about = holds_a_stop_up(gateway.addr, &backend).await;
    gateway.signal("TERM");
    while open.read_frame().close_code().is_none() {}
    let (code, said) = health(&url);
    assert!(code == Some(1) && said.contains("503") && said.contains("stopping"), "{said}");
    backend.release();
    drop((open, asked_about));
    gateway.ended();
    let (code, said) = health(&url);
    assert!(code == Some(1) && said.contains("refused"), "{said}");
}

#[test]
fn a_gateway_with_a_certificate_is_asked_over_tls() {
    let made = rcgen::generate_simple_self_signed(["chat.example.com".to_owned()]).unwrap();
    let dir = crate::world::Scratch::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let gateway = Process::start(&options);
    assert_eq!(health(&format!("https://{}/", gateway.addr)), (Some(0), "ready\n".into()));
    let (code, said) = health(&format!("http://{}/", gateway.addr));
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn what_another_server_writes_does_nothing_to_a_terminal_and_a_password_is_not_shown() {
    let listener = testkit::Listener::bind();
    let url = format!("http://probe:secret@{}/?token=secret", listener.addr());
    let server = std::thread::spawn(move || {
        let mut peer = listener.accept();
        let head = peer.read_head();
        let body = "\x1b]0;a title\x07\u{9b}2J";
        let answer = format!("HTTP/1.1 503 No\r\nContent-Length: {}\r\n\r\n", body.len());
        peer.write(format!("{answer}{body}"));
        peer.read_to_end();
        head
    });
    let (code, said) = health(&url);
    assert!(code == Some(1) && said.contains(r"\x1b]0;a title\x07\x9b2J"), "{said}");
    assert!(!said.trim_end().contains(char::is_control) && !said.contains("secret"), "{said:?}");
    let head = server.join().unwrap();
    assert!(head.field("Authorization").is_some(), "{head:?}");
}

#[test]
fn another_server_is_not_taken_for_a_gateway() {
    let listener = testkit::Listener::bind();
    let url = format!("http://{}/", listener.addr());
    let server = std::thread::spawn(move || {
        let mut peer = listener.accept();
        peer.read_head();
        let body = "<html>hello";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        peer.write(format!("{head}{body}"));
        peer.read_to_end();
    });
    let (code, said) = health(&url);
    assert!(code == Some(1) && said.contains("<html>hello"), "{said}");
    server.join().unwrap();
}

#[test]
fn a_gateway_is_asked_over_its_unix_socket() {
    let dir = crate::world::Scratch::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    let listen = format!("unix:{}", dir.path().join("a.sock").display());
    let (code, said) = health(&listen);
    assert!(code == Some(1) && said.contains(&listen), "{said}");
    let _gateway = Process::start(&["--listen", &listen]);
    assert_eq!(health(&listen), (Some(0), "ready\n".into()));
}

#[test]
fn what_is_no_address_of_a_gateway_is_answered_with_what_one_looks_like() {
    for wrong in ["127.0.0.1:8080", "localhost", "ws://127.0.0.1:8080/", "/run/adieu.sock"] {
        let (code, said) = health(wrong);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(wrong) && said.contains("http://127.0.0.1:8080/"), "{said}");
        assert!(!said.contains("is not the URL of a WebSocket"), "{said}");
    }
    let (_, said) = health("me:my-password@127.0.0.1:8080");
    assert!(said.contains("127.0.0.1:8080") && !said.contains("my-password"), "{said}");
}
