//! Room for what the kernel tells over netlink, between two readings.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use netlink_sys::Socket;

use crate::error::{Context, Result};

/// What is told of a probe and its answer takes so many bytes, with the kernel's own overhead: thirty messages and more.
const ROOM_OF_A_PROBE: usize = 64 << 10;

/// How many probes may be sent before a socket with `granted` bytes is read. An ordinary user may get room for a few only.
pub fn probes_at_once(granted: usize) -> usize {
    (granted / ROOM_OF_A_PROBE).max(1)
}

/// Asks for `wanted` bytes, and tells how many the kernel grants (it counts its own overhead, and doubles what is asked
/// for: socket(7), SO_RCVBUF). Only `CAP_NET_ADMIN` of the machine goes beyond `net.core.rmem_max` (SO_RCVBUFFORCE; a user
/// namespace's does not count: `sock_setsockopt` in net/core/sock.c). What does not fit is told as ENOBUFS.
pub fn grow(socket: &Socket, wanted: usize) -> Result<usize> {
    let granted = match setsockopt(socket, sockopt::RcvBufForce, &wanted) {
        Err(Errno::EPERM) => setsockopt(socket, sockopt::RcvBuf, &wanted),
        granted => granted,
    };
    granted.and_then(|()| getsockopt(socket, sockopt::RcvBuf)).context("make room for what the kernel tells")
}
