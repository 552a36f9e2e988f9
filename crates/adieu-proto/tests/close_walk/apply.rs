//! What each input does to the connection.

use adieu_proto::{
    Cause, Close, CloseRequest, Command, Decision, Message, Negotiated, PeerEnd, TransportError,
    TransportEvent, UsageError, Version,
};

use crate::account::Step;
use crate::harness::World;
use crate::script::*;

impl World {
    pub(crate) fn apply(
        &mut self,
        input: Input,
        stand: Stand,
        may_send: bool,
        got: &mut Vec<Step>,
    ) -> Result<(), String> {
        use Input as I;
        match input {
            I::AppClose => self.close(BYE, Cause::Application),
            I::Dropped => self.close((1000, ""), Cause::Dropped),
            I::Panicked => self.close((1011, ""), Cause::Panicked),
            I::Drain => self.close((1001, ""), Cause::Drain),
            I::Draining => self.command(Command::Drain),
            I::LetGo(why) => self.command(Command::LetGo(why)),
            I::EndSeen => self.command(Command::EndSeen),
            I::Send => return self.send(may_send),
            I::Fin | I::FinReset => self.peer_ended(PeerEnd::Finished, None),
            I::Reset => self.peer_ended(PeerEnd::Reset, None),
            I::Lost => self.peer_ended(PeerEnd::Lost, Some(NO_ROUTE)),
            I::Unknown => self.peer_ended(PeerEnd::Unknown, Some(TUNNEL)),
            I::CloseNotify => self.tell(TransportEvent::CloseNotify),
            I::Take => return self.transmit(usize::MAX, got),
            I::TakePart => return self.transmit(self.waiting().len() - 1, got),
            I::Flush => self.tell(TransportEvent::Flushed),
            I::Blocked => self.tell(TransportEvent::Blocked),
            I::WriteError => {
                let error = Some(TransportError::new(BROKEN_PIPE));
                self.tell(TransportEvent::WriteFailed(error));
            }
            I::TlsFailed => {
                self.tell(TransportEvent::TlsFailed(TransportError::new(BAD_RECORD)));
            }
            I::Paused => self.tell(TransportEvent::ReadingPaused),
            I::Timer(_) => {
                self.connection.handle_timeout(self.now, None, &mut self.scratch.borrow_mut());
            }
            I::Accept => return self.accept(got),
            I::Refuse(refusal) => return self.refuse(refusal),
            _ => {
                let bytes = self.bytes_of_peer(input, stand);
                self.receive(&bytes, got);
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Command) {
        self.connection.command(self.now, command, &mut self.scratch.borrow_mut());
    }

    fn close(&mut self, say: (u16, &str), cause: Cause) {
        let close = Close::new(say.0, say.1).expect("a good Close");
        // The application is the one that may go on reading.
        let reads_on = cause == Cause::Application;
        let request = CloseRequest { reads_on, ..CloseRequest::of(cause, close) };
        self.command(Command::Close(request));
    }

    fn send(&mut self, may_send: bool) -> Result<(), String> {
        let message = Message::from(MESSAGE);
        let sent = self.connection.send(&message, &mut self.scratch.borrow_mut());
        match (sent, may_send) {
            (Ok(()), true) | (Err(UsageError::Closed | UsageError::NotOpen), false) => Ok(()),
            (result, _) => Err(format!("send gives {result:?}")),
        }
    }

    fn peer_ended(&mut self, how: PeerEnd, error: Option<&str>) {
        self.tell(TransportEvent::PeerEnded(how, error.map(TransportError::new)));
    }

    fn decide(&mut self, decision: Decision) -> Result<(), String> {
        let scratch = &mut self.scratch.borrow_mut();
        self.connection.decide(self.now, decision, scratch).map_err(|e| e.to_string())
    }

    fn accept(&mut self, got: &mut Vec<Step>) -> Result<(), String> {
        // The version is known from the request, whatever is said here.
        self.decide(Decision::Accept(Negotiated::new(Version::Rfc6455)))?;
        self.take_messages(got);
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), String> {
        self.decide(match refusal.parts() {
            (error, None) => Decision::Refuse(error),
            (error, Some(response)) => Decision::RefuseWith(error, response.to_bytes()),
        })
    }

    /// Receives bytes of the peer, piece by piece.
    fn receive(&mut self, bytes: &[u8], got: &mut Vec<Step>) {
        for piece in bytes.chunks(self.piece) {
            let scratch = &mut *self.scratch.borrow_mut();
            self.connection.read_buffer(scratch)[..piece.len()].copy_from_slice(piece);
            self.connection.received(self.now, piece.len(), scratch);
        }
        self.take_messages(got);
    }

    fn take_messages(&mut self, got: &mut Vec<Step>) {
        let mut scratch = self.scratch.borrow_mut();
        let Some(mut messages) = scratch.messages.take() else { return };
        got.extend(messages.drain(..).map(|message| {
            Step::Message(message.as_text().expect("the peer sends text").to_owned())
        }));
        scratch.keep_messages(messages);
    }

    fn bytes_of_peer(&mut self, input: Input, stand: Stand) -> Vec<u8> {
        use Input as I;
        let whole = match input {
            I::Nonce | I::HalfNonce => NONCE.into(),
            I::Head | I::HalfHead | I::Head76 | I::BadHead => {
                head(self.oracle.role, input, &self.request)
            }
            _ => return peer_bytes(self.oracle.role, self.oracle.dialect, stand, input),
        };
        let half = whole.len() / 2;
        let said = std::mem::take(&mut self.said);
        match input {
            I::HalfHead | I::HalfNonce => {
                self.said = half;
                whole[..half].into()
            }
            _ => whole.get(said..).unwrap_or_default().into(),
        }
    }
}
