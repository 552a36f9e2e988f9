//! The mistakes, made.

use std::net::TcpListener;
use std::process::Command;

use super::{Mistake, Said};
use crate::peers::{ask, backend, told_to};
use crate::world::{
    ADIEU, Adieu, Answer, Certificate, KEY, SECRET, Scratch, adieu, by, refused, refuses,
};

/// All of them, in the order of the document.
pub(super) fn all() -> Vec<Mistake> {
    let mut all = Vec::new();
    all.extend(of_the_command_line());
    all.extend(of_addresses());
    all.extend(of_certificates());
    all.extend(of_sites());
    all.extend(of_keys());
    all.extend(of_backends());
    all.extend(of_the_store());
    all.extend(of_the_system());
    all.extend(of_clients());
    all
}

fn mistake(
    what: &'static str,
    said: impl Into<Said>,
    value: &'static str,
    way: &'static str,
) -> Mistake {
    Mistake { what, said: said.into(), value, way }
}

fn with_key(key: &str, options: &[&str]) -> Command {
    let mut command = adieu(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
    command.env("ADIEU_API_KEY", key);
    command
}

fn of_the_command_line() -> Vec<Mistake> {
    let hook = "http://127.0.0.1:1/hooks";
    vec![
        mistake("`--lisen :8080`", refused(adieu(&["--lisen", ":8080"])), "--lisen", "'--listen'"),
        mistake(
            "`--listen :9000 serve`, the option in front of its command",
            refused(adieu(&["--listen", ":9000", "serve"])),
            "--listen",
            "behind the command",
        ),
        mistake("`--max-connections 0`", refuses(&["--max-connections", "0"]), "0", "at least 1"),
        mistake("`--wait-lost 15`", refuses(&["--wait-lost", "15"]), "'15'", "like 500ms, 15s or"),
        mistake(
            "`--backend-timeout 0s`",
            refuses(&["--backend", hook, "--backend-timeout", "0s"]),
            "'0s'",
            "like 500ms or 10s",
        ),
        mistake(
            "`--credential-cookie sid=1`",
            refuses(&["--credential-cookie", "sid=1"]),
            "'sid=1'",
            "like sid",
        ),
        mistake(
            "`--batch` without a backend",
            refuses(&["--batch"]),
            "required",
            "--backend <URL>",
        ),
        mistake(
            "`--event-format xml`",
            refuses(&["--backend", hook, "--event-format", "xml"]),
            "xml",
            "structured and binary",
        ),
    ]
}

fn of_addresses() -> Vec<Mistake> {
    let scratch = Scratch::new();
    let listen = |address: &str| refused(adieu(&["serve", "--listen", address]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let socket = format!("unix:{}", scratch.name("a.sock"));
    let _lives = Adieu::spawn(adieu(&["serve", "--listen", &socket]));
    let address = format!("127.0.0.1:{port}");
    vec![
        mistake("`--listen localhost`", listen("localhost"), "localhost", "localhost:8080"),
        mistake("`--listen 127.0.0.1:99999`", listen("127.0.0.1:99999"), "99999", "up to 65535"),
        mistake("`--listen ::1:80`", listen("::1:80"), "::1", "[::1]:8080"),
        mistake(
            "`--listen 127.0.0.1:8080`, and another process listens there",
            Said::from(listen(&address)).with(&address, "127.0.0.1:8080"),
            "127.0.0.1:8080",
            "--listen ADDR:PORT",
        ),
        mistake(
            "`--listen 127.0.0.1:8080` twice",
            Said::from(refuses(&["--listen", &address, "--listen", &address]))
                .with(&address, "127.0.0.1:8080"),
            "127.0.0.1:8080",
            "leave one of them out",
        ),
        mistake("`--listen unix:8080`", listen("unix:8080"), "8080", "unix:/run/adieu/adieu.sock"),
        mistake(
            "`--listen unix:DIR/a.sock`, and another process listens there",
            Said::from(listen(&socket)).with(scratch.name(""), "DIR/"),
            "unix:DIR/a.sock",
            "stop it, or choose another path",
        ),
    ]
}

fn of_certificates() -> Vec<Mistake> {
    let scratch = Scratch::new();
    let (cert, key) = (scratch.path("cert.pem"), scratch.path("key.pem"));
    let (own, other) = (Certificate::make(), Certificate::make());
    own.write(&cert, &key);
    let start = |key: &str| {
        let options = ["--tls-cert", &scratch.name("cert.pem"), "--tls-key", &scratch.name(key)];
        Said::from(refuses(&options)).with(scratch.name(""), "")
    };
    std::fs::write(scratch.path("other.pem"), &other.key).unwrap();
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(scratch.path("locked.pem"), locked).unwrap();
    let files = (scratch.name("cert.pem"), scratch.name("key.pem"));
    let options = ["--tls-cert", &*files.0, "--tls-key", &*files.1, "--tls-look", "20ms"];
    let gateway = Adieu::serve(&options);
    let plain = gateway.get("/", "").body;
    std::fs::write(&cert, &other.cert).unwrap();
    gateway.until_error("is served on");
    let renewed = Said::from(gateway.errors()).with(scratch.name(""), "");
    own.write(&cert, &key);
    vec![
        mistake(
            "`--tls-cert cert.pem` alone",
            refuses(&["--tls-cert", "cert.pem"]),
            "not provided",
            "--tls-key <FILE>",
        ),
        mistake("`--tls-key missing.pem`", start("missing.pem"), "missing.pem", "No such file"),
        mistake(
            "`--tls-key other.pem`, the key of another certificate",
            start("other.pem"),
            "other.pem",
            "is not the key of the certificate in cert.pem",
        ),
        mistake(
            "`--tls-key locked.pem`, which asks for a passphrase",
            start("locked.pem"),
            "locked.pem",
            "openssl pkey -in FILE",
        ),
        mistake(
            "`cert.pem` is renewed without its key",
            renewed,
            "key.pem: is not the key",
            "the certificate of before is served on",
        ),
        mistake("`http://` to a port of TLS", plain, "plain HTTP", "https://"),
    ]
}

fn of_sites() -> Vec<Mistake> {
    let gateway = Adieu::serve(&["--public-url", "https://chat.example.com"]);
    let page = "Upgrade: websocket\r\nOrigin: https://shop.example\r\nHost: inner:3000\r\n";
    assert_eq!(gateway.get("/", &page.replace("inner:3000", "localhost")).status(), 403);
    gateway.until_error("https://shop.example");
    let own = Adieu::serve(&[]);
    vec![
        mistake(
            "`--allow-origin example.com`",
            refuses(&["--allow-origin", "example.com"]),
            "example.com",
            "https://example.com",
        ),
        mistake(
            "`--allow-origin https://example.com/app`",
            refuses(&["--allow-origin", "https://example.com/app"]),
            "/app",
            "write https://example.com",
        ),
        mistake(
            "`--public-url chat.example.com`",
            refuses(&["--public-url", "chat.example.com"]),
            "chat.example.com",
            "https://chat.example.com",
        ),
        mistake(
            "a page of another site connects: what its client is told",
            own.get("/", page).body,
            "https://shop.example",
            "--allow-origin https://shop.example",
        ),
        mistake(
            "the same: the log",
            gateway.errors(),
            "https://shop.example",
            "--allow-origin https://shop.example",
        ),
        mistake(
            "`--public-url https://chat.example.com`, and a proxy asks for `Host: inner:3000`",
            gateway.get("/", "Host: inner:3000\r\n").body,
            "inner:3000",
            "has to pass the Host on",
        ),
    ]
}

fn of_keys() -> Vec<Mistake> {
    let gateway = Adieu::spawn(with_key(KEY, &[]));
    let page = gateway.get("/", "");
    let wrong = "Authorization: Bearer not-the-key-of-the-tests\r\n";
    let wrong = gateway.get("/", wrong);
    assert_eq!(wrong.status(), 401);
    gateway.until_error("showed a key that is wrong");
    let open = Adieu::serve(&[]);
    vec![
        mistake(
            "`ADIEU_API_KEY=secret`",
            refused(with_key("secret", &[])),
            "ADIEU_API_KEY",
            "make one with",
        ),
        mistake("the page without the key", page.body, "the key", "ADIEU_API_KEY"),
        mistake("a wrong key: what its client is told", wrong.body, "is wrong", "ADIEU_API_KEY"),
        mistake("a wrong key: the log", gateway.errors(), "127.0.0.1", "ADIEU_API_KEY"),
        mistake(
            "a login link for the second time",
            gateway.get("/login?token=0", "").body,
            "link",
            "ADIEU_API_KEY",
        ),
        mistake(
            "the page through a proxy, and no key is set",
            open.get("/", "X-Forwarded-For: 203.0.113.7\r\n").body,
            "not through a proxy",
            "set ADIEU_API_KEY",
        ),
    ]
}

fn of_backends() -> Vec<Mistake> {
    let start = |url: &str, secret: Option<&str>| {
        let mut command = adieu(&["serve", "--listen", "127.0.0.1:0", "--backend", url]);
        secret.map(|secret| command.env("ADIEU_BACKEND_SECRET", secret));
        refused(command)
    };
    let hook = "http://127.0.0.1:3000/hooks";
    let said_of = |url: String, error: &str| {
        let gateway = told_to(&url);
        assert_eq!(ask(gateway.addr()), 503);
        gateway.until_error(error);
        let address = url.strip_prefix("http://").unwrap().strip_suffix("/hooks").unwrap();
        Said::from(gateway.errors()).with(address, "127.0.0.1:3000")
    };
    let free = TcpListener::bind(testkit::own_address()).unwrap();
    let nobody = format!("http://{}/hooks", free.local_addr().unwrap());
    drop(free);
    vec![
        mistake(
            "`--backend` without a secret",
            start(hook, None),
            "ADIEU_BACKEND_SECRET",
            "whsec_",
        ),
        mistake(
            "`ADIEU_BACKEND_SECRET=secret`",
            start(hook, Some("secret")),
            "ADIEU_BACKEND_SECRET",
            "whsec_",
        ),
        mistake(
            "`--backend backend.example`",
            start("backend.example", Some(SECRET)),
            "backend.example",
            "http://HOST/PATH",
        ),
        mistake(
            "`--backend http://127.0.0.1:99999/`",
            start("http://127.0.0.1:99999/", Some(SECRET)),
            "port",
            "up to 65535",
        ),
        mistake(
            "nothing listens at the backend's address",
            said_of(nobody, "efused"),
            "3000/hooks",
            "does the backend run",
        ),
        mistake(
            "the backend has another secret, and answers 401",
            said_of(backend(401, "wrong signature"), "ADIEU_BACKEND_SECRET"),
            "401",
            "check that ADIEU_BACKEND_SECRET is the same",
        ),
        mistake(
            "the backend answers a question with `{oops`",
            said_of(backend(200, "{oops"), "oops"),
            "connect to http://127.0.0.1:3000/hooks",
            "line 1 column 2",
        ),
        mistake(
            "the backend answers a question with `{\"userId\": 5}`",
            said_of(backend(200, "{\"userId\": 5}"), "userId"),
            "5",
            "string",
        ),
    ]
}

fn of_the_store() -> Vec<Mistake> {
    let scratch = Scratch::new();
    let data = scratch.name("data");
    let _first = Adieu::serve(&["--data", &data]);
    std::fs::write(scratch.path("notes"), "mine").unwrap();
    let said = |path: &str| {
        let said = refuses(&["--data", &scratch.name(path)]);
        Said::from(said).with(scratch.name(""), "")
    };
    vec![
        mistake("`--data data`, which another process has", said("data"), "data", "stop that one"),
        mistake("`--data notes`, which is a file", said("notes"), "notes", "directory"),
    ]
}

fn of_the_system() -> Vec<Mistake> {
    let limited = |limit: u32, options: &[&str]| {
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let first = ["-c", &*script, ADIEU, "serve", "--listen", "127.0.0.1:0"];
        by("sh", &[&first[..], options].concat())
    };
    let reached = Adieu::spawn(limited(256, &["--max-connections", "1000"]));
    reached.until_error("cannot be reached");
    let mut unread = adieu(&["serve", "--listen", "127.0.0.1:0"]);
    unread.env("RUST_LOG", "verbose=loud");
    let unread = Adieu::spawn(unread);
    unread.until_error("RUST_LOG");
    let mut word = adieu(&["serve", "--listen", "127.0.0.1:0"]);
    word.env("RUST_LOG", "warning");
    let word = Adieu::spawn(word);
    word.until_error("is no level");
    let few = refused(limited(20, &[]));
    let (before, left) = few.split_once("needed, and ").unwrap();
    let left = left.split(' ').next().unwrap().to_owned();
    assert!(before.contains("descriptors"), "{few}");
    let left = format!("needed, and {left} are");
    vec![
        mistake(
            "`ulimit -n 20`",
            Said::from(few).with(left, "needed, and some are"),
            "ulimit -n is 20",
            "1024 or more",
        ),
        mistake(
            "`ulimit -n 64`",
            refused(limited(64, &[])),
            "ulimit -n is 64",
            "raise it to 1024 or more",
        ),
        mistake(
            "`ulimit -n 256` and `--max-connections 1000`",
            reached.errors(),
            "--max-connections 1000",
            "raise it to",
        ),
        mistake("`RUST_LOG=warning`", word.errors(), "\"warning\"", "the levels are"),
        mistake("`RUST_LOG=verbose=loud`", unread.errors(), "verbose=loud", "write it like info"),
    ]
}

fn of_clients() -> Vec<Mistake> {
    let gateway = Adieu::spawn(with_key(KEY, &[]));
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let post = |target: &str, kind: &str, body: &str| {
        let tcp = std::net::TcpStream::connect(gateway.addr()).unwrap();
        let fields = format!("{bearer}Content-Type: {kind}\r\n");
        Answer::of(tcp, "POST", target, &fields, body).body
    };
    let to = "/api/users/anna/messages";
    let end = |query: &str| {
        let tcp = std::net::TcpStream::connect(gateway.addr()).unwrap();
        let target = format!("/api/users/anna?{query}");
        Answer::of(tcp, "DELETE", &target, &bearer, "").body
    };
    vec![
        mistake(
            "`/ws` opened as a page",
            gateway.get("/ws", "").body.replace('\n', " "),
            "does not ask for a WebSocket",
            "connect to it with a WebSocket client",
        ),
        mistake(
            "a message with `Content-Type: image/png`",
            post(to, "image/png", "x"),
            "image/png",
            "application/octet-stream",
        ),
        mistake(
            "a message of 1 MiB and a byte",
            post(to, "text/plain", &"x".repeat((1 << 20) + 1)),
            "bytes at most",
            "1048576",
        ),
        mistake(
            "a message to a user who is not here",
            post(to, "text/plain", "x"),
            "anna",
            "no such session",
        ),
        mistake("`DELETE /api/users/anna?code=1005`", end("code=1005"), "1005", "4000"),
        mistake(
            "`GET /api/nothing`",
            gateway.get("/api/nothing", &bearer).body,
            "/api/nothing",
            "/api/sessions",
        ),
    ]
}
