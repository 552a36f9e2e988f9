//! What has happened in an exploration at all: a property of what never happens holds in vain.

use std::collections::BTreeSet;

use super::Step;
use crate::state::*;

/// Labels of steps, as a set.
#[derive(Default)]
pub(crate) struct Marks(BTreeSet<&'static str>);

impl Marks {
    pub(crate) fn add(&mut self, step: &Step) {
        if let Some(label) = label(step) {
            self.0.insert(label);
        }
    }

    pub(crate) fn into_set(self) -> BTreeSet<&'static str> {
        self.0
    }
}

fn label(step: &Step) -> Option<&'static str> {
    let label = match step {
        Step::Hear { message } => return answer(message),
        Step::Execute { message } => return stray(message),
        Step::Audit { answer: Answer::Fenced, .. } => "audit: another's",
        Step::Audit { .. } => "audit: rolled back",
        Step::AskRelease { .. } => "release",
        Step::Orphan { .. } => "orphan",
        Step::Due { .. } => "due",
        Step::Deliver { .. } => "a message to the client",
        Step::Accept { .. } => "202 behind WAIT",
        Step::Lapse { .. } => "a lease that ended",
        Step::Arrive { message: Message::Delivery { stage: Delivery::Heard, .. } } => {
            "an answer of the backend that is read late"
        }
        Step::Arrive { .. } => "HTTP",
        Step::FailOver => "failover",
        _ => return None,
    };
    Some(label)
}

fn answer(message: &Message) -> Option<&'static str> {
    let label = match message {
        Message::Start { stage: Stage::Answered(true), .. } => "start: late or over",
        Message::Start { .. } => "start: OK",
        Message::Claim(Claim { stage: Stage::Answered(claimed), .. }) => match claimed {
            Claimed::Ok { late: true, .. } => "claim: OK, late",
            Claimed::Ok { .. } => "claim: OK",
            Claimed::Expired => "claim: EXPIRED",
            Claimed::Stale => "claim: STALE",
            Claimed::Lost => "claim: LOST",
            Claimed::RolledBack { .. } => "claim: ROLLED_BACK",
        },
        Message::Write(Write { stage: Stage::Answered(answer), what, .. }) => {
            match (what, answer) {
                (What::Commit { .. }, Answer::Ok) => "commit: OK",
                (What::Commit { .. }, Answer::Fenced) => "commit: FENCED",
                (What::Commit { .. }, Answer::RolledBack) => "commit: ROLLED_BACK",
                (What::Detach, Answer::Ok) => "detach: OK",
                (What::Detach, Answer::Fenced) => "detach: FENCED",
                (What::Detach, Answer::RolledBack) => "detach: ROLLED_BACK",
                (What::End(_), Answer::Ok) => "end: OK",
                (What::End(_), Answer::Fenced) => "end: FENCED",
                (What::End(_), Answer::RolledBack) => "end: ROLLED_BACK",
            }
        }
        _ => return None,
    };
    Some(label)
}

fn stray(message: &Message) -> Option<&'static str> {
    let label = match message {
        Message::Start { stage: Stage::Stray, .. } => "a start that nobody waits for",
        Message::Claim(Claim { stage: Stage::Stray, .. }) => "a claim that nobody waits for",
        Message::Write(Write { stage: Stage::Stray, .. }) => "a write that nobody waits for",
        _ => return None,
    };
    Some(label)
}
