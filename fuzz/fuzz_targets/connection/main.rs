//! A whole connection: what the peer sends, in pieces of any size, what the application wants, what
//! the transport does, and time, in any order; as a server and as a client, in every version.
//!
//! What must hold, whatever happens:
//! - There is one report (`Event::Ended`), and it is the last thing that comes out. It comes: when
//!   the application closes and nothing else happens any more, clocks end the connection.
//! - At most one Close frame leaves, and nothing behind it; our FIN stands between frames.
//! - What leaves is what was sent, in order: each message that `send` took has left whole, or is
//!   counted in the report. Each frame is one that RFC 6455 or hixie allows (`wire`).
//! - No message that comes is longer than `max_message`; none comes before the opening handshake is
//!   complete or behind `Event::EndOfMessages`. Text is UTF-8.
//! - Each event comes where it may, and as often as it may (`events`).
//! - What the connection keeps is bounded by its limits, whatever the peer sends (`kept`).

#![no_main]

mod events;
mod kept;
mod peer;
mod script;
mod steps;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_fuzz::{memory, receive, waiting, waits};
use adieu_proto::{
    ClientRequest, Config, Connection, Ending, Event, Negotiated, Output, Request, Scratch, Status,
    TransportEvent, TransportKind, VersionSet,
};
use libfuzzer_sys::fuzz_target;

use crate::events::Events;
use crate::kept::Kept;
use crate::script::{App, Evidence, Limits, Script, Spoken, Start, Transport};
use crate::wire::Wire;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// When the application has closed and nothing else happens, all is over within this time: each
/// clock of the ending runs 26 s at most (four of the longest retransmission time-outs that a
/// script claims, and 10 s more while the peer's window grows).
const LONGEST: Duration = Duration::from_secs(100);

fuzz_target!(|script: Script| {
    let mut world = World::new(&script);
    for step in &script.steps {
        world.step(step);
    }
    world.ends();
});

/// One connection, and all that is known of it.
pub(crate) struct World {
    connection: Connection,
    scratch: Scratch,
    started: Instant,
    now: Instant,
    wire: Wire,
    events: Events,
    kept: Kept,
    /// The request of a client, of which the right answer depends.
    nonce: Option<[u8; 16]>,
    /// What the transport gives evidence of, if it does.
    evidence: Option<Evidence>,
    evidence_since: Instant,
    /// The messages that `send` took: whether text, and the payload.
    taken: Vec<(bool, Vec<u8>)>,
    /// Whether the transport holds what it took until it is flushed, and how many messages had left
    /// whole when it last was.
    holds: bool,
    flushed: usize,
    write_failed: bool,
    /// The peer's direction is over: no more bytes come.
    peer_ended: bool,
    /// The connection has been let go of.
    over: bool,
}

impl World {
    fn new(script: &Script) -> Self {
        let now = Instant::now();
        let config = config(script.limits);
        let mut scratch =
            if script.pooled { Scratch::with_pool(kept::pool()) } else { Scratch::default() };
        // The buffer for reads is a thread's, whatever a connection does.
        Connection::server(now, config.clone()).read_buffer(&mut scratch);
        let before = memory::in_use();
        let (connection, wire) = begin(script.start, now, &config, &mut scratch);
        let mut kept = Kept::new(&config);
        kept.add(memory::in_use() - before);
        let mut world = World {
            connection,
            scratch,
            started: now,
            now,
            wire,
            events: Events::default(),
            kept,
            nonce: None,
            evidence: script.evidence.then(Evidence::default),
            evidence_since: now,
            taken: Vec::new(),
            holds: script.holds,
            flushed: 0,
            write_failed: false,
            peer_ended: false,
            over: false,
        };
        if script.evidence {
            world.tell(TransportEvent::GivesEvidence);
        }
        world.opens(script.start);
        world
    }

    /// The opening handshake, where the script begins behind it.
    fn opens(&mut self, start: Start) {
        self.drain();
        if let Start::Client | Start::Connected = start {
            self.nonce = Some(nonce(&waiting(&self.connection)));
        }
        match start {
            Start::Server | Start::Client => return,
            Start::Serving(spoken) => {
                self.peer_says(&peer::request(spoken), 0);
                self.app(&App::Accept { subprotocol: false, field: false });
                self.transport(&Transport::TakesAll);
                if spoken == Spoken::Hixie76 {
                    self.peer_says(b"^n:ds[4U", 0);
                }
            }
            Start::Upgraded(spoken) => {
                if spoken == Spoken::Hixie76 {
                    self.peer_says(b"^n:ds[4U", 0);
                }
            }
            Start::Connected => {
                self.transport(&Transport::TakesAll);
                let nonce = self.nonce.expect("a client has one");
                self.peer_says(&peer::answer(nonce), 0);
            }
        }
        self.transport(&Transport::TakesAll);
        assert!(self.events.opened, "a good opening handshake");
    }

    /// Does something with the connection, and looks at what it keeps afterwards and at what comes
    /// out.
    fn with<T>(&mut self, act: impl FnOnce(&mut Connection, &mut Scratch, Instant) -> T) -> T {
        let before = memory::in_use();
        let done = act(&mut self.connection, &mut self.scratch, self.now);
        let mut messages = self.scratch.messages.take().unwrap_or_default();
        let came = memory::in_use();
        for message in messages.iter() {
            self.events.message(message, self.connection.status().config().max_message);
        }
        let noted = memory::in_use() - came;
        messages.clear();
        self.scratch.keep_messages(messages);
        self.scratch.drop_payloads();
        self.kept.add(memory::in_use() - before - noted);
        self.kept.check();
        done
    }

    fn tell(&mut self, event: TransportEvent) {
        self.with(|connection, scratch, now| connection.handle_transport(now, event, scratch));
        self.drain();
    }

    fn status(&self) -> Status<'_> {
        self.connection.status()
    }

    /// The peer's bytes come, in pieces of so many (0: as they are).
    fn peer_says(&mut self, bytes: &[u8], piece: u8) {
        let size = if piece == 0 { bytes.len().max(1) } else { usize::from(piece) };
        for piece in bytes.chunks(size) {
            if self.peer_ended || self.over {
                return;
            }
            self.with(|connection, scratch, now| receive(connection, now, piece, scratch));
            self.drain();
        }
    }

    /// Does what the connection asks for, but for writing: that is a step of its own.
    fn drain(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            let output = self.with(|connection, scratch, _| connection.poll_output(scratch));
            let silent = matches!(output, Output::Timeout(None));
            assert!(silent || !self.events.ended, "{output:?} comes behind the report");
            match output {
                Output::Event(event) => self.event(event),
                Output::Finish => self.wire.finish(),
                Output::Disconnect => self.release(),
                Output::Transmit => {
                    assert!(waits(&self.connection), "nothing is to be written");
                    return;
                }
                Output::Timeout(at) => {
                    let status = self.status();
                    assert!(at == status.timeout() && !status.has_output());
                    assert!(!self.events.ended || !status.may_send());
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("outputs without end");
    }

    fn event(&mut self, event: Event) {
        self.events.take(&event);
        if let Event::Ended(ending) = event {
            self.is_true(&ending);
        }
    }

    fn release(&mut self) {
        assert!(!self.over, "let go of twice");
        self.over = true;
        let event = TransportEvent::Released {
            kind: TransportKind::Tcp,
            unacknowledged: None,
            close_notify: None,
        };
        self.with(|connection, scratch, now| connection.handle_transport(now, event, scratch));
    }

    /// What the report says of our side is what was seen.
    fn is_true(&self, ending: &Ending) {
        assert!(self.over, "a report of a connection that was not let go of");
        assert_eq!(ending.opened(), self.events.opened);
        assert_eq!(self.wire.messages, self.taken[..self.wire.messages.len()]);
        let (left, unsent) = (self.wire.messages.len(), ending.unsent.messages as usize);
        let gone = if self.holds { self.flushed } else { left };
        assert_eq!(gone + unsent, self.taken.len(), "{:?}", ending.unsent);
        let says_close = ending.closing_handshake.sent().is_some();
        assert!(self.wire.closed || !says_close, "a Close that never left");
        assert!(says_close || !self.wire.closed || self.holds, "a Close that left is not told");
        if let Some(close) = &self.events.close {
            assert_eq!(ending.closing_handshake.received(), Some(close));
        }
        assert_eq!(ending.lasted, self.now - self.started);
        // The report says it in a sentence.
        assert!(!ending.to_string().is_empty());
    }

    /// The application closes, and nothing more happens but time.
    fn ends(&mut self) {
        self.app(&App::Close { code: Some(0), reason: String::new(), reads_on: false });
        let start = self.now;
        while !self.events.ended {
            let at = self.status().timeout().expect("a clock runs until all is over");
            self.now = self.now.max(at);
            assert!(self.now - start <= LONGEST, "it takes {:?}", self.now - start);
            self.clock();
            let next = self.status().timeout();
            assert!(next.is_none_or(|next| next > self.now), "a clock that stands still");
        }
    }
}

/// What one call may ask for: events, a FIN, an end.
const MOST_OUTPUTS: usize = 2000;

fn config(limits: Limits) -> Arc<Config> {
    let (max_message, send_queue) = match limits {
        Limits::Tiny => (64, 64),
        Limits::Small => (4096, 4096),
        Limits::Large => (512 * 1024, 64 * 1024),
    };
    let versions = VersionSet::all();
    Arc::new(Config { versions, max_message, send_queue, max_head: 1024, ..Config::default() })
}

fn begin(
    start: Start,
    now: Instant,
    config: &Arc<Config>,
    scratch: &mut Scratch,
) -> (Connection, Wire) {
    let config = config.clone();
    match start {
        Start::Server | Start::Serving(_) => (Connection::server(now, config), Wire::of_server()),
        Start::Upgraded(spoken) => {
            let version = spoken.version();
            let fields = peer::request_fields(version);
            let fields = fields.iter().map(|(name, value)| (&**name, &**value));
            let request = Request::from_parts("GET", "/", fields).expect("a good request");
            let negotiated = Negotiated::new(version);
            let connection = Connection::upgraded(now, config, request, negotiated);
            (connection, Wire::upgraded(version))
        }
        Start::Client | Start::Connected => {
            let request = ClientRequest::new("h", "/").subprotocol("one");
            let connection = Connection::client(now, config, request, [7; 32], scratch);
            (connection.expect("a good request"), Wire::of_client())
        }
    }
}

/// The sixteen bytes of which a client's key is made.
fn nonce(request: &[u8]) -> [u8; 16] {
    use base64::Engine as _;
    let text = std::str::from_utf8(request).expect("a head is ASCII");
    let key = text.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.split('\r').next());
    let bytes = base64::engine::general_purpose::STANDARD.decode(key.expect("a key"));
    bytes.expect("base64").try_into().expect("sixteen bytes")
}
