//! The syntax that iptables-restore accepts. Each result was measured with iptables 1.8.9, nft and legacy; if it is
//! unknown, the result is false.

use crate::rules::iptables_save::{Clause, Match, Rule, Table};

use super::site::MutationSite;

/// IANA's number of TCP.
pub const TCP: u8 = 6;

/// Modules whose options are valid for every protocol.
const FOR_ANY_PROTOCOL: [&str; 18] = [
    "addrtype",
    "comment",
    "conntrack",
    "connmark",
    "hl",
    "iprange",
    "length",
    "limit",
    "mac",
    "mark",
    "owner",
    "physdev",
    "pkttype",
    "recent",
    "set",
    "state",
    "statistic",
    "ttl",
];

/// Options of other modules that may have a `!`.
const NEGATABLE: [&str; 13] = [
    "--ctstate",
    "--dst-range",
    "--dst-type",
    "--hl-eq",
    "--length",
    "--mac-source",
    "--mark",
    "--match-set",
    "--pkt-type",
    "--src-range",
    "--src-type",
    "--ttl-eq",
    "--uid-owner",
];

/// True if the verdict is valid in the table of `site`: "The `nat` table is not intended for filtering, the use of DROP
/// is therefore inhibited", and ipt_REJECT is valid in the filter table only.
pub fn takes_verdict(site: &MutationSite<'_>, verdict: &str) -> bool {
    match verdict {
        "REJECT" => site.table.name == "filter",
        "DROP" => filters(site.table),
        _ => true,
    }
}

/// True if the policies of `table` decide on packets.
pub fn filters(table: &Table) -> bool {
    table.name != "nat"
}

/// True if the rule is for TCP only.
pub fn is_tcp(rule: &Rule) -> bool {
    rule.clauses.iter().any(|clause| !clause.negated && clause.ask == Match::Protocol(TCP))
}

/// True if the rule is still valid without `clause`.
pub fn may_be_deleted(site: &MutationSite<'_>, clause: &Clause) -> bool {
    match &clause.ask {
        Match::Protocol(_) => !needs_its_protocol(site),
        // Deleted with its `--limit`; the operators of `limit` change its value.
        Match::LimitBurst(_) => false,
        // A comment matches everything.
        Match::Comment(_) => false,
        Match::Other(_) => is_only_option(site.rule, clause),
        _ => true,
    }
}

/// True if the option is the only one of its module, which is deleted with it.
fn is_only_option(rule: &Rule, clause: &Clause) -> bool {
    let same = rule.clauses.iter().filter(|other| other.module == clause.module).count();
    clause.module.is_some() && same == 1
}

/// True if `clause` may be negated, or its negation removed.
pub fn may_be_negated(site: &MutationSite<'_>, clause: &Clause) -> bool {
    match &clause.ask {
        // "rule would never match protocol"
        Match::Protocol(number) => *number != 0 && !needs_its_protocol(site),
        // iptables-nft refuses a clause that never matches; other modules than these accept it.
        Match::Source(prefix) | Match::Destination(prefix) => prefix.mask != 0 && !is_list(site, clause),
        Match::InInterface(name) | Match::OutInterface(name) => name != "+",
        Match::SourcePorts(_) | Match::DestinationPorts(_) | Match::TcpFlags { .. } | Match::State(_) => true,
        Match::IcmpType(kind) => kind.is_some(),
        Match::Limit { .. } | Match::LimitBurst(_) | Match::Comment(_) => false,
        Match::Other(option) => {
            clause.negated || NEGATABLE.contains(&option.split([' ', '=']).next().unwrap_or_default())
        }
    }
}

/// `! -s 10.0.0.1,10.0.0.2`: "multiple addresses are not allowed" with a `!`.
pub fn is_list(site: &MutationSite<'_>, clause: &Clause) -> bool {
    site.written(clause).contains(',')
}

/// True if a part of the rule is valid for its protocol only: "TCP match requires '-p tcp'".
fn needs_its_protocol(site: &MutationSite<'_>) -> bool {
    let bound = |module: &str| !FOR_ANY_PROTOCOL.contains(&module);
    let options = site.rule.clauses.iter().filter_map(|clause| clause.module.as_deref());
    let mut modules = options.chain(site.rule.modules.iter().map(|module| module.name.as_str()));
    modules.any(bound) || target_needs_protocol(site)
}

fn target_needs_protocol(site: &MutationSite<'_>) -> bool {
    let Some(target) = &site.rule.target else { return false };
    let free = ["ACCEPT", "DROP", "RETURN", "LOG", "NFLOG"].contains(&target.name.as_str());
    let reject = target.name == "REJECT" && target.options.iter().all(|(_, argument)| argument != "tcp-reset");
    let chain = site.table.chains.iter().any(|chain| chain.name == target.name);
    !free && !reject && !chain
}
