//! The ways in which a connection ends: what the peer does, and what our side does.

use std::time::Duration;

use adieu::Config;
use testkit::{DEADLINE, Frame};

use crate::gate::Gate;
use crate::over::{CODE, Over};
use crate::peer::Peer;
use crate::served::Served;

/// A way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    CloseThenFin,
    CloseThenBareFin,
    CloseThenReset,
    Fin,
    FinInFrame,
    FinInMessage,
    Reset,
    ResetInFrame,
    ResetThenWrite,
    FinThenResetThenWrite,
    Violation,
    WrongClose,
    CloseNotifyThenFin,
    CloseNotifyThenReset,
    CloseNotifyOnly,
    Garbage,
    Returned,
    Failed,
    Closed,
    ClosedThenFin,
    ClosedThenReset,
    AnsweredThenReset,
    ClosedUnanswered,
    PongTimeout,
    WriteTimeout,
    Drained,
    Forced,
    Dropped,
    Panicked,
}

/// What a peer may need of the server's side.
pub(crate) struct Server {
    pub(crate) served: Served,
    pub(crate) gate: Gate,
}

/// How a way is walked.
pub(crate) struct Scene {
    pub(crate) way: Way,
    pub(crate) name: &'static str,
    /// Whether there is such an end over this transport.
    pub(crate) over: fn(Over) -> bool,
    /// What the handler does.
    pub(crate) path: &'static str,
    pub(crate) config: fn() -> Config,
    /// What the peer does. It gives back what of it is still open: that stays until the end is
    /// told.
    pub(crate) walk: fn(Peer, &Server) -> Option<Peer>,
}

fn every(_: Over) -> bool {
    true
}

/// As long as a test waits for an account or nearly so: no clock of ours ends it before the peer.
fn patient() -> Config {
    let long = DEADLINE.mul_f32(0.75);
    Config {
        handshake_timeout: long,
        ping_interval: Some(long),
        grace: long,
        drain_timeout: long,
        flush_timeout: long,
        close_timeout: long,
        drain_close_timeout: long,
        linger: long,
        ..Config::default()
    }
}

const SHORT: Duration = Duration::from_millis(150);

/// For a peer that never ends: nothing comes in time, however slow the machine is.
fn hasty_at_the_end() -> Config {
    Config { close_timeout: SHORT, linger: SHORT, ..patient() }
}

fn hasty_to_hear() -> Config {
    Config { ping_interval: Some(SHORT), pong_timeout: SHORT, linger: SHORT, ..patient() }
}

fn hasty_to_send() -> Config {
    Config { write_timeout: SHORT, drain_timeout: SHORT, flush_timeout: SHORT, ..patient() }
}

/// A frame that is cut.
fn part_of_a_frame() -> Vec<u8> {
    let mut frame = Frame::text("a frame that is cut").masked();
    frame.truncate(frame.len() - 5);
    frame
}

/// Hears our Close, answers it, and hears us out.
fn answers(mut peer: Peer, code: u16) -> Option<Peer> {
    peer.hear_close(code);
    peer.send(&Frame::close(code, ""));
    peer.hear_out()
}

/// Hears the Close that answers its own wrong one, and hears us out.
fn is_told(mut peer: Peer, wrong: &Frame, code: u16) -> Option<Peer> {
    peer.send(wrong);
    peer.hear_close(code);
    peer.hear_out()
}

/// Its handler is at work when this returns.
fn is_served(peer: &mut Peer) {
    peer.send(&Frame::text("served?"));
    assert_eq!(peer.frame(), Frame::text("served?"));
}

/// The handler waits when this returns, and has its last words to say.
fn has_the_handler_wait(peer: &mut Peer, server: &Server) {
    peer.write_behind_ping(&[]);
    peer.leave_unread(&Frame::pong("read?"));
    peer.send(&Frame::text("wait for me"));
    server.gate.is_reached();
}

/// All ways, those of the peer first.
pub(crate) fn all() -> impl Iterator<Item = Scene> {
    said_goodbye()
        .into_iter()
        .chain(said_nothing())
        .chain(did_wrong())
        .chain(ours())
        .chain(clocks())
}

fn said_goodbye() -> Vec<Scene> {
    let scene = |way, name, over, walk| Scene { way, name, over, path: "/", config: patient, walk };
    vec![
        scene(Way::CloseThenFin, "the peer's Close, then its FIN", every, |mut peer, _| {
            peer.send(&Frame::close(1000, ""));
            peer.hear_close(1000);
            peer.hear_out()
        }),
        scene(
            Way::CloseThenBareFin,
            "the peer's Close, then its FIN without close_notify",
            Over::has_tls,
            |mut peer, _| {
                peer.send(&Frame::close(1000, ""));
                peer.hear_close(1000);
                peer.hear_end();
                peer.fin();
                Some(peer)
            },
        ),
        scene(Way::CloseThenReset, "the peer's Close, then its RST", every, |mut peer, _| {
            peer.send(&Frame::close(1000, ""));
            peer.reset_behind(&Frame::close(1000, ""));
            None
        }),
    ]
}

fn said_nothing() -> Vec<Scene> {
    let scene =
        |way, name, walk| Scene { way, name, over: every, path: "/", config: patient, walk };
    let tls = |way, name, walk| Scene { over: Over::has_tls, ..scene(way, name, walk) };
    vec![
        scene(Way::Fin, "FIN", |mut peer, _| {
            peer.fin();
            Some(peer)
        }),
        scene(Way::FinInFrame, "FIN in the middle of a frame", |mut peer, _| {
            peer.write(&part_of_a_frame());
            peer.fin();
            Some(peer)
        }),
        scene(Way::FinInMessage, "FIN between fragments", |mut peer, _| {
            peer.send(&Frame::text("first part").unfinished());
            peer.fin();
            Some(peer)
        }),
        scene(Way::Reset, "RST", |mut peer, _| {
            peer.write_behind_ping(&[]);
            peer.reset_behind(&Frame::pong("read?"));
            None
        }),
        scene(Way::ResetInFrame, "RST in the middle of a frame", |mut peer, _| {
            peer.write_behind_ping(&part_of_a_frame());
            peer.reset_behind(&Frame::pong("read?"));
            None
        }),
        Scene {
            path: "/last-words",
            ..scene(Way::ResetThenWrite, "RST, met by a write of ours", |mut peer, server| {
                has_the_handler_wait(&mut peer, server);
                peer.reset();
                server.gate.open();
                None
            })
        },
        Scene {
            path: "/last-words",
            ..scene(
                Way::FinThenResetThenWrite,
                "FIN, then RST, met by a write of ours",
                |mut peer, server| {
                    has_the_handler_wait(&mut peer, server);
                    peer.fin_and_wait();
                    peer.reset();
                    server.gate.open();
                    None
                },
            )
        },
        tls(Way::CloseNotifyThenFin, "close_notify, then FIN", |mut peer, _| {
            peer.close_notify();
            peer.hear_end();
            peer.fin();
            Some(peer)
        }),
        tls(Way::CloseNotifyThenReset, "close_notify, then RST", |mut peer, _| {
            peer.close_notify();
            peer.hear_end();
            peer.reset();
            None
        }),
        Scene {
            config: hasty_at_the_end,
            ..tls(Way::CloseNotifyOnly, "close_notify, TCP left open", |mut peer, _| {
                peer.close_notify();
                Some(peer)
            })
        },
    ]
}

fn did_wrong() -> Vec<Scene> {
    let scene = |way, name, over, walk| Scene { way, name, over, path: "/", config: patient, walk };
    vec![
        scene(Way::Violation, "a violation of the protocol", every, |peer, _| {
            is_told(peer, &Frame::new(0x3, ""), 1002)
        }),
        scene(Way::WrongClose, "a Close with code 1005", every, |peer, _| {
            is_told(peer, &Frame::close(1005, ""), 1002)
        }),
        scene(Way::Garbage, "garbage instead of a record", Over::has_tls, |mut peer, _| {
            peer.write_below_tls(b"this is no record of TLS");
            peer.fin();
            Some(peer)
        }),
    ]
}

fn ours() -> Vec<Scene> {
    let scene =
        |way, name, path, walk| Scene { way, name, over: every, path, config: patient, walk };
    vec![
        scene(Way::Returned, "the handler returned", "/returns", |peer, _| answers(peer, CODE)),
        scene(Way::Failed, "the handler failed", "/fails", |peer, _| answers(peer, CODE)),
        scene(Way::Panicked, "the handler panicked", "/panics", |peer, _| answers(peer, 1011)),
        scene(Way::Dropped, "the socket was dropped", "/drops", |peer, _| answers(peer, 1001)),
        scene(Way::Closed, "`Sender::close`, answered", "/closes", |peer, _| answers(peer, CODE)),
        scene(Way::ClosedThenFin, "`Sender::close`, then FIN", "/closes", |mut peer, _| {
            peer.hear_close(CODE);
            peer.fin();
            Some(peer)
        }),
        scene(Way::ClosedThenReset, "`Sender::close`, then RST", "/closes", |peer, _| {
            peer.reset_behind(&Frame::close(CODE, ""));
            None
        }),
        scene(
            Way::AnsweredThenReset,
            "`Sender::close`, answered, then RST at once",
            "/closes-and-waits",
            |mut peer, server| {
                peer.leave_unread(&Frame::close(CODE, ""));
                server.gate.is_reached();
                peer.send(&Frame::close(CODE, ""));
                peer.reset();
                server.gate.open();
                None
            },
        ),
        scene(Way::Drained, "a drain", "/", |mut peer, server| {
            is_served(&mut peer);
            server.served.drain.start();
            answers(peer, 1001)
        }),
        scene(Way::Forced, "a forced drain", "/", |mut peer, server| {
            is_served(&mut peer);
            server.served.drain.force();
            Some(peer)
        }),
    ]
}

fn clocks() -> Vec<Scene> {
    let scene =
        |way, name, path, config, walk| Scene { way, name, over: every, path, config, walk };
    vec![
        scene(
            Way::ClosedUnanswered,
            "`Sender::close`, not answered",
            "/closes",
            hasty_at_the_end,
            |mut peer, _| {
                peer.hear_close(CODE);
                Some(peer)
            },
        ),
        scene(Way::PongTimeout, "no Pong", "/", hasty_to_hear, |peer, _| Some(peer)),
        scene(Way::WriteTimeout, "the peer does not read", "/sends", hasty_to_send, |peer, _| {
            Some(peer)
        }),
    ]
}
