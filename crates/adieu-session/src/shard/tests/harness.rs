//! What the tests of a shard share.

use super::super::super::Batch;
use super::super::super::command::Outgoing;
use super::super::super::ending::ConnectionEnding;
use super::super::super::token::Token;
use super::super::super::transaction::Handle;
use super::super::super::wait::Departure;
use super::super::super::wire::{Fault, FromClient, Payload, Tag};
use super::super::*;

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(super) fn key() -> Key {
    Key::new(&[7; 32])
}

pub(super) fn id(n: u8) -> SessionId {
    SessionId::new([n; 16])
}

/// What the tests call by name instead of writing commands.
pub(super) struct Hub(pub(super) Shard);

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        Hub(Shard::new(key(), settings, 1))
    }

    pub(super) fn restore(
        settings: Settings,
        contents: &Contents,
        now: Timestamp,
    ) -> (Self, Transaction) {
        let (shard, tx) = Shard::restore(key(), settings, contents.clone(), now, 2);
        (Hub(shard), tx)
    }

    fn turn<T>(
        &mut self,
        turn: impl FnOnce(&mut Shard, &mut Transaction) -> T,
    ) -> (T, Transaction) {
        let mut tx = Transaction::default();
        let result = turn(&mut self.0, &mut tx);
        self.0.write_down(&mut tx);
        (result, tx)
    }

    pub(super) fn on(&mut self, now: Timestamp, command: Command) -> (Reply, Transaction) {
        self.turn(|shard, tx| shard.on(now, command, tx))
    }

    fn session(&mut self, now: Timestamp, id: SessionId, command: SessionCommand) -> Transaction {
        self.on(now, Command::Session(id, command)).1
    }

    pub(super) fn start(
        &mut self,
        now: Timestamp,
        id: SessionId,
        guest: Guest,
    ) -> (Handle, Transaction) {
        let (reply, tx) = self.on(now, Command::Start(id, Box::new(guest)));
        let Reply::Attached(handle) = reply else { panic!("{reply:?}") };
        (handle, tx)
    }

    pub(super) fn resume(
        &mut self,
        now: Timestamp,
        token: &str,
        resumption: Resumption,
    ) -> Result<(Handle, Transaction), NotResumed> {
        let Token { session, generation } = Token::verify(token, &key()).expect("a token");
        let resumption = Box::new(Resumption { generation, ..resumption });
        match self.on(now, Command::Session(session, SessionCommand::Resume(resumption))) {
            (Reply::Attached(handle), tx) => Ok((handle, tx)),
            (Reply::NotResumed(why), _) => Err(why),
            (reply, _) => panic!("{reply:?}"),
        }
    }

    pub(super) fn ended(
        &mut self,
        now: Timestamp,
        handle: Handle,
        departure: Departure,
        ending: &Arc<ConnectionEnding>,
    ) -> Transaction {
        let ended = SessionCommand::ConnectionEnded(handle.generation, departure, ending.clone());
        self.session(now, handle.session, ended)
    }

    pub(super) fn hear(
        &mut self,
        now: Timestamp,
        handle: Handle,
        said: Result<FromClient, Fault>,
    ) -> Transaction {
        self.session(now, handle.session, SessionCommand::Hear(handle.generation, said))
    }

    pub(super) fn send(
        &mut self,
        now: Timestamp,
        id: SessionId,
        message: &str,
    ) -> Result<Transaction, Reply> {
        let outgoing = Outgoing::new(Payload::Text(message.into()), Tag::new([7; 6]));
        match self.on(now, Command::Session(id, SessionCommand::Send(outgoing))) {
            (Reply::Done, tx) => Ok(tx),
            (reply, _) => Err(reply),
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp) -> Transaction {
        self.turn(|shard, tx| shard.expire(now, tx)).1
    }

    pub(super) fn closing(&mut self, now: Timestamp, window: Duration) -> (Reply, Transaction) {
        self.on(now, Command::Closing { after: None, window, seed: 1 })
    }
}

/// How a connection ended that nothing else is known of.
pub(super) fn ending() -> Arc<ConnectionEnding> {
    let report = adieu_proto::Ending::from_parts(
        adieu_proto::Cause::Eof,
        adieu_proto::ClosingHandshake::None,
        adieu_proto::Transport {
            kind: adieu_proto::TransportKind::Tcp,
            end: adieu_proto::End::Finished,
            active_closer: Some(adieu_proto::Side::Peer),
            close_notify: None,
        },
        Duration::from_secs(1),
    );
    Arc::new(ConnectionEnding::of(&report))
}

/// A session id of this number.
pub(super) fn numbered(n: usize) -> SessionId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&(n as u64).to_be_bytes());
    SessionId::new(bytes)
}

/// One that looks as random ones do.
pub(super) fn random(n: u64) -> SessionId {
    let part = |seed: u64| (n + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&part(1));
    bytes[8..].copy_from_slice(&part(99).map(|byte| byte.rotate_left(3)));
    // The low bytes of a product are the random ones.
    bytes[15] = part(7)[2];
    SessionId::new(bytes)
}

/// What is kept after these.
pub(super) fn contents(all: impl IntoIterator<Item = Transaction>) -> Contents {
    let mut contents = Contents::default();
    for tx in all {
        keep(&mut contents, tx.changes);
    }
    contents
}

/// Keeps what an owner writes: all that a batch changes of a session is a write of its owner.
pub(super) fn keep(contents: &mut Contents, changes: Batch) {
    let of_user = |change: &Change| match change {
        Change::PutEvent { stream, .. } => stream.starts_with(b"u"),
        change => matches!(change, Change::PutLeaving { .. }),
    };
    for change in changes.iter().filter(|change| !of_user(change)) {
        let Some(of) = change.session() else { continue };
        let writes = changes.iter().filter(|c| matches!(c, Change::Write { id, .. } if *id == of));
        assert_eq!(writes.count(), 1, "{change:?} of {changes:?}");
    }
    assert_eq!(contents.commit(changes), []);
}
