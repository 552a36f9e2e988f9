//! What another owner of a session writes is told from what this owner writes.

use adieu_gateway::session::fence::{Fence, Refused};
use adieu_gateway::session::{Batch, Change};
use adieu_gateway::store::{Backend, Disk};
use bytes::Bytes;

use super::Scratch;
use super::values::{counters, id, put_event, put_message, put_session};

/// A message of a session, with its event, as a write of the session's owner.
fn write(after: Fence, next: Fence, n: u64) -> Batch {
    let bytes = Bytes::from(n.to_string());
    vec![
        put_message(id(1), n, &bytes),
        put_event(Bytes::from_static(b"s"), n, &bytes),
        Change::Write { id: id(1), after, next },
        Change::PutCounters { id: id(1), counters: counters(n) },
    ]
}

fn fence(epoch: u32, nonce: u64) -> Fence {
    Fence { epoch, nonce }
}

/// A store with a session of this fence.
fn started(scratch: &Scratch, first: Fence) -> Disk {
    let mut disk = Disk::open(&scratch.0).unwrap();
    let start = vec![
        Change::Write { id: id(1), after: Fence::default(), next: first },
        put_session(id(1), 1),
    ];
    assert_eq!(disk.commit(&[start]).unwrap(), [vec![]]);
    disk
}

#[test]
fn an_owner_before_changes_nothing_and_others_in_the_same_commit_do() {
    let scratch = Scratch::new("fenced");
    let first = fence(1, 11);
    let mut disk = started(&scratch, first);
    // Another owner claims the session. Then comes what the owner before had under way.
    let claim = vec![Change::Write { id: id(1), after: first, next: fence(2, 22) }];
    let late = write(first, fence(1, 12), 7);
    let other = vec![put_session(id(2), 2)];
    let refused = disk.commit(&[claim, late, other]).unwrap();
    assert_eq!(refused, [vec![], vec![(id(1), Refused::Fenced)], vec![]]);
    disk.close().unwrap();
    let contents = Disk::open(&scratch.0).unwrap().load().unwrap();
    assert!(contents.messages.is_empty() && contents.events.is_empty());
    assert_eq!(contents.sessions[&id(1)].1, counters(1));
    assert_eq!(contents.fences[&id(1)], fence(2, 22));
    assert!(contents.sessions.contains_key(&id(2)));
}

#[test]
fn a_write_that_comes_twice_is_made_once() {
    let scratch = Scratch::new("twice");
    let first = fence(1, 11);
    let mut disk = started(&scratch, first);
    let (one, two) = (fence(1, 12), fence(1, 13));
    assert_eq!(disk.commit(&[write(first, one, 1)]).unwrap(), [vec![]]);
    // The backend takes its event meanwhile: the repeat does not bring it back.
    let taken = Change::DeleteEvent { stream: Bytes::from_static(b"s"), sequence: 1 };
    disk.commit(&[vec![taken]]).unwrap();
    assert_eq!(disk.commit(&[write(first, one, 1)]).unwrap(), [vec![]]);
    assert!(disk.load().unwrap().events.is_empty());
    assert_eq!(disk.commit(&[write(one, two, 2)]).unwrap(), [vec![]]);
}

#[test]
fn a_store_that_was_put_back_to_an_older_state_refuses_what_builds_on_the_newer_one() {
    let scratch = Scratch::new("older");
    let first = fence(1, 11);
    started(&scratch, first).close().unwrap();
    let older = std::fs::read(scratch.file()).unwrap();
    let mut disk = Disk::open(&scratch.0).unwrap();
    let (one, two) = (fence(1, 12), fence(1, 13));
    disk.commit(&[write(first, one, 1)]).unwrap();
    disk.close().unwrap();
    let put_back = Scratch::with("older-back", &older);
    let mut disk = Disk::open(&put_back.0).unwrap();
    let refused = disk.commit(&[write(one, two, 2)]).unwrap();
    assert_eq!(refused, [vec![(id(1), Refused::RolledBack)]]);
    assert!(disk.load().unwrap().messages.is_empty());
}

#[test]
fn the_owner_of_a_session_that_is_over_writes_nothing_more() {
    let scratch = Scratch::new("over");
    let first = fence(1, 11);
    let mut disk = started(&scratch, first);
    let end = vec![
        Change::Write { id: id(1), after: first, next: fence(1, 12) },
        Change::DeleteSession { id: id(1) },
    ];
    let late = write(first, fence(1, 13), 1);
    let refused = disk.commit(&[end, late]).unwrap();
    assert_eq!(refused, [vec![], vec![(id(1), Refused::Fenced)]]);
    let contents = disk.load().unwrap();
    assert!(contents.sessions.is_empty() && contents.messages.is_empty());
    assert!(contents.fences.is_empty());
}
