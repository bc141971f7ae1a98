//! Packets that leave what a lab models. Their result there is not observed, so no conclusion is drawn from it.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::net::port::Port;
use crate::net::{Addresses, Family};

/// The destination of a packet that left the modelled world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftTheWorld {
    /// To another machine: its destination, after DNAT, is no address of the host.
    Forwarded {
        /// That destination.
        to: IpAddr,
        /// Its port, for protocols that have ports.
        port: Option<Port>,
    },
    /// To a program that reads a queue (NFQUEUE, QUEUE). In a lab no program reads it.
    Queued {
        /// The number of the first queue.
        first: u16,
        /// The number of the last queue; the same unless `--queue-balance` names a range.
        last: u16,
    },
    /// To a transparent proxy (TPROXY).
    Proxied {
        /// The address of the proxy, if the rule names one.
        to: Option<IpAddr>,
        /// The port of the proxy; `None` for the packet's own.
        port: Option<Port>,
    },
}

impl LeftTheWorld {
    /// The destination of a packet whose last step is this rule, if its target removed the packet from the modelled
    /// world. The caller has checked that the packet was not accepted.
    pub fn by(rule: &str, is_stolen: bool) -> Option<LeftTheWorld> {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let after = |option: &[&str]| {
            let at = words.iter().position(|word| option.contains(word))?;
            words.get(at + 1).copied()
        };
        match after(&["-j", "--jump", "-g", "--goto"])? {
            "NFQUEUE" if is_stolen => {
                let number = after(&["--queue-num"]).map(|number| (number, number));
                let range = || after(&["--queue-balance"])?.split_once(':');
                let (first, last) = number.or_else(range).unwrap_or(("0", "0"));
                Some(LeftTheWorld::Queued { first: first.parse().ok()?, last: last.parse().ok()? })
            }
            "QUEUE" if is_stolen => Some(LeftTheWorld::Queued { first: 0, last: 0 }),
            "TPROXY" => Some(LeftTheWorld::Proxied {
                to: after(&["--on-ip"]).and_then(|address| address.parse().ok()),
                port: after(&["--on-port"]).and_then(|port| port.parse().ok()).map(Port),
            }),
            _ => None,
        }
    }

    /// True if the target of this rule is one of [`Self::TARGETS`].
    pub fn can_be_by(rule: &str) -> bool {
        let target = rule.split_once("-j ").and_then(|(_, words)| words.split(' ').next());
        target.is_some_and(|target| LeftTheWorld::TARGETS.contains(&target))
    }

    /// The targets that can remove a scan's packet, which goes to an address of the host, from the modelled world.
    pub const TARGETS: [&str; 5] = ["DNAT", "NETMAP", "NFQUEUE", "QUEUE", "TPROXY"];
}

/// `forwarded to 172.17.0.2:5432`
impl fmt::Display for LeftTheWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            LeftTheWorld::Forwarded { to, port } => {
                f.write_str("forwarded to ")?;
                end(f, to, port)
            }
            LeftTheWorld::Queued { first, last } if first == last => write!(f, "queued to NFQUEUE {first}"),
            LeftTheWorld::Queued { first, last } => write!(f, "queued to NFQUEUE {first}:{last}"),
            LeftTheWorld::Proxied { to: Some(to), port } if !to.is_unspecified() => {
                f.write_str("tproxy to ")?;
                end(f, to, port)
            }
            LeftTheWorld::Proxied { port: Some(port), .. } => write!(f, "tproxy to port {port}"),
            LeftTheWorld::Proxied { port: None, .. } => f.write_str("tproxy to its own port"),
        }
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`
fn end(f: &mut fmt::Formatter<'_>, address: IpAddr, port: Option<Port>) -> fmt::Result {
    match (address, port) {
        (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
        (address, Some(port)) => write!(f, "{address}:{port}"),
        (address, None) => write!(f, "{address}"),
    }
}

impl Serialize for LeftTheWorld {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// True if routing treats `address` as that of another machine. A host does not forward multicast or the link's
/// broadcast.
pub fn is_foreign(address: IpAddr, addresses: &Addresses) -> bool {
    let is_own = match address {
        IpAddr::V4(v4) => {
            let is_broadcast = address == addresses.link(Family::Ipv4).last();
            v4 == addresses.v4.host || v4.is_broadcast() || is_broadcast || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6 == addresses.v6.host || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    !(is_own || address.is_loopback() || address.is_multicast())
}

#[cfg(test)]
mod tests;
