//! A certificate that is renewed while the gateway runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{ADIEU, Adieu, Certificate, Scratch, by, terminal};

/// The files that a gateway serves, and one that has the certificate alone that a client trusts.
struct Files {
    scratch: Scratch,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(certificate: &Certificate) -> Self {
        let scratch = Scratch::new();
        let (cert, key) = (scratch.path("cert.pem"), scratch.path("key.pem"));
        certificate.write(&cert, &key);
        Files { scratch, cert, key }
    }

    fn write(&self, certificate: &Certificate) {
        certificate.write(&self.cert, &self.key);
    }

    /// Replaces one of them at once: nobody sees half of it.
    fn replace(&self, file: &Path, content: &str) {
        let next = self.scratch.path("next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(&next, file).unwrap();
    }

    /// The command that serves them, by a program that gives it what SIGHUP means: its first
    /// arguments.
    fn serve(&self, first: &[&str], look: &str) -> Command {
        let (cert, key) = (self.cert.to_str().unwrap(), self.key.to_str().unwrap());
        let options = ["serve", "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
        // The tests themselves may be run so that they outlive their terminal, which is inherited.
        let all = [&["--default-signal=HUP"], first, &[ADIEU], &options, &["--tls-look", look]];
        by("env", &all.concat())
    }

    /// Whether a client that trusts this certificate alone comes to a WebSocket.
    fn is_shown(&self, certificate: &Certificate, gateway: &Adieu) -> bool {
        let trusted = self.scratch.path("trusted.pem");
        std::fs::write(&trusted, &certificate.cert).unwrap();
        let tls = adieu::tls::client_config_trusting(&trusted).unwrap();
        let url = format!("wss://{}/ws", gateway.addr());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = adieu::Client::new().tls(tls);
        runtime.block_on(async {
            let Ok(socket) = client.connect(&url).await else { return false };
            // To its end: the gateway would be told as one that broke it off.
            socket.close(adieu::CloseCode::NORMAL).await.is_clean()
        })
    }
}

#[test]
fn new_files_are_served_without_a_restart() {
    let (old, new) = (Certificate::make(), Certificate::make());
    let files = Files::of(&old);
    let gateway = Adieu::spawn(files.serve(&[], "20ms"));
    assert!(files.is_shown(&old, &gateway) && !files.is_shown(&new, &gateway));
    files.write(&new);
    gateway.until_said("was read anew");
    assert!(files.is_shown(&new, &gateway) && !files.is_shown(&old, &gateway));
}

#[test]
fn a_pair_that_is_broken_is_told_once_and_the_old_one_is_served_on() {
    let (old, new) = (Certificate::make(), Certificate::make());
    let files = Files::of(&old);
    let mut gateway = Adieu::spawn(files.serve(&[], "20ms"));
    files.replace(&files.cert, &new.cert);
    gateway.until_error("is not the key of the certificate");
    assert!(files.is_shown(&old, &gateway));
    files.replace(&files.cert, "");
    gateway.until_error("holds no certificate");
    let log = gateway.errors();
    for told in ["is not the key of the certificate", "holds no certificate"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(told)).collect();
        assert!(lines.len() == 1 && lines[0].contains("ERROR"), "{log}");
        assert!(lines[0].contains("the certificate of before is served on"), "{log}");
    }
    files.write(&new);
    gateway.until_said("was read anew");
    assert!(files.is_shown(&new, &gateway));
    gateway.stop();
}

#[test]
fn without_a_terminal_sighup_reads_them_at_once() {
    let (old, new) = (Certificate::make(), Certificate::make());
    let files = Files::of(&old);
    let mut gateway = Adieu::spawn(files.serve(&["setsid"], "1h"));
    gateway.signal("HUP");
    gateway.until_said("is as it was");
    std::fs::write(&files.key, &new.key).unwrap();
    gateway.signal("HUP");
    gateway.until_error("is not the key of the certificate");
    files.write(&new);
    gateway.signal("HUP");
    gateway.until_said("was read anew");
    assert!(files.is_shown(&new, &gateway));
    gateway.stop();
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_is_done_behind_it() {
    let certificate = Certificate::make();
    let files = Files::of(&certificate);
    let held = files.scratch.path("held");
    fifo(&held);
    std::fs::rename(&held, &files.cert).unwrap();
    let mut gateway = Adieu::run(files.serve(&["setsid"], "1h"));
    // Open when the other end is: the start reads it.
    let mut start = OpenOptions::new().write(true).open(&files.cert).unwrap();
    files.replace(&files.cert, &certificate.cert);
    gateway.signal("HUP");
    start.write_all(certificate.cert.as_bytes()).unwrap();
    drop(start);
    gateway.until_said("is as it was");
    gateway.stop();
}

#[test]
fn a_certificate_that_cannot_be_read_to_its_end_is_told_and_holds_up_no_stop() {
    let files = Files::of(&Certificate::make());
    let mut gateway = Adieu::spawn(files.serve(&[], "20ms"));
    let held = files.scratch.path("held");
    fifo(&held);
    std::fs::rename(&held, &files.cert).unwrap();
    // A file on a network that is gone is like it: the thread that reads does not come back.
    let _reading = OpenOptions::new().write(true).open(&files.cert).unwrap();
    gateway.until_error("could not be read yet");
    gateway.until_error("the certificate of before is served on");
    gateway.stop();
}

/// Makes a named pipe.
fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn without_a_terminal_and_without_a_certificate_sighup_says_that_there_is_none() {
    let options = ["--default-signal=HUP", "setsid", ADIEU, "serve", "--listen", "127.0.0.1:0"];
    let mut gateway = Adieu::spawn(by("env", &options));
    gateway.signal("HUP");
    gateway.until_error("no certificate to read anew");
    assert_eq!(gateway.get("/readyz", "").status(), 200);
    gateway.stop();
}

#[test]
fn a_terminal_that_closes_stops_it_as_sigterm_does() {
    let files = Files::of(&Certificate::make());
    let (person, program) = terminal();
    // Its input is its controlling terminal, in a session of its own.
    let mut command = files.serve(&["setsid", "--ctty"], "1h");
    command.stdin(program);
    let mut gateway = Adieu::spawn(command);
    drop(person);
    assert!(gateway.ended().success(), "{}", gateway.errors());
}

#[test]
fn plain_http_to_a_port_of_tls_is_answered_with_the_scheme() {
    let files = Files::of(&Certificate::make());
    let mut command = files.serve(&[], "1h");
    command.env("RUST_LOG", "info");
    let gateway = Adieu::spawn(command);
    let answer = gateway.get("/", "");
    assert_eq!(answer.status(), 400);
    assert!(answer.body.contains("https://") && answer.body.contains("wss://"), "{answer:?}");
    gateway.until_error("plain HTTP came to a port that speaks TLS");
}
