//! What the gateway serves over HTTP: the WebSocket of the clients, the API of the backend, health
//! and metrics.

mod access;
mod api;
mod dead_letters;
mod errors;
mod health;
mod origin;
mod origins;
mod websocket;

pub use access::{API_REQUESTS, Access, BadKey, LOGIN_LASTS, guarded, login};
pub(crate) use access::{Known, WrongKey};
pub use api::router as api;
pub(crate) use health::{Health, router as health};
pub use origin::{AllowedOrigin, BadOrigin, PublicUrl};
pub use origins::Origins;
pub(crate) use origins::{OriginCheck, own_pages};
pub use websocket::router as websocket;
