//! An exhaustive model of the protocol by which many gateways share sessions in one engine (Redis
//! or Valkey), before there is code of it: each state that the protocol can come to in a small
//! world, by every order of steps, with every fault that the scenario allows.
//!
//! The engine is the mailbox, and what it does is done by *scripts*, each of which is one step here
//! (`engine`). A *node* is a gateway. Each session has an *owner*, the node that has its
//! connection. The owner knows what nobody else does: the client's messages, the acknowledgements,
//! the end. Everything else (messages to the client, deadlines, events) any node may do.
//!
//! # Words
//!
//! | protocol | model |
//! |---|---|
//! | the row `s{slot}:SID`: e, n, g, c | `Row`: `epoch`, `nonce`, `generation`, `confirmed` |
//! | its i, t, a | `taken`, `tail()`, `acked` |
//! | the list `o{slot}:SID` of messages with tags | `Row::outbox`; a message *is* its tag |
//! | `x{slot}`: owner or deadline | `Row::x` |
//! | `u{slot}:USER` | `Engine::user`, a bit for each session |
//! | `q{slot}:SID`, `q{slot}:u:USER` | `Engine::queues` |
//! | ce-id, the id of an event | `Event::id`: the nonce of its write |
//! | `D{nodes}`, lives of nodes that are over for ever | `Engine::dead` |
//! | start, claim, post, release, ack | functions of these names in `engine` |
//! | commit, detach, end under the fence (epoch, nonce) | `Write`, judged by `judge` |
//! | due, orphan, reap, next | `due`, `disown`, `Step::Reap`, `Step::Next` |
//! | renew | none: a lease lapses while its node cannot renew it, and only then |
//! | a node's memory of a session | `Held` |
//! | the offer `TOKEN.N.TAG.A` | `generation`, `received`, `tag`, `acknowledged` of `Client` |
//! | `WAIT 1` | a step that is not possible before the replica has it |
//! | a request or an answer on its way | `Message`, at any time and in any order |
//!
//! # What is honest about it
//!
//! A request may be executed after its sender died: the death of a node decides for each of its
//! requests whether it arrives. An answer may be lost; its reader repeats the request with the same
//! nonce, or gives up, and the first one may still arrive. A node that stood still reads old
//! answers when it wakes. Nonces are renumbered in each state (`canon`), so that states which
//! differ in nothing else are one.
//!
//! # What time is assumed to do
//!
//! Time is free: a lease lapses as soon as its node stands still, a deadline as soon as it is set.
//! Three rules keep what no clock would do out of it, and the protocol has to keep them:
//!
//! 1. *A deadline outlasts the audit.* No deadline passes while a node that runs still believes
//!    that it has the client: it looks at what it holds each L, and after a promotion before
//!    anybody asks for deadlines again; no deadline is shorter than that
//!    ([`Variant::DeadlineBeforeAudit`]).
//! 2. *An answer that makes a node an owner is old when a deadline that was set behind it has
//!    passed, and when its node stood still.* It is thrown away then.
//! 3. *A client that is at a node that stands still is not connected*: it hears nothing.
//!
//! # What the exploration asked for
//!
//! The protocol explored here has rules that its first text did not have. Each is a [`Variant`],
//! with the run in which it is missed in `tests/stories.rs`.
//!
//! * A commit names the tag of the message that the client received, as a claim does. A post does
//!   not change the nonce, so the fence does not see a lost one, and the number alone takes out
//!   another message ([`Variant::CommitWithoutTag`]).
//! * A request does not outlive its engine. After a promotion a node sends again what it asks as an
//!   owner, or for a client that still waits: not an `end` that `due` gave it before
//!   ([`Variant::EndRepeatedOverFailover`]), not the claim of a client that has gone
//!   ([`Variant::ClaimRepeatedForNobody`]), and nothing that came twice
//!   ([`Variant::RequestsOutliveTheEngine`]: the same claim twice is the same epoch and the same
//!   nonce, and its owner does not see the rollback between). So no library may repeat by itself.
//! * What is over is remembered for as long as a request may be late: a start that comes again is
//!   refused ([`Variant::EndsForgotten`]).
//! * The sessions of a dead node are sought again and again, not once when it is found dead: its
//!   claim may arrive later ([`Variant::OrphansSoughtOnce`]).
//! * A node looks whether the sessions that it holds are still its own, idle ones too
//!   ([`Variant::NoAuditOfConnections`]).
//! * Whether an answer is too old is asked of a start as of a claim.
//! * `ROLLED_BACK` to a commit changes nothing in the engine: the commit may be an old one that
//!   comes again. The row that is left is ended by the audit, or by its deadline.
//!
//! # What is not in it
//!
//! The length of waits, dead letters, an old primary that still answers
//! (split brain), rooms, more users than one. A node that cannot reach the engine is one that
//! stands still. `session.ended` has one reason. The epoch in a token is left out: the generation
//! alone has to do. A post of which the caller saw no answer is repeated at once or not at all.

#![forbid(unsafe_code)]

mod backend;
mod canon;
mod client;
mod engine;
mod explore;
mod fault;
mod initial;
mod list;
mod node;
mod property;
mod scenario;
mod sim;
mod state;
mod step;
mod story;
mod variant;

pub use explore::{Outcome, explore};
pub use property::Property;
pub use scenario::{Budget, Scenario, Telling};
pub use story::Story;
pub use variant::Variant;
