//! All `unsafe` of the program: calls that no well-kept crate wraps.
#![allow(unsafe_code)]

pub mod first_process;

use std::os::fd::{BorrowedFd, RawFd};

/// Borrows a file descriptor for as long as its `owner` is borrowed. `tun-tap` offers `AsRawFd` only.
///
/// # Panics
/// When `fd` is -1.
pub fn borrow_fd<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: `fd` is owned by `_owner`, which is borrowed as long as the result lives, so it stays open; it is not -1,
    // which `BorrowedFd` checks in debug builds and open(2) never returns for an open file.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
