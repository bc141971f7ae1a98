//! A cursor over the tokens of a line. Each method consumes a token, or leaves the cursor unchanged.
//!
//! A value is accepted only in the kernel's own spelling: printing it again gives the same bytes.

use std::fmt::Display;
use std::str::FromStr;

#[derive(Clone, Copy)]
pub(super) struct TokenReader<'a> {
    text: &'a str,
    quoted: bool,
}

impl<'a> TokenReader<'a> {
    pub(super) fn new(text: &'a str) -> TokenReader<'a> {
        TokenReader { text, quoted: false }
    }

    /// The text that is not yet consumed.
    pub(super) fn rest(&self) -> &'a str {
        self.text
    }

    /// Consumes the tokens of `read`, or none if it fails.
    pub(super) fn attempt<T>(&mut self, read: impl FnOnce(&mut TokenReader<'a>) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let value = read(&mut ahead)?;
        *self = ahead;
        Some(value)
    }

    /// Consumes the tokens of `read` within a quoted packet. The kernel quotes one level deep, so a quote in a quote is
    /// an error: a hostile line cannot make the reader recurse.
    pub(super) fn quoted<T>(&mut self, read: impl FnOnce(&mut TokenReader<'a>) -> Option<T>) -> Option<T> {
        if self.quoted {
            return None;
        }
        self.quoted = true;
        let value = self.attempt(read);
        self.quoted = false;
        value
    }

    /// Consumes `text`.
    pub(super) fn literal(&mut self, text: &str) -> Option<()> {
        self.text = self.text.strip_prefix(text)?;
        Some(())
    }

    /// Consumes `word` and the space after it.
    pub(super) fn word(&mut self, word: &str) -> Option<()> {
        self.attempt(|ahead| {
            ahead.literal(word)?;
            ahead.space()
        })
    }

    /// Consumes `<key><value>`; the value ends before a space, which is not consumed.
    pub(super) fn last_value<T>(&mut self, key: &str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let text = self.text.strip_prefix(key)?;
        let end = text.find(' ').unwrap_or(text.len());
        let value = parse(&text[..end])?;
        self.text = &text[end..];
        Some(value)
    }

    /// Consumes `<key><value> `.
    pub(super) fn value<T>(&mut self, key: &str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.attempt(|ahead| {
            let value = ahead.last_value(key, parse)?;
            ahead.space()?;
            Some(value)
        })
    }

    /// Consumes `<key><value> ` with a value that prints as it is written: a `%u`, an IPv4 address, a MAC address.
    pub(super) fn decimal<T: FromStr + Display>(&mut self, key: &str) -> Option<T> {
        self.value(key, canonical)
    }

    /// Consumes `<key>` and a `%x`.
    pub(super) fn hex(&mut self, key: &str) -> Option<u32> {
        self.value(key, |text| u32::from_str_radix(text, 16).ok().filter(|value| format!("{value:x}") == text))
    }

    /// Consumes `INCOMPLETE [%u bytes] `.
    pub(super) fn incomplete(&mut self) -> Option<u32> {
        self.attempt(|ahead| {
            let bytes = ahead.decimal("INCOMPLETE [")?;
            ahead.word("bytes]")?;
            Some(bytes)
        })
    }

    /// Consumes `OPT (%02X...) `.
    pub(super) fn options(&mut self) -> Option<Vec<u8>> {
        self.value("OPT (", |text| hex_bytes(text.strip_suffix(')')?, str::to_ascii_uppercase))
    }

    /// True if no token of the packet is left: the next one belongs to the line or to the surrounding packet.
    pub(super) fn at_end_of_packet(&self) -> bool {
        self.text.is_empty() || ["UID=", "MARK=", "]"].iter().any(|next| self.text.starts_with(next))
    }

    /// The space after a token, which is missing only if a log daemon stripped the end of the line.
    fn space(&mut self) -> Option<()> {
        if self.text.is_empty() { Some(()) } else { self.literal(" ") }
    }
}

/// Parses a value that prints as it is written.
pub(super) fn canonical<T: FromStr + Display>(text: &str) -> Option<T> {
    text.parse().ok().filter(|value: &T| value.to_string() == text)
}

/// Pairs of hexadecimal digits in the case of `case`, without separators.
pub(super) fn hex_bytes(text: &str, case: fn(&str) -> String) -> Option<Vec<u8>> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || text.len() % 2 == 1 || case(text) != text {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Exactly `width` hexadecimal digits.
pub(super) fn fixed_hex(text: &str, width: usize, case: fn(&str) -> String) -> Option<u32> {
    let digits = text.len() == width && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits && case(text) == text { u32::from_str_radix(text, 16).ok() } else { None }
}
