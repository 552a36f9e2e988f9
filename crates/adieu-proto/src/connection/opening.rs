//! The opening handshake of a connection, in both roles.

use std::sync::Arc;
use std::time::Instant;

use super::{Connection, Event, Output};
use crate::close::{Input, Speech, State};
use crate::config::{Config, defaults};
use crate::error::{HandshakeError, UsageError};
use crate::frame::Reader;
use crate::handshake::opening::{Gather, Gathered, Opening, take_nonce};
use crate::handshake::{self, Answer, ClientRequest, Limits, Request, Version};
use crate::heartbeat::Heartbeat;
use crate::seed::Seed;

impl Connection {
    /// As a server: the request is still to come.
    #[must_use]
    pub fn server(now: Instant, config: Arc<Config>) -> Self {
        Self::new(now, config, Opening::Request(Gather::default()), None)
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
    ) -> Result<Self, UsageError> {
        request.check()?;
        let mut seed = Seed::new(seed);
        let nonce = seed.nonce();
        let head = request.to_bytes(nonce);
        let opening =
            Opening::Answer { gather: Gather::default(), request: Box::new(request), nonce };
        let mut connection = Self::new(now, config, opening, Some(Box::new(seed)));
        connection.outgoing.append(|out| out.extend_from_slice(&head));
        Ok(connection)
    }

    /// As a server inside an HTTP library that has sent the 101 for `request`. For hixie-76 the
    /// nonce is still to be received, wherever the library found it.
    #[must_use]
    pub fn upgraded(now: Instant, config: Arc<Config>, request: Request, version: Version) -> Self {
        let opening = Opening::Nonce { request, nonce: Vec::new() };
        let mut connection = Self::new(now, config, opening, None);
        connection.speak(version);
        if version != Version::Hixie76 {
            connection.opened(now, None);
        }
        connection
    }

    /// Accepts the request that [`Event::Request`] told.
    ///
    /// # Errors
    /// [`UsageError::Subprotocol`] for one that was not offered; [`UsageError::NotOpen`] if no
    /// request waits.
    pub fn accept(
        &mut self,
        now: Instant,
        subprotocol: Option<&str>,
        tls: bool,
    ) -> Result<(), UsageError> {
        let Some(Opening::Decision { request, version, .. }) = self.opening.as_deref() else {
            return Err(UsageError::NotOpen);
        };
        if let Some(name) = subprotocol.filter(|name| request.subprotocols().all(|s| s != *name)) {
            return Err(UsageError::Subprotocol(name.to_owned()));
        }
        let answer = handshake::answer(request, *version, subprotocol, tls).to_bytes();
        let Some(Opening::Decision { request, version, mut rest }) =
            self.opening.take().map(|opening| *opening)
        else {
            return Err(UsageError::NotOpen);
        };
        self.outgoing.append(|out| out.extend_from_slice(&answer));
        self.speak(version);
        if version == Version::Hixie76 {
            // The head goes out before the nonce is there: a proxy may hold it back until then.
            self.opening = Some(Box::new(Opening::Nonce { request, nonce: Vec::new() }));
        } else {
            self.opened(now, None);
        }
        if !rest.is_empty() {
            self.receive(now, &mut rest);
        }
        Ok(())
    }

    /// Refuses the opening handshake with an HTTP answer.
    pub fn refuse(&mut self, now: Instant, error: HandshakeError) {
        if let Some(answer) = Answer::refusal(&error, self.config.versions) {
            self.refuse_with(now, error, &answer);
        } else {
            self.fail_opening(now, error);
        }
    }

    /// Refuses with an answer of the application's own; `error` goes into the account.
    pub fn refuse_with(&mut self, now: Instant, error: HandshakeError, answer: &Answer) {
        if self.machine.state() == State::Connecting {
            // A hixie-76 client that has its 101 would take an answer for the sixteen bytes.
            let answered = matches!(self.opening.as_deref(), Some(Opening::Nonce { .. }));
            self.opening = None;
            if !answered {
                let bytes = answer.to_bytes();
                self.outgoing.append(|out| out.extend_from_slice(&bytes));
            }
            self.advance(now, Input::Refused(error));
        }
    }

    /// Bytes of the peer before the connection is open.
    pub(super) fn read_opening(&mut self, now: Instant, input: &mut [u8]) {
        let mut input = input;
        let Some(opening) = self.opening.as_deref_mut() else { return };
        match opening {
            Opening::Request(_) => self.read_request(now, input),
            Opening::Answer { .. } => self.read_answer(now, input),
            // The driver decides before it reads on; more than a head's worth is no client.
            Opening::Decision { rest, .. } if rest.len() < self.config.max_head => {
                rest.extend_from_slice(input);
            }
            Opening::Decision { .. } => self.refuse(now, HandshakeError::UnexpectedBytes),
            Opening::Nonce { request, nonce } => {
                let Some(nonce) = take_nonce(nonce, &mut input) else { return };
                match handshake::challenge(request, nonce) {
                    Ok(answer) => {
                        self.outgoing.append(|out| out.extend_from_slice(&answer));
                        self.opened(now, None);
                        self.read_frames(now, input, None);
                    }
                    Err(error) => self.fail_opening(now, error),
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { bytes: self.config.max_head, fields: defaults::MAX_FIELDS }
    }

    fn read_request(&mut self, now: Instant, input: &[u8]) {
        let limits = self.limits();
        let Some(Opening::Request(gather)) = self.opening.as_deref_mut() else { return };
        let Gathered { head, rest } = match gather.push(input, limits) {
            Ok(None) => return,
            Ok(Some(whole)) => whole,
            Err(error) => return self.refuse(now, error),
        };
        let request = Request::parse(&head, limits)
            .and_then(|request| Ok((handshake::detect(&request, self.config.versions)?, request)));
        match request {
            Ok((version, request)) => {
                let event = Event::Request(request.clone(), version);
                self.opening = Some(Box::new(Opening::Decision { request, version, rest }));
                self.outputs.push_back(Output::Event(event));
            }
            Err(error) => self.refuse(now, error),
        }
    }

    fn read_answer(&mut self, now: Instant, input: &[u8]) {
        let limits = self.limits();
        let Some(Opening::Answer { gather, request, nonce }) = self.opening.as_deref_mut() else {
            return;
        };
        let answer = match gather.push(input, limits) {
            Ok(None) => return,
            Ok(Some(Gathered { head, rest })) => {
                request.check_answer(&head, *nonce, limits.fields).map(|chosen| (chosen, rest))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok((subprotocol, mut rest)) => {
                self.opened(now, subprotocol);
                self.read_frames(now, &mut rest, None);
            }
            Err(error) => self.fail_opening(now, error),
        }
    }

    /// Ends the opening handshake: as a server with an answer, while there is one to give.
    pub(super) fn fail_opening(&mut self, now: Instant, error: HandshakeError) {
        let answers = match self.opening.as_deref() {
            // Nothing was asked, so nothing is answered (RFC 9112 §9.5: close idle connections).
            Some(Opening::Request(gather)) => !gather.is_empty(),
            Some(Opening::Decision { .. }) => true,
            // The head of the 101 has gone out, or we are the client.
            _ => false,
        };
        match Answer::refusal(&error, self.config.versions) {
            Some(answer) if answers => self.refuse_with(now, error, &answer),
            _ => {
                self.opening = None;
                self.advance(now, Input::Refused(error));
            }
        }
    }

    fn speak(&mut self, version: Version) {
        self.version = version;
        self.machine.speaks(match version {
            Version::Hixie75 => Speech::Mute,
            Version::Hixie76 => Speech::Bare,
            _ => Speech::Codes,
        });
        if version.is_hixie() {
            self.reader = Reader::hixie();
        }
    }

    fn opened(&mut self, now: Instant, subprotocol: Option<String>) {
        self.opening = None;
        // The hixie versions have no Ping.
        let interval = self.config.ping_interval.filter(|_| !self.version.is_hixie());
        self.heartbeat = Heartbeat::start(interval, now, &mut self.timers);
        self.outputs.push_back(Output::Event(Event::Opened(subprotocol)));
        self.advance(now, Input::Opened);
    }
}
