//! A line in which the threads of one process wait: first come, first served, and nobody waits beyond his deadline.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A line.
pub struct Queue {
    line: Mutex<Line>,
    moved: Condvar,
}

/// Tickets of those who wait, the first being the one who is served.
struct Line {
    tickets: VecDeque<u64>,
    next: u64,
}

/// The front of the line; whoever is next has it when this is dropped.
pub struct Place<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl Queue {
    /// Nobody waits.
    pub const fn new() -> Queue {
        Queue { line: Mutex::new(Line { tickets: VecDeque::new(), next: 0 }), moved: Condvar::new() }
    }

    /// Waits until everybody before is done. None when `deadline` comes first.
    pub fn wait(&self, deadline: Instant) -> Option<Place<'_>> {
        let mut line = self.line();
        let ticket = line.next;
        line.next += 1;
        line.tickets.push_back(ticket);
        let place = Place { queue: self, ticket };
        while line.tickets.front() != Some(&ticket) {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            let Some(left) = left else {
                drop(line);
                drop(place);
                return None;
            };
            line = self.moved.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(line);
        Some(place)
    }

    /// Nothing that holds the line can panic.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.line().tickets.retain(|ticket| *ticket != self.ticket);
        self.queue.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn one_at_a_time() {
        let (queue, inside) = (Queue::new(), Mutex::new(()));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _place = queue.wait(soon()).expect("a place");
                        let _alone = inside.try_lock().expect("nobody else is inside");
                    }
                });
            }
        });
    }

    #[test]
    fn who_comes_too_late_leaves_the_line() {
        let queue = Queue::new();
        let first = queue.wait(soon()).expect("a place");
        assert!(queue.wait(Instant::now()).is_none());
        drop(first);
        assert!(queue.wait(soon()).is_some());
    }
}
