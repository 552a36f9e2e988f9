//! WebSockets of a client over HTTP/2 (RFC 8441): which connection carries one, and what is tried
//! when it cannot.
//!
//! - `pool`: the connections of each origin, and whether HTTP/1.1 is known to be the way;
//! - `shared`: one connection, in a task of its own, which opens streams when it is asked;
//! - `request`: an extended CONNECT for the library;
//! - `retry`: whether a stream that failed is tried once more.

mod pool;
mod request;
mod retry;
mod shared;

pub(super) use pool::{Pool, Way};
pub(super) use request::request;
pub(super) use retry::Next;
pub(super) use shared::Asked;
