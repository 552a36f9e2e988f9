//! Which cryptography TLS works with: that of the process, else that of a feature.
#![cfg(feature = "tls")]

use std::sync::Arc;

use adieu::tls::client_config_with;
use adieu::tls::rustls::RootCertStore;
use adieu::tls::rustls::crypto::{CryptoProvider, ring};

fn used() -> Arc<CryptoProvider> {
    client_config_with(RootCertStore::empty()).crypto_provider().clone()
}

/// One test: the provider of a process is set once.
#[test]
fn the_process_decides_then_the_features() {
    if cfg!(any(feature = "ring", feature = "aws-lc-rs")) {
        let name = if cfg!(feature = "aws-lc-rs") { "AwsLcRs" } else { "Ring" };
        assert_eq!(format!("{:?}", used().secure_random), name);
        assert_eq!(CryptoProvider::get_default().map(|_| ()), None, "the process is left alone");
    } else {
        let none = std::panic::catch_unwind(used).unwrap_err();
        let text = none.downcast_ref::<String>().unwrap();
        assert!(text.contains("switch on the feature `ring` or `aws-lc-rs`"), "{text}");
        let error = adieu::tls::client_config().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    }
    let mut own = ring::default_provider();
    own.cipher_suites.truncate(1);
    own.install_default().unwrap();
    assert_eq!(used().cipher_suites.len(), 1);
    assert_eq!(format!("{:?}", used().secure_random), "Ring");
}
