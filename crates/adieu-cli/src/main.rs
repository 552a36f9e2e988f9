//! The command `adieu`.

mod certificates;
mod connect;
mod escape;
mod greeting;
mod health;
mod help;
mod listen;
mod log;
mod memory;
mod room;
mod say;
mod serve;
mod service_manager;
mod sessions;
mod signals;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adieu_gateway::serve::Handshakes;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use help::heading;
use listen::Listen;
use log::LogFormat;
use tokio::runtime::Runtime;

/// WebSockets, and how they end
#[derive(Parser)]
#[command(
    name = "adieu",
    version,
    long_about = help::ADIEU,
    after_help = "Options of the gateway: adieu serve --help",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Options of `adieu serve`, which runs if no command is named.
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway: it holds your users' WebSockets and tells your backend who came and left
    #[command(long_about = help::SERVE, after_help = help::ENVIRONMENT)]
    Serve(Box<Serve>),
    /// Examine how a WebSocket server ends its connections: a doctor for any server
    Check(adieu_check::Check),
    /// Talk to a WebSocket server: lines in, messages out, and how the connection ended
    Connect(Box<connect::Connect>),
    /// Ask a gateway whether it is ready, for health checks: exit code 0, or 1 and why not
    Health(health::Health),
}

/// Where and how to serve.
#[derive(Args, Clone)]
pub(crate) struct Serve {
    /// Address or name, and port, to listen on: :8080 is all addresses, port 0 takes a free one;
    /// unix:PATH is a Unix socket, without TLS, for a proxy on this machine (repeatable)
    #[arg(long, value_name = "ADDR:PORT", default_value = Listen::DEFAULT)]
    #[arg(help_heading = heading::LISTEN)]
    listen: Vec<Listen>,
    /// Certificate chain in PEM form: serve https:// and wss:// (needs --tls-key). It is read anew
    /// when the file changes, and at SIGHUP where there is no terminal
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = heading::LISTEN)]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM form (needs --tls-cert)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = heading::LISTEN)]
    tls_key: Option<PathBuf>,
    /// Look so often whether the certificate has changed
    #[arg(long, value_name = "TIME", default_value = certificates::LOOK_EVERY, hide = true)]
    #[arg(value_parser = sessions::length, help_heading = heading::LISTEN)]
    tls_look: Duration,
    /// Address or prefix of a proxy whose Forwarded or X-Forwarded-For is believed (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = heading::LISTEN)]
    trust_proxy: Vec<adieu::Cidr>,
    /// Compress text messages for clients that offer it (permessage-deflate, RFC 7692). Not where
    /// one connection carries secrets and what strangers write: docs/security.md
    #[arg(long, help_heading = heading::LISTEN)]
    compress: bool,
    /// Serve HTTP/2 as well, with WebSockets on its streams (RFC 8441); browsers use it with
    /// --tls-cert alone, proxies without it too (prior knowledge). Read docs/http2.md first:
    /// refreshes and refusals look different to browsers and servers
    #[arg(long, help_heading = heading::LISTEN)]
    http2: bool,
    #[command(flatten)]
    sessions: sessions::Sessions,
    /// WebSockets at a time; one above it is answered 503 (default: no limit)
    #[arg(long, value_name = "N", value_parser = count, help_heading = heading::LIMITS)]
    max_connections: Option<usize>,
    /// Connections that may wait for a request (TLS, its head); above it the one that has waited
    /// longest makes room, after 2s
    #[arg(long, value_name = "N", default_value_t = Handshakes::ALL, value_parser = count)]
    #[arg(help_heading = heading::LIMITS)]
    max_handshakes: usize,
    /// The same for each address
    #[arg(long, value_name = "N", default_value_t = Handshakes::EACH, value_parser = count)]
    #[arg(help_heading = heading::LIMITS)]
    max_handshakes_per_address: usize,
    /// How the log on stderr, and what is said on stdout, is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, help_heading = heading::LOG)]
    log_format: LogFormat,
}

/// Of which there is at least one.
fn count(text: &str) -> Result<usize, String> {
    let wrong = || format!("a number is needed, at least 1 and at most {}", usize::MAX);
    text.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)
}

/// The command line, and its help: above the commands, the options of one of them would hide what
/// there is.
fn command() -> clap::Command {
    Cli::command().max_term_width(100).mut_args(|option| option.hide(true))
}

impl Cli {
    fn read() -> Result<Self, clap::Error> {
        Cli::from_arg_matches(&command().try_get_matches()?)
    }

    /// How the log is written.
    fn log_format(&self) -> LogFormat {
        match &self.command {
            Some(Command::Serve(serve)) => serve.log_format,
            Some(_) => LogFormat::Text,
            None => self.serve.log_format,
        }
    }
}

fn main() -> ExitCode {
    memory::give_back();
    let cli = Cli::read().unwrap_or_else(|error| with_help(without_urls(error)).exit());
    log::start(cli.log_format());
    // The soft limit is for programs that cannot use more; each connection takes one.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = match room::look().and_then(|()| runtime()) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let is_client = matches!(cli.command, Some(Command::Connect(_)));
    let code = runtime.block_on(async {
        match cli.command {
            Some(Command::Check(options)) => adieu_check::run(&options, stop_signal()).await,
            Some(Command::Connect(options)) => connect::run(&options).await,
            Some(Command::Health(options)) => health::run(&options).await,
            Some(Command::Serve(options)) => served(&options).await,
            None => served(&cli.serve).await,
        }
    });
    // A thread that still waits for a name, a file or the service manager keeps nobody waiting. A
    // client has nothing to end; a gateway ends its tasks.
    runtime.shutdown_timeout(if is_client { Duration::ZERO } else { LAST_WAIT });
    code
}

/// How long the end of the process waits for the tasks that are left and for threads that block.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Threads at a time for what blocks: names that are looked up, files that are looked at.
const BLOCKING: usize = 16;

/// How long such a thread is kept when it has nothing to do: for ever. If the system gave none when
/// it is needed, the runtime would panic.
const KEEP: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().max_blocking_threads(BLOCKING).thread_keep_alive(KEEP);
    let runtime = runtime.build().map_err(|error| format!("cannot start: {error}"))?;
    // The first of them, now.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// An error of the command line that shows of a URL no more than its scheme: there may be a
/// password or a token in it.
fn without_urls(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue]
    {
        if let Some(ContextValue::String(shown)) = error.get(kind)
            && let Some((scheme, _)) = shown.split_once("://")
        {
            let shown = format!("{scheme}://…");
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

/// The same with the way out, where options stand in front of their command.
fn with_help(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(of)) = error.get(ContextKind::InvalidSubcommand)
        && error.kind() == ErrorKind::ArgumentConflict
    {
        let tip = format!("write the options behind the command: adieu {of} …");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

async fn served(options: &Serve) -> ExitCode {
    serve::run(options).await.unwrap_or_else(|error| fail(&error))
}

/// The first signal that asks this process to stop.
async fn stop_signal() {
    signals::Signals::new().stop().await;
}

fn fail(error: &str) -> ExitCode {
    say::fail(error);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_answered_with_what_a_right_one_looks_like() {
        for wrong in ["foo", "127.0.0.1", ":x", "::1:80", "[foo]:80", "127.0.0.1:99999"] {
            let error = Cli::try_parse_from(["adieu", "serve", "--listen", wrong]).err().unwrap();
            let said = error.to_string();
            assert!(said.contains(wrong) && said.contains("127.0.0.1:8080"), "{said}");
        }
        for right in ["[::1]:0", ":8080", "localhost:80"] {
            assert!(Cli::try_parse_from(["adieu", "--listen", right]).is_ok(), "{right}");
        }
    }
}
