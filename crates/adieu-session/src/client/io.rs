//! What comes into the machine, and what goes out.

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Time has passed.
    Tick,
    /// The application has given its credential: the connection is being made.
    Dialing,
    /// The WebSocket is open, and the server did not select adieu.v1.
    Unsupported,
    /// A message of the WebSocket; `None`: a binary one.
    Heard(Option<&'a str>),
    /// The connection is over, or could not be made. 1005: an empty Close, 1006: none.
    Lost {
        /// Of the Close.
        code: u16,
        /// Its reason, or the error.
        reason: String,
    },
    /// The application leaves for good. What it sent before is delivered first.
    Leave(Leave),
    /// The application lets go of the session without ending it.
    Detach,
    /// What should survive a restart could not be kept.
    NotKept(String),
}

/// How an application leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// By the word `goodbye`.
    Goodbye,
    /// By a Close.
    Close {
        /// A final one: 1000, or 4000 to 4999 without 4001, 4002, 4004 and 4005.
        code: u16,
        /// 123 bytes at most.
        reason: String,
    },
}

/// What a driver has to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Make a connection that offers these subprotocols; there is none at the time.
    Connect {
        /// adieu.v1 and what the gateway has to know. Not for logs: the token is in it.
        offers: Vec<String>,
    },
    /// Say this on the connection.
    Say(String),
    /// Say Close behind that, and go on reading.
    Close {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// Let go of the connection, whatever becomes of it: nothing that happens to it is told to
    /// the client.
    Abandon {
        /// What is said before, if that can be.
        last: Option<String>,
        /// Of the Close.
        code: u16,
        /// Of the Close.
        reason: String,
    },
}

impl std::fmt::Debug for Output {
    /// Without what is offered.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::Connect { .. } => f.write_str("Connect"),
            Output::Say(text) => write!(f, "Say({text})"),
            Output::Close { code, reason } => write!(f, "Close({code}, {reason:?})"),
            Output::Abandon { code, reason, .. } => write!(f, "Abandon({code}, {reason:?})"),
        }
    }
}
