//! A message that many connections send.

use bytes::Bytes;

use crate::frame::{Opcode, hybi};
use crate::message::Message;

/// A message encoded once, to be sent by many connections that share its bytes.
///
/// ```
/// let prepared = adieu_proto::Prepared::new("to all of you");
/// assert_eq!(prepared.message().as_text(), Some("to all of you"));
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    message: Message,
    /// As a server of RFC 6455 sends it.
    frame: Bytes,
}

impl Prepared {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let mut frame = Vec::new();
        hybi::write_frame(&mut frame, opcode(&message), message.as_bytes(), None);
        Prepared { message, frame: frame.into() }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    pub(super) fn frame(&self) -> Bytes {
        self.frame.clone()
    }
}

pub(super) fn opcode(message: &Message) -> Opcode {
    match message {
        Message::Text(_) => Opcode::Text,
        Message::Binary(_) => Opcode::Binary,
    }
}
