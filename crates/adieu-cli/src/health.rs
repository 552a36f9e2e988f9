//! `adieu health`: whether a gateway is ready, for the health checks of containers, where there is
//! no other program that asks.

use std::process::ExitCode;
use std::time::Duration;

use adieu::{Client, Config, ConnectError, Socket};
use clap::Args;

use crate::escape;
use crate::say::{say, warn};

/// Health checks are repeated every few seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which gateway, and how it is reached.
#[derive(Args)]
pub(crate) struct Health {
    /// Where the gateway listens, without a path, or unix:PATH; with https:// its certificate is
    /// not verified, for it names the site and not this address
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
async fn ask(asked: &str) -> Result<(), String> {
    let socket = asked.strip_prefix("unix:");
    if socket.is_none() && !has_scheme(asked) {
        // Without a scheme there may be a password, too.
        let shown = asked.rsplit('@').next().unwrap_or_default();
        return Err(format!(
            "{shown:?} is no address of a gateway: write it like http://127.0.0.1:8080/, \
             https://127.0.0.1:8443/ or unix:/run/adieu/adieu.sock"
        ));
    }
    // Over a Unix socket the URL only says what stands in the request.
    let (url, shown) = match socket {
        Some(_) => ("http://localhost/readyz".to_owned(), escape::line(asked)),
        None => probe(asked),
    };
    let config = Config { handshake_timeout: PATIENCE, ..Config::default() };
    let client = Client::new().config(config);
    let client = client.tls(adieu_check::trust::client_config(None, true)?);
    let answer = match socket {
        Some(path) => over_unix(&client, path, &url).await,
        None => client.connect(&url).await,
    };
    let Err(error) = answer else {
        return Err(format!("{shown} is a WebSocket, so there is another server"));
    };
    match error.refusal() {
        Some(answer) if answer.status == 200 && answer.body_text() == "ready\n" => Ok(()),
        Some(answer) => {
            Err(format!("{shown} answered {answer}: {}", first_line(&answer.body_text())))
        }
        None => Err(format!("{shown}: {error}")),
    }
}

#[cfg(unix)]
async fn over_unix(client: &Client, path: &str, url: &str) -> Result<Socket, ConnectError> {
    client.connect_unix(path, url).await
}

#[cfg(not(unix))]
async fn over_unix(_: &Client, _: &str, _: &str) -> Result<Socket, ConnectError> {
    Err(std::io::Error::other("this system has no Unix sockets").into())
}

fn has_scheme(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// The URL that is asked, and what is shown of it: without user and password. A query would stand
/// in front of the path; there is none here.
fn probe(url: &str) -> (String, String) {
    let ready = |url: &str| {
        let base = url.split(['?', '#']).next().unwrap_or_default();
        format!("{}/readyz", base.trim_end_matches('/'))
    };
    // Behind the last of them: an unwise password has one, too.
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    };
    (ready(url), escape::line(ready(&shown)))
}

/// A page of another server would be long, and may have anything in it.
fn first_line(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().take(100).collect();
    escape::line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_and_not_shown_and_a_query_is_left_out() {
        for (url, asked, shown) in [
            ("http://a:1/", "http://a:1/readyz", "http://a:1/readyz"),
            ("http://a/gw?token=s#x", "http://a/gw/readyz", "http://a/gw/readyz"),
            ("https://u:p@a/", "https://u:p@a/readyz", "https://a/readyz"),
            ("http://u:p?s@a", "http://u:p/readyz", "http://a/readyz"),
        ] {
            assert_eq!(probe(url), (asked.to_owned(), shown.to_owned()));
        }
    }
}
