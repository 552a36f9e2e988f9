//! Messages (RFC 6455 §5.6).

mod assembler;

use std::fmt;

use bytes::Bytes;

pub(crate) use assembler::{Assembler, in_one_frame};

use crate::utf8::Utf8Bytes;

/// One whole message. A clone shares the payload.
///
/// ```
/// use adieu_proto::Message;
/// assert_eq!(Message::from("hi").len(), 2);
/// assert!(matches!(Message::from(vec![1, 2, 3]), Message::Binary(_)));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, checked to be UTF-8 (RFC 6455 §5.6, opcode 1).
    Text(Utf8Bytes),
    /// Bytes (opcode 2). The hixie versions have none.
    Binary(Bytes),
}

impl Message {
    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The text, if it is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text.as_str()),
            Message::Binary(_) => None,
        }
    }

    /// The payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The payload, shared.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

/// Bytes of text that [`Debug`](fmt::Debug) shows: what a person sees at a glance.
const SHOWN: usize = 64;

impl fmt::Debug for Message {
    /// A short text as it is, escaped; of a long one the beginning and the length; of bytes the
    /// length. The library itself logs no message: a payload may be private. Neither should an
    /// application, unless it knows better.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message::Text(text) = self else {
            return write!(f, "Binary({} bytes)", self.len());
        };
        let text = text.as_str();
        if text.len() <= SHOWN {
            return write!(f, "Text({text:?})");
        }
        let end = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let beginning = &text[..end];
        write!(f, "Text({beginning:?}…, {} bytes)", text.len())
    }
}

macro_rules! message_from {
    ($($variant:ident: $($from:ty),*;)*) => {
        $($(impl From<$from> for Message {
            fn from(payload: $from) -> Self {
                Message::$variant(payload.into())
            }
        })*)*
    };
}
message_from! {
    Text: &str, String, Utf8Bytes;
    Binary: Bytes, Vec<u8>, &'static [u8];
}
