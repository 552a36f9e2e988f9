//! A browser, a site, a backend and a gateway, and what is asked of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result, http};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::backend::{Backend, Seen};
use crate::site::Site;

/// Far beyond what a healthy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// No page takes so long to come back, however busy the machine is.
pub(crate) const PATIENT: &[&str] = &["--wait-hidden", "10m", "--wait-lost", "10m"];

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) backend: Backend,
    pub(crate) adieu: Adieu,
    pub(crate) site: Site,
    pub(crate) browser: Browser,
}

/// Makes the tests of a module: the same in each browser.
macro_rules! in_each_browser {
    ($test:path) => {
        #[test]
        fn chromium() -> browser::Result<()> {
            $test(browser::Kind::Chromium)
        }

        #[test]
        fn firefox() -> browser::Result<()> {
            $test(browser::Kind::Firefox)
        }

        #[test]
        fn webkit() -> browser::Result<()> {
            $test(browser::Kind::WebKit)
        }
    };
}
pub(crate) use in_each_browser;

/// How often something is done: in the long form, and in the common one.
pub(crate) fn rounds(long: usize, common: usize) -> usize {
    if std::env::var_os("ADIEU_LONG").is_some() { long } else { common }
}

impl World {
    /// With a gateway that has these options. `None`: the browser is not installed.
    pub(crate) fn start(kind: Kind, options: &[&str]) -> Result<Option<World>> {
        let browser = match Browser::start(kind) {
            Ok(browser) => browser,
            Err(missing @ Error::NotInstalled { .. }) => {
                return browser::skip(&missing).map(|()| None);
            }
            Err(error) => return Err(error),
        };
        let runtime = Runtime::new().unwrap();
        let backend = runtime.block_on(Backend::start());
        let site = runtime.block_on(Site::serve());
        let adieu = gateway(&backend, options)?;
        Ok(Some(World { runtime, backend, adieu, site, browser }))
    }

    /// Another gateway, of which nothing was told yet, and a backend of its own.
    pub(crate) fn start_again(&mut self, options: &[&str]) -> Result<()> {
        self.backend = self.runtime.block_on(Backend::start());
        self.adieu = gateway(&self.backend, options)?;
        Ok(())
    }

    /// The WebSocket of sessions, with a query that may be empty.
    pub(crate) fn gateway(&self, query: &str) -> String {
        gateway_at(self.adieu.address(), query)
    }

    /// A page of the site that is told this gateway.
    pub(crate) fn page(&self, path: &str, gateway: &str) -> String {
        let mut escaped = String::new();
        for byte in gateway.bytes() {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        let and = if path.contains('?') { '&' } else { '?' };
        format!("http://{}{path}{and}gateway={escaped}", self.site.addr)
    }

    /// A list that the page keeps.
    pub(crate) fn kept(&mut self, name: &str) -> Result<Vec<Value>> {
        let script = "return JSON.parse(sessionStorage.getItem(arguments[0]) ?? '[]')";
        let kept = self.browser.execute(script, &[json!(name)])?;
        Ok(kept.as_array().cloned().unwrap_or_default())
    }

    /// Waits until the page has had so many connections; the session of the last.
    pub(crate) fn connected(&mut self, times: usize) -> Result<String> {
        wait_for(format_args!("connection {times}"), PATIENCE, || {
            let sessions = self.kept("sessions")?;
            let session = sessions.last().and_then(Value::as_str).map(str::to_owned);
            Ok(session.filter(|_| sessions.len() >= times))
        })
    }

    /// Refreshes the page and waits until it is connected again: its session.
    pub(crate) fn refresh(&mut self) -> Result<String> {
        let before = self.loads()?;
        self.browser.refresh()?;
        self.connected_after(before)
    }

    /// How often a page of this tab has begun to load.
    pub(crate) fn loads(&mut self) -> Result<u64> {
        let script = "return Number(sessionStorage.getItem('loads'))";
        Ok(self.browser.execute(script, &[])?.as_u64().unwrap_or_default())
    }

    /// Waits for the connection of a later page than that one: its session. Firefox ends a socket
    /// before it leaves the page, which may be connected once more.
    pub(crate) fn connected_after(&mut self, load: u64) -> Result<String> {
        let script = "return window.load > arguments[0] && window.socket?.readyState === 1 \
                      ? window.connectedAs ?? '' : ''";
        wait_for(format_args!("the connection of page {}", load + 1), PATIENCE, || {
            let session = self.browser.execute(script, &[json!(load)])?;
            Ok(session.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
        })
    }

    /// A new tab with this page, connected; its session.
    pub(crate) fn open(&mut self, url: &str) -> Result<String> {
        self.browser.new_tab()?;
        self.browser.navigate(url)?;
        self.connected(1)
    }

    /// The person leaves for good.
    pub(crate) fn goodbye(&mut self) -> Result<()> {
        self.browser.execute("socket.goodbye(); return null", &[]).map(drop)
    }

    pub(crate) fn send(&self, session: &str, text: &str) -> Result<()> {
        let path = format!("/api/sessions/{session}/messages");
        let body = json!(text);
        let addr = self.adieu.address();
        let answer = http::request(addr, "POST", &path, Some(&body), PATIENCE)?;
        assert_eq!(answer.status, 202, "{path}");
        Ok(())
    }

    /// What the API shows of a session.
    pub(crate) fn view(&self, session: &str) -> Result<Value> {
        let path = format!("/api/sessions/{session}");
        http::request(self.adieu.address(), "GET", &path, None, PATIENCE)?.json(&path)
    }

    /// Waits for what the backend is to be told.
    pub(crate) fn told(&self, what: &str, is: impl Fn(&Backend) -> bool) {
        self.runtime.block_on(self.backend.until(what, is));
    }

    /// The end of a session; how long after this moment it was told, and why.
    pub(crate) fn end_of(&self, session: &str, since: Instant) -> (Duration, Value) {
        let ended = self.runtime.block_on(self.backend.end_of(session));
        (ended.at.saturating_duration_since(since), ended.json())
    }

    pub(crate) fn ended(&self, session: &str) -> usize {
        let ended = self.backend.of_type("session.ended");
        ended.iter().filter(|seen| seen.session == session).count()
    }

    /// What the backend heard of a user, each in its own order: of the user, and of each session
    /// in the order in which they began. With an end stands its cause.
    pub(crate) fn heard_of(&self, user: &str) -> (Vec<String>, Vec<Vec<String>>) {
        let seen = self.backend.seen();
        let of_user = |seen: &&Seen| seen.user.as_deref() == Some(user);
        let mut sessions: Vec<(String, Vec<String>)> = Vec::new();
        let mut told = Vec::new();
        for seen in seen.iter().filter(of_user) {
            if seen.sequence.is_none() {
                told.push(seen.r#type.clone());
                continue;
            }
            let at = sessions.iter().position(|(session, _)| *session == seen.session);
            let at = at.unwrap_or_else(|| {
                sessions.push((seen.session.clone(), Vec::new()));
                sessions.len() - 1
            });
            sessions[at].1.push(in_words(seen));
        }
        (told, sessions.into_iter().map(|(_, story)| story).collect())
    }
}

/// An event as a test writes it.
fn in_words(seen: &Seen) -> String {
    match &*seen.r#type {
        "session.ended" => {
            let cause = seen.json()["cause"].as_str().unwrap_or("?").to_owned();
            format!("session.ended {cause}")
        }
        "message" => format!("message {}", seen.text()),
        other => other.to_owned(),
    }
}

/// The WebSocket of sessions at this address, with a query that may be empty.
pub(crate) fn gateway_at(addr: SocketAddr, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("ws://{addr}/ws{mark}{query}")
}

fn gateway(backend: &Backend, options: &[&str]) -> Result<Adieu> {
    let url = backend.url();
    let options = [&["--backend", &url, "--allow-origin", "*"], options].concat();
    Adieu::start_with(&options, &[("ADIEU_BACKEND_SECRET", Backend::SECRET)])
}
