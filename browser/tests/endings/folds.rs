//! Equal endings of others are one row; those of this tab are always seen.

use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Kind, Result, page};
use serde_json::{Value, json};
use testkit::{Frame, Peer, Request};

use crate::sessions::pictures;
use crate::{Turn, start};

const LIMIT: Duration = Duration::from_secs(45);

/// What the clients of these tests say when they go.
const REASON: &str = "our peer";

/// What the list of endings shows, newest first: the number of the endings that a row stands for,
/// and 0 for the card of one ending.
const ROWS: &str = r#"
    return [...document.getElementById("ended-list").children].map((row) => {
        const times = row.querySelector(":scope > summary strong")?.textContent;
        return Number(times?.match(/^(\d+) times:$/)?.[1] ?? 0);
    });
"#;

/// Two equal endings are two cards; a third makes a row of them. The row opens, and grows while it
/// is open. This tab's own endings are equal to one another too, and stay cards.
pub(crate) fn equal_endings_are_one_row(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start()?;
    page::open_watched(&mut browser, &adieu)?;
    page::connected(&mut browser)?;

    ends(&adieu, 4123, 2)?;
    shows(&mut browser, &[0, 0])?;
    stays_open(&mut browser)?;
    ends(&adieu, 4123, 3)?;
    shows(&mut browser, &[5])?;
    let own = close_and_return(&adieu, &mut browser, 3)?;
    shows(&mut browser, &[0, 0, 0, 5])?;
    ends(&adieu, 4124, 1)?;
    ends(&adieu, 4123, 3)?;
    shows(&mut browser, &[3, 0, 0, 0, 0, 5])?;

    let row = "document.getElementById('ended-list').lastElementChild";
    unfold(&mut browser, row)?;
    cards(&mut browser, row, 5)?;
    // Its newest neighbour is another row: this one does not change.
    ends(&adieu, 4123, 1)?;
    shows(&mut browser, &[4, 0, 0, 0, 0, 5])?;
    let newest = "document.getElementById('ended-list').firstElementChild";
    unfold(&mut browser, newest)?;
    cards(&mut browser, newest, 4)?;
    ends(&adieu, 4123, 2)?;
    shows(&mut browser, &[6, 0, 0, 0, 0, 5])?;
    cards(&mut browser, newest, 6)?;
    cards(&mut browser, row, 5)?;

    let badges = "return document.querySelectorAll('#ended-list .run .own').length";
    assert_eq!(browser.execute(badges, &[])?, json!(0), "own endings are in no row");
    for id in own {
        let seen = "return document.getElementById('ended-list').innerText.includes(arguments[0])";
        let seen = browser.execute(seen, &[json!(format!("#{id}"))])?;
        assert_eq!(seen, json!(true), "connection {id} is seen");
    }
    parties_are_named(&mut browser)?;
    pictures(&mut browser, "folded")?;
    assert_eq!(page::kept_errors(&mut browser)?, Vec::<String>::new());
    browser.quit()
}

/// The report says "we" and "the peer"; the page names the server and the browser, or the client,
/// and leaves alone what one of them has said.
fn parties_are_named(browser: &mut Browser) -> Result<()> {
    let script = r#"
        const text = document.getElementById("ended-list").innerText;
        const said = new RegExp(`["“]${arguments[0]}["”]`, "g");
        const unnamed = text.replaceAll(said, "").match(/\b(peer|we|our)\b.*/i);
        return [said.test(text), unnamed?.[0] ?? ""];
    "#;
    assert_eq!(browser.execute(script, &[json!(REASON)])?, json!([true, ""]));
    Ok(())
}

/// A card that is opened stays open, though the list is redrawn before the browser says that it was
/// opened (the event `toggle` is a task of its own).
fn stays_open(browser: &mut Browser) -> Result<()> {
    let script = r##"
        const card = document.querySelector("#ended-list > details");
        card.querySelector("summary").click();
        document.querySelector("#kinds button").click();
        const opened = card.open;
        card.querySelector("summary").click();
        return [opened, card.open];
    "##;
    assert_eq!(browser.execute(script, &[])?, json!([true, false]));
    Ok(())
}

/// The accounts of connections that ended so far.
fn accounts(adieu: &Adieu) -> Result<usize> {
    Ok(adieu.get("/endings")?["ended"].as_array().map_or(0, Vec::len))
}

/// So many clients that are no browser say this code and go, each as the one before, and each once
/// the server has its account: two of them at the same time may be told in any order.
fn ends(adieu: &Adieu, code: u16, times: usize) -> Result<()> {
    for _ in 0..times {
        let before = accounts(adieu)?;
        let host = adieu.address().to_string();
        let request = Request::rfc6455().set("Host", &host);
        let mut client = Peer::open_with(adieu.address(), &request);
        client.send(&Frame::close(code, REASON));
        assert_eq!(client.read_frame().close_code(), Some(code));
        client.read_to_end();
        wait_for("the account of a client", LIMIT, || {
            Ok((accounts(adieu)? > before).then_some(()))
        })?;
    }
    Ok(())
}

/// This tab's connection is closed by its button, and another begins. Gives their numbers.
fn close_and_return(adieu: &Adieu, browser: &mut Browser, times: usize) -> Result<Vec<u64>> {
    let mut last = page::connected(browser)?;
    let mut ended = Vec::new();
    for _ in 0..times {
        page::press(browser, "close")?;
        page::closed(browser, &last)?;
        adieu.ended(&last.tab, last.id)?;
        ended.push(last.id);
        page::press(browser, "reconnect")?;
        last = page::connected_after(browser, Some(&last))?;
    }
    Ok(ended)
}

fn shows(browser: &mut Browser, rows: &[u64]) -> Result<()> {
    let mut last = Value::Null;
    let found = wait_for(format_args!("the rows {rows:?}"), LIMIT, || {
        last = browser.execute(ROWS, &[])?;
        Ok((last == json!(rows)).then_some(()))
    });
    found.inspect_err(|_| eprintln!("the page shows {last}"))
}

fn unfold(browser: &mut Browser, row: &str) -> Result<()> {
    let script = format!("{row}.querySelector('summary').click()");
    browser.execute(&script, &[]).map(drop)
}

/// Waits until an unfolded row shows so many endings.
fn cards(browser: &mut Browser, row: &str, wanted: u64) -> Result<()> {
    let script = format!(
        "const row = {row}; return row.open ? row.querySelectorAll('.list > .card').length : -1"
    );
    wait_for(format_args!("{wanted} endings in the row"), LIMIT, || {
        Ok((browser.execute(&script, &[])? == json!(wanted)).then_some(()))
    })
}
