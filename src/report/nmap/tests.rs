use std::time::Duration;

use super::*;

/// A report of a host with these ports.
fn report(ports: Vec<PortRow>) -> NmapReport {
    let of = |protocol| ports.iter().filter(|row| row.protocol == protocol).map(|row| row.port).collect();
    NmapReport {
        arguments: ["scanlab", "scan", "--rules", "a & b"].map(str::to_owned).into(),
        start: UnixTime(Duration::from_secs(1_795_450_357)),
        end: UnixTime(Duration::from_millis(1_795_450_358_350)),
        scans: vec![Scan { technique: Technique::Syn, flags: None, ports: of(Protocol::Tcp) }],
        host: ScannedHost {
            address: "203.0.113.10".parse().unwrap(),
            mac: Some("b8:27:eb:12:34:56".parse().unwrap()),
            vendor: Some("Raspberry Pi Foundation".to_owned()),
            reason: HostReason::ArpResponse,
        },
        ports,
        presentation: Presentation::default(),
        data_files: None,
    }
}

fn row(port: u16, state: PortState, reason: Reason) -> PortRow {
    let ttl = Some(64).filter(|_| reason != Reason::NoResponse);
    PortRow { protocol: Protocol::Tcp, port: Port(port), state, reason, ttl, from: None, service: None }
}

fn named(row: PortRow, service: &str) -> PortRow {
    PortRow { service: Some(service.to_owned()), ..row }
}

fn closed(ports: std::ops::RangeInclusive<u16>) -> Vec<PortRow> {
    ports.map(|port| row(port, PortState::Closed, Reason::Reset)).collect()
}

fn with_reasons(report: NmapReport) -> NmapReport {
    NmapReport { presentation: Presentation { reasons: Reasons::Shown, ..report.presentation }, ..report }
}

fn only_open(report: NmapReport) -> NmapReport {
    NmapReport { presentation: Presentation { shown: Shown::Open, ..report.presentation }, ..report }
}

/// One report in all formats.
fn all(report: &NmapReport) -> String {
    let parts = [
        ("terminal", normal(report, Addressee::Terminal).replace(env!("CARGO_PKG_VERSION"), "X.Y.Z")),
        ("normal", normal(report, Addressee::File)),
        ("grepable", grepable(report)),
        ("xml", xml(report)),
    ];
    parts.map(|(name, text)| format!("== {name}\n{text}")).concat()
}

#[test]
fn all_closed() {
    insta::assert_snapshot!(all(&with_reasons(report(closed(1..=26)))));
}

#[test]
fn a_few_of_each() {
    let from = Some("203.0.113.1".parse().unwrap());
    let ports = vec![
        named(row(443, PortState::Open, Reason::SynAck), "https"),
        PortRow { from, ..named(row(25, PortState::Filtered, Reason::AdminProhibited), "smtp") },
        row(36, PortState::Filtered, Reason::NoResponse),
        named(row(22, PortState::Closed, Reason::Reset), "ssh"),
    ];
    insta::assert_snapshot!(all(&with_reasons(report(ports))));
}

#[test]
fn nothing_open_with_open_only() {
    insta::assert_snapshot!(all(&only_open(report(closed(1..=3)))));
}

#[test]
fn of_open_ports_only_the_rest_is_counted() {
    let mut ports = closed(1..=1);
    ports.push(row(2, PortState::OpenFiltered, Reason::NoResponse));
    insta::assert_snapshot!(normal(&only_open(report(ports)), Addressee::Terminal).replace(env!("CARGO_PKG_VERSION"), "X.Y.Z"), @r"
    Starting scanlab X.Y.Z ( speaks Nmap 7.93 ) at 2026-11-23 16:12 UTC
    Nmap scan report for 203.0.113.10
    Host is up.
    Not shown: 1 closed tcp port (reset)
    PORT  STATE         SERVICE
    2/tcp open|filtered unknown
    MAC Address: B8:27:EB:12:34:56 (Raspberry Pi Foundation)

    Nmap done: 1 IP address (1 host up) scanned in 1.35 seconds
    ");
}

/// 26 equal ports are grouped, 25 are not; each `-v` adds 25.
#[test]
fn many_are_more_than_twenty_five() {
    let rows = |count: u16, verbosity| {
        let presentation = Presentation { verbosity, ..Presentation::default() };
        let report = NmapReport { presentation, ..report(closed(1..=count)) };
        normal(&report, Addressee::File).lines().filter(|line| line.contains("/tcp")).count()
    };
    assert_eq!([rows(25, 0), rows(26, 0), rows(50, 1), rows(51, 1), rows(75, 2), rows(76, 2)], [25, 0, 50, 0, 75, 0]);
}

#[test]
fn tcp_and_udp_and_flags() {
    let udp = |port, state, reason| PortRow { protocol: Protocol::Udp, ..row(port, state, reason) };
    let mut ports = closed(20..=50);
    ports.extend((60..=89).map(|port| udp(port, PortState::Closed, Reason::PortUnreach)));
    ports.push(udp(53, PortState::OpenFiltered, Reason::NoResponse));
    let udp_scan = Scan { technique: Technique::Udp, flags: Some(TcpFlags(2)), ports: "53,60-89".parse().unwrap() };
    let mut report = report(ports);
    report.scans[0].flags = Some(TcpFlags(0x29));
    report.scans.push(udp_scan);
    report.presentation.verbosity = 1;
    report.presentation.shown = Shown::Open;
    report.data_files = Some("/usr/share/nmap".to_owned());
    insta::assert_snapshot!(all(&report));
}

/// Text from files is escaped in every format.
#[test]
fn a_hostile_vendor_and_a_hostile_service() {
    let service = "a\"/>\n<b>";
    let mut report = report(vec![named(row(1, PortState::Open, Reason::SynAck), service)]);
    report.host.vendor = Some("<&>\"'--\u{1b}[31m]]>\n".to_owned());
    report.arguments.push("-->\u{7}---".to_owned());
    let all = all(&report);
    assert!(!all.contains(['\u{1b}', '\u{7}']));
    insta::assert_snapshot!(all);
}

#[test]
fn nobody_asked_and_nobody_answered() {
    let mut report = report(vec![row(9, PortState::Filtered, Reason::NoResponse)]);
    report.host = ScannedHost {
        address: "2001:db8:113::10".parse().unwrap(),
        mac: None,
        vendor: None,
        reason: HostReason::UserSet,
    };
    report.presentation.verbosity = 2;
    insta::assert_snapshot!(all(&report));
}
