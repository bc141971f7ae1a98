//! `xtables-monitor --trace`, which reads the kernel's rule traces with code of its own (libnftnl).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use scanlab::net::Family;

use super::Hosts;

/// A generous time limit for short operations.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running monitor on a target; dropping it ends it.
pub struct Monitor {
    child: Child,
    lines: Receiver<String>,
}

impl Hosts {
    /// Starts the monitor on the target, and waits until it listens.
    pub fn monitor(&self, family: Family) -> Monitor {
        let child = self.target.run(move || {
            let mut command = Command::new("stdbuf");
            // Otherwise it would buffer its lines when they go to a pipe.
            command.args(["--output=L", "xtables-monitor", "--trace", &format!("--{family}")]).stdout(Stdio::piped());
            let child = command.spawn().expect("xtables-monitor (hint: it comes with iptables, see .ci/setup)");
            wait_for("xtables-monitor to listen", somebody_listens);
            child
        });
        Monitor::read(child)
    }
}

/// True if a socket of this namespace has joined a group of `NETLINK_NETFILTER` (12). The table of procfs has columns:
/// address, protocol, port, groups.
fn somebody_listens() -> bool {
    let table = fs::read_to_string("/proc/thread-self/net/netlink").expect("procfs");
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns
        .into_iter()
        .any(|columns| columns.get(1) == Some(&"12") && columns.get(3).is_some_and(|groups| *groups != "00000000"))
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Monitor {
    fn read(mut child: Child) -> Monitor {
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Monitor { child, lines }
    }

    /// All lines up to the first one with `last`.
    pub fn lines_until(&self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} before {last:?} in {lines:#?}"));
            if line.contains(last) {
                return lines;
            }
            lines.push(line);
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
