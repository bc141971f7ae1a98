//! New SSH connections that the sensor means and the rules keep out, whatever the address and the port of the client: found
//! as sets of packets, and tried with one packet of each.

use super::{Fact, Subject, Tone, holes};
use crate::conntrack::ConntrackState;
use crate::error::Result;
use crate::net::Family;
use crate::space::{Field, Leaf, Region, Sets, Values, state_places, witnesses};

/// Clients that a rule keeps out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOut {
    family: Family,
    /// The rule or the policy, as `FILE:LINE: TEXT`.
    place: String,
    /// The packets in words.
    what: String,
    /// The match on their way that the lab cannot fulfil.
    asked: Option<String>,
    /// How many addresses are kept out.
    addresses: u128,
    /// How many are few among those that the sensor means.
    few: u128,
    /// Whether one of the packets was sent and kept out.
    is_kept_out: bool,
}

/// Chains that a received packet passes, in the order in which it does.
const PASSED: [(&str, &str); 4] =
    [("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("filter", "INPUT")];

/// All clients that the rules of `subject` keep out.
pub fn measure(subject: &Subject) -> Result<Vec<KeptOut>> {
    subject.of_each_family(|sets| of_family(subject, sets))
}

fn of_family(subject: &Subject, sets: &Sets) -> Result<Vec<KeptOut>> {
    let family = sets.space.family;
    let mut all: Vec<KeptOut> = Vec::new();
    for (table, hook) in PASSED {
        for meant in sets.space.universe(table, hook).iter().filter_map(|all| meant(subject, family, all, table)) {
            // What divides into too many kinds is reported by `holes`.
            let found = sets.leaves((table, hook), &meant).unwrap_or_default();
            for leaf in found.into_iter().filter(is_kept_out) {
                let one = kept_out(subject, sets, (&leaf, hook))?;
                match all.iter_mut().find(|known| known.place == one.place) {
                    Some(known) => known.add(one),
                    None => all.push(one),
                }
            }
        }
    }
    Ok(all)
}

/// The SYNs to SSH over the link, from where the sensor lets somebody in, and from a port that clients use (RFC 6056,
/// section 3.2).
fn meant(subject: &Subject, family: Family, all: &Region, table: &str) -> Option<Region> {
    let host = match subject.scenario.host.addresses.host(family) {
        std::net::IpAddr::V4(address) => u128::from(address.to_bits()),
        std::net::IpAddr::V6(address) => address.to_bits(),
    };
    let ports = Values::these(subject.sensor.ssh.iter().map(|port| u128::from(port.0)));
    // In raw, conntrack has not seen the packet.
    let fresh = state_places(&[ConntrackState::New]);
    let states = if table == "raw" { all.values(Field::State).clone() } else { fresh };
    let clients = holes::meant(subject, family).intersection(&clients(family)).difference(&Values::these([host]));
    let wanted = [
        (Field::In, Values::these([0])),
        (Field::State, states),
        (Field::Protocol, Values::these([6])),
        (Field::Flags, Values::these([2])),
        (Field::Whole, Values::these([1])),
        (Field::Destination, Values::these([host])),
        (Field::DestinationPort, ports),
        (Field::SourcePort, Values::of([1024..=65_535])),
        (Field::Source, clients),
    ];
    wanted.iter().try_fold(all.clone(), |region, (field, values)| region.with(*field, values))
}

/// Addresses of machines (RFC 6890): not this network, loopback, link-local, benchmarks, multicast and above.
fn clients(family: Family) -> Values {
    match family {
        Family::Ipv4 => {
            let v4 = |[first, last]: [[u8; 4]; 2]| u32::from_be_bytes(first).into()..=u32::from_be_bytes(last).into();
            let others = [
                [[0, 0, 0, 0], [0, 255, 255, 255]],
                [[127, 0, 0, 0], [127, 255, 255, 255]],
                [[169, 254, 0, 0], [169, 254, 255, 255]],
                [[198, 18, 0, 0], [198, 19, 255, 255]],
                [[224, 0, 0, 0], [255, 255, 255, 255]],
            ];
            Values::of([0..=u128::from(u32::MAX)]).difference(&Values::of(others.map(v4)))
        }
        Family::Ipv6 => {
            let prefix = |first: u128, length: u32| first << 112..=(first << 112 | (u128::MAX >> length));
            Values::of([prefix(0x2000, 3), prefix(0xfc00, 7)])
        }
    }
}

/// Limits are measured by connections in a row (`lockout`).
fn is_kept_out(leaf: &Leaf) -> bool {
    let counts = |key: &str| COUNTING.iter().any(|name| key.contains(&format!("-m {name}")));
    let target = leaf.end.split(' ').next();
    matches!(target, Some("DROP" | "REJECT")) && !leaf.region.answers().any(|(key, _)| counts(key))
}

const COUNTING: [&str; 5] = ["limit", "hashlimit", "recent", "connlimit", "quota"];

fn kept_out(subject: &Subject, sets: &Sets, (leaf, hook): (&Leaf, &str)) -> Result<KeptOut> {
    let space = &sets.space;
    // The packet is sent as it is received, whichever chain drops it.
    let found = witnesses(space, &leaf.region, "INPUT", &subject.scenario.host.addresses);
    let is_let_in = found.first().map(|witness| holes::try_out(subject, witness)).transpose()?;
    Ok(KeptOut {
        family: space.family,
        place: holes::place(sets.listing, leaf, hook),
        what: space.describe(&leaf.region),
        asked: space.opaque(&leaf.region).map(str::to_owned),
        addresses: size(leaf.region.values(Field::Source)),
        few: few(space.family).min(size(&holes::meant(subject, space.family)) >> 8),
        is_kept_out: is_let_in == Some(false),
    })
}

impl KeptOut {
    fn add(&mut self, other: KeptOut) {
        let addresses = self.addresses.saturating_add(other.addresses);
        if !self.is_kept_out && other.is_kept_out {
            *self = other;
        }
        self.addresses = addresses;
    }

    /// What it means for a deployment. A list of single machines or small networks (fail2ban) is something to know.
    pub fn fact(&self) -> Fact {
        let KeptOut { family, place, what, .. } = self;
        let family = family.title();
        let is_list = self.addresses <= self.few;
        match (self.is_kept_out, &self.asked) {
            (true, _) => Fact::new(
                if is_list { Tone::Note } else { Tone::Bad },
                format!("a new SSH connection that the sensor means is kept out over {family}: {what}: {place}"),
            ),
            (false, asked) => {
                let because =
                    asked.as_ref().map(|asked| format!(", since no probe varies {asked}")).unwrap_or_default();
                let text = format!("{what} may be kept out over {family}, which was not tried{because}: {place}");
                Fact::new(Tone::Unknown, text)
            }
        }
    }
}

/// A network of IPv4, or a site of IPv6 (RFC 6177).
fn few(family: Family) -> u128 {
    match family {
        Family::Ipv4 => 1 << 8,
        Family::Ipv6 => 1 << 80,
    }
}

fn size(values: &Values) -> u128 {
    let each = values.ranges().map(|range| (range.end() - range.start()).saturating_add(1));
    each.fold(0, u128::saturating_add)
}
