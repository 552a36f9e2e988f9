//! What the gateway `adieu` is made of: sessions, which outlive their connections; the store, which
//! outlives the process; hooks, by which the backend hears; and the gateway that joins them to
//! sockets.
//!
//! The command `adieu serve` is one way to run it. In a program of your own:
//!
//! ```
//! use std::time::Duration;
//!
//! use adieu_gateway::gateway::{Gateway, Options};
//! use adieu_gateway::http::{Access, Origins};
//! use adieu_gateway::serve::{Handshakes, Site, serve};
//! use adieu_gateway::store::Memory;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = adieu::listen("127.0.0.1:0").await?;
//! let options = Options { drain_window: Duration::from_secs(10), ..Options::default() };
//! let gateway = Gateway::start(Memory, options).await?;
//! let site = Site {
//!     endpoint: adieu::Endpoint::new(),
//!     origins: Origins::default(), // pages of this host alone
//!     access: Access::new(Some("the-key-of-the-API-and-the-page"))?,
//!     tls: None,
//!     compress: false,
//!     http2: false,
//!     handshakes: Handshakes::default(),
//!     store: None, // in memory
//! };
//! let drain = adieu::Drain::new();
//! let (stopped, told) = (drain.clone(), gateway.clone());
//! tokio::spawn(async move {
//!     // … when it is time to stop: the clients hear when to come back, then all connections end.
//!     let _ = told.tell_closing().await;
//!     stopped.start();
//! });
//! println!("{}", serve([listener.into()], &gateway, site, &drain).await?);
//! gateway.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Install
//! Adieu is not on crates.io yet. Depend on its repository, by the address from which you cloned
//! it, or on the clone:
//!
//! ```toml
//! adieu-gateway = { git = "ADDRESS" }
//! adieu-gateway = { path = "adieu/crates/adieu-gateway" }
//! ```

mod account;
mod accounts;
mod browser;
pub mod cluster;
mod door;
pub mod gateway;
pub mod hook;
pub mod http;
mod listener;
mod live;
mod lost_network;
pub mod metrics;
mod no_tls;
mod page;
mod random;
mod rare;
mod requests;
pub mod serve;
pub mod store;

/// Sessions, without I/O.
pub use adieu_session as session;

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
