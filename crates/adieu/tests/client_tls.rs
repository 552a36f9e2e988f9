//! Whom a client trusts over TLS, and that its sessions are resumed.
#![cfg(feature = "tls")]

mod scripted;

use std::net::Ipv4Addr;
use std::sync::Arc;

use adieu::tls::rustls::crypto::ring;
use adieu::tls::rustls::pki_types::pem::PemObject;
use adieu::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use adieu::tls::rustls::server::WebPkiClientVerifier;
use adieu::tls::rustls::{HandshakeKind, RootCertStore, ServerConfig};
use adieu::tls::{client_config_trusting, with_client_certificate};
use adieu::{Client, ConnectError};
use rcgen::{CertificateParams, IsCa, date_time_ymd};
use scripted::tls::{TlsServer, names};
use scripted::{Scripted, agreed, proxy, redirect};
use testkit::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn connect(client: &Client, url: &str) -> Result<adieu::Socket, ConnectError> {
    timeout(DEADLINE, client.connect(url)).await.expect("connect returns")
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_the_name_of_its_file_and_sessions_are_resumed() {
    let TlsServer { pem, url, kinds, .. } = TlsServer::start("good", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    for _ in 0..2 {
        drop(connect(&client, &url).await.unwrap());
    }
    assert_eq!(*kinds.lock().unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn a_configuration_that_is_made_for_http_2_too_speaks_http_1() {
    let server = TlsServer::start("alpn", |_| {}).await;
    let mut config = client_config_trusting(&server.pem).unwrap();
    let http1 = || b"http/1.1".to_vec();
    for offers in [vec![b"h2".to_vec(), http1()], vec![http1()], vec![]] {
        Arc::make_mut(&mut config).alpn_protocols = offers;
        connect(&Client::new().tls(config.clone()), &server.url).await.unwrap();
    }
    assert_eq!(*server.protocols.lock().unwrap(), [Some(http1()), Some(http1()), None]);
    let kinds = server.kinds.lock().unwrap().clone();
    let resumed = HandshakeKind::Resumed;
    assert_eq!(kinds, [HandshakeKind::Full, resumed, resumed], "sessions are shared all the same");
}

#[tokio::test]
async fn a_certificate_of_the_file_has_to_be_valid_and_for_the_name() {
    let old = |p: &mut CertificateParams| p.not_after = date_time_ymd(2001, 2, 3);
    let TlsServer { pem, url, .. } = TlsServer::start("old", old).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
    let TlsServer { pem, url, .. } = TlsServer::start("other", |params| {
        params.subject_alt_names = names(["example.org"]);
    })
    .await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("example.org"), "what is presented is named: {error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_in_the_file_is_refused() {
    let TlsServer { url, .. } = TlsServer::start("shown", |_| {}).await;
    let TlsServer { pem, .. } = TlsServer::start("trusted", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(adieu::HandshakeError::Tls(_), _)), "{error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let TlsServer { pem, .. } = TlsServer::start("client", |p| p.is_ca = IsCa::NoCa).await;
    let key = pem.with_extension("key");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pem).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let asks = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(asks.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&pem).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        );
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        assert!(acceptor.accept(tcp).await.is_err(), "a client without a certificate");
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        let head = scripted::read_head(&mut tls).await;
        tls.write_all(agreed(&head).as_bytes()).await.unwrap();
        let _ = tls.read(&mut [0; 64]).await;
        tls.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
    });
    let trusting = client_config_trusting(&pem).unwrap();
    let without = connect(&Client::new().tls(trusting.clone()), &url).await.unwrap_err();
    assert!(matches!(without, ConnectError::Handshake(..)), "{without}");
    let with = with_client_certificate(&trusting, &pem, &key).unwrap();
    drop(connect(&Client::new().tls(with), &url).await.unwrap());
    let shown = timeout(DEADLINE, served).await.unwrap().unwrap();
    assert_eq!(shown, Some(CertificateDer::from_pem_file(&pem).unwrap().to_vec()));
    let error = with_client_certificate(&trusting, &pem, &pem).unwrap_err().to_string();
    assert!(error.contains("client.pem"), "the file without a key is named: {error}");
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_have_none() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.read(&mut [0; 1024]).await;
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let TlsServer { pem, .. } = TlsServer::start("plain", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn no_redirect_leads_out_of_tls() {
    let plain = Scripted::start(agreed).await;
    let to = plain.url("/");
    for to in [to.clone(), to.replace("ws://", "http://")] {
        let server = TlsServer::answering("away", |_| {}, move |_| redirect(&to)).await;
        let client = Client::new().tls(client_config_trusting(&server.pem).unwrap()).redirects(9);
        let error = connect(&client, &server.url).await.unwrap_err();
        assert!(error.to_string().contains("redirects from TLS"), "{error}");
        assert_eq!(error.refusal().map(|refusal| refusal.status), Some(302));
    }
    assert!(plain.heads.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_redirect_leads_into_tls_and_to_other_servers_without_credentials() {
    let end = TlsServer::start("end", |_| {}).await;
    let (to, there) = (end.url.clone(), end.url.replace("wss://", "https://"));
    let begin = Scripted::start(move |_| redirect(&there)).await;
    let client = Client::new().tls(client_config_trusting(&end.pem).unwrap()).redirects(1);
    let client = client.header("Authorization", "Bearer secret").header("X-Kept", "1");
    connect(&client, &begin.url("/")).await.unwrap();
    let head = end.heads.lock().unwrap()[0].clone();
    assert!(head.contains("X-Kept: 1") && !head.contains("secret"), "{head}");
    assert!(
        head.contains(&format!("Host: {}", to.trim_start_matches("wss://").trim_end_matches('/')))
    );
}

/// The proxy sees whom it is to connect to, and no more: TLS is with the server, for its name.
#[tokio::test]
async fn tls_goes_through_a_proxy_to_the_server() {
    let server = TlsServer::start("tunnel", |p| p.subject_alt_names = names(["server.test"])).await;
    let (proxy, asked) = proxy(server.addr).await;
    let client = Client::new().tls(client_config_trusting(&server.pem).unwrap());
    let client = client.proxy(format!("http://user:secret@{proxy}"));
    let socket = connect(&client, "wss://server.test/x?token=secret").await.unwrap();
    assert_eq!(socket.peer().addr(), Some(proxy));
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("CONNECT server.test:443 HTTP/1.1\r\nHost: server.test:443\r\n"));
    assert!(!asked.contains("token"), "{asked}");
    assert_eq!(*server.names.lock().unwrap(), [Some("server.test".to_owned())]);
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.contains("Host: server.test\r\n") && !head.contains("Proxy-"), "{head}");
    // The name of the proxy is nobody's to show.
    let error = connect(&client, "wss://another.test/").await.unwrap_err().to_string();
    assert!(error.contains("server.test"), "what is presented is named: {error}");
}

/// As it is written in the URL, as the server name of TLS (RFC 6066 §3: without the last dot, and
/// no address), and in `Host`.
#[tokio::test]
async fn a_certificate_is_for_the_name_however_it_is_written() {
    for (host, is_for, server_name, in_host) in [
        ("server.test", "server.test", Some("server.test"), "server.test"),
        ("Server.Test.", "server.test", Some("server.test"), "server.test."),
        (
            "b\u{fc}cher.test",
            "xn--bcher-kva.test",
            Some("xn--bcher-kva.test"),
            "xn--bcher-kva.test",
        ),
        ("under_score.test", "under_score.test", Some("under_score.test"), "under_score.test"),
        ("[0:0::1]", "::1", None, "[::1]"),
        ("127.1", "127.0.0.1", None, "127.0.0.1"),
    ] {
        let server = TlsServer::start("names", |p| p.subject_alt_names = names([is_for])).await;
        let client = Client::new().tls(client_config_trusting(&server.pem).unwrap());
        // The name, and the address too, are answered by the server of this test.
        let client = client.resolve(host, [server.addr]);
        connect(&client, &format!("wss://{host}/")).await.unwrap_or_else(|e| panic!("{host}: {e}"));
        assert_eq!(*server.names.lock().unwrap(), [server_name.map(str::to_owned)], "{host}");
        let head = server.heads.lock().unwrap()[0].clone();
        assert!(head.contains(&format!("\r\nHost: {in_host}\r\n")), "{host}: {head}");
    }
}
