//! The options of sessions, in the groups that the help shows.

use std::path::PathBuf;
use std::time::Duration;

use adieu_gateway::hook::EventFormat;
use adieu_gateway::http::{API_REQUESTS, AllowedOrigin, PublicUrl};
use adieu_gateway::session::command::AskResume;
use clap::{Args, ValueEnum};

use crate::help::heading;

/// Sessions: where they are kept, who hears of them, and how long a person may be away.
#[derive(Args, Clone)]
pub(crate) struct Sessions {
    #[command(flatten)]
    pub(super) sites: Sites,
    #[command(flatten)]
    pub(super) store: Store,
    #[command(flatten)]
    pub(super) hooks: Hooks,
    #[command(flatten)]
    pub(super) waits: WaitTimes,
    #[command(flatten)]
    pub(super) limits: Limits,
}

/// Which pages may connect.
#[derive(Args, Clone)]
#[command(next_help_heading = heading::SITES)]
pub(crate) struct Sites {
    /// Pages of this site may connect, like https://example.com or, for its sub-domains,
    /// https://*.example.com; * for any site (repeatable; default: the gateway's own)
    #[arg(long, value_name = "ORIGIN")]
    pub(super) allow_origin: Vec<AllowedOrigin>,
    /// Where people reach the gateway, like https://chat.example.com: its own pages are those of
    /// this site, whatever a proxy makes of the Host, and under another name no page is served
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<PublicUrl>,
}

/// Where sessions are kept.
#[derive(Args, Clone)]
#[command(next_help_heading = heading::STORE)]
pub(crate) struct Store {
    /// Keep sessions in this directory: they outlive the process (default: in memory)
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Share sessions with other gateways in this Redis or Valkey: redis://HOST:PORT,
    /// redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub(super) engine: Option<String>,
    /// The engine may forget when its process ends (without it, appendonly is asked for)
    #[arg(long, requires = "engine")]
    pub(super) engine_volatile: bool,
}

/// Who hears of sessions.
#[derive(Args, Clone)]
#[command(next_help_heading = heading::BACKEND)]
pub(crate) struct Hooks {
    /// Tell this address who came, left and what they said; needs ADIEU_BACKEND_SECRET
    #[arg(long, value_name = "URL")]
    pub(super) backend: Option<String>,
    /// How long the backend may take to answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    pub(super) backend_timeout: Duration,
    /// Requests to the backend at a time, from 2; a quarter is for who came and left alone
    #[arg(long, value_name = "N", default_value = "64", value_parser = concurrency)]
    pub(super) backend_concurrency: usize,
    /// Send up to 64 events in one request, in CloudEvents' JSON batch format, a verdict on each
    #[arg(long, requires = "backend")]
    pub(super) batch: bool,
    /// Let a session's end overtake its message that the backend refuses after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length, hide = true)]
    pub(super) backend_patience: Duration,
    /// Send again what the backend refused while it took nothing, over this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = length, hide = true)]
    pub(super) backend_spread: Duration,
    /// Make a message a dead letter that the backend has refused for this long, after 10 tries
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = length)]
    pub(super) dead_letter_age: Duration,
    /// Make a message a dead letter after so many tries, if it is old enough as well
    #[arg(long, value_name = "N", default_value_t = 10, hide = true)]
    pub(super) dead_letter_tries: u32,
    /// Set a lifecycle event aside that the backend has refused for this long
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = length, hide = true)]
    pub(super) park_after: Duration,
    /// Trust the certificates in this PEM file for the backend (default: the system's)
    #[arg(long, value_name = "FILE", requires = "backend")]
    pub(super) backend_ca: Option<PathBuf>,
    /// How the backend is told: structured (each event is one JSON object, as libraries for
    /// Standard Webhooks need it) or binary (messages as they are, attributes in ce- fields)
    #[arg(long, value_name = "FORMAT", default_value = "structured", value_parser = format)]
    pub(super) event_format: EventFormat,
    /// Tell the backend of each connection that was lost and resumed, too
    #[arg(long, requires = "backend")]
    pub(super) tell_connections: bool,
    /// Ask the backend before a session is resumed: when its client comes with other credentials
    /// (cookies, authorization, query, token) than before, each time, or never
    #[arg(long, value_name = "WHEN", value_enum, default_value = "changed")]
    pub(super) ask_resume: AskWhen,
    /// Of cookies only this one is a credential (repeatable; default: all cookies)
    #[arg(long, value_name = "NAME", value_parser = cookie_name)]
    pub(super) credential_cookie: Vec<String>,
}

/// When the backend is asked before a session is resumed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AskWhen {
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

/// How long a person may be away.
#[derive(Args, Clone)]
#[command(next_help_heading = heading::SESSIONS)]
pub(crate) struct WaitTimes {
    /// Wait after a Close that says so (1000, 4xxx)
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = length)]
    pub(super) wait_left: Duration,
    /// Wait after a page that went or was hidden (1001, 4001): a refresh. If the page took long to
    /// load: twice that time, 60 s at most
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = length)]
    pub(super) wait_hidden: Duration,
    /// Wait after a connection that broke
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = length)]
    pub(super) wait_lost: Duration,
    /// Wait after the time that a client was told to come back at when the gateway stopped
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = length)]
    pub(super) wait_drained: Duration,
    /// Wait for everybody after a start, however long the gateway was down
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = length)]
    pub(super) wait_restart: Duration,
    /// Wait before a user is told as gone whose client does not speak adieu.v1
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length)]
    pub(super) wait_user: Duration,
    /// When the gateway stops, tell clients to come back over this long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = length)]
    pub(super) drain_window: Duration,
    /// Between two heartbeats of a page; 0s for none
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = length)]
    pub(super) heartbeat: Duration,
}

/// What one user, and the backend, may have at most.
#[derive(Args, Clone)]
#[command(next_help_heading = heading::LIMITS)]
pub(crate) struct Limits {
    /// Sessions of one user at most
    #[arg(long, value_name = "N", default_value = "100", value_parser = crate::count)]
    pub(super) max_sessions_per_user: usize,
    /// Messages in a second from all sessions of one user, five seconds' worth at once: above it a
    /// connection is closed with 1013, and its client comes back and says them again
    #[arg(long, value_name = "N", default_value = "2000", value_parser = rate)]
    pub(super) max_messages_per_user: u32,
    /// Requests in a second with the key of the API, five seconds' worth at once: those above it
    /// are answered 429
    #[arg(long, value_name = "N", default_value_t = API_REQUESTS, value_parser = rate)]
    pub(super) max_api_requests: u32,
}

/// More is a mistake, and could not be added to a date.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

fn rate(text: &str) -> Result<u32, String> {
    let wrong = || format!("a number is needed, at least 1 and at most {}, like 2000", u32::MAX);
    text.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)
}

/// A length of time.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a length of time is needed, like 500ms, 15s or 2m"))?;
    if length > LONGEST {
        return Err("it is longer than a year; a length of time is needed, like 15s or 2m".into());
    }
    Ok(length)
}

/// A length of time in which something has to happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match length(text)? {
        Duration::ZERO => Err("nobody can answer in no time; write it like 500ms or 10s".into()),
        length => Ok(length),
    }
}

/// A name that is none would match no cookie, and changed credentials would not be noticed.
fn cookie_name(text: &str) -> Result<String, String> {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(of_token) {
        return Err("it is no name of a cookie; write the name alone, like sid".into());
    }
    Ok(text.to_owned())
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
