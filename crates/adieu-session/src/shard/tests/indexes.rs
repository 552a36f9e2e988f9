//! Whatever happens, what finds sessions agrees with them, and the store with both.

use std::collections::HashMap;

use super::super::super::command::{Limits, Verdict};
use super::*;

const USERS: [Option<&str>; 4] = [None, Some("anna"), Some("bob"), Some("carol")];

/// A shard to which anything happens, and what is kept of it.
struct World {
    hub: Hub,
    contents: Contents,
    now: Timestamp,
    chance: u64,
    handles: Vec<Handle>,
    /// The types of what was told of each stream, in order.
    told: HashMap<bytes::Bytes, Vec<EventType>>,
    sessions: usize,
}

fn settings() -> Settings {
    let limits =
        Limits { sessions_per_user: 3, bytes_per_user: 400, bytes: 900, ..Limits::default() };
    let outbox = OutboxLimits { messages: 4, bytes: 300, age: Duration::from_secs(5) };
    Settings { limits, outbox, tell_connections: true, ..Settings::default() }
}

impl World {
    fn below(&mut self, n: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % n
    }

    fn pick(&mut self) -> Option<Handle> {
        let n = self.handles.len() as u64;
        let at = self.below(n.max(1)) as usize;
        self.handles.get(at).copied()
    }

    fn perform(&mut self, step: Transaction) {
        for change in step.changes {
            if let Change::PutEvent { stream, event, sequence } = &change {
                let told = self.told.entry(stream.clone()).or_default();
                told.push(event.r#type);
                assert!(event.sequence.is_none() || *sequence == told.len() as u64);
                // The backend takes it.
                continue;
            }
            self.contents.apply(change);
        }
    }

    fn on(&mut self, command: Command) {
        let (reply, step) = self.hub.on(self.now, command);
        if let Reply::Attached(handle) = reply {
            self.handles.push(handle);
        }
        self.perform(step);
    }

    fn session(&mut self, command: impl FnOnce(&mut Self, Handle) -> SessionCommand) {
        let Some(handle) = self.pick() else { return };
        let command = command(self, handle);
        self.on(Command::Session(handle.session, command));
    }

    fn start(&mut self) {
        let user = USERS[self.below(4) as usize];
        let first = (self.below(2) == 0).then(|| key().credentials(&[self.below(4) as u8]));
        let credentials = key().credentials(&[self.below(2) as u8]);
        let plain = first.is_none() && self.below(2) == 0;
        let user = user.map(Into::into);
        self.sessions += 1;
        let guest = Guest { user, first, credentials, plain, ..Guest::default() };
        self.on(Command::Start(numbered(self.sessions), Box::new(guest)));
    }

    fn resumption(&mut self, handle: Handle) -> SessionCommand {
        let verdict = match self.below(4) {
            0 => None,
            1 => Some(Verdict { user: Some("bob".into()) }),
            _ => Some(Verdict::default()),
        };
        let credentials = key().credentials(&[self.below(2) as u8]);
        let patience = Duration::from_secs(3);
        let (generation, received) = (handle.generation, self.below(3));
        let of = Resumption { generation, received, credentials, verdict, patience, ..from("", 0) };
        SessionCommand::Resume(Box::new(Resumption { origin: None, ..of }))
    }

    fn hears(&mut self, handle: Handle) -> SessionCommand {
        let n = self.below(4);
        let said = match self.below(5) {
            0 => r#"{"type":"goodbye"}"#.to_owned(),
            1 => format!(r#"{{"type":"message","sequenceId":{n},"text":"x"}}"#),
            2 => r#"{"type":"heartbeat"}"#.to_owned(),
            _ => format!(r#"{{"type":"sequenceAck","sequenceId":{n}}}"#),
        };
        SessionCommand::Hear(handle.generation, FromClient::read(&said))
    }

    fn outgoing(&mut self) -> Outgoing {
        let text = "x".repeat(self.below(200) as usize);
        let mut outgoing = Outgoing::new(Payload::Text(text), Tag::new([7; 6]));
        outgoing.key = (self.below(2) == 0).then(|| key().credentials(&[self.below(5) as u8]));
        outgoing
    }

    fn restart(&mut self) {
        let (hub, step) = Hub::restore(settings(), &self.contents, self.now);
        self.hub = hub;
        self.perform(step);
    }

    fn anything(&mut self) {
        self.now = self.now + Duration::from_millis(self.below(1_500));
        match self.below(14) {
            0 | 1 => self.start(),
            2 | 3 => self.session(Self::resumption),
            4 | 5 => self.session(Self::hears),
            6 => self.session(|world, handle| {
                let all = [Departure::Hidden, Departure::Lost, Departure::Left];
                let departure = all[world.below(3) as usize];
                SessionCommand::ConnectionEnded(handle.generation, departure, ending())
            }),
            7 => self.session(|world, _| SessionCommand::Send(world.outgoing())),
            8 => self.session(|world, _| {
                SessionCommand::ToldToComeBack(Duration::from_millis(world.below(4_000)))
            }),
            9 => {
                let send = SessionCommand::Send(self.outgoing());
                self.on(Command::User("anna".into(), send));
            }
            10 if self.below(4) == 0 => self.session(|_, _| SessionCommand::End(None)),
            11 if self.below(8) == 0 => self.restart(),
            12 => self.session(|world, handle| {
                let text = "x".repeat(world.below(9) as usize);
                SessionCommand::HearPlain(handle.generation, Ok(Payload::Text(text)))
            }),
            13 if self.below(8) == 0 => self.on(Command::GiveUp),
            13 if self.below(8) == 0 => {
                let (window, seed) = (Duration::from_secs(2), self.chance);
                self.on(Command::Closing { after: None, window, seed });
                self.restart();
            }
            _ => {}
        }
        let step = self.hub.expire(self.now);
        self.perform(step);
    }

    fn check(&self) {
        let shard = &self.hub.0;
        let all = || shard.sessions.iter();
        let deadlines: BTreeSet<_> =
            all().filter_map(|(id, of)| Some((of.deadline()?, *id))).collect();
        assert_eq!(shard.deadlines, deadlines);
        let age = settings().outbox.age;
        let oldest: BTreeSet<_> =
            all().filter_map(|(id, of)| Some((of.oldest_until(age)?, *id))).collect();
        assert_eq!(shard.oldest, oldest);
        assert_eq!(shard.kept, all().map(|(_, of)| of.kept()).sum::<usize>());
        for user in USERS.into_iter().flatten() {
            let of = || all().filter(|(_, of)| of.row().user.as_deref() == Some(user));
            assert_eq!(shard.users.kept_of(user), of().map(|(_, of)| of.kept()).sum::<usize>());
            assert!(shard.users.of(user).iter().eq(of().map(|(id, _)| id)), "{user}");
        }
        let firsts: BTreeSet<_> = all().filter_map(|(id, of)| Some((of.first()?, *id))).collect();
        assert_eq!(shard.firsts, firsts);
        for (id, of) in all() {
            let (row, counters) = &self.contents.sessions[id];
            assert_eq!((of.row(), of.counters()), (row, *counters));
        }
        assert_eq!(shard.sessions.len(), self.contents.sessions.len());
        let kept = self.contents.messages.values().map(|message| message.tail.bytes().len());
        assert_eq!(shard.kept, kept.sum::<usize>());
    }
}

#[test]
#[allow(clippy::disallowed_macros, reason = "a test shows its seed")]
fn whatever_happens_what_finds_sessions_agrees_with_them() {
    for seed in 0..if cfg!(debug_assertions) { 50 } else { 2_000 } {
        println!("seed {seed}");
        let mut world = World {
            hub: Hub::new(settings()),
            contents: Contents::default(),
            now: NOW,
            chance: seed * 2 + 1,
            handles: Vec::new(),
            told: HashMap::new(),
            sessions: 0,
        };
        for _ in 0..300 {
            world.anything();
            world.check();
        }
        // All are gone.
        for n in 0..world.handles.len() {
            let Handle { session, .. } = world.handles[n];
            world.on(Command::Session(session, SessionCommand::End(None)));
        }
        world.now = world.now + Duration::from_secs(3_600);
        let step = world.hub.expire(world.now);
        world.perform(step);
        world.check();
        assert_eq!(world.contents, Contents::default());
        for (stream, told) in &world.told {
            let user = stream.starts_with(b"u");
            let (first, last) = match user {
                true => (EventType::UserJoined, EventType::UserLeft),
                false => (EventType::SessionStarted, EventType::SessionEnded),
            };
            let count = |what| told.iter().filter(|of| **of == what).count();
            assert_eq!((told.first(), told.last()), (Some(&first), Some(&last)), "{told:?}");
            assert_eq!(count(first), count(last));
            assert!(user || count(first) == 1, "{told:?}");
            assert!(!user || told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
        }
    }
}
