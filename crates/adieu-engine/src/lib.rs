//! Sessions of many gateways in one Redis or Valkey.
//!
//! Any node serves any session. The *engine* is the mailbox of all: what a node may do to a session
//! is a function inside the engine, in one step, under a fence that names the write before. This
//! crate has those functions (`functions/`), and calls them. It decides nothing: `adieu-session`
//! does, and `cluster-model` has explored the protocol state by state.
//!
//! ```text
//!   Batch ─► write ──► Call ─┐                       ┌─► functions/*.lua, in one slot
//!   claim, post, due, taken ─┴─► channel ─► engine ──┤
//!   Snapshot, Told, Hint ◄───────────────────────────┘
//! ```

#![forbid(unsafe_code)]

mod channel;
mod check;
mod claim;
mod connect;
mod due;
mod error;
mod events;
mod hints;
mod library;
mod look;
mod mailbox;
mod node;
mod reply;
mod row;
mod write;

pub use channel::Purpose as ChannelPurpose;
pub use claim::{Claim, Claimed, Released};
pub use connect::{BadUrl, Engine, Options};
pub use due::{Audit, Audited, Due, Orphaned};
pub use error::EngineError;
pub use events::{Queue, Queued, Taken};
pub use hints::{Hint, Hints};
pub use look::{Counts, Looked, Owner};
pub use mailbox::{Finished, Limits, Posted};
pub use node::{Lease, Member, Node, Renewal};
pub use row::Snapshot;
pub use write::{Committed, Place, Told, Whose};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
