//! The host's end of the link: what is put on it here travels the interface's own way to the prober, as an answer of
//! the host does, and is queued in order with those. A packet socket (packet(7)): below every iptables rule.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind, send, socket,
};

use crate::error::{Doing, Result};
use crate::lab::namespace::Isolated;
use crate::net::InterfaceName;

/// A socket that sends whole frames out of the host's interface.
pub struct Wire(OwnedFd);

impl Wire {
    /// Ties a packet socket to `interface` of the lab's namespace. It receives nothing: its protocol is 0.
    pub fn open(isolated: &Isolated, interface: &InterfaceName) -> Result<Wire> {
        isolated.assert("opening a packet socket")?;
        let opened = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
        let socket = opened.doing("open a packet socket")?;
        bind(socket.as_raw_fd(), &address_of(interface)?).doing("tie a packet socket to the interface")?;
        Ok(Wire(socket))
    }

    /// Sends a frame to the prober.
    pub fn inject(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty());
        sent.map(drop).doing("send a forged frame through a packet socket")
    }
}

fn address_of(interface: &InterfaceName) -> Result<LinkAddr> {
    let addresses = getifaddrs().doing("list the interfaces")?;
    let mut own = addresses.filter(|entry| entry.interface_name == interface.as_str());
    let found = own.find_map(|entry| entry.address.as_ref().and_then(link_address));
    found.ok_or_else(|| io::Error::other("the interface is not listed")).doing("look up the interface")
}

fn link_address(address: &SockaddrStorage) -> Option<LinkAddr> {
    (address.family() == Some(AddressFamily::Packet)).then(|| address.as_link_addr().copied()).flatten()
}
