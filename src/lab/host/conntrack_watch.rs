//! A watch on the conntrack table: a full one drops new connections, which would look like a filter.
//!
//! The table is flushed before it is full. If it loses connections all the same, its own counters show it, and the lab
//! cannot measure.

use std::fs;

use crate::error::{CannotMeasure, Context, Result};
use crate::lab::trace::nfnetlink::{self, Nfnetlink};

/// The counters of this thread's namespace: a line of names, then a line of hexadecimal numbers for each processor.
const COUNTERS: &str = "/proc/thread-self/net/stat/nf_conntrack";

/// Keeps conntrack's table from filling up, and notices if it does.
pub struct ConntrackWatch {
    room: usize,
    used: usize,
    before: Lost,
}

impl ConntrackWatch {
    /// Reads the size of the table, if conntrack is loaded; no lab needs more than 16384 entries at a time.
    pub fn new() -> ConntrackWatch {
        let max = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max");
        let max = max.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(16384);
        ConntrackWatch { room: usize::min(max, 16384) / 2, used: 0, before: Lost::so_far() }
    }

    /// Flushes the table before `probes` more could fill it.
    pub fn flush_before(&mut self, netlink: &Nfnetlink, probes: usize) -> Result<()> {
        if self.used + probes > self.room {
            self.forget(netlink)?;
        }
        self.used += probes;
        Ok(())
    }

    /// Removes every connection that the lab has made.
    pub fn forget(&mut self, netlink: &Nfnetlink) -> Result<()> {
        if self.used > 0 {
            netlink.request(nfnetlink::flush_conntrack()).context("flush the conntrack table")?;
            self.used = 0;
        }
        Ok(())
    }

    /// Checks that conntrack has lost nothing.
    ///
    /// # Errors
    ///
    /// If it dropped a packet, or evicted an entry, for lack of room.
    pub fn assert_no_loss(&self) -> Result<()> {
        let lost = Lost::so_far().since(self.before);
        if lost == Lost::default() {
            return Ok(());
        }
        let Lost { drop, early_drop } = lost;
        let evidence =
            format!("it dropped {drop} packets and evicted {early_drop} connections because its table was full");
        Err(CannotMeasure::Loss { instrument: "conntrack table", evidence }.into())
    }
}

/// The losses of conntrack in this namespace: `struct ip_conntrack_stat` in linux/netfilter/nf_conntrack_common.h.
///
/// A packet is also dropped if NAT gave its flow the tuple of another flow (`nf_ct_resolve_clash`): for example, that
/// of the second GRE packet that OUTPUT redirects, since GRE has no ports to choose from. The ruleset causes this, and
/// it is no loss; it counts as an entry that could not be inserted (`insert_failed`) and a packet that was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lost {
    /// Packets that could not be tracked for lack of room, and were dropped for it.
    drop: u64,
    /// Entries that were evicted to make room for others.
    early_drop: u64,
}

impl Lost {
    /// All zero if there is no conntrack, or the kernel is built without `NF_CONNTRACK_PROCFS`: there only `scanlab
    /// selftest` shows that a full table misleads the lab.
    fn so_far() -> Lost {
        fs::read_to_string(COUNTERS).map(|table| Lost::sum(&table)).unwrap_or_default()
    }

    /// The difference to an earlier count; the counters of a namespace never decrease.
    fn since(self, before: Lost) -> Lost {
        Lost {
            drop: self.drop.saturating_sub(before.drop),
            early_drop: self.early_drop.saturating_sub(before.early_drop),
        }
    }

    fn sum(table: &str) -> Lost {
        let dropped = sum_of_column(table, "drop");
        let drop = dropped.saturating_sub(sum_of_column(table, "insert_failed"));
        Lost { drop, early_drop: sum_of_column(table, "early_drop") }
    }
}

/// Sums the column of this name: the columns differ between kernels.
fn sum_of_column(table: &str, name: &str) -> u64 {
    let mut lines = table.lines().map(str::split_ascii_whitespace);
    let Some(column) = lines.next().and_then(|mut names| names.position(|other| other == name)) else { return 0 };
    let number = |mut fields: std::str::SplitAsciiWhitespace| u64::from_str_radix(fields.nth(column)?, 16).ok();
    lines.filter_map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of Linux 6.18 on two processors; the numbers are made up.
    const TABLE: &str = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000f 00000001 00000000  00000000 00000000 00000000 00000000
00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000  00000000 00000000 00000000 00000000
";

    #[test]
    fn the_processors_are_summed_up() {
        assert_eq!(Lost::sum(TABLE), Lost { drop: 16, early_drop: 1 });
    }

    #[test]
    fn a_flow_that_nat_made_like_another_is_no_loss() {
        let clash = TABLE.replace("00000000 00000001 00000000 00000000  ", "00000001 00000001 00000000 00000000  ");
        assert_ne!(clash, TABLE);
        assert_eq!(Lost::sum(&clash), Lost { drop: 15, early_drop: 1 });
    }

    #[test]
    fn without_conntrack_nothing_is_lost() {
        assert_eq!(Lost::sum(""), Lost::default());
    }
}
