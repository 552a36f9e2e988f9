//! Sessions in real browsers, with the real client.

#[path = "../../../crates/adieu-cli/tests/sessions/world/backend.rs"]
#[allow(dead_code, reason = "written for the gateway's own tests")]
mod backend;
mod delay;
mod site;
mod world;

mod coming_back;
mod credentials;
mod first_visit;
mod last_words;
mod own_page;
mod plain;
mod react;
