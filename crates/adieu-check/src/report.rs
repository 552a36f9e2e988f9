//! What was found: results with their figures, as a table for people and as JSON for machines.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The width that explanations are wrapped at: reads well on any terminal.
const WIDTH: usize = 88;

/// The judgement on one behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It could not be checked, and why is said.
    Skipped,
    /// As it should be.
    Ok,
    /// Nobody is harmed at once, and it could be better.
    Weak,
    /// People are harmed: an ending is lost, wrong or does not come.
    Bad,
}

impl Verdict {
    /// The word of the table and the JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Skipped => "skipped",
            Verdict::Ok => "ok",
            Verdict::Weak => "weak",
            Verdict::Bad => "bad",
        }
    }

    fn color(self) -> &'static str {
        match self {
            Verdict::Skipped => "\x1b[2m",
            Verdict::Ok => "\x1b[32m",
            Verdict::Weak => "\x1b[33m",
            Verdict::Bad => "\x1b[1;31m",
        }
    }

    /// `Ok` if all is as it should be, else this.
    pub(crate) fn unless(self, well: bool) -> Self {
        if well { Verdict::Ok } else { self }
    }
}

/// Named figures in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, Value)>);

impl Figures {
    /// With one more.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// With a duration, in milliseconds to a tenth.
    #[must_use]
    pub(crate) fn with_ms(self, name: &'static str, value: Option<Duration>) -> Self {
        self.with(name, value.map(|value| (value.as_secs_f64() * 10_000.0).round() / 10.0))
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What one check is about: its name, and what to say when it is not all right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// For machines.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// What it means for those who use the server, if it falls short.
    pub(crate) meaning: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

impl About {
    /// The result of this check. `summary` says the figures in a few words.
    pub(crate) fn found(
        self,
        verdict: Verdict,
        summary: impl Into<String>,
        figures: Figures,
    ) -> Finding {
        let fell_short = verdict >= Verdict::Weak;
        Finding {
            id: self.id,
            title: self.title,
            result: verdict,
            summary: summary.into(),
            figures,
            detail: None,
            meaning: fell_short.then_some(self.meaning),
            remedy: fell_short.then_some(self.remedy),
            seconds: 0.0,
        }
    }

    /// Not checked, because of `why`.
    pub(crate) fn skipped(self, why: impl Into<String>) -> Finding {
        self.found(Verdict::Skipped, why, Figures::default())
    }
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) result: Verdict,
    pub(crate) summary: String,
    pub(crate) figures: Figures,
    /// More for people; machines have it in the figures.
    #[serde(skip)]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    /// How long the check took.
    pub(crate) seconds: f64,
}

impl Finding {
    /// The ends that a stream may have where the summary names that of a connection of its own:
    /// END_STREAM, or the FIN of the connection below it; RST_STREAM, or its RST.
    #[must_use]
    pub(crate) fn in_words_of_http2(mut self) -> Self {
        // The only letters of these words that are no end of TCP.
        let parts = self.summary.split("RST_STREAM").map(|part| {
            let part = part.replace("a FIN", "an FIN").replace("FIN", "END_STREAM or FIN");
            part.replace("RST", "RST_STREAM or RST")
        });
        self.summary = parts.collect::<Vec<_>>().join("RST_STREAM");
        self
    }

    /// With more to read below the summary.
    #[must_use]
    pub(crate) fn detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail;
        self
    }
}

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The form of this report; it changes when a reader would have to.
    pub(crate) format: u32,
    pub(crate) url: String,
    /// Whether the WebSockets were streams of HTTP/2.
    pub(crate) http2: bool,
    /// Whether the numbers were small.
    pub(crate) quick: bool,
    pub(crate) echo: bool,
    pub(crate) convention: bool,
    pub(crate) result: Verdict,
    pub(crate) checks: Vec<Finding>,
    pub(crate) seconds: f64,
}

impl Report {
    /// How many checks have this result.
    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.result == verdict).count()
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let color = std::io::stdout().is_terminal();
        let width = self.checks.iter().map(|check| check.title.chars().count()).max().unwrap_or(0);
        let mut table = String::new();
        for (n, check) in self.checks.iter().enumerate() {
            let word = painted(check.result, color);
            let _ = writeln!(table, "{word} {:width$}  {}", check.title, check.summary);
            // What several checks have in common is said behind the last of them.
            let again = self.checks.get(n + 1).is_some_and(|next| next.meaning == check.meaning);
            let meaning = check.meaning.filter(|_| !again).map(str::to_owned);
            let remedy = check.remedy.filter(|_| !again).map(|remedy| format!("Remedy: {remedy}"));
            for text in [check.detail.clone(), meaning, remedy].into_iter().flatten() {
                for line in wrapped(&text, WIDTH) {
                    let _ = writeln!(table, "        {line}");
                }
            }
        }
        let counts = [Verdict::Ok, Verdict::Weak, Verdict::Bad, Verdict::Skipped]
            .map(|verdict| format!("{} {}", self.count(verdict), verdict.word()));
        let _ = writeln!(table, "\n{}: {}, in {:.0} s", self.url, counts.join(", "), self.seconds);
        if !self.convention {
            table.push_str("Some checks need the server's help: see docs/check.md, Convention.\n");
        }
        table
    }
}

/// A verdict's word, as wide as the widest, in its colour where there are colours.
pub(crate) fn painted(verdict: Verdict, color: bool) -> String {
    let word = format!("{:7}", verdict.word());
    if color { format!("{}{word}\x1b[0m", verdict.color()) } else { word }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A duration for people: `0.4 ms`, `12 ms`, `3.1 s`.
pub(crate) fn time(duration: Duration) -> String {
    // Less is not measured.
    let ms = (duration.as_secs_f64() * 1000.0).max(0.1);
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About { id: "a", title: "A", meaning: "it hurts", remedy: "mend it" };

    #[test]
    fn what_falls_short_is_explained_and_what_does_not_is_not() {
        let figures = Figures::default().with("z", 1).with("a", "x");
        let bad = ABOUT.found(Verdict::Bad, "0 of 1", figures);
        let json = serde_json::to_string(&bad).unwrap();
        assert!(json.contains(r#""figures":{"z":1,"a":"x"},"meaning":"it hurts""#), "{json}");
        let ok = ABOUT.found(Verdict::Ok, "1 of 1", Figures::default());
        assert!(!serde_json::to_string(&ok).unwrap().contains("remedy"));
        let report = Report {
            format: 1,
            url: "ws://x/".to_owned(),
            http2: false,
            quick: true,
            echo: true,
            convention: false,
            result: Verdict::Bad,
            checks: vec![ok, bad, ABOUT.skipped("no echo")],
            seconds: 1.0,
        };
        let table = report.table();
        assert!(table.contains("bad     A  0 of 1\n        it hurts\n"), "{table}");
        assert!(table.contains("1 ok, 0 weak, 1 bad, 1 skipped"), "{table}");
    }

    #[test]
    fn over_http2_the_ends_of_a_stream_are_named() {
        let words = |summary: &str| {
            ABOUT.found(Verdict::Ok, summary, Figures::default()).in_words_of_http2().summary
        };
        assert_eq!(
            words("ended by a FIN, RST in 2 of 3"),
            "ended by an END_STREAM or FIN, RST_STREAM or RST in 2 of 3"
        );
        assert_eq!(words("answered with RST_STREAM"), "answered with RST_STREAM");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaa b", 5), ["aaaaaaa", "b"]);
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        let shown = [400, 12_300, 3_140_000].map(|us| time(Duration::from_micros(us)));
        assert_eq!(shown, ["0.4 ms", "12 ms", "3.1 s"]);
    }
}
