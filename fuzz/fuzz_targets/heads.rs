//! The heads of the opening handshake: requests as a server reads them, answers as a client and a
//! user of CONNECT read them.
//!
//! What must hold for any bytes:
//! - What comes of them does not depend on how they are cut.
//! - A request is told, or it is refused with one whole HTTP response that says why; or more bytes
//!   are needed, and then there are no more than the limit of a head.
//! - A request that is told is a GET for a path, its version is one that is served, and nothing of
//!   it can add a field to our answer.
//! - An answer agrees, refuses, or is none; 1xx before it are skipped, and no head, these
//!   included, is longer than the limit. A refusal's body is no longer than its limit.
//! - What a connection keeps of all that is bounded.

#![no_main]

use std::sync::Arc;
use std::time::Instant;

use adieu_fuzz::http::Response;
use adieu_fuzz::{memory, receive, waiting};
use adieu_proto::{
    Answer, AnswerReader, Cause, ClientRequest, Command, Config, Connection, Decision, Event,
    HandshakeError, LetGo, Negotiated, Output, PeerEnd, Request, Scratch, TransportEvent,
    TransportKind, Version, VersionSet, defaults,
};
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

const MAX_HEAD: usize = 1024;

/// What a connection may keep: a head twice, while it is gathered and looked at, the bytes behind
/// it, a refusal's body in a buffer that grows, and what it takes itself.
const MAX_KEPT: isize = (4 * MAX_HEAD + 3 * defaults::MAX_REFUSAL_BODY + 16 * 1024) as isize;

/// Who reads the bytes.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Reader {
    Server(Verdict),
    Client,
    Tunnel,
}

/// What the application says of a request.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Accept,
    /// With the last subprotocol that is offered, and over TLS.
    AcceptSubprotocol,
    AcceptWithField,
    Refuse,
}

fuzz_target!(|input: (Reader, u8, &[u8])| {
    let (reader, piece, bytes) = input;
    let piece = usize::from(piece).max(1);
    match reader {
        Reader::Server(verdict) => {
            let whole = serve(verdict, bytes.chunks(bytes.len().max(1)));
            assert_eq!(serve(verdict, bytes.chunks(piece)), whole, "in pieces of {piece}");
        }
        Reader::Client => {
            let whole = ask(bytes.chunks(bytes.len().max(1)));
            assert_eq!(ask(bytes.chunks(piece)), whole, "in pieces of {piece}");
        }
        Reader::Tunnel => {
            let whole = tunnel(bytes.chunks(bytes.len().max(1)));
            assert_eq!(tunnel(bytes.chunks(piece)), whole, "in pieces of {piece}");
        }
    }
});

fn config() -> Arc<Config> {
    Arc::new(Config { max_head: MAX_HEAD, versions: VersionSet::all(), ..Config::default() })
}

/// Buffers that a thread has, as large as they become.
fn scratch() -> Scratch {
    let mut scratch = Scratch::default();
    let now = Instant::now();
    Connection::server(now, config()).read_buffer(&mut scratch);
    scratch
}

/// What a server says to these bytes: nothing, or all it writes until the connection is open or
/// refused.
fn serve<'a>(verdict: Verdict, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let (now, scratch, config) = (Instant::now(), &mut scratch(), config());
    let before = memory::in_use();
    let mut connection = Connection::server(now, config);
    let mut came = 0;
    for piece in pieces {
        receive(&mut connection, now, piece, scratch);
        came += piece.len();
        assert!(memory::in_use() - before <= MAX_KEPT);
        if let Output::Event(Event::Request(request, version)) = connection.poll_output(scratch) {
            return Some(decide(&mut connection, verdict, &request, version, scratch));
        }
        let said = waiting(&connection);
        if !said.is_empty() {
            is_refusal(&said, bytes_are_head(&said));
            return Some(said);
        }
    }
    assert!(came <= MAX_HEAD, "a head that does not end is read on");
    None
}

/// Whether the refusal answers a HEAD: it has no body then, though its length is told.
fn bytes_are_head(said: &[u8]) -> bool {
    said.ends_with(b"\r\n\r\n")
}

fn is_refusal(said: &[u8], head: bool) {
    let response = Response::read(said);
    assert!((400..600).contains(&response.status), "{response:?}");
    assert!(response.all("Connection").eq(["close"]), "{response:?}");
    let told: Vec<usize> =
        response.all("Content-Length").map(|text| text.parse().expect("a length")).collect();
    assert!(if head { told.len() == 1 } else { told == [response.body.len()] }, "{response:?}");
    let body = std::str::from_utf8(response.body).expect("a sentence");
    assert!(head || body.lines().count() == 2, "{body:?}");
}

fn decide(
    connection: &mut Connection,
    verdict: Verdict,
    request: &Request,
    version: Version,
    scratch: &mut Scratch,
) -> Vec<u8> {
    let now = Instant::now();
    assert!(request.method() == "GET" && request.target().starts_with('/'), "{request:?}");
    assert!(request.host().is_some_and(|host| !host.is_empty()), "{request:?}");
    let mut negotiated = Negotiated::new(version);
    if verdict == Verdict::AcceptSubprotocol {
        negotiated = negotiated.over(TransportKind::Tls);
        negotiated.subprotocol = request.subprotocols().last().map(str::to_owned);
    }
    let subprotocol = negotiated.subprotocol.clone();
    let decision = match verdict {
        Verdict::Refuse => Decision::Refuse(HandshakeError::Refused(403)),
        Verdict::AcceptWithField => {
            Decision::AcceptWith(negotiated, vec![("Set-Cookie".into(), b"a=b".to_vec())])
        }
        _ => Decision::Accept(negotiated),
    };
    connection.decide(now, decision, scratch).expect("a request waits, and was offered that");
    let said = waiting(connection);
    if verdict == Verdict::Refuse {
        is_refusal(&said, false);
        return said;
    }
    // What came behind the head may be answered by then: that is no part of the head.
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line") + 4;
    is_agreement(&said[..end], version, subprotocol.as_deref(), verdict);
    said[..end].to_vec()
}

/// A 101 with the fields of its version, each once, and no others.
fn is_agreement(said: &[u8], version: Version, subprotocol: Option<&str>, verdict: Verdict) {
    let response = Response::read(said);
    assert_eq!(response.status, 101);
    let (prefix, own) = match version {
        Version::Hixie75 => ("WebSocket-", vec!["WebSocket-Origin", "WebSocket-Location"]),
        Version::Hixie76 => {
            ("Sec-WebSocket-", vec!["Sec-WebSocket-Origin", "Sec-WebSocket-Location"])
        }
        _ => ("Sec-WebSocket-", vec!["Sec-WebSocket-Accept"]),
    };
    let protocol = format!("{prefix}Protocol");
    let mut want = [vec!["Upgrade", "Connection"], own].concat();
    if subprotocol.is_some() {
        want.push(&protocol);
    }
    if verdict == Verdict::AcceptWithField {
        want.push("Set-Cookie");
    }
    let mut names: Vec<&str> = response.fields.iter().map(|field| field.0).collect();
    names.sort_unstable();
    want.sort_unstable();
    assert_eq!(names, want, "{response:?}");
    assert_eq!(response.all(&protocol).next(), subprotocol);
}

/// What comes of an answer.
#[derive(Debug, PartialEq)]
enum Asked {
    Opened(Negotiated),
    Failed(HandshakeError),
}

/// What a client makes of these bytes, and of a FIN behind them.
fn ask<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Asked {
    let (now, scratch, config) = (Instant::now(), &mut scratch(), config());
    let before = memory::in_use();
    let request = ClientRequest::new("h", "/").subprotocol("a").subprotocol("b");
    let mut connection =
        Connection::client(now, config, request, [7; 32], scratch).expect("a good request");
    let asked = waiting(&connection).len();
    let event = TransportEvent::Transmitted { bytes: asked, held: false };
    connection.handle_transport(now, event, scratch);
    for piece in pieces {
        receive(&mut connection, now, piece, scratch);
        assert!(memory::in_use() - before <= MAX_KEPT);
        let mut output = connection.poll_output(scratch);
        if let Output::Event(Event::Response(head)) = &output {
            assert!(head.status_line().starts_with(b"HTTP/1."), "{head:?}");
            output = connection.poll_output(scratch);
        }
        match output {
            Output::Event(Event::Opened(negotiated)) => return Asked::Opened(negotiated),
            Output::Timeout(_) => {}
            // It has failed.
            _ => break,
        }
    }
    let finished = TransportEvent::PeerEnded(PeerEnd::Finished, None);
    connection.handle_transport(now, finished, scratch);
    connection.command(now, Command::LetGo(LetGo::Forced), scratch);
    Asked::Failed(why(&mut connection, scratch))
}

/// Why the opening handshake came to nothing, as the report tells it.
fn why(connection: &mut Connection, scratch: &mut Scratch) -> HandshakeError {
    let now = Instant::now();
    for _ in 0..10 {
        match connection.poll_output(scratch) {
            Output::Disconnect => {
                let (kind, unacknowledged, close_notify) = (TransportKind::Tcp, None, None);
                let event = TransportEvent::Released { kind, unacknowledged, close_notify };
                connection.handle_transport(now, event, scratch);
            }
            Output::Event(Event::Ended(ending)) => {
                let Cause::Handshake(error) = ending.cause else { panic!("{:?}", ending.cause) };
                if let HandshakeError::RefusedByServer(refusal) = &error {
                    assert!(refusal.body.len() <= defaults::MAX_REFUSAL_BODY);
                }
                return error;
            }
            _ => {}
        }
    }
    panic!("there is no report");
}

/// What a user of CONNECT is answered. Of what follows an agreement as much is kept as came in the
/// same read, so that is left out.
fn tunnel<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Option<Answer>, HandshakeError> {
    let mut reader = AnswerReader::to_connect(MAX_HEAD);
    for piece in pieces {
        match reader.push(piece) {
            Ok(None) => {}
            Ok(Some(Answer::Agreed { head, .. })) => {
                assert!(head.len() <= MAX_HEAD);
                return again(&head);
            }
            other => return other,
        }
    }
    Ok(reader.end(true).map(Answer::Refused))
}

/// The same answer from its head alone: nothing stands behind it then.
fn again(head: &[u8]) -> Result<Option<Answer>, HandshakeError> {
    let answer = AnswerReader::to_connect(MAX_HEAD).push(head);
    assert!(matches!(&answer, Ok(Some(Answer::Agreed { rest, .. })) if rest.is_empty()));
    answer
}
