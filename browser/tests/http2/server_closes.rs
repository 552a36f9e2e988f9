//! The server says Close first, again and again: the page is told the server's code, and that the
//! connection was closed cleanly, whatever else was on its way.

use std::time::Duration;

use browser::wait::wait_for;
use browser::{Browser, Carrier, Kind, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::site::{CODE, HELD_BACK, Site, WAITED, WITH_THE_200};
use crate::{Turn, is_long, others, start};

/// One round, which may have 10 MiB, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// What else is on its way.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) in_words: &'static str,
    /// Messages that the page gets before the Close.
    pub(crate) messages: u64,
}

pub(crate) const UPLOAD: &str = "upload";
pub(crate) const WINDOW: &str = "window";

pub(crate) const WAYS: [Way; 5] = [
    Way { name: "plain", in_words: "on a quiet stream", messages: 0 },
    Way { name: "at-once", in_words: "right behind the 200", messages: 0 },
    Way { name: "flight", in_words: "behind 20 messages, with the 200", messages: WITH_THE_200 },
    Way { name: UPLOAD, in_words: "while the page uploads 8 MiB", messages: 0 },
    Way { name: WINDOW, in_words: "behind 10 MiB for a busy page", messages: HELD_BACK },
];

pub(crate) fn first(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let rounds = if is_long() { 100 } else { 5 };
    let runtime = Runtime::new().expect("a runtime");
    let ways = WAYS.iter().map(|way| (Carrier::Http2, way));
    // Over TCP it is the same.
    let compared = WAYS.iter().filter(|way| way.name == UPLOAD).map(|way| (Carrier::Tcp, way));
    let mut wrong = Vec::new();
    for (carrier, way) in ways.chain(compared) {
        // Each with a page and a connection of its own.
        let site = runtime.block_on(Site::serve(carrier));
        browser.navigate(&site.url())?;
        let told = run(&mut browser, way, rounds)?;
        count(&browser, &site, way, &told, &mut wrong)?;
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", browser.version());
    if is_long() {
        others::close_first(&mut browser, rounds)?;
    }
    browser.quit()
}

/// What the page was told in each round.
fn run(browser: &mut Browser, way: &Way, rounds: u64) -> Result<Vec<Value>> {
    let begin = "run(arguments[0], arguments[1]); return null";
    browser.execute(begin, &[json!(way.name), json!(rounds)])?;
    let mut all = Vec::new();
    for round in 1..=rounds {
        all = wait_for(format_args!("end {round} {}", way.in_words), PATIENCE, || {
            let told = browser.execute("return window.told", &[])?;
            let told = told.as_array().cloned().unwrap_or_default();
            Ok((told.len() as u64 >= round).then_some(told))
        })?;
    }
    Ok(all)
}

/// Whether a page is told `wasClean`. Chromium says false, whatever carries the WebSocket, where
/// bytes that the page has sent were not passed on to the network yet: it drops them when the
/// server's Close comes. Firefox sends them before it answers.
fn should_be_clean(kind: Kind, told: &Value) -> bool {
    kind != Kind::Chromium || told["left"] == 0
}

/// Counts what was as it should be; what was not is added to `wrong`.
fn count(
    browser: &Browser,
    site: &Site,
    way: &Way,
    told: &[Value],
    wrong: &mut Vec<String>,
) -> Result<()> {
    let (mut right, mut clean, mut left, mut by_server, mut waited) = (0, 0, 0, 0, 0);
    for (round, told) in (1..).zip(told) {
        let ending =
            wait_for(format_args!("the account of {} {round}", way.name), PATIENCE, || {
                Ok(site.ending(way.name, round))
            })?;
        assert_eq!(ending.http2.is_some(), site.carrier == Carrier::Http2, "{ending}");
        let reason = format!("{} {round}", way.name);
        let is_right = told["code"] == CODE
            && told["reason"] == json!(reason)
            && told["opened"] == true
            && told["error"] == false
            && told["messages"] == way.messages;
        let is_clean = told["wasClean"] == true;
        right += u32::from(is_right);
        clean += u32::from(is_clean);
        left += u32::from(told["left"] != 0);
        by_server += u32::from(ending.is_clean());
        waited += u32::from(told["held"] == WAITED);
        let as_known = is_clean == should_be_clean(browser.kind(), told);
        if !(is_right && as_known && ending.is_clean()) {
            wrong.push(format!("{}: {told}: {ending}", way.in_words));
        }
    }
    let carrier = if site.carrier == Carrier::Tcp { "over TCP, to compare, " } else { "" };
    let what = format!("{}, {carrier}the server closes first {}", browser.version(), way.in_words);
    let more = match way.name {
        UPLOAD => format!("; bytes of the page were left in {left}"),
        WINDOW => format!("; the server had to wait for the page in {waited}"),
        _ => String::new(),
    };
    let figure = format!(
        "{} times: code, reason and messages right in {right}, wasClean in {clean}, clean by the \
         server's account in {by_server}{more}",
        told.len()
    );
    testkit::figure(&what, &figure);
    Ok(())
}
