//! The signals that stop a process.

/// Heard from when it is made, so that none is missed between two waits.
pub(crate) struct Signals {
    #[cfg(unix)]
    unix: Unix,
}

#[cfg(unix)]
struct Unix {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    /// `None` for a process that is to outlive its terminal (nohup).
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = if hang_up_is_ignored() { None } else { signal(SignalKind::hangup()).ok() };
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
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
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
