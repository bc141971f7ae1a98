use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::net::Network;
use crate::net::port::PortSet;
use crate::probe::scan::FilterVerdict;
use crate::sensor::{Deny, OpenService, RuleOrder, SshFrom, TimeUnit};

/// The sensor of the article.
fn sensor() -> Sensor {
    let service =
        |name: &str, ports: &[u16]| Service { name: name.to_owned(), ports: ports.iter().copied().map(Port).collect() };
    Sensor {
        ssh: vec![Port(32232)],
        ssh_from: SshFrom::Everywhere,
        open: Vec::new(),
        honeypot: vec![service("SSH", &[22])],
        watched: vec![
            service("HTTP", &[80]),
            service("HTTPS", &[443]),
            service("SMB", &[139, 445]),
            service("ADB", &[5555]),
        ],
        scans: Technique::LOGGED.to_vec(),
        limit: SensorLimit { count: 5, per: TimeUnit::Minute, burst: 5 },
        prefix: "<IPT> ".to_owned(),
        deny: Deny::Tcp,
        order: RuleOrder::Hardened,
    }
}

fn host(listen: &[u16]) -> Host {
    Host { listen: listen.iter().copied().map(Port).collect(), ..Host::default() }
}

fn at(sensor: &Sensor, host: &Host, technique: Technique, port: u16) -> (PortState, Option<String>) {
    let Expected { state, log } = expected(sensor, host, technique, (Family::Ipv4, Port(port)));
    (state, log)
}

/// One line for the ports that share everything else.
fn table(rows: impl Iterator<Item = (Family, Technique, String, Port)>) -> String {
    let mut grouped: BTreeMap<(Family, Technique, String), Vec<Port>> = BTreeMap::new();
    for (family, technique, what, port) in rows {
        grouped.entry((family, technique, what)).or_default().push(port);
    }
    let row = |((family, technique, what), ports): (_, Vec<Port>)| {
        format!("{family} {technique:<7} {what} @ {}\n", PortSet::from_iter(ports))
    };
    grouped.into_iter().map(row).collect()
}

#[test]
fn the_whole_table_of_the_article() {
    let rows = expectations(&sensor(), &host(&[22, 32232]), Author::Sensor).into_iter().map(|row| {
        let log = row.expected.log.map_or("-".to_owned(), |prefix| format!("{prefix:?}"));
        (row.family, row.technique, format!("{:<13} {log}", row.expected.state), row.port)
    });
    insta::assert_snapshot!(table(rows.filter(|(family, ..)| *family == Family::Ipv4)), @r#"
    ipv4 syn     filtered      "<IPT> ADB port: " @ 5555
    ipv4 syn     filtered      "<IPT> HTTP port: " @ 80
    ipv4 syn     filtered      "<IPT> HTTPS port: " @ 443
    ipv4 syn     filtered      "<IPT> SMB port: " @ 139,445
    ipv4 syn     filtered      "<IPT> SYN scan: " @ 1,21,23,32231,32233,65535
    ipv4 syn     open          "<IPT> SSH port: " @ 22
    ipv4 syn     open          - @ 32232
    ipv4 connect filtered      "<IPT> ADB port: " @ 5555
    ipv4 connect filtered      "<IPT> HTTP port: " @ 80
    ipv4 connect filtered      "<IPT> HTTPS port: " @ 443
    ipv4 connect filtered      "<IPT> SMB port: " @ 139,445
    ipv4 connect filtered      "<IPT> SYN scan: " @ 1,21,23,32231,32233,65535
    ipv4 connect open          "<IPT> SSH port: " @ 22
    ipv4 connect open          - @ 32232
    ipv4 null    open|filtered "<IPT> Null scan: " @ 1,21-23,80,139,443,445,5555,32231-32233,65535
    ipv4 fin     open|filtered "<IPT> FIN scan: " @ 1,21-23,80,139,443,445,5555,32231-32233,65535
    ipv4 xmas    open|filtered "<IPT> Xmas scan: " @ 1,21-23,80,139,443,445,5555,32231-32233,65535
    ipv4 ack     filtered      "<IPT> ACK scan: " @ 1,21-23,80,139,443,445,5555,32231-32233,65535
    "#);
}

#[test]
fn every_log_rule_has_a_rate() {
    let rows = rate_expectations(&sensor(), &host(&[22, 32232])).into_iter().map(|row| {
        let what = format!("{:<13} {:?} {} burst {}", row.state, row.prefix, row.limit, row.limit.burst);
        (row.family, row.technique, what, row.port)
    });
    insta::assert_snapshot!(table(rows.filter(|(family, ..)| *family == Family::Ipv4)), @r#"
    ipv4 syn     filtered      "<IPT> ADB port: " 5/min burst 5 @ 5555
    ipv4 syn     filtered      "<IPT> HTTP port: " 5/min burst 5 @ 80
    ipv4 syn     filtered      "<IPT> HTTPS port: " 5/min burst 5 @ 443
    ipv4 syn     filtered      "<IPT> SMB port: " 5/min burst 5 @ 139,445
    ipv4 syn     filtered      "<IPT> SYN scan: " 5/min burst 5 @ 1
    ipv4 syn     open          "<IPT> SSH port: " 5/min burst 5 @ 22
    ipv4 null    open|filtered "<IPT> Null scan: " 5/min burst 5 @ 1
    ipv4 fin     open|filtered "<IPT> FIN scan: " 5/min burst 5 @ 1
    ipv4 xmas    open|filtered "<IPT> Xmas scan: " 5/min burst 5 @ 1
    ipv4 ack     filtered      "<IPT> ACK scan: " 5/min burst 5 @ 1
    "#);
}

#[test]
fn both_families_expect_the_same() {
    let rows = expectations(&sensor(), &host(&[22]), Author::Sensor);
    let (v4, v6) = rows.split_at(rows.len() / 2);
    assert!(v4.iter().all(|row| row.family == Family::Ipv4));
    for (v4, v6) in v4.iter().zip(v6) {
        assert_eq!(&Expectation { family: Family::Ipv6, ..v4.clone() }, v6);
    }
}

#[test]
fn rows_are_ordered_by_family_technique_and_port_without_repetition() {
    let rows = expectations(&sensor(), &host(&[22, 8080]), Author::Sensor);
    let keys: Vec<_> = rows.iter().map(|row| (row.family, row.technique, row.port)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
}

#[test]
fn without_scans_only_named_ports_leave_a_line() {
    let sensor = Sensor { scans: Vec::new(), ..sensor() };
    let host = host(&[22, 32232]);
    let logged = expectations(&sensor, &host, Author::Sensor).into_iter().filter(|row| row.expected.log.is_some());
    let ports: PortSet = logged.map(|row| row.port).collect();
    assert_eq!(ports.to_string(), "22,80,139,443,445,5555");
    assert_eq!(at(&sensor, &host, Technique::Xmas, 80), (PortState::OpenFiltered, None));
    assert!(rate_expectations(&sensor, &host).iter().all(|rate| rate.technique == Technique::Syn));
}

#[test]
fn a_named_port_on_which_nothing_listens_is_closed_not_filtered() {
    let (sensor, host) = (sensor(), host(&[]));
    assert_eq!(at(&sensor, &host, Technique::Connect, 32232), (PortState::Closed, None));
    assert_eq!(at(&sensor, &host, Technique::Syn, 22), (PortState::Closed, Some("<IPT> SSH port: ".to_owned())));
}

#[test]
fn a_listener_does_not_open_what_is_watched_or_unnamed() {
    let (sensor, host) = (sensor(), host(&[80, 8080]));
    assert_eq!(at(&sensor, &host, Technique::Syn, 80).0, PortState::Filtered);
    assert_eq!(at(&sensor, &host, Technique::Syn, 8080).0, PortState::Filtered);
    assert!(unnamed_ports(&sensor, &host).contains(&Port(8080)));
}

#[test]
fn a_connection_to_an_unnamed_port_is_logged_as_a_syn_scan() {
    let expected = (PortState::Filtered, Some("<IPT> SYN scan: ".to_owned()));
    assert_eq!(at(&sensor(), &host(&[]), Technique::Connect, 9), expected);
}

#[test]
fn both_orders_mean_the_same() {
    let article = Sensor { order: RuleOrder::Article, deny: Deny::All, ..sensor() };
    assert_eq!(
        expectations(&article, &host(&[22]), Author::Sensor),
        expectations(&sensor(), &host(&[22]), Author::Sensor)
    );
}

#[test]
fn unnamed_ports_are_never_named() {
    let on = |ssh: &[u16]| Sensor { ssh: ssh.iter().copied().map(Port).collect(), ..sensor() };
    let unnamed = |sensor: &Sensor| unnamed_ports(sensor, &host(&[])).into_iter().collect::<PortSet>().to_string();
    assert_eq!(unnamed(&sensor()), "1,21,23,32231,32233,65535");
    assert_eq!(unnamed(&on(&[1, 65535])), "2,65534");
    let nothing = Sensor { ssh: vec![], honeypot: vec![], watched: vec![], ..sensor() };
    assert_eq!(unnamed(&nothing), "1,65535");
}

/// The expectation for each packet over both families: `tcp RST to 1: drop`.
fn packet_table(sensor: &Sensor) -> String {
    let rows = packet_expectations(sensor, &host(&[22, 32232]), Author::Sensor).into_iter().map(|row| {
        let log = row.log.map_or(String::new(), |prefix| format!(", {prefix:?}"));
        format!("{}: {}{log}\n", row.packet, row.verdict)
    });
    let mut rows: Vec<String> = rows.collect();
    rows.dedup();
    rows.concat()
}

#[test]
fn every_packet_of_the_hardened_sensor() {
    insta::assert_snapshot!(packet_table(&sensor()));
}

#[test]
fn the_article_promises_other_things_of_packets() {
    insta::assert_snapshot!(packet_table(&Sensor { order: RuleOrder::Article, ..sensor() }));
}

#[test]
fn denying_everything_changes_what_is_not_tcp_and_keeps_alive_what_must_be() {
    let (tcp, all) = (packet_table(&sensor()), packet_table(&Sensor { deny: Deny::All, ..sensor() }));
    let new: Vec<&str> = all.lines().filter(|line| !tcp.lines().any(|other| other == *line)).collect();
    assert_eq!(new, ["udp to 53: drop", "icmp 8/0: drop", "icmpv6 128/0: drop", "protocol 47: drop"]);
    let article = Sensor { order: RuleOrder::Article, deny: Deny::All, ..sensor() };
    assert!(packet_table(&article).contains("tcp SYN to 22 over lo: accept\n"));
}

/// A sensor with `ssh_from` set to these networks.
fn sensor_from(networks: &[&str]) -> Sensor {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Sensor { ssh_from: SshFrom::Networks(networks), ..sensor() }
}

#[test]
fn the_ssh_port_has_no_name_to_whom_ssh_from_does_not_name() {
    let host = host(&[22, 32232]);
    let ssh = |sensor: &Sensor, technique| at(sensor, &host, technique, 32232);
    let outside = sensor_from(&["192.0.2.0/24", "2001:db8:113::/48"]);
    let scan = (PortState::Filtered, Some("<IPT> SYN scan: ".to_owned()));
    assert_eq!([Technique::Syn, Technique::Connect].map(|technique| ssh(&outside, technique)), [scan.clone(), scan]);
    assert_eq!(ssh(&Sensor { scans: vec![], ..outside.clone() }, Technique::Syn), (PortState::Filtered, None));
    assert_eq!(ssh(&sensor_from(&["203.0.113.64/26"]), Technique::Syn), (PortState::Open, None));
    let rows = expectations(&outside, &host, Author::Sensor);
    assert_eq!(rows.len(), expectations(&sensor(), &host, Author::Sensor).len());
    let differs = |row: &&Expectation| !expectations(&sensor(), &host, Author::Sensor).contains(row);
    let differing: Vec<_> = rows.iter().filter(differs).map(|row| (row.family, row.technique, row.port)).collect();
    let v4 = |technique| (Family::Ipv4, technique, Port(32232));
    assert_eq!(differing, [v4(Technique::Syn), v4(Technique::Connect)], "IPv6 lets in the prober");
    assert_eq!(rate_expectations(&outside, &host), rate_expectations(&sensor(), &host));
}

#[test]
fn ssh_is_asked_for_at_the_ends_of_each_network_and_beside_them() {
    let table = |sensor: &Sensor, author| {
        let rows = packet_expectations(sensor, &host(&[22, 32232]), author).into_iter();
        let rows = rows.filter(|row| row.packet.what().destination() == Some(Port(32232)));
        rows.map(|row| {
            format!(
                "{} {}: {}{}\n",
                row.family,
                row.packet,
                row.verdict,
                row.log.map(|log| format!(" {log:?}")).unwrap_or_default()
            )
        })
        .collect::<String>()
    };
    let from = sensor_from(&["203.0.113.0/26", "192.0.2.7/32", "2001:db8:aaaa::/48"]);
    insta::assert_snapshot!(table(&from, Author::Other), @r#"
    ipv4 tcp ACK to 32232 from 203.0.113.1 established: accept
    ipv6 tcp ACK to 32232 from 2001:db8:aaaa::1 established: accept
    ipv4 tcp PSH,ACK to 32232 from 203.0.113.1 established: accept
    ipv6 tcp PSH,ACK to 32232 from 2001:db8:aaaa::1 established: accept
    ipv4 tcp SYN to 32232 from 192.0.2.7: accept
    ipv4 tcp SYN to 32232 from 203.0.113.1: accept
    ipv4 tcp SYN to 32232 from 203.0.113.62: accept
    ipv6 tcp SYN to 32232 from 2001:db8:aaaa::1: accept
    ipv6 tcp SYN to 32232 from 2001:db8:aaaa:ffff:ffff:ffff:ffff:ffff: accept
    ipv4 tcp SYN to 32232 from 192.0.2.6: drop "<IPT> SYN scan: "
    ipv4 tcp SYN to 32232 from 192.0.2.8: drop "<IPT> SYN scan: "
    ipv4 tcp SYN to 32232 from 203.0.112.254: drop "<IPT> SYN scan: "
    ipv4 tcp SYN to 32232 from 203.0.113.64: drop "<IPT> SYN scan: "
    ipv6 tcp SYN to 32232 from 2001:db8:aaa9:ffff:ffff:ffff:ffff:ffff: drop "<IPT> SYN scan: "
    ipv6 tcp SYN to 32232 from 2001:db8:aaab::: drop "<IPT> SYN scan: "
    "#);
    // For a client in one of these networks, an unnamed port is an unnamed port of the prober.
    let unnamed = |order| {
        let sensor = Sensor { order, ..sensor_from(&["192.0.2.0/24"]) };
        table(&sensor, Author::Sensor)
    };
    for row in ["ipv4 tcp SYN,ACK to 32232: drop\n", "ipv6 tcp SYN,ACK to 32232: drop\n"] {
        assert!(unnamed(RuleOrder::Article).contains(row) && unnamed(RuleOrder::Hardened).contains(row));
    }
    assert!(unnamed(RuleOrder::Hardened).contains("ipv4 tcp SYN,PSH to 32232: drop\n"));
    assert!(unnamed(RuleOrder::Hardened).contains("ipv4 tcp ACK to 32232 from 192.0.2.1 established: accept\n"));
    assert!(!unnamed(RuleOrder::Hardened).contains("ipv6 tcp ACK to 32232"), "nobody is connected over IPv6");
}

proptest! {
    #[test]
    fn expected_ssh_verdicts_match_ssh_from_for_any_network(number in any::<u128>(), length in 0..=128u32) {
        let address = if length % 2 == 0 { IpAddr::from((number as u32).to_be_bytes()) } else { number.to_be_bytes().into() };
        let network = Network::new(address, if address.is_ipv4() { length / 4 } else { length }).unwrap();
        let (sensor, host) = (sensor_from(&[&network.to_string()]), host(&[32232]));
        for row in packet_expectations(&sensor, &host, Author::Other) {
            let from = row.packet.foreign_address().unwrap_or(host.addresses.prober(row.family));
            prop_assert!(from != host.addresses.host(row.family) && Family::from_address(from) == row.family);
            prop_assert_eq!(network.contains(from), row.verdict == FilterVerdict::Accept, "{} {}", row.packet, network);
        }
    }
}

#[test]
fn ssh_expectations_name_only_addresses_that_can_send() {
    let odd = ["0.0.0.0/1", "203.0.113.8/30", "2001:db8:113::10/128", "fe80::/10"];
    let rows = packet_expectations(&sensor_from(&odd), &host(&[32232]), Author::Other);
    let from: Vec<String> = rows.iter().filter_map(|row| row.packet.foreign_address()).map(|a| a.to_string()).collect();
    insta::assert_snapshot!(from.join("\n"), @"
    64.0.0.1
    64.0.0.1
    64.0.0.1
    203.0.113.9
    fe80::1
    febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    128.0.0.1
    203.0.113.7
    203.0.113.12
    2001:db8:113::f
    2001:db8:113::11
    fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    fec0::
    ");
    let everywhere = packet_expectations(&sensor_from(&["0.0.0.0/0", "::/0"]), &host(&[]), Author::Other);
    assert!(everywhere.iter().all(|row| row.verdict == FilterVerdict::Accept), "nobody is outside");
}

#[test]
fn of_a_ruleset_that_somebody_else_wrote_little_is_expected() {
    let rows = packet_expectations(&sensor(), &host(&[22, 32232]), Author::Other);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.packet.needs_a_service()), "{rows:?}");
}

#[test]
fn a_connection_takes_something_that_listens() {
    let deaf = packet_expectations(&sensor(), &host(&[]), Author::Sensor);
    assert!(deaf.iter().all(|row| !row.packet.needs_a_service()));
}

#[test]
fn without_named_ports_and_with_every_port_named_there_are_still_packets() {
    let nothing = Sensor { ssh: vec![], honeypot: vec![], watched: vec![], ..sensor() };
    assert!(packet_table(&nothing).contains("tcp ALL to 1: drop\n"));
    let everything = Service { name: "all".to_owned(), ports: (1..=65535).map(Port).collect() };
    assert!(!packet_table(&Sensor { watched: vec![everything], ..sensor() }).is_empty());
}

/// A server with a web page and DNS, which logs nothing.
fn ordinary() -> Sensor {
    let service = |name: &str, tcp: &[u16], udp: &[u16]| OpenService {
        name: name.to_owned(),
        tcp: tcp.iter().copied().map(Port).collect(),
        udp: udp.iter().copied().map(Port).collect(),
    };
    let open = vec![service("HTTP", &[80], &[]), service("DNS", &[53], &[53])];
    Sensor { open, honeypot: vec![], watched: vec![], scans: vec![], ..sensor() }
}

#[test]
fn open_ports_are_accepted_without_a_line_beside_a_honeypot_too() {
    let both = Sensor { open: ordinary().open, ..sensor() };
    assert_eq!(at(&both, &host(&[80]), Technique::Syn, 80), (PortState::Open, None));
    assert_eq!(at(&both, &host(&[]), Technique::Connect, 53), (PortState::Closed, None));
    assert_eq!(at(&both, &host(&[80]), Technique::Xmas, 80).1.as_deref(), Some("<IPT> Xmas scan: "));
    let verdicts = |sensor: &Sensor, author| {
        let list = packet_expectations(sensor, &host(&[80]), author).into_iter();
        let of = list.filter(|one| one.family == Family::Ipv4 && one.packet.to_string().starts_with("udp to "));
        of.map(|one| format!("{} {}", one.packet, one.verdict)).collect::<Vec<_>>()
    };
    let denied = Sensor { deny: Deny::All, ..both };
    assert_eq!(verdicts(&denied, Author::Sensor), ["udp to 54 drop", "udp to 53 accept"]);
    assert_eq!(verdicts(&denied, Author::Other), ["udp to 53 accept"]);
    assert_eq!(verdicts(&Sensor { deny: Deny::All, ..sensor() }, Author::Sensor), ["udp to 53 drop"]);
}

#[test]
fn an_ordinary_server_with_its_own_rules_owes_connections_only() {
    let host = host(&[53, 80, 32232]);
    let owed = |sensor: &Sensor, author| {
        let list = expectations(sensor, &host, author).into_iter().filter(|one| one.family == Family::Ipv4);
        table(list.map(|one| (one.family, one.technique, one.expected.state.to_string(), one.port)))
    };
    insta::assert_snapshot!(owed(&ordinary(), Author::Other), @r"
    ipv4 syn     filtered @ 1,52,54,32231,32233,65535
    ipv4 syn     open @ 53,80,32232
    ipv4 connect open @ 53,80,32232
    ");
    let with_scans = Sensor { scans: vec![Technique::Xmas], ..ordinary() };
    assert_eq!(owed(&with_scans, Author::Other), owed(&ordinary(), Author::Sensor), "it logs something");
}
