//! A server's certificate is replaced while it runs.
#![cfg(feature = "tls")]

mod served;
mod tls_peer;

use std::fs;
use std::path::{Path, PathBuf};

use adieu::tls::CertificateFiles;
use adieu::{Endpoint, Server};
use served::{Served, echo};
use testkit::Frame;
use tls_peer::{Authority, authority, tempdir};

/// The two files of a server.
struct Files {
    dir: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(authority: &Authority) -> Self {
        let dir = tempdir();
        let files = Files { cert: dir.join("cert.pem"), key: dir.join("key.pem"), dir };
        files.write(authority);
        files
    }

    fn write(&self, authority: &Authority) {
        fs::write(&self.cert, &authority.chain).unwrap();
        fs::write(&self.key, &authority.key).unwrap();
    }

    fn open(&self) -> CertificateFiles {
        CertificateFiles::open(&self.cert, &self.key).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn serve(files: &CertificateFiles) -> Served {
    let config = files.server_config().unwrap();
    Served::start(Endpoint::new(), |endpoint, listener, _| async move {
        let server = Server::with(endpoint, echo).tls(config);
        server.serve_on(listener).await.expect("a server");
    })
}

/// Whether a client that trusts this authority alone comes to a WebSocket.
fn is_shown(authority: &Authority, served: &Served) -> bool {
    let (client, url) = (authority.client(), format!("wss://{}/", served.addr));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { client.connect(&url).await.is_ok() })
}

fn named(error: &std::io::Error, file: &Path) {
    let said = error.to_string();
    assert!(said.starts_with(&file.display().to_string()), "{said}");
}

#[test]
fn connections_that_come_later_get_the_new_certificate_and_open_ones_go_on() {
    let (first, second) = (authority(), authority());
    let paths = Files::of(&first);
    let files = paths.open();
    let served = serve(&files);
    let mut open = first.open(served.addr);
    assert!(!files.reload().unwrap(), "nothing has changed");
    paths.write(&second);
    assert!(is_shown(&first, &served), "nobody has read it yet");
    assert!(files.reload().unwrap());
    assert!(is_shown(&second, &served) && !is_shown(&first, &served));
    open.send(&Frame::text("still here"));
    assert_eq!(open.frame(), Frame::text("still here"));
    assert!(!files.reload().unwrap(), "it was read");
    drop(open);
}

#[test]
fn what_is_broken_leaves_the_certificate_of_before() {
    let (first, second) = (authority(), authority());
    let paths = Files::of(&first);
    let files = paths.open();
    let served = serve(&files);
    // Half of a renewal: the new certificate beside the old key.
    fs::write(&paths.cert, &second.chain).unwrap();
    let error = files.reload().unwrap_err();
    named(&error, &paths.key);
    assert!(error.to_string().contains("is not the key of the certificate"), "{error}");
    for (file, content) in [(&paths.cert, ""), (&paths.key, ""), (&paths.key, "nonsense")] {
        paths.write(&second);
        fs::write(file, content).unwrap();
        named(&files.reload().unwrap_err(), file);
    }
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&paths.key, locked).unwrap();
    let error = files.reload().unwrap_err();
    assert!(error.to_string().contains("passphrase"), "{error}");
    fs::remove_file(&paths.key).unwrap();
    named(&files.reload().unwrap_err(), &paths.key);
    assert!(is_shown(&first, &served));
    paths.write(&second);
    assert!(files.reload().unwrap());
    assert!(is_shown(&second, &served));
}
