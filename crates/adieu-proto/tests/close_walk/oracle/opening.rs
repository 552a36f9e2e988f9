//! The facts of the opening handshake.

use super::*;

impl Oracle {
    pub(super) fn opening(&mut self, input: Input, now: Instant, steps: &mut Vec<Step>) {
        let client = self.role == Role::Client;
        if let Stage::Decision { early } = &mut self.stage {
            return early.push(input);
        }
        match input {
            Input::HalfHead => self.stage = Stage::Head { begun: true },
            Input::BadHead if client => self.refuse(HandshakeError::Status(404), false, now),
            Input::BadHead => self.refuse(HandshakeError::BadHttp("request line"), true, now),
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
                self.add(Frame::Challenge, 16);
                self.open(now, steps);
            }
        }
    }

    pub(super) fn open(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.stage = Stage::Opened;
        self.opened = Some(now);
        self.heard_at = now;
        steps.push(Step::Opened);
    }

    pub(super) fn accept(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let Stage::Decision { early } = std::mem::replace(&mut self.stage, Stage::Nonce(0)) else {
            return;
        };
        self.add_head(101, ACCEPTED[usize::from(self.dialect == Dialect::Hixie76)]);
        if self.dialect == Dialect::Hixie76 {
            if early == [Input::Nonce] {
                self.add(Frame::Challenge, 16);
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

    pub(super) fn refuse(&mut self, error: HandshakeError, answered: bool, now: Instant) {
        if answered {
            let answer = Answer::refusal(&error, VersionSet::default()).expect("an answer");
            self.add_head(answer.status, answer.to_bytes().len() as u64);
        }
        self.began.get_or_insert((Cause::Handshake(error), now));
        self.stage = Stage::Failed;
        if self.broken.is_none() {
            self.leaving.get_or_insert(now);
        }
    }
}
