//! What a sequence of inputs has to lead to, by the rules of RFC 6455 §5.5.1 and §7 and of the
//! design, written without a look at the machine: it has no states. It notes facts, each with its
//! time (who said what, who ended what, what left), and derives from them what follows.

mod opening;
mod ours;
mod peer;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use adieu_proto::{
    Answer, Cause, CloseCode, Cut, End, HandshakeError, ProtocolError, Side, Timer, VersionSet,
    defaults,
};

use crate::account::{Account, Step};
use crate::script::Stand;
use crate::script::{BAD, BYE, DATA, Dialect, FRAGMENT, GO, HALVES, Input, MESSAGE, PING, Role};
use crate::wire::{Frame, Said};

/// Bytes of the 101 that answers the script's request: RFC 6455, hixie-76 (without the challenge).
const ACCEPTED: [u64; 2] = [129, 151];

/// How far the opening handshake is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// A head is to come; whether some of it is there.
    Head {
        begun: bool,
    },
    /// The application decides; what the peer said meanwhile.
    Decision {
        early: Vec<Input>,
    },
    /// The nonce of hixie-76 is to come; how much of it is there.
    Nonce(usize),
    Opened,
    Failed,
}

/// Whether a Ping of ours is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ping {
    None,
    /// Queued; where it ends, counted in bytes ever queued.
    Waits(u64),
    Left(Instant),
}

/// The facts so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    /// Whether the transport takes everything at once; if not, it takes what an input says.
    pub(crate) takes: bool,
    pub(crate) stage: Stage,
    pub(crate) stand: Stand,
    pub(crate) over: bool,
    pub(crate) fin: Option<Instant>,
    pub(crate) late_reset: bool,
    started: Instant,
    opened: Option<Instant>,
    began: Option<(Cause, Instant)>,
    told_end: bool,
    unfinished: String,
    heard: Option<(Said, Instant)>,
    offended: bool,
    cut: Option<Cut>,
    gone: Option<(End, Instant)>,
    first: Option<Side>,
    /// The peer's side was over first: since when, and whether our side may still speak.
    last_words: Option<Instant>,
    queue: VecDeque<(Frame, u64)>,
    gone_of_front: u64,
    ever_queued: u64,
    ever_left: u64,
    /// No more may be queued: what waits has to leave.
    leaving: Option<Instant>,
    moved: Option<Instant>,
    farewell: Option<Said>,
    spoke_first: bool,
    farewell_left: Option<Instant>,
    awaits_close: bool,
    broken: Option<Instant>,
    our_fin: Option<Instant>,
    let_go: Option<Timer>,
    heard_at: Instant,
    ping: Ping,
}

impl Oracle {
    pub(crate) fn new(
        role: Role,
        dialect: Dialect,
        takes: bool,
        stage: Stage,
        now: Instant,
    ) -> Self {
        Oracle {
            role,
            dialect,
            takes,
            opened: (stage == Stage::Opened).then_some(now),
            stage,
            stand: Stand::default(),
            over: false,
            fin: None,
            late_reset: false,
            started: now,
            began: None,
            told_end: false,
            unfinished: String::new(),
            heard: None,
            offended: false,
            cut: None,
            gone: None,
            first: None,
            last_words: None,
            queue: VecDeque::new(),
            gone_of_front: 0,
            ever_queued: 0,
            ever_left: 0,
            leaving: None,
            moved: None,
            farewell: None,
            spoke_first: false,
            farewell_left: None,
            awaits_close: false,
            broken: None,
            our_fin: None,
            let_go: None,
            heard_at: now,
            ping: Ping::None,
        }
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> u64 {
        self.ever_queued - self.ever_left
    }

    pub(crate) fn may_send(&self) -> bool {
        let open = self.stage == Stage::Opened && self.leaving.is_none();
        open && self.broken.is_none() && !self.over
    }

    /// Whether our server stops: an exit is waited for.
    pub(crate) fn drains(&self) -> bool {
        matches!(self.began, Some((Cause::Drain, _)))
    }

    /// When the ending began.
    pub(crate) fn began_at(&self) -> Option<Instant> {
        self.began.as_ref().map(|began| began.1)
    }

    /// Whether this can happen at all: a peer that has ended says no more, a clock that does not
    /// run cannot run out, and hixie has no words for most things.
    pub(crate) fn applies(&self, input: Input) -> bool {
        use Input as I;
        let hybi = self.dialect == Dialect::Rfc6455;
        let readable = self.fin.is_none();
        let speaks = match self.stage {
            Stage::Opened | Stage::Failed => true,
            Stage::Decision { .. } => hybi,
            _ => false,
        };
        match input {
            _ if self.over => false,
            I::Close | I::BadClose | I::Fragment | I::Ping => readable && speaks && hybi,
            I::EmptyClose | I::Data | I::Partial | I::Violation => readable && speaks,
            I::Fin | I::FinReset | I::TlsFailed => readable,
            I::Flushed => !self.takes && self.broken.is_none(),
            I::Part => !self.takes && self.broken.is_none() && self.queued() > 1,
            I::Timer(timer) => self.deadline().is_some_and(|(running, _)| running == timer),
            I::Head | I::HalfHead => {
                let begun = self.stage == Stage::Head { begun: true };
                readable
                    && (self.stage == Stage::Head { begun: false } || begun && input == I::Head)
            }
            I::BadHead => readable && self.stage == Stage::Head { begun: false },
            I::Head76 => {
                let server = self.role == Role::Server;
                readable && server && self.stage == Stage::Head { begun: false }
            }
            I::Nonce | I::HalfNonce => match &self.stage {
                Stage::Nonce(n) => readable && (*n == 0 || input == I::Nonce),
                Stage::Decision { early } => {
                    readable && !hybi && early.is_empty() && input == I::Nonce
                }
                _ => false,
            },
            I::Accept => matches!(self.stage, Stage::Decision { .. }),
            I::Refuse => matches!(self.stage, Stage::Decision { .. } | Stage::Nonce(_)),
            _ => true,
        }
    }

    /// The one clock that runs, if any, and when it runs out.
    pub(crate) fn deadline(&self) -> Option<(Timer, Instant)> {
        let waiting = !self.queue.is_empty();
        if self.over {
            return None;
        }
        if let Some(since) = self.our_fin.or(self.broken) {
            return Some((Timer::Linger, since + defaults::LINGER));
        }
        if let Some(since) = self.leaving {
            let since = self.moved.map_or(since, |moved| moved.max(since));
            return Some(match (waiting, self.farewell_left) {
                (true, _) => (Timer::Flush, since + defaults::FLUSH_TIMEOUT),
                (false, left) if self.drains() => {
                    (Timer::Close, left? + defaults::DRAIN_CLOSE_TIMEOUT)
                }
                (false, left) => (Timer::Close, left? + defaults::CLOSE_TIMEOUT),
            });
        }
        if let Some(since) = self.last_words {
            return Some((Timer::Grace, since + defaults::GRACE));
        }
        match (&self.stage, self.ping) {
            (Stage::Opened, _) if self.dialect != Dialect::Rfc6455 => None,
            (Stage::Opened, Ping::None) => {
                Some((Timer::Ping, self.heard_at + defaults::PING_INTERVAL))
            }
            (Stage::Opened, Ping::Left(at)) => Some((Timer::Pong, at + defaults::PONG_TIMEOUT)),
            (Stage::Opened, Ping::Waits(_)) => None,
            _ => Some((Timer::Handshake, self.started + defaults::HANDSHAKE_TIMEOUT)),
        }
    }

    /// What has to be seen of this input.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.note(input, now, &mut steps);
        self.follow(now, &mut steps);
        if input == Input::Abandon {
            self.abandon(now, &mut steps);
        }
        steps
    }

    fn note(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        use Input as I;
        match input {
            I::AppClose => self.wish(Cause::Application, BYE, now, steps),
            I::Dropped => self.wish(Cause::Dropped, (1000, ""), now, steps),
            I::Panicked => self.wish(Cause::Panicked, (1011, ""), now, steps),
            I::Drain | I::Abandon => {
                let cause = if input == I::Drain { Cause::Drain } else { Cause::Dropped };
                self.wish(cause, (1001, ""), now, steps);
            }
            I::SawEnd if self.last_words.is_some() => self.answer(now),
            I::SawEnd => {}
            I::Send if self.may_send() => self.queue(Frame::Text(MESSAGE.to_owned())),
            I::Send => {}
            I::Fin | I::FinReset => self.fin(input == I::FinReset, now, steps),
            I::Reset => self.gone(End::Reset, now, steps),
            I::Unreachable => self.gone(End::TimedOut, now, steps),
            I::Flushed => self.leave(u64::MAX, now, steps),
            I::Part => self.leave(self.queued() - 1, now, steps),
            I::WriteError => self.breaks(now),
            I::TlsFailed => self.tls_failed(now, steps),
            I::Paused if self.ping == Ping::None => {}
            I::Paused => {
                self.heard_at = now;
                self.ping = Ping::None;
            }
            I::Timer(timer) => self.ran_out(timer, now, steps),
            I::Head | I::HalfHead | I::Head76 | I::BadHead | I::Nonce | I::HalfNonce => {
                self.heard_at = now;
                self.opening(input, now, steps);
            }
            I::Accept => self.accept(now, steps),
            I::Refuse => {
                // Behind the 101 of hixie-76 an answer would be taken for the challenge's.
                let asked = matches!(self.stage, Stage::Decision { .. });
                self.refuse(HandshakeError::Refused(403), asked, now);
            }
            _ => {
                self.heard_at = now;
                self.ping = Ping::None;
                match &mut self.stage {
                    Stage::Opened => self.peer_says(input, now, steps),
                    Stage::Decision { early } => early.push(input),
                    _ => {}
                }
                self.moves_on(input);
            }
        }
    }

    /// The first thing that begins the ending is its cause.
    fn begin(&mut self, cause: Cause, now: Instant, steps: &mut Vec<Step>) {
        self.began.get_or_insert((cause, now));
        if self.opened.is_some() && !self.told_end {
            self.told_end = true;
            steps.push(Step::EndOfMessages);
        }
    }

    fn cut_at(&mut self, cut: Cut) {
        self.cut.get_or_insert(cut);
    }

    /// What follows from the facts.
    fn follow(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.over {
            return;
        }
        if self.broken.is_some() {
            if self.fin.is_some() {
                self.end(now, steps);
            }
            return;
        }
        if self.takes {
            self.leave(u64::MAX, now, steps);
        }
        if self.leaving.is_some() && self.our_fin.is_none() && self.queue.is_empty() {
            if self.farewell.is_some() {
                self.farewell_left.get_or_insert(now);
            }
            // §7.1.1: our FIN waits for the peer's Close, if one was asked for and may come.
            let asked = self.awaits_close && self.farewell.is_some();
            let may_come = self.heard.is_none() && !self.offended && self.fin.is_none();
            if !asked || !may_come {
                self.our_fin = Some(now);
                self.first.get_or_insert(Side::Local);
                steps.push(Step::Shutdown);
            }
        }
        if self.our_fin.is_some() && self.fin.is_some() {
            self.end(now, steps);
        }
    }

    /// It is over.
    fn end(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.over = true;
        steps.extend([Step::Disconnect, Step::Ended(self.account(now))]);
    }

    fn account(&self, now: Instant) -> Account {
        let since = |at: Instant| at - self.started;
        let ours = self.farewell.clone().filter(|_| self.farewell_left.is_some());
        let theirs = self.heard.as_ref().map(|(said, _)| said.clone());
        let mut goodbye: Vec<_> = ours.into_iter().map(|said| (Side::Local, said)).collect();
        let place = if self.spoke_first { goodbye.len() } else { 0 };
        goodbye.splice(place..place, theirs.map(|said| (Side::Peer, said)));
        let reset = self.late_reset || matches!(self.gone, Some((End::Reset, _)));
        Account {
            cause: self.began.clone().expect("an end has a beginning").0,
            goodbye,
            end: match (self.fin, self.gone, self.let_go) {
                (Some(_), _, _) if reset => End::FinThenReset,
                (Some(_), _, _) => End::Fin,
                (None, Some((end, _)), _) => end,
                (None, None, timer) => End::Abandoned(timer.expect("somebody let go")),
            },
            first: self.first.unwrap_or(Side::Local),
            cut: self.cut.expect("the peer's bytes stopped somewhere"),
            unsent_messages: self.queue.iter().filter(|(f, _)| matches!(f, Frame::Text(_))).count()
                as u64,
            unsent_bytes: self.queued(),
            opened: self.opened.map(since),
            close_sent: self.farewell_left.map(since),
            close_received: self.heard.as_ref().map(|(_, at)| since(*at)),
            fin_sent: self.our_fin.map(since),
            peer_ended: self.fin.or(self.gone.map(|(_, at)| at)).map(since),
            lasted: since(now),
        }
    }
}

/// The longest that an ending may take once it began, if nothing more happens.
pub(crate) const LONGEST: Duration = Duration::from_secs(
    defaults::GRACE.as_secs()
        + defaults::FLUSH_TIMEOUT.as_secs()
        + defaults::CLOSE_TIMEOUT.as_secs()
        + defaults::LINGER.as_secs(),
);
