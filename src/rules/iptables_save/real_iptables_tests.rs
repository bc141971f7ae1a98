//! Compares the parser with iptables itself: the loaded text and the saved text must have the same meaning.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Loads `rules` with `program` in a network namespace that ends with the command; returns the saved text, or the
/// error.
fn saved(program: &str, rules: &str) -> std::result::Result<String, String> {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", &format!("{program}-restore && {program}-save")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn ruleset(rules: &str) -> String {
    format!("*filter\n:scans - [0:0]\n{rules}\nCOMMIT\n")
}

fn read(family: Family, text: &str) -> Listing {
    Listing::parse(family, &Source { name: "rules".into(), text: text.into() })
}

/// The facts that do not change when iptables prints a rule in its own notation.
#[derive(Debug, PartialEq)]
struct Meaning {
    matches: BTreeSet<String>,
    target: Option<(String, bool)>,
    log_prefix: Option<String>,
    /// Packets a day, and the burst.
    limit: Option<(u64, u32)>,
}

fn meaning(rule: &Rule) -> Meaning {
    let matches =
        rule.clauses.iter().filter(|clause| !matches!(clause.ask, Match::Limit { .. } | Match::LimitBurst(_)));
    let each_day = |limit: RuleLimit| (u64::from(limit.count) * 86_400 / u64::from(limit.seconds.max(1)), limit.burst);
    Meaning {
        matches: matches.map(|clause| format!("{} {:?} {:?}", clause.negated, clause.module, clause.ask)).collect(),
        target: rule.target.as_ref().map(|target| (target.name.clone(), target.goto)),
        log_prefix: rule.log_prefix(),
        limit: rule.limit().map(each_day),
    }
}

fn check(family: Family, program: &str, rule: &str) {
    let text = ruleset(rule);
    let saved = saved(program, &text).unwrap_or_else(|error| panic!("{program}: {rule}: {error}"));
    let rules = |text: &str| -> Vec<_> { read(family, text).rules().map(meaning).collect() };
    assert_eq!(rules(&text), rules(&saved), "{program}: {rule}\n{saved}");
}

const BOTH: &[&str] = &[
    "-A INPUT -i lo -j ACCEPT",
    "--append INPUT --in-interface eth+ --jump DROP",
    "-A INPUT -p tcp --dport 22 -j ACCEPT",
    "-A INPUT -p TCP --destination-port ssh ! --sport 1024: -j DROP",
    "-A INPUT -p 6 --dpo 022 --sp :0x16 -j DROP",
    "-A INPUT -p udp --dport=53 -g scans",
    "-A INPUT ! -p udp -j scans",
    "-A INPUT -p tcp --syn -j DROP",
    "-A INPUT -p tcp ! --tcp-flags SYN,fin SYN -j DROP",
    "-A INPUT -p tcp --tcp-flags ALL FIN,URG,PSH -m limit --limit 300/hour -j LOG --log-prefix \"X: \"",
    "-A INPUT -m limit -j LOG --log-prefix \"1234567890123456789012345678901234567890\"",
    "-A INPUT -m limit --limit 5 --limit-burst 7 -j LOG --log-prefix \"a \\\"b\\\" \\\\ 'c' \"",
    "-A INPUT -p tcp -m multiport --dports 22,http,1000:2000 -j ACCEPT",
    "-A INPUT -p tcp -m multiport -m tcp --dport 1 --dports 3 -j DROP",
    "-A INPUT -p tcp -m multiport ! --sport 1,2 -j DROP",
    "-A INPUT -m state --state rel,EST -j ACCEPT",
    "-A INPUT -m conntrack ! --ctstate new,INVALID -j DROP",
    "-A INPUT -m comment --comment \"! -j x\" -m comment --comment ! -j DROP",
    "-j LOG --log-prefix=x -p tcp --dport 22 -A INPUT",
    "-A INPUT -j ACCEPT\n-I INPUT -j DROP\n-I INPUT 3 -p tcp\n-D INPUT 1",
    "-A INPUT -p tcp --dport 22\n-A INPUT -p udp\n-D INPUT -p tcp -m tcp --dport 22",
    "-A INPUT -p tcp\n-A INPUT -p udp\n-P INPUT DROP\n-F INPUT\n-A INPUT -j DROP",
    "[1:2] -A INPUT -j DROP\n[3:4]-A INPUT -p tcp",
];

const V4: &[&str] = &[
    "-A INPUT -s 10.1.2.3/8 -d 10.0.0.1/255.0.0.255 -j DROP",
    "-A INPUT -s 1.1.1.1,2.2.2.2 -d 3.3.3.3,4.4.4.4 -j DROP",
    "-I INPUT -s 1.1.1.1,2.2.2.2 -d 3.3.3.3,4.4.4.4 -j DROP",
    "-A INPUT -p icmp --icmp-type ping -j DROP\n-A INPUT -p icmp --icmp-type port-unreach -j DROP",
    "-A INPUT -p icmp --icmp-type any -j DROP\n-A INPUT -p icmp --icmp-type 255 -j DROP",
    "-A INPUT -6 -s fe80::/10 -j DROP\n-A INPUT -4 -j ACCEPT",
    "-A INPUT -ieth0 -j DROP",
    "-A INPUT ! -f -j DROP",
];

const V6: &[&str] = &[
    "-A INPUT -s fe80::1/10 ! -d 2001:db8::/ffff:ffff:: -j DROP",
    "-A INPUT -p icmpv6 --icmpv6-type neighbor-sol -j ACCEPT\n-A INPUT -p 58 --icmpv6-type 1/4 -j ACCEPT",
    "-A INPUT -4 -s 10/8 -j DROP\n-A INPUT -6 -j ACCEPT",
];

#[test]
#[ignore = "needs root and iptables: cargo test -- --ignored"]
fn a_rule_as_loaded_and_as_saved_parses_the_same() {
    for backend in ["nft", "legacy"] {
        for rule in BOTH.iter().chain(V4) {
            check(Family::Ipv4, &format!("iptables-{backend}"), rule);
        }
        for rule in BOTH.iter().chain(V6) {
            check(Family::Ipv6, &format!("ip6tables-{backend}"), rule);
        }
    }
}

#[test]
#[ignore = "needs root and iptables: cargo test -- --ignored"]
fn every_name_of_an_icmp_type_is_the_kernels() {
    for (family, program, option) in [
        (Family::Ipv4, "iptables-nft", "-p icmp --icmp-type"),
        (Family::Ipv6, "ip6tables-nft", "-p icmpv6 --icmpv6-type"),
    ] {
        let rule = |(name, _): &(&str, _)| format!("-A INPUT {option} {name}\n");
        check(family, program, &icmp_type::names(family).iter().map(rule).collect::<String>());
    }
}

#[test]
#[ignore = "needs root and iptables: cargo test -- --ignored"]
fn iptables_takes_a_rule_without_any_clause_but_its_protocol() {
    for text in BOTH.iter().chain(V4).filter(|text| !text.contains('\n')) {
        let listing = read(Family::Ipv4, &ruleset(text));
        for rule in listing.rules() {
            for clause in rule.clauses.iter().filter(|clause| !matches!(clause.ask, Match::Protocol(_))) {
                let shorter = ruleset(&rule.without(clause));
                saved("iptables-nft", &shorter).unwrap_or_else(|error| panic!("{shorter}: {error}"));
            }
        }
    }
}

#[test]
#[ignore = "needs root and iptables: cargo test -- --ignored"]
fn iptables_takes_the_opposite_of_a_clause_unless_it_has_none() {
    let has_one = |clause: &&Clause| {
        !matches!(clause.module.as_deref(), Some("limit" | "comment")) && !matches!(clause.ask, Match::IcmpType(None))
    };
    for text in BOTH.iter().chain(V4).filter(|text| !text.contains('\n') && !text.contains(',')) {
        let listing = read(Family::Ipv4, &ruleset(text));
        for rule in listing.rules() {
            let clauses = rule.clauses.iter().filter(has_one);
            for clause in clauses.filter(|clause| !matches!(clause.ask, Match::Protocol(6 | 17))) {
                let opposite = ruleset(&rule.negating(clause));
                saved("iptables-nft", &opposite).unwrap_or_else(|error| panic!("{opposite}: {error}"));
            }
        }
    }
}

/// Texts that declare, flush or delete more than once.
const WHOLE_TEXTS: &[&str] = &[
    "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n*filter\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n",
    "*filter\n:INPUT DROP\n:OUTPUT DROP\nCOMMIT\n*filter\n:INPUT ACCEPT\n-A INPUT -p udp -j DROP\nCOMMIT\n",
    "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n*filter\n:INPUT -\n-A INPUT -p udp\nCOMMIT\n",
    "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n*filter\nCOMMIT\n",
    "*filter\n-P INPUT DROP\nCOMMIT\n*filter\n-A INPUT -p udp -j ACCEPT\n-F INPUT\nCOMMIT\n",
    "*filter\n:INPUT DROP\nCOMMIT\n*filter\n:OUTPUT DROP\nCOMMIT\n*filter\n-P OUTPUT ACCEPT\nCOMMIT\n",
    "*filter\n:INPUT DROP\nCOMMIT\n*nat\n:scans -\nCOMMIT\n*filter\n:scans -\n-A INPUT -j scans\nCOMMIT\n*nat\nCOMMIT\n",
    "*filter\n:INPUT DROP\n:a -\n-A a -j DROP\n-A INPUT -p tcp\n-F INPUT\n-A INPUT -j a\nCOMMIT\n",
    "*filter\n:INPUT DROP\n:a -\n-A a -j DROP\n-A INPUT -p tcp\n-F\n-X\n-A INPUT -p udp\nCOMMIT\n",
    "*filter\n:INPUT DROP\n:a -\n-A INPUT -j a\n-A a -p tcp\n:a -\n-A a -p udp\nCOMMIT\n",
    "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\n:INPUT ACCEPT\n-A INPUT -p udp -j DROP\nCOMMIT\n",
    "*filter\n:INPUT DROP\n-A INPUT -p tcp -j ACCEPT\n:INPUT -\n-A INPUT -p udp -j ACCEPT\nCOMMIT\n",
    "*filter\n:INPUT ACCEPT\n-A INPUT -p tcp -j ACCEPT\n-P INPUT DROP\nCOMMIT\n",
    "*filter\n:a DROP\n-A INPUT -j a\nCOMMIT\n",
    "*filter\n:a -\n-A INPUT -j a\n-A a -j DROP\n-A a -p tcp\n-D a 1\n-Z\nCOMMIT\n",
];

/// The differences from an empty kernel: policies of DROP, and rules.
fn loaded(listing: &Listing) -> (BTreeSet<String>, BTreeSet<String>) {
    let chains = || listing.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    let drops = chains().filter(|(_, chain)| chain.policy == Some(Policy::Drop));
    let rules = listing.placed_rules();
    let rules = rules.map(|at| format!("{} {} {} {:?}", at.table, at.chain, at.number, meaning(at.rule)));
    (drops.map(|(table, chain)| format!("{} {}", table.name, chain.name)).collect(), rules.collect())
}

/// A text that a flavour refuses has no meaning to compare; each one is loaded by at least one flavour.
#[test]
#[ignore = "needs root and iptables: cargo test -- --ignored"]
fn a_text_that_declares_twice_is_read_as_each_flavour_loads_it() {
    for text in WHOLE_TEXTS {
        let mut refusals = 0;
        for (backend, program) in [(Backend::Nft, "iptables-nft"), (Backend::Legacy, "iptables-legacy")] {
            let Ok(saved) = saved(program, text) else {
                refusals += 1;
                continue;
            };
            let source = Source { name: "rules".into(), text: (*text).into() };
            let read_for = Listing::parse_for(backend, Family::Ipv4, &source);
            assert_eq!(loaded(&read_for), loaded(&read(Family::Ipv4, &saved)), "{program}: {text}");
        }
        assert!(refusals < 2, "{text}");
    }
}
