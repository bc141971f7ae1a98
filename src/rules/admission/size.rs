//! The length of a ruleset: lines are counted without being parsed.

use super::{Limits, RAISE};
use crate::error::{InputError, Source};

/// The maximum number of tables: five exist, and one may be declared repeatedly.
const MOST_TABLES: usize = 100;

/// Refuses too many rules, chains or tables. A parsed rule needs about a kilobyte of memory, so this comes first.
pub fn admit(limits: Limits, ruleset: &Source) -> Result<(), InputError> {
    let (mut rules, mut chains, mut tables) = (0, 0, 0);
    for (at, line) in ruleset.text.lines().enumerate() {
        let line = line.trim_end();
        let refuse = |problem, hint: &str| Err(ruleset.error(ruleset.span_of_line(at + 1), problem, hint));
        let count = match line.as_bytes().first() {
            Some(b'*') => &mut tables,
            Some(b':') => &mut chains,
            None | Some(b'#') => continue,
            Some(_) if line == "COMMIT" => continue,
            Some(_) => &mut rules,
        };
        *count += 1;
        if rules > limits.rules {
            return refuse(format!("this ruleset makes more than {} rules", limits.rules), RAISE);
        }
        if chains > limits.rules {
            return refuse(format!("this ruleset declares more than {} chains", limits.rules), RAISE);
        }
        // Each COMMIT occupies the kernel for milliseconds, however little it loads.
        if tables > MOST_TABLES {
            let hint = "put all rules of a table between one `*table` and its COMMIT";
            return refuse(format!("this ruleset loads more than {MOST_TABLES} tables"), hint);
        }
    }
    Ok(())
}
