//! The WebSocket protocol without I/O: bytes, time and seeds come in as arguments; bytes, events
//! and deadlines come out.
//!
//! [`Connection`] is one WebSocket. Tell it what happened ([`received`](Connection::received),
//! [`handle_transport`](Connection::handle_transport),
//! [`handle_timeout`](Connection::handle_timeout)) and what the application wants
//! ([`send`](Connection::send), [`command`](Connection::command)), and do what
//! [`poll_output`](Connection::poll_output) says. Its last event is the [`Ending`]: the one, exact
//! report of how the connection ended.
//!
//! # Install
//! Adieu is not on crates.io yet. Depend on its repository, by the address from which you cloned
//! it, or on the clone:
//!
//! ```toml
//! adieu-proto = { git = "ADDRESS" }
//! adieu-proto = { path = "adieu/crates/adieu-proto" }
//! ```
//!
//! # Features
//! - `legacy` (on by default): the versions before RFC 6455, which are its drafts hybi-07 and
//!   hybi-08, hixie-76 (draft-ietf-hybi-00) and hixie-75. Without it RFC 6455 (13) is served alone.
//! - `deflate`: compression of messages, permessage-deflate (RFC 7692), where [`Config::deflate`]
//!   switches it on.
//! - `testing`: what tests of this crate and of its readers need, and nobody else.
//!
//! No other extension is negotiated.
#![forbid(unsafe_code)]

mod close;
mod close_code;
mod config;
mod connection;
#[cfg(feature = "deflate")]
mod deflate;
mod error;
mod frame;
mod handshake;
mod lanes;
mod liveness;
mod message;
mod negotiated;
mod outgoing;
mod output;
mod pool;
mod scratch;
mod seed;
mod timer;
mod utf8;
mod version;

pub use close::{
    Cause, Close, CloseRequest, ClosingHandshake, End, Ending, Http2, Http2ErrorCode,
    IntoCloseCode, IntoReason, LetGo, PeerEnd, Side, Timeline, Transport, TransportKind,
    Truncation, Unsent,
};
pub use close_code::CloseCode;
pub use config::{Config, defaults, is_endless};
pub use connection::{Command, Connection, Decision, Outbound, Prepared, Status, TransportEvent};
#[cfg(feature = "deflate")]
pub use deflate::{Compressed, Deflate, PerMessageDeflate, Refuses, WindowBits};
pub use error::{HandshakeError, ProtocolError, RefusedBy, TransportError, UsageError};
pub use frame::Opcode;
#[cfg(feature = "legacy")]
pub use handshake::key76;
pub use handshake::{
    Answer, AnswerReader, ClientRequest, ConnectAnswer, ExtendedConnect, Refusal, Request,
    Response, ResponseHead, accept_extended_connect, accept_response, client_accept, detect,
    detect_extended_connect,
};
pub use liveness::Evidence;
pub use message::Message;
pub use negotiated::Negotiated;
pub use output::{Event, Output};
pub use pool::Pool;
pub use scratch::{Messages, Scratch};
pub use timer::Timer;
pub use utf8::Utf8Bytes;
pub use version::{Version, VersionSet};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
