//! This commit's server beside that of another commit: the ratio of each turn, since samples of
//! the two alternate and a busy machine is as busy for one as for the other.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::sample::CPU;
use crate::server::{
    ADIEU_ALONE, ADIEU_HISTORY, ADIEU_HTTP2, ADIEU_TLS, AXUM_HTTP2, BUN_32KB, BUN_SHARED, NPM_WS,
    WEBSOCKETS,
};

/// The two of one kind: of this commit, and of the other.
const PAIRS: [(&str, &str); 2] = [("Adieu", "Adieu-before"), ("gateway", "gateway-before")];

/// Ours and another: where messages are compressed, the one with the same memory of earlier
/// messages.
const BESIDE_OTHERS: [(&str, &str); 6] = [
    (ADIEU_ALONE, BUN_SHARED),
    (ADIEU_HISTORY, BUN_32KB),
    (ADIEU_HISTORY, NPM_WS),
    (ADIEU_HISTORY, WEBSOCKETS),
    // Over TLS.
    (ADIEU_HTTP2, AXUM_HTTP2),
    (ADIEU_HTTP2, ADIEU_TLS),
];

/// A line for each figure that both have: the median of new / old, and its quartiles.
pub(super) fn ratios(servers: &Map<String, Value>) -> String {
    let mut text = String::new();
    let before = PAIRS.map(|(new, old)| ("new / old".to_owned(), new, old));
    let others = BESIDE_OTHERS.map(|(ours, peer)| (format!("{ours} / {peer}"), ours, peer));
    for (title, new, old) in before.into_iter().chain(others) {
        let samples = |name: &str| servers.get(name)?["samples"].as_object();
        let (Some(new), Some(old)) = (samples(new), samples(old)) else { continue };
        let ours = title != "new / old";
        for (figure, values) in new {
            if ours && ![CPU, "out_ratio"].contains(&figure.as_str()) {
                continue;
            }
            let Some(before) = old.get(figure) else { continue };
            let [quarter, half, more] = quartiles(turns(values, before));
            let _ = writeln!(text, "  {title} {figure:<18} {half:.3} {quarter:.3}..{more:.3}");
        }
    }
    text
}

fn turns(new: &Value, old: &Value) -> Vec<f64> {
    let numbers = |list: &Value| {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_f64).collect::<Vec<_>>()
    };
    let turns = numbers(new).into_iter().zip(numbers(old));
    turns.filter(|(_, old)| *old != 0.0).map(|(new, old)| new / old).collect()
}

/// Each the value with so many quarters of the values below it.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    [1, 2, 3].map(|quarters| values.get(last * quarters / 4).copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_turn_is_a_ratio_of_its_own() {
        let servers = json!({
            "Adieu": { "samples": { "cpu_ns": [2.0, 40.0, 3.0, 9.0, 5.0] } },
            "Adieu-before": { "samples": { "cpu_ns": [1.0, 10.0, 3.0, 3.0, 10.0] } },
            "axum": { "samples": { "cpu_ns": [1.0] } },
        });
        let text = ratios(servers.as_object().unwrap());
        assert_eq!(text.split_whitespace().last(), Some("1.000..3.000"), "{text}");
        assert!(text.contains(" 2.000 "), "{text}");
    }
}
