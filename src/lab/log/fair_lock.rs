//! A queue of the threads of one process: first come, first served. A thread gives up if the queue does not advance for
//! a while.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue of threads.
pub struct Queue {
    line: Mutex<WaitList>,
    moved: Condvar,
}

/// The tickets of the waiting threads, of which the first is served; and the number of signs of progress from that one.
struct WaitList {
    tickets: VecDeque<u64>,
    next: u64,
    hopes: u64,
}

/// The front of the queue; dropping it serves the next thread.
pub struct QueueHead<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl Queue {
    /// An empty queue.
    pub const fn new() -> Queue {
        Queue { line: Mutex::new(WaitList { tickets: VecDeque::new(), next: 0, hopes: 0 }), moved: Condvar::new() }
    }

    /// Waits until all earlier threads are done. `None` if the queue has not advanced for as long as `patience`, and
    /// the thread at its front has made no progress.
    pub fn wait(&self, patience: Duration) -> Option<QueueHead<'_>> {
        let mut line = self.line();
        let ticket = line.next;
        line.next += 1;
        line.tickets.push_back(ticket);
        let place = QueueHead { queue: self, ticket };
        while line.tickets.front() != Some(&ticket) {
            let before = line.progress();
            let is_as_it_was = |line: &mut WaitList| line.progress() == before;
            let waited = self.moved.wait_timeout_while(line, patience, is_as_it_was);
            let (moved, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            line = moved;
            if timeout.timed_out() {
                drop(line);
                drop(place);
                return None;
            }
        }
        drop(line);
        Some(place)
    }

    /// The lock is never poisoned: no code that holds it can panic.
    fn line(&self) -> MutexGuard<'_, WaitList> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitList {
    fn progress(&self) -> (Option<u64>, u64) {
        (self.tickets.front().copied(), self.hopes)
    }
}

impl QueueHead<'_> {
    /// Tells the waiting threads that the resource for which this thread waits makes progress.
    pub fn extend_deadline(&self) {
        self.queue.line().hopes += 1;
        self.queue.moved.notify_all();
    }
}

impl Drop for QueueHead<'_> {
    fn drop(&mut self) {
        self.queue.line().tickets.retain(|ticket| *ticket != self.ticket);
        self.queue.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn one_at_a_time() {
        let (queue, inside) = (Queue::new(), Mutex::new(()));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _place = queue.wait(PATIENCE).expect("a place");
                        let _alone = inside.try_lock().expect("nobody else is inside");
                    }
                });
            }
        });
    }

    #[test]
    fn a_waiter_that_times_out_leaves_the_queue() {
        let queue = Queue::new();
        let first = queue.wait(PATIENCE).expect("a place");
        assert!(queue.wait(Duration::ZERO).is_none());
        drop(first);
        assert!(queue.wait(PATIENCE).is_some());
    }

    /// The last one waits for longer than its patience, which starts again with each thread before it.
    #[test]
    fn a_line_that_moves_is_waited_in() {
        let (queue, patience) = (Queue::new(), Duration::from_millis(500));
        let first = queue.wait(patience).expect("a place");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _place = queue.wait(patience).expect("the line moves");
                    thread::sleep(patience * 2 / 5);
                });
            }
            drop(first);
        });
    }
    #[test]
    fn a_waiter_with_progress_ahead_waits_beyond_its_timeout() {
        let (queue, patience) = (Queue::new(), Duration::from_millis(500));
        let first = queue.wait(patience).expect("a place");
        thread::scope(|scope| {
            scope.spawn(|| assert!(queue.wait(patience).is_some(), "the first one gave hope"));
            for _ in 0..4 {
                thread::sleep(patience * 2 / 5);
                first.extend_deadline();
            }
            drop(first);
        });
    }
}
