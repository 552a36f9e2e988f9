//! What one running browser owns on this machine: a directory, a driver, and all their processes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::processes;
use crate::wait::wait_for;

/// Until a program that was started listens, or a browser that was told to quit is gone.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(60);

/// The lines of a log that an error quotes.
const QUOTED_LINES: usize = 15;

/// A directory of its own for each, also across test processes.
static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// A browser's directory and processes. Dropping it ends the processes and removes the directory.
pub(crate) struct Instance {
    directory: PathBuf,
    /// The programs started here, by name. Some of them are not the browser but help it.
    children: Vec<(&'static str, Child)>,
}

impl Instance {
    /// Makes a directory below the system's temporary one, for this user only.
    pub(crate) fn new(name: &str) -> Result<Instance> {
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let unique = format!("adieu-{name}-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        let builder = || {
            let mut builder = fs::DirBuilder::new();
            builder.mode(0o700);
            builder
        };
        // Left over by a process of the same number that could not clean up.
        drop(fs::remove_dir_all(&directory));
        for path in [&directory, &directory.join("home"), &directory.join("run")] {
            let doing = Error::io(format!("make the directory {}", path.display()));
            builder().create(path).map_err(doing)?;
        }
        Ok(Instance { directory, children: Vec::new() })
    }

    /// A path below the directory of this instance.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a program whose home is here and whose output goes to `{name}.log` here.
    pub(crate) fn spawn(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let doing = || format!("start {name}");
        let log = File::create(self.log_path(name)).map_err(Error::io(doing()))?;
        let child = command
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TMPDIR", &self.directory)
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_DATA_HOME")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(Error::io(doing()))?)
            .stderr(log)
            .spawn()
            .map_err(Error::io(doing()))?;
        self.children.push((name, child));
        Ok(())
    }

    /// What a program wrote so far.
    pub(crate) fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.log_path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// Waits for something that needs the program `name` to be alive.
    pub(crate) fn wait_while_running<T>(
        &mut self,
        name: &'static str,
        what: &str,
        mut probe: impl FnMut(&Instance) -> Option<T>,
    ) -> Result<T> {
        wait_for(format_args!("{what} of {name}"), START_LIMIT, || {
            let found = probe(self);
            if found.is_none() && self.has_exited(name) {
                let log = self.log(name);
                let lines: Vec<&str> = log.lines().collect();
                let log = lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n");
                return Err(Error::Exited { program: name.to_owned(), log });
            }
            Ok(found)
        })
    }

    fn has_exited(&mut self, name: &str) -> bool {
        self.children
            .iter_mut()
            .filter(|(child, _)| *child == name)
            .any(|(_, child)| !matches!(child.try_wait(), Ok(None)))
    }

    /// Lets go of a program that has ended, so that its name can be used again.
    pub(crate) fn forget(&mut self, name: &str) {
        self.children.retain(|(child, _)| *child != name);
    }

    /// The process of a program started here.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.children.iter().find(|(child, _)| *child == name).map(|(_, child)| child.id())
    }

    /// All running processes of this instance, except the `helpers`.
    pub(crate) fn processes(&self, helpers: &[&str]) -> Vec<u32> {
        let spared: Vec<u32> = helpers.iter().filter_map(|name| self.pid(name)).collect();
        let mut pids: Vec<u32> = self
            .children
            .iter()
            .flat_map(|(_, child)| processes::family(child.id(), &self.directory))
            .filter(|pid| !spared.contains(pid))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Ends every process of this instance, helpers too.
    pub(crate) fn end(&mut self) -> Result<()> {
        let ended = processes::kill_until_none(&self.name(), || self.processes(&[]));
        for (_, mut child) in self.children.drain(..) {
            // After SIGKILL this does not block; if killing failed it must not be tried.
            if ended.is_ok() {
                drop(child.wait());
            }
        }
        ended
    }

    fn name(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            eprintln!("{e}");
        }
        // A process that dies may still write a file while the tree is being removed.
        let removed = wait_for("the directory to go", Duration::from_secs(5), || {
            Ok(match fs::remove_dir_all(&self.directory) {
                Ok(()) => Some(()),
                Err(e) => (e.kind() == io::ErrorKind::NotFound).then_some(()),
            })
        });
        if let Err(e) = removed {
            eprintln!("{}: {e}", self.directory.display());
        }
    }
}

/// Finds a program on the `PATH`.
pub(crate) fn find_program(name: &str, package: &'static str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_file(candidate))
        .ok_or_else(|| Error::NotInstalled { program: name.to_owned(), package })
}

/// Whether there is a file.
pub(crate) fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_after_the_drop() {
        let mut instance = Instance::new("test").unwrap();
        let directory = instance.directory.clone();
        // The grandchild ignores its parent's death.
        let script = "(trap '' HUP TERM; while :; do read x < /dev/zero; done) & echo up; wait";
        instance.spawn("sh", Command::new("/bin/sh").args(["-c", script])).unwrap();
        instance
            .wait_while_running("sh", "a line", |i| i.log("sh").contains("up").then_some(()))
            .unwrap();
        let pids = instance.processes(&[]);
        assert!(!pids.is_empty());
        drop(instance);
        assert!(processes::family(u32::MAX, &directory).is_empty());
        assert!(!directory.exists());
    }

    #[test]
    fn a_program_that_ends_early_is_quoted() {
        let mut instance = Instance::new("test").unwrap();
        instance
            .spawn("sh", Command::new("/bin/sh").args(["-c", "echo no display; exit 3"]))
            .unwrap();
        let failed = instance.wait_while_running("sh", "a port", |_| None::<u16>).unwrap_err();
        assert_eq!(failed.to_string(), "sh ended too early:\nno display");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let missing = find_program("no-such-browser", "firefox-esr").unwrap_err();
        assert!(missing.to_string().ends_with("apt-get install firefox-esr"));
    }
}
