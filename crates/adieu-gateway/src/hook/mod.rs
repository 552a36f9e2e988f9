//! Hooks: the backend hears of sessions over HTTP, as CloudEvents 1.0, signed as Standard Webhooks
//! are.

mod answer;
mod backend;
mod client;
mod cloud_event;
mod decision;
mod deliveries;
mod failure;
mod question;
mod secret;
#[cfg(test)]
mod tests;

pub use answer::{Answer, MAX_SENDS};
pub use backend::{Backend, BackendCounts, BackendOptions, MAX_ANSWER, MAX_BATCH};
pub use cloud_event::EventFormat;
pub use decision::{Accepted, Decision};
pub(crate) use deliveries::{Answered, DeadLetterList, EventLog, Order, Part, Room};
pub use deliveries::{Deliveries, DeliveryOptions, Left, Waiting};
pub use failure::{Kind as FailureKind, NotTaken};
pub use question::Question;
pub use secret::{BadSecret, Flaw, Secret};
