//! From a name to a TCP connection: look its addresses up, and try them side by side.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, io};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use super::eyeballs::{Eyeballs, Step};
use crate::now;

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Where addresses come from: those that the caller gave for a name, else the caller's resolver,
/// else the operating system's.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    given: Vec<(String, Vec<SocketAddr>)>,
    resolve: Option<Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>>,
}

impl Resolver {
    pub(super) fn give(&mut self, host: &str, addresses: Vec<SocketAddr>) {
        self.given.retain(|(name, _)| !name.eq_ignore_ascii_case(host));
        self.given.push((host.to_owned(), addresses));
    }

    pub(super) fn ask<F, T>(&mut self, resolve: F)
    where
        F: Fn(String, u16) -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolve = Some(Arc::new(move |host, port| Box::pin(resolve(host, port))));
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let given = self.given.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        let mut addresses = match (given, &self.resolve) {
            (Some((_, given)), _) => given.clone(),
            (None, Some(resolve)) => resolve(host.to_owned(), port).await?,
            (None, None) => tokio::net::lookup_host((host, port)).await?.collect(),
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
        timeout_at(at.into(), future).await.unwrap_or_else(|_| {
            let limit = (at - self.started).as_secs_f64();
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} within {limit} s", what())))
        })
    }
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
    let no_answer = || format!("no answer from {}", listed(&found));
    let connect = |address| TcpStream::connect(address);
    deadline.within(race(found.iter().copied(), connect), no_answer).await
}

/// Tries addresses side by side as RFC 8305 says. The first connection wins, the other attempts are
/// given up.
async fn race<S, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut eyeballs = Eyeballs::new(addresses);
    // Dropped, it ends the attempts that are left in it.
    let mut attempts = JoinSet::new();
    let mut failed = Attempts::default();
    loop {
        let wait = match eyeballs.step(now()) {
            Step::Start(address) => {
                let attempt = connect(address);
                attempts.spawn(async move { (address, attempt.await) });
                continue;
            }
            Step::Wait(until) => until,
            Step::Exhausted => return Err(failed.into()),
        };
        let next = async {
            match wait {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    failed.0.push((address, error));
                    eyeballs.failed();
                }
                // A resolver's or a system's panic in an attempt is that attempt's failure.
                Err(_) => eyeballs.failed(),
            },
            () = next => {}
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

/// Why each address did not connect.
#[derive(Debug, Default)]
struct Attempts(Vec<(SocketAddr, io::Error)>);

impl From<Attempts> for io::Error {
    fn from(attempts: Attempts) -> Self {
        let kind = attempts.0.last().map_or(io::ErrorKind::Other, |(_, error)| error.kind());
        io::Error::new(kind, attempts)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (address, error)) in self.0.iter().enumerate() {
            let and = if i == 0 { "" } else { "; " };
            write!(f, "{and}{address}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Attempts {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.last().map(|(_, error)| error as _)
    }
}

/// A few addresses for an error.
fn listed(addresses: &[SocketAddr]) -> String {
    let few: Vec<_> = addresses.iter().take(8).map(ToString::to_string).collect();
    few.join(", ")
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
        let start = tokio::time::Instant::now();
        let begun = Mutex::new(Vec::new());
        let gone = Arc::new(Mutex::new(Vec::new()));
        let addresses = (0..does.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16)));
        let result = race(addresses, |address| {
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
        });
        let result = result.await.map_err(|error| error.to_string());
        let took = start.elapsed().as_millis();
        // The attempts that were given up are dropped by the runtime.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut dropped = gone.lock().unwrap().clone();
        dropped.sort_unstable();
        (result, took, begun.into_inner().unwrap(), dropped)
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
}
