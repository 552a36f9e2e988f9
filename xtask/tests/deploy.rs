//! What the files of `deploy/` and `docs/deploy.md` say about the gateway is true.

use std::fs;
use std::path::{Path, PathBuf};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number that stands behind a text.
fn number_after(text: &str, before: &str) -> u64 {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {before:?}"))
}

/// Seconds that a constant of the code has.
fn seconds(file: &str, name: &str) -> u64 {
    number_after(&read(file), &format!("const {name}: Duration = Duration::from_secs("))
}

/// The longest stop that the deadlines in the code allow.
fn longest_stop() -> u64 {
    let (connections, gateway) =
        ("crates/adieu/src/drain.rs", "crates/adieu-gateway/src/gateway/drain.rs");
    // Each client is told when to come back, and that is flushed.
    let told = seconds(gateway, "PROMISES_IN_ALL") + seconds(gateway, "PROMISES_STALLED");
    let drained = seconds(connections, "DEADLINE") + seconds(connections, "HANDLER_TIMEOUT");
    // Without a store all sessions end; then come the last events and the last commits.
    let last = 2 * seconds(gateway, "LAST_WORDS") + seconds(gateway, "LAST_CHANCE");
    told + drained + last
}

#[test]
fn nothing_kills_the_gateway_before_its_longest_stop_is_over() {
    let longest = longest_stop();
    let unit = number_after(&read("deploy/systemd/adieu.service"), "\nTimeoutStopSec=");
    assert!(unit > longest, "TimeoutStopSec={unit}, the longest stop takes {longest} s");
    let pod = read("deploy/kubernetes/adieu.yaml");
    let grace = number_after(&pod, "terminationGracePeriodSeconds: ");
    let before = number_after(&pod, "command: [\"sleep\", \"");
    assert!(grace > before + longest, "{grace} s, {before} s of them before SIGTERM; {longest} s");
    for file in ["deploy/docker/Dockerfile", "docs/deploy.md"] {
        let docker = number_after(&read(file), "--stop-timeout ");
        assert!(docker > longest, "{file}: {docker} s; the longest stop takes {longest} s");
    }
}

#[test]
fn the_longest_stop_is_the_one_that_is_told() {
    let told = format!("{} s", longest_stop());
    for file in [
        "deploy/systemd/adieu.service",
        "deploy/kubernetes/adieu.yaml",
        "deploy/prometheus/adieu.rules.yml",
        "docs/deploy.md",
    ] {
        assert!(read(file).contains(&told), "{file} does not say that it is {told}");
    }
}

/// The time after which a proxy ends a silent connection, and that after which the gateway breaks
/// its silence.
#[test]
fn each_proxy_waits_longer_than_the_gateway_is_silent() {
    let config = read("crates/adieu-proto/src/config.rs");
    let ping = number_after(&config, "const PING_INTERVAL: Duration = Duration::from_secs(");
    for (file, option) in [
        ("deploy/nginx/adieu.conf", "proxy_read_timeout "),
        ("deploy/nginx/adieu.conf", "proxy_send_timeout "),
        ("deploy/haproxy/adieu.cfg", "timeout tunnel "),
        ("deploy/kubernetes/ingress.yaml", "proxy-read-timeout: \""),
        ("deploy/kubernetes/ingress.yaml", "proxy-send-timeout: \""),
    ] {
        let waits = number_after(&read(file), option);
        assert!(waits >= 2 * ping, "{file}: {option}{waits}, a Ping comes each {ping} s");
        assert!(read(file).contains(&format!("after {ping} s of silence")), "{file}: {ping} s");
    }
}

#[test]
fn the_document_shows_the_snippets_as_they_are() {
    let document = read("docs/deploy.md");
    for file in [
        "deploy/systemd/adieu.socket",
        "deploy/debian/adieu.default",
        "deploy/nginx/adieu.conf",
        "deploy/haproxy/adieu.cfg",
        "deploy/caddy/Caddyfile",
        "deploy/prometheus/scrape.yml",
    ] {
        assert!(document.contains(read(file).trim_end()), "docs/deploy.md has not all of {file}");
        assert!(document.contains(&format!("(../{file})")), "docs/deploy.md has no link to {file}");
    }
}

/// The image is made with a compiler that builds the gateway.
#[test]
fn the_image_has_a_compiler_that_is_young_enough() {
    let asked = number_after(&read("crates/adieu-cli/Cargo.toml"), "rust-version = \"1.");
    let image = number_after(&read("deploy/docker/Dockerfile"), "FROM rust:1.");
    assert!(image >= asked, "rust:1.{image}, and the gateway needs 1.{asked}");
}

/// What `docker build` is not given, as far as it is a directory at the root.
fn ignored_by_docker() -> Vec<String> {
    let list = read("deploy/docker/Dockerfile.dockerignore");
    let names = list.lines().filter(|line| !line.starts_with('#') && !line.starts_with("**/"));
    names.map(str::to_owned).collect()
}

/// Files of the crates that stand elsewhere: `src/page/docs/endings.md` is in `docs/`.
fn links(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
        let kind = entry.file_type().expect("a file type");
        if kind.is_symlink() {
            found.push(entry.path());
        } else if kind.is_dir() {
            links(&entry.path(), found);
        }
    }
}

#[test]
fn the_image_is_given_what_the_gateway_is_built_from() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root");
    let mut found = Vec::new();
    links(&root.join("crates"), &mut found);
    assert!(!found.is_empty(), "no links were found");
    let ignored = ignored_by_docker();
    assert!(ignored.contains(&"bench".to_owned()), "{ignored:?}");
    for link in found {
        let of = link.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", link.display()));
        let top = of.strip_prefix(&root).expect("inside").components().next().expect("a name");
        let top = top.as_os_str().to_string_lossy();
        assert!(!ignored.iter().any(|name| *name == top), "{} is left out", of.display());
    }
}
