//! All `unsafe` of the program: calls that no well-kept crate wraps.
#![allow(unsafe_code)]

pub(crate) mod confinement;
pub(crate) mod first_process;
pub(crate) mod mounts;
pub(crate) mod sandbox;
pub(crate) mod signals;

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::libc;

use nix::libc::{AF_PACKET, sockaddr_ll, socklen_t};
use nix::sys::socket::{LinkAddr, SockaddrLike};

/// Borrows a file descriptor for as long as its `owner` is borrowed. `tun-tap` offers `AsRawFd` only.
///
/// # Panics
/// If `fd` is -1.
pub fn borrow_fd<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: `fd` is owned by `_owner`, which is borrowed as long as the result lives, so it stays open; it is not -1,
    // which `BorrowedFd` checks in debug builds and open(2) never returns for an open file.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// The address that binds a packet socket to the interface with this index, see packet(7). `nix` has no constructor for
/// it, and getifaddrs(3) lists none for an interface without a MAC address.
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

/// Reads a socket option into `buffer`, whose content is also the request, and returns the length of the result:
/// getsockopt(2). nix supports options of fixed types only; those of x_tables are lists.
pub fn read_option(socket: BorrowedFd<'_>, level: i32, name: i32, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `buffer`, which is that long and borrowed for the call, and
    // the new length to `length`; any bytes are valid in both.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), std::ptr::from_mut(&mut length))
    };
    if status == 0 { Ok((length as usize).min(buffer.len())) } else { Err(io::Error::last_os_error()) }
}

/// A time of day as calendars show it, see localtime(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarTime {
    /// 0 is January.
    pub month: usize,
    /// From 1.
    pub day: u8,
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 60, since there are leap seconds.
    pub second: u8,
}

/// The time zone of a calendar time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeZone {
    /// The zone of the machine and the user: `TZ`, or `/etc/localtime`.
    Local,
    /// Coordinated universal time.
    Utc,
}

/// The calendar time at `seconds` since 1970; `None` if the year overflows.
pub fn calendar_time(seconds: i64, zone: TimeZone) -> Option<CalendarTime> {
    // A `time_t` has 32 bits on ARMv7 with musl.
    #[allow(clippy::useless_conversion)]
    let seconds = seconds.try_into().ok()?;
    let mut time = std::mem::MaybeUninit::<nix::libc::tm>::uninit();
    let convert = match zone {
        TimeZone::Local => nix::libc::localtime_r,
        TimeZone::Utc => nix::libc::gmtime_r,
    };
    // SAFETY: both pointers are valid for the call, which keeps none of them. It returns the second one after it has
    // filled in what that points to, or null: <https://man7.org/linux/man-pages/man3/localtime.3.html>.
    // localtime_r reads `TZ`; nothing in this program writes the environment.
    let time = unsafe { convert(&seconds, time.as_mut_ptr()).as_ref() }?;
    Some(CalendarTime {
        month: usize::try_from(time.tm_mon).ok()?,
        day: u8::try_from(time.tm_mday).ok()?,
        hour: u8::try_from(time.tm_hour).ok()?,
        minute: u8::try_from(time.tm_min).ok()?,
        second: u8::try_from(time.tm_sec).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_knows_the_last_second_of_a_leap_day() {
        let time = CalendarTime { month: 1, day: 29, hour: 23, minute: 59, second: 59 };
        assert_eq!(calendar_time(951_868_799, TimeZone::Utc), Some(time));
        assert_eq!(calendar_time(i64::MAX, TimeZone::Utc), None);
    }
}
