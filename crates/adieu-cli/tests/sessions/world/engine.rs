//! The same tests with their sessions in an engine that many nodes share:
//! `ADIEU_TEST_ENGINE=redis`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sessions of one test are in a database of their own.
const DATABASES: usize = 100_000;

struct Server {
    _child: Child,
    socket: PathBuf,
    /// The database of each directory, and the next one.
    databases: Mutex<(HashMap<PathBuf, usize>, usize)>,
}

/// Where the sessions of a gateway are that would have them in this directory; `None`: there, or in
/// memory.
pub(super) fn url(data: Option<&Path>) -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let asked = std::env::var("ADIEU_TEST_ENGINE").ok()?;
        assert_eq!(asked, "redis", "ADIEU_TEST_ENGINE is redis, or not set");
        Some(start())
    });
    let server = server.as_ref()?;
    let mut databases = server.databases.lock().unwrap();
    let (known, next) = &mut *databases;
    let number = match data.and_then(|data| known.get(data)) {
        Some(number) => *number,
        None => {
            *next += 1;
            known.extend(data.map(|data| (data.to_owned(), *next)));
            *next
        }
    };
    Some(format!("redis+unix://{}?db={number}", server.socket.display()))
}

fn start() -> Server {
    let dir = std::env::temp_dir().join(format!("adieu-engine-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let socket = dir.join("socket");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--databases", &DATABASES.to_string()]);
    command.arg("--dir").arg(&dir).arg("--unixsocket").arg(&socket);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let started = Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(started.elapsed() < PATIENCE, "redis-server does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    Server { _child: child, socket, databases: Mutex::default() }
}
