//! Sessions: a person's tab, which outlives its connections. No I/O here: time and randomness are
//! arguments, what to do comes back as actions.

#![forbid(unsafe_code)]

pub mod account;
mod change;
pub mod hub;
pub mod inbox;
pub mod machine;
pub mod outbox;
pub mod time;
pub mod token;
pub mod wait;
pub mod wire;
pub mod words;

pub use change::{Batch, Change, Contents};
pub use hub::{Hub, Settings};
pub use machine::{Action, Input, Refusal, Session, State};
pub use time::Timestamp;
pub use token::{Key, SessionId, Token};
pub use wait::{Departure, Waits};
