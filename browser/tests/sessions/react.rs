//! React mounts each component twice under StrictMode: nobody leaves by that.

use browser::wait::wait_for;
use browser::{Kind, Result};
use serde_json::json;

use crate::world::{PATIENCE, PATIENT, World, in_each_browser};

const REFRESHES: usize = 10;

/// A component is mounted, refreshed, unmounted and mounted again; what the backend hears of it.
fn mounted(world: &mut World, part: &str) -> Result<String> {
    let user = part.to_lowercase();
    let gateway = world.gateway(&format!("user={user}"));
    let url = world.page(&format!("/react?part={part}"), &gateway);
    let session = world.open(&url)?;
    for round in 0..REFRESHES {
        let twice = json!(["mounted", "unmounted", "mounted"]);
        let mounted = world.browser.execute("return window.mounted", &[])?;
        assert_eq!(mounted, twice, "StrictMode mounts twice");
        assert_eq!(world.refresh()?, session, "{part}, refresh {round}");
    }
    let present = (vec!["user.joined".to_owned()], vec![vec!["session.started".to_owned()]]);
    assert_eq!(world.heard_of(&user), present, "{part}: a refresh is no event");
    Ok(session)
}

/// The component is shown, or no more: ready when React has done so. Of two changes that it finds
/// together it makes only the last.
fn show(world: &mut World, shown: bool) -> Result<()> {
    world.browser.execute("window.show(arguments[0]); return null", &[json!(shown)])?;
    let last = json!(if shown { "mounted" } else { "unmounted" });
    wait_for(format!("the component {last}"), PATIENCE, || {
        let now = world.browser.execute("return window.mounted.at(-1)", &[])?;
        Ok((now == last).then_some(()))
    })
}

/// All that the backend heard of a user who left for this cause.
fn left(world: &World, user: &str, cause: &str) {
    let gone = |backend: &crate::backend::Backend| {
        let of = |r#type: &str| backend.of_type(r#type).into_iter();
        of("user.left").any(|seen| seen.user.as_deref() == Some(user))
            && of("session.ended").any(|seen| seen.user.as_deref() == Some(user))
    };
    world.told(&format!("{user} left"), gone);
    let story = ["session.started".to_owned(), format!("session.ended {cause}")];
    let all = world.heard_of(user);
    assert_eq!(all.0, ["user.joined", "user.left"], "{user}");
    assert_eq!(all.1, [story], "{user}");
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, PATIENT)? else { return Ok(()) };
    let version = world.browser.version();
    for part in ["Hook", "Detach"] {
        let session = mounted(&mut world, part)?;
        let before = world.kept("sessions")?.len();
        show(&mut world, false)?;
        show(&mut world, true)?;
        assert_eq!(world.connected(before + 1)?, session, "{part}: one route further and back");
        world.goodbye()?;
        left(&world, &part.to_lowercase(), "goodbye");
    }
    mounted(&mut world, "Close")?;
    show(&mut world, false)?;
    left(&world, "close", "left");
    let react = world.browser.execute("return window.reactVersion", &[])?;
    let react = react.as_str().unwrap_or("?");
    testkit::figure(
        &version,
        &format!(
            "React {react} under StrictMode, {REFRESHES} refreshes each: useAdieu, detach() and \
             close() in a cleanup: 0 departures; unmounted later: none with the first two, one \
             (left) with close()"
        ),
    );
    Ok(())
}

in_each_browser!(run);
