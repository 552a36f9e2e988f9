//! The programs of the guides at work: each is started as a process, and peers of the testkit talk
//! with it over real sockets. What the documents show and count is what is run here.

mod conversations;
mod differences;
mod documents;
mod names;
mod process;
mod smallest;
