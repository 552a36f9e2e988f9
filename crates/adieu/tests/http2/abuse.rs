//! Clients that use HTTP/2 to harm: the connection of each is ended or held back, and the others go
//! on.

use std::time::Duration;

use adieu::{Cause, Config, Endpoint, Socket, Timer};
use testkit::Frame;
use testkit::http2::{Http2Peer, code, flag, kind, websocket_request};

use crate::serve;
use crate::served::{Served, echo};

/// Another client is served as ever.
fn others_go_on(served: &Served) {
    let mut peer = Http2Peer::connect(served.addr);
    let stream = peer.open_websocket("example.com", "/", &[]);
    peer.send_ws(stream, &Frame::text("still here?"));
    assert_eq!(peer.read_ws(stream), Frame::text("still here?"));
}

/// Sends until the server ends the connection; whether it did.
fn sends_until_ended(served: &Served, mut part: impl FnMut(u32) -> Vec<u8>, parts: u32) -> bool {
    use std::io::{Read, Write};
    let mut tcp = std::net::TcpStream::connect(served.addr).expect("a server");
    tcp.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket");
    tcp.set_read_timeout(Some(testkit::DEADLINE)).expect("a socket");
    tcp.write_all(testkit::http2::PREFACE.as_ref()).expect("a server");
    tcp.write_all(&[0, 0, 0, kind::SETTINGS, 0, 0, 0, 0, 0]).expect("a server");
    for n in 0..parts {
        if tcp.write_all(&part(n)).is_err() {
            return true;
        }
    }
    // All was taken: the server may still end it.
    let mut rest = Vec::new();
    tcp.shutdown(std::net::Shutdown::Write).expect("a socket");
    tcp.read_to_end(&mut rest).is_err() || ended_with_error(&rest)
}

/// Whether these bytes of the server have a GOAWAY with an error.
fn ended_with_error(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((frame, used)) = testkit::http2::RawFrame::parse(rest) {
        if frame.kind == kind::GOAWAY && frame.payload.get(4..8).is_some_and(|code| code != [0; 4])
        {
            return true;
        }
        rest = &rest[used..];
    }
    false
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    testkit::http2::RawFrame::new(kind, flags, stream, payload).bytes()
}

fn connect(stream: u32) -> Vec<u8> {
    let block = testkit::http2::hpack::encode(&websocket_request("http", "example.com", "/"));
    frame(kind::HEADERS, flag::END_HEADERS, stream, &block)
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let served = serve(Endpoint::new(), echo);
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        let rst = frame(kind::RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes());
        [connect(stream), rst].concat()
    };
    assert!(sends_until_ended(&served, reset, 20_000), "20,000 streams were opened and reset");
    others_go_on(&served);
}

#[test]
fn ten_thousand_requests_in_one_write_and_a_reset_of_each_leave_the_others_alone() {
    let served = serve(Endpoint::new(), echo);
    let all = |_| {
        let streams = (0..10_000).map(|n| 2 * n + 1);
        let opened: Vec<u8> = streams.clone().flat_map(connect).collect();
        let reset = |stream| frame(kind::RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes());
        [opened, streams.flat_map(reset).collect()].concat()
    };
    sends_until_ended(&served, all, 1);
    others_go_on(&served);
}

#[test]
fn a_field_block_without_end_is_refused() {
    let served = serve(Endpoint::new(), echo);
    let block = vec![0x40; 1000];
    let endless = |n| match n {
        0 => frame(kind::HEADERS, 0, 1, &block),
        _ => frame(kind::CONTINUATION, 0, 1, &block),
    };
    assert!(sends_until_ended(&served, endless, 20_000), "20 MB of a field block were taken");
    others_go_on(&served);
}

/// The answers have nowhere to go: what comes is not read any more.
#[test]
fn pings_whose_answers_are_not_read_hold_their_sender_back() {
    let served = serve(Endpoint::new(), echo);
    let pings = frame(kind::PING, 0, 0, &[7; 8]).repeat(1000);
    assert!(sends_until_ended(&served, |_| pings.clone(), 3000), "51 MB of PINGs were taken");
    others_go_on(&served);
}

#[test]
fn settings_whose_acknowledgements_are_not_read_hold_their_sender_back() {
    let served = serve(Endpoint::new(), echo);
    let settings = frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]).repeat(1000);
    assert!(sends_until_ended(&served, |_| settings.clone(), 3000), "45 MB of SETTINGS were taken");
    others_go_on(&served);
}

/// A window that is never given is a peer that does not read.
#[test]
fn streams_whose_windows_stay_closed_are_given_up() {
    let config = Config {
        write_timeout: Duration::from_millis(300),
        flush_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let served = serve(Endpoint::new().config(config), async |mut socket: Socket| {
        while socket.send("x".repeat(10_000)).await.is_ok() {}
        let _ = socket.recv().await;
    });
    let mut peer = Http2Peer::builder().initial_window(0).connect(served.addr);
    peer.hold_window();
    let streams: Vec<_> = (0..50).map(|_| peer.open_websocket("example.com", "/", &[])).collect();
    for _ in &streams {
        let ending = served.account().ending;
        assert_eq!(ending.cause, Cause::Timeout(Timer::Write), "{ending}");
        assert!(ending.unsent.bytes > 0, "{ending}");
    }
    for stream in streams {
        let end = peer.read_stream_to_end(stream).end;
        assert_eq!(end, testkit::http2::StreamEnd::Reset(code::CANCEL));
    }
    drop(peer);
    served.stop();
}

/// What all streams of a connection send and no handler takes is bounded by its window.
#[test]
fn all_streams_of_a_connection_together_hold_no_more_than_its_window() {
    const KEPT: usize = 64 * 1024;
    let config = Config { receive_queue: KEPT, ..Config::default() };
    let served = serve(Endpoint::new().config(config), async |socket: Socket| {
        // It never asks for a message, and keeps what could.
        let _kept = socket;
        std::future::pending::<()>().await;
    });
    let mut peer = Http2Peer::connect(served.addr);
    let streams: Vec<_> = (0..40).map(|_| peer.open_websocket("example.com", "/", &[])).collect();
    let part = Frame::binary(vec![1; 16_000]).masked();
    let mut sent = 0;
    loop {
        let before = sent;
        for &stream in &streams {
            while peer.send_window(stream) >= part.len() as i64 {
                peer.send_data(stream, &part, false);
                sent += part.len();
            }
        }
        // What the server gives back of the windows is here when this is answered, twice: what was
        // read for the first may be given back behind its answer.
        peer.ping_and_wait();
        peer.ping_and_wait();
        if sent == before {
            break;
        }
    }
    // The window of the connection, and what each WebSocket keeps for its handler: the message that
    // is one too many is read as well.
    let window = adieu::http2::Settings::default().connection_window as usize;
    let most = window + streams.len() * (KEPT + part.len());
    println!("{sent} bytes were taken, {most} at most");
    assert!(sent <= most, "{sent} bytes were taken, {most} at most");
    assert!(sent >= window / 2, "{sent} bytes were taken: the window was not used");
    drop(peer);
    for _ in 0..40 {
        served.account();
    }
}

#[test]
fn many_small_messages_for_a_handler_that_is_busy_cost_no_other_websocket() {
    const COUNT: usize = 30_000;
    let (go, goes) = tokio::sync::watch::channel(false);
    let served = serve(Endpoint::new(), move |mut socket: Socket| {
        let mut goes = goes.clone();
        async move {
            while let Some(message) = socket.recv().await {
                if message.as_text() == Some("be busy") {
                    let _ = goes.wait_for(|goes| *goes).await;
                }
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        }
    });
    let mut peer = Http2Peer::connect(served.addr);
    let busy = peer.open_websocket("example.com", "/", &[]);
    let other = peer.open_websocket("example.com", "/", &[]);
    peer.send_ws(busy, &Frame::text("be busy"));
    for part in (0..COUNT).collect::<Vec<_>>().chunks(1000) {
        peer.together(|peer| {
            part.iter().for_each(|n| peer.send_ws(busy, &Frame::text(n.to_string())));
        });
    }
    // The other one is served meanwhile.
    peer.send_ws(other, &Frame::text("hello"));
    assert_eq!(peer.read_ws(other), Frame::text("hello"));
    go.send_replace(true);
    assert_eq!(peer.read_ws(busy), Frame::text("be busy"));
    for n in 0..COUNT {
        assert_eq!(peer.read_ws(busy), Frame::text(n.to_string()));
    }
    drop(peer);
    served.account();
    served.account();
}
