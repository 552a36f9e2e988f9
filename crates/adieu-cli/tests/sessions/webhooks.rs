//! The official libraries of Standard Webhooks verify and parse what the gateway sends: events and
//! questions of every type, as they are. `cargo xtask webhooks` installs the libraries first.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Backend, Gateway, Page, figure, request};

/// The gateway signs with the old one and with this; the library knows one of them.
const NEW: &str = "whsec_dGhlIG5ldyBvbmUgaXMgMzIgYnl0ZXMgbG9uZyBub3c=";

/// Sessions at a time.
const AT_A_TIME: usize = 16;

/// Every type that there is, but for `message`, is sent once for each session.
const TYPES: [&str; 8] = [
    "connect",
    "connection.lost",
    "connection.resumed",
    "resume",
    "session.ended",
    "session.started",
    "user.joined",
    "user.left",
];

/// What is said in each session, as texts and as bytes.
fn sayings() -> (Vec<String>, Vec<Vec<u8>>) {
    let mut texts =
        ["", "hello", "{\"type\":\"json\"}", "grüß 世界 😀", "\"\\\n\t\u{0}\u{1b}\u{7f}"]
            .map(str::to_owned)
            .to_vec();
    texts.push("\u{2028}</script>\u{feff}".into());
    texts.push("long ".repeat(4_000));
    texts.extend((0..8).map(|n| format!("message {n}")));
    let mut bytes = vec![vec![], vec![0], (0..=255).collect(), vec![0xFF; 20_000]];
    bytes.extend((0..4_u8).map(|n| vec![n; n.into()]));
    (texts, bytes)
}

/// A backend with an official library; killed when it is dropped.
struct Official {
    process: Child,
    port: u16,
}

impl Drop for Official {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Official {
    fn start(program: &str, file: &str, secret: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/webhooks");
        let mut command = Command::new(program);
        command.arg(dir.join(file)).env("SECRET", secret).stdout(Stdio::piped());
        command.env("PYTHONPATH", python_packages());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the library is there: cargo xtask webhooks");
        Official { process, port }
    }

    /// What it has counted.
    async fn counts(&self) -> Value {
        let addr = format!("127.0.0.1:{}", self.port).parse().unwrap();
        let (status, text) = request(addr, "GET", "/counts", "", "").await;
        assert_eq!(status, 200);
        // Node sends it in chunks.
        let json = &text[text.find('{').unwrap()..=text.rfind('}').unwrap()];
        serde_json::from_str(json).unwrap()
    }
}

fn python_packages() -> PathBuf {
    let dir = std::env::var_os("ADIEU_WEBHOOKS").expect("cargo xtask webhooks says where");
    PathBuf::from(dir)
}

/// A person comes, says all, is away for a moment, and leaves.
async fn live(gateway: Arc<Gateway>, user: String) {
    let (texts, bytes) = sayings();
    let (mut page, url) = (Page::of(&user), gateway.url());
    page.connect(&url).await;
    let said: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "text": text }))
        .chain(bytes.iter().map(|bytes| json!({ "binary": STANDARD.encode(bytes) })))
        .collect();
    for (at, said) in said.iter().enumerate() {
        let mut message = json!({ "type": "message", "sequenceId": at + 1 });
        message.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        page.tell(&message).await;
    }
    // Each comes back as the library has parsed it.
    let mut heard = Vec::new();
    while heard.len() < said.len() {
        let next = page.next_of_any_kind().await.expect("the connection stays");
        if next["type"] == "message" {
            let part = ["text", "binary"].into_iter().find(|kind| next.get(kind).is_some());
            let kind = part.expect("a payload");
            heard.push(json!({ kind: next[kind] }));
        }
    }
    assert_eq!(heard, said);
    page.received = vec![String::new(); heard.len()];
    page.hide().await;
    // A page that is back before that is seen was never away.
    while gateway.view(&page.session).await["attached"] == true {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    page.said = vec![String::new(); said.len()];
    assert!(page.connect(&url).await.resumed);
    page.close(1000).await;
}

async fn verifies(language: &str, program: &str, file: &str, secret: &str) {
    let sessions: usize =
        std::env::var("ADIEU_WEBHOOKS_SESSIONS").map_or(12, |n| n.parse().unwrap());
    let official = Official::start(program, file, secret);
    let url = format!("http://127.0.0.1:{}/", official.port);
    let both = format!("{} {NEW}", Backend::SECRET);
    let options = ["--backend", &url, "--tell-connections", "--ask-resume", "always"];
    let gateway = Arc::new(Gateway::start_with_secret(&both, &options));
    let mut running = JoinSet::new();
    for n in 0..sessions {
        if n >= AT_A_TIME {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(live(gateway.clone(), format!("user-{n}")));
    }
    running.join_all().await;
    let (texts, bytes) = sayings();
    let mut want = BTreeMap::from(TYPES.map(|name| (name, sessions)));
    want.insert("message", sessions * (texts.len() + bytes.len()));
    let counts = loop {
        let counts = official.counts().await;
        assert_eq!(counts["failures"], json!([]), "{language}");
        if counts["events"]["user.left"] == sessions
            && counts["events"]["session.ended"] == sessions
        {
            break counts;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(counts["events"], json!(want), "{language}");
    assert_eq!(counts["forged"], 3 * 100, "{language}: forgeries that the library has refused");
    let all: usize = want.values().sum();
    let each: Vec<_> = want.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let measured = format!("{all} events and questions verified and parsed: {}", each.join(", "));
    figure(language, &measured);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the official libraries: cargo xtask webhooks"]
async fn the_official_library_for_javascript_verifies_events_of_every_type() {
    verifies("JavaScript", "node", "backend.mjs", NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the official libraries: cargo xtask webhooks"]
async fn the_official_library_for_python_verifies_events_of_every_type() {
    verifies("Python", "python3", "backend.py", Backend::SECRET).await;
}
