//! Runs the steps of a test run one after the other and keeps the score.

use std::time::{Duration, Instant};

use crate::run;

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All well.
    Passed,
    /// It ran and something is wrong.
    Failed(String),
    /// It did not run, and why.
    Skipped(String),
}

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// Whether a step may be left out where nobody reads the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// In CI, skipping this step is a failure.
    Always,
    /// This step may be skipped anywhere.
    WherePossible,
}

/// A step of a run.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    need: Need,
    /// The steps without which it says nothing.
    after: &'static [&'static str],
    run: fn() -> Outcome,
}

impl Step {
    /// A step that is always needed.
    pub(crate) const fn new(name: &'static str, run: fn() -> Outcome) -> Self {
        Step { name, need: Need::Always, after: &[], run }
    }

    /// It may be skipped.
    pub(crate) const fn where_possible(mut self) -> Self {
        self.need = Need::WherePossible;
        self
    }

    /// It is skipped unless these have passed.
    pub(crate) const fn after(mut self, steps: &'static [&'static str]) -> Self {
        self.after = steps;
        self
    }
}

#[derive(Debug)]
struct Done {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The steps so far.
#[derive(Debug)]
pub(crate) struct Tally {
    ci: bool,
    /// How many steps there are.
    count: usize,
    began: Instant,
    done: Vec<Done>,
}

impl Tally {
    /// An empty score of so many steps; `ci` makes a skipped step that is always needed a failure.
    pub(crate) fn new(ci: bool, count: usize) -> Self {
        Self { ci, count, began: Instant::now(), done: Vec::new() }
    }

    /// Runs a step under a header.
    pub(crate) fn step(&mut self, step: &Step) {
        let (name, number) = (step.name, self.done.len() + 1);
        println!("\n=== {number} of {}: {name}", self.count);
        let began = Instant::now();
        let outcome = match step.after.iter().find(|before| !self.has_passed(before)) {
            Some(before) => Outcome::Skipped(format!("it needs the step {before:?}")),
            None => (step.run)(),
        };
        let outcome = self.judge(step.need, outcome);
        let took = began.elapsed();
        let time = run::duration(took);
        match &outcome {
            Outcome::Passed => println!("--- {name}: passed in {time}"),
            Outcome::Failed(why) => println!("--- {name}: FAILED after {time}: {why}"),
            Outcome::Skipped(why) => println!("--- {name}: skipped: {why}"),
        }
        self.done.push(Done { name, outcome, took });
    }

    fn has_passed(&self, name: &str) -> bool {
        self.done.iter().any(|done| done.name == name && done.outcome == Outcome::Passed)
    }

    fn judge(&self, need: Need, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Skipped(why) if self.ci && need == Need::Always => {
                Outcome::Failed(format!("skipped, which CI may not do: {why}"))
            }
            other => other,
        }
    }

    /// True when no step failed.
    pub(crate) fn clean(&self) -> bool {
        !self.done.iter().any(|done| matches!(done.outcome, Outcome::Failed(_)))
    }

    /// The table of steps; its last line is the count and nothing else.
    pub(crate) fn table(&self) -> String {
        let width = self.done.iter().map(|done| done.name.chars().count()).max().unwrap_or(0);
        let mut table = String::new();
        for done in &self.done {
            let (word, why) = match &done.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Failed(why) => ("FAILED", first_line(why)),
                Outcome::Skipped(why) => ("skipped", first_line(why)),
            };
            let time = run::duration(done.took);
            let line = format!("{:width$}  {word:7}  {time:>12}  {why}", done.name);
            table.push_str(line.trim_end());
            table.push('\n');
        }
        let whole = run::duration(self.began.elapsed());
        format!("{table}\nThe whole run took {whole}.\n{}", self.count())
    }

    fn count(&self) -> String {
        let of = |wanted: fn(&Outcome) -> bool| {
            self.done.iter().filter(|done| wanted(&done.outcome)).count()
        };
        let passed = of(|outcome| *outcome == Outcome::Passed);
        let failed = of(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = of(|outcome| matches!(outcome, Outcome::Skipped(_)));
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(ci: bool) -> Tally {
        let mut tally = Tally::new(ci, 4);
        let skipped = Step::new("autobahn", || Outcome::Skipped("old".into())).where_possible();
        for step in [
            Step::new("format", || Outcome::Passed).after(&[]),
            Step::new("unit", || Outcome::Failed("a\nb".into())).after(&["format"]),
            Step::new("browsers", || Outcome::Passed).after(&["format", "unit"]),
            skipped,
        ] {
            tally.step(&step);
        }
        tally
    }

    #[test]
    fn the_last_line_is_the_count() {
        let table = tally(false).table();
        assert_eq!(table.lines().last(), Some("1 passed, 1 failed, 2 skipped"));
        assert!(table.lines().any(|line| line.starts_with("unit ") && line.ends_with("  a")));
    }

    #[test]
    fn in_ci_only_what_is_not_always_needed_may_be_skipped() {
        let table = tally(true).table();
        assert_eq!(table.lines().last(), Some("1 passed, 2 failed, 1 skipped"));
    }

    #[test]
    fn a_step_says_nothing_without_those_that_it_needs() {
        let why = "it needs the step \"unit\"";
        assert_eq!(tally(false).done[2].outcome, Outcome::Skipped(why.into()));
    }

    #[test]
    fn a_skipped_step_is_no_failure_and_a_failed_one_is() {
        let mut tally = Tally::new(false, 2);
        tally.step(&Step::new("autobahn", || Outcome::Skipped("no Python".into())));
        assert!(tally.clean());
        tally.step(&Step::new("unit", || Outcome::from(Err("no".to_owned()))));
        assert!(!tally.clean());
    }
}
