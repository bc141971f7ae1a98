//! New connections in a row, each closed before the next: the number that open before a limit closes the port, and the
//! clients for which it is closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

use super::{FirstSpeaker, PAUSE, Survival, opener};
use crate::error::Result;
use crate::lab::Lab;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;

/// The number of connections that are tried in a row, if no rule counts more.
pub const IN_A_ROW: u16 = 64;

/// New connections in a row, under rules that had seen no packet before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Their family.
    pub family: Family,
    /// Their destination port.
    pub port: Port,
    /// The largest number of tries.
    pub tries: u16,
    /// The number that the client opened before one did not open; `None` if all opened.
    pub opened: Option<usize>,
    /// The addresses whose connections count.
    pub spent_by: SpentBy,
    /// The rules that decided on packets of the one that did not open, if paths are watched.
    pub took: Vec<Step>,
}

/// The addresses whose connections a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpentBy {
    /// Each address has a limit of its own.
    Each,
    /// Unknown: another address cannot connect with fresh limits either.
    Unknown,
    /// All addresses share the limit.
    Everybody,
}

impl Lab<'_> {
    /// Opens up to `tries` connections to `port` from each of `clients`, one after the other, until one does not open;
    /// then another address tries. A client whose first connection does not open is left out.
    pub fn connect_in_a_row(&mut self, clients: &[IpAddr], port: Port, tries: u16) -> Result<Vec<ConnectionRow>> {
        let clients = self.reachable(clients)?;
        let mut rows = Vec::new();
        for client in clients {
            rows.extend(self.row(client, port, tries)?);
        }
        Ok(rows)
    }

    /// True if another address of the family of `client` can connect.
    pub fn accepts_other_address(&mut self, client: IpAddr, port: Port) -> Result<bool> {
        match self.other_address(client) {
            Some(other) => {
                self.reach(&[other])?;
                Ok(self.visit(other, port, 0)?.is_none())
            }
            None => Ok(false),
        }
    }

    fn row(&mut self, client: IpAddr, port: Port, tries: u16) -> Result<Option<ConnectionRow>> {
        let mut row = ConnectionRow {
            family: Family::from_address(client),
            port,
            tries,
            opened: None,
            spent_by: SpentBy::Unknown,
            took: Vec::new(),
        };
        let pause = if self.counts_connections() { PAUSE } else { Duration::ZERO };
        for number in 0..tries {
            thread::sleep(pause);
            let Some(took) = self.visit(client, port, number)? else { continue };
            (row.opened, row.took) = (Some(usize::from(number)), took);
            break;
        }
        if row.opened == Some(0) || tries == 0 {
            return Ok(None);
        }
        if row.opened.is_some() && self.accepts_other_address(client, port)? {
            row.spent_by = SpentBy::Each;
        }
        Ok(Some(row))
    }

    /// Opens a connection, sends data from both ends, and closes it. If that fails, returns the rules that decided on
    /// packets of it.
    pub(super) fn visit(&mut self, client: IpAddr, port: Port, number: u16) -> Result<Option<Vec<Step>>> {
        let probe = opener(self.spec.addresses, client, port, number);
        let opened = match self.connect(probe)? {
            Ok(mut connection) => {
                let lives = connection.talk(FirstSpeaker::Host, &mut self.link)? == Survival::Alive;
                connection.close(&mut self.link)?;
                lives
            }
            Err(_) => false,
        };
        let took = self.deciding_rules(&probe)?;
        Ok((!opened).then_some(took))
    }

    fn counts_connections(&self) -> bool {
        let mut rules = self.listings.iter().flat_map(|listing| listing.rules());
        rules.any(|rule| rule.modules.iter().any(|module| module.name == "connlimit"))
    }

    /// Another address on the link.
    pub(super) fn other_address(&self, client: IpAddr) -> Option<IpAddr> {
        let near = |step: u8| match self.spec.addresses.prober(Family::from_address(client)) {
            IpAddr::V4(prober) => IpAddr::from(Ipv4Addr::from_bits(prober.to_bits() ^ u32::from(step))),
            IpAddr::V6(prober) => IpAddr::from(Ipv6Addr::from_bits(prober.to_bits() ^ u128::from(step))),
        };
        let is_another = |address: &IpAddr| *address != client && self.spec.addresses.is_on_link(*address);
        (1..8).map(near).find(is_another)
    }
}
