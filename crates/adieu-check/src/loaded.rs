//! Closes under load: in the middle of an upload, and behind a backlog for a slow reader. Both
//! need a server that closes when asked (the convention).

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::clients;
use super::frame::{Frame, MASK};
use super::peer::{Ended, Peer};
use super::plan::Plan;
use super::probe::{self, Abilities};
use super::report::{About, Figures, Finding, Verdict};
use super::target::Target;

/// The code that the server is asked for.
const CODE: u16 = 4000;

/// Bytes of a message of an upload.
const MESSAGE: usize = 16 * 1024;

/// Messages that an uploader sends before it asks for the Close.
const BEFORE: usize = 8;

/// Small messages of a reader that also writes.
const CHATTER: usize = 20;

/// All clients together have so long, beside what a slow reader needs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A slow reader's receive buffer: what it does not read stays with the server.
const SMALL_BUFFER: u32 = 64 * 1024;

pub(crate) const UPLOAD: About = About {
    id: "upload",
    title: "Close during an upload",
    meaning: "A client that is sending when the server says goodbye never reads it: it sees 1006 \
              or a network error, and never learns code or reason.",
    remedy: "After your Close shut down the write side only, read on and discard until the peer's \
             Close and FIN. To close(2) a socket with unread bytes makes the kernel send an RST \
             and throw the Close away.",
};

pub(crate) const BACKLOG: About = About {
    id: "backlog",
    title: "Close behind a backlog",
    meaning: "Slow readers lose the end of what was sent to them, or the goodbye behind it: a \
              download that ends short, with 1006.",
    remedy: "Let the Close wait in the same queue as the data, flush both, and linger until the \
             peer's FIN while its kernel still acknowledges bytes.",
};

/// Clients that send without pause while the server closes.
pub(crate) async fn upload(target: &Target, able: Abilities, plan: &Plan) -> Finding {
    if !able.convention {
        return UPLOAD.skipped("the server does not know the convention");
    }
    let peers = match clients::open(target, plan.uploads, None).await {
        Ok(peers) => peers,
        Err(why) => return UPLOAD.found(Verdict::Bad, why, Figures::default()),
    };
    let deadline = Instant::now() + DEADLINE;
    let tasks = peers.into_iter().map(|peer| tokio::spawn(uploader(peer, deadline)));
    let ended = clients::join(tasks).await;
    let all = ended.len();
    let read = ended.iter().filter(|it| it.close == Some(Some(CODE))).count();
    let clean = ended.iter().filter(|it| it.is_clean_with(CODE)).count();
    let resets = ended.iter().filter(|it| it.reset).count();
    let open = ended.iter().filter(|it| it.end.is_none()).count();
    let verdict = if read < all { Verdict::Bad } else { Verdict::Weak.unless(clean == all) };
    let summary = format!("{read} of {all} read the Close, {clean} ended by FIN without an RST");
    let figures = Figures::default()
        .with("clients", all)
        .with("read_close", read)
        .with("clean", clean)
        .with("reset", resets)
        .with("still_open", open);
    UPLOAD.found(verdict, summary, figures)
}

async fn uploader(mut peer: Peer, deadline: Instant) -> Ended {
    let chunk = Frame::binary(vec![0x55; MESSAGE]).bytes(Some(MASK));
    for _ in 0..BEFORE {
        peer.say_bytes(&chunk);
    }
    peer.say(&probe::close(CODE, "enough"));
    let close = timeout_at(deadline, async {
        loop {
            while let Some(frame) = peer.frame_here() {
                if frame.opcode == 0x8 {
                    return Some(frame);
                }
            }
            peer.end().is_none().then_some(())?;
            if peer.unwritten() < MESSAGE {
                peer.say_bytes(&chunk);
            }
            peer.step().await;
        }
    });
    let close = close.await.unwrap_or(None);
    peer.farewell(close.as_ref(), Instant::now(), deadline).await
}

/// Slow readers, quiet ones first, then ones that also write.
pub(crate) async fn backlog(target: &Target, able: Abilities, plan: &Plan) -> Finding {
    if !able.convention {
        return BACKLOG.skipped("the server does not know the convention");
    }
    let mut figures = Figures::default()
        .with("clients", plan.backlog.clients)
        .with("queued_bytes", plan.backlog.queued_bytes);
    let mut words = Vec::new();
    let mut worst = Verdict::Ok;
    let kinds = [
        ("quiet", 0, ["quiet_delivered", "quiet_read_close", "quiet_clean"]),
        ("chatty", CHATTER, ["chatty_delivered", "chatty_read_close", "chatty_clean"]),
    ];
    for (kind, chatter, names) in kinds {
        let counts = match round(target, plan, chatter).await {
            Ok(counts) => counts,
            Err(why) => return BACKLOG.found(Verdict::Bad, why, figures),
        };
        let Counts { all, delivered, read, clean } = counts;
        figures = figures.with(names[0], delivered).with(names[1], read).with(names[2], clean);
        words.push(format!(
            "{kind}: {delivered} of {all} got every byte, {read} the Close, {clean} a clean end"
        ));
        let short = if delivered.min(read) < all { Verdict::Bad } else { Verdict::Weak };
        worst = worst.max(short.unless(delivered.min(clean) == all));
    }
    BACKLOG.found(worst, words.join("; "), figures)
}

/// Slow readers of one round.
struct Counts {
    all: usize,
    /// Got every byte.
    delivered: usize,
    /// Read the Close with its code.
    read: usize,
    clean: usize,
}

async fn round(target: &Target, plan: &Plan, chatter: usize) -> Result<Counts, String> {
    let it = plan.backlog;
    let peers = clients::open(target, it.clients, Some(SMALL_BUFFER)).await?;
    let rate = clients::Rate { bytes_per_second: it.read_bytes_per_second, read: MESSAGE };
    let deadline = Instant::now() + DEADLINE + rate.needs(it.queued_bytes);
    let tasks = peers.into_iter().map(|mut peer| {
        tokio::spawn(async move {
            peer.say(&probe::send(it.queued_bytes));
            peer.say(&probe::close(CODE, "done"));
            peer.flush().await;
            // What it says comes when the server is sending: it lies in the server's kernel,
            // unread, when the Close is due.
            let _ = timeout_at(deadline, peer.readable()).await;
            for n in 0..chatter {
                peer.say(&Frame::text(format!("still there {n}")));
            }
            peer.flush().await;
            clients::slow_reader(peer, rate, deadline).await
        })
    });
    let all = clients::join(tasks).await;
    let count = |well: &dyn Fn(usize, &Ended) -> bool| {
        all.iter().filter(|(bytes, ended)| well(*bytes, ended)).count()
    };
    Ok(Counts {
        all: all.len(),
        delivered: count(&|bytes, _| bytes == it.queued_bytes),
        read: count(&|_, ended| ended.close == Some(Some(CODE))),
        clean: count(&|_, ended| ended.is_clean_with(CODE)),
    })
}
