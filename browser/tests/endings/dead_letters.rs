//! What the backend did not take, on the page: listed, sent again, thrown away.

use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Kind, Result, http, page};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::backend::{Backend, Mode};
use crate::sessions::{open_as, pictures, says, shown};
use crate::{Turn, start};

const LIMIT: Duration = Duration::from_secs(45);

/// Two messages become dead letters. The page shows them with what the backend said; one is thrown
/// away, the other is sent again, and the backend hears it. What is on the way is told before.
pub(crate) fn are_shown(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let runtime = Runtime::new().expect("a runtime");
    let backend = runtime.block_on(Backend::start());
    let url = backend.url();
    let soon = ["--dead-letter-tries", "2", "--dead-letter-age", "0s", "--backend-patience", "1s"];
    let options = [&["--backend", &url][..], &soon].concat();
    let adieu = Adieu::start_with(&options, &[("ADIEU_BACKEND_SECRET", Backend::SECRET)])?;
    let live = browser.current_tab()?;
    page::open_watched(&mut browser, &adieu)?;
    page::connected(&mut browser)?;
    says(&mut browser, "letters-empty", "has taken everything")?;
    assert_eq!(shown(&mut browser, "#dead-letters:not([hidden])")?, 1, "there is a backend");

    backend.takes_events(Mode::UntilReleased);
    open_as(&mut browser, &adieu, "carl")?;
    browser.switch_to(&live)?;
    says(&mut browser, "letters-empty", "on the way to the backend")?;
    backend.release();
    says(&mut browser, "letters-empty", "has taken everything")?;

    backend.takes_events(Mode::OnMessage("poison", Box::new(Mode::Says(500, "a bug"))));
    open_as(&mut browser, &adieu, "anna")?;
    for text in ["poison 1", "poison 2"] {
        say(&mut browser, text)?;
    }
    // That those of others are taken shows that it is not the backend.
    open_as(&mut browser, &adieu, "bert")?;
    wait_for("two dead letters", LIMIT, || {
        say(&mut browser, "hello")?;
        Ok((total(&adieu)? == Some(2)).then_some(()))
    })?;

    browser.switch_to(&live)?;
    cards(&mut browser, 2)?;
    says(&mut browser, "letters-list", "anna")?;
    says(&mut browser, "letters-list", "500")?;
    says(&mut browser, "letters-summary", "2 messages")?;
    says(&mut browser, "tab-waiting", "Waiting for the backend 2")?;
    page::press(&mut browser, "tab-waiting")?;
    pictures(&mut browser, "dead-letters")?;

    // The newest is on top.
    press(&mut browser, "#letters-list .letter", "Discard")?;
    cards(&mut browser, 1)?;
    says(&mut browser, "letters-said", "thrown away")?;
    backend.takes_events(Mode::Well);
    press(&mut browser, "#letters-list .letter", "Send again")?;
    cards(&mut browser, 0)?;
    let heard = |of: &Backend| of.of_type("message").iter().any(|one| one.text() == "poison 1");
    runtime.block_on(backend.until("it is told again", heard));
    assert_eq!(page::kept_errors(&mut browser)?, Vec::<String>::new());
    browser.quit()
}

/// On the page of a session.
fn say(browser: &mut Browser, text: &str) -> Result<()> {
    let script = "document.getElementById('text').value = arguments[0]";
    browser.execute(script, &[json!(text)])?;
    page::press(browser, "send")
}

/// How many dead letters there are, by the API.
fn total(adieu: &Adieu) -> Result<Option<u64>> {
    let path = "/api/dead-letters";
    let list: Value = http::request(adieu.address(), "GET", path, None, LIMIT)?.json(path)?;
    Ok(list["total"].as_u64())
}

fn cards(browser: &mut Browser, wanted: u64) -> Result<()> {
    wait_for(format_args!("{wanted} dead letters on the page"), LIMIT, || {
        Ok((shown(browser, "#letters-list .letter")? == wanted).then_some(()))
    })
}

/// Presses a button of the first card, and says yes if the page asks.
fn press(browser: &mut Browser, card: &str, button: &str) -> Result<()> {
    let script = r#"
        window.confirm = () => true;
        const buttons = [...document.querySelector(arguments[0]).querySelectorAll("button")];
        buttons.find((button) => button.textContent === arguments[1]).click();
    "#;
    browser.execute(script, &[json!(card), json!(button)]).map(drop)
}
