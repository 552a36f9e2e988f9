//! Users: the first session and the last, and what one user may have.

use super::super::super::command::Limits;
use super::*;

#[test]
fn a_user_joins_with_the_first_session_and_leaves_with_the_last() {
    let mut hub = Hub::new(Settings::default());
    let mut start = |n| hub.start(NOW, id(n), guest("anna", "https://a"));
    let (one, step) = start(1);
    assert_eq!(of_users(&step), [EventType::UserJoined]);
    let (two, step) = start(2);
    assert_eq!(of_users(&step), []);
    assert_eq!(hub.0.counts().users, 1);
    let step = hub.ended(NOW, one, Departure::Left, &ending());
    assert_eq!(of_users(&step), []);
    let step = hub.ended(NOW, two, Departure::Hidden, &ending());
    assert_eq!(of_users(&step), [], "the same grace");
    let step = hub.expire(NOW + Duration::from_secs(8));
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    assert_eq!(hub.0.counts().users, 0);
}

fn plain(n: u8, hub: &mut Hub, now: Timestamp) -> (Handle, Transaction) {
    hub.start(now, id(n), Guest { plain: true, ..guest("anna", "https://a") })
}

#[test]
fn a_refresh_without_our_client_is_no_departure_of_the_user() {
    let mut hub = Hub::new(Settings::default());
    let (first, _) = plain(1, &mut hub, NOW);
    let step = hub.ended(NOW, first, Departure::Hidden, &ending());
    assert_eq!((events(&step).len(), of_users(&step)), (1, vec![]), "the session is over");
    assert_eq!(hub.0.counts().users, 0);
    let (second, step) = plain(2, &mut hub, NOW + Duration::from_secs(2));
    assert_eq!(of_users(&step), [], "and the person was never gone");
    assert_eq!(hub.0.deadline(), None);
    let gone = NOW + Duration::from_secs(60);
    hub.ended(gone, second, Departure::Left, &ending());
    assert_eq!(hub.0.deadline(), Some(gone + Duration::from_secs(10)));
    let step = hub.expire(gone + Duration::from_secs(10));
    assert_eq!(of_users(&step), [EventType::UserLeft]);
}

#[test]
fn a_user_who_is_leaving_when_the_gateway_stops_leaves_after_it_has_started() {
    let mut hub = Hub::new(Settings::default());
    let (first, started) = plain(1, &mut hub, NOW);
    let ended = hub.ended(NOW, first, Departure::Lost, &ending());
    let later = NOW + Duration::from_secs(3_600);
    let (mut again, _) = Hub::restore(Settings::default(), &contents([started, ended]), later);
    let until = later + Duration::from_secs(10);
    assert_eq!(again.0.deadline(), Some(until));
    assert_eq!(of_users(&again.expire(until)), [EventType::UserLeft]);
    assert_eq!(again.0.deadline(), None);
}

#[test]
fn one_user_has_a_limit_and_the_others_do_not_feel_it() {
    let limits =
        Limits { sessions_per_user: 2, bytes_per_user: 100, bytes: 200, ..Limits::default() };
    let mut hub = Hub::new(Settings { limits, ..Settings::default() });
    let start = |hub: &mut Hub, n, user| {
        hub.on(NOW, Command::Start(id(n), Box::new(guest(user, "https://a")))).0
    };
    start(&mut hub, 1, "anna");
    start(&mut hub, 2, "anna");
    assert_eq!(start(&mut hub, 3, "anna"), Reply::Full(Full::SessionsOfUser));
    assert!(matches!(start(&mut hub, 3, "bob"), Reply::Attached(_)));
    let text = "x".repeat(50);
    hub.send(NOW, id(1), &text).unwrap();
    assert_eq!(hub.send(NOW, id(2), &text), Err(Reply::Full(Full::BytesOfUser)));
    hub.send(NOW, id(3), &text).unwrap();
    start(&mut hub, 4, "carol");
    assert_eq!(hub.0.counts().kept, 2 * r#""text":""}"#.len() + 100);
    hub.send(NOW, id(4), &text).unwrap();
    start(&mut hub, 5, "dave");
    assert_eq!(hub.send(NOW, id(5), &text), Err(Reply::Full(Full::Bytes)));
    // Room is there again when a client has acknowledged what it was sent.
    let anna = Handle { session: id(1), generation: 1 };
    hear(&mut hub, anna, r#"{"type":"sequenceAck","sequenceId":1}"#);
    hub.send(NOW, id(2), &text).unwrap();
    assert!(hub.send(NOW, id(5), &text).is_err());
}
