//! What may be seen of one action, and whether an account is among it.

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
    pub(crate) mechanism: &'static str,
    /// Why the gateway closed it, where it did.
    pub(crate) closed_because: Option<&'static str>,
    /// Whose Close came first.
    pub(crate) first_close: Option<&'static str>,
    /// The peer's code and reason; a code of `null` is an empty Close.
    pub(crate) received: Option<(Value, &'static [&'static str])>,
    /// Our code, any of these.
    pub(crate) sent: &'static [Option<u64>],
    /// How the peer's direction ended, any of these.
    pub(crate) ends: &'static [End],
}

/// How the peer's direction ended.
#[allow(dead_code, reason = "each program of tests has its carrier")]
pub(crate) enum End {
    /// Its TCP connection, which carried the WebSocket alone.
    Tcp(&'static str),
    /// Its stream of HTTP/2, with the code of the peer's RST_STREAM, if one came.
    Stream(&'static str, Option<&'static str>),
    /// The HTTP/2 connection below the stream, with the code of the peer's GOAWAY, if one came.
    Connection(&'static str, Option<&'static str>),
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
            && self.ends.iter().any(|end| end.admits(ending))
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

impl End {
    fn admits(&self, ending: &Value) -> bool {
        let (transport, http2) = (&ending["transport"], &ending["http2"]);
        match self {
            End::Tcp(how) => transport == how && http2.is_null(),
            End::Stream(how, reset) => {
                transport == how && http2["byConnection"] == false && http2["reset"] == json!(reset)
            }
            End::Connection(how, goaway) => {
                transport == how
                    && http2["byConnection"] == true
                    && http2["goaway"] == json!(goaway)
            }
        }
    }
}

pub(crate) const NO_REASON: &[&str] = &[""];

/// The peer said goodbye and we answered with the same code.
pub(crate) fn peer_said(
    code: u64,
    reason: &'static [&'static str],
    ends: &'static [End],
) -> Server {
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

/// The peer went without a word.
pub(crate) fn without_goodbye(mechanism: &'static str, ends: &'static [End]) -> Server {
    Server { mechanism, closed_because: None, first_close: None, received: None, sent: &[], ends }
}

/// `onclose` of the page.
pub(crate) fn close(code: u64, reason: &str, clean: bool) -> PageEvent {
    PageEvent::Close { code, reason: reason.to_owned(), clean }
}

/// What Firefox tells a page that it leaves: it says goodbye before it goes, and the page hears
/// the answer if that comes before the next document does.
pub(crate) fn left_in_firefox() -> Vec<Vec<PageEvent>> {
    vec![vec![close(1001, "", true)], vec![]]
}

/// The page calls `close()`: an empty Close, which the answer may repeat or replace by 1000.
pub(crate) fn page_closes_empty(ends: &'static [End]) -> Expected {
    let server = Server {
        mechanism: "close_frame",
        closed_because: None,
        first_close: Some("client"),
        received: Some((Value::Null, NO_REASON)),
        sent: &[None, Some(1000)],
        ends,
    };
    let pages = [1005, 1000].map(|code| vec![close(code, "", true)]);
    Expected { server: vec![server], page: Some(pages.into()) }
}

/// The page calls `close(4001, "bye")`; it is told the server's answer.
pub(crate) fn page_closes_4001(ends: &'static [End]) -> Expected {
    let pages = ["", "bye"].map(|reason| vec![close(4001, reason, true)]);
    Expected { server: vec![peer_said(4001, &["bye"], ends)], page: Some(pages.into()) }
}

/// The page asks the server to close with a code, and hears that code.
pub(crate) fn server_closes(code: u64, ends: &'static [End]) -> Expected {
    const REASON: &str = "the page asked for it";
    let server = Server {
        mechanism: "close_frame",
        closed_because: Some("handler_returned"),
        first_close: Some("gateway"),
        received: Some((json!(code), &["", REASON])),
        sent: if code == 1001 { &[Some(1001)] } else { &[Some(4000)] },
        ends,
    };
    Expected { server: vec![server], page: Some(vec![vec![close(code, REASON, true)]]) }
}
