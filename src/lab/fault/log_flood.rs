//! A real overrun of the log: canaries are logged until the kernel's ring buffer has wrapped, or until a socket has no
//! room for more, while the lab does not read.

use super::Sabotage;
use crate::error::Result;
use crate::lab::log::kernel_log::KernelLog;
use crate::net::Family;
use crate::probe::Ends;
use crate::probe::canary;

/// The number of lines after which the ring buffer counts as too large: it holds 600 lines by default, and at most
/// 150,000 in any kernel configuration (`LOG_BUF_SHIFT` 25).
const MOST: u32 = 1 << 18;

/// Lines between two checks for an overrun.
const STEP: u32 = 256;

/// The numbers of these canaries; those of the lab count from 1.
const FIRST: u32 = 0x8000_0000;

/// More packets than fit into a socket whose buffer was made small: it holds two or three.
const OVERFILLING: u32 = 64;

/// Makes the kernel log packets to a socket that has no room for them. The lab's reader notices the loss by itself.
pub fn overfill(
    sabotage: &Sabotage,
    host: std::net::Ipv4Addr,
    ends: &Ends,
    send: impl Fn(&[u8]) -> Result<()>,
) -> Result<()> {
    for number in 0..OVERFILLING {
        send(&canary::frame(canary::flow(Family::Ipv4, host.into(), FIRST + number), ends))?;
        sabotage.plant(1);
    }
    Ok(())
}

/// Makes the kernel log lines until it reports that the oldest ones are overwritten.
///
/// A separate reader watches for that, so that the lab's reader has to notice the overrun by itself.
pub fn overrun(
    sabotage: &Sabotage,
    host: std::net::Ipv4Addr,
    ends: &Ends,
    send: impl Fn(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut watcher = KernelLog::open()?;
    for number in 0..MOST {
        send(&canary::frame(canary::flow(Family::Ipv4, host.into(), FIRST + number), ends))?;
        sabotage.plant(1);
        if number % STEP == STEP - 1 && watcher.has_been_overrun()? {
            sabotage.meet();
            return Ok(());
        }
    }
    sabotage.decline(format!("the kernel's log holds more than {MOST} lines"));
    Ok(())
}
