//! Both halves of adieu.v1 against each other, in simulated time: clients that are cut, killed and
//! detached, and a gateway that is killed and drained, by a seed.

use std::collections::VecDeque;

use testkit::Random;

use super::super::super::client::{
    Client, EndedReason, Event as Told, Input, Leave, Limits as Most, Output, Saved,
};
use super::super::super::wait::Waits;
use super::super::super::wire::Offer;
use super::*;

/// One way of a connection, and where it leads.
struct Wire {
    handle: Handle,
    to_client: VecDeque<Coming>,
    to_gateway: VecDeque<String>,
}

enum Coming {
    Message(String),
    Close(u16),
}

/// A process with a client, what it has kept, and its connection.
struct Process {
    client: Client,
    kept: Option<Saved>,
    wire: Option<Wire>,
    session: Option<SessionId>,
    /// What it has finished with, in order: kept together with the numbers.
    received: Vec<String>,
    /// What it is busy with.
    busy: Option<String>,
    said: Vec<String>,
    resumed: usize,
}

struct World {
    random: Random,
    hub: Hub,
    contents: Contents,
    now: Timestamp,
    all: Vec<Process>,
    sent: Vec<Vec<String>>,
    /// Connections of whose end the gateway hears later.
    late: Vec<Handle>,
    /// In the way of nothing any more.
    calm: bool,
}

fn settings() -> Settings {
    let long = Duration::from_secs(1 << 20);
    let waits =
        Waits { hidden: long, lost: long, drained: long, gateway_down: long, ..Waits::default() };
    Settings { waits, ..Settings::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let process = |random: &mut Random| Process {
            client: Client::new(Most::default(), None, seed_of(random)),
            kept: None,
            wire: None,
            session: None,
            received: Vec::new(),
            busy: None,
            said: Vec::new(),
            resumed: 0,
        };
        World {
            all: (0..3).map(|_| process(&mut random)).collect(),
            random,
            hub: Hub::new(settings()),
            contents: Contents::default(),
            now: NOW,
            sent: vec![Vec::new(); 3],
            late: Vec::new(),
            calm: false,
        }
    }

    fn harm(&mut self, times: u64) -> bool {
        !self.calm && self.random.once_in(times)
    }

    /// Commits and performs a step of the gateway; now and then it is killed in between.
    fn perform(&mut self, step: Transaction) {
        keep(&mut self.contents, step.changes);
        if self.harm(80) {
            return self.kill_gateway();
        }
        for effect in step.effects {
            let (handle, coming) = match effect {
                Effect::Send(handle, message) | Effect::SendSecret(handle, message) => {
                    (handle, Coming::Message(message.as_text().unwrap().to_owned()))
                }
                Effect::Close(handle, close) => {
                    (handle, Coming::Close(close.code().unwrap().get()))
                }
                _ => continue,
            };
            let wires = self.all.iter_mut().filter_map(|process| process.wire.as_mut());
            if let Some(wire) = wires.into_iter().find(|wire| wire.handle == handle) {
                wire.to_client.push_back(coming);
            }
        }
    }

    fn kill_gateway(&mut self) {
        let (hub, step) = Hub::restore(settings(), &self.contents, self.now);
        self.hub = hub;
        self.late.clear();
        for n in 0..self.all.len() {
            if self.all[n].wire.take().is_some() {
                self.lose(n);
            }
        }
        keep(&mut self.contents, step.changes);
    }

    fn lose(&mut self, n: usize) {
        let lost = Input::Lost { code: 1006, reason: "cut".into() };
        self.all[n].client.on(self.now, lost);
    }

    fn cut(&mut self, n: usize) {
        let Some(wire) = self.all[n].wire.take() else { return };
        self.late.push(wire.handle);
        self.lose(n);
    }

    fn hear_of_an_end(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.random.below(self.late.len() as u64) as usize;
        let handle = self.late.swap_remove(at);
        let step = self.hub.ended(self.now, handle, Departure::Lost, &ending());
        self.perform(step);
    }

    /// Does what the client says, and keeps what it has to before that.
    fn drive(&mut self, n: usize) {
        self.all[n].client.on(self.now, Input::Tick);
        while let Some(output) = self.all[n].client.poll() {
            if self.all[n].client.take_changed() {
                self.all[n].kept = self.all[n].client.saved();
            }
            match output {
                Output::Connect { offers } => self.connect(n, &offers),
                Output::Say(text) => {
                    if let Some(wire) = &mut self.all[n].wire {
                        wire.to_gateway.push_back(text);
                    }
                }
                Output::Abandon { last, .. } => self.abandon(n, last),
                Output::Close { .. } => unreachable!("they leave by the word goodbye"),
            }
        }
    }

    fn abandon(&mut self, n: usize, last: Option<String>) {
        let Some(wire) = self.all[n].wire.take() else { return };
        if self.random.once_in(2) {
            for text in wire.to_gateway.into_iter().chain(last) {
                let step = self.hub.hear(self.now, wire.handle, FromClient::read(&text));
                self.perform(step);
            }
        }
        self.late.push(wire.handle);
    }

    fn connect(&mut self, n: usize, offers: &[String]) {
        assert!(self.all[n].wire.is_none(), "one connection at a time");
        self.all[n].client.on(self.now, Input::Dialing);
        if self.harm(4) {
            return self.lose(n);
        }
        let offer = Offer::read(offers.iter().map(String::as_str)).expect("adieu.v1");
        let (handle, step) = match (offer.resume, offer.first) {
            (Some(resume), None) => {
                let resumption = Resumption {
                    received: resume.received,
                    tag: resume.tag,
                    acknowledged: resume.acknowledged,
                    ..Resumption::default()
                };
                match self.hub.resume(self.now, &resume.token, resumption) {
                    Ok(resumed) => resumed,
                    Err(reason) => return self.begin_anew(n, reason),
                }
            }
            (None, Some(nonce)) => {
                let first = Some(key().first_visit(nonce));
                let guest = Guest { first, ..Guest::default() };
                let id = numbered(self.random.below(1 << 30) as usize);
                self.hub.start(self.now, id, guest)
            }
            other => panic!("a token or a nonce: {other:?}"),
        };
        let process = &mut self.all[n];
        assert!(process.session.is_none_or(|id| id == handle.session), "one session for each");
        process.session = Some(handle.session);
        let ways = (VecDeque::new(), VecDeque::new());
        process.wire = Some(Wire { handle, to_client: ways.0, to_gateway: ways.1 });
        self.perform(step);
    }

    /// Only its goodbye ends a session, of which the client has not heard then.
    fn begin_anew(&mut self, n: usize, reason: NotResumed) {
        assert!(self.calm && reason == NotResumed::Expired, "{reason:?}");
        let guest = Guest { not_resumed: Some(reason), ..Guest::default() };
        let id = numbered(self.random.below(1 << 30) as usize);
        let (handle, step) = self.hub.start(self.now, id, guest);
        let ways = (VecDeque::new(), VecDeque::new());
        self.all[n].wire = Some(Wire { handle, to_client: ways.0, to_gateway: ways.1 });
        self.perform(step);
    }

    /// One thing comes through.
    fn carry(&mut self, n: usize) {
        let up = self.random.once_in(2);
        let Some(wire) = &mut self.all[n].wire else { return };
        let handle = wire.handle;
        if up && let Some(text) = wire.to_gateway.pop_front() {
            let step = self.hub.hear(self.now, handle, FromClient::read(&text));
            let closes = step.effects.iter().any(|e| matches!(e, Effect::Close(..)));
            assert!(!closes || text.contains("goodbye"), "{step:?}");
            return self.perform(step);
        }
        match self.all[n].wire.as_mut().and_then(|wire| wire.to_client.pop_front()) {
            Some(Coming::Message(text)) => {
                self.all[n].client.on(self.now, Input::Heard(Some(&text)));
            }
            Some(Coming::Close(code)) => {
                self.all[n].wire = None;
                self.late.push(handle);
                let lost = Input::Lost { code, reason: String::new() };
                self.all[n].client.on(self.now, lost);
            }
            None => {}
        }
    }

    /// The application finishes with a message, which is kept together with its number, and takes
    /// the next one.
    fn take(&mut self, n: usize) {
        let process = &mut self.all[n];
        process.received.extend(process.busy.take());
        let told = process.client.next_event(self.now);
        process.kept = process.client.saved();
        match told {
            Some(Told::Message(message)) => {
                process.busy = Some(message.as_text().unwrap().to_owned());
            }
            Some(Told::Ended(ended)) => panic!("nobody is away for long: {ended}"),
            Some(Told::Resumed { .. }) => process.resumed += 1,
            _ => {}
        }
    }

    fn say(&mut self, n: usize) {
        let process = &mut self.all[n];
        let text = format!("client {n}, {}", process.said.len());
        process.client.send(&text.as_str().into()).unwrap();
        process.kept = process.client.saved();
        process.said.push(text);
    }

    fn send(&mut self, n: usize) {
        let message = format!("backend to {n}, {}", self.sent[n].len());
        let Some(id) = self.all[n].session else { return };
        if let Ok(step) = self.hub.send(self.now, id, &message) {
            self.sent[n].push(message);
            self.perform(step);
        }
    }

    /// The process dies, or lets go of its session; another one goes on.
    fn replace(&mut self, n: usize) {
        let seed = seed_of(&mut self.random);
        if self.random.once_in(2) {
            self.take_none(n);
            self.all[n].client.on(self.now, Input::Detach);
            self.drive(n);
            self.all[n].kept = self.all[n].client.saved();
        } else {
            self.cut(n);
            // What it was busy with comes again.
            self.all[n].busy = None;
        }
        let kept = self.all[n].kept.clone();
        self.all[n].client = Client::new(Most::default(), kept, seed);
    }

    /// Who lets go has finished with what it had.
    fn take_none(&mut self, n: usize) {
        let process = &mut self.all[n];
        process.received.extend(process.busy.take());
    }

    fn drain(&mut self) {
        let (_, step) = self.hub.closing(self.now, Duration::from_secs(1));
        self.perform(step);
        for n in 0..3 {
            (0..5).for_each(|_| self.carry(n));
        }
        self.kill_gateway();
    }

    fn anything(&mut self) {
        let n = self.random.below(3) as usize;
        self.now = self.now + Duration::from_millis(self.random.below(200));
        match self.random.below(40) {
            0 | 1 => self.cut(n),
            2 => self.replace(n),
            3 => self.drain(),
            4..6 => self.hear_of_an_end(),
            6..10 => self.say(n),
            10..14 => self.send(n),
            14..20 => self.take(n),
            20..28 => self.drive(n),
            _ => self.carry(n),
        }
    }

    /// Without harm, until nothing is on its way.
    fn settle(&mut self) {
        self.calm = true;
        for _ in 0..20_000 {
            for n in 0..3 {
                self.drive(n);
                self.carry(n);
                self.take(n);
            }
            // As long as nothing else happens.
            self.now = self.now + Duration::from_millis(50);
            let quiet = |(n, process): (usize, &Process)| {
                process.client.unacknowledged() == 0
                    && process.received.len() == self.sent[n].len()
                    && process.busy.is_none()
            };
            if self.all.iter().enumerate().all(quiet) {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.all.iter().map(|p| &p.client).collect::<Vec<_>>());
    }

    /// All leave, and each connection is cut once before the client is over.
    fn leave(&mut self) {
        for n in 0..3 {
            // It has been connected for long, so it comes back soon: it has 10 s to leave.
            (0..100).for_each(|_| self.goes_on(n, Duration::from_secs(1)));
            self.all[n].client.on(self.now, Input::Leave(Leave::Goodbye));
            let before = self.random.below(8);
            (0..before).for_each(|_| self.goes_on(n, Duration::from_millis(10)));
            self.cut(n);
            while !self.all[n].client.is_over() {
                self.goes_on(n, Duration::from_millis(10));
            }
        }
    }

    fn goes_on(&mut self, n: usize, length: Duration) {
        self.drive(n);
        self.carry(n);
        self.now = self.now + length;
    }

    /// Why the client of a process, and its session, are over.
    fn ends(&mut self, n: usize) -> (Option<EndedReason>, Option<SessionCause>) {
        let told = || self.all[n].client.next_event(self.now);
        let reason = std::iter::from_fn(told).find_map(|told| match told {
            Told::Ended(ended) => Some(ended.reason),
            _ => None,
        });
        let session = self.all[n].session;
        let cause = self.contents.events.values().find_map(|event| match &event.data {
            Data::Ended(ending) if Some(event.session_id) == session => Some(ending.cause),
            _ => None,
        });
        (reason, cause)
    }

    fn heard_from(&self, n: usize) -> Vec<String> {
        let Some(id) = self.all[n].session else { return Vec::new() };
        let stream = super::super::super::event::session_stream(id);
        let of = (stream.clone(), 0)..=(stream, u64::MAX);
        let text = |event: &Event| match &event.data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.contents.events.range(of).filter_map(|(_, event)| text(event)).collect()
    }
}

fn seed_of(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&random.next().to_be_bytes());
    seed
}

#[test]
#[allow(clippy::disallowed_macros, reason = "a test shows its seed")]
fn whatever_breaks_the_client_and_the_gateway_agree_at_the_end() {
    let first = testkit::seed();
    let worlds = if cfg!(debug_assertions) { 300 } else { 5_000 };
    let mut resumed = 0;
    for seed in first..first + worlds {
        println!("ADIEU_SEED={seed}");
        let mut world = World::new(seed);
        (0..600).for_each(|_| world.anything());
        world.settle();
        for n in 0..3 {
            assert_eq!(world.all[n].received, world.sent[n], "to {n}");
            assert_eq!(world.heard_from(n), world.all[n].said, "from {n}");
            resumed += world.all[n].resumed;
        }
        world.leave();
        for n in 0..3 {
            if world.all[n].session.is_some() {
                let goodbye = (Some(EndedReason::Goodbye), Some(SessionCause::Goodbye));
                assert_eq!(world.ends(n), goodbye, "{n}");
            }
        }
    }
    assert!(resumed > worlds as usize, "it is a broken world: {resumed} resumes");
}
