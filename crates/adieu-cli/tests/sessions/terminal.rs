//! The command at a terminal and in a pipe: what it prints, how it is stopped, what its end says.

use std::time::Duration;

use crate::world::{Backend, Mode, Page, Process, adieu, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_stdout_that_is_gone_changes_nothing() {
    let backend = Backend::start().await;
    let mut gateway = Process::told_to(&backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    gateway.close_stdout();
    gateway.signal("INT");
    assert_eq!(page.closed_with().await.0, 1001);
    assert_eq!(backend.end_of(&page.session).await.json()["cause"], "drained");
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{}", gateway.errors());
}

/// Both ends of a terminal: that of a person, and that of a program.
#[cfg(target_os = "linux")]
fn terminal() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).expect("a pseudo-terminal");
    grantpt(&terminal).expect("its rights");
    unlockpt(&terminal).expect("it is unlocked");
    let user = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
    (terminal, user)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_closes_stops_it_as_sigterm_does() {
    let backend = Backend::start().await;
    let (_person, program) = terminal();
    // The tests themselves may be run so that they outlive their terminal, which is inherited. Its
    // input is its controlling terminal, in a session of its own.
    let mut command = std::process::Command::new("env");
    command.args(["--default-signal=HUP", "setsid", "--ctty", env!("CARGO_BIN_EXE_adieu")]);
    command.env_remove("ADIEU_API_KEY").env_remove("RUST_LOG");
    command.env("ADIEU_BACKEND_SECRET", Backend::SECRET).stdin(program);
    let url = backend.url();
    let mut gateway = Process::spawn(command, &["--backend", &url]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    gateway.signal("HUP");
    assert_eq!(page.closed_with().await.0, 1001);
    assert_eq!(backend.end_of(&page.session).await.json()["cause"], "drained");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_is_to_outlive_its_terminal_does() {
    let mut command = std::process::Command::new("sh");
    let serve = format!("trap '' HUP; exec {} \"$@\"", env!("CARGO_BIN_EXE_adieu"));
    command.args(["-c", &serve, "adieu"]).env_remove("ADIEU_API_KEY");
    let mut gateway = Process::spawn(command, &[]);
    gateway.signal("HUP");
    assert!(gateway.request("GET", "/readyz", "").0.starts_with("HTTP/1.1 200"));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_that_events_were_never_told() {
    let mut backend = Backend::start().await;
    let mut gateway = Process::told_to(&backend, &[]);
    let mut page = Page::default();
    page.connect(&gateway.url()).await;
    backend.until("it started", |backend| backend.of_type("session.started").len() == 1).await;
    backend.stop().await;
    gateway.signal("TERM");
    assert_eq!(page.closed_with().await.0, 1001);
    assert_eq!(gateway.ended().code(), Some(4));
    gateway.until_error("1 event was never told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_while_the_backend_takes_events() {
    let backend = Backend::start().await;
    let mut gateway = Process::told_to(&backend, &[]);
    let mut pages = Vec::new();
    for _ in 0..300 {
        let mut page = Page::default();
        page.connect(&gateway.url()).await;
        pages.push(page);
    }
    let all = |backend: &Backend| backend.of_type("session.started").len() == 300;
    backend.until("all have started", all).await;
    // 64 at a time: longer in all than a stop waits for a backend that takes nothing.
    backend.takes_events(Mode::Slow(Duration::from_secs(1)));
    gateway.signal("TERM");
    for page in &mut pages {
        assert_eq!(page.closed_with().await.0, 1001);
    }
    let status = gateway.ended();
    assert_eq!(backend.of_type("session.ended").len(), 300);
    assert_eq!(status.code(), Some(0), "{}", gateway.errors());
}

#[test]
fn the_start_says_that_the_pages_need_the_key_and_where_it_is_from() {
    let mut command = adieu(&[]);
    command.env("ADIEU_API_KEY", "a-key-of-many-characters");
    let mut gateway = Process::spawn(command, &[]);
    gateway.signal("TERM");
    gateway.ended();
    let said = gateway.rest_of_stdout();
    assert!(said.contains("password") && said.contains("ADIEU_API_KEY"), "{said}");
    assert!(!said.contains("a-key-of-many-characters"), "{said}");
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let mut command = adieu(&[]);
    command.env("RUST_LOG", "warn");
    let mut gateway = Process::spawn(command, &[]);
    gateway.request("GET", "/", "Upgrade: websocket\r\nOrigin: https://a.example\r\n");
    gateway.until_error("https://a.example");
    gateway.signal("TERM");
    gateway.ended();
    assert!(!gateway.errors().contains('\u{1b}'), "{}", gateway.errors());
}

#[test]
fn the_help_names_what_the_environment_says() {
    let help = adieu(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for name in ["RUST_LOG", "ADIEU_API_KEY", "ADIEU_BACKEND_SECRET"] {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn options_that_cannot_work_are_refused_at_the_start() {
    let listen = ["serve", "--listen", "127.0.0.1:0"].as_slice();
    for (options, said) in [
        (&["--max-connections", "0"][..], "at least 1"),
        (&["--max-handshakes", "0"], "at least 1"),
        (&["--backend", "http://127.0.0.1:99999/"], "up to 65535"),
        (&["--tell-connections"], "--backend"),
        (&["--batch"], "--backend"),
        (&["--backend-ca", "x.pem"], "--backend"),
        (&["--listen", "localhost"], "a port is missing"),
        (&["--listen", "127.0.0.1:99999"], "99999"),
    ] {
        let said_is =
            refused(&[&listen[..if options[0] == "--listen" { 1 } else { 3 }], options].concat());
        assert!(said_is.contains(said), "{options:?}: {said_is}");
    }
}

#[test]
fn names_and_bare_ports_are_listened_on() {
    for listen in ["localhost:0", ":0"] {
        let mut command = adieu(&["serve"]);
        command.args(["--listen", listen]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.contains("http://"), "{listen}: {line}");
    }
}
