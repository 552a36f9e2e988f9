//! Tokens that are others at each load, and a login that changes in one tab.

use browser::{Kind, Result};
use serde_json::{Value, json};

use crate::world::{PATIENT, World, in_each_browser, rounds};

/// The backend is asked once for each new token, and refreshes are no departures.
fn rotating(world: &mut World, how: &str) -> Result<String> {
    let refreshes = rounds(50, 10);
    let url = world.page(&format!("/token?how={how}"), &world.gateway(""));
    let session = world.open(&url)?;
    for round in 0..refreshes {
        assert_eq!(world.refresh()?, session, "{how}, refresh {round}");
    }
    world.goodbye()?;
    world.end_of(&session, std::time::Instant::now());
    world.told("anna left", |backend| !backend.of_type("user.left").is_empty());
    let story = vec!["session.started".to_owned(), "session.ended goodbye".to_owned()];
    let of_user = vec!["user.joined".to_owned(), "user.left".to_owned()];
    assert_eq!(world.heard_of("anna"), (of_user, vec![story]), "{how}: a refresh is no event");
    // The pages keep which tokens they came with.
    let tokens = world.kept("tokens")?;
    let asked = world.backend.asked();
    let offered: Vec<Value> = asked.iter().map(offered).collect();
    // A page that is going may have fetched a token that it could not offer any more.
    let mut all = tokens.iter();
    let in_order = offered.iter().all(|token| all.any(|other| other == token));
    assert!(in_order, "{how}: asked about each token once: {offered:?} of {tokens:?}");
    assert!(offered.len() > refreshes, "{how}: with each page: {offered:?}");
    let (first, later) = asked.split_first().unwrap();
    assert_eq!(first["sessionId"], Value::Null, "{first}");
    for asked in later {
        let of = (&asked["sessionId"], &asked["userId"]);
        assert_eq!(of, (&json!(session), &json!("anna")), "{asked}");
    }
    let of_page = if how == "auth" { "of auth()" } else { "in the URL" };
    Ok(format!(
        "another token {of_page} at each of {refreshes} refreshes: 0 departures; asked {} times, \
         with each new token once",
        asked.len()
    ))
}

/// The token of a question.
fn offered(asked: &Value) -> Value {
    let query = asked["query"].as_str().and_then(|query| query.strip_prefix("token="));
    query.map_or_else(|| asked["token"].clone(), |token| json!(token))
}

fn log_in(world: &mut World, user: &str) -> Result<()> {
    let url = format!("http://{}/login/{user}", world.site.addr);
    world.browser.navigate(&url)
}

/// Anna has two tabs; in one of them Bob logs in.
fn another_login(world: &mut World) -> Result<String> {
    world.browser.new_tab()?;
    log_in(world, "anna")?;
    let url = world.page("/", &world.gateway(""));
    let first = world.open(&url)?;
    let first_tab = world.browser.current_tab()?;
    let second = world.open(&url)?;
    let second_tab = world.browser.current_tab()?;
    world.browser.switch_to(&first_tab)?;
    world.send(&first, "for anna, who is here")?;
    received(world, &["for anna, who is here"])?;

    // Not from the page itself: its client may come back once more while the page goes.
    let away = format!("http://{}/away", world.site.addr);
    world.browser.navigate(&away)?;
    world.send(&first, "for anna, who is away")?;
    log_in(world, "bob")?;
    let before = world.loads()?;
    world.browser.navigate(&url)?;
    let of_bob = world.connected_after(before)?;
    assert_ne!(of_bob, first, "Bob has a session of his own");
    world.send(&of_bob, "for bob")?;
    received(world, &["for anna, who is here", "for bob"])?;
    world.end_of(&first, std::time::Instant::now());
    let here = || vec!["session.started".to_owned()];
    let replaced = || vec!["session.started".to_owned(), "session.ended replaced".to_owned()];
    let joined = || vec!["user.joined".to_owned()];
    told_of(world, "bob", 2);
    told_of(world, "anna", 4);
    assert_eq!(world.heard_of("bob"), (joined(), vec![here()]));
    assert_eq!(world.heard_of("anna"), (joined(), vec![replaced(), here()]));

    // The cookie is the other tab's as well, once it connects again.
    world.browser.switch_to(&second_tab)?;
    assert_ne!(world.refresh()?, second);
    world.end_of(&second, std::time::Instant::now());
    world.told("anna left", |backend| !backend.of_type("user.left").is_empty());
    let left = vec!["user.joined".to_owned(), "user.left".to_owned()];
    told_of(world, "bob", 3);
    assert_eq!(world.heard_of("anna"), (left, vec![replaced(), replaced()]));
    assert_eq!(world.heard_of("bob"), (joined(), vec![here(), here()]));
    let asked = world.backend.asked();
    let resumes: Vec<&Value> = asked
        .iter()
        .filter(|asked| [&json!(first), &json!(second)].contains(&&asked["sessionId"]))
        .collect();
    assert_eq!(resumes.len(), 2, "asked once for each of Anna's tabs: {asked:?}");
    Ok("another login in one tab: one session.ended (replaced), a session of its own, no message \
        of the one before; the other tab when it is refreshed"
        .to_owned())
}

/// Waits until the backend has been told so many events of a user and of the user's sessions.
fn told_of(world: &World, user: &str, events: usize) {
    world.told(&format!("{events} events of {user}"), |backend| {
        backend.seen().iter().filter(|seen| seen.user.as_deref() == Some(user)).count() >= events
    });
}

/// Waits until the page has received all of these, and nothing else.
fn received(world: &mut World, all: &[&str]) -> Result<()> {
    let wanted: Vec<Value> = all.iter().map(|text| json!(json!(text).to_string())).collect();
    browser::wait::wait_for(format_args!("{all:?}"), crate::world::PATIENCE, || {
        let received = world.kept("received")?;
        assert!(received.len() <= wanted.len(), "{received:?}");
        Ok((received == wanted).then_some(()))
    })
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, PATIENT)? else { return Ok(()) };
    let version = world.browser.version();
    for how in ["query", "auth"] {
        testkit::figure(&version, &rotating(&mut world, how)?);
        world.start_again(PATIENT)?;
    }
    testkit::figure(&version, &another_login(&mut world)?);
    Ok(())
}

in_each_browser!(run);
