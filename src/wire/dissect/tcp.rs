//! The TCP header (RFC 9293, section 3.1) and its options (section 3.2; RFC 2018; RFC 7323).

use super::checksum::{self, Pseudo};
use super::header::{HeaderReader, data, hex};
use super::{Next, Then};
use crate::wire::bytes::{be16, be32};
use crate::wire::tcp_flags::TcpFlags;

/// The control bits, from the high bit down, in the words of RFC 9293, section 3.1.
pub const CONTROL_BITS: [(&str, &str); 8] = [
    ("CWR", "Congestion Window Reduced"),
    ("ECE", "ECN-Echo"),
    ("URG", "Urgent pointer field is significant"),
    ("ACK", "Acknowledgment field is significant"),
    ("PSH", "Push function"),
    ("RST", "Reset the connection"),
    ("SYN", "Synchronize sequence numbers"),
    ("FIN", "No more data from sender"),
];

/// Reads the header, with its options.
pub fn read(header: &mut HeaderReader<'_>, pseudo: &Pseudo) -> Option<Then> {
    header.u16("Source Port")?;
    header.u16("Destination Port")?;
    header.u32("Sequence Number")?;
    header.u32("Acknowledgment Number")?;
    let byte = header.peek(2)?[0];
    let len = usize::from(byte >> 4) * 4;
    header.bits("Data Offset", 1, byte >> 4);
    header.note(format!("{len} bytes, in words of 4"));
    header.bits("Reserved", 1, byte & 0xf);
    header.skip(1);
    read_control_bits(header)?;
    header.u16("Window")?;
    header.hex16("Checksum")?;
    let segment = header.bytes_up_to(pseudo.end);
    if let Some(note) = checksum::judge_transport(segment, 16, 6, pseudo, header.end() >= pseudo.end) {
        header.note(note);
    }
    header.u16("Urgent Pointer")?;
    header.options(len, "Option: No-Operation", |kind, option| option_of(kind, &option[2..]))?;
    Some(Then { next: Next::Payload, end: header.end() })
}

fn read_control_bits(header: &mut HeaderReader<'_>) -> Option<()> {
    let octet = header.peek(1)?[0];
    header.bits("Control bits", 1, hex(octet));
    header.note(names(octet));
    for (place, (name, meaning)) in CONTROL_BITS.into_iter().enumerate() {
        let is_set = octet << place & 0x80 != 0;
        header.bits(name, 1, u8::from(is_set));
        if is_set {
            header.note(meaning);
        }
    }
    header.skip(1);
    Some(())
}

fn names(octet: u8) -> String {
    let set = TcpFlags(octet).names();
    if set.is_empty() { "none set".to_owned() } else { set.join(", ") }
}

fn option_of(kind: u8, value: &[u8]) -> (&'static str, String) {
    match (kind, value) {
        (2, [_, _]) => ("Option: Maximum Segment Size", be16(value, 0).unwrap_or_default().to_string()),
        (3, [shift]) => ("Option: Window Scale", shift.to_string()),
        (4, []) => ("Option: SACK Permitted", "yes".to_owned()),
        (5, blocks) if blocks.len().is_multiple_of(8) => ("Option: SACK", sack_blocks(blocks)),
        (8, [_, _, _, _, _, _, _, _]) => {
            let (own, echoed) = (be32(value, 0).unwrap_or_default(), be32(value, 4).unwrap_or_default());
            ("Option: Timestamps", format!("TSval {own}, TSecr {echoed}"))
        }
        (kind, value) => ("Option", format!("kind {kind}: {}", data(value))),
    }
}

fn sack_blocks(blocks: &[u8]) -> String {
    let edge = |block: &[u8], at| be32(block, at).unwrap_or_default();
    blocks.chunks(8).map(|block| format!("{}-{}", edge(block, 0), edge(block, 4))).collect::<Vec<_>>().join(", ")
}
