//! Whatever is committed, the disk holds what memory does.

use adieu_gateway::session::fence::Fence;
use adieu_gateway::session::wire::Tag;
use adieu_gateway::session::{Change, Contents};
use adieu_gateway::store::{Backend, Disk};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::Scratch;
use super::values::{
    Kept, counters, id, put_event, put_leaving, put_message, put_message_to_many, put_session, user,
};

/// Few of them, so that many builds on another.
fn fence() -> impl Strategy<Value = Fence> {
    (1..3u32, 0..2u64).prop_map(|(epoch, nonce)| Fence { epoch, nonce })
}

fn change() -> impl Strategy<Value = Change> {
    let (session, sequence) = (0..3u8, 0..5u64);
    let bytes = vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let fences = (prop_oneof![Just(Fence::default()), fence()], fence());
    (0..14u8, session, sequence, bytes, fences).prop_map(|(what, session, sequence, bytes, of)| {
        let (id, stream) = (id(session), Bytes::from(vec![session; usize::from(session)]));
        match what {
            0 => put_session(id, sequence),
            1 => Change::DeleteSession { id },
            2 => put_message(id, sequence, &bytes),
            3 => Change::TrimMessages { id, up_to: sequence, tag: Tag::default() },
            4 => put_event(stream, sequence, &bytes),
            7 => Change::PutCounters { id, counters: counters(sequence) },
            8 => put_leaving(id, sequence),
            10 => Change::PutDeadLetter { id: sequence, letter: bytes },
            11 => Change::DeleteDeadLetter { id: sequence },
            9 => Change::DeleteLeaving { user: user(id) },
            5 => Change::DeleteEvent { stream, sequence },
            13 => put_message_to_many(id, sequence),
            12 => Change::Write { id, after: of.0, next: of.1 },
            _ => Change::PutMeta { name: format!("name {sequence}"), value: bytes },
        }
    })
}

/// Which kind a change is. A new kind is missing here until the strategy has it.
fn kind(change: &Change) -> usize {
    match change {
        Change::PutSession { .. } => 0,
        Change::DeleteSession { .. } => 1,
        Change::PutMessage { .. } => 2,
        Change::TrimMessages { .. } => 3,
        Change::PutEvent { .. } => 4,
        Change::DeleteEvent { .. } => 5,
        Change::PutMeta { .. } => 6,
        Change::PutCounters { .. } => 7,
        Change::PutLeaving { .. } => 8,
        Change::DeleteLeaving { .. } => 9,
        Change::PutDeadLetter { .. } => 10,
        Change::DeleteDeadLetter { .. } => 11,
        Change::Write { .. } => 12,
        // For stores that are shared: this one leaves them out.
        Change::Join { .. } | Change::Leave { .. } => 13,
    }
}

#[test]
fn the_changes_of_the_property_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let some = (0..400).map(|_| kind(&change().new_tree(&mut runner).unwrap().current()));
    assert_eq!(some.collect::<std::collections::BTreeSet<_>>(), (0..13).collect());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn the_disk_holds_what_memory_does(
        groups in vec((vec(vec(change(), 0..12), 0..3), any::<bool>()), 0..6),
    ) {
        let scratch = Scratch::new("alike");
        let mut memory = Kept::default();
        let mut disk = Disk::open(&scratch.0).unwrap();
        for (group, again) in groups {
            let refused = memory.commit(&group);
            prop_assert_eq!(disk.commit(&group).unwrap(), refused);
            if again {
                disk.close().unwrap();
                disk = Disk::open(&scratch.0).unwrap();
                prop_assert_eq!(disk.load().unwrap(), memory.0.clone());
            }
        }
        disk.close().unwrap();
        let contents: Contents = Disk::open(&scratch.0).unwrap().load().unwrap();
        prop_assert_eq!(contents, memory.0.clone());
    }
}
