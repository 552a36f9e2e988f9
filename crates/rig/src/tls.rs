//! A certificate that signs itself.

use std::path::PathBuf;

use crate::directory::Directory;

/// Writes a certificate for `localhost` and 127.0.0.1, and its key. Gives the paths of both.
pub(crate) fn certificate(directory: &Directory) -> (PathBuf, PathBuf) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let certificate = directory.write("certificate.pem", &made.cert.pem());
    let key = directory.write("key.pem", &made.signing_key.serialize_pem());
    (certificate, key)
}
