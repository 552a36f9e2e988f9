//! Which events may come, where, and how often.

use adieu_proto::{Close, Event, Message, Version};

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The version of the request that waits, or waited, for a decision.
    pub(crate) asked: Option<Version>,
    /// As a client: the head of the answer was told.
    answered: bool,
    pub(crate) opened: bool,
    end_of_messages: bool,
    /// The peer's Close.
    pub(crate) close: Option<Close>,
    pub(crate) ended: bool,
    /// How many Pings the application has sent, and how many are answered.
    pub(crate) pings: u64,
    pongs: u64,
    /// Messages that came in front of `Event::Opened`, with which the opening handshake ended.
    early: bool,
}

impl Events {
    pub(crate) fn message(&mut self, message: &Message, limit: u64) {
        assert!(message.len() as u64 <= limit, "a message of {} bytes", message.len());
        assert!(!self.end_of_messages, "a message behind the end of messages");
        if matches!(message, Message::Text(_)) {
            std::str::from_utf8(message.as_bytes()).expect("text is UTF-8");
        }
        // It may have come with the end of the opening handshake, which is told next.
        self.early |= !self.opened;
    }

    pub(crate) fn take(&mut self, event: &Event) {
        let opening = matches!(event, Event::Opened(_) | Event::Request(..) | Event::Response(_));
        assert!(!self.early || opening, "a message before the connection is open");
        match event {
            Event::Request(_, version) => {
                assert!(self.asked.replace(*version).is_none() && !self.opened);
            }
            Event::Response(_) => {
                assert!(self.asked.is_none() && !self.opened);
                assert!(!std::mem::replace(&mut self.answered, true), "two answers");
            }
            Event::Opened(negotiated) => {
                assert!(!std::mem::replace(&mut self.opened, true), "opened twice");
                assert!(self.asked.is_none_or(|version| version == negotiated.version));
                self.early = false;
            }
            Event::EndOfMessages => {
                assert!(!std::mem::replace(&mut self.end_of_messages, true));
            }
            Event::Pong(number) => {
                assert!(*number > self.pongs, "a Pong that is no news");
                assert!(*number <= self.pings, "a Pong for a Ping that was not sent");
                self.pongs = *number;
            }
            Event::CloseReceived(close) => {
                assert!(self.opened && self.close.replace(close.clone()).is_none());
            }
            Event::Ended(_) => {
                assert!(!std::mem::replace(&mut self.ended, true), "two reports");
            }
            other => panic!("{other:?}"),
        }
    }
}
