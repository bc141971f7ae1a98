//! The TCP flags octet: as rules name its flags, and as nmap's `--scanflags` writes it. Sources: nmap reference guide,
//! "--scanflags", and the `scanflags` attribute that nmap 7.93 was seen to print.

use std::fmt;
use std::str::FromStr;

/// The flags octet of a TCP header (RFC 9293, section 3.1; ECE and CWR: RFC 3168, section 6.1). Prints the six flags that
/// rules can match like iptables: `SYN,ACK`, and `NONE` for no flag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

#[allow(missing_docs)] // the names of the RFC
impl TcpFlags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const SYN_ACK: u8 = 0x12;
    pub const FIN_ACK: u8 = 0x11;
    pub const RST_ACK: u8 = 0x14;
    pub const PSH_ACK: u8 = 0x18;
    /// The flags of `nmap -sX`: FIN, PSH, URG.
    pub const XMAS: u8 = 0x29;
    /// The flags that `--syn` matches.
    pub const FIN_SYN_RST_ACK: u8 = 0x17;
    /// The six flags that rules can match.
    pub const ALL: u8 = 0x3f;
}

impl TcpFlags {
    /// The names of the bits, lowest first.
    pub const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

    /// The names of the flags that are set, lowest bit first.
    pub fn names(self) -> Vec<&'static str> {
        (0..8).zip(TcpFlags::NAMES).filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name).collect()
    }

    /// The names of those that rules can match.
    pub fn six_names(self) -> Vec<&'static str> {
        TcpFlags(self.0 & TcpFlags::ALL).names()
    }

    /// The flag of this name, in any case; `None` if no rule can match it.
    pub fn named(name: &str) -> Option<u8> {
        TcpFlags::NAMES[..6].iter().position(|flag| flag.eq_ignore_ascii_case(name)).map(|bit| 1 << bit)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.six_names() {
            [] => f.pad("NONE"),
            names => f.pad(&names.join(",")),
        }
    }
}

/// The error for a text that is no set of TCP flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a set of TCP flags: write their names, like URGPSHFIN, or a number from 0 to 255, like 41 or 0x29",
    .0.escape_debug()
)]
pub struct TcpFlagsError(pub String);

impl FromStr for TcpFlags {
    type Err = TcpFlagsError;

    /// Parses names in any order and case, with or without commas (`SYNFIN`, `urg,psh`), `ALL`, `NONE`, and a number in
    /// decimal or hexadecimal.
    fn from_str(text: &str) -> Result<Self, TcpFlagsError> {
        let found = match text.to_ascii_uppercase().as_str() {
            "ALL" => Some(0xff),
            "NONE" => Some(0),
            number if number.starts_with(|c: char| c.is_ascii_digit()) => parse_number(number),
            names => parse_names(names),
        };
        found.map(TcpFlags).ok_or_else(|| TcpFlagsError(text.to_owned()))
    }
}

fn parse_number(text: &str) -> Option<u8> {
    let (digits, radix) = text.strip_prefix("0X").map_or((text, 10), |digits| (digits, 16));
    // `from_str_radix` would accept a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_number.then(|| u8::from_str_radix(digits, radix).ok()).flatten()
}

fn parse_names(text: &str) -> Option<u8> {
    let mut flags = 0;
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let bit = TcpFlags::NAMES.iter().position(|name| rest.starts_with(name))?;
        flags |= 1 << bit;
        rest = &rest[TcpFlags::NAMES[bit].len()..];
    }
    (!text.is_empty()).then_some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u8> {
        text.parse().ok().map(|TcpFlags(flags)| flags)
    }

    #[test]
    fn names_and_numbers_are_read() {
        for (text, flags) in [
            ("SYNFIN", 0x03),
            ("URGACKPSHRSTSYNFIN", 0x3f),
            ("syn,fin", 0x03),
            ("SYNSYN", 0x02),
            ("ECECWR", 0xc0),
            ("0", 0),
            ("255", 0xff),
            ("0x29", 0x29),
            ("ALL", 0xff),
            ("none", 0),
        ] {
            assert_eq!(read(text), Some(flags), "{text}");
        }
    }

    #[test]
    fn malformed_tcp_flags_are_refused() {
        for text in ["", "256", "0x100", "0x", "-1", "0x+1", "SYN FIN", "SYNFI", "FOO", "ECN", ",", "SYN,", "é"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    /// As nmap 7.93 prints `scanflags`.
    #[test]
    fn flags_print_lowest_bit_first() {
        for (flags, text, six) in [
            (0x29, "FINPSHURG", "FIN,PSH,URG"),
            (0, "", "NONE"),
            (0xff, "FINSYNRSTPSHACKURGECECWR", "FIN,SYN,RST,PSH,ACK,URG"),
        ] {
            assert_eq!((TcpFlags(flags).names().concat().as_str(), TcpFlags(flags).to_string().as_str()), (text, six));
        }
    }

    #[test]
    fn only_flags_that_rules_can_match_are_named() {
        assert_eq!(["urg", "SYN", "ECE", ""].map(TcpFlags::named), [Some(0x20), Some(2), None, None]);
    }
}
