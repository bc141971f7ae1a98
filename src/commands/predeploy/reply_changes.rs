//! Rules that change the host's packets in SSH connections, with an effect that no lab with one link shows: on routers,
//! or on TCP options that the lab's client does not send.

use super::kept_out::ConnectionSegment;
use super::{Assessment, Fact, PredeploySubject};
use crate::error::Result;
use crate::net::Family;
use crate::rules::iptables_save::{PlacedRule, Target};
use crate::rules::space::{Region, Sets};

/// A rule that changes packets of the host in an SSH connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyChange {
    family: Family,
    effect: Effect,
    /// The rule, as `FILE:LINE: TEXT`.
    place: String,
}

/// The effect of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// The packet has this hop limit; `None` if it is not known.
    Hops(Option<u8>),
    /// The SYN/ACK has a maximum segment size below the default.
    SegmentSize,
    /// The SYN/ACK lacks TCP options that the host uses.
    StrippedOptions,
    /// Routing rules may use the mark.
    Mark,
}

/// All such rules of `subject`.
pub fn measure(subject: &PredeploySubject) -> Result<Vec<ReplyChange>> {
    subject.of_each_family(|sets| Ok(of_family(subject, sets)))
}

fn of_family(subject: &PredeploySubject, sets: &Sets) -> Vec<ReplyChange> {
    let changing = sets.listing.placed_rules().filter_map(|at| {
        let effect = effect(at.rule.target.as_ref()?, at.table)?;
        is_met(subject, sets, at).then_some((effect, at.rule))
    });
    let family = sets.space.family;
    changing.map(|(effect, rule)| ReplyChange { family, effect, place: sets.listing.quoted(rule) }).collect()
}

fn is_met(subject: &PredeploySubject, sets: &Sets, PlacedRule { table, chain, number, .. }: PlacedRule) -> bool {
    let is_reply = |region: &Region| {
        let reply = ConnectionSegment::OfHost.meant(subject, sets.space.family, region, table);
        reply.is_some_and(|reply| ConnectionSegment::OfHost.can_be(&reply))
    };
    let is_sent = |hook: &str| matches!(hook, "OUTPUT" | "POSTROUTING");
    sets.arrivals(table, chain, number).may_be(|hook, region| is_sent(hook) && is_reply(region))
}

/// The hop limit of Linux, which reaches every host (`IPDEFTTL` in include/uapi/linux/ip.h).
const HOPS: u8 = 64;

/// The segment size of a host that announces none (RFC 9293, section 3.7.1).
const SEGMENT_SIZE: u16 = 536;

/// The effect; `None` if the target changes no field that a client or a router depends on: DSCP, ECN, a checksum, a
/// traffic class.
fn effect(target: &Target, table: &str) -> Option<Effect> {
    match target.name.as_str() {
        "TTL" | "HL" => {
            let hops = hops(target);
            hops.is_none_or(|hops| hops < HOPS).then_some(Effect::Hops(hops))
        }
        "TCPMSS" => {
            let size = target.option("--set-mss").and_then(|size| size.parse::<u16>().ok());
            size.is_some_and(|size| size < SEGMENT_SIZE).then_some(Effect::SegmentSize)
        }
        "TCPOPTSTRIP" => Some(Effect::StrippedOptions),
        // Only mangle OUTPUT repeats the routing decision (iptable_mangle.c), which does not use the connection's mark.
        "MARK" | "HMARK" if table == "mangle" => Some(Effect::Mark),
        "CONNMARK" if table == "mangle" && target.option("--restore-mark").is_some() => Some(Effect::Mark),
        _ => None,
    }
}

/// The hop limit of a packet that the host sends.
fn hops(target: &Target) -> Option<u8> {
    let number = |action: &str| {
        let options = ["--ttl-", "--hl-"].map(|family| format!("{family}{action}"));
        options.iter().find_map(|name| target.option(name)).and_then(|number| number.parse::<u8>().ok())
    };
    let left = number("dec").map(|fewer| HOPS.saturating_sub(fewer));
    number("set").or(left).or(number("inc").map(|more| HOPS.saturating_add(more)))
}

impl ReplyChange {
    /// Its assessment for a deployment, in words.
    pub fn fact(&self) -> Fact {
        let (tone, what) = match self.effect {
            Effect::Hops(Some(hops)) => {
                let routers = match hops {
                    0 | 1 => "no router passes it on".to_owned(),
                    hops => format!("it passes {} routers at most", hops - 1),
                };
                (Assessment::Unknown, format!("with a hop limit of {hops}: {routers}, and the lab has none"))
            }
            Effect::Hops(None) => (Assessment::Unknown, "with another hop limit, and the lab has no router".to_owned()),
            Effect::SegmentSize => {
                let text = "with a maximum segment size below 536, and the lab's client has one size only";
                (Assessment::Unknown, text.to_owned())
            }
            Effect::StrippedOptions => {
                (Assessment::Unknown, "without TCP options that other clients than the lab's may need".to_owned())
            }
            Effect::Mark => {
                let text =
                    "with a mark; whether a routing rule (`ip rule`) of the machine asks for it is not in the rules";
                (Assessment::Note, text.to_owned())
            }
        };
        let family = self.family.title();
        let text = format!("packets of the host in an SSH connection leave over {family} {what}");
        Fact::new(tone, text).by(vec![self.place.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::rules::iptables_save::Listing;

    #[test]
    fn a_target_has_an_effect_beyond_the_link_if_a_router_or_tcp_goes_by_it() {
        for (target, expected) in [
            ("TTL --ttl-set 1", Some(Effect::Hops(Some(1)))),
            ("TTL --ttl-dec 70", Some(Effect::Hops(Some(0)))),
            ("TTL --ttl-dec 40", Some(Effect::Hops(Some(24)))),
            ("TTL --ttl-inc 1", None),
            ("TTL --ttl-set 64", None),
            ("TTL --ttl-set 128", None),
            ("TCPMSS --set-mss 1400", None),
            ("TCPMSS --set-mss 88", Some(Effect::SegmentSize)),
            ("TCPMSS --clamp-mss-to-pmtu", None),
            ("TCPOPTSTRIP --strip-options wscale", Some(Effect::StrippedOptions)),
            ("DSCP --set-dscp 10", None),
            ("TOS --set-tos 16", None),
            ("ECN --ecn-tcp-remove", None),
            ("CHECKSUM --checksum-fill", None),
            ("CLASSIFY --set-class 1:1", None),
            ("CONNMARK --save-mark", None),
            ("CONNMARK --restore-mark", Some(Effect::Mark)),
            ("MARK --set-mark 1", Some(Effect::Mark)),
        ] {
            let text = format!("*mangle\n-A OUTPUT -p tcp -j {target}\nCOMMIT\n");
            let listing = Listing::parse(Family::Ipv4, &Source { name: "rules".into(), text: text.into() });
            let rule = listing.rules().next().expect("a rule");
            assert_eq!(effect(rule.target.as_ref().expect("a target"), "mangle"), expected, "{target}");
        }
    }
}
