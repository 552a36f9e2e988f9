//! A raw client of HTTP/2 (RFC 9113) with WebSockets on its streams (RFC 8441): it says what a
//! test tells it to, and its streams and its connection die as told. [`Http2Server`] is the other
//! side.
//!
//! Frames, field blocks and windows are written, read and counted here: nothing is taken from
//! the code under test.
//!
//! ```no_run
//! use testkit::http2::{Http2Peer, StreamEnd, code};
//! use testkit::{Frame, TcpEnd};
//!
//! # let addr = ([127, 0, 0, 1], 1).into();
//! let mut peer = Http2Peer::connect(addr);
//! assert!(peer.settings().enable_connect_protocol);
//! let chat = peer.open_websocket("example.com", "/chat", &[]);
//! peer.send_ws(chat, &Frame::text("hello"));
//! assert_eq!(peer.read_ws(chat), Frame::text("hello"));
//! // This stream dies, the connection lives on.
//! peer.reset_stream(chat, code::CANCEL);
//! let other = peer.open_websocket("example.com", "/chat", &[]);
//! // A Close and END_STREAM in one segment.
//! peer.together(|peer| {
//!     peer.send_ws(other, &Frame::close(1000, ""));
//!     peer.end_stream(other);
//! });
//! assert_eq!(peer.read_ws(other).close_code(), Some(1000));
//! assert_eq!(peer.try_read_ws(other), Err(StreamEnd::EndStream));
//! peer.fin();
//! assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
//! ```

// Written once, and owned by the crate that is published: `adieu check` speaks HTTP/2 too.
#[path = "../../../adieu-check/src/http2/frame.rs"]
mod frame;
#[path = "../../../adieu-check/src/http2/hpack.rs"]
pub mod hpack;
mod peer;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use frame::{GoAway, Http2Frame, PREFACE, RawFrame, code, flag, kind, setting};
pub use hpack::Fields;
pub use peer::{Http2Builder, Http2Peer, Http2Rest, ServerSettings};
pub use server::{Http2Server, TAKES_WEBSOCKETS};
pub use stream::{Http2Answer, Http2Head, StreamEnd, StreamRest, websocket_request};
