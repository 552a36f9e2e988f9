//! Endings, sessions and what waits for the backend: a tab each.

use browser::server::Adieu;
use browser::{Browser, Kind, Result, page};
use serde_json::{Value, json};

use crate::looks::FIRST_SCREEN;
use crate::sessions::{open, says};
use crate::{Turn, start};

/// Keys, as W3C WebDriver names them.
const END: char = '\u{E010}';
const HOME: char = '\u{E011}';
const LEFT: char = '\u{E012}';
const RIGHT: char = '\u{E014}';
const TAB: char = '\u{E004}';

/// The tab that is selected, the one panel that is seen, what the Tab key reaches of the tabs, and
/// what stands in the address.
const SHOWN: &str = r#"
    const all = (selector) => [...document.querySelectorAll(selector)];
    const ids = (nodes) => nodes.map((node) => node.id.replace(/^(tab|panel)-/, "")).join(" ");
    const tabs = all("[role=tablist] > [role=tab]");
    return [
        ids(tabs.filter((tab) => tab.getAttribute("aria-selected") === "true")),
        ids(all("[role=tabpanel]").filter((panel) => panel.offsetParent !== null)),
        ids(tabs.filter((tab) => tab.tabIndex === 0)),
        location.hash,
    ];
"#;

/// Each list has a tab, by mouse, by key and by address. A refresh keeps the tab, and the newest
/// ending stays on the first screen.
pub(crate) fn each_list_has_a_tab(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    browser.navigate(&adieu.url("/"))?;
    let first = page::connected(&mut browser)?;
    are_named(&mut browser)?;
    shows(&mut browser, "endings", "")?;

    let entries = history(&mut browser)?;
    browser.click("#tab-sessions")?;
    shows(&mut browser, "sessions", "#sessions")?;
    for (key, name) in [
        (RIGHT, "waiting"),
        (RIGHT, "endings"),
        (LEFT, "waiting"),
        (HOME, "endings"),
        (END, "waiting"),
        (LEFT, "sessions"),
    ] {
        browser.press_key(key)?;
        shows(&mut browser, name, &format!("#{name}"))?;
    }
    browser.press_key(TAB)?;
    let focused = browser.execute("return document.activeElement.id", &[])?;
    assert_eq!(focused, json!("panel-sessions"), "{kind:?}: the panel is next to its tab");
    assert_eq!(history(&mut browser)?, entries, "{kind:?}: Back leaves the page");

    page::press(&mut browser, "refresh")?;
    page::connected_after(&mut browser, Some(&first))?;
    shows(&mut browser, "sessions", "#sessions")?;
    let (_, bottom) = page::latest(&mut browser, "latest-leave", &first)?;
    assert!(bottom <= FIRST_SCREEN, "{kind:?}: the newest ending ends at {bottom}");
    browser.click("#latest-leave a")?;
    shows(&mut browser, "endings", "#endings")?;

    browser.navigate(&adieu.url("/#waiting"))?;
    says(&mut browser, "panel-waiting", "This server has no backend.")?;
    shows(&mut browser, "waiting", "#waiting")?;
    let counts = counts(&mut browser)?;
    assert_eq!((&counts[0], &counts[2]), (&json!("1"), &json!("")), "{kind:?}: {counts}");

    let live = browser.current_tab()?;
    open(&mut browser, &adieu)?;
    browser.switch_to(&live)?;
    says(&mut browser, "tab-sessions", "Sessions 1")?;
    browser.quit()
}

/// Each tab names its panel and each panel its tab (WAI-ARIA).
fn are_named(browser: &mut Browser) -> Result<()> {
    let script = r#"
        return [...document.querySelectorAll("[role=tab]")].filter((tab) => {
            const panel = document.getElementById(tab.getAttribute("aria-controls"));
            return panel?.getAttribute("role") === "tabpanel"
                && panel.getAttribute("aria-labelledby") === tab.id;
        }).length;
    "#;
    assert_eq!(browser.execute(script, &[])?, json!(3));
    Ok(())
}

fn shows(browser: &mut Browser, name: &str, address: &str) -> Result<()> {
    let shown = browser.execute(SHOWN, &[])?;
    assert_eq!(shown, json!([name, name, name, address]), "{:?}", browser.kind());
    Ok(())
}

/// The number behind the name of each tab.
fn counts(browser: &mut Browser) -> Result<Value> {
    let script = "return [...document.querySelectorAll('.tab-count')].map(n => n.textContent)";
    browser.execute(script, &[])
}

fn history(browser: &mut Browser) -> Result<Value> {
    browser.execute("return history.length", &[])
}
