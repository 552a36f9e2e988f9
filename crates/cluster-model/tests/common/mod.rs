//! What the tests of the model share.

use cluster_model::{Outcome, Property, Scenario, Variant, explore};

/// So many states are some seconds; a small scenario has fewer.
const LIMIT: usize = 3_000_000;

fn explored(scenario: &Scenario) -> Outcome {
    let outcome = explore(scenario, LIMIT);
    let Outcome { states, depth, took, .. } = &outcome;
    let (name, variant) = (scenario.name, scenario.variant);
    println!("{name}, {variant:?}: {states} states, {depth} steps deep, {took:.1?}");
    outcome
}

/// All states are reached, and all properties hold, liveness too.
pub(crate) fn holds(scenario: &Scenario) {
    let outcome = explored(scenario);
    if let Some(story) = outcome.violation {
        panic!("{}:\n{story}", scenario.name);
    }
    assert!(outcome.complete, "{} was cut off at {} states", scenario.name, outcome.states);
}

/// The explorer finds what is wrong with a variant, and nothing where the protocol is right.
#[allow(dead_code, reason = "not every test has variants")]
pub(crate) fn only_breaks(scenario: &Scenario, variant: Variant, property: Property) {
    let outcome = explored(&scenario.with(variant, property));
    let Some(story) = outcome.violation else {
        panic!("{variant:?} breaks nothing in {} states", outcome.states);
    };
    println!("{story}");
    assert_eq!(story.property, property, "{story}");
    holds(scenario);
}
