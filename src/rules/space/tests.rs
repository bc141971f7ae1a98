use super::*;
use crate::error::Source;
use crate::net::{Family, InterfaceName};
use crate::rules::iptables_save::Listing;

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
