//! Statements about people who come back, by Refresh or by Back.

use browser::page::{self, PageEvent};
use browser::{Kind, Result};
use serde_json::json;

use crate::bench::{Bench, close, goodbye, lost, verdicts};

/// Enough to see a race go both ways in most runs.
const REFRESHES: u32 = 5;
/// What was never seen to differ.
const RETURNS: u32 = 2;

/// "`onclose` fires when they come back after a refresh."
///
/// On a refresh only Firefox fires it, in the old page and before that is left. After Back the
/// others do, late: in the page that was asleep.
pub(crate) fn onclose_fires_when_they_come_back(bench: &mut Bench) -> Result<()> {
    let mut times_told = 0;
    for _ in 0..REFRESHES {
        let old = bench.open()?;
        let over = bench.refresh(&old)?;
        let told = verdicts(&over.events);
        let left = over.events.iter().position(|event| *event == PageEvent::Hidden(false));
        let left = left.expect("a page that is refreshed is told that it goes");
        if !told.is_empty() {
            assert_eq!((bench.kind(), &told[..]), (Kind::Firefox, &[close(1001, "", true)][..]));
            let heard = over.events.iter().position(PageEvent::is_close);
            assert!(heard < Some(left), "it is the old page that hears it: {:?}", over.events);
            times_told += 1;
        }
        bench.keep("onclose after a refresh", Some(&over.account), &over.events);
        bench.browser.close_tab()?;
    }
    // Firefox hears our answer in time or not; that it never does would be another browser.
    assert_eq!(times_told > 0, bench.kind() == Kind::Firefox);

    for _ in 0..RETURNS {
        let old = bench.open()?;
        bench.browser.navigate(&bench.adieu.url("/away"))?;
        bench.browser.back()?;
        page::connected_after(&mut bench.browser, Some(&old))?;
        let events = page::events(&mut bench.browser, &old)?;
        let restored = events.iter().position(|event| *event == PageEvent::Restored);
        let told = verdicts(&events);
        match bench.kind() {
            Kind::Firefox => {
                // Once in a while it keeps the page, and then never tells it.
                let heard = restored.is_none() && told == [close(1001, "", true)];
                assert!(told.is_empty() || heard, "{events:?}");
            }
            Kind::Chromium | Kind::WebKit => {
                assert_eq!(told, lost());
                let failed = events.iter().position(|event| *event == PageEvent::Error);
                assert!(restored.is_some() && restored < failed, "{events:?}");
            }
        }
        let account = bench.adieu.ended(&old.tab, old.id)?;
        assert_eq!(goodbye(&account).1, Some(1001));
        bench.keep("onclose after Back", Some(&account), &events);
        bench.browser.close_tab()?;
    }
    Ok(())
}

/// "Never handle it on the client; the server's `onclose` is enough."
///
/// A page without code for it stays without a connection after Back, in the browsers that keep
/// pages: its socket says OPEN, then it is closed, and nothing opens another.
pub(crate) fn never_handle_it_on_the_client(bench: &mut Bench) -> Result<()> {
    const WHAT: &str = "the page that comes back";
    bench.browser.new_tab()?;
    bench.browser.navigate(&bench.site.url("/"))?;
    // Unlike the live page this one does nothing by itself.
    let script = r#"
        window.told = [];
        const watched = new WebSocket(`ws://${location.host}/ws/answers`);
        window.watched = watched;
        watched.onopen = () => told.push("open");
        watched.onerror = () => told.push("error");
        watched.onclose = event => told.push(`close(${event.code})`);
        addEventListener("pageshow", () => told.push(`pageshow, readyState ${watched.readyState}`));
    "#;
    bench.browser.execute(script, &[])?;
    let opened = "return told.includes('open') || null";
    bench.asked("the socket to open", opened)?;
    bench.browser.navigate(&bench.site.url("/other"))?;
    bench.browser.back()?;

    let told = "return !window.told ? [] : watched.readyState === 3 ? told : null";
    let told = bench.asked("the socket to be closed, or a fresh page", told)?;
    let expected = match bench.kind() {
        // A fresh page knows of no socket: whatever script it has runs again, and connects. The
        // page that is kept once in a while is not told of its end.
        Kind::Firefox => vec![json!([]), json!(["open", "pageshow, readyState 3"])],
        Kind::Chromium | Kind::WebKit => {
            vec![json!(["open", "pageshow, readyState 1", "error", "close(1006)"])]
        }
    };
    assert!(expected.contains(&told), "{told}");
    bench.note(WHAT, told.to_string());

    let script = r#"
        window.reconnected = false;
        const again = new WebSocket(`ws://${location.host}/ws/answers`);
        again.onopen = () => { window.reconnected = true; };
    "#;
    bench.browser.execute(script, &[])?;
    bench.asked("a new connection of the same page", "return window.reconnected || null")?;
    bench.browser.close_tab()
}

/// What to do instead: the script in `docs/endings.md`. It says goodbye where the browser lets it,
/// and has one connection again whatever became of the last.
pub(crate) fn the_advised_script(bench: &mut Bench) -> Result<()> {
    // Nothing else connects there.
    const SERVER: &str = "/ws/careful";
    let firefox = bench.kind() == Kind::Firefox;
    let said = if firefox { 1001 } else { 4001 };
    let last = |bench: &Bench, closes: usize| -> Result<Option<u16>> {
        let heard = bench.site.heard(SERVER, closes)?;
        assert_eq!(heard.len(), closes, "a connection more than there should be");
        Ok(heard.last().and_then(|heard| heard.code))
    };
    bench.browser.new_tab()?;
    bench.browser.navigate(&bench.site.url("/careful"))?;
    bench.site.wait_until_asked(SERVER, 1)?;
    bench.browser.refresh()?;
    assert_eq!(last(bench, 1)?, Some(said), "a refresh");
    bench.site.wait_until_asked(SERVER, 2)?;
    bench.browser.navigate(&bench.site.url("/other"))?;
    assert_eq!(last(bench, 2)?, Some(said), "the page is left");
    bench.browser.back()?;
    bench.site.wait_until_asked(SERVER, 3)?;
    bench.follow("/nothing")?;
    let mut closes = 2;
    if firefox {
        closes += 1;
        assert_eq!(last(bench, closes)?, Some(1001), "a link that leads nowhere");
        bench.site.wait_until_asked(SERVER, 4)?;
    }
    bench.browser.close_tab()?;
    let code = last(bench, closes + 1)?;
    assert!(code == Some(4001) || firefox && code == Some(1001), "a closed tab: {code:?}");
    assert_eq!(bench.site.asked_for(SERVER), closes + 1, "one connection at a time");
    Ok(())
}
