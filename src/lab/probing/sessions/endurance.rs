//! The traffic of a long session: rules that let a connection open may still cut it after a number of packets. Nothing
//! is concluded from the rules: both ends send, and segments that do not arrive are sent again after the waits of TCP's
//! retransmission timer.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Delivery, End, OpenSession};
use super::{ClientLab, FIRST_PORT, PAUSE};
use crate::error::Result;
use crate::lab::Lab;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;

/// Rounds of a session. In each, the client sends data, and then the host.
pub const ROUNDS: usize = 300;

/// Rounds of a second session and of a reconnect.
const SHORT: usize = TOS.len() * SPAN;

/// The first data of each end of an SSH connection (RFC 4253, section 4.2): 21 bytes, with CR and LF.
const BANNER: &str = "SSH-2.0-OpenSSH_9.2\r\n";

/// The time for retransmissions of a segment: three, as their timer of 200 ms doubles (RFC 6298).
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The number of segments with retransmissions after which a session is given up: each costs the user 200 ms or more.
const SLOW: usize = 8;

/// The connections of a client to one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endurance {
    /// The family.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// Segments that each end sent in the first session, if it was not cut.
    pub rounds: usize,
    /// The duration of the first session.
    pub lasted: Duration,
    /// The connection that was cut; `None` if all data arrived.
    pub cut: Option<Cut>,
}

/// A connection that did not open, or whose data did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The connection.
    pub attempt: ClientConnection,
    /// What it was doing; `None` if it did not open.
    pub traffic: Option<Traffic>,
    /// The way in which it ended.
    pub halt: Halt,
    /// Packets of the client that had arrived on this connection before.
    pub packets: usize,
    /// The rules that decided on packets of it, if paths are watched.
    pub took: Vec<Step>,
}

/// The way in which a connection was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Halt {
    /// It did not open.
    Shut,
    /// A segment did not arrive, with all its retransmissions.
    Freezes,
    /// Segments arrive only after retransmissions, and there are too many of them.
    Crawls,
}

/// A connection of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientConnection {
    /// The first one.
    Session,
    /// One that is opened while the first is open.
    Second,
    /// One after both were closed.
    Reconnect,
}

/// What a session does, which decides on the length of its segments and on their TOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// Both ends send their banners.
    Banner,
    /// The ends exchange keys, at the beginning and now and then: 1.5 to 2 kB at a time.
    KeyExchange,
    /// Keystrokes and their echo, and listings of a screen, with this TOS.
    Interactive(u8),
}

/// The TOS that versions of OpenSSH set on a session once it is open (IPQoS in ssh_config(5)): of 7.8 and later for
/// interactive sessions (af21) and others (cs1), of 10.1 and later (ef), and of older ones (lowdelay, throughput). 0 is
/// that of PuTTY, and of all that comes before.
const TOS: [u8; 6] = [0x48, 0xb8, 0x10, 0x20, 0x08, 0];

/// Rounds with one TOS.
const SPAN: usize = 10;

/// Rounds between two key exchanges. OpenSSH exchanges keys after 1 GB or an hour (RekeyLimit).
const REKEY: usize = 100;

/// Rounds of a key exchange.
const KEY_EXCHANGE: usize = 3;

impl Traffic {
    fn of(round: usize) -> Traffic {
        match (round, round % REKEY) {
            (0, _) => Traffic::Banner,
            (_, within) if within <= KEY_EXCHANGE => Traffic::KeyExchange,
            _ => Traffic::Interactive(TOS[round / SPAN % TOS.len()]),
        }
    }

    /// The data of an end in a round.
    fn data(self, round: usize) -> Vec<u8> {
        match self {
            Traffic::Banner => BANNER.into(),
            Traffic::KeyExchange => vec![0x14; 1_500 + round % REKEY * 150],
            Traffic::Interactive(_) if round.is_multiple_of(4) => vec![0x5e; 1_400],
            Traffic::Interactive(_) => vec![0x5e; 36 + round % 3 * 8],
        }
    }
}

impl Lab<'_> {
    /// Tests connections from `clients` to `port`, under the rules of the lab: one session of `rounds`, a second one
    /// while it is open, and one after both are closed. A client whose first connection does not open is left out.
    pub fn endure(&mut self, clients: &[IpAddr], port: Port, rounds: usize) -> Result<Vec<Endurance>> {
        let mut labs = self.with_clients(clients)?;
        let mut found = Vec::new();
        for client in labs.clients.clone() {
            let Some(mut first) = labs.begin(client, port, ClientConnection::Session)? else { continue };
            let start = Instant::now();
            let mut cut = labs.work(&mut first, ClientConnection::Session, rounds)?;
            let lasted = start.elapsed();
            if cut.is_none() {
                cut = labs.cut_later(client, first, port)?;
            }
            found.push(Endurance { family: Family::from_address(client), port, rounds, lasted, cut });
        }
        Ok(found)
    }
}

impl ClientLab<'_, '_> {
    fn cut_later(&mut self, client: IpAddr, first: OpenSession, port: Port) -> Result<Option<Cut>> {
        let mut shut = None;
        match self.begin(client, port, ClientConnection::Second)? {
            None => shut = Some(self.shut(client, port, ClientConnection::Second)?),
            Some(mut second) => {
                if let Some(cut) = self.work(&mut second, ClientConnection::Second, SHORT)? {
                    return Ok(Some(cut));
                }
                self.close(second)?;
            }
        }
        self.close(first)?;
        thread::sleep(PAUSE);
        match self.begin(client, port, ClientConnection::Reconnect)? {
            Some(mut again) => Ok(self.work(&mut again, ClientConnection::Reconnect, SHORT)?.or(shut)),
            None => self.shut(client, port, ClientConnection::Reconnect).map(Some),
        }
    }

    fn begin(&mut self, client: IpAddr, port: Port, which: ClientConnection) -> Result<Option<OpenSession>> {
        self.kernel.sent = 0;
        Ok(self.open(self.flow(client, port, FIRST_PORT + which as u16))?.ok())
    }

    /// The result for a connection that did not open.
    fn shut(&mut self, client: IpAddr, port: Port, attempt: ClientConnection) -> Result<Cut> {
        let took = self.deciding_rules(&self.flow(client, port, FIRST_PORT + attempt as u16))?;
        Ok(Cut { attempt, traffic: None, halt: Halt::Shut, packets: 0, took })
    }

    /// Makes both ends send in turn, until data does not arrive.
    fn work(&mut self, connection: &mut OpenSession, attempt: ClientConnection, rounds: usize) -> Result<Option<Cut>> {
        let (mut slow, mut arrived) = (0, 0);
        for round in 0..rounds {
            let (traffic, sent) = (Traffic::of(round), self.kernel.sent);
            if let Traffic::Interactive(tos) = traffic {
                connection.set_tos(tos)?;
            }
            let data = traffic.data(round);
            let of_client = self.send(connection, End::Client, &data, PATIENCE)?;
            let of_host = match of_client {
                Delivery::Never => Delivery::Never,
                _ => self.send(connection, End::Host, &data, PATIENCE)?,
            };
            // Read in every round, so that the trace of a long session fits into its buffer.
            let seen = self.lab.look(&connection.flow)?;
            arrived += seen.arrived;
            let packets = if self.lab.paths.is_some() { arrived } else { sent };
            slow += [of_client, of_host].into_iter().filter(|delivery| *delivery == Delivery::Late).count();
            let halt = match of_host {
                Delivery::Never => Halt::Freezes,
                _ if slow > SLOW => Halt::Crawls,
                _ => continue,
            };
            return Ok(Some(Cut { attempt, traffic: Some(traffic), halt, packets, took: seen.took }));
        }
        Ok(None)
    }
}
