//! What the close machine has noted of an ending. An open connection, and most are open most of
//! the time, has nothing to note and owns nothing.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::close::{
    Cause, Close, ClosingHandshake, Context, End, Ending, Http2, PeerEnd, Side, Timeline,
    Transport, TransportKind, Truncation,
};
use crate::error::TransportError;

/// What is known of the ending so far. Read, it is what was noted, or [`NOTHING`]; the first
/// note allocates it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CloseRecord(Option<Box<Notes>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Notes {
    pub(crate) cause: Option<Cause>,
    pub(crate) draining: bool,
    /// The application has closed and still reads what the peer says.
    pub(crate) reads_on: bool,
    /// As decided; our Close is in the report only if `timeline.close_sent` says that it left.
    pub(crate) closing_handshake: ClosingHandshake,
    /// The peer broke the protocol, whatever had begun the ending.
    pub(crate) violated: bool,
    pub(crate) end: Option<End>,
    pub(crate) active_closer: Option<Side>,
    pub(crate) truncation: Option<Truncation>,
    /// Without `opened`.
    pub(crate) timeline: Timeline,
    pub(crate) error: Option<TransportError>,
    /// The stream of HTTP/2 that the transport was.
    pub(crate) http2: Option<Http2>,
}

static NOTHING: Notes = Notes {
    cause: None,
    draining: false,
    reads_on: false,
    closing_handshake: ClosingHandshake::None,
    violated: false,
    end: None,
    active_closer: None,
    truncation: None,
    timeline: Timeline::NONE,
    error: None,
    http2: None,
};

impl Deref for CloseRecord {
    type Target = Notes;
    fn deref(&self) -> &Notes {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for CloseRecord {
    fn deref_mut(&mut self) -> &mut Notes {
        self.0.get_or_insert_with(|| Box::new(NOTHING.clone()))
    }
}

impl Notes {
    /// A Close of the peer was read. The first counts.
    pub(crate) fn receive(&mut self, context: Context, close: Close) {
        if self.closing_handshake.received().is_none() {
            self.timeline.close_received = Some(context.at);
            self.closing_handshake.receive(close);
        }
    }

    /// The peer broke the protocol; `said` is its Close, if that was the offence.
    pub(crate) fn violated(&mut self, context: Context, said: Option<Close>) {
        if let Some(said) = said {
            self.receive(context, said);
        }
        self.violated = true;
        self.truncation.get_or_insert(Truncation::MidFrame);
    }

    /// The first end counts; an RST after a FIN is noted as that.
    pub(crate) fn note_end(&mut self, context: Context, how: PeerEnd) {
        match (self.end, how) {
            (None, _) => {
                self.end = Some(match how {
                    PeerEnd::Finished => End::Finished,
                    PeerEnd::Reset => End::Reset,
                    PeerEnd::Lost => End::Lost,
                    PeerEnd::Unknown => End::Unknown,
                });
                self.timeline.peer_ended = Some(context.at);
            }
            (Some(End::Finished), PeerEnd::Reset) => self.end = Some(End::FinishedThenReset),
            _ => {}
        }
        if matches!(how, PeerEnd::Finished | PeerEnd::Reset) {
            self.active_closer.get_or_insert(Side::Peer);
        }
        self.truncation.get_or_insert(context.truncation);
    }

    /// The report, as far as it was noted here.
    pub(crate) fn ending(
        &self,
        kind: TransportKind,
        lasted: Duration,
        close_notify: Option<bool>,
    ) -> Ending {
        let crossed = self.closing_handshake.clone();
        let left = self.timeline.close_sent.is_some();
        Ending {
            draining: self.draining,
            closing_handshake: if left { crossed } else { crossed.without_ours() },
            transport: Transport {
                kind,
                end: self.end.unwrap_or(End::Unknown),
                active_closer: self.active_closer,
                close_notify,
            },
            truncation: self.truncation.unwrap_or(Truncation::BetweenMessages),
            timeline: self.timeline,
            error: self.error.clone(),
            http2: self.http2,
            ..Ending::of(self.cause.clone().unwrap_or(Cause::Dropped), lasted)
        }
    }
}
