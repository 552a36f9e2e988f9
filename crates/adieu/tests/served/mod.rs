//! A server on a runtime of its own, beside the blocking peers of the testkit, and the accounts
//! that it gives.
#![allow(dead_code, reason = "each test uses its part")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc;

use adieu::{
    Cause, Closed, ClosingHandshake, Config, Drain, Drained, End, Ended, Ending, Endpoint, Handler,
    Server, Side, Socket, Transport, TransportKind, Truncation, Version,
};
use testkit::DEADLINE;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A server at work.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    pub(crate) drain: Drain,
    accounts: mpsc::Receiver<Account>,
    runtime: Runtime,
}

/// What `on_end` heard.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) version: Option<Version>,
    pub(crate) ending: Ending,
    /// What the request asked for.
    pub(crate) target: Option<String>,
    /// Its address, where the transport has one.
    pub(crate) peer: Option<SocketAddr>,
}

/// Says back what it hears.
pub(crate) async fn echo(mut socket: Socket) -> Result<(), Closed> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// Says so many messages back, then goodbye.
pub(crate) fn echo_some(count: usize) -> impl Handler {
    move |mut socket: Socket| async move {
        for _ in 0..count {
            let Some(message) = socket.recv().await else { break };
            if socket.send(message).await.is_err() {
                break;
            }
        }
    }
}

/// The body of an answer that refuses with this error.
pub(crate) fn refusal_body(error: &adieu::HandshakeError) -> String {
    format!("{error}\n{}\n", error.help())
}

/// An endpoint with these limits.
pub(crate) fn with(config: Config) -> Endpoint {
    Endpoint::new().config(config)
}

impl Served {
    /// Runs `serve` with the endpoint, which tells its accounts here and obeys the drain, and a
    /// listener.
    pub(crate) fn start<F, Fut>(endpoint: Endpoint, serve: F) -> Self
    where
        F: FnOnce(Endpoint, TcpListener, Drain) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
        let addr = listener.local_addr().expect("the listener's address");
        let drain = Drain::new();
        let (tell, accounts) = mpsc::channel();
        let endpoint = endpoint.drain(drain.clone()).on_end(move |ended| {
            // A test that fails does not listen to the end.
            let _ = tell.send(Account::of(ended));
        });
        runtime.spawn(serve(endpoint, listener, drain.clone()));
        Served { addr, drain, accounts, runtime }
    }

    /// A [`Server`] with this handler.
    pub(crate) fn server(endpoint: Endpoint, handler: impl Handler) -> Self {
        Self::start(endpoint, |endpoint, listener, _| async move {
            Server::with(endpoint, handler).serve_on(listener).await.expect("a server");
        })
    }

    /// The next account.
    #[track_caller]
    pub(crate) fn account(&self) -> Account {
        self.accounts.recv_timeout(DEADLINE).expect("an account")
    }

    /// The next account's ending has to be this one, whole messages both ways and nothing left
    /// unsent. Gives the account.
    #[track_caller]
    pub(crate) fn ended(
        &self,
        cause: Cause,
        goodbye: ClosingHandshake,
        end: End,
        first: Side,
    ) -> Account {
        self.ended_cut(cause, goodbye, end, first, Truncation::BetweenMessages)
    }

    /// The same, cut where said.
    #[track_caller]
    pub(crate) fn ended_cut(
        &self,
        cause: Cause,
        goodbye: ClosingHandshake,
        end: End,
        first: Side,
        cut: Truncation,
    ) -> Account {
        let account = self.account();
        let (kind, active_closer) = (TransportKind::Tcp, Some(first));
        let transport = Transport { kind, end, active_closer, close_notify: None };
        account.is(cause, goodbye, transport, cut);
        account
    }

    /// Stops the server, waits for all connections, and makes sure that nothing else is told.
    #[track_caller]
    pub(crate) fn stop(self) -> Drained {
        self.drain.start();
        let drain = self.drain.clone();
        let drained = self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, drain.finished()).await.expect("the drain ends")
        });
        drop(self.runtime);
        assert!(self.accounts.try_recv().is_err(), "a connection was accounted for twice");
        drained
    }
}

impl Account {
    pub(crate) fn of(ended: Ended<'_>) -> Self {
        Account {
            version: ended.version,
            ending: ended.ending.clone(),
            target: ended.request.map(|request| request.target().to_owned()),
            peer: ended.peer.addr(),
        }
    }

    /// Has to be this, with all of ours sent. What the operating system knew of round trips and
    /// acknowledgements differs from run to run.
    #[track_caller]
    pub(crate) fn is(
        &self,
        cause: Cause,
        goodbye: ClosingHandshake,
        transport: Transport,
        cut: Truncation,
    ) {
        let mut got = self.ending.clone();
        got.round_trip = None;
        got.unsent.unacknowledged = None;
        let mut want = Ending::from_parts(cause, goodbye, transport, got.lasted);
        want.timeline = got.timeline;
        want.truncation = cut;
        want.draining = got.draining;
        assert_eq!(got, want, "{got}");
    }
}
