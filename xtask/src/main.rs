//! The tasks of this repository, so that nobody has to remember a list of commands.
//!
//! `cargo xtask test` is the whole test run, set-up included; `cargo xtask help` lists the rest.

use std::process::ExitCode;

mod autobahn;
mod bench;
mod client;
mod cluster_model;
mod crates;
mod deb;
mod debian;
mod deflate_interop;
mod deploy;
mod docs;
mod endings;
mod fuzz;
mod http2_browsers;
mod http2_others;
mod long_forms;
mod msrv;
mod new_user;
mod package;
mod run;
mod semver;
mod sessions;
mod setup;
mod systems;
mod tally;
mod test;
mod webhooks;

const USAGE: &str = "\
The tasks of this repository.

Usage: cargo xtask <task>

  setup               install what the tests need and this machine lacks (Debian; needs root
                      only when something is missing)
  test [--fast]       set-up, then every check and every test; ends with a table of the steps.
                      --fast: formatting, clippy, unit and integration tests only.
                      With CI set in the environment only Autobahn may be skipped.
  autobahn [options]  the Autobahn testsuite against the `echo` example and, as a client,
                      against the `autobahn_client` example; compares with conformance/.
                      Needs Python 2.7 (found as python2.7, python2, python, from pyenv, or
                      named by AUTOBAHN_PYTHON).
      --compression   all 216 cases of compression, and not 36 of them: half an hour
      --quick         leave out section 9 (large and fragmented messages); keeps no summary
      --server URL    judge a server that runs already, as ws://127.0.0.1:9001; keeps no summary
      --client CMD    judge another client: CMD is run by sh with the URL of the fuzzing server
                      as its only argument; keeps no summary
  endings [options]   `adieu check` with full numbers against the `checked` example and an axum
                      application with Adieu inside; writes conformance/endings.json and
                      docs/check-table.md, and fails if a check is not ok. Then a close storm:
                      10,000 clients at SIGTERM, the servers in turns
      --runs N        how often (default 3)
      --peers         also axum, tokio-tungstenite and npm ws (needs node): the checks once
                      each, the storm as often as ours; only then is the storm kept
      --only WHAT     `checks`, `compression` (its checks, of servers that compress) or `storm`;
                      the kept figures of the others stay as they are
  docs                builds the book of docs/ into target/book with mdBook, which it installs where
                      it is missing, and follows each of its links
  client              the browser client: builds it, runs its tests, weighs it
  sessions            the tests of sessions in their long form (200 rounds of kill -9, a backend
                      that is down for a minute, 5,000 sessions over a restart, real browsers):
                      a quarter of an hour; writes conformance/sessions.txt
  failing-backend     a backend that fails in each way, a minute each, one ten: a quarter of an
                      hour; writes conformance/failing-backend.txt
  strangers           15,000 silent sockets, 200 uploaders, 2,000 sessions that never acknowledge
                      (needs 16,000 open files): a few minutes; writes conformance/strangers.txt
  many-sessions       100,000 sessions at a start and at the end of all: a minute; writes
                      conformance/many-sessions.txt
  node-kills          nodes that are killed, paused, cut off and replaced under load, 100 times
                      with 1,000 people: conformance/node-kills.txt (needs redis and haproxy)
  engine-fails        an engine that is killed, stands still, is slow, full, or loses its
                      functions: conformance/engine-fails.txt
  node-deploy         three nodes with 5,000 sessions are replaced: conformance/node-deploy.txt
  engine-attack       nodes that repeat, forget and die attack the functions in a Redis: half an
                      hour; writes conformance/engine-attack.txt
  engine-cost         what the functions cost a Redis: conformance/engine-cost.txt
  cluster-model       the protocol of many gateways on one engine, state by state, in large worlds:
                      a quarter of an hour and some GB of memory; writes
                      conformance/cluster-model.txt
  new-user            the commands of the README in an empty folder, from `git clone` to a chat of
                      two browsers, the build among it: some minutes; writes
                      conformance/new-user.txt
  http2-browsers      Chromium and Firefox over HTTP/2 (RFC 8441): each way in which
                      a page goes, 500 times a Close of the server, 50 refreshes: a few minutes;
                      writes conformance/http2-browsers.txt and its part of docs/browsers.md
  webhooks [options]  official libraries of Standard Webhooks, in JavaScript and Python, verify
                      12,400 events and questions of every type (needs node, npm, and python3 with
                      pip); writes conformance/webhooks.txt
      --quick         372 of them; keeps nothing
  deflate-interop [options]
                      compression with npm ws, undici, Bun, Python's websockets and the three
                      browsers, 10,000 messages each way (needs node, npm, python3 with pip, and
                      what `setup` installs): some minutes; writes conformance/deflate-interop.txt
      --messages N    so many; fewer keep nothing
      --peer NAME     this one alone: chromium, firefox, webkit, ws, undici, bun or websockets;
                      keeps nothing
      --quick         200 messages with ws and undici; keeps nothing
  bench [options]     Adieu beside the floor of the kernel and other servers (needs node and two
                      cores); writes bench/results.json and docs/performance.md.
                      `cargo xtask bench --help` builds them and lists the options
      --quick         few and short samples: about three minutes after the builds
  instructions        counts the instructions of the protocol's hot parts with valgrind; fails if
                      one has grown by more than 3 % over bench/instructions.json
      --bless         keep what is counted now
  fuzz [options]      the fuzz targets, for a minute all together; needs a compiler for C++
      --minutes N     N minutes for each, two at a time; all of them: writes conformance/fuzz.txt
      --target NAME   this one alone: connection, heads, wire, forwarded, offer, token or proxy
      --repeat FILE   runs one input again, such as a finding
  fairness            how late a timer is beside a busy connection, a busy Sender, a broadcast and
                      a drain on the same single-threaded runtime (needs two cores and 10,100 open
                      files): a quarter of a minute after the build; writes docs/fairness.txt
  package [--list]    packs each published crate, builds it from its tarball against the others, and
                      looks through the tarball; --list builds nothing
  deb [--try]         the package for Debian, into target/debian; installs cargo-deb where it is
                      missing. --try: reads it with lintian, and installs and starts it in a Debian
                      of its own, under systemd (needs root; installs debootstrap and lintian)
  deploy              the files of deploy/ are read by the programs that they are for:
                      systemd-analyze, promtool, hadolint, kubernetes-validate; sessions pass
                      through nginx, HAProxy and Caddy. All of them are unpacked below target/
                      (Debian; needs python3 with pip, and root only where apt has no lists)
  semver [options]    compares the interfaces that are promised with those of the last release;
                      installs cargo-semver-checks where it is missing
      --since REV     with those of another commit
  msrv                builds the published crates with the oldest compilers that they name, taken
                      from rustup or from Debian's packages (which are unpacked, not installed)
  systems             checks that the library compiles for macOS and Windows (needs their standard
                      libraries from rustup, or the sources of Rust's)
  help                this text
";

fn long_form(task: &str) -> Option<&'static long_forms::LongForm> {
    long_forms::ALL.iter().find(|form| form.task == task)
}

/// Whether this text is asked for, of a task too. `bench` has options of its own to tell.
fn is_help(task: &str, options: &[&str]) -> bool {
    const HELP: [&str; 2] = ["--help", "-h"];
    task == "help"
        || HELP.contains(&task)
        || task != "bench" && options.iter().any(|option| HELP.contains(option))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [task, options @ ..] if is_help(task, options) => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        ["setup"] => setup::run().map(|()| ExitCode::SUCCESS),
        ["test"] => Ok(test::run(test::Extent::Whole)),
        ["test", "--fast"] => Ok(test::run(test::Extent::Fast)),
        ["autobahn", options @ ..] => autobahn::Options::parse(options)
            .and_then(|options| autobahn::run(&options).map_err(|stopped| stopped.to_string()))
            .map(|()| ExitCode::SUCCESS),
        ["endings", options @ ..] => endings::Options::parse(options)
            .and_then(|options| endings::run(&options))
            .map(|()| ExitCode::SUCCESS),
        ["docs"] => docs::run().map(|()| ExitCode::SUCCESS),
        ["client"] => client::check().map(|()| ExitCode::SUCCESS),
        ["sessions"] => sessions::run().map(|()| ExitCode::SUCCESS),
        [task] if long_form(task).is_some() => {
            long_form(task).map_or(Ok(()), long_forms::LongForm::run).map(|()| ExitCode::SUCCESS)
        }
        ["cluster-model"] => cluster_model::run().map(|()| ExitCode::SUCCESS),
        ["new-user"] => new_user::run().map(|()| ExitCode::SUCCESS),
        ["http2-browsers"] => http2_browsers::run().map(|()| ExitCode::SUCCESS),
        ["webhooks", options @ ..] => webhooks::run(options).map(|()| ExitCode::SUCCESS),
        ["deflate-interop", options @ ..] => deflate_interop::Options::parse(options)
            .and_then(|options| deflate_interop::run(&options))
            .map(|()| ExitCode::SUCCESS),
        ["bench", options @ ..] => bench::run(options).map(|()| ExitCode::SUCCESS),
        ["instructions", options @ ..] => bench::instructions(options).map(|()| ExitCode::SUCCESS),
        ["fuzz", options @ ..] => fuzz::Options::parse(options)
            .and_then(|options| fuzz::run(&options))
            .map(|()| ExitCode::SUCCESS),
        ["fairness"] => bench::fairness().map(|()| ExitCode::SUCCESS),
        ["package", options @ ..] => package::run(options).map(|()| ExitCode::SUCCESS),
        ["deb", options @ ..] => deb::run(options).map(|()| ExitCode::SUCCESS),
        ["deploy"] => deploy::run().map(|()| ExitCode::SUCCESS),
        ["semver", options @ ..] => semver::run(options).map(|()| ExitCode::SUCCESS),
        ["msrv"] => msrv::run().map(|()| ExitCode::SUCCESS),
        ["systems"] => systems::run().map(|()| ExitCode::SUCCESS),
        [] => Err(format!("which task?\n\n{USAGE}")),
        other => Err(format!("no such task: {}\n\n{USAGE}", other.join(" "))),
    };
    done.unwrap_or_else(|why| {
        eprintln!("xtask: {why}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::is_help;

    #[test]
    fn help_is_given_for_each_task_and_starts_none() {
        assert!(is_help("help", &[]) && is_help("--help", &[]) && is_help("-h", &[]));
        for task in ["fuzz", "package", "semver", "msrv", "test", "no-such-task"] {
            assert!(is_help(task, &["--help"]) && is_help(task, &["-h"]), "{task}");
        }
        assert!(!is_help("fuzz", &["--target", "heads"]) && !is_help("bench", &["--help"]));
    }
}
