//! Sessions: a person's tab, which outlives its connections. No I/O here: time and randomness are
//! arguments, what to do comes back as actions.
//!
//! ```text
//!   Command ──► Shard (some slots) ──► Aggregate (one session) ──► Transaction
//!                                                                  changes, then effects
//! ```

#![forbid(unsafe_code)]

mod aggregate;
mod change;
pub mod client;
pub mod command;
pub mod ending;
pub mod event;
pub mod fence;
pub mod inbox;
pub mod machine;
pub mod outbox;
pub mod rate;
pub mod shard;
mod slot;
pub mod time;
pub mod token;
mod transaction;
pub mod transition;
pub mod wait;
pub mod wire;
pub mod words;

pub use aggregate::{Counters, Row, View};
pub use change::{Batch, Change, Contents, Judged, Leaving, Message};
pub use command::{Command, Reply, Settings};
pub use machine::{Action, Input, Refusal, Session, State};
pub use shard::Shard;
pub use slot::{SLOTS, Slot};
pub use time::Timestamp;
pub use token::{Digest, Key, SessionId, Token};
pub use transaction::{Effect, Handle, Transaction};
pub use wait::{Departure, Waits};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
