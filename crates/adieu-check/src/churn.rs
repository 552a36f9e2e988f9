//! Clients that come and go: page refreshes, and reconnects from one address without a pause.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::frame::Frame;
use super::peer::{OpenError, Peer};
use super::plan::Plan;
use super::probe::{self, Abilities};
use super::process::Process;
use super::report::{About, Figures, Finding, Verdict, time};
use super::target::Target;

/// Browsers that refresh at the same time.
const AT_ONCE: usize = 20;

/// A healthy server serves one client within this, under whatever load a check has made.
const HEALTHY: Duration = Duration::from_secs(2);

/// Sockets of connections that are over have to be gone by then (a handshake's grace included).
const SETTLE: Duration = Duration::from_secs(5);

/// So many that are refused, or that the server does not end, are enough: each of those takes as
/// long as is waited for it.
const ENOUGH: usize = 20;

/// Sockets that may be there for other reasons: the mute peer of another check, a keep-alive.
const SLACK: usize = 4;

pub(crate) const REFRESH: About = About {
    id: "refresh",
    title: "Page refreshes",
    meaning: "A browser that leaves a page sends Close 1001 and its FIN at once and resets what \
              comes after; a server that trips over it fails its other visitors.",
    remedy: "Read everything that is readable before you believe a write error, and treat \
             ECONNRESET and EPIPE as one connection's end, never as the process's.",
};

pub(crate) const RECONNECT: About = About {
    id: "reconnect",
    title: "Reconnects at once",
    meaning: "People who come straight back (a refresh, a network change) are turned away, or \
              the server keeps something of everyone who left, until it is full.",
    remedy: "Accept in a loop that survives errors with a deep queue, end each connection \
             (a CLOSE_WAIT is a socket that nobody closed), and limit addresses in a proxy if \
             at all.",
};

/// Close 1001, FIN, close(2), many times, with answers on the way; over HTTP/2 what browsers do
/// there.
pub(crate) async fn refresh(target: &Target, able: Abilities, plan: &Plan) -> Finding {
    let times = plan.refreshes;
    let browsers = (0..AT_ONCE).map(|n| {
        let pages = times / AT_ONCE + usize::from(n < times % AT_ONCE);
        tokio::spawn(browser(target.clone(), pages))
    });
    let refused: usize = super::clients::join(browsers).await.into_iter().sum();
    let served = health(target, able).await;
    let well = refused == 0 && served.is_some();
    let healthy = match served {
        Some(took) => format!("healthy after it ({})", time(took)),
        None => "unhealthy after it".to_owned(),
    };
    let figures = Figures::default()
        .with("times", times)
        .with("refused", refused)
        .with("healthy", served.is_some())
        .with_ms("served_in_ms", served);
    let summary = format!("{} of {times} let in, {healthy}", times - refused);
    REFRESH.found(Verdict::Bad.unless(well), summary, figures)
}

/// A browser that refreshes its page again and again, with answers of the server on the way to it;
/// how many of so many pages were refused.
async fn browser(target: Target, pages: usize) -> usize {
    let mut refused = 0;
    let mut before: Option<Peer> = None;
    for page in 0..pages {
        let opened = match before.take() {
            Some(peer) => peer.next_page(&target).await,
            None => Peer::open(&target).await,
        };
        let Ok(mut peer) = opened else {
            refused += 1;
            continue;
        };
        for n in 0..5 {
            peer.say(&Frame::text(format!("before the refresh {n}")));
        }
        peer.leave_page(page).await;
        before = Some(peer);
    }
    refused
}

/// How long a new client takes from connecting to the answer to its Close.
async fn health(target: &Target, able: Abilities) -> Option<Duration> {
    let started = Instant::now();
    let visit = async {
        let mut peer = Peer::open(target).await.ok()?;
        if able.echo {
            peer.say(&Frame::text("healthy?"));
            peer.frame().await.filter(|frame| frame.opcode == 0x1)?;
        }
        peer.say(&Frame::close(1000, ""));
        peer.close_frame().await.map(drop)
    };
    timeout(HEALTHY, visit).await.ok().flatten().map(|()| started.elapsed())
}

/// One client that connects, says goodbye and connects again.
pub(crate) async fn reconnect(target: &Target, plan: &Plan, process: Option<&Process>) -> Finding {
    let before = process.and_then(Process::sockets);
    let started = Instant::now();
    let mut refused = 0;
    let mut unanswered = 0;
    let mut unended = 0;
    let mut why = None;
    let mut times = 0;
    while times < plan.reconnects && unended <= ENOUGH {
        times += 1;
        match visit(target).await {
            Ok(visit) => {
                unanswered += usize::from(!visit.answered);
                unended += usize::from(!visit.ended);
            }
            Err(error) => {
                refused += 1;
                why.get_or_insert_with(|| probe::explain(target, error));
                // A server that refuses everybody is not asked ten thousand times.
                if refused > ENOUGH {
                    break;
                }
            }
        }
    }
    let took = started.elapsed();
    let left = match (process, before) {
        (Some(process), Some(before)) => Some(leftovers(process, before).await),
        _ => None,
    };
    let well = refused == 0 && unanswered == 0 && left.is_none_or(|left| left == 0);
    let each = took.as_secs_f64() * 1000.0 / times.max(1) as f64;
    let mut summary = match (refused, unanswered) {
        (0, 0) => format!("{times} times, none refused, {each:.2} ms each"),
        (0, some) => format!("{some} of {times} Closes unanswered"),
        (some, _) => format!("{some} of {times} refused: {}", why.unwrap_or_default()),
    };
    if unended > ENOUGH {
        summary += ", and no more: the server does not end them";
    }
    if let Some(left) = left {
        summary += &format!(", {left} sockets left over");
    }
    let figures = Figures::default()
        .with("times", times)
        .with("refused", refused)
        .with("close_unanswered", unanswered)
        .with("sockets_left", left)
        .with_ms("took_ms", Some(took));
    RECONNECT.found(Verdict::Bad.unless(well), summary, figures)
}

/// What came of a client that said goodbye.
struct Visit {
    /// Its Close was answered before the end.
    answered: bool,
    /// The server has ended its direction.
    ended: bool,
}

async fn visit(target: &Target) -> Result<Visit, OpenError> {
    let mut peer = Peer::open(target).await?;
    peer.say(&Frame::close(1000, ""));
    let mut answered = false;
    let answer = async {
        answered = peer.close_frame().await.is_some();
        peer.reach_end().await;
    };
    // One that never ends is another check's subject.
    let ended = timeout(HEALTHY, answer).await.is_ok();
    Ok(Visit { answered, ended })
}

/// Sockets that the process has more than before, once it had time to close them.
async fn leftovers(process: &Process, before: usize) -> usize {
    let deadline = Instant::now() + SETTLE;
    loop {
        let now = process.sockets().unwrap_or(0);
        let more = now.saturating_sub(before + SLACK);
        if more == 0 || Instant::now() >= deadline {
            return more;
        }
        // Only spares the processor: the condition decides.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
