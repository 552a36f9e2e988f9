//! The live page over HTTP/2 draws its connection, and each WebSocket on it as a stream.

use std::time::Duration;

use browser::server::Adieu;
use browser::wait::wait_for;
use browser::{Browser, Kind, Result};

use crate::{CARRIER, Turn, start};

const LIMIT: Duration = Duration::from_secs(60);

/// What each lane says.
const LANES: &str = "return [...document.querySelectorAll('#streams-list .lane')]\
                     .map((lane) => lane.innerText.replaceAll('\\n', ' '))";

pub(crate) fn are_drawn(kind: Kind) -> Result<()> {
    let _turn = Turn::take();
    let Some(mut browser) = start(kind)? else { return Ok(()) };
    let adieu = Adieu::start_on(CARRIER, &[], &[])?;
    browser.navigate(&adieu.url("/"))?;
    let first = lanes(&mut browser, 1)?;
    assert!(first[0].contains("this tab") && first[0].contains("open for"), "{first:?}");
    browser.refresh()?;
    let both = lanes(&mut browser, 2)?;
    let open = both.iter().filter(|lane| lane.contains("open for")).count();
    assert_eq!(open, 1, "the old page's stream has ended: {both:?}");
    let shown = "return !document.getElementById('streams-section').hidden";
    assert_eq!(browser.execute(shown, &[])?, true);
    browser.quit()
}

/// So many lanes, or more.
fn lanes(browser: &mut Browser, least: usize) -> Result<Vec<String>> {
    wait_for(format_args!("{least} lanes"), LIMIT, || {
        let all = browser.execute(LANES, &[])?;
        let all = all.as_array().cloned().unwrap_or_default();
        let lanes: Vec<String> =
            all.iter().filter_map(|lane| lane.as_str().map(str::to_owned)).collect();
        Ok((lanes.len() >= least).then_some(lanes))
    })
}
