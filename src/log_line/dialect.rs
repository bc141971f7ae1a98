//! Lines similar to the kernel's with another spelling: from ulogd's LOGEMU, from ebtables, and handwritten ones in
//! manuals.

use std::net::Ipv6Addr;

use super::LogLine;
use super::ipv6::Full;

/// Reparses the unparsed rest of a line in the other spellings; returns that line if it has more headers.
pub(super) fn translated(line: LogLine) -> LogLine {
    if line.rest.is_empty() {
        return line;
    }
    let understood = LogLine { rest: String::new(), ..line.clone() };
    match LogLine::parse(&format!("{understood}{}", in_the_kernels_words(&line.rest))) {
        Some(other) if other.prefix == line.prefix && shown_headers(&other) > shown_headers(&line) => other,
        _ => line,
    }
}

/// For the network, transport and link header: true if the line has it.
fn shown_headers(line: &LogLine) -> [bool; 3] {
    let transport = line.network.as_ref().and_then(|network| network.transport());
    [line.network.is_some(), transport.is_some(), line.link.is_some()]
}

fn in_the_kernels_words(rest: &str) -> String {
    let rest = EBTABLES.iter().fold(rest.to_owned(), |rest, (theirs, ours)| rest.replace(theirs, ours));
    let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
    let mut text = String::with_capacity(rest.len() + 16);
    for (at, word) in words.iter().enumerate() {
        text.push_str(&in_the_kernels_spelling(word));
        text.push(' ');
        // ulogd does not print the reserved bits.
        if word.starts_with("WINDOW=") && !words.get(at + 1).is_some_and(|next| next.starts_with("RES=")) {
            text.push_str("RES=0x00 ");
        }
    }
    text
}

/// net/bridge/netfilter/ebt_log.c
const EBTABLES: [(&str, &str); 9] = [
    ("MAC source = ", "MACSRC="),
    ("MAC dest = ", "MACDST="),
    ("proto = 0x", "MACPROTO="),
    (", PTYPE=", " PTYPE="),
    (", OPCODE=", " OPCODE="),
    ("ARP MAC SRC=", "MACSRC="),
    ("ARP IP SRC=", "IPSRC="),
    ("ARP MAC DST=", "MACDST="),
    ("ARP IP DST=", "IPDST="),
];

fn in_the_kernels_spelling(word: &str) -> String {
    let spelt = word.split_once('=').and_then(|(key, value)| {
        let value = match key {
            "TOS" | "PREC" => octet(value)?,
            "SRC" | "DST" | "[SRC" => Full(value.parse::<Ipv6Addr>().ok()?).to_string(),
            "PROTO" => protocol(value)?.to_owned(),
            "MAC" => value.to_ascii_lowercase(),
            _ => return None,
        };
        Some(format!("{key}={value}"))
    });
    spelt.unwrap_or_else(|| word.to_owned())
}

fn octet(value: &str) -> Option<String> {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    u8::from_str_radix(digits, 16).ok().map(|octet| format!("0x{octet:02X}"))
}

/// The kernel's name or number of a protocol. The kernel has names for some protocols only; the numbers are IANA's.
fn protocol(name: &str) -> Option<&'static str> {
    let known = [
        ("TCP", "TCP"),
        ("UDP", "UDP"),
        ("UDPLITE", "UDPLITE"),
        ("ICMP", "ICMP"),
        ("ICMPV6", "ICMPv6"),
        ("IPV6-ICMP", "ICMPv6"),
        ("ESP", "ESP"),
        ("AH", "AH"),
        ("IGMP", "2"),
        ("DCCP", "33"),
        ("GRE", "47"),
        ("SCTP", "132"),
    ];
    known.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)).map(|(_, ours)| *ours)
}
