//! The default deny, and the packets that a host needs in spite of it.

use crate::net::Family;
use crate::sensor::Deny;

/// Loopback: programs of the host use it, such as its resolver and its log shipper.
pub fn loopback() -> String {
    "-i lo -j ACCEPT".to_owned()
}

/// The default deny: of TCP, or of everything but the ICMP that has to arrive.
pub fn rules(deny: Deny, family: Family) -> Vec<String> {
    match deny {
        Deny::Tcp => vec!["-p tcp -j DROP".to_owned()],
        Deny::All => needed_icmp_and_deny(family),
    }
}

fn needed_icmp_and_deny(family: Family) -> Vec<String> {
    let mut rules = family.pick(icmp_errors(), icmpv6_needed());
    rules.push("-j DROP".to_owned());
    rules
}

/// Destination unreachable (path MTU discovery, RFC 1191), time exceeded, parameter problem.
fn icmp_errors() -> Vec<String> {
    [3, 11, 12].map(|kind| format!("-p icmp -m icmp --icmp-type {kind} -j ACCEPT")).into()
}

/// RFC 4890, section 4.4.1, "Traffic That Must Not Be Dropped": errors (1 to 4), neighbour and router discovery (133 to
/// 136), multicast listener discovery (130 to 132 and 143). Conntrack leaves 133 to 136 untracked, so no rule for
/// ESTABLISHED accepts them; without them the host has no neighbours, and even an accepted port is unreachable.
fn icmpv6_needed() -> Vec<String> {
    let accept = |kind: &u8| format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT");
    // RFC 4861, section 6.1 and 7.1: a hop limit of 255 proves that the packet comes from the link itself.
    let from_link = |kind: &u8| format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -m hl --hl-eq 255 -j ACCEPT");
    let errors = [1, 2, 3, 4];
    let neighbours = [133, 134, 135, 136];
    let listeners = [130, 131, 132, 143];
    errors.iter().map(accept).chain(neighbours.iter().map(from_link)).chain(listeners.iter().map(accept)).collect()
}
