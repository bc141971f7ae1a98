//! The sources that can reach SSH: one SYN to each of its ports from every relevant source, and the path of each.
//! Relevant are one address in each network that rules name, and one outside all of them; or, if the sensor has
//! `ssh_from`, the addresses just outside its networks.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Assessment, Fact, Families, PredeploySubject, RelatedChecks, fresh};
use crate::error::Result;
use crate::lab::Lab;
use crate::net::port::Port;
use crate::net::{Family, Network};
use crate::probe::packet::{Lead, Packet, Response, Stimulus, Way, What};
use crate::probe::path::Fate;
use crate::rules::iptables_save::{Listing, Match};
use crate::sensor::SshFrom;
use crate::wire::tcp_flags::TcpFlags;

/// A source that was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its address.
    address: IpAddr,
    /// The network of a rule that it represents.
    network: Option<Network>,
    /// The destination port.
    port: Port,
    /// True if the filter accepted it.
    is_let_in: bool,
}

/// All sources that were tested; none if neither the sensor nor a rule distinguishes sources.
pub fn measure(subject: &PredeploySubject) -> Result<Vec<Caller>> {
    let tried: Vec<(IpAddr, Option<Network>)> = match &subject.sensor.ssh_from {
        SshFrom::Networks(networks) => beside(subject, networks).into_iter().map(|address| (address, None)).collect(),
        SshFrom::Everywhere => peers(subject),
    };
    let families = Lab::families();
    let ports = subject.sensor.ssh.iter();
    let calls: Vec<(Caller, Stimulus)> = ports
        .flat_map(|port| tried.iter().map(move |(address, network)| (*address, *network, *port)))
        .filter(|(address, ..)| families.contains(&Family::from_address(*address)))
        .enumerate()
        .filter_map(|(number, (address, network, port))| {
            let packet = syn(address, port)?;
            let stimulus = packet.stimulus(Family::from_address(address), &subject.scenario.host.addresses, number);
            Some((Caller { address, network, port, is_let_in: false }, stimulus))
        })
        .collect();
    if calls.is_empty() { Ok(Vec::new()) } else { call(subject, calls) }
}

/// A SYN from this address; `None` if no packet can come from it.
fn syn(address: IpAddr, destination: Port) -> Option<Packet> {
    Packet::new(What::Tcp { flags: TcpFlags::SYN, source: None, destination }, Way::From(address), Lead::None).ok()
}

/// Sends the SYNs. Limits are disabled, since the question is whether a source gets in, not how often.
fn call(subject: &PredeploySubject, calls: Vec<(Caller, Stimulus)>) -> Result<Vec<Caller>> {
    let rulesets = subject.rules();
    let spec = subject.spec(&rulesets);
    let (callers, stimuli): (Vec<Caller>, Vec<Stimulus>) = calls.into_iter().unzip();
    let responses = fresh::answers(subject, &spec, &stimuli, |lab, some| lab.send_packets(some, &[]))?;
    let is_let_in =
        |response: &Response| response.own.first().is_some_and(|journey| journey.path.fate == Fate::Accepted);
    let answered = callers.into_iter().zip(&responses);
    Ok(answered.map(|(caller, response)| Caller { is_let_in: is_let_in(response), ..caller }).collect())
}

/// The prober, the addresses just before and after each network, and a distant one: those of them that are in none of
/// the networks.
fn beside(subject: &PredeploySubject, networks: &[Network]) -> BTreeSet<IpAddr> {
    let is_outside = |address: &IpAddr| !subject.sensor.ssh_from.contains(*address) && can_call(subject, *address);
    let mut outside: BTreeSet<IpAddr> =
        Family::BOTH.map(|family| subject.scenario.host.addresses.prober(family)).into();
    outside.retain(is_outside);
    for network in networks {
        outside.extend(network.before().find(is_outside));
        outside.extend(network.after().find(is_outside));
    }
    outside.extend(Family::BOTH.into_iter().filter_map(|family| far(family).find(is_outside)));
    outside
}

/// One address in each network that a rule names, the administrator, and in either family one address in none of them.
fn peers(subject: &PredeploySubject) -> Vec<(IpAddr, Option<Network>)> {
    let mut named: Vec<Network> = Family::BOTH.into_iter().flat_map(|family| named(subject, family)).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let is_in = |named: &[Network], address: IpAddr| named.iter().any(|network| network.contains(address));
    let alone = subject.admins.iter().filter(|admin| !is_in(&named, **admin));
    let alone: Vec<Network> = alone.filter_map(|admin| admin.to_string().parse().ok()).collect();
    named.extend(alone);
    let of = |network: &Network| {
        let somebody = network.first_machines().find(|address| can_call(subject, *address))?;
        Some((somebody, Some(*network)))
    };
    let strangers = Family::BOTH.into_iter().filter_map(|family| far(family).find(|far| !is_in(&named, *far)));
    named.iter().filter_map(of).chain(strangers.map(|stranger| (stranger, None))).collect()
}

/// The maximum number of networks that are tested: a ruleset with more of them usually has a list of denied ones, too.
const ASKED: usize = 64;

fn named(subject: &PredeploySubject, family: Family) -> Vec<Network> {
    let Some((_, source)) = subject.rulesets.iter().find(|(of, _)| *of == family) else { return Vec::new() };
    let listing = Listing::parse(family, source);
    let rules = listing.rules().filter(|rule| !rule.denies());
    let clauses = rules.flat_map(|rule| rule.clauses.iter().filter(|clause| !clause.negated));
    let networks = clauses.filter_map(|clause| match &clause.ask {
        Match::Source(prefix) if !prefix.is_everything() => Network::new(prefix.address, prefix.prefix_len()?),
        _ => None,
    });
    networks.collect::<BTreeSet<Network>>().into_iter().take(ASKED).collect()
}

fn can_call(subject: &PredeploySubject, address: IpAddr) -> bool {
    syn(address, Port(1)).is_some() && subject.scenario.host.addresses.may_send(address)
}

/// Distant addresses, of which at least one is in no rule (RFC 5737, RFC 3849, RFC 6598, RFC 4193).
fn far(family: Family) -> impl Iterator<Item = IpAddr> {
    let v4 = [[198, 51, 100, 77], [192, 0, 2, 77], [203, 0, 113, 177], [100, 64, 0, 77], [10, 77, 77, 77]];
    let v6 = [[0x2001, 0xdb8, 0xffff], [0x2001, 0xdb8, 0x7777], [0x2600, 0x77, 0x77], [0xfd00, 0x77, 0x77]];
    let v4 = v4.into_iter().map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = v6.into_iter().map(|[a, b, c]| IpAddr::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0x77)));
    v4.chain(v6).filter(move |address| Family::from_address(*address) == family)
}

/// True if SSH over `family` is closed to all tested sources outside `ssh_from`.
pub fn drops_other_sources(callers: &[Caller], family: Family) -> bool {
    callers.iter().filter(|caller| Family::from_address(caller.address) == family).all(|caller| !caller.is_let_in)
}

/// The sources outside `ssh_from` that the rules accept; empty if the sensor accepts SSH from everywhere.
pub fn unnamed_peers(subject: &PredeploySubject, callers: &[Caller]) -> Vec<Fact> {
    if !subject.sensor.ssh_from.is_said() {
        return Vec::new();
    }
    let of_port = |port: &Port| {
        let tried: Vec<&Caller> = callers.iter().filter(|caller| caller.port == *port).collect();
        let let_in: Vec<String> =
            tried.iter().filter(|caller| caller.is_let_in).map(|caller| caller.address.to_string()).collect();
        match let_in.is_empty() {
            true => Fact::new(
                Assessment::Good,
                format!(
                    "SSH (port {port}): only addresses in `ssh_from` are accepted; {} others were tested",
                    tried.len()
                ),
            ),
            false => Fact::new(
                Assessment::Bad,
                format!("SSH (port {port}) accepts {}, which `ssh_from` does not name", let_in.join(", ")),
            ),
        }
    };
    subject.sensor.ssh.iter().map(of_port).collect()
}

/// The `ssh_from` that describes the rules, if they accept some sources only and the sensor accepts all.
pub fn sensor_change(subject: &PredeploySubject, callers: &[Caller]) -> Option<Fact> {
    if subject.sensor.ssh_from.is_said() || callers.iter().all(|caller| caller.is_let_in) {
        return None;
    }
    let widest: Vec<String> = widest(&networks(callers)).iter().map(|network| format!("\"{network}\"")).collect();
    let text = "the rules accept SSH from some addresses only, and the sensor file from everywhere";
    let fix = format!("if the rules are right, set `ssh_from = [{}]` in the sensor file", widest.join(", "));
    let ssh = RelatedChecks::Connections(subject.sensor.ssh.iter().copied().collect());
    (!widest.is_empty()).then(|| Fact::new(Assessment::Note, text).fixed_by(fix).about(&Families::default(), ssh))
}

/// The networks of the sources that the rules accept; everything for a source that no rule names.
pub fn networks(callers: &[Caller]) -> BTreeSet<Network> {
    let let_in = callers.iter().filter(|caller| caller.is_let_in);
    let everything = |caller: &Caller| Network::everything(Family::from_address(caller.address));
    let_in.map(|caller| caller.network.unwrap_or_else(|| everything(caller))).collect()
}

/// The networks that are in no other one, as `ssh_from` requires.
pub fn widest(networks: &BTreeSet<Network>) -> Vec<Network> {
    let is_in_another = |one: &Network| networks.iter().any(|other| other != one && other.covers(one));
    networks.iter().copied().filter(|one| !is_in_another(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contained_networks_are_merged_into_the_widest() {
        let texts = ["10.1.0.0/16", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "2001:db8:aaaa::/48", "::/0"];
        let networks = texts.iter().map(|text| text.parse().unwrap()).collect();
        let widest: Vec<String> = widest(&networks).iter().map(Network::to_string).collect();
        assert_eq!(widest, ["10.0.0.0/8", "192.0.2.7/32", "::/0"]);
    }

    #[test]
    fn somebody_is_far_away_in_either_family() {
        for family in Family::BOTH {
            assert!(far(family).count() >= 4 && far(family).all(|address| Family::from_address(address) == family));
        }
    }
}
