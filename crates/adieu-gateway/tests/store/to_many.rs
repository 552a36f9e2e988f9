//! A message to many sessions is in the store once.

use adieu_gateway::session::Change;
use adieu_gateway::session::wire::Tag;
use adieu_gateway::store::{Backend, Disk};

use super::Scratch;
use super::values::{id, put_message_to_many, put_session};

/// Sessions, and bytes of the message to all of them.
const SESSIONS: u8 = 200;
const PAYLOAD: usize = 100_000;

#[test]
fn its_payload_is_kept_once_and_goes_with_the_last_that_acknowledges_it() {
    let scratch = Scratch::new("to-many");
    let mut disk = Disk::open(&scratch.0).unwrap();
    let sessions = (0..SESSIONS).map(|n| put_session(id(n), 1)).collect();
    disk.commit(&[sessions]).unwrap();
    // Each round is a message to all, and all but the last session acknowledge it at once.
    for round in 1..=40 {
        let to_all = (0..SESSIONS).map(|n| put_message_to_many(id(n), round)).collect();
        disk.commit(&[to_all]).unwrap();
        let tag = Tag::default();
        let acknowledge = |n| Change::TrimMessages { id: id(n), up_to: round, tag };
        disk.commit(&[(1..SESSIONS).map(acknowledge).collect()]).unwrap();
        let kept = disk.load().unwrap().messages;
        assert_eq!(kept.len(), 1, "the one that is not acknowledged");
        assert!(kept.values().all(|message| message.tail.bytes().len() > PAYLOAD));
        disk.commit(&[vec![acknowledge(0)]]).unwrap();
        assert!(disk.load().unwrap().messages.is_empty());
    }
    disk.close().unwrap();
    // One by one they would take 20 MB; kept for ever, 4 MB.
    let bytes = std::fs::metadata(scratch.file()).unwrap().len();
    assert!(bytes < 3_000_000, "{bytes} bytes");
}

#[test]
fn those_that_have_not_acknowledged_it_share_it_in_memory_after_a_start() {
    let scratch = Scratch::new("to-many-start");
    let mut disk = Disk::open(&scratch.0).unwrap();
    let mut batch: Vec<_> = (0..SESSIONS).map(|n| put_session(id(n), 1)).collect();
    batch.extend((0..SESSIONS).map(|n| put_message_to_many(id(n), 1)));
    disk.commit(&[batch]).unwrap();
    disk.close().unwrap();
    let kept = Disk::open(&scratch.0).unwrap().load().unwrap().messages;
    let places: std::collections::HashSet<_> =
        kept.values().map(|message| message.tail.bytes().as_ptr()).collect();
    assert_eq!((kept.len(), places.len()), (usize::from(SESSIONS), 1));
}
