//! Receive buffers of netlink sockets, large enough for the messages between two reads.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use netlink_sys::Socket;

use crate::error::{Context, Result};

/// The bytes of the messages on a probe and its answer, with the kernel's overhead: thirty messages and more.
const ROOM_OF_A_PROBE: usize = 64 << 10;

/// The number of probes that may be sent before a socket with `granted` bytes is read. An ordinary user may get room
/// for a few only.
pub fn probes_at_once(granted: usize) -> usize {
    (granted / ROOM_OF_A_PROBE).max(1)
}

/// Requests `wanted` bytes, and returns how many the kernel grants (it adds its own overhead, and doubles the requested
/// value: socket(7), SO_RCVBUF). Only `CAP_NET_ADMIN` of the machine can exceed `net.core.rmem_max` (SO_RCVBUFFORCE;
/// that of a user namespace does not count: `sock_setsockopt` in net/core/sock.c). Messages that do not fit are
/// reported as ENOBUFS.
pub fn grow(socket: &Socket, wanted: usize) -> Result<usize> {
    let granted = match setsockopt(socket, sockopt::RcvBufForce, &wanted) {
        Err(Errno::EPERM) => setsockopt(socket, sockopt::RcvBuf, &wanted),
        granted => granted,
    };
    granted.and_then(|()| getsockopt(socket, sockopt::RcvBuf)).context("make room for messages of the kernel")
}
