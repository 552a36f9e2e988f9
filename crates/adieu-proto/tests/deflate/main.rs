//! Compression of messages: permessage-deflate (RFC 7692).
#![cfg(feature = "deflate")]
#![allow(clippy::disallowed_methods)] // The fence is for the protocol, not for its tests.

mod agreeing;
mod properties;
mod receiving;
mod sending;
mod strict;
mod turns;
mod world;
