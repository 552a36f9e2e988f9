//! What a sequence of inputs has to lead to, by the rules of RFC 6455 §5.5.1 and §7 and of the
//! design, written without a look at the machine: it has no states. It notes facts, each with its
//! time (who said what, who ended what, what left), and derives from them what follows.

mod clocks;
mod ending;
mod opening;
mod ours;
mod outbox;
mod peer;

use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use adieu_proto::{
    Cause, CloseCode, End, HandshakeError, LetGo, ProtocolError, Response, Side, Timer, Truncation,
    VersionSet, defaults,
};

use crate::account::{Account, Step, Times};
use crate::script::*;
use crate::wire::{Frame, Said};
use outbox::Outbox;

pub(crate) use clocks::LONGEST;

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
    /// It has not left.
    Waits,
    Left(Instant),
}

/// A fact that is only told, and on which nothing else depends: states that differ in nothing else
/// are walked on once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told<T>(T);

impl<T> Hash for Told<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The facts so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    pub(crate) transport: Transport,
    pub(crate) stage: Stage,
    pub(crate) stand: Stand,
    pub(crate) over: bool,
    /// An RST is found when we let go of the transport.
    pub(crate) late_reset: bool,
    started: Instant,
    opened: Option<Instant>,
    began: Option<(Cause, Instant)>,
    draining: Option<Instant>,
    error: Option<&'static str>,
    // What the peer said.
    last_received: Told<Option<Instant>>,
    told_end: bool,
    unfinished: String,
    heard: Option<(Said, Instant)>,
    offended: bool,
    /// Where the peer's bytes stopped.
    stopped: Option<Truncation>,
    // How its direction ended.
    close_notify: Option<Instant>,
    fin: Option<Instant>,
    /// A reset, or something that does not say what the peer did.
    broke_off: Option<(End, Instant)>,
    active_closer: Option<Side>,
    /// The peer's side was over first: since when our side may still speak.
    last_words: Option<Instant>,
    // What we say.
    outbox: Outbox,
    /// No more may be queued: what waits has to leave.
    leaving: Option<Instant>,
    moved: Option<Instant>,
    /// The transport takes nothing, since then.
    blocked: Option<Instant>,
    our_close: Option<Said>,
    spoke_first: bool,
    our_close_left: Option<Instant>,
    /// Whether our FIN waits for the peer's Close.
    awaits_close: bool,
    /// Whether our FIN would wait for the FIN of a server, and since when it does.
    awaits_server_fin: bool,
    server_fin_since: Option<Instant>,
    broken: Option<Instant>,
    our_fin: Option<Instant>,
    let_go: Option<LetGo>,
    // Whether the peer is alive.
    heard_at: Instant,
    ping: Ping,
}

impl Oracle {
    pub(crate) fn new(
        role: Role,
        dialect: Dialect,
        transport: Transport,
        stage: Stage,
        now: Instant,
    ) -> Self {
        Oracle {
            role,
            dialect,
            transport,
            opened: (stage == Stage::Opened).then_some(now),
            stage,
            stand: Stand::default(),
            over: false,
            late_reset: false,
            started: now,
            began: None,
            draining: None,
            error: None,
            last_received: Told(None),
            told_end: false,
            unfinished: String::new(),
            heard: None,
            offended: false,
            stopped: None,
            close_notify: None,
            fin: None,
            broke_off: None,
            active_closer: None,
            last_words: None,
            outbox: Outbox::default(),
            leaving: None,
            moved: None,
            blocked: None,
            our_close: None,
            spoke_first: false,
            our_close_left: None,
            awaits_close: false,
            awaits_server_fin: role == Role::Client,
            server_fin_since: None,
            broken: None,
            our_fin: None,
            let_go: None,
            heard_at: now,
            ping: Ping::None,
        }
    }

    /// Whether this can happen at all: a peer that has ended says no more, a clock that does not
    /// run cannot run out, and hixie has no words for most things.
    pub(crate) fn applies(&self, input: Input) -> bool {
        use Input as I;
        if self.over {
            return false;
        }
        let hybi = self.dialect == Dialect::Rfc6455;
        let speaks = self.is_readable()
            && match self.stage {
                Stage::Opened | Stage::Failed => true,
                Stage::Decision { .. } => hybi,
                _ => false,
            };
        match input {
            I::Close | I::BadClose | I::Fragment | I::Ping => speaks && hybi,
            I::EmptyClose | I::Data | I::Partial | I::Violation => speaks,
            I::CloseNotify | I::TlsFailed => self.is_readable(),
            I::Fin | I::FinReset => self.fin.is_none(),
            I::Take => self.takes_when_told() && self.outbox.waiting() > 0,
            I::TakePart => self.takes_when_told() && self.outbox.waiting() > 1,
            I::Flush => self.broken.is_none() && self.outbox.held() > 0,
            I::Blocked => {
                let takes_all = self.transport == Transport::TakesAll;
                !takes_all && self.broken.is_none() && self.queued() > 0
            }
            I::Timer(timer) => self.deadline().is_some_and(|(next, _)| next == timer),
            I::Head | I::HalfHead | I::Head76 | I::BadHead | I::Nonce | I::HalfNonce => {
                self.is_readable() && self.opening_applies(input)
            }
            I::Accept => matches!(self.stage, Stage::Decision { .. }),
            I::Refuse(_) => {
                self.role == Role::Server && !matches!(self.stage, Stage::Opened | Stage::Failed)
            }
            _ => true,
        }
    }

    /// What has to be seen of this input.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        self.note(input, now, &mut steps);
        self.follow(now, &mut steps);
        self.forget();
        steps
    }

    fn note(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        use Input as I;
        match input {
            I::AppClose => self.close(Cause::Application, BYE, now, steps),
            I::Dropped => self.close(Cause::Dropped, (1000, ""), now, steps),
            I::Panicked => self.close(Cause::Panicked, (1011, ""), now, steps),
            I::Drain => self.close(Cause::Drain, (1001, ""), now, steps),
            I::Draining => _ = self.draining.get_or_insert(now),
            I::EndSeen if self.last_words.is_some() => self.answer(now),
            // The application closed, and is gone now.
            I::EndSeen if self.leaving.is_some() => self.tell_end(steps),
            I::EndSeen => {}
            I::Send if self.may_send() => self.queue(Frame::Text(MESSAGE.to_owned())),
            I::Send => {}
            I::LetGo(why) => self.lets_go_at_once(why, now, steps),
            I::CloseNotify => self.close_notify(now, steps),
            I::Fin | I::FinReset => self.fin(input == I::FinReset, now, steps),
            I::Reset | I::Lost | I::Unknown => self.breaks_off(input, now, steps),
            I::Take => self.take(u64::MAX, now, steps),
            I::TakePart => self.take(self.outbox.waiting() - 1, now, steps),
            I::Flush => self.flush(now),
            I::Blocked => self.is_blocked(now),
            I::WriteError => {
                self.explain(BROKEN_PIPE);
                self.breaks(now);
                if self.began.is_some() {
                    self.tell_end(steps);
                }
            }
            I::TlsFailed => self.tls_failed(now, steps),
            I::Paused if self.ping == Ping::None => {}
            I::Paused => self.is_heard(now),
            I::Timer(timer) => self.ran_out(timer, now, steps),
            I::Accept => self.accept(now, steps),
            I::Refuse(refusal) => self.refused_by_us(refusal, now),
            _ => self.receives(input, now, steps),
        }
    }

    /// Bytes of the peer.
    fn receives(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        use Input as I;
        self.last_received = Told(Some(now));
        self.is_heard(now);
        if let I::Head | I::HalfHead | I::Head76 | I::BadHead | I::Nonce | I::HalfNonce = input {
            return self.opening(input, now, steps);
        }
        match &mut self.stage {
            Stage::Opened => self.peer_says(input, now, steps),
            Stage::Decision { early } => early.push(input),
            _ => {}
        }
        self.moves_on(input);
    }

    /// The first thing that begins the ending is its cause.
    fn begin(&mut self, cause: Cause, now: Instant, steps: &mut Vec<Step>) {
        self.began.get_or_insert((cause, now));
        self.tell_end(steps);
    }

    /// No message of the peer is given any more.
    fn tell_end(&mut self, steps: &mut Vec<Step>) {
        if self.opened.is_some() && !self.told_end {
            self.told_end = true;
            steps.push(Step::EndOfMessages);
        }
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
        if self.transport != Transport::TakesWhenTold {
            self.take(u64::MAX, now, steps);
        }
        if self.leaving.is_some() && self.our_fin.is_none() && self.queued() == 0 {
            if self.our_close.is_some() {
                self.our_close_left.get_or_insert(now);
            }
            if self.waits_for_server_fin() {
                self.server_fin_since.get_or_insert(now);
            } else if !self.waits_for_close() {
                self.our_fin_leaves(now, steps);
            }
        }
        if self.our_fin.is_some() && self.fin.is_some() {
            self.end(now, steps);
        } else if self.our_fin.is_some() && self.needs_no_end() {
            self.let_go = Some(LetGo::BothClosed);
            self.end(now, steps);
        }
    }

    /// Both Closes have crossed on a stream of many: nothing more can come, and what the client has
    /// left open can be ended by a server without harm (RFC 9113 §8.1).
    fn needs_no_end(&self) -> bool {
        let crossed = self.our_close_left.is_some() && self.heard.is_some() && !self.offended;
        self.role == Role::Server && self.transport == Transport::Multiplexed && crossed
    }

    /// §7.1.1: our FIN waits for the peer's Close, if one was asked for and may still come.
    fn waits_for_close(&self) -> bool {
        let asked = self.awaits_close && self.our_close.is_some();
        asked && !self.peer_has_ended() && !self.offended
    }

    /// §7.1.1: between a client and a server that have exchanged Closes, the server's FIN is first.
    fn waits_for_server_fin(&self) -> bool {
        let crossed = self.our_close.is_some() && self.heard.is_some() && !self.offended;
        let one_of_many = self.transport == Transport::Multiplexed;
        crossed && self.awaits_server_fin && self.fin.is_none() && !one_of_many
    }

    fn our_fin_leaves(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.our_fin = Some(now);
        self.active_closer.get_or_insert(Side::Local);
        steps.push(Step::Finish);
    }

    /// Drops facts on which nothing depends any more, so that more states are the same.
    fn forget(&mut self) {
        if !self.may_send() {
            self.blocked = None;
        }
        if self.stage == Stage::Opened && (self.last_words.is_some() || !self.may_send()) {
            self.ping = Ping::None;
            self.heard_at = self.started;
        }
    }
}
