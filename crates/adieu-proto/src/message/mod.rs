//! Messages (RFC 6455 §5.6).

mod assembler;

use std::borrow::Cow;
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
    /// A text message, where `from` does not say enough.
    ///
    /// ```
    /// use adieu_proto::Message;
    /// assert_eq!(Message::text("hi"), Message::Text("hi".into()));
    /// ```
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Message::Text(text.into())
    }

    /// A binary message, also from text.
    ///
    /// ```
    /// use adieu_proto::Message;
    /// assert_eq!(Message::binary("hi"), Message::Binary("hi".into()));
    /// ```
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Message::Binary(bytes.into())
    }

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
    Text: &str, &String, String, Box<str>, Cow<'_, str>, Utf8Bytes;
    Binary: Bytes, Vec<u8>, Box<[u8]>, &'static [u8];
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(bytes: [u8; N]) -> Self {
        Message::Binary(Bytes::copy_from_slice(&bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Message {
    fn from(bytes: &'static [u8; N]) -> Self {
        Message::Binary(Bytes::from_static(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_of_every_usual_type_are_messages() {
        let string = String::from("hi");
        let texts: [Message; 7] = [
            "hi".into(),
            (&string).into(),
            string.clone().into(),
            Box::<str>::from("hi").into(),
            Cow::Borrowed("hi").into(),
            Cow::<str>::Owned(string).into(),
            Utf8Bytes::from("hi").into(),
        ];
        for text in texts {
            assert_eq!(text, Message::text("hi"));
        }
        let binaries: [Message; 6] = [
            b"hi".into(),
            [b'h', b'i'].into(),
            b"hi"[..].into(),
            b"hi".to_vec().into(),
            Box::<[u8]>::from(*b"hi").into(),
            Bytes::from_static(b"hi").into(),
        ];
        for binary in binaries {
            assert_eq!(binary, Message::binary("hi"));
        }
    }
}
