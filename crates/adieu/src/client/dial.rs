//! From a name to a TCP connection: look its addresses up, and try them side by side.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, io};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use super::attempts::Attempts;
use super::eyeballs::{Eyeballs, Step};
use super::url::canonical_name;
use crate::now;

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where addresses come from: those that the caller gave for a name, else the caller's resolver,
/// else the operating system's. What is an address already is not looked up.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    /// Names in their canonical form.
    given: Vec<(String, Vec<SocketAddr>)>,
    resolve: Option<Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>>,
}

impl Resolver {
    pub(super) fn give(&mut self, host: &str, addresses: Vec<SocketAddr>) {
        let host = canonical_name(host);
        self.given.retain(|(name, _)| *name != host);
        self.given.push((host, addresses));
    }

    pub(super) fn ask<F, T>(&mut self, resolve: F)
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolve = Some(Arc::new(move |host, port| Box::pin(resolve(host, port))));
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = canonical_name(host);
        let given = self.given.iter().find(|(given, _)| *given == name);
        let literal = host.parse::<IpAddr>();
        let mut addresses = match (given, literal, &self.resolve) {
            (Some((_, given)), ..) => given.clone(),
            (None, Ok(address), _) => vec![SocketAddr::new(address, port)],
            (None, Err(_), Some(resolve)) => resolve(host.to_owned(), port).await?,
            (None, Err(_), None) => look_up(host, port).await?,
        };
        for address in addresses.iter_mut().filter(|address| address.port() == 0) {
            address.set_port(port);
        }
        Ok(addresses)
    }
}

/// The one deadline of a `connect`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) started: Instant,
    /// `None` where it is switched off.
    at: Option<Instant>,
}

impl Deadline {
    pub(super) fn new(config: &adieu_proto::Config) -> Self {
        let (started, length) = (now(), config.handshake_deadline());
        Deadline { started, at: length.and_then(|length| started.checked_add(length)) }
    }

    /// Awaits something, no longer than the deadline allows. `what` says what did not happen.
    pub(super) async fn within<T>(
        &self,
        future: impl Future<Output = io::Result<T>>,
        what: impl FnOnce() -> String,
    ) -> io::Result<T> {
        let Some(at) = self.at else { return future.await };
        let passed = |_| Err(timed_out(format!("{} {self}", what())));
        timeout_at(at.into(), future).await.unwrap_or_else(passed)
    }

    /// Waits until it has passed.
    async fn wait(&self) {
        until(self.at).await;
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "within {} s", (at - self.started).as_secs_f64()),
            None => f.write_str("so far"),
        }
    }
}

fn timed_out(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Waits until then; for ever, if there is no such time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Asks the operating system. Its error has no kind of its own.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await;
    Ok(found.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?.collect())
}

/// Connects to the first address of a host that answers.
pub(super) async fn dial(
    resolver: &Resolver,
    host: &str,
    port: u16,
    deadline: &Deadline,
) -> io::Result<TcpStream> {
    let found = deadline.within(
        async {
            let found = resolver.addresses(host, port).await;
            found.map_err(|error| io::Error::new(error.kind(), NotFound(host.to_owned(), error)))
        },
        || format!("the name {host} was not looked up"),
    );
    let found = found.await?;
    if found.is_empty() {
        let text = format!("the name {host} has no address");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    race(found, TcpStream::connect, deadline).await
}

/// Tries addresses side by side as RFC 8305 says. The first connection wins, the other attempts are
/// given up. An error says of each address what came of it.
async fn race<S, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
    deadline: &Deadline,
) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut eyeballs = Eyeballs::new(addresses);
    // Dropped, it ends the attempts that are left in it.
    let mut running = JoinSet::new();
    let mut attempts = Attempts::default();
    loop {
        let next = match eyeballs.step(now()) {
            Step::Start(address) => {
                attempts.begun(address);
                let attempt = connect(address);
                running.spawn(async move { (address, attempt.await) });
                continue;
            }
            Step::Wait(next) => next,
            Step::Exhausted => return Err(attempts.into()),
        };
        tokio::select! {
            biased;
            Some(done) = running.join_next() => match done {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    attempts.failed(address, error);
                    eyeballs.failed();
                }
                // A system's panic in an attempt is that attempt's failure.
                Err(_) => eyeballs.failed(),
            },
            () = deadline.wait() => {
                attempts.not_begun(eyeballs.left());
                return Err(timed_out(format!("no connection {deadline}: {attempts}")));
            }
            () = until(next) => {}
        }
    }
}

/// A name that could not be looked up.
#[derive(Debug)]
struct NotFound(String, io::Error);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name {} was not found: {}", self.0, self.1)
    }
}

impl std::error::Error for NotFound {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// What an address does when it is tried.
    #[derive(Clone, Copy)]
    enum Does {
        Refuses,
        SwallowsSyns,
        ConnectsAfter(u64),
    }

    impl fmt::Display for Does {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Does::Refuses => f.write_str("refused"),
                Does::SwallowsSyns => f.write_str("silent"),
                Does::ConnectsAfter(ms) => write!(f, "answers after {ms} ms"),
            }
        }
    }

    /// Tells when it is dropped.
    struct Attempt(u16, Arc<Mutex<Vec<u16>>>);

    impl Drop for Attempt {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    /// Races addresses of these kinds, in the runtime's own time: which connected, after how many
    /// milliseconds; when each attempt began; which attempts are gone.
    async fn raced(does: &[Does]) -> (Result<u16, String>, u128, Vec<(u16, u128)>, Vec<u16>) {
        let deadline = Deadline::new(&adieu_proto::Config::default());
        let start = tokio::time::Instant::now();
        let begun = Mutex::new(Vec::new());
        let gone = Arc::new(Mutex::new(Vec::new()));
        let addresses = (0..does.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16)));
        let connect = |address: SocketAddr| {
            let (n, does) = (address.port(), does[usize::from(address.port())]);
            begun.lock().unwrap().push((n, start.elapsed().as_millis()));
            let attempt = Attempt(n, gone.clone());
            async move {
                let attempt = attempt;
                match does {
                    Does::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                    Does::SwallowsSyns => std::future::pending().await,
                    Does::ConnectsAfter(ms) => {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                        Ok(attempt.0)
                    }
                }
            }
        };
        let result = race(addresses, connect, &deadline);
        let result = result.await.map_err(|error| error.to_string());
        let took = start.elapsed().as_millis();
        // The attempts that were given up are dropped by the runtime.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut dropped = gone.lock().unwrap().clone();
        dropped.sort_unstable();
        let begun = begun.into_inner().unwrap();
        told(does, &result, took, &begun);
        (result, took, begun, dropped)
    }

    /// For conformance/client-network.txt.
    fn told(does: &[Does], result: &Result<u16, String>, took: u128, begun: &[(u16, u128)]) {
        let addresses = match does {
            [first, .., last] if does.len() > 5 => {
                format!("{first}, {} like it, then {last}", does.len() - 2)
            }
            few => few.iter().map(Does::to_string).collect::<Vec<_>>().join(", "),
        };
        let at: Vec<_> = begun.iter().map(|(_, at)| at.to_string()).collect();
        let (at, more) = (&at[..at.len().min(4)], at.len().saturating_sub(4));
        let attempts = format!("attempts begun at {} ms and {more} more", at.join(", "));
        let attempts = attempts.replace(" and 0 more", "");
        let came = match result {
            Ok(n) => format!("number {} connected", n + 1),
            Err(_) => "an error that names each".to_owned(),
        };
        testkit::figure(&addresses, &format!("{attempts}; {came} after {took} ms of virtual time"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_250_ms() {
        let (result, took, begun, gone) =
            raced(&[Does::SwallowsSyns, Does::ConnectsAfter(20)]).await;
        assert_eq!((result, took, begun), (Ok(1), 270, vec![(0, 0), (1, 250)]));
        assert_eq!(gone, [0, 1], "the silent attempt is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_costs_nothing() {
        let does = [Does::Refuses, Does::Refuses, Does::ConnectsAfter(20)];
        let (result, took, begun, _) = raced(&does).await;
        assert_eq!((result, took, begun), (Ok(2), 20, vec![(0, 0), (1, 0), (2, 0)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_may_still_be_the_first() {
        let (result, took, begun, gone) =
            raced(&[Does::ConnectsAfter(300), Does::ConnectsAfter(100)]).await;
        assert_eq!((result, took, begun), (Ok(0), 300, vec![(0, 0), (1, 250)]));
        assert_eq!(gone, [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_refuse_are_named() {
        let (result, took, ..) = raced(&[Does::Refuses, Does::Refuses]).await;
        let error = result.unwrap_err();
        assert!(error.contains("127.0.0.1:0: ") && error.contains("127.0.0.1:1: "), "{error}");
        assert_eq!(took, 0);
    }
    #[tokio::test(start_paused = true)]
    async fn the_deadline_tells_what_came_of_each_address() {
        let (result, took, ..) =
            raced(&[Does::SwallowsSyns, Does::Refuses, Does::SwallowsSyns]).await;
        let error = result.unwrap_err();
        assert_eq!(
            error,
            "no connection within 10 s: 127.0.0.1:0: no answer; \
             127.0.0.1:1: connection refused; 127.0.0.1:2: no answer"
        );
        assert_eq!(took, 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_silent_addresses_forty_are_tried_within_the_deadline() {
        let (result, took, begun, gone) = raced(&[Does::SwallowsSyns; 41]).await;
        let error = result.unwrap_err();
        assert_eq!((took, begun.len(), begun[39]), (10_000, 40, (39, 9_750)));
        assert!(error.contains("127.0.0.1:39: no answer; 127.0.0.1:40: not tried"), "{error}");
        assert_eq!(gone.len(), 40, "no attempt is left behind");
        let mut does = [Does::SwallowsSyns; 40];
        does[39] = Does::ConnectsAfter(20);
        let (result, took, ..) = raced(&does).await;
        assert_eq!((result, took), (Ok(39), 9_770));
    }

    #[tokio::test]
    async fn what_is_an_address_is_not_looked_up() {
        let mut resolver = Resolver::default();
        resolver.ask(|host, _| async move { panic!("{host} is looked up") });
        for (host, address) in [("::1", "[::1]:7"), ("127.0.0.1", "127.0.0.1:7")] {
            let found = resolver.addresses(host, 7).await.unwrap();
            assert_eq!(found, [address.parse().unwrap()]);
        }
        resolver.give("127.0.0.1", vec!["[::1]:0".parse().unwrap()]);
        let found = resolver.addresses("127.0.0.1", 7).await.unwrap();
        assert_eq!(found, ["[::1]:7".parse().unwrap()], "unless the caller says so");
    }

    #[tokio::test]
    async fn addresses_are_given_for_a_name_however_it_is_written() {
        let address = "127.0.0.1:7".parse().unwrap();
        for (given, asked) in [
            ("Host.Example", "host.example"),
            ("host.example", "host.example."),
            ("host.example.", "host.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("under_score.test", "under_score.test"),
        ] {
            let mut resolver = Resolver::default();
            resolver.give(given, vec![address]);
            let found = resolver.addresses(asked, 7).await.unwrap();
            assert_eq!(found, [address], "{given} for {asked}");
        }
    }
}
