//! The errors of a lab that cannot measure, with their messages.

use std::io;

use nix::errno::Errno;

use super::UserNamespaceDenied;
use crate::net::Family;

/// The lab cannot measure here, or its measurements cannot be trusted. Never a verdict on a ruleset.
#[derive(Debug, thiserror::Error)]
pub enum CannotMeasure {
    /// A capability that the lab needs is missing.
    #[error("no privilege to {what}: capability {capability} is missing (hint: run as root, for example with sudo)")]
    NoPrivilege {
        /// The step that needs it.
        what: &'static str,
        /// Its name, see capabilities(7).
        capability: String,
    },
    /// The lab of an ordinary user needs a user namespace, and the kernel permits none.
    #[error(
        "no privilege to build a lab, and no user namespace for it: failed to {operation}: {source} (hint: {obstacle})"
    )]
    NoUserNamespace {
        /// The step that failed.
        operation: &'static str,
        /// Its error.
        #[source]
        source: io::Error,
        /// The obstacle.
        obstacle: UserNamespaceDenied,
    },
    /// `/dev/net/tun` cannot be opened.
    #[error("cannot open /dev/net/tun: {0} (hint: {hint})", hint = tun_hint(.0))]
    NoTun(#[source] io::Error),
    /// Legacy iptables cannot use a table, since its module is not loaded.
    #[error("x_tables has no table `{table}` here: {said} (hint: `sudo modprobe {module}`, or use --iptables nft)")]
    NoTable {
        /// The table.
        table: String,
        /// The kernel module of the table.
        module: String,
        /// The message of iptables.
        said: String,
    },
    /// A program that the lab runs is not installed.
    #[error("{program} is not installed (hint: `apt-get install {package}`)")]
    NoProgram {
        /// Its name.
        program: String,
        /// The package of Debian that has it.
        package: &'static str,
    },
    /// A program failed for a reason of its own, so nothing is known of the ruleset.
    #[error(
        "{program} failed, whatever the ruleset says: {problem} (hint: does it work by itself, and does the machine \
         have free memory?)"
    )]
    ProgramFailed {
        /// Its name.
        program: String,
        /// The failure.
        problem: String,
    },
    /// A sysctl that affects probes has another value than the lab needs, and may not be written here.
    #[error(
        "{name} is {value}, must be {wanted}, and may not be written here: {source} (hint: run as root; in a container, \
         /proc/sys must be writable: `--privileged`)"
    )]
    NotPinned {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// The value that the lab needs.
        wanted: String,
        /// The reason why it cannot be written.
        #[source]
        source: io::Error,
    },
    /// A sysctl that the user set does not exist in the lab.
    #[error("this kernel has no sysctl {name} in a network namespace (hint: check its name and its interface)")]
    NoSysctl {
        /// Its name.
        name: String,
    },
    /// A call to the kernel failed.
    #[error("failed to {operation}: {source}{hint}", hint = files_hint(source))]
    System {
        /// The operation and its object.
        operation: String,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The lab's thread is still in the namespace of the host: nothing was loaded.
    #[error("refused to go on in {operation}: the lab is not in a network namespace of its own ({proof})")]
    NotIsolated {
        /// The operation that was refused.
        operation: &'static str,
        /// The observation that refuted the isolation.
        proof: String,
    },
    /// An instrument did not observe a known event.
    #[error("the {instrument} is blind: {evidence} (hint: `scanlab doctor` lists what this machine is missing)")]
    Blind {
        /// The instrument.
        instrument: &'static str,
        /// The event that it missed.
        evidence: String,
    },
    /// An event was lost before it could be read.
    #[error("the {instrument} lost records: {evidence} (hint: the machine may be overloaded; run it again alone)")]
    Loss {
        /// The instrument.
        instrument: &'static str,
        /// The sign of the loss.
        evidence: String,
    },
    /// A condition did not come true in time.
    #[error("{what} did not happen within {seconds} s (hint: the machine may be overloaded; run it again alone)")]
    Deadline {
        /// The condition.
        what: String,
        /// The deadline, in seconds.
        seconds: u64,
    },
    /// Two instruments disagree on one probe.
    #[error("the instruments disagree: {0}")]
    Disagreement(String),
    /// A rule logs so little of a packet that no probe can be identified in it.
    #[error(
        "an NFLOG rule of group {group} with the prefix `{}` logs only {bytes} bytes of a packet, too few to recognise \
         the probe (hint: raise its --nflog-size to 128, or remove it)",
        prefix.escape_debug()
    )]
    CutShort {
        /// The rule's group.
        group: u16,
        /// Its prefix.
        prefix: String,
        /// The number of bytes that it logs.
        bytes: usize,
    },
    /// The paths of packets are not available here.
    #[error("no path of a packet is known here: {why} (hint: use --iptables nft)")]
    NoPaths {
        /// The reason.
        why: String,
    },
    /// The family is not available on this machine.
    #[error(
        "this machine has no {} (hint: `ipv6.disable=1` on the kernel's command line disables IPv6; run it on a \
         machine that has it)",
        family.title()
    )]
    NoFamily {
        /// The family.
        family: Family,
    },
    /// A signal interrupted the run.
    #[error("interrupted by {0}: the run is not complete")]
    Interrupted(&'static str),
}

fn tun_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES) => {
            "`sudo chmod 666 /dev/net/tun`, and for good a udev rule: `KERNEL==\"tun\", MODE=\"0666\"`; or run as root"
        }
        _ => "`modprobe tun`; in a container: `--device /dev/net/tun --cap-add NET_ADMIN`",
    }
}

/// The hint for EMFILE and ENFILE, after any operation.
fn files_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => " (hint: raise the limit of open files, see `ulimit -n`)",
        _ => "",
    }
}
