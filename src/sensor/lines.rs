//! The lines of the entries of an intent in their file, so that a mismatch can be shown at the entry that causes the
//! expectation.
//!
//! Kept apart from the values: two files with the same values are the same [`Sensor`](super::Sensor), wherever their
//! keys are. The readers of the values report errors; here an invalid entry has no line.

use std::collections::BTreeMap;

use super::service::read_protocol_and_port;
use super::table::{TomlTable, Value};
use crate::error::Source;
use crate::net::port::Port;
use crate::probe::scan::Technique;

/// An entry of an intent that can cause an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SensorEntry {
    /// `[sensor]`, for values that the file leaves out.
    Sensor,
    /// `ssh`
    Ssh,
    /// A port, where `ssh`, `open`, `honeypot` or `watched` names it.
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
pub struct EntryLines(BTreeMap<SensorEntry, usize>);

impl EntryLines {
    /// The lines of the `[sensor]` and the `[host]` of this file.
    pub fn read(source: &Source) -> EntryLines {
        let mut reader = EntryLineReader { breaks: breaks(source), lines: EntryLines::default() };
        for value in TomlTable::parse(source).into_iter().flat_map(TomlTable::into_entries) {
            match value.key.name.as_str() {
                "sensor" => reader.table(value, SensorEntry::Sensor, EntryLineReader::of_sensor),
                "host" => reader.table(value, SensorEntry::Host, EntryLineReader::of_host),
                _ => {}
            }
        }
        reader.lines
    }

    /// The line of an entry; `None` if the file leaves it out.
    pub fn line(&self, entry: SensorEntry) -> Option<usize> {
        self.0.get(&entry).copied()
    }

    /// Removes an entry whose value was overridden.
    pub fn forget(&mut self, entry: SensorEntry) {
        self.0.remove(&entry);
    }
}

fn breaks(source: &Source) -> Vec<usize> {
    source.text.match_indices('\n').map(|(at, _)| at).collect()
}

struct EntryLineReader {
    /// The offsets of the line ends.
    breaks: Vec<usize>,
    lines: EntryLines,
}

impl EntryLineReader {
    fn put(&mut self, entry: SensorEntry, offset: usize) {
        let line = 1 + self.breaks.partition_point(|end| *end < offset);
        self.lines.0.insert(entry, line);
    }

    fn table(&mut self, value: Value<'_>, entry: SensorEntry, read: fn(&mut EntryLineReader, Value<'_>)) {
        self.put(entry, value.key.span.start);
        value.into_table().into_iter().flat_map(TomlTable::into_entries).for_each(|value| read(self, value));
    }

    fn of_sensor(&mut self, value: Value<'_>) {
        let key = value.key.span.start;
        match value.key.name.as_str() {
            "ssh" => {
                self.put(SensorEntry::Ssh, key);
                self.ports(value, SensorEntry::Port);
            }
            "open" | "honeypot" | "watched" => {
                let services = value.into_table().into_iter().flat_map(TomlTable::into_entries);
                services.for_each(|service| self.ports(service, SensorEntry::Port));
            }
            "scans" => {
                self.put(SensorEntry::Scans, key);
                self.each(value, |value| value.as_text()?.parse().ok().map(SensorEntry::Scan));
            }
            "limit" => self.put(SensorEntry::Limit, key),
            "deny" => self.put(SensorEntry::Deny, key),
            _ => {}
        }
    }

    fn of_host(&mut self, value: Value<'_>) {
        let key = value.key.span.start;
        match value.key.name.as_str() {
            "mac" | "link" => self.put(SensorEntry::Mac, key),
            "vendor" => self.put(SensorEntry::Vendor, key),
            "listen" => self.ports(value, SensorEntry::Listener),
            _ => {}
        }
    }

    fn ports(&mut self, value: Value<'_>, entry: fn(Port) -> SensorEntry) {
        self.each(value, |value| Some(entry(read_protocol_and_port(value).ok()?.1)));
    }

    fn each(&mut self, value: Value<'_>, entry: impl Fn(&Value<'_>) -> Option<SensorEntry>) {
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

    fn lines(text: &str) -> EntryLines {
        EntryLines::read(&Source { name: "sensor.toml".into(), text: text.into() })
    }

    #[test]
    fn every_entry_has_the_line_that_it_stands_in() {
        let lines = lines(
            "# A comment.\n[sensor]\nssh = [\n  22,\n  2222,\n]\nwatched = { HTTP = 80, SMB = [139, 445] }\nlimit = \"5/min\"\n\
             scans = [\"xmas\",\n  \"syn\"]\ndeny = \"all\"\n[sensor.honeypot]\nTELNET = 23\n[host]\nlink = \"x.link\"\n\
             listen = 23\nvendor = \"VMware\"\n",
        );
        let port = |port| SensorEntry::Port(Port(port));
        for (entry, line) in [
            (SensorEntry::Sensor, 2),
            (SensorEntry::Ssh, 3),
            (port(22), 4),
            (port(2222), 5),
            (port(80), 7),
            (port(445), 7),
            (SensorEntry::Limit, 8),
            (SensorEntry::Scans, 9),
            (SensorEntry::Scan(Technique::Xmas), 9),
            (SensorEntry::Scan(Technique::Syn), 10),
            (SensorEntry::Deny, 11),
            (port(23), 13),
            (SensorEntry::Host, 14),
            (SensorEntry::Mac, 15),
            (SensorEntry::Listener(Port(23)), 16),
            (SensorEntry::Vendor, 17),
        ] {
            assert_eq!(lines.line(entry), Some(line), "{entry:?}");
        }
        assert_eq!(lines.line(SensorEntry::Scan(Technique::Ack)), None);
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
        assert_eq!(lines("sensor.ssh = 22\nsensor.deny = \"all\"\n").line(SensorEntry::Deny), Some(2), "dotted keys");
    }
}
