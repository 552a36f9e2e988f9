//! The client's half of adieu.v1, as a value: time and chance come in as arguments, what to do
//! comes back as outputs. `adieu::session` drives it over WebSockets, tests over simulated time.
//!
//! ```
//! use adieu_session::Timestamp;
//! use adieu_session::client::{Client, Event, Input, Limits, Output};
//!
//! let mut client = Client::new(Limits::default(), None, [7; 32]);
//! let now = Timestamp(1_760_000_000_000);
//! client.send(&"hello".into()).unwrap();
//! client.on(now, Input::Tick);
//! let Some(Output::Connect { offers }) = client.poll() else { panic!() };
//! assert_eq!(offers[0], "adieu.v1");
//! // The WebSocket is open, and the gateway begins.
//! client.on(now, Input::Dialing);
//! let connected = r#"{"type":"connected","sessionId":"s","reconnectionToken":"t","generation":1,
//!     "resumed":false,"window":15000,"sequenceAck":0,"heartbeat":20000}"#;
//! client.on(now, Input::Heard(Some(connected)));
//! assert_eq!(client.next_event(now), Some(Event::Started { session_id: "s".into() }));
//! let hello = r#"{"type":"message","sequenceId":1,"text":"hello"}"#;
//! assert_eq!(client.poll(), Some(Output::Say(hello.into())));
//! ```

mod backoff;
mod chance;
mod event;
mod inbox;
mod io;
mod limits;
mod machine;
mod meaning;
mod open;
mod outbox;
mod saved;
#[cfg(test)]
mod tests;
mod wire;

pub use backoff::Backoff;
pub use event::{Ended, EndedReason, Event};
pub use io::{Input, Leave, Output};
pub use limits::*;
pub use machine::Client;
pub use meaning::Meaning;
pub use outbox::SendError;
pub use saved::Saved;
pub use wire::{Connected, FromGateway, ToGateway, auth, first, numbered, resume, tail};
