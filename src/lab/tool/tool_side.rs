//! The tool's end of the relay: a second fresh network namespace that has only an interface with the prober's
//! addresses. Packets of the tool can go nowhere but into the relay.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::running_tool::{RunningTool, ToolCommand};
use crate::error::{CannotMeasure, Result};
use crate::lab::host::interface::Interface;
use crate::lab::host::namespace::Isolated;
use crate::lab::host::netcfg::{self, LinkSetup};
use crate::lab::host::other_end::{self, runtime, turned, turned_link};
use crate::net::InterfaceName;

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
    /// The link, as the host sees it.
    pub link: LinkSetup<'a>,
}

/// The length of the queue of frames from the tool to the relay, if the kernel allows it: more than all ports of both
/// protocols. A full queue does not slow down a tool, because the kernel counts a frame as sent when it is queued.
const QUEUE: u32 = 1 << 18;

/// Makes the tool's end, starts the tool, passes both to the relay, and waits until the relay is `done`: the tool ends
/// with this thread.
///
/// # Errors
///
/// If a frame of the tool did not fit into the queue.
pub fn run(isolated: &Isolated, setup: ToolSetup, ready: SyncSender<ToolEnd>, done: Receiver<()>) -> Result<()> {
    let tap = Arc::new(other_end::create(isolated, setup.link, &[])?);
    configure(isolated, setup.link)?;
    let tool = RunningTool::start(isolated, setup.command)?;
    // The receiver is gone if there is no relay; the next line returns at once then.
    let _ = ready.send(ToolEnd { tap: Arc::clone(&tap), tool });
    // Nothing is ever sent: `recv` returns when the relay drops the sender.
    let _ = done.recv();
    match overruns(&tap, setup.link.interface)? {
        0 => Ok(()),
        lost => {
            let queue = netcfg::queue_length(&runtime()?, setup.link.interface)?;
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

fn configure(isolated: &Isolated, link: LinkSetup) -> Result<()> {
    let runtime = runtime()?;
    netcfg::widen_queue(isolated, &runtime, link.interface, QUEUE)?;
    netcfg::forget_neighbours(isolated, &runtime, turned_link(link, &turned(link.addresses)))
}
