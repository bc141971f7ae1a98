//! The host's end of the link: a frame that is sent here goes to the prober through the interface, as an answer of the
//! host does, and is queued in order with those. It is a packet socket (packet(7)), below every iptables rule.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::error::{Context, Result};
use crate::lab::host::namespace::Isolated;
use crate::net::InterfaceName;
use crate::sys;

/// A socket that sends whole frames, or on a TUN packets, out of the host's interface.
pub struct Wire(OwnedFd);

impl Wire {
    /// Binds a packet socket to `interface` of the lab's namespace. It receives nothing: its protocol is 0.
    pub fn open(isolated: &Isolated, interface: &InterfaceName) -> Result<Wire> {
        isolated.assert("opening a packet socket")?;
        let opened = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        let socket = opened.context("open a packet socket")?;
        let index = if_nametoindex(interface.as_str()).context("look up the interface")?;
        bind(socket.as_raw_fd(), &sys::link_address(index)).context("tie a packet socket to the interface")?;
        Ok(Wire(socket))
    }

    /// Sends a frame to the prober.
    pub fn inject(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty());
        sent.map(drop).context("send a forged frame through a packet socket")
    }
}
