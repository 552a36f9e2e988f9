//! Which client may have a session.

use super::super::super::command::{AskResume, Verdict};
use super::super::super::ending::SessionCause;
use super::super::super::token::Digest;
use super::super::super::wire::{Nonce, Offer};
use super::*;

fn nonce(text: &str) -> Digest {
    let offer = Offer::read(["adieu.v1", &format!("adieu.first.{text}")]).unwrap();
    let nonce: Nonce = offer.first.expect("22 characters");
    key().first_visit(nonce)
}

fn first_visit(text: &str) -> Guest {
    Guest { first: Some(nonce(text)), ..guest("anna", "https://a") }
}

const A: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn a_first_visit_that_is_refreshed_before_it_was_heard_of_is_one_session() {
    let mut hub = Hub::new(Settings::default());
    let (first, step) = hub.start(NOW, id(1), first_visit(A));
    assert_eq!(events(&step), [(EventType::SessionStarted, 1)]);
    hub.send(NOW, id(1), "a").unwrap();
    // The page is gone before `connected` came, or after: its second connection finds it.
    for (n, gone) in [(2, true), (3, false)] {
        if gone {
            hub.ended(NOW, first, Departure::Hidden, &ending());
        }
        let (again, step) = hub.start(NOW, id(n), first_visit(A));
        assert_eq!((again.session, events(&step)), (id(1), vec![]), "{n}");
        assert_eq!(of_users(&step), []);
        let json: Value = serde_json::from_str(said(&step)[0]).unwrap();
        assert_eq!((&json["type"], &json["resumed"]), (&"connected".into(), &true.into()));
        assert_eq!(said(&step).len(), 2, "and what was sent meanwhile: {step:?}");
    }
    assert_eq!(hub.0.len(), 1);
}

#[test]
fn a_nonce_is_worth_nothing_elsewhere_or_once_the_page_has_heard_of_its_session() {
    let other = |hub: &mut Hub, now: Timestamp, guest: Guest| {
        hub.start(now, id(2), guest).0.session == id(2)
    };
    let strangers: [fn() -> Guest; 4] = [
        || Guest { origin: Some("https://b".into()), ..first_visit(A) },
        || Guest { user: Some("bob".into()), ..first_visit(A) },
        || Guest { user: None, ..first_visit(A) },
        || first_visit("BAAAAAAAAAAAAAAAAAAAAA"),
    ];
    for (n, stranger) in strangers.iter().enumerate() {
        let mut hub = Hub::new(Settings::default());
        hub.start(NOW, id(1), first_visit(A));
        assert!(other(&mut hub, NOW, stranger()), "{n}");
    }
    let mut hub = Hub::new(Settings::default());
    hub.start(NOW, id(1), first_visit(A));
    assert!(other(&mut hub, NOW + Duration::from_secs(61), first_visit(A)), "a minute later");
    for word in [r#"{"type":"heartbeat"}"#, r#"{"type":"loaded","ms":5}"#] {
        let mut hub = Hub::new(Settings::default());
        let (handle, _) = hub.start(NOW, id(1), first_visit(A));
        hear(&mut hub, handle, word);
        assert!(other(&mut hub, NOW, first_visit(A)), "{word}");
    }
}

#[test]
fn a_first_visit_with_another_token_at_each_load_is_one_session_of_a_user_who_is_named() {
    for (user, one) in [(Some("anna"), true), (None, false)] {
        let comes_with = |token: &[u8]| {
            let user = user.map(Into::into);
            Guest { user, credentials: key().credentials(token), ..first_visit(A) }
        };
        let mut hub = Hub::new(Settings::default());
        hub.start(NOW, id(1), comes_with(b"token 1"));
        let (again, step) = hub.start(NOW, id(2), comes_with(b"token 2"));
        assert_eq!((again.session == id(1), events(&step).is_empty()), (one, one), "{user:?}");
    }
    // The newer token is the one that the backend knows.
    let mut hub = Hub::new(Settings::default());
    hub.start(NOW, id(1), first_visit(A));
    let newer = Guest { credentials: key().credentials(b"newer"), ..first_visit(A) };
    hub.start(NOW, id(2), newer);
    let resumption = Resumption { generation: 2, ..with(b"newer", None) };
    assert!(matches!(asked(&mut hub, resumption).0, Reply::Attached(_)));
}

#[test]
fn a_first_visit_is_found_though_another_person_began_with_the_same_nonce() {
    let mut hub = Hub::new(Settings::default());
    let (handle, _) = hub.start(NOW, id(1), first_visit(A));
    let bob = Guest { user: Some("bob".into()), ..first_visit(A) };
    assert_eq!(hub.start(NOW, id(2), bob.clone()).0.session, id(2));
    // The first is heard of, or over.
    hear(&mut hub, handle, r#"{"type":"heartbeat"}"#);
    assert_eq!(hub.start(NOW, id(3), bob).0.session, id(2));
}

#[test]
fn a_first_visit_is_found_after_a_restart_too() {
    let mut hub = Hub::new(Settings::default());
    let (_, step) = hub.start(NOW, id(1), first_visit(A));
    let (mut again, _) = Hub::restore(Settings::default(), &contents([step]), NOW);
    assert_eq!(again.start(NOW, id(2), first_visit(A)).0.session, id(1));
}

fn with(credentials: &[u8], verdict: Option<Verdict>) -> Resumption {
    let patience = Duration::from_secs(20);
    let credentials = key().credentials(credentials);
    Resumption { credentials, verdict, patience, generation: 1, ..from("https://a", 0) }
}

fn asked(hub: &mut Hub, resumption: Resumption) -> (Reply, Transaction) {
    hub.on(NOW, Command::Session(id(1), SessionCommand::Resume(Box::new(resumption))))
}

fn of_anna(settings: Settings) -> (Hub, Handle) {
    let mut hub = Hub::new(settings);
    let credentials = key().credentials(b"anna's cookie");
    let guest = Guest { credentials, ..guest("anna", "https://a") };
    let (handle, _) = hub.start(NOW, id(1), guest);
    (hub, handle)
}

#[test]
fn the_backend_is_asked_where_the_credentials_have_changed() {
    let ask = Reply::Ask { user: Some("anna".into()) };
    for (when, same, changed) in [
        (AskResume::Changed, false, true),
        (AskResume::Always, true, true),
        (AskResume::Never, false, false),
    ] {
        for (credentials, asks) in [(&b"anna's cookie"[..], same), (b"bob's cookie", changed)] {
            let (mut hub, _) = of_anna(Settings { ask_resume: when, ..Settings::default() });
            let (reply, _) = asked(&mut hub, with(credentials, None));
            assert_eq!(reply == ask, asks, "{when:?}, {credentials:?}: {reply:?}");
        }
    }
    // A changed one that the backend has accepted is not asked about again.
    let (mut hub, _) = of_anna(Settings::default());
    let accepted = Some(Verdict { user: Some("anna".into()) });
    assert!(matches!(asked(&mut hub, with(b"newer", accepted)).0, Reply::Attached(_)));
    let again = Resumption { generation: 2, ..with(b"newer", None) };
    assert!(matches!(asked(&mut hub, again).0, Reply::Attached(_)));
}

#[test]
fn another_user_ends_the_session_and_does_not_get_it() {
    let (mut hub, handle) = of_anna(Settings::default());
    let bob = Some(Verdict { user: Some("bob".into()) });
    let (reply, step) = asked(&mut hub, with(b"bob's cookie", bob));
    assert_eq!(reply, Reply::NotResumed(NotResumed::Replaced));
    let Data::Ended(told) = &of_session(&step)[0].data else { panic!("{step:?}") };
    assert_eq!((told.cause, told.user_id.as_deref()), (SessionCause::Replaced, Some("anna")));
    assert_eq!(of_users(&step), [EventType::UserLeft]);
    assert!(matches!(done(&step)[..], [Effect::Close(closed, _)] if *closed == handle));
}

#[test]
fn while_the_backend_is_asked_the_session_is_not_given_up() {
    for attached in [true, false] {
        let (mut hub, handle) = of_anna(Settings::default());
        let end = |hub: &mut Hub| hub.ended(NOW, handle, Departure::Hidden, &ending());
        if !attached {
            end(&mut hub);
        }
        assert!(matches!(asked(&mut hub, with(b"newer", None)).0, Reply::Ask { .. }));
        if attached {
            end(&mut hub);
        }
        assert_eq!(hub.0.deadline(), Some(NOW + Duration::from_secs(20)), "{attached}");
        // Not answered is not no: the client may come again with the same token.
        let accepted = with(b"newer", Some(Verdict::default()));
        assert!(matches!(asked(&mut hub, accepted).0, Reply::Attached(_)));
    }
}

#[test]
fn who_was_told_to_come_back_later_is_in_time_then() {
    for attached in [true, false] {
        let (mut hub, handle) = of_anna(Settings::default());
        if !attached {
            hub.ended(NOW, handle, Departure::Hidden, &ending());
        }
        let told = SessionCommand::ToldToComeBack(Duration::from_secs(30));
        let (_, step) = hub.on(NOW, Command::Session(id(1), told));
        if attached {
            hub.ended(NOW, handle, Departure::Left, &ending());
        }
        // As after a drain: what was promised, and 15 s.
        assert_eq!(hub.0.deadline(), Some(NOW + Duration::from_secs(45)), "{attached}");
        let Some(Change::PutSession { row, .. }) = step.changes.last() else { panic!("{step:?}") };
        assert_eq!(row.promised, Some(NOW + Duration::from_secs(30)), "for the next start too");
    }
}

#[test]
fn a_store_that_has_lost_its_tail_is_noticed_and_told() {
    let mut hub = Hub::new(Settings::default());
    let (_, token) = started(&mut hub);
    hub.send(NOW, id(1), "a").unwrap();
    let claims = |tag: [u8; 6]| Resumption { tag: Some(Tag::new(tag)), ..from("https://a", 1) };
    let why = hub.resume(NOW, &token, claims([8; 6])).unwrap_err();
    assert_eq!(why, NotResumed::Lost, "message 1 had another tag");
    assert!(hub.resume(NOW, &token, claims([7; 6])).is_ok());
}

#[test]
fn a_page_that_takes_long_to_load_is_waited_for_longer_within_a_limit() {
    for (load_ms, seconds) in [(500, 8), (10_000, 20), (10_000_000, 60)] {
        let mut hub = Hub::new(Settings::default());
        let (handle, _) = started(&mut hub);
        hear(&mut hub, handle, &format!(r#"{{"type":"loaded","ms":{load_ms}}}"#));
        hub.ended(NOW, handle, Departure::Hidden, &ending());
        assert_eq!(hub.0.deadline(), Some(NOW + Duration::from_secs(seconds)), "{load_ms}");
    }
}
