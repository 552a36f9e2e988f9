//! What carries the WebSockets of a page.

/// What carries the WebSockets of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A connection of TCP for each, which begins as HTTP/1.1 (RFC 6455).
    Tcp,
    /// A stream of the HTTP/2 connection over which the page came (RFC 8441).
    Http2,
}

impl Carrier {
    /// In front of names of files.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Carrier::Tcp => "",
            Carrier::Http2 => "http2-",
        }
    }
}
