//! WebSocket server and client on tokio that tell once, truthfully, how every connection ended.
//!
//! ```
//! use adieu::{Closed, Socket};
//!
//! async fn hello(mut socket: Socket) -> Result<(), Closed> {
//!     while let Some(message) = socket.recv().await {
//!         socket.send(message).await?;
//!     }
//!     println!("{}: {}", socket.peer(), socket.ended().await);
//!     Ok(())
//! }
//! # let _ = || adieu::serve("127.0.0.1:9001", hello);
//! ```
//!
//! Three ideas carry it. *The report is separate from the request*: [`Socket::close`] says what you
//! want, [`Ending`] says what happened. *An ending is not an error*: [`Socket::recv`] gives
//! `None`, [`Socket::send`] gives [`Closed`]. *The handler cannot break the closing handshake*:
//! returning, failing, panicking or being dropped all lead to one well-formed close.
//!
//! A handler that awaits keeps nothing waiting: Pings are answered and Closes heard meanwhile.
//! One that blocks its thread does; use `tokio::task::spawn_blocking` for such work.
//!
//! The repository has ten small programs to begin with (`docs/programs.md`), and guides for people
//! who come from axum's own WebSockets (`docs/from-axum-ws.md`) or from tokio-tungstenite
//! (`docs/from-tungstenite.md`).
//!
//! # Install
//! Adieu is not on crates.io yet. Depend on its repository, by the address from which you cloned
//! it, or on the clone:
//!
//! ```toml
//! adieu = { git = "ADDRESS" }
//! adieu = { path = "adieu/crates/adieu" }
//! ```
//!
//! # Features
//! None changes a default but `legacy`, and `ring` and `aws-lc-rs` that of TLS.
//! - `legacy` (on by default): the versions before RFC 6455.
//! - `tls`: `wss://` by rustls, for server and client ([`tls`]).
//! - `ring` (on by default), `aws-lc-rs`: the cryptography of `tls`, and nothing without it; a
//!   provider that the application has installed comes first, then aws-lc-rs, then ring ([`tls`]).
//! - `deflate`: compression, permessage-deflate (RFC 7692), where [`Config::deflate`] switches it
//!   on.
//! - `http2`: WebSockets over HTTP/2 (RFC 8441), where [`Server::http2`] switches them on
//!   ([`http2`]), or, with `tls`, `Client::http2`.
//! - `hyper`, `axum`: WebSockets inside such an application, by the same driver.
//! - `tower`: a tower layer and service that serves WebSockets in front of another service
//!   ([`hyper::WebSocketLayer`]).
//! - `futures`: [`Socket`], [`Receiver`] and [`Sender`] as `Stream` and `Sink`.
//! - `json`: values with serde's traits as messages, [`Socket::recv_json`], [`Socket::send_json`].
//! - `session`: a client whose session outlives its connections, for the gateway ([`session`]).
//!
//! # Logs
//! The library logs by [`tracing`](https://docs.rs/tracing), what is sent never among it. Each
//! connection of a server has a span, `connection`, at the level DEBUG with the target `adieu`: its
//! number in this process (`id`, as [`Socket::id`] tells it), its `peer` and the `path` of its
//! request, never the query. It starts when the request is read (through hyper and axum: when the
//! connection is upgraded) and is over with the connection. What the functions of [`Endpoint`] and
//! the handler log stands inside of it; a task that the handler spawns joins it by
//! `tracing::Instrument::in_current_span`. Where no subscriber wants the span it costs nothing.
//!
//! # Systems
//! Linux tells which bytes the peer's kernel has acknowledged, and by that a peer that reads slowly
//! is told from one that is gone. macOS, Windows and other systems do not tell it: there the
//! [`Ending`] has *unknown* in its place, and the clocks follow what the transport takes.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
#[cfg(feature = "axum")]
pub mod axum;
mod client;
mod closed;
mod detached;
mod drain;
mod endpoint;
mod group;
mod handled;
mod handler;
mod handshake;
#[cfg(feature = "http2")]
pub mod http2;
#[cfg(feature = "hyper")]
pub mod hyper;
mod into_close;
mod into_message;
mod limit;
mod link;
mod listen;
mod peer;
mod per_core;
mod proxy;
mod receiving;
mod server;
#[cfg(feature = "session")]
pub mod session;
mod socket;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;

pub use accept::{Accept, IntoRefusal};
pub use adieu_proto::{
    Cause, Close, CloseCode, ClosingHandshake, Config, End, Ending, HandshakeError, Http2,
    Http2ErrorCode, IntoCloseCode, IntoReason, LetGo, Message, Negotiated, ProtocolError, Refusal,
    RefusedBy, Request, ResponseHead, Side, Timeline, Timer, Transport, TransportError,
    TransportKind, Truncation, Unsent, UsageError, Utf8Bytes, Version, VersionSet, defaults,
};
#[cfg(feature = "deflate")]
pub use adieu_proto::{Compressed, Deflate, PerMessageDeflate, Refuses, WindowBits};
pub use client::{Client, ConnectError, ProxyError, RedirectError, UrlError, connect};
pub use closed::{Closed, ConnectionId};
pub use detached::Detached;
pub use drain::{Drain, Drained, Phase, Progress};
pub use endpoint::{Closing, Ended, Endpoint};
pub use group::{BroadcastStats, Group, Member, SlowConsumer};
pub use handler::{Handler, HandlerOnce};
pub use handshake::Handshake;
pub use http;
#[cfg(all(fuzzing, feature = "http2"))]
#[doc(hidden)]
pub use http2::fuzzing as http2_fuzzing;
pub use into_close::IntoClose;
pub use into_message::IntoMessage;
pub use listen::{accept, listen};
pub use peer::Peer;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use proxy::fuzzing;
pub use proxy::{Cidr, CidrError};
pub use server::{Server, serve};
#[cfg(feature = "json")]
pub use socket::JsonError;
pub use socket::{
    NotText, Permit, PingError, Receiver, ReuniteError, RoundTrip, Sender, Socket, TrySendError,
};

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The clock of the runtime, so that tests may stand it still.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
