//! Real browsers on the live page: what the server says of each ending, and what the page says.
//!
//! What a browser does is not ours to decide, so a test asks whether it is one of the things that
//! are known (see `expected.rs`), and counts which. The counts go to `target/browser-results/`.

mod actions;
#[path = "../../../crates/adieu-cli/tests/sessions/world/backend.rs"]
#[allow(dead_code, reason = "written for the gateway's own tests")]
mod backend;
mod dead_letters;
mod expected;
mod folds;
mod judge;
mod looks;
mod session_page;
mod sessions;
mod tabs;
mod turn;

use browser::{Carrier, Kind, Result};

use crate::actions::Measured;
use crate::turn::{Turn, start};

/// What carries the WebSockets of these pages.
const CARRIER: Carrier = Carrier::Tcp;

#[test]
fn chromium() -> Result<()> {
    actions::measure(Kind::Chromium, Measured::All)
}

#[test]
fn firefox() -> Result<()> {
    actions::measure(Kind::Firefox, Measured::All)
}

#[test]
fn webkit() -> Result<()> {
    actions::measure(Kind::WebKit, Measured::All)
}

#[test]
fn the_page_works_in_chromium() -> Result<()> {
    looks::the_page_works(Kind::Chromium)
}

#[test]
fn the_page_works_in_firefox() -> Result<()> {
    looks::the_page_works(Kind::Firefox)
}

#[test]
fn the_page_works_in_webkit() -> Result<()> {
    looks::the_page_works(Kind::WebKit)
}

#[test]
fn the_newest_ending_is_on_the_first_screen_of_chromium() -> Result<()> {
    looks::the_newest_ending_is_on_the_first_screen(Kind::Chromium)
}

#[test]
fn the_newest_ending_is_on_the_first_screen_of_firefox() -> Result<()> {
    looks::the_newest_ending_is_on_the_first_screen(Kind::Firefox)
}

#[test]
fn the_newest_ending_is_on_the_first_screen_of_webkit() -> Result<()> {
    looks::the_newest_ending_is_on_the_first_screen(Kind::WebKit)
}

#[test]
fn equal_endings_are_one_row_in_chromium() -> Result<()> {
    folds::equal_endings_are_one_row(Kind::Chromium)
}

#[test]
fn equal_endings_are_one_row_in_firefox() -> Result<()> {
    folds::equal_endings_are_one_row(Kind::Firefox)
}

#[test]
fn equal_endings_are_one_row_in_webkit() -> Result<()> {
    folds::equal_endings_are_one_row(Kind::WebKit)
}

#[test]
fn each_list_has_a_tab_in_chromium() -> Result<()> {
    tabs::each_list_has_a_tab(Kind::Chromium)
}

#[test]
fn each_list_has_a_tab_in_firefox() -> Result<()> {
    tabs::each_list_has_a_tab(Kind::Firefox)
}

#[test]
fn each_list_has_a_tab_in_webkit() -> Result<()> {
    tabs::each_list_has_a_tab(Kind::WebKit)
}

#[test]
fn screenshots() -> Result<()> {
    looks::screenshots()
}

#[test]
fn sessions_are_shown_in_chromium() -> Result<()> {
    sessions::are_shown(Kind::Chromium)
}

#[test]
fn sessions_are_shown_in_firefox() -> Result<()> {
    sessions::are_shown(Kind::Firefox)
}

#[test]
fn sessions_are_shown_in_webkit() -> Result<()> {
    sessions::are_shown(Kind::WebKit)
}

#[test]
fn the_network_is_lost_in_chromium() -> Result<()> {
    session_page::the_network_is_lost(Kind::Chromium)
}

#[test]
fn the_network_is_lost_in_firefox() -> Result<()> {
    session_page::the_network_is_lost(Kind::Firefox)
}

#[test]
fn the_network_is_lost_in_webkit() -> Result<()> {
    session_page::the_network_is_lost(Kind::WebKit)
}

#[test]
fn a_duplicated_tab_has_a_session_of_its_own_in_chromium() -> Result<()> {
    session_page::a_duplicated_tab_has_a_session_of_its_own(Kind::Chromium)
}

#[test]
fn a_duplicated_tab_has_a_session_of_its_own_in_firefox() -> Result<()> {
    session_page::a_duplicated_tab_has_a_session_of_its_own(Kind::Firefox)
}

#[test]
fn a_duplicated_tab_has_a_session_of_its_own_in_webkit() -> Result<()> {
    session_page::a_duplicated_tab_has_a_session_of_its_own(Kind::WebKit)
}

#[test]
fn users_are_named_in_chromium() -> Result<()> {
    session_page::users_are_named(Kind::Chromium)
}

#[test]
fn users_are_named_in_firefox() -> Result<()> {
    session_page::users_are_named(Kind::Firefox)
}

#[test]
fn users_are_named_in_webkit() -> Result<()> {
    session_page::users_are_named(Kind::WebKit)
}

#[test]
fn dead_letters_are_shown_in_chromium() -> Result<()> {
    dead_letters::are_shown(Kind::Chromium)
}

#[test]
fn dead_letters_are_shown_in_firefox() -> Result<()> {
    dead_letters::are_shown(Kind::Firefox)
}

#[test]
fn dead_letters_are_shown_in_webkit() -> Result<()> {
    dead_letters::are_shown(Kind::WebKit)
}
