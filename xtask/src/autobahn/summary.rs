//! The verdicts of one run: read from the testsuite's report, judged, compared, kept.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::python;

/// Cases that have no right answer: the testsuite only tells what a peer does (7.1.6 sends a large
/// message right before a Close; 7.13 closes with codes that no specification defines).
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

/// The sections of compression.
const COMPRESSION: [u32; 2] = [12, 13];

/// The number of a case, such as 6.4.1, in its numerical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case(Vec<u32>);

impl Case {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        parts.map(Self).map_err(|_| format!("{text} is no number of a case"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// What the testsuite says of one case, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    behavior: String,
    /// Of the closing handshake.
    close: String,
}

impl Verdict {
    fn parse(behavior: &Value, close: &Value) -> Result<Self, String> {
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no verdict"))
        };
        Ok(Self { behavior: text(behavior)?, close: text(close)? })
    }

    fn good_for(&self, case: &Case) -> bool {
        let informational = INFORMATIONAL.contains(&case.to_string().as_str());
        [&self.behavior, &self.close]
            .into_iter()
            .all(|word| word == "OK" || (informational && word == "INFORMATIONAL"))
    }

    fn worse_than(&self, other: &Self) -> bool {
        rank(&self.behavior) > rank(&other.behavior) || rank(&self.close) > rank(&other.close)
    }
}

/// From good to bad. The rest are FAILED, and for closes WRONG CODE, UNCLEAN, FAILED BY CLIENT.
fn rank(word: &str) -> u8 {
    match word {
        "OK" => 0,
        "INFORMATIONAL" => 1,
        "NON-STRICT" => 2,
        "UNIMPLEMENTED" => 3,
        _ => 4,
    }
}

/// All verdicts of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    suite: String,
    results: BTreeMap<Case, Verdict>,
}

impl Summary {
    /// Reads the testsuite's `index.json`, which must speak of one agent.
    pub(super) fn from_index(index: &str) -> Result<Self, String> {
        let index: Value = serde_json::from_str(index).map_err(|error| error.to_string())?;
        let agents: Vec<&Value> =
            index.as_object().into_iter().flat_map(|all| all.values()).collect();
        let [agent] = agents[..] else {
            return Err(format!("the report speaks of {} agents", agents.len()));
        };
        let cases = agent.as_object().into_iter().flatten();
        let results = cases.map(|(case, said)| {
            Ok((Case::parse(case)?, Verdict::parse(&said["behavior"], &said["behaviorClose"])?))
        });
        let suite = python::suite_version().to_owned();
        Ok(Self { suite, results: results.collect::<Result<_, String>>()? })
    }

    /// Reads a kept summary.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let kept: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let suite = kept["suite"].as_str().ok_or("it does not name the suite")?.to_owned();
        let results = kept["results"].as_object().ok_or("it has no results")?;
        let results = results
            .iter()
            .map(|(case, said)| Ok((Case::parse(case)?, Verdict::parse(&said[0], &said[1])?)));
        Ok(Self { suite, results: results.collect::<Result<_, String>>()? })
    }

    /// The form that is kept: a line for each case, in numerical order, so that a difference is
    /// read at a glance. Nothing in it changes from run to run.
    pub(super) fn to_json(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let counts = |of: fn(&Verdict) -> &str| {
            let counts = self.count(of);
            let pairs = counts.iter().map(|(word, count)| format!("{}: {count}", quoted(word)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        };
        let lines = self.results.iter().map(|(case, said)| {
            format!("    \"{case}\": [{}, {}]", quoted(&said.behavior), quoted(&said.close))
        });
        let mut json = String::from("{\n");
        let _ = writeln!(json, "  \"suite\": {},", quoted(&self.suite));
        let _ = writeln!(json, "  \"cases\": {},", self.cases());
        let _ = writeln!(json, "  \"behavior\": {},", counts(|said| &said.behavior));
        let _ = writeln!(json, "  \"behaviorClose\": {},", counts(|said| &said.close));
        let lines: Vec<String> = lines.collect();
        let _ = writeln!(json, "  \"results\": {{\n{}\n  }}\n}}", lines.join(",\n"));
        json
    }

    /// How many cases have a verdict.
    pub(super) fn cases(&self) -> u64 {
        self.results.len() as u64
    }

    /// The counts in a sentence.
    pub(super) fn counts(&self) -> String {
        let counts = self.count(|said| &said.behavior);
        let words = counts.iter().map(|(word, count)| format!("{count} {word}"));
        format!("{} cases: {}", self.cases(), words.collect::<Vec<_>>().join(", "))
    }

    fn count<'a>(&'a self, of: impl Fn(&'a Verdict) -> &'a str) -> BTreeMap<&'a str, u64> {
        let mut counts = BTreeMap::new();
        self.results.values().for_each(|said| *counts.entry(of(said)).or_default() += 1);
        counts
    }

    /// Every case that is not as it must be.
    pub(super) fn faults(&self) -> Vec<String> {
        let bad = self.results.iter().filter(|(case, said)| !said.good_for(case));
        bad.map(|(case, said)| format!("{case} is {}, close {}", said.behavior, said.close))
            .collect()
    }

    /// The cases of compression, and those of all else.
    pub(super) fn split(self) -> (Self, Self) {
        let (suite, other) = (self.suite.clone(), self.suite);
        let (results, rest) =
            self.results.into_iter().partition(|(case, _)| COMPRESSION.contains(&case.0[0]));
        (Self { suite, results }, Self { suite: other, results: rest })
    }

    /// Every case that was better in this summary than it is now; and, where all were to be run,
    /// every one that is gone.
    pub(super) fn got_worse(&self, now: &Self, all: bool) -> Vec<String> {
        let kept = self.results.iter();
        kept.filter_map(|(case, was)| match now.results.get(case) {
            None => all.then(|| format!("{case} was not run")),
            Some(is) if is.worse_than(was) => Some(format!(
                "{case} got worse: {}, close {} (was {}, close {})",
                is.behavior, is.close, was.behavior, was.close
            )),
            Some(_) => None,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(cases: &[(&str, &str, &str)]) -> Summary {
        let said: serde_json::Map<String, Value> = cases
            .iter()
            .map(|(case, behavior, close)| {
                let said = serde_json::json!({ "behavior": behavior, "behaviorClose": close,
                    "duration": 3, "remoteCloseCode": 1000 });
                ((*case).to_owned(), said)
            })
            .collect();
        Summary::from_index(&serde_json::json!({ "adieu": said }).to_string()).unwrap()
    }

    #[test]
    fn the_kept_form_is_read_back_and_is_in_numerical_order() {
        let summary =
            summary(&[("10.1.1", "OK", "OK"), ("2.10", "OK", "OK"), ("2.9", "NON-STRICT", "OK")]);
        let json = summary.to_json();
        assert_eq!(Summary::parse(&json).unwrap(), summary);
        let cases: Vec<&str> = json.lines().filter(|line| line.starts_with("    ")).collect();
        let expected = [
            "    \"2.9\": [\"NON-STRICT\", \"OK\"],",
            "    \"2.10\": [\"OK\", \"OK\"],",
            "    \"10.1.1\": [\"OK\", \"OK\"]",
        ];
        assert_eq!(cases, expected);
        assert!(json.contains("\"behavior\": { \"NON-STRICT\": 1, \"OK\": 2 },"), "{json}");
    }

    #[test]
    fn informational_is_accepted_for_three_cases_only() {
        let both = "INFORMATIONAL";
        let summary = summary(&[
            ("7.1.6", both, both),
            ("7.13.1", both, "OK"),
            ("7.1.5", both, "OK"),
            ("6.4.1", "NON-STRICT", "OK"),
            ("9.3.1", "OK", "UNCLEAN"),
            ("1.1.1", "OK", "OK"),
        ]);
        let faults = summary.faults();
        let expected = [
            "6.4.1 is NON-STRICT, close OK",
            "7.1.5 is INFORMATIONAL, close OK",
            "9.3.1 is OK, close UNCLEAN",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_case_that_is_worse_or_gone_is_named() {
        let kept = summary(&[
            ("1.1.1", "OK", "OK"),
            ("1.1.2", "OK", "OK"),
            ("6.4.1", "NON-STRICT", "OK"),
            ("9.1.1", "OK", "OK"),
        ]);
        let now = summary(&[("1.1.1", "OK", "WRONG CODE"), ("6.4.1", "OK", "OK")]);
        let worse = "1.1.1 got worse: OK, close WRONG CODE (was OK, close OK)";
        assert_eq!(kept.got_worse(&now, false), [worse]);
        let gone = ["1.1.2 was not run", "9.1.1 was not run"];
        assert_eq!(kept.got_worse(&now, true), [worse, gone[0], gone[1]]);
        assert_eq!(kept.got_worse(&kept, true), Vec::<String>::new());
    }

    #[test]
    fn cases_of_compression_are_kept_apart() {
        let all =
            summary(&[("1.1.1", "OK", "OK"), ("12.1.1", "OK", "OK"), ("13.7.18", "OK", "OK")]);
        let (compression, rest) = all.split();
        assert_eq!((compression.cases(), rest.cases()), (2, 1));
    }

    #[test]
    fn a_report_of_two_agents_or_of_none_is_refused() {
        assert!(Summary::from_index("{}").unwrap_err().contains("0 agents"));
        assert!(Summary::from_index(r#"{"a":{},"b":{}}"#).unwrap_err().contains("2 agents"));
        assert!(Summary::from_index("no json").is_err());
    }
}
