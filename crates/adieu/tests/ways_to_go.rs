//! The ways to go of `conformance/cases.json` over real sockets, against a server with its
//! defaults: each gives one account, the one that is written there, and no two read alike. The
//! peer that vanishes is in `vanished.rs`. Takes 12 s of waiting, all of it side by side: the
//! default patience with a peer that never answers.

#[path = "support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::thread;

use adieu::{Cause, Close, CloseCode, End, Ending, Socket, Truncation};
use serde_json::Value;
use support::Host;
use testkit::{Frame, Peer, Request, TcpEnd, wait_until};

fn cases() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/cases.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the cases")).expect("JSON")
}

/// What the path says: talks without listening, returns, or echoes.
async fn handler(socket: Socket) {
    let path = socket.request().map(|request| request.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "/talks" => while socket.send(vec![b'x'; 1000]).await.is_ok() {},
        "/returns" => {}
        _ => support::echo(socket).await,
    }
}

/// Reads our Close with this code (or without one), then the FIN, and nothing else.
fn hear_out(mut peer: Peer, code: Option<u16>) {
    let close = peer.read_frame();
    assert_eq!((close.opcode, close.close_code()), (0x8, code));
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin), "nothing follows a Close");
}

/// Sends the first bytes of something whole, and waits until the server has read them.
fn begin(peer: &mut Peer, bytes: &[u8]) {
    peer.write(bytes);
    wait_until("the server has read it", || peer.unread_by_other_end() == 0);
}

fn half_frame() -> Vec<u8> {
    Frame::text("half of this is missing").masked()[..12].to_vec()
}

/// Goes in the way that has this name. Gives its address, and the one that has not gone itself.
fn go(name: &str, addr: SocketAddr) -> (SocketAddr, Option<Peer>) {
    let path = match name {
        "FIN, then RST" => "/talks",
        "never answers our Close" => "/returns",
        _ => "/",
    };
    let mut peer = Peer::open_with(addr, &Request::rfc6455().target(path));
    let local = peer.local_addr();
    match name {
        "page refresh" => {
            peer.send_all_with_fin(&[Frame::close(1001, "")]);
            peer.close();
        }
        "says goodbye and waits" => {
            peer.send(&Frame::close(1000, ""));
            hear_out(peer, Some(1000));
        }
        "empty Close" => {
            peer.send(&Frame::close_empty());
            hear_out(peer, None);
        }
        "a code of its own" => {
            peer.send(&Frame::close(4001, "bye"));
            hear_out(peer, Some(4001));
        }
        "FIN, no Close" => {
            peer.send(&Frame::text("whole"));
            assert_eq!(peer.read_frame(), Frame::text("whole"));
            fin_and_hear(peer);
        }
        "FIN inside a frame" => {
            begin(&mut peer, &half_frame());
            fin_and_hear(peer);
        }
        "FIN inside a message" => {
            peer.send(&Frame::text("one fragment").unfinished());
            fin_and_hear(peer);
        }
        "RST, no Close" => peer.reset(),
        "RST inside a frame" => {
            begin(&mut peer, &half_frame());
            peer.reset();
        }
        "FIN, then RST" => {
            peer.fin_and_wait();
            // It goes on reading until the server has seen the FIN and still talks.
            for _ in 0..50 {
                peer.read_frame();
            }
            peer.reset();
        }
        "bad UTF-8" => {
            peer.send(&Frame::text([0xC3, 0x28]));
            hear_out(peer, Some(1007));
        }
        "too big" => {
            peer.send(&Frame::binary("").claiming(adieu::defaults::MAX_MESSAGE + 1));
            hear_out(peer, Some(1009));
        }
        // It holds the socket, and neither reads nor speaks, for longer than we wait.
        "never answers our Close" => return (local, Some(peer)),
        other => panic!("the cases name a way that is not walked here: {other}"),
    }
    (local, None)
}

/// A FIN without a goodbye is answered by a FIN without one.
fn fin_and_hear(mut peer: Peer) {
    peer.fin();
    let rest = peer.read_to_end();
    assert_eq!((rest.bytes, rest.end), (vec![], TcpEnd::Fin));
}

/// The words of the cases.
fn words(ending: &Ending) -> (&'static str, &'static str, &'static str) {
    let cause = match ending.cause {
        Cause::Peer => "peer",
        Cause::Eof => "eof",
        Cause::Reset => "reset",
        Cause::Violation(_) => "violation",
        Cause::Application | Cause::HandlerReturned => "application",
        Cause::Unreachable => "unreachable",
        _ => "another",
    };
    let end = match ending.transport.end {
        End::Finished => "fin",
        End::FinishedThenReset => "fin_then_reset",
        End::Reset => "reset",
        End::Lost => "timed_out",
        End::LetGo(_) => "abandoned",
        _ => "another",
    };
    let cut = match ending.truncation {
        Truncation::BetweenMessages => "between_messages",
        Truncation::MidMessage => "mid_message",
        Truncation::MidFrame => "mid_frame",
    };
    (cause, end, cut)
}

/// A Close as the cases write its code: a number, or null for a Close without one.
fn code(close: Option<&Close>) -> Option<Value> {
    Some(close?.code().map_or(Value::Null, |code| code.get().into()))
}

/// Whether the account says what the case says; a field that a case lacks is not asked.
fn check(case: &Value, ending: &Ending) {
    let (cause, end, cut) = words(ending);
    assert_eq!(case["cause"], cause, "{case}: {ending}");
    let ends = case["end"].as_array().expect("ends");
    assert!(ends.iter().any(|allowed| allowed == end), "{case}: {ending}");
    // What the peer said is never invented: no word of it means that it said nothing.
    assert_eq!(
        code(ending.closing_handshake.received()).as_ref(),
        case.get("received"),
        "{case}: {ending}"
    );
    if let Some(sent) = case.get("sent") {
        assert_eq!(code(ending.closing_handshake.sent()).as_ref(), Some(sent), "{case}: {ending}");
    }
    if let Some(reason) = case.get("reason") {
        let said = ending.closing_handshake.received().map(Close::reason);
        assert_eq!(said, reason.as_str(), "{case}: {ending}");
    }
    if let Some(place) = case.get("cut") {
        assert_eq!(place, cut, "{case}: {ending}");
    }
}

#[test]
fn each_way_to_go_gives_its_one_account_and_no_two_are_alike() {
    let cases = cases();
    let cases: Vec<&Value> = cases["ways_to_go"].as_array().expect("ways").iter().collect();
    assert_eq!(cases.len(), 14);
    let host = Host::start(handler);
    let addr = host.addr;
    let walked: Vec<_> = cases.iter().filter(|case| case["name"] != "vanishes").collect();
    let peers: Vec<_> = walked
        .iter()
        .map(|case| {
            let name = case["name"].as_str().expect("a name").to_owned();
            thread::spawn(move || go(&name, addr))
        })
        .collect();
    // The one that is silent stays in its thread's result meanwhile.
    let mut accounts = HashMap::new();
    for _ in &walked {
        let account = host.account();
        let peer = account.peer.addr().expect("an address");
        assert!(accounts.insert(peer, account).is_none(), "two accounts of one connection");
    }
    let mut sentences = HashSet::new();
    for (case, peer) in walked.iter().zip(peers) {
        let (addr, _) = peer.join().expect("its way was walked");
        let account = &accounts[&addr];
        println!("{}: {}", case["name"], account.ending);
        check(case, &account.ending);
        assert!(sentences.insert(account.sentence()), "{case} reads like another");
    }
    host.finish();
}

/// A page that is left: its Close, its FIN, then nobody, as often as the cases say.
fn refreshes(host: &Host, path: &str, times: u64) -> HashMap<&'static str, u64> {
    let request = Request::rfc6455().target(path);
    let mut ends = HashMap::new();
    for round in 0..times {
        let mut peer = Peer::open_with(host.addr, &request);
        if round % 2 == 0 {
            peer.send_all_with_fin(&[Frame::close(1001, "")]);
        } else {
            // The server's answer may come between the two.
            peer.send(&Frame::close(1001, ""));
            peer.fin();
        }
        peer.close();
        let ending = host.account().ending;
        let said = ending.closing_handshake.received().and_then(Close::code);
        assert_eq!(said, Some(CloseCode::GOING_AWAY), "round {round}: {ending}");
        assert_eq!(ending.cause, Cause::Peer, "round {round}: {ending}");
        *ends.entry(words(&ending).1).or_default() += 1;
    }
    ends
}

#[test]
fn the_refresh_race_keeps_its_code_every_time() {
    let times = cases()["refresh_race"]["times"].as_u64().expect("a number");
    let host = Host::start(handler);
    println!("{times} of {times} kept the code: {:?}", refreshes(&host, "/", times));
    host.finish();
}

#[test]
fn a_refresh_while_the_server_talks_keeps_its_code_too() {
    let host = Host::start(handler);
    println!("{:?}", refreshes(&host, "/talks", 300));
    host.finish();
}
