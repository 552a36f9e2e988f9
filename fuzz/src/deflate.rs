//! What the targets of compression share: a connection driven by hand, frames as the peer of a
//! server writes and reads them, and inflaters that are not ours.

#[path = "../../crates/adieu-proto/tests/deflate/strict.rs"]
mod strict;

mod driven;
mod others;

pub use driven::{Driven, frame, frames};
pub use others::{Verdict, miniz, of_peer, strictly, zlib};

/// The bytes that a sender takes off the end of a message (RFC 7692 §7.2.1).
pub const SYNC: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
