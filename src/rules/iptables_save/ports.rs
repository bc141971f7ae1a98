//! The arguments of `--dport` and `--dports`.

use std::ops::RangeInclusive;

use crate::net::port::PortSet;

/// Parses one port or a range: `22`, `ssh`, `1:100`, `:100` (from 0), `100:` (to 65535); `None` for a reversed range,
/// which iptables refuses, and for a name that is not in [`SERVICES`].
pub(super) fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let Some((first, last)) = text.split_once(':') else {
        return port(text).map(|port| port..=port);
    };
    let first = if first.is_empty() { 0 } else { port(first)? };
    let last = if last.is_empty() { u16::MAX } else { port(last)? };
    (first <= last).then_some(first..=last)
}

/// Reads the list of `-m multiport`: `80,443,1000:2000`.
pub(super) fn list(text: &str) -> Option<PortSet> {
    text.split(',').map(range).collect()
}

fn port(text: &str) -> Option<u16> {
    let named = || SERVICES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
    super::number::parse(text).and_then(|number| u16::try_from(number).ok()).or_else(named)
}

/// The names of /etc/services that rulesets use. The file itself is not read, since iptables-save prints numbers.
const SERVICES: &[(&str, u16)] = &[
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("mail", 25),
    ("time", 37),
    ("whois", 43),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("auth", 113),
    ("ident", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("submissions", 465),
    ("isakmp", 500),
    ("syslog", 514),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("nfs", 2049),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("sip", 5060),
    ("mdns", 5353),
    ("postgresql", 5432),
    ("x11", 6000),
    ("http-alt", 8080),
];

#[cfg(test)]
mod tests {
    use super::{list, range};

    #[test]
    fn ranges_may_be_open() {
        assert_eq!(["22", "ssh", "1:100"].map(range), [Some(22..=22), Some(22..=22), Some(1..=100)]);
        assert_eq!([":100", "100:", ":"].map(range), [Some(0..=100), Some(100..=65535), Some(0..=65535)]);
        assert_eq!(["", "25:22", "65536", "22,23", "22-25", "no-such-service"].map(range), [const { None }; 6]);
    }

    #[test]
    fn a_list_holds_ports_and_ranges() {
        assert_eq!(list("443,80,1000:2000,http").unwrap().to_string(), "80,443,1000-2000");
        assert_eq!(list("80,,443"), None);
    }
}
