//! The packets that match one rule.

use super::region::{PacketField, Region};
use super::universe::Space;
use super::universe::states;
use super::values::Values;
use crate::net::conntrack::ConntrackState;
use crate::net::{Family, Network};
use crate::rules::iptables_save::{Clause, Match, Prefix, Rule};

/// The packets that match a rule.
#[derive(Debug, Clone)]
pub(super) struct Requirement {
    /// The packets; `None` if no packet can match it.
    pub region: Option<Region>,
    /// Stateful matches, and matches whose result may change on the path, as written; empty if there are none.
    pub memory: String,
}

/// Matches whose result depends on the packet alone. Others may count, wait, or use other state.
const PURE: &[&str] = &[
    "ah",
    "dccp",
    "dst",
    "ecn",
    "esp",
    "eui64",
    "frag",
    "hbh",
    "hl",
    "icmp",
    "icmp6",
    "iprange",
    "ipv6header",
    "length",
    "mac",
    "mh",
    "multiport",
    "pkttype",
    "rt",
    "sctp",
    "string",
    "tcp",
    "tcpmss",
    "tos",
    "dscp",
    "ttl",
    "u32",
    "udp",
    "udplite",
    "addrtype",
    "state",
    "conntrack",
    "comment",
];

/// Those of them that use no field which a target of iptables changes.
const CONSTANT: &[&str] =
    &["icmp", "icmp6", "multiport", "tcp", "udp", "udplite", "sctp", "dccp", "mac", "pkttype", "comment", "iprange"];

impl Space {
    /// The packets that match `rule`.
    pub(super) fn requirement(&self, rule: &Rule) -> Requirement {
        let understood =
            rule.clauses.iter().try_fold(self.everything.clone(), |region, clause| self.narrowed(region, clause));
        let mut region = understood;
        let mut memory = String::new();
        for (module, key) in opaque(rule) {
            let lasts = if self.rewrites { CONSTANT } else { PURE };
            match module.as_deref().is_none_or(|module| lasts.contains(&module)) {
                true => region = region.and_then(|region| region.answered(&key, true)),
                false => memory = format!("{memory} {key}").trim().to_owned(),
            }
        }
        Requirement { region, memory }
    }

    fn narrowed(&self, region: Region, clause: &Clause) -> Option<Region> {
        let field = |field: PacketField, values: Values| {
            let all = &self.everything;
            let is_outside = clause.negated && !clause.excludes_everything();
            let values = if is_outside { all.values(field).difference(&values) } else { values };
            region.with(field, &values)
        };
        let whole = |region: Region| region.with(PacketField::Whole, &Values::these([1]));
        let of = |protocols: &[u128], region: Region| {
            region.with(PacketField::Protocol, &Values::these(protocols.iter().copied())).and_then(whole)
        };
        match &clause.ask {
            Match::Protocol(0) | Match::Comment(_) | Match::Limit { .. } | Match::LimitBurst(_) | Match::Other(_) => {
                Some(region)
            }
            Match::Protocol(number) => field(PacketField::Protocol, Values::these([u128::from(*number)])),
            Match::Source(prefix) if range(prefix).is_some() => {
                field(PacketField::Source, Values::from_ranges(range(prefix)))
            }
            Match::Destination(prefix) if range(prefix).is_some() => {
                field(PacketField::Destination, Values::from_ranges(range(prefix)))
            }
            Match::Source(_) | Match::Destination(_) => Some(region),
            Match::InInterface(name) => field(PacketField::In, self.meant(name)),
            Match::OutInterface(name) => field(PacketField::Out, self.meant(name)),
            Match::SourcePorts(ports) => field(PacketField::SourcePort, Values::from_ranges(ports.ranges().map(wide)))
                .and_then(|one| of(&WITH_PORTS, one)),
            Match::DestinationPorts(ports) => {
                field(PacketField::DestinationPort, Values::from_ranges(ports.ranges().map(wide)))
                    .and_then(|one| of(&WITH_PORTS, one))
            }
            Match::TcpFlags { mask, comp } => {
                let octets = (0..64u8).filter(|octet| octet & mask == *comp).map(u128::from);
                field(PacketField::Flags, Values::these(octets)).and_then(|one| of(&[6], one))
            }
            Match::State(wanted) => {
                let wanted: Vec<ConntrackState> = wanted.iter().copied().collect();
                field(PacketField::State, states(&wanted))
            }
            Match::IcmpType(kind) => {
                let number = if self.family == Family::Ipv4 { 1 } else { 58 };
                field(PacketField::Message, Values::from_ranges([messages(*kind)])).and_then(|one| of(&[number], one))
            }
        }
    }
}

const WITH_PORTS: [u128; 5] = [6, 17, 33, 132, 136];

fn wide(range: std::ops::RangeInclusive<u16>) -> std::ops::RangeInclusive<u128> {
    u128::from(*range.start())..=u128::from(*range.end())
}

fn messages(kind: Option<(u8, Option<u8>)>) -> std::ops::RangeInclusive<u128> {
    match kind {
        None => 0..=65_535,
        Some((kind, None)) => u128::from(kind) * 256..=u128::from(kind) * 256 + 255,
        Some((kind, Some(code))) => {
            let number = u128::from(kind) * 256 + u128::from(code);
            number..=number
        }
    }
}

/// The addresses of a prefix; `None` if its mask is not contiguous.
fn range(prefix: &Prefix) -> Option<std::ops::RangeInclusive<u128>> {
    Some(Network::new(prefix.address, prefix.prefix_len()?)?.range())
}

/// The unsupported options of each module together, with the module. An option without a module is separate.
pub(super) fn opaque(rule: &Rule) -> Vec<(Option<String>, String)> {
    let mut found: Vec<(Option<String>, String)> = Vec::new();
    for clause in rule.clauses.iter().filter(|clause| is_opaque(clause)) {
        let written = rule.text.get(clause.span.clone()).unwrap_or_default();
        let module = clause.module.clone();
        match found.iter_mut().find(|(known, _)| *known == module && module.is_some()) {
            Some((_, key)) => *key = format!("{key} {written}"),
            None => {
                let load = module.as_ref().map(|module| format!("-m {module} ")).unwrap_or_default();
                found.push((module, format!("{load}{written}")));
            }
        }
    }
    let known = |name: &str| PURE.contains(&name);
    for module in rule.modules.iter().filter(|module| module.name == "limit" || !known(&module.name)) {
        if !found.iter().any(|(known, _)| known.as_ref() == Some(&module.name)) {
            found.push((Some(module.name.clone()), format!("-m {}{}", module.name, limit(rule, &module.name))));
        }
    }
    found
}

/// The canonical form of a limit; several limits of one rule as written.
fn limit(rule: &Rule, module: &str) -> String {
    if rule.modules.iter().filter(|one| one.name == "limit").count() > 1 {
        return format!(" {}", rule.text);
    }
    let limit = rule.limit().filter(|_| module == "limit");
    limit.map(|limit| format!(" {}/{} s burst {}", limit.count, limit.seconds, limit.burst)).unwrap_or_default()
}

fn is_opaque(clause: &Clause) -> bool {
    match &clause.ask {
        Match::Other(_) => true,
        Match::Source(prefix) | Match::Destination(prefix) => range(prefix).is_none(),
        _ => clause.excludes_everything(),
    }
}
