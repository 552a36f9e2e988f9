//! `wss://`: whom the command trusts, what it shows, and what it says when TLS fails.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adieu::tls::rustls::crypto::ring;
use adieu::tls::rustls::pki_types::pem::PemObject;
use adieu::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use adieu::tls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use adieu::tls::rustls::{RootCertStore, ServerConfig};
use adieu::{CloseCode, Server, Socket};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

use crate::world::{connect, ended, json, run};

/// A file with a self-signed certificate for 127.0.0.1, and its key.
fn certificate(name: &str, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = dir.join(format!("connect-tls-{}-{name}.pem", std::process::id()));
    std::fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
    file
}

/// A server that shows the certificate of a file, closes each connection with 1000, and ends with
/// the test. `clients`: whose certificate it asks for.
fn server(file: &Path, clients: Option<&Path>) -> String {
    server_of(file, clients, false)
}

/// The same, which may speak HTTP/2 as well.
fn server_of(file: &Path, clients: Option<&Path>, http2: bool) -> String {
    let of = |file: &Path| CertificateDer::from_pem_file(file).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = match clients {
        None => Arc::new(NoClientAuth),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(of(clients)).unwrap();
            let roots = Arc::new(roots);
            WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap()
        }
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![of(file)], PrivateKeyDer::from_pem_file(file).unwrap())
        .unwrap();
    let (tell, addr) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let server = Server::new(async |_: Socket| CloseCode::NORMAL).tls(Arc::new(config));
            let server = server.http2(http2);
            server.serve_on(listener).await
        })
    });
    let addr: SocketAddr = addr.recv().expect("it listens");
    format!("wss://{addr}/")
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path")
}

#[test]
fn a_certificate_of_ones_own_is_trusted_by_the_name_of_its_file() {
    // As `openssl req -x509` makes it.
    let file = certificate("own", |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let url = server(&file, None);
    for args in [&["--cacert", path(&file)][..], &["--ca", path(&file)], &["--insecure"], &["-k"]] {
        let said = run(&[&[url.as_str()], args].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.err.contains("over TLS"), "{said:?}");
    }
}

#[test]
fn each_reason_why_tls_fails_has_its_own_words() {
    let known = certificate("known", |_| {});
    // As `openssl req -x509` makes it.
    let own = certificate("own-unknown", |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let old = certificate("old", |it| it.not_after = date_time_ymd(2001, 2, 3));
    let other = certificate("other", |params| {
        let names = CertificateParams::new(["other.example".to_owned()]).unwrap();
        params.subject_alt_names = names.subject_alt_names;
    });
    for (shown, trusted, says) in [
        (&certificate("unknown", |_| {}), &known, "--cacert"),
        (&own, &known, "an authority's certificate"),
        (&own, &known, "--cacert"),
        (&old, &old, "expired"),
        (&other, &other, "other.example"),
    ] {
        let said = run(&[&server(shown, None), "--cacert", path(trusted)]);
        assert_eq!(said.code, Some(4), "{says}: {said:?}");
        assert!(said.err.contains(says), "{says}: {said:?}");
    }
    let listener = testkit::Listener::bind();
    let url = listener.url().replace("ws://", "wss://");
    let client = connect(&[&url, "--insecure"]);
    let mut server = listener.accept();
    let _ = server.read_some(1);
    server.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    server.fin();
    let said = ended(client);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.err.contains("does not speak TLS"), "{said:?}");
}

#[test]
fn a_certificate_is_shown_to_a_server_that_asks() {
    let (own, ours) = (certificate("asks", |_| {}), certificate("ours", |_| {}));
    let url = server(&own, Some(&ours));
    let trusting = [url.as_str(), "--cacert", path(&own)];
    let said = run(&trusting);
    assert_eq!(said.code, Some(4), "{said:?}");
    for args in [&["--cert", path(&ours)][..], &["-E", path(&ours), "--key", path(&ours)]] {
        let said = run(&[&trusting, args].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[test]
fn over_http2_the_report_names_the_stream_and_its_connection() {
    let file = certificate("http2", |_| {});
    let url = server_of(&file, None, true);
    let asked = [url.as_str(), "--http2", "--cacert", path(&file)];
    let said = run(&asked);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("RFC 6455 over HTTP/2 and TLS"), "{said:?}");
    assert!(said.err.contains("stream 1 of connection 1"), "{said:?}");
    assert!(said.err.contains("a stream of HTTP/2: the server finished it"), "{said:?}");
    let said = json(&run(&[&asked[..], &["--json"]].concat()));
    assert_eq!(said["ending"]["http2"]["stream"], 1, "{said}");
    assert_eq!(said["ending"]["http2"]["byConnection"], false, "{said}");
    assert_eq!(said["ending"]["transportKind"], "http2", "{said}");
    // Without the option nothing changes.
    let said = json(&run(&[&url, "--cacert", path(&file), "--json"]));
    assert!(said["ending"]["http2"].is_null(), "{said}");
}

#[test]
fn a_server_without_http2_is_spoken_to_over_http_1_and_the_report_says_so() {
    let file = certificate("http1", |_| {});
    let said = run(&[&server(&file, None), "--http2", "--cacert", path(&file)]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("takes no WebSockets over HTTP/2"), "{said:?}");
}

#[test]
fn http2_without_tls_is_refused() {
    for url in ["ws://127.0.0.1:1/", "http://127.0.0.1:1/"] {
        let said = run(&[url, "--http2"]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("begin the URL with wss://, or leave --http2 out"), "{said:?}");
    }
}
