//! How many labs stand at a time on the whole machine: as in make's jobserver, the first lab of every run needs nothing, and
//! each further one a token, of which there are so many for all runs of a user together. A token is a lock on a file of the
//! [`LockFolder`], so the kernel gives it back when a run is killed. Nobody waits for a run that is stopped: the
//! first lab of each run is its own.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::lab::host::lock_folder::LockFolder;

/// The right to have one more lab; given back when dropped.
#[derive(Debug)]
pub struct Token {
    kind: TokenKind,
    _folder: Option<Arc<LockFolder>>,
}

#[derive(Debug)]
enum TokenKind {
    /// The one that every run has.
    Own,
    Shared(#[expect(dead_code, reason = "it is there to be dropped")] Flock<File>),
    /// There is no folder for locks: the run's own limit has to do.
    Unlimited,
}

static OWN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Labs of this process wait in line, and only the first asks: forty runs that ask for sixteen labs each leave no time to
/// those that stand.
static LINE: Mutex<()> = Mutex::const_new(());

impl Token {
    /// Labs at a time that this machine does well; most of a lab's time is spent waiting for the kernel.
    pub fn count() -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (processors * 8).min(64)
    }

    /// Waits for a token. Whoever drops the future leaves the line.
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
    // Every run looks in an order of its own, so that few meet at the same file.
    let (count, first) = (Token::count(), std::process::id() as usize);
    (0..count).find_map(|number| match try_lock(folder, (first + number) % count) {
        Ok(Some(lock)) => Some(TokenKind::Shared(lock)),
        Ok(None) => None,
        Err(_) => Some(TokenKind::Unlimited),
    })
}

/// `None` if another lab has it.
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

    /// The one test of this program that takes tokens.
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
