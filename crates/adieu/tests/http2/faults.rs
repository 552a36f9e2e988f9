//! Connections whose streams end in every way at random, while the connection itself is cut, says
//! GOAWAY or goes on: each WebSocket gives one account, and it is true.

use std::collections::HashMap;
use std::net::SocketAddr;

use adieu::{Cause, End, Ending, Endpoint, Http2ErrorCode};
use testkit::http2::{Http2Peer, code};
use testkit::{Frame, Random, figure, seed};

use crate::serve;
use crate::served::echo;

/// Connections in all, or as many as `ADIEU_FAULTS` says.
fn connections() -> usize {
    std::env::var("ADIEU_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

/// What becomes of one stream.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// Close and END_STREAM, or Close alone.
    Closes {
        end: bool,
    },
    EndStream,
    Reset(u32),
    /// Part of a frame, then a reset.
    Cut,
    /// Nothing: its connection ends it.
    Stays,
}

/// What becomes of the connection, when each stream has gone or stays.
#[derive(Clone, Copy, Debug)]
enum Last {
    Fin,
    GoAwayAndFin(u32),
    Rst,
}

/// What was done, by the path of the stream.
type Plans = HashMap<String, (Going, Last)>;

fn going(random: &mut Random) -> Going {
    match random.below(8) {
        0 | 1 => Going::Closes { end: random.below(2) == 0 },
        2 => Going::EndStream,
        3 => Going::Reset(code::CANCEL),
        4 => Going::Reset(u32::try_from(random.below(20)).expect("a small number")),
        5 => Going::Cut,
        _ => Going::Stays,
    }
}

/// One connection: opens streams, says messages on all of them in any order, and ends each.
fn connection(addr: SocketAddr, number: usize, random: &mut Random) -> Plans {
    let mut peer = Http2Peer::connect(addr);
    let last = match random.below(3) {
        0 => Last::Fin,
        1 => Last::GoAwayAndFin(u32::try_from(random.below(14)).expect("a small number")),
        _ => Last::Rst,
    };
    let mut plans = Plans::new();
    let mut streams = Vec::new();
    for n in 0..=random.below(8) {
        let path = format!("/{number}/{n}");
        let stream = peer.open_websocket("example.com", &path, &[]);
        let going = going(random);
        plans.insert(path, (going, last));
        streams.push((stream, going));
    }
    for _ in 0..random.below(20) {
        let (stream, _) = streams[random.below(streams.len() as u64) as usize];
        let message = Frame::binary(vec![7; random.below(30_000) as usize]);
        peer.send_ws(stream, &message);
        assert_eq!(peer.read_ws(stream), message);
    }
    while !streams.is_empty() {
        let (stream, going) = streams.swap_remove(random.below(streams.len() as u64) as usize);
        goes(&mut peer, stream, going);
    }
    match last {
        Last::Fin => peer.fin(),
        Last::GoAwayAndFin(code) => {
            peer.together_with_fin(|peer| peer.send_goaway(0, code, b""));
        }
        Last::Rst => {
            // What was said before is read before the RST: TCP would lose it.
            peer.ping_and_wait();
            peer.reset();
            return plans;
        }
    }
    peer.read_to_end();
    plans
}

fn goes(peer: &mut Http2Peer, stream: u32, going: Going) {
    let close = Frame::close(4001, "bye");
    match going {
        Going::Closes { end: true } => peer.send_ws_all_and_end(stream, &[close]),
        Going::Closes { end: false } => peer.send_ws(stream, &close),
        Going::EndStream => peer.end_stream(stream),
        Going::Reset(code) => peer.reset_stream(stream, code),
        Going::Cut => peer.together(|peer| {
            peer.send_data(stream, &Frame::text("cut").masked()[..4], false);
            peer.reset_stream(stream, code::CANCEL);
        }),
        Going::Stays => {}
    }
}

/// Whether the account is true.
fn is_true(ending: &Ending, (going, last): (Going, Last)) -> bool {
    let http2 = ending.http2.expect("a stream");
    let (cause, end) = (&ending.cause, ending.transport.end);
    match going {
        // The connection may end before our answer has left.
        Going::Closes { .. } => *cause == Cause::Peer,
        Going::EndStream => *cause == Cause::Eof && http2.reset.is_none(),
        Going::Reset(code) => *cause == Cause::Reset && http2.reset == Some(Http2ErrorCode(code)),
        Going::Cut => {
            let cut = ending.truncation == adieu::Truncation::MidFrame;
            *cause == Cause::Reset && http2.reset == Some(Http2ErrorCode::CANCEL) && cut
        }
        Going::Stays => {
            let of_connection = http2.connection_end == Some(end) && http2.reset.is_none();
            let told = match last {
                Last::Fin => (Cause::Eof, End::Finished, None),
                Last::GoAwayAndFin(code) => (Cause::Eof, End::Finished, Some(Http2ErrorCode(code))),
                Last::Rst => (Cause::Reset, End::Reset, None),
            };
            of_connection && (cause.clone(), end, http2.goaway) == told
        }
    }
}

#[test]
fn whatever_happens_to_streams_and_connections_each_gives_one_true_account() {
    let seed = seed();
    println!("seed: {seed}");
    let served = serve(Endpoint::new(), echo);
    let addr = served.addr;
    let at_once = 4;
    let workers: Vec<_> = (0..at_once)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut random = Random::new(seed.wrapping_add(worker as u64));
                let numbers = (0..connections()).filter(|n| n % at_once == worker);
                numbers.flat_map(|n| connection(addr, n, &mut random)).collect::<Plans>()
            })
        })
        .collect();
    let mut plans = Plans::new();
    for worker in workers {
        plans.extend(worker.join().expect("a client"));
    }
    let (streams, mut clean) = (plans.len(), 0);
    for _ in 0..streams {
        let account = served.account();
        let path = account.target.expect("a request");
        let plan = plans.remove(&path).expect("one account of each");
        assert!(
            is_true(&account.ending, plan),
            "seed {seed}, {path}: {plan:?}: {}",
            account.ending
        );
        clean += usize::from(account.ending.is_clean());
    }
    served.stop();
    let all = connections();
    figure(
        "random faults over HTTP/2",
        &format!("{all} connections, {streams} WebSockets, {clean} clean"),
    );
}
