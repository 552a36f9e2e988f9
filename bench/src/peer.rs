//! What the servers of the other libraries share: the mode, and how they listen.

use std::net::{Ipv4Addr, TcpListener};

use crate::sys;

/// What a server does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Says each back.
    Echo,
    /// The same, for the connect cycles. Only the floor, which cannot tell a Close from other
    /// bytes, does something else: it hangs up behind its first answer.
    Goodbye,
    /// Closes all connections with 1001 at the first message.
    Storm,
    /// Sends each to all connections.
    FanOut,
}

impl Mode {
    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Echo => "echo",
            Mode::Goodbye => "goodbye",
            Mode::Storm => "storm",
            Mode::FanOut => "fanout",
        }
    }

    /// The mode that the command line asks for.
    ///
    /// # Panics
    /// If it asks for none.
    #[must_use]
    pub fn from_args() -> Self {
        let word = std::env::args().nth(1).unwrap_or_default();
        let all = [Mode::Echo, Mode::Goodbye, Mode::Storm, Mode::FanOut];
        let mode = all.into_iter().find(|mode| mode.word() == word);
        mode.expect("a mode: echo, goodbye, storm or fanout")
    }
}

/// Listens on a free port and prints it. Every server gets the same queue of waiting
/// connections, so that none is measured by its default.
///
/// # Panics
/// If there is no free port, or outside a tokio runtime.
#[must_use]
pub fn listen() -> tokio::net::TcpListener {
    let listener = listen_std();
    listener.set_nonblocking(true).expect("non-blocking");
    tokio::net::TcpListener::from_std(listener).expect("a runtime")
}

/// The same without tokio.
///
/// # Panics
/// If there is no free port.
#[must_use]
pub fn listen_std() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    sys::longer_backlog(&listener);
    println!("{}", listener.local_addr().expect("an address").port());
    listener
}

/// Ready when all connections are to be closed.
pub async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
