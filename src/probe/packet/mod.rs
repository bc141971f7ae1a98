//! The sweep: an exhaustive set of packets for one ruleset, so that a rule which none of them matches is a finding.
//! Every boundary in the ruleset (ports, prefixes, flags, types, protocols) has a packet on either side of it, fresh
//! and as part of a connection, from the prober, from the host, and over loopback.
//!
//! Pure: this room has the packets and their results. The lab sends, `findings` concludes.

pub(crate) mod addresses;
mod bytes;
mod row;

use std::fmt;
use std::sync::Arc;

use crate::probe::path::{Fate, Path};
use crate::wire::frame::{Direction, Frame};
use crate::wire::headers::{Content, Headers};
use crate::wire::tcp_flags::TcpFlags;

pub use addresses::is_usable;
pub use bytes::{Numbers, bytes};
pub use row::{Packet, PacketError, Way, What};

impl fmt::Display for Stimulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.fmt(f)
    }
}

/// A packet to send, and the packets before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stimulus {
    /// The sender.
    pub sender: StimulusSender,
    /// The packets before it.
    pub lead: Lead,
    /// The packet.
    pub headers: Headers,
}

/// The sender of a stimulus. A packet from the host to itself goes over loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StimulusSender {
    /// The prober, over the link.
    Prober,
    /// The host.
    Host,
}

/// The packets before a stimulus, which create its connection in conntrack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lead {
    /// No packet: conntrack sees the stimulus as NEW or INVALID.
    None,
    /// The SYN (or the datagram) that opens its connection, from the same sender; a listener answers it.
    Forward,
    /// The SYN, datagram or echo request from the other end that it may answer; or the packet that it quotes, if it is
    /// an ICMP error.
    Backward,
    /// The SYN (or the datagram) with which the host opens the connection, and the prober's answer to it; the stimulus
    /// is the next packet of either end.
    Handshake,
}

/// The path of one packet that a stimulus caused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Journey {
    /// The packet, as it entered the rules.
    pub headers: Headers,
    /// The direction, as seen from the host.
    pub direction: Direction,
    /// Its path.
    pub path: Arc<Path>,
}

/// The result of a stimulus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its own paths; over loopback first out, then in. Never empty.
    pub own: Vec<Journey>,
    /// The path of the first packet that the host sent in answer, if the stimulus has no lead: that packet is sent
    /// before any other event, so it is the same each time.
    pub answer: Option<Journey>,
    /// Packets of the lead, and others at that time, some of which the kernel's timers send.
    pub others: Vec<Journey>,
    /// The frames of the stimulus and of its lead, as far as the prober sent them; empty unless they are recorded.
    pub frames: Vec<Frame>,
}

impl Stimulus {
    /// The first packet of the lead, and its sender; `None` without a lead.
    pub fn opener(&self) -> Option<(StimulusSender, Headers)> {
        let other_end = if self.sender == StimulusSender::Prober || self.is_loopback() {
            StimulusSender::Host
        } else {
            StimulusSender::Prober
        };
        match (self.lead, self.sender) {
            (Lead::None, _) => None,
            (Lead::Forward, _) | (Lead::Handshake, StimulusSender::Host) => {
                Some((self.sender, self.headers.with_flags(TcpFlags::SYN)))
            }
            (Lead::Backward, _) | (Lead::Handshake, StimulusSender::Prober) => {
                Some((other_end, self.headers.request().with_flags(TcpFlags::SYN)))
            }
        }
    }

    /// The prober's answer to the opener, if the stimulus comes after it.
    pub fn handshake(&self) -> Option<Headers> {
        let of_prober = if self.sender == StimulusSender::Host { self.headers.reversed() } else { self.headers };
        (self.lead == Lead::Handshake).then(|| of_prober.with_flags(TcpFlags::SYN_ACK))
    }

    /// True if the host sends it to its own address, over loopback.
    pub fn is_loopback(&self) -> bool {
        self.sender == StimulusSender::Host && self.headers.source == self.headers.destination
    }
}

impl Response {
    /// The reason why a packet of the lead did not get through; `None` if all did. Without the lead there is no
    /// connection that the stimulus could belong to.
    pub fn failed_lead(&self, lead: Lead) -> Option<String> {
        let own = self.own.first()?;
        let sender = if own.direction == Direction::Out { StimulusSender::Host } else { StimulusSender::Prober };
        let stimulus = Stimulus { sender, lead, headers: own.headers };
        let (_, opener) = stimulus.opener()?;
        let alike = |headers: Headers| move |other: &&Journey| other.headers == headers;
        let opened = self.failed("the packet that opens its connection", alike(opener));
        let shook =
            stimulus.handshake().and_then(|answer| self.failed("the answer that opens its connection", alike(answer)));
        let is_syn_ack = |other: &&Journey| {
            let is_sent = other.direction == Direction::Out;
            is_sent && matches!(other.headers.content, Content::Tcp { flags: TcpFlags::SYN_ACK, .. })
        };
        let answered =
            (lead == Lead::Forward).then(|| self.failed("the SYN/ACK that opens its connection", is_syn_ack));
        opened.or(shook).or(answered.flatten())
    }

    /// The reason why no packet that is `wanted` got through, where `what` is its name.
    fn failed(&self, what: &str, wanted: impl Fn(&&Journey) -> bool) -> Option<String> {
        let mut found = self.others.iter().filter(wanted).peekable();
        if found.peek().is_none() {
            return Some(format!("{what} was not sent"));
        }
        let stopped = found.find(|journey| journey.path.fate != Fate::Accepted)?;
        let by = stopped.path.deciding().map(|step| match step.line {
            Some(line) => format!(" by line {line}: {}", step.text),
            None => format!(" by {}", step.text),
        });
        let by = by.unwrap_or_default();
        Some(match stopped.path.fate {
            Fate::Left(left) => left.to_string(),
            Fate::Vanished => format!("{what} was discarded by the kernel between two hooks"),
            Fate::Stolen => format!("{what} was kept{by}"),
            Fate::Accepted | Fate::Dropped | Fate::Rejected => format!("{what} was dropped{by}"),
        })
    }

    /// All packets that were observed.
    pub fn journeys(&self) -> impl Iterator<Item = &Journey> {
        self.own.iter().chain(&self.answer).chain(&self.others)
    }
}
