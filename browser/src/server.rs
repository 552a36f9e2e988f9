//! The server under test: `adieu serve`, started on a port of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;

use crate::carrier::Carrier;
use crate::certificate::Certificate;
use crate::error::{Error, Result};
use crate::http;
use crate::instance::is_file;
use crate::wait::wait_for;

/// Until the server has written its first line, and for one of its answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Until the server has an account of an ending. The slowest measured is a tab that was closed
/// while the machine was busy; a browser's own time-outs begin at 5 s.
const ENDING_LIMIT: Duration = Duration::from_secs(45);

/// A running `adieu serve`, killed when it is dropped.
pub struct Adieu {
    child: Child,
    address: SocketAddr,
    /// Of a server with TLS: its files have to be there for as long as it runs.
    certificate: Option<Certificate>,
}

impl Adieu {
    /// Starts the binary that `ADIEU_BIN` names, or else the one that was built here.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, [`Error::Exited`] if it says no address.
    pub fn start() -> Result<Adieu> {
        Self::start_with(&[], &[])
    }

    /// The same with more options and a larger environment.
    ///
    /// # Errors
    /// As [`Adieu::start`].
    pub fn start_with(options: &[&str], env: &[(&str, &str)]) -> Result<Adieu> {
        Self::start_on(Carrier::Tcp, options, env)
    }

    /// The same with pages whose WebSockets have this carrier. HTTP/2 is served with TLS alone:
    /// browsers do not speak it without.
    ///
    /// # Errors
    /// As [`Adieu::start`].
    pub fn start_on(carrier: Carrier, options: &[&str], env: &[(&str, &str)]) -> Result<Adieu> {
        let program = program()?;
        let doing = format!("start {}", program.display());
        let certificate = match carrier {
            Carrier::Tcp => None,
            Carrier::Http2 => Some(Certificate::make()?),
        };
        let mut command = Command::new(&program);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(options);
        if let Some(certificate) = &certificate {
            command.arg("--http2").arg("--tls-cert").arg(certificate.file());
            command.arg("--tls-key").arg(certificate.key());
        }
        let mut child = command
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io(doing))?;
        let line = first_line(&mut child);
        // The child belongs to `Adieu` from here on, so that a bad line ends it too.
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut adieu = Adieu { child, address, certificate };
        let address = address_in(&line).filter(|said| said.tls == adieu.certificate.is_some());
        let said = address.ok_or_else(|| Error::Exited {
            program: program.display().to_string(),
            log: format!("its first line was {line:?}"),
        })?;
        adieu.address = said.address;
        Ok(adieu)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page, given its path.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// What `GET /endings` says of one tab: `open`, `ended`, `counts`.
    ///
    /// # Errors
    /// [`Error::Io`] if the server does not answer, [`Error::Malformed`] if not with JSON.
    pub fn endings(&self, tab: &str) -> Result<Value> {
        self.get(&format!("/endings?tab={tab}"))
    }

    /// What the server answers, which is JSON.
    ///
    /// # Errors
    /// [`Error::Io`] if the server does not answer, [`Error::Malformed`] if not with JSON.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, None)?.json(path)
    }

    /// Sends a request to the server, with TLS where it has TLS.
    ///
    /// # Errors
    /// [`Error::Io`] if the server does not answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<http::Response> {
        let tls = self.certificate.as_ref().map(Certificate::client);
        let tls: Option<&Arc<ClientConfig>> = tls.as_ref();
        http::ask(self.address, tls, method, path, body, ANSWER_LIMIT)
    }

    /// Whether a connection of a tab is open, by the server's account.
    ///
    /// # Errors
    /// As [`Adieu::endings`].
    pub fn is_open(&self, tab: &str, connection: u64) -> Result<bool> {
        Ok(find(&self.endings(tab)?["open"], connection).is_some())
    }

    /// Waits for the account of a connection that ended.
    ///
    /// # Errors
    /// As [`Adieu::endings`], and [`Error::Timeout`].
    pub fn ended(&self, tab: &str, connection: u64) -> Result<Value> {
        wait_for(format_args!("the end of connection {connection}"), ENDING_LIMIT, || {
            Ok(find(&self.endings(tab)?["ended"], connection))
        })
    }
}

impl Drop for Adieu {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("ADIEU_BIN") {
        return Ok(given.into());
    }
    let target = repository().join("target");
    ["release", "debug"]
        .map(|profile| target.join(profile).join("adieu"))
        .into_iter()
        .find(|candidate| is_file(candidate))
        .ok_or_else(|| {
            let advice = "build it first with `cargo build --release -p adieu-cli`, \
                          or name another in ADIEU_BIN";
            Error::io("find the program adieu")(std::io::Error::other(advice))
        })
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Empty if there is none in time. The rest of the output is read and forgotten, so that the
/// server never waits for a reader.
fn first_line(child: &mut Child) -> String {
    let (tell, told) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
                // Nobody listens after the first line.
                drop(tell.send(line));
            }
        });
    }
    told.recv_timeout(ANSWER_LIMIT).unwrap_or_default()
}

/// Where a server says that it listens.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    address: SocketAddr,
    tls: bool,
}

fn address_in(line: &str) -> Option<Said> {
    let (before, url) = line.split_once("://")?;
    let tls = match before.rsplit(' ').next() {
        Some("http") => false,
        Some("https") => true,
        _ => return None,
    };
    Some(Said { address: url.trim_end().trim_end_matches('/').parse().ok()?, tls })
}

fn find(accounts: &Value, connection: u64) -> Option<Value> {
    accounts.as_array()?.iter().find(|account| account["id"] == connection).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_address_from_the_first_line() {
        for (scheme, tls) in [("http", false), ("https", true)] {
            let line = format!("adieu is listening on {scheme}://127.0.0.1:40123/");
            let said = Said { address: ([127, 0, 0, 1], 40123).into(), tls };
            assert_eq!(address_in(&line), Some(said));
        }
        assert_eq!(address_in("error: address in use"), None);
    }

    #[test]
    fn finds_an_account_by_its_number() {
        let accounts = serde_json::json!([{ "id": 2, "tab": "a" }, { "id": 1, "tab": "b" }]);
        assert_eq!(find(&accounts, 1).unwrap()["tab"], "b");
        assert!(find(&accounts, 3).is_none());
    }
}
