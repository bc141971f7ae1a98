//! Packets of other protocols than TCP and UDP, one of each kind that a ruleset may forget. The ICMP that IPv6 and path
//! MTU discovery need (neighbour discovery, ICMP errors) is not tested: it must be accepted.

use super::holes::Hole;
use super::{PredeploySubject, fresh};
use crate::error::Result;
use crate::lab::Lab;
use crate::net::Family;
use crate::probe::packet::{Lead, Response, Stimulus, StimulusSender};
use crate::probe::path::Fate;
use crate::wire::headers::{Content, Headers};

/// A kind of packet that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherProtocol {
    /// `ping`.
    Echo,
    /// IGMP, of IPv4 only (RFC 9776).
    Igmp,
    /// GRE (RFC 2784).
    Gre,
    /// ESP of IPsec (RFC 4303).
    Esp,
}

impl OtherProtocol {
    /// The kinds of a family.
    pub fn in_family(family: Family) -> Vec<OtherProtocol> {
        use OtherProtocol::{Echo, Esp, Gre, Igmp};
        family.pick(vec![Echo, Igmp, Gre, Esp], vec![Echo, Gre, Esp])
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            OtherProtocol::Echo => "ping",
            OtherProtocol::Igmp => "IGMP",
            OtherProtocol::Gre => "GRE",
            OtherProtocol::Esp => "ESP",
        }
    }

    /// True if `hole` contains such packets.
    pub fn is_in(self, hole: &Hole) -> bool {
        match self.content(hole.family) {
            (number, Content::Icmp { kind, .. }) => hole.has_protocol(number) && hole.has_message(kind),
            (number, _) => hole.has_protocol(number),
        }
    }

    /// Its number (IANA), and its payload.
    const fn content(self, family: Family) -> (u8, Content) {
        match (self, family) {
            (OtherProtocol::Echo, Family::Ipv4) => (1, Content::Icmp { kind: 8, code: 0 }),
            (OtherProtocol::Echo, Family::Ipv6) => (58, Content::Icmp { kind: 128, code: 0 }),
            (OtherProtocol::Igmp, _) => (2, Content::Other),
            (OtherProtocol::Gre, _) => (47, Content::Other),
            (OtherProtocol::Esp, _) => (50, Content::Other),
        }
    }
}

/// The kinds that the filter of each family accepts, by the paths of their packets.
pub fn let_in(subject: &PredeploySubject) -> Result<Vec<(Family, Vec<OtherProtocol>)>> {
    let host = &subject.scenario.host;
    let stimulus = |family: Family, other: OtherProtocol| {
        let (protocol, content) = other.content(family);
        let (source, destination) = (host.addresses.prober(family), host.addresses.host(family));
        Stimulus {
            sender: StimulusSender::Prober,
            lead: Lead::None,
            headers: Headers { source, destination, protocol, content },
        }
    };
    let rulesets = subject.rules();
    let spec = subject.spec(&rulesets);
    let families = Lab::families();
    let packets: Vec<(Family, OtherProtocol)> = families
        .iter()
        .flat_map(|family| OtherProtocol::in_family(*family).into_iter().map(|other| (*family, other)))
        .collect();
    let stimuli: Vec<Stimulus> = packets.iter().map(|(family, other)| stimulus(*family, *other)).collect();
    let responses = fresh::answers(subject, &spec, &stimuli, |lab, some| lab.send_any(some))?;
    let is_let_in =
        |response: &Response| response.own.first().is_some_and(|journey| journey.path.fate == Fate::Accepted);
    let open = |family: Family| {
        let answered = packets.iter().zip(&responses).filter(|((of, _), _)| *of == family);
        answered.filter(|(_, response)| is_let_in(response)).map(|((_, other), _)| *other).collect()
    };
    Ok(families.into_iter().map(|family| (family, open(family))).collect())
}
