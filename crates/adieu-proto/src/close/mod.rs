//! How a connection ends: the Close frame, the close machine, and the report of it.

mod ending;
mod frame;
mod http2;
mod inputs;
mod machine;
mod meaning;
mod record;
mod sentence;
mod state;

pub use ending::{
    Cause, ClosingHandshake, End, Ending, LetGo, Side, Timeline, Transport, TransportKind,
    Truncation, Unsent,
};
pub use frame::{Close, IntoCloseCode, IntoReason};
pub use http2::{Http2, Http2ErrorCode};
pub use inputs::{CloseRequest, PeerEnd};
pub(crate) use machine::Machine;
pub(crate) use state::{Action, Context, Input, Role, State};
