//! TLS by rustls: configurations, and the stream for servers with an HTTP library of their own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

mod info;

pub use info::TlsInfo;
pub use rustls;

pub use crate::transport::tls::TlsStream;

/// A server's configuration from PEM files: a certificate chain and its private key.
///
/// # Errors
/// Names the file that cannot be read or used, and why.
pub fn server_config(cert: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let named = |path: &Path, e: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {e}", path.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|e| named(cert, &e))?;
    if chain.is_empty() {
        return Err(named(cert, &"holds no certificate in PEM form"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| named(key, &e))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| named(key, &e))?;
    Ok(Arc::new(config))
}

/// A client's configuration that trusts what the operating system trusts.
///
/// # Errors
/// If the system has no root certificates.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the system has no root certificates (on Debian: apt-get install ca-certificates)",
        ));
    }
    Ok(client_config_with(roots))
}

/// A client's configuration that trusts the given roots and no others.
#[must_use]
pub fn client_config_with(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    // The provider supports both versions of TLS that rustls has on by default.
    let builder = builder.unwrap_or_else(|e| unreachable!("{e}"));
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
