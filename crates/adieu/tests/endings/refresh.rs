//! A browser's refresh: Close 1001, FIN, and nobody there any more when our answer comes.

use adieu::{Cause, Close, CloseCode, End, Ending, Side};
use testkit::{Frame, Peer, Tcp};

use crate::support::{self, Host};

fn code(ending: &Ending) -> Option<CloseCode> {
    ending.closing_handshake.received().and_then(Close::code)
}

#[test]
fn a_refresh_is_told_as_one_whoever_wins_the_race() {
    let host = Host::start(support::echo);
    let mut ends = [0; 2];
    for round in 0..100 {
        let mut peer = Peer::open(host.addr);
        let goodbye = Frame::close(1001, "");
        if round % 2 == 0 {
            peer.send_all_with_fin(&[goodbye]);
        } else {
            // Our answer may come between the two, and then our FIN is the first.
            peer.send(&goodbye);
            peer.fin();
        }
        peer.close();
        let ending = host.account().ending;
        assert_eq!(code(&ending), Some(CloseCode::GOING_AWAY), "round {round}: {ending}");
        assert_eq!(ending.cause, Cause::Peer, "round {round}: {ending}");
        match ending.transport.end {
            End::Finished => ends[0] += 1,
            End::FinishedThenReset => ends[1] += 1,
            other => panic!("round {round}: {other:?}: {ending}"),
        }
    }
    println!("FIN: {}, FIN then RST: {}", ends[0], ends[1]);
    host.finish();
}

#[test]
fn a_peer_that_closes_its_socket_behind_its_close_is_heard() {
    let host = Host::start(support::echo);
    for round in 0..50 {
        let mut peer = Peer::open(host.addr);
        peer.send(&Frame::close(1001, ""));
        peer.close();
        let ending = host.account().ending;
        assert_eq!(code(&ending), Some(CloseCode::GOING_AWAY), "round {round}: {ending}");
        // A socket that is closed with our answer unread in it sends an RST and no FIN.
        let late = ending.transport.end == End::Reset
            && ending.transport.active_closer == Some(Side::Local);
        let usual = matches!(ending.transport.end, End::Finished | End::FinishedThenReset);
        assert!(usual || late, "round {round}: {ending}");
    }
    host.finish();
}

#[test]
fn a_reset_behind_close_and_fin_takes_nothing_away() {
    let host = Host::start(support::echo);
    for round in 0..50 {
        let mut peer = Peer::open(host.addr);
        peer.send_all_with_fin(&[Frame::close(1001, "")]);
        peer.reset();
        let ending = host.account().ending;
        assert_eq!(code(&ending), Some(CloseCode::GOING_AWAY), "round {round}: {ending}");
        assert!(
            matches!(ending.transport.end, End::Finished | End::FinishedThenReset),
            "{round}: {ending}"
        );
    }
    host.finish();
}

#[test]
fn a_peer_that_never_asked_is_told_to_on_end_and_to_no_handler() {
    let host =
        Host::start(async |_: adieu::Socket| -> () { panic!("no handler for what never opened") });
    Peer::connect(host.addr).close();
    let silent = host.account();
    let mut peer = Peer::connect(host.addr);
    peer.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(peer.read_head().status(), 426);
    assert_eq!(peer.read_to_end().end, testkit::TcpEnd::Fin);
    peer.close();
    let refused = host.account();
    let reset = Peer::connect(host.addr);
    testkit::wait_until("the server has it", || reset.other_end() == Tcp::Established);
    reset.reset();
    for account in [silent, refused, host.account()] {
        assert!(!account.ending.opened(), "{}", account.ending);
        assert!(matches!(account.ending.cause, Cause::Handshake(_)), "{}", account.ending);
    }
    host.finish();
}
