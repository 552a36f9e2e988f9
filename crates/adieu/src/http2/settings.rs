//! The limits and clocks of a connection.

use std::time::Duration;

use adieu_proto::Config;

/// Limits and clocks of each HTTP/2 connection. Those of its WebSockets are in
/// [`Config`].
///
/// ```
/// let mut settings = adieu::http2::Settings::default();
/// settings.max_concurrent_streams = 200;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Streams that the client may have open at a time (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113
    /// §6.5.2): 1,000. Browsers let a WebSocket above it wait and open no second connection, so it
    /// is high; how many WebSockets there may be in all is for
    /// [`max_connections`](crate::Endpoint::max_connections), which is answered with 503.
    pub max_concurrent_streams: u32,
    /// Bytes of a request's fields, as RFC 9113 §6.5.2 counts them: 16 KiB. A longer one is
    /// answered 431.
    pub max_header_list_size: u32,
    /// Bytes that the client may send on one stream before we have read them: 1 MiB.
    pub stream_window: u32,
    /// Bytes that the client may send on all streams together before we have read them: 4 MiB. A
    /// connection holds no more than that of what its handlers have not taken. Of frames of a few
    /// bytes 65,536 may wait: a client that sends more is ended with ENHANCE_YOUR_CALM.
    pub connection_window: u32,
    /// How long the client's preface and its first SETTINGS may take: 10 s.
    pub handshake_timeout: Duration,
    /// How long a connection without a stream is kept: 120 s. Then it is ended with GOAWAY.
    pub idle_timeout: Duration,
    /// After so much silence of the client a PING is sent (RFC 9113 §6.7): 15 s.
    pub ping_interval: Duration,
    /// How long the client has to say anything after that PING: 10 s. Then the connection is given
    /// up with all its streams.
    pub ping_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_concurrent_streams: 1000,
            max_header_list_size: 16 * 1024,
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// With the clocks and the limit of a head that these settings of WebSockets have.
    pub(crate) fn of(config: &Config) -> Self {
        Settings {
            max_header_list_size: u32::try_from(config.max_head).unwrap_or(u32::MAX),
            handshake_timeout: config.handshake_timeout,
            ping_interval: config.ping_interval.unwrap_or(Duration::MAX),
            ping_timeout: config.pong_timeout,
            ..Settings::default()
        }
    }

    /// What the library is told.
    pub(super) fn builder(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .enable_connect_protocol()
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_header_list_size(self.max_header_list_size)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(UNREAD_FRAMES * SMALL_FRAME);
        builder
    }
}

#[cfg(feature = "tls")]
impl Settings {
    /// What the library of a client is told: the windows are those of a server.
    pub(crate) fn client_builder(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            // The protocol judges a head that is too long, and names its limit; the library would
            // reset the stream.
            .max_header_list_size(self.max_header_list_size.saturating_mul(4))
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(UNREAD_FRAMES * SMALL_FRAME);
        builder
    }
}

/// DATA frames of a connection that may wait unread, however small they are: some 10 MiB of the
/// library's notes beside the bytes that the window allows. The library counts what a frame has
/// less than [`SMALL_FRAME`], and ends the connection, with all its WebSockets, where it is too
/// much: one of them that is not read for a while, and gets small messages, should rather be held
/// up by its window.
const UNREAD_FRAMES: usize = 64 * 1024;
const SMALL_FRAME: usize = 256;

/// Bytes of a stream that wait in the library to be written. What a WebSocket is given more waits
/// in its own queue, where the report sees it.
const SEND_BUFFER: usize = 256 * 1024;
