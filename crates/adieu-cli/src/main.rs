//! The command `adieu`.

mod connect;
mod health;
mod listen;
mod memory;
mod say;
mod serve;
mod service_manager;
mod sessions;
mod signals;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use adieu_gateway::serve::Handshakes;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

use listen::Listen;

/// What `adieu serve` takes from the environment.
const ENVIRONMENT: &str = "Environment:
  ADIEU_API_KEY         Key of the API, and password of the page: 16 characters or more. Without
                        it both are for this machine alone
  ADIEU_BACKEND_SECRET  Secret that hooks are signed with, like whsec_ and base64 (--backend)
  RUST_LOG              What is logged to stderr, like debug or adieu_gateway=info (default: warn)
  NO_COLOR              Set to anything: no colours in the log

Exit codes: 0: all ended well. 1: it could not start or go on. 2: the command line is wrong.
3: not every connection ended cleanly. 4: the backend was never told of some events.";

/// WebSockets whose endings are told once, truthfully.
#[derive(Parser)]
#[command(name = "adieu", version, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Options of `adieu serve`, which runs if no command is named.
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve WebSockets whose sessions outlive a refresh, tell your backend who left, and show on
    /// a live page how connections end
    #[command(after_help = ENVIRONMENT)]
    Serve(Box<Serve>),
    /// Find out how a WebSocket server says goodbye: a doctor for any server
    Check(adieu_check::Check),
    /// Talk to a WebSocket server: lines in, messages out, and how it ended
    Connect(Box<connect::Connect>),
    /// Ask a gateway whether it is ready, for health checks: exit code 0, or 1 and why not
    Health(health::Health),
}

/// Where and how to serve.
#[derive(Args, Clone)]
pub(crate) struct Serve {
    /// Address or name, and port, to listen on; :8080 is all addresses, port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: Listen,
    /// Certificate chain in PEM form: serve https:// and wss:// (needs --tls-key)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM form (needs --tls-cert)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// WebSockets at a time; one above it is answered 503 (default: no limit)
    #[arg(long, value_name = "N", value_parser = count)]
    max_connections: Option<usize>,
    /// Connections that may wait for a request (TLS, its head); above it the one that has waited
    /// longest makes room, after 2s
    #[arg(long, value_name = "N", default_value_t = Handshakes::ALL, value_parser = count)]
    max_handshakes: usize,
    /// The same for each address
    #[arg(long, value_name = "N", default_value_t = Handshakes::EACH, value_parser = count)]
    max_handshakes_per_address: usize,
    /// Address or prefix of a proxy whose Forwarded or X-Forwarded-For is believed (repeatable)
    #[arg(long, value_name = "CIDR")]
    trust_proxy: Vec<adieu::Cidr>,
    #[command(flatten)]
    sessions: sessions::Sessions,
}

/// Of which there is at least one.
fn count(text: &str) -> Result<usize, String> {
    let wrong = || format!("a number is needed, at least 1 and at most {}", usize::MAX);
    text.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)
}

fn main() -> ExitCode {
    memory::give_back();
    let cli = Cli::try_parse().unwrap_or_else(|error| without_urls(error).exit());
    log_to_stderr();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
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
    if is_client {
        // A name that is still looked up behind the deadline keeps nobody waiting.
        runtime.shutdown_background();
    }
    code
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

/// What `RUST_LOG` asks for; colours are for a terminal.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|error| {
        if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some_and(|asked| !asked.is_empty()) {
            say::warn(format_args!("RUST_LOG: {error}; warnings are logged"));
        }
        EnvFilter::new("warn")
    });
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would say so on stderr, which may be what is gone.
        .log_internal_errors(false)
        .init();
}

async fn served(options: &Serve) -> ExitCode {
    serve::run(options).await.unwrap_or_else(|error| fail(&error))
}

/// The first signal that asks this process to stop.
async fn stop_signal() {
    signals::Signals::new().stop().await;
}

fn fail(error: &str) -> ExitCode {
    say::warn(error);
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
