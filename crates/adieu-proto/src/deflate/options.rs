//! How a connection compresses, where it may.

use std::fmt;
use std::sync::Arc;

use super::MAX_WINDOW;
use super::offer::WindowBits;
use super::zlib::Tuning;
use crate::handshake::Request;

/// Compression of messages: permessage-deflate (RFC 7692).
///
/// It is off by default, and one line switches it on:
///
/// ```
/// use adieu_proto::{Config, Deflate};
/// let config = Config { deflate: Some(Deflate::default()), ..Config::default() };
/// ```
///
/// A connection keeps no compressor. The driver's [`Scratch`](crate::Scratch) has one compressor
/// and one decompressor for all connections of a thread, and each message starts them anew behind
/// the last few KiB of text of its connection. An idle connection keeps nothing for what it sends.
///
/// # When not to compress
/// Where one connection carries a secret and text that a stranger chooses, the lengths of
/// compressed messages tell the stranger about the secret (the attacks CRIME and BREACH), though
/// all is encrypted. Send such messages with
/// [`Connection::send_uncompressed`](crate::Connection::send_uncompressed): they are neither
/// compressed nor in the text that later ones refer to.
#[derive(Clone, Debug)]
pub struct Deflate {
    /// The effort, 1 to 9: [`Deflate::LEVEL`]. As with the other numbers here, what is below or
    /// above counts as the nearest that there may be.
    pub level: u8,
    /// The memory of a compressor, 1 to 9: [`Deflate::MEM_LEVEL`].
    pub mem_level: u8,
    /// Bytes of sent text that a connection keeps for the messages to come, 32 KiB at most; 0 for
    /// none: [`Deflate::HISTORY`].
    pub history: usize,
    /// A message is compressed from so many bytes on where there is text before it to refer to:
    /// [`Deflate::MIN_WITH_HISTORY`].
    pub min_with_history: usize,
    /// The same where there is none: [`Deflate::MIN_WITHOUT_HISTORY`].
    pub min_without_history: usize,
    /// Whether binary messages are compressed as well. Off by default: images, archives and
    /// encrypted data do not shrink.
    pub binary: bool,
    /// As a server: let the client refer to its earlier messages, in a window of this size. `None`,
    /// the default, has each of its messages stand alone, for which the server keeps nothing. 12
    /// makes small messages of the client much smaller, for 4 KiB that the server cannot free while
    /// the connection is open. It takes effect for clients that offer `client_max_window_bits`, as
    /// Chromium does.
    pub client_window_bits: Option<WindowBits>,
    /// As a client: ask that each of the server's messages stands alone. Otherwise the client keeps
    /// up to 32 KiB of the text that the server has sent.
    pub server_no_context_takeover: bool,
    /// As a server: requests whose offer is not accepted. By default those of
    /// [`Refuses::broken_safari`].
    pub refuses: Refuses,
}

impl Deflate {
    /// 3: level 6 takes 10 to 60 % more time for 1 to 5 % fewer bytes, and level 1 has fixed codes
    /// only, with which text shrinks little.
    pub const LEVEL: u8 = 3;
    /// 8, as zlib has it: less saves neither time nor memory that counts.
    pub const MEM_LEVEL: u8 = 8;
    /// 4 KiB: it gets nearly all that 32 KiB would get for small messages, at a sixth of the time.
    pub const HISTORY: usize = 4096;
    /// 64 bytes: below it the frame's header and the ends of the blocks are what counts.
    pub const MIN_WITH_HISTORY: usize = 64;
    /// 512 bytes: shorter text alone hardly shrinks.
    pub const MIN_WITHOUT_HISTORY: usize = 512;

    pub(super) fn tuning(&self, bits: u8) -> Tuning {
        Tuning::new(self.level, self.mem_level, bits)
    }

    /// Bytes of history for a window of so many bits.
    pub(super) fn keeps(&self, bits: u8) -> usize {
        self.history.min(1 << bits.min(15)).min(MAX_WINDOW)
    }
}

impl Default for Deflate {
    fn default() -> Self {
        Deflate {
            level: Self::LEVEL,
            mem_level: Self::MEM_LEVEL,
            history: Self::HISTORY,
            min_with_history: Self::MIN_WITH_HISTORY,
            min_without_history: Self::MIN_WITHOUT_HISTORY,
            binary: false,
            client_window_bits: None,
            server_no_context_takeover: false,
            refuses: Refuses::default(),
        }
    }
}

/// Which requests a server answers without compression although they offer it.
///
/// ```
/// use adieu_proto::Refuses;
/// let refuses = Refuses::when(|request| {
///     Refuses::broken_safari(request) || request.path() == "/secrets"
/// });
/// # let head = adieu_proto::Request::from_parts("GET", "/secrets", [])?;
/// assert!(refuses.refuses(&head));
/// assert!(!Refuses::never().refuses(&head));
/// # Ok::<(), adieu_proto::HandshakeError>(())
/// ```
#[derive(Clone)]
pub struct Refuses(Arc<dyn Fn(&Request) -> bool + Send + Sync>);

impl Refuses {
    /// Those for which this is true. It is asked once for each request that offers compression.
    #[must_use]
    pub fn when(refuses: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        Refuses(Arc::new(refuses))
    }

    /// None.
    #[must_use]
    pub fn never() -> Self {
        Self::when(|_| false)
    }

    /// Whether this request is refused compression.
    #[must_use]
    pub fn refuses(&self, request: &Request) -> bool {
        (self.0)(request)
    }

    /// Whether a request is one of Safari 15.0 to 15.3, on macOS or iOS. Reports of several
    /// projects say that compressed messages break the connections of these versions; no run of
    /// ours has tried them.
    #[must_use]
    pub fn broken_safari(request: &Request) -> bool {
        let agent = request.header("user-agent").unwrap_or_default();
        let Some((_, behind)) = agent.split_once("Version/15.") else { return false };
        let minor: String = behind.chars().take_while(char::is_ascii_digit).collect();
        agent.contains("Safari/") && matches!(minor.as_str(), "0" | "1" | "2" | "3")
    }
}

impl Default for Refuses {
    fn default() -> Self {
        Self::when(Self::broken_safari)
    }
}

impl fmt::Debug for Refuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuses(a function of the request)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safari_15_0_to_15_3_is_known_by_its_user_agent() {
        let safari = |version: &str| {
            let agent = format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) {version} Safari/605.1.15"
            );
            let fields = [("User-Agent", agent.as_str())];
            Refuses::default().refuses(&Request::from_parts("GET", "/", fields).unwrap())
        };
        for broken in ["Version/15.0", "Version/15.3", "Version/15.2.1 Mobile/15E148"] {
            assert!(safari(broken), "{broken}");
        }
        for good in ["Version/14.1", "Version/15.4", "Version/15.30", "Chrome/15.1", ""] {
            assert!(!safari(good), "{good}");
        }
    }
}
