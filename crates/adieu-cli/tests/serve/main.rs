//! The command `adieu serve` as an operator meets it: what it says, where it listens, what it logs,
//! and what it says of mistakes.
#![cfg(unix)]

mod certificates;
mod help;
mod http2;
mod listening;
mod log;
mod login;
mod mistakes;
mod peers;
mod scarce;
mod world;
