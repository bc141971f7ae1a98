//! Names of ports: a file in the format of services(5), `ssh 22/tcp`. nmap's own file has a third column with the
//! frequency of the open port; the system's file has an alias there.
//!
//! Pure: the caller has read the file. Invalid lines are skipped, as in getservent(3).

use std::collections::HashMap;

use crate::net::Protocol;
use crate::net::port::{Port, PortSet};

/// The services of a file, in its order.
#[derive(Debug, Clone, Default)]
pub struct ServicesFile {
    services: Vec<NamedPort>,
    by_port: HashMap<(Protocol, Port), usize>,
}

#[derive(Debug, Clone)]
struct NamedPort {
    /// The official name, then aliases.
    names: Vec<String>,
    port: Port,
    protocol: Protocol,
    frequency: Option<f64>,
}

impl ServicesFile {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> ServicesFile {
        let mut file = ServicesFile::default();
        for service in text.lines().filter_map(parse_line) {
            file.by_port.entry((service.protocol, service.port)).or_insert(file.services.len());
            file.services.push(service);
        }
        file
    }

    /// The name of a port: the first one in the file.
    pub fn name_of(&self, protocol: Protocol, port: Port) -> Option<&str> {
        let at = *self.by_port.get(&(protocol, port))?;
        self.services[at].names.first().map(String::as_str)
    }

    /// The ports whose name matches `pattern`, in which `*` matches any text and `?` one character. Case-sensitive.
    pub fn ports_named(&self, protocol: Protocol, pattern: &str) -> PortSet {
        self.ports(protocol).filter(|service| service.names.iter().any(|name| fits(pattern, name))).map(port).collect()
    }

    /// The ports that have a name.
    pub fn known_ports(&self, protocol: Protocol) -> PortSet {
        self.ports(protocol).map(port).collect()
    }

    /// True if the file has frequencies, as nmap's does.
    pub fn has_frequencies(&self) -> bool {
        self.services.iter().any(|service| service.frequency.is_some())
    }

    /// The `count` ports that are open most often.
    pub fn most_frequent(&self, protocol: Protocol, count: usize) -> PortSet {
        let mut services: Vec<&NamedPort> =
            self.ports(protocol).filter(|service| service.frequency.is_some()).collect();
        services.sort_by(|a, b| b.frequency.unwrap_or_default().total_cmp(&a.frequency.unwrap_or_default()));
        services.into_iter().take(count).map(port).collect()
    }

    fn ports(&self, protocol: Protocol) -> impl Iterator<Item = &NamedPort> {
        self.services.iter().filter(move |service| service.protocol == protocol)
    }
}

fn port(service: &NamedPort) -> Port {
    service.port
}

fn parse_line(line: &str) -> Option<NamedPort> {
    let mut words = line.split('#').next()?.split_whitespace();
    let name = words.next()?.to_owned();
    let (port, protocol) = words.next()?.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let mut names = vec![name];
    let mut frequency = None;
    for word in words {
        match parse_frequency(word) {
            Some(found) => frequency = Some(found),
            None => names.push(word.to_owned()),
        }
    }
    Some(NamedPort { names, port: Port(port.parse().ok()?), protocol, frequency })
}

/// `0.000045`, or a ratio: `3/200`.
fn parse_frequency(word: &str) -> Option<f64> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match word.split_once('/') {
        Some((open, all)) => Some(number(open)? / number(all).filter(|all| *all > 0.0)?),
        None => number(word),
    }
}

/// Matches `name` against `pattern`, with backtracking: the latest `*` matches one more character each time the text
/// after it does not match.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut in_pattern, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, in_name));
                in_pattern += 1;
            }
            Some(b) if *b == b'?' || *b == name[in_name] => (in_pattern, in_name) = (in_pattern + 1, in_name + 1),
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (in_pattern, in_name) = (*after + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the format of services(5) and of nmap's file; the numbers are made up.
    const TEXT: &str = "\
# a comment
ssh\t\t22/tcp\t\t\t# SSH
domain\t53/tcp
domain\t53/udp\tnameserver dns
http\t80/tcp\t0.5\twww # aliases may follow
https 443/tcp 1/4
late 8000/tcp 0.75
sctp-only 9/sctp
broken
broken x/tcp
other 80/tcp
";

    #[test]
    fn ports_have_the_first_name_of_the_file() {
        let file = ServicesFile::parse(TEXT);
        assert_eq!(file.name_of(Protocol::Tcp, Port(80)), Some("http"));
        assert_eq!(file.name_of(Protocol::Udp, Port(80)), None);
        assert_eq!(file.known_ports(Protocol::Tcp).to_string(), "22,53,80,443,8000");
    }

    #[test]
    fn names_have_wildcards_and_aliases() {
        let file = ServicesFile::parse(TEXT);
        let named = |protocol, pattern| file.ports_named(protocol, pattern).to_string();
        for (pattern, ports) in [
            ("ssh", "22"),
            ("http*", "80,443"),
            ("htt?", "80"),
            ("*s*", "22,443"),
            ("www", "80"),
            ("SSH", ""),
            ("", ""),
        ] {
            assert_eq!(named(Protocol::Tcp, pattern), ports, "{pattern}");
        }
        assert_eq!(named(Protocol::Udp, "dns"), "53");
    }

    #[test]
    fn the_most_frequent_ports_come_by_frequency() {
        let file = ServicesFile::parse(TEXT);
        assert!(file.has_frequencies() && !ServicesFile::parse("ssh 22/tcp").has_frequencies());
        assert_eq!(file.most_frequent(Protocol::Tcp, 2).to_string(), "80,8000");
        assert_eq!(file.most_frequent(Protocol::Tcp, 99).to_string(), "80,443,8000");
    }
}
