//! One connection as the page draws it and `/endings` lists it: what there is to know of it around
//! its ending, which is told in the words that the backend hears.

use std::time::{Duration, SystemTime};

use adieu::{ConnectionId, Request, Version};
use serde::Serialize;

use crate::browser;
use crate::session::ending::{ClosedBecause, ConnectionEnding, Initiator, Mechanism};
use crate::session::{SessionId, Timestamp};

/// Characters of a tab's name and of a User-Agent that are kept.
const KEEP_CHARS: usize = 300;

/// What `GET /endings` gives, and what a page gets first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endings {
    pub(crate) open: Vec<Account>,
    pub(crate) ended: Vec<Account>,
    pub(crate) counts: Vec<Count>,
}

/// How many connections ended in one way since the start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Count {
    #[serde(flatten)]
    pub(crate) way: Way,
    pub(crate) connections: u64,
}

/// The words of an ending by which endings are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Way {
    initiator: Initiator,
    mechanism: Mechanism,
    closed_because: Option<ClosedBecause>,
}

/// One connection. What is not known, or did not happen yet, is null.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) id: u64,
    /// As the library names it.
    #[serde(skip)]
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) user_id: Option<Box<str>>,
    pub(crate) tab: Option<String>,
    pub(crate) peer: String,
    pub(crate) browser: Option<String>,
    pub(crate) user_agent: Option<String>,
    /// Of a WebSocket over HTTP/2.
    pub(crate) http2: Option<Http2Stream>,
    /// Of the protocol.
    pub(crate) version: Option<&'static str>,
    pub(crate) opened_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// What its person said, and what was said back: not what the page tells by itself.
    pub(crate) messages_in: Option<u64>,
    pub(crate) messages_out: Option<u64>,
    pub(crate) ending: Option<ConnectionEnding>,
    /// Of the ending.
    pub(crate) timeline: Option<Timeline>,
}

/// The stream of HTTP/2 that a WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Http2Stream {
    /// The number of the connection in this process: streams with the same one share it.
    connection: u64,
    stream: u32,
}

impl From<adieu::Http2> for Http2Stream {
    fn from(http2: adieu::Http2) -> Self {
        Http2Stream { connection: http2.connection, stream: http2.stream }
    }
}

/// When each step happened: milliseconds since it was accepted, to the microsecond.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeline {
    opened: Option<f64>,
    close_sent: Option<f64>,
    close_received: Option<f64>,
    fin_sent: Option<f64>,
    peer_ended: Option<f64>,
    ended: f64,
}

impl Account {
    /// Of a connection that is open, or was until now.
    pub(crate) fn new(id: u64, peer: String, request: Option<&Request>) -> Self {
        let user_agent = request.and_then(|r| r.header("user-agent")).map(short);
        Account {
            id,
            connection: None,
            session_id: None,
            user_id: None,
            tab: request.and_then(tab).map(short),
            peer,
            browser: user_agent.as_deref().and_then(browser::name),
            user_agent,
            http2: None,
            version: None,
            opened_at: Timestamp::from(SystemTime::now()),
            ended_at: None,
            messages_in: None,
            messages_out: None,
            ending: None,
            timeline: None,
        }
    }

    /// It has ended so, now; `told`: as it is told.
    pub(crate) fn end(&mut self, ending: &adieu::Ending, told: ConnectionEnding) -> Way {
        self.ended_at = Some(Timestamp::from(SystemTime::now()));
        self.timeline = Some(Timeline::of(ending));
        self.http2 = ending.http2.map(Http2Stream::from);
        let ending = self.ending.insert(told);
        Way {
            initiator: ending.initiator,
            mechanism: ending.mechanism,
            closed_because: ending.closed_because,
        }
    }
}

impl Timeline {
    fn of(ending: &adieu::Ending) -> Self {
        let seen = &ending.timeline;
        Timeline {
            opened: seen.opened.map(ms),
            close_sent: seen.close_sent.map(ms),
            close_received: seen.close_received.map(ms),
            fin_sent: seen.fin_sent.map(ms),
            peer_ended: seen.peer_ended.map(ms),
            ended: ms(ending.lasted),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    // Microseconds are as exact as the clock; more digits would only look so.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The tab that a page names in its request, `/?tab=…`.
pub(crate) fn tab(request: &Request) -> Option<&str> {
    request.query()?.split('&').find_map(|pair| pair.strip_prefix("tab="))
}

fn short(text: &str) -> String {
    text.chars().take(KEEP_CHARS).collect()
}

/// A version by a name that fits into a URL or a label.
pub(crate) fn version(version: Version) -> &'static str {
    match version {
        Version::Hixie75 => "hixie75",
        Version::Hixie76 => "hixie76",
        Version::Hybi07 => "hybi07",
        Version::Hybi08 => "hybi08",
        Version::Rfc6455 => "rfc6455",
    }
}

#[cfg(test)]
mod tests;
