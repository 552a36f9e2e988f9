//! Drives real browsers against the live page of `adieu serve`, and keeps what they did.
//!
//! What a browser puts on the wire when a person refreshes, leaves or closes a page is not in any
//! RFC; it has to be measured, and measured again with each release. [`Browser`] starts Chromium,
//! Firefox or WebKitGTK as Debian packages them, each with directories and ports of its own, and
//! kills every process of it when it is dropped. The tests in `tests/` compare what
//! [`server::Adieu`] saw with what is known; `browser-table` makes `docs/browsers.md` of it.
//!
//! Everything here blocks, and every wait has a limit.

pub mod browser;
pub mod carrier;
pub mod command;

mod chromium;
mod firefox;
mod webkit;

mod certificate;
pub mod http;
mod marionette;
mod webdriver;

mod instance;
mod processes;
mod xvfb;

pub mod compression;
pub mod page;
pub mod results;
pub mod server;

pub mod error;
pub mod wait;

pub use browser::{Browser, Kind, Tab};
pub use carrier::Carrier;
pub use error::{Error, Result};

/// Ends a test whose browser is missing: it passes, with a line that says why, unless it runs in
/// CI, where all of them are meant to be there.
///
/// # Errors
/// [`Error::NotInstalled`] again, if the environment has `CI`.
pub fn skip(missing: &Error) -> Result<()> {
    println!("SKIP: {missing}");
    match missing {
        Error::NotInstalled { program, package } if std::env::var_os("CI").is_some() => {
            Err(Error::NotInstalled { program: program.clone(), package })
        }
        _ => Ok(()),
    }
}
