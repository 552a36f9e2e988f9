//! The actions, each in a tab of its own.

use browser::page::{self, Connection, PageEvent};
use browser::results::Results;
use browser::server::Adieu;
use browser::{Browser, Kind, Result};
use serde_json::Value;

use crate::expected;
use crate::judge::Expected;
use crate::{CARRIER, Turn, start};

/// For races: enough to see both outcomes in most runs, few enough to wait for.
const RACES: u32 = 5;
/// For what was never seen to differ.
const REPEATS: u32 = 3;
/// Each of these starts a browser, which takes seconds.
const RESTARTS: u32 = 2;

/// What is measured: a browser on a server of its own, and what was seen so far.
struct Bench {
    adieu: Adieu,
    browser: Browser,
    results: Results,
}

/// Which of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// Everything, and it is written down.
    All,
    /// What ends a WebSocket each day, twice. Nothing is written down.
    #[allow(dead_code, reason = "over TCP all of it is measured in each run")]
    Few,
}

impl Measured {
    /// How often something is done that is done so often where all is measured.
    fn times(self, times: u32) -> u32 {
        if self == Measured::All { times } else { times.min(2) }
    }
}

/// Does everything with one browser, and writes down what was seen.
pub(crate) fn measure(kind: Kind, measured: Measured) -> Result<()> {
    let _turn = Turn::take();
    let Some(browser) = start(kind)? else { return Ok(()) };
    if measured == Measured::All {
        Results::forget(kind, CARRIER)?;
    }
    let results = Results { version: browser.version(), ..Results::default() };
    let adieu = Adieu::start_on(CARRIER, &[], &[])?;
    let mut bench = Bench { adieu, browser, results };

    repeat(measured.times(RACES), || bench.refresh())?;
    repeat(measured.times(RACES), || bench.close_tab())?;
    if measured == Measured::All {
        repeat(REPEATS, || bench.leave_and_come_back())?;
    }
    let server_closes = |code| expected::server_closes(kind, code);
    let closings = [
        ("The page calls `close()`", "close", expected::page_closes_empty(kind)),
        ("The page calls `close(4001, \"bye\")`", "close-4001", expected::page_closes_4001(kind)),
        ("The server closes with 1001", "gateway-close-1001", server_closes(1001)),
        ("The server closes with 4000", "gateway-close-4000", server_closes(4000)),
    ];
    for (action, button, expected) in &closings {
        repeat(measured.times(REPEATS), || bench.press(action, button, expected))?;
    }
    if measured != Measured::All {
        return bench.browser.quit();
    }
    let Bench { adieu, browser, mut results } = bench;
    quit(&adieu, browser, &mut results)?;
    for _ in 0..RESTARTS {
        let Some(browser) = start(kind)? else { break };
        kill(&adieu, browser, &mut results)?;
    }
    results.write(kind, CARRIER)
}

fn repeat(times: u32, mut action: impl FnMut() -> Result<()>) -> Result<()> {
    (0..times).try_for_each(|_| action())
}

impl Bench {
    /// A new tab on the live page, connected.
    fn open(&mut self) -> Result<Connection> {
        self.browser.new_tab()?;
        open_page(&self.adieu, &mut self.browser)
    }

    fn refresh(&mut self) -> Result<()> {
        let old = self.open()?;
        self.browser.refresh()?;
        let new = page::connected_after(&mut self.browser, Some(&old))?;
        assert_eq!(new.tab, old.tab, "a refresh stays in its tab");
        let account = self.adieu.ended(&old.tab, old.id)?;
        let events = page::events(&mut self.browser, &old)?;
        let expected = expected::refresh(self.browser.kind());
        self.keep("Refresh", &expected, &account, Some(&events));
        self.browser.close_tab()
    }

    fn close_tab(&mut self) -> Result<()> {
        let old = self.open()?;
        self.browser.close_tab()?;
        let account = self.adieu.ended(&old.tab, old.id)?;
        let expected = expected::closed_tab(self.browser.kind());
        self.keep("Close the tab", &expected, &account, None);
        Ok(())
    }

    fn leave_and_come_back(&mut self) -> Result<()> {
        let old = self.open()?;
        self.leave(&old)?;
        self.browser.back()?;
        page::connected_after(&mut self.browser, Some(&old))?;
        let expected = expected::come_back(self.browser.kind());
        let events = match expected.tells_the_page() {
            true => page::closed(&mut self.browser, &old)?,
            false => page::events(&mut self.browser, &old)?,
        };
        let account = self.adieu.ended(&old.tab, old.id)?;
        self.keep("… and come back", &expected, &account, Some(&events));
        self.browser.close_tab()
    }

    /// Loaded is loaded: a browser that ends the connection of a page it left has done so before,
    /// or does so within the limit of `ended`.
    fn leave(&mut self, old: &Connection) -> Result<()> {
        const ACTION: &str = "Leave the page";
        self.browser.navigate(&self.adieu.url("/away"))?;
        if let Some(expected) = expected::leave(self.browser.kind()) {
            let account = self.adieu.ended(&old.tab, old.id)?;
            self.keep(ACTION, &expected, &account, None);
            return Ok(());
        }
        assert!(self.adieu.is_open(&old.tab, old.id)?, "{old:?} ended although the page is kept");
        let row = self.results.row(ACTION);
        row.server.add("Nothing: the connection is still open.");
        row.transport.add("open");
        row.page.add("cannot be asked");
        Ok(())
    }

    /// Presses a button after which both sides see an end.
    fn press(&mut self, action: &str, button: &str, expected: &Expected) -> Result<()> {
        let old = self.open()?;
        page::press(&mut self.browser, button)?;
        let events = page::closed(&mut self.browser, &old)?;
        let account = self.adieu.ended(&old.tab, old.id)?;
        self.keep(action, expected, &account, Some(&events));
        self.browser.close_tab()
    }

    fn keep(
        &mut self,
        action: &str,
        expected: &Expected,
        account: &Value,
        events: Option<&[PageEvent]>,
    ) {
        let kind = self.browser.kind();
        keep(&mut self.results, kind, action, expected, account, events);
    }
}

fn open_page(adieu: &Adieu, browser: &mut Browser) -> Result<Connection> {
    browser.navigate(&adieu.url("/"))?;
    let connection = page::connected(browser)?;
    assert!(adieu.is_open(&connection.tab, connection.id)?, "{connection:?}");
    Ok(connection)
}

fn quit(adieu: &Adieu, mut browser: Browser, results: &mut Results) -> Result<()> {
    let kind = browser.kind();
    let old = open_page(adieu, &mut browser)?;
    browser.quit()?;
    let account = adieu.ended(&old.tab, old.id)?;
    keep(results, kind, "Quit the browser", &expected::quit(kind), &account, None);
    Ok(())
}

fn kill(adieu: &Adieu, mut browser: Browser, results: &mut Results) -> Result<()> {
    let kind = browser.kind();
    let old = open_page(adieu, &mut browser)?;
    browser.kill_all()?;
    let account = adieu.ended(&old.tab, old.id)?;
    let action = "Kill all its processes (`kill -9`)";
    keep(results, kind, action, &expected::killed(kind), &account, None);
    Ok(())
}

/// Compares with what is known, then counts.
fn keep(
    results: &mut Results,
    kind: Kind,
    action: &str,
    expected: &Expected,
    account: &Value,
    events: Option<&[PageEvent]>,
) {
    let known = expected.server.iter().any(|set| set.admits(account));
    assert!(known, "{}: {action}: the server saw {:#}", kind.name(), account["ending"]);
    if let (Some(pages), Some(events)) = (&expected.page, events) {
        let is_verdict = |event: &&PageEvent| **event == PageEvent::Error || event.is_close();
        let told: Vec<PageEvent> = events.iter().filter(is_verdict).cloned().collect();
        assert!(pages.contains(&told), "{}: {action}: the page saw {told:?}", kind.name());
    }
    let row = results.row(action);
    row.add_account(account);
    match events {
        Some(events) => row.add_page(events),
        None => row.page.add("cannot be asked"),
    }
}
