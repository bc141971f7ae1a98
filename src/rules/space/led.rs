//! Packets that nat PREROUTING redirects, as they are sent: those that the filter then accepts, and those for another
//! machine.

use std::net::IpAddr;

use super::TooMany;
use super::region::{PacketField, Region};
use super::sets::Sets;
use super::values::Values;
use super::walk::Leaf;
use crate::net::{Family, number};

/// Packets that one rule of nat redirects to another port or address.
#[derive(Debug, Clone)]
pub struct Led<'a> {
    /// The packets, as they are sent.
    pub region: Region,
    /// Their path through nat, which ends at the rule.
    pub leaf: Leaf<'a>,
    /// True if they stay on the host, whose filter accepts them; false if they go to another machine.
    pub is_for_host: bool,
    /// The destination ports that the rule sets; `None` if they keep theirs.
    pub ports: Option<Values>,
}

impl<'a> Sets<'a> {
    /// The packets of `start` that nat PREROUTING redirects, and that filter INPUT accepts or a host with the address
    /// `host` forwards.
    ///
    /// # Errors
    ///
    /// If the sets split into too many parts.
    pub fn led(&self, start: &Region, host: IpAddr) -> Result<Vec<Led<'a>>, TooMany> {
        let leaves = self.leaves(("nat", "PREROUTING"), start)?;
        let changed = leaves.into_iter().filter(|leaf| &*leaf.end != "ACCEPT");
        let led: Vec<Vec<Led>> = changed.map(|leaf| self.after(leaf, host)).collect::<Result<_, TooMany>>()?;
        Ok(led.into_iter().flatten().collect())
    }

    /// Their result after nat.
    fn after(&self, leaf: Leaf<'a>, host: IpAddr) -> Result<Vec<Led<'a>>, TooMany> {
        let (own, change) = (own(host), NatRewrite::from_target(&leaf.end, host));
        let mut after = leaf.region.clone();
        for (field, values) in change.fields() {
            after = values.iter().fold(after, |after, values| after.changed(field, values));
        }
        let leaves = after.with(PacketField::Destination, &own).map(|after| self.leaves(("filter", "INPUT"), &after));
        let accepted = leaves.transpose()?.into_iter().flatten().filter(|leaf| &*leaf.end == "ACCEPT");
        let led = |region, is_for_host| Led { region, leaf: leaf.clone(), is_for_host, ports: change.ports.clone() };
        let mut all: Vec<Led> =
            accepted.map(|accepted| led(change.undone(&accepted.region, &leaf.region), true)).collect();
        let is_for_others = !after.values(PacketField::Destination).difference(&own).is_empty();
        all.extend((is_for_others && change.destination.is_some()).then(|| led(leaf.region.clone(), false)));
        Ok(all)
    }
}

/// The address of a host, with its loopback addresses.
fn own(host: IpAddr) -> Values {
    let loopback = Family::from_address(host).pick(0x7f00_0000..=0x7fff_ffff, 1..=1);
    Values::from_ranges([loopback]).union(&Values::these([number(host)]))
}

/// The fields that a target of nat sets; `None` for a field that stays.
struct NatRewrite {
    destination: Option<Values>,
    ports: Option<Values>,
}

impl NatRewrite {
    /// The change by `target`; any change, if it is unsupported.
    fn from_target(target: &str, host: IpAddr) -> NatRewrite {
        let family = Family::from_address(host);
        let words: Vec<&str> = target.split([' ', '=']).collect();
        let option = words.iter().position(|word| word.starts_with("--to"));
        let argument = option.and_then(|place| words.get(place + 1).copied());
        match (words[0], argument) {
            // nf_nat_redirect: the address of the interface that the packet arrived on.
            ("REDIRECT", to) => NatRewrite { destination: Some(Values::these([number(host)])), ports: to.map(ports) },
            ("DNAT", Some(to)) => {
                let (address, port) = ends(to, family);
                let destination = (!address.is_empty()).then(|| addresses(address, family));
                NatRewrite { destination, ports: port.map(ports) }
            }
            _ => NatRewrite { destination: Some(every(family)), ports: Some(any_port()) },
        }
    }

    fn fields(&self) -> [(PacketField, &Option<Values>); 2] {
        [(PacketField::Destination, &self.destination), (PacketField::DestinationPort, &self.ports)]
    }

    /// The packets of `after` as they were in `before`.
    fn undone(&self, after: &Region, before: &Region) -> Region {
        let written = self.fields().into_iter().filter(|(_, values)| values.is_some());
        written.fold(after.clone(), |region, (field, _)| region.changed(field, before.values(field)))
    }
}

/// The address and the port of `--to-destination`.
fn ends(text: &str, family: Family) -> (&str, Option<&str>) {
    match (family, text.strip_prefix('[').and_then(|rest| rest.split_once(']'))) {
        (_, Some((address, port))) => (address, port.strip_prefix(':')),
        (Family::Ipv4, None) => text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port))),
        (Family::Ipv6, None) => (text, None),
    }
}

fn addresses(text: &str, family: Family) -> Values {
    range(text, |text| text.parse().ok().map(number)).unwrap_or_else(|| every(family))
}

fn ports(text: &str) -> Values {
    let number = |text: &str| text.parse::<u16>().ok().map(u128::from);
    range(text, number).unwrap_or_else(any_port)
}

fn range(text: &str, number: impl Fn(&str) -> Option<u128>) -> Option<Values> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(Values::from_ranges([number(first)?..=number(last)?]))
}

fn any_port() -> Values {
    Values::from_ranges([0..=u16::MAX.into()])
}

fn every(family: Family) -> Values {
    Values::from_ranges([family.numbers()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_nat_write_addresses_and_ports() {
        let one = |number: u128| Some(Values::these([number]));
        let (v4, v6): (IpAddr, IpAddr) = ([203, 0, 113, 10].into(), "2001:db8::10".parse().expect("an address"));
        let host = one(number(v4));
        let docker = one(0xac11_0002);
        for (target, destination, ports) in [
            ("REDIRECT --to-ports 22", host.clone(), one(22)),
            ("REDIRECT --random --to-ports 22-25", host.clone(), Some(Values::from_ranges([22..=25]))),
            ("REDIRECT", host.clone(), None),
            ("REDIRECT --to-port ssh", host.clone(), Some(any_port())),
            ("DNAT --to-destination 172.17.0.2:80", docker.clone(), one(80)),
            ("DNAT --to-destination 172.17.0.2", docker, None),
            ("DNAT --to-destination :22", None, one(22)),
            ("NETMAP --to 10.0.0.0/8", Some(every(Family::Ipv4)), Some(any_port())),
        ] {
            let change = NatRewrite::from_target(target, v4);
            assert_eq!((change.destination, change.ports), (destination, ports), "{target}");
        }
        for (target, ports) in [("[2001:db8::10]:22", one(22)), ("2001:db8::10", None)] {
            let change = NatRewrite::from_target(&format!("DNAT --to-destination {target}"), v6);
            assert_eq!((change.destination, change.ports), (one(number(v6)), ports), "{target}");
        }
    }
}
