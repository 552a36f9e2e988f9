//! What the gateway `adieu` is made of, apart from sockets: sessions, which outlive their
//! connections.

pub mod session;
