//! The bytes of a packet from an offset on. The offset may be beyond the packet's end, if a length in it is wrong.

/// The rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    /// The whole packet.
    pub(super) fn new(packet: &'a [u8]) -> Bytes<'a> {
        Bytes { packet, at: 0 }
    }

    /// The rest after `count` more bytes.
    pub(super) fn skip(self, count: usize) -> Bytes<'a> {
        Bytes { at: self.at + count, ..self }
    }

    /// The first bytes, if all of them are there.
    pub(super) fn first<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.packet.get(self.at..)?.first_chunk()
    }

    /// The bytes from here to `end`, if all of them are there.
    pub(super) fn up_to(self, end: usize) -> Option<&'a [u8]> {
        self.packet.get(self.at..self.at + end)
    }

    /// The number of bytes left, in the kernel's arithmetic: 32 bits, wrapping below zero.
    pub(super) fn left(self) -> u32 {
        (self.packet.len() as u32).wrapping_sub(self.at as u32)
    }
}

/// Two bytes in network order.
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes in network order.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}
