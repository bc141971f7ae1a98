//! The options of a scan that change nmap's own packets: `--scanflags`, `--badsum`, `--source-port`, `--ttl`, `-S`.

use std::net::IpAddr;

use crate::net::port::Port;

/// The changes to nmap's own packets; none by default.
///
/// A connect scan uses the scanner's kernel: of these options it only uses the source and, in IPv4, the TTL, as in
/// `nmap -sT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ProbeOverrides {
    /// `--scanflags`: the flags octet of every segment, in place of the technique's own. The technique still determines
    /// the meaning of an answer.
    pub scanflags: Option<u8>,
    /// `--badsum`: the transport checksum is wrong, so a host must not answer, and any answer is from a firewall.
    pub badsum: bool,
    /// `-g`, `--source-port`: the source port of every probe, including retries. Scan passes with the same port share
    /// flows: the lab deletes the conntrack entry of a flow before it is used again.
    pub source_port: Option<Port>,
    /// `--ttl`: TTL or hop limit.
    pub ttl: Option<u8>,
    /// `-S`: the source address; in the lab's subnet, since no other machine is on the link. One of the other family
    /// has no effect.
    pub source: Option<IpAddr>,
}
