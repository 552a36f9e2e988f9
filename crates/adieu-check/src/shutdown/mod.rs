//! What clients see when the server gets SIGTERM.

mod crowd;
mod tally;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use self::crowd::{Kind, Phase, Scene, Seen};
use self::tally::{Course, Tally};
use super::cases::Cases;
use super::clients::{self, Rate};
use super::plan::Plan;
use super::probe::Abilities;
use super::process::Process;
use super::report::{About, Figures, Finding, Verdict};
use super::target::Target;

/// All clients have done by then what they do before the signal.
const SETUP: Duration = Duration::from_secs(15);

/// A server that runs on so long after SIGTERM does not exit. (The slowest known default is 30 s.)
const WATCH: Duration = Duration::from_secs(35);

/// The same with small numbers.
const WATCH_QUICK: Duration = Duration::from_secs(15);

const MEANING: &str = "Each deployment cuts people off: they see 1006, lose what they had just \
     sent or what was on its way to them, and browsers slow down their reconnects.";

const REMEDY: &str = "At SIGTERM stop accepting, answer what has arrived, let every queue leave, \
     send Close 1001 behind it, read on until each peer's FIN, and give up those that make no \
     progress; then exit.";

/// One shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    Idle,
    Busy,
    Mixed,
    VerySlow,
}

impl Mix {
    /// The order in which they are run.
    pub(crate) const ALL: [Mix; 4] = [Mix::Idle, Mix::Busy, Mix::Mixed, Mix::VerySlow];

    pub(crate) fn about(self) -> About {
        let (id, title) = match self {
            Mix::Idle => ("shutdown_idle", "SIGTERM, idle clients"),
            Mix::Busy => ("shutdown_busy", "SIGTERM, busy clients"),
            Mix::Mixed => ("shutdown_mixed", "SIGTERM, busy, slow and frozen clients"),
            Mix::VerySlow => ("shutdown_very_slow", "SIGTERM, very slow readers"),
        };
        About { id, title, meaning: MEANING, remedy: REMEDY }
    }

    /// Why this one cannot be run, if it cannot.
    pub(crate) fn obstacle(self, able: Abilities) -> Option<&'static str> {
        match self {
            Mix::Idle => None,
            Mix::Busy if able.echo => None,
            Mix::Busy => Some("the server does not echo"),
            Mix::Mixed | Mix::VerySlow if able.convention => None,
            Mix::Mixed | Mix::VerySlow => Some("the server does not know the convention"),
        }
    }
}

/// The numbers of one shutdown.
struct Script {
    clients: Vec<(Kind, usize)>,
    batch: usize,
    queued: usize,
    buffer: u32,
    rate: Rate,
    /// Longer than this is more than its clients need.
    exit: Option<Duration>,
    code: u16,
}

impl Script {
    fn new(mix: Mix, cases: &Cases, plan: &Plan) -> Self {
        let it = &cases.shutdown;
        let n = |full: usize| plan.scaled(full);
        let clients = match mix {
            Mix::Idle => vec![(Kind::Idle, n(it.idle.clients))],
            Mix::Busy => {
                vec![(Kind::PingPong, n(it.busy.ping_pong)), (Kind::Batch, n(it.busy.batch))]
            }
            Mix::Mixed => vec![
                (Kind::PingPong, n(it.mixed.busy)),
                (Kind::Batch, n(it.mixed.batch)),
                (Kind::Slow, n(it.mixed.slow)),
                (Kind::Frozen, n(it.mixed.frozen)),
            ],
            Mix::VerySlow => vec![(Kind::Slow, n(it.very_slow.clients))],
        };
        let (queued, bytes_per_second) = match mix {
            Mix::VerySlow => (it.very_slow.slow_queued_bytes, it.very_slow.slow_bytes_per_second),
            _ => (it.mixed.slow_queued_bytes, it.mixed.slow_bytes_per_second),
        };
        // With small numbers a very slow reader would take as long as with large ones.
        let queued = if plan.quick && mix == Mix::VerySlow { queued / 4 } else { queued };
        Script {
            clients,
            batch: it.busy.batch_messages,
            queued,
            buffer: it.mixed.slow_receive_buffer,
            rate: Rate { bytes_per_second, read: it.mixed.slow_read },
            exit: (mix != Mix::VerySlow)
                .then(|| Duration::from_secs_f64(it.mixed.exit_seconds_below)),
            code: it.code,
        }
    }

    fn watch(&self, plan: &Plan) -> Duration {
        let slow = self.clients.iter().any(|(kind, _)| *kind == Kind::Slow);
        let reading = if slow { self.rate.needs(self.queued) } else { Duration::ZERO };
        reading + if plan.quick { WATCH_QUICK } else { WATCH }
    }
}

/// Runs one shutdown of this process. An error says what kept it from being one.
pub(crate) async fn run(
    mix: Mix,
    target: &Target,
    process: &mut Process,
    cases: &Cases,
    plan: &Plan,
) -> Result<Finding, String> {
    let script = Script::new(mix, cases, plan);
    let mut peers = Vec::new();
    for (kind, clients) in &script.clients {
        let buffer = matches!(kind, Kind::Slow | Kind::Frozen).then_some(script.buffer);
        for (number, peer) in clients::open(target, *clients, buffer).await?.into_iter().enumerate()
        {
            peers.push((*kind, number, peer));
        }
    }
    let mut signals = process.arm()?;
    let deadline = Instant::now() + SETUP + script.watch(plan);
    let (phase, phases) = watch::channel(Phase::Load);
    let (ready, mut readies) = mpsc::unbounded_channel();
    let signalled = Arc::new(OnceLock::new());
    let scene = Scene {
        phase: phases,
        ready,
        signalled: signalled.clone(),
        deadline,
        batch: script.batch,
        queued: script.queued,
        rate: script.rate,
    };
    let batch = peers.iter().filter(|(kind, ..)| *kind == Kind::Batch).count();
    let others = peers.len() - batch;
    let tasks: Vec<_> = peers
        .into_iter()
        .map(|(kind, number, peer)| (kind, crowd::spawn(kind, number, peer, scene.clone())))
        .collect();
    let setup = Instant::now() + SETUP;
    all_ready(&mut readies, others, setup).await?;
    if batch > 0 {
        signals.hold().await?;
    }
    phase.send_replace(Phase::Batch);
    all_ready(&mut readies, batch, setup).await?;
    let cpu = process.cpu();
    let now = Instant::now();
    let _ = signalled.set(now);
    // The slow ones begin to read when the signal is out.
    signals.send().await?;
    phase.send_replace(Phase::Signalled);
    let exit = process.exit(now, deadline).await;
    let (frozen, live): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(|(kind, _)| *kind == Kind::Frozen);
    let seen: Vec<Seen> = clients::join(live.into_iter().map(|(_, task)| task)).await;
    phase.send_replace(Phase::Over);
    let frozen = clients::join(frozen.into_iter().map(|(_, task)| task)).await.len();
    let tally = Tally::new(&seen, frozen, script.queued, script.code);
    let course = Course::new(&seen, now, exit, cpu);
    Ok(tally.finding(mix.about(), course, script.exit))
}

async fn all_ready(
    readies: &mut mpsc::UnboundedReceiver<()>,
    clients: usize,
    deadline: Instant,
) -> Result<(), String> {
    for done in 0..clients {
        if !matches!(timeout_at(deadline, readies.recv()).await, Ok(Some(()))) {
            return Err(format!(
                "only {done} of {clients} clients were answered within {} s",
                SETUP.as_secs()
            ));
        }
    }
    Ok(())
}

/// A shutdown that could not be run because its clients were not served.
pub(crate) fn impossible(mix: Mix, why: &str) -> Finding {
    mix.about().found(Verdict::Bad, why, Figures::default())
}
