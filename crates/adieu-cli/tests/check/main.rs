//! `adieu check` against a server of Adieu's with nothing but defaults, which is found well, and
//! against servers that are bad on purpose, which are found bad.

mod deflate;
mod http2;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use testkit::Frame;

/// Runs `adieu check`.
fn check(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adieu")).arg("check").args(args).output().expect("adieu runs")
}

/// The report and the exit code.
fn report(args: &[&str]) -> (Value, Option<i32>) {
    let output = check(&[&["--json", "--quick"], args].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("{error} in {said}\n{}", String::from_utf8_lossy(&output.stderr))
    });
    (json, output.status.code())
}

/// The result of one check.
fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list of checks");
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"))
}

fn result(report: &Value, id: &str) -> String {
    finding(report, id)["result"].as_str().expect("a result").to_owned()
}

/// What the examples are built with.
const FEATURES: &str = "deflate,http2,tls";

/// An example of `adieu`, built as this test was. Cargo builds the examples of another package
/// for nobody.
fn example(name: &str) -> PathBuf {
    let adieu = Path::new(env!("CARGO_BIN_EXE_adieu"));
    let dir = adieu.parent().expect("a target directory");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "adieu", "--features", FEATURES, "--example", name]);
    if dir.ends_with("release") {
        build.arg("--release");
    }
    let built = build.arg("--target-dir").arg(dir.parent().expect("a target directory")).status();
    assert!(built.expect("cargo runs").success(), "the example `{name}` is not built");
    dir.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The server for `adieu check`.
fn checked() -> PathBuf {
    example("checked")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn an_empty_command_is_a_mistake_of_the_command_line() {
    let output = check(&["ws://127.0.0.1:1/", "--cmd", ""]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--cmd"), "{said}");
    assert!(said.contains("a value is required"), "{said}");
}

#[test]
fn a_server_of_adieu_with_its_defaults_says_goodbye_well() {
    let addr = format!("127.0.0.1:{}", free_port());
    let line = format!("{} {addr}", checked().display());
    let (report, code) = report(&[&format!("ws://{addr}/"), "--cmd", &line]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((&report["echo"], &report["convention"]), (&true.into(), &true.into()));
    // What these say of time depends on the machine; what they count is asserted below.
    let timed = ["close", "mute", "shutdown_idle", "shutdown_busy", "shutdown_mixed"];
    for check in report["checks"].as_array().expect("a list of checks") {
        let id = check["id"].as_str().expect("a name");
        // Compression is off by default: only its offers are answered. Without TLS browsers do not
        // speak HTTP/2.
        if id == "http2" || id.starts_with("deflate") && id != "deflate_offers" {
            assert_eq!(check["result"], "skipped", "{check:#}");
            continue;
        }
        // A reader at 64 KiB/s may need longer for what is in its kernel's buffer than the server
        // waits for the answer to its Close.
        let may_be_weak = timed.contains(&id) || id == "shutdown_very_slow";
        let well = check["result"] == "ok" || (may_be_weak && check["result"] == "weak");
        assert!(well, "{check:#}");
    }
    for id in ["shutdown_idle", "shutdown_busy", "shutdown_mixed"] {
        let figures = &finding(&report, id)["figures"];
        assert_eq!(figures["clean"], figures["clients"], "{id}: {figures:#}");
        assert_eq!(figures["unanswered_batch"], 0, "{id}: {figures:#}");
        assert_eq!(figures["queues_delivered"], figures["queues"], "{id}: {figures:#}");
    }
    let mixed = &finding(&report, "shutdown_mixed")["figures"];
    assert!(mixed["frozen"].as_u64() > Some(0) && mixed["queues"].as_u64() > Some(0), "{mixed:#}");
}

#[test]
fn a_small_storm_is_clean_timed_and_the_only_thing_that_is_checked() {
    let addr = format!("127.0.0.1:{}", free_port());
    let line = format!("{} {addr}", checked().display());
    let (report, code) = report(&[
        &format!("ws://{addr}/"),
        "--cmd",
        &line,
        "--only",
        "shutdown_idle",
        "--clients",
        "200",
    ]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["checks"].as_array().map(Vec::len), Some(1), "{report:#}");
    let storm = &finding(&report, "shutdown_idle")["figures"];
    for (figure, expected) in [("clients", 200), ("read_close", 200), ("clean", 200), ("resets", 0)]
    {
        assert_eq!(storm[figure], expected, "{figure}: {storm:#}");
    }
    assert_eq!(storm["codes"], serde_json::json!({ "1001": 200 }), "{storm:#}");
    let ms = |figure: &str| storm[figure].as_f64().unwrap_or_else(|| panic!("{figure}: {storm:#}"));
    assert!(0.0 < ms("last_close_ms") && ms("last_close_ms") <= ms("last_fin_ms"), "{storm:#}");
    if cfg!(target_os = "linux") {
        // So few clients may be done between two ticks of the clock that it is counted by.
        assert!(ms("cpu_us_per_client") >= 0.0, "{storm:#}");
    }
}

#[test]
fn a_storm_without_a_process_to_signal_is_skipped_and_nothing_else_is_run() {
    let url = format!("ws://{}/", rude_server(Rude::Fin));
    let (report, code) = report(&[&url, "--only", "shutdown_idle,shutdown_busy"]);
    assert_eq!((code, &report["result"]), (Some(0), &"skipped".into()), "{report:#}");
    assert_eq!(report["checks"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!(result(&report, "shutdown_idle"), "skipped", "{report:#}");
}

#[test]
fn the_checks_that_can_be_asked_for_are_those_of_the_report() {
    let output = check(&["ws://127.0.0.1:1/", "--only", "close,shutdown_idel"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("'shutdown_idel' for '--only <ID>'"), "{said}");
    let (report, _) = report(&[&format!("ws://{}/", rude_server(Rude::Fin))]);
    let ids = report["checks"].as_array().expect("a list of checks").iter();
    let ids: Vec<&str> = ids.map(|check| check["id"].as_str().expect("a name")).collect();
    assert_eq!(ids.len(), 21, "{ids:?}");
    assert!(said.contains(&format!("[possible values: {}]", ids.join(", "))), "{ids:?} in {said}");
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of a certificate and of its key.
fn certificate(name: &str) -> (PathBuf, PathBuf) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (chain, key) = (dir.join(format!("{name}-cert.pem")), dir.join(format!("{name}-key.pem")));
    std::fs::write(&chain, cert.pem()).expect("a file");
    std::fs::write(&key, signing_key.serialize_pem()).expect("a file");
    (chain, key)
}

#[test]
fn tls_is_checked_as_well_with_a_certificate_of_ones_own() {
    let (chain, key) = certificate("check");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_adieu"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"]).arg(&chain);
    serve.arg("--tls-key").arg(&key).stdout(Stdio::piped());
    let mut server = Running(serve.spawn().expect("adieu runs"));
    let mut said = BufReader::new(server.0.stdout.take().expect("its output"));
    let mut line = String::new();
    said.read_line(&mut line).expect("where it listens");
    let addr = line.trim().rsplit_once("https://").expect("an address").1;
    let url = format!("wss://{addr}");
    let pid = server.0.id().to_string();
    let (report, code) = report(&[&url, "--ca", chain.to_str().expect("a path"), "--pid", &pid]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(result(&report, "violations_in_flight"), "ok", "{report:#}");
    let busy = &finding(&report, "shutdown_busy")["figures"];
    assert_eq!(busy["clean"], busy["clients"], "{busy:#}");
}

/// How a bad server ends a connection.
#[derive(Clone, Copy)]
enum Rude {
    /// A FIN and no Close.
    Fin,
    /// An RST and no Close.
    Reset,
}

/// A server that echoes, knows the convention, and ends every connection rudely.
fn rude_server(rude: Rude) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || rude_connection(stream, rude));
        }
    });
    addr
}

fn rude_connection(mut stream: TcpStream, rude: Rude) {
    echo(&mut stream);
    if matches!(rude, Rude::Reset) {
        let linger = Some(std::time::Duration::ZERO);
        let _ = socket2::SockRef::from(&stream).set_linger(linger);
    }
}

/// Takes one WebSocket and echoes until a Close comes, or what only a Close could answer.
fn echo(stream: &mut (impl Read + Write)) {
    let mut bytes = Vec::new();
    let Some(head) = next(stream, &mut bytes, testkit::Head::parse) else { return };
    let Some(key) = head.field("sec-websocket-key") else { return };
    if head.field("sec-websocket-version") != Some("13") {
        return;
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        testkit::accept_key(key)
    );
    if stream.write_all(answer.as_bytes()).is_err() {
        return;
    }
    while let Some(frame) = next(stream, &mut bytes, Frame::parse) {
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        let sent = match text.strip_prefix("adieu-check:send ") {
            Some(n) => Frame::binary(vec![0; n.parse().unwrap_or(0)]).unmasked(),
            None if frame.opcode == 0x8 || text.starts_with("adieu-check:") => break,
            None => Frame::new(frame.opcode, &frame.payload).unmasked(),
        };
        if stream.write_all(&sent).is_err() {
            return;
        }
    }
}

/// Reads until `parse` finds something at the front.
fn next<T>(
    stream: &mut impl Read,
    bytes: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Option<(T, usize)>,
) -> Option<T> {
    let mut chunk = [0; 4096];
    loop {
        if let Some((found, len)) = parse(bytes) {
            bytes.drain(..len);
            return Some(found);
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

#[test]
fn a_bare_fin_is_found_bad() {
    let (report, code) = report(&[&format!("ws://{}/", rude_server(Rude::Fin))]);
    assert_eq!((code, &report["result"]), (Some(1), &"bad".into()), "{report:#}");
    let close = finding(&report, "close");
    assert_eq!(close["figures"]["answered"], 0, "{close:#}");
    assert_eq!(close["figures"]["fin"], 3, "{close:#}");
    assert!(close["remedy"].as_str().is_some_and(|remedy| remedy.contains("Close")), "{close:#}");
    for id in ["close", "last_words", "upload", "backlog", "violations", "panic", "reconnect"] {
        assert_eq!(result(&report, id), "bad", "{id}: {report:#}");
    }
    assert_eq!(result(&report, "old"), "weak", "a bare FIN for old protocols");
    assert_eq!(result(&report, "mute"), "skipped", "it never sends a Close");
    assert_eq!(result(&report, "shutdown_busy"), "skipped", "there is nothing to signal");
    let last = &finding(&report, "last_words")["figures"];
    assert_eq!((&last["answered"], &last["clean"]), (&50.into(), &false.into()));
}

#[test]
fn an_rst_is_found_bad_and_told_from_a_fin() {
    let (report, code) = report(&[&format!("ws://{}/", rude_server(Rude::Reset))]);
    assert_eq!(code, Some(1), "{report:#}");
    let close = &finding(&report, "close")["figures"];
    assert_eq!((&close["reset"], &close["fin"]), (&3.into(), &0.into()), "{close:#}");
    let upload = &finding(&report, "upload")["figures"];
    assert_eq!((&upload["read_close"], &upload["reset"]), (&0.into(), &upload["clients"]));
}

#[test]
fn what_cannot_be_checked_is_said_in_a_sentence() {
    let cannot = |args: &[&str], sentence: &str| {
        let output = check(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(sentence), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    };
    let nobody = format!("ws://127.0.0.1:{}/", free_port());
    cannot(&[&nobody], "nothing listens at 127.0.0.1:");
    cannot(&["http://127.0.0.1/"], "ws://");
    cannot(&[&nobody, "--cmd", "echo no such luck"], "no such luck");
    cannot(&[&nobody, "--pid", "999999999"], "there is no process 999999999");
    if cfg!(target_os = "linux") {
        let few = "ulimit -n 100 && exec \"$0\" check ws://127.0.0.1:1/ --clients 200";
        let adieu = env!("CARGO_BIN_EXE_adieu");
        let output = Command::new("sh").args(["-c", few, adieu]).output().expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("200 clients need 264 open files, and 100 are allowed"), "{said}");
    }
    let listener = testkit::Listener::bind();
    let url = listener.url();
    let web = thread::spawn(move || {
        let mut peer = listener.accept();
        let _ = peer.read_head();
        peer.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    cannot(&[&url], "`HTTP/1.1 404 Not Found` instead of 101");
    web.join().expect("a web server");
}

#[test]
fn what_a_server_says_moves_no_terminal() {
    for answer in ["HTTP/1.1 404 \u{1b}]0;x\u{7}", "SSH-2.0 \u{1b}[2J\u{9b}31m"] {
        let listener = testkit::Listener::bind();
        let url = listener.url();
        let server = thread::spawn(move || {
            let mut peer = listener.accept();
            let _ = peer.read_head();
            peer.write(format!("{answer}\r\nContent-Length: 0\r\n\r\n"));
            peer.fin();
            let _ = peer.read_to_end();
        });
        let output = check(&[&url]);
        server.join().expect("a server");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said:?}");
        assert_eq!(said.chars().find(|c| c.is_control() && *c != '\n'), None, "{said:?}");
        assert!(said.contains("\\u{1b}"), "{said}");
    }
}
