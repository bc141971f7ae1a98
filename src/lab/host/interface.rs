//! The prober's end of the link: a TAP or TUN interface, created with `tun-tap`, whose frames or packets this program
//! reads and writes.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use tun_tap::{Iface, Mode};

use super::namespace::Isolated;
use super::wait;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::LinkMode;
use crate::net::InterfaceName;
use crate::sys;

/// The size of the buffer for a frame: an Ethernet header and the largest IP packet.
pub const FRAME_MAX: usize = 14 + 65535;

/// The device that creates interfaces.
pub const DEVICE: &str = "/dev/net/tun";

/// A TAP or TUN interface of the lab's namespace; removed when dropped.
pub struct Interface {
    device: Iface,
    name: InterfaceName,
}

impl Interface {
    /// Creates the interface under the name that the rules use.
    ///
    /// # Errors
    ///
    /// If `/dev/net/tun` cannot be opened, or if the kernel gives the interface another name.
    pub fn create(isolated: &Isolated, name: &InterfaceName, mode: LinkMode) -> Result<Interface> {
        isolated.assert("making the lab's interface")?;
        let mode = match mode {
            LinkMode::Tap => Mode::Tap,
            LinkMode::Tun => Mode::Tun,
        };
        let device = Iface::without_packet_info(name.as_str(), mode).map_err(cannot_create)?;
        if device.name() != name.as_str() {
            let operation = format!("name the lab's interface {name}");
            let source = io::Error::other(format!("the kernel named it {}", device.name()));
            return Err(CannotMeasure::System { operation, source }.into());
        }
        device.set_non_blocking().context("make the lab's interface non-blocking")?;
        Ok(Interface { device, name: name.clone() })
    }

    /// Sends a frame, or on a TUN a packet. The kernel has processed it when this returns.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let written = self.device.send(frame).map_err(gone).context("write a frame to the lab's interface")?;
        assert_eq!(written, frame.len(), "a TAP or TUN interface takes whole frames");
        Ok(())
    }

    /// Like [`Self::send`], for the interface of a tool. A tool may take it down, and frames sent meanwhile are lost,
    /// as on a cable: `tun_get_user` in drivers/net/tun.c returns EIO unless the interface is up.
    pub fn send_if_up(&self, frame: &[u8]) -> Result<()> {
        match self.device.send(frame) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(()),
            sent => sent.map(drop).map_err(gone).context("write a frame to the lab's interface"),
        }
    }

    /// Reads the next frame from the host into `buffer` and returns its length; `None` if there is no frame.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match self.device.recv(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            received => received.map_err(gone).context("read a frame from the lab's interface").map(Some),
        }
    }

    /// Waits for a frame. False if `deadline` has passed.
    pub fn wait(&self, deadline: Instant) -> Result<bool> {
        wait::until_readable(self.as_fd(), deadline).context("wait for a frame from the lab's interface")
    }

    /// The number of frames that the host sent and that did not fit into the interface's queue, since it was created:
    /// `tx_dropped` of `/proc/net/dev`. Each is an answer that the lab did not see.
    pub fn overruns(&self) -> Result<u64> {
        self.counter(TX_DROPPED)
    }

    /// The same for a queue of this length: it was never full unless so many frames were sent. Other frames were
    /// dropped because a tool had taken the interface down, and are lost as on a cable.
    pub fn overruns_of(&self, queue: u32) -> Result<u64> {
        let (taken, dropped) = (self.counter(TX_PACKETS)?, self.overruns()?);
        Ok(if taken + dropped < u64::from(queue) { 0 } else { dropped })
    }

    fn counter(&self, column: usize) -> Result<u64> {
        let table = fs::read_to_string("/proc/thread-self/net/dev").context("read /proc/thread-self/net/dev")?;
        let counter = table.lines().find_map(|line| {
            let counters = line.trim_start().strip_prefix(self.name.as_str())?.strip_prefix(':')?;
            counters.split_ascii_whitespace().nth(column)?.parse().ok()
        });
        counter.ok_or_else(|| io::Error::other("the interface is not listed")).context("read the interface's counters")
    }
}

/// Columns of the counters. There are eight for receive; of those for transmit, `packets` is the second, and `drop` the
/// fourth. A TAP counts a packet when it is read (`tun_put_user` in drivers/net/tun.c).
const TX_PACKETS: usize = 8 + 1;
const TX_DROPPED: usize = 8 + 3;

impl AsFd for Interface {
    fn as_fd(&self) -> BorrowedFd<'_> {
        sys::borrow_fd(self, self.device.as_raw_fd())
    }
}

fn cannot_create(error: io::Error) -> CannotMeasure {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) if error.kind() == ErrorKind::PermissionDenied => {
            CannotMeasure::NoPrivilege { what: "make a TAP or TUN interface", capability: "CAP_NET_ADMIN".to_owned() }
        }
        Ok(_) => CannotMeasure::NoTun(error),
        Err(error) => CannotMeasure::NoTun(error),
    }
}

/// Translates the error of a deleted interface: `tun_get` in drivers/net/tun.c finds none for the descriptor any more.
fn gone(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(nix::libc::EBADFD) => io::Error::other("it is gone: a program in its namespace has deleted it"),
        _ => error,
    }
}
