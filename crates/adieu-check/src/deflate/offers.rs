//! Offers of compression, valid and invalid ones: one handshake for each.

use tokio::time::Instant;

use super::super::clients;
use super::super::frame::Frame;
use super::super::peer::{OpenError, Peer};
use super::super::probe;
use super::super::report::{About, Figures, Finding, Verdict};
use super::super::target::Target;
use super::agreement::{Agreed, Asked, agreed};
use super::{DEADLINE, listed};

pub(crate) const OFFERS: About = About {
    id: "deflate_offers",
    title: "Offers of compression",
    meaning: "A client must fail a connection whose answer agrees on something that it did not \
              offer (RFC 6455 §4.1, RFC 7692 §7.1), and cannot read messages if it does not know \
              what was agreed on. Where an offer is refused with an HTTP error, there is no \
              connection at all. A page sees nothing but 1006.",
    remedy: "Answer with permessage-deflate and with parameters that fit the offer, or without \
             Sec-WebSocket-Extensions at all. Decline an offer with an unknown, doubled or wrong \
             parameter by leaving it out, not by an error (RFC 7692 §5, §7.1).",
};

/// One offer.
struct Case {
    /// The header field; `None`: no such field.
    field: Option<&'static str>,
    /// What a server may accept of it; `None`: nothing.
    asked: Option<Asked>,
    /// What it means if the answer is not as it should be.
    otherwise: Verdict,
}

/// An offer that clients make.
const fn usual(field: &'static str, asked: Asked) -> Case {
    Case { field: Some(field), asked: Some(asked), otherwise: Verdict::Bad }
}

/// An offer that must be declined. No browser makes it.
const fn invalid(field: &'static str) -> Case {
    Case { field: Some(field), asked: None, otherwise: Verdict::Weak }
}

const fn window(bits: u8) -> Asked {
    Asked { server_bits: Some(bits), ..Asked::PLAIN }
}

const CLIENT_BITS: Asked = Asked { client_bits: true, ..Asked::PLAIN };

const SERVER_RESETS: Asked = Asked { server_resets: true, ..Asked::PLAIN };

/// Two offers. Who does not know the first has to look at the second (RFC 7692 §5).
const FALLBACK: &str = "permessage-deflate; x_adieu_check=1, permessage-deflate";

/// What browsers offer comes first: it decides what is said of the agreement. Then comes the one
/// with two offers.
const CASES: [Case; 17] = [
    usual("permessage-deflate; client_max_window_bits", CLIENT_BITS),
    Case { field: Some(FALLBACK), asked: Some(Asked::PLAIN), otherwise: Verdict::Weak },
    Case { field: None, asked: None, otherwise: Verdict::Bad },
    usual("permessage-deflate", Asked::PLAIN),
    usual("permessage-deflate; server_no_context_takeover", SERVER_RESETS),
    usual("permessage-deflate; server_max_window_bits=10", window(10)),
    usual("permessage-deflate; server_max_window_bits=8", window(8)),
    usual("permessage-deflate; server_max_window_bits=\"10\"", window(10)),
    usual("permessage-deflate; client_max_window_bits=8", CLIENT_BITS),
    invalid("x-adieu-check"),
    invalid("permessage-deflate; server_max_window_bits"),
    invalid("permessage-deflate; server_max_window_bits=7"),
    invalid("permessage-deflate; server_max_window_bits=16"),
    invalid("permessage-deflate; server_max_window_bits=08"),
    invalid("permessage-deflate; client_no_context_takeover=1"),
    invalid("permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
    invalid("permessage-deflate; x_adieu_check=1"),
];

/// What a server did with an offer.
enum Met {
    Agreed(Agreed),
    Declined,
    /// There is no connection, and why.
    NotOpen(String),
    /// The answer is wrong, and how.
    Wrong(String),
}

impl Case {
    /// What falls short; `None` if the answer is as it should be.
    fn short(&self, met: &Met) -> Option<String> {
        let what = match met {
            Met::NotOpen(why) | Met::Wrong(why) => why,
            Met::Agreed(_) | Met::Declined => return None,
        };
        let offer = self.field.map_or("no offer".to_owned(), |field| format!("`{field}`"));
        Some(format!("{offer}: {what}"))
    }
}

/// Each offer on a connection of its own.
pub(crate) async fn offers(target: &Target) -> Finding {
    let tasks = CASES.iter().map(|case| {
        let target = target.clone();
        tokio::spawn(async move { make(&target, case).await })
    });
    let all = clients::join(tasks).await;
    let answer = match all.first() {
        Some(Met::Agreed(agreed)) => Some(agreed.to_string()),
        _ => None,
    };
    let mut worst = Verdict::Ok;
    let mut others: Vec<String> = Vec::new();
    for (case, met) in CASES.iter().zip(&all) {
        if let Some(short) = case.short(met) {
            worst = worst.max(case.otherwise);
            others.push(short);
        }
    }
    let well = all.len() - others.len();
    // What a server may do, but which costs its clients the compression.
    if answer.is_some() && matches!(all.get(1), Some(Met::Declined)) {
        worst = worst.max(Verdict::Weak);
        others.push(format!("`{FALLBACK}`: declined, and the second offer could be accepted"));
    }
    let agreement = match &answer {
        Some(answer) => format!("agrees on `{answer}`"),
        None => "agrees on no compression".to_owned(),
    };
    let summary = format!("{agreement}; {well} of {} offers are answered well", all.len());
    let detail = listed(&others);
    let figures = Figures::default()
        .with("offers", all.len())
        .with("answered", well)
        .with("agreed", answer)
        .with("others", others);
    OFFERS.found(worst, summary, figures).detail(detail)
}

/// Makes an offer, and says goodbye.
async fn make(target: &Target, case: &Case) -> Met {
    let (mut peer, head) = match Peer::offer(target, case.field).await {
        Ok(opened) => opened,
        Err(OpenError::Refused(head)) => {
            let status = head.try_status().map_or("no status".to_owned(), |it| it.to_string());
            return Met::NotOpen(format!("the handshake is refused with {status}"));
        }
        Err(error) => return Met::NotOpen(probe::explain(target, error)),
    };
    peer.say(&Frame::close(1000, ""));
    let _ = peer.hear_out(Instant::now() + DEADLINE).await;
    match agreed(&head, case.asked) {
        Ok(Some(agreed)) => Met::Agreed(agreed),
        Ok(None) => Met::Declined,
        Err(why) => Met::Wrong(why),
    }
}
