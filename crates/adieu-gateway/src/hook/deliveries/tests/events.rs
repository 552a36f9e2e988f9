//! What becomes of one event, and of those beside it.

use super::super::options::{
    ALL_BYTES, BESIDE_MESSAGE, CONNECTION_EVENTS, FINAL_TRIES, SESSION_RESERVE, SMALL_RESERVE,
};
use super::*;

#[test]
fn events_of_a_session_go_in_order_one_at_a_time() {
    let mut world = World::new(options());
    for (sequence, r#type) in
        [SessionStarted, Message, Message, ConnectionLost, Message, SessionEnded]
            .into_iter()
            .enumerate()
    {
        world.happens(1, sequence as u64 + 1, r#type);
    }
    world.pass(SECOND, takes);
    assert_eq!(world.taken(), ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]);
    assert_eq!(world.most, [1, 1]);
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_refused_message_holds_up_the_end_of_its_session_for_its_patience_and_no_other_session() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    world.happens(1, 3, SessionEnded);
    world.happens(2, 1, SessionEnded);
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::Refused) } else { takes_now() }
    };
    world.pass(MINUTE, backend);
    world.happens(3, 1, Message);
    world.pass(HOUR, backend);
    assert_eq!(world.when_taken("2.1"), Some(Duration::ZERO));
    // The message is asked once more before it is overtaken.
    assert_eq!(world.when_taken("1.3"), Some(10 * SECOND + QUICK));
    // The message behind waits until that which is refused is a dead letter.
    assert!(world.when_taken("1.2") >= Some(5 * MINUTE), "{:?}", world.when_taken("1.2"));
    let tries = world.tries("1.1").len();
    assert!((10..=15).contains(&tries), "{tries} tries");
    assert_eq!((world.store.events.len(), world.store.dead_letters.len()), (0, 1));
}

#[test]
fn when_the_gateway_stops_an_end_waits_for_one_more_try_of_the_message_before_it() {
    for kind in [FailureKind::Refused, FailureKind::Final, FailureKind::NoAnswer] {
        let mut world = World::new(options());
        world.happens(1, 1, Message);
        world.happens(1, 2, SessionEnded);
        world.happens(2, 1, Message);
        world.happens(2, 2, SessionEnded);
        let stops = 3 * SECOND;
        let backend = |about: &Event, at: Duration| match &*about.id {
            "1.1" => refuses(kind),
            "2.1" if at < stops => refuses(kind),
            _ => takes_now(),
        };
        world.pass(stops, backend);
        assert!(world.taken().is_empty());
        world.queue.hurry(world.now.at, SECOND);
        let tries = world.tries("1.1").len();
        world.pass(SECOND, backend);
        assert!(world.tries("1.1").len() > tries, "it is tried once more");
        assert!(world.when_taken("1.2").is_some(), "{kind:?}");
        let (said, left) = (world.when_taken("2.1"), world.when_taken("2.2"));
        assert!(said.is_some() && said < left, "in order");
    }
}

#[test]
fn the_messages_of_others_flow_while_one_is_refused_with_growing_waits() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    // It has no answer: the backend crashes of it, or hangs.
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::NoAnswer) } else { takes_now() }
    };
    for n in 0..1_000 {
        world.happens(2, n, Message);
        world.pass(Duration::from_millis(10), backend);
    }
    assert_eq!(world.taken().len(), 1_000);
    let tries = world.tries("1.1").len();
    assert!((4..=7).contains(&tries), "{tries} tries in 10 s");
    world.pass(HOUR, backend);
    // The hour without any other event is no reason to try it oftener than once a minute.
    let at = world.tries("1.1");
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");
    assert_eq!(world.store.dead_letters.len(), 1);
}

#[test]
fn what_others_have_taken_does_not_shorten_the_wait_of_one_that_is_refused() {
    // By chance each event would be tried again at once.
    let mut world = World::with(options(), 1, || 0.0);
    world.happens(1, 1, Message);
    world.happens(3, 1, SessionEnded);
    let backend = |about: &Event, _: Duration| {
        let refused = about.id == "1.1" || about.id == "3.1";
        if refused { refuses(FailureKind::NoAnswer) } else { takes_now() }
    };
    for n in 0..1_000 {
        world.happens(2, 2 * n, Message);
        world.happens(2, 2 * n + 1, ConnectionLost);
        world.pass(Duration::from_millis(10), backend);
    }
    for id in ["1.1", "3.1"] {
        let tries = world.tries(id).len();
        assert!((4..=10).contains(&tries), "{tries} tries of {id} in 10 s");
    }
}

#[test]
fn refusals_of_others_on_a_busy_gateway_neither_hurry_a_message_nor_hold_up_the_end_behind_it() {
    // The backend takes one message every 5 ms, or every 300 ms, and refuses others all the time.
    for (every, flight) in [(5, 20), (300, 1_000), (300, 20)] {
        let (every, flight) = (Duration::from_millis(every), Duration::from_millis(flight));
        let mut world = World::with(options(), 1, chance);
        world.happens(1, 1, Message);
        world.happens(1, 2, SessionEnded);
        let backend = |about: &Event, _: Duration| match about.sequence {
            Some(1) => (flight, Err(FailureKind::Refused)),
            _ => takes_now(),
        };
        let mut n = 2;
        while world.now.at - world.start < 20 * SECOND {
            n += 1;
            world.happens(2, n, Message);
            // A new session each time, the first message of which is refused.
            world.happens((n % 200) as u8 + 3, 1, Message);
            world.pass(every, backend);
        }
        let told = world.when_taken("1.2");
        assert!(told.is_some_and(|at| at <= 13 * SECOND), "{every:?}, {flight:?}: {told:?}");
        let tries = world.tries("1.1").len();
        assert!(tries <= 12, "{every:?}, {flight:?}: {tries} tries in 20 s");
    }
}

#[test]
fn a_message_that_is_wrong_is_a_dead_letter_after_five_answers_that_say_so() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    let backend = |about: &Event, at: Duration| match &*about.id {
        // 503 six times is no verdict.
        "1.1" if at < 20 * SECOND => refuses(FailureKind::Refused),
        "1.1" => refuses(FailureKind::Final),
        _ => takes_now(),
    };
    world.happens(2, 1, SessionStarted);
    world.pass(SECOND, backend);
    world.happens(2, 2, SessionEnded);
    world.pass(20 * SECOND, backend);
    assert!(world.tries("1.1").len() >= 6, "{:?}", world.tries("1.1"));
    world.pass(30 * SECOND, backend);
    assert!(world.store.dead_letters.is_empty(), "one answer is not enough");
    world.pass(30 * MINUTE, backend);
    assert_eq!(world.store.dead_letters.len(), 1);
    assert!(world.when_taken("1.2").is_some());
    let finals = world.tries("1.1").into_iter().filter(|at| *at >= 20 * SECOND).count();
    assert_eq!(finals, 5);
}

#[test]
fn a_lifecycle_event_is_tried_for_a_day_then_parked_and_holds_up_its_own_session_alone() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    world.happens(1, 2, SessionEnded);
    world.happens(2, 1, SessionStarted);
    let backend = |about: &Event, _: Duration| {
        if about.id == "1.1" { refuses(FailureKind::Final) } else { takes_now() }
    };
    let day = 24 * HOUR;
    world.pass(day - SECOND, backend);
    assert_eq!(world.taken(), ["2.1"]);
    let at = world.tries("1.1");
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait <= 5 * MINUTE), "{waits:?}");
    world.pass(5 * MINUTE, backend);
    assert_eq!(world.taken(), ["2.1", "1.2"], "its session goes on");
    assert_eq!((world.store.events.len(), world.store.dead_letters.len()), (0, 1));
    let all = Part { order: Order::Oldest, after: None, limit: 10 };
    let list = serde_json::to_value(world.queue.letters.list(all)).unwrap();
    let letter = &list["deadLetters"][0];
    assert_eq!((&letter["state"], &letter["eventId"]), (&json!("parked"), &json!("1.1")));
    // The next start tries it again; it stays in the store until it is taken.
    let mut next = World::new(options());
    next.store = world.store.clone();
    for (id, row) in world.store.dead_letters {
        next.queue.letters.restore(id, &row);
    }
    for id in next.queue.letters.parked() {
        assert!(next.queue.retry(next.now, id));
    }
    next.pass(SECOND, |_, _| refuses(FailureKind::Refused));
    assert_eq!(next.store.dead_letters.len(), 1);
    next.pass(MINUTE, takes);
    assert_eq!(next.taken(), ["1.1"]);
    assert_eq!(next.store, Contents::default());
}

#[test]
fn messages_never_take_the_requests_that_are_kept_for_who_left() {
    let mut world = World::new(options());
    for session in 0..200 {
        world.happens(session, 1, Message);
    }
    let backend = |about: &Event, _: Duration| {
        if about.r#type == Message { (5 * SECOND, Ok(())) } else { takes_now() }
    };
    world.pass(SECOND, backend);
    for session in 200..=255 {
        world.happens(session, 1, SessionEnded);
    }
    world.pass(SECOND, backend);
    for session in 200..=255 {
        assert!(world.when_taken(&format!("{session}.1")).is_some(), "{session}");
    }
    assert_eq!(world.most[Lane::Messages as usize], 48);
    // Nor do lifecycle events take those of messages.
    let mut world = World::new(options());
    for session in 0..200 {
        world.happens(session, 1, SessionEnded);
    }
    world.pass(SECOND, |_, _| (5 * SECOND, Ok(())));
    assert_eq!(world.most[Lane::Lifecycle as usize], 48);
}

#[test]
fn sessions_that_say_more_than_the_backend_can_take_keep_a_newcomer_waiting_for_one_round() {
    let mut world = World::new(DeliveryOptions { concurrency: 4, ..options() });
    for session in 1..=30 {
        (1..=100).for_each(|n| world.happens(session, n, Message));
    }
    let slow = |event: &Event, _: Duration| match event.r#type {
        Message => (5 * SECOND, Ok(())),
        _ => takes_now(),
    };
    world.pass(MINUTE, slow);
    world.happens(99, 1, Message);
    world.happens(99, 2, SessionEnded);
    world.pass(MINUTE, slow);
    // Thirty of them, three at a time: ten times 5 s, and its own message.
    assert!(world.when_taken("99.2").is_some(), "{:?}", world.sent);
    assert!(world.when_taken("99.2").unwrap() <= MINUTE + 11 * 5 * SECOND);
}

#[test]
fn two_requests_at_a_time_are_one_of_each_lane() {
    let mut world = World::new(DeliveryOptions { concurrency: 2, ..options() });
    for session in 0..20 {
        world.happens(session, 1, Message);
        world.happens(100 + session, 1, SessionEnded);
    }
    world.pass(SECOND, |_, _| (10 * QUICK, Ok(())));
    assert_eq!((world.taken().len(), world.most), (40, [1, 1]));
}

#[test]
fn a_client_that_comes_and_goes_all_day_leaves_a_bounded_queue_and_no_departure_is_dropped() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    let count = 2 * CONNECTION_EVENTS as u64;
    for n in 2..2 + count {
        let r#type = if n % 2 == 0 { ConnectionLost } else { EventType::ConnectionResumed };
        world.happens(1, n, r#type);
    }
    world.happens(1, 2 + count, SessionEnded);
    let counts = world.queue.counts();
    assert_eq!(counts.dropped, CONNECTION_EVENTS as u64);
    assert_eq!(counts.events, CONNECTION_EVENTS + 2);
    assert_eq!(world.store.events.len(), counts.events, "the store has no more of them");
    world.pass(SECOND, takes);
    let taken = world.taken();
    assert_eq!((taken[0], taken[1]), ("1.1", "1.18"), "the oldest are dropped");
    assert_eq!(*taken.last().unwrap(), format!("1.{}", 2 + count));
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_dead_letter_is_sent_again_or_discarded_and_stays_until_it_is_taken() {
    let mut world = World::new(options());
    for session in 0..2 {
        world.happens(session, 1, Message);
    }
    let poison = |about: &Event, _: Duration| {
        if about.r#type == Message { refuses(FailureKind::Final) } else { takes_now() }
    };
    world.pass(QUICK, poison);
    world.happens(9, 1, SessionStarted);
    world.pass(10 * MINUTE, poison);
    let ids: Vec<u64> = world.store.dead_letters.keys().copied().collect();
    assert_eq!(ids.len(), 2);
    assert!(world.queue.retry(world.now, ids[0]));
    assert!(world.queue.retry(world.now, ids[0]), "twice is once");
    assert!(!world.queue.retry(world.now, 7), "there is none of this number");
    world.pass(QUICK, poison);
    assert_eq!(world.store.dead_letters.len(), 2, "it is refused, and stays");
    world.pass(MINUTE, takes);
    assert_eq!(world.store.dead_letters.keys().copied().collect::<Vec<_>>(), ids[1..]);
    // One that waits to be sent again is not sent any more once it is discarded.
    assert!(world.queue.retry(world.now, ids[1]));
    let change = world.queue.discard(ids[1]).unwrap();
    world.store.apply(change);
    let sent = world.sent.len();
    world.pass(MINUTE, takes);
    assert_eq!((world.sent.len(), world.queue.counts().events), (sent, 0));
    assert!(world.queue.discard(ids[1]).is_none());
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_dead_letter_that_is_discarded_while_it_is_on_its_way_is_not_sent_once_more() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.pass(QUICK, |_, _| refuses(FailureKind::Final));
    world.happens(2, 1, SessionStarted);
    let poison = |about: &Event, _: Duration| {
        if about.r#type == Message { refuses(FailureKind::Final) } else { takes_now() }
    };
    world.pass(10 * MINUTE, poison);
    let id = *world.store.dead_letters.keys().next().unwrap();
    assert!(world.queue.retry(world.now, id));
    let request = world.queue.poll(world.now.at).remove(0);
    let change = world.queue.discard(id).unwrap();
    world.store.apply(change);
    let failure = Failure { kind: FailureKind::Refused, why: "no".into() };
    let batch = world.queue.done(world.now, &request, vec![Err(failure)]);
    batch.into_iter().for_each(|change| world.store.apply(change));
    let sent = world.sent.len();
    world.pass(HOUR, poison);
    assert_eq!((world.sent.len(), world.queue.counts().events), (sent, 0));
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_message_that_was_on_its_way_when_the_backend_became_well_is_no_dead_letter() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    let unwell = |_: &Event, _: Duration| refuses(FailureKind::Final);
    while world.sent.len() + 1 < FINAL_TRIES as usize {
        world.pass(QUICK, unwell);
    }
    world.pass(10 * QUICK, unwell);
    let next = world.queue.next_wake(world.now.at).expect("it is tried again");
    world.advance(next);
    let request = world.queue.poll(world.now.at).remove(0);
    // The backend is mended, and takes something of another session before it answers.
    world.happens(2, 1, SessionStarted);
    world.pass(QUICK, takes);
    let failure = Failure { kind: FailureKind::Final, why: "as it was before".into() };
    let batch = world.queue.done(world.now, &request, vec![Err(failure)]);
    batch.into_iter().for_each(|change| world.store.apply(change));
    assert!(world.store.dead_letters.is_empty());
    world.pass(HOUR, takes);
    assert_eq!(world.sent.last().map(|(_, id, taken)| (&**id, *taken)), Some(("1.1", true)));
    assert_eq!(world.store, Contents::default());
}

#[test]
fn what_was_sent_before_a_message_was_refused_tells_nothing_of_the_message_when_it_is_taken() {
    let mut world = World::new(options());
    world.happens(2, 1, SessionStarted);
    let earlier = world.queue.poll(world.now.at).remove(0);
    world.happens(1, 1, Message);
    let unwell = |_: &Event, _: Duration| refuses(FailureKind::Final);
    world.pass(10 * QUICK, unwell);
    // The answer comes late: the backend was well when it took this.
    world.queue.done(world.now, &earlier, vec![Ok(())]);
    // Tried often enough, and not yet so old that it is given up in any case.
    world.pass(MINUTE, unwell);
    assert!(world.sent.len() > FINAL_TRIES as usize, "{} tries", world.sent.len());
    assert!(world.store.dead_letters.is_empty());
    world.pass(HOUR, takes);
    assert!(world.store.dead_letters.is_empty());
    assert_eq!(world.sent.last().map(|(_, id, taken)| (&**id, *taken)), Some(("1.1", true)));
}

#[test]
fn a_flood_of_one_person_leaves_room_for_others_and_for_small_messages() {
    let mut world = World::new(options());
    let large = || Data::Text("x".repeat(1024 * 1024));
    let key = |session: u8| Bytes::from(vec![session]);
    // Three tabs of one person: who that is, their events say.
    for (session, n) in (1..=3).flat_map(|session| (1..=6).map(move |n| (session, n))) {
        world.user = Some("anna".into());
        world.happens_with(session, n, Message, large());
    }
    let mut room = |session: u8, bytes: usize| {
        let held = world.queue.reserve(&key(session), bytes)?;
        world.queue.release(&key(session), &held);
        Some(())
    };
    assert_eq!(room(1, 1024 * 1024), None, "18 MiB are more than a quarter");
    assert_eq!(room(1, 100), Some(()), "what is small is taken");
    assert_eq!(room(4, 1024 * 1024), Some(()), "somebody else");
    world.pass(MINUTE, takes);
    assert!(world.queue.reserve(&key(1), 1024 * 1024).is_some(), "all of it comes back");
}

#[test]
fn small_messages_for_which_the_engine_holds_room_keep_to_their_reserve() {
    let mut world = World::new(options());
    let large = "x".repeat(1024 * 1024 - BESIDE_MESSAGE);
    for session in 0..8 {
        (1..=8).for_each(|n| assert!(world.says(session, n, &large)));
    }
    assert_eq!(world.queue.counts().bytes, ALL_BYTES);
    let said: Vec<_> = (8..250)
        .map(|session| (1..=256).filter(|n| world.says(session, *n, "hello")).count())
        .collect();
    let of_each = SESSION_RESERVE / ("hello".len() + BESIDE_MESSAGE);
    assert!(said.iter().all(|count| *count <= of_each), "{said:?}");
    let most = ALL_BYTES + SMALL_RESERVE;
    assert!(world.queue.counts().bytes <= most, "{}", world.queue.counts().bytes);
    // All of it comes back.
    world.pass(MINUTE, takes);
    assert_eq!(world.queue.counts().events, 0);
    (0..8).for_each(|session| assert!(world.says(session, 9, &large)));
}

#[test]
fn what_comes_together_goes_in_one_request_with_a_verdict_on_each() {
    let mut world = World::with(options(), 64, || 1.0);
    for session in 0..100 {
        world.happens(session, 1, Message);
        world.happens(session, 2, Message);
    }
    let backend = |about: &Event, _: Duration| {
        let refused = about.id == "7.1";
        (10 * QUICK, if refused { Err(FailureKind::Refused) } else { Ok(()) })
    };
    world.pass(SECOND, backend);
    assert_eq!(world.taken().len(), 198, "what is behind the refused one waits");
    // One event of each session at a time, so that the order holds whatever the verdicts are. The
    // refused one is sent again alone: of a crash the others would have to bear the consequence.
    assert_eq!(world.batches[..2], [64, 36]);
    let alone = world.batches.iter().filter(|count| **count == 1).count();
    assert_eq!(alone + 1, world.tries("7.1").len(), "{:?}", world.batches);
    for (at, session) in (0..100).enumerate() {
        let at = Duration::from_millis(if at < 64 { 0 } else { 2 });
        assert_eq!(world.tries(&format!("{session}.1"))[0], at, "64, or 2 ms");
    }
}

#[test]
fn a_message_that_crashes_the_backend_is_found_out_in_a_batch() {
    let mut world = World::with(options(), 64, || 1.0);
    for session in 0..64 {
        world.happens(session, 1, Message);
    }
    let crashed = |about: &Event, at: Duration| match about.id == "7.1" || at < QUICK {
        true => refuses(FailureKind::NoAnswer),
        false => takes_now(),
    };
    world.pass(10 * SECOND, crashed);
    assert_eq!(world.taken().len(), 63);
    assert!(world.batches[1..].iter().all(|count| *count == 1), "each was suspected");
    let tries = world.tries("7.1").len();
    assert!((4..=7).contains(&tries), "{tries} tries");
}
