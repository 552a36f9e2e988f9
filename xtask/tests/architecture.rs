//! What the compiler does not enforce about this repository: the protocol crate has no I/O, lines
//! and files are of a readable size.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every crate that `adieu-proto` may be built from. A new name here is a decision: what it does
/// must be computing alone.
const PROTOCOL_TREE: &[&str] = &[
    "adieu-proto",
    "base64",
    "block-buffer",
    "bytes",
    "cfg-if",
    "cpufeatures",
    "crypto-common",
    "digest",
    "httparse",
    "hybrid-array",
    // How `cpufeatures` asks for the abilities of some processors, 64-bit ARM among them.
    "libc",
    "md-5",
    // Finds the lines of a head.
    "memchr",
    "sha1",
    "simdutf8",
    "typenum",
    // DEFLATE, for the feature `deflate`; from bytes to bytes.
    "zlib-rs",
];

/// What `adieu-session` may be built from beside the protocol.
const SESSION_TREE: &[&str] = &[
    "adieu-session",
    "cmov",
    "const-oid",
    "ctutils",
    "hmac",
    "itoa",
    "serde",
    "serde_core",
    "serde_json",
    "sha2",
    "zmij",
];

/// Clippy's fence in these two crates resolves names, so no import deceives it; this list catches
/// what is merely written, in code that is not built on this machine too.
const NOT_WITHOUT_IO: &[&str] =
    &["std::net", "std::thread", "std::fs", "Instant::now", "SystemTime::now", "unsafe", "tokio"];

const MAX_COLUMNS: usize = 100;

/// Past this a file does a second thing.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// All Rust sources below a directory, generated ones apart.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory that can be read") {
            let entry = entry.expect("an entry that can be read");
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let ours = !name.starts_with('.') && name != "target" && name != "node_modules";
            if ours && entry.file_type().expect("a file type").is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no Rust source below {}", dir.display());
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The lines of a source before its tests, with their numbers.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ")
    });
    let end = tests.unwrap_or(lines.len());
    lines[..end].iter().enumerate().map(|(index, line)| (index + 1, *line)).collect()
}

/// A file that is a test as a whole.
fn is_test(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem == "tests" || file.components().any(|part| part.as_os_str() == "tests")
}

/// A line without its comment.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" //").next().unwrap_or(line) }
}

/// Whether a word stands in a line by itself: `unsafe` is not found in `unsafe_code`.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

fn none(complaints: &[String], rule: &str) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

#[test]
fn the_protocol_and_the_sessions_are_built_from_computing_crates_alone() {
    only_built_from("adieu-proto", PROTOCOL_TREE);
    only_built_from("adieu-session", &[PROTOCOL_TREE, SESSION_TREE].concat());
}

/// What these are for is to judge that code, or to break what it runs on.
#[test]
fn what_stands_around_the_code_under_test_has_none_of_it() {
    for package in ["rig", "testkit", "cluster-model"] {
        let tree = tree(package);
        let ours: Vec<String> =
            tree.iter().filter(|name| name.starts_with("adieu")).cloned().collect();
        none(&ours, &format!("crates in the tree of {package} that are Adieu's"));
    }
}

fn only_built_from(package: &str, allowed: &[&str]) {
    let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
    let built = tree(package);
    let more = built.iter().filter(|name| !allowed.contains(name.as_str()));
    let more: Vec<String> = more.cloned().collect();
    none(&more, &format!("crates in the tree of {package} that its list here does not allow"));
}

/// Every crate that this one is built from, and itself.
fn tree(package: &str) -> BTreeSet<String> {
    let args = ["tree", "--locked", "-p", package, "-e", "normal,no-proc-macro", "--all-features"];
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let built: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(built.contains(package), "cargo tree said:\n{tree}");
    built
}

#[test]
fn the_protocol_and_the_sessions_have_no_clock_thread_socket_or_unsafe_code() {
    for package in ["adieu-proto", "adieu-session"] {
        has_no_io(package);
    }
}

fn has_no_io(package: &str) {
    let src = root().join("crates").join(package).join("src");
    let mut complaints = Vec::new();
    for file in sources(&src).iter().filter(|file| !is_test(file)) {
        for (number, line) in without_tests(&read(file)) {
            let found = NOT_WITHOUT_IO.iter().filter(|word| has_word(code(line), word));
            complaints.extend(found.map(|word| format!("{}:{number}: {word}", shown(file))));
        }
    }
    none(&complaints, &format!("not in {package}, where time and bytes come in as arguments"));
    let lib = read(&src.join("lib.rs"));
    assert!(lib.contains("#![forbid(unsafe_code)]"), "{package} must forbid unsafe code");
}

/// What only some systems have. Code that names it says for which system it is, and what there is
/// elsewhere: by `cfg` in the file, or by that of the module that the file is.
const OF_ONE_SYSTEM: &[&str] = &[
    "std::os::unix",
    "std::os::fd",
    "std::os::linux",
    "tokio::net::UnixStream",
    "tokio::net::UnixListener",
    "tokio::signal::unix",
    "libc::",
    "set_tcp_user_timeout",
    "set_tcp_mss",
    "set_tcp_quickack",
    "set_tcp_cork",
    "send_with_flags",
    "set_reuseport",
];

/// Whether a line stands behind a `cfg` that names systems: its own, or that of a block around it.
/// Read by indentation, which rustfmt keeps.
fn is_gated(lines: &[(usize, &str)], at: usize) -> bool {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut inner = depth(lines[at].1);
    // Whether the lines above at this depth still belong to the same item or statement.
    let (mut same, mut head_goes_on) = (true, false);
    for (_, line) in lines[..at].iter().rev() {
        let text = line.trim_start();
        if text.is_empty() {
            same = false;
        } else if depth(line) < inner {
            inner = depth(line);
            (same, head_goes_on) = (true, text.starts_with(')') && text.ends_with('{'));
        } else if depth(line) == inner && same {
            same = head_goes_on || text.starts_with("#[") || text.starts_with("//");
            head_goes_on = false;
        } else {
            continue;
        }
        let names_systems = text.contains("target_os") || text.contains("unix");
        if same && text.starts_with("#[cfg(") && names_systems {
            return true;
        }
    }
    false
}

#[test]
fn what_only_one_system_has_stands_behind_a_cfg() {
    let mut complaints = Vec::new();
    for package in ["adieu", "adieu-check", "adieu-engine", "adieu-gateway", "adieu-cli"] {
        for file in sources(&root().join("crates").join(package).join("src")) {
            let text = read(&file);
            let lines = without_tests(&text);
            for at in 0..lines.len() {
                let (number, line) = lines[at];
                let named = OF_ONE_SYSTEM.iter().find(|name| code(line).contains(**name));
                if let Some(name) = named.filter(|_| !is_test(&file) && !is_gated(&lines, at)) {
                    complaints.push(format!("{}:{number}: {name}", shown(&file)));
                }
            }
        }
    }
    none(&complaints, "names of one system without a cfg that says so");
}

#[test]
fn no_merge_was_left_half_done() {
    let output = Command::new("git")
        .args(["grep", "-lE", "^(<<<<<<<|>>>>>>>) "])
        .current_dir(root())
        .output()
        .expect("git runs");
    // 1: nothing was found. Without a repository (a source archive) there is nothing to look at.
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.is_empty(), "files with conflict markers:\n{said}");
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let mut complaints = Vec::new();
    for file in sources(&root()) {
        for (index, line) in read(&file).lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                complaints.push(format!("{}:{}: {columns} columns", shown(&file), index + 1));
            }
        }
    }
    none(&complaints, "lines wider than 100 columns (rustfmt leaves comments and strings to you)");
}

#[test]
fn no_file_of_the_crates_is_longer_than_six_hundred_lines() {
    let mut complaints = Vec::new();
    for file in sources(&root().join("crates")) {
        let in_src = file.components().any(|part| part.as_os_str() == "src");
        let lines = without_tests(&read(&file)).len();
        if in_src && !is_test(&file) && lines > MAX_LINES {
            complaints.push(format!("{}: {lines} lines before its tests", shown(&file)));
        }
    }
    none(&complaints, "files past 600 lines: which second thing does each do?");
}

#[test]
fn a_cfg_counts_for_what_stands_in_it_and_for_nothing_else() {
    let gated = |text: &str| {
        let lines = without_tests(text);
        is_gated(&lines, lines.iter().position(|(_, line)| line.contains("libc::")).expect("it"))
    };
    assert!(gated("#[cfg(unix)]\nmod a {\n    fn b() {\n\n        libc::c();\n    }\n}\n"));
    assert!(gated("#[cfg(unix)]\nfn a(\n    b: C,\n) -> D {\n    libc::c();\n}\n"));
    assert!(gated("fn a() {\n    #[cfg(target_os = \"linux\")]\n    libc::c();\n}\n"));
    assert!(!gated("fn a() {\n    libc::c();\n}\n"));
    assert!(!gated("#[cfg(unix)]\nfn a() {}\n\nfn b() {\n    libc::c();\n}\n"));
    assert!(!gated("fn a() {\n    #[cfg(unix)]\n    b();\n    libc::c();\n}\n"));
    assert!(!gated("#[cfg(feature = \"x\")]\nfn a() {\n    libc::c();\n}\n"));
}

#[test]
fn the_readers_of_sources_see_what_they_should() {
    let text =
        "use x;\n#[cfg(test)]\nfn helper() {}\ncode();\n#[cfg(test)]\nmod tests {\nunsafe\n}\n";
    assert_eq!(without_tests(text).len(), 4);
    assert!(has_word("    unsafe { f() }", "unsafe"));
    assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
    assert!(has_word("use std::net::TcpStream;", "std::net"));
    assert!(has_word("let now = std::time::Instant::now();", "Instant::now"));
    assert_eq!(code("/// Instant::now"), "");
    assert_eq!(code("f(); // not unsafe"), "f();");
    assert!(is_test(Path::new("crates/a/tests/x.rs")) && is_test(Path::new("src/close/tests.rs")));
    assert!(!is_test(Path::new("src/close.rs")));
}
