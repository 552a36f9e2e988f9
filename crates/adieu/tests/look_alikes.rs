//! Endings that differ are told differently: who refused, who of our side ended it, and what makes
//! an ending unclean.

mod support;
#[path = "support/words.rs"]
mod words;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use adieu::{
    Cause, CloseCode, Config, Drain, Ending, Endpoint, Group, Message, ProtocolError, Server,
    SlowConsumer, Socket,
};
use support::Host;
use testkit::{DEADLINE, Frame, NONCE, Peer, Request, TcpEnd, hixie};
use words::{all_differ, without_durations};

/// What is told of these: no two causes and no two sentences may be equal.
#[track_caller]
fn told_apart(endings: &[(&str, Ending)]) {
    let sentences: Vec<_> = endings
        .iter()
        .map(|(scene, ending)| (*scene, without_durations(&ending.to_string())))
        .collect();
    for (scene, sentence) in &sentences {
        println!("{scene}: {sentence}");
    }
    let causes: Vec<_> =
        endings.iter().map(|(scene, ending)| (*scene, ending.cause.clone())).collect();
    all_differ(&sentences);
    all_differ(&causes);
}

// Who refused.

/// Refuses as the path says; panics where it says so.
fn refusing(drain: &Drain) -> Host {
    let endpoint =
        Endpoint::new().drain(drain.clone()).on_request(|request| match request.path() {
            "/503" => Err(503),
            "/500" => Err(500),
            "/panics" => panic!("the policy of a test"),
            _ => Ok(()),
        });
    Host::run_until(drain.clone(), Server::with(endpoint, support::echo), |_| {})
}

/// The account of a request that is answered with this status.
fn refused(host: &Host, path: &str, status: u16) -> Ending {
    let mut peer = Peer::connect(host.addr);
    peer.write(Request::rfc6455().target(path).bytes());
    assert_eq!(peer.read_head().status(), status, "{path}");
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    host.account().ending
}

#[test]
fn a_503_of_the_application_and_one_of_a_drain_are_told_apart() {
    let host = refusing(&Drain::new());
    let application = refused(&host, "/503", 503);
    let mut holds = Peer::open(host.addr);
    let mut begun = Peer::connect(host.addr);
    begun.write(&Request::rfc6455().bytes()[..30]);
    testkit::wait_until("the server has read it", || {
        begun.unread_by_other_end() == 0 && host.drain.connections() == 2
    });
    host.drain.start();
    assert_eq!(begun.read_head().status(), 503);
    assert_eq!(begun.read_to_end().end, TcpEnd::Fin);
    drop(begun);
    let had_begun = host.account().ending;
    // The drain waits for the answer to its Close, and those who come hear a 503.
    let late = refused(&host, "/", 503);
    assert_eq!(holds.read_to_end_answering(), Frame::close(1001, ""));
    drop(holds);
    assert_eq!(host.account().ending.cause, Cause::Drain);
    told_apart(&[("the application", application.clone()), ("a drain", late)]);
    told_apart(&[("the application", application), ("a drain, in the handshake", had_begun)]);
    host.finish();
}

#[test]
fn a_500_of_the_application_and_a_policy_that_panics_are_told_apart() {
    let host = refusing(&Drain::new());
    let application = refused(&host, "/500", 500);
    let panicked = refused(&host, "/panics", 500);
    told_apart(&[("the application's 500", application), ("a panic", panicked)]);
    host.still_serves();
    host.finish();
}

// Who of our side ended it.

const CODE: CloseCode = CloseCode::new(4000);

/// Ends as the path says, each time with the same Close.
async fn ends(mut socket: Socket, group: Group) -> Result<CloseCode, CloseCode> {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "/returns" => return Ok(CODE),
        "/fails" => return Err(CODE),
        "/closes" => socket.sender().close(CODE),
        "/is-slow" => {
            let _member = group.join(&socket);
            while group.broadcast(vec![0; 64 * 1024]).await.ended == 0 {}
        }
        "/has-no-binary" => assert!(socket.send(vec![1, 2, 3]).await.is_err()),
        _ => {}
    }
    // The end has begun; nothing else may begin it.
    while socket.recv().await.is_some() {}
    socket.ended().await;
    Ok(CloseCode::NORMAL)
}

/// Reads everything up to the Close, answers it, hears the FIN, and sends its own.
fn hear_out(mut peer: Peer) {
    let mut frame = peer.read_frame();
    while frame.close_code().is_none() {
        frame = peer.read_frame();
    }
    assert_eq!(frame.close_code(), Some(CODE.get()));
    peer.send(&Frame::close(CODE.get(), ""));
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
}

fn ended_by_our_side(host: &Host, path: &str) -> Ending {
    let mut peer = Peer::connect_with(host.addr, |socket| {
        socket.set_recv_buffer_size(64 * 1024).expect("SO_RCVBUF");
    });
    peer.handshake(&Request::rfc6455().target(path));
    hear_out(peer);
    host.account().ending
}

/// A peer of hixie-76, which has no binary data.
fn ended_for_binary(host: &Host) -> Ending {
    let mut peer = Peer::connect(host.addr);
    let request = Request::hixie76().target("/has-no-binary");
    peer.write([&request.bytes(), &NONCE.0[..]].concat());
    peer.read_head();
    assert_eq!(peer.read_exact(NONCE.1.len() + 2), [&NONCE.1[..], &hixie::CLOSE].concat());
    peer.write(hixie::CLOSE);
    assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
    drop(peer);
    host.account().ending
}

#[test]
fn all_ways_in_which_our_side_ends_it_are_told_apart() {
    let group = Group::new(SlowConsumer::End(CODE.into()));
    let config = Config { send_queue: 64 * 1024, drain_timeout: DEADLINE, ..Config::default() };
    let server = Server::new(support::with(group, ends)).config(config);
    let host = Host::run(server);
    told_apart(&[
        ("the handler returned", ended_by_our_side(&host, "/returns")),
        ("the handler returned an error", ended_by_our_side(&host, "/fails")),
        ("`Sender::close`", ended_by_our_side(&host, "/closes")),
        ("a group ended a slow member", ended_by_our_side(&host, "/is-slow")),
        ("binary data for a version without it", ended_for_binary(&host)),
    ]);
    host.finish();
}

// What is too big.

#[test]
fn a_message_below_the_limit_is_not_told_as_one_above_it() {
    const LIMIT: usize = 1024 * 1024;
    const FRAGMENT: usize = 1023;
    const LEN: usize = FRAGMENT * 1024;
    let config = Config { max_message: LIMIT as u64, ..Config::default() };
    let host = Host::run(Server::new(support::echo).config(config));
    let mut peer = Peer::open(host.addr);
    let frames: Vec<Frame> = (0..LEN / FRAGMENT)
        .map(|i| match i {
            0 => Frame::binary(vec![7; FRAGMENT]).unfinished(),
            _ if (i + 1) * FRAGMENT == LEN => Frame::continuation(vec![7; FRAGMENT]),
            _ => Frame::continuation(vec![7; FRAGMENT]).unfinished(),
        })
        .collect();
    peer.send_all(&frames);
    // Accepted or not, it has to be told as what it is.
    let first = peer.read_frame();
    let accepted = first == Frame::binary(vec![7; LEN]);
    if accepted {
        peer.send(&Frame::close(1000, ""));
    }
    peer.read_to_end();
    drop(peer);
    let ending = host.account().ending;
    println!("accepted: {accepted}; {ending}");
    let fragments = matches!(
        ending.cause,
        Cause::Violation(ProtocolError::TooManyFragments { limit, .. }) if limit == LIMIT as u64
    );
    assert!(fragments, "{ending}");
    let above = "a message above the limit";
    assert!(!ending.to_string().contains(above), "{LEN} bytes are below {LIMIT}: {ending}");
    host.finish();
}

// What is clean.

#[test]
fn a_close_that_must_not_be_on_the_wire_is_no_clean_end() {
    let host = Host::start(support::echo);
    for wrong in [1005, 1006, 999] {
        let mut peer = Peer::open(host.addr);
        peer.send(&Frame::close(wrong, ""));
        assert_eq!(peer.read_frame().close_code(), Some(1002));
        assert_eq!(peer.read_to_end().end, TcpEnd::Fin);
        drop(peer);
        let ending = host.account().ending;
        assert!(matches!(ending.cause, Cause::Violation(_)), "{ending}");
        assert!(!ending.is_clean(), "{wrong}: {ending}");
    }
    host.finish();
}

/// Its kernel takes a part of what we sent; the program says goodbye and reads nothing.
#[cfg(target_os = "linux")]
#[test]
fn an_end_with_bytes_that_were_never_acknowledged_is_not_clean() {
    let (tell, told) = mpsc::channel();
    let handler = support::with(tell, async |socket: Socket, tell: mpsc::Sender<()>| {
        // More than the peer's window, and it all fits into our kernel.
        socket.send(vec![7; 160 * 1024]).await.expect("an open connection");
        let _ = tell.send(());
    });
    let host = Host::start(handler);
    let mut peer = Peer::connect_with(host.addr, |socket| {
        socket.set_recv_buffer_size(16 * 1024).expect("SO_RCVBUF");
    });
    peer.handshake(&Request::rfc6455());
    told.recv_timeout(DEADLINE).expect("our kernel takes all of it");
    // What left a moment ago may still be acknowledged: that it was not is known only later.
    thread::sleep(Duration::from_secs(1));
    peer.send_all_with_fin(&[Frame::close(1000, "")]);
    let ending = host.account().ending;
    println!("{ending}");
    let lost = ending.unsent.unacknowledged;
    assert!(lost.is_some_and(|bytes| bytes > 0), "the scene: known to be lost: {ending}");
    assert!(!ending.is_clean(), "{ending}");
    drop(peer);
    host.finish();
}

// The sentence.

#[test]
fn the_sentence_can_stand_in_a_line_of_a_log() {
    let host = Host::start(async |mut socket: Socket| {
        let Some(message) = socket.recv().await else { return };
        let _ = socket.send(Message::from(message.as_bytes().to_vec())).await;
    });
    let mut peer = Peer::open(host.addr);
    peer.send(&Frame::text("last"));
    assert_eq!(peer.read_frame().payload, b"last");
    assert_eq!(peer.read_to_end_answering(), Frame::close(1000, ""));
    drop(peer);
    let ending = host.account().ending;
    let sentence = ending.to_string();
    println!("{sentence}");
    // `format!("{peer}: {ending}; room {room}")` and the like put something behind it.
    assert!(!sentence.ends_with('.'), "a full stop: {sentence}");
    // The age of the connection: "a FIN, after 3 h" reads as if the FIN had come 3 h late.
    let masked = without_durations(&sentence);
    assert!(!masked.contains(", after …"), "the age reads as a delay: {sentence}");
    host.finish();
}
