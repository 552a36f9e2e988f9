//! `adieu connect` as people and scripts meet it: the command as a process, servers over real
//! sockets that do as they are told, and a pseudo-terminal.

mod compression;
mod documents;
mod exits;
mod secrets;
mod talking;
#[cfg(target_os = "linux")]
mod terminal;
mod tls;
mod ways;
mod world;
