//! Peers that die as told, for the tests of Adieu.
//!
//! Everything here blocks, knows nothing of the library under test (its frames, heads and keys
//! are written and read by code of its own) and panics with a sentence when the other side does
//! not do what a test waits for. Every wait has a [`DEADLINE`]; nothing sleeps to be right.
//! [`Peer`] speaks HTTP/1.1 and WebSocket frames, [`http2::Http2Peer`] HTTP/2 with WebSockets on
//! its streams.
//!
//! ```
//! use testkit::{Frame, Listener, Peer, TcpEnd};
//!
//! let listener = Listener::bind();
//! let addr = listener.addr();
//! let server = std::thread::spawn(move || {
//!     let mut peer = listener.accept();
//!     peer.answer_101();
//!     assert_eq!(peer.read_frame(), Frame::text("hello"));
//!     peer.send(&Frame::close(1000, "bye"));
//!     peer.fin();
//!     assert_eq!(peer.read_to_end().end, TcpEnd::Reset);
//! });
//! let mut client = Peer::open(addr);
//! client.send(&Frame::text("hello"));
//! assert_eq!(client.read_frame().close_code(), Some(1000));
//! assert_eq!(client.read_to_end().end, TcpEnd::Fin);
//! client.reset();
//! server.join().unwrap();
//! ```

// Written once, and owned by the crate that is published: `adieu check` has raw peers too.
mod address;
mod deflate;
mod diag;
mod faults;
mod figure;
#[path = "../../adieu-check/src/frame.rs"]
mod frame;
#[path = "../../adieu-check/src/head.rs"]
mod head;
mod heads;
pub mod hixie;
pub mod http2;
mod kernel;
mod key;
mod listener;
mod peer;
mod random;

use std::time::Duration;

pub use address::own_address;
pub use deflate::{Inflater, deflated};
pub use faults::{Direction, Fault, FaultProxy};
pub use figure::{figure, seed, skipped};
pub use frame::{Frame, MASK};
pub use head::{ACCEPT, Head, NONCE, Request};
pub use heads::{HeadRow, heads};
pub use kernel::{Tcp, wait_until};
pub use key::accept_key;
pub use listener::Listener;
pub use peer::{Peer, Rest, TcpEnd};
pub use random::Random;

/// The longest wait for anything: far beyond what a healthy machine needs, so that only a
/// failure reaches it.
pub const DEADLINE: Duration = Duration::from_secs(20);
