//! One single-threaded runtime for each core. Each has a listener of its own on the same port
//! (SO_REUSEPORT): the kernel spreads connections over them, and a connection stays where it is.

use std::future::Future;
use std::io;
use std::net::TcpListener as StdListener;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::drain::Drained;
use crate::handler::Handler;
use crate::listen::{Port, listen_as};
use crate::server::{Accepted, Server};

impl<H: Handler> Server<H> {
    /// Listens and serves like [`serve`](Self::serve), on threads of its own: so many, each with
    /// a single-threaded runtime and a listener on the same port. No connection ever moves to
    /// another thread, so nothing is shared between cores but what handlers share; on the other
    /// hand a busy thread gets no help from an idle one. All is one server: limits, drain and
    /// report are common to the threads.
    ///
    /// The kernel lets any process of the same user listen on a port that is shared like this: a
    /// second server started by mistake is not refused, it gets a part of the connections.
    ///
    /// ```no_run
    /// # async fn run(server: adieu::Server<impl adieu::Handler>) -> std::io::Result<()> {
    /// let drained = server.serve_per_core("0.0.0.0:9001", std::thread::available_parallelism()?);
    /// println!("{}", drained.await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the address cannot be listened on, a thread cannot be started, or the system shares no
    /// ports ([`Unsupported`](io::ErrorKind::Unsupported)).
    pub async fn serve_per_core(
        self,
        addr: impl ToSocketAddrs,
        threads: NonZeroUsize,
    ) -> io::Result<Drained> {
        let listeners = listen(addr, threads).await?;
        let (server, stop) = self.start();
        let mut stop = pin!(stop);
        let mut all = JoinSet::new();
        for (i, listener) in listeners.into_iter().enumerate() {
            all.spawn(serve_on_thread(server.clone(), listener, i)?);
        }
        let drain = &server.endpoint.drain;
        loop {
            tokio::select! {
                () = &mut stop, if !drain.has_started() => drain.start(),
                served = all.join_next() => match served {
                    Some(served) => served.map_err(io::Error::other)??,
                    None => return Ok(drain.finished().await),
                },
            }
        }
    }
}

/// Serves on a thread; the future is its end. If the future is dropped, the thread stops.
fn serve_on_thread<H: Handler>(
    server: Arc<Accepted<H>>,
    listener: StdListener,
    number: usize,
) -> io::Result<impl Future<Output = io::Result<()>> + Send + 'static> {
    let (tell, told) = oneshot::channel();
    let (stay, gone) = oneshot::channel::<()>();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let started = server.endpoint.drain.started();
            tokio::select! {
                _ = server.serve(listener, started) => {}
                _ = gone => {}
            }
            Ok(())
        })
    };
    thread::Builder::new().name(format!("adieu-{number}")).spawn(move || tell.send(run()))?;
    Ok(async move {
        let served = told.await;
        drop(stay);
        served.unwrap_or_else(|_| Err(io::Error::other("a thread of the server panicked")))
    })
}

/// Listeners that share a port; with port 0 all have the one that the first was given.
async fn listen(addr: impl ToSocketAddrs, count: NonZeroUsize) -> io::Result<Vec<StdListener>> {
    let first = listen_as(addr, Port::Shared).await?;
    let addr = first.local_addr()?;
    let mut all = vec![first.into_std()?];
    for _ in 1..count.get() {
        all.push(listen_as(addr, Port::Shared).await?.into_std()?);
    }
    Ok(all)
}
