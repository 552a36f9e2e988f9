//! Where the system gives no thread or no descriptor, that is said; nothing panics.
#![cfg(target_os = "linux")]

use crate::world::{ADIEU, Adieu, Scratch, by, refused};

/// A user that has no other process, for threads are counted for each user: as root there is no
/// limit of them.
const NOBODY: &str = "64127";

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

#[test]
fn without_threads_the_limit_and_what_to_raise_are_named() {
    let scratch = Scratch::new();
    // Where the program is, another user may not come.
    let copy = scratch.path("adieu");
    std::fs::copy(ADIEU, &copy).unwrap();
    let user = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    let user = if rustix::process::geteuid().is_root() { &user[..] } else { &[] };
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["connect", "ws://127.0.0.1:1"]] {
        let program = [copy.to_str().unwrap()];
        let said = refused(by("prlimit", &[&["--nproc=1"], user, &program, command].concat()));
        assert!(said.contains("ulimit -u") && said.contains("threads are needed"), "{said}");
    }
}
