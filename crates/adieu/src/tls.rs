//! TLS by rustls: configurations, and the stream for servers with an HTTP library of their own.
//!
//! # Cryptography
//! A provider that the application has installed for its process
//! (`rustls::crypto::CryptoProvider::install_default`) is used. Where it has installed none, it is
//! aws-lc-rs if the feature `aws-lc-rs` is on, else ring (the feature `ring`, on by default). With
//! neither feature the application has to install one:
//! [`server_config`] and [`client_config`] fail without, [`client_config_with`] panics. A
//! configuration that the application has made itself is used as it is.

mod files;
mod info;
mod provider;
mod shared;
mod trusting;

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

pub use files::CertificateFiles;
pub use info::TlsInfo;
use provider::provider;
pub use rustls;
use shared::Shared;
pub(crate) use trusting::is_an_authoritys;

pub use crate::transport::tls::TlsStream;

/// A server's configuration from PEM files: a certificate chain and its private key, as they are
/// now; [`CertificateFiles`] reads them again.
///
/// ```no_run
/// # fn run() -> std::io::Result<()> {
/// let config = adieu::tls::server_config("cert.pem", "key.pem")?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Names the file that cannot be read or used, and why. Without a provider of cryptography:
/// [`Unsupported`](io::ErrorKind::Unsupported).
pub fn server_config(
    cert: impl AsRef<Path>,
    key: impl AsRef<Path>,
) -> io::Result<Arc<ServerConfig>> {
    CertificateFiles::open(cert, key)?.server_config()
}

/// The configuration of [`client_config`], once it was asked for.
static SYSTEM: Shared<ClientConfig> = Shared::new();

/// A client's configuration that trusts what the operating system trusts. The roots are read once
/// in a process, which takes some 10 ms and blocks; all who call this share the configuration, and
/// with it the TLS sessions that are resumed.
///
/// # Errors
/// If the system has no root certificates. Without a provider of cryptography:
/// [`Unsupported`](io::ErrorKind::Unsupported).
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    SYSTEM.get(trusting_the_system)
}

/// The same on a thread that may block.
pub(crate) async fn client_config_off_the_runtime() -> io::Result<Arc<ClientConfig>> {
    SYSTEM.get_off_the_runtime(trusting_the_system).await
}

fn trusting_the_system() -> io::Result<Arc<ClientConfig>> {
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

/// A client's configuration that trusts the certificates in a PEM file and no others: authorities,
/// and servers' own certificates. A server that shows one of them byte for byte is accepted for the
/// names in it while it is valid, whoever issued it: also where it is self-signed and says that it
/// is an authority, as `openssl req -x509` makes it.
///
/// # Errors
/// Names the file that cannot be read or used, and why. Without a provider of cryptography:
/// [`Unsupported`](io::ErrorKind::Unsupported).
pub fn client_config_trusting(pem: impl AsRef<Path>) -> io::Result<Arc<ClientConfig>> {
    let pem = pem.as_ref();
    provider::check()?;
    let verifier =
        trusting::Trusting::new(certificates(pem)?, provider()).map_err(|e| named(pem, e))?;
    let builder = client().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// A client's configuration that trusts the given roots and no others.
///
/// # Panics
/// Without a provider of cryptography.
#[must_use]
pub fn client_config_with(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(client().with_root_certificates(roots).with_no_client_auth())
}

/// The same configuration of a client, which shows a certificate where the server asks for one
/// (RFC 8446 §4.4.2): the chain in the PEM file `cert`, its own first, with the private key in the
/// PEM file `key`, which may be the same file. Sessions of the configuration it is made of are not
/// resumed: they are without the certificate.
///
/// ```no_run
/// # fn of() -> std::io::Result<adieu::Client> {
/// let trusted = adieu::tls::client_config()?;
/// let tls = adieu::tls::with_client_certificate(&trusted, "me.pem", "me.key")?;
/// # Ok(adieu::Client::new().tls(tls)) }
/// ```
///
/// # Errors
/// Names the file that cannot be read or used, and why.
pub fn with_client_certificate(
    config: &ClientConfig,
    cert: impl AsRef<Path>,
    key: impl AsRef<Path>,
) -> io::Result<Arc<ClientConfig>> {
    let (cert, key) = (cert.as_ref(), key.as_ref());
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| named(key, e))?;
    let certified = CertifiedKey::from_der(chain, private, config.crypto_provider());
    let certified = certified.map_err(|e| named(key, e))?;
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    config.resumption = Resumption::default();
    Ok(Arc::new(config))
}

/// The names of ALPN (RFC 9112 §12.4, RFC 9113 §11.1).
const HTTP_1_1: &[u8] = b"http/1.1";
#[cfg(feature = "http2")]
const HTTP_2: &[u8] = b"h2";

/// The same configuration, which offers no protocol by ALPN but HTTP/1.1, if it offers any. The
/// sessions that it resumes are the same ones.
pub(crate) fn speaking_http1(mut config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    if config.alpn_protocols.iter().any(|name| name != HTTP_1_1) {
        Arc::make_mut(&mut config).alpn_protocols = vec![HTTP_1_1.to_vec()];
    }
    config
}

/// The same configuration of a client, which offers HTTP/2, or HTTP/1.1 if the server prefers that
/// (ALPN, RFC 7301).
#[cfg(feature = "http2")]
pub(crate) fn offering_both(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    offering(config, &[HTTP_2, HTTP_1_1])
}

/// The same configuration of a client, which offers HTTP/1.1 by ALPN and nothing else: a server
/// that has HTTP/2 must not choose it.
#[cfg(feature = "http2")]
pub(crate) fn offering_http1(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    offering(config, &[HTTP_1_1])
}

#[cfg(feature = "http2")]
fn offering(mut config: Arc<ClientConfig>, names: &[&[u8]]) -> Arc<ClientConfig> {
    let names: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
    if config.alpn_protocols != names {
        Arc::make_mut(&mut config).alpn_protocols = names;
    }
    config
}

/// The same configuration, which offers HTTP/2 as well (ALPN, RFC 7301), before what it offers.
#[cfg(feature = "http2")]
#[must_use]
pub fn with_http2(config: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = config.clone();
    offers_http2(&mut config);
    config
}

/// Has a server offer HTTP/2 in the TLS handshake (ALPN, RFC 7301), before what it offers.
#[cfg(feature = "http2")]
pub(crate) fn offers_http2(config: &mut Arc<ServerConfig>) {
    let offers = &config.alpn_protocols;
    if offers.iter().any(|name| name == HTTP_2) {
        return;
    }
    let others = if offers.is_empty() { vec![HTTP_1_1.to_vec()] } else { offers.clone() };
    let offers = std::iter::once(HTTP_2.to_vec()).chain(others).collect();
    Arc::make_mut(config).alpn_protocols = offers;
}

fn client() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    // The provider supports both versions of TLS that rustls has on by default.
    builder.unwrap_or_else(|e| unreachable!("{e}"))
}

/// The certificates of a PEM file; there is one at least.
fn certificates(pem: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(pem).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|e| named(pem, e))?;
    if certificates.is_empty() {
        return Err(named(pem, "holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn named(path: &Path, why: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", path.display()))
}
