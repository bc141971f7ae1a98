//! From an answer to a port state and its reason, by nmap's rules: nmap reference guide, "Port scanning techniques",
//! and the measured tables for nmap 7.93.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::Technique;
use crate::net::{Family, Protocol};
use crate::probe::left_the_world::LeftTheWorld;
use crate::wire::reply::{Body, IcmpError, Reply, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

/// The state of a port, as nmap names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PortState {
    /// A service accepts connections.
    #[serde(rename = "open")]
    Open,
    /// Reachable, without a listener.
    #[serde(rename = "closed")]
    Closed,
    /// Filtered: a firewall hides the state.
    #[serde(rename = "filtered")]
    Filtered,
    /// Reachable; whether open or closed is unknown (ACK scan), or does not apply (echo: nmap reports the host as
    /// *up*).
    #[serde(rename = "unfiltered")]
    Unfiltered,
    /// No reply, where an open port would not reply either.
    #[serde(rename = "open|filtered")]
    OpenFiltered,
    /// Closed or filtered (idle scan, `--defeat-icmp-ratelimit`).
    #[serde(rename = "closed|filtered")]
    ClosedFiltered,
    /// Not measured: the probe left the modelled world.
    #[serde(rename = "unknown")]
    Unknown,
}

impl PortState {
    /// All of them.
    pub const ALL: [PortState; 7] = [
        PortState::Open,
        PortState::Closed,
        PortState::Filtered,
        PortState::Unfiltered,
        PortState::OpenFiltered,
        PortState::ClosedFiltered,
        PortState::Unknown,
    ];

    /// Its name in nmap.
    pub const fn as_str(self) -> &'static str {
        match self {
            PortState::Open => "open",
            PortState::Closed => "closed",
            PortState::Filtered => "filtered",
            PortState::Unfiltered => "unfiltered",
            PortState::OpenFiltered => "open|filtered",
            PortState::ClosedFiltered => "closed|filtered",
            PortState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error for a text that is no port state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a port state: use open, closed, filtered, unfiltered, open|filtered or closed|filtered", .0.escape_debug())]
pub struct PortStateError(pub String);

impl FromStr for PortState {
    type Err = PortStateError;

    fn from_str(text: &str) -> Result<Self, PortStateError> {
        // A probe that was not measured cannot be expected.
        let named = |state: &PortState| state.as_str() == text && *state != PortState::Unknown;
        PortState::ALL.into_iter().find(named).ok_or_else(|| PortStateError(text.to_owned()))
    }
}

/// The reason for a port state, in nmap's words (`--reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A SYN/ACK.
    SynAck,
    /// A SYN without ACK: a split handshake.
    SplitHandshakeSyn,
    /// A RST.
    Reset,
    /// connect() was refused: a RST, or an ICMP error that Linux maps to the same errno.
    ConnRefused,
    /// No reply after all tries.
    NoResponse,
    /// ICMP 3/0.
    NetUnreach,
    /// ICMP 3/1, ICMPv6 1/3.
    HostUnreach,
    /// ICMP 3/2.
    ProtoUnreach,
    /// ICMP 3/3, ICMPv6 1/4.
    PortUnreach,
    /// ICMP 3/9.
    NetProhibited,
    /// ICMP 3/10.
    HostProhibited,
    /// ICMP 3/13, ICMPv6 1/1 and 1/5.
    AdminProhibited,
    /// ICMP 11.
    TimeExceeded,
    /// ICMPv6 1/0.
    NoRoute,
    /// ICMPv6 1/2.
    BeyondScope,
    /// ICMPv6 1/6.
    RejectRoute,
    /// ICMPv6 4.
    ParamProblem,
    /// A datagram.
    UdpResponse,
    /// An ICMP or ICMPv6 echo reply.
    EchoReply,
    /// The probe left the modelled world: `forwarded to 172.17.0.2:80`.
    Left(LeftTheWorld),
}

impl Reason {
    /// nmap's word; for a probe that left the modelled world its destination, for which nmap has no word.
    pub fn as_str(self) -> Cow<'static, str> {
        match self {
            Reason::Left(left) => left.to_string().into(),
            known => known.word().into(),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Reason::UdpResponse => "udp-response",
            Reason::EchoReply => "echo-reply",
            Reason::SynAck => "syn-ack",
            Reason::SplitHandshakeSyn => "split-handshake-syn",
            Reason::Reset => "reset",
            Reason::ConnRefused => "conn-refused",
            Reason::NoResponse => "no-response",
            Reason::NetUnreach => "net-unreach",
            Reason::HostUnreach => "host-unreach",
            Reason::ProtoUnreach => "proto-unreach",
            Reason::PortUnreach => "port-unreach",
            Reason::NetProhibited => "net-prohibited",
            Reason::HostProhibited => "host-prohibited",
            Reason::AdminProhibited => "admin-prohibited",
            Reason::TimeExceeded => "time-exceeded",
            Reason::NoRoute => "no-route",
            Reason::BeyondScope => "beyond-scope",
            Reason::RejectRoute => "reject-route",
            Reason::ParamProblem => "param-problem",
            Reason::Left(_) => "left-the-lab",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_str())
    }
}

impl JsonSchema for Reason {
    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Why a port has its state: nmap's word (`--reason`), or where a probe went that left the \
                            modelled world, as in `forwarded to 172.17.0.2:80`.",
            "type": "string"
        })
    }
}

/// The verdict of a technique on one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Verdict {
    /// The port state.
    pub state: PortState,
    /// The reason.
    pub reason: Reason,
    /// TTL or hop limit of the decisive packet; `None` for silence and for `connect`, as in nmap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_ttl: Option<u8>,
    /// The sender of the decisive packet, if it was not the host itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_ip: Option<IpAddr>,
}

impl Verdict {
    /// The destination of the probe, if it left the modelled world.
    pub const fn left(&self) -> Option<LeftTheWorld> {
        match self.reason {
            Reason::Left(left) => Some(left),
            _ => None,
        }
    }
}

/// `open (syn-ack ttl 64)`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.state, self.reason)?;
        self.reason_ttl.map_or(Ok(()), |ttl| write!(f, " ttl {ttl}"))?;
        self.reason_ip.map_or(Ok(()), |ip| write!(f, " from {ip}"))?;
        f.write_str(")")
    }
}

/// The verdict of silence.
pub fn no_response(technique: Technique) -> Verdict {
    Verdict { state: technique.profile().silence, reason: Reason::NoResponse, reason_ttl: None, reason_ip: None }
}

/// The verdict of a probe that left the modelled world.
pub fn left(left: LeftTheWorld) -> Verdict {
    Verdict { state: PortState::Unknown, reason: Reason::Left(left), reason_ttl: None, reason_ip: None }
}

/// The verdict of one reply to a probe of `host`; `None` if nmap would ignore it. The caller has checked that the reply
/// belongs to the probe, see `Probe::is_answered_by`.
pub fn interpret(technique: Technique, host: IpAddr, reply: &Reply) -> Option<Verdict> {
    let (state, reason) = match &reply.body {
        Body::Tcp(segment) => tcp(technique, segment)?,
        Body::Datagram(_) => (PortState::Open, Reason::UdpResponse),
        Body::EchoReply(_) => (PortState::Unfiltered, Reason::EchoReply),
        Body::Unreachable(unreachable) => icmp(technique, Sent::by(reply.source, host), unreachable)?,
        Body::Neighbour(_) | Body::Other => return None,
    };
    let decided_by_errno = technique.is_full_connect();
    Some(Verdict {
        state,
        reason,
        reason_ttl: Some(reply.ttl).filter(|_| !decided_by_errno),
        reason_ip: Some(reply.source).filter(|source| *source != host && !decided_by_errno),
    })
}

/// A SYN/ACK counts for a technique that sends a SYN by itself; `--scanflags SYN` does not turn an ACK scan into one
/// (measured: `nmap -sA --scanflags SYN` ignores the SYN/ACK).
fn tcp(technique: Technique, segment: &TcpSegment) -> Option<(PortState, Reason)> {
    let has = |flag| segment.flags & flag != 0;
    let sends_syn = technique.profile().flags & TcpFlags::SYN != 0;
    match () {
        () if has(TcpFlags::SYN) && has(TcpFlags::ACK) => sends_syn.then_some((PortState::Open, Reason::SynAck)),
        () if has(TcpFlags::RST) => Some((technique.profile().reset.state(segment.window), reset_reason(technique))),
        () if has(TcpFlags::SYN) => sends_syn.then_some((PortState::Open, Reason::SplitHandshakeSyn)),
        () => None,
    }
}

fn reset_reason(technique: Technique) -> Reason {
    if technique.is_full_connect() { Reason::ConnRefused } else { Reason::Reset }
}

/// The sender of an ICMP error, and its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    family: Family,
    by_host: bool,
}

impl Sent {
    fn by(sender: IpAddr, host: IpAddr) -> Sent {
        Sent { family: Family::from_address(host), by_host: sender == host }
    }
}

fn icmp(technique: Technique, sent: Sent, error: &IcmpError) -> Option<(PortState, Reason)> {
    let family = sent.family;
    if technique.is_full_connect() {
        return connect_errno(family, error);
    }
    let reason = match (family, error.kind, error.code) {
        (Family::Ipv4, 3, 0) => Reason::NetUnreach,
        (Family::Ipv4, 3, 1) => Reason::HostUnreach,
        (Family::Ipv4, 3, 2) => Reason::ProtoUnreach,
        (Family::Ipv4, 3, 3) | (Family::Ipv6, 1, 4) => Reason::PortUnreach,
        (Family::Ipv4, 3, 9) => Reason::NetProhibited,
        (Family::Ipv4, 3, 10) => Reason::HostProhibited,
        (Family::Ipv4, 3, 13) | (Family::Ipv6, 1, 1 | 5) => Reason::AdminProhibited,
        (Family::Ipv4, 11, 0 | 1) => Reason::TimeExceeded,
        (Family::Ipv6, 1, 0) => Reason::NoRoute,
        (Family::Ipv6, 1, 2) => Reason::BeyondScope,
        (Family::Ipv6, 1, 3) => Reason::HostUnreach,
        (Family::Ipv6, 1, 6) => Reason::RejectRoute,
        (Family::Ipv6, 4, 0 | 1) => Reason::ParamProblem,
        _ => return None,
    };
    // nmap interprets "erroneous header field" as *open* for every technique: measured, version 7.93.
    let erroneous_header = (family, error.kind, error.code) == (Family::Ipv6, 4, 0);
    Some((if erroneous_header { PortState::Open } else { unreachable(technique, sent, reason) }, reason))
}

/// An ICMP error means *filtered*, except for two errors of the host itself: port unreachable in answer to UDP; and
/// protocol or port unreachable in answer to an echo request, which only a host that is up can send (`nmap -PE` reports
/// *up* for these two, and *down* for the others).
fn unreachable(technique: Technique, sent: Sent, reason: Reason) -> PortState {
    match (technique.protocol(), reason) {
        (Protocol::Udp, Reason::PortUnreach) if sent.by_host => PortState::Closed,
        (Protocol::Icmp, Reason::PortUnreach | Reason::ProtoUnreach) if sent.by_host => PortState::Unfiltered,
        _ => PortState::Filtered,
    }
}

/// `connect()` returns an errno, not ICMP: Linux's `icmp_err_convert` (net/ipv4/icmp.c) and `tab_unreach`
/// (net/ipv6/icmp.c) map several codes to one, and port unreachable becomes ECONNREFUSED, so nmap reports *closed*.
/// Errors that nmap ignores in a raw scan can be an errno as well. During the handshake every one of them is final
/// (`tcp_v4_err`, `tcp_v6_err`: case TCP_SYN_SENT); after the SYN/ACK it is a soft error, which nmap gets as well when
/// it reads `SO_ERROR` (`sk_getsockopt`).
fn connect_errno(family: Family, error: &IcmpError) -> Option<(PortState, Reason)> {
    match (family, error.kind, error.code) {
        (Family::Ipv4, 3, 3) | (Family::Ipv6, 1, 4) => Some((PortState::Closed, Reason::ConnRefused)),
        (Family::Ipv4, 3, 0 | 6 | 9) | (Family::Ipv6, 1, 0) => Some((PortState::Filtered, Reason::NetUnreach)),
        (Family::Ipv4, 3, 1 | 10 | 13) | (Family::Ipv4, 11, 0 | 1) | (Family::Ipv6, 1, 2 | 3) => {
            Some((PortState::Filtered, Reason::HostUnreach))
        }
        (Family::Ipv4, 3, 2) => Some((PortState::Filtered, Reason::ProtoUnreach)),
        (Family::Ipv6, 1, 1 | 5 | 6) => Some((PortState::Filtered, Reason::AdminProhibited)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
