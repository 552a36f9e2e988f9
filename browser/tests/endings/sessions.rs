//! Sessions in a real browser: the page that opens one, and the section that shows it.

use std::fs;
use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Error, Kind, Result, page, results};
use serde_json::{Value, json};

use crate::{Turn, start};

/// A page that was closed is waited for for 8 s; a busy machine takes its time as well.
const LIMIT: Duration = Duration::from_secs(45);

/// A page asks for a sign of life each 20 s and waits 10 s for it before it connects again.
const NOTICED: Duration = Duration::from_secs(90);

/// A tab is refreshed, left and returned to; another is closed and is away, then gone; one says
/// goodbye, one closes, one is ended by the backend. The live page shows each of it as it happens.
pub(crate) fn are_shown(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    let live = browser.current_tab()?;
    page::open_watched(&mut browser, &adieu)?;
    page::connected(&mut browser)?;
    page::press(&mut browser, "tab-sessions")?;
    let empty = shown(&mut browser, "#sessions-empty:not([hidden])")?;
    assert_eq!(empty, 1, "nobody was here");
    assert_eq!(shown(&mut browser, "#dead-letters:not([hidden])")?, 0, "there is no backend");
    pictures(&mut browser, "empty")?;

    open(&mut browser, &adieu)?;
    browser.refresh()?;
    goes_on(&mut browser, 2)?;
    page::press(&mut browser, "backend-send")?;
    says(&mut browser, "log", "The backend says")?;
    page::press(&mut browser, "send")?;
    says(&mut browser, "sent", "has all messages")?;
    browser.refresh()?;
    goes_on(&mut browser, 3)?;
    // From the back/forward cache or anew: both are the same to the session.
    browser.navigate(&adieu.url("/away"))?;
    browser.back()?;
    goes_on(&mut browser, 4)?;
    pictures(&mut browser, "own")?;

    for button in ["goodbye", "close", "backend-end"] {
        open(&mut browser, &adieu)?;
        page::press(&mut browser, button)?;
        says(&mut browser, "status", "The session is over")?;
        browser.close_tab()?;
        browser.switch_to(&live)?;
    }
    open(&mut browser, &adieu)?;
    browser.close_tab()?;

    browser.switch_to(&live)?;
    cards(&mut browser, "is-away", 1)?;
    cards(&mut browser, "is-here", 1)?;
    cards(&mut browser, "is-over", 3)?;
    let here = unfold(&mut browser, "is-here")?;
    assert!(here.contains("connection 2") && here.contains("connection 3"), "{here}");
    pictures(&mut browser, "away")?;
    cards(&mut browser, "is-over", 4)?;
    let gone = unfold(&mut browser, "is-over")?;
    assert!(gone.contains("did not come back"), "{gone}");
    let away = shown(&mut browser, "#session-list .span-away")?;
    assert!(away >= 4, "away thrice, gone once: {away}");
    pictures(&mut browser, "over")?;

    assert_eq!(page::kept_errors(&mut browser)?, Vec::<String>::new());
    browser.quit()
}

/// A tab with a session, which is connected; it is the current one then.
pub(crate) fn open(browser: &mut Browser, adieu: &Adieu) -> Result<()> {
    open_as(browser, adieu, "")
}

/// The same of a user, where there is a backend.
pub(crate) fn open_as(browser: &mut Browser, adieu: &Adieu, user: &str) -> Result<()> {
    browser.new_tab()?;
    let query = if user.is_empty() { String::new() } else { format!("?user={user}") };
    browser.navigate(&adieu.url(&format!("/session{query}")))?;
    says(browser, "status", "A new session")
}

/// Waits until the session of the current tab goes on, on a connection of this number or a later
/// one: Firefox ends a socket before it leaves the page, which may come back in between.
pub(crate) fn goes_on(browser: &mut Browser, connection: u64) -> Result<()> {
    let script = r#"
        const said = document.getElementById("status").textContent;
        return Number(said.match(/^The same session, connection (\d+)$/)?.[1] ?? 0);
    "#;
    wait_for(format_args!("connection {connection} of the session"), NOTICED, || {
        let at = browser.execute(script, &[])?.as_u64();
        Ok(at.is_some_and(|at| at >= connection).then_some(()))
    })
}

pub(crate) fn says(browser: &mut Browser, element: &str, text: &str) -> Result<()> {
    let script = r#"
        return document.getElementById(arguments[0]).textContent.replace(/\s+/g, " ");
    "#;
    wait_for(format_args!("{text:?} in #{element}"), LIMIT, || {
        let says = browser.execute(script, &[json!(element)])?;
        Ok(says.as_str().is_some_and(|says| says.contains(text)).then_some(()))
    })
}

pub(crate) fn shown(browser: &mut Browser, selector: &str) -> Result<u64> {
    let script = "return document.querySelectorAll(arguments[0]).length";
    Ok(browser.execute(script, &[json!(selector)])?.as_u64().unwrap_or_default())
}

/// Waits until as many cards of sessions are shown in this state.
fn cards(browser: &mut Browser, state: &str, wanted: u64) -> Result<()> {
    wait_for(format_args!("{wanted} sessions that are {state}"), LIMIT, || {
        let found = shown(browser, &format!("#session-list .{state}"))?;
        Ok((found == wanted).then_some(()))
    })
}

/// Unfolds the first card in this state and gives its text.
fn unfold(browser: &mut Browser, state: &str) -> Result<String> {
    let script = r#"
        const card = document.querySelector(`#session-list .${arguments[0]}`);
        if (!card.open) card.querySelector("summary").click();
        return card.querySelector(".card-body")?.textContent ?? null;
    "#;
    wait_for(format_args!("the timeline of a session that is {state}"), LIMIT, || {
        match browser.execute(script, &[json!(state)])? {
            Value::String(text) => Ok(Some(text)),
            _ => Ok(None),
        }
    })
}

/// Pictures to look at, in light and dark and on a phone; nothing is wider than its screen. Of
/// Chromium alone, which can be told all three.
pub(crate) fn pictures(browser: &mut Browser, name: &str) -> Result<()> {
    if browser.kind() != Kind::Chromium {
        return Ok(());
    }
    for (scheme, dark, width, height) in
        [("light", false, 1280, 1600), ("dark", true, 1280, 1600), ("phone", false, 390, 1600)]
    {
        browser.set_viewport(width, height)?;
        browser.emulate_dark(dark)?;
        page::at_rest(browser)?;
        let overflow = "return document.documentElement.scrollWidth - innerWidth";
        let overflow = browser.execute(overflow, &[])?;
        assert!(overflow.as_i64() <= Some(0), "{name} {scheme}: {overflow} px too wide");
        let path = results::file(&format!("sessions-{name}-{scheme}.png"))?;
        let doing = Error::io(format!("write {}", path.display()));
        fs::write(path, browser.screenshot()?).map_err(doing)?;
    }
    Ok(())
}
