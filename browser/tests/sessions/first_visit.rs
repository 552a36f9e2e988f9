//! A first visit that is refreshed before the page has heard of its session is one person.

use std::net::SocketAddr;
use std::time::Duration;

use browser::wait::wait_for;
use browser::{Kind, Result};
use serde_json::json;
use testkit::{Random, seed};

use crate::backend::Mode;
use crate::coming_back::copy;
use crate::delay;
use crate::world::{PATIENCE, PATIENT, World, gateway_at, in_each_browser, rounds};

/// Of the line in front of the gateway, there and back.
const EACH_WAY: Duration = Duration::from_millis(750);

/// Tabs that make visits side by side: each has a request open, and a browser opens six to a site.
const TABS: usize = 5;

/// A person does not press F5 more often in a visit.
const MOST_REFRESHES: u64 = 3;

/// Which visits are made, and when their pages are refreshed.
#[derive(Clone)]
pub(crate) struct Plan {
    random: Random,
    visits: usize,
    /// Ways to the gateway: browsers open one WebSocket after the other to one address.
    ways: Vec<SocketAddr>,
    /// A page is refreshed before this time, counted from when it began to load.
    within: Duration,
}

impl Plan {
    /// The page of this visit, if there is one more.
    pub(crate) fn page(&self, visit: usize) -> Option<String> {
        let gateway = gateway_at(self.ways[visit % self.ways.len()], "");
        let gateway = gateway.replace(':', "%3A").replace('/', "%2F");
        (visit < self.visits).then(|| format!("/visit?visit={visit}&gateway={gateway}"))
    }

    /// After which time the page is refreshed that a visit loads for the `load`th time.
    pub(crate) fn refresh(&self, visit: usize, load: usize) -> Option<Duration> {
        let mut random = self.random.fork(visit as u64);
        let refreshes = 1 + random.below(MOST_REFRESHES) as usize;
        let times: Vec<u64> =
            (0..refreshes).map(|_| random.below(self.within.as_millis() as u64 + 1)).collect();
        times.get(load.checked_sub(1)?).copied().map(Duration::from_millis)
    }

    fn refreshes(&self, visit: usize) -> usize {
        (1..).take_while(|load| self.refresh(visit, *load).is_some()).count()
    }
}

/// Makes the visits in a few tabs, and compares all that the backend heard.
fn visits(world: &mut World, plan: &Plan) -> Result<(usize, usize)> {
    world.site.plan(plan.clone());
    for _ in 0..TABS.min(plan.visits) {
        world.browser.new_tab()?;
        let url = format!("http://{}/visit/next", world.site.addr);
        world.browser.navigate(&url)?;
    }
    let (mut refreshes, mut early) = (0, 0);
    for visit in 0..plan.visits {
        let user = format!("visitor{visit}");
        world.told(&format!("{user} left"), |backend| {
            // A person who was taken for two has two sessions, of which one is not over soon.
            let of = |seen: &&crate::backend::Seen| seen.user.as_deref() == Some(&*user);
            let seen = backend.seen();
            let told =
                |r#type: &str| seen.iter().filter(of).filter(|seen| seen.r#type == r#type).count();
            told("session.ended") > 0 && (told("user.left") > 0 || told("session.started") > 1)
        });
        let loads = plan.refreshes(visit) + 1;
        let (of_user, sessions) = world.heard_of(&user);
        let said = |how: &str| {
            let said = format!("message page {loads}: {how}");
            vec!["session.started".to_owned(), said, "session.ended goodbye".to_owned()]
        };
        assert_eq!(sessions.len(), 1, "{user} is one person: {sessions:?}");
        assert!(sessions[0] == said("open") || sessions[0] == said("resumed"), "{sessions:?}");
        assert_eq!(of_user, ["user.joined", "user.left"], "{user}");
        refreshes += loads - 1;
        early += usize::from(sessions[0] == said("open"));
    }
    Ok((refreshes, early))
}

/// A tab that is duplicated before its page has heard of a session: the copy is another one.
fn duplicated(world: &mut World) -> Result<String> {
    let (addr, open) = world.runtime.block_on(delay::gate(world.adieu.address()));
    let url = world.page("/", &gateway_at(addr, "user=twin"));
    world.browser.new_tab()?;
    world.browser.navigate(&url)?;
    let original = world.browser.current_tab()?;
    wait_for("what names the first visit", PATIENCE, || {
        let script = "return Object.keys(sessionStorage).some((key) => key.startsWith('adieu:'))";
        Ok((world.browser.execute(script, &[])? == json!(true)).then_some(()))
    })?;
    let copied = copy(world)?;
    open.send_replace(true);
    let of_copy = copied.session(world, "")?;
    world.browser.switch_to(&original)?;
    let session = world.connected(1)?;
    assert_ne!(session, of_copy);
    let started = || vec!["session.started".to_owned()];
    world.told("two sessions", |backend| backend.of_type("session.started").len() == 2);
    world.told("one user", |backend| !backend.of_type("user.joined").is_empty());
    let all = (vec!["user.joined".to_owned()], vec![started(), started()]);
    assert_eq!(world.heard_of("twin"), all);
    Ok("a tab that is duplicated before its first connection: two sessions".to_owned())
}

/// What keeps a page from being connected at once.
enum Slow {
    Nothing,
    Line,
    Backend,
}

fn refreshed(world: &mut World, random: &Random, slow: &Slow) -> Result<String> {
    let gateway = world.adieu.address();
    // A page is connected within some 50 ms, or within so much more than that.
    let (within, long, how) = match slow {
        Slow::Nothing => (100, 200, "at once"),
        Slow::Line => (3_000, 200, "behind 1.5 s of delay"),
        Slow::Backend => (3_000, 40, "of a backend that takes 1.5 s to answer"),
    };
    let each_way = if matches!(slow, Slow::Line) { EACH_WAY } else { Duration::ZERO };
    let ways = (1..=TABS as u8).map(|number| delay::line(number, gateway, each_way));
    let ways = ways.map(|line| world.runtime.block_on(line)).collect();
    if matches!(slow, Slow::Backend) {
        world.backend.answers(Mode::Slow(2 * EACH_WAY));
    }
    let all = rounds(long, 12);
    let plan =
        Plan { random: random.clone(), visits: all, ways, within: Duration::from_millis(within) };
    let (refreshes, early) = visits(world, &plan)?;
    Ok(format!(
        "{all} first visits {how}, refreshed {refreshes} times 0 to {within} ms after a page \
         began: {all} of {all} one person ({early} heard of their session on the last page)"
    ))
}

fn run(kind: Kind) -> Result<()> {
    let Some(mut world) = World::start(kind, PATIENT)? else { return Ok(()) };
    let version = world.browser.version();
    let random = Random::new(seed());
    for (slow, number) in [Slow::Nothing, Slow::Line, Slow::Backend].iter().zip(0..) {
        testkit::figure(&version, &refreshed(&mut world, &random.fork(number), slow)?);
        world.start_again(PATIENT)?;
    }
    testkit::figure(&version, &duplicated(&mut world)?);
    Ok(())
}

in_each_browser!(run);
