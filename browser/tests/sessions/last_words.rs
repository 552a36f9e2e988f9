//! What a page says in its handlers of `pagehide` and `visibilitychange` arrives, in this order.

use std::time::Instant;

use browser::wait::wait_for;
use browser::{Kind, Result};
use serde_json::json;

use crate::world::{PATIENCE, PATIENT, World, in_each_browser};

/// For a tab that is closed: nobody comes back.
const BRIEF: &[&str] = &["--wait-hidden", "1s", "--wait-lost", "1s"];

/// What the `load`th page of a tab says at its end.
fn words(load: u64) -> [String; 2] {
    [format!("pagehide {load}"), format!("visibilitychange {load}")]
}

/// The page in the first tab, which is seen: a hidden page has no last `visibilitychange`.
fn open(world: &mut World) -> Result<String> {
    let url = world.page("/words", &world.gateway("user=anna"));
    let before = world.loads().unwrap_or_default();
    world.browser.navigate(&url)?;
    let session = world.connected_after(before)?;
    wait_for("the page to be seen", PATIENCE, || {
        let state = world.browser.execute("return document.visibilityState", &[])?;
        Ok((state == json!("visible")).then_some(()))
    })?;
    Ok(session)
}

/// Until the backend has heard the last words of this many pages: which of them the page itself
/// brought, on its own connection, and not the one after it.
fn heard(world: &World, session: &str, pages: u64, generation: u32) -> &'static str {
    let all: Vec<String> = (1..=pages).flat_map(words).collect();
    world.told("the last words", |backend| backend.said(session).len() >= all.len());
    assert_eq!(world.backend.said(session), all, "each once, in order");
    let seen = world.backend.seen().into_iter();
    let mut last = seen.filter(|seen| seen.session == session && seen.r#type == "message");
    if last.by_ref().skip(all.len() - 2).all(|seen| seen.generation <= generation) {
        "by itself"
    } else {
        "by the next page"
    }
}

fn generation(world: &World, session: &str) -> Result<u32> {
    let view = world.view(session)?;
    Ok(view["generation"].as_u64().and_then(|number| number.try_into().ok()).unwrap())
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, PATIENT)? else { return Ok(()) };
    let version = world.browser.version();
    let session = open(&mut world)?;
    let first = generation(&world, &session)?;
    assert_eq!(world.refresh()?, session);
    let refreshed = heard(&world, &session, 1, first);

    let second = generation(&world, &session)?;
    let away = format!("http://{}/away", world.site.addr);
    world.browser.navigate(&away)?;
    if kind != Kind::Firefox {
        heard(&world, &session, 2, second);
    }
    assert_eq!(open(&mut world)?, session);
    let left = heard(&world, &session, 2, second);
    world.goodbye()?;
    world.end_of(&session, Instant::now());
    assert_eq!(world.backend.story(&session).len(), 6, "no event but the start, 4 words, the end");

    world.start_again(BRIEF)?;
    let tab = world.browser.current_tab()?;
    world.browser.navigate(&away)?;
    world.browser.execute("sessionStorage.clear(); return null", &[])?;
    world.browser.new_tab()?;
    world.browser.switch_to(&tab)?;
    let session = open(&mut world)?;
    world.browser.close_tab()?;
    world.end_of(&session, Instant::now());
    assert_eq!(world.backend.said(&session), words(1), "nothing comes behind the end");
    testkit::figure(
        &version,
        &format!(
            "what a page says in pagehide and visibilitychange is heard once each, in order; \
             refreshed: {refreshed}, left: {left}, closed: by itself"
        ),
    );
    Ok(())
}

in_each_browser!(run);
