//! The load generator: one thread on raw epoll, frames built beforehand, no parsing unless asked.

pub mod cycle;
pub mod deflate;
pub mod dial;
pub mod echo;
#[cfg(feature = "http2")]
pub mod http2;
pub mod many;
pub mod rate;
