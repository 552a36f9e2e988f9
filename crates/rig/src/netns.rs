//! Networks of their own: a bridge on this machine, and namespaces at it in which nodes run.
//!
//! It needs root, iproute2 and iptables.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::reserve::{Reserved, reserve};
use crate::{skipped, tell_skipped};

/// Networks of 256 addresses, out of the range for benchmarks (RFC 2544): 198.19.0.0/16.
const NETWORKS: std::ops::Range<u32> = 0..256;

/// A network that this machine is in, with a bridge. Only this machine and the namespaces are.
///
/// Removed when it is dropped; its namespaces are dropped before.
#[derive(Debug)]
pub struct Network {
    number: Reserved,
    hosts: AtomicU8,
}

/// A machine of that network, as far as a process can see: it has interfaces, addresses, routes and
/// ports of its own.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The end of its cable at the bridge.
    cable: String,
    network: u32,
    host: u8,
}

impl Network {
    /// `None`, and a line that the test run shows, where this machine does not let us.
    ///
    /// # Panics
    /// If the process is root in CI, and still may not.
    #[must_use]
    pub fn new(what: &str) -> Option<Self> {
        let number = reserve("network", &NETWORKS, |_| true);
        let network = Network { number, hosts: AtomicU8::new(2) };
        let (bridge, address) = (network.bridge(), network.address());
        // Left by a process that was killed.
        let _ = run(&format!("ip link del {bridge}"));
        let steps = [
            format!("ip link add {bridge} type bridge"),
            format!("ip addr add {address}/24 dev {bridge}"),
            format!("ip link set {bridge} up"),
            // Rules can be made.
            "iptables --version".into(),
        ];
        match steps.iter().try_for_each(|step| run(step)) {
            Ok(()) => Some(network),
            // In CI root has to be allowed: else its tests would be skipped, unseen.
            Err(why) if rustix::process::getuid().is_root() => {
                skipped(what, &why);
                None
            }
            Err(why) => {
                tell_skipped(what, &format!("{why} (needs root, iproute2 and iptables)"));
                None
            }
        }
    }

    /// The address of this machine: for servers that the namespaces are to reach.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        address(self.number.number, 1)
    }

    /// One more machine.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        let (network, host) = (self.number.number, self.hosts.fetch_add(1, SeqCst));
        assert!(host < 255, "the network is full");
        let name = format!("rig-{network}-{host}");
        let cable = format!("rig{network}c{host}");
        let namespace = Namespace { name, cable, network, host };
        let Namespace { name, cable, .. } = &namespace;
        // Left by a process that was killed.
        let _ = run(&format!("ip netns del {name}"));
        let address = namespace.address();
        let steps = [
            format!("ip netns add {name}"),
            format!("ip link add {cable} type veth peer name eth0 netns {name}"),
            format!("ip link set {cable} master {} up", self.bridge()),
            format!("ip -n {name} addr add {address}/24 dev eth0"),
            format!("ip -n {name} link set lo up"),
            format!("ip -n {name} link set eth0 up"),
        ];
        steps.iter().try_for_each(|step| run(step)).expect("a namespace");
        namespace
    }

    fn bridge(&self) -> String {
        format!("rig{}", self.number.number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run(&format!("ip link del {}", self.bridge()));
    }
}

impl Namespace {
    /// Its address in the network.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        address(self.network, self.host)
    }

    /// A command that runs this program inside; its process id is that of the program.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs something on a thread whose new sockets belong to the namespace.
    ///
    /// # Panics
    /// If it panics.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let entry = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        let act = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(entry.as_fd(), network).expect("a thread that moves");
            act()
        };
        thread::scope(|scope| {
            let acting = scope.spawn(act);
            acting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// From now on no packet passes between it and this address, in both directions. Nobody is
    /// told.
    ///
    /// # Panics
    /// If the rules cannot be made.
    pub fn cut_off(&self, from: IpAddr) {
        self.rule(&format!("-I INPUT -s {from} -j DROP"));
        self.rule(&format!("-I OUTPUT -d {from} -j DROP"));
    }

    /// From now on no packet comes in or goes out, but those within itself. Nobody is told.
    ///
    /// # Panics
    /// If the rules cannot be made.
    pub fn isolate(&self) {
        self.rule("-I INPUT -i eth0 -j DROP");
        self.rule("-I OUTPUT -o eth0 -j DROP");
    }

    /// The end of [`Namespace::cut_off`] and [`Namespace::isolate`].
    ///
    /// # Panics
    /// If the rules cannot be removed.
    pub fn reconnect(&self) {
        self.rule("-F");
    }

    /// Its network card is down: its kernel knows, the other side does not.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn link_down(&self) {
        run(&format!("ip -n {} link set eth0 down", self.name)).expect("a card that is down");
    }

    /// Its network card is up again.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn link_up(&self) {
        run(&format!("ip -n {} link set eth0 up", self.name)).expect("a card that is up");
    }

    fn rule(&self, rule: &str) {
        run(&format!("ip netns exec {} iptables -w {rule}", self.name)).expect("a rule");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A process that still runs inside would keep it, and its end of the cable.
        let _ = run(&format!("ip link del {}", self.cable));
        let _ = run(&format!("ip netns del {}", self.name));
    }
}

fn address(network: u32, host: u8) -> IpAddr {
    let network = u8::try_from(network).expect("one of 256 networks");
    Ipv4Addr::new(198, 19, network, host).into()
}

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap_or_default());
    let output = program.args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`{command}` cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`{command}`: {}", said.trim())) }
}
