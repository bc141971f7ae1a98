//! A frame that was on the link, and what it was to a probe.

use std::time::Duration;

/// A frame that was on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// Whether the host received or sent it.
    pub direction: Direction,
    /// All of it: an Ethernet frame on a TAP, an IP packet on a TUN.
    pub bytes: Vec<u8>,
    /// What it is to the probe.
    pub part: FramePart,
}

/// What a frame is to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePart {
    /// The probe itself.
    Probe,
    /// The reply that decided.
    Answer,
    /// The RST that closes a half-open connection, the rest of a connect, a second reply.
    Followup,
    /// Nothing: a fence of the lab, or the answer to one.
    Fence,
    /// Nothing: a canary or another question of the lab, or what the host sent by itself.
    Other,
}

/// Seen from the host. A packet over loopback is seen twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}
