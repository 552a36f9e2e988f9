//! The same page on servers of others, to compare. `cargo xtask http2-browsers` installs them, and
//! names them in `ADIEU_HTTP2_OTHERS`: a line for each, its name and version, `|`, and its command.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use browser::wait::wait_for;
use browser::{Browser, Error, Result};
use serde_json::{Value, json};

use crate::server_closes::{UPLOAD, WAYS, WINDOW, Way};

/// A server has started by then.
const START: Duration = Duration::from_secs(30);

/// A WebSocket that has not ended by then is held for ever, as the page sees it.
const STUCK: Duration = Duration::from_secs(15);

/// A server that runs, until this is dropped.
struct Other {
    name: String,
    port: u16,
    child: Child,
    dir: PathBuf,
}

/// Counts what the page is told on each of them.
pub(crate) fn close_first(browser: &mut Browser, rounds: u64) -> Result<()> {
    let others = std::env::var("ADIEU_HTTP2_OTHERS").unwrap_or_default();
    for line in others.lines() {
        let (name, command) = line.split_once('|').expect("a name and a command");
        for way in &WAYS {
            // Each with a server of its own: one that the way before has upset would be judged by
            // that.
            let other = Other::start(name, command);
            // These may take seconds each.
            let few = [UPLOAD, WINDOW].contains(&way.name);
            other.count(browser, way, if few { rounds / 5 } else { rounds })?;
        }
    }
    Ok(())
}

impl Other {
    fn start(name: &str, command: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let dir = std::env::temp_dir().join(format!("adieu-http2-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http2/page.html");
        let words: Vec<&str> = command.split(' ').collect();
        let mut server = Command::new(words[0]);
        server.args(&words[1..]).arg(port.to_string()).args([cert, key, page]);
        server.stdin(Stdio::null()).stdout(Stdio::null());
        let child = server.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let other = Other { name: name.to_owned(), port, child, dir };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        other
    }

    /// Lets it close one WebSocket after the other, and notes what the page was told.
    fn count(&self, browser: &mut Browser, way: &Way, rounds: u64) -> Result<()> {
        let what = format!(
            "{}, {}, the server closes first {}",
            browser.version(),
            self.name,
            way.in_words
        );
        if let Err(error) = browser.navigate(&format!("https://127.0.0.1:{}/", self.port)) {
            testkit::figure(&what, &format!("the page did not load: {error}"));
            return Ok(());
        }
        let begin = "run(arguments[0], arguments[1]); return null";
        browser.execute(begin, &[json!(way.name), json!(rounds)])?;
        let told = all_told(browser, rounds)?;
        let (mut right, mut clean) = (0, 0);
        for (round, told) in (1..).zip(&told) {
            let reason = format!("{} {round}", way.name);
            let is_right = told["code"] == crate::site::CODE
                && told["reason"] == json!(reason)
                && told["opened"] == true
                && told["error"] == false
                && told["messages"] == way.messages;
            right += u32::from(is_right);
            clean += u32::from(told["wasClean"] == true);
        }
        let ended = told.len();
        let stuck = match ended as u64 {
            ended if ended == rounds => "",
            _ => "; the next one did not end within 15 s",
        };
        let figure = format!(
            "{ended} times: code, reason and messages right in {right}, wasClean in {clean}{stuck}"
        );
        testkit::figure(&what, &figure);
        Ok(())
    }
}

/// What the page was told, until all is or nothing more comes.
fn all_told(browser: &mut Browser, rounds: u64) -> Result<Vec<Value>> {
    let (mut before, mut since) = (0, Instant::now());
    wait_for("the ends of all rounds", Duration::from_secs(60 * 60), || {
        let told = browser.execute("return window.told", &[])?;
        let told =
            told.as_array().cloned().ok_or_else(|| Error::malformed("window.told", &told))?;
        if told.len() != before {
            (before, since) = (told.len(), Instant::now());
        }
        let over = told.len() as u64 == rounds || since.elapsed() > STUCK;
        Ok(over.then_some(told))
    })
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
