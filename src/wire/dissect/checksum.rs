//! The Internet checksum (RFC 1071), and notes on whether a checksum field is correct.

use std::net::IpAddr;

use crate::wire::bytes::be16;

/// The addresses of a packet and the end of its payload, for the pseudo header of its checksum (RFC 9293, section 3.1;
/// RFC 8200, section 8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudo {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The end of the packet by its own length; it may be beyond the frame's end, if only its beginning was quoted.
    pub end: usize,
    /// True for a fragment, whose checksum cannot be verified.
    pub is_fragment: bool,
}

/// A note on the checksum at byte `at`, over these bytes alone.
pub fn judge(bytes: &[u8], at: usize) -> String {
    describe(bytes, at, 0)
}

/// A note on the checksum at byte `at` of a segment, with its pseudo header; `None` if it cannot be verified.
pub fn judge_transport(segment: &[u8], at: usize, protocol: u8, pseudo: &Pseudo, is_whole: bool) -> Option<String> {
    let is_known = is_whole && !pseudo.is_fragment;
    is_known.then(|| {
        let addresses = [octets(pseudo.source), octets(pseudo.destination)].concat();
        describe(segment, at, sum(&addresses) + segment.len() as u64 + u64::from(protocol))
    })
}

fn describe(bytes: &[u8], at: usize, more: u64) -> String {
    let found = be16(bytes, at).unwrap_or_default();
    let right = !fold(sum(bytes) + more - u64::from(found));
    // Ones' complement has two zeros.
    if right == found || (right == 0xffff && found == 0) || (right == 0 && found == 0xffff) {
        "correct".to_owned()
    } else {
        format!("wrong: it should be {right:#06x}")
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from)).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
