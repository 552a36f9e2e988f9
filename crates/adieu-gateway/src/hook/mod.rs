//! Hooks: the backend hears of sessions over HTTP, as CloudEvents 1.0 in binary mode, signed as
//! Standard Webhooks are.

mod backend;
mod cloud_event;
mod deliveries;
mod secret;

pub use backend::{Backend, BackendOptions, Decision, Question};
pub use deliveries::{Deliveries, DeliveryOptions, Left, Waiting};
pub(crate) use deliveries::{EventLog, Room};
pub use secret::{BadSecret, Secret};
