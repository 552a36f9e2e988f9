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
    /// The same compressed, without a text before it: made for the first connection that
    /// compresses. Empty where it has not become smaller.
    #[cfg(feature = "deflate")]
    compressed: std::sync::OnceLock<Compressed>,
}

/// A frame that is compressed, and how many bytes its payload has.
#[cfg(feature = "deflate")]
pub(super) type Compressed = Option<(Bytes, usize)>;

impl Prepared {
    /// Encodes a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        let message = message.into();
        let mut frame = Vec::new();
        hybi::write_frame(&mut frame, opcode(&message), message.as_bytes(), None);
        Prepared {
            message,
            frame: frame.into(),
            #[cfg(feature = "deflate")]
            compressed: std::sync::OnceLock::new(),
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The compressed form, which `make` makes of the message where there is none yet.
    #[cfg(feature = "deflate")]
    pub(super) fn compressed(&self, make: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Compressed {
        let compressed = self.compressed.get_or_init(|| {
            let payload = make(self.message.as_bytes())?;
            let mut frame = Vec::new();
            hybi::write_compressed(&mut frame, opcode(&self.message), &payload, None);
            Some((frame.into(), payload.len()))
        });
        compressed.clone()
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
