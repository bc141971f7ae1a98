//! A frame that was on the link, and its role for a probe.

use std::time::Duration;

/// A frame that was on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The time, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// The direction, as seen from the host.
    pub direction: Direction,
    /// The whole frame: an Ethernet frame on a TAP, an IP packet on a TUN.
    pub bytes: Vec<u8>,
    /// Its role for the probe.
    pub part: FramePart,
}

/// The role of a frame for a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePart {
    /// The probe itself.
    Probe,
    /// The decisive reply.
    Answer,
    /// A later packet: the RST that closes a half-open connection, the rest of a connect, a second reply.
    Followup,
    /// None: a fence of the lab, or its answer.
    Fence,
    /// None: a canary or another request of the lab, or a packet that the host sent by itself.
    Other,
}

/// The direction as seen from the host. A packet over loopback has both, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}
