//! A refresh is no event, a departure is one.

use std::time::{Duration, Instant};

use browser::wait::wait_for;
use browser::{Kind, Result, http};
use serde_json::{Value, json};

use crate::world::{PATIENCE, PATIENT, World, in_each_browser};

/// After a page that went, and after a connection that broke.
const HIDDEN: Duration = Duration::from_secs(3);
const LOST: Duration = Duration::from_secs(4);
const BRIEF: &[&str] = &["--wait-hidden", "3s", "--wait-lost", "4s"];

const REFRESHES: usize = 50;
const HANDSHAKES: usize = 200;

fn open(world: &mut World, user: &str) -> Result<String> {
    let query = if user.is_empty() { String::new() } else { format!("user={user}") };
    let url = world.page("/", &world.gateway(&query));
    world.open(&url)
}

fn count(world: &mut World, on: bool) -> Result<Value> {
    let script = "arguments[0] ? sessionStorage.setItem('counting', 1) : \
                  sessionStorage.removeItem('counting')";
    world.browser.execute(script, &[json!(on)])
}

/// Fifty refreshes in a row while a counter runs in both directions.
fn refreshes(world: &mut World) -> Result<String> {
    let session = open(world, "")?;
    count(world, true)?;
    let mut sent = Vec::new();
    for round in 0..REFRESHES {
        for n in 0..3 {
            sent.push(json!(format!("\"backend {round}.{n}\"")));
            world.send(&session, &format!("backend {round}.{n}"))?;
        }
        world.browser.refresh()?;
        assert_eq!(world.connected(round + 2)?, session, "refresh {round}");
    }
    count(world, false)?;
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
    let session = open(world, "")?;
    let script =
        "sessionStorage.setItem('reloads', arguments[0]); setTimeout(() => location.reload())";
    world.browser.execute(script, &[json!(HANDSHAKES)])?;
    let mut left = Value::Null;
    while left != json!("0") {
        left = wait_for("one more reload", PATIENCE, || {
            // Between two pages nothing can be run.
            let script = "return sessionStorage.getItem('reloads')";
            let now = world.browser.execute(script, &[]).unwrap_or_default();
            Ok((now.is_string() && now != left).then_some(now))
        })?;
    }
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
    let first = open(world, "anna")?;
    let first_tab = world.browser.current_tab()?;
    let second = open(world, "anna")?;
    assert_ne!(first, second);
    let closed = Instant::now();
    world.browser.close_tab()?;
    let (after, told) = world.end_of(&second, closed);
    assert_eq!(told["cause"], "hidden", "{told}");
    assert!(after >= HIDDEN, "told after {after:?}");
    assert_eq!(world.ended(&first), 0);
    assert!(world.backend.of_type("user.left").is_empty(), "a tab of two");
    world.browser.switch_to(&first_tab)?;
    world.browser.close_tab()?;
    world.told("the user left", |backend| !backend.of_type("user.left").is_empty());
    // The user's events and the session's are told side by side.
    world.end_of(&first, closed);
    assert_eq!((world.ended(&first), world.ended(&second)), (1, 1));
    Ok(format!(
        "a closed tab: one session.ended ({}) after {after:.1?}, wait {HIDDEN:?}",
        told["cause"]
    ))
}

/// Away to another page and back.
fn away_and_back(world: &mut World) -> Result<String> {
    let session = open(world, "")?;
    world.send(&session, "before")?;
    let away = format!("http://{}/away", world.site.addr);
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
    world.goodbye()?;
    let (_, told) = world.end_of(&session, Instant::now());
    assert_eq!(world.ended(&session), 1);
    let path = format!("/api/sessions/{session}");
    let gone = http::request(world.adieu.address(), "GET", &path, None, PATIENCE)?;
    assert_eq!(gone.status, 404, "the gateway has nothing left that it could announce again");
    Ok(format!("away and back ({navigation}): no departure, then one ({})", told["cause"]))
}

/// A duplicated tab has a copy of the first one's sessionStorage, as one has that a page opens.
fn duplicate(world: &mut World) -> Result<String> {
    let session = open(world, "")?;
    let original = world.browser.current_tab()?;
    let copied = copy(world)?;
    let of_copy = copied.session(world, &session)?;
    assert_ne!(of_copy, session);
    world.browser.switch_to(&original)?;
    assert_eq!(world.kept("sessions")?.last(), Some(&json!(session)), "the original has its own");
    for one in [&session, &of_copy] {
        world.send(one, "to each its own")?;
    }
    wait_for("its message", PATIENCE, || Ok((world.kept("received")?.len() == 1).then_some(())))?;
    assert_eq!(world.ended(&session), 0);
    world.browser.execute("window.copy?.close(); return null", &[])?;
    Ok(format!("a duplicated tab ({}): two sessions", copied.how()))
}

/// How the tab was duplicated.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Copied {
    /// The page opened the copy, and is still the current tab.
    Opened,
    /// Where a page may open nothing: by hand, in a tab that is the current one now.
    ByHand,
}

/// Duplicates the current tab.
pub(crate) fn copy(world: &mut World) -> Result<Copied> {
    let all = world.browser.execute("return JSON.stringify(sessionStorage)", &[])?;
    let url = world.browser.execute("return location.href", &[])?;
    let opens = "return Boolean(window.copy = window.open(location.href))";
    if world.browser.execute(opens, &[])? == json!(true) {
        return Ok(Copied::Opened);
    }
    world.browser.new_tab()?;
    let away = format!("http://{}/away", world.site.addr);
    world.browser.navigate(&away)?;
    let fill = "Object.assign(sessionStorage, JSON.parse(arguments[0])); return null";
    world.browser.execute(fill, &[all])?;
    world.browser.navigate(url.as_str().unwrap_or_default())?;
    Ok(Copied::ByHand)
}

impl Copied {
    fn how(self) -> &'static str {
        match self {
            Copied::Opened => "opened by the page",
            Copied::ByHand => "with its sessionStorage copied",
        }
    }

    /// Waits for the session of the copy, which is not this one.
    pub(crate) fn session(self, world: &mut World, original: &str) -> Result<String> {
        let kept = match self {
            Copied::Opened => "window.copy.sessionStorage",
            Copied::ByHand => "sessionStorage",
        };
        let script = format!("return JSON.parse({kept}.getItem('sessions') ?? '[]')");
        wait_for("the copy's session", PATIENCE, || {
            let sessions = world.browser.execute(&script, &[])?;
            let last = sessions.as_array().and_then(|all| all.last()?.as_str().map(str::to_owned));
            Ok(last.filter(|last| last != original))
        })
    }
}

/// All processes of the browser are killed.
fn killed(mut world: World) -> Result<String> {
    let session = open(&mut world, "bert")?;
    let World { runtime, backend, adieu, browser, .. } = world;
    let killed = Instant::now();
    browser.kill_all()?;
    let ended = runtime.block_on(backend.end_of(&session));
    let after = ended.at.saturating_duration_since(killed);
    let told = ended.json();
    assert_eq!(told["cause"], "lost", "{told}");
    assert!(after >= LOST, "told after {after:?}");
    let ends = backend.of_type("session.ended");
    assert_eq!(ends.iter().filter(|seen| seen.session == session).count(), 1);
    drop(adieu);
    let mechanism = &told["mechanism"];
    Ok(format!("kill -9: one session.ended (lost, {mechanism}) after {after:.1?}, wait {LOST:?}"))
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, PATIENT)? else { return Ok(()) };
    let version = world.browser.version();
    for action in [refreshes, handshakes, duplicate, away_and_back] {
        testkit::figure(&version, &action(&mut world)?);
    }
    world.start_again(BRIEF)?;
    testkit::figure(&version, &tabs(&mut world)?);
    testkit::figure(&version, &killed(world)?);
    Ok(())
}

in_each_browser!(run);
