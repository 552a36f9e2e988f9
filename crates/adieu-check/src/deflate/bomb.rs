//! A small message that unpacks to a large one: the server's limit has to hold for what comes out.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::super::frame::Frame;
use super::super::peer::{PATIENCE, Peer, TcpEnd};
use super::super::report::{About, Figures, Finding, Verdict};
use super::super::target::Target;
use super::connection::{Compressed, Heard, NotOpen, Offer, marked};
use super::zip::zeros;
use super::{Consent, none_agreed, obstacle};

/// MiB of zero bytes in the message.
const MEBIBYTES: usize = 64;

/// A server that has not judged the message by then does not.
const DEADLINE: Duration = Duration::from_secs(30);

/// The server's answer is the message itself if it is longer than this.
const LARGE: usize = 1 << 20;

/// A server that neither answers nor ends is asked whether it is still there after this.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) const BOMB: About = About {
    id: "deflate_bomb",
    title: "A small message that unpacks to 64 MiB",
    meaning: "Anybody can make the server take a thousand times the memory that they send: some \
              hundred small messages, and it is killed with all its connections.",
    remedy: "Limit the size of a message behind the inflater too, while it inflates, and end with \
             Close 1009 (RFC 6455 §7.4.1, RFC 7692 §8). Set the limit to what your application \
             needs (ws: maxPayload; websockets: max_size; Adieu: max_message).",
};

/// What the server did with it.
enum Met {
    /// It ended the connection with this code.
    Close(Option<u16>),
    /// It ended the connection without a Close.
    End(TcpEnd),
    /// It took the message.
    Taken,
    /// Neither, in time.
    Silence,
}

impl Met {
    fn verdict(&self) -> Verdict {
        match self {
            Met::Close(Some(1009)) => Verdict::Ok,
            // The message is refused, and its sender is told something else.
            Met::Close(_) => Verdict::Weak,
            Met::End(_) | Met::Taken | Met::Silence => Verdict::Bad,
        }
    }

    fn words(&self) -> String {
        match self {
            Met::Close(Some(1009)) => "refused with Close 1009".to_owned(),
            Met::Close(Some(code)) => format!("refused with Close {code}, not 1009"),
            Met::Close(None) => "refused with a Close without a code, not with 1009".to_owned(),
            Met::End(TcpEnd::Fin) => "ended by a FIN without a Close".to_owned(),
            Met::End(TcpEnd::Reset) => "ended by an RST without a Close".to_owned(),
            Met::Taken => "taken whole".to_owned(),
            Met::Silence => format!("no answer within {} s", DEADLINE.as_secs()),
        }
    }
}

/// One message of 64 MiB in some 65 KB, and then whether the server still answers.
pub(crate) async fn bomb(target: &Target, consent: Consent) -> Finding {
    if let Some(skipped) = obstacle(BOMB, consent) {
        return skipped;
    }
    let connection = match Compressed::open(target, Offer::BROWSER).await {
        Ok(connection) => connection,
        Err(NotOpen::Declined) => return none_agreed(BOMB),
        Err(NotOpen::Failed(why)) => return BOMB.found(Verdict::Bad, why, Figures::default()),
    };
    let payload = zeros(MEBIBYTES);
    let sent = payload.len();
    let met = explode(connection, &marked(Frame::binary(payload))).await;
    let alive = answers(target).await;
    let verdict = if alive { met.verdict() } else { Verdict::Bad };
    let after = if alive { "the server still answers" } else { "the server answers nobody since" };
    let summary = format!("{sent} bytes that unpack to 64 MiB: {}; {after}", met.words());
    let code = match met {
        Met::Close(code) => code,
        Met::End(_) | Met::Taken | Met::Silence => None,
    };
    let figures = Figures::default()
        .with("sent_bytes", sent)
        .with("unpacked_bytes", MEBIBYTES << 20)
        .with("code", code)
        .with("taken", matches!(met, Met::Taken))
        .with("server_alive", alive);
    BOMB.found(verdict, summary, figures)
}

async fn explode(mut connection: Compressed, message: &Frame) -> Met {
    connection.peer.say(message);
    let deadline = Instant::now() + DEADLINE;
    let first = timeout(QUIET, judged(&mut connection.peer)).await;
    let met = match first {
        Ok(met) => met,
        // A server that is no echo may have taken it without a word: its answer to a Close tells.
        Err(_) => {
            connection.peer.say(&Frame::close(1000, ""));
            match timeout_at(deadline, judged(&mut connection.peer)).await {
                Ok(Met::Close(None | Some(1000))) => Met::Taken,
                Ok(met) => met,
                Err(_) => Met::Silence,
            }
        }
    };
    if let Met::Close(code) = met {
        let body = code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec());
        let close = Frame::new(0x8, body);
        let deadline = Instant::now() + PATIENCE;
        connection.peer.farewell(Some(&close), Instant::now(), deadline).await;
    }
    met
}

/// Reads until it is clear what became of the message. All of an echo is not waited for.
async fn judged(peer: &mut Peer) -> Met {
    loop {
        match peer.frame_here() {
            Some(frame) if frame.opcode == 0x8 => return Met::Close(frame.close_code()),
            Some(frame) if matches!(frame.opcode, 0x1 | 0x2) => return Met::Taken,
            Some(frame) if frame.opcode == 0x9 => peer.say(&Frame::pong(frame.payload)),
            Some(_) => {}
            None if peer.incomplete() > LARGE => return Met::Taken,
            None => match peer.end() {
                Some(end) => return Met::End(end),
                None => peer.step().await,
            },
        }
    }
}

/// Whether a new client is served.
async fn answers(target: &Target) -> bool {
    let Ok(connection) = Compressed::open(target, Offer::BROWSER).await else { return false };
    matches!(connection.goodbye(Instant::now() + PATIENCE).await, Heard::Close(_))
}
