//! Rulesets that were admitted before: each lab of a run loads the same text, and some load it again for each check.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Terms;
use crate::net::Family;

/// Hashes of the texts that were admitted in this process: a run over mutants admits thousands of them. The key of the
/// hash is random, so that collisions cannot be constructed.
#[derive(Default)]
struct Admitted {
    key: RandomState,
    hashes: Mutex<HashSet<u64>>,
}

static ADMITTED: LazyLock<Admitted> = LazyLock::new(Admitted::default);

/// Calls `admit` unless the same text was admitted before under the same terms.
pub fn once<E>(terms: Terms, family: Family, text: &str, admit: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let hash = ADMITTED.key.hash_one((terms, family, text));
    let hashes = || ADMITTED.hashes.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = hashes().contains(&hash);
    if !is_known {
        admit()?;
        hashes().insert(hash);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::Limits;
    use super::*;

    #[test]
    fn a_text_is_read_once_if_it_is_admitted_and_each_time_if_it_is_refused() {
        let terms = Terms { limits: Limits::USUAL, bridge_filter: true };
        let ask = |terms, family, text: &str, answer: Result<(), ()>| {
            let is_read = Cell::new(false);
            let admit = || {
                is_read.set(true);
                answer
            };
            (once(terms, family, text, admit), is_read.get())
        };
        let text = "# of this test alone\n";
        assert_eq!(ask(terms, Family::Ipv4, text, Err(())), (Err(()), true));
        assert_eq!(ask(terms, Family::Ipv4, text, Ok(())), (Ok(()), true));
        assert_eq!(ask(terms, Family::Ipv4, text, Err(())), (Ok(()), false));
        assert_eq!(ask(terms, Family::Ipv6, text, Err(())), (Err(()), true));
        assert_eq!(ask(terms, Family::Ipv4, "# another\n", Err(())), (Err(()), true));
        for terms in [Terms { limits: Limits::LARGE, ..terms }, Terms { bridge_filter: false, ..terms }] {
            assert_eq!(ask(terms, Family::Ipv4, text, Err(())), (Err(()), true));
        }
    }
}
