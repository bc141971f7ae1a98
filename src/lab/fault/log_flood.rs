//! What log lines are read from, overrun for real: canaries are logged until the kernel's ring has wrapped, or until a
//! socket has no room for more, and nobody reads.

use super::Sabotage;
use crate::error::Result;
use crate::lab::log::kernel_log::KernelLog;
use crate::net::Family;
use crate::probe::Ends;
use crate::probe::canary;

/// Lines after which the ring is taken to be too large: it holds 600 lines by default, and 150,000 at the most that a
/// kernel is configured for (`LOG_BUF_SHIFT` 25).
const MOST: u32 = 1 << 18;

/// Lines between two looks.
const STEP: u32 = 256;

/// The numbers of these canaries; those of the lab count from 1.
const FIRST: u32 = 0x8000_0000;

/// More packets than a socket that was starved has room for: it holds two or three.
const OVERFILLING: u32 = 64;

/// Has packet after packet logged to a socket that has no room for them. Its reader meets the loss by itself.
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

/// Has line after line logged, until the kernel says that those which came first are overwritten.
///
/// A reader of its own watches for that, so that the lab's reader finds out by itself.
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
