//! Rules that no packet can reach, found with the kernel: one of each classic kind, and the dead rules of the rulesets
//! that scanlab generates. Every rule that is called dead is removed, and nothing changes. Needs root.

use crate::support::binary;
use std::fmt::Write;

use scanlab::error::Source;
use scanlab::intent::scenario::Scenario;
use scanlab::lab::{Flavour, HOST_MAC, HostService, Lab, LabOptions, LabSpec, LimitOverride};
use scanlab::net::conntrack::ConntrackState;
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName, Protocol};
use scanlab::probe::packet::{Lead, Response, Stimulus, StimulusSender};
use scanlab::probe::path::{Fate, Path};
use scanlab::rules::generate;
use scanlab::rules::iptables_save::{Edit, Listing, apply};
use scanlab::rules::sweep::SweepPlan;
use scanlab::verdict::findings::{FindingsSubject, RulesetFindings, measure};
use scanlab::wire::headers::{Content, Headers};

fn filter(rules: &[&str]) -> Source {
    let head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n";
    source(&format!("{head}{}\nCOMMIT\n", rules.join("\n")))
}

fn source(text: &str) -> Source {
    Source { name: "rules.v4".into(), text: text.into() }
}

fn equipment() -> LabOptions {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    LabOptions::usual(Flavour::Nft, &std::env::var("PATH").unwrap_or_default()).expect("iptables")
}

fn found(rulesets: &[(Family, &Source)]) -> RulesetFindings {
    let equipment = equipment();
    let subject = FindingsSubject {
        equipment: &equipment,
        interface: &InterfaceName::default(),
        mac: HOST_MAC,
        addresses: &Addresses::default(),
        rulesets,
    };
    measure(&subject).unwrap_or_else(|error| panic!("{error}"))
}

/// Findings as short lines.
fn told(source: &Source) -> String {
    let _machine = binary::share_the_machine();
    let findings = found(&[(Family::Ipv4, source)]);
    assert_removing_changes_nothing(Family::Ipv4, source, &findings);
    show(&findings)
}

fn show(findings: &RulesetFindings) -> String {
    let mut text = String::new();
    for one in &findings.unreachable {
        writeln!(text, "{}: {} {}", one.severity.as_str(), one.place.line, one.place.text).unwrap();
        for front in &one.in_front {
            let line = front.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
            writeln!(text, "  {} packets: {line} {}", front.packets, front.text).unwrap();
        }
        writeln!(text, "  {}", one.reason).unwrap();
    }
    for one in &findings.not_provable {
        writeln!(text, "not provable: {} {}\n  {}", one.place.line, one.place.text, one.reason).unwrap();
    }
    text
}

/// Property P5: a rule that is called dead can be removed, and the path of every packet stays the same.
fn assert_removing_changes_nothing(family: Family, source: &Source, findings: &RulesetFindings) {
    let mut plan = SweepPlan::new(&Listing::parse(family, source), &Addresses::default());
    let first = plan.stimuli();
    let with = responses(family, source, &plan, &first);
    let second = plan.in_connections(&first, &with);
    let with = [ways(&with), ways(&responses(family, source, &plan, &second))];
    for dead in findings.unreachable.iter().filter(|dead| dead.place.family == family) {
        let source = apply(source, &[Edit::Delete { line: dead.place.line }]);
        let without = [&first, &second].map(|stimuli| ways(&responses(family, &source, &plan, stimuli)));
        for (stimulus, (with, without)) in
            [&first, &second].into_iter().flatten().zip(with.iter().flatten().zip(without.iter().flatten()))
        {
            assert_eq!(with, without, "line {} is not dead: {}, {stimulus:?}", dead.place.line, dead.place.text);
        }
    }
}

fn responses(family: Family, source: &Source, plan: &SweepPlan, stimuli: &[Stimulus]) -> Vec<Response> {
    let (equipment, addresses, interface) = (equipment(), Addresses::default(), InterfaceName::default());
    let services: Vec<HostService> =
        plan.services().iter().map(|port| HostService { protocol: Protocol::Tcp, port, greeting: None }).collect();
    let rulesets = [(family, source)];
    let spec = LabSpec { services: &services, ..LabSpec::new(&equipment, &interface, &addresses, &rulesets) };
    let swept = Lab::run(&spec, |lab| lab.sweep(stimuli, &plan.foreign_addresses(), LimitOverride::Wide));
    swept.unwrap_or_else(|error| panic!("{error}"))
}

/// For every stimulus and its answer: the texts of the rules on its path, and its fate.
fn ways(responses: &[Response]) -> Vec<Vec<(Vec<String>, Fate)>> {
    let way = |path: &Path| (path.steps.iter().map(|step| step.text.clone()).collect(), path.fate);
    let ways = |one: &Response| one.own.iter().chain(&one.answer).map(|journey| way(&journey.path)).collect();
    responses.iter().map(ways).collect()
}

#[test]
fn an_invalid_drop_blinds_a_null_log() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -m state --state INVALID -j DROP",
        "-A INPUT -p tcp --tcp-flags ALL NONE -j LOG --log-prefix \"Null scan: \"",
    ])));
}

#[test]
fn a_log_behind_its_accept() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j LOG --log-prefix \"SSH: \"",
    ])));
}

#[test]
fn a_log_behind_its_drop() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j DROP",
        "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG --log-prefix \"Xmas scan: \"",
    ])));
}

#[test]
fn a_port_behind_a_drop_of_all_tcp() {
    insta::assert_snapshot!(told(&filter(&["-A INPUT -p tcp -j DROP", "-A INPUT -p tcp --dport 443 -j ACCEPT"])));
}

#[test]
fn the_union_of_two_ranges() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -p tcp --dport 0:1024 -j DROP",
        "-A INPUT -p tcp --dport 1025:65535 -j ACCEPT",
        "-A INPUT -p tcp --tcp-flags ALL SYN -j LOG --log-prefix \"SYN scan: \"",
    ])));
}

#[test]
fn an_uncalled_chain_is_dead() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:scans - [0:0]\n:called - [0:0]\n\
        -A INPUT -p tcp -j called\n-A scans -j LOG --log-prefix \"scan: \"\n-A called -p udp -j LOG\n-A called -j RETURN\n\
        -A called -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(told(&source(rules)));
}

#[test]
fn null_packets_never_match_state_new() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -p tcp --tcp-flags ALL NONE -m state --state NEW -j LOG --log-prefix \"Null scan: \"",
        "-A INPUT -p tcp --tcp-flags ALL NONE -j DROP",
    ])));
}

#[test]
fn nat_never_sees_null_packets() {
    let nat = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
        -A PREROUTING -p tcp --tcp-flags ALL NONE -j LOG --log-prefix \"Null scan: \"\n\
        -A PREROUTING -p tcp --tcp-flags ALL SYN -j LOG --log-prefix \"SYN scan: \"\nCOMMIT\n";
    let tracked = filter(&["-A INPUT -m state --state ESTABLISHED -j ACCEPT"]);
    insta::assert_snapshot!(told(&source(&format!("{nat}{}", tracked.text))));
}

/// This is measured: see `a_nat_table_that_translates_nothing_does_not_track` in conntrack.rs.
#[test]
fn without_conntrack_nat_sees_nothing() {
    let nat = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j LOG --log-prefix \"tcp: \"\nCOMMIT\n";
    insta::assert_snapshot!(told(&source(nat)));
}

#[test]
fn rules_that_the_sweep_exercises_are_not_dead() {
    for rule in [
        "-A INPUT -i wlan0 -p tcp --dport 22 -j LOG",
        "-A INPUT -i wl+ -j LOG",
        "-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT",
        "-A INPUT ! -s 203.0.113.0/24 -j DROP",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -i lo -s 127.0.0.0/8 -p udp --dport 53 -j ACCEPT",
        "-A INPUT -p icmp --icmp-type 13/0 -j LOG",
        "-A INPUT -p 47 -j ACCEPT",
        "-A OUTPUT -p tcp --sport 22 --tcp-flags ALL SYN,ACK -j LOG",
        "-A OUTPUT -d 10.0.0.0/8 -p udp --dport 53 -j DROP",
        "-A OUTPUT -p icmp --icmp-type 3/3 -j DROP",
        "-A INPUT -p tcp --sport 53 --dport 1024:65535 -j LOG",
    ] {
        assert_eq!(told(&filter(&[rule])), "", "{rule}");
    }
}

#[test]
fn connections_are_established_although_no_port_is_open() {
    for rule in [
        "-A INPUT -m state --state ESTABLISHED -j ACCEPT",
        "-A INPUT -p tcp --tcp-flags ALL FIN,ACK -m state --state ESTABLISHED -j LOG",
        "-A INPUT -p tcp --tcp-flags ALL ACK -m state --state ESTABLISHED -j LOG",
        "-A INPUT -p udp -m state --state ESTABLISHED -j ACCEPT",
        "-A INPUT -p icmp -m state --state ESTABLISHED -j ACCEPT",
        "-A INPUT -p icmp -m state --state RELATED -j ACCEPT",
        "-A INPUT -i lo -p udp -m state --state ESTABLISHED -j ACCEPT",
        "-A OUTPUT -p tcp --dport 443 -m state --state ESTABLISHED -j ACCEPT",
        "-A OUTPUT -p tcp --dport 443 --tcp-flags ALL FIN,ACK -m state --state ESTABLISHED -j LOG",
        "-A OUTPUT -p udp --dport 53 -m state --state ESTABLISHED -j ACCEPT",
    ] {
        let last = if rule.contains("OUTPUT") { "-A OUTPUT -p tcp ! --syn -j DROP" } else { "-A INPUT -j DROP" };
        assert_eq!(told(&filter(&[rule, last])), "", "{rule}");
    }
}

#[test]
fn behind_a_limit_stands_what_it_has_no_room_for() {
    let rules =
        ["-A INPUT -p tcp --syn -m limit --limit 1/s -j ACCEPT", "-A INPUT -p tcp --syn -j LOG", "-A INPUT -j DROP"];
    assert_eq!(told(&filter(&rules)), "");
}

#[test]
fn rules_on_properties_outside_the_sweep_are_not_provable() {
    insta::assert_snapshot!(told(&filter(&[
        "-A INPUT -m recent --name bad --rcheck --seconds 60 -j LOG --log-prefix \"again: \"",
        "-A INPUT -m time --timestart 00:00 --timestop 23:59:59 -j DROP",
        "-A INPUT -p tcp --dport 22 -j LOG --log-prefix \"SSH: \"",
        "-A INPUT -d 198.51.100.7 -j DROP",
        "-A INPUT -p tcp -m state --state RELATED -j ACCEPT",
        "-A FORWARD -p tcp -j DROP",
    ])));
}

/// Every rule of the generated rulesets is reached.
#[test]
fn nothing_is_dead_in_what_is_generated() {
    let _machine = binary::share_the_machine();
    for (file, deny) in [(binary::HARDENED, "tcp"), (binary::HARDENED, "all"), ("scenarios/article-order.toml", "tcp")]
    {
        let text = std::fs::read_to_string(file).expect("a scenario");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, text.replace("deny     = \"tcp\"", &format!("deny = \"{deny}\""))).expect("write it");
        let sensor = Scenario::load(&path).expect("a scenario").sensor.expect("a sensor");
        let generated = generate::generate(&sensor);
        let (v4, v6) = (source(&generated.v4), source(&generated.v6));
        let findings = found(&[(Family::Ipv4, &v4), (Family::Ipv6, &v6)]);
        assert_eq!(show(&findings), "", "{file} {deny}");
        assert!(findings.sweeps.iter().all(|swept| swept.complete && swept.stimuli > 2_000), "{:?}", findings.sweeps);
    }
}

#[test]
fn in_the_raw_table_only_loopback_has_states() {
    let raw = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -i eth0 -m state --state NEW -j LOG\n\
        -A PREROUTING -m state --state NEW -j LOG\n-A OUTPUT -m state --state NEW -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(told(&source(raw)));
}

/// The assumption of `Octets::Distinguished`: conntrack ignores PSH, and URG if the other flags are valid; an octet
/// with invalid flags is INVALID, whatever came before.
#[test]
fn octets_of_one_kind_are_one_to_conntrack() {
    const MAKE_SENSE: [u8; 9] = [2, 34, 18, 4, 20, 17, 49, 16, 48];
    let _machine = binary::share_the_machine();
    let rules =
        filter(&["-A INPUT -m state --state UNTRACKED -j DROP", "-A OUTPUT -m state --state UNTRACKED -j DROP"]);
    let plan = SweepPlan::new(&Listing::parse(Family::Ipv4, &rules), &Addresses::default());
    for lead in [Lead::None, Lead::Forward, Lead::Backward, Lead::Handshake] {
        let stimuli: Vec<Stimulus> = (0..64).map(|octet| to_port_1(lead, octet)).collect();
        let responses = responses(Family::Ipv4, &rules, &plan, &stimuli);
        let state = |octet: u8| responses[usize::from(octet)].own[0].path.conntrack.expect("a state");
        for octet in 0..64 {
            match octet & !8 {
                kind if MAKE_SENSE.contains(&kind) => assert_eq!(state(octet), state(kind), "{lead:?} {octet}"),
                _ => assert_eq!(state(octet), ConntrackState::Invalid, "{lead:?} {octet}"),
            }
        }
        for (with_urg, without) in [(34, 2), (49, 17), (48, 16)] {
            assert_eq!(state(with_urg), state(without), "{lead:?} {with_urg}");
        }
    }
}

fn to_port_1(lead: Lead, flags: u8) -> Stimulus {
    let addresses = Addresses::default();
    let content = Content::Tcp { source: Port(50_000 + u16::from(flags)), destination: Port(1), flags };
    let (source, destination) = (addresses.prober(Family::Ipv4), addresses.host(Family::Ipv4));
    Stimulus { sender: StimulusSender::Prober, lead, headers: Headers { source, destination, protocol: 6, content } }
}

#[test]
fn ipv6_has_its_own_sweep() {
    let _machine = binary::share_the_machine();
    let rules = Source {
        name: "rules.v6".into(),
        ..filter(&[
            "-A INPUT -p icmpv6 --icmpv6-type 135 -j ACCEPT",
            "-A INPUT -s fe80::/10 -p udp --dport 546 -j ACCEPT",
            "-A INPUT -m conntrack --ctstate INVALID -j DROP",
            "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG --log-prefix \"Xmas scan: \"",
            "-A INPUT -m conntrack --ctstate RELATED -j ACCEPT",
            "-A INPUT -p icmpv6 --icmpv6-type 135 -j DROP",
        ])
    };
    let findings = found(&[(Family::Ipv6, &rules)]);
    assert_removing_changes_nothing(Family::Ipv6, &rules, &findings);
    insta::assert_snapshot!(show(&findings));
}

/// The same rules in both families, except one that IPv6 lacks, and one that only IPv6 has.
#[test]
fn ports_open_in_one_family_only_are_reported() {
    let _machine = binary::share_the_machine();
    let shared = ["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "-A INPUT -p udp -m udp --dport 53 -j ACCEPT"];
    let v4 =
        filter(&[&shared[..], &["-A INPUT -p tcp -m tcp --dport 80:89 -j DROP", "-A INPUT -p icmp -j DROP"]].concat());
    let v6 = Source {
        name: "rules.v6".into(),
        ..filter(&[&shared[..], &["-A INPUT -p tcp -m tcp --dport 22 -j DROP", "-A INPUT -p udp -j DROP"]].concat())
    };
    let both = [(Family::Ipv4, &v4), (Family::Ipv6, &v6)];
    let told: Vec<String> = found(&both)
        .parity
        .iter()
        .map(|one| {
            format!(
                "{} lets in {} {} | {:?} | {:?}",
                one.lets_in,
                one.packets.join(" + "),
                one.ports,
                one.ipv4,
                one.ipv6
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    let alike = [
        (Family::Ipv4, &v4),
        (Family::Ipv6, &Source { name: "rules.v6".into(), text: v4.text.replace("-p icmp ", "-p icmpv6 ").into() }),
    ];
    assert_eq!(found(&alike).parity, []);
    assert_eq!(found(&both[..1]).parity, [], "one family alone has nothing to be compared with");
}

/// Random rulesets and packets, the same ones every time (a linear congruential generator, Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn rule(&mut self) -> String {
        let chain = self.pick(&["INPUT", "INPUT", "INPUT", "OUTPUT"]);
        let state = self.pick(&[
            "",
            "",
            "",
            "-m state --state NEW ",
            "-m state --state INVALID ",
            "-m state --state ESTABLISHED ",
        ]);
        let from = self.pick(&["", "", "", "-s 10.0.0.0/8 ", "-s 203.0.113.66 ", "! -s 203.0.113.0/24 "]);
        let target = self.pick(&["LOG", "LOG", "DROP", "ACCEPT", "REJECT"]);
        let limit = self.pick(&["", "", "-m limit --limit 5/min "]);
        let ports = self.pick(&["", "--dport 22 ", "--dport 80:443 ", "! --dport 22 ", "--sport 1:1024 "]);
        let flags = self.pick(&[
            "",
            "",
            "--tcp-flags ALL NONE ",
            "--tcp-flags ALL SYN ",
            "--syn ",
            "! --syn ",
            "--tcp-flags ACK ACK ",
        ]);
        let kind = match self.below(5) {
            0 => String::new(),
            1 => "-p icmp ".to_owned(),
            2 => format!("-p udp {ports}"),
            _ => format!("-p tcp {ports}{flags}"),
        };
        format!("-A {chain} {from}{kind}{state}{limit}-j {target}")
    }

    /// A packet that is in no plan.
    fn stimulus(&mut self, at: u16) -> Stimulus {
        let addresses = Addresses::default();
        let (prober, host) = (addresses.prober(Family::Ipv4), addresses.host(Family::Ipv4));
        let stranger = [10, self.below(256) as u8, 3, 1 + self.below(250) as u8].into();
        let other = if self.below(3) == 0 { stranger } else { prober };
        let near = [20, 21, 22, 23, 79, 80, 81, 300, 443, 444, 1024, 1025][self.below(12)];
        let (far, near) = if self.below(4) == 0 { (near, 10_000 + at) } else { (10_000 + at, near) };
        let content = match self.below(4) {
            0 => Content::Udp { source: Port(far), destination: Port(near) },
            _ => Content::Tcp { source: Port(far), destination: Port(near), flags: self.below(64) as u8 },
        };
        let protocol = if matches!(content, Content::Udp { .. }) { 17 } else { 6 };
        let headers = Headers { source: other, destination: host, protocol, content };
        let lead = [Lead::None, Lead::None, Lead::Forward, Lead::Backward][self.below(4)];
        let lead = if other == prober { lead } else { Lead::None };
        match self.below(3) {
            0 if other == prober => {
                let headers = Headers { source: host, destination: prober, ..headers };
                Stimulus { sender: StimulusSender::Host, lead, headers }
            }
            _ => Stimulus { sender: StimulusSender::Prober, lead, headers },
        }
    }
}

/// The converse of the proof: random packets never match a rule that is called dead.
#[test]
fn packets_at_random_never_match_what_is_dead() {
    let _machine = binary::share_the_machine();
    let mut random = Random(1);
    let (mut dead, mut reached) = (0, 0);
    for _ in 0..6 {
        let rules: Vec<String> = (0..7).map(|_| random.rule()).collect();
        let rules = filter(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        let findings = found(&[(Family::Ipv4, &rules)]);
        assert_removing_changes_nothing(Family::Ipv4, &rules, &findings);
        let plan = SweepPlan::new(&Listing::parse(Family::Ipv4, &rules), &Addresses::default());
        let stimuli: Vec<Stimulus> = (0..1_000).map(|at| random.stimulus(at)).collect();
        let responses = responses(Family::Ipv4, &rules, &plan, &stimuli);
        let steps = || responses.iter().flat_map(Response::journeys).flat_map(|journey| &journey.path.steps);
        for one in findings.unreachable.iter().map(|one| &one.place) {
            assert!(!one.text.is_empty() && !one.file.is_empty());
            let met = steps().any(|step| (step.line, &step.text) == (Some(one.line), &one.text));
            assert!(!met, "line {} is called dead, and a packet at random matched it:\n{}", one.line, rules.text);
        }
        dead += findings.unreachable.len();
        reached += 7 - findings.unreachable.len() - findings.not_provable.len();
    }
    assert!(dead > 2 && reached > 20, "{dead} dead, {reached} reached");
}
