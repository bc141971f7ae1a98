//! A watch on the host's ICMP errors: one that the kernel could not send would look like a filter.
//!
//! The kernel has one socket for them on each processor, which all namespaces share (`icmp_sk_init`, `icmpv6_init`): if
//! errors of other namespaces wait in it for a neighbour that never answers, there is no room for those of the lab. The
//! kernel's counters show it (RFC 2011, RFC 4293), and then the lab cannot measure.

use std::fs;

use crate::error::{CannotMeasure, Result};

/// The counters of this thread's namespace: for IPv4 a line of names and a line of numbers, for IPv6 a line for each.
const COUNTERS: [&str; 2] = ["/proc/thread-self/net/snmp", "/proc/thread-self/net/snmp6"];

/// The counters of errors that were not sent: for lack of room (`icmpOutErrors`), and, since Linux 6.8, because of a
/// limit for all peers or for one.
const UNSENT: [&str; 3] = ["OutErrors", "OutRateLimitGlobal", "OutRateLimitHost"];

/// Notices ICMP errors that the host could not send.
pub struct IcmpWatch {
    before: u64,
}

impl IcmpWatch {
    /// Starts the watch.
    pub fn new() -> IcmpWatch {
        IcmpWatch { before: unsent() }
    }

    /// Checks that the host could send all its ICMP errors.
    ///
    /// # Errors
    ///
    /// If it could not send one since [`Self::new`].
    pub fn assert_no_loss(&self) -> Result<()> {
        let lost = unsent().saturating_sub(self.before);
        if lost == 0 {
            return Ok(());
        }
        let evidence =
            format!("{lost} of the host's errors could not be sent (all namespaces share one socket a processor)");
        Err(CannotMeasure::Loss { instrument: "kernel's ICMP sockets", evidence }.into())
    }
}

fn unsent() -> u64 {
    let [v4, v6] = COUNTERS.map(|path| fs::read_to_string(path).unwrap_or_default());
    of_ipv4(&v4) + of_ipv6(&v6)
}

/// Sums the columns by name: they differ between kernels.
fn of_ipv4(table: &str) -> u64 {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return 0 };
    let columns = names.split(' ').zip(numbers.split(' '));
    columns.filter(|(name, _)| UNSENT.contains(name)).filter_map(|(_, number)| number.parse::<u64>().ok()).sum()
}

fn of_ipv6(table: &str) -> u64 {
    let unsent = |line: &str| {
        let (name, number) = line.strip_prefix("Icmp6")?.split_once(char::is_whitespace)?;
        number.trim().parse::<u64>().ok().filter(|_| UNSENT.contains(&name))
    };
    table.lines().filter_map(unsent).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of Linux 6.18; the numbers are made up.
    #[test]
    fn icmp_counters_of_unsent_messages_are_summed() {
        let v4 = "Ip: InReceives OutErrors\nIp: 5 6\nIcmp: InMsgs InErrors OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost\n\
                  Icmp: 100 200 300 1 2 4\nIcmpMsg: OutType3\nIcmpMsg: 9\n";
        let v6 = "Ip6OutDiscards                  \t50\nIcmp6InErrors                   \t60\n\
                  Icmp6OutErrors                  \t8\nIcmp6OutRateLimitHost           \t16\nIcmp6OutDestUnreachs \t70\n";
        assert_eq!((of_ipv4(v4), of_ipv6(v6)), (7, 24));
    }

    #[test]
    fn a_kernel_that_tells_nothing_has_lost_nothing() {
        assert_eq!((of_ipv4(""), of_ipv6("Icmp6OutErrors\nIcmp6OutErrors x\n")), (0, 0));
    }
}
