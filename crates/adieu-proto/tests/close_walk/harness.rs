//! A driver in virtual time: does to a real `Connection` what an input says, looks at what comes
//! out, byte by byte, and compares it with the oracle.

use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adieu_proto::{
    Cause, ClientRequest, Close, Config, Connection, HandshakeError, Output, PeerEnd, Request,
    Timer, UsageError, Version,
};

use crate::account::Step;
use crate::oracle::{LONGEST, Oracle, Stage};
use crate::script::{BYE, Dialect, Input, MESSAGE, NONCE, Role, Stand, head, peer_bytes};
use crate::wire::Wire;

/// One connection and all that is known of it.
#[derive(Clone)]
pub(crate) struct World {
    connection: Connection,
    pub(crate) oracle: Oracle,
    wire: Wire,
    now: Instant,
    /// How much time passes with each input.
    tick: Duration,
    /// The request of a client, which the peer's answer depends on.
    request: Vec<u8>,
    /// How much of a head or nonce the peer has sent, if it is not whole.
    said: usize,
}

/// What is walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    /// Whether the transport takes everything at once.
    pub(crate) takes: bool,
    /// Whether the walk begins with an open connection.
    pub(crate) opened: bool,
    pub(crate) tick: Duration,
}

impl World {
    pub(crate) fn new(setting: Setting, now: Instant) -> Self {
        let Setting { role, dialect, takes, opened, tick } = setting;
        let config = Arc::new(Config::default());
        let server_open = opened && role == Role::Server;
        let connection = match role {
            Role::Server if opened => upgraded(dialect, now, config),
            Role::Server => Connection::server(now, config),
            Role::Client => {
                let request = ClientRequest::new("h", "/");
                Connection::client(now, config, request, [7; 32]).expect("a good request")
            }
        };
        let stage = if server_open { Stage::Opened } else { Stage::Head { begun: false } };
        let mut world = World {
            oracle: Oracle::new(role, dialect, takes, stage, now),
            wire: Wire::new(role, dialect, server_open),
            now,
            tick,
            request: Vec::new(),
            said: 0,
            connection,
        };
        let mut steps = Vec::new();
        if role == Role::Client {
            world.request = world.waiting();
            world.oracle.asks(world.request.len() as u64);
            // The request always leaves where the handshake is not what is walked.
            world.oracle.takes = takes || opened;
            // It is too early to send a message, but not for the request to leave.
            world.step(Input::Send).expect("a refused message");
            if opened {
                world.step(Input::Head).expect("the answer opens it");
            }
            world.oracle.takes = takes;
        } else if server_open {
            world.drain(&mut steps).expect("an open connection");
            assert_eq!(steps, [Step::Opened]);
        }
        world
    }

    /// Does what `input` says; an error says what is wrong with what came out.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), String> {
        self.pass_time(input)?;
        let now = self.now;
        let stand = self.oracle.stand;
        let may_send = self.oracle.may_send();
        let want = self.oracle.step(input, now);
        let mut got = Vec::new();
        self.apply(input, stand, may_send, &mut got)?;
        self.drain(&mut got)?;
        if got != want {
            return Err(format!("got  {got:#?}\nwant {want:#?}"));
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
        while let Some(early) = self.connection.timeout().filter(|at| *at < deadline) {
            self.connection.handle_timeout(early);
            let mut steps = Vec::new();
            self.drain(&mut steps)?;
            let again = self.connection.timeout().is_none_or(|at| at <= early);
            if again || !steps.is_empty() {
                return Err(format!("woken early: {steps:?}, again: {again}"));
            }
        }
        // An input's tick may have carried us past it: a late wake-up is a wake-up.
        self.now = deadline.max(self.now);
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let connection = &self.connection;
        let (queued, want) = (connection.queued(), self.oracle.queued());
        if queued != want {
            return Err(format!("{queued} bytes are queued, not {want}"));
        }
        if connection.may_send() != self.oracle.may_send() {
            return Err(format!("may send: {}", connection.may_send()));
        }
        let want = self.oracle.deadline();
        match (connection.timeout(), want) {
            (None, None) => Ok(()),
            (Some(at), Some((Timer::Ping, deadline))) if at <= deadline => Ok(()),
            (Some(at), Some((_, deadline))) if at == deadline => Ok(()),
            (got, want) => {
                let after = |at: Instant| at.checked_duration_since(self.now);
                let (got, timer) = (got.and_then(after), want.map(|want| want.0));
                let want = want.and_then(|want| after(want.1));
                Err(format!("the clock runs out in {got:?}, not {want:?} ({timer:?})"))
            }
        }
    }

    fn apply(
        &mut self,
        input: Input,
        stand: Stand,
        may_send: bool,
        got: &mut Vec<Step>,
    ) -> Result<(), String> {
        use Input as I;
        let (now, connection) = (self.now, &mut self.connection);
        let close = |code, reason| Close::new(code, reason).expect("a good Close");
        match input {
            I::AppClose => connection.close(now, close(BYE.0, BYE.1), Cause::Application),
            I::Dropped => connection.close(now, close(1000, ""), Cause::Dropped),
            I::Panicked => connection.close(now, close(1011, ""), Cause::Panicked),
            I::Drain => connection.close(now, close(1001, ""), Cause::Drain),
            I::Abandon => {
                connection.close(now, close(1001, ""), Cause::Dropped);
                self.drain(got)?;
                self.connection.abandon(now);
            }
            I::SawEnd => connection.saw_end(now),
            I::Send => match (connection.send(MESSAGE), may_send) {
                (Ok(()), true) | (Err(UsageError::Closed | UsageError::NotOpen), false) => {}
                (result, _) => return Err(format!("send gives {result:?}")),
            },
            I::Fin | I::FinReset => connection.peer_ended(now, PeerEnd::Fin),
            I::Reset => connection.peer_ended(now, PeerEnd::Reset),
            I::Unreachable => connection.peer_ended(now, PeerEnd::Unreachable),
            I::Flushed => self.transmit(usize::MAX, got)?,
            I::Part => {
                let most = self.waiting().len() - 1;
                self.transmit(most, got)?;
            }
            I::WriteError => connection.write_failed(now),
            I::TlsFailed => connection.tls_failed(now),
            I::Paused => connection.reading_paused(now),
            I::Timer(_) => connection.handle_timeout(now),
            I::Accept => connection.accept(now, None, false).map_err(|e| e.to_string())?,
            I::Refuse => connection.refuse(now, HandshakeError::Refused(403)),
            I::Nonce | I::HalfNonce | I::Head | I::HalfHead | I::Head76 | I::BadHead => {
                let mut bytes = self.opening_bytes(input);
                self.connection.receive(now, &mut bytes);
            }
            _ => {
                let oracle = &self.oracle;
                let mut bytes = peer_bytes(oracle.role, oracle.dialect, stand, input);
                connection.receive(now, &mut bytes);
            }
        }
        Ok(())
    }

    fn opening_bytes(&mut self, input: Input) -> Vec<u8> {
        let whole = match input {
            Input::Nonce | Input::HalfNonce => NONCE.into(),
            _ => head(self.oracle.role, input, &self.request),
        };
        let half = whole.len() / 2;
        let said = std::mem::take(&mut self.said);
        match input {
            Input::HalfHead | Input::HalfNonce => {
                self.said = half;
                whole[..half].into()
            }
            _ => whole.get(said..).unwrap_or_default().into(),
        }
    }

    /// Does what the connection asks for, until it has nothing to do or the transport is full.
    fn drain(&mut self, got: &mut Vec<Step>) -> Result<(), String> {
        loop {
            match self.connection.poll_output() {
                Output::Event(event) => got.push(Step::from(&event)),
                Output::Transmit if self.oracle.takes => self.transmit(usize::MAX, got)?,
                Output::Transmit | Output::Timeout(_) => return Ok(()),
                Output::ShutdownWrite => {
                    self.wire.shut()?;
                    got.push(Step::Shutdown);
                }
                Output::Disconnect => {
                    got.push(Step::Disconnect);
                    if self.oracle.late_reset {
                        self.connection.peer_ended(self.now, PeerEnd::Reset);
                    }
                    self.connection.disconnected(self.now, None, None);
                }
                other => return Err(format!("{other:?}")),
            }
            if got.len() > 50 {
                return Err("it goes on for ever".into());
            }
        }
    }

    /// So many bytes leave.
    fn transmit(&mut self, most: usize, got: &mut Vec<Step>) -> Result<(), String> {
        let mut bytes = self.waiting();
        bytes.truncate(most);
        if !bytes.is_empty() {
            got.extend(self.wire.push(&bytes)?.into_iter().map(Step::Sent));
            self.connection.transmitted(self.now, bytes.len());
        }
        Ok(())
    }

    fn waiting(&self) -> Vec<u8> {
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
                Input::Flushed | Input::Part | Input::Accept => {}
                _ => self.apply(input, self.oracle.stand, false, &mut got)?,
            }
        }
        self.drain(&mut got)?;
        let timeout = self.connection.timeout();
        if got.is_empty() && timeout.is_none() && !self.connection.may_send() {
            return Ok(());
        }
        Err(format!("after the end: {got:?}, a clock: {}", timeout.is_some()))
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
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length goes in too, so that what is cut elsewhere is something else.
        last[7] = bytes.len() as u8;
        for word in words.iter().chain([&last]) {
            let mixed = self.0.rotate_left(23) ^ u64::from_le_bytes(*word);
            self.0 = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn finish(&self) -> u64 {
        let high = self.0 ^ self.0 >> 32;
        high.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ high >> 29
    }
}

fn upgraded(dialect: Dialect, now: Instant, config: Arc<Config>) -> Connection {
    let (input, version) = match dialect {
        Dialect::Rfc6455 => (Input::Head, Version::Rfc6455),
        Dialect::Hixie76 => (Input::Head76, Version::Hixie76),
        Dialect::Hixie75 => (Input::Head76, Version::Hixie75),
    };
    let text = String::from_utf8(head(Role::Server, input, &[])).expect("a head is ASCII");
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(": "));
    let request = Request::from_parts("GET", "/", fields).expect("a good request");
    let mut connection = Connection::upgraded(now, config, request, version);
    if version == Version::Hixie76 {
        connection.receive(now, &mut NONCE.to_vec());
        connection.transmitted(now, 16);
    }
    connection
}
