//! How long a session waits for its person to come back, by how the connection ended.

use std::time::Duration;

use adieu_proto::{Cause, Ending, Http2ErrorCode};
use serde::{Deserialize, Serialize};

use super::wire::{CONNECTION_LOST, MAY_RETURN};

/// Codes of a browser that goes or loads another page, and of a page that is hidden or goes (sent
/// from `pagehide`, so that the back/forward cache stays possible).
const HIDDEN: [u16; 2] = [1001, MAY_RETURN];

/// What the end of a connection says of the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// Said goodbye for good: 1000 or a code of the application.
    Left,
    /// The page goes or is hidden, and may come back: 1001 or 4001. A refresh says the same.
    Hidden,
    /// No word: a FIN, an RST, a time-out, a violation.
    Lost,
    /// We drained: the client was told when to come back.
    Drained,
    /// The gateway itself was down.
    GatewayDown,
}

impl Departure {
    /// Judges a report.
    #[must_use]
    pub fn of(ending: &Ending) -> Self {
        if ending.cause == Cause::Drain {
            return Departure::Drained;
        }
        // Over HTTP/2 Chromium says nothing else when a page is reloaded, or its tab is closed or
        // crashes: those are not to be told apart.
        let reset = ending.http2.and_then(|http2| http2.reset);
        if ending.cause == Cause::Reset && reset == Some(Http2ErrorCode::CANCEL) {
            return Departure::Hidden;
        }
        let said = ending.closing_handshake.received().filter(|_| ending.cause == Cause::Peer);
        // What the gateway closed by itself (a violation of adieu.v1, a client that is too slow)
        // says nothing of the person. Where the backend ended the session, it is over before this.
        let Some(close) = said else { return Departure::Lost };
        match close.code().map(adieu_proto::CloseCode::get) {
            Some(code) if HIDDEN.contains(&code) => Departure::Hidden,
            // The client heard nothing any more, and says so to a connection that may be dead.
            Some(CONNECTION_LOST) => Departure::Lost,
            // An empty Close is what a browser sends for `close()` without a code.
            None | Some(1000 | 4000..=4999) => Departure::Left,
            // 1002, 1007, 1011…: something failed, and nobody left.
            Some(_) => Departure::Lost,
        }
    }
}

/// How long the announcement waits (in MQTT 5: the session expiry interval, which is also the will
/// delay). A resume cancels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After a Close that says so: [`Departure::Left`]. A `goodbye` is never waited for.
    pub left: Duration,
    /// After 1001 or 4001: a slow reload takes seconds.
    pub hidden: Duration,
    /// After a connection that broke: time to notice that and to come back.
    pub lost: Duration,
    /// After our drain, behind the time that the client was promised.
    pub drained: Duration,
    /// After a restart, from when we can accept again: time when we could not counts against
    /// nobody.
    pub gateway_down: Duration,
    /// After the last session of a user whose client has no token to come back with, before
    /// `user.left`: a page without our client is refreshed, too.
    pub user: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Waits {
            left: Duration::ZERO,
            hidden: Duration::from_secs(8),
            lost: Duration::from_secs(15),
            drained: Duration::from_secs(15),
            gateway_down: Duration::from_secs(60),
            user: Duration::from_secs(10),
        }
    }
}

impl Waits {
    /// The wait after this departure.
    #[must_use]
    pub fn after(&self, departure: Departure) -> Duration {
        match departure {
            Departure::Left => self.left,
            Departure::Hidden => self.hidden,
            Departure::Lost => self.lost,
            Departure::Drained => self.drained,
            Departure::GatewayDown => self.gateway_down,
        }
    }
}

#[cfg(test)]
mod tests {
    use adieu_proto::{Close, ClosingHandshake, End, Side, Transport, TransportKind};

    use super::super::wire::Fault;
    use super::*;

    fn ended(cause: Cause, closing_handshake: ClosingHandshake) -> Departure {
        let transport = Transport {
            kind: TransportKind::Tcp,
            end: End::Finished,
            active_closer: Some(Side::Peer),
            close_notify: None,
        };
        let lasted = Duration::from_secs(1);
        Departure::of(&Ending::from_parts(cause, closing_handshake, transport, lasted))
    }

    fn said(code: Option<u16>) -> Departure {
        let close = code.map_or_else(Close::empty, |code| Close::new(code, "").unwrap());
        ended(Cause::Peer, ClosingHandshake::Received { theirs: close })
    }

    #[test]
    fn what_the_page_said_decides() {
        for code in [Some(1000), Some(4000), Some(4002), Some(4999), None] {
            assert_eq!(said(code), Departure::Left, "{code:?}");
        }
        for code in [Some(1001), Some(4001)] {
            assert_eq!(said(code), Departure::Hidden, "{code:?}");
        }
        for code in [Some(1002), Some(1007), Some(1011), Some(3000), Some(4005)] {
            assert_eq!(said(code), Departure::Lost, "{code:?}");
        }
    }

    /// Over HTTP/2 Chromium sends nothing else of a page that it reloads.
    #[test]
    fn a_stream_that_is_reset_with_cancel_is_a_page_that_goes_and_may_come_back() {
        let transport = Transport {
            kind: TransportKind::Http2,
            end: End::Reset,
            active_closer: Some(Side::Peer),
            close_notify: None,
        };
        let of = |code| {
            let lasted = Duration::from_secs(1);
            let none = ClosingHandshake::None;
            let mut ending = Ending::from_parts(Cause::Reset, none, transport, lasted);
            let mut http2 = adieu_proto::Http2::new(1, 1);
            http2.reset = Some(Http2ErrorCode(code));
            ending.http2 = Some(http2);
            Departure::of(&ending)
        };
        assert_eq!(of(8), Departure::Hidden);
        for code in [0, 1, 2, 7, 13] {
            assert_eq!(of(code), Departure::Lost, "{code}");
        }
    }

    #[test]
    fn without_a_word_the_cause_decides() {
        let causes = [Cause::Eof, Cause::Reset, Cause::Unreachable, Cause::TransportFailed];
        for cause in causes.into_iter().chain([Cause::Dropped]) {
            assert_eq!(ended(cause.clone(), ClosingHandshake::None), Departure::Lost, "{cause:?}");
        }
        assert_eq!(ended(Cause::Drain, ClosingHandshake::None), Departure::Drained);
    }

    #[test]
    fn what_the_gateway_closed_by_itself_says_nothing_of_the_person() {
        let ours = Fault::Binary.close();
        let theirs = Close::new(1007, "").unwrap();
        let alone = ClosingHandshake::Sent { ours: ours.clone() };
        let answered = ClosingHandshake::SentThenReceived { ours, theirs };
        for cause in [Cause::Application, Cause::HandlerReturned, Cause::HandlerFailed] {
            for crossed in [&alone, &answered] {
                assert_eq!(ended(cause.clone(), crossed.clone()), Departure::Lost, "{crossed:?}");
            }
        }
    }
}
