//! The loading of rulesets into a lab: unchanged; if log lines are read through NFLOG, a copy then replaces them.
//!
//! iptables accepts or refuses a ruleset in the same way in every lab of a process: the same program parses the same
//! text, in a fresh namespace. So the first lab with a ruleset loads it unchanged, and any refusal has the line number
//! of the original, and then loads the copy. Labs with the same ruleset wait for the result; later ones load the copy
//! alone. A ruleset that needs no copy is loaded unchanged in every lab.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures_util::future::try_join;
use tokio::runtime::Runtime;

use super::iptables::Iptables;
use super::namespace::Isolated;
use crate::error::{Result, Source};
use crate::lab::log::nflog_copy::NflogCopies;
use crate::net::Family;

/// Loads the rulesets of a new lab.
pub fn load(
    iptables: &Iptables,
    isolated: &Isolated,
    runtime: &Runtime,
    rulesets: &[(Family, &Source)],
    copies: Option<&NflogCopies>,
) -> Result<()> {
    let Some(copies) = copies else { return runtime.block_on(iptables.load(isolated, rulesets)) };
    let copies = copies.changed();
    let has_copy = |family: Family| copies.iter().any(|(of, _)| *of == family);
    let (copied, as_given): (Vec<_>, Vec<_>) = rulesets.iter().partition(|(family, _)| has_copy(*family));
    let answer = answer(iptables, &copied);
    let mut is_taken = answer.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_taken {
        drop(is_taken);
        let both = try_join(iptables.load(isolated, &as_given), iptables.load_copy(isolated, &copies));
        return runtime.block_on(both).map(drop);
    }
    runtime.block_on(iptables.load(isolated, rulesets))?;
    *is_taken = true;
    drop(is_taken);
    runtime.block_on(iptables.load_copy(isolated, &copies))
}

/// Replaces the loaded rulesets; if log lines are read through NFLOG, by their copies.
pub fn reload(
    iptables: &Iptables,
    isolated: &Isolated,
    runtime: &Runtime,
    rulesets: &[(Family, &Source)],
    copies: Option<&NflogCopies>,
) -> Result<()> {
    let Some(copies) = copies else { return runtime.block_on(iptables.load(isolated, rulesets)) };
    let copies = copies.of_all(rulesets);
    let sources: Vec<_> = copies.iter().map(|(family, copy)| (*family, &copy.source)).collect();
    runtime.block_on(iptables.load_copy(isolated, &sources))
}

/// The programs and the rulesets that they load.
type CaptureMode = (Iptables, Vec<(Family, Arc<str>)>);

/// True if these programs are known to accept these rulesets. The first lab holds the lock until it knows; each lab has
/// a thread of its own, so that only labs with the same ruleset wait.
fn answer(iptables: &Iptables, rulesets: &[(Family, &Source)]) -> Arc<Mutex<bool>> {
    static ANSWERS: LazyLock<Mutex<HashMap<CaptureMode, Arc<Mutex<bool>>>>> = LazyLock::new(Mutex::default);
    let texts = rulesets.iter().map(|(family, source)| (*family, Arc::clone(&source.text))).collect();
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(answers.entry((iptables.clone(), texts)).or_default())
}
