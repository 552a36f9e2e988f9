//! What libFuzzer says of a run.

use std::fmt;

/// How far a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    executions: u64,
    /// Edges of the code that were reached.
    coverage: u64,
    /// The same with how often, and what was compared.
    features: u64,
    /// Inputs that each reach something that no other does.
    corpus: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { executions, coverage, features, corpus } = self;
        write!(
            f,
            "{} executions, coverage {coverage}, features {features}, corpus {corpus}",
            grouped(*executions)
        )
    }
}

/// The figures of the last line that has any: `#91772 DONE cov: 2896 ft: 6747 corp: 887/29Kb …`.
pub(super) fn progress(log: &str) -> Result<Progress, String> {
    let line = log.lines().rev().find_map(figures);
    line.ok_or_else(|| format!("it says nothing of its run:\n{}", crate::run::tail(log, 15)))
}

fn figures(line: &str) -> Option<Progress> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    let executions = words.next()?.parse().ok()?;
    let words: Vec<&str> = words.collect();
    let behind = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        let value = words.get(at + 1)?;
        value.split('/').next()?.parse().ok()
    };
    let (coverage, features) = (behind("cov:")?, behind("ft:")?);
    Some(Progress { executions, coverage, features, corpus: behind("corp:")? })
}

/// What was found, and how it is repeated.
pub(super) fn finding(target: &str, log: &str) -> String {
    let input = log.lines().find_map(|line| line.split_once("Test unit written to "));
    let what = what(log);
    match input {
        Some((_, input)) => format!(
            "{what}\n\nThe input is {input}. To repeat it:\n  \
             cargo xtask fuzz --target {target} --repeat {input}"
        ),
        None => format!("it failed:\n{}", crate::run::tail(log, 15)),
    }
}

/// The panic, or what libFuzzer calls it.
fn what(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let error = || lines.iter().position(|line| line.contains("ERROR: libFuzzer"));
    let Some(at) = panic.or_else(error) else { return "a finding".into() };
    let said = lines[at..].iter().take_while(|line| !line.starts_with("note: "));
    said.take(6).copied().collect::<Vec<_>>().join("\n")
}

/// The file of figures.
pub(super) fn table(minutes: u64, when: &str, done: &[(String, Progress)]) -> String {
    let mut text = format!(
        "# The fuzz targets, {minutes} min each, two at a time on two cores:\n\
         #     cargo xtask fuzz --minutes {minutes}\n\
         # {when}. Coverage: edges of the code that were reached. Features: the same\n\
         # with how often each was passed and what was compared. Corpus: inputs that each reach\n\
         # something that no other does.\n\n"
    );
    let heads = ["target", "minutes", "executions", "coverage", "features", "corpus", "findings"];
    text += &row(heads.map(str::to_owned));
    for (target, Progress { executions, coverage, features, corpus }) in done {
        text += &row([
            target.clone(),
            minutes.to_string(),
            grouped(*executions),
            grouped(*coverage),
            grouped(*features),
            grouped(*corpus),
            // A target that finds something ends the run without figures.
            "none".to_owned(),
        ]);
    }
    text
}

fn row([target, minutes, executions, coverage, features, corpus, findings]: [String; 7]) -> String {
    format!(
        "{target:10} {minutes:>7} {executions:>13} {coverage:>9} {features:>9} {corpus:>7} \
         {findings:>9}\n"
    )
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
INFO: Seed: 3428307138
#2\tINITED cov: 433 ft: 433 corp: 1/1b exec/s: 0 rss: 28Mb
#132412\tDONE   cov: 830 ft: 2270 corp: 588/13Kb lim: 149 exec/s: 14712 rss: 29Mb
Done 132412 runs in 9 second(s)
";

    #[test]
    fn the_last_figures_count() {
        let progress = progress(LOG).unwrap();
        let want = Progress { executions: 132_412, coverage: 830, features: 2270, corpus: 588 };
        assert_eq!(progress, want);
        assert!(
            table(10, "today", &[("wire".into(), want)]).contains("132,412       830     2,270")
        );
        assert!(super::progress("nothing").is_err());
    }

    #[test]
    fn a_finding_says_what_it_is_and_how_it_is_repeated() {
        let log = "\
#9\tNEW cov: 1 ft: 1 corp: 1/1b
thread '<unnamed>' (1) panicked at fuzz_targets/proxy.rs:33:13:
two texts for one token
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==1== ERROR: libFuzzer: deadly signal
artifact_prefix='fuzz/artifacts/proxy/'; Test unit written to fuzz/artifacts/proxy/crash-09
";
        let text = finding("proxy", log);
        let command = "cargo xtask fuzz --target proxy --repeat fuzz/artifacts/proxy/crash-09";
        assert!(text.contains("two texts for one token") && text.ends_with(command), "{text}");
        assert!(!text.contains("RUST_BACKTRACE"), "{text}");
        let slow = "==1== ERROR: libFuzzer: timeout after 120 seconds\n";
        assert!(what(slow).contains("timeout"));
        assert!(finding("proxy", "killed").contains("killed"));
    }

    #[test]
    fn thousands_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
