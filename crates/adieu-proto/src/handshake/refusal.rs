//! What a server answers that is no agreement.

use std::borrow::Cow;
use std::fmt;

/// An HTTP response that refuses: a server's that does not open a WebSocket, or a proxy's that
/// makes no tunnel. Nothing of it is lost but what of its body is above
/// [`MAX_REFUSAL_BODY`](crate::defaults::MAX_REFUSAL_BODY).
///
/// ```
/// let mut refusal = adieu_proto::Refusal::new(503);
/// refusal.headers.push(("Retry-After".into(), b"120".to_vec()));
/// assert_eq!(refusal.header("retry-after"), Some("120"));
/// assert_eq!(refusal.to_string(), "503");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refusal {
    /// The status (RFC 9110 §15).
    pub status: u16,
    /// The reason phrase, as it was sent: often empty.
    pub reason: String,
    /// The fields in their order, with their names as they were written.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, without the framing of chunks. What encodes its content is still on it.
    pub body: Vec<u8>,
    /// Whether the body is all that was sent. It is not where it was longer than the limit, where
    /// the deadline passed or the connection broke before its end, and where its chunks were none.
    pub body_is_whole: bool,
}

impl Refusal {
    /// A response with this status and nothing else.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Refusal { status, reason: String::new(), headers, body, body_is_whole: true }
    }

    /// The first field of this name, if its value is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.next().and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The body as text; what is no UTF-8 in it is replaced.
    #[must_use]
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for Refusal {
    /// Status and reason phrase, free of control characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.reason.is_empty() {
            let shown: String = self.reason.chars().filter(|c| !c.is_control()).take(80).collect();
            write!(f, " {shown}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Refusal {
    /// Fields may hold cookies, and bodies anything: neither belongs in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fields, bytes) = (self.headers.len(), self.body.len());
        let cut = if self.body_is_whole { "" } else { ", cut" };
        write!(f, "Refusal({self}; {fields} fields, {bytes} bytes{cut})")
    }
}
