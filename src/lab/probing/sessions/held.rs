//! Connections that another address holds open, and a test if clients can connect meanwhile: a limit may count the
//! connections of all addresses.

use std::net::IpAddr;
use std::thread;

use super::{PAUSE, opener};
use crate::error::Result;
use crate::lab::Lab;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;

/// Open connections of another address that keep a client out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Their family.
    pub family: Family,
    /// Their destination port.
    pub port: Port,
    /// Their number.
    pub count: usize,
    /// The rules that decided on packets of the client, if paths are watched.
    pub took: Vec<Step>,
}

impl Lab<'_> {
    /// Opens up to `most` connections to `port` from another address; then each of `clients` tries to connect, and
    /// again after they are closed. Clients that can connect in the first case, or cannot in the second, are left out.
    pub fn hold(&mut self, clients: &[IpAddr], port: Port, most: u16) -> Result<Vec<Held>> {
        let clients = self.reachable(clients)?;
        let mut found = Vec::new();
        for client in clients {
            if let Some(other) = self.other_address(client) {
                self.reach(&[other])?;
                found.extend(self.held_by(other, client, port, most)?);
            }
        }
        Ok(found)
    }

    fn held_by(&mut self, other: IpAddr, client: IpAddr, port: Port, most: u16) -> Result<Option<Held>> {
        let mut open = Vec::new();
        for number in 0..most {
            let probe = opener(self.spec.addresses, other, port, number);
            let opened = self.connect(probe)?;
            // Read in every round, so that the trace of many connections fits into its buffer.
            self.deciding_rules(&probe)?;
            let Ok(connection) = opened else { break };
            open.push(connection);
        }
        let (count, took) = (open.len(), self.visit(client, port, 0)?);
        for connection in open {
            connection.close(&mut self.link)?;
        }
        thread::sleep(PAUSE);
        let gets_in = self.visit(client, port, 1)?.is_none();
        let held = |took| Held { family: Family::from_address(client), port, count, took };
        Ok(took.filter(|_| count > 0 && gets_in).map(held))
    }
}
