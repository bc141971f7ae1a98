//! Waiting for a readable descriptor, with a deadline.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `source` has something to read. False when `deadline` has passed.
pub fn until_readable(source: BorrowedFd, deadline: Instant) -> nix::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(source, PollFlags::POLLIN)], timeout)? > 0)
}
