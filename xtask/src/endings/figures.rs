//! What is kept of several runs: for each figure the median and the worst.

use serde_json::{Map, Value, json};

use super::storm::Storm;

/// Figures of which more is better; of all others less is.
const MORE_IS_BETTER: &[&str] = &[
    "answered",
    "chatty_clean",
    "chatty_delivered",
    "chatty_read_close",
    "clean",
    "code_repeated",
    "fin",
    "healthy",
    "queues_delivered",
    "quiet_clean",
    "quiet_delivered",
    "quiet_read_close",
    "read_close",
    "right_code",
    "server_alive",
];

/// The verdicts of `adieu check`, the worst last.
const VERDICTS: [&str; 4] = ["skipped", "ok", "weak", "bad"];

/// What is kept of all servers, in the order in which they were first checked.
#[derive(Debug, Default)]
pub(super) struct Kept {
    servers: Vec<(String, Server)>,
    pub(super) storm: Option<Storm>,
}

/// What is kept of one server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    runs: u64,
    pub(super) checks: Vec<Check>,
}

/// What is kept of one check.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Check {
    pub(super) id: String,
    pub(super) title: String,
    /// The worst.
    pub(super) result: String,
    /// Of the worst run.
    pub(super) summary: String,
    /// Numbers as `{ "median": …, "worst": … }`, others as they were in the worst run.
    figures: Value,
}

impl Server {
    /// Joins the reports of `adieu check --json`.
    pub(super) fn new(reports: &[Value]) -> Result<Self, String> {
        let list = |report: &Value| report["checks"].as_array().cloned();
        let all: Option<Vec<Vec<Value>>> = reports.iter().map(list).collect();
        let all = all.ok_or("a report has no checks")?;
        let first = all.first().ok_or("there is no report")?;
        let checks = first.iter().enumerate().map(|(n, check)| {
            let runs: Vec<&Value> = all.iter().filter_map(|checks| checks.get(n)).collect();
            let same = runs.len() == all.len() && runs.iter().all(|run| run["id"] == check["id"]);
            if same { Check::new(&runs) } else { Err("the reports have other checks".to_owned()) }
        });
        Ok(Server { runs: reports.len() as u64, checks: checks.collect::<Result<_, _>>()? })
    }

    /// The checks that are not well; these may be skipped.
    pub(super) fn faults(&self, may_skip: &[&str]) -> impl Iterator<Item = String> {
        let well = move |check: &Check| match check.result.as_str() {
            "skipped" => may_skip.contains(&check.id.as_str()),
            result => result == "ok",
        };
        let short = self.checks.iter().filter(move |check| !well(check));
        short.map(|check| format!("{} is {}: {}", check.title, check.result, check.summary))
    }
}

impl Check {
    fn new(runs: &[&Value]) -> Result<Self, String> {
        let rank = |run: &&&Value| VERDICTS.iter().position(|word| run["result"] == **word);
        let worst = runs.iter().max_by_key(rank).ok_or("there is no run")?;
        let text = |name: &str| worst[name].as_str().unwrap_or_default().to_owned();
        let names = worst["figures"].as_object().map(Map::keys).into_iter().flatten();
        let figures: Map<String, Value> = names
            .map(|name| {
                let values: Vec<&Value> = runs.iter().map(|run| &run["figures"][name]).collect();
                (name.clone(), joined(name, &values, &worst["figures"][name]))
            })
            .collect();
        Ok(Check {
            id: text("id"),
            title: text("title"),
            result: text("result"),
            summary: text("summary"),
            figures: figures.into(),
        })
    }
}

/// A figure of several runs.
fn joined(name: &str, values: &[&Value], of_the_worst: &Value) -> Value {
    let numbers: Option<Vec<f64>> = values.iter().map(|value| number(value)).collect();
    let Some(mut numbers) = numbers.filter(|numbers| !numbers.is_empty()) else {
        return of_the_worst.clone();
    };
    numbers.sort_by(f64::total_cmp);
    let more = MORE_IS_BETTER.contains(&name);
    let worst = if more { numbers[0] } else { numbers[numbers.len() - 1] };
    // Of two in the middle the worse one.
    let (len, half) = (numbers.len(), numbers.len() / 2);
    let middle = if len % 2 == 0 && more { half - 1 } else { half };
    json!({ "median": plain(numbers[middle]), "worst": plain(worst) })
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|yes| f64::from(u8::from(yes))))
}

/// A whole number without a point.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

impl Kept {
    /// Reads the kept file.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        let kept: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let servers = kept["servers"].as_array().ok_or("it has no servers")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let check = |check: &Value| Check {
            id: text(&check["id"]),
            title: text(&check["title"]),
            result: text(&check["result"]),
            summary: text(&check["summary"]),
            figures: check["figures"].clone(),
        };
        let server = |server: &Value| {
            let checks = server["checks"].as_array().into_iter().flatten().map(check).collect();
            let runs = server["runs"].as_u64().unwrap_or(0);
            (text(&server["name"]), Server { runs, checks })
        };
        let servers = servers.iter().map(server).collect();
        Ok(Kept { servers, storm: Storm::parse(&kept["storm"]) })
    }

    /// Keeps what was found of a server, in place of what was.
    pub(super) fn put(&mut self, name: &str, found: Server) {
        match self.servers.iter_mut().find(|(known, _)| known == name) {
            Some((_, server)) => *server = found,
            None => self.servers.push((name.to_owned(), found)),
        }
    }

    /// Each check once, in the order of the reports. Not every server has had each.
    pub(super) fn checks(&self) -> Vec<&Check> {
        let mut checks: Vec<&Check> = Vec::new();
        for check in self.servers.iter().flat_map(|(_, server)| &server.checks) {
            if checks.iter().all(|known| known.id != check.id) {
                checks.push(check);
            }
        }
        checks
    }

    /// All servers.
    pub(super) fn servers(&self) -> &[(String, Server)] {
        &self.servers
    }

    /// The form that is kept: a line for each check; the order of its fields is fixed.
    pub(super) fn to_json(&self) -> String {
        let servers = self.servers.iter().map(|(name, server)| {
            let checks = server.checks.iter().map(|check| {
                format!(
                    "      {{ \"id\": {}, \"title\": {}, \"result\": {},\n        \
                     \"summary\": {},\n        \"figures\": {} }}",
                    json!(check.id),
                    json!(check.title),
                    json!(check.result),
                    json!(check.summary),
                    check.figures
                )
            });
            let checks = checks.collect::<Vec<_>>().join(",\n");
            format!(
                "    {{ \"name\": {}, \"runs\": {}, \"checks\": [\n{checks}\n    ] }}",
                json!(name),
                server.runs
            )
        });
        let servers = servers.collect::<Vec<_>>().join(",\n");
        let storm = self.storm.as_ref().map(|storm| format!(",\n  \"storm\": {}", storm.to_json()));
        let storm = storm.unwrap_or_default();
        format!("{{\n  \"cases\": \"cases.json\",\n  \"servers\": [\n{servers}\n  ]{storm}\n}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(result: &str, clean: u64, lost: u64) -> Value {
        json!({ "checks": [{
            "id": "a", "title": "A", "result": result, "summary": format!("{clean} clean"),
            "figures": { "clean": clean, "lost": lost, "codes": { "1001": clean } },
        }] })
    }

    #[test]
    fn the_worst_is_the_least_of_what_is_good_and_the_most_of_what_is_bad() {
        let runs = [report("ok", 500, 0), report("bad", 499, 7), report("ok", 500, 1)];
        let server = Server::new(&runs).unwrap();
        let check = &server.checks[0];
        assert_eq!((check.result.as_str(), check.summary.as_str()), ("bad", "499 clean"));
        let expected = json!({
            "clean": { "median": 500, "worst": 499 },
            "lost": { "median": 1, "worst": 7 },
            "codes": { "1001": 499 },
        });
        assert_eq!(check.figures, expected);
        assert_eq!(server.faults(&[]).collect::<Vec<_>>(), ["A is bad: 499 clean"]);
    }

    #[test]
    fn only_some_checks_may_be_skipped() {
        let faults = |id: &str, may_skip: &[&str]| {
            let mut skipped = report("skipped", 0, 0);
            skipped["checks"][0]["id"] = json!(id);
            Server::new(&[skipped]).unwrap().faults(may_skip).count()
        };
        let may_skip = ["deflate_bomb"];
        assert_eq!((faults("deflate_bomb", &may_skip), faults("deflate_bomb", &[])), (0, 1));
        assert_eq!((faults("close", &may_skip), faults("close", &[])), (1, 1));
    }

    #[test]
    fn the_kept_form_is_read_back_and_a_new_run_takes_the_place_of_the_old() {
        let mut kept = Kept::default();
        kept.put("x", Server::new(&[report("bad", 1, 0)]).unwrap());
        kept.put("y", Server::new(&[report("ok", 2, 0)]).unwrap());
        kept.put("x", Server::new(&[report("ok", 3, 0)]).unwrap());
        let again = Kept::parse(&kept.to_json()).unwrap();
        assert_eq!(again.servers(), kept.servers());
        assert_eq!(again.storm, None);
        kept.storm = Some(Storm::new(5, 2));
        let with_storm = Kept::parse(&kept.to_json()).unwrap();
        assert_eq!((with_storm.servers(), &with_storm.storm), (kept.servers(), &kept.storm));
        let names: Vec<&str> = again.servers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
    }

    #[test]
    fn reports_that_do_not_fit_together_are_refused() {
        assert!(Server::new(&[]).is_err());
        assert!(Server::new(&[json!({})]).is_err());
        let mut other = report("ok", 1, 0);
        other["checks"][0]["id"] = json!("b");
        assert!(Server::new(&[report("ok", 1, 0), other]).is_err());
    }
}
