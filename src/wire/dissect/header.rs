//! A header that is being read: every field is taken from its front, and keeps where in the frame it lies.

use std::fmt::{self, LowerHex};
use std::ops::Range;

use super::{HeaderField, Layer, Then};
use crate::wire::bytes::{be16, be32};

/// A header that is being read. What reads from it gets none where the bytes end too early; the rest is then told as `Cut
/// short`.
pub struct HeaderReader<'a> {
    frame: &'a [u8],
    start: usize,
    at: usize,
    end: usize,
    fields: Vec<HeaderField>,
}

impl<'a> HeaderReader<'a> {
    /// Begins to read these bytes of the frame.
    pub fn open(frame: &'a [u8], bytes: Range<usize>) -> HeaderReader<'a> {
        let end = bytes.end.min(frame.len());
        let start = bytes.start.min(end);
        HeaderReader { frame, start, at: start, end, fields: Vec::new() }
    }

    /// What was read.
    pub fn close(self, name: &'static str, is_quoted: bool) -> Layer {
        Layer { name, bytes: self.start..self.at, is_quoted, fields: self.fields }
    }

    /// Where the header begins.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Up to where there are bytes.
    pub fn end(&self) -> usize {
        self.end
    }

    /// How many bytes were read.
    pub fn len(&self) -> usize {
        self.at - self.start
    }

    /// Everything from the first byte of the header on, up to this place of the frame.
    pub fn bytes_up_to(&self, end: usize) -> &'a [u8] {
        &self.frame[self.start..end.clamp(self.start, self.end)]
    }

    /// What the first four bits say.
    pub fn version(&self) -> Option<u8> {
        self.frame.get(self.at).map(|byte| byte >> 4)
    }

    /// Whether nothing is left before the header's byte number `len`.
    pub fn is_read_up_to(&self, len: usize) -> bool {
        self.at >= self.end.min(self.start + len)
    }

    /// The next bytes, not taken.
    pub fn peek(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.frame[..self.end].get(self.at..self.at + len);
        if bytes.is_none() {
            self.cut_short();
        }
        bytes
    }

    /// A field of some bits of the next bytes, which stay.
    pub fn bits(&mut self, name: &'static str, len: usize, value: impl fmt::Display) {
        let bytes = self.at..(self.at + len).min(self.end);
        self.fields.push(HeaderField { name, bytes, value: value.to_string(), note: None });
    }

    /// Continues after fields of some bits.
    pub fn skip(&mut self, len: usize) {
        self.at = (self.at + len).min(self.end);
    }

    /// A field of so many bytes. What has a length of 0, as an address in a broken ARP packet may, is no field.
    pub fn field(&mut self, name: &'static str, len: usize, show: impl FnOnce(&[u8]) -> String) -> Option<&'a [u8]> {
        let bytes = self.peek(len)?;
        if len > 0 {
            self.bits(name, len, show(bytes));
        }
        self.skip(len);
        Some(bytes)
    }

    /// A number of 8 bits.
    pub fn u8(&mut self, name: &'static str) -> Option<u8> {
        let bytes = self.field(name, 1, |bytes| bytes[0].to_string())?;
        Some(bytes[0])
    }

    /// A number of 16 bits.
    pub fn u16(&mut self, name: &'static str) -> Option<u16> {
        be16(self.field(name, 2, |bytes| be16(bytes, 0).unwrap_or_default().to_string())?, 0)
    }

    /// A number of 32 bits.
    pub fn u32(&mut self, name: &'static str) -> Option<u32> {
        be32(self.field(name, 4, |bytes| be32(bytes, 0).unwrap_or_default().to_string())?, 0)
    }

    /// A number of 16 bits that is no quantity.
    pub fn hex16(&mut self, name: &'static str) -> Option<u16> {
        be16(self.field(name, 2, |bytes| hex(be16(bytes, 0).unwrap_or_default()))?, 0)
    }

    /// Options up to the header's byte number `len`, as IPv4 (RFC 791, section 3.1) and TCP (RFC 9293, section 3.2) have them:
    /// kind 0 ends them, kind 1 is nothing and is called `nothing`, and every other has a length, which counts kind and length
    /// as well. `show` names and tells one by its kind and all of its bytes.
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

    /// The last field means this.
    pub fn note(&mut self, note: impl Into<String>) {
        if let Some(last) = self.fields.last_mut() {
            last.note = Some(note.into());
        }
    }

    /// Everything up to the header's byte number `len`, as bytes.
    pub fn up_to(&mut self, name: &'static str, len: usize) -> Option<&'a [u8]> {
        let left = (self.start + len).min(self.end).saturating_sub(self.at);
        if left == 0 { None } else { self.field(name, left, data) }
    }

    /// Everything that is left, as bytes; nothing follows.
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

/// `0x` and all digits.
pub fn hex<N: LowerHex>(number: N) -> String {
    format!("{number:#0width$x}", width = 2 + 2 * size_of::<N>())
}

/// Text where all of it can be read as such, and hexadecimal digits otherwise; the beginning alone when it is long.
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
