//! The opening handshake of a connection, in both roles.

use std::sync::Arc;
use std::time::Instant;

use super::{Connection, Decision};
use crate::close::{Input, PeerEnd, State};
use crate::config::{Config, defaults};
use crate::error::{HandshakeError, UsageError};
#[cfg(feature = "legacy")]
use crate::frame::Reader;
#[cfg(feature = "legacy")]
use crate::handshake::opening::take_nonce;
use crate::handshake::opening::{HeadBuffer, HeadOf, Opening, WholeHead};
use crate::handshake::{
    self, Answer, AnswerReader, ClientRequest, ConnectAnswer, Limits, Refusal, Request, Response,
    ResponseHead,
};
use crate::liveness::Heartbeat;
use crate::negotiated::Negotiated;
#[cfg(feature = "legacy")]
use crate::outgoing::Framing;
use crate::output::{Event, Output};
use crate::scratch::Scratch;
use crate::seed::Seed;
use crate::version::Version;

impl Connection {
    /// As a server: the request is still to come.
    #[must_use]
    pub fn server(now: Instant, config: Arc<Config>) -> Self {
        Self::new(now, config, Opening::Request(HeadBuffer::default()), None)
    }

    /// As a client: the request goes out. `seed` has to be random and secret (§10.3): the
    /// handshake's key and all masks come from it.
    ///
    /// # Errors
    /// [`UsageError::Request`] if the request cannot be sent.
    pub fn client(
        now: Instant,
        config: Arc<Config>,
        request: ClientRequest,
        seed: [u8; 32],
        scratch: &mut Scratch,
    ) -> Result<Self, UsageError> {
        request.check()?;
        let mut seed = Seed::new(seed);
        let nonce = seed.nonce();
        #[cfg(feature = "deflate")]
        let offer = config.deflate.as_ref().map(crate::deflate::offer);
        #[cfg(not(feature = "deflate"))]
        let offer: Option<String> = None;
        let head = request.to_bytes(nonce, offer.as_deref());
        let request = Box::new(request);
        let reader = AnswerReader::to_upgrade(config.max_head);
        let opening = Opening::Response { reader, request, nonce };
        let mut connection = Self::new(now, config, opening, Some(Box::new(seed)));
        connection.outgoing.head(&head, scratch);
        Ok(connection)
    }

    /// As a client on a stream of HTTP/2 (RFC 8441), for which a library of HTTP/2 has sent the
    /// [`extended_connect`](ClientRequest::extended_connect) of `request`: its answer is still to
    /// come ([`answered`](Self::answered)). `seed` has to be random and secret (§10.3): all masks
    /// come from it.
    ///
    /// # Errors
    /// [`UsageError::Request`] if the request cannot be sent.
    pub fn client_over_http2(
        now: Instant,
        config: Arc<Config>,
        request: ClientRequest,
        seed: [u8; 32],
    ) -> Result<Self, UsageError> {
        request.check()?;
        let (reader, request) = (AnswerReader::to_upgrade(config.max_head), Box::new(request));
        // There is no key (RFC 8441 §5), and so no nonce.
        let opening = Opening::Response { reader, request, nonce: [0; 16] };
        Ok(Self::new(now, config, opening, Some(Box::new(Seed::new(seed)))))
    }

    /// As a client on a stream of HTTP/2: the head of the answer has come. A 200 opens the
    /// WebSocket, if it agrees on nothing that was not offered. Any other status refuses it: what
    /// is received from here on is the refusal's body, up to the end of the stream.
    pub fn answered(&mut self, now: Instant, answer: ConnectAnswer, scratch: &mut Scratch) {
        self.last_received = Some(now);
        let (max_head, extended) = (self.config.max_head, self.offers_extension());
        let Some(Opening::Response { reader, request, .. }) = self.opening.as_deref_mut() else {
            return;
        };
        let agreed = match answer.check_length(max_head) {
            Ok(()) if answer.agrees() => request.check_connected(&answer, extended),
            Ok(()) => return reader.begin_refusal(answer.into_refusal()),
            Err(error) => Err(error),
        };
        match agreed {
            Ok(negotiated) => {
                self.push(Output::Event(Event::Response(answer.into_head())), scratch);
                self.opened(now, negotiated, scratch);
            }
            Err(error) => self.fail_opening(now, error, scratch),
        }
    }

    /// As a client: whether the request offers an extension.
    fn offers_extension(&self) -> bool {
        #[cfg(feature = "deflate")]
        let offers = self.config.deflate.is_some();
        #[cfg(not(feature = "deflate"))]
        let offers = false;
        offers
    }

    /// As a server inside an HTTP library that has sent the 101 for `request`. For hixie-76 the
    /// nonce is still to be received, wherever the library found it.
    #[must_use]
    pub fn upgraded(
        now: Instant,
        config: Arc<Config>,
        request: Request,
        negotiated: Negotiated,
    ) -> Self {
        let head = Opening::Request(HeadBuffer::default());
        let mut connection = Self::new(now, config, head, None);
        let scratch = &mut Scratch::default();
        connection.accepted(now, request, negotiated, scratch);
        connection
    }

    /// Decides on the request that [`Event::Request`] told. A request may be refused before it is
    /// whole.
    ///
    /// # Errors
    /// [`UsageError::Subprotocol`] for one that was not offered; [`UsageError::AnswerField`] for a
    /// field that cannot be sent; [`UsageError::NotOpen`] if no request waits to be accepted.
    pub fn decide(
        &mut self,
        now: Instant,
        decision: Decision,
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        match decision {
            Decision::Accept(negotiated) => return self.accept(now, negotiated, &[], scratch),
            Decision::AcceptWith(negotiated, fields) => {
                return self.accept(now, negotiated, &fields, scratch);
            }
            Decision::Refuse(error) => self.refuse(now, error, scratch),
            Decision::RefuseWith(error, response) => {
                self.refuse_with_bytes(now, error, &response, scratch);
            }
        }
        Ok(())
    }

    fn accept(
        &mut self,
        now: Instant,
        negotiated: Negotiated,
        fields: &[(String, Vec<u8>)],
        scratch: &mut Scratch,
    ) -> Result<(), UsageError> {
        let Some(Opening::PendingAccept { request, version, .. }) = self.opening.as_deref() else {
            return Err(UsageError::NotOpen);
        };
        let negotiated = Negotiated { version: *version, ..negotiated };
        #[cfg(feature = "deflate")]
        let negotiated = negotiated.compressed(request, &self.config);
        let chosen = negotiated.subprotocol.as_ref();
        if let Some(name) = chosen.filter(|name| request.subprotocols().all(|s| s != *name)) {
            return Err(UsageError::Subprotocol(name.clone()));
        }
        let mut response = handshake::accept_response(request, &negotiated).to_bytes();
        add_fields(&mut response, fields)?;
        let Some(Opening::PendingAccept { request, mut rest, .. }) =
            self.opening.take().map(|opening| *opening)
        else {
            return Err(UsageError::NotOpen);
        };
        self.outgoing.head(&response, scratch);
        self.accepted(now, request, negotiated, scratch);
        if !rest.is_empty() {
            self.read(now, &mut rest, scratch);
        }
        Ok(())
    }

    /// The 101 is on its way, or has gone out.
    #[cfg_attr(not(feature = "legacy"), allow(clippy::needless_pass_by_value, unused_variables))]
    fn accepted(
        &mut self,
        now: Instant,
        request: Request,
        negotiated: Negotiated,
        scratch: &mut Scratch,
    ) {
        self.speak(negotiated.version);
        #[cfg(feature = "legacy")]
        if negotiated.version == Version::Hixie76 {
            // The head goes out before the nonce is there: a proxy may hold it back until then.
            let negotiated = Box::new(negotiated);
            self.opening =
                Some(Box::new(Opening::Nonce { request, nonce: Vec::new(), negotiated }));
            return;
        }
        self.opened(now, negotiated, scratch);
    }

    /// Refuses the opening handshake with an HTTP response, if there is one to give.
    pub(super) fn refuse(&mut self, now: Instant, error: HandshakeError, scratch: &mut Scratch) {
        match Response::refusal(&error, self.config.versions) {
            Some(response) => self.refuse_with(now, error, &response, scratch),
            None => self.fail_opening(now, error, scratch),
        }
    }

    fn refuse_with(
        &mut self,
        now: Instant,
        error: HandshakeError,
        response: &Response,
        scratch: &mut Scratch,
    ) {
        self.refuse_with_bytes(now, error, &response.to_bytes(), scratch);
    }

    fn refuse_with_bytes(
        &mut self,
        now: Instant,
        error: HandshakeError,
        response: &[u8],
        scratch: &mut Scratch,
    ) {
        if self.machine.state() == State::Connecting {
            // A hixie-76 client that has its 101 would take an answer for the sixteen bytes.
            #[cfg(feature = "legacy")]
            let answered = matches!(self.opening.as_deref(), Some(Opening::Nonce { .. }));
            #[cfg(not(feature = "legacy"))]
            let answered = false;
            self.opening = None;
            // A client has nothing to answer.
            let client = self.seed.is_some();
            if !answered && !client {
                self.outgoing.head(response, scratch);
            }
            self.advance(now, Input::Refused(error), scratch);
        }
    }

    /// Bytes of the peer before the connection is open.
    pub(super) fn read_opening(&mut self, now: Instant, input: &mut [u8], scratch: &mut Scratch) {
        let Some(opening) = self.opening.as_deref_mut() else { return };
        match opening {
            Opening::Request(_) => self.read_request(now, input, scratch),
            Opening::Response { .. } => self.read_response(now, input, scratch),
            // The driver decides before it reads on; more than a head's worth is no client.
            Opening::PendingAccept { rest, .. } if rest.len() < self.config.max_head => {
                rest.extend_from_slice(input);
            }
            Opening::PendingAccept { .. } => {
                self.refuse(now, HandshakeError::UnexpectedBytes, scratch);
            }
            #[cfg(feature = "legacy")]
            Opening::Nonce { .. } => self.read_nonce(now, input, scratch),
        }
    }

    #[cfg(feature = "legacy")]
    fn read_nonce(&mut self, now: Instant, input: &mut [u8], scratch: &mut Scratch) {
        let mut input = input;
        let Some(Opening::Nonce { request, nonce, negotiated }) = self.opening.as_deref_mut()
        else {
            return;
        };
        let Some(nonce) = take_nonce(nonce, &mut input) else { return };
        match handshake::challenge(request, nonce) {
            Ok(answer) => {
                let negotiated = (**negotiated).clone();
                self.outgoing.head(&answer, scratch);
                self.opened(now, negotiated, scratch);
                self.read_frames(now, input, scratch);
            }
            Err(error) => self.fail_opening(now, error, scratch),
        }
    }

    fn limits(&self) -> Limits {
        Limits { bytes: self.config.max_head, fields: defaults::MAX_FIELDS }
    }

    fn read_request(&mut self, now: Instant, input: &[u8], scratch: &mut Scratch) {
        let limits = self.limits();
        let Some(Opening::Request(buffer)) = self.opening.as_deref_mut() else { return };
        let WholeHead { head, rest } = match buffer.push(input, limits, HeadOf::Request) {
            Ok(None) => return,
            Ok(Some(whole)) => whole,
            Err(error) => return self.refuse(now, error, scratch),
        };
        let request = match Request::parse(&head, limits) {
            Ok(request) => request,
            Err(error) => return self.refuse(now, error, scratch),
        };
        match handshake::detect(&request, self.config.versions) {
            Ok(version) => {
                let event = Event::Request(request.clone(), version);
                self.opening = Some(Box::new(Opening::PendingAccept { request, version, rest }));
                self.push(Output::Event(event), scratch);
            }
            Err(error) => match Response::refusal(&error, self.config.versions) {
                Some(response) if request.method() == "HEAD" => {
                    self.refuse_with(now, error, &response.without_body(), scratch);
                }
                _ => self.refuse(now, error, scratch),
            },
        }
    }

    fn read_response(&mut self, now: Instant, input: &[u8], scratch: &mut Scratch) {
        let extended = self.offers_extension();
        let Some(Opening::Response { reader, request, nonce }) = self.opening.as_deref_mut() else {
            return;
        };
        let agreed = match reader.push(input) {
            Ok(None) => return,
            Ok(Some(Answer::Agreed { head, rest })) => {
                let agreed = request.check_response(&head, *nonce, extended);
                agreed.map(|negotiated| (negotiated, head, rest))
            }
            Ok(Some(Answer::Refused(refusal))) => Err(refused(refusal)),
            Err(error) => Err(error),
        };
        match agreed {
            Ok((negotiated, head, mut rest)) => {
                let head = ResponseHead::new(head);
                self.push(Output::Event(Event::Response(head)), scratch);
                self.opened(now, negotiated, scratch);
                self.read_frames(now, &mut rest, scratch);
            }
            Err(error) => self.fail_opening(now, error, scratch),
        }
    }

    /// As a client: a refusal whose body was still to come is over with this input. What came of
    /// it is the reason, not the input.
    pub(super) fn end_refusal(&mut self, now: Instant, input: &Input, scratch: &mut Scratch) {
        let finished = match input {
            // The end of a connection of HTTP/2 is not that of a body on one of its streams.
            Input::PeerEnded(_) if self.machine.ended_by_connection() => false,
            Input::PeerEnded(how) => *how == PeerEnd::Finished,
            Input::CloseNotify => true,
            Input::Refused(_) | Input::LetGo(_) | Input::Close(_) => false,
            _ => return,
        };
        let Some(Opening::Response { reader, .. }) = self.opening.as_deref_mut() else { return };
        if let Some(refusal) = reader.end(finished) {
            self.opening = None;
            self.advance(now, Input::Refused(refused(refusal)), scratch);
        }
    }

    /// Ends the opening handshake: as a server with a response, while there is one to give.
    pub(super) fn fail_opening(
        &mut self,
        now: Instant,
        error: HandshakeError,
        scratch: &mut Scratch,
    ) {
        let answers = match self.opening.as_deref() {
            // Nothing was asked, so nothing is answered (RFC 9112 §9.5: close idle connections).
            Some(Opening::Request(buffer)) => !buffer.is_empty(),
            Some(Opening::PendingAccept { .. }) => true,
            // The head of the 101 has gone out, or we are the client.
            _ => false,
        };
        match Response::refusal(&error, self.config.versions) {
            Some(response) if answers => self.refuse_with(now, error, &response, scratch),
            // What a client has read of a refusal says more than the error.
            _ => self.advance(now, Input::Refused(error), scratch),
        }
    }

    fn speak(&mut self, version: Version) {
        self.machine.speaks(version);
        #[cfg(feature = "legacy")]
        if version.is_hixie() {
            self.outgoing.framing = Framing::Hixie;
            self.reader = Reader::hixie();
        }
    }

    fn opened(&mut self, now: Instant, negotiated: Negotiated, scratch: &mut Scratch) {
        self.opening = None;
        #[cfg(feature = "deflate")]
        if let Some(agreed) = negotiated.deflate {
            self.compresses(now, agreed);
        }
        // The hixie versions have no Ping.
        let interval = self.config.pings_every().filter(|_| !self.machine.version().is_hixie());
        self.heartbeat = Heartbeat::start(interval, now, &mut self.timers);
        self.push(Output::Event(Event::Opened(negotiated)), scratch);
        self.advance(now, Input::Opened, scratch);
    }
}

fn refused(refusal: Refusal) -> HandshakeError {
    HandshakeError::RefusedByServer(Arc::new(refusal))
}

/// Adds fields to a 101, in front of the blank line that ends it.
fn add_fields(response: &mut Vec<u8>, fields: &[(String, Vec<u8>)]) -> Result<(), UsageError> {
    if fields.is_empty() {
        return Ok(());
    }
    response.truncate(response.len() - b"\r\n".len());
    for (name, value) in fields {
        // RFC 9110 §5.5, §5.6.2: a line break would begin another field.
        let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
        let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7F);
        if name.is_empty() || !name.as_bytes().iter().all(is_name) || !value.iter().all(is_value) {
            return Err(UsageError::AnswerField(name.clone()));
        }
        response.extend_from_slice(name.as_bytes());
        response.extend_from_slice(b": ");
        response.extend_from_slice(value);
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test needs a time to begin with")]
    use super::*;
    use crate::close::{Cause, End, Http2, TransportKind};
    use crate::connection::TransportEvent;

    #[test]
    fn fields_are_added_in_front_of_the_blank_line_and_none_can_begin_another() {
        let head = b"HTTP/1.1 101 x\r\nA: b\r\n\r\n";
        let with = |name: &str, value: &[u8]| {
            let mut response = head.to_vec();
            add_fields(&mut response, &[(name.to_owned(), value.to_vec())])?;
            Ok::<_, UsageError>(String::from_utf8_lossy(&response).into_owned())
        };
        let want = "HTTP/1.1 101 x\r\nA: b\r\nset-cookie: a=b\t\u{fc}\r\n\r\n";
        assert_eq!(with("set-cookie", "a=b\t\u{fc}".as_bytes()).as_deref(), Ok(want));
        let bad: [(&str, &[u8]); 6] = [
            ("", b"x"),
            ("a b", b"x"),
            ("a:", b"x"),
            ("a", b"x\r\nb: y"),
            ("a", b"x\ny"),
            ("a", b"\0"),
        ];
        for (name, value) in bad {
            assert_eq!(with(name, value), Err(UsageError::AnswerField(name.to_owned())));
        }
    }

    /// A client on a stream of HTTP/2 to which this head has come, and what it says then.
    fn answered(answer: ConnectAnswer) -> (Connection, Vec<Event>) {
        let (now, scratch) = (Instant::now(), &mut Scratch::default());
        let config = Arc::new(Config { max_head: 1000, ..Config::default() });
        let request = ClientRequest::new("h", "/").subprotocol("a");
        let client = Connection::client_over_http2(now, config, request, [7; 32]);
        let mut client = client.expect("a request that can be sent");
        assert!(!client.status().has_output(), "the library has sent the request");
        client.handle_transport(now, TransportEvent::Multiplexed, scratch);
        client.answered(now, answer, scratch);
        let events = events(&mut client);
        (client, events)
    }

    fn events(client: &mut Connection) -> Vec<Event> {
        let scratch = &mut Scratch::default();
        let mut all = Vec::new();
        loop {
            match client.poll_output(scratch) {
                Output::Event(event) => all.push(event),
                Output::Timeout(_) | Output::Transmit => return all,
                Output::Finish | Output::Disconnect => {}
            }
        }
    }

    /// How it ended, its peer's direction having ended like this.
    fn ended(client: &mut Connection, how: PeerEnd) -> Cause {
        let (now, scratch) = (Instant::now(), &mut Scratch::default());
        client.handle_transport(now, TransportEvent::PeerEnded(how, None), scratch);
        let kind = TransportKind::Http2;
        let released = TransportEvent::Released { kind, unacknowledged: None, close_notify: None };
        client.handle_transport(now, released, scratch);
        match events(client).pop() {
            Some(Event::Ended(ending)) => ending.cause,
            other => panic!("{other:?}"),
        }
    }

    fn head(status: u16, fields: &[(&str, &str)]) -> ConnectAnswer {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        ConnectAnswer { status, fields: fields.iter().map(field).collect() }
    }

    #[test]
    fn over_http2_a_200_opens_and_nothing_else_does() {
        let (client, events) = answered(head(200, &[("sec-websocket-protocol", "a")]));
        let [Event::Response(head), Event::Opened(agreed)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(head.status_line(), b"HTTP/2 200");
        assert_eq!(agreed.subprotocol.as_deref(), Some("a"));
        assert!(client.status().may_send());
        for status in [201, 204, 101] {
            let (mut client, events) = answered(self::head(status, &[]));
            assert!(events.is_empty() && !client.status().may_send(), "{events:?}");
            let cause = ended(&mut client, PeerEnd::Finished);
            let Cause::Handshake(HandshakeError::RefusedByServer(refusal)) = cause else {
                panic!("{cause:?}")
            };
            assert_eq!((refusal.status, refusal.body_is_whole), (status, true));
        }
    }

    #[test]
    fn over_http2_a_refusal_has_its_body_up_to_the_end_of_the_stream() {
        for (how, cut, whole) in [
            (PeerEnd::Finished, false, true),
            (PeerEnd::Reset, false, false),
            (PeerEnd::Finished, true, false),
        ] {
            let (mut client, _) = answered(head(403, &[("retry-after", "7")]));
            let scratch = &mut Scratch::default();
            let mut http2 = Http2::new(1, 1);
            http2.connection_end = cut.then_some(End::Finished);
            client.handle_transport(Instant::now(), TransportEvent::Http2(http2), scratch);
            client.read_buffer(scratch)[..2].copy_from_slice(b"no");
            client.received(Instant::now(), 2, scratch);
            let cause = ended(&mut client, how);
            let Cause::Handshake(HandshakeError::RefusedByServer(refusal)) = cause else {
                panic!("{cause:?}")
            };
            assert_eq!((&*refusal.body_text(), refusal.body_is_whole), ("no", whole));
            assert_eq!(refusal.header("Retry-After"), Some("7"));
        }
    }

    #[test]
    fn over_http2_what_was_not_offered_and_too_long_a_head_are_refused() {
        for (answer, error) in [
            (
                head(200, &[("sec-websocket-protocol", "b")]),
                HandshakeError::BadAnswer("Sec-WebSocket-Protocol"),
            ),
            (head(200, &[("x", &"y".repeat(1000))]), HandshakeError::HeadTooLong(1000)),
            (head(403, &[("x", &"y".repeat(1000))]), HandshakeError::HeadTooLong(1000)),
        ] {
            let (mut client, events) = answered(answer);
            assert!(events.iter().all(|event| !matches!(event, Event::Opened(_))), "{events:?}");
            assert_eq!(ended(&mut client, PeerEnd::Finished), Cause::Handshake(error));
        }
    }
}
