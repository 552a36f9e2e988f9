//! Measures WebSocket servers side by side: starts them pinned to one core, loads them from
//! another, and counts the CPU time that each spends.

pub mod cells;
pub mod frames;
pub mod lateness;
pub mod load;
pub mod machine;
pub mod parts;
pub mod peer;
pub mod report;
pub mod sample;
pub mod server;
pub mod sys;
#[cfg(feature = "http2")]
pub mod tls;
