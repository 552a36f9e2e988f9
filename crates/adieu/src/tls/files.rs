//! A server's certificate in files, which may be replaced while the server runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use super::named;
use super::provider::{check, provider};

/// A server's certificate chain and its private key in PEM files, which may be replaced while the
/// server runs: connections that come after [`reload`](Self::reload) get the new certificate, and
/// those that are open keep theirs.
///
/// ```no_run
/// use std::time::Duration;
/// use adieu::{Server, Socket, tls::CertificateFiles};
///
/// # async fn run() -> std::io::Result<()> {
/// let files = CertificateFiles::open("cert.pem", "key.pem")?;
/// let server = Server::new(async |_: Socket| ()).tls(files.server_config()?);
/// tokio::spawn(async move {
///     loop {
///         tokio::time::sleep(Duration::from_secs(10)).await;
///         match files.reload() {
///             Ok(true) => println!("a new certificate"),
///             Ok(false) => {}
///             Err(error) => eprintln!("the certificate of before stays: {error}"),
///         }
///     }
/// });
/// server.serve("[::]:443").await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CertificateFiles {
    cert: PathBuf,
    key: PathBuf,
    /// What `shown` was made of. Locked while the files are read, so that of two who do that at
    /// the same time the later one is the last.
    read: Mutex<Contents>,
    shown: Arc<Shown>,
}

/// What clients are shown now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

/// What stands in the two files.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents")
    }
}

impl CertificateFiles {
    /// Reads a certificate chain, its own certificate first, and its private key, which may stand
    /// in the same file.
    ///
    /// # Errors
    /// Names the file that cannot be read or used, and why. Without a provider of cryptography:
    /// [`Unsupported`](io::ErrorKind::Unsupported).
    pub fn open(cert: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        let (cert, key) = (cert.as_ref().to_owned(), key.as_ref().to_owned());
        check()?;
        let contents = Contents::read(&cert, &key)?;
        let certified = Arc::new(contents.certified(&cert, &key)?);
        let (read, shown) = (Mutex::new(contents), Arc::new(Shown(RwLock::new(certified))));
        Ok(CertificateFiles { cert, key, read, shown })
    }

    /// A server's configuration that shows the certificate of these files, as they were read last.
    ///
    /// # Errors
    /// If the provider of cryptography has no version of TLS that is safe.
    pub fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| named(&self.key, error))?
            .with_no_client_auth()
            .with_cert_resolver(self.shown.clone());
        Ok(Arc::new(config))
    }

    /// Reads the files again: `true` if there is another certificate from now on. It reads all of
    /// both, for neither their times nor their sizes have to change, and blocks meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open): the certificate of before stays. Where the two files are replaced
    /// one after the other, the key is not that of the certificate for a moment: try again.
    pub fn reload(&self) -> io::Result<bool> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Contents::read(&self.cert, &self.key)?;
        if *read == contents {
            return Ok(false);
        }
        let certified = contents.certified(&self.cert, &self.key)?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        *read = contents;
        Ok(true)
    }

    /// The file of the certificate chain.
    #[must_use]
    pub fn cert(&self) -> &Path {
        &self.cert
    }

    /// The file of the private key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Contents {
    fn read(cert: &Path, key: &Path) -> io::Result<Self> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| named(path, error));
        let chain_bytes = read(cert)?;
        // What is wrong with this one is said before what is wrong with the other.
        chain(&chain_bytes).map_err(|error| named(cert, error))?;
        Ok(Contents { cert: chain_bytes, key: read(key)? })
    }

    /// What clients are shown.
    fn certified(&self, cert: &Path, key: &Path) -> io::Result<CertifiedKey> {
        let chain = chain(&self.cert).map_err(|error| named(cert, error))?;
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            // FAQ: tls-encrypted-key
            pem::Error::NoItemsFound if is_encrypted(&self.key) => named(
                key,
                "holds an encrypted private key; without its passphrase it is written by: openssl \
                 pkey -in FILE -out NEW",
            ),
            pem::Error::NoItemsFound => named(key, "holds no private key in PEM form"),
            error => named(key, error),
        })?;
        let certified = CertifiedKey::from_der(chain, private, &provider());
        certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                // FAQ: tls-key
                let why = format!("is not the key of the certificate in {}", cert.display());
                named(key, why)
            }
            error => named(key, error),
        })
    }
}

fn is_encrypted(key: &[u8]) -> bool {
    const LABEL: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    key.windows(LABEL.len()).any(|window| window == LABEL)
}

/// The certificates in a file; there is one at least.
fn chain(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(chain) if chain.is_empty() => Err("holds no certificate in PEM form".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}
