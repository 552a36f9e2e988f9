//! Whether the peer is there. Two questions, each with a clock of its own: does the peer's kernel
//! take our bytes ([`Movement`]), and does the peer answer what we asked ([`Question`]).

mod evidence;
mod heartbeat;
mod movement;
mod pings;
mod question;

pub use evidence::Evidence;
pub(crate) use heartbeat::Heartbeat;
pub(crate) use movement::{Movement, Verdict};
pub(crate) use pings::Pings;
pub(crate) use question::Question;
