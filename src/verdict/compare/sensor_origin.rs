//! The entry of the sensor that causes a check which no row of the scenario selects: the entry to change if the ruleset
//! is right. If a check depends on several, it is the one that the difference is about.

use crate::intent::check::{Check, CheckFacts};
use crate::intent::scenario::{CheckSubject, Packet, Scenario};
use crate::net::port::Port;
use crate::probe::packet::Way;
use crate::probe::scan::Technique;
use crate::sensor::{Sensor, SensorEntry};

/// The line of the entry; `None` if the file has none of them.
pub fn line(scenario: &Scenario, check: &Check) -> Option<usize> {
    entries(scenario, check).into_iter().find_map(|entry| scenario.lines.line(entry))
}

/// The entries that the check depends on, most relevant first.
fn entries(scenario: &Scenario, check: &Check) -> Vec<SensorEntry> {
    match (check.subject, &scenario.sensor) {
        (CheckSubject::Scan(technique), _) => of_scan(scenario, technique, check),
        (CheckSubject::Packet(packet), Some(sensor)) => of_packet(sensor, packet, &check.expected),
        (CheckSubject::Packet(_), None) => Vec::new(),
        (CheckSubject::Vendor, _) if differs(check, |found| &found.macs) => {
            vec![SensorEntry::Mac, SensorEntry::Vendor, SensorEntry::Host]
        }
        (CheckSubject::Vendor, _) => vec![SensorEntry::Vendor, SensorEntry::Mac, SensorEntry::Host],
        (CheckSubject::Arp | CheckSubject::Ndp, _) if answers_as_another(check) => {
            vec![SensorEntry::Mac, SensorEntry::Host]
        }
        // If the host cannot be found, its rules drop neighbour discovery.
        (CheckSubject::Arp | CheckSubject::Ndp, _) => vec![SensorEntry::Deny, SensorEntry::Sensor, SensorEntry::Host],
    }
}

fn of_scan(scenario: &Scenario, technique: Technique, check: &Check) -> Vec<SensorEntry> {
    let opens = technique.profile().flags == Technique::Syn.profile().flags;
    let port = check.port.filter(|_| opens);
    let mut entries = if is_of_limit(check) { vec![SensorEntry::Limit] } else { Vec::new() };
    entries.extend(match port.filter(|port| is_named(scenario, *port)) {
        Some(port) => vec![SensorEntry::Port(port), SensorEntry::Ssh],
        None if opens && differs(check, |found| &found.state) => {
            [SensorEntry::Deny].into_iter().chain(port.map(SensorEntry::Listener)).collect()
        }
        // The first packet of a connection looks like that of a SYN scan.
        None => vec![SensorEntry::Scan(if opens { Technique::Syn } else { technique }), SensorEntry::Scans],
    });
    entries.push(SensorEntry::Sensor);
    entries
}

/// True if the rate of a rule is checked, or differs. A rule that never logs is not about its limit.
fn is_of_limit(check: &Check) -> bool {
    let never = check.observed.as_ref().is_some_and(|observed| observed.lines == Some(0));
    let of_one_probe = differs(check, |found| &found.state) || differs(check, |found| &found.log);
    check.burst_of.is_some() && !never && !of_one_probe
}

/// True if the file names the port, or the configuration of its SSH server does.
fn is_named(scenario: &Scenario, port: Port) -> bool {
    let by_sshd = || scenario.sensor.as_ref().is_some_and(|sensor| sensor.ssh.contains(&port));
    scenario.lines.line(SensorEntry::Port(port)).is_some() || by_sshd()
}

/// A packet with a scan's prefix belongs to the scan, whatever its port; any other to its destination port, if that is
/// the host's.
fn of_packet(sensor: &Sensor, packet: Packet, expected: &CheckFacts) -> Vec<SensorEntry> {
    let log = expected.log.iter().flatten().next();
    let scan = Technique::LOGGED.into_iter().find(|technique| log == Some(&sensor.scan_prefix(*technique)));
    let port = packet.what().destination().filter(|_| matches!(packet.way(), Way::ToHost | Way::From(_)));
    let specific = scan.map(SensorEntry::Scan).into_iter().chain(port.map(SensorEntry::Port));
    specific.chain([SensorEntry::Deny, SensorEntry::Sensor]).collect()
}

/// True if there is an answer with another address than the host's own.
fn answers_as_another(check: &Check) -> bool {
    let answered = |observed: &CheckFacts| observed.macs.as_ref().is_some_and(|macs| !macs.is_empty());
    check.observed.as_ref().is_some_and(answered) && differs(check, |found| &found.macs)
}

fn differs<T: PartialEq>(check: &Check, fact: impl Fn(&CheckFacts) -> &Option<T>) -> bool {
    check.observed.as_ref().is_some_and(|observed| fact(observed) != fact(&check.expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::{Family, Mac};
    use crate::probe::scan::{FilterVerdict, PortState};

    const SENSOR: &str = "title = \"t\"
[sensor]
ssh = 32232
honeypot = { SSH = 22 }
watched = { HTTP = 80 }
scans = [\"xmas\",
  \"syn\"]
limit = \"5/min\"
deny = \"tcp\"
[host]
mac = \"00:0c:29:4f:8e:35\"
vendor = \"VMware\"
listen = [22,
  8080]
";

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(Source { name: "t.toml".into(), text: text.into() }).expect("a scenario")
    }

    fn state(state: PortState) -> CheckFacts {
        CheckFacts { state: Some(state), ..CheckFacts::default() }
    }

    fn log(prefix: Option<&str>) -> CheckFacts {
        CheckFacts { log: CheckFacts::one_line(prefix), ..CheckFacts::default() }
    }

    fn scan(technique: Technique, port: u16, expected: CheckFacts, observed: CheckFacts) -> Check {
        super::super::check(CheckSubject::Scan(technique), Some(Family::Ipv4), expected, observed).at(Port(port))
    }

    fn burst(technique: Technique, port: u16, observed: CheckFacts) -> Check {
        let expected = CheckFacts { lines: Some(5), ..CheckFacts::default() };
        Check { burst_of: Some(20), ..scan(technique, port, expected, observed) }
    }

    fn packet(text: &str, prefix: Option<&str>) -> Check {
        let packet = text.parse().expect("a packet");
        let drop = CheckFacts { verdict: Some(FilterVerdict::Drop), ..log(prefix) };
        super::super::check(CheckSubject::Packet(packet), Some(Family::Ipv4), drop, CheckFacts::default())
    }

    fn vendor_check(subject: CheckSubject, mac: Option<Mac>, vendor: &str) -> Check {
        let facts = |mac: Option<Mac>, vendor: &str| CheckFacts {
            macs: Some(mac.into_iter().collect()),
            vendor: Some(vendor.to_owned()),
            ..CheckFacts::default()
        };
        let own = Some("00:0c:29:4f:8e:35".parse().expect("an address"));
        super::super::check(subject, None, facts(own, "VMware"), facts(mac, vendor))
    }

    #[test]
    fn a_difference_is_shown_at_the_entry_that_it_is_about() {
        let [filtered, open] = [PortState::Filtered, PortState::Open].map(state);
        let lines = |lines| CheckFacts { lines: Some(lines), ..CheckFacts::default() };
        let mac = |text: &str| Some(text.parse().expect("an address"));
        let (own, other) = (mac("00:0c:29:4f:8e:35"), mac("b8:27:eb:00:00:01"));
        let scenario = scenario(SENSOR);
        for (check, expected) in [
            (scan(Technique::Syn, 32232, open.clone(), filtered.clone()), 3),
            (scan(Technique::Connect, 22, open.clone(), filtered.clone()), 4),
            (scan(Technique::Syn, 80, log(Some("<IPT> HTTP port: ")), log(None)), 5),
            (scan(Technique::Xmas, 80, log(Some("<IPT> Xmas scan: ")), log(None)), 6),
            (scan(Technique::Fin, 80, log(None), log(Some("?"))), 6),
            (scan(Technique::Connect, 1, log(Some("<IPT> SYN scan: ")), log(None)), 7),
            (scan(Technique::Syn, 8080, filtered.clone(), open.clone()), 9),
            (burst(Technique::Syn, 80, lines(20)), 8),
            (burst(Technique::Syn, 80, lines(0)), 5),
            (burst(Technique::Xmas, 1, lines(0)), 6),
            (packet("tcp SYN,PSH to 80", Some("<IPT> HTTP port: ")), 5),
            (packet("tcp SYN to 22 established by host", Some("<IPT> SYN scan: ")), 7),
            (packet("tcp SYN to 80 from host", None), 9),
            (packet("udp to 53", None), 9),
            (packet("tcp NONE to 22 over lo", None), 9),
            (vendor_check(CheckSubject::Vendor, other, "Raspberry Pi Foundation"), 11),
            (vendor_check(CheckSubject::Vendor, own, "Raspberry Pi Foundation"), 12),
            (vendor_check(CheckSubject::Arp, other, "VMware"), 11),
            (vendor_check(CheckSubject::Ndp, None, "VMware"), 9),
        ] {
            assert_eq!(line(&scenario, &check), Some(expected), "{}: {}", check.name(), check.why);
        }
    }

    #[test]
    fn an_absent_key_is_reported_at_its_table() {
        let [filtered, open] = [PortState::Filtered, PortState::Open].map(state);
        let without_deny = scenario(&SENSOR.replace("deny = \"tcp\"\n", ""));
        let listener = scan(Technique::Syn, 8080, filtered.clone(), open.clone());
        assert_eq!(line(&without_deny, &listener), Some(13), "something listens, and should not be heard");
        let bare = scenario("title = \"t\"\n[sensor]\nssh = 22\n");
        for check in [scan(Technique::Syn, 1, filtered, open), burst(Technique::Xmas, 1, state(PortState::Open))] {
            assert_eq!(line(&bare, &check), Some(2), "{}", check.name());
        }
        let no_sensor = Scenario { sensor: None, lines: crate::sensor::EntryLines::default(), ..bare };
        assert_eq!(line(&no_sensor, &vendor_check(CheckSubject::Ndp, None, "VMware")), None);
    }
}
