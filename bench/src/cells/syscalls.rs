//! System calls for each message, counted by strace: whether the floor is a floor, and who sends
//! more often than needed.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cells::Plan;
use crate::load::dial::wrong;
use crate::load::echo::{Echo, Spec};
use crate::peer::Mode;
use crate::sample::{Figures, Samples};
use crate::server::{Peer, Server};
use crate::sys;

/// Under strace all is slow; long enough for some thousand messages.
const LENGTH: Duration = Duration::from_millis(300);

/// strace attaches and reports within this time.
const PATIENCE: Duration = Duration::from_secs(20);

const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg"];
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// One sample of each server: the counts hardly vary.
pub(super) fn count(plan: &Plan, spec: Spec) -> io::Result<Samples> {
    let mut samples = Samples::default();
    for peer in &plan.peers {
        match sample(peer, spec) {
            Ok(figures) => samples.add(peer.name, figures),
            Err(error) => samples.failed(peer.name, error.to_string()),
        }
    }
    Ok(samples)
}

fn sample(peer: &Peer, spec: Spec) -> io::Result<Figures> {
    let server = Server::start(peer, Mode::Echo)?;
    let mut echo = Echo::open(server.port, spec, server.is_raw())?;
    echo.sample(LENGTH)?;
    let strace = Strace::attach(&server)?;
    let messages = echo.sample(LENGTH)?.messages as f64;
    let table = strace.table()?;
    let each = |names: &[&str]| calls(&table, names) as f64 / messages;
    Ok(vec![("reads", each(READS)), ("writes", each(WRITES)), ("waits", each(WAITS))])
}

struct Strace {
    child: Child,
    out: PathBuf,
}

impl Strace {
    fn attach(server: &Server) -> io::Result<Self> {
        let (pid, out) = (server.pid().to_string(), std::env::temp_dir());
        let out = out.join(format!("adieu-bench-strace-{}", std::process::id()));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-p", &pid, "-o"]).arg(&out).stdin(Stdio::null());
        let child = strace.stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| wrong(format!("strace: {error}")))?;
        let strace = Strace { child, out };
        let began = Instant::now();
        while !server.is_traced()? {
            if began.elapsed() > PATIENCE {
                return Err(wrong("strace did not attach".into()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(strace)
    }

    /// Detaches; gives its table.
    fn table(mut self) -> io::Result<String> {
        sys::interrupt(self.child.id());
        self.child.wait()?;
        fs::read_to_string(&self.out)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.out);
    }
}

/// Calls of these names: the fourth column counts, the last names.
fn calls(table: &str, names: &[&str]) -> u64 {
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let counts = lines.filter_map(|fields| {
        let name = fields.last()?;
        if names.contains(name) { fields.get(3)?.parse::<u64>().ok() } else { None }
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_from_the_table() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n \
                     51.00    0.010000           3      3000           sendto\n \
                     48.00    0.009000           3      3100       100 recvfrom\n \
                     1.00    0.000100           1        90           epoll_wait\n";
        assert_eq!(calls(table, WRITES), 3000);
        assert_eq!(calls(table, READS), 3100);
        assert_eq!(calls(table, WAITS), 90);
    }
}
