//! The dashboard and the alerts of `deploy/` name what `/metrics` has: each metric, each label and
//! each mechanism in them is looked for in the answer of a real gateway.

use std::collections::BTreeSet;
use std::path::Path;

use crate::world::{Backend, Gateway, Page, Scratch};

/// Labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 5] = ["job", "instance", "alertname", "alertstate", "severity"];

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<&str> {
    let at = text.match_indices("adieu_").map(|(at, _)| at);
    let whole = at.filter(|at| !text[..*at].ends_with(is_name));
    whole.map(|at| text[at..].split(|c| !is_name(c)).next().unwrap()).collect()
}

/// The labels that it names: `by (a, b)`, and `{a="b"`.
fn labels(text: &str) -> BTreeSet<&str> {
    let by = text.split("by (").skip(1).flat_map(|rest| rest.split(')').next().unwrap().split(','));
    let equals = ["=\"", "=~\"", "!=\"", "=\\\"", "=~\\\"", "!=\\\""];
    let before = equals.iter().flat_map(|sign| text.match_indices(sign).map(|(at, _)| &text[..at]));
    let named = before.map(|before| before.rsplit(|c| !is_name(c)).next().unwrap());
    by.map(str::trim).chain(named).filter(|name| !name.is_empty()).collect()
}

/// The same for an answer of `/metrics`.
fn exposed(answer: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let samples = answer.lines().filter(|line| !line.starts_with('#'));
    let names = samples.clone().map(|line| line.split(|c| !is_name(c)).next().unwrap());
    (names.collect(), samples.flat_map(labels).collect())
}

/// A gateway in which everything that is counted has happened.
async fn busy(backend: &Backend, data: &Scratch) -> Gateway {
    let options = ["--max-sessions-per-user", "1", "--compress"];
    let gateway = Gateway::start(Some(data.path()), backend, &options);
    let mut page = Page::of("anna");
    page.connect(&gateway.url()).await;
    page.hide().await;
    page.connect(&gateway.url()).await;
    let too_many = Page::of("anna").try_connect(&gateway.url()).await;
    assert!(too_many.is_err(), "{too_many:?}");
    page.close(1000).await;
    backend.end_of(&page.session).await;
    let mut elsewhere = Page { origin: Some("https://evil.example".into()), ..Page::of("bob") };
    assert!(elsewhere.try_connect(&gateway.url()).await.is_err());
    let deflate = Some(adieu::Deflate::default());
    let compresses = adieu::Client::new().config(adieu::Config { deflate, ..Default::default() });
    let compressed = compresses.connect(&gateway.url()).await.unwrap();
    compressed.send("the same again, ".repeat(100)).await.unwrap();
    compressed.close(adieu::CloseCode::NORMAL).await;
    gateway.until_metric("adieu_compressed_connections_total", 1.0).await;
    gateway.until_metric("adieu_store_file_bytes", 1.0).await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_of_the_dashboard_and_the_alerts_is_one_of_the_gateway() {
    let (backend, data) = (Backend::start().await, Scratch::new());
    let gateway = busy(&backend, &data).await;
    let (_, answer) = gateway.request("GET", "/metrics", "").await;
    let (names, known) = exposed(&answer);
    for (file, at_least) in [
        ("grafana/adieu.json", 30),
        ("prometheus/adieu.rules.yml", 10),
        ("prometheus/adieu.rules.test.yml", 10),
    ] {
        let text = deploy(file);
        let named = metrics(&text);
        assert!(named.len() >= at_least, "{file} names only {named:?}");
        for name in named {
            assert!(names.contains(name), "{file}: /metrics has no {name}:\n{answer}");
        }
        // Those of the dashboard's JSON around its expressions are none.
        for label in labels(&text).iter().filter(|label| !OF_PROMETHEUS.contains(label)) {
            assert!(known.contains(label), "{file}: no metric has a label {label}: {known:?}");
        }
    }
    // Nothing is counted that an operator cannot see.
    let dashboard = deploy("grafana/adieu.json");
    let shown = metrics(&dashboard);
    let hidden: Vec<_> = names.iter().filter(|name| !shown.contains(*name)).collect();
    assert_eq!(hidden, [] as [&&str; 0], "not on the dashboard");
}

#[test]
fn each_mechanism_of_the_alerts_is_a_word_of_an_ending() {
    let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adieu-session/src/words.rs");
    let words = std::fs::read_to_string(words).unwrap();
    let rules = deploy("prometheus/adieu.rules.yml");
    let named: Vec<&str> = rules
        .split("mechanism")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        .flat_map(|all| all.split('|'))
        .collect();
    assert!(named.len() > 6, "{named:?}");
    for word in named {
        assert!(words.contains(&format!("= \"{word}\",")), "no mechanism {word}");
    }
}

#[test]
fn the_readers_of_expressions_see_metrics_and_labels() {
    let text = r#"sum by (a, b) (rate(adieu_x_total{c="1",d=~"2"}[5m])) > x_adieu_y"#;
    assert_eq!(metrics(text), BTreeSet::from(["adieu_x_total"]));
    assert_eq!(labels(text), BTreeSet::from(["a", "b", "c", "d"]));
    let json = r#""expr": "adieu_up{c=\"1\",d!=\"2\"}""#;
    assert_eq!(labels(json), BTreeSet::from(["c", "d"]));
    let answer = "# TYPE adieu_z gauge\nadieu_z{e=\"1\"} 2\n";
    assert_eq!(exposed(answer), (BTreeSet::from(["adieu_z"]), BTreeSet::from(["e"])));
}
