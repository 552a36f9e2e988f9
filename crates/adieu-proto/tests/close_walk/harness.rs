//! A driver in virtual time: does to a real `Connection` what an input says, looks at what comes
//! out, byte by byte, and compares it with the oracle.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::{
    ClientRequest, Config, Connection, Negotiated, Output, PeerEnd, Request, Scratch,
    TransportEvent, Version,
};

use crate::account::Step;
use crate::oracle::{LONGEST, Oracle, Stage};
use crate::script::{Dialect, Input, NONCE, Role, Transport, head};
use crate::wire::Wire;

/// One connection and all that is known of it.
#[derive(Clone)]
pub(crate) struct World {
    pub(super) connection: Connection,
    pub(crate) oracle: Oracle,
    wire: Wire,
    pub(super) now: Instant,
    /// How much time passes with each input.
    tick: Duration,
    /// In pieces of how many bytes the peer's bytes are received.
    pub(super) piece: usize,
    /// The request of a client, which the peer's answer depends on.
    pub(super) request: Vec<u8>,
    /// How much of a head or nonce the peer has sent, if it is not whole.
    pub(super) said: usize,
    /// One set of buffers for all connections of a walk, as a thread of a real driver has it.
    pub(super) scratch: Rc<RefCell<Scratch>>,
}

/// What is walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    pub(crate) transport: Transport,
    /// Whether the walk begins with an open connection.
    pub(crate) opened: bool,
    pub(crate) tick: Duration,
    pub(crate) piece: usize,
}

impl World {
    pub(crate) fn new(setting: Setting, now: Instant) -> Self {
        let Setting { role, dialect, transport, opened, tick, piece } = setting;
        let config = Arc::new(Config::default());
        let server_open = opened && role == Role::Server;
        let scratch = Rc::new(RefCell::new(Scratch::default()));
        let connection = match role {
            Role::Server if opened => upgraded(dialect, now, config, &mut scratch.borrow_mut()),
            Role::Server => Connection::server(now, config),
            Role::Client => {
                let request = ClientRequest::new("h", "/");
                Connection::client(now, config, request, [7; 32], &mut scratch.borrow_mut())
                    .expect("a good request")
            }
        };
        let stage = if server_open { Stage::Opened } else { Stage::Head { begun: false } };
        let mut world = World {
            oracle: Oracle::new(role, dialect, transport, stage, now),
            wire: Wire::new(role, dialect, server_open),
            now,
            tick,
            piece,
            request: Vec::new(),
            said: 0,
            connection,
            scratch,
        };
        if transport == Transport::Multiplexed {
            world.tell(TransportEvent::Multiplexed);
        }
        match role {
            Role::Client => world.asks(transport, opened),
            Role::Server if opened => world.is_open(),
            Role::Server => {}
        }
        world
    }

    /// The request of a client leaves, and as the case may be it is answered.
    fn asks(&mut self, transport: Transport, opened: bool) {
        self.request = self.waiting();
        self.oracle.asks(self.request.len() as u64);
        // The request always leaves where the handshake is not what is walked.
        self.oracle.transport = if opened { Transport::TakesAll } else { transport };
        // It is too early to send a message, but not for the request to leave.
        self.step(Input::Send).expect("a refused message");
        if opened {
            self.step(Input::Head).expect("the answer opens it");
        }
        self.oracle.transport = transport;
    }

    fn is_open(&mut self) {
        let mut steps = Vec::new();
        self.drain(&mut steps).expect("an open connection");
        assert_eq!(steps.last(), Some(&Step::Opened));
        // The challenge of hixie-76 was received, if there was one: no part of the walk.
        if self.oracle.dialect == Dialect::Hixie76 {
            self.oracle.received_before(self.now);
        }
    }

    /// Does what `input` says; an error says what is wrong with what came out.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), String> {
        self.pass_time(input)?;
        let stand = self.oracle.stand;
        let may_send = self.oracle.may_send();
        let want = self.oracle.step(input, self.now);
        let mut got = Vec::new();
        self.apply(input, stand, may_send, &mut got)?;
        let messages = got.len();
        self.drain(&mut got)?;
        // A message that came with the end of the handshake is told behind it.
        if let Some(opened) = got.iter().position(|step| *step == Step::Opened) {
            got[..=opened].rotate_left(messages.min(opened));
        }
        if got != want {
            return Err(format!("\n got {got:?}\nwant {want:?}"));
        }
        self.compare()
    }

    fn pass_time(&mut self, input: Input) -> Result<(), String> {
        let Input::Timer(_) = input else {
            self.now += self.tick;
            return Ok(());
        };
        let Some((_, deadline)) = self.oracle.deadline() else { return Err("no clock".into()) };
        // A clock may wake us early to be set on: that must be seen nowhere.
        while let Some(early) = self.connection.status().timeout().filter(|at| *at < deadline) {
            self.connection.handle_timeout(early, None, &mut self.scratch.borrow_mut());
            let mut steps = Vec::new();
            self.drain(&mut steps)?;
            let again = self.connection.status().timeout().is_none_or(|at| at <= early);
            if again || !steps.is_empty() {
                return Err(format!("woken early: {steps:?}, again: {again}"));
            }
        }
        // An input's tick may have carried us past it: a late wake-up is a wake-up.
        self.now = deadline.max(self.now);
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let (status, oracle) = (self.connection.status(), &self.oracle);
        let (queued, want) = (status.queued(), oracle.queued());
        if queued != want {
            return Err(format!("{queued} bytes have not left, not {want}"));
        }
        let open = oracle.stage == Stage::Opened && !oracle.over;
        let same = [
            ("may send", status.may_send(), oracle.may_send()),
            ("has output", status.has_output(), oracle.has_output()),
            ("the FIN follows", status.fin_follows(), oracle.fin_follows()),
            ("the peer has ended", status.peer_has_ended(), oracle.peer_has_ended()),
            ("delivers", status.delivers() && open, oracle.delivers() && open),
        ];
        if let Some((what, got, want)) = same.into_iter().find(|(_, got, want)| got != want) {
            return Err(format!("{what}: {got}, not {want}"));
        }
        self.compare_clocks()
    }

    fn compare_clocks(&self) -> Result<(), String> {
        let want = self.oracle.deadline();
        match (self.connection.status().timeout(), want) {
            (None, None) => Ok(()),
            (Some(at), Some((_, deadline))) if at == deadline => Ok(()),
            (Some(at), Some((_, deadline))) if at < deadline && self.oracle.has_ping_clock() => {
                Ok(())
            }
            (got, want) => {
                let after = |at: Instant| at.checked_duration_since(self.now);
                let (got, timer) = (got.and_then(after), want.map(|want| want.0));
                let want = want.and_then(|want| after(want.1));
                Err(format!("the clock runs out in {got:?}, not {want:?} ({timer:?})"))
            }
        }
    }

    /// Does what the connection asks for, until it has nothing to do or the transport is full.
    pub(super) fn drain(&mut self, got: &mut Vec<Step>) -> Result<(), String> {
        loop {
            let output = self.connection.poll_output(&mut self.scratch.borrow_mut());
            match output {
                Output::Event(event) => got.push(Step::from(&event)),
                Output::Transmit if self.oracle.transport != Transport::TakesWhenTold => {
                    self.transmit(usize::MAX, got)?;
                }
                Output::Transmit | Output::Timeout(_) => return Ok(()),
                Output::Finish => {
                    self.wire.finish()?;
                    got.push(Step::Finish);
                }
                Output::Disconnect => {
                    got.push(Step::Disconnect);
                    self.release();
                }
                other => return Err(format!("{other:?}")),
            }
            if got.len() > 50 {
                return Err("it goes on for ever".into());
            }
        }
    }

    fn release(&mut self) {
        if self.oracle.late_reset {
            self.tell(TransportEvent::PeerEnded(PeerEnd::Reset, None));
        }
        self.tell(TransportEvent::Released {
            kind: self.oracle.kind(),
            unacknowledged: Some(0),
            close_notify: Some(self.oracle.notified()),
        });
    }

    pub(super) fn tell(&mut self, event: TransportEvent) {
        self.connection.handle_transport(self.now, event, &mut self.scratch.borrow_mut());
    }

    /// The transport takes so many bytes at most.
    pub(super) fn transmit(&mut self, most: usize, got: &mut Vec<Step>) -> Result<(), String> {
        let mut bytes = self.waiting();
        bytes.truncate(most);
        if !bytes.is_empty() {
            got.extend(self.wire.push(&bytes)?.into_iter().map(Step::Sent));
            let held = self.oracle.transport.holds();
            self.tell(TransportEvent::Transmitted { bytes: bytes.len(), held });
        }
        Ok(())
    }

    pub(super) fn waiting(&self) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = self.connection.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    /// Nothing more happens but time: it has to end, once, soon.
    pub(crate) fn finish(mut self) -> Result<(), (Vec<Input>, String)> {
        let mut path = Vec::new();
        let start = self.now;
        while !self.oracle.over {
            let input = match self.oracle.deadline() {
                Some((timer, _)) => Input::Timer(timer),
                // Nobody wants an end (and hixie has no Ping, or the Ping cannot leave).
                None => Input::AppClose,
            };
            path.push(input);
            let result = self.step(input).and_then(|()| {
                let began = self.oracle.began_at().map(|at| at.max(start));
                match began {
                    Some(began) if self.now - began > LONGEST => Err("it takes too long".into()),
                    _ if path.len() > 8 => Err("it does not end".into()),
                    _ => Ok(()),
                }
            });
            result.map_err(|error| (path.clone(), error))?;
        }
        Ok(())
    }

    /// After the end nothing comes out any more, whatever happens.
    pub(crate) fn stays_silent(mut self, alphabet: &[Input]) -> Result<(), String> {
        let hybi = self.oracle.dialect == Dialect::Rfc6455;
        let mut got = Vec::new();
        for &input in alphabet {
            match input {
                Input::Close | Input::BadClose | Input::Fragment | Input::Ping if !hybi => {}
                Input::TakePart | Input::Accept => {}
                _ => self.apply(input, self.oracle.stand, false, &mut got)?,
            }
        }
        self.drain(&mut got)?;
        let status = self.connection.status();
        if got.is_empty() && status.timeout().is_none() && !status.may_send() {
            return Ok(());
        }
        Err(format!("after the end: {got:?}, a clock: {}", status.timeout().is_some()))
    }

    /// All that can make a difference from now on, as a number: every field of the connection,
    /// the facts, and the beginning of a frame on the wire.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut mixer = Mixer(0);
        self.connection.hash_state(&mut mixer);
        (&self.oracle, &self.wire, self.now, self.said).hash(&mut mixer);
        mixer.finish()
    }
}

/// Folds what is written into one number. The walk does little else, so it has to be quick.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
        let words = words.chunks_exact(8).filter_map(<[u8]>::first_chunk);
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length goes in too, so that what is split elsewhere is something else.
        last[7] = bytes.len() as u8;
        for word in words.chain([&last]) {
            let mixed = self.0.rotate_left(23) ^ u64::from_le_bytes(*word);
            self.0 = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn finish(&self) -> u64 {
        let high = self.0 ^ self.0 >> 32;
        high.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ high >> 29
    }
}

fn upgraded(
    dialect: Dialect,
    now: Instant,
    config: Arc<Config>,
    scratch: &mut Scratch,
) -> Connection {
    let (input, version) = match dialect {
        Dialect::Rfc6455 => (Input::Head, Version::Rfc6455),
        Dialect::Hixie76 => (Input::Head76, Version::Hixie76),
        Dialect::Hixie75 => (Input::Head76, Version::Hixie75),
    };
    let text = String::from_utf8(head(Role::Server, input, &[])).expect("a head is ASCII");
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
    let request = Request::from_parts("GET", "/", fields).expect("a good request");
    let mut connection = Connection::upgraded(now, config, request, Negotiated::new(version));
    if version == Version::Hixie76 {
        connection.read_buffer(scratch)[..NONCE.len()].copy_from_slice(NONCE);
        connection.received(now, NONCE.len(), scratch);
        let sent = TransportEvent::Transmitted { bytes: 16, held: false };
        connection.handle_transport(now, sent, scratch);
    }
    connection
}
