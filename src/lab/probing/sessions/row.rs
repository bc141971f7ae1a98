//! New connections in a row, each closed before the next: the number that open before a limit closes the port, and the
//! clients for which it is closed.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use super::{ClientLab, FIRST_PORT, PAUSE};
use crate::error::{Error, Result};
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
    /// The source ports from which no connection opened, and the rules that decided on their packets.
    pub kept_out: Vec<(SourcePorts, Vec<Step>)>,
}

/// The source ports of clients. Those of a row take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourcePorts {
    /// 32768 to 60999: those that Linux gives to clients (`ip_local_port_range` in ip-sysctl.rst).
    Usual,
    /// 61000 to 65535: other systems give them, and those between, to clients (RFC 6335, section 6).
    High,
    /// 1 to 1023, which only root can use.
    Low,
}

impl SourcePorts {
    /// All, in the order of a row.
    pub const ALL: [SourcePorts; 3] = [SourcePorts::Usual, SourcePorts::High, SourcePorts::Low];

    /// A port of its own for each `number`.
    const fn port(self, number: u16) -> u16 {
        match self {
            SourcePorts::Usual => FIRST_PORT + number,
            SourcePorts::High => 65_535 - number,
            SourcePorts::Low => 1_023 - number,
        }
    }
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
        let mut labs = self.with_clients_and_others(clients)?;
        let mut rows = Vec::new();
        for client in labs.clients.clone() {
            rows.extend(labs.row(client, port, tries)?);
        }
        Ok(rows)
    }

    /// True if another address of the family of `client` can connect.
    pub fn accepts_other_address(&mut self, client: IpAddr, port: Port) -> Result<bool> {
        self.with_clients_and_others(&[client])?.accepts_other_address(client, port)
    }
}

impl ClientLab<'_, '_> {
    fn accepts_other_address(&mut self, client: IpAddr, port: Port) -> Result<bool> {
        match self.lab.other_address(client) {
            Some(other) => Ok(self.visit(other, port, FIRST_PORT)?.is_none()),
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
            kept_out: Vec::new(),
        };
        let pause = if self.counts_connections() { PAUSE } else { Duration::ZERO };
        let mut opened = 0;
        for (number, ports) in (0..tries).zip(SourcePorts::ALL.into_iter().cycle()) {
            if row.kept_out.iter().any(|(others, _)| *others == ports) {
                continue;
            }
            thread::sleep(pause);
            let Some(took) = self.visit(client, port, ports.port(number))? else {
                opened += 1;
                continue;
            };
            if self.is_of_source(client, port, ports)? {
                row.kept_out.push((ports, took));
                continue;
            }
            (row.opened, row.took) = (Some(opened), took);
            break;
        }
        if opened == 0 {
            return Ok(None);
        }
        if row.opened.is_some() && self.accepts_other_address(client, port)? {
            row.spent_by = SpentBy::Each;
        }
        Ok(Some(row))
    }

    /// True if the source port keeps connections out, and no limit: from usual ports they open, before and after one from
    /// `ports` that does not.
    fn is_of_source(&mut self, client: IpAddr, port: Port, ports: SourcePorts) -> Result<bool> {
        const SPARE: u16 = 300;
        let mut opens = |ports: SourcePorts, number| {
            thread::sleep(PAUSE);
            Ok::<_, Error>(self.visit(client, port, ports.port(SPARE + number))?.is_none())
        };
        let (usual, number) = (SourcePorts::Usual, 2 * ports as u16);
        Ok(ports != usual && opens(usual, number)? && !opens(ports, number)? && opens(usual, number + 1)?)
    }

    /// Opens a connection from the source port `own`, sends data from both ends, and closes it. If that fails, returns
    /// the rules that decided on packets of it.
    pub(super) fn visit(&mut self, client: IpAddr, port: Port, own: u16) -> Result<Option<Vec<Step>>> {
        let flow = self.flow(client, port, own);
        let opened = match self.open(flow)? {
            Ok(mut connection) => {
                let works = self.works(&mut connection)?;
                self.close(connection)?;
                works
            }
            Err(_) => false,
        };
        let took = self.deciding_rules(&flow)?;
        Ok((!opened).then_some(took))
    }

    fn counts_connections(&self) -> bool {
        let mut rules = self.lab.listings.iter().flat_map(|listing| listing.rules());
        rules.any(|rule| rule.modules.iter().any(|module| module.name == "connlimit"))
    }
}
