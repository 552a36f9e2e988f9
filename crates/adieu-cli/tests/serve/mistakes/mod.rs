//! Mistakes that people make, on purpose: each is answered with a sentence that names the value and
//! the way out. `conformance/mistakes.md` has all of them; with `ADIEU_WRITE_MISTAKES` set, it is
//! written anew.

mod made;

use std::path::Path;

/// A mistake, and what is said of it.
struct Mistake {
    /// What was done, as the document has it.
    what: &'static str,
    /// What is said of it: whole lines, of which one has the value and the way out.
    said: Said,
    /// What was wrong, as it was written.
    value: &'static str,
    /// What to do.
    way: &'static str,
}

/// What a run has said, and what of it is another in each run.
struct Said {
    text: String,
    /// Each with what stands for it in the document.
    changes: Vec<(String, &'static str)>,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Said { text, changes: Vec::new() }
    }
}

impl Said {
    fn with(mut self, changes: impl Into<String>, placeholder: &'static str) -> Self {
        self.changes.push((changes.into(), placeholder));
        self
    }

    /// The line that has both, as the document shows it.
    fn line(&self, value: &str, way: &str) -> Option<String> {
        let mut text = self.text.clone();
        for (changes, placeholder) in &self.changes {
            text = text.replace(changes, placeholder);
        }
        // What the command line's parser says stands in some lines, and the usage behind it.
        let said = text.split("\n\nUsage:").next()?.split("\n\nFor more information").next()?;
        let joined = said.starts_with("error:").then(|| words(said));
        let mut lines = said.lines().map(without_log).chain(joined);
        lines.find(|line| line.contains(value) && line.contains(way))
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line of the log without its time, its level, its target and its fields.
fn without_log(line: &str) -> String {
    let is_log = [" WARN ", " ERROR ", " INFO "].iter().any(|level| line.contains(level));
    let message = line.split_once(": ").map_or(line, |(_, message)| message);
    let message = if is_log { message } else { line };
    let end = [" peer=", " left_out="].iter().filter_map(|field| message.find(field)).min();
    words(&message[..end.unwrap_or(message.len())])
}

/// The document's table.
fn table(mistakes: &[Mistake]) -> String {
    let mut rows = String::from("| | mistake | what is said |\n|---|---|---|\n");
    for (index, mistake) in mistakes.iter().enumerate() {
        let Mistake { what, said, value, way } = mistake;
        let line = said
            .line(value, way)
            .unwrap_or_else(|| panic!("{what}: no line has {value:?} and {way:?}\n{}", said.text));
        rows += &format!("| {} | {what} | `{}` |\n", index + 1, line.replace('|', "\\|"));
    }
    rows
}

#[test]
fn each_mistake_is_answered_with_its_value_and_the_way_out() {
    let mistakes = made::all();
    assert!(mistakes.len() >= 20, "{}", mistakes.len());
    let table = table(&mistakes);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/mistakes.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (head, kept) = document.split_once("| | mistake").expect("the table");
    if std::env::var_os("ADIEU_WRITE_MISTAKES").is_some() {
        return std::fs::write(&file, format!("{head}{table}")).unwrap();
    }
    let kept = format!("| | mistake{kept}");
    for (now, then) in table.lines().zip(kept.lines()) {
        assert_eq!(now, then, "conformance/mistakes.md; ADIEU_WRITE_MISTAKES=1 writes it anew");
    }
    assert_eq!(table.lines().count(), kept.lines().count());
}
