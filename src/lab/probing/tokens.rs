//! The limit of labs on the whole machine at a time: as in make's jobserver, the first lab of every run needs no token,
//! and each further one needs one, of which there is a fixed number for all runs of a user together. A token is a lock
//! on a file of the [`LockFolder`], so the kernel releases it when a run is killed. A run never has to wait for one
//! that is stopped: its first lab needs no token.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::lab::host::lock_folder::LockFolder;

/// The right to run one more lab; released when dropped.
#[derive(Debug)]
pub struct Token {
    kind: TokenKind,
    _folder: Option<Arc<LockFolder>>,
}

#[derive(Debug)]
enum TokenKind {
    /// The token that every run has.
    Own,
    Shared(#[expect(dead_code, reason = "it is there to be dropped")] Flock<File>),
    /// There is no folder for locks: only the limit of the run itself applies.
    Unlimited,
}

static OWN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The queue of the labs of this process. Only the first one tries to take a lock: forty runs with sixteen labs each
/// that try leave no processor time to the labs that run.
static LINE: Mutex<()> = Mutex::const_new(());

impl Token {
    /// The number of labs at a time that suits this machine; most of a lab's time is spent waiting for the kernel.
    pub fn count() -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (processors * 8).min(64)
    }

    /// Waits for a token. A dropped future leaves the queue.
    pub async fn take() -> Token {
        let Ok(folder) = LockFolder::enter() else { return Token { kind: TokenKind::Unlimited, _folder: None } };
        let _first = LINE.lock().await;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(kind) = try_to_take(&folder) {
                return Token { kind, _folder: Some(folder) };
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if matches!(self.kind, TokenKind::Own) {
            OWN_IS_TAKEN.store(false, Ordering::Release);
        }
    }
}

fn try_to_take(folder: &LockFolder) -> Option<TokenKind> {
    if !OWN_IS_TAKEN.swap(true, Ordering::Acquire) {
        return Some(TokenKind::Own);
    }
    // Every run starts with another file, so that few try the same one.
    let (count, first) = (Token::count(), std::process::id() as usize);
    (0..count).find_map(|number| match try_lock(folder, (first + number) % count) {
        Ok(Some(lock)) => Some(TokenKind::Shared(lock)),
        Ok(None) => None,
        Err(_) => Some(TokenKind::Unlimited),
    })
}

/// Locks a file; `None` if another lab has the lock.
fn try_lock(folder: &LockFolder, number: usize) -> crate::error::Result<Option<Flock<File>>> {
    use crate::error::Context;
    let file = folder.file(&format!("lab-{number}"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).context(format!("lock lab-{number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test of this program that takes tokens.
    #[tokio::test]
    #[ignore = "needs root: cargo test -- --ignored"]
    async fn a_run_has_one_lab_whatever_the_others_have_and_gets_it_back() {
        let first = Token::take().await;
        assert!(matches!(first.kind, TokenKind::Own));
        let second = Token::take().await;
        assert!(!matches!(second.kind, TokenKind::Own));
        drop(first);
        assert!(matches!(Token::take().await.kind, TokenKind::Own));
    }
}
