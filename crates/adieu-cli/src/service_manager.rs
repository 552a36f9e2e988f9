//! The service manager that started this process: systemd, or another that speaks its protocol
//! (`sd_notify`, socket activation). It is told how the gateway is, and it may hand over the
//! sockets to listen on. Without one, nothing here does anything.

use std::time::Duration;

use adieu::Drain;
use adieu_gateway::gateway::Gateway;
use adieu_gateway::session::shard::Counts;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::listen::Bound;

/// How often the status line of a gateway that serves is made anew, if it has changed.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// The same while it stops: an administrator watches.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How long the engine may take to say how many sessions there are.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the gateway stands, as the service manager knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It listens.
    Ready,
    /// It reads its certificates again.
    Reloading,
    /// Its connections are ended.
    Stopping,
    /// They are over, and the backend is told the last events.
    LastEvents,
}

impl Phase {
    /// The phase when this is told. A stop is never taken back: certificates that are read again
    /// meanwhile say nothing of it.
    fn then(self, next: Phase) -> Phase {
        match (self, next) {
            (Phase::Ready | Phase::Reloading, next) => next,
            (Phase::Stopping | Phase::LastEvents, Phase::LastEvents) => Phase::LastEvents,
            (stopping, _) => stopping,
        }
    }
}

/// Tells the service manager. A clone is the same.
#[derive(Clone)]
pub(crate) struct ServiceManager(UnboundedSender<Phase>);

impl ServiceManager {
    /// Tells that this gateway is ready, and from now on how it is. All of it is told by a task of
    /// the runtime: where the runtime is stuck, the watchdog hears nothing.
    pub(crate) fn ready(gateway: Gateway, drain: Drain) -> Self {
        let (tell, told) = unbounded_channel();
        let manager = ServiceManager(tell);
        manager.tell(Phase::Ready);
        if system::is_there() {
            let status = StatusLine { gateway, drain, phase: Phase::Ready, connections: 0 };
            tokio::spawn(attend(told, status));
        }
        manager
    }

    /// The gateway has come to this phase.
    pub(crate) fn tell(&self, phase: Phase) {
        // Without a service manager nobody listens.
        let _ = self.0.send(phase);
    }
}

/// The sockets that the service manager listens on already, if it hands any over. Another process
/// goes on with them when this one has ended.
///
/// # Errors
/// If one of them is no socket of TCP, and no Unix socket.
pub(crate) fn listeners() -> Result<Vec<Bound>, String> {
    system::listeners().map_err(|error| {
        // FAQ: serve-inherited
        format!(
            "a socket of the service manager (LISTEN_FDS) cannot be used: {error}; hand over \
             sockets that listen, of TCP or Unix sockets, as deploy/systemd/adieu.socket does"
        )
    })
}

/// Why the service manager is told something.
enum Reason {
    Phase(Phase),
    /// The status may have changed.
    Status,
    Watchdog,
}

/// Tells each phase as it comes, the status in between, and the watchdog.
async fn attend(mut told: UnboundedReceiver<Phase>, mut status: StatusLine) {
    let mut watchdog = system::watchdog().map(|length| every(length / 2));
    let (mut last, mut look_at) = (String::new(), Instant::now() + STATUS_EVERY);
    let mut deaf = false;
    loop {
        let reason = tokio::select! {
            // In this order: what has happened is told before that it lives.
            biased;
            Some(phase) = told.recv() => Reason::Phase(phase),
            () = tick(&mut watchdog) => Reason::Watchdog,
            () = sleep_until(look_at) => Reason::Status,
        };
        let mut say = match reason {
            Reason::Phase(phase) if status.comes_to(phase) => vec![Said::Phase(phase)],
            Reason::Phase(_) => Vec::new(),
            Reason::Watchdog => vec![Said::Watchdog],
            Reason::Status => Vec::new(),
        };
        if !matches!(reason, Reason::Watchdog) {
            let line = status.line().await;
            look_at = Instant::now() + status.every();
            if line != last {
                last.clone_from(&line);
                say.push(Said::Status(line));
            }
        }
        if say.is_empty() {
            continue;
        }
        match system::notify(say).await {
            Ok(()) => deaf = false,
            // Told once, for this goes on as long as the process. The name of its socket is
            // inherited, also by those that it has not started.
            Err(error) if !deaf => {
                tracing::warn!("NOTIFY_SOCKET: the service manager cannot be told: {error}");
                deaf = true;
            }
            Err(_) => {}
        }
    }
}

/// What is said at a time.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody hears it"))]
enum Said {
    Phase(Phase),
    Status(String),
    Watchdog,
}

/// What `systemctl status` shows of a gateway.
struct StatusLine {
    gateway: Gateway,
    drain: Drain,
    phase: Phase,
    /// How many there were when the phase began.
    connections: usize,
}

impl StatusLine {
    /// Whether this is to be told, too.
    fn comes_to(&mut self, next: Phase) -> bool {
        let phase = self.phase.then(next);
        if phase != self.phase {
            (self.phase, self.connections) = (phase, self.drain.connections());
        }
        phase == next
    }

    fn every(&self) -> Duration {
        match self.phase {
            Phase::Ready | Phase::Reloading => STATUS_EVERY,
            Phase::Stopping | Phase::LastEvents => PROGRESS_EVERY,
        }
    }

    async fn line(&self) -> String {
        let live = self.drain.connections();
        match self.phase {
            Phase::Ready | Phase::Reloading => {
                let counts = tokio::time::timeout(PATIENCE, self.gateway.count()).await;
                serving(live, counts.ok().and_then(Result::ok))
            }
            Phase::Stopping => {
                let all = counted(self.connections.max(live), "connection");
                format!("Stopping: {live} of {all} left")
            }
            Phase::LastEvents => {
                let events = self.gateway.deliveries().waiting().events;
                format!("Stopping: {} left to tell the backend", counted(events, "event"))
            }
        }
    }
}

fn serving(connections: usize, counts: Option<Counts>) -> String {
    let connections = counted(connections, "connection");
    match counts {
        Some(Counts { attached, away, .. }) => {
            format!("{connections}; {} connected, {away} away", counted(attached, "session"))
        }
        None => format!("{connections}; the sessions are not known, the store does not answer"),
    }
}

/// `1 event`, `2 events`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn every(length: Duration) -> Interval {
    let mut ticks = interval(length);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The next tick; never, where there is no watchdog.
async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(ticks) => _ = ticks.tick().await,
        None => std::future::pending().await,
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::time::Duration;

    use adieu_gateway::serve::Listener;
    use listenfd::ListenFd;
    use sd_notify::NotifyState;
    use tokio::net::{TcpListener, UnixListener};

    use super::{Bound, Phase, Said};

    pub(super) fn is_there() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// How often it wants to hear that this process lives.
    pub(super) fn watchdog() -> Option<Duration> {
        // An interval cannot be empty.
        sd_notify::watchdog_enabled().filter(|length| *length >= Duration::from_millis(2))
    }

    /// The sockets that it hands over.
    pub(super) fn listeners() -> io::Result<Vec<Bound>> {
        let mut sockets = ListenFd::from_env();
        (0..sockets.len()).map(|at| inherited(&mut sockets, at)).collect()
    }

    fn inherited(sockets: &mut ListenFd, at: usize) -> io::Result<Bound> {
        // A socket of another kind is left where it is.
        let not_tcp = match sockets.take_tcp_listener(at) {
            Ok(Some(tcp)) => {
                tcp.set_nonblocking(true)?;
                let addr = tcp.local_addr()?;
                let listener = Listener::Inherited(TcpListener::from_std(tcp)?);
                let name = addr.to_string();
                return Ok(Bound { listener, name, addr: Some(addr), file: None });
            }
            Ok(None) => io::Error::other("it was taken before"),
            Err(error) => error,
        };
        let Ok(Some(unix)) = sockets.take_unix_listener(at) else { return Err(not_tcp) };
        unix.set_nonblocking(true)?;
        let address = unix.local_addr()?;
        let path = address.as_pathname().map(|path| path.display().to_string());
        let name = format!("unix:{}", path.unwrap_or_default());
        let listener = Listener::InheritedUnix(UnixListener::from_std(unix)?);
        Ok(Bound { listener, name, addr: None, file: None })
    }

    /// Says this, off the runtime's threads: where the service manager does not read, it blocks.
    pub(super) async fn notify(say: Vec<Said>) -> io::Result<()> {
        let said = tokio::task::spawn_blocking(move || {
            let states: Vec<_> = say.iter().flat_map(states).collect();
            sd_notify::notify(&states)
        });
        said.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn states(said: &Said) -> Vec<NotifyState<'_>> {
        match said {
            Said::Phase(Phase::Ready) => vec![NotifyState::Ready],
            Said::Phase(Phase::Reloading) => match NotifyState::monotonic_usec_now() {
                // Type=notify-reload needs the time, too.
                Ok(now) => vec![NotifyState::Reloading, now],
                Err(_) => vec![NotifyState::Reloading],
            },
            Said::Phase(Phase::Stopping) => vec![NotifyState::Stopping],
            // A stop has one state only; the status says how far it is.
            Said::Phase(Phase::LastEvents) => Vec::new(),
            Said::Status(line) => vec![NotifyState::Status(line)],
            Said::Watchdog => vec![NotifyState::Watchdog],
        }
    }
}

/// Only Linux has systemd.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::time::Duration;

    use super::{Bound, Said};

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn watchdog() -> Option<Duration> {
        None
    }

    pub(super) fn listeners() -> io::Result<Vec<Bound>> {
        Ok(Vec::new())
    }

    pub(super) async fn notify(_: Vec<Said>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_never_taken_back() {
        use Phase::{LastEvents, Ready, Reloading, Stopping};
        for (phase, next, then) in [
            (Ready, Reloading, Reloading),
            (Reloading, Ready, Ready),
            (Reloading, Stopping, Stopping),
            (Stopping, Ready, Stopping),
            (Stopping, Reloading, Stopping),
            (Stopping, LastEvents, LastEvents),
            (LastEvents, Ready, LastEvents),
            (LastEvents, Stopping, LastEvents),
        ] {
            assert_eq!(phase.then(next), then, "{phase:?}, {next:?}");
        }
    }

    #[test]
    fn the_status_counts_connections_and_sessions() {
        let counts = Counts { attached: 1, away: 2, ..Counts::default() };
        assert_eq!(serving(2, Some(counts)), "2 connections; 1 session connected, 2 away");
        assert!(serving(1, None).starts_with("1 connection; the sessions are not known"));
    }
}
