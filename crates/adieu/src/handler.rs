//! What runs for each connection.

use std::future::Future;

use crate::handled::Handled;
use crate::into_close::IntoClose;
use crate::socket::Socket;

/// What runs for each connection of a [`Server`](crate::Server): a function from its [`Socket`] to
/// how it ends. It is called many times, so it is `Fn`: a closure with state of its own gives each
/// call a clone.
///
/// Implemented for every `async fn(Socket) -> impl IntoClose`. A closure names the type of its
/// argument, `|socket: Socket|`, where it does more with it than to pass it on.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
/// use adieu::{Server, Socket};
///
/// let visits = Arc::new(AtomicUsize::new(0));
/// let server = Server::new(move |socket: Socket| {
///     let visits = visits.clone();
///     async move {
///         let visit = visits.fetch_add(1, Ordering::Relaxed);
///         let _ = socket.send(format!("you are visitor {visit}")).await;
///     }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the handler of a server",
    label = "not an `async fn(Socket) -> impl IntoClose` that can be called for each connection",
    note = "a handler is async, takes the `Socket` by value and nothing else, and returns what its \
            connection ends with: `()`, a `Close`, a `CloseCode`, or a `Result` of these",
    note = "a closure that has something gives each call a clone of it: \
            `move |socket: Socket| {{ let state = state.clone(); async move {{ … }} }}`"
)]
pub trait Handler: HandlerOnce + Sync {
    /// Runs one connection; says how it ends.
    #[doc(hidden)]
    fn call(&self, socket: Socket) -> impl Future<Output = Handled> + Send;
}

impl<F> Handler for F
where
    F: AsyncFnOfSocket + Send + Sync + 'static,
    F::Running: Send,
    <F::Running as Future>::Output: IntoClose,
{
    async fn call(&self, socket: Socket) -> Handled {
        let own = socket.id();
        self.run(socket).await.handled(own)
    }
}

/// What runs for one connection, in a hyper or axum application: like [`Handler`], but called once,
/// so that it may move what it has.
///
/// Implemented for every `async fn(Socket) -> impl IntoClose`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the handler of a WebSocket",
    label = "not an `async fn(Socket) -> impl IntoClose`",
    note = "a handler is async, takes the `Socket` by value and nothing else, and returns what its \
            connection ends with: `()`, a `Close`, a `CloseCode`, or a `Result` of these"
)]
pub trait HandlerOnce: Send + 'static {
    /// Runs the connection; says how it ends.
    #[doc(hidden)]
    fn call_once(self, socket: Socket) -> impl Future<Output = Handled> + Send;
}

impl<F> HandlerOnce for F
where
    F: AsyncFnOnceOfSocket + Send + 'static,
    F::Running: Send,
    <F::Running as Future>::Output: IntoClose,
{
    async fn call_once(self, socket: Socket) -> Handled {
        let own = socket.id();
        self.run_once(socket).await.handled(own)
    }
}

// What follows is apart from the handlers for the compiler's errors alone: a function of another
// shape is told by the sentences above, while a value that is not `Send`, or a return value that
// says no Close, is still pointed at where it stands.

/// A function of a `Socket` that gives a future, to be called once.
#[doc(hidden)]
pub trait AsyncFnOnceOfSocket {
    type Running: Future;

    fn run_once(self, socket: Socket) -> Self::Running;
}

#[diagnostic::do_not_recommend]
impl<F, Fut> AsyncFnOnceOfSocket for F
where
    F: FnOnce(Socket) -> Fut,
    Fut: Future,
{
    type Running = Fut;

    fn run_once(self, socket: Socket) -> Fut {
        self(socket)
    }
}

/// The same, to be called as often as there are connections.
#[doc(hidden)]
pub trait AsyncFnOfSocket: AsyncFnOnceOfSocket {
    fn run(&self, socket: Socket) -> Self::Running;
}

#[diagnostic::do_not_recommend]
impl<F, Fut> AsyncFnOfSocket for F
where
    F: Fn(Socket) -> Fut,
    Fut: Future,
{
    fn run(&self, socket: Socket) -> Fut {
        self(socket)
    }
}
