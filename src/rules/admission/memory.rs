//! The kernel memory that a ruleset needs: it is not charged to a service or container, whatever their limits.
//!
//! Measured with 300 to 5,000 rules in a network namespace of Linux 6.18 (`Slab` and `VmallocUsed` of /proc/meminfo, both
//! flavours), rounded up.

use std::collections::HashSet;

use super::load::CommandLine;
use super::naming::{By, named};
use super::{Limits, RAISE};
use crate::error::{InputError, Source};

/// Refuses a ruleset that needs more than `limits.bytes`.
pub fn admit(limits: Limits, ruleset: &Source, lines: &[CommandLine<'_>]) -> Result<(), InputError> {
    let mut total = CHAIN.saturating_mul(ruleset.text.lines().filter(|line| line.starts_with(':')).count() as u64);
    let mut tables = HashSet::new();
    for line in lines {
        let (bytes, blame) = demand(line, &mut tables);
        total = total.saturating_add(bytes.saturating_mul(line.rules as u64));
        if total > limits.bytes {
            let problem = format!(
                "this ruleset needs more than {} MiB of kernel memory; {blame} needs {bytes} bytes",
                limits.bytes >> 20
            );
            return Err(line.error(line.span(), problem, RAISE));
        }
    }
    Ok(())
}

/// A chain, or a rule without extensions.
const CHAIN: u64 = 512;
const RULE: u64 = 640;

/// The memory that a line needs, and the part of it that needs most.
fn demand(line: &CommandLine<'_>, tables: &mut HashSet<String>) -> (u64, String) {
    let mut total = RULE;
    let mut most = (RULE, "this rule".to_owned());
    for extension in named(&line.words) {
        let bytes = match (extension.by, extension.name.as_str()) {
            (By::Match, name @ ("hashlimit" | "recent")) => table(line, name, tables),
            (By::Match, "bpf") => 8 << 10,
            (By::Match, "connlimit") => 5 << 10,
            (By::Match, "string" | "u32") => 3 << 10,
            (By::Match, "policy" | "rateest") | (By::Jump, "RATEEST") => 1 << 10,
            _ => 128,
        };
        total = total.saturating_add(bytes);
        most = std::cmp::max(most, (bytes, extension.name));
    }
    (total, most.1)
}

/// The table of a hashlimit or recent match. A name creates its table only once, but the name may be hidden in the
/// line: only an identical line counts as the same.
fn table(line: &CommandLine<'_>, name: &str, tables: &mut HashSet<String>) -> u64 {
    let words: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
    let own =
        words.iter().position(|word| word.ends_with("-name") || *word == "--name").and_then(|at| words.get(at + 1));
    if own.is_some_and(|own| own.len() < 256 && !tables.insert(format!("{name} {own} {}", size(line, name)))) {
        return 256;
    }
    size(line, name)
}

fn size(line: &CommandLine<'_>, name: &str) -> u64 {
    if name == "recent" {
        // A table of 100 addresses (`ip_list_tot`), each with as many timestamps of 8 bytes as --hitcount needs; 4,440
        // bytes for the table were measured.
        let times = line.number("hitcount", 2).unwrap_or(20).min(1 << 16).next_power_of_two();
        return (5 << 10) + 100 * (times * 8 + 96);
    }
    // 131,400 bytes were measured without a size on a machine of 24 GB (8,192 buckets; the kernel uses this number from
    // 1 GB on), and 1,048,678 with 65,536 buckets: 16 bytes each, since the allocator rounds up. The maximum in Linux
    // is 1,048,576.
    let buckets = line.number("hashlimit-htable-size", "hashlimit-htable-s".len()).filter(|size| *size > 0);
    // Entries (160 bytes) are created by packets, and expire.
    buckets.unwrap_or(8_192).min(1 << 30).next_power_of_two() * 16
}
