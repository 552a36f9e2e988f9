//! A gateway over a store that counts.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::session::command::SessionCommand;
use crate::session::wire::Payload;
use crate::session::{Contents, SessionId};
use crate::store::StoreError;

/// Counts its commits, and keeps nothing.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl StoreBackend for Counting {
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, _: &[Batch]) -> Result<(), StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
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
