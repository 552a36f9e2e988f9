//! What each browser is known to do: a set of possibilities where the outcome is a race.
//!
//! Measured with Chromium 156, Firefox 153 ESR and WebKitGTK 2.50 on a raw TCP server. Where a
//! later release does something else, a test fails; the change belongs here and in the documents.

use browser::Kind;
use browser::page::PageEvent;

use crate::judge::{self, End, Expected, NO_REASON, Server, close, left_in_firefox, peer_said};

/// A FIN, or a race of our answer against the peer's close: its kernel answers ours with RST.
const FIN_OR_RST: &[End] = &[End::Tcp("fin"), End::Tcp("fin_then_rst"), RST];
const FIN: &[End] = &[End::Tcp("fin"), End::Tcp("fin_then_rst")];
const RST: End = End::Tcp("rst");
const SUSPENDED: &[&str] = &["WebSocket is closed due to suspension."];

/// The peer went without a word. With unread bytes in its socket its kernel says RST, not FIN.
fn without_goodbye() -> Vec<Server> {
    vec![judge::without_goodbye("fin", FIN), judge::without_goodbye("rst", &[RST])]
}

fn went_away(kind: Kind) -> Server {
    match kind {
        // Firefox waits for our answer before it ends TCP; the others end it at once.
        Kind::Firefox => peer_said(1001, NO_REASON, FIN),
        Kind::Chromium | Kind::WebKit => peer_said(1001, NO_REASON, FIN_OR_RST),
    }
}

/// A refresh. Only Firefox may tell the old page.
pub(crate) fn refresh(kind: Kind) -> Expected {
    let page = match kind {
        Kind::Firefox => left_in_firefox(),
        Kind::Chromium | Kind::WebKit => vec![vec![]],
    };
    Expected { server: vec![went_away(kind)], page: Some(page) }
}

/// The tab is closed, another stays.
pub(crate) fn closed_tab(kind: Kind) -> Expected {
    Expected { server: vec![went_away(kind)], page: None }
}

/// The browser is told to quit. MiniBrowser has no such command: its driver ends its process, and
/// whether a goodbye leaves before that is a race.
pub(crate) fn quit(kind: Kind) -> Expected {
    match kind {
        Kind::Chromium | Kind::Firefox => closed_tab(kind),
        Kind::WebKit => killed(kind),
    }
}

/// Another page is opened in the tab. `None`: the connection stays open.
pub(crate) fn leave(kind: Kind) -> Option<Expected> {
    let server = match kind {
        Kind::Chromium => return None,
        Kind::Firefox => went_away(kind),
        Kind::WebKit => peer_said(1001, SUSPENDED, FIN_OR_RST),
    };
    Some(Expected { server: vec![server], page: None })
}

/// Back to the page that was left.
pub(crate) fn come_back(kind: Kind) -> Expected {
    let lost = vec![vec![PageEvent::Error, close(1006, "", false)]];
    let (server, page) = match kind {
        Kind::Chromium => (went_away(kind), lost),
        Kind::Firefox => (went_away(kind), left_in_firefox()),
        Kind::WebKit => (peer_said(1001, SUSPENDED, FIN_OR_RST), lost),
    };
    Expected { server: vec![server], page: Some(page) }
}

/// The page calls `close()`.
pub(crate) fn page_closes_empty(_kind: Kind) -> Expected {
    judge::page_closes_empty(FIN)
}

/// The page calls `close(4001, "bye")`.
pub(crate) fn page_closes_4001(_kind: Kind) -> Expected {
    judge::page_closes_4001(FIN)
}

/// The page asks the server to close with a code.
pub(crate) fn server_closes(_kind: Kind, code: u64) -> Expected {
    judge::server_closes(code, FIN)
}

/// All processes are killed. WebKitGTK's network process may be the last, and see its client go.
pub(crate) fn killed(kind: Kind) -> Expected {
    let mut server = without_goodbye();
    if kind == Kind::WebKit {
        server.push(peer_said(1001, NO_REASON, FIN_OR_RST));
    }
    Expected { server, page: None }
}
