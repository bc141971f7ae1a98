//! Connections that another address holds open, and a test if clients can connect meanwhile: a limit may count the
//! connections of all addresses.

use std::net::IpAddr;
use std::thread;

use super::{ClientLab, FIRST_PORT, PAUSE};
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
        let mut labs = self.with_clients_and_others(clients)?;
        let mut found = Vec::new();
        for client in labs.clients.clone() {
            if let Some(other) = labs.lab.other_address(client) {
                found.extend(labs.held_by(other, client, port, most)?);
            }
        }
        Ok(found)
    }
}

impl ClientLab<'_, '_> {
    fn held_by(&mut self, other: IpAddr, client: IpAddr, port: Port, most: u16) -> Result<Option<Held>> {
        let mut open = Vec::new();
        for number in 0..most {
            let flow = self.flow(other, port, FIRST_PORT + number);
            let opened = self.open(flow)?;
            // Read in every round, so that the trace of many connections fits into its buffer.
            self.deciding_rules(&flow)?;
            let Ok(connection) = opened else { break };
            open.push(connection);
        }
        let (count, took) = (open.len(), self.visit(client, port, FIRST_PORT)?);
        for connection in open {
            self.close(connection)?;
        }
        thread::sleep(PAUSE);
        let gets_in = self.visit(client, port, FIRST_PORT + 1)?.is_none();
        let held = |took| Held { family: Family::from_address(client), port, count, took };
        Ok(took.filter(|_| count > 0 && gets_in).map(held))
    }
}
