//! Runs the real clients of old versions that Debian packages: Perl's Protocol::WebSocket.

use std::path::Path;
use std::process::{Command, Output};

use adieu::{Cause, Close, CloseCode, ClosingHandshake, End, Side, Version};

use crate::served::Served;

/// Whether the client can run here. Where it cannot, a continuous integration run fails and
/// others say what they skip.
pub(crate) fn available() -> bool {
    let found = Command::new("perl").args(["-MProtocol::WebSocket", "-e", "1"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "perl or Protocol::WebSocket is missing: apt-get install libprotocol-websocket-perl"
        );
        eprintln!("SKIP: no Protocol::WebSocket (apt-get install libprotocol-websocket-perl)");
    }
    found
}

/// The drafts under the names that Protocol::WebSocket has for them, the version that each is
/// here, and the goodbye that each can say: hixie has no code.
fn drafts() -> [(&'static str, Version, Close); 2] {
    [
        ("draft-ietf-hybi-00", Version::Hixie76, Close::empty()),
        ("draft-ietf-hybi-10", Version::Hybi08, CloseCode::NORMAL.into()),
    ]
}

/// The clients have two messages echoed at `path` and say goodbye.
#[track_caller]
pub(crate) fn closes(served: &Served, path: &str) {
    for (draft, version, close) in drafts() {
        let goodbye =
            ClosingHandshake::ReceivedThenSent { theirs: close.clone(), ours: close.clone() };
        run(served, path, (draft, version, close), "client");
        let account = served.ended(Cause::Peer, goodbye, End::Finished, Side::Local);
        assert_eq!(account.version, Some(version));
    }
}

/// The clients have two messages echoed at `path` and answer the server's goodbye.
#[track_caller]
pub(crate) fn is_closed(served: &Served, path: &str) {
    for (draft, version, close) in drafts() {
        let goodbye =
            ClosingHandshake::SentThenReceived { ours: close.clone(), theirs: close.clone() };
        run(served, path, (draft, version, close), "server");
        let account = served.ended(Cause::HandlerReturned, goodbye, End::Finished, Side::Local);
        assert_eq!(account.version, Some(version));
    }
}

/// Runs a client to its end. It has to say that both texts came back, that goodbye was said, and
/// that the server's FIN followed it.
fn run(served: &Served, path: &str, draft: (&str, Version, Close), closes: &str) {
    let (draft, _, goodbye) = draft;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/perl/client.pl");
    let url = format!("ws://{}/{path}?query=1", served.addr);
    let output = Command::new("perl").arg(script).args([draft, &url, closes]).output();
    let Output { stdout, stderr, .. } = output.expect("perl runs");
    let printed = String::from_utf8_lossy(&stdout);
    let code = goodbye.code().map(|code| format!("{:04x}", code.get())).unwrap_or_default();
    let want = format!("open {draft}\ntext hello\ntext grüße, €\nclose {code}\nfin\n");
    assert_eq!((&*printed, &*String::from_utf8_lossy(&stderr)), (&*want, ""));
}
