//! What a peer sends to a server with which it agreed on compression (RFC 7692): any bytes as
//! payloads, compressed or not, in frames and reads that are cut anywhere.
//!
//! What must hold for any messages:
//! - How frames and reads are cut, and Pings between the frames, make no difference.
//! - A message is delivered if it is whole by the letter of the RFC, or in one of two forms that
//!   peers send and that cannot be mistaken (`adieu_fuzz::deflate::of_peer`), with the text that an
//!   inflater of ours, which shares no code with the server's, says it has. zlib in C, if it is
//!   asked for what comes out, says the same.
//! - All else is a violation that fits: cut or wrong data, a limit of the inflated text, no UTF-8.
//! - It is done in memory that the limit bounds.

#![no_main]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use adieu_fuzz::deflate::{Driven, Verdict, frame, of_peer, zlib};
use adieu_fuzz::memory;
use adieu_proto::{
    Config, Connection, Deflate, Message, Negotiated, PerMessageDeflate, ProtocolError, Request,
    Scratch, Version, WindowBits,
};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// Limits of messages, some at the edges of what is inflated at a time.
const LIMITS: [usize; 8] = [300, 1000, 16_383, 16_384, 16_385, 65_536, 100_000, 1 << 20];

/// How much a decoder looks at to tell a long message from a broken one.
const LOOK: usize = 8 << 20;

/// What the most frames of a message that there are here cost beside their payload.
const FRAMES: usize = 3 * 32;

/// What may be in use beside the messages: two of the limit, for a buffer that grows, a copy of the
/// compressed message, the window, and small change.
const BESIDE: usize = 4096 + 2 * 32 * 1024 + 16 * 1024 + 16 * 1024;

thread_local! {
    /// Its contexts serve one connection after the other.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    let Some(script) = Script::read(bytes) else { return };
    SCRATCH.with_borrow_mut(|scratch| {
        let whole = script.run(&script.frames(false), &[usize::MAX], scratch);
        let pieces = script.run(&script.frames(true), &script.reads, scratch);
        assert!(whole.messages == pieces.messages, "how it is cut makes a difference");
        assert_eq!(whole.violation, pieces.violation, "how it is cut makes a difference");
        script.is_right(&whole);
    });
});

/// A message of the peer.
struct Said<'a> {
    text: bool,
    compressed: bool,
    /// Whether Pings stand between its frames.
    pings: bool,
    /// Where it is cut into frames, in 256ths.
    cuts: &'a [u8],
    payload: &'a [u8],
}

struct Script<'a> {
    agreed: PerMessageDeflate,
    limit: usize,
    reads: Vec<usize>,
    said: Vec<Said<'a>>,
}

/// What came of it.
struct Outcome {
    messages: Vec<Message>,
    violation: Option<ProtocolError>,
}

impl<'a> Script<'a> {
    /// By hand and not by a library, so that what peers send can be written down as seeds:
    /// the settings, the limit, the number of read sizes and these; then for each message its kind,
    /// its length (255: two more bytes) and its payload.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [settings, limit, reads, rest @ ..] = bytes else { return None };
        let (sizes, mut rest) = rest.split_at_checked(usize::from(reads & 7))?;
        let limit = LIMITS[usize::from(limit & 7)];
        let reads: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
        let mut said = Vec::new();
        while let [kind, rest_of_it @ ..] = rest {
            let cuts = usize::from(kind >> 3 & 3);
            let (cuts, behind) = rest_of_it.split_at_checked(cuts)?;
            let (len, behind) = match behind {
                [255, low, high, behind @ ..] => (u16::from_le_bytes([*low, *high]), behind),
                [len, behind @ ..] => (u16::from(*len), behind),
                [] => return None,
            };
            let (payload, behind) = behind.split_at(behind.len().min(usize::from(len)));
            let (text, compressed, pings) = (kind & 1 > 0, kind & 2 == 0, kind & 4 > 0);
            // Whether the frames of a message are within its limit is the target `connection`'s:
            // which fault is found first depends on the frames there.
            if payload.len() + FRAMES > limit {
                break;
            }
            said.push(Said { text, compressed, pings, cuts, payload });
            rest = behind;
        }
        Some(Script {
            agreed: PerMessageDeflate {
                client_no_context_takeover: settings & 1 > 0,
                client_max_window_bits: WindowBits::new(settings >> 4),
                ..Default::default()
            },
            limit,
            reads: if reads.is_empty() { vec![usize::MAX] } else { reads },
            said,
        })
    }

    /// The frames of all messages, in one each or cut.
    fn frames(&self, cut: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for said in &self.said {
            let first =
                if said.text { 0x01 } else { 0x02 } | if said.compressed { 0x40 } else { 0 };
            let cuts = if cut { said.cuts } else { &[] };
            let mut at: Vec<usize> =
                cuts.iter().map(|cut| usize::from(*cut) * said.payload.len() / 256).collect();
            at.sort_unstable();
            at.push(said.payload.len());
            let mut from = 0;
            for (i, to) in at.iter().enumerate() {
                let opcode = if i == 0 { first } else { 0 };
                let fin = if i + 1 == at.len() { 0x80 } else { 0 };
                frame(&mut out, opcode | fin, &said.payload[from..*to]);
                if said.pings && fin == 0 {
                    frame(&mut out, 0x89, b"?");
                }
                from = *to;
            }
        }
        out
    }

    /// A server receives these bytes in these pieces.
    fn run(&self, bytes: &[u8], reads: &[usize], scratch: &mut Scratch) -> Outcome {
        let mut server = server(self.agreed, self.limit);
        warm(scratch);
        memory::forget_peak();
        let before = memory::in_use();
        server.receive(bytes, reads, scratch);
        let used = usize::try_from(memory::peak() - before).unwrap_or(0);
        let delivered: usize = server.messages.iter().map(|message| message.len() + 256).sum();
        let most = 2 * delivered + 2 * self.limit + 2 * bytes.len() + BESIDE;
        assert!(used <= most, "{used} bytes in use, for a limit of {}", self.limit);
        Outcome { violation: server.ends(scratch), messages: server.messages }
    }

    /// Compares what was delivered with what others say.
    fn is_right(&self, outcome: &Outcome) {
        let window = self.agreed.client_max_window_bits.map_or(32_768, |bits| 1 << bits.get());
        let window = if self.agreed.client_no_context_takeover { 0 } else { window };
        let mut before: Vec<u8> = Vec::new();
        let mut delivered = outcome.messages.iter();
        for said in &self.said {
            let verdict = if said.compressed {
                of_peer(said.payload, &before, self.limit)
            } else {
                Verdict::Whole(said.payload.to_vec())
            };
            let said_text = match verdict {
                Verdict::Whole(text) => text,
                Verdict::ManyLast(text) => {
                    if outcome.violation == Some(ProtocolError::CompressedData) {
                        return;
                    }
                    text
                }
                Verdict::TooLong => {
                    let limit = self.limit as u64;
                    let too_big = outcome.violation == Some(ProtocolError::MessageTooBig { limit });
                    let broken = outcome.violation == Some(ProtocolError::CompressedData);
                    let all = of_peer(said.payload, &before, LOOK);
                    let is_whole = matches!(all, Verdict::Whole(_));
                    assert!(too_big || (broken && !is_whole), "{:?}", outcome.violation);
                    return assert!(delivered.next().is_none());
                }
                Verdict::Broken(why) => {
                    // What stands behind a message that is cut may be read as text of it.
                    let limit = self.limit as u64;
                    let too_big = Some(ProtocolError::MessageTooBig { limit });
                    let broken = Some(ProtocolError::CompressedData);
                    let found = outcome.violation;
                    assert!([too_big, broken].contains(&found), "{found:?}, {why}");
                    return assert!(delivered.next().is_none());
                }
            };
            if said.text && std::str::from_utf8(&said_text).is_err() {
                assert_eq!(outcome.violation, Some(ProtocolError::InvalidUtf8));
                return assert!(delivered.next().is_none());
            }
            let Some(message) = delivered.next() else {
                panic!("{:?} for a message that is whole: {:x?}", outcome.violation, said.payload);
            };
            assert_eq!(message.as_text().is_some(), said.text);
            assert!(message.as_bytes() == said_text, "another text");
            if said.compressed {
                let other = zlib(said.payload, &before, self.limit);
                // Where the four bytes were not taken off, they stand there twice for zlib.
                assert!(other.starts_with(&said_text), "zlib says something else");
                before.extend(said_text);
                before.drain(..before.len().saturating_sub(window));
            }
        }
        assert!(delivered.next().is_none() && outcome.violation.is_none());
    }
}

/// The buffer for reads and the context are a thread's.
fn warm(scratch: &mut Scratch) {
    let mut server = server(PerMessageDeflate::default(), 1000);
    let mut hello = Vec::new();
    frame(&mut hello, 0xC1, &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]);
    server.receive(&hello, &[usize::MAX], scratch);
    assert_eq!(server.messages, [Message::from("Hello")]);
}

fn server(agreed: PerMessageDeflate, limit: usize) -> Driven {
    let deflate = Some(Deflate::default());
    let config = Config { max_message: limit as u64, deflate, ..Config::default() };
    let mut negotiated = Negotiated::new(Version::Rfc6455);
    negotiated.deflate = Some(agreed);
    let request = Request::from_parts("GET", "/", []).expect("a request");
    let now = Instant::now();
    Driven::new(Connection::upgraded(now, Arc::new(config), request, negotiated), now)
}
