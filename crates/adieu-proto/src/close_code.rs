//! Close codes (RFC 6455 §7.4).

use std::fmt;

/// A close code, as said on the wire.
///
/// The set is open: a code that nobody registered is kept as the number it was, never corrected.
/// Source: RFC 6455 §7.4 and the IANA WebSocket Close Code Number Registry.
///
/// ```
/// use adieu_proto::CloseCode;
/// assert_eq!(CloseCode::GOING_AWAY.get(), 1001);
/// assert_eq!(CloseCode::new(4001).to_string(), "4001");
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 (going away)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $words:literal;)*) => {
        impl CloseCode {
            $($(#[$doc])* pub const $name: CloseCode = CloseCode($number);)*

            /// The registered meaning in words, if there is one.
            #[must_use]
            pub fn meaning(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($words),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The purpose of the connection is fulfilled.
    NORMAL = 1000, "normal";
    /// A server is stopping, or a browser has left the page.
    GOING_AWAY = 1001, "going away";
    /// The peer broke the protocol.
    PROTOCOL_ERROR = 1002, "protocol error";
    /// A kind of data that the endpoint cannot accept.
    UNSUPPORTED_DATA = 1003, "unsupported data";
    /// Reserved; must not be sent.
    RESERVED = 1004, "reserved";
    /// Never on the wire: an API reports it for an empty Close.
    NO_STATUS = 1005, "no status";
    /// Never on the wire: an API reports it where no Close came.
    ABNORMAL = 1006, "abnormal";
    /// Data that does not fit the message's type, such as bad UTF-8 in text.
    INVALID_PAYLOAD = 1007, "invalid payload";
    /// A message against the endpoint's policy, where no other code fits.
    POLICY_VIOLATION = 1008, "policy violation";
    /// A message too big to process.
    MESSAGE_TOO_BIG = 1009, "message too big";
    /// A client missed an extension that it needs.
    MANDATORY_EXTENSION = 1010, "mandatory extension";
    /// A server met an unexpected condition.
    INTERNAL_ERROR = 1011, "internal error";
    /// The service restarts. WebKitGTK answers it with 1002.
    SERVICE_RESTART = 1012, "service restart";
    /// The service is overloaded. WebKitGTK answers it with 1002.
    TRY_AGAIN_LATER = 1013, "try again later";
    /// A gateway got an invalid answer from its upstream.
    BAD_GATEWAY = 1014, "bad gateway";
    /// Never on the wire: an API reports it for a failed TLS handshake.
    TLS_HANDSHAKE = 1015, "TLS handshake";
}

impl CloseCode {
    /// A code by its number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        CloseCode(code)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry this code (RFC 6455 §7.4.1, §7.4.2 and the registry).
    #[must_use]
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some(words) => write!(f, "{} ({words})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// So that a function can return `Result<(), CloseCode>`, and its caller anything that holds an
/// error.
impl std::error::Error for CloseCode {}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        CloseCode(code)
    }
}
