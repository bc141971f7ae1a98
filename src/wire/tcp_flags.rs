//! The TCP flags octet: as rules name its flags, and as nmap's `--scanflags` writes it. Sources: nmap reference guide,
//! "--scanflags", and the `scanflags` attribute that nmap 7.93 was seen to print.

use std::fmt;
use std::str::FromStr;

/// The names of the bits, lowest first (RFC 9293, section 3.1; ECE and CWR: RFC 3168, section 6.1).
const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// The flags octet of a TCP header, of any value. Prints as in nmap's XML: `FINPSHURG`, and empty for no flag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlagsOctet(pub u8);

/// The six flags that rules can match, lowest bit first (RFC 9293, section 3.1); iptables-save prints them in this
/// order.
pub const TCP_FLAGS: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

/// The names of the flags that are set in `octet`, lowest bit first. CWR and ECE are left out, since no rule can match
/// them.
pub fn tcp_flag_names(octet: u8) -> Vec<&'static str> {
    (0u8..).zip(TCP_FLAGS).filter(|(bit, _)| octet >> bit & 1 == 1).map(|(_, name)| name).collect()
}

impl fmt::Display for TcpFlagsOctet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        f.pad(&set.map(|(_, name)| *name).collect::<String>())
    }
}

/// The error for a text that is no set of TCP flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no set of TCP flags: write their names, like URGPSHFIN, or a number from 0 to 255, like 41 or 0x29",
    .0.escape_debug()
)]
pub struct TcpFlagsError(pub String);

impl FromStr for TcpFlagsOctet {
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
        found.map(TcpFlagsOctet).ok_or_else(|| TcpFlagsError(text.to_owned()))
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
        let bit = NAMES.iter().position(|name| rest.starts_with(name))?;
        flags |= 1 << bit;
        rest = &rest[NAMES[bit].len()..];
    }
    (!text.is_empty()).then_some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u8> {
        text.parse().ok().map(|TcpFlagsOctet(flags)| flags)
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
        for (flags, text) in [(0x29, "FINPSHURG"), (0, ""), (0xff, "FINSYNRSTPSHACKURGECECWR")] {
            assert_eq!(TcpFlagsOctet(flags).to_string(), text);
        }
    }
}
