//! Sentences of endings, compared without what differs from run to run.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt::Debug;

/// Replaces each duration ("12 ms", "1.5 s", "3 min 2 s") by "…".
pub(crate) fn without_durations(sentence: &str) -> String {
    let mut words = sentence.split(' ').peekable();
    let mut out = Vec::new();
    while let Some(word) = words.next() {
        let number = word.trim_start_matches('(').parse::<f64>().is_ok();
        let unit = words.peek().map(|next| next.trim_end_matches(['.', ',', ';', ':', ')']));
        match unit {
            Some(unit @ ("ms" | "s" | "min" | "h")) if number => {
                let behind = words.next().unwrap_or_default()[unit.len()..].to_owned();
                out.push(format!("…{behind}"));
            }
            _ => out.push(word.to_owned()),
        }
    }
    out.join(" ")
}

/// Makes sure that no two scenes were told alike: `(scene, what was told of it)`.
#[track_caller]
pub(crate) fn all_differ<T: PartialEq + Debug>(told: &[(&str, T)]) {
    let mut alike = Vec::new();
    for (i, (scene, said)) in told.iter().enumerate() {
        for (other, same) in &told[..i] {
            if said == same {
                alike.push(format!("\"{other}\" and \"{scene}\" are both told as {said:?}"));
            }
        }
    }
    assert!(alike.is_empty(), "{} pairs look alike:\n{}", alike.len(), alike.join("\n"));
}
