//! Old versions of the protocol: served, or refused so that the client understands it.

use std::time::Duration;

use tokio::time::timeout;

use super::head::{ACCEPT, NONCE, Request};
use super::peer::{OpenError, Peer, TcpEnd};
use super::report::{About, Figures, Finding, Verdict};
use super::target::Target;

/// An old request that is not answered by then is held in vain.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) const OLD: About = About {
    id: "old",
    title: "Old protocols",
    meaning: "A client of another age gets no answer that it or its owner could understand; it \
              tries again for ever, or a proxy in front reports a gateway error.",
    remedy: "Serve hybi-07/08 (they differ from RFC 6455 in a header) or answer any request that \
             is not served with an HTTP status, 426 and Sec-WebSocket-Version: 13 for a version \
             (RFC 6455 §4.4).",
};

/// What a server does with a request.
enum Met {
    Served,
    Status(u16),
    /// A 101 that the client would not take.
    Wrong,
    Fin,
    Reset,
    Silence,
}

impl Met {
    fn word(&self) -> String {
        match self {
            Met::Served => "served".to_owned(),
            Met::Status(status) => format!("refused with {status}"),
            Met::Wrong => "answered wrongly".to_owned(),
            Met::Fin => "bare FIN".to_owned(),
            Met::Reset => "RST".to_owned(),
            Met::Silence => "no answer".to_owned(),
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Met::Served | Met::Status(400..=499) => Verdict::Ok,
            Met::Status(_) | Met::Fin => Verdict::Weak,
            Met::Wrong | Met::Reset | Met::Silence => Verdict::Bad,
        }
    }
}

/// hybi-08, hybi-07, hixie-76 and hixie-75.
pub(crate) async fn old(target: &Target) -> Finding {
    if target.http2 {
        return OLD.skipped("HTTP/2 has only version 13 (RFC 8441)");
    }
    let versions = [
        ("hybi_08", "hybi-08", Request::hybi(8)),
        ("hybi_07", "hybi-07", Request::hybi(7)),
        ("hixie_76", "hixie-76", Request::hixie76()),
        ("hixie_75", "hixie-75", Request::hixie75()),
    ];
    let mut figures = Figures::default();
    let mut words = Vec::new();
    let mut worst = Verdict::Ok;
    for (id, name, request) in versions {
        let hixie76 = id == "hixie_76";
        let met = timeout(DEADLINE, ask(target, &request, hixie76)).await.unwrap_or(Met::Silence);
        figures = figures.with(id, met.word());
        words.push(format!("{name} {}", met.word()));
        worst = worst.max(met.verdict());
    }
    OLD.found(worst, words.join(", "), figures)
}

async fn ask(target: &Target, request: &Request, hixie76: bool) -> Met {
    let Ok(mut peer) = Peer::connect(target, None).await else { return Met::Reset };
    let request = target.address(request.clone());
    peer.say_bytes(&request.bytes());
    if hixie76 {
        peer.say_bytes(NONCE.0);
    }
    let head = match peer.head().await {
        Ok(head) => head,
        Err(OpenError::Ended(TcpEnd::Fin)) => return Met::Fin,
        Err(OpenError::Ended(TcpEnd::Reset) | OpenError::Io(_)) => return Met::Reset,
        Err(_) => return Met::Wrong,
    };
    match head.try_status() {
        Some(101) if hixie76 => {
            if peer.exactly(NONCE.1.len()).await == NONCE.1 {
                Met::Served
            } else {
                Met::Wrong
            }
        }
        Some(101) if request.has("Sec-WebSocket-Key") => {
            let right = head.first_field("sec-websocket-accept") == Some(ACCEPT);
            if right { Met::Served } else { Met::Wrong }
        }
        Some(101) => Met::Served,
        Some(status) => Met::Status(status),
        None => Met::Wrong,
    }
}
