//! The line that netfilter's LOG target prints, read into types and printed back byte for byte.
//!
//! The lab reads lines with it to find the probe that caused them; if packets are captured with NFLOG,
//! [`LoggedPacket::line`] renders the line that the kernel would print. It is pure text: it does not open `/dev/kmsg`
//! and does not know the probes.
//!
//! Source of the format: `net/netfilter/nf_log_syslog.c` of Linux 6.18, and lines captured on that kernel.
//!
//! # Where the prefix ends
//!
//! The prefix is the user's, up to 29 bytes for LOG and 127 for NFLOG and nftables, and the kernel puts no separator
//! between it and its own `IN=`. A prefix may end without a space (`PORTSCANIN=eth0`) and may contain pieces of a line
//! itself. So the body starts at the *last* `IN=<interface> OUT=<interface> `: the kernel prints these two tokens once,
//! first, and no later token contains them (`PHYSIN=` is followed by `PHYSOUT=`, never by `OUT=`). Only an interface
//! whose own name contains `IN=` could be misread.
//!
//! # Guarantees
//!
//! Parsing never fails half-way: unknown text (a field of a later kernel, a cut line, `TRUNCATED`) is kept unchanged in
//! [`LogLine::rest`], so nothing is lost when the line is printed again.

mod arp;
mod dialect;
mod flags;
mod icmp;
mod ipv4;
mod ipv6;
pub mod kmsg;
mod link;
mod network;
mod nflog;
mod reader;
mod render;
pub mod syslog;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;

pub use arp::{Arp, ArpAddresses};
pub use flags::LogFlags;
pub use icmp::{Icmp, IcmpDetail};
pub use ipv4::Ipv4;
pub use ipv6::{ExtensionHeader, FragmentHeader, Ipv6, ListedExtension};
pub use link::{LinkHeader, MacHeader, Tunnel, Vlan};
pub use network::LoggedPacketHeader;
pub use nflog::{NFLOG_NAME, is_of_the_lab, nflog_name};
pub use render::{AccurateEcn, LoggedPacket};
pub use tcp::{Sequence, TcpFlag, TcpHeader};
pub use transport::{LoggedProtocol, Transport, UdpHeader};

use reader::TokenReader;

/// One line of the LOG target (or of TRACE, which prints the same body).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The prefix of the rule, byte for byte, trailing space included.
    pub prefix: String,
    /// `IN=`: the interface that the packet arrived on; `None` for a packet of the host itself.
    pub in_interface: Option<String>,
    /// `OUT=`: the interface that it leaves by; `None` in PREROUTING and INPUT.
    pub out_interface: Option<String>,
    /// `PHYSIN=`: the bridge port that it arrived on, if that is not [`LogLine::in_interface`].
    pub physical_in: Option<String>,
    /// `PHYSOUT=`: the bridge port that it leaves by.
    pub physical_out: Option<String>,
    /// The link-layer header; `None` for a packet of the host itself.
    pub link: Option<LinkHeader>,
    /// The packet; `None` if its header is cut short or the kernel does not print its ethertype.
    pub network: Option<LoggedPacketHeader>,
    /// `UID= GID=`: the owner of the socket (`--log-uid`). A TAP's own frames carry the owner of the TAP.
    pub owner: Option<Owner>,
    /// `MARK=`: the packet mark, if it is not 0.
    pub mark: Option<u32>,
    /// The unparsed rest, unchanged.
    pub rest: String,
}

/// The owner of the socket that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user, as the initial user namespace sees it.
    pub uid: u32,
    /// Numeric group, as the initial user namespace sees it.
    pub gid: u32,
}

impl LogLine {
    /// Parses a line without its line end; `None` if it has no `IN=<interface> OUT=<interface>`. The trailing space may
    /// be missing, since log daemons strip it.
    pub fn parse(text: &str) -> Option<LogLine> {
        text.rmatch_indices("IN=").find_map(|(start, _)| {
            let (prefix, body) = text.split_at(start);
            LogLine::parse_body(prefix, &mut TokenReader::new(body))
        })
    }

    fn parse_body(prefix: &str, reader: &mut TokenReader) -> Option<LogLine> {
        let in_interface = interface(reader, "IN=")?;
        let out_interface = interface(reader, "OUT=")?;
        Some(LogLine {
            prefix: prefix.to_owned(),
            in_interface,
            out_interface,
            physical_in: port(reader, "PHYSIN="),
            physical_out: port(reader, "PHYSOUT="),
            link: LinkHeader::parse(reader),
            network: LoggedPacketHeader::parse(reader),
            owner: reader.attempt(Owner::parse),
            mark: reader.hex("MARK=0x"),
            rest: reader.rest().to_owned(),
        })
    }

    /// The Ethernet header, in either form.
    pub fn mac(&self) -> Option<MacHeader> {
        self.link.as_ref().and_then(LinkHeader::mac)
    }

    /// The line without its prefix, as the kernel prints it.
    pub fn body(&self) -> impl fmt::Display + '_ {
        Body(self)
    }
}

/// An interface name that `dev_valid_name` allows (at most 15 bytes, no `/` or `:`), or `Some(None)` for an empty one;
/// `None` if the field is missing.
fn interface(reader: &mut TokenReader, key: &str) -> Option<Option<String>> {
    let name = reader.value(key, |name| (name.len() <= 15 && !name.contains(['/', ':'])).then_some(name))?;
    Some(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

/// A bridge port; the kernel prints it with a name or not at all.
fn port(reader: &mut TokenReader, key: &str) -> Option<String> {
    reader.attempt(|ahead| interface(ahead, key)?)
}

impl Owner {
    fn parse(reader: &mut TokenReader) -> Option<Owner> {
        Some(Owner { uid: reader.decimal("UID=")?, gid: reader.decimal("GID=")? })
    }
}

impl fmt::Display for LogLine {
    /// The whole line, byte for byte as the kernel prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.body())
    }
}

struct Body<'a>(&'a LogLine);

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0;
        let name = |interface: &Option<String>| interface.clone().unwrap_or_default();
        write!(f, "IN={} OUT={} ", name(&line.in_interface), name(&line.out_interface))?;
        emit(f, "PHYSIN=", &line.physical_in)?;
        emit(f, "PHYSOUT=", &line.physical_out)?;
        line.link.iter().try_for_each(|link| link.fmt(f))?;
        line.network.iter().try_for_each(|network| network.fmt(f))?;
        line.owner.iter().try_for_each(|owner| write!(f, "UID={} GID={} ", owner.uid, owner.gid))?;
        line.mark.iter().try_for_each(|mark| write!(f, "MARK=0x{mark:x} "))?;
        f.write_str(&line.rest)
    }
}

/// Prints `KEY=value `, or nothing for `None`.
fn emit<T: fmt::Display>(f: &mut fmt::Formatter<'_>, key: &str, value: &Option<T>) -> fmt::Result {
    value.iter().try_for_each(|value| write!(f, "{key}{value} "))
}
