//! Does what a step of the script says, as a driver may.

use std::time::Duration;

use adieu_proto::{
    Cause, Close, CloseRequest, Command, Decision, Evidence, HandshakeError, Message, Negotiated,
    Prepared, TransportError, TransportEvent, UsageError, Version,
};

use crate::World;
use crate::peer;
use crate::script::{self, App, Step, Transport};
use adieu_fuzz::waiting;

/// Bytes that one step may bring: what is repeated is cut there.
const MOST: usize = 512 * 1024;

impl World {
    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Bytes { bytes, piece } => self.peer_says(bytes, *piece),
            Step::Frame { frame, piece, times } => {
                let bytes = peer::frame(frame, self.nonce.is_none());
                self.peer_repeats(&bytes, *times, *piece);
            }
            Step::HixieText { text, times } => {
                let bytes = [&[0x00], &text[..], &[0xFF]].concat();
                self.peer_repeats(&bytes, *times, 0);
            }
            Step::Payload { byte, kib } => {
                self.peer_says(&vec![*byte; usize::from(*kib) * 1024], 0);
            }
            Step::Flood(flood) => {
                self.peer_says(&peer::flood(*flood, self.nonce.is_none()), 0);
            }
            Step::Head(spoken) => match self.nonce {
                Some(nonce) => self.peer_says(&peer::answer(nonce), 0),
                None => self.peer_says(&peer::request(*spoken), 0),
            },
            Step::Nonce(bytes) => self.peer_says(bytes, 0),
            Step::App(app) => self.app(app),
            Step::Transport(transport) => self.transport(transport),
            Step::Time(ms) => {
                self.now += Duration::from_millis(u64::from(*ms));
                // A driver is woken late at most.
                if self.status().timeout().is_some_and(|at| at <= self.now) {
                    self.clock();
                }
            }
            Step::Clock => {
                if let Some(at) = self.status().timeout() {
                    self.now = self.now.max(at);
                    self.clock();
                }
            }
        }
    }

    fn peer_repeats(&mut self, bytes: &[u8], times: u8, piece: u8) {
        let times = usize::from(times).max(1).min(1 + MOST / bytes.len().max(1));
        // In pieces of a byte that would take long.
        let times = if piece == 0 { times } else { times.min(4) };
        self.peer_says(&bytes.repeat(times), piece);
    }

    /// A clock runs out, or stops to look.
    pub(crate) fn clock(&mut self) {
        let since = self.now - self.evidence_since;
        let evidence = self.evidence.map(|known| evidence(known, since));
        self.with(|connection, scratch, now| connection.handle_timeout(now, evidence, scratch));
        self.drain();
    }

    pub(crate) fn app(&mut self, app: &App) {
        match app {
            App::Accept { subprotocol, field } => self.accept(*subprotocol, *field),
            App::Refuse(status) => {
                let error = HandshakeError::Refused(400 + u16::from(*status % 200));
                self.decides(Decision::Refuse(error));
            }
            App::RefuseWith(response) => {
                if self.events.asked.is_some() && self.status().awaits_decision() {
                    self.wire.refuses_in_its_own_words();
                    let error = HandshakeError::Refused(403);
                    self.decides(Decision::RefuseWith(error, response.clone()));
                }
            }
            App::Send(text) => self.send(true, text.as_bytes(), false),
            App::SendBinary(bytes) => self.send(false, bytes, false),
            App::SendLarge { len, prepared } => {
                self.send(false, &vec![b'x'; usize::from(*len) / 4], *prepared);
            }
            App::Ping => self.ping(),
            App::Close { code, reason, reads_on } => {
                let close = match code {
                    Some(code) => Close::new(3000 + *code % 2000, reason.clone()).ok(),
                    None => Some(Close::empty()),
                };
                let Some(close) = close else { return };
                let request = CloseRequest::of(Cause::Application, close);
                let request = CloseRequest { reads_on: *reads_on, ..request };
                self.command(Command::Close(request));
            }
            App::EndSeen => self.command(Command::EndSeen),
            App::Drain => self.command(Command::Drain),
            App::LetGo(why) => self.command(Command::LetGo(why.let_go())),
        }
    }

    fn command(&mut self, command: Command) {
        self.with(|connection, scratch, now| connection.command(now, command, scratch));
        self.drain();
    }

    fn accept(&mut self, subprotocol: bool, field: bool) {
        let awaited = self.status().awaits_decision();
        let version = self.events.asked.unwrap_or(Version::Rfc6455);
        if awaited {
            self.wire.accepts(version);
        }
        let mut negotiated = Negotiated::new(version);
        // One that our requests offer; those of the fuzzer may not.
        if subprotocol {
            negotiated = negotiated.subprotocol("one");
        }
        let fields = if field { vec![("X-A".to_owned(), b"b".to_vec())] } else { Vec::new() };
        let decision = Decision::AcceptWith(negotiated, fields);
        let decided =
            self.with(|connection, scratch, now| connection.decide(now, decision, scratch));
        match decided {
            Ok(()) => assert!(awaited),
            Err(UsageError::Subprotocol(_)) => {
                assert!(awaited && subprotocol);
                self.wire.accepts_nothing();
            }
            Err(error) => assert!(error == UsageError::NotOpen && !awaited, "{error}"),
        }
        self.drain();
    }

    fn decides(&mut self, decision: Decision) {
        let decided =
            self.with(|connection, scratch, now| connection.decide(now, decision, scratch));
        decided.expect("a refusal is always taken");
        self.drain();
    }

    /// Sends as a driver lets an application send: not while too much waits.
    fn send(&mut self, text: bool, payload: &[u8], prepared: bool) {
        let status = self.status();
        if status.queued() >= status.config().send_queue as u64 {
            return;
        }
        let (may_send, version) = (status.may_send(), status.version());
        let sent = self.with(|connection, scratch, _| {
            let message = match std::str::from_utf8(payload) {
                Ok(payload) if text => Message::from(payload),
                _ => Message::from(payload.to_vec()),
            };
            if prepared {
                return connection.send(&Prepared::new(message), scratch);
            }
            connection.send(&message, scratch)
        });
        match sent {
            Ok(()) => {
                assert!(may_send && self.events.opened);
                self.taken.push((text, payload.to_vec()));
            }
            Err(UsageError::NoBinary(_)) => assert!(!text && version.is_hixie()),
            Err(UsageError::NotOpen) => assert!(!self.events.opened && !may_send),
            Err(error) => assert!(error == UsageError::Closed && !may_send, "{error}"),
        }
        self.drain();
    }

    fn ping(&mut self) {
        let pinged = self.with(|connection, scratch, _| connection.ping(scratch));
        if let Ok(number) = pinged {
            self.events.pings += 1;
            assert_eq!(number, self.events.pings);
        }
        self.drain();
    }

    pub(crate) fn transport(&mut self, transport: &Transport) {
        if self.over {
            return;
        }
        let error = || TransportError::from(std::io::Error::other("the tunnel collapsed"));
        match transport {
            Transport::Takes { most } => self.takes(usize::from(*most)),
            Transport::TakesAll => self.takes_all(),
            Transport::Flushed => self.flush(),
            Transport::Blocked => self.tell(TransportEvent::Blocked),
            Transport::WriteFailed => {
                self.write_failed = true;
                self.tell(TransportEvent::WriteFailed(Some(error())));
            }
            Transport::ReadingPaused => self.tell(TransportEvent::ReadingPaused),
            Transport::CloseNotify if !self.peer_ended => self.tell(TransportEvent::CloseNotify),
            Transport::TlsFailed if !self.peer_ended => {
                self.write_failed = true;
                self.tell(TransportEvent::TlsFailed(error()));
            }
            Transport::PeerEnded(how) if !self.peer_ended => {
                self.peer_ended = true;
                self.tell(TransportEvent::PeerEnded(how.peer_end(), None));
            }
            Transport::CloseNotify | Transport::TlsFailed | Transport::PeerEnded(_) => {}
            Transport::Knows(known) => {
                if let Some(evidence) = &mut self.evidence {
                    *evidence = *known;
                    self.evidence_since = self.now;
                }
            }
        }
    }

    /// The transport takes so many bytes at most.
    fn takes(&mut self, most: usize) {
        let mut bytes = waiting(&self.connection);
        bytes.truncate(most);
        if bytes.is_empty() || self.write_failed || self.over {
            return;
        }
        self.wire.push(&bytes);
        let held = self.holds;
        self.tell(TransportEvent::Transmitted { bytes: bytes.len(), held });
    }

    fn takes_all(&mut self) {
        while self.status().has_output() && !self.write_failed && !self.over {
            self.takes(usize::MAX);
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.holds && !self.write_failed && !self.over {
            self.flushed = self.wire.messages.len();
            self.tell(TransportEvent::Flushed);
        }
    }
}

/// What the operating system says when so much time has passed since it was as in the script.
fn evidence(known: script::Evidence, since: Duration) -> Evidence {
    let ms = |ms: u16| Duration::from_millis(u64::from(ms));
    let outstanding = u64::from(known.outstanding);
    Evidence {
        acked: u64::from(known.acked),
        outstanding,
        unsent: u64::from(known.unsent).min(outstanding),
        last_ack: ms(known.last_ack) + since,
        last_sent: ms(known.last_sent) + since,
        window: known.window.map(u32::from),
        // 4 s at most.
        rto: ms(known.rto / 16),
        round_trip: ms(known.round_trip),
    }
}
