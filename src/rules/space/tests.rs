use super::*;
use crate::error::Source;
use crate::net::port::Port;
use crate::net::{Family, InterfaceName, number};
use crate::rules::iptables_save::{Listing, MatchResult, Packet};
use crate::wire::headers::Content;

fn listing(rules: &[&str]) -> Listing {
    let text = format!("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:LAN - [0:0]\n{}\nCOMMIT\n", rules.join("\n"));
    Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() })
}

/// True if no packet reaches the last rule of INPUT.
fn is_dead(rules: &[&str]) -> bool {
    let listing = listing(rules);
    let space = Space::new(&[&listing], &InterfaceName::default());
    let number = listing.chain("filter", "INPUT").expect("INPUT").rules.len();
    let sets = Sets::new(space, &listing);
    let arrivals = sets.arrivals("filter", "INPUT", number);
    arrivals.is_all && arrivals.found.is_empty()
}

fn is_same(one: &[&str], other: &[&str]) -> bool {
    let (one, other) = (listing(one), listing(other));
    let space = Space::new(&[&one, &other], &InterfaceName::default());
    compare(&space, [&one, &other]).is_ok_and(|gaps| gaps.is_empty())
}

#[test]
fn a_rule_is_dead_if_those_before_it_take_all_its_packets() {
    for rules in [
        &["-A INPUT -p tcp -j DROP", "-A INPUT -p tcp --dport 22 -j LOG"][..],
        &["-A INPUT -m state --state INVALID -j DROP", "-A INPUT -p tcp --tcp-flags ALL NONE -j LOG"],
        &[
            "-A INPUT -p tcp --dport 0:1024 -j DROP",
            "-A INPUT -p tcp --dport 1025: -j DROP",
            "-A INPUT -p tcp --syn -j LOG",
        ],
        &["-A INPUT -i lo -j ACCEPT", "-A INPUT ! -i lo -j DROP", "-A INPUT -j LOG"],
        &["-A INPUT -m ttl --ttl-lt 10 -j DROP", "-A INPUT -p tcp -m ttl --ttl-lt 10 -j LOG"],
        &["-A INPUT -j LAN", "-A LAN -p tcp -j ACCEPT", "-A INPUT -p tcp --dport 22 -j LOG"],
        &["-A INPUT -s 10.0.0.0/9 -j DROP", "-A INPUT -s 10.128.0.0/9 -j DROP", "-A INPUT -s 10.0.0.0/8 -j LOG"],
    ] {
        assert!(is_dead(rules), "{rules:?}");
    }
}

/// Each of these was once called dead, and a packet reaches it.
#[test]
fn a_rule_that_one_packet_reaches_is_not_dead() {
    for rules in [
        &[
            "-A INPUT -p icmp --icmp-type 8 -j ACCEPT",
            "-A INPUT -p icmp --icmp-type 0 -j ACCEPT",
            "-A INPUT -p icmp -j LOG",
        ][..],
        &["-A INPUT -p tcp --sport 1024:65535 -j ACCEPT", "-A INPUT -p tcp --dport 80 -j LOG"],
        &["-A INPUT -p tcp --dport 1:65535 -j ACCEPT", "-A INPUT -p tcp -j LOG"],
        &["-A INPUT -p tcp --dport 0:65535 -j ACCEPT", "-A INPUT -p tcp -j LOG"],
        &["-A INPUT -i lo -j ACCEPT", "-A INPUT -i eth0 -j ACCEPT", "-A INPUT -j LOG"],
        &["-A INPUT -i eth+ -j ACCEPT", "-A INPUT ! -i eth0 -j LOG"],
        &["-A INPUT -d 203.0.113.10 -j ACCEPT", "-A INPUT -j LOG"],
        &["-A INPUT -m length --length 40:60 -j LAN", "-A LAN -j ACCEPT", "-A INPUT -j LOG"],
        &["-A INPUT -m ttl --ttl-lt 10 -j DROP", "-A INPUT -m ttl --ttl-lt 30 -j LOG"],
        &["-A INPUT -m limit --limit 1/s -j DROP", "-A INPUT -m limit --limit 1/s -j LOG"],
        &["-A INPUT -m recent --rcheck --name x -j DROP", "-A INPUT -m recent --rcheck --name x -j LOG"],
        &["-A INPUT -m mark --mark 1 -j DROP", "-A INPUT -j MARK --set-mark 1", "-A INPUT -m mark --mark 1 -j LOG"],
        &["-A INPUT -m state --state INVALID -j DROP", "-A INPUT -p tcp --syn -j LOG"],
        &["-A INPUT -p icmp --icmp-type 8 -m state --state NEW -j ACCEPT", "-A INPUT -p icmp --icmp-type 8 -j LOG"],
        &["-A INPUT -p udp -m state --state NEW,ESTABLISHED,RELATED -j ACCEPT", "-A INPUT -p udp -j LOG"],
    ] {
        assert!(!is_dead(rules), "{rules:?}");
    }
}

/// iptables-nft leaves out a match of all ports together with its `!`, x_tables does not.
#[test]
fn what_excludes_all_ports_or_flags_depends_on_the_backend() {
    for rule in ["-p tcp ! --sport 0:65535", "-p udp ! --dport 0:65535", "-p tcp ! --tcp-flags NONE NONE"] {
        let (drops, logs) = (format!("-A INPUT {rule} -j DROP"), format!("-A INPUT {rule} -j LOG"));
        assert!(!is_dead(&[&logs]), "{rule}");
        assert!(!is_dead(&[&drops, "-A INPUT -j LOG"]), "{rule}");
        assert!(is_dead(&[&drops, &logs]), "{rule}");
    }
}

#[test]
fn a_rule_that_changes_nothing_may_go() {
    let ssh = "-A INPUT -p tcp --dport 22 -j ACCEPT";
    assert!(is_same(&[ssh], &[ssh, "-A INPUT -p udp -j DROP"]), "the policy does the same");
    assert!(is_same(&[ssh], &[ssh, ssh]));
    assert!(is_same(&["-A INPUT -j REJECT"], &["-A INPUT -j REJECT --reject-with port-unreach"]));
    assert!(is_same(&["-A INPUT -p tcp --dport 22 -j ACCEPT"], &["-A INPUT -p 6 -m tcp --dport ssh -j ACCEPT"]));
    let limited = "-A INPUT -m limit --limit 1/s -j LOG";
    assert!(
        is_same(&["-A INPUT -p udp -j DROP", ssh], &["-A INPUT -p udp -m limit -j DROP", ssh]),
        "the policy drops the rest"
    );
    assert!(!is_same(&["-A INPUT -p tcp -j DROP", ssh], &["-A INPUT -p tcp -m limit -j DROP", ssh]));
    assert!(is_same(&[limited, ssh, "-A INPUT -p udp -j DROP"], &[limited, ssh]));
}

/// Each pair was once called equal, and a packet shows a difference.
#[test]
fn a_change_that_one_packet_shows_is_a_difference() {
    let (high, web) = ("-A INPUT -p tcp --sport 1024: -j ACCEPT", "-A INPUT -p tcp --dport 80 -j ACCEPT");
    for (one, other) in [
        (&["-A INPUT -p icmp --icmp-type 8 -j ACCEPT"][..], &["-A INPUT -p icmp -j ACCEPT"][..]),
        (
            &["-A INPUT -i lo -j ACCEPT", "-A INPUT -i eth0 -p tcp -j ACCEPT"],
            &["-A INPUT -i lo -j ACCEPT", "-A INPUT -p tcp -j ACCEPT"],
        ),
        (&[high, web], &[high]),
        (&["-A INPUT -m ttl --ttl-lt 10 -j ACCEPT"], &["-A INPUT -m ttl --ttl-lt 30 -j ACCEPT"]),
        (&["-A INPUT -j LOG"], &["-A INPUT -j LOG --log-level debug"]),
        (&["-A INPUT -m limit --limit 1/s -j LOG"], &["-A INPUT -m limit --limit 2/s -j LOG"]),
        (
            &["-A INPUT -m limit --limit 1/h -m limit --limit 5/s -j ACCEPT"],
            &["-A INPUT -m limit --limit 5/s -j ACCEPT"],
        ),
        (&["-A FORWARD -p tcp -j ACCEPT"], &[]),
        (
            &[
                "-A INPUT -p tcp --dport 22 -j LAN",
                "-A INPUT -p tcp --dport 23 -j LAN",
                "-A LAN -m limit --limit 1/s -j LOG",
            ],
            &[
                "-A INPUT -p tcp --dport 22 -m limit --limit 1/s -j LOG",
                "-A INPUT -p tcp --dport 23 -m limit --limit 1/s -j LOG",
            ],
        ),
    ] {
        assert!(!is_same(one, other), "{one:?} {other:?}");
        assert!(is_same(one, one));
    }
}

#[test]
fn more_parts_than_are_looked_at_prove_nothing() {
    let rules: Vec<String> = (0..24)
        .map(|at| {
            format!(
                "-A INPUT -p tcp -s 10.{at}.0.0/16 -d 10.{at}.1.1 --sport {at}00 -m ttl --ttl-eq {at} -m limit -j LAN"
            )
        })
        .chain(["-A INPUT -p tcp -j LOG".to_owned()])
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    assert!(!is_dead(&rules));
}

/// Each rule drops the packets from one address, and the last one repeats the first.
fn many(count: usize) -> Listing {
    let drop = |number: usize| format!("-A INPUT -s 10.0.{}.{} -p tcp -j DROP", number / 256, number % 256);
    let rules: Vec<String> = (0..count).chain([0]).map(drop).collect();
    listing(&rules.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn three_thousand_rules_need_less_than_all_steps() {
    let listing = many(3_000);
    let sets = Sets::new(Space::new(&[&listing], &InterfaceName::default()), &listing);
    let is_dead = |number: &usize| {
        let arrivals = sets.arrivals("filter", "INPUT", *number);
        assert!(arrivals.is_all, "rule {number}");
        arrivals.found.is_empty()
    };
    assert_eq!((1..=3_001).filter(is_dead).collect::<Vec<_>>(), [3_001]);
}

#[test]
fn a_difference_among_three_thousand_rules_is_found() {
    let (one, other) = (many(3_000), many(2_999));
    let space = Space::new(&[&one, &other], &InterfaceName::default());
    assert!(compare(&space, [&one, &one]).is_ok_and(|gaps| gaps.is_empty()));
    let gaps = compare(&space, [&one, &other]).expect("few parts");
    assert_eq!(gaps.len(), 0, "the policy drops the packets, too");
    let accepts = Listing::parse(
        Family::Ipv4,
        &Source { text: other.source.text.replace("INPUT DROP", "INPUT ACCEPT").into(), ..other.source.clone() },
    );
    assert!(compare(&space, [&one, &accepts]).is_ok_and(|gaps| !gaps.is_empty()));
}

/// Without any steps left, a dead rule is not proved to be dead.
#[test]
fn without_steps_nothing_is_proved() {
    let listing = many(20);
    let sets = Sets::new(Space::new(&[&listing], &InterfaceName::default()), &listing);
    let start = sets.space.universe("filter", "INPUT").remove(0);
    assert!(sets.leaves(("filter", "INPUT"), &start).is_ok());
    sets.left.set(30);
    assert!(sets.leaves(("filter", "INPUT"), &start).is_err());
    let arrivals = sets.arrivals("filter", "INPUT", 21);
    assert!(!arrivals.is_all && arrivals.found.is_empty());
}

/// The same numbers every time (a linear congruential generator, Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn rule(&mut self, chain: &str, targets: &[&str]) -> String {
        let (network, port, other) = (self.below(64), self.below(64), self.below(64));
        let (network, ports) =
            (format!("10.0.0.{}/{}", network * 4, 27 + self.below(6)), format!("{port}:{}", port + 3));
        let asked = match self.below(8) {
            0..=2 => format!("-s {network}"),
            3 | 4 => format!("-p tcp --dport {port}"),
            5 => format!("-p udp --sport {ports}"),
            6 => format!("-s {network} -p tcp --dport {ports}"),
            _ => format!("-p tcp -m multiport --dports {port},{other}"),
        };
        format!("-A {chain} {asked} -j {}", targets[self.below(targets.len())])
    }

    fn packet(&mut self) -> Packet {
        let (source, destination) = (Port(self.below(64) as u16), Port(self.below(64) as u16));
        let (protocol, content) = match self.below(2) {
            0 => (6, Content::Tcp { source, destination, flags: 2 }),
            _ => (17, Content::Udp { source, destination }),
        };
        Packet {
            family: Family::Ipv4,
            in_interface: Some("eth0".to_owned()),
            out_interface: None,
            source: [10, 0, 0, self.below(256) as u8].into(),
            destination: [203, 0, 113, 10].into(),
            protocol,
            content,
            conntrack: None,
        }
    }
}

/// The rules that a packet matches, by evaluating one after the other.
fn matched(listing: &Listing, chain: &str, packet: &Packet, found: &mut Vec<(String, usize)>) -> bool {
    let rules = &listing.chain("filter", chain).expect("the chain").rules;
    for (number, rule) in (1..).zip(rules).filter(|(_, rule)| rule.answer(packet) == MatchResult::Yes) {
        found.push((chain.to_owned(), number));
        let target = rule.target.as_ref().map_or("", |target| target.name.as_str());
        match target {
            "LAN" if matched(listing, "LAN", packet, found) => return true,
            "RETURN" => return false,
            "ACCEPT" | "DROP" => return true,
            _ => {}
        }
    }
    false
}

/// Long chains are walked in blocks, and packets of a user chain from its jumps on: both have the packets that one rule
/// after the other has.
#[test]
fn arrivals_in_long_chains_are_those_of_one_rule_after_the_other() {
    for seed in 1..=6 {
        let mut numbers = Numbers(seed);
        let mut rules: Vec<String> =
            (0..300).map(|_| numbers.rule("INPUT", &["ACCEPT", "DROP", "DROP", "LOG", "LOG"])).collect();
        let lan = (0..150).map(|_| numbers.rule("LAN", &["DROP", "LOG", "RETURN"]));
        rules.extend(lan.collect::<Vec<_>>());
        for _ in 0..3 {
            let at = numbers.below(300);
            rules.insert(at, numbers.rule("INPUT", &["LAN"]));
        }
        let listing = listing(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        let sets = Sets::new(Space::new(&[&listing], &InterfaceName::default()), &listing);
        let packets: Vec<(Region, Vec<(String, usize)>)> = (0..300)
            .map(|_| {
                let packet = numbers.packet();
                let mut found = Vec::new();
                matched(&listing, "INPUT", &packet, &mut found);
                (point(&sets.space, &packet), found)
            })
            .collect();
        for at in listing.placed_rules() {
            let arrivals = sets.arrivals(at.table, at.chain, at.number);
            assert!(arrivals.is_all, "{seed}: {}", at.rule.text);
            for (packet, found) in &packets {
                let is_matched = found.contains(&(at.chain.to_owned(), at.number));
                let has = arrivals.may_be(|_, region| !region.is_disjoint(packet));
                assert_eq!(has, is_matched, "{seed}: {}, {}", at.rule.text, sets.space.describe(packet));
            }
        }
    }
}

fn point(space: &Space, packet: &Packet) -> Region {
    let one = |value: u128| Values::these([value]);
    let port = |port: Option<Port>| one(port.map_or(0, |port| port.0.into()));
    let all = [
        (PacketField::Protocol, one(packet.protocol.into())),
        (PacketField::Source, one(number(packet.source))),
        (PacketField::In, one(0)),
        (PacketField::SourcePort, port(packet.content.source_port())),
        (PacketField::DestinationPort, port(packet.content.destination_port())),
        (PacketField::Flags, one(2)),
        (PacketField::Whole, one(1)),
    ];
    all.iter().fold(space.everything.clone(), |region, (field, values)| region.with(*field, values).expect("a packet"))
}

/// Chains that jump to each other, which the kernel refuses, and many ways to a chain end in time.
#[test]
fn loops_and_many_ways_to_a_chain_end() {
    let layer =
        |from: usize| (0..8).flat_map(move |at| (0..8).map(move |to| format!("-A c{from}x{at} -j c{}x{to}", from + 1)));
    let rules: Vec<String> = (0..20).flat_map(layer).chain(["-A c20x0 -j c0x0".to_owned()]).collect();
    let chains: String = (0..=20).flat_map(|from| (0..8).map(move |at| format!(":c{from}x{at} - [0:0]\n"))).collect();
    let text = format!(
        "*filter\n:INPUT DROP [0:0]\n{chains}-A INPUT -j c0x0\n{}\n-A c20x7 -p tcp -j LOG\nCOMMIT\n",
        rules.join("\n")
    );
    let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
    let sets = Sets::new(Space::new(&[&listing], &InterfaceName::default()), &listing);
    assert!(!sets.arrivals("filter", "c20x7", 1).is_all);
}

/// Later fragments have no ports: each rule on a port once kept a part of them of its own.
#[test]
fn rulesets_of_many_ports_are_compared() {
    let port = |number: usize| format!("-A INPUT -p tcp --dport {number} -j ACCEPT");
    let rules: Vec<String> = (1..=3_000).map(port).chain(["-A INPUT -p tcp -j LOG".to_owned()]).collect();
    let with: Vec<&str> = rules.iter().map(String::as_str).collect();
    let (one, other) = (listing(&with), listing(&with[..3_000]));
    let space = Space::new(&[&one, &other], &InterfaceName::default());
    assert!(compare(&space, [&one, &other]).is_ok_and(|gaps| !gaps.is_empty()));
}
