//! `adieu check`: a doctor for any WebSocket server. Raw peers come, say goodbye well and badly,
//! and note what the server does; docs/check.md explains each check.

mod cases;
mod churn;
mod clients;
mod closing;
mod deflate;
// The testkit includes these two and uses more of them.
#[allow(dead_code, unreachable_pub, reason = "shared with the testkit, which uses all of it")]
mod frame;
#[allow(dead_code, unreachable_pub, reason = "shared with the testkit, which uses all of it")]
mod head;
mod http2;
mod limits;
mod loaded;
mod old;
mod peer;
mod plan;
mod probe;
mod process;
mod progress;
mod report;
mod shutdown;
mod stream;
mod target;
mod transport;
pub mod trust;
mod violations;
mod wanted;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use tokio::time::Instant;

use self::cases::Cases;
use self::deflate::Consent;
use self::http2::advertised;
use self::plan::Plan;
use self::probe::Abilities;
use self::process::Process;
use self::progress::Progress;
use self::report::{About, Finding, Report, Verdict};
use self::shutdown::Mix;
use self::target::Target;
use self::wanted::Wanted;

/// The form of the JSON report.
const FORMAT: u32 = 1;

/// Something could not be run: neither well nor bad.
const CANNOT: u8 = 2;

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What to check, and how.
#[derive(Args, Clone)]
pub struct Check {
    /// The server: ws://HOST[:PORT]/PATH or wss://…
    url: String,
    /// The server's process: what its clients see at SIGTERM is checked last, once
    #[arg(long, value_name = "PID", conflicts_with = "cmd")]
    pid: Option<u32>,
    /// How to start the server (one program and its arguments): it is started anew for each
    /// shutdown, and stopped in the end
    #[arg(long, value_name = "COMMAND", value_parser = NonEmptyStringValueParser::new())]
    cmd: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Small numbers: half a minute at most
    #[arg(long)]
    quick: bool,
    /// Clients at a shutdown (default: 500, with --quick 50); other numbers follow it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000))]
    clients: Option<u32>,
    /// Run only these checks
    #[arg(
        long,
        value_name = "ID",
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(wanted::ids())
    )]
    only: Vec<String>,
    /// The server is mine, though on another machine: send it compressed messages too, wrong ones
    /// and one that unpacks to 64 MiB (always done to a server on this machine)
    #[arg(long)]
    mine: bool,
    /// Open every WebSocket on a stream of HTTP/2 (RFC 8441); a ws:// server has to speak HTTP/2
    /// without being asked
    #[arg(long)]
    http2: bool,
    /// Trust the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
}

/// Runs the checks, until they are done or `stopped` is. Exit code 0: nothing is bad; 1: something
/// is; 2: they could not be run.
pub async fn run(options: &Check, stopped: impl Future<Output = ()>) -> ExitCode {
    let report = tokio::select! {
        report = examine(options) => report,
        () = stopped => Err("stopped".to_owned()),
    };
    let report = match report {
        Ok(report) => report,
        Err(why) => {
            eprintln!("adieu check: {why}");
            return ExitCode::from(CANNOT);
        }
    };
    if options.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => unreachable!("a report is plain data: {error}"),
        }
    } else {
        print!("{}", report.table());
    }
    if report.result == Verdict::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn examine(options: &Check) -> Result<Report, String> {
    let started = Instant::now();
    let cases = Cases::load();
    let clients = options.clients.map(|clients| clients as usize);
    limits::room_for(clients.unwrap_or(cases.shutdown.idle.clients))?;
    let Check { url, ca, insecure, http2, .. } = options;
    let target = Target::new(url, ca.as_ref(), *insecure, *http2).await?;
    let process = match (&options.cmd, options.pid) {
        (Some(line), _) => Some(Process::start(line, &target).await?),
        (None, Some(pid)) => Some(Process::of(pid)?),
        (None, None) => None,
    };
    let able = probe::probe(&target).await?;
    let plan = Plan::new(&cases, options.quick, clients, target.is_local());
    let consent = Consent::new(&target, options.mine);
    let subject = Subject { target, able, cases, plan, consent };
    let wanted = Wanted::new(&options.only);
    let progress = Progress::new();
    let mut log = Log { wanted, http2: *http2, progress, found: Vec::new() };
    connections(&subject, process.as_ref(), &mut log).await;
    shutdowns(&subject, process, options.cmd.as_deref(), &mut log).await;
    log.progress.clear();
    Ok(Report {
        format: FORMAT,
        url: options.url.clone(),
        http2: *http2,
        quick: options.quick,
        echo: able.echo,
        convention: able.convention,
        result: log.found.iter().map(|check| check.result).max().unwrap_or(Verdict::Ok),
        checks: log.found,
        seconds: tenths(started.elapsed().as_secs_f64()),
    })
}

/// What is checked, and with which numbers.
struct Subject {
    target: Target,
    able: Abilities,
    cases: Cases,
    plan: Plan,
    consent: Consent,
}

/// The results so far.
struct Log {
    wanted: Wanted,
    /// The WebSockets are streams of HTTP/2.
    http2: bool,
    progress: Progress,
    found: Vec<Finding>,
}

impl Log {
    /// Waits for a result, keeps and shows it; nothing is begun if nobody wants it.
    async fn note(&mut self, about: About, what: &str, check: impl Future<Output = Finding>) {
        if !self.wanted.has(about) {
            return;
        }
        self.progress.doing(what);
        let started = Instant::now();
        let finding = check.await;
        let mut finding = if self.http2 { finding.in_words_of_http2() } else { finding };
        finding.seconds = tenths(started.elapsed().as_secs_f64());
        self.progress.done(&finding);
        self.found.push(finding);
    }
}

/// What can be seen while the server runs.
async fn connections(subject: &Subject, process: Option<&Process>, log: &mut Log) {
    let Subject { target, able, cases, plan, consent } = subject;
    // It is all waiting: it goes on beside the others.
    let mute = log
        .wanted
        .has(closing::MUTE)
        .then(|| tokio::spawn(closing::mute(target.clone(), *able, plan.mute)));
    log.note(closing::CLOSE, "closing", closing::close(target)).await;
    log.note(closing::LAST, "last words", closing::last_words(target, *able)).await;
    log.note(loaded::UPLOAD, "closes during uploads", loaded::upload(target, *able, plan)).await;
    let backlog = loaded::backlog(target, *able, plan);
    log.note(loaded::BACKLOG, "closes behind a backlog", backlog).await;
    log.note(violations::BARE, "protocol errors", violations::bare(target, cases)).await;
    let in_flight = violations::in_flight(target, cases);
    log.note(violations::IN_FLIGHT, "protocol errors with data in flight", in_flight).await;
    log.note(churn::REFRESH, "page refreshes", churn::refresh(target, *able, plan)).await;
    log.note(churn::RECONNECT, "reconnects", churn::reconnect(target, plan, process)).await;
    log.note(old::OLD, "old protocols", old::old(target)).await;
    log.note(advertised::HTTP2, "WebSockets over HTTP/2", advertised::check(target)).await;
    log.note(deflate::OFFERS, "offers of compression", deflate::offers(target)).await;
    let messages = deflate::messages(target, *able, *consent);
    log.note(deflate::MESSAGES, "compressed messages", messages).await;
    let errors = deflate::errors(target, *consent);
    log.note(deflate::ERRORS, "errors of compression", errors).await;
    let cut = deflate::cut(target, *consent);
    log.note(deflate::CUT, "compressed messages that are cut", cut).await;
    if let Some(mute) = mute {
        let mute = async {
            let given = mute.await;
            given.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        };
        log.note(closing::MUTE, "a peer that answers no Close", mute).await;
    }
    // What may stop the server comes last.
    let bomb = deflate::bomb(target, *consent);
    log.note(deflate::BOMB, "a small message that unpacks to 64 MiB", bomb).await;
    log.note(closing::PANIC, "a failing application", closing::panic(target, *able)).await;
}

/// What is seen when it stops. A server that can be started again is stopped in every way.
async fn shutdowns(subject: &Subject, process: Option<Process>, line: Option<&str>, log: &mut Log) {
    let Some(mut process) = process else {
        return skip_all(log, "needs --pid or --cmd", None);
    };
    let Some(line) = line else {
        return only_shutdown(subject, &mut process, log).await;
    };
    process.kill().await;
    for mix in log.wanted.clone().shutdowns() {
        log.note(mix.about(), mix.about().title, async {
            if let Some(why) = mix.obstacle(subject.able) {
                return mix.about().skipped(why);
            }
            let mut process = match Process::start(line, &subject.target).await {
                Ok(process) => process,
                Err(why) => return shutdown::impossible(mix, &why),
            };
            let finding = shutdown(mix, subject, &mut process).await;
            process.kill().await;
            finding
        })
        .await;
    }
}

/// The shutdown of a process that cannot be started again: of what is wanted and can be done, with
/// busy clients rather than others.
async fn only_shutdown(subject: &Subject, process: &mut Process, log: &mut Log) {
    let mut possible: Vec<Mix> = log.wanted.shutdowns().collect();
    possible.retain(|mix| mix.obstacle(subject.able).is_none());
    let only = possible.iter().find(|mix| **mix == Mix::Busy).or(possible.first()).copied();
    if let Some(only) = only {
        log.note(only.about(), only.about().title, shutdown(only, subject, process)).await;
    }
    skip_all(log, "a process stops only once: needs --cmd", only);
}

fn skip_all(log: &mut Log, why: &str, but: Option<Mix>) {
    let skipped = log.wanted.shutdowns().filter(|mix| Some(*mix) != but);
    log.found.extend(skipped.map(|mix| mix.about().skipped(why)));
}

async fn shutdown(mix: Mix, subject: &Subject, process: &mut Process) -> Finding {
    let Subject { target, cases, plan, .. } = subject;
    let ran = shutdown::run(mix, target, process, cases, plan).await;
    ran.unwrap_or_else(|why| shutdown::impossible(mix, &why))
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
