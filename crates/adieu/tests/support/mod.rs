//! A server in the background on a port of the kernel's choice, and the accounts that it gave.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use adieu::{Drain, Drained, Ending, Endpoint, Handler, IntoClose, Peer, Server, Socket, Version};
use testkit::DEADLINE;
use tokio::runtime::{Builder, Runtime};

/// What `on_end` heard.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) ending: Ending,
    pub(crate) peer: Peer,
    pub(crate) path: Option<String>,
    pub(crate) version: Option<Version>,
}

impl Account {
    /// The sentence, its durations masked: they differ from run to run.
    pub(crate) fn sentence(&self) -> String {
        masked(&self.ending.to_string())
    }
}

/// Replaces the duration behind "lasted" by "…".
pub(crate) fn masked(sentence: &str) -> String {
    let (front, _) = sentence.rsplit_once(" lasted ").expect("a duration");
    format!("{front} lasted …")
}

/// A server that runs until it is finished or dropped.
pub(crate) struct Host {
    pub(crate) addr: SocketAddr,
    pub(crate) drain: Drain,
    accounts: mpsc::Receiver<Account>,
    serving: tokio::task::JoinHandle<std::io::Result<Drained>>,
    pub(crate) runtime: Runtime,
}

impl Host {
    /// Starts a server with the defaults.
    pub(crate) fn start(handler: impl Handler) -> Self {
        Self::run(Server::new(handler))
    }

    /// Starts this server.
    pub(crate) fn run(server: Server<impl Handler>) -> Self {
        Self::run_telling(server, |_| {})
    }

    /// Starts this server; `hear` is called in `on_end` after the account was noted.
    pub(crate) fn run_telling(
        server: Server<impl Handler>,
        hear: impl Fn(&Account) + Send + Sync + 'static,
    ) -> Self {
        Self::run_until(Drain::new(), server, hear)
    }

    /// Starts a server with the defaults that ends its connections by this drain: what the drain
    /// tells can be followed.
    pub(crate) fn draining(drain: Drain, handler: impl Handler) -> Self {
        Self::draining_by(drain, handler, |server| server)
    }

    /// The same with more set on the server.
    pub(crate) fn draining_by<H: Handler>(
        drain: Drain,
        handler: H,
        set: impl FnOnce(Server<H>) -> Server<H>,
    ) -> Self {
        let endpoint = Endpoint::new().drain(drain.clone());
        Self::run_until(drain, set(Server::with(endpoint, handler)), |_| {})
    }

    /// Starts this server, whose endpoint has this drain.
    pub(crate) fn run_until(
        drain: Drain,
        server: Server<impl Handler>,
        hear: impl Fn(&Account) + Send + Sync + 'static,
    ) -> Self {
        // More threads than cores: some tests block one on purpose.
        let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let (tell, accounts) = mpsc::channel();
        let stop = drain.clone();
        let server = server
            .on_end(move |ended| {
                let account = Account {
                    ending: ended.ending.clone(),
                    peer: ended.peer,
                    path: ended.request.map(|request| request.path().to_owned()),
                    version: ended.version,
                };
                // Nobody may be left to hear when a test has failed.
                let _ = tell.send(account.clone());
                hear(&account);
            })
            .drain_when(async move { stop.started().await });
        let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = runtime.spawn(server.serve_on(listener));
        Host { addr, drain, accounts, serving, runtime }
    }

    /// The next account.
    pub(crate) fn account(&self) -> Account {
        self.accounts.recv_timeout(DEADLINE).expect("an account of the connection")
    }

    /// Stops, waits until all connections are over, and makes sure that no account is left: each
    /// connection gave one, and one only.
    pub(crate) fn finish(self) -> Drained {
        let (drained, left) = self.finish_with_accounts();
        let left: Vec<_> = left.iter().map(Account::sentence).collect();
        assert!(left.is_empty(), "accounts that nobody asked for: {left:?}");
        drained
    }

    /// The same, with the accounts that nobody has asked for yet.
    pub(crate) fn finish_with_accounts(self) -> (Drained, Vec<Account>) {
        self.drain.start();
        let drained = self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, self.serving).await.expect("the server stops")
        });
        // Tasks that outlive their connection are dropped here.
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        (drained.unwrap().unwrap(), self.accounts.try_iter().collect())
    }

    /// Makes sure that a client that behaves is served as ever.
    pub(crate) fn still_serves(&self) {
        let mut peer = testkit::Peer::open(self.addr);
        peer.send(&testkit::Frame::text("still there?"));
        assert_eq!(peer.read_frame(), testkit::Frame::text("still there?"));
        peer.send(&testkit::Frame::close(1000, ""));
        assert_eq!(peer.read_frame().close_code(), Some(1000));
        assert_eq!(peer.read_to_end().end, testkit::TcpEnd::Fin);
        drop(peer);
        let account = self.account();
        assert!(account.ending.is_clean(), "{}", account.ending);
    }
}

/// A handler that gets a clone of something: async closures that capture are no `Fn`.
pub(crate) fn with<T, F, Fut>(value: T, handler: F) -> impl Handler
where
    T: Clone + Send + Sync + 'static,
    F: Fn(Socket, T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoClose> + Send,
{
    move |socket| handler(socket, value.clone())
}

/// Sends back what comes.
pub(crate) async fn echo(mut socket: Socket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
