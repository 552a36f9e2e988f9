//! Explores the large scenarios and prints the table that `conformance/cluster-model.txt` keeps.

use std::process::ExitCode;

use cluster_model::{Budget, Outcome, Scenario, Telling, explore};

/// So many states are expanded of a scenario at most: enough for all of them.
const ALL: usize = 20_000_000;
/// So many of those that no machine comes to the end of.
const SOME: usize = 6_000_000;

const NONE: Budget = Budget::NONE;

fn plain(name: &'static str, budget: Budget) -> Scenario {
    Scenario::of(name, budget)
}

fn http(name: &'static str, budget: Budget) -> Scenario {
    Scenario { telling: Telling::Http, ..plain(name, budget) }
}

/// Events wait for the replica.
fn replicated(name: &'static str, budget: Budget) -> Scenario {
    Scenario { telling: Telling::OneStep, ..plain(name, budget) }
}

fn three_nodes(scenario: Scenario) -> Scenario {
    Scenario { nodes: 3, ..scenario }
}

fn two_sessions(scenario: Scenario) -> Scenario {
    Scenario { sessions: 2, ..scenario }
}

const RESUME: Budget = Budget { resumes: 1, ..NONE };
const RESUMES: Budget = Budget { resumes: 2, ..NONE };
const LOST: Budget = Budget { losses: 1, duplicates: 1, ..NONE };
const FAILOVER: Budget = Budget { failovers: 1, resumes: 1, ..NONE };

fn of_sessions() -> Vec<Scenario> {
    vec![
        plain("2 messages, crash, 2 resumes", Budget { sends: 2, crashes: 1, ..RESUMES }),
        plain("2 messages, pause, 2 resumes", Budget { sends: 2, pauses: 1, ..RESUMES }),
        plain(
            "message, lost, twice, abandoned, 2 resumes",
            Budget { sends: 1, resumes: 2, abandons: 1, ..LOST },
        ),
        plain(
            "message, crash, lost, abandoned, 2 resumes",
            Budget { sends: 1, crashes: 1, losses: 1, abandons: 1, ..RESUMES },
        ),
        three_nodes(plain(
            "2 posts, crash, pause, 2 resumes",
            Budget { posts: 2, crashes: 1, pauses: 1, ..RESUMES },
        )),
        Scenario {
            keeps: 1,
            ..plain(
                "2 posts, one is kept, crash, pause, 2 resumes",
                Budget { posts: 2, crashes: 1, pauses: 1, ..RESUMES },
            )
        },
        three_nodes(plain(
            "crash, pause, abandoned, 2 resumes",
            Budget { crashes: 1, pauses: 1, abandons: 1, ..RESUMES },
        )),
        two_sessions(plain(
            "goodbye, crash, lost, twice, resume",
            Budget { goodbyes: 1, crashes: 1, resumes: 1, ..LOST },
        )),
        two_sessions(plain(
            "goodbye, pause, 2 resumes",
            Budget { goodbyes: 1, pauses: 1, ..RESUMES },
        )),
    ]
}

fn of_delivery() -> Vec<Scenario> {
    let slow = |budget| Budget { slow_holds: 1, ..budget };
    vec![
        http("2 messages, crash, resume", slow(Budget { sends: 2, crashes: 1, ..RESUME })),
        http("message, pause, resume", slow(Budget { sends: 1, pauses: 1, ..RESUME })),
        http("message, lost, twice, resume", slow(Budget { sends: 1, resumes: 1, ..LOST })),
        http(
            "goodbye, message, crash, resume",
            slow(Budget { goodbyes: 1, sends: 1, crashes: 1, ..RESUME }),
        ),
        two_sessions(http("goodbye, crash", slow(Budget { goodbyes: 1, crashes: 1, ..NONE }))),
    ]
}

fn of_failovers() -> Vec<Scenario> {
    vec![
        replicated("2 messages, 2 resumes", Budget { sends: 2, resumes: 2, ..FAILOVER }),
        replicated(
            "message, crash, abandoned, 2 resumes",
            Budget { sends: 1, crashes: 1, abandons: 1, resumes: 2, ..FAILOVER },
        ),
        replicated("message, pause, resume", Budget { sends: 1, pauses: 1, ..FAILOVER }),
        replicated(
            "message, lost, twice, resume",
            Budget { sends: 1, losses: 1, duplicates: 1, ..FAILOVER },
        ),
        replicated("2 posts, crash, resume", Budget { posts: 2, crashes: 1, ..FAILOVER }),
        replicated(
            "message, post, crash, resume",
            Budget { sends: 1, posts: 1, crashes: 1, ..FAILOVER },
        ),
        http("2 messages, crash, resume", Budget { sends: 2, crashes: 1, ..FAILOVER }),
        two_sessions(replicated("goodbye, resume", Budget { goodbyes: 1, ..FAILOVER })),
        replicated("2 posts, resume", Budget { posts: 2, failovers: 2, ..RESUME }),
        http("message, resume", Budget { sends: 1, failovers: 2, ..RESUME }),
    ]
}

fn of_everything() -> Vec<Scenario> {
    let everything = Budget {
        resumes: 2,
        abandons: 1,
        sends: 1,
        posts: 1,
        goodbyes: 1,
        crashes: 1,
        pauses: 1,
        losses: 1,
        duplicates: 1,
        slow_holds: 1,
        failovers: 0,
    };
    let with_failover = Budget { failovers: 1, ..everything };
    vec![
        plain("everything but a failover", everything),
        http("everything but a failover", everything),
        three_nodes(plain("everything but a failover", everything)),
        two_sessions(plain("everything but a failover", everything)),
        replicated("everything", with_failover),
        http("everything", with_failover),
    ]
}

fn telling(scenario: &Scenario) -> &'static str {
    match scenario.telling {
        Telling::AtOnce => "at once",
        Telling::OneStep => "WAIT",
        Telling::Http => "HTTP",
    }
}

fn row(scenario: &Scenario, outcome: &Outcome) -> String {
    let reached = if outcome.complete { "all" } else { "cut off" };
    let holds = match (&outcome.violation, outcome.complete) {
        (Some(story), _) => format!("BROKEN: {:?}", story.property),
        (None, true) => "safety, liveness".into(),
        (None, false) => "safety so far".into(),
    };
    let Scenario { name, nodes, sessions, budget, .. } = scenario;
    let Outcome { states, expanded, depth, took, .. } = outcome;
    let (told, failovers, seconds) = (telling(scenario), budget.failovers, took.as_secs_f64());
    format!(
        "{name:<46} {nodes:>5} {sessions:>8} {failovers:>9}  {told:<8} {states:>10} \
         {expanded:>10} {depth:>5}  {reached:<7}  {holds:<16} {seconds:>6.1} s"
    )
}

fn main() -> ExitCode {
    println!(
        "{:<46} nodes sessions failovers  told     {:>10} {:>10} depth  reached  {:<16} {:>8}",
        "what may happen", "states", "expanded", "holds", "time"
    );
    let mut broken = false;
    let whole = [of_sessions(), of_delivery(), of_failovers()].concat();
    let whole = whole.into_iter().map(|scenario| (scenario, ALL));
    let cut_off = of_everything().into_iter().map(|scenario| (scenario, SOME));
    for (scenario, limit) in whole.chain(cut_off) {
        let outcome = explore(&scenario, limit);
        println!("{}", row(&scenario, &outcome));
        // Standard output may be kept from the person who waits.
        eprintln!("{}: {} states", scenario.name, outcome.states);
        if let Some(story) = &outcome.violation {
            broken = true;
            eprintln!("{}:\n{story}", scenario.name);
        }
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
