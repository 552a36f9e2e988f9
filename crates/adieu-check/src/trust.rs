//! Which certificates the clients of this program trust: the system's, those of a file, or any.

use std::path::PathBuf;
use std::sync::Arc;

use adieu::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use adieu::tls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use adieu::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use adieu::tls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// A configuration for `wss://`: trusts the certificates in `ca` and no others, or everything
/// if `insecure`, or else what the operating system trusts.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub fn client_config(ca: Option<&PathBuf>, insecure: bool) -> Result<Arc<ClientConfig>, String> {
    if insecure {
        return Ok(trust_all());
    }
    let Some(file) = ca else {
        return adieu::tls::client_config().map_err(|error| error.to_string());
    };
    adieu::tls::client_config_trusting(file).map_err(|error| error.to_string())
}

fn trust_all() -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions();
    // The provider supports both versions of TLS that are on by default.
    let builder = builder.unwrap_or_else(|error| unreachable!("{error}"));
    let dangerous = builder.dangerous().with_custom_certificate_verifier(Arc::new(All(provider)));
    Arc::new(dangerous.with_no_client_auth())
}

/// Takes any certificate; the signatures are still checked, so that TLS itself is tested.
#[derive(Debug)]
struct All(Arc<CryptoProvider>);

impl ServerCertVerifier for All {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
