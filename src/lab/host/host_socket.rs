//! Packets that the host itself sends, whatever they look like: raw sockets of the lab's namespace, with the IP header
//! included (raw(7): IPPROTO_RAW implies IP_HDRINCL; the same holds for IPv6).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, setsockopt, socket, sockopt,
};

use super::namespace::Isolated;
use crate::error::{Context, Result};
use crate::net::Family;

/// The host's own end.
pub struct HostSocket {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
}

impl HostSocket {
    /// Opens the sockets in the lab's namespace, to which they stay bound; never outside.
    pub fn open(isolated: &Isolated, families: &[Family]) -> Result<HostSocket> {
        isolated.assert("opening a raw socket")?;
        let open = |family| -> Result<OwnedFd> {
            let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
            let socket = socket.context("open a raw socket on the host")?;
            // A batch is sent before anybody reads the link.
            setsockopt(&socket, sockopt::SndBuf, &(1 << 20)).context("make room for the host's packets")?;
            Ok(socket)
        };
        let v6 = families.contains(&Family::Ipv6).then(|| open(AddressFamily::Inet6)).transpose()?;
        Ok(HostSocket { v4: open(AddressFamily::Inet)?, v6 })
    }

    /// Sends an IP packet. What the rules of OUTPUT make of it is the ruleset's business, and its trace tells: the kernel
    /// refuses to send what they drop, and what they give an address to which there is no way from its own.
    pub fn send(&self, packet: &[u8], destination: IpAddr) -> Result<()> {
        let to = SockaddrStorage::from(SocketAddr::new(destination, 0));
        let socket = if destination.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        let Some(socket) = socket else { return Ok(()) };
        match sendto(socket.as_raw_fd(), packet, &to, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(()),
            Err(error) if BY_RULES.contains(&error) => Ok(()),
            Err(error) => Err(error).context(format!("let the host send a packet to {destination}")),
        }
    }
}

/// Of a packet that was dropped (`nf_hook_slow`), and of one that NAT gave another destination: `nf_nat_ipv4_local_fn` and
/// `nf_nat_ipv6_local_fn` hand on what `ip_route_me_harder` and `ip6_route_me_harder` say.
const BY_RULES: [Errno; 5] = [Errno::EPERM, Errno::EINVAL, Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES];
