//! Where the system gives no thread or no descriptor, that is said; nothing panics.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicU32, Ordering};

use crate::peers::{ask, backend};
use crate::world::{ADIEU, Adieu, SECRET, Scratch, by, refused};

/// A user that has no other process, for threads are counted for each user: as root there is no
/// limit of them. Each test has one of its own, of those that a container knows as well.
fn nobody() -> String {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let test = TESTS.fetch_add(1, Ordering::Relaxed);
    (60_000 + (2 * std::process::id() + test) % 5_000).to_string()
}

#[test]
fn without_descriptors_the_limit_and_what_to_raise_are_named() {
    for limit in 4..24 {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["connect", "ws://127.0.0.1:1"]]
        {
            let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
            let said = refused(by("sh", &[&["-c", &script, ADIEU], command].concat()));
            // With hardly any, not even the program itself can be loaded.
            assert!(
                said.contains("ulimit -n") || said.contains("shared librar"),
                "{limit}: {said}"
            );
        }
    }
}

#[test]
fn a_limit_that_leaves_no_room_for_connections_is_refused() {
    let serve = |options: &[&str]| {
        let script = "ulimit -n 64; exec \"$0\" \"$@\"";
        let first = ["-c", script, ADIEU, "serve", "--listen", "127.0.0.1:0"];
        by("sh", &[&first[..], options].concat())
    };
    let said = refused(serve(&[]));
    assert!(said.contains("no connection would have a descriptor"), "{said}");
    let script = "ulimit -n 256; exec \"$0\" \"$@\"";
    let first = ["-c", script, ADIEU, "serve", "--listen", "127.0.0.1:0"];
    let gateway = Adieu::spawn(by("sh", &[&first[..], &["--max-connections", "1000"]].concat()));
    gateway.until_error("--max-connections 1000 cannot be reached: ulimit -n leaves room for 192");
}

/// The program where another user may run it, and what runs it as a user with no other process.
fn as_nobody(scratch: &Scratch) -> Vec<String> {
    // Where the program is, another user may not come.
    let copy = scratch.name("adieu");
    std::fs::copy(ADIEU, &copy).unwrap();
    let nobody = nobody();
    let user = ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"];
    let user = if rustix::process::geteuid().is_root() { &user[..] } else { &[] };
    user.iter().map(|word| (*word).to_owned()).chain([copy]).collect()
}

#[test]
fn without_threads_the_limit_and_what_to_raise_are_named() {
    let scratch = Scratch::new();
    let program = as_nobody(&scratch);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["connect", "ws://127.0.0.1:1"]] {
        let said = refused(by("prlimit", &[&["--nproc=1"], &program[..], command].concat()));
        assert!(said.contains("ulimit -u") && said.contains("threads are needed"), "{said}");
    }
}

#[test]
fn where_no_thread_is_left_later_names_are_looked_up_all_the_same() {
    let scratch = Scratch::new();
    let program = as_nobody(&scratch);
    let url = backend(403, r#"{"reason":"no seats left"}"#).replace("127.0.0.1", "localhost");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--backend", &url];
    let words: Vec<&str> = program.iter().map(String::as_str).collect();
    let all = [&words[..], &serve].concat();
    let mut command = by(all[0], &all[1..]);
    command.env("ADIEU_BACKEND_SECRET", SECRET);
    let gateway = Adieu::spawn(command);
    // As the same user: that one may lower its limits.
    let pid = gateway.pid().to_string();
    let limit = [&words[..words.len() - 1], &["prlimit", "--pid", &pid, "--nproc=1"]].concat();
    assert!(by(limit[0], &limit[1..]).status().unwrap().success());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(ask(gateway.addr()), 403));
        }
    });
    assert!(!gateway.errors().contains("panicked"), "{}", gateway.errors());
}
