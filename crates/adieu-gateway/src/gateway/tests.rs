//! A gateway over stores that count, or take their time.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;
use crate::session::command::Resumption;
use crate::session::command::SessionCommand;
use crate::session::ending::ConnectionEnding;
use crate::session::wire::Payload;
use crate::session::{Contents, Departure, SessionId};
use crate::store::{Refusals, StoreError};

/// Counts its commits, and keeps nothing.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl StoreBackend for Counting {
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, _: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_message_to_many_takes_few_commits() {
    const MANY: u8 = 200;
    let store = Counting::default();
    let options = Options { shards: 1, ..Options::default() };
    let gateway = Gateway::start(store.clone(), options).await.unwrap();
    let id = |n| SessionId::new([n; 16]);
    let start = |n| Command::Start(id(n), Box::default());
    let started = gateway.commands((0..MANY).map(start).collect()).await.unwrap();
    assert!(started.iter().all(|reply| matches!(reply, Reply::Attached(_))));
    let before = store.0.load(Ordering::SeqCst);
    let hello = Outgoing::new(Payload::Text("hello".into()), gateway.tag());
    let send = |n| Command::Session(id(n), SessionCommand::Send(hello.clone()));
    let gone = Command::User("nobody".into(), SessionCommand::Send(hello.clone()));
    let replies = gateway.commands((0..MANY).map(send).chain([gone]).collect()).await.unwrap();
    assert_eq!(replies[..usize::from(MANY)], vec![Reply::Done; MANY.into()]);
    assert_eq!(replies.last(), Some(&Reply::NoSession), "in the order of the commands");
    let commits = store.0.load(Ordering::SeqCst) - before;
    assert!(commits < usize::from(MANY) / 10, "{commits} commits");
    gateway.stop().await.unwrap();
}

/// Commits nothing while its disk hangs.
#[derive(Clone, Default)]
struct Hanging {
    hangs: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl StoreBackend for Hanging {
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, _: &[Batch]) -> Result<Vec<Refusals>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        while self.hangs.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Vec::new())
    }
}

/// How a connection ended that the peer finished after this time.
pub(super) fn ending(lasted: Duration) -> ConnectionEnding {
    let transport = adieu::Transport {
        kind: adieu::TransportKind::Tcp,
        end: adieu::End::Finished,
        active_closer: Some(adieu::Side::Peer),
        close_notify: None,
    };
    let handshake = adieu::ClosingHandshake::None;
    let report = adieu::Ending::from_parts(adieu::Cause::Eof, handshake, transport, lasted);
    ConnectionEnding::of(&report)
}

#[tokio::test]
async fn who_came_back_while_the_store_was_slow_is_in_time() {
    let store = Hanging::default();
    let mut options = Options { shards: 1, ..Options::default() };
    let wait = Duration::from_secs(1);
    options.sessions.waits.hidden = wait;
    let gateway = Gateway::start(store.clone(), options).await.unwrap();
    let id = |n| SessionId::new([n; 16]);
    let command = |command| {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.command(command).await.unwrap() })
    };
    command(Command::Start(id(1), Box::default())).await.unwrap();
    let ended =
        SessionCommand::ConnectionEnded(1, Departure::Hidden, Arc::new(ending(Duration::ZERO)));
    command(Command::Session(id(1), ended)).await.unwrap();
    store.hangs.store(true, Ordering::SeqCst);
    let before = store.asked.load(Ordering::SeqCst);
    let other = command(Command::Start(id(2), Box::default()));
    while store.asked.load(Ordering::SeqCst) == before {
        tokio::task::yield_now().await;
    }
    // More than a turn has, and behind them the page that is back.
    let many: Vec<_> = (0..3 * TURN)
        .map(|_| command(Command::Session(id(2), SessionCommand::ToldToComeBack(wait))))
        .collect();
    let resumption = Box::new(Resumption { generation: 1, ..Resumption::default() });
    let back = command(Command::Session(id(1), SessionCommand::Resume(resumption)));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(wait + wait / 5).await;
    store.hangs.store(false, Ordering::SeqCst);
    let back = back.await.unwrap();
    assert!(matches!(back, Reply::Attached(_)), "{back:?}");
    other.await.unwrap();
    for one in many {
        one.await.unwrap();
    }
}
