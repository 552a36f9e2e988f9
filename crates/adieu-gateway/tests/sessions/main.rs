//! Sessions as people meet them: the command `adieu` as a process, clients over real sockets, and a
//! backend that is told.

mod backend_trouble;
mod bad_input;
mod cost;
mod drain;
mod example;
mod faults;
mod kill;
mod leaving;
mod resume;
mod serving;
mod takeover;
mod world;
