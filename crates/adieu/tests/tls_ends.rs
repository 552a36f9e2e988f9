//! TLS has two layers of end, close_notify and what TCP did afterwards, and both are told. A TLS
//! handshake that fails says why, on both sides.
#![cfg(feature = "tls")]

mod served;
mod tls_peer;
#[path = "support/words.rs"]
mod words;

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use adieu::tls::rustls::RootCertStore;
use adieu::{Cause, Config, ConnectError, End, Ending, Endpoint, Handler, HandshakeError, Server};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use served::{Served, echo, with};
use socket2::SockRef;
use testkit::{DEADLINE, Frame};
use tls_peer::{Authority, Raw, authority};
use words::{all_differ, without_durations};

fn serve(authority: &Authority, endpoint: Endpoint, handler: impl Handler) -> Served {
    let config = authority.server_config();
    Served::start(endpoint, |endpoint, listener, _| async move {
        Server::with(endpoint, handler).tls(config).serve_on(listener).await.expect("a server");
    })
}

// How the peer ends.

/// A scene: what the peer does at its end. It gives back what of it is still open.
type Scene = (&'static str, fn(Raw) -> Option<Raw>);

const SCENES: [Scene; 5] = [
    ("close_notify, and TCP left open", |mut raw| {
        raw.close_notify();
        Some(raw)
    }),
    ("close_notify, then FIN", |mut raw| {
        raw.close_notify();
        raw.fin();
        Some(raw)
    }),
    ("close_notify, then RST", |mut raw| {
        raw.close_notify();
        // The server has heard it when its own close_notify and FIN have come.
        raw.read_to_close_notify();
        raw.reset();
        None
    }),
    ("FIN without close_notify", |raw| {
        raw.fin();
        Some(raw)
    }),
    ("RST", |raw| {
        raw.reset();
        None
    }),
];

const LEFT_OPEN: usize = 0;
const THEN_FIN: usize = 1;
const THEN_RST: usize = 2;
const ONLY_FIN: usize = 3;
const ONLY_RST: usize = 4;

/// The accounts of all scenes; `before` is what each peer does first.
fn endings(before: fn(&mut Raw)) -> Vec<(&'static str, Ending)> {
    let authority = authority();
    SCENES.iter().map(|(scene, die)| (*scene, ending_of(&authority, before, *die))).collect()
}

fn ending_of(authority: &Authority, before: fn(&mut Raw), die: fn(Raw) -> Option<Raw>) -> Ending {
    // Long enough for a busy machine to bring the RST, short enough to wait for when none comes.
    let config = Config { linger: Duration::from_secs(5), ..Config::default() };
    let served = serve(authority, with(config), echo);
    let mut raw = authority.open(served.addr);
    before(&mut raw);
    let open = die(raw);
    let ending = served.account().ending;
    println!("{ending}");
    drop(open);
    served.stop();
    ending
}

/// What holds with and without a closing handshake.
fn all_are_told_apart(endings: &[(&'static str, Ending)]) {
    let sentences: Vec<_> = endings
        .iter()
        .map(|(scene, ending)| (*scene, without_durations(&ending.to_string())))
        .collect();
    for (at, close_notify) in
        [(LEFT_OPEN, true), (THEN_FIN, true), (THEN_RST, true), (ONLY_FIN, false)]
    {
        let (scene, ending) = &endings[at];
        let told = ending.transport.close_notify;
        assert_eq!(told, Some(close_notify), "{scene}: {ending}");
    }
    for at in [LEFT_OPEN, ONLY_RST] {
        let (scene, ending) = &endings[at];
        let fin = matches!(ending.transport.end, End::Finished | End::FinishedThenReset);
        assert!(!fin, "{scene}: no FIN came: {ending}");
    }
    for at in [THEN_FIN, ONLY_FIN] {
        let (scene, ending) = &endings[at];
        assert_eq!(ending.transport.end, End::Finished, "{scene}: {ending}");
    }
    assert_eq!(endings[THEN_RST].1.transport.end, End::Reset, "{}", endings[THEN_RST].1);
    all_differ(&sentences);
}

#[test]
fn five_ends_of_tls_without_a_close_are_told_apart() {
    let endings = endings(|_| {});
    all_are_told_apart(&endings);
    assert_eq!(endings[ONLY_RST].1.cause, Cause::Reset);
    assert_eq!(endings[THEN_FIN].1.cause, Cause::Eof);
}

#[test]
fn five_ends_of_tls_behind_a_closing_handshake_are_told_apart() {
    let endings = endings(|raw| {
        raw.send(&Frame::close(1000, "done"));
        assert_eq!(raw.frame(), Frame::close(1000, ""));
    });
    all_are_told_apart(&endings);
    assert!(endings.iter().all(|(_, ending)| ending.cause == Cause::Peer), "{endings:?}");
}

// Why a TLS handshake failed.

/// An authority, and a certificate of it that is changed like this.
fn authority_that_signs(change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let server = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let leaf = params.signed_by(&server, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    Authority { roots, pem: root.pem(), chain: leaf.pem(), key: server.serialize_pem() }
}

/// Connects a client that trusts one authority to a server of another (or the same): what the
/// client is told, with all sources of it, and what the server is told.
fn refused(server: &Authority, client: &Authority) -> (String, Ending) {
    let served = serve(server, Endpoint::new(), echo);
    let url = format!("wss://{}/", served.addr);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = client.client();
    let error = runtime.block_on(async {
        tokio::time::timeout(DEADLINE, client.connect(&url)).await.expect("in time").unwrap_err()
    });
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Tls(_), _)), "{error}");
    let ending = served.account().ending;
    served.stop();
    (with_sources(&error), ending)
}

/// An error and what it came from, in one line.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// In small letters, without what stands between words: `UnknownIssuer`, `unknown_issuer` and
/// `unknown issuer` are one.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

#[test]
fn a_client_is_told_why_a_certificate_was_not_accepted() {
    let expired = authority_that_signs(|params| params.not_after = date_time_ymd(2001, 2, 3));
    let other_name = authority_that_signs(|params| {
        *params = CertificateParams::new(["example.org".to_owned()]).unwrap();
    });
    let good = authority();
    let scenes = [
        ("expired", refused(&expired, &expired).0, "expired"),
        ("for another name", refused(&other_name, &other_name).0, "notvalidfor"),
        ("of an issuer that is not known", refused(&good, &authority()).0, "unknownissuer"),
    ];
    for (scene, text, reason) in &scenes {
        println!("{scene}: {text}");
        assert!(letters(text).contains(reason), "{scene}: the reason is not in {text:?}");
    }
    let texts = scenes.map(|(scene, text, _)| (scene, text));
    all_differ(&texts);
}

#[test]
fn a_server_is_told_which_alert_its_client_sent() {
    let (_, ending) = refused(&authority(), &authority());
    println!("{ending}");
    assert!(matches!(ending.cause, Cause::Handshake(HandshakeError::Tls(_))), "{ending}");
    assert!(letters(&ending.to_string()).contains("unknownca"), "the alert's name: {ending}");
}

/// What is no TLS at all is told differently from a certificate that is not accepted.
#[test]
fn a_server_is_told_that_what_came_was_no_tls() {
    let served = serve(&authority(), Endpoint::new(), echo);
    let mut peer = testkit::Peer::connect(served.addr);
    peer.write(testkit::Request::rfc6455().bytes());
    peer.read_to_end();
    drop(peer);
    let no_tls = served.account().ending;
    served.stop();
    let (_, alert) = refused(&authority(), &authority());
    let first_words = |ending: &Ending| {
        let sentence = ending.to_string();
        sentence.split(';').next().unwrap_or_default().to_owned()
    };
    all_differ(&[("no TLS", first_words(&no_tls)), ("an alert", first_words(&alert))]);
}

/// The peer's close_notify is read to the end of TCP: what the TLS layer still had is not lost.
#[test]
fn messages_in_front_of_close_notify_are_received() {
    let authority = authority();
    let served = serve(&authority, Endpoint::new(), echo);
    let mut raw = authority.open(served.addr);
    raw.send(&Frame::text("last"));
    raw.close_notify();
    assert_eq!(raw.frame(), Frame::text("last"));
    // Our close_notify and FIN; then the peer's FIN.
    raw.stream.read_to_end(&mut raw.buffer).unwrap();
    raw.fin();
    let ending = served.account().ending;
    assert_eq!((&ending.cause, ending.transport.end), (&Cause::Eof, End::Finished), "{ending}");
    served.stop();
}

/// A read of TLS may push out what is left of our records. They have left then, and that is told:
/// whether the peer has our Close, and whether anything is still to leave.
#[test]
fn what_a_read_has_pushed_out_has_left() {
    let authority = authority();
    let config = authority.server_config();
    let handler = async |mut socket: adieu::Socket| {
        let Some(asked) = socket.recv().await else { return };
        let len: usize = asked.as_text().unwrap().parse().unwrap();
        let _ = socket.send(vec![7; len]).await;
    };
    let served = Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        SockRef::from(&listener).set_send_buffer_size(64 * 1024).unwrap();
        Server::with(endpoint, handler).tls(config).serve_on(listener).await.expect("a server");
    });
    // Around what both kernels hold, so that some records stay in the TLS layer at first.
    for piece in 1..=20 {
        let len = 150_000 + piece * 12_003;
        let mut raw = authority.open(served.addr);
        raw.send(&Frame::text(len.to_string()));
        // It speaks while it reads, as a page that tells its progress; the Close has four bytes.
        let mut chunk = [0; 16 * 1024];
        while raw.buffer.len() < len + 10 + 4 {
            let n = raw.stream.read(&mut chunk).unwrap();
            assert_ne!(n, 0, "an end before the Close");
            raw.buffer.extend_from_slice(&chunk[..n]);
            raw.send(&Frame::text("progress"));
        }
        raw.send(&Frame::close(1000, ""));
        raw.close_notify();
        raw.read_to_close_notify();
        drop(raw);
        let ending = served.account().ending;
        assert!(ending.is_clean(), "{len} bytes: {ending}");
    }
    served.stop();
}
