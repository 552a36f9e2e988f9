//! `cargo xtask http2-browsers`: browsers whose WebSockets are streams of HTTP/2, in the long form.

use std::fs;
use std::time::Duration;

use crate::{http2_others, run};

/// Some minutes, and a cold build.
const LIMIT: Duration = Duration::from_secs(60 * 60);

const KEPT: &str = "conformance/http2-browsers.txt";

const HEAD: &str = "\
# WebSockets over HTTP/2 (RFC 8441) in real browsers: cargo xtask http2-browsers
# \"wasClean\" is what the page is told; \"the server had to wait\": no byte left, because the page
# did not read and the window of the stream was used up. What a browser does when a page goes is in
# docs/browsers.md.
";

/// Runs it, keeps the figures, and makes the table of the browsers with the rows over HTTP/2.
pub(crate) fn run() -> Result<(), String> {
    let kept = run::root().join(KEPT);
    let cannot = |error: std::io::Error| format!("{}: {error}", kept.display());
    let figures = run::target_dir()?.join("http2-browsers-figures.txt");
    fs::write(&figures, "").map_err(cannot)?;
    run::run(&mut run::cargo(&["build", "--release", "-p", "adieu-cli"]), LIMIT)?;
    let adieu = run::target_dir()?.join("release/adieu");
    let others = http2_others::install()?;
    let others: Vec<_> =
        others.iter().map(|other| format!("{}|{}", other.name, other.command)).collect();
    let mut test = run::cargo(&["test", "-p", "browser", "--test", "http2", "--", "--nocapture"]);
    test.arg("--test-threads=1").env("ADIEU_LONG_FORM", "http2-browsers");
    // A browser that is missing fails it: nothing is kept of the other alone.
    test.env("ADIEU_FIGURES", &figures).env("ADIEU_BIN", adieu).env("CI", "1");
    test.env("ADIEU_HTTP2_OTHERS", others.join("\n"));
    run::run(&mut test, LIMIT)?;
    let text = fs::read_to_string(&figures).map_err(cannot)?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    fs::write(&kept, format!("{HEAD}\n{}\n", lines.join("\n\n"))).map_err(cannot)?;
    println!("{} figures in {KEPT}", lines.len());
    let table = ["run", "-p", "browser", "--bin", "browser-table", "http2"];
    run::run(&mut run::cargo(&table), LIMIT)
}
