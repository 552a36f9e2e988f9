//! What the command line says of sessions, and the gateway that follows from it.

use std::path::PathBuf;
use std::time::Duration;

use adieu_gateway::gateway::{Gateway, Options};
use adieu_gateway::hook::{Backend, BackendOptions, DeliveryOptions, EventFormat, Secret};
use adieu_gateway::http::{API_REQUESTS, Access, AllowedOrigin, BadKey, Origins, PublicUrl};
use adieu_gateway::session::command::{AskResume, Limits};
use adieu_gateway::session::{Settings, Waits};
use adieu_gateway::store::{Disk, Memory, StoreWatch};
use clap::{Args, ValueEnum};

use adieu_check::trust;

/// Holds the secret that hooks are signed with: what stands on a command line, everybody may read.
const SECRET: &str = "ADIEU_BACKEND_SECRET";

/// Holds the key of the pages and the API.
pub(crate) const KEY: &str = "ADIEU_API_KEY";

/// Sessions: who hears of them, and how long a person may be away.
#[derive(Args, Clone)]
#[command(next_help_heading = "Sessions (WebSockets at /ws)")]
pub(crate) struct Sessions {
    /// Keep sessions in this directory: they outlive the process (default: in memory)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Tell this address who came, left and what they said; needs ADIEU_BACKEND_SECRET
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
    /// How long the backend may take to answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length)]
    backend_timeout: Duration,
    /// Requests to the backend at a time, from 2; a quarter is for who came and left alone
    #[arg(long, value_name = "N", default_value = "64", value_parser = concurrency)]
    backend_concurrency: usize,
    /// Send up to 64 events in one request, in CloudEvents' JSON batch format, a verdict on each
    #[arg(long, requires = "backend")]
    batch: bool,
    /// Let a session's end overtake its message that the backend refuses after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length, hide = true)]
    backend_patience: Duration,
    /// Send again what the backend refused while it took nothing, over this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = length, hide = true)]
    backend_spread: Duration,
    /// Make a message a dead letter that the backend has refused for this long, after 10 tries
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = length)]
    dead_letter_age: Duration,
    /// Make a message a dead letter after so many tries, if it is old enough as well
    #[arg(long, value_name = "N", default_value_t = 10, hide = true)]
    dead_letter_tries: u32,
    /// Set a lifecycle event aside that the backend has refused for this long
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = length, hide = true)]
    park_after: Duration,
    /// Trust the certificates in this PEM file for the backend (default: the system's)
    #[arg(long, value_name = "FILE", requires = "backend")]
    backend_ca: Option<PathBuf>,
    /// How the backend is told: structured (each event is one JSON object, as libraries for
    /// Standard Webhooks need it) or binary (messages as they are, attributes in ce- fields)
    #[arg(long, value_name = "FORMAT", default_value = "structured", value_parser = format)]
    event_format: EventFormat,
    /// Pages of this site may connect, like https://example.com or, for its sub-domains,
    /// https://*.example.com; * for any site (repeatable; default: the gateway's own)
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<AllowedOrigin>,
    /// Where people reach the gateway, like https://chat.example.com: its own pages are those of
    /// this site, whatever a proxy makes of the Host, and under another name no page is served
    #[arg(long, value_name = "URL")]
    public_url: Option<PublicUrl>,
    /// Tell the backend of each connection that was lost and resumed, too
    #[arg(long, requires = "backend")]
    tell_connections: bool,
    /// Ask the backend before a session is resumed: when its client comes with other credentials
    /// (cookies, authorization, query, token) than before, each time, or never
    #[arg(long, value_name = "WHEN", value_enum, default_value = "changed")]
    ask_resume: AskWhen,
    /// Of cookies only this one is a credential (repeatable; default: all cookies)
    #[arg(long, value_name = "NAME")]
    credential_cookie: Vec<String>,
    /// Sessions of one user at most
    #[arg(long, value_name = "N", default_value = "100", value_parser = crate::count)]
    max_sessions_per_user: usize,
    /// Messages in a second from all sessions of one user, five seconds' worth at once: above it a
    /// connection is closed with 1013, and its client comes back and says them again
    #[arg(long, value_name = "N", default_value = "2000", value_parser = rate)]
    max_messages_per_user: u32,
    /// Requests in a second with the key of the API, five seconds' worth at once: those above it
    /// are answered 429
    #[arg(long, value_name = "N", default_value_t = API_REQUESTS, value_parser = rate)]
    pub(crate) max_api_requests: u32,
    /// Wait after a Close that says so (1000, 4xxx)
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = length)]
    wait_left: Duration,
    /// Wait after a page that went or was hidden (1001, 4001): a refresh. If the page took long to
    /// load: twice that time, 60 s at most
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = length)]
    wait_hidden: Duration,
    /// Wait after a connection that broke
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = length)]
    wait_lost: Duration,
    /// Wait after the time that a client was told to come back at when the gateway stopped
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = length)]
    wait_drained: Duration,
    /// Wait for everybody after a start, however long the gateway was down
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = length)]
    wait_restart: Duration,
    /// Wait before a user is told as gone whose client does not speak adieu.v1
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length)]
    wait_user: Duration,
    /// When the gateway stops, tell clients to come back over this long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length)]
    drain_window: Duration,
    /// Between two heartbeats of a page; 0s for none
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = length)]
    heartbeat: Duration,
}

/// When the backend is asked before a session is resumed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AskWhen {
    Changed,
    Always,
    Never,
}

impl From<AskWhen> for AskResume {
    fn from(when: AskWhen) -> Self {
        match when {
            AskWhen::Changed => AskResume::Changed,
            AskWhen::Always => AskResume::Always,
            AskWhen::Never => AskResume::Never,
        }
    }
}
/// More is a mistake, and could not be added to a date.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn rate(text: &str) -> Result<u32, String> {
    let wrong = || format!("a number is needed, at least 1 and at most {}, like 2000", u32::MAX);
    text.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a length of time is needed, like 500ms, 15s or 2m"))?;
    if length > LONGEST {
        return Err("it is longer than a year; a length of time is needed, like 15s or 2m".into());
    }
    Ok(length)
}

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 2..=4096) => Ok(number),
        _ => Err("a number from 2 to 4096 is needed: one for messages, one for who left".into()),
    }
}

fn format(text: &str) -> Result<EventFormat, String> {
    match text {
        "structured" => Ok(EventFormat::Structured),
        "binary" => Ok(EventFormat::Binary),
        _ => Err("there are two formats: structured and binary".into()),
    }
}

impl Sessions {
    /// Starts the gateway; the file of its store, if it has one.
    pub(crate) async fn start(&self) -> Result<(Gateway, Option<StoreWatch>), String> {
        let options = self.options()?;
        let mut file = None;
        let started = match &self.data {
            None => Gateway::start(Memory, options).await,
            Some(dir) => {
                let dir = dir.clone();
                // It reads the whole file.
                let opened = tokio::task::spawn_blocking(move || Disk::open(&dir)).await;
                let disk = opened.map_err(|error| error.to_string())?;
                let disk = disk.map_err(|error| error.to_string())?;
                file = Some(disk.watch());
                Gateway::start(disk, options).await
            }
        };
        Ok((started.map_err(|error| error.to_string())?, file))
    }

    fn options(&self) -> Result<Options, String> {
        let waits = Waits {
            left: self.wait_left,
            hidden: self.wait_hidden,
            lost: self.wait_lost,
            drained: self.wait_drained,
            gateway_down: self.wait_restart,
            user: self.wait_user,
        };
        let (sessions_per_user, messages_per_user) =
            (self.max_sessions_per_user, self.max_messages_per_user);
        let sessions = Settings {
            waits,
            heartbeat: self.heartbeat,
            tell_connections: self.tell_connections,
            ask_resume: self.ask_resume.into(),
            limits: Limits { sessions_per_user, messages_per_user, ..Limits::default() },
            ..Settings::default()
        };
        Ok(Options {
            sessions,
            backend: self.backend()?,
            deliveries: self.deliveries(),
            credential_cookies: self.credential_cookie.clone(),
            drain_window: self.drain_window,
            ..Options::default()
        })
    }

    fn deliveries(&self) -> DeliveryOptions {
        DeliveryOptions {
            concurrency: self.backend_concurrency,
            patience: self.backend_patience,
            spread: self.backend_spread,
            dead_letter_age: self.dead_letter_age,
            park_after: self.park_after,
            dead_letter_tries: self.dead_letter_tries,
        }
    }

    fn backend(&self) -> Result<Option<Backend>, String> {
        let Some(url) = self.backend.clone() else { return Ok(None) };
        let secret = std::env::var(SECRET).map_err(|_| {
            format!("--backend needs {SECRET}, with which hooks are signed: {}", wrong_secret())
        })?;
        let secret = Secret::read(&secret).map_err(|error| format!("{SECRET}: {error}"))?;
        let tls = trust::client_config(self.backend_ca.as_ref(), false)?;
        let (timeout, format) = (self.backend_timeout, self.event_format);
        let options = BackendOptions { url, secret, timeout, tls, format, batches: self.batch };
        Backend::new(options).map(Some)
    }

    pub(crate) fn has_backend(&self) -> bool {
        self.backend.is_some()
    }

    /// Which pages may connect.
    pub(crate) fn origins(&self) -> Origins {
        Origins::new(self.allow_origin.clone(), self.public_url.clone())
    }
}

fn wrong_secret() -> String {
    adieu_gateway::hook::BadSecret::Missing.to_string()
}

/// Who may see pages and use the API, and how often.
pub(crate) fn access(requests: u32) -> Result<Access, String> {
    let key = match std::env::var(KEY) {
        Ok(key) => Some(key),
        Err(std::env::VarError::NotPresent) => None,
        // To go on without one would open what was to be closed.
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{KEY}: {BadKey}")),
    };
    let access = Access::new(key.as_deref()).map_err(|error| format!("{KEY}: {error}"))?;
    Ok(access.max_requests(requests))
}
