//! What the caller of a scan changes of nmap's own packets: `--scanflags`, `--badsum`, `--source-port`, `--ttl`, `-S`.

use std::net::IpAddr;

use crate::net::port::Port;

/// What is changed of nmap's own packets; by default nothing.
///
/// A connect is the scanner's kernel's own: of all this it takes the source, and in IPv4 the TTL, as `nmap -sT` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ProbeOverrides {
    /// `--scanflags`: the flags octet of every segment, whatever the technique's own is. The technique still says what an
    /// answer means.
    pub scanflags: Option<u8>,
    /// `--badsum`: the transport checksum is wrong, so that a host must not answer; what does is a firewall.
    pub badsum: bool,
    /// `-g`, `--source-port`: every probe comes from this port, retries as well. Phases that share it share flows: the lab
    /// makes conntrack forget a flow before it is used again.
    pub source_port: Option<Port>,
    /// `--ttl`: TTL or hop limit.
    pub ttl: Option<u8>,
    /// `-S`: the source address; in the lab's subnet, since nothing else is on the link. Of the other family: no change.
    pub source: Option<IpAddr>,
}
