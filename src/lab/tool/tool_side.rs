//! The tool's end of the relay: a second fresh network namespace that has only an interface with the prober's
//! addresses. Packets of the tool can go nowhere but into the relay.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};

use super::running_tool::{RunningTool, ToolCommand};
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::LinkMode;
use crate::lab::host::interface::{FRAME_MAX, Interface};
use crate::lab::host::namespace::Isolated;
use crate::lab::host::netcfg::{self, LinkSetup};
use crate::lab::host::pinned_sysctls;
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, Family, InterfaceName, Mac, Subnet};

/// The tool's end, for use by the relay.
pub struct ToolEnd {
    /// The interface.
    pub tap: Arc<Interface>,
    /// The running tool.
    pub tool: RunningTool,
}

/// The configuration of the tool's end.
#[derive(Debug, Clone, Copy)]
pub struct ToolSetup<'a> {
    /// The command to run.
    pub command: &'a ToolCommand,
    /// The interface's name.
    pub interface: &'a InterfaceName,
    /// Its MAC address.
    pub mac: Mac,
    /// The host's MAC address.
    pub host: Mac,
    /// Addresses of both ends, as the host sees them.
    pub addresses: &'a Addresses,
    /// The families to set up.
    pub families: &'a [Family],
}

/// The length of the queue of frames from the tool to the relay, if the kernel allows it: more than all ports of both
/// protocols. A full queue does not slow down a tool, because the kernel counts a frame as sent when it is queued.
const QUEUE: u32 = 1 << 18;

/// The time limit for an IPv6 address, on a machine that is busy with other work.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the tool's end, starts the tool, passes both to the relay, and waits until the relay is `done`: the tool ends
/// with this thread.
///
/// # Errors
///
/// If a frame of the tool did not fit into the queue.
pub fn run(isolated: &Isolated, setup: ToolSetup, ready: SyncSender<ToolEnd>, done: Receiver<()>) -> Result<()> {
    pinned_sysctls::pin(isolated, &Sysctls::default())?;
    let tap = Arc::new(Interface::create(isolated, setup.interface, LinkMode::Tap)?);
    configure(isolated, setup)?;
    open_low_ports(isolated)?;
    discard_pending(&tap)?;
    let tool = RunningTool::start(isolated, setup.command)?;
    // The receiver is gone if there is no relay; the next line returns at once then.
    let _ = ready.send(ToolEnd { tap: Arc::clone(&tap), tool });
    // Nothing is ever sent: `recv` returns when the relay drops the sender.
    let _ = done.recv();
    match overruns(&tap, setup.interface)? {
        0 => Ok(()),
        lost => {
            let queue = netcfg::queue_length(&runtime()?, setup.interface)?;
            let evidence = format!("{lost} frames of the tool did not fit into its queue of {queue}");
            Err(CannotMeasure::Loss { instrument: "relay", evidence }.into())
        }
    }
}

/// The number of lost frames for the current queue length: the tool may have made its queue shorter.
fn overruns(tap: &Interface, interface: &InterfaceName) -> Result<u64> {
    if tap.overruns()? == 0 {
        return Ok(0);
    }
    tap.overruns_of(netcfg::queue_length(&runtime()?, interface)?)
}

fn runtime() -> Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build().context("start the tool's runtime")
}

fn configure(isolated: &Isolated, setup: ToolSetup) -> Result<()> {
    let runtime = runtime()?;
    let addresses = turned(setup.addresses);
    let (interface, families) = (setup.interface, setup.families);
    let mode = LinkMode::Tap;
    let link = LinkSetup { interface, mode, host: setup.mac, prober: setup.host, addresses: &addresses, families };
    netcfg::widen_queue(isolated, &runtime, interface, QUEUE)?;
    netcfg::set_up(isolated, &runtime, link)?;
    netcfg::forget_neighbours(isolated, &runtime, link)?;
    wait_for_addresses()
}

/// The same link as seen from the other end.
fn turned(addresses: &Addresses) -> Addresses {
    let Addresses { v4, v6 } = *addresses;
    Addresses {
        v4: Subnet { host: v4.prober, prober: v4.host, ..v4 },
        v6: Subnet { host: v6.prober, prober: v6.host, ..v6 },
    }
}

/// Waits until no address is tentative, because such an address cannot be a source. Columns of if_inet6: address,
/// index, prefix length, scope, flags.
fn wait_for_addresses() -> Result<()> {
    const TABLE: &str = "/proc/thread-self/net/if_inet6";
    const TENTATIVE: u8 = 0x40;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Without IPv6 there is no such file, and no address to wait for.
        let table = fs::read_to_string(TABLE).unwrap_or_default();
        let flags = |line: &str| u8::from_str_radix(line.split_ascii_whitespace().nth(4)?, 16).ok();
        if !table.lines().filter_map(flags).any(|flags| flags & TENTATIVE != 0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let what = "the tool's IPv6 address".to_owned();
            return Err(CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the tool bind low ports, as `nmap -sT -g 53` does: this needs a capability that the tool does not have, or
/// ip_unprivileged_port_start of ip(7), which each network namespace has for itself since Linux 4.11.
fn open_low_ports(isolated: &Isolated) -> Result<()> {
    isolated.assert("the tool's sysctls")?;
    match fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => written.context("let the tool bind low ports"),
    }
}

/// Discards the packets that the kernel sent when the interface came up.
fn discard_pending(tap: &Interface) -> Result<()> {
    let mut buffer = vec![0; FRAME_MAX];
    while tap.receive(&mut buffer)?.is_some() {}
    Ok(())
}
