//! Real CONNECT proxies, tinyproxy and squid, each as a program of a test's own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use testkit::{own_address, wait_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tinyproxy,
    Squid,
}

/// Who may use the proxy. Squid compares names in small letters.
pub(crate) const USER: &str = "aladdin";
pub(crate) const PASSWORD: &str = "open-sesame";

/// Ends the program when it is dropped.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) addr: SocketAddr,
    child: Child,
    config: PathBuf,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.config);
        // Squid's own shared memory, which it would remove itself if it were let.
        let name = self.config.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for file in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&format!("{name}-")) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl Proxy {
    /// The proxies of this machine, each started. They make tunnels to these ports only, and for
    /// the one user. A line that the test run shows names what is missing.
    pub(crate) fn all(ports: &[u16]) -> impl Iterator<Item = Proxy> {
        let kinds = [Kind::Tinyproxy, Kind::Squid].into_iter();
        kinds.filter_map(move |kind| Some(Proxy::start(kind, &kind.installed()?, ports)))
    }

    fn start(kind: Kind, program: &Path, ports: &[u16]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("proxy{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let free = TcpListener::bind(own_address()).and_then(|listener| listener.local_addr());
        let addr = free.expect("a free port, on an address that nobody else binds");
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.conf"));
        fs::write(&config, kind.config(addr, ports)).expect("the configuration");
        let mut command = Command::new(program);
        match kind {
            Kind::Tinyproxy => command.arg("-d").arg("-c").arg(&config),
            // In the foreground, one process; the name keeps it apart from others of its kind.
            Kind::Squid => command.args(["-N", "-n", &name, "-f"]).arg(&config),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the proxy starts");
        let mut proxy = Proxy { kind, addr, child, config };
        wait_until("the proxy listens", || {
            let ended = proxy.child.try_wait().expect("its status");
            assert!(ended.is_none(), "{kind:?} ended: {ended:?}");
            TcpStream::connect(addr).is_ok()
        });
        proxy
    }

    /// Its URL, with these credentials.
    pub(crate) fn url(&self, password: &str) -> String {
        format!("http://{USER}:{password}@{}", self.addr)
    }

    /// Ends it as SIGKILL does: nobody is told but by the kernel.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    fn installed(self) -> Option<PathBuf> {
        let name = match self {
            Kind::Tinyproxy => "tinyproxy",
            Kind::Squid => "squid",
        };
        // Where Debian has what is no command of a user's.
        let path = env::var_os("PATH").unwrap_or_default();
        let dirs = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
        if found.is_none() {
            assert!(env::var_os("CI").is_none(), "{name} is installed by `cargo xtask setup`");
            testkit::skipped(name, "it is not installed; `cargo xtask setup` does that");
        }
        found
    }

    fn config(self, at: SocketAddr, ports: &[u16]) -> String {
        let (ip, at_port) = (at.ip(), at.port());
        let each =
            |front: &str| ports.iter().map(|port| format!("{front}{port}")).collect::<String>();
        match self {
            Kind::Tinyproxy => {
                let served = each("\nConnectPort ");
                format!(
                    "Listen {ip}\nPort {at_port}\nTimeout 600\n\
                     BasicAuth {USER} {PASSWORD}{served}\n"
                )
            }
            Kind::Squid => {
                // A program that is given names and passwords, and reads no file: squid has given
                // up root, and with it the way into this directory.
                let judge = format!(
                    "while read -r said; do case $said in '{USER} {PASSWORD}') echo OK;; \
                     *) echo ERR;; esac; done"
                );
                let served = each(" ");
                format!(
                    "http_port {at}\nvisible_hostname proxy.test\n\
                     pid_filename none\naccess_log none\ncache_log /dev/null\n\
                     cache deny all\nmemory_cache_shared off\nnetdb_filename none\n\
                     pinger_enable off\nshutdown_lifetime 0 seconds\nmax_filedescriptors 256\n\
                     auth_param basic program /bin/sh -c \"{judge}\"\n\
                     auth_param basic children 1 startup=1 idle=1\n\
                     acl known proxy_auth REQUIRED\nhttp_access deny !known\n\
                     acl served port{served}\nhttp_access deny !served\nhttp_access allow all\n"
                )
            }
        }
    }
}
