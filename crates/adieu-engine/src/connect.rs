//! Where the engine is, and what is asked of it before it is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, Value};
use tokio::sync::Mutex;

use adieu_session::Slot;

use crate::EngineError;
use crate::channel::{Call, Channel, Purpose};
use crate::library;

/// How an engine is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is:
    ///
    /// - `redis://USER:PASSWORD@HOST:PORT/DB`, or `rediss://` with TLS: one server;
    ///   `redis+unix:///PATH?db=DB`: one on this machine
    /// - `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME`: whichever server the Sentinels
    ///   say is the primary of that name
    /// - `redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT`: a Redis Cluster; some of its nodes
    ///
    /// `valkey` in the place of `redis` is the same.
    pub url: String,
    /// A server that forgets when its process ends is good enough.
    pub volatile: bool,
}

/// A URL that names no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadUrl(why) = self;
        write!(
            f,
            "the engine's URL is not understood: {why}; it is redis://HOST:PORT, \
             redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT"
        )
    }
}

impl std::error::Error for BadUrl {}

/// How its connections are opened.
pub(crate) enum Way {
    Server(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster { client: ClusterClient, seeds: Vec<ConnectionInfo> },
}

/// An engine. A clone is the same, with the same connections.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) way: Arc<Way>,
    pub(crate) commits: Channel,
    pub(crate) events: Channel,
    pub(crate) reads: Channel,
    pub(crate) leases: Channel,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Reads where it is. Nothing is opened yet.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(options: &Options) -> Result<Self, BadUrl> {
        if options.url.starts_with("rediss") || options.url.starts_with("valkeys") {
            // The one that the process has already, if it has one.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let way = Arc::new(way(&options.url)?);
        let channel = || Channel::new(way.clone());
        let (commits, events, reads, leases) = (channel(), channel(), channel(), channel());
        Ok(Engine { inner: Arc::new(Inner { way, commits, events, reads, leases }) })
    }

    /// Loads the functions into it: each start does, and it is done again where they are missed.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn load_functions(&self) -> Result<(), EngineError> {
        self.inner.way.load_functions(&library::text()).await
    }

    /// Waits until so many replicas have all that was written before, for such a purpose and in
    /// these slots; false if they do not have it in time.
    pub async fn replicated(
        &self,
        purpose: Purpose,
        slots: &[Slot],
        replicas: usize,
        at_most: Duration,
    ) -> bool {
        self.channel(purpose).wait(slots, replicas, at_most).await
    }

    /// Makes some calls, and reads the answer to each.
    pub(crate) async fn each<T>(
        &self,
        purpose: Purpose,
        calls: Vec<Call>,
        read: impl Fn(Value) -> Result<T, EngineError>,
    ) -> Vec<Result<T, EngineError>> {
        let answers = self.channel(purpose).calls(&calls).await;
        answers.into_iter().map(|answer| read(answer?)).collect()
    }

    pub(crate) fn channel(&self, purpose: Purpose) -> &Channel {
        match purpose {
            Purpose::Commits => &self.inner.commits,
            Purpose::Events => &self.inner.events,
            Purpose::Reads => &self.inner.reads,
            Purpose::Leases => &self.inner.leases,
        }
    }
}

fn way(url: &str) -> Result<Way, BadUrl> {
    let bad = |why: &str| BadUrl(why.to_owned());
    let url = match url.strip_prefix("valkey") {
        Some(rest) => format!("redis{rest}"),
        None => url.to_owned(),
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
    match scheme.split_once('+') {
        Some(("redis", "unix")) | None if matches!(scheme, "redis" | "rediss" | "redis+unix") => {
            Client::open(&*url).map(Way::Server).map_err(|error| bad(&error.to_string()))
        }
        Some((base @ ("redis" | "rediss"), "sentinel")) => sentinel(base, rest),
        Some((base @ ("redis" | "rediss"), "cluster")) => {
            let (hosts, _) = rest.split_once('/').unwrap_or((rest, ""));
            let seeds = infos(base, hosts)?;
            let client = ClusterClientBuilder::new(seeds.clone())
                .retries(0)
                .use_protocol(ProtocolVersion::RESP2)
                .connection_timeout(Duration::from_secs(2))
                .response_timeout(Duration::from_secs(3))
                .build()
                .map_err(|error| bad(&error.to_string()))?;
            Ok(Way::Cluster { client, seeds })
        }
        _ => Err(bad(&format!("{scheme:?} is no scheme of an engine"))),
    }
}

/// `USER:PASSWORD@HOST:PORT,HOST:PORT`, each as a connection of its own.
fn infos(base: &str, hosts: &str) -> Result<Vec<ConnectionInfo>, BadUrl> {
    let (who, hosts) = match hosts.rsplit_once('@') {
        Some((who, hosts)) => (format!("{who}@"), hosts),
        None => (String::new(), hosts),
    };
    let one = |host: &str| {
        let url = format!("{base}://{who}{host}");
        url.into_connection_info().map_err(|error| BadUrl(error.to_string()))
    };
    hosts.split(',').map(one).collect()
}

fn sentinel(base: &str, rest: &str) -> Result<Way, BadUrl> {
    let bad = |why: &str| BadUrl(why.to_owned());
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (name, db) = path.split_once('/').unwrap_or((path, "0"));
    if name.is_empty() {
        return Err(bad("it does not say the name of the primary, behind the last slash"));
    }
    let db: i64 = db.parse().map_err(|_| bad("the database is no number"))?;
    let all = infos(base, hosts)?;
    // The user and the password are those of the servers; Sentinels mostly have none.
    let of_servers = all.first().map(|info| info.redis_settings().clone()).unwrap_or_default();
    let sentinels: Vec<_> = all.iter().map(|info| info.addr().clone()).collect();
    let node =
        SentinelNodeConnectionInfo::default().set_redis_connection_info(of_servers.set_db(db));
    let client = SentinelClient::build(sentinels, name, Some(node), SentinelServerType::Master);
    let client = client.map_err(|error| bad(&error.to_string()))?;
    Ok(Way::Sentinel(Mutex::new(client)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(url: &str) -> String {
        match way(url) {
            Ok(_) => panic!("{url} is understood"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_kind_of_url_names_an_engine() {
        for name in ["redis", "valkey"] {
            for url in ["://host", "://host:1", "s://host:1", "://user:pass@host:1/3", "://[::1]:1"]
            {
                assert!(matches!(way(&format!("{name}{url}")), Ok(Way::Server(_))), "{name}{url}");
            }
            let unix = format!("{name}+unix:///run/redis.sock?db=2");
            assert!(matches!(way(&unix), Ok(Way::Server(_))), "{unix}");
            for url in ["+sentinel://a:1,b:2/main", "s+sentinel://u:p@a:1/main/4"] {
                assert!(matches!(way(&format!("{name}{url}")), Ok(Way::Sentinel(_))), "{url}");
            }
        }
        let Ok(Way::Cluster { seeds, .. }) = way("redis+cluster://u:p@a:1,b:2/") else {
            panic!("a cluster");
        };
        let all: Vec<_> = seeds.iter().map(|seed| seed.addr().to_string()).collect();
        assert_eq!(all, ["a:1", "b:2"]);
        assert!(seeds.iter().all(|seed| seed.redis_settings().username() == Some("u")));
    }

    #[test]
    fn a_url_that_is_none_is_refused_with_a_sentence() {
        for (url, says) in [
            ("", "no scheme"),
            ("localhost:6379", "no scheme"),
            ("http://localhost", "no scheme of an engine"),
            ("redis+other://a:1", "no scheme of an engine"),
            ("redis+sentinel://a:1", "the name of the primary"),
            ("redis+sentinel://a:1/main/x", "no number"),
        ] {
            let said = bad(url);
            assert!(said.contains(says) && said.contains("redis://HOST:PORT"), "{url}: {said}");
        }
        for url in ["redis://host:port", "redis+cluster://a:1,:x", "redis+cluster://"] {
            bad(url);
        }
    }

    #[test]
    fn a_password_is_in_no_sentence() {
        for url in ["redis://u:secret@host:port", "redis+cluster://u:secret@a:x,b:1"] {
            let said = bad(url);
            assert!(!said.contains("secret"), "{said}");
        }
        let url = "redis://u:secret@host:1".to_owned();
        let engine = Engine::new(&Options { url, volatile: true }).unwrap();
        assert!(!format!("{engine:?}").contains("secret"));
    }
}
