//! The packet trace of nf_tables (`NFT_MSG_TRACE`, sent to the netlink group of traces by `nft_trace_notify` in
//! net/netfilter/nf_tables_trace.c). The lab's own table enables it; the ruleset is not changed.
//!
//! The kernel sends a message for every rule that matched and for every policy that decided, in the context of the
//! packet: when the fence has been answered, all of them are there. Messages that do not fit into the socket's buffer
//! are reported as ENOBUFS: that is a loss, never a path.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::lost;
use super::nfnetlink::{NFTABLES, attributes, messages};
use super::nft_rules::name;
use crate::error::{Context, Error, Result};
use crate::lab::fault::{Fault, Sabotage};
use crate::lab::host::namespace::Isolated;
use crate::lab::host::receive_buffer::{grow, probes_at_once};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;

/// The netlink group `NFNLGRP_NFTRACE` (linux/netfilter/nfnetlink.h).
const GROUP: u32 = 9;

/// The socket's buffer, in bytes: a batch of probes is a few hundred messages of about a kilobyte each.
const BUFFER: usize = 16 << 20;

/// The kernel raises it to its minimum (`SOCK_MIN_RCVBUF`).
const SMALLEST_BUFFER: usize = 1;

/// The longest message: names of at most 128 bytes, headers of 80, and some numbers.
const MESSAGE_MAX: usize = 4096;

/// A socket for the traces of the lab's namespace.
pub struct Tracer {
    socket: Socket,
    buffer: Vec<u8>,
    granted: usize,
    starved: Option<Arc<Sabotage>>,
}

impl Tracer {
    /// Opens a socket in the lab's namespace, to which it stays bound. `fault` may make it too small.
    pub fn open(isolated: &Isolated, fault: Option<&Arc<Sabotage>>) -> Result<Tracer> {
        isolated.assert("listening to traces")?;
        let starved = fault.filter(|sabotage| sabotage.fault == Fault::LostTrace).cloned();
        let room = if starved.is_some() { SMALLEST_BUFFER } else { BUFFER };
        let mut socket = Socket::new(NETLINK_NETFILTER).context("open a socket for traces")?;
        socket.bind(&SocketAddr::new(0, 0)).context("bind a socket for traces")?;
        let granted = grow(&socket, room)?;
        socket.add_membership(GROUP).context("listen to traces")?;
        Ok(Tracer { socket, buffer: vec![0; MESSAGE_MAX], granted, starved })
    }

    /// The number of probes that may be sent before their traces are read. An ordinary user may get room for a few
    /// only.
    pub fn probes_at_once(&self) -> usize {
        probes_at_once(self.granted)
    }

    /// Calls `each` with every event since the last call.
    pub fn drain(&mut self, mut each: impl FnMut(&Event) -> Result<()>) -> Result<()> {
        while let Some(length) = self.receive()? {
            for message in messages(&self.buffer[..length]) {
                if message.kind == TRACE {
                    each(&Event::read(message.payload).ok_or_else(|| lost("a trace was cut short".to_owned()))?)?;
                }
            }
        }
        Ok(())
    }

    /// Reads and discards all messages; returns their number.
    pub fn discard(&mut self) -> Result<usize> {
        let mut discarded = 0;
        while self.receive()?.is_some() {
            discarded += 1;
        }
        Ok(discarded)
    }

    /// Reads the next message and returns its length; `None` if there is none.
    fn receive(&mut self) -> Result<Option<usize>> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(Errno::ENOBUFS) => Err(self.overrun()),
            Err(error) => Err(error).context("read traces"),
        }
    }

    fn overrun(&self) -> Error {
        if let Some(sabotage) = &self.starved {
            sabotage.plant(1);
            sabotage.meet();
        }
        lost("its socket had no room for them (ENOBUFS)".to_owned())
    }
}

/// The message type, `NFT_MSG_TRACE`.
const TRACE: u16 = NFTABLES << 8 | 17;

/// An event: a rule matched, or a policy decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The family of the table.
    pub family: Family,
    /// Identifies the packet: the same in all its events, and possibly that of an earlier packet.
    pub packet: u32,
    /// The table.
    pub table: &'a [u8],
    /// The chain.
    pub chain: &'a [u8],
    /// The kind of event.
    pub kind: TraceEventKind,
    /// The handle of the rule, if there is one.
    pub handle: Option<u64>,
    /// The verdict.
    pub verdict: Code<'a>,
    /// The conntrack state of the packet.
    pub conntrack: Option<ConntrackState>,
    /// The network header, in the first event of every hook.
    pub network: Option<&'a [u8]>,
    /// The transport header, its first 20 bytes.
    pub transport: Option<&'a [u8]>,
}

/// The kind of an event, `enum nft_trace_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceEventKind {
    /// The policy of a base chain.
    Policy,
    /// `-j RETURN`
    Return,
    /// A rule that matched; without a handle, the end of a chain.
    Rule,
}

/// The verdict of an event (`NF_*` in linux/netfilter.h, `enum nft_verdicts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code<'a> {
    /// `NF_DROP`
    Drop,
    /// `NF_ACCEPT`
    Accept,
    /// `NF_STOLEN`, `NF_QUEUE`
    Stolen,
    /// `NFT_CONTINUE`
    Continue,
    /// `NFT_RETURN`
    Return,
    /// `NFT_JUMP`
    Jump(&'a [u8]),
    /// `NFT_GOTO`
    Goto(&'a [u8]),
    /// Unknown: x_tables does not trace if this rule has dropped the packet.
    Unknown,
}

// From enum nft_trace_attributes.
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const TYPE: u16 = 4;
const VERDICT: u16 = 5;
const ID: u16 = 6;
const NETWORK_HEADER: u16 = 8;
const TRANSPORT_HEADER: u16 = 9;
const NFPROTO: u16 = 15;
const POLICY: u16 = 16;
const CT_STATE: u16 = 21;

impl<'a> Event<'a> {
    /// Parses the bytes after nfgenmsg (4 bytes). `None` if an attribute is missing that every event has.
    fn read(payload: &'a [u8]) -> Option<Event<'a>> {
        let mut found: [Option<&[u8]>; 22] = [None; 22];
        for (kind, value) in attributes(payload.get(4..)?) {
            if let Some(place) = found.get_mut(usize::from(kind)) {
                *place = Some(value);
            }
        }
        let value = |kind: u16| found[usize::from(kind)];
        Some(Event {
            family: family(value(NFPROTO).and_then(be32)?)?,
            packet: value(ID).and_then(be32)?,
            table: name(value(TABLE)?),
            chain: name(value(CHAIN)?),
            kind: kind(value(TYPE).and_then(be32)?)?,
            handle: value(HANDLE).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))),
            verdict: match value(VERDICT) {
                Some(verdict) => nested_verdict(verdict)?,
                None => code(value(POLICY).and_then(be32)? as i32, None)?,
            },
            conntrack: value(CT_STATE).and_then(be32).and_then(conntrack),
            network: value(NETWORK_HEADER),
            transport: value(TRANSPORT_HEADER),
        })
    }
}

fn be32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn family(nfproto: u32) -> Option<Family> {
    match nfproto {
        2 => Some(Family::Ipv4),
        10 => Some(Family::Ipv6),
        _ => None,
    }
}

fn kind(number: u32) -> Option<TraceEventKind> {
    match number {
        1 => Some(TraceEventKind::Policy),
        2 => Some(TraceEventKind::Return),
        3 => Some(TraceEventKind::Rule),
        _ => None,
    }
}

fn nested_verdict(bytes: &[u8]) -> Option<Code<'_>> {
    const CODE: u16 = 1;
    const CHAIN: u16 = 2;
    let find = |wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    code(be32(find(CODE)?)? as i32, find(CHAIN).map(name))
}

/// Decodes a verdict: the low byte of a non-negative number; the other bytes are an errno, or the number of a queue.
fn code(number: i32, chain: Option<&[u8]>) -> Option<Code<'_>> {
    Some(match (number, number & 0xff) {
        (-1, _) => Code::Continue,
        (-3, _) => Code::Jump(chain?),
        (-4, _) => Code::Goto(chain?),
        (-5, _) => Code::Return,
        (0.., 0) => Code::Drop,
        (0.., 1) => Code::Accept,
        (0.., 2 | 3) => Code::Stolen,
        _ => return None,
    })
}

/// Decodes the bits of `NF_CT_STATE_BIT` and the like (linux/netfilter/nf_conntrack_common.h).
fn conntrack(bits: u32) -> Option<ConntrackState> {
    match bits {
        1 => Some(ConntrackState::Invalid),
        2 => Some(ConntrackState::Established),
        4 => Some(ConntrackState::Related),
        8 => Some(ConntrackState::New),
        64 => Some(ConntrackState::Untracked),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
