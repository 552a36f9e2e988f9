//! Sessions in real browsers, with the real client: a refresh is no event, a departure is one.

#[path = "../../../crates/adieu-cli/tests/sessions/world/backend.rs"]
#[allow(dead_code, reason = "written for the gateway's own tests")]
mod backend;
mod site;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use backend::Backend;
use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result, http};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// After a page that went, and after a connection that broke.
const HIDDEN: Duration = Duration::from_secs(3);
const LOST: Duration = Duration::from_secs(4);

/// Told later than the wait by this much at most.
const LATE: Duration = Duration::from_secs(1);

/// Far beyond what a healthy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

const REFRESHES: usize = 50;
const HANDSHAKES: usize = 200;

struct World {
    runtime: Runtime,
    backend: Backend,
    adieu: Adieu,
    site: SocketAddr,
    browser: Browser,
}

impl World {
    /// `None`: the browser is not installed.
    fn start(kind: Kind) -> Result<Option<World>> {
        let browser = match Browser::start(kind) {
            Ok(browser) => browser,
            Err(missing @ Error::NotInstalled { .. }) => {
                return browser::skip(&missing).map(|()| None);
            }
            Err(error) => return Err(error),
        };
        let runtime = Runtime::new().unwrap();
        let backend = runtime.block_on(Backend::start());
        let site = runtime.block_on(site::serve());
        let url = backend.url();
        let waits = ["--wait-hidden", "3s", "--wait-lost", "4s", "--allow-origin", "*"];
        let options = [&["--backend", &url][..], &waits].concat();
        let adieu = Adieu::start_with(&options, &[("ADIEU_BACKEND_SECRET", Backend::SECRET)])?;
        Ok(Some(World { runtime, backend, adieu, site, browser }))
    }

    fn url(&self, user: &str) -> String {
        let gateway = format!("ws://{}/ws?user={user}", self.adieu.address());
        let gateway = gateway.replace(':', "%3A").replace('/', "%2F").replace('?', "%3F");
        format!("http://{}/?gateway={}", self.site, gateway.replace('=', "%3D"))
    }

    /// A list that the page keeps.
    fn kept(&mut self, name: &str) -> Result<Vec<Value>> {
        let script = "return JSON.parse(sessionStorage.getItem(arguments[0]) ?? '[]')";
        let kept = self.browser.execute(script, &[json!(name)])?;
        Ok(kept.as_array().cloned().unwrap_or_default())
    }

    /// Waits until the page has had so many connections; the session of the last.
    fn connected(&mut self, times: usize) -> Result<String> {
        wait_for(format_args!("connection {times}"), PATIENCE, || {
            let sessions = self.kept("sessions")?;
            let session = sessions.last().and_then(Value::as_str).map(str::to_owned);
            Ok(session.filter(|_| sessions.len() >= times))
        })
    }

    /// A new tab with the page, connected; its session.
    fn open(&mut self, user: &str) -> Result<String> {
        self.browser.new_tab()?;
        let url = self.url(user);
        self.browser.navigate(&url)?;
        self.connected(1)
    }

    fn count(&mut self, on: bool) -> Result<Value> {
        let script = "arguments[0] ? sessionStorage.setItem('counting', 1) : \
                      sessionStorage.removeItem('counting')";
        self.browser.execute(script, &[json!(on)])
    }

    fn send(&self, session: &str, text: &str) -> Result<()> {
        let path = format!("/api/sessions/{session}/messages");
        let body = json!(text);
        let addr = self.adieu.address();
        let answer = http::request(addr, "POST", &path, Some(&body), PATIENCE)?;
        assert_eq!(answer.status, 202, "{path}");
        Ok(())
    }

    /// What the API shows of a session.
    fn view(&self, session: &str) -> Result<Value> {
        let path = format!("/api/sessions/{session}");
        http::request(self.adieu.address(), "GET", &path, None, PATIENCE)?.json(&path)
    }

    /// Waits for what the backend is to be told.
    fn told(&self, what: &str, is: impl Fn(&Backend) -> bool) {
        self.runtime.block_on(self.backend.until(what, is));
    }

    /// The end of a session; how long after this moment it was told, and why.
    fn end_of(&self, session: &str, since: Instant) -> (Duration, Value) {
        let ended = self.runtime.block_on(self.backend.end_of(session));
        (ended.at.saturating_duration_since(since), ended.json())
    }

    fn ended(&self, session: &str) -> usize {
        let ended = self.backend.of_type("session.ended");
        ended.iter().filter(|seen| seen.session == session).count()
    }
}

/// Fifty refreshes in a row while a counter runs in both directions.
fn refreshes(world: &mut World) -> Result<String> {
    let session = world.open("")?;
    world.count(true)?;
    let mut sent = Vec::new();
    for round in 0..REFRESHES {
        for n in 0..3 {
            sent.push(json!(format!("\"backend {round}.{n}\"")));
            world.send(&session, &format!("backend {round}.{n}"))?;
        }
        world.browser.refresh()?;
        assert_eq!(world.connected(round + 2)?, session, "refresh {round}");
    }
    world.count(false)?;
    wait_for("what was sent", PATIENCE, || {
        Ok((world.kept("received")?.len() >= sent.len()).then_some(()))
    })?;
    assert_eq!(world.kept("received")?, sent, "to the page");
    let script = "return Number(sessionStorage.getItem('said'))";
    let said = world.browser.execute(script, &[])?.as_u64().unwrap_or_default();
    world.told("what was said", |backend| backend.said(&session).len() as u64 >= said);
    let said: Vec<String> = (0..said).map(|n| format!("page {n}")).collect();
    assert_eq!(world.backend.said(&session), said, "from the page");
    let other = world.backend.story(&session).into_iter().filter(|kind| kind != "message");
    assert_eq!(other.collect::<Vec<_>>(), ["session.started"], "a refresh is no event");
    Ok(format!(
        "{REFRESHES} refreshes: 0 events; {} messages from the page and {} to it, none lost or \
         doubled",
        said.len(),
        sent.len()
    ))
}

/// A refresh at every point of the resume handshake.
fn handshakes(world: &mut World) -> Result<String> {
    let session = world.open("")?;
    let script =
        "sessionStorage.setItem('reloads', arguments[0]); setTimeout(() => location.reload())";
    world.browser.execute(script, &[json!(HANDSHAKES)])?;
    wait_for("the reloads", PATIENCE * 2, || {
        // Between two pages nothing can be run.
        let script = "return sessionStorage.getItem('reloads')";
        let left = world.browser.execute(script, &[]).unwrap_or_default();
        Ok((left == json!("0")).then_some(()))
    })?;
    wait_for("the last page's connection", PATIENCE, || {
        let open = world.browser.execute("return window.socket?.readyState", &[]);
        Ok((open.unwrap_or_default() == json!(1)).then_some(()))
    })?;
    let sessions = world.kept("sessions")?;
    let kept = sessions.iter().all(|one| one == &json!(session));
    assert!(kept, "a session was lost: {:?}", world.kept("events")?);
    let resumed = sessions.len() - 1;
    world.send(&session, "still")?;
    wait_for("a message", PATIENCE, || {
        Ok((world.kept("received")? == [json!("\"still\"")]).then_some(()))
    })?;
    assert_eq!(world.backend.story(&session), ["session.started"]);
    Ok(format!(
        "{HANDSHAKES} refreshes 0 to 30 ms after the page began ({resumed} had resumed by then): \
         0 sessions lost"
    ))
}

/// Two tabs of a user; one is closed, then the other.
fn tabs(world: &mut World) -> Result<String> {
    let first = world.open("anna")?;
    let first_tab = world.browser.current_tab()?;
    let second = world.open("anna")?;
    assert_ne!(first, second);
    let closed = Instant::now();
    world.browser.close_tab()?;
    let (after, told) = world.end_of(&second, closed);
    assert_eq!(told["cause"], "hidden", "{told}");
    assert!(after >= HIDDEN && after <= HIDDEN + LATE, "told after {after:?}");
    assert_eq!(world.ended(&first), 0);
    assert!(world.backend.of_type("user.left").is_empty(), "a tab of two");
    world.browser.switch_to(&first_tab)?;
    world.browser.close_tab()?;
    world.told("the user left", |backend| !backend.of_type("user.left").is_empty());
    assert_eq!((world.ended(&first), world.ended(&second)), (1, 1));
    Ok(format!(
        "a closed tab: one session.ended ({}) after {after:.1?}, wait {HIDDEN:?}",
        told["cause"]
    ))
}

/// Away to another page and back.
fn away_and_back(world: &mut World) -> Result<String> {
    let session = world.open("")?;
    world.send(&session, "before")?;
    let away = format!("http://{}/away", world.site);
    world.browser.navigate(&away)?;
    world.send(&session, "while it was away")?;
    world.browser.back()?;
    world.connected(2)?;
    wait_for("both messages", PATIENCE, || Ok((world.kept("received")?.len() >= 2).then_some(())))?;
    assert_eq!(world.connected(2)?, session);
    let received = [json!("\"before\""), json!("\"while it was away\"")];
    assert_eq!(world.kept("received")?, received);
    let persisted = "return performance.getEntriesByType('navigation')[0]?.type ?? ''";
    let navigation = world.browser.execute(persisted, &[])?;
    // Nobody is waited for, so the old connection's end was not taken for a departure.
    let view = world.view(&session)?;
    assert_eq!((&view["attached"], &view["until"]), (&json!(true), &Value::Null), "{view}");
    assert_eq!(world.backend.story(&session), ["session.started"]);
    let closed = Instant::now();
    world.browser.close_tab()?;
    let (_, told) = world.end_of(&session, closed);
    assert_eq!(world.ended(&session), 1);
    let path = format!("/api/sessions/{session}");
    let gone = http::request(world.adieu.address(), "GET", &path, None, PATIENCE)?;
    assert_eq!(gone.status, 404, "the gateway has nothing left that it could announce again");
    Ok(format!("away and back ({navigation}): no departure, then one ({})", told["cause"]))
}

/// A duplicated tab has a copy of the first one's sessionStorage, as one has that a page opens.
fn duplicate(world: &mut World) -> Result<String> {
    let session = world.open("")?;
    let original = world.browser.current_tab()?;
    let all = world.browser.execute("return JSON.stringify(sessionStorage)", &[])?;
    let opens = "return Boolean(window.copy = window.open(location.href))";
    let opened = world.browser.execute(opens, &[])? == json!(true);
    let of_copy = if opened { opened_copy(world, &session)? } else { made_copy(world, &all)? };
    assert_ne!(of_copy, session);
    world.browser.switch_to(&original)?;
    assert_eq!(world.kept("sessions")?.last(), Some(&json!(session)), "the original has its own");
    for one in [&session, &of_copy] {
        world.send(one, "to each its own")?;
    }
    wait_for("its message", PATIENCE, || Ok((world.kept("received")?.len() == 1).then_some(())))?;
    assert_eq!(world.ended(&session), 0);
    world.browser.execute("window.copy?.close(); return null", &[])?;
    let how = if opened { "opened by the page" } else { "with its sessionStorage copied" };
    Ok(format!("a duplicated tab ({how}): two sessions"))
}

fn opened_copy(world: &mut World, session: &str) -> Result<String> {
    let copy = "return JSON.parse(window.copy.sessionStorage.getItem('sessions') ?? '[]')";
    wait_for("the copy's session", PATIENCE, || {
        let sessions = world.browser.execute(copy, &[])?;
        let last = sessions.as_array().and_then(|all| all.last()?.as_str().map(str::to_owned));
        Ok(last.filter(|last| last != session))
    })
}

/// Where a page may open nothing: the copy is made by hand.
fn made_copy(world: &mut World, all: &Value) -> Result<String> {
    world.browser.new_tab()?;
    let away = format!("http://{}/away", world.site);
    world.browser.navigate(&away)?;
    let fill = "Object.assign(sessionStorage, JSON.parse(arguments[0])); return null";
    world.browser.execute(fill, std::slice::from_ref(all))?;
    let url = world.url("");
    world.browser.navigate(&url)?;
    world.connected(2)
}

/// All processes of the browser are killed.
fn killed(mut world: World) -> Result<String> {
    let session = world.open("bert")?;
    let World { runtime, backend, adieu, browser, .. } = world;
    let killed = Instant::now();
    browser.kill_all()?;
    let ended = runtime.block_on(backend.end_of(&session));
    let after = ended.at.saturating_duration_since(killed);
    let told = ended.json();
    assert_eq!(told["cause"], "lost", "{told}");
    assert!(after <= LOST + LATE, "told after {after:?}");
    let ends = backend.of_type("session.ended");
    assert_eq!(ends.iter().filter(|seen| seen.session == session).count(), 1);
    drop(adieu);
    let mechanism = &told["mechanism"];
    Ok(format!("kill -9: one session.ended (lost, {mechanism}) after {after:.1?}, wait {LOST:?}"))
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind)? else { return Ok(()) };
    let version = world.browser.version();
    for action in [refreshes, handshakes, tabs, away_and_back, duplicate] {
        testkit::figure(&version, &action(&mut world)?);
    }
    testkit::figure(&version, &killed(world)?);
    Ok(())
}

#[test]
fn chromium() -> Result<()> {
    run(Kind::Chromium)
}

#[test]
fn firefox() -> Result<()> {
    run(Kind::Firefox)
}

#[test]
fn webkit() -> Result<()> {
    run(Kind::WebKit)
}
