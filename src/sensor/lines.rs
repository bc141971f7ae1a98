//! Where the entries of an intent stand in their file, so that what is expected because of one of them can be shown there.
//!
//! Kept apart from what they mean: two files that mean the same are one [`Sensor`](super::Sensor), wherever its keys stand.
//! What is wrong in a file is said by those who read it; here it has no line.

use std::collections::BTreeMap;

use super::table::{Table, Value};
use crate::error::Source;
use crate::net::port::Port;
use crate::probe::scan::Technique;

/// A part of an intent that something can be expected because of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// `[sensor]`: what it leaves out is as by default.
    Sensor,
    /// `ssh`
    Ssh,
    /// A port, where `ssh`, `honeypot` or `watched` names it.
    Port(Port),
    /// `scans`
    Scans,
    /// A technique, where `scans` names it.
    Scan(Technique),
    /// `limit`
    Limit,
    /// `deny`
    Deny,
    /// `[host]`
    Host,
    /// `mac`, or the `link` that gives it.
    Mac,
    /// `vendor`
    Vendor,
    /// A port, where `listen` names it.
    Listener(Port),
}

/// The lines of the entries that a file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<Entry, usize>);

impl Lines {
    /// The lines of the `[sensor]` and the `[host]` of this file.
    pub fn of(source: &Source) -> Lines {
        let mut reader = Reader { breaks: breaks(source), lines: Lines::default() };
        for value in Table::parse(source).into_iter().flat_map(Table::into_entries) {
            match value.key.name.as_str() {
                "sensor" => reader.table(value, Entry::Sensor, Reader::of_sensor),
                "host" => reader.table(value, Entry::Host, Reader::of_host),
                _ => {}
            }
        }
        reader.lines
    }

    /// The line of an entry; none where the file leaves it out.
    pub fn line(&self, entry: Entry) -> Option<usize> {
        self.0.get(&entry).copied()
    }

    /// Forgets an entry in whose place something else was put.
    pub fn forget(&mut self, entry: Entry) {
        self.0.remove(&entry);
    }
}

fn breaks(source: &Source) -> Vec<usize> {
    source.text.match_indices('\n').map(|(at, _)| at).collect()
}

struct Reader {
    /// Where lines end.
    breaks: Vec<usize>,
    lines: Lines,
}

impl Reader {
    fn put(&mut self, entry: Entry, offset: usize) {
        let line = 1 + self.breaks.partition_point(|end| *end < offset);
        self.lines.0.insert(entry, line);
    }

    fn table(&mut self, value: Value<'_>, entry: Entry, read: fn(&mut Reader, Value<'_>)) {
        self.put(entry, value.key.span.start);
        value.into_table().into_iter().flat_map(Table::into_entries).for_each(|value| read(self, value));
    }

    fn of_sensor(&mut self, value: Value<'_>) {
        let key = value.key.span.start;
        match value.key.name.as_str() {
            "ssh" => {
                self.put(Entry::Ssh, key);
                self.ports(value, Entry::Port);
            }
            "honeypot" | "watched" => {
                let services = value.into_table().into_iter().flat_map(Table::into_entries);
                services.for_each(|service| self.ports(service, Entry::Port));
            }
            "scans" => {
                self.put(Entry::Scans, key);
                self.each(value, |value| value.as_text()?.parse().ok().map(Entry::Scan));
            }
            "limit" => self.put(Entry::Limit, key),
            "deny" => self.put(Entry::Deny, key),
            _ => {}
        }
    }

    fn of_host(&mut self, value: Value<'_>) {
        let key = value.key.span.start;
        match value.key.name.as_str() {
            "mac" | "link" => self.put(Entry::Mac, key),
            "vendor" => self.put(Entry::Vendor, key),
            "listen" => self.ports(value, Entry::Listener),
            _ => {}
        }
    }

    fn ports(&mut self, value: Value<'_>, entry: fn(Port) -> Entry) {
        self.each(value, |value| Some(entry(Port::service(value.number().ok()?).ok()?)));
    }

    fn each(&mut self, value: Value<'_>, entry: impl Fn(&Value<'_>) -> Option<Entry>) {
        for value in value.into_one_or_many() {
            if let Some(entry) = entry(&value) {
                self.put(entry, value.span().start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        Lines::of(&Source { name: "sensor.toml".into(), text: text.into() })
    }

    #[test]
    fn every_entry_has_the_line_that_it_stands_in() {
        let lines = lines(
            "# A comment.\n[sensor]\nssh = [\n  22,\n  2222,\n]\nwatched = { HTTP = 80, SMB = [139, 445] }\nlimit = \"5/min\"\n\
             scans = [\"xmas\",\n  \"syn\"]\ndeny = \"all\"\n[sensor.honeypot]\nTELNET = 23\n[host]\nlink = \"x.link\"\n\
             listen = 23\nvendor = \"VMware\"\n",
        );
        let port = |port| Entry::Port(Port(port));
        for (entry, line) in [
            (Entry::Sensor, 2),
            (Entry::Ssh, 3),
            (port(22), 4),
            (port(2222), 5),
            (port(80), 7),
            (port(445), 7),
            (Entry::Limit, 8),
            (Entry::Scans, 9),
            (Entry::Scan(Technique::Xmas), 9),
            (Entry::Scan(Technique::Syn), 10),
            (Entry::Deny, 11),
            (port(23), 13),
            (Entry::Host, 14),
            (Entry::Mac, 15),
            (Entry::Listener(Port(23)), 16),
            (Entry::Vendor, 17),
        ] {
            assert_eq!(lines.line(entry), Some(line), "{entry:?}");
        }
        assert_eq!(lines.line(Entry::Scan(Technique::Ack)), None);
        assert_eq!(lines.0.len(), 17, "139 as well, and nothing else");
    }

    #[test]
    fn whatever_stands_in_a_file_is_harmless() {
        for text in
            ["", "[sensor", "sensor = 3\nhost = []\n", "[sensor]\nssh = \"auto\"\nhoneypot = 1\nscans = [1, [2]]\n"]
        {
            let lines = lines(text);
            assert!(lines.0.values().all(|line| (1..=4).contains(line)), "{lines:?}");
        }
        assert_eq!(lines("sensor.ssh = 22\nsensor.deny = \"all\"\n").line(Entry::Deny), Some(2), "dotted keys");
    }
}
