//! What the application sees of TLS when it decides.

use std::net::TcpStream;
use std::sync::Arc;

use adieu::http::StatusCode;
use adieu::tls::rustls::crypto::ring;
use adieu::tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use adieu::tls::rustls::server::WebPkiClientVerifier;
use adieu::tls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, StreamOwned,
};
use adieu::{Accept, Endpoint, Handshake, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{Read, Write};
use testkit::{DEADLINE, Head, Request};

use crate::served::Served;
use crate::{User, greet};

/// A server's configuration that asks for a certificate, and a client's that has one.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (vec![certificate.der().clone()], key)
    };
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let (chain, key) = signed("chat.example");
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (chain, key) = signed("ann.example");
    let own = chain[0].to_vec();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    (Arc::new(server), Arc::new(client), own)
}

#[test]
fn it_sees_the_name_the_protocol_and_the_certificate_of_the_client() {
    let (server, client, own) = configs();
    let endpoint = Endpoint::new().on_handshake(move |handshake: Handshake| {
        let own = own.clone();
        async move {
            let tls = handshake.tls().ok_or(StatusCode::UPGRADE_REQUIRED)?;
            assert_eq!(tls.server_name.as_deref(), Some("chat.example"));
            assert_eq!(tls.alpn.as_deref(), Some(&b"http/1.1"[..]));
            assert_eq!(tls.version, Some(ProtocolVersion::TLSv1_3));
            assert_eq!(tls.client_certificates.len(), 1);
            assert_eq!(tls.client_certificates[0].as_ref(), own);
            Ok::<_, StatusCode>(Accept::new().extension(User("ann".into())))
        }
    });
    let served = Served::start(endpoint, |endpoint, listener, _| async move {
        Server::with(endpoint, greet).tls(server).serve_on(listener).await.expect("a server");
    });
    let tcp = TcpStream::connect(served.addr).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = "chat.example".try_into().unwrap();
    let tls = ClientConnection::new(client, name).unwrap();
    let mut stream = StreamOwned::new(tls, tcp);
    stream.write_all(&Request::rfc6455().bytes()).unwrap();
    let mut read = Vec::new();
    let head = loop {
        if let Some((head, _)) = Head::parse(&read) {
            break head;
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        read.extend(byte);
    };
    assert_eq!(head.status(), 101, "{}", head.text);
    drop(stream);
    served.account();
    served.stop();
}

/// Without TLS there is nothing to see of it.
#[test]
fn it_sees_none_where_there_is_none() {
    let endpoint =
        Endpoint::new().on_handshake(async |handshake: Handshake| match handshake.tls() {
            Some(_) => Err(StatusCode::IM_A_TEAPOT),
            None => Ok(Accept::new()),
        });
    let served = crate::serve(crate::Through::Server, endpoint);
    let (head, peer) = crate::ask(&served, &Request::rfc6455());
    assert_eq!(head.status(), 101);
    crate::goodbye(&served, peer);
    served.stop();
}
