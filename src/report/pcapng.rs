//! Frames as a file that Wireshark opens: pcapng, nanoseconds, and for every frame its direction as seen from the host
//! and a comment with its path and result (draft-ietf-opsawg-pcapng; the functions below name its sections).

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use crate::lab::LinkMode;
use crate::wire::frame::Direction;

/// One frame.
#[derive(Debug, Clone)]
pub struct CapturedFrame<'a> {
    /// Its interface, as an index into those of the file.
    pub interface: usize,
    /// The time at which it was on the link, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// The direction, as seen from the host.
    pub direction: Direction,
    /// The whole frame: an Ethernet frame on a TAP, an IP packet on a TUN.
    pub bytes: Cow<'a, [u8]>,
    /// The comment; none is written if it is empty.
    pub comment: String,
}

impl CapturedFrame<'_> {
    /// The same frame with a copy of its bytes.
    pub fn into_owned(self) -> CapturedFrame<'static> {
        let CapturedFrame { interface, at, direction, bytes, comment } = self;
        CapturedFrame { interface, at, direction, bytes: bytes.into_owned().into(), comment }
    }
}

/// An interface of a capture.
#[derive(Debug, Clone)]
pub struct CaptureInterface {
    /// Its name in the lab.
    pub name: String,
    /// The lab that it belongs to, if there are several.
    pub description: Option<String>,
    /// The kind of its frames.
    pub link: LinkMode,
}

/// A capture that is being written.
pub struct CaptureWriter<W: Write>(W);

impl<W: Write> CaptureWriter<W> {
    /// Writes the blocks that precede the frames: the section header and the interfaces.
    pub fn begin(mut out: W, interfaces: &[CaptureInterface]) -> io::Result<CaptureWriter<W>> {
        out.write_all(&section_header())?;
        interfaces.iter().try_for_each(|interface| out.write_all(&interface_description(interface)))?;
        Ok(CaptureWriter(out))
    }

    /// Writes one more frame.
    pub fn write(&mut self, frame: CapturedFrame<'_>) -> io::Result<()> {
        self.0.write_all(&enhanced_packet(&frame))
    }

    /// Returns the inner writer.
    pub fn into_inner(self) -> W {
        self.0
    }
}

/// Section header block, section 4.1. Its byte-order magic declares every number of the file big-endian.
fn section_header() -> Vec<u8> {
    const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
    const VERSION: [u16; 2] = [1, 0];
    const LENGTH_NOT_GIVEN: i64 = -1;
    const USER_APPLICATION: u16 = 4;
    let mut body = BYTE_ORDER_MAGIC.to_be_bytes().to_vec();
    VERSION.iter().for_each(|number| body.extend(number.to_be_bytes()));
    body.extend(LENGTH_NOT_GIVEN.to_be_bytes());
    push_option(&mut body, USER_APPLICATION, concat!("scanlab ", env!("CARGO_PKG_VERSION")).as_bytes());
    block(0x0a0d_0d0a, body)
}

/// Interface description block, section 4.2.
fn interface_description(interface: &CaptureInterface) -> Vec<u8> {
    const ETHERNET: u16 = 1;
    const RAW: u16 = 101;
    const RESERVED: u16 = 0;
    const NO_LIMIT: u32 = 0;
    const NAME: u16 = 2;
    const DESCRIPTION: u16 = 3;
    const TIME_RESOLUTION: u16 = 9;
    const NANOSECONDS: u8 = 9;
    let link_type = match interface.link {
        LinkMode::Tap => ETHERNET,
        LinkMode::Tun => RAW,
    };
    let mut body = [link_type, RESERVED].map(u16::to_be_bytes).concat();
    body.extend(NO_LIMIT.to_be_bytes());
    push_text(&mut body, NAME, &interface.name);
    push_option(&mut body, TIME_RESOLUTION, &[NANOSECONDS]);
    if let Some(text) = &interface.description {
        push_text(&mut body, DESCRIPTION, text);
    }
    block(1, body)
}

/// Enhanced packet block, section 4.3.
fn enhanced_packet(frame: &CapturedFrame<'_>) -> Vec<u8> {
    const COMMENT: u16 = 1;
    const FLAGS: u16 = 2;
    /// The low two bits of the flags word are the direction.
    const INBOUND: u32 = 1;
    const OUTBOUND: u32 = 2;
    let flags = match frame.direction {
        Direction::In => INBOUND,
        Direction::Out => OUTBOUND,
    };
    let length = frame.bytes.len() as u32;
    let mut body = (frame.interface as u32).to_be_bytes().to_vec();
    body.extend((frame.at.as_nanos() as u64).to_be_bytes());
    // Captured length and original length are equal: no frame is cut.
    body.extend([length, length].map(u32::to_be_bytes).concat());
    push_padded(&mut body, &frame.bytes);
    push_option(&mut body, FLAGS, &flags.to_be_bytes());
    if !frame.comment.is_empty() {
        push_text(&mut body, COMMENT, &frame.comment);
    }
    block(6, body)
}

/// A block of this type: its length precedes the body, and follows the end of its options (section 3.1).
fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    const END_OF_OPTIONS: u16 = 0;
    const FRAME_OF_BLOCK: usize = 12;
    push_option(&mut body, END_OF_OPTIONS, &[]);
    let length = ((body.len() + FRAME_OF_BLOCK) as u32).to_be_bytes();
    [&kind.to_be_bytes(), &length, body.as_slice(), &length].concat()
}

/// An option with this text, cut if it is longer than the 16-bit length of an option can count.
fn push_text(body: &mut Vec<u8>, code: u16, text: &str) {
    const LONGEST: usize = 60_000;
    if text.len() <= LONGEST {
        return push_option(body, code, text.as_bytes());
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    push_option(body, code, format!("{}…", &text[..end]).as_bytes());
}

/// An option, section 3.5.
fn push_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_be_bytes());
    body.extend((value.len() as u16).to_be_bytes());
    push_padded(body, value);
}

/// The bytes, padded to 32 bits.
fn push_padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(comment: &str, direction: Direction, bytes: Vec<u8>) -> CapturedFrame<'static> {
        let at = Duration::new(1_700_000_000, 123_456_789);
        CapturedFrame { interface: 1, at, direction, bytes: bytes.into(), comment: comment.to_owned() }
    }

    /// A file of two interfaces.
    fn capture(frames: Vec<CapturedFrame<'_>>) -> Vec<u8> {
        let interface = |name: &str, description: Option<&str>, link| CaptureInterface {
            name: name.to_owned(),
            description: description.map(str::to_owned),
            link,
        };
        let interfaces = [interface("eth0", Some("ipv4"), LinkMode::Tap), interface("tun0", None, LinkMode::Tun)];
        let mut writer = CaptureWriter::begin(Vec::new(), &interfaces).unwrap();
        frames.into_iter().for_each(|frame| writer.write(frame).unwrap());
        writer.into_inner()
    }

    /// The type and the body of each block of a file; panics if the two lengths of a block differ.
    fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let mut all = Vec::new();
        while !file.is_empty() {
            let length = number(&file[4..8]) as usize;
            let (block, rest) = file.split_at(length);
            assert_eq!((length % 4, number(&block[length - 4..]) as usize), (0, length));
            all.push((number(&block[..4]), &block[8..length - 4]));
            file = rest;
        }
        all
    }

    /// The bytes as capinfos 4.0 and tshark 4.0 read them: two interfaces, nanoseconds, one inbound frame with a comment.
    #[test]
    fn a_capture_has_the_bytes_of_the_format() {
        let file = capture(vec![frame("dropped", Direction::In, vec![7; 5])]);
        let hex = |block: &[u8]| block.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shown: Vec<String> = blocks(&file).iter().map(|(kind, body)| format!("{kind:08x} {}", hex(body))).collect();
        insta::assert_snapshot!(shown.join("\n"), @"
        0a0d0d0a 1a2b3c4d00010000ffffffffffffffff0004000d7363616e6c616220302e312e3000000000000000
        00000001 000100000000000000020004657468300009000109000000000300046970763400000000
        00000001 00650000000000000002000474756e30000900010900000000000000
        00000006 0000000117979cfe3d85cd150000000500000005070707070700000000020004000000010001000764726f707065640000000000
        ");
    }

    #[test]
    fn blocks_of_any_size_end_at_32_bits() {
        for size in 0..9 {
            let comment = "x".repeat(size);
            let file = capture(vec![frame(&comment, Direction::Out, vec![7; size])]);
            let [(0x0a0d_0d0a, _), (1, _), (1, _), (6, packet)] = blocks(&file)[..] else { panic!("{size}") };
            assert_eq!(packet[20..][..size], vec![7; size], "{size}");
            let comments = packet.windows(4).filter(|at| at[..] == [0, 1, 0, size as u8]).count();
            assert_eq!(comments, usize::from(size > 0), "{size}");
        }
    }

    #[test]
    fn a_text_too_long_for_an_option_is_cut_between_two_characters() {
        let file = capture(vec![frame(&format!("x{}", "é".repeat(40_000)), Direction::Out, Vec::new())]);
        let packet = blocks(&file)[3].1;
        // 20 bytes of numbers, and 8 of the flags, precede the comment.
        let length = usize::from(u16::from_be_bytes([packet[30], packet[31]]));
        let text = str::from_utf8(&packet[32..][..length]).unwrap();
        assert_eq!((length, text.chars().last()), (59_999 + "…".len(), Some('…')));
        assert_eq!(packet.len(), 32 + length.next_multiple_of(4) + 4);
    }

    #[test]
    fn a_full_disk_is_reported_as_such() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = CaptureWriter::begin(full, &[]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
