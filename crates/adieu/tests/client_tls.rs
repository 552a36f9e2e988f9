//! Whom a client trusts over TLS, and that its sessions are resumed.
#![cfg(feature = "tls")]

mod scripted;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use adieu::tls::rustls::crypto::ring;
use adieu::tls::rustls::pki_types::pem::PemObject;
use adieu::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use adieu::tls::rustls::server::WebPkiClientVerifier;
use adieu::tls::rustls::{HandshakeKind, RootCertStore, ServerConfig};
use adieu::tls::{client_config_trusting, server_config, with_client_certificate};
use adieu::{Client, ConnectError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use testkit::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A certificate as `openssl req -x509` makes it: self-signed, and it says it is an authority.
/// Gives the file that is trusted, the URL of a server that shows it, and how its handshakes went.
async fn server(
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (std::path::PathBuf, String, Arc<Mutex<Vec<HandshakeKind>>>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |kind: &str| dir.join(format!("client-tls-{}-{name}.{kind}", std::process::id()));
    std::fs::write(file("pem"), certificate.pem()).unwrap();
    std::fs::write(file("key"), key.serialize_pem()).unwrap();
    let config = server_config(&file("pem"), &file("key")).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = kinds.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            seen.lock().unwrap().extend(tls.get_ref().1.handshake_kind());
            let head = scripted::read_head(&mut tls).await;
            tls.write_all(scripted::agreed(&head).as_bytes()).await.unwrap();
            tls.flush().await.unwrap();
            // The client's Close, then its end.
            let _ = tls.read(&mut [0; 64]).await;
        }
    });
    (file("pem"), url, kinds)
}

async fn connect(client: &Client, url: &str) -> Result<adieu::Socket, ConnectError> {
    timeout(DEADLINE, client.connect(url)).await.expect("connect returns")
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_the_name_of_its_file_and_sessions_are_resumed() {
    let (pem, url, kinds) = server("good", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    for _ in 0..2 {
        drop(connect(&client, &url).await.unwrap());
    }
    assert_eq!(*kinds.lock().unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed]);
}

#[tokio::test]
async fn a_certificate_of_the_file_has_to_be_valid_and_for_the_name() {
    let (pem, url, _) = server("old", |p| p.not_after = date_time_ymd(2001, 2, 3)).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
    let (pem, url, _) = server("other", |params| {
        params.subject_alt_names =
            CertificateParams::new(["example.org".to_owned()]).unwrap().subject_alt_names;
    })
    .await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("example.org"), "what is presented is named: {error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_in_the_file_is_refused() {
    let (_, url, _) = server("shown", |_| {}).await;
    let (pem, ..) = server("trusted", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(adieu::HandshakeError::Tls(_), _)), "{error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let (pem, ..) = server("client", |params| params.is_ca = IsCa::NoCa).await;
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
        tls.write_all(scripted::agreed(&head).as_bytes()).await.unwrap();
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
    let (pem, ..) = server("plain", |_| {}).await;
    let client = Client::new().tls(client_config_trusting(&pem).unwrap());
    let error = connect(&client, &url).await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
}
