//! A mutant that iptables refuses proves nothing about a scenario: every one is loaded, by both backends. Needs root.

use crate::support::binary::share_the_machine;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use scanlab::error::Source;
use scanlab::intent::scenario::Scenario;
use scanlab::net::Family;
use scanlab::rules::generate::generate;
use scanlab::rules::iptables_save::Listing;
use scanlab::rules::mutant::mutants;

/// Rules that the rulesets of this project do not have: lists, ranges, addresses, chains, a nat table, bursts, unusual
/// options.
const VARIED: &str = "*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8022 -j REDIRECT --to-ports 22
-A PREROUTING -i eth0 -p udp -m udp --dport 53 -j ACCEPT
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m conntrack --ctstate INVALID -j DROP
-A PREROUTING -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:visits - [0:0]
-A INPUT ! -i eth0 -j ACCEPT
-A INPUT -m state --state RELATED,ESTABLISHED -m comment --comment \"what \\\"we\\\" began -m tcp\" -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -m limit --limit 1/sec --limit-burst 1 -j NFLOG --nflog-prefix \"odd: \"
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p tcp -m multiport --dports 80,443,8000:8010 -m conntrack --ctstate NEW -j visits
-A INPUT -p tcp -m multiport ! --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,65535 -m mark --mark 0x1 -j DROP
-A INPUT -p udp -m udp --sport 1024:65535 --dport 53 -j ACCEPT
-A INPUT -p tcp -m tcp --syn --dport 2222 -j REJECT --reject-with tcp-reset
-A INPUT -p tcp -m tcp --dport 0:65535 -m recent --set --name seen --mask MASK --rsource
-A INPUT -p tcp -m tcp --dport 23 -m recent --update --seconds 60 --hitcount 4 --name seen --mask MASK --rsource -j DROP
-A INPUT -s NETWORK -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT ! -s ANYWHERE -j DROP
-A INPUT -d NETWORK -m pkttype --pkt-type unicast -m limit --limit 9000/sec -j REJECT
-A INPUT -m addrtype --dst-type LOCAL -m limit --limit 12/day -j LOG --log-prefix \"to us\" --log-level 7 --log-tcp-options
-A INPUT -p tcp -j LOG
ICMP
-A INPUT ! -p tcp -j ACCEPT
-A INPUT
-A OUTPUT -o lo -p all -j ACCEPT
-A OUTPUT -m owner --uid-owner 0 -j ACCEPT
-A visits -p tcp -m limit --limit 5/min --limit-burst 10000 -j LOG --log-prefix \"visit \"
-A visits -j RETURN
COMMIT
";

const VARIED_V4: [(&str, &str); 4] = [
    ("MASK", "255.255.255.255"),
    ("NETWORK", "203.0.113.0/24"),
    ("ANYWHERE", "128.0.0.0/1"),
    (
        "ICMP",
        "-A INPUT -p icmp -m icmp --icmp-type 8/0 -j ACCEPT\n-A INPUT -p icmp -m icmp --icmp-type any -m ttl --ttl-eq 255 -j ACCEPT\n\
         -A INPUT -s 10.0.0.1,10.0.0.2 -f -j DROP",
    ),
];

const VARIED_V6: [(&str, &str); 4] = [
    ("MASK", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("NETWORK", "2001:db8:113::/64"),
    ("ANYWHERE", "8000::/1"),
    (
        "ICMP",
        "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255 -j ACCEPT\n\
         -A INPUT -s fe80::/10 -d ff02::1/128 -p ipv6-icmp -j ACCEPT",
    ),
];

#[test]
fn every_mutant_of_the_generated_ruleset_can_be_loaded() {
    let scenario = Scenario::load(Path::new("scenarios/sensor-hardened.toml")).expect("the scenario is read");
    let generated = generate(&scenario.sensor.expect("it has a sensor"));
    assert_eq!(refused(Family::Ipv4, &generated.v4), "");
    assert_eq!(refused(Family::Ipv6, &generated.v6), "");
}

#[test]
fn every_mutant_of_a_ruleset_of_ones_own_can_be_loaded() {
    assert_eq!(refused(Family::Ipv4, include_str!("../../scenarios/own-ruleset.v4")), "");
    assert_eq!(refused(Family::Ipv6, include_str!("../../scenarios/own-ruleset.v6")), "");
}

#[test]
fn every_mutant_of_a_varied_ruleset_can_be_loaded() {
    let filled =
        |words: [(&str, &str); 4]| words.iter().fold(VARIED.to_owned(), |text, (from, to)| text.replace(from, to));
    assert_eq!(refused(Family::Ipv4, &filled(VARIED_V4)), "");
    assert_eq!(refused(Family::Ipv6, &filled(VARIED_V6)), "");
}

/// Loads every file of the folder, all by one process; if that fails, one after the other, and prints the name of each refused
/// one, with the reason.
const LOAD: &str = r#"for backend in nft legacy; do
    cat ./*.rules | "$1-$backend-restore" 2>/dev/null && continue
    for file in *.rules; do
        why=$("$1-$backend-restore" < "$file" 2>&1) || printf '%s %s: %s\n' "$file" "$backend" "$why"
    done
done"#;

/// The mutants, and the original, that a kernel refuses; in a network namespace that ends with the command.
fn refused(family: Family, text: &str) -> String {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test asks the real kernel and needs root (hint: see .ci/setup tests)"
    );
    let original = Source { name: "rules".into(), text: text.into() };
    let folder = tempfile::tempdir().expect("a folder");
    let mut refused = String::new();
    let mutants = mutants(&Listing::parse(family, &original));
    fs::write(folder.path().join("original.rules"), text).expect("the original is written");
    for (at, mutant) in mutants.iter().enumerate() {
        let file = folder.path().join(format!("{at:04}.rules"));
        fs::write(file, &*mutant.apply(&original).text).expect("the mutant is written");
    }
    for complaint in loaded(family, folder.path()).lines() {
        let mutant = complaint.get(..4).and_then(|number| mutants.get(number.parse::<usize>().ok()?));
        let what = mutant.map(|mutant| format!("{} {}: ", mutant.operator, mutant.description)).unwrap_or_default();
        writeln!(refused, "{what}{complaint}").expect("a string takes everything");
    }
    refused
}

fn loaded(family: Family, folder: &Path) -> String {
    let _machine = share_the_machine();
    let program = family.pick("iptables", "ip6tables");
    let loop_over =
        Command::new("unshare").args(["--net", "sh", "-c", LOAD, "sh", program]).current_dir(folder).output();
    let output = loop_over.expect("unshare runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
