//! Browsers, a few at a time.

use std::sync::{Condvar, Mutex};

use browser::{Browser, Error, Kind, Result};

/// How many browsers run at once: more would only slow each other down into time-outs.
const AT_ONCE: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run one browser.
pub(crate) struct Turn;

impl Turn {
    pub(crate) fn take() -> Turn {
        let running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut running = ENDED
            .wait_while(running, |running| *running >= AT_ONCE)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *running += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
        ENDED.notify_one();
    }
}

/// Starts a browser, or explains why the test is skipped.
pub(crate) fn start(kind: Kind) -> Result<Option<Browser>> {
    match Browser::start(kind) {
        Ok(browser) => Ok(Some(browser)),
        Err(missing @ Error::NotInstalled { .. }) => browser::skip(&missing).map(|()| None),
        Err(e) => Err(e),
    }
}
