//! What the gateway `adieu` is made of, apart from sockets: sessions, which outlive their
//! connections, and the store that outlives the process.

pub mod session;
pub mod store;
