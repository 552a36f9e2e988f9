//! The functions on a real Redis: what each says, what it changes, and what it leaves alone.
// Where the rig has servers.
#![cfg(target_os = "linux")]

mod common;

mod attack;
mod claim;
mod cost;
mod due;
mod events;
mod look;
mod mailbox;
mod nodes;
mod round_trip;
mod write;
