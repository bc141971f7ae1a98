//! The harm that a fix must not do: open more than the checks that it resolves expect, or cut a session, SSH, loopback
//! or neighbour discovery. This is proved on sets of packets; without a proof there is no fix.

use std::net::IpAddr;

use super::job::Job;
use crate::error::Source;
use crate::intent::check::Check;
use crate::intent::scenario::{CheckSubject, Scenario};
use crate::net::conntrack::ConntrackState::{self, Established, New, Related, Untracked};
use crate::net::port::Port;
use crate::net::{Family, Network, Protocol};
use crate::probe::scan::{FilterVerdict, PortState};
use crate::rules::iptables_save::{Listing, Match};
use crate::rules::space::{PacketField, Region, Sets, Space, Turned, Values, state_places, turned};
use crate::sensor::Sensor;
use crate::wire::headers::Content;

/// True if the ruleset `after` does no harm in place of `before`; `resolved` are the checks that it resolves.
pub fn is_harmless(job: &Job, family: Family, sources: [&Source; 2], resolved: &[&Check]) -> bool {
    let scenario = &job.scenario;
    let [before, after] = sources.map(|source| job.listing(family, source));
    let space = Space::new(&[&before, &after], &scenario.host.interface);
    let intended = IntendedChange::new(scenario, family, resolved, &after);
    let sides = [&before, &after].map(|side| Sets::new(space.clone(), side));
    let host = scenario.host.addresses.host(family);
    RulesetChange { space: &space, sides: &sides, intended: &intended, host }.is_harmless()
}

/// The changes that the checks expect.
struct IntendedChange {
    protocols: Values,
    ports: Values,
    /// The ports that must stay closed.
    kept_out: Values,
    /// The ports with a listener.
    served: Values,
    /// The SSH ports, and the addresses that may use them; `None` if every address may.
    ssh: Option<(Values, Values)>,
}

impl IntendedChange {
    fn new(scenario: &Scenario, family: Family, checks: &[&Check], listing: &Listing) -> IntendedChange {
        let contents: Vec<(&Check, Content, u8)> =
            checks.iter().filter_map(|check| content(scenario, family, check)).collect();
        let after_nat = ports_after_nat(listing);
        let ports = |wanted: fn(&Check, &Content) -> bool| {
            let of_checks = contents.iter().filter(|(check, content, _)| wanted(check, content));
            let ports: Vec<Values> = of_checks.filter_map(|(_, content, _)| port(content)).map(one).collect();
            let beside = if ports.is_empty() { Values::from_ranges([]) } else { after_nat.clone() };
            ports.iter().fold(beside, |all, one| all.union(one))
        };
        IntendedChange {
            protocols: Values::these(contents.iter().map(|(.., protocol)| u128::from(*protocol))),
            ports: ports(|_, _| true),
            kept_out: ports(|check, content| begins(content) && is_kept_out(check)),
            served: values(&scenario.host.listen),
            ssh: scenario.sensor.as_ref().and_then(|sensor| ssh_access(sensor, family)),
        }
    }
}

/// The fields of a check's packet, and its protocol.
fn content<'c>(scenario: &Scenario, family: Family, check: &&'c Check) -> Option<(&'c Check, Content, u8)> {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    match check.subject {
        CheckSubject::Scan(technique) if technique.has_ports() => {
            let (source, destination, flags) = (Port(0), check.port?, technique.profile().flags);
            match technique.profile().protocol {
                Protocol::Udp => Some((check, Content::Udp { source, destination }, UDP)),
                _ => Some((check, Content::Tcp { source, destination, flags }, TCP)),
            }
        }
        CheckSubject::Packet(packet) => {
            let headers = packet.stimulus(family, &scenario.host.addresses, 0).headers;
            Some((check, headers.content, headers.protocol))
        }
        _ => None,
    }
}

fn port(content: &Content) -> Option<Port> {
    match content {
        Content::Tcp { destination, .. } | Content::Udp { destination, .. } => Some(*destination),
        Content::Icmp { .. } | Content::Other => None,
    }
}

fn begins(content: &Content) -> bool {
    matches!(content, Content::Tcp { flags, .. } if u128::from(*flags) == SYN)
}

fn is_kept_out(check: &Check) -> bool {
    let is_dropped = matches!(check.expected.verdict, Some(FilterVerdict::Drop | FilterVerdict::Reject));
    is_dropped || matches!(check.expected.state, Some(PortState::Filtered | PortState::Closed))
}

/// The ports that rules of the nat table set, which filter sees.
fn ports_after_nat(listing: &Listing) -> Values {
    let of_nat = listing.placed_rules().filter(|at| at.table == "nat");
    let ranges = of_nat.filter_map(|at| at.rule.target.as_ref()?.new_ports());
    Values::from_ranges(ranges.map(|ports| u128::from(ports.start().0)..=u128::from(ports.end().0)))
}

fn one(port: Port) -> Values {
    values(&[port])
}

fn values(ports: &[Port]) -> Values {
    Values::these(ports.iter().map(|port| u128::from(port.0)))
}

fn ssh_access(sensor: &Sensor, family: Family) -> Option<(Values, Values)> {
    let sources = sensor.ssh_from.networks(family);
    sensor.ssh_from.is_said().then(|| (values(&sensor.ssh), Values::from_ranges(sources.iter().map(Network::range))))
}

/// A ruleset that replaces another.
struct RulesetChange<'a> {
    space: &'a Space,
    /// Before and after.
    sides: &'a [Sets<'a>; 2],
    intended: &'a IntendedChange,
    host: IpAddr,
}

/// Packets that pass nat PREROUTING and that filter accepts, as they were sent.
struct Arrival {
    region: Region,
    /// True if nat changed them.
    is_changed: bool,
    /// True if they are for another machine.
    leads_on: bool,
}

impl RulesetChange<'_> {
    fn is_harmless(&self) -> bool {
        let is_harm = |turned: &Turned| match turned.is_opened {
            _ if (turned.table.as_str(), turned.hook) == ("nat", "PREROUTING") => self.leads_astray(turned),
            true => self.opens_more(turned),
            false => self.cuts(turned),
        };
        turned(self.sides).is_ok_and(|turned| !turned.iter().any(is_harm))
    }

    /// True if packets for which nat PREROUTING has another result reach more than intended, or no longer reach a
    /// service. A port without a listener is not opened by a rule that no longer redirects it.
    fn leads_astray(&self, turned: &Turned) -> bool {
        let [Some(before), Some(after)] = [0, 1].map(|side| self.arrivals(side, &turned.region)) else { return true };
        let of = |region: &Region| Turned { region: region.clone(), ..turned.clone() };
        let opens = |arrival: &Arrival| {
            (arrival.is_changed || self.is_served(&arrival.region)) && self.opens_more(&of(&arrival.region))
        };
        match turned.is_opened {
            true => after.iter().any(|arrival| arrival.leads_on || opens(arrival)),
            false => before.iter().any(|arrival| self.cuts(&of(&arrival.region))),
        }
    }

    /// Those of `region`, before nat PREROUTING, that filter accepts; `None` if there are too many sets.
    fn arrivals(&self, side: usize, region: &Region) -> Option<Vec<Arrival>> {
        let sets = &self.sides[side];
        let led = sets.led(region, self.host).ok()?.into_iter();
        let changed = led.map(|led| Arrival { region: led.region, is_changed: true, leads_on: !led.is_for_host });
        let leaves = sets.leaves(("nat", "PREROUTING"), region).ok()?.into_iter();
        let kept: Vec<Region> = leaves.filter(|leaf| &*leaf.end == "ACCEPT").map(|leaf| leaf.region).collect();
        let kept = self.let_in(side, &kept)?.into_iter();
        let kept = kept.map(|region| Arrival { region, is_changed: false, leads_on: false });
        Some(changed.chain(kept).collect())
    }

    /// True if the change opens more than intended. Packets of a connection may pass. Packets that begin one may pass
    /// if the checks expect it, and not from other sources or over other interfaces than those for which a rule opens
    /// the port already.
    fn opens_more(&self, turned: &Turned) -> bool {
        let region = &turned.region;
        let is_session = is_within(region, PacketField::State, &state_places(&[Established, Related]));
        let is_intended_at = |field| {
            is_within(region, PacketField::Protocol, &self.intended.protocols)
                && is_within(region, field, &self.intended.ports)
        };
        let is_intended = match turned.hook {
            "FORWARD" => false,
            "OUTPUT" | "POSTROUTING" => is_intended_at(PacketField::SourcePort),
            _ => {
                is_intended_at(PacketField::DestinationPort)
                    && !self.is_restricted(region)
                    && !self.is_of_strangers(region)
            }
        };
        !is_session && !is_intended
    }

    /// True if the ports of `region` are open to some sources or over some interfaces only, and `region` has others.
    fn is_restricted(&self, region: &Region) -> bool {
        let link = Values::these([0]);
        let links = self.space.everything.values(PacketField::In).difference(&Values::these([LOOPBACK]));
        let Some(open) = self.let_in(0, &self.connections(region, &link)) else { return true };
        let Some(open_over_any) = self.let_in(0, &self.connections(region, &links)) else { return true };
        let is_condition = |key: &str| !["-m limit", "-m hashlimit"].iter().any(|rate| key.starts_with(rate));
        let has_more_conditions =
            open.iter().flat_map(Region::answers).any(|(key, answer)| answer && is_condition(key));
        let has_more = |field, open: &[Region], besides: &Values| {
            !open.is_empty() && !is_within(region, field, &all(open, field).union(besides))
        };
        let none = Values::from_ranges([]);
        let is_ssh = |(ports, _): &&(Values, Values)| is_within(region, PacketField::DestinationPort, ports);
        let intended = self.intended.ssh.as_ref().filter(is_ssh).map_or(&none, |(_, sources)| sources);
        let has_other_addresses =
            has_more(PacketField::Source, &open, intended) || has_more(PacketField::Destination, &open, &none);
        has_other_addresses
            || has_more_conditions
            || has_more(PacketField::In, &open_over_any, &Values::these([0, LOOPBACK]))
    }

    /// The packets that begin a connection to the ports of `region` over `links`.
    fn connections(&self, region: &Region, links: &Values) -> Vec<Region> {
        let begin = |part: Region| {
            part.with(PacketField::In, links)?
                .with(PacketField::Protocol, region.values(PacketField::Protocol))?
                .with(PacketField::Flags, &Values::these([SYN]))?
                .with(PacketField::State, &state_places(&[New]))?
                .with(PacketField::DestinationPort, region.values(PacketField::DestinationPort))
        };
        self.space.universe("filter", "INPUT").into_iter().filter_map(begin).collect()
    }

    /// True if some of it goes to an SSH port from an address that the sensor does not name.
    fn is_of_strangers(&self, region: &Region) -> bool {
        let is_ssh = |(ports, _): &&(Values, Values)| meets(region, PacketField::DestinationPort, ports);
        let ssh = self.intended.ssh.as_ref().filter(is_ssh);
        ssh.is_some_and(|(_, sources)| !is_within(region, PacketField::Source, sources))
    }

    /// Those of `starts` that filter accepts before the change (0) or after it (1); `None` if there are too many sets.
    fn let_in(&self, side: usize, starts: &[Region]) -> Option<Vec<Region>> {
        let leaves = starts.iter().map(|start| self.sides[side].leaves(("filter", "INPUT"), start));
        let leaves = leaves.collect::<Result<Vec<_>, _>>().ok()?.concat();
        let accepts = |end: &str| end.trim_start_matches("-j ") == "ACCEPT";
        Some(leaves.into_iter().filter(|leaf| accepts(&leaf.end)).map(|leaf| leaf.region).collect())
    }

    fn cuts(&self, turned: &Turned) -> bool {
        let region = &turned.region;
        let goes_out = matches!(turned.hook, "OUTPUT" | "POSTROUTING");
        let is_tcp = is_within(region, PacketField::Protocol, &Values::these([6]));
        let flags =
            |flags: &[u128]| !is_tcp || meets(region, PacketField::Flags, &Values::these(flags.iter().copied()));
        // ICMP errors are RELATED, and path MTU discovery needs them.
        let parts: &[ConntrackState] = if is_tcp { &[Established] } else { &[Established, Related] };
        let is_session = meets(region, PacketField::State, &state_places(parts)) && flags(&SESSION);
        let new: &[ConntrackState] = if self.space.exempts { &[New, Untracked] } else { &[New] };
        let is_new = meets(region, PacketField::State, &state_places(new)) && flags(&[SYN]);
        let is_loopback =
            meets(region, if goes_out { PacketField::Out } else { PacketField::In }, &Values::these([LOOPBACK]));
        let is_needed = match turned.hook {
            "FORWARD" => true,
            "OUTPUT" | "POSTROUTING" => {
                is_loopback || !is_within(region, PacketField::DestinationPort, &self.intended.ports)
            }
            _ => {
                let is_of_service = meets(region, PacketField::Protocol, &Values::these([6])) && self.is_served(region);
                is_loopback || is_of_service && !self.is_of_strangers_alone(region)
            }
        };
        let is_spared = !goes_out && (self.is_of_few_ports(region) || self.is_of_no_interface(region));
        self.is_neighbour_discovery(region) || !is_spared && (is_session || is_new && is_needed)
    }

    /// True if all of it goes to SSH ports from addresses that the sensor does not name.
    fn is_of_strangers_alone(&self, region: &Region) -> bool {
        let are_strangers = |(ports, sources): &(Values, Values)| {
            is_within(region, PacketField::DestinationPort, ports) && !meets(region, PacketField::Source, sources)
        };
        self.intended.ssh.as_ref().is_some_and(are_strangers)
    }

    fn is_neighbour_discovery(&self, region: &Region) -> bool {
        self.space.family == Family::Ipv6
            && meets(region, PacketField::Protocol, &Values::these([58]))
            && meets(region, PacketField::Message, &Values::from_ranges([133 * 256..=137 * 256 + 255]))
    }

    fn is_served(&self, region: &Region) -> bool {
        meets(region, PacketField::DestinationPort, &self.intended.served.difference(&self.intended.kept_out))
    }

    /// True for a few ports that should be closed or have no listener, as in a rule that names them.
    fn is_of_few_ports(&self, region: &Region) -> bool {
        const FEW: u128 = 16;
        let ports = region.values(PacketField::DestinationPort).difference(&self.intended.kept_out);
        let count: u128 = ports.ranges().map(|range| range.end() - range.start() + 1).sum();
        let has_ports = is_within(region, PacketField::Protocol, &Values::these([6, 17]));
        let is_served = meets(region, PacketField::Protocol, &Values::these([6])) && self.is_served(region);
        has_ports && count <= FEW && !is_served
    }

    /// True for an interface that only the changed rule names: neither the host's nor that of another rule.
    fn is_of_no_interface(&self, region: &Region) -> bool {
        let named =
            self.sides[1].listing.rules().flat_map(|rule| &rule.clauses).filter_map(|clause| match &clause.ask {
                Match::InInterface(name) | Match::OutInterface(name) => Some(self.space.meant(name)),
                _ => None,
            });
        let any_other = self.space.names.len() as u128 - 1;
        let known = named.fold(Values::these([0, LOOPBACK, any_other]), |all, one| all.union(&one));
        !meets(region, PacketField::In, &known)
    }
}

fn all(regions: &[Region], field: PacketField) -> Values {
    regions.iter().fold(Values::from_ranges([]), |all, one| all.union(one.values(field)))
}

/// The index of `lo` among the interface names of a space.
const LOOPBACK: u128 = 1;
const SYN: u128 = 0x02;
/// ACK, PSH and ACK, FIN and ACK with and without PSH, RST, RST and ACK, SYN and ACK.
const SESSION: [u128; 7] = [0x10, 0x18, 0x11, 0x19, 0x04, 0x14, 0x12];

fn meets(region: &Region, field: PacketField, values: &Values) -> bool {
    !region.values(field).intersection(values).is_empty()
}

fn is_within(region: &Region, field: PacketField, values: &Values) -> bool {
    region.values(field).difference(values).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSH: &str = "-A INPUT -p tcp --dport 22 -j ACCEPT\n";
    const CARRY_ON: &str = "-A INPUT -m state --state ESTABLISHED -j ACCEPT\n";
    const DENY: &str = "-A INPUT -i eth0 -p tcp -j DROP\n";

    /// As above, for a host with listeners on 22 and 80, and a change that resolves a check of port `intended`.
    fn is_harmless(family: Family, before: &str, after: &str, intended: u128) -> bool {
        is_harmless_for(family, before, after, intended, None)
    }

    fn is_harmless_for(
        family: Family,
        before: &str,
        after: &str,
        intended: u128,
        ssh: Option<(Values, Values)>,
    ) -> bool {
        let kept_out = if ssh.is_some() { Values::these([]) } else { Values::these([intended]) };
        let listing = |rules: &str| {
            let text = format!("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n");
            Listing::parse(family, &Source { name: "rules".into(), text: text.into() })
        };
        let (before, after) = (listing(before), listing(after));
        let space = Space::new(&[&before, &after], &"eth0".parse().expect("an interface"));
        let intended = IntendedChange {
            protocols: Values::these([6]),
            ports: Values::these([intended]),
            kept_out,
            served: Values::these([22, 80]),
            ssh,
        };
        let sides = [&before, &after].map(|side| Sets::new(space.clone(), side));
        let host = match family {
            Family::Ipv4 => [203, 0, 113, 10].into(),
            Family::Ipv6 => "2001:db8::10".parse().expect("an address"),
        };
        RulesetChange { space: &space, sides: &sides, intended: &intended, host }.is_harmless()
    }

    #[test]
    fn a_fix_that_opens_or_closes_the_port_that_is_asked_for_is_harmless() {
        let web = "-A INPUT -p tcp --dport 80 -j ACCEPT\n";
        let (before, after) = (format!("{CARRY_ON}{SSH}{DENY}"), format!("{CARRY_ON}{SSH}{web}{DENY}"));
        assert!(is_harmless(Family::Ipv4, &before, &after, 80));
        assert!(is_harmless(Family::Ipv4, &after, &before, 80));
        assert!(!is_harmless(Family::Ipv4, &before, &after, 81), "another port is opened");
        assert!(!is_harmless(Family::Ipv4, &after, &before, 81), "a port that is served is closed");
    }

    #[test]
    fn a_fix_that_drops_flags_of_no_session_is_harmless() {
        let xmas = "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j DROP\n";
        assert!(is_harmless(Family::Ipv4, SSH, &format!("{xmas}{SSH}"), 22));
        let ack = "-A INPUT -p tcp --tcp-flags ALL ACK -j DROP\n";
        assert!(!is_harmless(Family::Ipv4, SSH, &format!("{ack}{SSH}"), 22), "every session is cut");
    }

    #[test]
    fn a_default_deny_before_the_rule_for_sessions_is_harm() {
        let without = format!("{CARRY_ON}{SSH}");
        assert!(is_harmless(Family::Ipv4, &without, &format!("{CARRY_ON}{SSH}{DENY}"), 80));
        assert!(!is_harmless(Family::Ipv4, &without, &format!("{SSH}{DENY}{CARRY_ON}"), 80));
    }

    #[test]
    fn a_source_restriction_that_is_removed_is_harm() {
        let some = "-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT\n";
        let (before, after) = (format!("{CARRY_ON}{some}{DENY}"), format!("{CARRY_ON}{SSH}{DENY}"));
        assert!(!is_harmless(Family::Ipv4, &before, &after, 22));
    }

    /// The same with rules of nat before and after, on a host that listens on 22, 80 and 2222, for a check of port 22.
    fn is_harmless_nat(before: &str, after: &str) -> bool {
        let text = |nat: &str| {
            format!(
                "*nat\n:PREROUTING ACCEPT [0:0]\n{nat}COMMIT\n*filter\n:INPUT DROP [0:0]\n{CARRY_ON}\
                 -A INPUT -p tcp --dport 2222 -j ACCEPT\n-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT\n"
            )
        };
        let listing =
            |nat: &str| Listing::parse(Family::Ipv4, &Source { name: "rules".into(), text: text(nat).into() });
        let (before, after) = (listing(before), listing(after));
        let space = Space::new(&[&before, &after], &"eth0".parse().expect("an interface"));
        let intended = IntendedChange {
            protocols: Values::these([6]),
            ports: Values::these([22]),
            kept_out: Values::these([]),
            served: Values::these([22, 80, 2222]),
            ssh: None,
        };
        let sides = [&before, &after].map(|side| Sets::new(space.clone(), side));
        let host = [203, 0, 113, 10].into();
        RulesetChange { space: &space, sides: &sides, intended: &intended, host }.is_harmless()
    }

    #[test]
    fn redirection_of_the_port_that_is_asked_for_is_harmless() {
        let redirect = |port: &str| format!("-A PREROUTING -p tcp --dport {port} -j REDIRECT --to-ports 2222\n");
        assert!(is_harmless_nat(&redirect("32"), &redirect("22")));
        assert!(!is_harmless_nat(&redirect("32"), &redirect("33")), "another port is led to the service");
        assert!(!is_harmless_nat(&redirect("32"), &redirect("22:23")), "one more port is led to the service");
        assert!(!is_harmless_nat(&redirect("80"), &redirect("22")), "a port that is served is no longer led");
        let away = "-A PREROUTING -p tcp --dport 22 -j DNAT --to-destination 10.0.0.1\n";
        assert!(!is_harmless_nat("", away), "it is led to another machine");
    }

    #[test]
    fn a_source_of_ssh_that_the_sensor_does_not_name_is_opened_by_no_fix() {
        let from = |source: &str| format!("{CARRY_ON}-A INPUT -s {source} -p tcp --dport 22 -j ACCEPT\n{DENY}");
        let sources = Values::from_ranges([0xc000_0200..=0xc000_02ff]);
        let ssh = || Some((Values::these([22]), sources.clone()));
        let is_harmless = |before: &str, after: &str| is_harmless_for(Family::Ipv4, before, after, 22, ssh());
        assert!(is_harmless(&from("192.0.20.0/24"), &from("192.0.2.0/24")));
        assert!(is_harmless(&from("192.0.0.0/16"), &from("192.0.2.0/24")));
        assert!(!is_harmless(&from("192.0.20.0/24"), &from("192.0.2.0/23")), "strangers get in");
        assert!(!is_harmless(&from("192.0.2.0/24"), &from("192.0.2.0/25")), "a half of the network is cut");
        let stateless = |source: &str| from(source).replace(CARRY_ON, "");
        assert!(!is_harmless(&stateless("192.0.20.0/24"), &stateless("192.0.2.0/24")), "open sessions are cut");
    }

    #[test]
    fn a_port_that_is_open_over_another_interface_is_opened_over_the_link_alone() {
        let some = "-A INPUT -i wg0 -p tcp --dport 22 -j ACCEPT\n";
        let policy = "-A INPUT -j DROP\n";
        let with = |rule: &str| format!("{CARRY_ON}{some}{rule}{policy}");
        assert!(!is_harmless(Family::Ipv4, &with(""), &with(SSH), 22));
        assert!(is_harmless(Family::Ipv4, &with(""), &with("-A INPUT -i eth0 -p tcp --dport 22 -j ACCEPT\n"), 22));
    }

    #[test]
    fn an_outgoing_port_that_is_not_asked_for_and_a_forwarded_one_are_not_opened() {
        let out = "-A OUTPUT -p tcp --dport 25 -j DROP\n";
        assert!(
            !is_harmless(Family::Ipv4, &format!("{SSH}{out}"), SSH, 25),
            "the port of a peer is not the host's own"
        );
        let own = "-A OUTPUT -p tcp --sport 22 -j DROP\n";
        assert!(is_harmless(Family::Ipv4, &format!("{SSH}{own}"), SSH, 22));
        let forward = "-A FORWARD -p tcp --dport 22 -j DROP\n";
        assert!(!is_harmless(Family::Ipv4, &format!("{SSH}{forward}"), SSH, 22));
    }

    #[test]
    fn a_drop_of_neighbour_discovery_or_of_loopback_is_harm() {
        let invalid = "-A INPUT -p ipv6-icmp -m state --state UNTRACKED -j DROP\n";
        assert!(!is_harmless(Family::Ipv6, SSH, &format!("{invalid}{SSH}"), 80));
        assert!(!is_harmless(Family::Ipv4, CARRY_ON, &format!("{CARRY_ON}-A INPUT -p tcp -j DROP\n"), 80));
    }
}
