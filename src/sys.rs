//! All `unsafe` of the program: calls that no well-kept crate wraps.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::libc;

use nix::libc::{AF_PACKET, sockaddr_ll, socklen_t};
use nix::sys::socket::{LinkAddr, SockaddrLike};

/// Borrows a file descriptor for as long as its `owner` is borrowed. `tun-tap` offers `AsRawFd` only.
///
/// # Panics
/// When `fd` is -1.
pub fn borrow_fd<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: `fd` is owned by `_owner`, which is borrowed as long as the result lives, so it stays open; it is not -1,
    // which `BorrowedFd` checks in debug builds and open(2) never returns for an open file.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The address that ties a packet socket to the interface with this index, see packet(7). `nix` makes none itself, and
/// getifaddrs(3) lists none for an interface without a MAC address.
pub fn link_address(index: u32) -> LinkAddr {
    let address = sockaddr_ll {
        sll_family: AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = mem::size_of_val(&address) as socklen_t;
    // SAFETY: the pointer is to a whole `sockaddr_ll`, of the length that is given, which lives until this returns.
    let copied = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    copied.expect("the address is one of a link")
}

/// Reads a socket option into `buffer`, whose content goes to the kernel first, and tells how many bytes are there now:
/// getsockopt(2). nix knows options of fixed types only; those of x_tables are lists.
pub fn read_option(socket: BorrowedFd<'_>, level: i32, name: i32, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `buffer`, which is that long and borrowed for the call, and
    // the new length to `length`; any bytes are valid in both.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), std::ptr::from_mut(&mut length))
    };
    if status == 0 { Ok((length as usize).min(buffer.len())) } else { Err(io::Error::last_os_error()) }
}
