//! Reads a systemd `.link` file: the interfaces that it applies to, and the MAC address that it sets. systemd.link(5), and the
//! syntax of systemd.syntax(7).

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::error::{InputError, Result, Source};
use crate::net::Mac;

/// A `.link` file that gives an interface a MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFile {
    /// The file.
    pub source: Source,
    /// The `MACAddress=` of `[Link]`.
    pub mac: Mac,
    /// The conditions of the file.
    pub conditions: Conditions,
    /// The other settings of `[Link]`.
    pub others: Vec<KeyValue>,
    /// Lines that have no effect, with the reason.
    pub ignored: Vec<(usize, String)>,
}

/// The settings of `[Match]` that systemd knows, in their order: an interface has to fulfil all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions(pub Vec<KeyValue>);

impl Conditions {
    /// Reads the `[Match]` sections of any `.link` file. Never fails: systemd ignores a line that it cannot read.
    pub fn parse(source: &Source) -> Conditions {
        let lines = joined_lines(&source.text);
        let (mut section, mut found) = (String::new(), Vec::new());
        for (number, text) in lines {
            match LinkFileLine::read(&text) {
                LinkFileLine::Section(name) => section = name.to_owned(),
                LinkFileLine::Setting(key, value) if section == "[Match]" && is_match_key(key) => {
                    found.push(KeyValue::new(key, value, number));
                }
                LinkFileLine::Setting(..) | LinkFileLine::Nothing => {}
            }
        }
        Conditions(merged(found))
    }

    /// The condition with this name.
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.0.iter().find(|setting| setting.key == key)
    }
}

/// `Key=value`, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The text before the `=`.
    pub key: String,
    /// The text after it, without blanks at either end; never empty.
    pub value: String,
    /// Its line (1 is the first).
    pub line: usize,
}

impl KeyValue {
    fn new(key: &str, value: &str, line: usize) -> KeyValue {
        KeyValue { key: key.to_owned(), value: value.to_owned(), line }
    }
}

/// A line of systemd.syntax(7).
enum LinkFileLine<'a> {
    Section(&'a str),
    Setting(&'a str, &'a str),
    /// A comment, or a line without an `=`.
    Nothing,
}

impl<'a> LinkFileLine<'a> {
    fn read(text: &'a str) -> LinkFileLine<'a> {
        let text = text.trim();
        match text.split_once('=') {
            _ if text.starts_with('[') => LinkFileLine::Section(text),
            Some((key, value)) if !text.starts_with(['#', ';']) => LinkFileLine::Setting(key.trim_end(), value.trim()),
            _ => LinkFileLine::Nothing,
        }
    }
}

impl LinkFile {
    /// Parses the text. The last of several settings of the same name in `[Link]` counts, and an empty one resets it.
    ///
    /// # Errors
    /// 1. A control character: systemd cuts the line there, or misreads it.
    /// 2. A `MACAddress=` before any section: systemd ignores it.
    /// 3. A MACAddressPolicy that makes systemd ignore the address.
    /// 4. No `MACAddress=` under `[Link]`, or one that no interface can have.
    pub fn parse(source: &Source) -> Result<LinkFile> {
        let (mut link, mut ignored): (Vec<KeyValue>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
        let mut section: Option<String> = None;
        for (number, text) in joined_lines(&source.text) {
            if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
                let start = source.span_of_line(number).start + at;
                return Err(control_character(source, start..start + 1).into());
            }
            match (LinkFileLine::read(&text), section.as_deref()) {
                (LinkFileLine::Section(name), _) => {
                    ignored.extend(unknown_section(name).map(|why| (number, why)));
                    section = Some(name.to_owned());
                }
                (LinkFileLine::Setting("MACAddress", _), None) => return Err(without_section(source, number).into()),
                (LinkFileLine::Setting(key, value), Some("[Link]")) => {
                    link.push(KeyValue::new(key, value, number));
                    ignored.extend(unknown_key("[Link]", key).map(|why| (number, why)));
                }
                (LinkFileLine::Setting(key, _), Some(section)) => {
                    ignored.extend(unknown_key(section, key).map(|why| (number, why)));
                }
                (LinkFileLine::Setting(..), None) => ignored.push((number, "it is in no section".to_owned())),
                (LinkFileLine::Nothing, _) => {}
            }
        }
        let mut link = that_count(link);
        refuse_policy(source, &link)?;
        let mac = link.iter().rposition(|setting| setting.key == "MACAddress").ok_or_else(|| missing(source))?;
        let mac = read_mac(source, &link.remove(mac))?;
        Ok(LinkFile { source: source.clone(), mac, conditions: Conditions::parse(source), others: link, ignored })
    }

    /// The other setting of `[Link]` with this name.
    pub fn other(&self, key: &str) -> Option<&KeyValue> {
        self.others.iter().find(|setting| setting.key == key)
    }
}

/// The keys of `[Match]` in systemd.link(5) of systemd 257. `Name=` is one of systemd.network(5) only.
const MATCH_KEYS: [&str; 16] = [
    "MACAddress",
    "PermanentMACAddress",
    "OriginalName",
    "Path",
    "Driver",
    "Type",
    "Kind",
    "Property",
    "Host",
    "Virtualization",
    "KernelCommandLine",
    "KernelVersion",
    "Version",
    "Credential",
    "Architecture",
    "Firmware",
];

/// The keys of systemd.network(5) that people write into `[Link]`, where they have no effect.
const OTHER_LINK_KEYS: [&str; 12] = [
    "ARP",
    "Multicast",
    "AllMulticast",
    "Promiscuous",
    "Unmanaged",
    "RequiredForOnline",
    "ActivationPolicy",
    "Group",
    "OriginalName",
    "Driver",
    "DHCP",
    "Address",
];

fn is_match_key(key: &str) -> bool {
    MATCH_KEYS.contains(&key)
}

fn unknown_section(name: &str) -> Option<String> {
    let known = ["[Match]", "[Link]", "[SR-IOV]", "[EnergyEfficientEthernet]"].contains(&name);
    (!known && !name.starts_with("[X-")).then(|| format!("{} is not a section of a .link file", name.escape_debug()))
}

fn unknown_key(section: &str, key: &str) -> Option<String> {
    let unknown = match section {
        "[Match]" => !is_match_key(key),
        "[Link]" => OTHER_LINK_KEYS.contains(&key),
        _ => return (key == "MACAddress").then(|| format!("{} gives no MAC address", section.escape_debug())),
    };
    (unknown && !key.starts_with("X-")).then(|| format!("{}= is not a key of {section}", key.escape_debug()))
}

/// Merges the conditions, each with the line of its first value: "This option may appear more than once, in which case
/// the lists are merged. If the empty string is assigned to this option, the list [...] defined prior to this is
/// reset", systemd.link(5).
fn merged(settings: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<KeyValue> = Vec::new();
    for setting in settings {
        match places.get(&setting.key).map(|place| &mut found[*place]) {
            Some(before) if !setting.value.is_empty() && !before.value.is_empty() => {
                before.value.push(' ');
                before.value.push_str(&setting.value);
            }
            Some(before) => *before = setting,
            None => {
                places.insert(setting.key.clone(), found.len());
                found.push(setting);
            }
        }
    }
    found.retain(|setting| !setting.value.is_empty());
    found
}

/// The last setting of each name, without empty ones.
fn that_count(mut settings: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut names = HashSet::new();
    settings.reverse();
    settings.retain(|setting| names.insert(setting.key.clone()) && !setting.value.is_empty());
    settings.reverse();
    settings
}

/// "Lines ending in a backslash are concatenated with the following non-comment line while reading and the backslash is
/// replaced by a space character", systemd.syntax(7). Each with the number of its first line.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        if goes_on && is_comment {
            continue;
        }
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) if !is_comment => (format!("{part} "), true),
            _ => (line.to_owned(), false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(&part),
            None => lines.push((number, part)),
        }
        goes_on = more;
    }
    lines
}

fn read_mac(source: &Source, setting: &KeyValue) -> Result<Mac> {
    let span = source.span_of_line(setting.line);
    let at = |problem: String| source.error(span, problem, "write it like 00:0c:29:4f:8e:35");
    let text = &setting.value;
    let Ok(mac) = text.parse::<Mac>() else {
        return Err(at(format!("`{}` is not a MAC address", text.escape_debug())).into());
    };
    if mac.is_assignable() { Ok(mac) } else { Err(at(format!("no interface can have the address {mac}")).into()) }
}

/// Refuses any other policy: "MACAddress=: The interface identifier to use if MACAddressPolicy=none", systemd.link(5).
fn refuse_policy(source: &Source, link: &[KeyValue]) -> Result<()> {
    let policy = link.iter().find(|setting| setting.key == "MACAddressPolicy" && setting.value != "none");
    let Some(KeyValue { value, line, .. }) = policy else { return Ok(()) };
    let problem = format!("MACAddressPolicy={} makes systemd ignore MACAddress=", value.escape_debug());
    Err(source.error(source.span_of_line(*line), problem, "write MACAddressPolicy=none").into())
}

fn missing(source: &Source) -> InputError {
    let hint = "add a line like MACAddress=00:0c:29:4f:8e:35 under [Link]; see systemd.link(5)";
    source.error(0..0, "there is no MACAddress= under [Link]", hint)
}

fn without_section(source: &Source, line: usize) -> InputError {
    let hint = "put it under a [Link] line; systemd ignores lines before the first section";
    source.error(source.span_of_line(line), "this MACAddress= is in no section", hint)
}

fn control_character(source: &Source, span: Range<usize>) -> InputError {
    source.error(span, "there is a control character in this line", "write the file again, as plain text")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn parse(text: &str) -> Result<LinkFile> {
        LinkFile::parse(&Source { name: "00-mac.link".into(), text: text.into() })
    }

    #[test]
    fn what_an_interface_has_to_fulfil_is_read() {
        let file = parse("[Match]\r\nOriginalName=eth0 \\\r\n\r\n").unwrap_err().to_string();
        assert!(file.contains("there is no MACAddress="), "{file}");
        let file = parse(
            "[Match]\nDriver=x\nOriginalName = eth0 \\\n# a comment\n  wlan0\n[Link]\nName=\nMACAddress=00:0c:29:4f:8e:35\n",
        );
        let file = file.unwrap();
        let original = file.conditions.get("OriginalName").unwrap();
        assert_eq!((original.value.as_str(), original.line), ("eth0    wlan0", 3));
        assert_eq!((file.other("Name"), file.mac.to_string().as_str()), (None, "00:0c:29:4f:8e:35"));
    }

    #[test]
    fn conditions_of_several_lines_are_merged_and_an_empty_one_resets_them() {
        let conditions = |text: &str| {
            let read = Conditions::parse(&Source { name: "a.link".into(), text: text.into() }).0;
            read.into_iter().map(|one| format!("{}:{}={}", one.line, one.key, one.value)).collect::<Vec<_>>()
        };
        let twice = "[Match]\nOriginalName=eth0\nDriver=a\nOriginalName=wlan0\n[Link]\nDriver=b\n";
        assert_eq!(conditions(twice), ["2:OriginalName=eth0 wlan0", "3:Driver=a"]);
        assert_eq!(
            conditions("[Match]\nOriginalName=eth0\nOriginalName=\nOriginalName=eth1\n"),
            ["4:OriginalName=eth1"]
        );
        assert!(conditions("[Match]\nName=eth0\nOriginalName=eth0\nOriginalName=\n").is_empty());
    }

    #[test]
    fn a_wrong_section_or_key_is_reported_with_its_line() {
        let file = parse(
            "[Math]\nOriginalName=eth0\n[Match]\nName=eth0\nX-Mine=1\n[Link]\nMACAddress=00:0c:29:4f:8e:35\nARP=no\n",
        );
        let ignored = [
            (1, "[Math] is not a section of a .link file".to_owned()),
            (4, "Name= is not a key of [Match]".to_owned()),
            (8, "ARP= is not a key of [Link]".to_owned()),
        ];
        assert_eq!(file.unwrap().ignored, ignored);
    }

    #[test]
    fn many_settings_take_no_longer_than_their_bytes() {
        let many: String = (0..100_000).map(|number| format!("K{number}=1\n")).collect();
        let started = Instant::now();
        let file = parse(&format!("[Match]\n{many}[Link]\n{many}MACAddress=00:0c:29:4f:8e:35\n")).unwrap();
        assert_eq!((file.conditions.0.len(), file.ignored.len(), file.others.len()), (0, 100_000, 100_000));
        // A search of the whole text for each of them took over a minute.
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_systemd_would_pass_over_is_refused_where_it_stands() {
        for (text, says) in [
            ("MACAddress=00:0c:29:4f:8e:35\n", "00-mac.link:1:1"),
            ("[Link]\nMACAddress=00:0c:29:4f:8e:35\n[Match]\nName=\u{1b}[2J\n", "00-mac.link:4:6"),
            ("[Link]\nMACAddress=00:0c:29:4f:8e:35\nMACAddress=\n", "there is no MACAddress="),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
}
