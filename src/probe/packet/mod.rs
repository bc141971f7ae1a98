//! The sweep: an exhaustive set of packets for one ruleset, so that a rule which none of them matches is a finding. Every
//! boundary that the ruleset draws (ports, prefixes, flags, types, protocols) has a packet on either side of it, fresh and
//! as part of a connection, from the prober, from the host, and over loopback.
//!
//! Pure: this room says what is to be sent and holds what came of it. The lab sends, `findings` concludes.

pub(crate) mod addresses;
mod bytes;
mod row;

use std::fmt;
use std::sync::Arc;

use crate::probe::path::{Fate, Path};
use crate::wire::frame::{Direction, Frame};
use crate::wire::headers::{Content, Headers};

pub use addresses::is_usable;
pub use bytes::{Numbers, bytes};
pub use row::{Packet, PacketError, Way, What};

const SYN: u8 = 2;
const SYN_ACK: u8 = 18;

impl fmt::Display for Stimulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.fmt(f)
    }
}

/// One packet to be sent, and what is to happen before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stimulus {
    /// Who sends it.
    pub sender: StimulusSender,
    /// What comes before it.
    pub lead: Lead,
    /// The packet.
    pub headers: Headers,
}

/// Who sends a stimulus. What the host sends to itself goes over loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StimulusSender {
    /// The prober, over the link.
    Prober,
    /// The host.
    Host,
}

/// What comes before a stimulus, so that conntrack knows its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lead {
    /// Nothing: it comes out of the blue.
    None,
    /// The SYN (or the datagram) that opens its connection, from the same sender; what listens answers it.
    Forward,
    /// The SYN, datagram or echo request to which it could be the answer, from the other end; or what it quotes, when it
    /// is an ICMP error.
    Backward,
    /// The SYN (or the datagram) with which the host opens the connection, and the prober's answer to it: the stimulus is
    /// what either of them sends then.
    Handshake,
}

/// The way of one packet that a stimulus brought about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Journey {
    /// The packet, as it entered the rules.
    pub headers: Headers,
    /// Whether the host received or sent it.
    pub direction: Direction,
    /// Its way.
    pub path: Arc<Path>,
}

/// What came of a stimulus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its own way; over loopback first out, then in. Never empty.
    pub own: Vec<Journey>,
    /// The way of the first packet that the host sent in answer, when the stimulus came out of the blue: that one is sent
    /// before anything else happens, so that it is the same each time.
    pub answer: Option<Journey>,
    /// What led to it, and what else was under way at the time; some of it is sent by the kernel's timers.
    pub others: Vec<Journey>,
    /// The frames of the stimulus and of what led to it, as far as the prober sent them; empty unless they are recorded.
    pub frames: Vec<Frame>,
}

impl Stimulus {
    /// What has to come first, and who sends it; `None` for what comes out of the blue.
    pub fn opener(&self) -> Option<(StimulusSender, Headers)> {
        let other_end = if self.sender == StimulusSender::Prober || self.is_loopback() {
            StimulusSender::Host
        } else {
            StimulusSender::Prober
        };
        match (self.lead, self.sender) {
            (Lead::None, _) => None,
            (Lead::Forward, _) | (Lead::Handshake, StimulusSender::Host) => {
                Some((self.sender, self.headers.with_flags(SYN)))
            }
            (Lead::Backward, _) | (Lead::Handshake, StimulusSender::Prober) => {
                Some((other_end, self.headers.request().with_flags(SYN)))
            }
        }
    }

    /// The prober's answer to the opener, where the stimulus comes behind it.
    pub fn handshake(&self) -> Option<Headers> {
        let of_prober = if self.sender == StimulusSender::Host { self.headers.reversed() } else { self.headers };
        (self.lead == Lead::Handshake).then(|| of_prober.with_flags(SYN_ACK))
    }

    /// Whether host and destination are one: then it goes over loopback.
    pub fn is_loopback(&self) -> bool {
        self.sender == StimulusSender::Host && self.headers.source == self.headers.destination
    }
}

impl Response {
    /// Why what had to come before the stimulus did not come through, where `lead` is its lead; `None` if it did. Without
    /// it there is no connection that the stimulus could belong to.
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
            is_sent && matches!(other.headers.content, Content::Tcp { flags: SYN_ACK, .. })
        };
        let answered =
            (lead == Lead::Forward).then(|| self.failed("the SYN/ACK that opens its connection", is_syn_ack));
        opened.or(shook).or(answered.flatten())
    }

    /// Why no packet that is `wanted` came through; `what` it is.
    fn failed(&self, what: &str, wanted: impl Fn(&&Journey) -> bool) -> Option<String> {
        let mut found = self.others.iter().filter(wanted).peekable();
        if found.peek().is_none() {
            return Some(format!("{what} was not sent"));
        }
        let stopped = found.find(|journey| journey.path.fate != Fate::Accepted)?;
        let by = stopped.path.steps.last().map(|step| match step.line {
            Some(line) => format!(" by line {line}: {}", step.text),
            None => format!(" by {}", step.text),
        });
        Some(format!("{what} was dropped{}", by.unwrap_or_default()))
    }

    /// All that is known to have been under way.
    pub fn journeys(&self) -> impl Iterator<Item = &Journey> {
        self.own.iter().chain(&self.answer).chain(&self.others)
    }
}
