//! The facts of the opening handshake.

use std::sync::Arc;

use super::*;

/// Bytes of the 101 that answers the script's request: RFC 6455, hixie-76 (without the challenge).
const ACCEPTED: [u64; 2] = [129, 151];

impl Oracle {
    pub(super) fn opening_applies(&self, input: Input) -> bool {
        let server = self.role == Role::Server;
        match &self.stage {
            Stage::Head { begun: false } => match input {
                Input::Head | Input::HalfHead | Input::BadHead => true,
                Input::Head76 => server && cfg!(feature = "legacy"),
                _ => false,
            },
            Stage::Head { begun: true } => input == Input::Head,
            Stage::Nonce(0) => matches!(input, Input::Nonce | Input::HalfNonce),
            Stage::Nonce(_) => input == Input::Nonce,
            Stage::Decision { early } => {
                let hixie = self.dialect != Dialect::Rfc6455;
                hixie && early.is_empty() && input == Input::Nonce
            }
            Stage::Opened | Stage::Failed => false,
        }
    }

    pub(super) fn opening(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        let client = self.role == Role::Client;
        if let Stage::Decision { early } = &mut self.stage {
            return early.push(input);
        }
        match input {
            Input::HalfHead => self.stage = Stage::Head { begun: true },
            Input::BadHead if client => self.refuse(not_found(), None, now),
            Input::BadHead => self.refuse_politely(HandshakeError::BadHttp("request line"), now),
            Input::Head if client => self.open(now, steps),
            Input::Head | Input::Head76 => {
                if input == Input::Head76 {
                    self.dialect = Dialect::Hixie76;
                }
                self.stage = Stage::Decision { early: Vec::new() };
                steps.push(Step::Request);
            }
            Input::HalfNonce => self.stage = Stage::Nonce(4),
            _ => {
                self.outbox.add(Frame::Challenge, 16);
                self.open(now, steps);
            }
        }
    }

    fn open(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.stage = Stage::Opened;
        self.opened = Some(now);
        self.heard_at = now;
        if self.role == Role::Client {
            steps.push(Step::Response);
        }
        steps.push(Step::Opened);
    }

    pub(super) fn accept(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let Stage::Decision { early } = std::mem::replace(&mut self.stage, Stage::Nonce(0)) else {
            return;
        };
        self.add_head(101, ACCEPTED[usize::from(self.dialect == Dialect::Hixie76)]);
        if self.dialect == Dialect::Hixie76 {
            if early == [Input::Nonce] {
                self.outbox.add(Frame::Challenge, 16);
                self.open(now, steps);
            }
        } else {
            self.open(now, steps);
            self.stand = Stand::default();
            for input in early {
                self.peer_says(input, now, steps);
                self.moves_on(input);
            }
        }
    }

    /// Our side refuses the request, whole or not.
    pub(super) fn refused_by_us(&mut self, refusal: Refusal, now: Instant) {
        let (error, response) = refusal.parts();
        match (&self.stage, response) {
            // Behind the 101 of hixie-76 an answer would be taken for the challenge's.
            (Stage::Nonce(_), _) => self.refuse(error, None, now),
            (_, None) => self.refuse_politely(error, now),
            (_, response) => self.refuse(error, response, now),
        }
    }

    /// The peer is told with the response that follows from the error.
    pub(super) fn refuse_politely(&mut self, error: HandshakeError, now: Instant) {
        let response = Response::refusal(&error, VersionSet::default());
        assert!(response.is_some(), "{error:?} has no response");
        self.refuse(error, response, now);
    }

    pub(super) fn refuse(
        &mut self,
        error: HandshakeError,
        response: Option<Response>,
        now: Instant,
    ) {
        if let Some(response) = response {
            self.add_head(response.status, response.to_bytes().len() as u64);
        }
        self.began.get_or_insert((Cause::Handshake(error), now));
        self.stage = Stage::Failed;
        if self.broken.is_none() {
            self.leaving.get_or_insert(now);
        }
    }

    /// The request of a client, in so many bytes.
    pub(crate) fn asks(&mut self, len: u64) {
        self.outbox.add(Frame::Head("GET /".to_owned()), len);
    }

    fn add_head(&mut self, status: u16, len: u64) {
        self.outbox.add(Frame::Head(format!("HTTP/1.1 {status}")), len);
    }
}

/// What a client is told of the script's refusal.
fn not_found() -> HandshakeError {
    let mut refusal = adieu_proto::Refusal::new(404);
    refusal.reason = "Not Found".to_owned();
    refusal.headers.push(("Content-Length".to_owned(), b"0".to_vec()));
    HandshakeError::RefusedByServer(Arc::new(refusal))
}
