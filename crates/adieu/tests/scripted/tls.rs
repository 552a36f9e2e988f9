//! The same over TLS, with a certificate of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use adieu::tls::rustls::HandshakeKind;
use adieu::tls::server_config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{agreed, read_head};

/// A server with a certificate as `openssl req -x509` makes it: self-signed, and it says that it is
/// an authority.
pub(crate) struct TlsServer {
    /// The file that is to be trusted.
    pub(crate) pem: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) url: String,
    /// How its handshakes of TLS went.
    pub(crate) kinds: Arc<Mutex<Vec<HandshakeKind>>>,
    /// Which names they were for.
    pub(crate) names: Arc<Mutex<Vec<Option<String>>>>,
    /// Which protocols were agreed on; its own choice would be HTTP/2.
    pub(crate) protocols: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl TlsServer {
    /// Opens a WebSocket for each connection. The certificate is for 127.0.0.1, unless `change`
    /// makes it another.
    pub(crate) async fn start(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::answering(name, change, agreed).await
    }

    /// Answers each request with what `answer` makes of its head.
    pub(crate) async fn answering(
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let (pem, key) = certificate(name, change);
        let mut config = server_config(&pem, &key).unwrap();
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (kinds, names, protocols, heads) = <(Arc<_>, Arc<_>, Arc<_>, Arc<_>)>::default();
        let url = format!("wss://{addr}/");
        let server = TlsServer { pem, addr, url, kinds, names, protocols, heads };
        let (kinds, names, protocols, heads) = (
            server.kinds.clone(),
            server.names.clone(),
            server.protocols.clone(),
            server.heads.clone(),
        );
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let shaken = tls.get_ref().1;
                kinds.lock().unwrap().extend(shaken.handshake_kind());
                names.lock().unwrap().push(shaken.server_name().map(str::to_owned));
                protocols.lock().unwrap().push(shaken.alpn_protocol().map(<[u8]>::to_vec));
                let (answer, heads) = (answer.clone(), heads.clone());
                tokio::spawn(async move {
                    let head = read_head(&mut tls).await;
                    let text = answer(&head);
                    heads.lock().unwrap().push(head);
                    tls.write_all(text.as_bytes()).await.unwrap();
                    tls.flush().await.unwrap();
                    // The client's Close, then its end.
                    let _ = tls.read(&mut [0; 64]).await;
                });
            }
        });
        server
    }
}

/// The files of a new certificate and of its key.
fn certificate(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |kind: &str| dir.join(format!("client-tls-{process}-{count}-{name}.{kind}"));
    std::fs::write(file("pem"), certificate.pem()).unwrap();
    std::fs::write(file("key"), key.serialize_pem()).unwrap();
    (file("pem"), file("key"))
}

/// What a certificate for these names and addresses says.
pub(crate) fn names<const N: usize>(names: [&str; N]) -> Vec<SanType> {
    CertificateParams::new(names.map(str::to_owned)).unwrap().subject_alt_names
}
