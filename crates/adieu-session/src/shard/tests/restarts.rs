//! What holds over a restart of the gateway.

use super::super::super::command::Query;
use super::super::super::token::Token;
use super::*;

const PROMISE: Duration = Duration::from_secs(300);

#[test]
fn a_promise_holds() {
    let settings = Settings::default;
    let mut hub = Hub::new(settings());
    let (handle, started) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let (_, promised) = hub.closing(NOW, PROMISE);
    let json: Value = serde_json::from_str(said(&promised)[0]).unwrap();
    assert_eq!(json["type"], "closing");
    let promise = Duration::from_millis(json["retryAfter"].as_u64().unwrap());
    assert!(promise <= PROMISE);
    let later = NOW + Duration::from_secs(1);
    let kept = contents([started, promised]);
    let (again, _) = Hub::restore(settings(), &kept, later);
    let drained = settings().waits.drained;
    let fresh = later + settings().waits.gateway_down;
    assert!(again.0.deadline().unwrap() >= (NOW + promise + drained).max(fresh));
    // Without a restart too: the client may be gone before our Close is.
    hub.ended(later, handle, Departure::Hidden, &ending());
    let Answer::Sessions(views) = hub.0.query(&Query::Session(id(1))) else { panic!("a view") };
    assert_eq!(views[0].until, Some(NOW + promise + drained));
}

#[test]
fn messages_are_as_new_and_a_wrong_clock_is_not_believed() {
    let settings = Settings::default;
    let mut hub = Hub::new(settings());
    let (handle, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let token = token(&step);
    let sent = hub.send(NOW, id(1), "a").unwrap();
    // Down for longer than messages are kept, and another is sent before the client is back.
    let later = NOW + Duration::from_secs(3_000);
    let kept = contents([step.clone(), sent.clone()]);
    let (mut again, _) = Hub::restore(settings(), &kept, later);
    again.send(later, id(1), "b").unwrap();
    assert!(again.resume(later, &token, from("https://a", 0)).is_ok());
    // The clock was years ahead when it was written.
    let years = NOW + Duration::from_secs(10 * 365 * 86_400);
    let ended = hub.ended(years, handle, Departure::Lost, &ending());
    let (hub, _) = Hub::restore(settings(), &contents([step, sent, ended]), NOW);
    let carried = NOW + super::super::super::aggregate::MAX_CARRIED;
    assert_eq!(hub.0.deadlines.first(), Some(&(carried, id(1))));
}

#[test]
fn not_all_sessions_end_at_once_after_a_restart() {
    let mut hub = Hub::new(Settings::default());
    let all = (0..1_000).map(|n| hub.start(NOW, random(n), Guest::default()).1);
    let kept = contents(all.collect::<Vec<_>>());
    let (hub, _) = Hub::restore(Settings::default(), &kept, NOW);
    let deadlines: std::collections::HashSet<_> =
        hub.0.deadlines.iter().map(|(at, _)| at).collect();
    assert!(deadlines.len() > 100, "{}", deadlines.len());
    let window = Settings::default().waits.gateway_down;
    assert!(deadlines.iter().all(|at| **at >= NOW + window && **at <= NOW + window * 5 / 4));
}

#[test]
fn a_gateway_that_starts_again_and_again_does_not_postpone_an_end_for_ever() {
    let settings = Settings::default;
    let mut hub = Hub::new(settings());
    let (_, step) = hub.start(NOW, id(1), Guest::default());
    let mut kept = contents([step]);
    let mut now = NOW;
    for restarts in 1.. {
        now = now + Duration::from_secs(30);
        let (hub, step) = Hub::restore(settings(), &kept, now);
        if hub.0.deadline().is_none_or(|at| at <= now) {
            break;
        }
        assert!(restarts < 100, "a restart each 30 s, for 50 minutes");
        keep(&mut kept, step.changes);
    }
}

#[test]
fn a_token_of_before_the_restart_is_good() {
    let mut hub = Hub::new(Settings::default());
    let (_, step) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let kept = contents([step]);
    let (mut again, _) = Hub::restore(Settings::default(), &kept, NOW);
    let token = Token { session: id(1), generation: 1 }.sign(&key());
    assert!(again.resume(NOW, &token, from("https://a", 0)).is_ok());
}

#[test]
fn a_suspended_machine_moves_what_people_read_and_no_deadline() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = hub.start(NOW, id(1), Guest::default());
    let hour = Duration::from_secs(3_600);
    hub.0.set_skew(Skew::between(NOW + hour, NOW));
    hub.ended(NOW, handle, Departure::Hidden, &ending());
    let due = NOW + Duration::from_secs(8);
    assert_eq!(hub.0.deadline(), Some(due));
    let Answer::Sessions(views) = hub.0.query(&Query::Session(id(1))) else {
        panic!("no sessions")
    };
    assert_eq!(views[0].until, Some(due + hour), "as the clock on the wall shows it");
    let step = hub.expire(due);
    let event = &of_session(&step)[0];
    assert_eq!(event.time, due + hour);
    let Data::Ended(told) = &event.data else { panic!("{step:?}") };
    assert_eq!((told.started_at, told.lasted_ms), (NOW, 3_608_000));
}

#[test]
fn who_cannot_come_back_because_the_gateway_stops_is_not_announced_by_it() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = hub.start(NOW, id(1), guest("anna", "https://a"));
    hub.ended(NOW, handle, Departure::Hidden, &ending());
    hub.closing(NOW, Duration::from_secs(10));
    assert_eq!(hub.0.deadline(), None);
    assert_eq!(events(&hub.expire(NOW + Duration::from_secs(3600))), []);
    // Where there is no next start, that is done at the end.
    let (_, step) = hub.on(NOW + Duration::from_secs(3600), Command::GiveUp);
    assert_eq!(events(&step), [(EventType::SessionEnded, 2)]);
}

#[test]
fn keys_that_are_known_after_a_restart_do_not_grow_without_end() {
    let keyed = |n: u32| {
        let mut outgoing = Outgoing::new(Payload::Text("x".into()), Tag::new([7; 6]));
        outgoing.key = Some(key().credentials(&n.to_be_bytes()));
        Command::Session(id(1), SessionCommand::Send(outgoing))
    };
    let mut hub = Hub::new(Settings::default());
    let mut steps = vec![hub.start(NOW, id(1), guest("anna", "https://a")).1];
    steps.extend((0..100).map(|n| hub.on(NOW, keyed(n)).1));
    let (mut again, _) = Hub::restore(Settings::default(), &contents(steps), NOW);
    let sent = |hub: &Hub| match hub.0.query(&Query::Session(id(1))) {
        Answer::Sessions(views) => views[0].sent,
        Answer::Counts(_) | Answer::Held(_) => 0,
    };
    again.on(NOW, keyed(99));
    assert_eq!(sent(&again), 100, "it is known");
    for n in 100..165 {
        again.on(NOW, keyed(n));
    }
    again.on(NOW, keyed(99));
    assert_eq!(sent(&again), 166, "64 others are known by then");
}

#[test]
fn however_long_the_gateway_was_down_who_was_away_has_a_fresh_window() {
    for drained in [true, false] {
        let mut hub = Hub::new(Settings::default());
        let (handle, started) = hub.start(NOW, id(1), guest("anna", "https://a"));
        let mut steps = vec![started];
        if drained {
            steps.push(hub.closing(NOW, Duration::from_secs(10)).1);
        }
        let departure = if drained { Departure::Drained } else { Departure::Lost };
        steps.push(hub.ended(NOW, handle, departure, &ending()));
        let up = NOW + Duration::from_secs(3 * 3_600);
        let (again, _) = Hub::restore(Settings::default(), &contents(steps), up);
        let fresh = up + Settings::default().waits.gateway_down;
        assert!(again.0.deadline() >= Some(fresh), "{drained}: {:?}", again.0.deadline());
    }
}

#[test]
fn a_promise_that_is_over_does_not_renew_the_time_for_ever() {
    let mut hub = Hub::new(Settings::default());
    let (handle, started) = hub.start(NOW, id(1), guest("anna", "https://a"));
    let (_, promised) = hub.closing(NOW, Duration::from_secs(10));
    let gone = hub.ended(NOW, handle, Departure::Drained, &ending());
    let (mut kept, mut now) = (contents([started, promised, gone]), NOW);
    for restarts in 1.. {
        now = now + Duration::from_secs(10);
        let (hub, step) = Hub::restore(Settings::default(), &kept, now);
        if hub.0.deadline().is_none_or(|at| at <= now) {
            break;
        }
        assert!(restarts < 200, "a restart each 10 s, for half an hour");
        keep(&mut kept, step.changes);
    }
}
