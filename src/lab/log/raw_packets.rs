//! Log lines of arbitrary packets, given as bytes, to compare the two captures.

use std::net::IpAddr;

use crate::error::Result;
use crate::lab::Lab;
use crate::lab::host::host_socket::HostSocket;

impl Lab<'_> {
    /// Every line that is logged while `frames` arrive, and then the host sends `packets`, each to its destination. If
    /// the kernel's log is read, there may be lines of others.
    pub fn lines_of(&mut self, frames: &[Vec<u8>], packets: &[(Vec<u8>, IpAddr)]) -> Result<Vec<String>> {
        let host = HostSocket::open(self.isolated, &self.families)?;
        let mut turn = self.log.lock()?;
        for frame in frames {
            self.link.send(frame)?;
        }
        for (packet, destination) in packets {
            host.send(packet, *destination)?;
        }
        self.link.fence(|_, _| Ok(()))?;
        let mut lines = Vec::new();
        turn.drain(|line| lines.push(line))?;
        self.paths.iter_mut().try_for_each(|paths| paths.discard().map(drop))?;
        Ok(lines)
    }
}
