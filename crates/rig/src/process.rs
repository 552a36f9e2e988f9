//! A program that a test starts, stops, continues and kills.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Lines of a log that a panic shows.
const SHOWN: usize = 30;

/// A program that does not outlive this value, nor the test process, however that one dies. When a
/// test fails, the end of its log is shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it says on its standard output and error is appended to `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let copy = file.try_clone().expect("another handle of the log");
        command.stdin(Stdio::null()).stdout(copy).stderr(file);
        let child = spawn(command).unwrap_or_else(|error| {
            panic!("`{name}` cannot be started: {error}");
        });
        Process { child, name, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended. One that stands still has not.
    ///
    /// # Panics
    /// If the kernel does not tell.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// SIGKILL. Returns when the process is gone.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill_9(&mut self) {
        // An error: it has ended before.
        let _ = self.child.kill();
        self.child.wait().expect("the end of a child");
    }

    /// SIGTERM. Returns when the process is gone.
    ///
    /// # Panics
    /// If it does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let what = format!("`{}` ends after SIGTERM", self.name);
        crate::wait_for(&what, || self.child.try_wait().expect("the state of a child"))
    }

    /// SIGSTOP. Returns when the process stands still.
    ///
    /// # Panics
    /// If it has ended.
    pub fn stop(&mut self) {
        assert!(self.is_running(), "`{}` has ended before it could be stopped", self.name);
        self.signal(Signal::STOP);
        let what = format!("`{}` stands still after SIGSTOP", self.name);
        crate::wait_until(&what, || {
            // It is left waitable: this only looks.
            let stopped_or_ended = WaitIdOptions::STOPPED | WaitIdOptions::EXITED;
            let look = stopped_or_ended | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            let status = waitid(WaitId::Pid(self.pid()), look).expect("the state of a child");
            let has_ended = status.as_ref().is_some_and(|status| !status.stopped());
            assert!(!has_ended, "`{}` has ended", self.name);
            status.is_some()
        });
    }

    /// SIGCONT.
    pub fn cont(&mut self) {
        self.signal(Signal::CONT);
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of what it has said, for a panic.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("`{}` said:\n{}", self.name, lines[lines.len().saturating_sub(SHOWN)..].join("\n"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&mut self, signal: Signal) {
        // The number is the child's until its end has been waited for, which is done here alone.
        if self.is_running() {
            let _ = kill_process(self.pid(), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("Process {} of {}", self.id(), self.last_words());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a program on a thread that lives as long as this process. The kernel kills a child when
/// the *thread* that started it is over, and the thread of a test is over before its process is.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, incoming) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (command, answer) in incoming {
                let _ = answer.send(spawn_here(command));
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::sync_channel(1);
    let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send((command, answer)).expect("the thread that starts programs");
    child.recv().expect("the thread that starts programs")
}

#[allow(unsafe_code, reason = "code between fork and exec is the caller's responsibility")]
fn spawn_here(mut command: Command) -> io::Result<Child> {
    let die = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(die) }.spawn()
}
