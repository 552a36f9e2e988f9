//! Breaches of the protocol: told with the right code, and ended by a FIN.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::cases::{Cases, Violation};
use super::clients;
use super::frame::{Frame, MASK};
use super::peer::{Ended, Peer, TcpEnd};
use super::report::{About, Figures, Finding, Verdict};
use super::target::Target;

/// A server that has not answered by then does not notice.
const DEADLINE: Duration = Duration::from_secs(5);

/// Cases that are named in the table.
const SHOWN: usize = 4;

/// Bytes of a message behind the offence.
const MESSAGE: usize = 16 * 1024;

pub(crate) const BARE: About = About {
    id: "violations",
    title: "Protocol errors",
    meaning: "The author of a faulty client sees 1006 and has nothing to go by; so does everyone \
              behind a proxy that mangles frames.",
    remedy: "Answer with Close 1002 (protocol error), 1007 (bad UTF-8) or 1009 (too big), then \
             FIN (RFC 6455 §7.4.1). The figures name the cases.",
};

pub(crate) const IN_FLIGHT: About = About {
    id: "violations_in_flight",
    title: "Protocol errors with data in flight",
    meaning: "The server knows what was wrong, but the client cannot read it: an RST overtakes \
              the Close, because bytes were left unread.",
    remedy: "After the Close shut down the write side, read and discard until the peer's FIN, and \
             only then close the socket.",
};

/// All cases with nothing behind them.
pub(crate) async fn bare(target: &Target, cases: &Cases) -> Finding {
    run(target, cases, 0, BARE).await
}

/// All cases with data in flight.
pub(crate) async fn in_flight(target: &Target, cases: &Cases) -> Finding {
    run(target, cases, cases.in_flight.bytes, IN_FLIGHT).await
}

async fn run(target: &Target, cases: &Cases, behind: usize, about: About) -> Finding {
    let tasks = cases.violations.iter().map(|case| {
        let (target, bytes) = (target.clone(), case.bytes());
        tokio::spawn(async move { offend(&target, &bytes, behind).await })
    });
    let ends = clients::join(tasks).await;
    let all: Vec<(&Violation, Option<Ended>)> = cases.violations.iter().zip(ends).collect();
    let count = |well: fn(&Violation, &Ended) -> bool| {
        all.iter().filter(|(case, end)| end.as_ref().is_some_and(|end| well(case, end))).count()
    };
    let right = count(|case, end| end.close == Some(Some(case.code)));
    let clean = count(|case, end| end.is_clean_with(case.code));
    let others = all.iter().filter_map(|(case, end)| {
        let well = end.as_ref().is_some_and(|end| end.is_clean_with(case.code));
        (!well).then(|| format!("{}: {}", case.name, seen(case, end.as_ref())))
    });
    let others: Vec<String> = others.collect();
    let total = all.len();
    let verdict = if right < total { Verdict::Bad } else { Verdict::Weak.unless(clean == total) };
    let detail = (!others.is_empty()).then(|| listed(&others));
    let figures = Figures::default()
        .with("cases", total)
        .with("right_code", right)
        .with("clean", clean)
        .with("bytes_behind", behind)
        .with("others", others);
    let summary = format!("right code {right} of {total}, and a clean end {clean} of {total}");
    about.found(verdict, summary, figures).detail(detail)
}

/// The first cases that fell short; the report for machines has them all.
fn listed(others: &[String]) -> String {
    let first = others.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match others.len().saturating_sub(SHOWN) {
        0 => format!("{first}."),
        more => format!("{first}; and {more} more (--json lists them)."),
    }
}

/// Breaks the protocol, goes on sending, and hears the end out. `None`: no connection.
async fn offend(target: &Target, bytes: &[u8], behind: usize) -> Option<Ended> {
    let mut peer = Peer::open(target).await.ok()?;
    peer.say_bytes(bytes);
    let message = Frame::binary(vec![0x55; MESSAGE]).bytes(Some(MASK));
    for _ in 0..behind / MESSAGE {
        peer.say_bytes(&message);
    }
    let deadline = Instant::now() + DEADLINE;
    let close = timeout_at(deadline, peer.close_frame()).await.unwrap_or(None);
    Some(peer.farewell(close.as_ref(), Instant::now(), deadline).await)
}

/// What came instead, in a few words.
fn seen(case: &Violation, end: Option<&Ended>) -> String {
    let Some(end) = end else { return "no connection".to_owned() };
    let close = match end.close {
        Some(Some(code)) if code == case.code => format!("Close {code}"),
        Some(Some(code)) => format!("Close {code}, not {}", case.code),
        Some(None) => "a Close without a code".to_owned(),
        None => "no Close".to_owned(),
    };
    let tcp = match (end.end, end.reset) {
        (None, _) => "still open",
        (Some(_), true) => "RST",
        (Some(TcpEnd::Fin), false) => "FIN",
        (Some(TcpEnd::Reset), false) => "RST",
    };
    format!("{close}, {tcp}")
}
