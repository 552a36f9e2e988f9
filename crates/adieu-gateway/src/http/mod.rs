//! What the gateway serves over HTTP: the WebSocket of the clients, the API of the backend, health
//! and metrics.

mod access;
mod api;
mod dead_letters;
mod health;
mod websocket;

pub use access::{Access, BadKey, guarded};
pub use api::router as api;
pub use health::router as health;
pub use websocket::{Origins, router as websocket};
