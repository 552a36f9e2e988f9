//! What the walk compares: the things that a connection does, in order, and its report in the
//! test's own words.

use std::time::Duration;

use adieu_proto::{
    Cause, Close, ClosingHandshake, End, Ending, Event, Side, TransportKind, Truncation,
};

use crate::wire::{Frame, Said};

/// One thing that a connection did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Request,
    /// The head of the answer, for a client.
    Response,
    Opened,
    Message(String),
    EndOfMessages,
    CloseReceived(Said),
    /// The transport took the last byte of this frame.
    Sent(Frame),
    Finish,
    Disconnect,
    Ended(Account),
}

/// An `Ending`, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) cause: Cause,
    pub(crate) draining: bool,
    /// Which Closes crossed, in order: whose each was, and what it said.
    pub(crate) closing_handshake: Vec<(Side, Said)>,
    pub(crate) kind: TransportKind,
    pub(crate) end: End,
    pub(crate) active_closer: Option<Side>,
    pub(crate) close_notify: Option<bool>,
    pub(crate) truncation: Truncation,
    pub(crate) unsent_messages: u64,
    pub(crate) unsent_bytes: u64,
    pub(crate) times: Times,
    pub(crate) lasted: Duration,
    pub(crate) error: Option<String>,
    pub(crate) clean: bool,
}

/// When each step happened, counted from the start of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) opened: Option<Duration>,
    pub(crate) last_received: Option<Duration>,
    pub(crate) close_sent: Option<Duration>,
    pub(crate) close_received: Option<Duration>,
    pub(crate) close_notify: Option<Duration>,
    pub(crate) fin_sent: Option<Duration>,
    pub(crate) peer_ended: Option<Duration>,
}

impl From<&Ending> for Account {
    fn from(ending: &Ending) -> Self {
        Account {
            cause: ending.cause.clone(),
            draining: ending.draining,
            closing_handshake: crossed(&ending.closing_handshake),
            kind: ending.transport.kind,
            end: ending.transport.end,
            active_closer: ending.transport.active_closer,
            close_notify: ending.transport.close_notify,
            truncation: ending.truncation,
            unsent_messages: ending.unsent.messages,
            unsent_bytes: ending.unsent.bytes,
            times: Times {
                opened: ending.timeline.opened,
                last_received: ending.timeline.last_received,
                close_sent: ending.timeline.close_sent,
                close_received: ending.timeline.close_received,
                close_notify: ending.timeline.close_notify,
                fin_sent: ending.timeline.fin_sent,
                peer_ended: ending.timeline.peer_ended,
            },
            lasted: ending.lasted,
            error: ending.error.as_ref().map(ToString::to_string),
            clean: ending.is_clean(),
        }
    }
}

fn crossed(handshake: &ClosingHandshake) -> Vec<(Side, Said)> {
    let local = |close| (Side::Local, said(close));
    let peer = |close| (Side::Peer, said(close));
    match handshake {
        ClosingHandshake::None => vec![],
        ClosingHandshake::Sent { ours } => vec![local(ours)],
        ClosingHandshake::Received { theirs } => vec![peer(theirs)],
        ClosingHandshake::SentThenReceived { ours, theirs } => vec![local(ours), peer(theirs)],
        ClosingHandshake::ReceivedThenSent { theirs, ours } => vec![peer(theirs), local(ours)],
    }
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        match event {
            Event::Request(..) => Step::Request,
            Event::Response(_) => Step::Response,
            Event::Opened(_) => Step::Opened,
            Event::EndOfMessages => Step::EndOfMessages,
            Event::CloseReceived(close) => Step::CloseReceived(said(close)),
            Event::Ended(ending) => Step::Ended(Account::from(&**ending)),
            other => unreachable!("{other:?}"),
        }
    }
}

fn said(close: &Close) -> Said {
    close.code().map(|code| (code.get(), close.reason().to_owned()))
}
