//! Which implementation of cryptography rustls works with.

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

const NONE: &str = "no cryptography for TLS: switch on the feature `ring` or `aws-lc-rs` of adieu, \
                    or install a provider (rustls::crypto::CryptoProvider::install_default)";

/// The provider that is used: the process's, if the application has installed one.
///
/// # Panics
/// If there is none: see [`check`].
pub(super) fn provider() -> Arc<CryptoProvider> {
    find().unwrap_or_else(|| panic!("{NONE}"))
}

/// Whether there is one.
///
/// # Errors
/// What to do if there is none.
pub(super) fn check() -> io::Result<()> {
    find().map(drop).ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, NONE))
}

fn find() -> Option<Arc<CryptoProvider>> {
    CryptoProvider::get_default().cloned().or_else(|| built_in().map(Arc::new))
}

#[cfg(feature = "aws-lc-rs")]
#[allow(clippy::unnecessary_wraps, reason = "without a feature there is none")]
fn built_in() -> Option<CryptoProvider> {
    Some(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
#[allow(clippy::unnecessary_wraps, reason = "without a feature there is none")]
fn built_in() -> Option<CryptoProvider> {
    Some(rustls::crypto::ring::default_provider())
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn built_in() -> Option<CryptoProvider> {
    None
}
