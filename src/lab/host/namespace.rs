//! A network namespace without a name: a thread enters it, the descriptors that the thread opens keep it alive, and it
//! ends when the last of them is closed. Nothing is mounted, so `kill -9` leaves nothing over.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{CannotMeasure, Context, Result};

/// Runs `work` on a new thread in a fresh network namespace, and waits for it. The thread ends there: no thread of the
/// program ever has to change back to its first namespace.
pub fn in_fresh_namespace<T: Send>(work: impl FnOnce(&Isolated) -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let lab = thread::Builder::new().name("lab".to_owned());
        let thread = lab.spawn_scoped(scope, || work(&Isolated::enter()?)).context("start the lab's thread")?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// A namespace that was entered before, and lives as long as this.
pub struct KeptNamespace(File);

impl KeptNamespace {
    /// The namespace of this thread.
    pub fn of(isolated: &Isolated) -> Result<KeptNamespace> {
        isolated.assert("keeping the namespace")?;
        File::open("/proc/thread-self/ns/net").context("keep the thread's network namespace").map(KeptNamespace)
    }

    /// Runs `work` on a new thread in it, and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce(&Isolated) -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let again = || {
                setns(&self.0, CloneFlags::CLONE_NEWNET).context("enter a network namespace again")?;
                let own = NamespaceId::of_this_thread()?;
                let isolated = Isolated { own, _this_thread_only: std::marker::PhantomData };
                isolated.assert("the namespace that was entered again")?;
                work(&isolated)
            };
            let thread = thread::Builder::new().spawn_scoped(scope, again).context("start a thread of the lab")?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// The proof that this thread is in a network namespace of its own. Functions that change rules, links or sysctls take
/// it as an argument, and check it again with [`Isolated::assert`] before they act.
#[derive(Debug)]
pub struct Isolated {
    own: NamespaceId,
    /// A namespace belongs to a thread, so the proof must not be sent to another one.
    _this_thread_only: std::marker::PhantomData<*const ()>,
}

impl Isolated {
    fn enter() -> Result<Isolated> {
        let before = NamespaceId::of_this_thread()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| match error {
            nix::Error::EPERM => {
                CannotMeasure::NoPrivilege { what: "make a network namespace", capability: "CAP_SYS_ADMIN".to_owned() }
                    .into()
            }
            error => crate::error::Error::from(CannotMeasure::System {
                operation: match error {
                    // Each user has a limit (namespaces(7), `/proc/sys/user`).
                    nix::Error::ENOSPC => "make a network namespace within user.max_net_namespaces".to_owned(),
                    _ => "make a network namespace".to_owned(),
                },
                source: error.into(),
            }),
        })?;
        let own = NamespaceId::of_this_thread()?;
        let isolated = Isolated { own, _this_thread_only: std::marker::PhantomData };
        if own == before {
            return Err(isolated.refuse("the new namespace", format!("{own} is where it came from")));
        }
        isolated.assert("the new namespace")?;
        Ok(isolated)
    }

    /// Checks, before `operation`, that (1) this thread is still in its own namespace, which is neither (2) that of the
    /// program's main thread, (3) nor that of PID 1. An ordinary user cannot read (3), and need not: root of a user
    /// namespace can change nothing in a network namespace that is older than it (user_namespaces(7)).
    pub fn assert(&self, operation: &'static str) -> Result<()> {
        let here = NamespaceId::of_this_thread()?;
        if here != self.own {
            return Err(self.refuse(operation, format!("{here} is not its own {}", self.own)));
        }
        for other in ["/proc/self/ns/net", "/proc/1/ns/net"] {
            match NamespaceId::read(Path::new(other)) {
                Ok(id) if id == here => return Err(self.refuse(operation, format!("{here} is also {other}"))),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn refuse(&self, operation: &'static str, proof: String) -> crate::error::Error {
        CannotMeasure::NotIsolated { operation, proof }.into()
    }
}

/// The identity of a namespace: device and inode of `/proc/PID/ns/net`, see namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NamespaceId {
    device: u64,
    inode: u64,
}

impl std::fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "namespace {} of device {}", self.inode, self.device)
    }
}

impl NamespaceId {
    fn of_this_thread() -> Result<NamespaceId> {
        NamespaceId::read(Path::new("/proc/thread-self/ns/net")).context("look up the thread's network namespace")
    }

    fn read(path: &Path) -> std::io::Result<NamespaceId> {
        let metadata = fs::metadata(path)?;
        Ok(NamespaceId { device: metadata.dev(), inode: metadata.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_namespace_of_its_own_nothing_may_be_loaded() {
        let id = NamespaceId::of_this_thread().unwrap();
        let planted = Isolated { own: id, _this_thread_only: std::marker::PhantomData };
        let error = planted.assert("iptables-restore").unwrap_err().to_string();
        assert!(error.contains("not in a network namespace of its own"), "{error}");
    }
}
