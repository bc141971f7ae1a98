//! Packets that the host itself sends, with any content: raw sockets of the lab's namespace, with the IP header
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

/// The raw sockets of the host.
pub struct HostSocket {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
}

impl HostSocket {
    /// Opens the sockets in the lab's namespace, to which they stay bound.
    pub fn open(isolated: &Isolated, families: &[Family]) -> Result<HostSocket> {
        isolated.assert("opening a raw socket")?;
        let open = |family| -> Result<OwnedFd> {
            let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw);
            let socket = socket.context("open a raw socket on the host")?;
            // A batch is sent before the link is read.
            setsockopt(&socket, sockopt::SndBuf, &(1 << 20)).context("make room for the host's packets")?;
            Ok(socket)
        };
        let v6 = families.contains(&Family::Ipv6).then(|| open(AddressFamily::Inet6)).transpose()?;
        Ok(HostSocket { v4: open(AddressFamily::Inet)?, v6 })
    }

    /// Sends an IP packet. It is no error if the rules of OUTPUT prevent it, since its trace shows that: the kernel
    /// refuses to send a packet that they drop, and one whose new destination cannot be reached from its source.
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

/// The errors for a packet that was dropped (`nf_hook_slow`), and for one that NAT gave another destination:
/// `nf_nat_ipv4_local_fn` and `nf_nat_ipv6_local_fn` return those of `ip_route_me_harder` and `ip6_route_me_harder`.
const BY_RULES: [Errno; 5] = [Errno::EPERM, Errno::EINVAL, Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES];
