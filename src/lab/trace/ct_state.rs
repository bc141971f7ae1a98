//! The conntrack state of a packet, from its trace. Since Linux 6.16 the first event of a chain has the state, with one
//! exception: a packet that conntrack calls INVALID has no connection, and the kernel omits the state then
//! (`nf_trace_fill_ct_info` in net/netfilter/nf_tables_trace.c: "not seen by conntrack or invalid"). This is the only
//! code that infers INVALID from the missing state.

use super::nft_trace::Event;
use super::own_table;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::Listing;

/// The families in which a missing state means INVALID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CtStateReader {
    tracked: Vec<Family>,
}

impl CtStateReader {
    /// Makes a reader in which a missing state means INVALID if (1) the kernel traces the other states, and (2) a rule
    /// of the family makes it track connections. A nat table alone does not: its chains register no hook of conntrack,
    /// its targets do.
    pub fn new(listings: &[Listing]) -> CtStateReader {
        if !nix::sys::utsname::uname().is_ok_and(|name| reports_states(&name.release().to_string_lossy())) {
            return CtStateReader::default();
        }
        let tracks = |listing: &&Listing| listing.rules().any(|rule| rule.uses_conntrack());
        CtStateReader { tracked: listings.iter().filter(tracks).map(|listing| listing.family).collect() }
    }

    /// Makes a reader in which a missing state means nothing, since every state is traced.
    pub fn outright() -> CtStateReader {
        CtStateReader::default()
    }

    /// The traced or inferred state in `event`; `None` before conntrack has seen the packet. Only the first event of a
    /// base chain has it, the one that also has the packet's headers (`packet_dumped` in `nft_trace_notify`).
    pub fn state(&self, event: &Event) -> Option<ConntrackState> {
        let is_first = event.network.is_some();
        let is_inferred = || is_first && self.tracked.contains(&event.family) && is_after_conntrack(event);
        event.conntrack.or_else(|| is_inferred().then_some(ConntrackState::Invalid))
    }
}

/// True if the table comes after conntrack, whose hooks are at priority -200 of PREROUTING and OUTPUT (enum
/// nf_ip_hook_priorities). Before them are the lab's own chains that begin a trace, and the raw table at -300; all
/// other tables of iptables come after them.
fn is_after_conntrack(event: &Event) -> bool {
    match event.table {
        table if table == own_table::NAME.as_bytes() => {
            [own_table::LET_IN, own_table::ROUTED].iter().any(|chain| event.chain == chain.as_bytes())
        }
        table => table != b"raw",
    }
}

/// True if this release has `NFTA_TRACE_CT_STATE`: Linux 6.16 or later.
fn reports_states(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(16))
}

#[cfg(test)]
mod tests {
    use super::reports_states;

    #[test]
    fn the_release_tells_whether_the_trace_tells() {
        for release in ["6.16.0", "6.18.44-fc-v669", "6.100", "7.0-rc1", "10.0.1"] {
            assert!(reports_states(release), "{release}");
        }
        for release in ["6.15.9", "6.1.0-37-amd64", "5.19", "6", "", "linux"] {
            assert!(!reports_states(release), "{release}");
        }
    }
}
