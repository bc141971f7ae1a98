//! How rulesets get into a lab: as given; and where log lines come through NFLOG, a copy then takes their place.
//!
//! Whether iptables takes a ruleset is the same in every lab of a process: the same program reads the same text, in a
//! namespace as fresh as the last one. So the first lab that brings a ruleset loads it as given, where it may be refused
//! at the line that its author wrote, and then the copy. Labs that bring the same meanwhile wait for the answer; those
//! behind them load the copy alone. What has no copy is loaded as given in every lab.

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

/// Loads rulesets in the place of those that are there; of their LOG rules the copies, where lines come by those.
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

/// Who reads which rulesets.
type CaptureMode = (Iptables, Vec<(Family, Arc<str>)>);

/// Whether these programs are known to take these rulesets. Whoever finds out holds the lock meanwhile: a lab has a
/// thread of its own, so nobody else is kept waiting.
fn answer(iptables: &Iptables, rulesets: &[(Family, &Source)]) -> Arc<Mutex<bool>> {
    static ANSWERS: LazyLock<Mutex<HashMap<CaptureMode, Arc<Mutex<bool>>>>> = LazyLock::new(Mutex::default);
    let texts = rulesets.iter().map(|(family, source)| (*family, Arc::clone(&source.text))).collect();
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(answers.entry((iptables.clone(), texts)).or_default())
}
