//! Long forms of tests of sessions that have a command and a file of figures each.

use std::fs;
use std::time::Duration;

use crate::run;

/// A backend that is away for ten minutes, and a cold build.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// A long form: a module of a test program.
#[derive(Debug)]
pub(crate) struct LongForm {
    /// Its name as a task, and in `ADIEU_LONG_FORM`.
    pub(crate) task: &'static str,
    /// The package and its test program.
    of: (&'static str, &'static str),
    module: &'static str,
    kept: &'static str,
    /// Beside each other, or one after the other, because they measure time or memory.
    threads: &'static str,
    what: &'static str,
}

/// All of them.
pub(crate) const ALL: [LongForm; 8] = [
    LongForm {
        task: "failing-backend",
        of: SESSIONS,
        module: "failing_backend::",
        kept: "conformance/failing-backend.txt",
        threads: "8",
        what: "A backend that fails in each way, and what it is told when it is well",
    },
    LongForm {
        task: "strangers",
        of: SESSIONS,
        module: "many_strangers::",
        kept: "conformance/strangers.txt",
        threads: "1",
        what: "Strangers by the thousand: the memory that they take, and whether others are served",
    },
    LongForm {
        task: "many-sessions",
        of: SESSIONS,
        module: "many_sessions::",
        kept: "conformance/many-sessions.txt",
        threads: "1",
        what: "100,000 sessions: a start, and the end of all of them at once",
    },
    LongForm {
        task: "node-kills",
        of: SESSIONS,
        module: "cluster::kills::",
        kept: "conformance/node-kills.txt",
        threads: "1",
        what: "Nodes that are killed, paused, cut off and replaced under load",
    },
    LongForm {
        task: "engine-fails",
        of: SESSIONS,
        module: "cluster::engine_fails::",
        kept: "conformance/engine-fails.txt",
        threads: "1",
        what: "An engine that is killed, stands still, is slow, full, or loses its functions",
    },
    LongForm {
        task: "node-deploy",
        of: SESSIONS,
        module: "cluster::deploy::",
        kept: "conformance/node-deploy.txt",
        threads: "1",
        what: "All nodes are replaced, one after the other",
    },
    LongForm {
        task: "engine-attack",
        of: ("adieu-engine", "functions"),
        module: "attack::nothing",
        kept: "conformance/engine-attack.txt",
        threads: "1",
        what: "Nodes that repeat, forget and die attack the functions in a Redis",
    },
    LongForm {
        task: "engine-cost",
        of: ("adieu-engine", "functions"),
        module: "cost::",
        kept: "conformance/engine-cost.txt",
        threads: "1",
        what: "What the functions cost a Redis that appends to its file each second",
    },
];

/// The test program of the sessions.
const SESSIONS: (&str, &str) = ("adieu-cli", "sessions");

impl LongForm {
    /// Runs it and keeps the figures.
    pub(crate) fn run(&self) -> Result<(), String> {
        let kept = run::root().join(self.kept);
        let cannot = |error: std::io::Error| format!("{}: {error}", kept.display());
        let figures = run::target_dir()?.join(format!("{}-figures.txt", self.task));
        fs::write(&figures, "").map_err(cannot)?;
        let (package, program) = self.of;
        let mut test = run::cargo(&["test", "--release", "-p", package, "--test", program]);
        test.arg(self.module).args(["--", "--nocapture"]);
        test.arg(format!("--test-threads={}", self.threads));
        test.env("ADIEU_LONG_FORM", self.task).env("ADIEU_FIGURES", &figures);
        run::run(&mut test, LIMIT)?;
        let text = fs::read_to_string(&figures).map_err(cannot)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let head = format!("# {}: cargo xtask {}", self.what, self.task);
        let text = format!("{head}\n\n{}\n", lines.join("\n\n"));
        fs::write(&kept, text).map_err(cannot)?;
        println!("{} figures in {}", lines.len(), self.kept);
        Ok(())
    }
}
