//! No two endings look alike, over every transport: each way to end is walked over TCP, TLS of this
//! crate, TLS of another, a buffered stream, a Unix socket and a pipe in memory. What is told
//! apart, what cannot be, and that no transport claims what it cannot know.
#![cfg(all(feature = "tls", target_os = "linux"))]

mod expected;
mod gate;
mod over;
mod peer;
#[path = "../served/mod.rs"]
mod served;
#[path = "../tls_peer/mod.rs"]
mod tls_peer;
mod told;
mod ways;
#[path = "../support/words.rs"]
mod words;

use std::fmt::Write;

use expected::{Facts, UNKNOWABLE, unknowable};
use gate::Gate;
use over::Over;
use peer::Peer;
use tls_peer::Authority;
use told::Told;
use ways::{Scene, Server};

/// Walks one way to its end.
fn walk(over: Over, authority: &Authority, scene: &Scene) -> Told {
    let gate = Gate::new();
    let (served, peer) = over.open(authority, scene, &gate);
    let server = Server { served, gate };
    let open = (scene.walk)(peer, &server);
    let ending = server.served.account().ending;
    let heard_close = open.map(Peer::has_heard_a_close);
    server.served.stop();
    Told { way: scene.way, name: scene.name, ending, heard_close }
}

/// Walks all ways that there are over this transport, and prints what is told of them.
fn walk_all(over: Over) -> Vec<Told> {
    let authority = tls_peer::authority();
    let scenes = ways::all().filter(|scene| (scene.over)(over));
    let told: Vec<_> = scenes.map(|scene| walk(over, &authority, &scene)).collect();
    println!("{}", table(over, &told));
    told
}

/// The sentences of all ways, then what cannot be told apart.
fn table(over: Over, told: &[Told]) -> String {
    let mut table = format!("{over:?}\n");
    for told in told {
        let _ = writeln!(table, "  {}: {}", told.name, told.sentence());
    }
    let name =
        |way| told.iter().find(|told| told.way == way).map_or("not walked", |told| told.name);
    for (_, one, other, why) in UNKNOWABLE.iter().filter(|(on, ..)| *on == over) {
        let (one, other) = (name(*one), name(*other));
        let _ = writeln!(table, "  cannot be told apart: {one} | {other}: {why}");
    }
    table
}

/// The facts of each way that are not as the table has them.
fn wrong_facts(over: Over, told: &[Told]) -> Vec<String> {
    let wrong = told.iter().filter_map(|Told { way, ending, .. }| {
        let (told, expected) = (Facts::told(ending), Facts::of(*way, over));
        let right = told == expected && ending.transport.kind == over.kind();
        (!right).then(|| format!("{over:?}, {way:?}: {told:?} instead of {expected:?}: {ending}"))
    });
    wrong.collect()
}

/// The ways of which more is told than can be known.
fn wrong_claims(over: Over, told: &[Told]) -> Vec<String> {
    let wrong = told.iter().filter_map(|told| {
        let claim = told.claims_too_much(over)?;
        Some(format!("{over:?}, {:?} claims {claim}: {}", told.way, told.ending))
    });
    wrong.collect()
}

/// The ways of which it is told wrongly whether our Close left.
fn wrong_closes(over: Over, told: &[Told]) -> Vec<String> {
    let wrong = told.iter().filter(|told| told.is_wrong_of_our_close());
    let line = |Told { way, heard_close, ending, .. }: &Told| {
        format!("{over:?}, {way:?}: whether our Close came: {heard_close:?}: {ending}")
    };
    wrong.map(line).collect()
}

/// Pairs that look alike and should not, or that differ though that cannot be known.
fn wrong_pairs(over: Over, told: &[Told]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, one) in told.iter().enumerate() {
        for other in &told[..i] {
            let same_sentence = one.sentence() == other.sentence();
            let same = (one.same_report(other), same_sentence);
            let pair = format!("{over:?}: \"{}\" and \"{}\"", other.name, one.name);
            match unknowable(over, one.way, other.way) {
                None if same != (false, false) => {
                    wrong.push(format!("{pair} look alike: {}", one.ending));
                }
                Some(why) if same != (true, true) => wrong.push(format!(
                    "{pair} differ, though {why}: {} | {}",
                    other.ending, one.ending
                )),
                _ => {}
            }
        }
    }
    wrong
}

fn no_two_endings_look_alike(over: Over) {
    let told = walk_all(over);
    let wrong = [wrong_facts, wrong_claims, wrong_closes, wrong_pairs]
        .map(|wrong| wrong(over, &told))
        .concat();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_two_endings_look_alike_over_tcp() {
    no_two_endings_look_alike(Over::Tcp);
}

#[test]
fn no_two_endings_look_alike_over_our_tls() {
    no_two_endings_look_alike(Over::Tls);
}

#[test]
fn no_two_endings_look_alike_over_tls_that_is_not_ours() {
    no_two_endings_look_alike(Over::ForeignTls);
}

#[test]
fn no_two_endings_look_alike_over_a_stream_that_buffers() {
    no_two_endings_look_alike(Over::Buffered);
}

#[test]
fn no_two_endings_look_alike_over_a_unix_socket() {
    no_two_endings_look_alike(Over::Unix);
}

#[test]
fn no_two_endings_look_alike_over_a_pipe_in_memory() {
    no_two_endings_look_alike(Over::Pipe);
}

/// A pair that is listed is one that is walked: else it would stand there unproved.
#[test]
fn what_cannot_be_known_is_listed_of_ways_that_are_walked() {
    for (over, one, other, why) in UNKNOWABLE {
        for way in [one, other] {
            let walked = ways::all().any(|scene| scene.way == way && (scene.over)(over));
            assert!(walked, "{over:?}, {way:?} is never walked: {why}");
        }
        assert_ne!(one, other);
    }
}
