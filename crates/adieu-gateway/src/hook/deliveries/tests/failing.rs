//! The backend is unwell for all events, or for all of a kind.

use super::*;

#[test]
fn a_backend_that_refuses_all_for_a_minute_is_told_all_within_half_a_minute_of_the_first() {
    for kind in [FailureKind::Final, FailureKind::Refused, FailureKind::BadSignature] {
        let mut world = World::new(options());
        for session in 0..200 {
            world.happens(session, 1, SessionStarted);
            world.happens(session, 2, Message);
            world.happens(session, 3, SessionEnded);
        }
        let backend = |_: &Event, at: Duration| {
            if at < MINUTE { refuses(kind) } else { takes_now() }
        };
        world.pass(10 * MINUTE, backend);
        let taken = world.taken();
        assert_eq!(taken.len(), 600, "each once");
        for session in 0..200 {
            let of: Vec<_> =
                taken.iter().filter(|id| id.starts_with(&format!("{session}."))).collect();
            let want: Vec<_> = (1..=3).map(|n| format!("{session}.{n}")).collect();
            assert_eq!(of, want.iter().collect::<Vec<_>>(), "in order");
        }
        let times: Vec<_> =
            world.sent.iter().filter(|(_, _, taken)| *taken).map(|(at, ..)| *at).collect();
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!(*last - *first <= 31 * SECOND, "{first:?} to {last:?}");
        assert_eq!(world.store, Contents::default(), "nothing is a dead letter");
    }
}

#[test]
fn a_backend_that_refused_everything_and_is_well_again_hears_each_session_in_order() {
    for unwell in [
        refuses(FailureKind::Final),
        refuses(FailureKind::Unreachable),
        (10 * SECOND, Err(FailureKind::NoAnswer)),
        (3 * SECOND, Err(FailureKind::NoAnswer)),
    ] {
        refused_everything(&unwell);
    }
}

#[test]
fn the_first_event_that_a_backend_takes_after_it_hung_overtakes_nothing() {
    // A session is alone with the backend: its own end could be what finds the backend well.
    for tenths in 0..600 {
        let well = tenths * SECOND / 10;
        let patient = DeliveryOptions { patience: SECOND / 3, ..options() };
        let mut world = World::with(patient, 1, chance);
        world.happens(1, 1, Message);
        world.happens(1, 2, SessionEnded);
        let hangs = |_: &Event, at: Duration| {
            if at < well { (SECOND / 3, Err(FailureKind::NoAnswer)) } else { takes_now() }
        };
        world.pass(2 * MINUTE, hangs);
        assert_eq!(world.taken(), ["1.1", "1.2"], "well after {well:?}");
    }
}

#[test]
fn who_left_is_told_in_time_when_the_only_other_event_is_a_message_that_is_never_taken() {
    let no_answer = (SECOND, Err(FailureKind::NoAnswer));
    let cases =
        [(refuses(FailureKind::Refused), 11), (refuses(FailureKind::Final), 11), (no_answer, 62)];
    for (to_message, within) in cases {
        let mut world = World::new(options());
        world.happens(1, 1, Message);
        world.happens(1, 2, SessionEnded);
        let backend =
            |about: &Event, _| if about.r#type == Message { to_message } else { takes_now() };
        world.pass(2 * MINUTE, backend);
        let told = world.when_taken("1.2");
        assert!(told.is_some_and(|at| at <= within * SECOND), "{to_message:?}: {told:?}");
    }
}

/// A minute of this, while people come, speak and leave.
fn refused_everything(unwell: &Answer) {
    let mut world = World::with(options(), 1, chance);
    let backend = |_: &Event, at: Duration| {
        if (MINUTE..2 * MINUTE).contains(&at) { *unwell } else { takes_now() }
    };
    for session in 0..250 {
        world.happens(session, 1, SessionStarted);
    }
    world.pass(50 * SECOND, backend);
    // People speak and leave before, during and after.
    let mut next = [2; 250];
    while world.now.at - world.start < 130 * SECOND {
        let session = (chance() * 250.0) as u8;
        let n = &mut next[usize::from(session)];
        *n += 1;
        let r#type = if *n < 5 { Message } else { SessionEnded };
        if *n <= 5 {
            world.happens(session, *n - 1, r#type);
        }
        world.pass(Duration::from_millis(100), backend);
    }
    world.pass(2 * MINUTE, backend);
    let taken = world.taken();
    for session in 0..250u8 {
        let of: Vec<_> = taken.iter().filter(|id| id.starts_with(&format!("{session}."))).collect();
        let want: Vec<_> =
            (1..next[usize::from(session)].min(5)).map(|n| format!("{session}.{n}")).collect();
        assert_eq!(of, want.iter().collect::<Vec<_>>(), "in order");
    }
    assert_eq!(world.store, Contents::default());
}

#[test]
fn while_the_backend_takes_nothing_for_half_an_hour_no_message_is_given_up() {
    let mut world = World::new(options());
    world.happens(1, 1, Message);
    world.happens(1, 2, Message);
    let backend = |_: &Event, at: Duration| {
        if at < HOUR / 2 { refuses(FailureKind::Refused) } else { takes_now() }
    };
    world.pass(HOUR, backend);
    assert_eq!(world.taken(), ["1.1", "1.2"]);
}

#[test]
fn while_the_backend_takes_no_message_who_left_is_told_and_no_message_is_given_up() {
    let mut world = World::new(options());
    for session in 0..20 {
        world.happens(session, 1, SessionStarted);
        world.happens(session, 2, Message);
        world.happens(session, 3, Message);
    }
    let backend = |about: &Event, at: Duration| {
        let unwell = about.r#type == Message && at < HOUR / 2;
        if unwell { refuses(FailureKind::Refused) } else { takes_now() }
    };
    for session in 0..10 {
        world.pass(MINUTE, backend);
        world.happens(session, 4, SessionEnded);
        world.pass(11 * SECOND, backend);
        assert!(world.when_taken(&format!("{session}.4")).is_some());
    }
    world.pass(HOUR / 2, backend);
    assert_eq!(world.taken().len(), 70);
    assert_eq!(world.store, Contents::default());
}

#[test]
fn a_backend_that_refused_who_left_and_took_messages_is_told_within_half_a_minute() {
    let mut world = World::new(options());
    let backend = |about: &Event, at: Duration| {
        let unwell = about.r#type == SessionEnded && at < 10 * MINUTE;
        if unwell { refuses(FailureKind::Refused) } else { takes_now() }
    };
    for n in 0..100 {
        world.happens(n, 1, SessionEnded);
        world.happens(200, u64::from(n), Message);
        world.pass(6 * SECOND, backend);
    }
    world.pass(MINUTE + 31 * SECOND, backend);
    assert_eq!(world.taken().len(), 200);
}

#[test]
fn however_long_the_backend_fails_an_event_is_tried_each_minute() {
    for kind in [FailureKind::Refused, FailureKind::Unreachable, FailureKind::NoAnswer] {
        let mut world = World::new(options());
        for session in 0..3 {
            world.happens(session, 1, SessionEnded);
        }
        world.pass(12 * HOUR, |_, _| refuses(kind));
        let at: Vec<_> = world.sent.iter().map(|(at, ..)| *at).collect();
        let longest = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= MINUTE + SECOND, "{kind:?}: {longest:?}");
        assert!(at.len() < 5_000, "{kind:?}: {} tries", at.len());
        assert_eq!(world.store.events.len(), 3);
    }
}

#[test]
fn a_backend_that_cannot_be_reached_is_found_out_by_one_and_then_all_follow() {
    let mut world = World::new(options());
    for session in 0..250 {
        world.happens(session, 1, Message);
        world.happens(session, 2, SessionEnded);
    }
    let back = 10 * MINUTE;
    let backend = |_: &Event, at: Duration| {
        if at < back { refuses(FailureKind::Unreachable) } else { (10 * QUICK, Ok(())) }
    };
    world.pass(back, backend);
    let tries = world.sent.len();
    assert!(tries < 64 + 30, "{tries} tries in 10 minutes of 500 events");
    world.pass(MINUTE, backend);
    assert_eq!(world.taken().len(), 500);
    let last = world.sent.last().unwrap().0;
    assert!(last <= back + 31 * SECOND, "{last:?}");
    for session in 0..250 {
        let [said, left] = [1, 2].map(|n| world.when_taken(&format!("{session}.{n}")).unwrap());
        assert!(said < left, "in order");
    }
}

#[test]
fn an_unreachable_backend_makes_no_dead_letters_and_parks_nothing() {
    let mut world = World::new(options());
    world.happens(1, 1, SessionStarted);
    world.happens(2, 1, Message);
    let days = 48 * HOUR;
    let backend = |_: &Event, at: Duration| {
        if at < days { refuses(FailureKind::Unreachable) } else { takes_now() }
    };
    world.pass(days + MINUTE, backend);
    assert_eq!(world.taken().len(), 2);
}

#[test]
fn requests_from_before_the_backend_was_away_neither_tell_that_it_is_back_nor_keep_others_waiting()
{
    let mut world = World::new(options());
    let (away, back) = (SECOND, 2 * MINUTE);
    for session in 0..100 {
        world.happens(session, 1, Message);
    }
    let backend = |about: &Event, at: Duration| match at {
        // It hangs, and these find out one after the other.
        at if at < away => (
            20 * SECOND + u32::from(about.session_id.to_bytes()[0]) * SECOND,
            Err(FailureKind::NoAnswer),
        ),
        at if at < back => refuses(FailureKind::Unreachable),
        _ => takes_now(),
    };
    world.pass(away, backend);
    let hung = world.sent.len();
    world.happens(200, 1, SessionEnded);
    world.pass(MINUTE - away, backend);
    assert!(!world.queue.counts().reachable, "a request that was begun before tells nothing");
    let probes = world.sent.len() - hung;
    assert!(probes <= 10, "{probes} tries in a minute of a backend that is away");
}

#[test]
fn a_backend_that_is_back_is_told_at_once_while_requests_from_before_are_still_open() {
    let mut world = World::new(options());
    let (away, back) = (SECOND, 2 * SECOND);
    for session in 0..48 {
        world.happens(session, 1, Message);
    }
    let backend = |_: &Event, at: Duration| match at {
        at if at < away => (10 * MINUTE, Err(FailureKind::NoAnswer)),
        at if at < back => refuses(FailureKind::Unreachable),
        _ => takes_now(),
    };
    world.pass(away, backend);
    // This one finds out that it is away.
    world.happens(99, 1, SessionEnded);
    for session in 100..200 {
        world.happens(session, 1, Message);
        world.happens(session, 2, SessionEnded);
    }
    world.pass(9 * SECOND, backend);
    assert_eq!(world.taken().len(), 201);
}

#[test]
fn an_event_that_ended_its_connection_while_no_other_could_be_made_is_tried_alone_from_then_on() {
    let mut world = World::with(options(), 64, || 1.0);
    for session in 0..64 {
        world.happens(session, 1, Message);
    }
    // The backend dies of one message, and is back after a second.
    let backend = |about: &Event, at: Duration| match (about.id == "7.1", at < QUICK) {
        (_, true) | (true, false) => refuses(FailureKind::Died),
        (false, false) => takes_now(),
    };
    world.pass(QUICK, backend);
    assert!(!world.queue.counts().reachable, "no connection could be made");
    world.pass(MINUTE, backend);
    assert_eq!(world.taken().len(), 63);
    assert!(world.batches[1..].iter().all(|count| *count == 1), "{:?}", world.batches);
    world.pass(HOUR, backend);
    world.happens(1, 2, SessionStarted);
    world.pass(HOUR, backend);
    assert_eq!(world.store.dead_letters.len(), 1);
}
