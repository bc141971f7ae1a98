//! A cursor over a header: every field is read from its front, and keeps its range in the frame.

use std::fmt::{self, LowerHex};
use std::ops::Range;

use super::{HeaderField, Layer, Then};
use crate::wire::bytes::{be16, be32};

/// A cursor over a header. Its methods return `None` if the bytes end too early; the rest is then a field `Cut short`.
pub struct HeaderReader<'a> {
    frame: &'a [u8],
    start: usize,
    at: usize,
    end: usize,
    fields: Vec<HeaderField>,
}

impl<'a> HeaderReader<'a> {
    /// A cursor over these bytes of the frame.
    pub fn open(frame: &'a [u8], bytes: Range<usize>) -> HeaderReader<'a> {
        let end = bytes.end.min(frame.len());
        let start = bytes.start.min(end);
        HeaderReader { frame, start, at: start, end, fields: Vec::new() }
    }

    /// The layer, with the fields that were read.
    pub fn close(self, name: &'static str, is_quoted: bool) -> Layer {
        Layer { name, bytes: self.start..self.at, is_quoted, fields: self.fields }
    }

    /// The start of the header.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The end of the available bytes.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The number of bytes that were read.
    pub fn len(&self) -> usize {
        self.at - self.start
    }

    /// The bytes from the start of the header up to `end`, an offset in the frame.
    pub fn bytes_up_to(&self, end: usize) -> &'a [u8] {
        &self.frame[self.start..end.clamp(self.start, self.end)]
    }

    /// The first four bits.
    pub fn version(&self) -> Option<u8> {
        self.frame.get(self.at).map(|byte| byte >> 4)
    }

    /// True if all bytes before the header's byte number `len` are read.
    pub fn is_read_up_to(&self, len: usize) -> bool {
        self.at >= self.end.min(self.start + len)
    }

    /// The next bytes, without moving the cursor.
    pub fn peek(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.frame[..self.end].get(self.at..self.at + len);
        if bytes.is_none() {
            self.cut_short();
        }
        bytes
    }

    /// Adds a field of some bits of the next bytes, without moving the cursor.
    pub fn bits(&mut self, name: &'static str, len: usize, value: impl fmt::Display) {
        let bytes = self.at..(self.at + len).min(self.end);
        self.fields.push(HeaderField { name, bytes, value: value.to_string(), note: None });
    }

    /// Moves the cursor, after fields of bits.
    pub fn skip(&mut self, len: usize) {
        self.at = (self.at + len).min(self.end);
    }

    /// Reads a field of `len` bytes. One of length 0, such as an address in a broken ARP packet, is not recorded.
    pub fn field(&mut self, name: &'static str, len: usize, show: impl FnOnce(&[u8]) -> String) -> Option<&'a [u8]> {
        let bytes = self.peek(len)?;
        if len > 0 {
            self.bits(name, len, show(bytes));
        }
        self.skip(len);
        Some(bytes)
    }

    /// Reads a number of 8 bits.
    pub fn u8(&mut self, name: &'static str) -> Option<u8> {
        let bytes = self.field(name, 1, |bytes| bytes[0].to_string())?;
        Some(bytes[0])
    }

    /// Reads a number of 16 bits.
    pub fn u16(&mut self, name: &'static str) -> Option<u16> {
        be16(self.field(name, 2, |bytes| be16(bytes, 0).unwrap_or_default().to_string())?, 0)
    }

    /// Reads a number of 32 bits.
    pub fn u32(&mut self, name: &'static str) -> Option<u32> {
        be32(self.field(name, 4, |bytes| be32(bytes, 0).unwrap_or_default().to_string())?, 0)
    }

    /// Reads a 16-bit identifier, which is shown in hexadecimal.
    pub fn hex16(&mut self, name: &'static str) -> Option<u16> {
        be16(self.field(name, 2, |bytes| hex(be16(bytes, 0).unwrap_or_default()))?, 0)
    }

    /// Reads options up to the header's byte number `len`, in the format of IPv4 (RFC 791, section 3.1) and TCP (RFC
    /// 9293, section 3.2): kind 0 ends them, kind 1 is padding and is named `nothing`, and every other kind has a
    /// length, which includes kind and length. `show` returns name and value of an option from its kind and all of its
    /// bytes.
    pub fn options(
        &mut self,
        len: usize,
        nothing: &'static str,
        show: impl Fn(u8, &[u8]) -> (&'static str, String),
    ) -> Option<()> {
        while !self.is_read_up_to(len) {
            let kind = self.peek(1)?[0];
            if kind < 2 {
                let name = if kind == 0 { "Option: End of Option List" } else { nothing };
                self.field(name, 1, |bytes| bytes[0].to_string())?;
                if kind == 0 {
                    self.up_to("Padding", len);
                }
                continue;
            }
            let left = len.saturating_sub(self.len());
            let length = usize::from(self.peek(2)?[1]);
            if length < 2 || length > left {
                self.up_to("Option: malformed", len);
                return Some(());
            }
            let (name, value) = show(kind, self.peek(length)?);
            self.field(name, length, |_| value)?;
        }
        Some(())
    }

    /// Adds the meaning of the last field.
    pub fn note(&mut self, note: impl Into<String>) {
        if let Some(last) = self.fields.last_mut() {
            last.note = Some(note.into());
        }
    }

    /// Reads everything up to the header's byte number `len`, as bytes.
    pub fn up_to(&mut self, name: &'static str, len: usize) -> Option<&'a [u8]> {
        let left = (self.start + len).min(self.end).saturating_sub(self.at);
        if left == 0 { None } else { self.field(name, left, data) }
    }

    /// Reads everything that is left, as bytes; no layer follows.
    pub fn rest(&mut self, name: &'static str) -> Option<Then> {
        self.up_to(name, self.end - self.start);
        None
    }

    fn cut_short(&mut self) {
        if self.at < self.end {
            self.bits("Cut short", self.end - self.at, data(&self.frame[self.at..self.end]));
            self.note("the header should go on");
            self.at = self.end;
        }
    }
}

/// `0x` and all digits of a number.
pub fn hex<N: LowerHex>(number: N) -> String {
    format!("{number:#0width$x}", width = 2 + 2 * size_of::<N>())
}

/// Text if all bytes are printable, else hexadecimal digits; cut if it is long.
pub fn data(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let is_text = !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    let (shown, dots) = (&bytes[..bytes.len().min(SHOWN)], if bytes.len() > SHOWN { "..." } else { "" });
    match is_text {
        true => format!("\"{}{dots}\"", shown.escape_ascii()),
        false => shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + dots,
    }
}

/// An Ethernet address.
pub fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
