//! Which entry of a sensor asks for a check that no row of the scenario speaks of: the one to change if the ruleset is
//! right. Of several that a check rests on it is the one that the difference is about.

use crate::intent::check::{Check, Findings};
use crate::intent::scenario::{Packet, Scenario, Subject};
use crate::net::port::Port;
use crate::probe::packet::Way;
use crate::probe::scan::Technique;
use crate::sensor::{Entry, Sensor};

/// The line of the entry; none where the file says nothing of it.
pub fn line(scenario: &Scenario, check: &Check) -> Option<usize> {
    entries(scenario, check).into_iter().find_map(|entry| scenario.lines.line(entry))
}

/// The entries that ask for it, those first that are more to blame.
fn entries(scenario: &Scenario, check: &Check) -> Vec<Entry> {
    match (check.subject, &scenario.sensor) {
        (Subject::Scan(technique), _) => of_scan(scenario, technique, check),
        (Subject::Packet(packet), Some(sensor)) => of_packet(sensor, packet, &check.expected),
        (Subject::Packet(_), None) => Vec::new(),
        (Subject::Vendor, _) if differs(check, |found| &found.macs) => vec![Entry::Mac, Entry::Vendor, Entry::Host],
        (Subject::Vendor, _) => vec![Entry::Vendor, Entry::Mac, Entry::Host],
        (Subject::Arp | Subject::Ndp, _) if answers_as_another(check) => vec![Entry::Mac, Entry::Host],
        // A host that cannot be found is one whose rules keep its neighbours out.
        (Subject::Arp | Subject::Ndp, _) => vec![Entry::Deny, Entry::Sensor, Entry::Host],
    }
}

fn of_scan(scenario: &Scenario, technique: Technique, check: &Check) -> Vec<Entry> {
    let opens = technique.profile().flags == Technique::Syn.profile().flags;
    let port = check.port.filter(|_| opens);
    let mut entries = if is_of_limit(check) { vec![Entry::Limit] } else { Vec::new() };
    entries.extend(match port.filter(|port| is_named(scenario, *port)) {
        Some(port) => vec![Entry::Port(port), Entry::Ssh],
        None if opens && differs(check, |found| &found.state) => {
            [Entry::Deny].into_iter().chain(port.map(Entry::Listener)).collect()
        }
        // The first packet of a connection is that of a SYN scan.
        None => vec![Entry::Scan(if opens { Technique::Syn } else { technique }), Entry::Scans],
    });
    entries.push(Entry::Sensor);
    entries
}

/// Whether it is how often a rule logs that differs, or that is asked. A rule that never logs has no limit to speak of.
fn is_of_limit(check: &Check) -> bool {
    let never = check.observed.as_ref().is_some_and(|observed| observed.lines == Some(0));
    let of_one_probe = differs(check, |found| &found.state) || differs(check, |found| &found.log);
    check.burst_of.is_some() && !never && !of_one_probe
}

/// By its file, or by that of its SSH server.
fn is_named(scenario: &Scenario, port: Port) -> bool {
    let by_sshd = || scenario.sensor.as_ref().is_some_and(|sensor| sensor.ssh.contains(&port));
    scenario.lines.line(Entry::Port(port)).is_some() || by_sshd()
}

/// What is logged as a scan is one, whatever its port; else the port that it goes to, if that is the host's.
fn of_packet(sensor: &Sensor, packet: Packet, expected: &Findings) -> Vec<Entry> {
    let log = expected.log.iter().flatten().next();
    let scan = Technique::LOGGED.into_iter().find(|technique| log == Some(&sensor.scan_prefix(*technique)));
    let port = packet.what().destination().filter(|_| matches!(packet.way(), Way::ToHost | Way::From(_)));
    let specific = scan.map(Entry::Scan).into_iter().chain(port.map(Entry::Port));
    specific.chain([Entry::Deny, Entry::Sensor]).collect()
}

/// Whether there is an answer, and it is not the host's own address.
fn answers_as_another(check: &Check) -> bool {
    let answered = |observed: &Findings| observed.macs.as_ref().is_some_and(|macs| !macs.is_empty());
    check.observed.as_ref().is_some_and(answered) && differs(check, |found| &found.macs)
}

fn differs<T: PartialEq>(check: &Check, fact: impl Fn(&Findings) -> &Option<T>) -> bool {
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

    fn state(state: PortState) -> Findings {
        Findings { state: Some(state), ..Findings::default() }
    }

    fn log(prefix: Option<&str>) -> Findings {
        Findings { log: Findings::one_line(prefix), ..Findings::default() }
    }

    fn scan(technique: Technique, port: u16, expected: Findings, observed: Findings) -> Check {
        super::super::check(Subject::Scan(technique), Some(Family::Ipv4), expected, observed).at(Port(port))
    }

    fn burst(technique: Technique, port: u16, observed: Findings) -> Check {
        let expected = Findings { lines: Some(5), ..Findings::default() };
        Check { burst_of: Some(20), ..scan(technique, port, expected, observed) }
    }

    fn packet(text: &str, prefix: Option<&str>) -> Check {
        let packet = text.parse().expect("a packet");
        let drop = Findings { verdict: Some(FilterVerdict::Drop), ..log(prefix) };
        super::super::check(Subject::Packet(packet), Some(Family::Ipv4), drop, Findings::default())
    }

    fn told(subject: Subject, mac: Option<Mac>, vendor: &str) -> Check {
        let facts = |mac: Option<Mac>, vendor: &str| Findings {
            macs: Some(mac.into_iter().collect()),
            vendor: Some(vendor.to_owned()),
            ..Findings::default()
        };
        let own = Some("00:0c:29:4f:8e:35".parse().expect("an address"));
        super::super::check(subject, None, facts(own, "VMware"), facts(mac, vendor))
    }

    #[test]
    fn a_difference_is_shown_at_the_entry_that_it_is_about() {
        let [filtered, open] = [PortState::Filtered, PortState::Open].map(state);
        let lines = |lines| Findings { lines: Some(lines), ..Findings::default() };
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
            (told(Subject::Vendor, other, "Raspberry Pi Foundation"), 11),
            (told(Subject::Vendor, own, "Raspberry Pi Foundation"), 12),
            (told(Subject::Arp, other, "VMware"), 11),
            (told(Subject::Ndp, None, "VMware"), 9),
        ] {
            assert_eq!(line(&scenario, &check), Some(expected), "{}: {}", check.name(), check.why);
        }
    }

    #[test]
    fn what_a_file_leaves_out_is_shown_where_it_could_stand() {
        let [filtered, open] = [PortState::Filtered, PortState::Open].map(state);
        let without_deny = scenario(&SENSOR.replace("deny = \"tcp\"\n", ""));
        let listener = scan(Technique::Syn, 8080, filtered.clone(), open.clone());
        assert_eq!(line(&without_deny, &listener), Some(13), "something listens, and should not be heard");
        let bare = scenario("title = \"t\"\n[sensor]\nssh = 22\n");
        for check in [scan(Technique::Syn, 1, filtered, open), burst(Technique::Xmas, 1, state(PortState::Open))] {
            assert_eq!(line(&bare, &check), Some(2), "{}", check.name());
        }
        let no_sensor = Scenario { sensor: None, lines: crate::sensor::Lines::default(), ..bare };
        assert_eq!(line(&no_sensor, &told(Subject::Ndp, None, "VMware")), None);
    }
}
