//! TLS of the cells over HTTP/2: a certificate for each server, which the generator takes unseen.

use std::io;
use std::sync::Arc;

use adieu::tls::rustls::ServerConfig;
use adieu::tls::rustls::crypto::ring;
use adieu::tls::rustls::pki_types::PrivateKeyDer;

/// A server's configuration with a certificate of its own; it offers HTTP/2 and HTTP/1.1.
///
/// # Errors
/// If no certificate can be made.
pub fn server_config() -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder.with_no_client_auth();
    let mut config =
        config.with_single_cert(vec![made.cert.der().clone()], key).map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
