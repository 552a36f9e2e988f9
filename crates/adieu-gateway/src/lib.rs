//! What the gateway `adieu` is made of: sessions, which outlive their connections; the store, which
//! outlives the process; hooks, by which the backend hears; and the gateway that joins them to
//! sockets.

pub mod gateway;
pub mod hook;
pub mod http;
pub mod metrics;
pub mod session;
pub mod store;
