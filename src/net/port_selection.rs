//! nmap's whole `-p` syntax: ports for each protocol. See the nmap reference guide, "Port specification and scan
//! order". Names are looked up in a [`ServicesFile`], which the caller has read.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::net::Protocol;
use crate::net::port::{self, PortError, PortSet};
use crate::net::services_file::ServicesFile;

/// The value of `-p`, before names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSelection(Vec<SelectionPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct SelectionPart {
    /// `None` means every protocol.
    protocol: Option<Protocol>,
    /// True if it is in brackets, which select only ports with a name.
    bracketed: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Range(RangeInclusive<u16>),
    Named(String),
}

/// The ports of each protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectedPorts {
    /// TCP.
    pub tcp: PortSet,
    /// UDP.
    pub udp: PortSet,
}

/// The reason why a text selects no ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSelectionError {
    /// A number or a range is wrong, or there is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No service has this name.
    #[error("no service is called `{}`", .0.escape_debug())]
    UnknownService(String),
    /// It selects another protocol.
    #[error("`{}:` is not a protocol that scanlab scans: use T: for TCP and U: for UDP", .0.escape_debug())]
    Protocol(char),
    /// Limited, since each lookup searches the whole services file.
    #[error("more than {MOST_LOOKUPS} names and ranges in brackets")]
    TooManyLookups,
    /// A bracket has no partner.
    #[error("`{}` has a bracket without its partner: write [1-1024]", .0.escape_debug())]
    Bracket(String),
}

impl FromStr for PortSelection {
    type Err = PortSelectionError;

    /// Parses `22,80-90,-100,60000-,-`, where open ends are 1 and 65535; `T:` and `U:`, which apply to the parts after
    /// them; names, with `*` and `?`; and `[...]`, which keeps only ports with a name.
    fn from_str(text: &str) -> Result<Self, PortSelectionError> {
        let mut protocol = None;
        let mut bracketed = false;
        let mut parts = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (start, opens) = start_of(word, &mut protocol)?;
            let (body, closes) = start.strip_suffix(']').map_or((start, false), |body| (body, true));
            let in_brackets = bracketed || opens;
            if (bracketed && opens) || (closes && !in_brackets) || body.contains(['[', ']']) {
                return Err(PortSelectionError::Bracket(word.to_owned()));
            }
            parts.push(SelectionPart { protocol, bracketed: in_brackets, what: what(body)? });
            bracketed = in_brackets && !closes;
        }
        match () {
            () if parts.iter().filter(|part| part.is_looked_up()).count() > MOST_LOOKUPS => {
                Err(PortSelectionError::TooManyLookups)
            }
            () if bracketed => Err(PortSelectionError::Bracket(text.to_owned())),
            () if parts.is_empty() => Err(PortError::Empty.into()),
            () => Ok(PortSelection(parts)),
        }
    }
}

/// The text after `T:`, `U:` and `[`, in either order, and whether there was a bracket.
fn start_of<'a>(word: &'a str, protocol: &mut Option<Protocol>) -> Result<(&'a str, bool), PortSelectionError> {
    let (mut rest, mut opens) = (word, false);
    loop {
        let mut characters = rest.chars();
        match (characters.next(), characters.next()) {
            (Some('['), _) if !opens => (rest, opens) = (&rest[1..], true),
            (Some(letter), Some(':')) => {
                *protocol = match letter {
                    'T' | 't' => Some(Protocol::Tcp),
                    'U' | 'u' => Some(Protocol::Udp),
                    other => return Err(PortSelectionError::Protocol(other)),
                };
                rest = &rest[letter.len_utf8() + 1..];
            }
            _ => return Ok((rest, opens)),
        }
    }
}

/// A range if there are only digits and dashes, else a name.
fn what(text: &str) -> Result<What, PortSelectionError> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Ok(What::Range(port::parse_range(text)?));
    }
    Ok(What::Named(text.to_owned()))
}

impl PortSelection {
    /// The selection for services: parts without `T:` or `U:` are TCP.
    pub fn tcp_by_default(mut self) -> PortSelection {
        for part in &mut self.0 {
            part.protocol.get_or_insert(Protocol::Tcp);
        }
        self
    }

    /// True if names have to be looked up.
    pub fn needs_names(&self) -> bool {
        self.0.iter().any(SelectionPart::is_looked_up)
    }

    /// The selected ports.
    ///
    /// # Errors
    ///
    /// If no service has a name, in any protocol that the part may select.
    pub fn resolve(&self, services: &ServicesFile) -> Result<SelectedPorts, PortSelectionError> {
        let mut selected: [Vec<RangeInclusive<u16>>; 2] = Default::default();
        for part in &self.0 {
            let mut found = false;
            for (ports, protocol) in selected.iter_mut().zip([Protocol::Tcp, Protocol::Udp]) {
                if part.protocol.is_none_or(|meant| meant == protocol) {
                    let of_part = part.ports(protocol, services);
                    found |= !of_part.is_empty();
                    ports.extend(of_part.ranges());
                }
            }
            if let (What::Named(name), false) = (&part.what, found) {
                return Err(PortSelectionError::UnknownService(name.clone()));
            }
        }
        let [tcp, udp] = selected.map(|ranges| ranges.into_iter().collect());
        Ok(SelectedPorts { tcp, udp })
    }
}

/// The maximum number of parts of one `-p` that are looked up.
const MOST_LOOKUPS: usize = 1_000;

impl SelectionPart {
    fn is_looked_up(&self) -> bool {
        self.bracketed || matches!(self.what, What::Named(_))
    }

    fn ports(&self, protocol: Protocol, services: &ServicesFile) -> PortSet {
        match &self.what {
            What::Named(pattern) => services.ports_named(protocol, pattern),
            What::Range(range) => {
                let all: PortSet = std::iter::once(range.clone()).collect();
                if self.bracketed { services.known_ports(protocol).intersection(&all) } else { all }
            }
        }
    }
}

impl SelectedPorts {
    /// The ports of one protocol.
    pub fn ports(&self, protocol: Protocol) -> &PortSet {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp => &NONE,
        }
    }

    /// The ports that are not in `other`.
    pub fn without(&self, other: &SelectedPorts) -> SelectedPorts {
        SelectedPorts { tcp: self.tcp.difference(&other.tcp), udp: self.udp.difference(&other.udp) }
    }
}

/// ICMP has no ports.
static NONE: PortSet = PortSet::EMPTY;

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str) -> String {
        let services = ServicesFile::parse("ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp\nhttps 443/tcp\n");
        let ports = text.parse().and_then(|selection: PortSelection| selection.resolve(&services));
        ports.map_or_else(|error| format!("! {error}"), |ports| format!("T:{} U:{}", ports.tcp, ports.udp))
    }

    /// The results of the first five are those of nmap 7.93.
    #[test]
    fn the_whole_syntax_is_read() {
        for (text, ports) in [
            ("22,U:53,54,T:25", "T:22,25 U:22,53-54"),
            ("U:53", "T: U:53"),
            ("0-2", "T:0-2 U:0-2"),
            ("-2", "T:1-2 U:1-2"),
            ("[20-100],T:21", "T:21-22,53,80 U:53"),
            ("-", "T:1-65535 U:1-65535"),
            ("T:-", "T:1-65535 U:"),
            ("60000-", "T:60000-65535 U:60000-65535"),
            ("http*,domain", "T:53,80,443 U:53"),
            ("T:[-22,443-]", "T:22,443 U:"),
            ("[U:50-60]", "T: U:53"),
            ("U:ssh,22", "! no service is called `ssh`"),
            ("ssh,22,22", "T:22 U:22"),
        ] {
            assert_eq!(selected(text), ports, "{text}");
        }
    }

    #[test]
    fn a_thousand_lookups_are_the_most() {
        assert_eq!(selected(&"ssh,".repeat(1_000)), "T:22 U:");
        assert_eq!(selected(&"ssh,".repeat(1_001)), "! more than 1000 names and ranges in brackets");
    }

    #[test]
    fn services_are_of_tcp_unless_it_is_said() {
        let services = ServicesFile::parse("domain 53/tcp\ndomain 53/udp\n");
        let listening = |text: &str| {
            let selection: PortSelection = text.parse().unwrap();
            let ports = selection.tcp_by_default().resolve(&services).unwrap();
            format!("T:{} U:{}", ports.tcp, ports.udp)
        };
        assert_eq!(listening("22,U:53,T:80"), "T:22,80 U:53");
        assert_eq!(listening("domain"), "T:53 U:");
        assert_eq!(listening("U:domain,123"), "T: U:53,123");
    }

    #[test]
    fn a_malformed_port_selection_is_an_error_with_a_hint() {
        for (text, problem) in [
            ("", "! no port is named"),
            ("T:", "! `` is not a port number"),
            ("80-22", "! port range 80-22 is reversed: write 22-80"),
            ("65536", "! port 65536 is out of range: ports are 1 to 65535"),
            ("1-2-3", "! `2-3` is not a port number"),
            ("a", "! no service is called `a`"),
            ("S:9", "! `S:` is not a protocol that scanlab scans: use T: for TCP and U: for UDP"),
            ("[1-5", "! `[1-5` has a bracket without its partner: write [1-1024]"),
            ("1-5]", "! `1-5]` has a bracket without its partner: write [1-1024]"),
            ("[1,[2]", "! `[2]` has a bracket without its partner: write [1-1024]"),
        ] {
            assert_eq!(selected(text), problem, "{text}");
        }
    }
}
