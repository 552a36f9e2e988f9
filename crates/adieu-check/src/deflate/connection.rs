//! One connection on which compression was offered: what is said, and the whole messages that
//! come back, unpacked.

use tokio::time::{Instant, timeout_at};

use super::super::frame::Frame;
use super::super::peer::{OpenError, Peer, TcpEnd};
use super::super::probe;
use super::super::target::Target;
use super::agreement::{Agreed, Asked, agreed};
use super::zip::Inflater;

/// RSV1, which marks a compressed message (RFC 7692 §6).
const RSV1: u8 = 0b100;

/// An offer that is valid, in the form of the header field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) field: &'static str,
    pub(super) asked: Asked,
}

impl Offer {
    /// What Chrome offers, and Firefox but for the parameter.
    pub(super) const BROWSER: Offer = Offer {
        field: "permessage-deflate; client_max_window_bits",
        asked: Asked { client_bits: true, ..Asked::PLAIN },
    };
}

/// Why there is no connection with compression.
#[derive(Debug)]
pub(super) enum NotOpen {
    /// The server does not agree on compression.
    Declined,
    /// There is no connection, or the answer to the offer is wrong: a sentence.
    Failed(String),
}

/// A connection on which both sides may compress.
pub(super) struct Compressed {
    pub(super) peer: Peer,
    pub(super) agreed: Agreed,
    inflater: Inflater,
}

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A whole message, unpacked.
    Message { opcode: u8, bytes: Vec<u8>, compressed: bool },
    /// A message that cannot be unpacked, and why.
    Unreadable(&'static str),
    /// A Close: its code, if it had one.
    Close(Option<u16>),
    /// The end, without a Close.
    End(TcpEnd),
    /// Nothing in time.
    Silence,
}

impl Heard {
    /// In a few words.
    pub(super) fn words(&self) -> String {
        match self {
            Heard::Message { bytes, .. } if bytes.is_empty() => {
                "an empty message came back".to_owned()
            }
            Heard::Message { bytes, .. } if bytes.len() > 40 => {
                format!("{} other bytes came back", bytes.len())
            }
            Heard::Message { bytes, .. } => {
                format!("`{}` came back", String::from_utf8_lossy(bytes).escape_debug())
            }
            Heard::Unreadable(why) => format!("the answer is not readable: {why}"),
            Heard::Close(Some(code)) => format!("Close {code}"),
            Heard::Close(None) => "a Close without a code".to_owned(),
            Heard::End(TcpEnd::Fin) => "a FIN without a Close".to_owned(),
            Heard::End(TcpEnd::Reset) => "an RST without a Close".to_owned(),
            Heard::Silence => "nothing came".to_owned(),
        }
    }
}

/// A text that was compressed, as one frame.
pub(super) fn text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::text(payload).reserved(RSV1)
}

/// Any frame, marked as compressed.
pub(super) fn marked(frame: Frame) -> Frame {
    frame.reserved(RSV1)
}

impl Compressed {
    /// Connects, and agrees on compression.
    pub(super) async fn open(target: &Target, offer: Offer) -> Result<Self, NotOpen> {
        let opened = Peer::offer(target, Some(offer.field)).await;
        let explain = |error: OpenError| NotOpen::Failed(probe::explain(target, error));
        let (peer, head) = opened.map_err(explain)?;
        match agreed(&head, Some(offer.asked)) {
            Ok(Some(agreed)) => {
                Ok(Compressed { peer, agreed, inflater: Inflater::new(agreed.server_bits) })
            }
            Ok(None) => Err(NotOpen::Declined),
            Err(why) => Err(NotOpen::Failed(format!("`{}`: {why}", offer.field))),
        }
    }

    /// The next message, or how it ended instead; other frames are dropped.
    pub(super) async fn heard(&mut self, deadline: Instant) -> Heard {
        timeout_at(deadline, self.next()).await.unwrap_or(Heard::Silence)
    }

    async fn next(&mut self) -> Heard {
        let mut gathered: Option<Frame> = None;
        loop {
            let Some(frame) = self.peer.frame().await else {
                return Heard::End(self.peer.end().unwrap_or(TcpEnd::Fin));
            };
            let mut message = match (frame.opcode, gathered.take()) {
                (0x8, _) => return Heard::Close(frame.close_code()),
                (0x1 | 0x2, None) => frame,
                (0x0, Some(mut first)) => {
                    first.payload.extend(&frame.payload);
                    Frame { fin: frame.fin, ..first }
                }
                (_, first) => {
                    gathered = first;
                    continue;
                }
            };
            if message.fin {
                return self.unpacked(std::mem::take(&mut message.payload), &message);
            }
            gathered = Some(message);
        }
    }

    fn unpacked(&mut self, payload: Vec<u8>, message: &Frame) -> Heard {
        let opcode = message.opcode;
        if message.reserved & RSV1 == 0 {
            return Heard::Message { opcode, bytes: payload, compressed: false };
        }
        if self.agreed.server_resets {
            self.inflater.forget();
        }
        match self.inflater.message(&payload) {
            Ok(bytes) => Heard::Message { opcode, bytes, compressed: true },
            Err(why) => Heard::Unreadable(why),
        }
    }

    /// Says goodbye, and gives the code of the server's Close if it comes in time.
    pub(super) async fn goodbye(mut self, deadline: Instant) -> Heard {
        self.peer.say(&Frame::close(1000, ""));
        let heard = loop {
            match self.heard(deadline).await {
                Heard::Message { .. } | Heard::Unreadable(_) => {}
                other => break other,
            }
        };
        self.peer.last(None, Instant::now(), deadline).await;
        heard
    }
}
