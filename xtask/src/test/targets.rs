//! The test targets of the workspace: cargo builds their programs and says where these lie.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::run;

/// One program with tests in it, as `cargo test` builds it for a library, a binary or a file of
/// `tests/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The package and the target: `adieu endings`.
    pub(super) name: String,
    /// The program.
    pub(super) program: PathBuf,
    /// The folder of the package, in which `cargo test` starts the program as well.
    pub(super) folder: PathBuf,
}

/// Builds all that `cargo test` with these arguments would run, and everything else that they name.
pub(super) fn build(args: &[&str], limit: Duration) -> Result<Vec<Target>, String> {
    let mut command = run::cargo(args);
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let said = run::run_for_output(&mut command, limit)?;
    let found: Vec<Target> = said.lines().filter_map(target).collect();
    if found.is_empty() { Err("cargo built no program with tests".into()) } else { Ok(found) }
}

/// The target of one message of cargo, if it is about a program with tests.
fn target(message: &str) -> Option<Target> {
    let message: Value = serde_json::from_str(message).ok()?;
    let tests = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let program = message["executable"].as_str().filter(|_| tests)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let package = folder.file_name()?.to_string_lossy();
    let kind = message["target"]["kind"][0].as_str()?;
    let target = message["target"]["name"].as_str()?;
    let name = if kind == "test" { target } else { kind };
    Some(Target {
        name: format!("{package} {name}"),
        program: program.into(),
        folder: folder.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn artifact(kind: &str, test: bool) -> String {
        let message = json!({
            "reason": "compiler-artifact",
            "manifest_path": "/a/crates/adieu/Cargo.toml",
            "target": { "kind": [kind], "name": "endings" },
            "profile": { "test": test },
            "executable": "/a/target/debug/deps/endings-0",
        });
        message.to_string()
    }

    #[test]
    fn a_target_has_the_name_of_its_package_and_starts_in_its_folder() {
        let target = target(&artifact("test", true)).unwrap();
        assert_eq!(target.name, "adieu endings");
        assert_eq!(target.folder, Path::new("/a/crates/adieu"));
        assert_eq!(target.program, Path::new("/a/target/debug/deps/endings-0"));
    }

    #[test]
    fn the_tests_within_a_library_have_its_kind_as_their_name() {
        assert_eq!(target(&artifact("lib", true)).unwrap().name, "adieu lib");
    }

    #[test]
    fn what_holds_no_tests_is_left_out() {
        assert_eq!(target(&artifact("bin", false)), None);
        assert_eq!(target(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(target("no JSON"), None);
    }
}
