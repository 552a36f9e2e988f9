//! The signals that stop a process, or have it read its files anew.

/// Heard from when it is made, so that none is missed between two waits.
pub(crate) struct Signals {
    #[cfg(unix)]
    unix: Unix,
}

/// Hears that files are to be read anew.
pub(crate) struct Reloads {
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
struct Unix {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    /// `None` where SIGHUP does not stop the process.
    hang_up: Option<tokio::signal::unix::Signal>,
}

/// What SIGHUP means.
#[cfg(unix)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum HangUp {
    /// The terminal was closed.
    Stop,
    /// There is no terminal that could be closed: so daemons are told to read their files anew.
    Reload,
    /// The process is to outlive its terminal (nohup).
    Nothing,
}

#[cfg(unix)]
impl HangUp {
    fn of_this_process() -> Self {
        if hang_up_is_ignored() {
            HangUp::Nothing
        } else if has_terminal() {
            HangUp::Stop
        } else {
            HangUp::Reload
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// For a command that has nothing to read anew.
    pub(crate) fn new() -> Self {
        let stops = HangUp::of_this_process() != HangUp::Nothing;
        Self::with(stops)
    }

    /// For a server, which has [`Reloads`] beside them.
    pub(crate) fn of_a_server() -> Self {
        Self::with(HangUp::of_this_process() == HangUp::Stop)
    }

    fn with(hang_up_stops: bool) -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = hang_up_stops.then(hang_up).flatten();
        let interrupt = signal(SignalKind::interrupt()).ok();
        let terminate = signal(SignalKind::terminate()).ok();
        Signals { unix: Unix { interrupt, terminate, hang_up } }
    }

    /// Ctrl-C, SIGTERM, or SIGHUP: the terminal was closed.
    pub(crate) async fn stop(&mut self) {
        let Unix { interrupt, terminate, hang_up } = &mut self.unix;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
            () = received(hang_up) => {}
        }
    }

    /// One that says it again. A terminal that closes sends SIGHUP from its shell and from the
    /// kernel: that is said once.
    pub(crate) async fn insist(&mut self) {
        let Unix { interrupt, terminate, .. } = &mut self.unix;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

#[cfg(unix)]
impl Reloads {
    /// Heard from now on: a signal that comes before would end the process.
    pub(crate) fn new() -> Self {
        let reloads = HangUp::of_this_process() == HangUp::Reload;
        Reloads { hang_up: reloads.then(hang_up).flatten() }
    }

    /// SIGHUP, where there is no terminal.
    pub(crate) async fn next(&mut self) {
        received(&mut self.hang_up).await;
    }
}

#[cfg(unix)]
fn hang_up() -> Option<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok()
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Whether this process has a controlling terminal: this name is that of its own (tty(4)).
#[cfg(unix)]
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process was started so that SIGHUP does nothing. Only Linux tells.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is 1, the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> Self {
        Signals {}
    }

    pub(crate) fn of_a_server() -> Self {
        Signals {}
    }

    /// Ctrl-C.
    pub(crate) async fn stop(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The same again.
    pub(crate) async fn insist(&mut self) {
        self.stop().await;
    }
}

#[cfg(not(unix))]
impl Reloads {
    pub(crate) fn new() -> Self {
        Reloads {}
    }

    /// Never: there is no such signal.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}
