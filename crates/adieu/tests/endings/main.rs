//! No two endings look alike: every kind of ending over real sockets, its exact account and its
//! exact sentence.

mod client;
mod refresh;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adieu::{
    Cause, Close, CloseCode, ClosingHandshake, Config, End, Ending, Server, Side, Socket,
    Truncation,
};
use support::{Account, Host};
use testkit::{Peer, Request};

/// Holds a handler until the test has done its part.
#[derive(Clone)]
struct Gate(Arc<[Signal; 2]>);

type Signal = (mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>);

impl Gate {
    fn new() -> Self {
        Gate(Arc::new([0; 2].map(|_| {
            let (tell, told) = mpsc::channel();
            (tell, Mutex::new(told))
        })))
    }

    /// The handler waits in front of it: its thread blocks, and the driver with it, so that
    /// nothing is read meanwhile.
    fn pass(&self) {
        self.0[0].0.send(()).unwrap();
        self.0[1].1.lock().unwrap().recv_timeout(testkit::DEADLINE).unwrap();
    }

    /// Waits until the handler is in front of it.
    fn reached(&self) {
        self.0[0].1.lock().unwrap().recv_timeout(testkit::DEADLINE).unwrap();
    }

    fn open(&self) {
        self.0[1].0.send(()).unwrap();
    }
}

struct Bench {
    /// Default deadlines, which no row reaches.
    patient: Host,
    /// Short ones, for the rows whose ending is a deadline.
    hasty: Host,
    gate: Gate,
}

/// The handler does what the path says.
async fn as_the_path_says(mut socket: Socket, gate: Gate) -> Close {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "/panics" => panic!("as the test wants it"),
        "/returns" => return CloseCode::new(4000).into(),
        "/drops" => {
            let sender = socket.sender();
            drop(socket);
            sender.ended().await;
            return CloseCode::NORMAL.into();
        }
        "/held" => {
            let _ = socket.recv().await;
            gate.pass();
        }
        "/last-words" => {
            let _ = socket.recv().await;
            gate.pass();
            let _ = socket.send("last words").await;
        }
        _ => {}
    }
    support::echo(socket).await;
    CloseCode::NORMAL.into()
}

impl Bench {
    fn new() -> Self {
        let gate = Gate::new();
        let server = |config| {
            let gate = gate.clone();
            Server::new(move |socket| as_the_path_says(socket, gate.clone()))
                .config(Config { max_message: 1000, ..config })
        };
        let short = Duration::from_millis(80);
        let hasty = Config {
            handshake_timeout: short,
            close_timeout: short,
            linger: short,
            ping_interval: Some(short),
            pong_timeout: short,
            ..Config::default()
        };
        let patient = Host::run(server(Config::default()));
        Bench { patient, hasty: Host::run(server(hasty)), gate }
    }

    /// A WebSocket whose handler does what the path says.
    fn open(&self, path: &str) -> Peer {
        Peer::open_with(self.patient.addr, &Request::rfc6455().target(path))
    }

    /// The same, from a server of short patience.
    fn open_hasty(&self, path: &str) -> Peer {
        Peer::open_with(self.hasty.addr, &Request::rfc6455().target(path))
    }
}

/// What is expected of an account, but for its times.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    cause: Cause,
    goodbye: ClosingHandshake,
    end: End,
    first: Side,
    cut: Truncation,
    /// Messages and bytes that never left.
    unsent: (u64, u64),
}

impl Expected {
    fn of(ending: &Ending) -> Self {
        assert_eq!(ending.transport.close_notify, None, "there is no TLS here");
        Expected {
            cause: ending.cause.clone(),
            goodbye: ending.closing_handshake.clone(),
            end: ending.transport.end,
            first: ending.transport.active_closer.expect("known over TCP"),
            cut: ending.truncation,
            unsent: (ending.unsent.messages, ending.unsent.bytes),
        }
    }
}

struct Row {
    kind: &'static str,
    run: fn(&Bench) -> Account,
    expected: Expected,
    sentence: &'static str,
}

/// Each step of an account comes after those that it needs.
fn assert_in_order(kind: &str, ending: &Ending) {
    let steps = &ending.timeline;
    let others = [steps.close_sent, steps.close_received, steps.fin_sent, steps.peer_ended];
    for at in others.into_iter().flatten() {
        assert!(steps.opened.unwrap_or_default() <= at && at <= ending.lasted, "{kind}: {steps:?}");
    }
    for (earlier, later) in
        [(steps.close_sent, steps.fin_sent), (steps.close_received, steps.peer_ended)]
    {
        if let (Some(earlier), Some(later)) = (earlier, later) {
            assert!(earlier <= later, "{kind}: {steps:?}");
        }
    }
    let first = match (steps.fin_sent, steps.peer_ended) {
        (None, None) => return,
        (Some(ours), Some(theirs)) if ours < theirs => Side::Local,
        (Some(_), None) => Side::Local,
        _ => Side::Peer,
    };
    assert_eq!(Some(first), ending.transport.active_closer, "{kind}: {steps:?}");
    let theirs = ending.closing_handshake.received().is_some();
    assert_eq!(theirs, steps.close_received.is_some(), "{kind}");
    assert_eq!(ending.closing_handshake.sent().is_some(), steps.close_sent.is_some(), "{kind}");
}

#[test]
fn no_two_endings_look_alike() {
    let bench = Bench::new();
    let rows = [
        rows::said_goodbye(),
        rows::said_nothing(),
        rows::broke_the_protocol(),
        rows::ran_out_of_time(),
        rows::our_side_ended_it(),
    ];
    let (mut accounts, mut sentences) = (HashMap::new(), HashMap::new());
    for row in rows.into_iter().flatten() {
        let Row { kind, run, expected, sentence } = row;
        let account = run(&bench);
        assert_eq!(Expected::of(&account.ending), expected, "{kind}");
        assert_eq!(account.sentence(), sentence, "{kind}");
        assert_eq!(account.ending.opened(), !matches!(expected.cause, Cause::Handshake(_)));
        assert_in_order(kind, &account.ending);
        let alike = sentences.insert(account.sentence(), kind);
        assert_eq!(alike, None, "{kind} reads like another");
        // What never left is not the peer's doing: without it, an RST is the same ending whether
        // a read or a write meets it.
        let facts = Expected { unsent: (0, 0), ..expected };
        if let Some(alike) = accounts.insert(format!("{facts:?}"), kind) {
            assert_eq!(
                (alike, kind),
                ("RST and no Close", "RST and no Close, met by a write first")
            );
        }
    }
    assert_eq!(sentences.len(), 21);
    bench.patient.finish();
    bench.hasty.finish();
}
