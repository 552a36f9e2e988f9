//! Mistakes that people make: the compiler's error names the way out. Only our own sentences are
//! looked for, since the compiler's differ from version to version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs};

/// Where the libraries are that this test was built with.
fn libraries() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.parent().expect("a directory").to_owned()
}

/// The library as it was built last: cargo built it for this test, or found it built.
fn library() -> PathBuf {
    let built = |path: &PathBuf| -> Option<SystemTime> {
        let name = path.file_name()?.to_str()?;
        let ours = name.starts_with("libadieu-") && name.ends_with(".rlib");
        if ours { path.metadata().ok()?.modified().ok() } else { None }
    };
    let all = fs::read_dir(libraries()).expect("a directory").map(|entry| entry.unwrap().path());
    all.filter(|path| built(path).is_some()).max_by_key(built).expect("libadieu-*.rlib")
}

/// What the compiler says of a program; `None` if it compiles.
fn error_of(program: &str) -> Option<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(rustc)
        .args(["--edition", "2024", "--emit", "metadata", "-A", "warnings", "-o"])
        .arg(out)
        .arg("-L")
        .arg(format!("dependency={}", libraries().display()))
        .arg("--extern")
        .arg(format!("adieu={}", library().display()))
        .arg(dir.join(program))
        .output()
        .expect("rustc runs");
    let error = String::from_utf8_lossy(&compiled.stderr).into_owned();
    (!compiled.status.success()).then_some(error)
}

/// The words of a text, however the compiler has broken its lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says(program: &str, ours: &[&str]) {
    let error = error_of(program).unwrap_or_else(|| panic!("{program} compiles"));
    for sentence in ours {
        assert!(words(&error).contains(sentence), "{program}: {sentence:?} is not in\n{error}");
    }
}

#[test]
fn what_a_handler_may_return_is_said() {
    let ways = ["does not say with which Close a connection ends", "`Result<(), E>`"];
    says("handler_returns_something_else.rs", &ways);
    let ways = ["does not say with which Close", "(`Box<dyn Error>` alone is not enough)"];
    says("handler_returns_a_box_that_is_not_send.rs", &ways);
}

#[test]
fn what_can_be_sent_is_said() {
    says("a_number_is_sent.rs", &["cannot be sent as a message", "send `value.to_string()`"]);
}

#[test]
fn the_order_of_the_arguments_is_said() {
    let order = "the code comes first, then the reason: `Close::new(4001, \"why\")`";
    says("the_reason_comes_first.rs", &["`&str` is no close code", order]);
}

#[test]
fn what_close_takes_is_said() {
    let ways = ["does not say with which Close", "`Close::new(4001, \"why\")?` is a code"];
    says("close_with_a_reason_alone.rs", &ways);
    assert_eq!(error_of("close_with_a_number.rs"), None, "a number is a code");
}

#[test]
fn what_a_handler_is_is_said() {
    let async_fn = "a handler is async, takes the `Socket` by value and nothing else";
    says("handler_is_not_async.rs", &["cannot be the handler of a server", async_fn]);
    says("handler_for_axum_is_not_async.rs", &["cannot be the handler of a WebSocket", async_fn]);
    let clone = "a closure that has something gives each call a clone of it";
    says("a_servers_handler_moves_what_it_has.rs", &["can be called for each connection", clone]);
    // These are the compiler's own sentences, which name the place.
    says("handler_is_not_send.rs", &["which is not `Send`"]);
    says("handler_takes_a_reference.rs", &["fn(Socket) -> _"]);
}
