//! TLS by rustls: configurations, and the stream for servers with an HTTP library of their own.
//!
//! # Cryptography
//! A provider that the application has installed for its process
//! (`rustls::crypto::CryptoProvider::install_default`) is used. Where it has installed none, it is
//! aws-lc-rs if the feature `aws-lc-rs` is on, else ring (the feature `ring`, on by default). With
//! neither feature the application has to install one:
//! [`server_config`] and [`client_config`] fail without, [`client_config_with`] panics. A
//! configuration that the application has made itself is used as it is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

mod info;
mod provider;

pub use info::TlsInfo;
use provider::provider;
pub use rustls;

pub use crate::transport::tls::TlsStream;

/// A server's configuration from PEM files: a certificate chain and its private key.
///
/// # Errors
/// Names the file that cannot be read or used, and why. Without a provider of cryptography:
/// [`Unsupported`](io::ErrorKind::Unsupported).
pub fn server_config(cert: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    provider::check()?;
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
/// If the system has no root certificates. Without a provider of cryptography:
/// [`Unsupported`](io::ErrorKind::Unsupported).
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    provider::check()?;
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
///
/// # Panics
/// Without a provider of cryptography.
#[must_use]
pub fn client_config_with(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    // The provider supports both versions of TLS that rustls has on by default.
    let builder = builder.unwrap_or_else(|e| unreachable!("{e}"));
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}
