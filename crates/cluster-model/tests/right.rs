//! The protocol in small worlds, each explored to the end: all properties hold in every state, and
//! from each the session can still be brought to its end.

mod common;

use std::collections::BTreeSet;

use cluster_model::{Budget, Scenario, Telling};
use common::holds;

const NONE: Budget = Budget::NONE;

/// Two sessions of the same user.
fn two_sessions(scenario: Scenario) -> Scenario {
    Scenario { sessions: 2, ..scenario }
}

fn three_nodes(scenario: Scenario) -> Scenario {
    Scenario { nodes: 3, ..scenario }
}

/// Events go through HTTP.
fn delivered(scenario: Scenario) -> Scenario {
    Scenario { telling: Telling::Http, ..scenario }
}

/// Events wait for the replica.
fn replicated(scenario: Scenario) -> Scenario {
    Scenario { telling: Telling::OneStep, ..scenario }
}

#[test]
fn a_session_ends_once_where_nothing_fails() {
    holds(&Scenario::of("goodbye, resume", Budget { goodbyes: 1, resumes: 1, ..NONE }));
}

#[test]
fn a_node_may_die_at_any_step() {
    let budget = Budget { crashes: 1, resumes: 2, abandons: 1, ..NONE };
    holds(&Scenario::of("crash, abandoned, resumes", budget));
}

#[test]
fn a_node_may_stand_still_for_longer_than_its_lease() {
    let budget = Budget { pauses: 1, resumes: 2, abandons: 1, ..NONE };
    holds(&Scenario::of("pause, abandoned, resumes", budget));
}

#[test]
fn two_of_three_nodes_may_fail() {
    let budget = Budget { crashes: 2, resumes: 1, ..NONE };
    holds(&three_nodes(Scenario::of("two crashes, resume", budget)));
    let budget = Budget { crashes: 1, pauses: 1, resumes: 1, ..NONE };
    holds(&three_nodes(Scenario::of("crash, pause, resume", budget)));
}

#[test]
fn requests_and_replies_may_be_lost_and_come_twice() {
    let budget = Budget { sends: 1, losses: 1, duplicates: 1, resumes: 2, ..NONE };
    holds(&Scenario::of("message, lost, twice, resumes", budget));
}

#[test]
fn messages_of_the_client_survive_a_crash() {
    let budget = Budget { sends: 2, crashes: 1, resumes: 2, ..NONE };
    holds(&Scenario::of("messages, crash, resumes", budget));
}

#[test]
fn messages_of_the_client_survive_a_node_that_stands_still() {
    let budget = Budget { sends: 1, pauses: 1, resumes: 2, ..NONE };
    holds(&Scenario::of("message, pause, resumes", budget));
}

#[test]
fn posts_survive_a_crash() {
    let budget = Budget { posts: 2, crashes: 1, resumes: 2, ..NONE };
    holds(&Scenario::of("posts, crash, resumes", budget));
}

#[test]
fn a_user_is_there_while_a_session_is() {
    let budget = Budget { goodbyes: 2, crashes: 1, losses: 1, duplicates: 1, ..NONE };
    holds(&two_sessions(Scenario::of("two sessions, crash, lost, twice", budget)));
    let budget = Budget { goodbyes: 1, pauses: 1, resumes: 1, ..NONE };
    holds(&two_sessions(Scenario::of("two sessions, pause, resume", budget)));
}

#[test]
fn events_are_told_in_order_by_nodes_that_die() {
    let budget = Budget { sends: 2, crashes: 1, slow_holds: 1, ..NONE };
    holds(&delivered(Scenario::of("messages, delivery, crash", budget)));
}

#[test]
fn events_are_told_in_order_by_nodes_that_stand_still() {
    let budget = Budget { sends: 1, pauses: 1, slow_holds: 1, ..NONE };
    holds(&delivered(Scenario::of("message, delivery, pause", budget)));
}

#[test]
fn a_failover_loses_no_acknowledged_message_in_silence() {
    let budget = Budget { failovers: 1, sends: 1, resumes: 1, abandons: 1, crashes: 1, ..NONE };
    holds(&replicated(Scenario::of("failover, message, crash, abandoned, resume", budget)));
    let budget = Budget { failovers: 1, sends: 1, pauses: 1, ..NONE };
    holds(&replicated(Scenario::of("failover, message, pause", budget)));
}

#[test]
fn a_failover_loses_no_post_that_was_accepted() {
    let budget = Budget { failovers: 1, posts: 2, resumes: 1, ..NONE };
    holds(&replicated(Scenario::of("failover, posts, resume", budget)));
}

#[test]
fn a_failover_tells_no_end_twice_and_no_departure_of_who_is_there() {
    let budget = Budget { failovers: 1, goodbyes: 1, duplicates: 1, ..NONE };
    holds(&two_sessions(replicated(Scenario::of("failover, two sessions", budget))));
    let budget = Budget { failovers: 1, sends: 1, resumes: 1, ..NONE };
    holds(&delivered(Scenario::of("failover, message, delivery", budget)));
}

/// Of what was not reached nothing is known, least of all that no end can be reached.
#[test]
fn an_exploration_that_is_cut_off_says_nothing_of_liveness() {
    let scenario = Scenario::of("crash", Budget { crashes: 1, ..NONE });
    let outcome = cluster_model::explore(&scenario, 3);
    assert!(!outcome.complete && outcome.violation.is_none() && outcome.expanded == 3);
}

/// A property of what never happens holds in vain.
#[test]
fn every_script_gives_every_answer_somewhere() {
    let failing = Budget { crashes: 1, pauses: 1, losses: 1, duplicates: 1, ..NONE };
    let worlds = [
        Scenario::of("faults", Budget { sends: 1, goodbyes: 1, resumes: 1, ..failing }),
        Scenario::of("abandoned", Budget { sends: 1, resumes: 2, abandons: 1, ..failing }),
        Scenario { keeps: 1, ..Scenario::of("posts", Budget { posts: 2, resumes: 1, ..NONE }) },
        delivered(Scenario::of("delivery", Budget { pauses: 1, ..NONE })),
        two_sessions(Scenario::of("two sessions", Budget { goodbyes: 1, pauses: 1, ..NONE })),
        replicated(Scenario::of(
            "failover",
            Budget { failovers: 1, sends: 1, posts: 1, goodbyes: 1, resumes: 1, ..NONE },
        )),
    ];
    let mut happened = BTreeSet::new();
    for world in worlds {
        let outcome = cluster_model::explore(&world, 200_000);
        assert!(outcome.violation.is_none(), "{}", world.name);
        happened.extend(outcome.happened);
    }
    let expected = BTreeSet::from([
        "202 behind WAIT",
        "HTTP",
        "a claim that nobody waits for",
        "a lease that ended",
        "a message to the client",
        "a start that nobody waits for",
        "a write that nobody waits for",
        "an answer of the backend that is read late",
        "audit: another's",
        "audit: rolled back",
        "claim: EXPIRED",
        "claim: LOST",
        "claim: OK",
        "claim: OK, late",
        "claim: ROLLED_BACK",
        "claim: STALE",
        "commit: FENCED",
        "commit: OK",
        "commit: ROLLED_BACK",
        "detach: FENCED",
        "detach: OK",
        "detach: ROLLED_BACK",
        "due",
        "end: FENCED",
        "end: OK",
        "end: ROLLED_BACK",
        "failover",
        "orphan",
        "release",
        "start: OK",
        "start: late or over",
    ]);
    assert_eq!(happened, expected);
}
