//! Frames as a file that Wireshark opens: pcapng, nanoseconds, and for every frame its direction as seen from
//! the host and a comment that tells what became of it (draft-ietf-opsawg-pcapng, section 4.3).

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgWriteError, PcapNgWriter};

use crate::frame::Direction;
use crate::lab::LinkMode;

/// One frame.
#[derive(Debug, Clone)]
pub struct CapturedFrame<'a> {
    /// Its interface: a place among those of the file.
    pub interface: usize,
    /// When it was on the link, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// Whether the host received or sent it.
    pub direction: Direction,
    /// All of it: an Ethernet frame on a TAP, an IP packet on a TUN.
    pub bytes: Cow<'a, [u8]>,
    /// What is told of it; nothing when empty.
    pub comment: String,
}

impl CapturedFrame<'_> {
    /// The same, with bytes of its own.
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
    /// Which lab it stood in, when there were several.
    pub description: Option<String>,
    /// What its frames are.
    pub link: LinkMode,
}

/// A capture that is being written.
pub struct CaptureWriter<W: Write>(PcapNgWriter<W>);

impl<W: Write> CaptureWriter<W> {
    /// Writes what stands in front of the frames.
    pub fn begin(out: W, interfaces: &[CaptureInterface]) -> io::Result<CaptureWriter<W>> {
        let tool = format!("scanlab {}", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            options: vec![SectionHeaderOption::UserApplication(tool.into())],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(out, section).map_err(cause)?;
        for interface in interfaces {
            writer.write_pcapng_block(description(interface)?).map_err(cause)?;
        }
        Ok(CaptureWriter(writer))
    }

    /// Writes one more frame.
    pub fn write(&mut self, frame: CapturedFrame<'_>) -> io::Result<()> {
        self.0.write_pcapng_block(block(frame)).map(drop).map_err(cause)
    }

    /// All is written.
    pub fn into_inner(self) -> W {
        self.0.into_inner()
    }
}

/// What the operating system said, where it was that.
fn cause(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn description(interface: &CaptureInterface) -> io::Result<InterfaceDescriptionBlock<'static>> {
    const NANOSECONDS: u8 = 9;
    const NO_LIMIT: u32 = 0;
    let linktype = match interface.link {
        LinkMode::Tap => DataLink::ETHERNET,
        LinkMode::Tun => DataLink::RAW,
    };
    let resolution = InterfaceTsResolution::new(false, NANOSECONDS).map_err(io::Error::other)?;
    let mut options = vec![
        InterfaceDescriptionOption::IfName(interface.name.clone().into()),
        InterfaceDescriptionOption::IfTsResol(resolution),
    ];
    options.extend(interface.description.clone().map(|text| InterfaceDescriptionOption::IfDescription(text.into())));
    Ok(InterfaceDescriptionBlock { options, ..InterfaceDescriptionBlock::new(linktype, NO_LIMIT) })
}

fn block(frame: CapturedFrame<'_>) -> EnhancedPacketBlock<'_> {
    /// Of the flags word: the low two bits are the direction.
    const INBOUND: u32 = 1;
    const OUTBOUND: u32 = 2;
    let flags = match frame.direction {
        Direction::In => INBOUND,
        Direction::Out => OUTBOUND,
    };
    let comment = shortened(frame.comment);
    let comment = (!comment.is_empty()).then(|| CommonOption::Comment(comment.into()));
    let options = [EnhancedPacketOption::Flags(flags)].into_iter().chain(comment.map(EnhancedPacketOption::Common));
    EnhancedPacketBlock {
        interface_id: frame.interface as u32,
        timestamp: frame.at,
        original_len: frame.bytes.len() as u32,
        data: frame.bytes,
        options: options.collect(),
    }
}

/// The length of an option is a 16-bit number.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 60_000;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    fn frame(comment: &str, direction: Direction) -> CapturedFrame<'static> {
        let at = Duration::new(1_700_000_000, 123_456_789);
        CapturedFrame { interface: 0, at, direction, bytes: vec![7; 61].into(), comment: comment.to_owned() }
    }

    #[test]
    fn time_direction_and_comment_are_read_back() {
        let mut file = Vec::new();
        let frames =
            [frame("dropped", Direction::In), frame("", Direction::Out), frame(&"é".repeat(40_000), Direction::Out)];
        let interface = CaptureInterface { name: "eth0".to_owned(), description: None, link: LinkMode::Tap };
        let mut writer = CaptureWriter::begin(&mut file, &[interface]).unwrap();
        frames.into_iter().for_each(|frame| writer.write(frame).unwrap());
        let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
        let mut seen = Vec::new();
        while let Some(block) = reader.next_block() {
            let (block, _) = block.unwrap();
            match block {
                Block::InterfaceDescription(interface) => assert_eq!(interface.linktype, DataLink::ETHERNET),
                Block::EnhancedPacket(packet) => {
                    assert_eq!((packet.timestamp, packet.data.len()), (frame("", Direction::In).at, 61));
                    seen.push(packet.options.len());
                    let flags = if seen.len() == 1 { 1 } else { 2 };
                    assert!(packet.options.contains(&EnhancedPacketOption::Flags(flags)));
                }
                _ => {}
            }
        }
        assert_eq!(seen, [2, 1, 2]);
    }

    #[test]
    fn a_full_disk_is_called_so() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = CaptureWriter::begin(full, &[]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
