//! What the walk compares: the things that a connection does, in order, and its account in the
//! test's own words.

use std::time::Duration;

use adieu_proto::{Cause, Close, Cut, End, Ending, Event, Goodbye, Side};

use crate::wire::{Frame, Said};

/// One thing that a connection did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Request,
    Opened,
    Message(String),
    EndOfMessages,
    Closing(Said),
    Sent(Frame),
    Shutdown,
    Disconnect,
    Ended(Account),
}

/// An `Ending`, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) cause: Cause,
    /// What crossed, in order: whose it was, and what it said.
    pub(crate) goodbye: Vec<(Side, Said)>,
    pub(crate) end: End,
    pub(crate) first: Side,
    pub(crate) cut: Cut,
    pub(crate) unsent_messages: u64,
    pub(crate) unsent_bytes: u64,
    pub(crate) opened: Option<Duration>,
    pub(crate) close_sent: Option<Duration>,
    pub(crate) close_received: Option<Duration>,
    pub(crate) fin_sent: Option<Duration>,
    pub(crate) peer_ended: Option<Duration>,
    pub(crate) lasted: Duration,
}

impl From<&Ending> for Account {
    fn from(ending: &Ending) -> Self {
        let ours = |close| (Side::Local, said(close));
        let theirs = |close| (Side::Peer, said(close));
        Account {
            cause: ending.cause.clone(),
            goodbye: match &ending.goodbye {
                Goodbye::None => vec![],
                Goodbye::Sent { ours: o } => vec![ours(o)],
                Goodbye::Received { theirs: t } => vec![theirs(t)],
                Goodbye::SentThenReceived { ours: o, theirs: t } => vec![ours(o), theirs(t)],
                Goodbye::ReceivedThenSent { theirs: t, ours: o } => vec![theirs(t), ours(o)],
            },
            end: ending.transport.end,
            first: ending.transport.first,
            cut: ending.cut,
            unsent_messages: ending.unsent.messages,
            unsent_bytes: ending.unsent.bytes,
            opened: ending.timeline.opened,
            close_sent: ending.timeline.close_sent,
            close_received: ending.timeline.close_received,
            fin_sent: ending.timeline.fin_sent,
            peer_ended: ending.timeline.peer_ended,
            lasted: ending.lasted,
        }
    }
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        match event {
            Event::Request(..) => Step::Request,
            Event::Opened(_) => Step::Opened,
            Event::Message(message) => {
                Step::Message(message.as_text().expect("the peer sends text").to_owned())
            }
            Event::EndOfMessages => Step::EndOfMessages,
            Event::Closing(close) => Step::Closing(said(close)),
            Event::Ended(ending) => Step::Ended(Account::from(&**ending)),
            other => unreachable!("{other:?}"),
        }
    }
}

fn said(close: &Close) -> Said {
    close.code().map(|code| (code.get(), close.reason().to_owned()))
}
