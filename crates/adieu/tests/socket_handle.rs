//! Which connection `on_end` tells of, and a second handle of its socket.

use std::io::ErrorKind;
use std::sync::mpsc;

use adieu::{ConnectionId, Endpoint, Server, Socket};
use socket2::SockRef;
use testkit::{DEADLINE, Frame, Peer};
use tokio::runtime::Runtime;

/// An option that is set on the second handle is one of the connection's socket; once the
/// connection is over there is no such handle. `on_end` names the connection as its handler did.
#[test]
fn a_second_handle_of_the_socket_is_of_the_connection_that_on_end_names() {
    let (tell_end, ended) = mpsc::channel::<Option<ConnectionId>>();
    let (tell, told) = mpsc::channel();
    let endpoint = Endpoint::new().on_end(move |ended| {
        // A test that fails does not listen to the end.
        let _ = tell_end.send(ended.id);
    });
    let handler = move |socket: Socket| {
        let tell = tell.clone();
        async move {
            let sender = socket.sender();
            let tcp = sender.try_clone_tcp().expect("a second handle");
            SockRef::from(&tcp).set_keepalive(true).expect("SO_KEEPALIVE");
            drop(tcp);
            let tcp = sender.try_clone_tcp().expect("a second handle");
            let kept = SockRef::from(&tcp).keepalive().expect("SO_KEEPALIVE");
            let peer = tcp.peer_addr().expect("an address");
            drop(tcp);
            socket.ended().await;
            let when_over = sender.try_clone_tcp().map(drop).map_err(|error| error.kind());
            tell.send((socket.id(), kept, peer, when_over)).expect("a test that listens");
        }
    };
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(adieu::listen("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("an address");
    runtime.spawn(Server::with(endpoint, handler).serve_on(listener));

    let mut peer = Peer::open(addr);
    peer.send(&Frame::close(1000, ""));
    peer.read_to_end();
    let ours = peer.local_addr();
    peer.close();
    let (id, kept, seen, when_over) = told.recv_timeout(DEADLINE).expect("what the handler saw");
    assert!(kept, "the option is of the socket, not of the handle");
    assert_eq!(seen, ours);
    assert_eq!(when_over, Err(ErrorKind::NotConnected));
    assert_eq!(ended.recv_timeout(DEADLINE).expect("a report"), Some(id));
}
