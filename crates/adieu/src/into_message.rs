//! What can be sent.

use adieu_proto::Message;

/// A value that is sent as one message: text from `&str`, [`String`] and
/// [`Utf8Bytes`](crate::Utf8Bytes), bytes from `Vec<u8>`, `[u8; N]`, [`bytes::Bytes`] and
/// `&'static [u8]`, or a [`Message`].
///
/// It is implemented for all that can be made [`Into<Message>`].
///
/// ```
/// use adieu::{IntoMessage, Message};
/// assert!(matches!("text".into_message(), Message::Text(_)));
/// assert!(matches!(vec![1, 2, 3].into_message(), Message::Binary(_)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a message",
    label = "neither text nor bytes",
    note = "text is sent from `&str`, `String` and `Utf8Bytes`; bytes from `Vec<u8>`, `[u8; N]`, \
            `Bytes` and `&'static [u8]`",
    note = "for a number or another value that can be shown, send `value.to_string()`; for a value \
            with `serde::Serialize`, use `send_json` (feature `json`)",
    note = "for bytes that are borrowed, send `bytes.to_vec()`"
)]
pub trait IntoMessage {
    /// The message.
    fn into_message(self) -> Message;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Message>> IntoMessage for T {
    fn into_message(self) -> Message {
        self.into()
    }
}
