//! Parses a packet.

use std::iter::Peekable;
use std::net::IpAddr;
use std::str::{FromStr, SplitWhitespace};

use super::{Packet, PacketError, Way, What};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::packet::Lead;
use crate::wire::tcp_flags::TcpFlags;

type WordReader<'a> = Peekable<SplitWhitespace<'a>>;
type ParseResult<T> = std::result::Result<T, PacketError>;

impl FromStr for Packet {
    type Err = PacketError;

    fn from_str(text: &str) -> ParseResult<Packet> {
        let mut words = text.split_whitespace().peekable();
        let what = what(&mut words)?;
        let way = way(&mut words)?;
        let lead = lead(&mut words, way)?;
        if let Some(word) = words.next() {
            return Err(PacketError::Rest(word.to_owned()));
        }
        let packet = Packet::new(what, way, lead)?;
        let written = packet.to_string();
        if written == text { Ok(packet) } else { Err(PacketError::Otherwise(written)) }
    }
}

fn what(words: &mut WordReader) -> ParseResult<What> {
    let kind = words.next().unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "tcp" => {
            let flags = flags(next(words, "TCP flags")?)?;
            let (source, destination) = ports(words)?;
            Ok(What::Tcp { flags, source, destination })
        }
        "udp" => ports(words).map(|(source, destination)| What::Udp { source, destination }),
        "icmp" => message(words, Family::Ipv4),
        "icmpv6" => message(words, Family::Ipv6),
        "protocol" => {
            let number = next(words, "number of a protocol")?;
            number.parse().map(What::Protocol).map_err(|_| PacketError::Protocol(number.to_owned()))
        }
        _ => Err(PacketError::What(kind.to_owned())),
    }
}

fn next<'a>(words: &mut WordReader<'a>, what: &'static str) -> ParseResult<&'a str> {
    words.next().ok_or(PacketError::Missing(what))
}

/// Consumes the expected word, if it is next.
fn take(words: &mut WordReader, word: &str) -> bool {
    words.next_if(|next| next.eq_ignore_ascii_case(word)).is_some()
}

fn flags(text: &str) -> ParseResult<u8> {
    match text.to_ascii_uppercase().as_str() {
        "NONE" => Ok(0),
        "ALL" => Ok(TcpFlags::ALL),
        names => names.split(',').try_fold(0, |flags, name| {
            TcpFlags::named(name).map(|flag| flags | flag).ok_or_else(|| PacketError::Flags(text.to_owned()))
        }),
    }
}

fn ports(words: &mut WordReader) -> ParseResult<(Option<Port>, Port)> {
    let source = take(words, "from").then(|| port(words, "source port")).transpose()?;
    if !take(words, "to") {
        return Err(PacketError::Missing("destination port"));
    }
    Ok((source, port(words, "destination port")?))
}

fn port(words: &mut WordReader, what: &'static str) -> ParseResult<Port> {
    let word = next(words, what)?;
    word.parse().map(Port).map_err(|_| PacketError::Port(word.to_owned()))
}

fn message(words: &mut WordReader, family: Family) -> ParseResult<What> {
    let word = next(words, "type and code")?;
    let numbers = word.split_once('/').and_then(|(kind, code)| Some((kind.parse().ok()?, code.parse().ok()?)));
    let (kind, code) = numbers.ok_or_else(|| PacketError::Message(word.to_owned()))?;
    Ok(What::Icmp { family, kind, code })
}

fn way(words: &mut WordReader) -> ParseResult<Way> {
    if over_loopback(words)? {
        return Ok(Way::OverLoopback);
    }
    if !take(words, "from") {
        return Ok(Way::ToHost);
    }
    if !take(words, "host") {
        return address(words).map(Way::From);
    }
    if take(words, "to") {
        return address(words).map(Way::FromHostTo);
    }
    Ok(if over_loopback(words)? { Way::HostToItself } else { Way::FromHost })
}

fn over_loopback(words: &mut WordReader) -> ParseResult<bool> {
    if !take(words, "over") {
        return Ok(false);
    }
    let word = next(words, "interface")?;
    if word.eq_ignore_ascii_case("lo") { Ok(true) } else { Err(PacketError::Rest(format!("over {word}"))) }
}

fn address(words: &mut WordReader) -> ParseResult<IpAddr> {
    let word = next(words, "address")?;
    word.parse().map_err(|_| PacketError::Address(word.to_owned()))
}

fn lead(words: &mut WordReader, way: Way) -> ParseResult<Lead> {
    if take(words, "answer") {
        return Ok(Lead::Backward);
    }
    if !take(words, "established") {
        return Ok(Lead::None);
    }
    if !take(words, "by") {
        return Ok(if way.is_from_host() { Lead::Handshake } else { Lead::Forward });
    }
    if take(words, "host") { Ok(Lead::Handshake) } else { Err(PacketError::Rest("by".to_owned())) }
}
