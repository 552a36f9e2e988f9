//! What each browser is known to do: a set of possibilities where the outcome is a race.
//!
//! Measured with Chromium 156, Firefox 153 ESR and WebKitGTK 2.50 on a raw TCP server. Where a
//! later release does something else, a test fails; the change belongs here and in the documents.

use browser::Kind;
use browser::page::PageEvent;
use serde_json::{Value, json};

/// What may be seen of one action.
pub(crate) struct Expected {
    /// Any of these on the server's side.
    pub(crate) server: Vec<Server>,
    /// Any of these on the page's side, of `error` and `close` alone; `None` = the page is gone.
    pub(crate) page: Option<Vec<Vec<PageEvent>>>,
}

impl Expected {
    /// Whether the page is told of a close in any case, so that it can be waited for.
    pub(crate) fn tells_the_page(&self) -> bool {
        let tells = |events: &Vec<PageEvent>| events.iter().any(PageEvent::is_close);
        self.page.as_ref().is_some_and(|pages| pages.iter().all(tells))
    }
}

/// A set of accounts of the server.
pub(crate) struct Server {
    /// By what it ended.
    mechanism: &'static str,
    /// Why the gateway closed it, where it did.
    closed_because: Option<&'static str>,
    /// Whose Close came first.
    first_close: Option<&'static str>,
    /// The peer's code and reason; a code of `null` is an empty Close.
    received: Option<(Value, &'static [&'static str])>,
    /// Our code, any of these.
    sent: &'static [Option<u64>],
    /// How the peer's direction ended, any of these.
    ends: &'static [&'static str],
}

impl Server {
    /// Whether an account is one of this set.
    pub(crate) fn admits(&self, account: &Value) -> bool {
        let ending = &account["ending"];
        ending["mechanism"] == self.mechanism
            && ending["closedBecause"] == json!(self.closed_because)
            && account["timeline"]["opened"].is_number()
            && ending["cut"] == "between_messages"
            && ending["firstClose"] == json!(self.first_close)
            && self.admits_received(&ending["received"])
            && self.admits_sent(&ending["sent"])
            && self.ends.contains(&ending["transport"].as_str().unwrap_or_default())
    }

    fn admits_received(&self, received: &Value) -> bool {
        match &self.received {
            None => received.is_null(),
            Some((code, reasons)) => {
                received["code"] == *code
                    && received["reason"].as_str().is_some_and(|said| reasons.contains(&said))
            }
        }
    }

    fn admits_sent(&self, sent: &Value) -> bool {
        match self.sent {
            [] => sent.is_null(),
            codes => sent.is_object() && codes.contains(&sent["code"].as_u64()),
        }
    }
}

/// The peer said goodbye and we answered with the same code.
fn peer_said(code: u64, reason: &'static [&'static str], ends: &'static [&'static str]) -> Server {
    Server {
        mechanism: "close_frame",
        closed_because: None,
        first_close: Some("client"),
        received: Some((json!(code), reason)),
        sent: match code {
            1001 => &[Some(1001)],
            _ => &[Some(4001)],
        },
        ends,
    }
}

/// The peer went without a word. With unread bytes in its socket its kernel says RST, not FIN.
fn without_goodbye() -> Vec<Server> {
    [("fin", FIN), ("rst", &["rst"])]
        .map(|(mechanism, ends)| Server {
            mechanism,
            closed_because: None,
            first_close: None,
            received: None,
            sent: &[],
            ends,
        })
        .into()
}

/// A FIN, or a race of our answer against the peer's close: its kernel answers ours with RST.
const FIN_OR_RST: &[&str] = &["fin", "fin_then_rst", "rst"];
const FIN: &[&str] = &["fin", "fin_then_rst"];
const NO_REASON: &[&str] = &[""];
const SUSPENDED: &[&str] = &["WebSocket is closed due to suspension."];

fn close(code: u64, reason: &str, clean: bool) -> PageEvent {
    PageEvent::Close { code, reason: reason.to_owned(), clean }
}

fn went_away(kind: Kind) -> Server {
    match kind {
        // Firefox waits for our answer before it ends TCP; the others end it at once.
        Kind::Firefox => peer_said(1001, NO_REASON, FIN),
        Kind::Chromium | Kind::WebKit => peer_said(1001, NO_REASON, FIN_OR_RST),
    }
}

/// What Firefox tells a page that it leaves: it says goodbye before it goes, and the page hears
/// the answer if that comes before the next document does.
fn left_in_firefox() -> Vec<Vec<PageEvent>> {
    vec![vec![close(1001, "", true)], vec![]]
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

/// The page calls `close()`: an empty Close, which the answer may repeat or replace by 1000.
pub(crate) fn page_closes_empty() -> Expected {
    let server = Server {
        mechanism: "close_frame",
        closed_because: None,
        first_close: Some("client"),
        received: Some((Value::Null, NO_REASON)),
        sent: &[None, Some(1000)],
        ends: FIN,
    };
    let pages = [1005, 1000].map(|code| vec![close(code, "", true)]);
    Expected { server: vec![server], page: Some(pages.into()) }
}

/// The page calls `close(4001, "bye")`; it is told the server's answer.
pub(crate) fn page_closes_4001() -> Expected {
    let pages = ["", "bye"].map(|reason| vec![close(4001, reason, true)]);
    Expected { server: vec![peer_said(4001, &["bye"], FIN)], page: Some(pages.into()) }
}

/// The page asks the server to close with a code, and hears that code.
pub(crate) fn server_closes(code: u64) -> Expected {
    const REASON: &str = "the page asked for it";
    let server = Server {
        mechanism: "close_frame",
        closed_because: Some("handler_returned"),
        first_close: Some("gateway"),
        received: Some((json!(code), &["", REASON])),
        sent: if code == 1001 { &[Some(1001)] } else { &[Some(4000)] },
        ends: FIN,
    };
    Expected { server: vec![server], page: Some(vec![vec![close(code, REASON, true)]]) }
}

/// All processes are killed. WebKitGTK's network process may be the last, and see its client go.
pub(crate) fn killed(kind: Kind) -> Expected {
    let mut server = without_goodbye();
    if kind == Kind::WebKit {
        server.push(peer_said(1001, NO_REASON, FIN_OR_RST));
    }
    Expected { server, page: None }
}
