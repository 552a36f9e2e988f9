//! The WebSocket protocol without I/O: bytes, time and seeds come in as arguments; bytes, events
//! and deadlines come out.
//!
//! [`Connection`] is one WebSocket. Feed it what happened ([`receive`](Connection::receive),
//! [`peer_ended`](Connection::peer_ended), [`handle_timeout`](Connection::handle_timeout)), tell it
//! what the application wants ([`send`](Connection::send), [`close`](Connection::close)) and do
//! what [`poll_output`](Connection::poll_output) says. Its last event is the [`Ending`]: the one,
//! exact account of how the connection ended.
//!
//! Versions: RFC 6455 (13), its drafts hybi-08 and hybi-07, hixie-76 (draft-ietf-hybi-00) and
//! hixie-75. No extension is negotiated.
#![forbid(unsafe_code)]

mod close;
mod code;
mod config;
mod connection;
mod ending;
mod error;
mod facts;
mod frame;
mod handshake;
mod heartbeat;
mod message;
mod outgoing;
mod pool;
mod progress;
mod seed;
mod sentence;
mod spare;
mod timer;

pub use code::{Close, CloseCode};
pub use config::{Config, defaults};
pub use connection::{Connection, Event, Output, PeerEnd, Prepared};
pub use ending::{Cause, Cut, End, Ending, Goodbye, Side, Timeline, Transport, Unsent};
pub use error::{HandshakeError, ProtocolError, UsageError};
pub use frame::Opcode;
pub use handshake::{
    Answer, ClientRequest, Request, Version, VersionSet, answer, client_accept, detect, key76,
};
pub use message::{Message, Utf8Bytes};
pub use pool::Pool;
pub use progress::Delivery;
pub use spare::Spare;
pub use timer::Timer;

/// The close machine and the pieces of it that the tests walk exhaustively.
#[doc(hidden)]
pub mod machine {
    pub use crate::close::{Action, Input, Machine, Moment, Speech, State, Wish};
}
