//! The client in simulated time.

use std::time::Duration;

use adieu_proto::Message;

use super::super::*;
use crate::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A client, and the time.
struct World {
    client: Client,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self::after(None)
    }

    /// After an earlier process.
    fn after(saved: Option<Saved>) -> Self {
        let client = Client::new(Limits::default(), saved, [1; 32]);
        World { client, now: Timestamp(1_760_000_000_000) }
    }

    /// With a session that is open.
    fn open() -> Self {
        let mut world = World::new();
        world.connects();
        world.connected(1, false, 0);
        world.started();
        world
    }

    fn wait(&mut self, length: Duration) {
        self.now = self.now + length;
        self.client.on(self.now, Input::Tick);
    }

    /// Waits for the next try.
    fn wait_for_a_try(&mut self) {
        let due = self.client.deadline().expect("a next try");
        self.now = due;
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.client.on(self.now, Input::Tick);
        std::iter::from_fn(|| self.client.poll()).collect()
    }

    fn says(&mut self) -> Vec<String> {
        let said = |output| match output {
            Output::Say(text) => text,
            other => panic!("{other:?}"),
        };
        self.outputs().into_iter().map(said).collect()
    }

    /// What the connection offers that it begins now, beside adieu.v1.
    fn connects(&mut self) -> String {
        let offers = self.outputs().into_iter().find_map(|output| match output {
            Output::Connect { offers } => Some(offers),
            _ => None,
        });
        let offers = offers.expect("a connection");
        self.client.on(self.now, Input::Dialing);
        assert_eq!((offers[0].as_str(), offers.len()), ("adieu.v1", 2));
        offers[1].clone()
    }

    fn hear(&mut self, text: &str) {
        self.client.on(self.now, Input::Heard(Some(text)));
    }

    fn connected(&mut self, generation: u32, resumed: bool, acknowledged: u64) {
        self.hear(&format!(
            r#"{{"type":"connected","sessionId":"s","reconnectionToken":"t{generation}",
            "generation":{generation},"resumed":{resumed},"window":15000,
            "sequenceAck":{acknowledged},"heartbeat":20000}}"#
        ));
    }

    fn message(&mut self, id: u64, text: &str) {
        let text = format!(
            r#"{{"type":"message","sequenceId":{id},"tag":"AAAAAAA{id}","text":"{text}"}}"#
        );
        self.hear(&text);
    }

    fn lost(&mut self, code: u16) {
        self.client.on(self.now, Input::Lost { code, reason: "why".into() });
    }

    fn told(&mut self) -> Option<Event> {
        self.client.next_event(self.now)
    }

    fn started(&mut self) {
        assert_eq!(self.told(), Some(Event::Started { session_id: "s".into() }));
    }

    fn text(&mut self) -> String {
        match self.told() {
            Some(Event::Message(message)) => message.as_text().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn retry_in(&mut self) -> Duration {
        match self.told() {
            Some(Event::Interrupted { retry_in, .. }) => retry_in,
            other => panic!("{other:?}"),
        }
    }

    fn ended(&mut self) -> Ended {
        match self.told() {
            Some(Event::Ended(ended)) => ended,
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, text: &str) {
        self.client.send(&text.into()).unwrap();
    }

    fn saved(&self) -> Saved {
        // As a file would have it.
        let saved = serde_json::to_string(&self.client.saved().unwrap()).unwrap();
        serde_json::from_str(&saved).unwrap()
    }
}

fn ack(id: u64) -> Vec<String> {
    vec![ToGateway::SequenceAck { sequence_id: id }.to_json()]
}

#[test]
fn what_was_received_is_acknowledged_after_100_ms_or_32_messages() {
    let mut world = World::open();
    world.message(1, "one");
    assert_eq!(world.text(), "one");
    world.wait(MINUTE / 6);
    assert_eq!(world.says(), [""; 0], "the application is still busy with it");
    assert_eq!(world.told(), None, "now it is not any more");
    world.wait(ms(99));
    assert_eq!(world.says(), [""; 0]);
    world.wait(ms(1));
    assert_eq!(world.says(), ack(1));
    for id in 2..=33 {
        world.message(id, "more");
    }
    (2..=33).for_each(|_| assert_eq!(world.text(), "more"));
    assert_eq!(world.says(), [""; 0]);
    assert_eq!(world.told(), None);
    assert_eq!(world.says(), ack(33), "at once");
    world.message(33, "more");
    assert_eq!(world.told(), None, "what comes twice is dropped");
    world.wait(ms(100));
    assert_eq!(world.says(), ack(33), "and acknowledged again");
}

#[test]
fn a_process_that_dies_while_it_is_busy_with_a_message_gets_it_again() {
    let mut world = World::open();
    world.message(1, "one");
    world.message(2, "two");
    assert_eq!(world.text(), "one");
    assert_eq!(world.text(), "two");
    let mut next = World::after(Some(world.saved()));
    assert_eq!(next.connects(), "adieu.resume.t1.1.AAAAAAA1.0");
    next.connected(2, true, 0);
    next.message(2, "two");
    let resumed = Event::Resumed { session_id: "s".into(), generation: 2 };
    assert_eq!(next.told(), Some(resumed));
    assert_eq!(next.text(), "two");
    // The process that lets go of it has finished.
    world.client.on(world.now, Input::Detach);
    assert!(matches!(&world.outputs()[..], [Output::Abandon { last: Some(last), code: 4001, .. }]
        if *last == ack(2)[0]));
    let mut next = World::after(Some(world.saved()));
    assert_eq!(next.connects(), "adieu.resume.t1.2.AAAAAAA2.0");
}

#[test]
fn what_waits_for_the_application_is_given_once_whatever_the_connection_does() {
    let mut world = World::open();
    (1..=3).for_each(|id| world.message(id, &id.to_string()));
    assert_eq!(world.text(), "1");
    world.lost(1006);
    world.wait_for_a_try();
    assert_eq!(world.connects(), "adieu.resume.t1.0.-.0", "it is still busy with the first");
    assert_eq!(world.told(), None, "what is given now would not be what was offered");
    world.connected(2, true, 0);
    (1..=3).for_each(|id| world.message(id, &id.to_string()));
    world.retry_in();
    assert!(matches!(world.told(), Some(Event::Resumed { generation: 2, .. })));
    assert_eq!((world.text(), world.text()), ("2".into(), "3".into()));
    assert_eq!(world.told(), None);
}

#[test]
fn another_message_under_a_number_that_was_used_is_not_taken_for_the_first() {
    for busy in [true, false] {
        let mut world = World::open();
        world.message(1, "one");
        assert_eq!(world.text(), "one");
        if !busy {
            assert_eq!(world.told(), None);
        }
        world.lost(1006);
        world.wait_for_a_try();
        world.connects();
        world.connected(2, true, 0);
        world.hear(r#"{"type":"message","sequenceId":1,"tag":"BBBBBBBB","text":"other"}"#);
        let outputs = world.outputs();
        let given_up = |output: &Output| matches!(output, Output::Abandon { code: 4005, .. });
        assert!(outputs.iter().any(given_up), "{busy}: {outputs:?}");
    }
}

#[test]
fn a_connection_that_answers_no_heartbeat_is_given_up_with_4005() {
    let mut world = World::open();
    world.wait(ms(19_999));
    assert_eq!(world.says(), [""; 0]);
    world.wait(ms(1));
    assert_eq!(world.says(), [r#"{"type":"heartbeat"}"#]);
    world.wait(ms(9_999));
    world.hear(r#"{"type":"heartbeat"}"#);
    world.wait(ms(10_001));
    assert_eq!(world.says().len(), 1);
    world.wait(ms(9_999));
    assert_eq!(world.outputs(), []);
    world.wait(ms(1));
    let outputs = world.outputs();
    assert!(matches!(outputs[..], [Output::Abandon { code: 4005, .. }]), "{outputs:?}");
    assert!(world.retry_in() <= ms(250));
}

#[test]
fn a_process_that_stood_still_reads_what_came_meanwhile() {
    let mut world = World::open();
    world.wait(ms(20_000));
    assert_eq!(world.says().len(), 1);
    world.wait(MINUTE);
    assert_eq!(world.says().len(), 1, "it asks once more");
    world.hear(r#"{"type":"heartbeat"}"#);
    world.wait(ms(1_000));
    assert_eq!(world.outputs(), [], "the answer was there");
}

#[test]
fn a_connection_that_is_not_answered_within_10_s_is_given_up() {
    let mut world = World::new();
    world.outputs();
    world.wait(ASK_LIMIT - ms(1));
    world.client.on(world.now, Input::Dialing);
    world.wait(CONNECT_LIMIT - ms(1));
    assert_eq!(world.outputs(), []);
    world.wait(ms(1));
    assert!(matches!(world.outputs()[..], [Output::Abandon { code: 4005, .. }]));
    world.retry_in();
}

#[test]
fn the_time_that_closing_told_is_kept_exactly_and_once() {
    let mut world = World::open();
    world.hear(r#"{"type":"closing","retryAfter":4200}"#);
    world.lost(1001);
    assert_eq!(world.retry_in(), ms(4_200));
    world.wait(ms(4_199));
    assert_eq!(world.outputs(), []);
    world.wait(ms(1));
    world.connects();
    world.lost(1006);
    assert!(world.retry_in() <= ms(250), "the back-off again");
}

#[test]
fn what_is_final_is_never_tried_again() {
    for (code, reason) in [
        (1000, EndedReason::Backend),
        (4002, EndedReason::Superseded),
        (4003, EndedReason::Backend),
        (4004, EndedReason::Refused),
        (4321, EndedReason::Backend),
    ] {
        let mut world = World::open();
        world.send("unheard");
        world.lost(code);
        let ended = world.ended();
        assert_eq!((ended.reason, ended.code, &*ended.text), (reason, code, "why"));
        assert_eq!(ended.unacknowledged, ["unheard".into()]);
        assert!(!ended.restarts && world.client.is_over() && world.client.saved().is_none());
        assert_eq!((world.client.deadline(), world.told()), (None, None), "{code}");
        assert_eq!(world.client.send(&"more".into()), Err(SendError::Over));
    }
    let mut world = World::new();
    world.connects();
    world.hear(r#"{"type":"refused","reason":"no"}"#);
    assert_eq!(world.ended().to_string(), r#"the session is over: refused (code 4004, "no")"#);
    let mut world = World::new();
    world.connects();
    world.client.on(world.now, Input::Unsupported);
    assert_eq!(world.ended().reason, EndedReason::Unsupported);
}

#[test]
fn three_violations_in_a_row_are_the_end() {
    let violations = [
        r#"{"type":"message","sequenceId":7,"text":"a gap"}"#,
        r#"{"type":"sequenceAck","sequenceId":9}"#,
        "no JSON",
    ];
    let mut world = World::open();
    for (n, violation) in violations.into_iter().enumerate() {
        world.hear(violation);
        if n == 2 {
            break;
        }
        world.retry_in();
        world.wait_for_a_try();
        world.connects();
        world.connected(2 + n as u32, true, 0);
        world.told();
    }
    assert_eq!(world.ended().reason, EndedReason::Violation);
}

#[test]
fn a_session_that_is_not_resumed_ends_and_another_begins_on_the_same_connection() {
    let mut world = World::open();
    world.send("one");
    assert_eq!(world.says().len(), 1);
    world.lost(1006);
    world.retry_in();
    world.wait_for_a_try();
    world.connects();
    world.hear(
        r#"{"type":"connected","sessionId":"n","reconnectionToken":"x","generation":1,
        "resumed":false,"reason":"expired","window":15000,"sequenceAck":0,"heartbeat":0}"#,
    );
    let ended = world.ended();
    assert_eq!((ended.reason, ended.restarts), (EndedReason::Expired, true));
    assert_eq!((&*ended.session_id, ended.unacknowledged), ("s", vec!["one".into()]));
    assert_eq!(world.told(), Some(Event::Started { session_id: "n".into() }));
    world.send("two");
    assert_eq!(world.says(), [r#"{"type":"message","sequenceId":1,"text":"two"}"#]);
}

#[test]
fn a_first_visit_has_one_nonce_for_60_s_whatever_process_makes_it() {
    let mut world = World::new();
    world.send("early");
    let nonce = world.connects();
    assert!(nonce.starts_with("adieu.first.") && nonce.len() == 12 + 22);
    world.lost(1006);
    world.wait_for_a_try();
    assert_eq!(world.connects(), nonce);
    let mut next = World::after(Some(world.saved()));
    next.now = world.now;
    assert_eq!(next.connects(), nonce, "kept before it was offered");
    world.lost(1006);
    world.wait(FIRST_VISIT);
    assert_ne!(world.connects(), nonce);
    // The gateway had begun the session before; for the client it begins now.
    world.connected(2, true, 0);
    world.retry_in();
    world.started();
    world.lost(1006);
    world.wait_for_a_try();
    assert_eq!(world.connects(), "adieu.resume.t2.0.-.0");
}

#[test]
fn goodbye_comes_behind_what_was_sent_and_is_answered_by_1000() {
    let mut world = World::open();
    world.send("last");
    world.client.on(world.now, Input::Leave(Leave::Goodbye));
    let last = r#"{"type":"message","sequenceId":1,"text":"last"}"#;
    assert_eq!(world.says(), [last, r#"{"type":"goodbye"}"#]);
    world.lost(1000);
    let ended = world.ended();
    assert_eq!((ended.reason, ended.code), (EndedReason::Goodbye, 1000));
    assert_eq!(ended.unacknowledged, [], "the gateway commits what came before a goodbye");
}

#[test]
fn what_was_said_to_leave_is_said_again_where_the_connection_was_lost_before_an_answer() {
    let close = || Leave::Close { code: 4321, reason: "enough".into() };
    let said = Output::Close { code: 4321, reason: "enough".into() };
    let goodbye = Output::Say(r#"{"type":"goodbye"}"#.into());
    for (how, said) in [(Leave::Goodbye, goodbye), (close(), said)] {
        let mut world = World::open();
        world.client.on(world.now, Input::Leave(how));
        assert_eq!(world.outputs(), std::slice::from_ref(&said));
        world.lost(1006);
        world.retry_in();
        world.wait_for_a_try();
        world.connects();
        world.connected(2, true, 0);
        assert_eq!(world.outputs(), [said]);
        world.lost(1000);
        assert!(world.client.is_over());
    }
}

#[test]
fn who_leaves_without_a_connection_makes_one_and_has_10_s() {
    let mut world = World::open();
    world.lost(1006);
    world.retry_in();
    let close = Leave::Close { code: 4321, reason: "enough".into() };
    world.client.on(world.now, Input::Leave(close));
    world.connects();
    world.connected(2, true, 0);
    let close = Output::Close { code: 4321, reason: "enough".into() };
    assert_eq!(world.outputs(), [close]);
    world.wait(LEAVE_LIMIT - ms(1));
    assert!(!world.client.is_over());
    world.wait(ms(1));
    world.told();
    let ended = world.ended();
    assert_eq!((ended.reason, ended.code, &*ended.text), (EndedReason::Closed, 1006, "no answer"));
    let mut world = World::new();
    world.client.on(world.now, Input::Leave(Leave::Goodbye));
    assert_eq!(world.ended().text, "there was no connection");
    assert_eq!(world.outputs(), []);
}

#[test]
fn an_application_that_does_not_look_makes_nothing_grow() {
    let mut world = World::open();
    for id in 1..=INBOX_EVENTS as u64 {
        assert!(world.client.reads(), "{id}");
        world.hear(&format!(r#"{{"type":"message","sequenceId":{id},"text":"x"}}"#));
    }
    assert!(!world.client.reads());
    world.lost(1006);
    assert_eq!(world.client.deadline(), None, "it would not read, so it does not connect");
    world.text();
    world.text();
    assert!(world.client.deadline().is_some());
    // Without messages: of all interruptions the last.
    let mut world = World::open();
    for generation in 2..50 {
        world.lost(1006);
        world.wait_for_a_try();
        world.connects();
        world.connected(generation, true, 0);
    }
    world.retry_in();
    assert!(matches!(world.told(), Some(Event::Resumed { generation: 49, .. })));
    assert_eq!(world.told(), None);
}

#[test]
fn what_may_be_unacknowledged_has_a_limit() {
    let mut world = World::new();
    let largest = Message::from("x".repeat(1 << 20));
    let too_large = Message::from("x".repeat((1 << 20) + 1));
    let error = world.client.send(&too_large).unwrap_err();
    assert_eq!(error, SendError::TooLarge { bytes: (1 << 20) + 1, most: 1 << 20 });
    world.client.send(&largest).unwrap();
    let error = world.client.send(&"y".into()).unwrap_err();
    assert_eq!(error, SendError::Full { messages: 1, bytes: 1 << 20 });
    let mut world = World::open();
    (0..1_000).for_each(|_| world.send(""));
    let error = world.client.send(&"".into()).unwrap_err();
    assert_eq!(error, SendError::Full { messages: 1_000, bytes: 0 });
    world.says();
    world.hear(r#"{"type":"sequenceAck","sequenceId":1}"#);
    world.send("there is room again");
}

#[test]
fn what_somebody_else_has_written_is_as_good_as_nothing() {
    let foreign = r#"{"token":"a b\r\nX: y","received":7,"messages":["no message"]}"#;
    let mut world = World::after(Some(serde_json::from_str(foreign).unwrap()));
    assert!(world.connects().starts_with("adieu.first."));
    assert_eq!(world.client.unacknowledged(), 0);
    world.hear(
        r#"{"type":"connected","sessionId":"s","reconnectionToken":"a.b","generation":1,
        "resumed":false,"window":1,"sequenceAck":0,"heartbeat":0}"#,
    );
    assert!(matches!(world.told(), Some(Event::Interrupted { reason, .. })
        if reason.contains("reconnectionToken")));
}

#[test]
fn what_could_not_be_kept_is_told_once() {
    let mut world = World::open();
    let failed = || Input::NotKept("disk full".into());
    world.client.on(world.now, failed());
    assert_eq!(world.told(), Some(Event::NotKept { error: "disk full".into() }));
    world.client.on(world.now, failed());
    assert_eq!(world.told(), None);
    world.client.kept();
    world.client.on(world.now, failed());
    assert!(world.told().is_some());
}
