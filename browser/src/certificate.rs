//! A certificate that is made anew for each server, and a client that trusts it alone.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result};
use crate::instance::Instance;

/// A self-signed certificate for 127.0.0.1 and its key, in a directory that goes with it.
pub(crate) struct Certificate {
    directory: Instance,
    client: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn make() -> Result<Certificate> {
        let failed = |error: &dyn std::error::Error| {
            Error::io("make a certificate")(std::io::Error::other(error.to_string()))
        };
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.map_err(|error| failed(&error))?;
        let directory = Instance::new("certificate")?;
        let certificate =
            Certificate { directory, client: trusting(&made).map_err(|e| failed(&e))? };
        fs::write(certificate.file(), made.cert.pem())
            .and_then(|()| fs::write(certificate.key(), made.signing_key.serialize_pem()))
            .map_err(Error::io("write a certificate"))?;
        Ok(certificate)
    }

    /// The file of the certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path("cert.pem")
    }

    /// The file of its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path("key.pem")
    }

    /// What a client needs that trusts it alone.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }
}

fn trusting(
    made: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(client))
}
