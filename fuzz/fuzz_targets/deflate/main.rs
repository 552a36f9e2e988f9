//! What a server sends to clients with which it agreed on compression (RFC 7692): any settings,
//! offers and messages, on two connections of one thread.
//!
//! What must hold:
//! - An answer has what the RFC lets it have, and a client of ours takes it.
//! - Each message is read by three inflaters as what was sent: one that knows how far each match
//!   refers back, and that refuses what goes beyond the agreed window or beyond what was sent
//!   compressed on the same connection; zlib in C with one stream for all messages, as peers have
//!   it; miniz_oxide.
//! - RSV1 stands where a message is compressed and nowhere else, and what is compressed is smaller.
//! - Nothing overtakes, and nothing that should not be compressed is.

#![no_main]

mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_fuzz::deflate::{Driven, SYNC, frames, miniz, strictly};
use adieu_proto::{
    Cause, CloseCode, CloseRequest, Command, Config, Connection, Message, Negotiated, Outbound,
    PerMessageDeflate, Prepared, Request, Scratch, Version,
};
use flate2::{Decompress, FlushDecompress};
use libfuzzer_sys::fuzz_target;

use crate::script::{Script, Step};

fuzz_target!(|script: Script| {
    let mut scratch = Scratch::default();
    let config = Arc::new(script.config());
    let mut both: Vec<Sender> =
        script.offers.iter().map(|offer| Sender::new(&config, &offer.to_string())).collect();
    let mut sent: Vec<Message> = Vec::new();
    for step in &script.steps {
        match step {
            Step::Send { second, plain, what } => {
                let message = what.message(&sent);
                both[usize::from(*second)].send(&message, *plain, &mut scratch);
                sent.push(message);
            }
            Step::Broadcast { what } => {
                let message = what.message(&sent);
                let prepared = Prepared::new(message.clone());
                for one in &mut both {
                    one.broadcast(&prepared, &mut scratch);
                }
                sent.push(message);
            }
            Step::GoOn { second } => both[usize::from(*second)].go_on(&mut scratch),
            Step::Wait { seconds } => {
                both.iter_mut().for_each(|one| one.wait(*seconds, &mut scratch));
            }
        }
    }
    for (i, one) in both.into_iter().enumerate() {
        one.ends(script.closes_early && i == 0, &mut scratch);
    }
});

/// A server that sends.
struct Sender {
    driven: Driven,
    config: Arc<Config>,
    agreed: Option<PerMessageDeflate>,
    /// What it was told to send: the message, and whether it has to be as it is.
    sent: Vec<(Message, bool)>,
}

impl Sender {
    fn new(config: &Arc<Config>, offer: &str) -> Self {
        let request = Request::from_parts("GET", "/", [("Sec-WebSocket-Extensions", offer)]);
        let request = request.expect("a request");
        let negotiated = Negotiated::new(Version::Rfc6455).compressed(&request, config);
        let agreed = negotiated.deflate;
        if let Some(agreed) = agreed {
            is_legal(agreed, offer, config);
        }
        let now = Instant::now();
        let connection = Connection::upgraded(now, config.clone(), request, negotiated);
        let driven = Driven::new(connection, now);
        Sender { driven, config: config.clone(), agreed, sent: Vec::new() }
    }

    fn send(&mut self, message: &Message, plain: bool, scratch: &mut Scratch) {
        let outbound =
            if plain { Outbound::Uncompressed(message) } else { Outbound::Message(message) };
        self.driven.connection.send(outbound, scratch).expect("it is open");
        self.sent.push((message.clone(), plain));
        self.driven.outputs(scratch);
    }

    fn broadcast(&mut self, prepared: &Prepared, scratch: &mut Scratch) {
        self.driven.connection.send(prepared, scratch).expect("it is open");
        self.sent.push((prepared.message().clone(), false));
        self.driven.outputs(scratch);
    }

    fn go_on(&mut self, scratch: &mut Scratch) {
        self.driven.connection.go_on(self.driven.now, scratch);
        self.driven.outputs(scratch);
    }

    fn wait(&mut self, seconds: u8, scratch: &mut Scratch) {
        self.driven.now += Duration::from_secs(seconds.into());
        self.driven.connection.handle_timeout(self.driven.now, None, scratch);
        self.driven.outputs(scratch);
    }

    /// All is sent, or a Close comes first: then what waits goes out as it is.
    fn ends(mut self, early: bool, scratch: &mut Scratch) {
        if !early {
            self.driven.pump(scratch);
            assert_eq!(self.driven.connection.status().queued(), 0);
        }
        let close = CloseRequest::of(Cause::Application, CloseCode::NORMAL.into());
        self.driven.connection.command(self.driven.now, Command::Close(close), scratch);
        self.driven.pump(scratch);
        self.is_right();
    }

    /// What left is what was sent.
    fn is_right(&self) {
        let frames = frames(&self.driven.wire);
        let (close, data) = frames.split_last().expect("a Close");
        assert_eq!(close.0, 0x88);
        assert_eq!(data.len(), self.sent.len(), "a message, a frame");
        let mut peer = Peer::new(self.agreed.unwrap_or_default());
        for ((first, payload), (message, plain)) in data.iter().zip(&self.sent) {
            let opcode = if message.as_text().is_some() { 0x81 } else { 0x82 };
            if *first == opcode {
                assert_eq!(*payload, message.as_bytes());
                continue;
            }
            assert_eq!(*first, opcode | 0x40);
            assert!(!plain && self.may_compress(message), "{} bytes", message.len());
            assert!(payload.len() < message.len(), "it has not become smaller");
            peer.reads(payload, message.as_bytes());
        }
    }

    fn may_compress(&self, message: &Message) -> bool {
        let deflate = self.config.deflate.as_ref().expect("it is on");
        let least = deflate.min_with_history.min(deflate.min_without_history);
        let kind = deflate.binary || message.as_text().is_some();
        self.agreed.is_some() && kind && message.len() >= least
    }
}

/// A peer with three inflaters.
struct Peer {
    agreed: PerMessageDeflate,
    before: Vec<u8>,
    zlib: Decompress,
}

impl Peer {
    fn new(agreed: PerMessageDeflate) -> Self {
        // zlib has no raw window of 8 bits, as few peers have.
        let bits = agreed.server_max_window_bits.map_or(15, |bits| bits.get()).max(9);
        let zlib = Decompress::new_with_window_bits(false, bits);
        Peer { agreed, before: Vec::new(), zlib }
    }

    fn reads(&mut self, payload: &[u8], want: &[u8]) {
        let alone = self.agreed.server_no_context_takeover;
        if alone {
            self.before.clear();
            self.zlib.reset(false);
        }
        let window = self.agreed.server_max_window_bits.map_or(32_768, |bits| 1 << bits.get());
        assert!(strictly(payload, &self.before, window) == want, "another text");
        assert!(miniz(payload, &self.before, want.len()) == want, "miniz_oxide reads another");
        let mut room = vec![0; want.len() + 64];
        let (taken, given) = (self.zlib.total_in(), self.zlib.total_out());
        let bytes = [payload, &SYNC].concat();
        self.zlib.decompress(&bytes, &mut room, FlushDecompress::Sync).expect("good data");
        assert_eq!(self.zlib.total_in() - taken, bytes.len() as u64);
        assert_eq!(self.zlib.total_out() - given, want.len() as u64);
        assert!(room[..want.len()] == *want, "zlib reads another");
        self.before.extend(want);
        self.before.drain(..self.before.len().saturating_sub(window));
    }
}

/// RFC 7692 §7.1: what an answer may have.
fn is_legal(agreed: PerMessageDeflate, offer: &str, config: &Config) {
    let has = |name: &str| offer.contains(name);
    assert!(has("permessage-deflate"), "{agreed} for {offer}");
    if agreed.server_max_window_bits.is_some() {
        assert!(has("server_max_window_bits="), "{agreed} for {offer}");
    }
    if let Some(bits) = agreed.client_max_window_bits {
        assert!(has("client_max_window_bits"), "{agreed} for {offer}");
        let ours = config.deflate.as_ref().and_then(|deflate| deflate.client_window_bits);
        assert!(ours.is_some_and(|ours| bits <= ours), "{agreed} for {offer}");
    }
    assert!(!agreed.server_no_context_takeover || has("server_no_context_takeover"));
    let answer = agreed.to_string();
    let fields = [("Sec-WebSocket-Extensions", answer.as_str())];
    // An answer has the form of an offer, and says the same again.
    let request = Request::from_parts("GET", "/", fields).expect("a request");
    let again = Negotiated::new(Version::Rfc6455).compressed(&request, config).deflate;
    let again = again.expect("it keeps the grammar");
    assert_eq!(again.server_max_window_bits, agreed.server_max_window_bits);
    assert_eq!(again.server_no_context_takeover, agreed.server_no_context_takeover);
    assert_eq!(again.client_max_window_bits, agreed.client_max_window_bits);
}
