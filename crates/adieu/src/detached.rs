//! [`Detached`]: the connection goes on without its handler.

/// Returned by a handler, says that the connection goes on without it: its
/// [`Socket`](crate::Socket) was moved into a task, and the connection ends when that is dropped
/// or closed. Of a socket that was [`split`](crate::Socket::split) it is the
/// [`Receiver`](crate::Receiver) that counts.
///
/// Without it the return of a handler ends the connection, whoever holds the `Socket`. Where
/// nobody holds it any more, the connection ends at once, with Close 1001
/// ([`Cause::Dropped`](crate::Cause::Dropped)).
///
/// The connection is counted like others: a [`Drain`](crate::Drain) tells it and waits for its
/// end, and [`Endpoint::on_end`](crate::Endpoint::on_end) hears of it. The task is the
/// application's own: a drain does not wait for what it does after its connection is over.
///
/// ```
/// use adieu::{Detached, Server, Socket};
///
/// async fn handler(mut socket: Socket) -> Detached {
///     tokio::spawn(async move {
///         while let Some(message) = socket.recv().await {
///             let _ = socket.send(message).await;
///         }
///     });
///     Detached
/// }
/// # let server = Server::new(handler);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached;
