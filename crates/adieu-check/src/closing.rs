//! The closing handshake of one connection: answered, in order, given up in time.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::frame::Frame;
use super::peer::{Ended, Peer, TcpEnd};
use super::probe::{self, Abilities};
use super::report::{About, Figures, Finding, Verdict, time};
use super::target::Target;

/// A server that has not ended by then does not end.
const DEADLINE: Duration = Duration::from_secs(5);

/// A page's `onclose` waits for the server's FIN: past this people notice.
const PROMPT: Duration = Duration::from_millis(500);

/// Messages right before a Close.
const LAST_WORDS: usize = 50;

/// A peer that answers no Close is waited for so long in vain: longer only holds memory.
const MUTE_ENOUGH: Duration = Duration::from_secs(15);

pub(crate) const CLOSE: About = About {
    id: "close",
    title: "Answers a Close",
    meaning: "A page that says goodbye should get its code back and the server's FIN at once. \
              Without the answer its onclose says 1006 and comes late, after the browser's own \
              time-out.",
    remedy: "Answer each Close with one Close of the same code, then end TCP with a FIN: the \
             server does it first (RFC 6455 §5.5.1, §7.1.1).",
};

pub(crate) const LAST: About = About {
    id: "last_words",
    title: "Hears what came before a Close",
    meaning: "What a page sends right before it closes is lost, though it arrived: the automatic \
              answer to the Close overtakes the application.",
    remedy: "Hand all messages that were received before the Close to the application, let it \
             answer, and answer the Close behind that.",
};

pub(crate) const MUTE: About = About {
    id: "mute",
    title: "Gives up on a peer that answers no Close",
    meaning: "Each client that vanishes while the server closes keeps a socket and its memory; \
              they add up until no new client gets in.",
    remedy: "Wait some seconds for the peer's Close, then end TCP whatever happens.",
};

pub(crate) const PANIC: About = About {
    id: "panic",
    title: "Says 1011 when the application fails",
    meaning: "After a failure in the server's code the page sees 1006, which looks like a broken \
              network: nobody learns that it was the server.",
    remedy: "Catch what a handler throws, send Close 1011, and keep the process and its other \
             connections alive (RFC 6455 §7.4.1).",
};

/// How the server behaves when the client says goodbye first.
#[derive(Debug)]
struct Answered {
    /// The Close that came back.
    close: Option<Frame>,
    echoes: usize,
    ended: Ended,
}

/// Says these frames, a Close among them, in one write, and waits for the server's end.
async fn goodbye(target: &Target, frames: &[Frame]) -> Result<Answered, String> {
    let mut peer = Peer::open(target).await.map_err(|error| probe::explain(target, error))?;
    frames.iter().for_each(|frame| peer.say(frame));
    let deadline = Instant::now() + DEADLINE;
    let mut echoes = 0;
    let close = timeout_at(deadline, async {
        loop {
            let frame = peer.frame().await?;
            match frame.opcode {
                0x8 => return Some(frame),
                0x1 => echoes += 1,
                _ => {}
            }
        }
    });
    let close = close.await.unwrap_or(None);
    let said = close.as_ref().map(Frame::close_code);
    let ended = peer.last(said, Instant::now(), deadline).await;
    Ok(Answered { close, echoes, ended })
}

/// Close 1000, a Close with a code of the application, an empty Close.
pub(crate) async fn close(target: &Target) -> Finding {
    let asked = [Frame::close(1000, ""), Frame::close(4001, "bye"), Frame::close_empty()];
    let mut answers = Vec::new();
    for close in &asked {
        match goodbye(target, std::slice::from_ref(close)).await {
            Ok(answered) => answers.push((close, answered)),
            Err(why) => return CLOSE.found(Verdict::Bad, why, Figures::default()),
        }
    }
    let answered = answers.iter().filter(|(_, it)| it.close.is_some()).count();
    // A Close without a code is answered by one without; 1000 means the same (§7.1.5 apart).
    let same = |close: &Frame, it: &Answered| match (close.close_code(), &it.close) {
        (None, Some(back)) => matches!(back.close_code(), None | Some(1000)),
        (code, Some(back)) => back.close_code() == code,
        (_, None) => false,
    };
    let echoed = answers.iter().filter(|(close, it)| same(close, it)).count();
    let fins = answers.iter().filter(|(_, it)| it.ended.end == Some(TcpEnd::Fin)).count();
    let resets = answers.iter().filter(|(_, it)| it.ended.reset).count();
    let slowest = answers.iter().map(|(_, it)| it.ended.waited).max().unwrap_or_default();
    let verdict = if answered < asked.len() || resets > 0 {
        Verdict::Bad
    } else {
        Verdict::Weak.unless(echoed == asked.len() && fins == asked.len() && slowest <= PROMPT)
    };
    let end = match (fins, resets) {
        (3, 0) => format!("the server's FIN within {}", time(slowest)),
        (_, 0) => format!("no FIN within {} ({fins} of 3)", time(DEADLINE)),
        _ => format!("RST in {resets} of 3"),
    };
    let code = |it: &Answered| it.close.as_ref().and_then(Frame::close_code);
    let figures = Figures::default()
        .with("asked", asked.len())
        .with("answered", answered)
        .with("code_repeated", echoed)
        .with("answer_to_empty", answers.last().and_then(|(_, it)| code(it)))
        .with("fin", fins)
        .with("reset", resets)
        .with_ms("slowest_end_ms", (fins == asked.len()).then_some(slowest));
    CLOSE.found(verdict, format!("code repeated {echoed} of 3, {end}"), figures)
}

/// Messages and a Close in one segment: all are answered before the Close is.
pub(crate) async fn last_words(target: &Target, able: Abilities) -> Finding {
    if !able.echo {
        return LAST.skipped("the server does not echo");
    }
    let mut frames: Vec<Frame> =
        (0..LAST_WORDS).map(|n| Frame::text(format!("last words {n}"))).collect();
    frames.push(Frame::close(1000, ""));
    let it = match goodbye(target, &frames).await {
        Ok(answered) => answered,
        Err(why) => return LAST.found(Verdict::Bad, why, Figures::default()),
    };
    let clean = it.ended.is_clean();
    let verdict = Verdict::Bad.unless(it.echoes == LAST_WORDS && clean);
    let end = if clean { "then Close and FIN" } else { "and no clean end" };
    let summary = format!("{} of {LAST_WORDS} answered, {end}", it.echoes);
    let figures = Figures::default()
        .with("messages", LAST_WORDS)
        .with("answered", it.echoes)
        .with("clean", clean);
    LAST.found(verdict, summary, figures)
}

/// The server closes, and its peer reads on and says nothing.
pub(crate) async fn mute(target: Target, able: Abilities, watch: Duration) -> Finding {
    let Ok(mut peer) = Peer::open(&target).await else {
        return MUTE.skipped("no connection was to be had");
    };
    // A violation makes any server close that answers one.
    let (ask, by) = if able.convention {
        (probe::close(4000, "mute").bytes(Some([0; 4])), "asked to close")
    } else {
        (Frame::text("unmasked").unmasked(), "a violation")
    };
    peer.say_bytes(&ask);
    let deadline = Instant::now() + DEADLINE;
    let Ok(Some(close)) = timeout_at(deadline, peer.close_frame()).await else {
        return MUTE.skipped(format!("the server sent no Close ({by})"));
    };
    let started = Instant::now();
    let ended = peer.last(Some(close.close_code()), started, started + watch).await;
    let held = ended.end.map(|_| ended.waited);
    let verdict = match held {
        // Watched for too short a time to know.
        None if watch <= MUTE_ENOUGH => Verdict::Weak,
        None => Verdict::Bad,
        Some(held) => Verdict::Weak.unless(held <= MUTE_ENOUGH),
    };
    let summary = match held {
        None => format!("still held after {}", time(watch)),
        Some(held) => format!("given up after {}", time(held)),
    };
    let figures = Figures::default()
        .with("began_by", by)
        .with_ms("given_up_after_ms", held)
        .with_ms("watched_ms", Some(watch));
    MUTE.found(verdict, summary, figures)
}

/// The application fails in the middle.
pub(crate) async fn panic(target: &Target, able: Abilities) -> Finding {
    if !able.convention {
        return PANIC.skipped("the server does not know the convention");
    }
    let mut peer = match Peer::open(target).await {
        Ok(peer) => peer,
        Err(error) => {
            return PANIC.found(Verdict::Bad, probe::explain(target, error), Figures::default());
        }
    };
    peer.say(&probe::panic());
    let ended = peer.hear_out(Instant::now() + DEADLINE).await;
    let alive = Peer::open(target).await.is_ok();
    let clean = ended.is_clean_with(1011) && alive;
    let verdict = match ended.close {
        _ if clean => Verdict::Ok,
        Some(_) if ended.is_clean() && alive => Verdict::Weak,
        _ => Verdict::Bad,
    };
    let said = match (ended.close, ended.end, ended.reset) {
        (Some(Some(code)), ..) => format!("Close {code}"),
        (Some(None), ..) => "a Close without a code".to_owned(),
        (None, None, _) => "nothing, the connection stays open".to_owned(),
        (None, Some(_), true) => "RST and no Close".to_owned(),
        (None, Some(_), false) => "FIN and no Close".to_owned(),
    };
    let fate = if alive { "" } else { "; the process died with all its connections" };
    let figures = Figures::default()
        .with("close", ended.close.flatten())
        .with("clean", ended.is_clean())
        .with("server_alive", alive);
    PANIC.found(verdict, format!("{said}{fate}"), figures)
}
