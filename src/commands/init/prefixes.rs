//! The log prefixes of rules, read as those of a sensor: `<IPT> SSH port: ` and `<IPT> Xmas scan: `.

use crate::probe::scan::Technique;
use crate::sensor::{is_prefix, is_service_name, port_prefix, scan_prefix};
use crate::text::group::once;

/// The part of the log lines that a sensor can express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogScheme {
    /// The common beginning; `None` if no line is a sensor's.
    pub prefix: Option<String>,
    /// The techniques that are logged by name.
    pub scans: Vec<Technique>,
    /// All other prefixes.
    pub unread: Vec<String>,
}

impl LogScheme {
    /// The scheme of the prefixes that each technique causes at an unnamed port, and of those of ports.
    pub fn new<'a>(scans: &[(Technique, Vec<String>)], ports: impl Iterator<Item = &'a String>) -> LogScheme {
        let ports: Vec<&String> = once(ports);
        let of_scan = |(technique, prefixes): &(Technique, Vec<String>)| {
            let suffix = scan_prefix("", *technique);
            prefixes.iter().find_map(|prefix| prefix.strip_suffix(&suffix).map(str::to_owned))
        };
        // Without a scan, the beginning is the first word.
        let of_port = |prefix: &&String| {
            let (first, rest) = prefix.split_once(' ')?;
            (rest.strip_suffix(&port_prefix("", "")).is_some_and(|name| !name.is_empty())).then(|| format!("{first} "))
        };
        let prefix = scans.iter().find_map(of_scan).or_else(|| ports.iter().find_map(of_port));
        let prefix = prefix.filter(|prefix| is_prefix(prefix));
        let mut scheme = LogScheme { prefix, scans: Vec::new(), unread: Vec::new() };
        let is_named = |technique: &Technique| {
            scans.iter().any(|(of, prefixes)| of == technique && scheme.is_of_scan(*technique, prefixes))
        };
        let named: Vec<Technique> = Technique::LOGGED.into_iter().filter(is_named).collect();
        let all = scans.iter().flat_map(|(_, prefixes)| prefixes).chain(ports);
        let is_read = |prefix: &String| {
            let alone = [prefix.clone()];
            scheme.name(&alone).is_some() || Technique::LOGGED.iter().any(|one| scheme.is_of_scan(*one, &alone))
        };
        scheme.unread = once(all.filter(|prefix| !is_read(prefix)).cloned());
        scheme.scans = named;
        scheme
    }

    /// The name of the service in its log line; `None` if it has none.
    pub fn name<'a>(&self, log: &'a [String]) -> Option<&'a str> {
        let prefix = self.prefix.as_deref()?;
        let suffix = port_prefix("", "");
        let name = |line: &'a String| line.strip_prefix(prefix)?.strip_suffix(&suffix);
        log.iter().find_map(name).filter(|name| is_service_name(name))
    }

    fn is_of_scan(&self, technique: Technique, log: &[String]) -> bool {
        let Some(prefix) = &self.prefix else { return false };
        log.contains(&scan_prefix(prefix, technique))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(scans: &[(Technique, &str)], ports: &[&str]) -> String {
        let scans: Vec<_> = scans.iter().map(|(technique, prefix)| (*technique, vec![(*prefix).to_owned()])).collect();
        let ports: Vec<String> = ports.iter().map(|prefix| (*prefix).to_owned()).collect();
        let scheme = LogScheme::new(&scans, ports.iter());
        let names: Vec<_> = ports.iter().map(|prefix| scheme.name(std::slice::from_ref(prefix))).collect();
        format!("{:?} {:?} {names:?} {:?}", scheme.prefix, scheme.scans, scheme.unread)
    }

    #[test]
    fn prefixes_of_a_sensor_are_read_and_others_are_not() {
        let (syn, xmas) = (Technique::Syn, Technique::Xmas);
        assert_eq!(
            scheme(&[(syn, "<A> SYN scan: "), (xmas, "<A> Xmas scan: ")], &["<A> my SSH port: ", "other: "]),
            r#"Some("<A> ") [Xmas, Syn] [Some("my SSH"), None] ["other: "]"#
        );
        assert_eq!(scheme(&[(syn, "dropped: ")], &["dropped: "]), r#"None [] [None] ["dropped: "]"#);
        assert_eq!(scheme(&[], &["<A> SSH port: "]), r#"Some("<A> ") [] [Some("SSH")] []"#);
        assert_eq!(scheme(&[(xmas, "'x' Xmas scan: ")], &[]), r#"None [] [] ["'x' Xmas scan: "]"#);
        assert_eq!(scheme(&[(xmas, "<A> SYN scan: ")], &[]), r#"None [] [] ["<A> SYN scan: "]"#);
    }
}
