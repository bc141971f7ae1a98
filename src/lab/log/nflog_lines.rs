//! The log lines from NFLOG: each packet is rendered as the kernel would print it. They are the lines of LOG rules
//! without the kernel's log, by means of the copied rules, and those of the ruleset's own NFLOG rules. The socket
//! belongs to one lab, so labs do not take turns.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;

use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::sys::utsname::uname;

use super::nflog::{Logged, Nflog};
use super::nflog_copy::{INSTRUMENT, NflogCopies};
use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::fault::{Fault, Sabotage};
use crate::lab::host::namespace::Isolated;
use crate::log_line::{AccurateEcn, LogFlags, LoggedPacket, Owner, nflog_name};
use crate::rules::iptables_save::{Groups, LOG_PREFIX};
use crate::wire::ip_header::{IpHeader, split};

/// An open source of lines.
pub struct NflogLines {
    socket: Nflog,
    renderer: Renderer,
}

/// A line, and the kind of rule that wrote it.
pub enum WrittenLine {
    /// A line of a copied LOG rule, as the kernel would print it.
    OfLog(String),
    /// A line of an NFLOG rule of the ruleset: `nflog:GROUP PREFIX` comes before `IN=`.
    OfNflog(String),
}

/// Renders a line from a packet.
pub struct Renderer {
    /// The groups that replace LOG; `None` if the kernel's log is read.
    groups: Option<Groups>,
    accurate_ecn: AccurateEcn,
    /// Interfaces of the lab's namespace in the packets so far, by index.
    interfaces: BTreeMap<u32, String>,
}

impl NflogLines {
    /// Opens a socket for the groups of the copies, and for `own`, the groups of the ruleset's NFLOG rules, in the
    /// lab's namespace. `fault` may make the socket too small.
    pub fn open(
        isolated: &Isolated,
        copies: Option<&NflogCopies>,
        own: &BTreeSet<u16>,
        fault: Option<&Arc<Sabotage>>,
    ) -> Result<NflogLines> {
        let copied = copies.map(NflogCopies::listened_to).unwrap_or_default();
        let mut socket = Nflog::open(isolated, copied.union(own).copied(), INSTRUMENT)?;
        if let Some(sabotage) = fault.filter(|sabotage| sabotage.fault == Fault::LogOverrun) {
            socket.shrink_buffer(sabotage.clone())?;
        }
        Ok(NflogLines { socket, renderer: Renderer::new(copies.map(|copies| copies.groups))? })
    }

    /// The number of lines that the socket holds between two reads.
    pub fn lines_at_once(&self) -> usize {
        self.socket.messages_at_once()
    }

    /// Discards all lines until now, and ignores a loss.
    pub fn forget(&mut self) -> Result<()> {
        self.socket.forget()
    }

    /// Calls `each` with every line since the last call.
    pub fn drain(&mut self, mut each: impl FnMut(WrittenLine)) -> Result<()> {
        let renderer = &mut self.renderer;
        self.socket.drain(|logged| {
            each(renderer.line(logged)?);
            Ok(())
        })
    }
}

impl Renderer {
    /// A renderer of packets that were logged to `groups` in place of LOG, and to other groups.
    pub fn new(groups: Option<Groups>) -> Result<Renderer> {
        Ok(Renderer { groups, accurate_ecn: accurate_ecn(&kernel_release()?), interfaces: BTreeMap::new() })
    }

    /// Renders the line.
    pub fn line(&mut self, logged: &Logged) -> Result<WrittenLine> {
        let flags = self.groups.and_then(|groups| groups.flags(logged.group));
        match flags {
            Some(flags) => {
                let prefix = &logged.prefix[..logged.prefix.len().min(LOG_PREFIX)];
                Ok(WrittenLine::OfLog(self.rendered(logged, prefix, flags)?))
            }
            None if is_cut_short(logged.packet) => Err(cut_short(logged)),
            None => {
                let prefix = [nflog_name(logged.group).as_bytes(), logged.prefix].concat();
                Ok(WrittenLine::OfNflog(self.rendered(logged, &prefix, LogFlags::NONE)?))
            }
        }
    }

    fn rendered(&mut self, logged: &Logged, prefix: &[u8], flags: LogFlags) -> Result<String> {
        let (input, output) = (self.interface(logged.input)?, self.interface(logged.output)?);
        let packet = LoggedPacket {
            prefix,
            in_interface: input.as_deref(),
            out_interface: output.as_deref(),
            link_header: logged.link_header,
            link_type: logged.link_type,
            owner: logged.owner.map(|(uid, gid)| Owner { uid, gid }),
            mark: logged.mark,
            family: logged.family,
            packet: logged.packet,
        };
        Ok(packet.line(flags, self.accurate_ecn))
    }

    /// The name of an interface of this thread's namespace, which is the lab's.
    fn interface(&mut self, index: Option<u32>) -> Result<Option<String>> {
        let Some(index) = index else { return Ok(None) };
        let known = match self.interfaces.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(name(index)?),
        };
        Ok(Some(known.clone()))
    }
}

/// True if `--nflog-size` has left too little of a packet to recognize the probe, whose marks are in the headers, or in
/// those that an ICMP error quotes.
fn is_cut_short(packet: &[u8]) -> bool {
    let (network, transport) = split(packet);
    let Some(ip) = IpHeader::read(network) else { return true };
    let needed = match (ip.protocol, transport.first()) {
        (6, _) => 20,
        (17, _) => 8,
        (1, Some(3..=5 | 11 | 12)) => 8 + 20 + 20,
        (58, Some(0..128)) => 8 + 40 + 20,
        (1 | 58, _) => 8,
        _ => 0,
    };
    // A packet that was sent short is complete.
    let sent = ip.length.saturating_sub(network.len());
    transport.len() < sent.min(needed)
}

fn cut_short(logged: &Logged) -> Error {
    let prefix = String::from_utf8_lossy(logged.prefix).into_owned();
    CannotMeasure::CutShort { group: logged.group, prefix, bytes: logged.packet.len() }.into()
}

fn name(index: u32) -> Result<String> {
    match if_indextoname(index).map(CString::into_string) {
        Ok(Ok(name)) => Ok(name),
        Ok(Err(_)) | Err(Errno::ENXIO) => {
            let evidence = format!("a packet names interface {index}, of which nothing is known");
            Err(CannotMeasure::Blind { instrument: INSTRUMENT, evidence }.into())
        }
        Err(error) => Err(error).context(format!("look up the name of interface {index}")),
    }
}

fn kernel_release() -> Result<String> {
    let name = uname().context("get the kernel's release")?;
    Ok(name.release().to_string_lossy().into_owned())
}

/// Accurate ECN is printed since "tcp: extend TCP flags to allow AE bit/ACE field", Linux 6.15.
fn accurate_ecn(release: &str) -> AccurateEcn {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 15) { AccurateEcn::Flag } else { AccurateEcn::Reserved }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_cut_short_if_headers_that_were_sent_are_missing() {
        // A UDP datagram of 28 bytes in all; a segment of 44; an ICMP error of 76 that quotes a segment.
        let ipv4 = |length: u8, protocol: u8, rest: &[u8]| {
            let mut packet = vec![0x45, 0, 0, length, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
            packet.extend(rest);
            packet.resize(usize::from(length), 0);
            packet
        };
        for (packet, enough) in [(ipv4(28, 17, &[]), 28), (ipv4(44, 6, &[]), 40), (ipv4(76, 1, &[3, 3]), 68)] {
            for length in 0..=packet.len() {
                assert_eq!(is_cut_short(&packet[..length]), length < enough, "{length} bytes of {packet:?}");
            }
        }
        assert!(!is_cut_short(&ipv4(22, 6, &[])), "a segment of two bytes was sent so");
    }

    #[test]
    fn the_release_tells_what_the_kernel_calls_the_bit() {
        for (release, expected) in [
            ("6.18.5-amd64", AccurateEcn::Flag),
            ("6.15.0", AccurateEcn::Flag),
            ("7.0", AccurateEcn::Flag),
            ("6.14.11+rpt-rpi-v8", AccurateEcn::Reserved),
            ("6.6.15", AccurateEcn::Reserved),
        ] {
            assert_eq!(accurate_ecn(release), expected, "{release}");
        }
    }
}
