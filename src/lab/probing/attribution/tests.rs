//! Lines as the kernel prints them (see `log_line/captured-6.18.kmsg`), and the probes to which they are attributed.

use super::*;
use crate::net::Protocol;
use crate::net::port::Port;
use crate::probe::ProbeOverrides;
use crate::probe::scan::Technique;

const MAC: &str = "MAC=00:0c:29:4f:8e:35:02:00:5e:10:00:66:08:00";

/// The probe of the captured lines: 203.0.113.66:40000 to 203.0.113.10, IP ID 4660.
fn probe(technique: Technique, port: u16) -> Probe {
    let (prober, host) = ("203.0.113.66".parse().unwrap(), "203.0.113.10".parse().unwrap());
    let flow = Flow { protocol: technique.protocol(), prober, prober_port: Port(40000), host, port: Port(port) };
    Probe { technique, flow, seq: 7, ack: 0, ttl: 57, ip_id: 4660, flow_label: 0, craft: ProbeOverrides::default() }
}

fn probe_v6(technique: Technique, port: u16) -> Probe {
    let (prober, host) = ("2001:db8:113::66".parse().unwrap(), "2001:db8:113::10".parse().unwrap());
    let probe = probe(technique, port);
    Probe { flow: Flow { prober, host, ..probe.flow }, ..probe }
}

fn cause_of(text: &str, probes: &[Probe]) -> Option<Attribution> {
    let by_flow = probes.iter().enumerate().map(|(index, probe)| (probe.flow, index)).collect();
    AttributedBatch { probes, by_flow: &by_flow, ports: PortMatch::AsSent }.cause_of_line(text).map(|(_, cause)| cause)
}

/// `"203.0.113.66:40000 > 203.0.113.10:80"`, as a LOG rule of the INPUT or OUTPUT chain prints it.
fn tcp_line(chain: &str, flow: &str, id: u16, flags: &str) -> String {
    let (from, to) = flow.split_once(" > ").unwrap();
    let ((source, spt), (destination, dpt)) = (from.rsplit_once(':').unwrap(), to.rsplit_once(':').unwrap());
    let link = if chain == "INPUT" { format!("IN=eth0 OUT= {MAC}") } else { "IN= OUT=eth0".to_owned() };
    let line = format!(
        "x: {link} SRC={source} DST={destination} LEN=40 TOS=0x00 PREC=0x00 TTL=57 ID={id} PROTO=TCP \
         SPT={spt} DPT={dpt} WINDOW=1024 RES=0x00 {flags}URGP=0 "
    );
    assert_eq!(LogLine::parse(&line).expect("a LOG line").to_string(), line);
    line
}

const OUT: &str = "203.0.113.66:40000 > 203.0.113.10:80";
const BACK: &str = "203.0.113.10:80 > 203.0.113.66:40000";

#[test]
fn a_captured_line_belongs_to_the_probe_that_it_shows() {
    // The sender of the captured lines had another MAC address than the prober has now.
    let captured =
        include_str!("../../../log_line/captured-6.18.kmsg").replace("02:11:22:33:44:66", "02:00:5e:10:00:66");
    let line = |part: &str| captured.lines().find(|line| line.contains(part)).unwrap().split_once(';').unwrap().1;
    let probes = [probe(Technique::Xmas, 22), probe(Technique::Xmas, 80)];
    assert_eq!(cause_of(line("URG PSH FIN"), &probes), Some(Attribution::Probe(1)));
    let probes = [probe_v6(Technique::Xmas, 22), probe_v6(Technique::Xmas, 80)];
    assert_eq!(cause_of(line("FLOWLBL=703710"), &probes), Some(Attribution::Probe(1)));
    assert_eq!(cause_of(line("PROTO=UDP"), &probes), None);
}

#[test]
fn every_technique_owns_the_line_of_its_own_flags() {
    let flags = |technique| match technique {
        Technique::Syn | Technique::Connect => "SYN ",
        Technique::Fin => "FIN ",
        Technique::Xmas => "URG PSH FIN ",
        Technique::Ack | Technique::Window => "ACK ",
        Technique::Maimon => "ACK FIN ",
        Technique::Null | Technique::Udp | Technique::Echo => "",
    };
    let segments = || Technique::ALL.into_iter().filter(|technique| technique.protocol() == Protocol::Tcp);
    for technique in segments() {
        for shown in segments() {
            let expected =
                if flags(technique) == flags(shown) { Attribution::Probe(0) } else { Attribution::Followup(0) };
            let line = tcp_line("INPUT", OUT, 4660, flags(shown));
            assert_eq!(cause_of(&line, &[probe(technique, 80)]), Some(expected), "{technique}: {line}");
        }
    }
}

#[test]
fn the_reset_that_closes_a_half_open_connection_is_followup() {
    let line = tcp_line("INPUT", OUT, 0, "RST ");
    assert_eq!(cause_of(&line, &[probe(Technique::Syn, 80)]), Some(Attribution::Followup(0)));
}

#[test]
fn the_rest_of_a_connect_is_followup() {
    let probes = [probe(Technique::Connect, 80)];
    for (line, expected) in [
        (tcp_line("INPUT", OUT, 4660, "SYN "), Attribution::Probe(0)),
        (tcp_line("OUTPUT", BACK, 0, "ACK SYN "), Attribution::Probe(0)),
        (tcp_line("INPUT", OUT, 4661, "ACK "), Attribution::Followup(0)),
        (tcp_line("OUTPUT", BACK, 9, "ACK PSH "), Attribution::Followup(0)),
        (tcp_line("INPUT", OUT, 4661, "ACK RST "), Attribution::Followup(0)),
    ] {
        assert_eq!(cause_of(&line, &probes), Some(expected), "{line}");
    }
}

#[test]
fn the_hosts_answer_belongs_to_the_probe() {
    for (technique, flags) in
        [(Technique::Syn, "ACK SYN "), (Technique::Xmas, "ACK RST "), (Technique::Connect, "ACK RST ")]
    {
        let line = tcp_line("OUTPUT", BACK, 0, flags);
        assert_eq!(cause_of(&line, &[probe(technique, 80)]), Some(Attribution::Probe(0)), "{line}");
    }
}

/// The source port and the address are the probe's, but it is another packet.
#[test]
fn a_packet_with_another_ip_id_is_not_the_probe() {
    let line = tcp_line("INPUT", OUT, 4659, "SYN ");
    assert_eq!(cause_of(&line, &[probe(Technique::Syn, 80)]), Some(Attribution::Followup(0)));
}

#[test]
fn the_traffic_of_others_belongs_to_no_probe() {
    let probes = [probe(Technique::Syn, 80), probe(Technique::Syn, 81)];
    for flow in [
        "198.51.100.7:40000 > 203.0.113.10:80",
        "203.0.113.66:40000 > 198.51.100.7:80",
        "203.0.113.66:40001 > 203.0.113.10:80",
        "203.0.113.66:40000 > 203.0.113.10:82",
        "203.0.113.10:80 > 198.51.100.7:40000",
    ] {
        for chain in ["INPUT", "OUTPUT"] {
            assert_eq!(cause_of(&tcp_line(chain, flow, 4660, "SYN "), &probes), None, "{flow}");
        }
    }
    for foreign in ["", "eth0: link is up", "x: IN=eth0 OUT= MACPROTO=88b5 "] {
        assert_eq!(cause_of(foreign, &probes), None, "{foreign}");
    }
}

/// `-j REDIRECT --to-ports 2222` in nat PREROUTING: the line of a later chain shows 2222.
#[test]
fn a_lone_probe_owns_the_line_that_shows_a_rewritten_port() {
    let redirected = tcp_line("INPUT", "203.0.113.66:40000 > 203.0.113.10:2222", 4660, "SYN ");
    let remapped = tcp_line("OUTPUT", "203.0.113.10:22 > 203.0.113.66:30093", 0, "ACK SYN ");
    let (lone, other) = (probe(Technique::Syn, 80), probe(Technique::Syn, 81));
    let cause_of = |text: &str, probes: &[Probe], ports| {
        let by_flow = probes.iter().enumerate().map(|(index, probe)| (probe.flow, index)).collect();
        AttributedBatch { probes, by_flow: &by_flow, ports }.cause_of_line(text).map(|(_, cause)| cause)
    };
    for line in [&redirected, &remapped] {
        assert_eq!(cause_of(line, &[lone], PortMatch::MayBeRewritten), Some(Attribution::Probe(0)));
        assert_eq!(cause_of(line, &[lone], PortMatch::AsSent), None);
        assert_eq!(cause_of(line, &[lone, other], PortMatch::MayBeRewritten), None);
    }
    let to_another_address = remapped.replace("DST=203.0.113.66", "DST=203.0.113.99");
    assert_ne!(to_another_address, remapped);
    assert_eq!(cause_of(&to_another_address, &[lone], PortMatch::MayBeRewritten), Some(Attribution::Probe(0)));
    let of_another_host = to_another_address.replace("SRC=203.0.113.10", "SRC=203.0.113.11");
    assert_eq!(cause_of(&of_another_host, &[lone], PortMatch::MayBeRewritten), None);
    let from_another_port = redirected.replace("SPT=40000", "SPT=40001");
    assert_ne!(from_another_port, redirected);
    assert_eq!(cause_of(&from_another_port, &[lone], PortMatch::MayBeRewritten), None);
    let of_another_namespace = redirected.replace("02:00:5e:10:00:66:08:00", "02:00:5e:10:00:67:08:00");
    assert_ne!(of_another_namespace, redirected);
    assert_eq!(cause_of(&of_another_namespace, &[lone], PortMatch::MayBeRewritten), None);
    let over_lo = redirected.replace("00:0c:29:4f:8e:35:02:00:5e:10:00:66", "00:00:00:00:00:00:00:00:00:00:00:00");
    assert_eq!(cause_of(&over_lo, &[lone], PortMatch::MayBeRewritten), Some(Attribution::Probe(0)));
}

fn icmp_line(flow: &str) -> String {
    let (from, to) = flow.split_once(" > ").unwrap();
    let ((source, spt), (destination, dpt)) = (from.rsplit_once(':').unwrap(), to.rsplit_once(':').unwrap());
    let line = format!(
        "x: IN= OUT=eth0 SRC=203.0.113.10 DST=203.0.113.66 LEN=72 TOS=0x00 PREC=0xC0 TTL=64 ID=5 PROTO=ICMP TYPE=3 \
         CODE=3 [SRC={source} DST={destination} LEN=44 TOS=0x00 PREC=0x00 TTL=57 ID=4660 PROTO=TCP SPT={spt} \
         DPT={dpt} WINDOW=1024 RES=0x00 SYN URGP=0 ] "
    );
    assert_eq!(LogLine::parse(&line).expect("a LOG line").to_string(), line);
    line
}

#[test]
fn an_icmp_error_belongs_to_the_probe_that_it_quotes() {
    let probes = [probe(Technique::Syn, 22), probe(Technique::Syn, 80)];
    assert_eq!(cause_of(&icmp_line(OUT), &probes), Some(Attribution::Probe(1)));
    assert_eq!(cause_of(&icmp_line("203.0.113.66:40000 > 203.0.113.10:81"), &probes), None);
    assert_eq!(cause_of(&icmp_line("203.0.113.66:40002 > 203.0.113.10:80"), &probes), None);
}

#[test]
fn an_icmp_error_about_the_hosts_own_answer_follows() {
    let probes = [probe(Technique::Syn, 22), probe(Technique::Syn, 80)];
    assert_eq!(cause_of(&icmp_line(BACK), &probes), Some(Attribution::Followup(1)));
    assert_eq!(cause_of(&icmp_line("203.0.113.10:81 > 203.0.113.66:40000"), &probes), None);
}

#[test]
fn the_flow_of_a_line_is_seen_from_the_prober() {
    let line = LogLine::parse(&tcp_line("INPUT", OUT, 4660, "SYN ")).unwrap();
    let flow = |line: &LogLine| PacketId::from_line(line.network.as_ref()?).map(|seen| seen.flow);
    assert_eq!(flow(&line), Some(probe(Technique::Syn, 80).flow));
    assert_eq!(flow(&LogLine::parse(&icmp_line(OUT)).unwrap()), None);
}
