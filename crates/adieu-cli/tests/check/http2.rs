//! `adieu check` over HTTP/2: a server of Adieu's is found well, and one that offers WebSockets and
//! fails them is found bad.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use adieu::tls::rustls::{self, ServerConnection, StreamOwned};
use testkit::http2::{PREFACE, RawFrame, code, flag, hpack, kind, setting};

use super::{certificate, check, checked, echo, finding, free_port, report, result};

#[test]
fn over_http2_a_server_of_adieu_with_its_defaults_says_goodbye_well() {
    let (chain, key) = certificate("check-http2");
    let addr = format!("127.0.0.1:{}", free_port());
    let line =
        format!("{} {addr} --http2 {} {}", checked().display(), chain.display(), key.display());
    let url = format!("wss://{addr}/");
    let ca = chain.to_str().expect("a path");
    let (report, code) = report(&[&url, "--http2", "--ca", ca, "--cmd", &line]);
    // What these say of time depends on the machine; what they count is asserted below.
    let timed = ["close", "mute", "shutdown_idle", "shutdown_busy", "shutdown_mixed"];
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((&report["http2"], &report["convention"]), (&true.into(), &true.into()));
    let checks = report["checks"].as_array().expect("a list of checks");
    for check in checks {
        let id = check["id"].as_str().expect("a name");
        let well = if id == "old" || id.starts_with("deflate") { "skipped" } else { "ok" };
        // The offers are made over any transport.
        let well = if id == "deflate_offers" { "ok" } else { well };
        let may_be_weak = timed.contains(&id) || id == "shutdown_very_slow";
        let is_well = check["result"] == well || (may_be_weak && check["result"] == "weak");
        assert!(is_well, "{id}: {check:#}");
    }
    let close = finding(&report, "close");
    assert!(close["summary"].as_str().is_some_and(|it| it.contains("END_STREAM")), "{close:#}");
    for id in ["shutdown_idle", "shutdown_busy", "shutdown_mixed"] {
        let figures = &finding(&report, id)["figures"];
        assert_eq!(figures["clean"], figures["clients"], "{id}: {figures:#}");
        assert_eq!(figures["unanswered_batch"], 0, "{id}: {figures:#}");
    }
}

#[test]
fn without_tls_a_server_that_speaks_http2_unasked_is_checked() {
    let addr = format!("127.0.0.1:{}", free_port());
    let line = format!("{} {addr} --http2", checked().display());
    let only = "close,last_words,violations,refresh";
    let (report, code) =
        report(&[&format!("ws://{addr}/"), "--http2", "--only", only, "--cmd", &line]);
    assert_eq!((code, &report["result"]), (Some(0), &"ok".into()), "{report:#}");
}

#[test]
fn a_server_that_offers_websockets_over_http2_and_fails_them_is_bad() {
    for (answer, words) in [(Answer::NotFound, "HTTP/2 404"), (Answer::Reset, "RST_STREAM")] {
        let addr = half_served(answer);
        let url = format!("wss://{addr}/");
        // Over HTTP/1.1 it serves them.
        let (report, code) = report(&[&url, "--insecure", "--only", "http2"]);
        assert_eq!((code, &*result(&report, "http2")), (Some(1), "bad"), "{report:#}");
        let found = finding(&report, "http2");
        assert!(found["summary"].as_str().is_some_and(|it| it.contains(words)), "{found:#}");
        assert!(found["meaning"].as_str().is_some_and(|it| it.contains("1006")), "{found:#}");
        // Over HTTP/2 there is nothing that could be checked.
        let output = check(&[&url, "--insecure", "--http2"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(&url), "{said}");
    }
}

#[test]
fn a_server_that_does_not_offer_them_is_well() {
    let addr = half_served(Answer::NotOffered);
    let url = format!("wss://{addr}/");
    let (report, code) = report(&[&url, "--insecure", "--only", "http2"]);
    assert_eq!((code, &*result(&report, "http2")), (Some(0), "ok"), "{report:#}");
    let output = check(&[&url, "--insecure", "--http2"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("SETTINGS_ENABLE_CONNECT_PROTOCOL"), "{said}");
}

#[test]
fn a_server_without_http2_is_told_from_one_that_fails() {
    let (chain, key) = certificate("check-http1");
    let addr = format!("127.0.0.1:{}", free_port());
    // Its TLS offers no HTTP/2: the option is for cleartext.
    let server = thread::spawn({
        let (listener, config) = (TcpListener::bind(&addr), tls(&chain, &key, &[b"http/1.1"]));
        let listener = listener.expect("a free port");
        move || {
            for stream in listener.incoming().flatten() {
                let tls = ServerConnection::new(config.clone()).expect("TLS");
                thread::spawn(move || echo(&mut StreamOwned::new(tls, stream)));
            }
        }
    });
    let url = format!("wss://{addr}/");
    let output = check(&[&url, "--insecure", "--http2"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("does not speak HTTP/2"), "{said}");
    let (report, _) = report(&[&url, "--insecure", "--only", "http2"]);
    assert_eq!(&*result(&report, "http2"), "ok", "{report:#}");
    assert!(!server.is_finished(), "it ends with the test");
}

/// What becomes of an extended CONNECT.
#[derive(Clone, Copy)]
enum Answer {
    NotFound,
    Reset,
    /// The setting is not sent.
    NotOffered,
}

/// A server that takes WebSockets over HTTP/1.1, and over HTTP/2 does this.
fn half_served(answer: Answer) -> SocketAddr {
    let (chain, key) = certificate(&format!("half-served-{}", answer as u8));
    let config = tls(&chain, &key, &[b"h2", b"http/1.1"]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || connection(stream, config, answer));
        }
    });
    addr
}

fn tls(chain: &Path, key: &Path, alpn: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let config = adieu::tls::server_config(chain, key).expect("a certificate");
    let mut config = (*config).clone();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn connection(stream: TcpStream, config: Arc<rustls::ServerConfig>, answer: Answer) {
    let tls = ServerConnection::new(config).expect("TLS");
    let mut stream = StreamOwned::new(tls, stream);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            return;
        }
    }
    if stream.conn.alpn_protocol() == Some(b"h2") {
        let _ = http2(&mut stream, answer);
    } else {
        echo(&mut stream);
    }
}

fn http2(stream: &mut (impl Read + Write), answer: Answer) -> std::io::Result<()> {
    let offered = [(setting::ENABLE_CONNECT_PROTOCOL, 1)];
    let settings = if matches!(answer, Answer::NotOffered) { &[][..] } else { &offered };
    stream.write_all(&RawFrame::settings(settings).bytes())?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&chunk[..n]);
        if bytes.len() < PREFACE.len() {
            continue;
        }
        let mut rest = &bytes[PREFACE.len()..];
        while let Some((frame, len)) = RawFrame::parse(rest) {
            rest = &rest[len..];
            if frame.kind == kind::HEADERS {
                stream.write_all(&refusal(answer, frame.stream).bytes())?;
            }
        }
    }
}

fn refusal(answer: Answer, stream: u32) -> RawFrame {
    match answer {
        Answer::Reset => RawFrame::rst_stream(stream, code::PROTOCOL_ERROR),
        _ => {
            let fields = hpack::encode(&[(":status".to_owned(), "404".to_owned())]);
            let flags = flag::END_HEADERS | flag::END_STREAM;
            RawFrame::new(kind::HEADERS, flags, stream, fields)
        }
    }
}
