//! `adieu health`: whether a gateway is ready, for the health checks of containers, where there is
//! no other program that asks.

use std::process::ExitCode;
use std::time::Duration;

use adieu::{Client, Config};
use clap::Args;

use crate::say::{say, warn};

/// Health checks are repeated every few seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which gateway, and how it is reached.
#[derive(Args)]
pub(crate) struct Health {
    /// Where the gateway listens; with https:// its certificate is not verified, for it names the
    /// site and not this address
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    url: String,
}

/// Asks once.
pub(crate) async fn run(options: &Health) -> ExitCode {
    match ask(&options.url).await {
        Ok(()) => {
            say("ready");
            ExitCode::SUCCESS
        }
        Err(why) => {
            warn(format_args!("not ready: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// The client of WebSockets asks, because it speaks TLS, too: at this path there is no WebSocket,
/// and what is answered instead says how the gateway is.
async fn ask(url: &str) -> Result<(), String> {
    let url = format!("{}/readyz", url.trim_end_matches('/'));
    let config = Config { handshake_timeout: PATIENCE, ..Config::default() };
    let client = Client::new().config(config);
    let client = client.tls(adieu_check::trust::client_config(None, true)?);
    let Err(error) = client.connect(&url).await else {
        return Err(format!("{url} is a WebSocket, so there is another server"));
    };
    match error.refusal() {
        Some(answer) if answer.status == 200 && answer.body_text() == "ready\n" => Ok(()),
        Some(answer) => {
            Err(format!("{url} answered {answer}: {}", first_line(&answer.body_text())))
        }
        None => Err(format!("{url}: {error}")),
    }
}

/// A page of another server would be long.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}
