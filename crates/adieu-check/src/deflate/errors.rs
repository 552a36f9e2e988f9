//! Compressed messages that are wrong: told with the right code, not delivered.

use tokio::time::Instant;

use super::super::clients;
use super::super::frame::Frame;
use super::super::report::{About, Figures, Finding, Verdict};
use super::super::target::Target;
use super::connection::{Compressed, Heard, NotOpen, Offer, marked, text};
use super::{Consent, DEADLINE, listed, none_agreed, obstacle};

pub(crate) const ERRORS: About = About {
    id: "deflate_errors",
    title: "Errors of compression",
    meaning: "A message that is wrong is taken for another one, or its sender sees 1006 and has \
              nothing to go by.",
    remedy: "Answer RSV1 where it must not be with Close 1002 (RFC 7692 §6, RFC 6455 §5.2), data \
             that cannot be unpacked with 1007 (1002 is taken too, RFC 7692 names none), text \
             that is not UTF-8 with 1007 (RFC 6455 §8.1): check it behind the inflater. The \
             figures name the cases.",
};

pub(crate) const CUT: About = About {
    id: "deflate_cut",
    title: "Compressed messages that are cut",
    meaning: "A message whose compressed data ends in the middle of a block is delivered as if it \
              were whole: the application gets `Heh` and never learns that the rest of `Hello` is \
              missing. zlib reports no error here, so that most servers have it.",
    remedy: "Ask your library to demand that a message ends where a block ends. Behind the \
             message and 00 00 ff ff (RFC 7692 §7.2.2) feed 01 00 00 ff ff, an empty last block: \
             only if the inflater reports its end exactly there, the message was whole. Answer \
             with Close 1007 else.",
};

/// A client's offence, and the codes that it may be told.
struct Case {
    name: &'static str,
    says: fn() -> Vec<Frame>,
    codes: &'static [u16],
}

const RSV: &[u16] = &[1002];
const DATA: &[u16] = &[1007, 1002];

const WRONG: [Case; 7] = [
    Case {
        name: "RSV1 on a continuation",
        says: || {
            let rest = marked(Frame::continuation(b"\xc9\xc9\x07\x00"));
            vec![text(b"\xf2\x48\xcd").unfinished(), rest]
        },
        codes: RSV,
    },
    Case { name: "RSV1 on a Ping", says: || vec![marked(Frame::ping("ping"))], codes: RSV },
    Case { name: "a block of type 3", says: || vec![text(b"\x07")], codes: DATA },
    Case {
        name: "a stored block whose length is wrong",
        says: || vec![text(b"\x00\x05\x00\xff\xffHello\x00")],
        codes: DATA,
    },
    Case {
        name: "a reference to text that never was",
        says: || vec![text(b"\xf2\x00\x11\x00\x00")],
        codes: DATA,
    },
    Case {
        name: "compressed text that is not UTF-8",
        says: || vec![text(b"\x00\x02\x00\xfd\xff\xc3\x28\x00")],
        codes: &[1007],
    },
    Case {
        name: "text that is cut in a letter, with no more to come",
        says: || vec![text(b"\x00\x01\x00\xfe\xff\xc3\x00")],
        codes: &[1007],
    },
];

const CUTS: [Case; 3] = [
    Case { name: "`Hello`, cut behind 3 bytes", says: || vec![text(b"\xf2\x48\xcd")], codes: DATA },
    Case {
        name: "`Hello`, cut behind 5 bytes",
        says: || vec![text(b"\xf2\x48\xcd\xc9\xc9")],
        codes: DATA,
    },
    Case {
        name: "a stored block that is cut",
        says: || vec![text(b"\x00\x05\x00\xfa\xffHe")],
        codes: DATA,
    },
];

/// Everything but messages that are cut.
pub(crate) async fn errors(target: &Target, consent: Consent) -> Finding {
    run(target, consent, &WRONG, ERRORS, Verdict::Bad).await
}

/// Messages that are cut: weak and not bad, for only a broken client sends them.
pub(crate) async fn cut(target: &Target, consent: Consent) -> Finding {
    run(target, consent, &CUTS, CUT, Verdict::Weak).await
}

async fn run(
    target: &Target,
    consent: Consent,
    cases: &'static [Case],
    about: About,
    otherwise: Verdict,
) -> Finding {
    if let Some(skipped) = obstacle(about, consent) {
        return skipped;
    }
    let tasks = cases.iter().map(|case| {
        let target = target.clone();
        tokio::spawn(async move { offend(&target, case).await })
    });
    let all = clients::join(tasks).await;
    if matches!(all.first(), Some(Err(NotOpen::Declined))) {
        return none_agreed(about);
    }
    let others = cases.iter().zip(&all).filter_map(|(case, met)| {
        let what = match met {
            Ok(heard) => case.short(heard)?,
            Err(NotOpen::Failed(why)) => why.clone(),
            Err(NotOpen::Declined) => "compression is declined now".to_owned(),
        };
        Some(format!("{}: {what}", case.name))
    });
    let others: Vec<String> = others.collect();
    let (total, right) = (all.len(), all.len() - others.len());
    let summary = format!("right code {right} of {total}");
    let detail = listed(&others);
    let figures =
        Figures::default().with("cases", total).with("right_code", right).with("others", others);
    about.found(otherwise.unless(right == total), summary, figures).detail(detail)
}

impl Case {
    /// What falls short; `None` if it is as it should be.
    fn short(&self, heard: &Heard) -> Option<String> {
        match heard {
            Heard::Close(Some(code)) if self.codes.contains(code) => None,
            Heard::Close(Some(code)) => Some(format!("Close {code}, not {}", self.codes[0])),
            other => Some(other.words()),
        }
    }
}

/// Says what is wrong, and hears what comes of it.
async fn offend(target: &Target, case: &Case) -> Result<Heard, NotOpen> {
    let mut connection = Compressed::open(target, Offer::BROWSER).await?;
    (case.says)().iter().for_each(|frame| connection.peer.say(frame));
    let deadline = Instant::now() + DEADLINE;
    let heard = connection.heard(deadline).await;
    match heard {
        Heard::Close(code) => {
            let body = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
            let close = Frame::new(0x8, body);
            connection.peer.farewell(Some(&close), Instant::now(), deadline).await;
        }
        // It goes on as if nothing were wrong: it is left in peace.
        Heard::Message { .. } | Heard::Unreadable(_) | Heard::Silence => {
            connection.goodbye(Instant::now() + DEADLINE).await;
        }
        Heard::End(_) => {}
    }
    Ok(heard)
}
