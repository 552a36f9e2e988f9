//! What each browser is known to do with a WebSocket over HTTP/2: a set of possibilities where the
//! outcome is a race.
//!
//! Measured with Chromium 156 and Firefox 153 ESR on a server that keeps each frame. Where a later
//! release does something else, a test fails; the change belongs here and in the documents.

use browser::Kind;
use browser::page::PageEvent;

use crate::judge::{
    self, End, Expected, NO_REASON, Server, close, left_in_firefox, peer_said, without_goodbye,
};

/// The peer's END_STREAM. Chromium sends it with each Close.
const ENDED: &[End] = &[End::Stream("end_stream", None)];

/// The server ended the stream for both sides. Firefox says Close and never END_STREAM.
const ENDED_BY_SERVER: &[End] = &[End::Stream("both_closed", None)];

/// Firefox quits: it may be gone before the server has ended the stream.
const QUITS: &[End] = &[End::Stream("both_closed", None), End::Connection("fin", Some("NO_ERROR"))];

/// All that Chromium says of a page that goes, whatever became of it.
const CANCELLED: &[End] = &[End::Stream("rst_stream", Some("CANCEL"))];

/// The kernel ends the connection of a process that was killed.
const GONE: &[End] = &[End::Connection("fin", None)];

fn went_away(kind: Kind) -> Server {
    match kind {
        Kind::Firefox => peer_said(1001, NO_REASON, ENDED_BY_SERVER),
        _ => without_goodbye("rst_stream", CANCELLED),
    }
}

/// How a stream ends on which both have said Close.
fn closed(kind: Kind) -> &'static [End] {
    match kind {
        Kind::Firefox => ENDED_BY_SERVER,
        _ => ENDED,
    }
}

/// A refresh. Only Firefox may tell the old page.
pub(crate) fn refresh(kind: Kind) -> Expected {
    let page = match kind {
        Kind::Firefox => left_in_firefox(),
        _ => vec![vec![]],
    };
    Expected { server: vec![went_away(kind)], page: Some(page) }
}

/// The tab is closed, another stays.
pub(crate) fn closed_tab(kind: Kind) -> Expected {
    Expected { server: vec![went_away(kind)], page: None }
}

/// The browser is told to quit. Whether Chromium's process for the network resets the stream before
/// it is gone is a race; in half of the runs no frame came.
pub(crate) fn quit(kind: Kind) -> Expected {
    let server = match kind {
        Kind::Firefox => vec![peer_said(1001, NO_REASON, QUITS)],
        _ => vec![went_away(kind), without_goodbye("fin", GONE)],
    };
    Expected { server, page: None }
}

/// Another page is opened in the tab. `None`: the stream stays open.
pub(crate) fn leave(kind: Kind) -> Option<Expected> {
    let server = match kind {
        Kind::Firefox => went_away(kind),
        _ => return None,
    };
    Some(Expected { server: vec![server], page: None })
}

/// Back to the page that was left.
pub(crate) fn come_back(kind: Kind) -> Expected {
    let page = match kind {
        Kind::Firefox => left_in_firefox(),
        _ => vec![vec![PageEvent::Error, close(1006, "", false)]],
    };
    Expected { server: vec![went_away(kind)], page: Some(page) }
}

/// The page calls `close()`.
pub(crate) fn page_closes_empty(kind: Kind) -> Expected {
    judge::page_closes_empty(closed(kind))
}

/// The page calls `close(4001, "bye")`.
pub(crate) fn page_closes_4001(kind: Kind) -> Expected {
    judge::page_closes_4001(closed(kind))
}

/// The page asks the server to close with a code.
pub(crate) fn server_closes(kind: Kind, code: u64) -> Expected {
    judge::server_closes(code, closed(kind))
}

/// All processes are killed.
pub(crate) fn killed(_kind: Kind) -> Expected {
    Expected { server: vec![without_goodbye("fin", GONE)], page: None }
}
