//! Compressed messages as any client may send them: understood, and answered in a form that the
//! client can read.

use tokio::time::Instant;

use super::super::clients;
use super::super::frame::Frame;
use super::super::probe::Abilities;
use super::super::report::{About, Figures, Finding, Verdict};
use super::super::target::Target;
use super::agreement::{Agreed, Asked};
use super::connection::{Compressed, Heard, NotOpen, Offer, marked, text};
use super::zip::{deflated, prose};
use super::{Consent, DEADLINE, listed, none_agreed, obstacle};

/// Bytes of a long message: several times the distance between its words.
const LONG: usize = 20_000;

pub(crate) const MESSAGES: About = About {
    id: "deflate",
    title: "Compressed messages",
    meaning: "The server agreed on compression and does not read what a client may send then, or \
              sends what a client cannot read: for certain clients, certain messages are lost \
              or break the connection with 1002 or 1007.",
    remedy: "Inflate each message behind the text of those before it, unless takeover was \
             excluded; append 00 00 ff ff to it (RFC 7692 §7.2.2); take any kind of block \
             (§7.2.3). Deflate within the window and the takeover that were agreed on (§7.1). The \
             figures name the cases.",
};

/// A conversation on a connection of its own.
struct Case {
    name: &'static str,
    offer: Offer,
    says: fn(Agreed) -> Vec<Said>,
}

/// A message in frames, and what it says.
struct Said {
    frames: Vec<Frame>,
    means: Vec<u8>,
}

impl Said {
    fn new(frames: impl Into<Vec<Frame>>, means: &[u8]) -> Self {
        Said { frames: frames.into(), means: means.to_vec() }
    }
}

/// "Hello" in a block of its own (RFC 7692 §7.2.3.1).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// "Hello" that refers to the "Hello" of the message before (RFC 7692 §7.2.3.2).
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

const WINDOW_8: Offer = Offer {
    field: "permessage-deflate; server_max_window_bits=8",
    asked: Asked { server_bits: Some(8), ..Asked::PLAIN },
};

const WINDOW_10: Offer = Offer {
    field: "permessage-deflate; server_max_window_bits=10",
    asked: Asked { server_bits: Some(10), ..Asked::PLAIN },
};

const SERVER_RESETS: Offer = Offer {
    field: "permessage-deflate; server_no_context_takeover",
    asked: Asked { server_resets: true, ..Asked::PLAIN },
};

const CASES: [Case; 13] = [
    browser("a short text", |_| vec![hello(HELLO)]),
    browser("the same text twice, each alone", |_| vec![hello(HELLO), hello(HELLO)]),
    browser("a text that refers to the one before", |agreed| {
        // Where that was excluded, such a message would be wrong.
        vec![hello(HELLO), hello(if agreed.client_resets { HELLO } else { AGAIN })]
    }),
    browser("a stored block", |_| vec![hello(b"\x00\x05\x00\xfa\xffHello\x00")]),
    browser("two blocks", |_| vec![hello(b"\xf2\x48\x05\0\0\0\xff\xff\xca\xc9\xc9\x07\x00")]),
    browser("a last block (BFINAL), and a text behind it", |_| {
        vec![hello(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hello(HELLO)]
    }),
    browser("an empty text", |_| vec![Said::new([text(b"\0")], b"")]),
    browser("a text in two frames", |_| {
        let (first, rest) = HELLO.split_at(3);
        vec![Said::new([text(first).unfinished(), Frame::continuation(rest)], b"Hello")]
    }),
    browser("a text that is not compressed, between others", |_| {
        vec![hello(HELLO), Said::new([Frame::text("Hello")], b"Hello"), hello(HELLO)]
    }),
    browser("long messages", |agreed| {
        // Not longer than the client's window: then no reference in it is either.
        let long = prose(LONG.min(1 << agreed.client_bits));
        let said = || Said::new([text(deflated(&long))], &long);
        let bytes = marked(Frame::binary(deflated(&long)));
        vec![said(), said(), Said::new([bytes], &long)]
    }),
    Case { name: "answers within a window of 256 bytes", offer: WINDOW_8, says: long_plain },
    Case { name: "answers within a window of 1 KiB", offer: WINDOW_10, says: long_plain },
    Case { name: "answers that stand alone", offer: SERVER_RESETS, says: long_plain },
];

const fn browser(name: &'static str, says: fn(Agreed) -> Vec<Said>) -> Case {
    Case { name, offer: Offer::BROWSER, says }
}

fn hello(payload: &[u8]) -> Said {
    Said::new([text(payload)], b"Hello")
}

/// What the server is to compress, twice.
fn long_plain(_: Agreed) -> Vec<Said> {
    let long = prose(LONG);
    (0..2).map(|_| Said::new([Frame::text(&long)], &long)).collect()
}

/// What came of a case.
enum Met {
    /// All was understood; so many answers were compressed.
    Understood { compressed: usize },
    /// The server does not agree on this offer, or its limit is below this message.
    Declined,
    /// How it went wrong.
    Wrong(String),
}

/// Each conversation on a connection of its own.
pub(crate) async fn messages(target: &Target, able: Abilities, consent: Consent) -> Finding {
    if let Some(skipped) = obstacle(MESSAGES, consent) {
        return skipped;
    }
    let tasks = CASES.iter().map(|case| {
        let target = target.clone();
        tokio::spawn(async move { hold(&target, case, able).await })
    });
    let all = clients::join(tasks).await;
    if matches!(all.first(), Some(Met::Declined)) {
        return none_agreed(MESSAGES);
    }
    let cases = || CASES.iter().zip(&all);
    let wrong = cases().filter_map(|(case, met)| match met {
        Met::Wrong(why) => Some(format!("{}: {why}", case.name)),
        Met::Understood { .. } | Met::Declined => None,
    });
    let others: Vec<String> = wrong.collect();
    let declined = all.iter().filter(|met| matches!(met, Met::Declined)).count();
    let compressed: usize = all.iter().map(Met::compressed).sum();
    let held = all.len() - declined;
    let well = held - others.len();
    let mut summary = format!("{well} of {held} conversations went well");
    if able.echo {
        summary += &format!(", with {compressed} compressed answers");
    }
    let detail = listed(&others);
    let figures = Figures::default()
        .with("cases", held)
        .with("clean", well)
        .with("declined", declined)
        .with("compressed_answers", compressed)
        .with("others", others);
    MESSAGES.found(Verdict::Bad.unless(well == held), summary, figures).detail(detail)
}

impl Met {
    fn compressed(&self) -> usize {
        match self {
            Met::Understood { compressed } => *compressed,
            Met::Declined | Met::Wrong(_) => 0,
        }
    }
}

/// Says everything. An echo says it back; other servers take it, and answer the Close behind it.
async fn hold(target: &Target, case: &Case, able: Abilities) -> Met {
    let mut connection = match Compressed::open(target, case.offer).await {
        Ok(connection) => connection,
        Err(NotOpen::Declined) => return Met::Declined,
        Err(NotOpen::Failed(why)) => return Met::Wrong(why),
    };
    let deadline = Instant::now() + DEADLINE;
    let mut compressed = 0;
    for said in (case.says)(connection.agreed) {
        said.frames.iter().for_each(|frame| connection.peer.say(frame));
        if !able.echo {
            continue;
        }
        match connection.heard(deadline).await {
            Heard::Message { bytes, compressed: was, .. } if bytes == said.means => {
                compressed += usize::from(was);
            }
            Heard::Close(Some(1009)) => return Met::Declined,
            other => return Met::Wrong(other.words()),
        }
    }
    match connection.goodbye(deadline).await {
        // An echo has said everything back, and which code answers a Close is another check's
        // subject.
        _ if able.echo => Met::Understood { compressed },
        Heard::Close(Some(1009)) => Met::Declined,
        // Any other code is the application's, which may not like such a text.
        Heard::Close(code) if !matches!(code, Some(1002 | 1007)) => Met::Understood { compressed },
        other => Met::Wrong(other.words()),
    }
}
