//! The page itself: it works in every engine, and what it looks like.

use std::fs;
use std::path::PathBuf;

use browser::page;
use browser::server::{Adieu, repository};
use browser::{Browser, Error, Kind, Result, results};
use serde_json::json;

use crate::{Turn, start};

/// The page connects, shows an ending, sends and closes, and no script of it fails.
pub(crate) fn the_page_works(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    browser.navigate(&adieu.url("/"))?;
    let first = page::connected(&mut browser)?;
    page::open_watched(&mut browser, &adieu)?;
    page::connected_after(&mut browser, Some(&first))?;
    page::press(&mut browser, "send")?;
    page::echoed(&mut browser)?;
    let second = page::connected(&mut browser)?;
    page::press(&mut browser, "close")?;
    page::closed(&mut browser, &second)?;
    // What the page itself was told is nothing that its visitor has said.
    let account = adieu.ended(&second.tab, second.id)?;
    let counted = [&account["messagesIn"], &account["messagesOut"]];
    assert_eq!(counted, [&json!(1), &json!(1)], "{kind:?}: one message was said, and came back");
    page::shown_endings(&mut browser, 1)?;
    page::press(&mut browser, "reconnect")?;
    page::connected_after(&mut browser, Some(&second))?;

    the_foot_leads_somewhere(&mut browser)?;
    assert_eq!(page::kept_errors(&mut browser)?, Vec::<String>::new());
    // What the console has besides, where a browser tells it.
    match browser.script_errors() {
        Err(Error::Unsupported(_)) => {}
        errors => assert_eq!(errors?, Vec::<String>::new()),
    }
    let png = browser.screenshot()?;
    write(&results::file(&format!("page-{}.png", kind.id()))?, &png)
}

/// The foot of the page names the version, and each of its links is answered.
fn the_foot_leads_somewhere(browser: &mut Browser) -> Result<()> {
    let script = r#"
        const links = [...document.querySelectorAll("footer a")];
        return Promise.all(links.map(async ({ href }) =>
            [new URL(href).pathname, (await fetch(href)).status]));
    "#;
    let links = browser.execute(script, &[])?;
    let answered = ["/docs/endings.md", "/docs/sessions.md", "/docs/browsers.md"];
    let answered = answered.iter().chain(&["/endings", "/sessions", "/metrics"]);
    let answered: Vec<_> = answered.map(|path| json!([path, 200])).collect();
    assert_eq!(links, json!(answered));
    let version = browser.execute("return document.querySelector('.version').textContent", &[])?;
    assert_eq!(version, json!(env!("CARGO_PKG_VERSION")));
    Ok(())
}

/// Pixels from the top of the page that a person sees without scrolling, on a laptop and a phone.
pub(crate) const FIRST_SCREEN: f64 = 800.0;

/// After Refresh was pressed, what came of the connection stands under the button, where the
/// person looks already.
pub(crate) fn the_newest_ending_is_on_the_first_screen(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    for (width, height) in [(1280, 900), (390, 844)] {
        browser.set_viewport(width, height)?;
        browser.navigate(&adieu.url("/"))?;
        let last = page::connected(&mut browser)?;
        page::press(&mut browser, "refresh")?;
        page::connected_after(&mut browser, Some(&last))?;
        let (text, bottom) = page::latest(&mut browser, "latest-leave", &last)?;
        assert!(text.contains("the server heard 1001; this page heard "), "{kind:?}: {text}");
        assert!(bottom <= FIRST_SCREEN, "{kind:?}, {width} px wide: the sentence ends at {bottom}");
        let png = browser.screenshot()?;
        write(&results::file(&format!("latest-{}-{width}.png", kind.id()))?, &png)?;
    }
    browser.quit()
}

const PHONE: &str = "page-phone.png";

/// Pictures of the page after some endings of several kinds, for the README.
pub(crate) fn screenshots() -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(Kind::Chromium)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    let endings = several_endings(&adieu, &mut browser)?;
    for (name, dark, width, height) in [
        ("page-light.png", false, 1280, 1600),
        ("page-dark.png", true, 1280, 1600),
        (PHONE, false, 390, 844),
    ] {
        browser.set_viewport(width, height)?;
        browser.emulate_dark(dark)?;
        page::shown_endings(&mut browser, endings)?;
        page::at_rest(&mut browser)?;
        let overflow = "return document.documentElement.scrollWidth - innerWidth";
        let overflow = browser.execute(overflow, &[])?;
        assert!(overflow.as_i64() <= Some(0), "{name}: {overflow} px wider than the screen");
        write(&picture(name)?, &browser.screenshot()?)?;
    }
    browser.quit()
}

/// Leaves the browser on the live page, connected, and returns how many connections ended.
fn several_endings(adieu: &Adieu, browser: &mut Browser) -> Result<u64> {
    let first = browser.current_tab()?;
    let mut killed = match start(Kind::Firefox)? {
        Some(other) => vec![other],
        None => vec![],
    };
    for other in &mut killed {
        other.navigate(&adieu.url("/"))?;
        page::connected(other)?;
    }
    let mut endings = killed.len() as u64;
    killed.into_iter().try_for_each(Browser::kill_all)?;

    // Another tab that is closed, then the one that stays.
    browser.new_tab()?;
    browser.navigate(&adieu.url("/"))?;
    page::connected(browser)?;
    browser.close_tab()?;
    browser.switch_to(&first)?;
    browser.navigate(&adieu.url("/"))?;
    endings += 1;
    let mut last = page::connected(browser)?;
    for button in ["close-4001", "gateway-close-4000"] {
        page::press(browser, button)?;
        page::closed(browser, &last)?;
        page::press(browser, "reconnect")?;
        last = page::connected_after(browser, Some(&last))?;
        endings += 1;
    }
    browser.refresh()?;
    last = page::connected_after(browser, Some(&last))?;
    // The last, because it is shown on top: here the two accounts differ most.
    browser.navigate(&adieu.url("/away"))?;
    browser.back()?;
    page::connected_after(browser, Some(&last))?;
    Ok(endings + 2)
}

/// In `docs/` only when asked: a picture differs a little each time. The documents show no phone.
fn picture(name: &str) -> Result<PathBuf> {
    let update = std::env::var_os("ADIEU_UPDATE_SCREENSHOTS").is_some_and(|value| value == "1");
    let shown = update && name != PHONE;
    if shown { Ok(repository().join("docs").join(name)) } else { results::file(name) }
}

fn write(path: &PathBuf, png: &[u8]) -> Result<()> {
    fs::write(path, png).map_err(Error::io(format!("write {}", path.display())))
}
