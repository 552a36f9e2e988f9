//! A run in plain English.

use std::fmt;

use crate::property::Property;
use crate::state::*;
use crate::step::Step;

/// A run that ends where a property does not hold.
#[derive(Debug)]
pub struct Story {
    /// Which property.
    pub property: Property,
    /// What is wrong behind the last step.
    pub why: &'static str,
    /// What happened, in order.
    pub steps: Vec<String>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", number + 1)?;
        }
        write!(f, "  => {:?}: {}", self.property, self.why)
    }
}

/// A node by its letter.
struct Node(usize);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["A", "B", "C"][self.0])
    }
}

fn node(node: u8) -> Node {
    Node(usize::from(node))
}

/// A life of a node: one that began anew has a stroke.
struct Life(Owner);

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strokes = "'".repeat(usize::from(self.0.incarnation()));
        write!(f, "{}{strokes}", Node(self.0.node()))
    }
}

fn queue(queue: u8) -> String {
    if usize::from(queue) == USER_QUEUE {
        "the user".into()
    } else {
        format!("session {}", queue + 1)
    }
}

fn told(event: Event) -> String {
    match event.told {
        Told::Started => "session.started".into(),
        Told::Message(number) => format!("message {number} of the client"),
        Told::Ended => "session.ended".into(),
        Told::Joined => "user.joined".into(),
        Told::Left => "user.left".into(),
    }
}

/// A request of a node: `A's claim of session 1 (epoch 1)`.
fn request(message: &Message) -> String {
    match message {
        Message::Nothing => String::new(),
        Message::Start { from, session, .. } => {
            format!("{}'s start of session {}", Life(*from), session + 1)
        }
        Message::Claim(claim) => {
            let Claim { from, session, generation, received, acknowledged, .. } = claim;
            let given_up = if claim.waits { "" } else { ", of a client that has gone" };
            format!(
                "{}'s claim of session {} (token {generation}, N {received}, A {acknowledged}\
                 {given_up})",
                Life(*from),
                session + 1
            )
        }
        Message::Write(write) => {
            let what = match write.what {
                What::Commit { taken, event: true, .. } => format!("commit of message {taken}"),
                What::Commit { acked, .. } => format!("commit of the client's ack of {acked}"),
                What::Detach => "detach".into(),
                What::End(Why::Goodbye) => "end (goodbye)".into(),
                What::End(Why::Gone) => "end (deadline)".into(),
                What::End(Why::Lost) => "end (lost)".into(),
            };
            let (from, session, epoch) = (Life(write.from), write.session + 1, write.epoch);
            format!("{from}'s {what} in epoch {epoch} of session {session}")
        }
        Message::Release { from, session, epoch } => {
            format!("{}'s release of session {} (epoch {epoch})", Life(*from), session + 1)
        }
        Message::Accepted { post } => format!("the 202 of post {}", post + 1),
        Message::Forwarded { to, post } => format!("post {} for {}", post + 1, Life(*to)),
        Message::Left { from, .. } => format!("{}'s script that tells user.left", Life(*from)),
        Message::Delivery { from, event, .. } => format!("{}'s {}", Life(*from), told(*event)),
    }
}

/// What an answer says.
fn answer(message: &Message) -> String {
    match message {
        Message::Start { stage: Stage::Answered(late), .. } => {
            if *late {
                "OK, late".into()
            } else {
                "OK: connected".into()
            }
        }
        Message::Claim(Claim { stage: Stage::Answered(claimed), .. }) => match claimed {
            Claimed::Ok { snapshot, late } => {
                let late = if *late { ", late" } else { "" };
                format!("OK: epoch {}, {} messages taken{late}", snapshot.epoch, snapshot.taken)
            }
            Claimed::RolledBack { .. } => "ROLLED_BACK".into(),
            other => format!("{other:?}").to_uppercase(),
        },
        Message::Write(Write { stage: Stage::Answered(answer), .. }) => match answer {
            Answer::RolledBack => "ROLLED_BACK".into(),
            other => format!("{other:?}").to_uppercase(),
        },
        _ => String::new(),
    }
}

/// A step as a sentence.
pub(crate) fn tell(step: &Step) -> String {
    match *step {
        Step::Open { .. }
        | Step::Resume { .. }
        | Step::Leave { .. }
        | Step::Send { .. }
        | Step::Goodbye { .. }
        | Step::Post { .. }
        | Step::PostAgain { .. }
        | Step::Accept { .. }
        | Step::Forward { .. } => of_people(step),
        Step::Crash { .. }
        | Step::Pause { .. }
        | Step::Wake { .. }
        | Step::Repeat { .. }
        | Step::GiveUp { .. }
        | Step::GiveUpEarly { .. }
        | Step::RepeatEarly { .. }
        | Step::FailOver => of_fault(step),
        Step::Execute { .. }
        | Step::ReadClaim { .. }
        | Step::Reap { .. }
        | Step::Orphan { .. }
        | Step::SweepOnce { .. }
        | Step::Due { .. }
        | Step::Replicate
        | Step::Tell { .. }
        | Step::Next { .. }
        | Step::Arrive { .. } => of_engine(step),
        _ => of_node(step),
    }
}

fn of_people(step: &Step) -> String {
    match *step {
        Step::Open { session, node: at } => {
            format!("Client {} opens a session at {}.", session + 1, node(at))
        }
        Step::Resume { session, node: at } => {
            format!("Client {} comes back with its token, at {}.", session + 1, node(at))
        }
        Step::Leave { session } => format!("The connection of client {} breaks.", session + 1),
        Step::Send { session } => format!("Client {} sends a message.", session + 1),
        Step::Goodbye { session } => format!("Client {} says goodbye.", session + 1),
        Step::Post { post } => format!("The API posts message {} to session 1.", post + 1),
        Step::PostAgain { post } => {
            format!("The caller saw no answer and posts message {} again.", post + 1)
        }
        Step::Accept { post } => format!("The caller of post {} gets 202.", post + 1),
        Step::Forward { post } => {
            format!("The API forwards post {} to the owner; its caller gets 202.", post + 1)
        }
        _ => String::new(),
    }
}

fn of_node(step: &Step) -> String {
    match *step {
        Step::TakeForwarded { message } => {
            format!("{} is read, or nobody is there.", request(&message))
        }
        Step::TakeMessage { session, node: at } => {
            format!(
                "{} takes the next message of client {} and asks to commit it.",
                node(at),
                session + 1
            )
        }
        Step::TakeAcknowledgement { session, node: at } => {
            format!(
                "{} hears what client {} received and asks to commit it.",
                node(at),
                session + 1
            )
        }
        Step::Deliver { session, node: at } => {
            format!(
                "{} reads the list and sends client {} the next message, if it goes on.",
                node(at),
                session + 1
            )
        }
        Step::Detach { session, node: at } => {
            format!("{} notices that client {} has gone and asks to detach.", node(at), session + 1)
        }
        Step::EndByGoodbye { session, node: at } => {
            format!("{} asks to end session {}.", node(at), session + 1)
        }
        Step::Audit { session, node: at, answer } => {
            let why = match answer {
                Answer::RolledBack => "the engine has lost writes",
                _ => "it is another's, or over",
            };
            format!("{} looks at session {}: {why}. It lets go.", node(at), session + 1)
        }
        Step::AskRelease { session, node: at } => {
            format!(
                "{} is said to own session {} and does not hold it: it asks to release it.",
                node(at),
                session + 1
            )
        }
        Step::Lapse { node: at, arrives, of } => {
            let (at, kept) = (node(at), arrives.count_ones());
            format!(
                "{at} sees that its lease is over, closes all and begins anew; of its {of} \
                 requests in flight {kept} will arrive."
            )
        }
        Step::Hear { message } => {
            let who = message.owner().map(Life);
            let who = who.map(|life| life.to_string()).unwrap_or_default();
            format!("{who} reads the answer to {}: {}.", request(&message), answer(&message))
        }
        _ => String::new(),
    }
}

fn of_engine(step: &Step) -> String {
    match *step {
        Step::Execute { message } => format!("The engine executes {}.", request(&message)),
        Step::ReadClaim { message } => {
            format!("The engine reads the row for {}.", request(&message))
        }
        Step::Reap { owner } => format!("{} is reaped: dead for ever.", Life(owner)),
        Step::Orphan { session, owner } => {
            format!(
                "Session {} of {} gets a deadline instead of its owner.",
                session + 1,
                Life(owner)
            )
        }
        Step::SweepOnce { owner } => {
            format!("The sessions of {} get deadlines; nobody looks again.", Life(owner))
        }
        Step::Due { session, node: at } => {
            format!(
                "The deadline of session {} passes: {} gets it and asks to end it.",
                session + 1,
                node(at)
            )
        }
        Step::Replicate => "The replica has all.".into(),
        Step::Tell { queue: of, event } => {
            format!("The backend is told {} ({}).", told(event), queue(of))
        }
        Step::Next { queue: of, node: at, event } => {
            format!(
                "{} takes the head of the queue of {}: it sends {}.",
                node(at),
                queue(of),
                told(event)
            )
        }
        Step::Arrive { message } => of_delivery(&message),
        _ => String::new(),
    }
}

fn of_delivery(message: &Message) -> String {
    let Message::Delivery { from, event, stage, .. } = *message else { return String::new() };
    let (life, event) = (Life(from), told(event));
    match stage {
        Delivery::Sent => format!("The backend gets {event} from {life} and answers."),
        Delivery::Heard => format!("{life} sees the answer to {event} and asks for its ack."),
        Delivery::Acked => format!("The engine executes {life}'s ack of {event}."),
    }
}

fn of_fault(step: &Step) -> String {
    match *step {
        Step::Crash { node: at, arrives, of } => {
            let kept = arrives.count_ones();
            format!("{} dies; of its {of} requests in flight {kept} will arrive.", node(at))
        }
        Step::Pause { node: at } => format!("{} stands still.", node(at)),
        Step::Wake { node: at } => format!("{} goes on where it stood.", node(at)),
        Step::Repeat { message } => {
            format!("The answer to {} is lost; it is asked again.", request(&message))
        }
        Step::GiveUp { message } => {
            format!("{} or its answer is lost, and the node gives up.", request(&message))
        }
        Step::GiveUpEarly { message } => {
            format!("{} takes long, and the node gives up; it will arrive.", request(&message))
        }
        Step::RepeatEarly { message } => {
            format!("{} takes long and is asked again; both will arrive.", request(&message))
        }
        Step::FailOver => "The engine fails; its replica takes over, as old as it is.".into(),
        _ => String::new(),
    }
}
