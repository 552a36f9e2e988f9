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
//! Three ideas carry it. *The account is separate from the wish*: [`Socket::close`] says what you
//! want, [`Ending`] says what happened. *An ending is not an error*: [`Socket::recv`] gives
//! `None`, [`Socket::send`] gives the unit [`Closed`]. *The handler cannot break the goodbye*:
//! returning, failing, panicking or being dropped all lead to one well-formed close.
//!
//! A handler that awaits keeps nothing waiting: Pings are answered and Closes heard meanwhile.
//! One that blocks its thread does; use `tokio::task::spawn_blocking` for such work.
//!
//! # Features
//! None changes a default.
//! - `tls`: `wss://` by rustls, for server and client ([`tls`]).
//! - `hyper`, `axum`: WebSockets inside such an application, by the same driver.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
pub mod axum;
mod buffers;
mod client;
mod drain;
mod driver;
mod endpoint;
mod group;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inbox;
mod into_close;
mod io;
mod limit;
mod os;
mod peer;
mod per_core;
mod pool;
mod proxy;
mod server;
mod shared;
mod socket;
mod stopping;
#[cfg(feature = "tls")]
pub mod tls;
mod wakers;

pub use adieu_proto::{
    Cause, Close, CloseCode, Config, Cut, End, Ending, Goodbye, HandshakeError, Message,
    ProtocolError, Request, Side, Timeline, Timer, Transport, Unsent, UsageError, Utf8Bytes,
    Version, VersionSet, defaults,
};
pub use client::{Client, ConnectError, connect};
pub use drain::{Drain, Drained, Phase, Progress};
pub use endpoint::{Closing, Ended, Endpoint};
pub use group::{Broadcast, Group, Member, Slow};
pub use into_close::IntoClose;
pub use peer::Peer;
pub use proxy::{Cidr, CidrError};
pub use server::{Handler, Server, accept, listen, serve};
pub use socket::{Closed, Sender, Socket};

/// The clock of the runtime, so that tests may stand it still.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
