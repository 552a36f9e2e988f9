//! WebSockets over HTTP/2 (RFC 8441): one connection of HTTP/2 carries ordinary requests and many
//! WebSockets, each on a stream of its own, and each WebSocket has the same exact
//! [`Ending`](crate::Ending) as over TCP.
//!
//! [`serve_connection`] drives one connection. A request for a WebSocket, which is an extended
//! CONNECT, reaches the service like any other; [`Upgrade`](crate::hyper::Upgrade) accepts it
//! there, as it accepts those of HTTP/1.1. [`Server::http2`](crate::Server::http2) does all of it.
//!
//! The frames are read and written by the crate `h2`, which hides how a connection ended: what
//! passes beneath it is looked at here, and recorded once for all streams of the connection. A
//! [`Client`](crate::Client) uses the same.

use hyper::body::Body;

mod answer;
mod below;
mod body;
mod clock;
mod connection;
mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
mod io;
mod settings;
mod sockets;

/// What an error of a service or of a body turns into.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response: any that can be sent from another task.
pub trait ResponseBody: Body<Data: Send, Error: Into<BoxError> + Send> + Send + 'static {}

impl<B: Body<Data: Send, Error: Into<BoxError> + Send> + Send + 'static> ResponseBody for B {}

pub use body::RequestBody;
pub use connection::serve_connection;
pub use settings::Settings;

pub(crate) use answer::{Opening, is_websocket};
pub(crate) use below::{Below, BelowStream};
#[cfg(feature = "tls")]
pub(crate) use clock::{Clock, Due};
pub use connection::Carried;
pub(crate) use frames::PREFACE;
#[cfg(feature = "tls")]
pub(crate) use io::{Io, linger};
pub(crate) use sockets::Sockets;
