//! A page without the client: its sessions end with its connections, and its user stays.

use browser::{Kind, Result};

use crate::world::{World, in_each_browser};

const REFRESHES: usize = 5;

/// Longer than any page takes to load, and short enough to be waited for.
const STAYS: &[&str] = &["--wait-user", "10m"];
const LEAVES: &[&str] = &["--wait-user", "1s"];

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, STAYS)? else { return Ok(()) };
    let version = world.browser.version();
    let url = world.page("/plain", &world.gateway("user=anna"));
    world.open(&url)?;
    for _ in 0..REFRESHES {
        world.refresh()?;
    }
    let ended = |backend: &crate::backend::Backend| backend.of_type("session.ended").len();
    let started = |backend: &crate::backend::Backend| backend.of_type("session.started").len();
    world.told("the sessions", |backend| {
        ended(backend) == REFRESHES && started(backend) == REFRESHES + 1
    });
    let (told, sessions) = world.heard_of("anna");
    assert_eq!(told, ["user.joined"], "who refreshes has not left");
    let (last, before) = sessions.split_last().unwrap();
    assert_eq!(last, &["session.started"]);
    for session in before {
        assert_eq!(session.len(), 2, "{sessions:?}");
        assert!(session[1].starts_with("session.ended "), "{sessions:?}");
    }
    let cause = before[0][1].clone();
    assert!(before.iter().all(|session| session[1] == cause), "{sessions:?}");

    world.start_again(LEAVES)?;
    let url = world.page("/plain", &world.gateway("user=bert"));
    world.open(&url)?;
    // (Chromium keeps a page with a WebSocket that is left by a link, and its connection.)
    world.browser.close_tab()?;
    world.told("bert left", |backend| {
        !backend.of_type("user.left").is_empty() && ended(backend) == 1
    });
    let (told, sessions) = world.heard_of("bert");
    assert_eq!(told, ["user.joined", "user.left"]);
    assert_eq!(sessions, [["session.started".to_owned(), cause.clone()]]);
    testkit::figure(
        &version,
        &format!(
            "a plain WebSocket, {REFRESHES} refreshes: {REFRESHES} times {cause} and \
             session.started, one user.joined and no user.left; who closes the tab has left"
        ),
    );
    Ok(())
}

in_each_browser!(run);
