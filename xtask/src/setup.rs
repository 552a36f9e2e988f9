//! `cargo xtask setup`: what the tests need beyond Rust, installed where Debian lacks it.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run;

/// Debian packages, and what each is for.
const PACKAGES: &[(&str, &str)] = &[
    ("chromium", "a browser to test"),
    ("chromium-driver", "drives Chromium"),
    ("firefox-esr", "a browser to test, driven by its own remote protocol"),
    ("webkit2gtk-driver", "brings MiniBrowser, which is WebKitGTK, and drives it"),
    ("xvfb", "a screen for the browsers on a machine without one"),
    ("fonts-dejavu-core", "letters on the pictures of the page"),
    ("iproute2", "makes networks of their own: a peer that vanishes, a black hole"),
    ("iptables", "makes the peer vanish"),
    ("tinyproxy-bin", "a proxy that the client goes through"),
    ("squid", "another"),
    ("libprotocol-websocket-perl", "a client that still speaks hixie-76 and version 8"),
    ("redis-server", "what gateways share: alone, with Sentinel, as a Cluster"),
    ("haproxy", "the proxy in front of many gateways"),
];

/// Those of which Debian makes services, which no test needs.
const SERVICES: &[&str] = &["squid", "redis-server", "haproxy"];

/// Debian asks this program before it starts a service (policy-rc.d(8)). Where there is none, a
/// machine with systemd starts what it installs, and so does one with a runlevel. `RUNLEVEL=1` in
/// the environment would not do: deb-systemd-invoke does not look at it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// 101: not allowed.
const NO_SERVICE: &str = "#!/bin/sh
# Of `cargo xtask setup` of Adieu, which removes it after its installation: no service starts.
exit 101
";

/// A slow mirror on a slow line still finishes within this time.
const INSTALL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Installs what is missing; does nothing, quickly, when all is there.
pub(crate) fn run() -> Result<(), String> {
    install_missing(PACKAGES)
}

/// The same for these packages and what each is for.
pub(crate) fn install_missing(packages: &[(&str, &str)]) -> Result<(), String> {
    if !on_path("dpkg-query") {
        println!("This is not Debian, so nothing is checked or installed. Needed are:");
        packages.iter().for_each(|(package, why)| println!("  {package}: {why}"));
        return Ok(());
    }
    let missing = missing(packages, &installed(packages)?);
    if missing.is_empty() {
        println!("All {} packages are installed.", packages.len());
        return Ok(());
    }
    for (package, why) in &missing {
        println!("missing: {package} ({why})");
    }
    install(&missing.iter().map(|(package, _)| *package).collect::<Vec<_>>())
}

fn missing<'a>(
    packages: &[(&'a str, &'a str)],
    installed: &HashSet<String>,
) -> Vec<(&'a str, &'a str)> {
    packages.iter().copied().filter(|(package, _)| !installed.contains(*package)).collect()
}

/// Those of these packages that Debian's database calls installed.
fn installed(packages: &[(&str, &str)]) -> Result<HashSet<String>, String> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status} ${Package}\n"]);
    query.args(packages.iter().map(|(package, _)| *package));
    // It fails when one of the packages is unknown and still lists the others.
    let output = query
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`dpkg-query` cannot be started: {error}"))?;
    Ok(parse_installed(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_installed(listing: &str) -> HashSet<String> {
    let names = listing.lines().filter_map(|line| line.strip_prefix("installed "));
    names.map(str::to_owned).collect()
}

fn install(packages: &[&str]) -> Result<(), String> {
    if run::output(Command::new("id").arg("-u"))?.trim() != "0" {
        let list = packages.join(" ");
        return Err(format!(
            "installing needs root; run this once:\n  sudo apt-get update && \
             sudo apt-get install --no-install-recommends {list}"
        ));
    }
    run::run(apt().arg("update"), INSTALL_LIMIT)?;
    let install = ["install", "--yes", "--no-install-recommends"];
    {
        let _no_service = NoService::begin(Path::new(POLICY))?;
        run::run(apt().args(install).args(packages), INSTALL_LIMIT)?;
    }
    let services = packages.iter().filter(|package| SERVICES.contains(package));
    let services: Vec<&str> = services.copied().collect();
    if !services.is_empty() && Path::new("/run/systemd/system").is_dir() {
        let list = services.join(" ");
        println!(
            "No test needs these services; they start when this machine does, unless you run:"
        );
        println!("  sudo systemctl disable {list}");
    }
    Ok(())
}

/// While this lives, installing starts no service.
#[derive(Debug)]
struct NoService(Option<PathBuf>);

impl NoService {
    /// A machine with a policy of its own keeps it.
    fn begin(policy: &Path) -> Result<Self, String> {
        let cannot = |error| format!("{}: {error}", policy.display());
        let made = match OpenOptions::new().write(true).create_new(true).open(policy) {
            Ok(mut file) => {
                let made = NoService(Some(policy.to_owned()));
                file.write_all(NO_SERVICE.as_bytes()).map_err(cannot)?;
                made
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Ours, if a set-up was killed.
                let is_ours = fs::read_to_string(policy).is_ok_and(|text| text == NO_SERVICE);
                NoService(is_ours.then(|| policy.to_owned()))
            }
            Err(error) => return Err(cannot(error)),
        };
        if let Some(policy) = &made.0 {
            run::output(Command::new("chmod").arg("755").arg(policy))?;
        }
        Ok(made)
    }
}

impl Drop for NoService {
    fn drop(&mut self) {
        if let Some(policy) = &self.0 {
            let _ = fs::remove_file(policy);
        }
    }
}

/// apt-get that asks nothing, waits for another apt-get, and forgives a mirror's hiccup.
pub(crate) fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    apt
}

/// Whether a program of this name is found in the search path.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn services_are_not_started_while_something_is_installed() {
        let policy = std::env::temp_dir().join(format!("adieu-policy-{}", std::process::id()));
        let allows = || Command::new(&policy).arg("redis-server").status().unwrap().code();
        for _ in 0..2 {
            let running = NoService::begin(&policy).unwrap();
            assert_eq!(allows(), Some(101));
            // As if it were killed: the next one takes what it has left.
            std::mem::forget(running);
        }
        drop(NoService::begin(&policy).unwrap());
        assert!(!policy.exists());
        // Somebody else's stays.
        fs::write(&policy, "#!/bin/sh\nexit 0\n").unwrap();
        drop(NoService::begin(&policy).unwrap());
        assert!(policy.exists());
        fs::remove_file(policy).unwrap();
    }

    #[test]
    fn each_service_is_a_package_that_is_installed() {
        let is_installed = |name: &&str| PACKAGES.iter().any(|(package, _)| package == name);
        assert!(SERVICES.iter().all(is_installed));
    }

    #[test]
    fn a_removed_package_with_configuration_left_is_missing() {
        let listing = "installed chromium\nconfig-files xvfb\nnot-installed firefox-esr\n";
        let found = parse_installed(listing);
        assert_eq!(found, HashSet::from(["chromium".to_owned()]));
        assert!(!missing(PACKAGES, &found).iter().any(|(package, _)| *package == "chromium"));
        assert_eq!(missing(PACKAGES, &found).len(), PACKAGES.len() - 1);
    }
}
