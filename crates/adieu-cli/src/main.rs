//! The command `adieu`.

mod connect;
mod serve;
mod sessions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// WebSockets whose endings are told once, truthfully.
#[derive(Parser)]
#[command(name = "adieu", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Options of `adieu serve`, which runs if no command is named.
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the live page: see how connections end, in your own browser
    Serve(Box<Serve>),
    /// Find out how a WebSocket server says goodbye: a doctor for any server
    Check(adieu_check::Check),
    /// Talk to a WebSocket server: lines in, messages out, and how it ended
    Connect(connect::Connect),
}

/// Where and how to serve.
#[derive(Args, Clone)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
    /// Certificate chain in PEM form: serve https:// and wss:// (needs --tls-key)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM form (needs --tls-cert)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// WebSockets at a time; one above it is answered 503 (default: no limit)
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Address or prefix of a proxy whose Forwarded or X-Forwarded-For is believed (repeatable)
    #[arg(long, value_name = "CIDR")]
    trust_proxy: Vec<adieu::Cidr>,
    #[command(flatten)]
    sessions: sessions::Sessions,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an IP address and a port are needed, like 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080".into()
    })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Some(Command::Check(options)) => adieu_check::run(&options, serve::signal()).await,
            Some(Command::Connect(options)) => connect::run(&options).await,
            Some(Command::Serve(options)) => served(&options).await,
            None => served(&cli.serve).await,
        }
    })
}

async fn served(options: &Serve) -> ExitCode {
    serve::run(options).await.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &str) -> ExitCode {
    eprintln!("adieu: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_answered_with_what_a_right_one_looks_like() {
        for wrong in ["foo", "127.0.0.1", ":8080", "localhost:80", "127.0.0.1:99999"] {
            let error = Cli::try_parse_from(["adieu", "serve", "--listen", wrong]).err().unwrap();
            let said = error.to_string();
            assert!(said.contains(wrong) && said.contains("127.0.0.1:8080"), "{said}");
        }
        assert!(Cli::try_parse_from(["adieu", "--listen", "[::1]:0"]).is_ok());
    }
}
