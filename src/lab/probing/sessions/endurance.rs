//! The traffic of a long session: rules that let a connection open may still cut it after a number of packets. Nothing
//! is concluded from the rules: both ends send, and segments that do not arrive are sent again after the waits of TCP's
//! retransmission timer.

use std::io::Write;
use std::iter;
use std::net::{IpAddr, Shutdown};
use std::thread;
use std::time::{Duration, Instant};

use super::{OpenSession, PAUSE, opener};
use crate::error::Result;
use crate::lab::Lab;
use crate::lab::host::link::ProberLink;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::Probe;
use crate::probe::path::Step;

/// Rounds of a session. In each, the client sends a segment and an acknowledgment, and the host sends a segment.
pub const ROUNDS: usize = 200;

/// The first data of each end of an SSH connection (RFC 4253, section 4.2): 21 bytes, with CR and LF.
const BANNER: &str = "SSH-2.0-OpenSSH_9.2\r\n";

/// Bytes of the longest segments, as in a key exchange or a directory listing.
const LONG: usize = 1_400;

/// Waits before a segment is sent again (RFC 6298: the timer doubles).
const WAITS: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800)];

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

impl Lab<'_> {
    /// Tests connections from `clients` to `port`, under the rules of the lab: one session of `rounds`, a second one
    /// while it is open, and one after both are closed. A client whose first connection does not open is left out.
    pub fn endure(&mut self, clients: &[IpAddr], port: Port, rounds: usize) -> Result<Vec<Endurance>> {
        let clients = self.reachable(clients)?;
        let mut found = Vec::new();
        for client in clients {
            let Some(mut first) = self.open(client, port, ClientConnection::Session)? else { continue };
            let start = Instant::now();
            let mut cut = self.work(&mut first, ClientConnection::Session, rounds)?;
            let lasted = start.elapsed();
            if cut.is_none() {
                cut = self.cut_later(client, first, port)?;
            }
            found.push(Endurance { family: Family::from_address(client), port, rounds, lasted, cut });
        }
        Ok(found)
    }

    fn cut_later(&mut self, client: IpAddr, first: OpenSession, port: Port) -> Result<Option<Cut>> {
        let mut shut = None;
        match self.open(client, port, ClientConnection::Second)? {
            None => shut = Some(self.shut(client, port, ClientConnection::Second)?),
            Some(mut second) => {
                if let Some(cut) = self.work(&mut second, ClientConnection::Second, ROUNDS)? {
                    return Ok(Some(cut));
                }
                second.close(&mut self.link)?;
            }
        }
        first.close(&mut self.link)?;
        thread::sleep(PAUSE);
        match self.open(client, port, ClientConnection::Reconnect)? {
            Some(mut again) => Ok(self.work(&mut again, ClientConnection::Reconnect, ROUNDS)?.or(shut)),
            None => self.shut(client, port, ClientConnection::Reconnect).map(Some),
        }
    }

    fn open(&mut self, client: IpAddr, port: Port, which: ClientConnection) -> Result<Option<OpenSession>> {
        let probe = self.session_probe(client, port, which);
        Ok(self.connect(probe)?.ok())
    }

    /// The result for a connection that did not open.
    fn shut(&mut self, client: IpAddr, port: Port, attempt: ClientConnection) -> Result<Cut> {
        let took = self.deciding_rules(&self.session_probe(client, port, attempt))?;
        Ok(Cut { attempt, halt: Halt::Shut, packets: 0, took })
    }

    fn session_probe(&self, client: IpAddr, port: Port, which: ClientConnection) -> Probe {
        opener(self.spec.addresses, client, port, which as u16)
    }

    /// Makes both ends send in turn, until a segment does not arrive.
    fn work(&mut self, connection: &mut OpenSession, attempt: ClientConnection, rounds: usize) -> Result<Option<Cut>> {
        // The SYN and the ACK of the handshake.
        let (mut packets, mut slow) = (2, 0);
        for round in 0..rounds {
            let text = said_in(round);
            let heard = connection.client_repeats(&text, &mut self.link)?;
            packets += usize::from(heard.is_some());
            let answered = if heard.is_some() { connection.host_repeats(&text, &mut self.link)? } else { None };
            packets += usize::from(answered.is_some());
            // Read in every round, so that the trace of a long session fits into its buffer.
            let took = self.deciding_rules(&connection.probe)?;
            slow += [heard, answered].into_iter().flatten().filter(|again| *again > 0).count();
            let halt = match answered {
                None => Halt::Freezes,
                Some(_) if slow > SLOW => Halt::Crawls,
                Some(_) => continue,
            };
            return Ok(Some(Cut { attempt, halt, packets, took }));
        }
        Ok(None)
    }
}

/// The data of an end in a round: its banner, then long and short segments, each different.
fn said_in(round: usize) -> String {
    match round {
        0 => BANNER.to_owned(),
        _ if round % 2 == 1 => format!("{round:>LONG$}"),
        _ => format!("[{round}]"),
    }
}

impl OpenSession {
    /// Sends a segment from the client, again after each wait if it did not arrive. Returns the number of
    /// retransmissions; `None` if it never arrived.
    fn client_repeats(&mut self, text: &str, link: &mut ProberLink) -> Result<Option<usize>> {
        let segment = self.probe.within_connection((self.seq, self.ack), self.window, text.as_bytes(), &link.ends);
        let mut heard: Vec<u8> = Vec::new();
        for (again, wait) in iter::once(Duration::ZERO).chain(WAITS).enumerate() {
            thread::sleep(wait);
            link.send(&segment)?;
            self.listen(link)?;
            heard.extend(self.read()?);
            if heard.ends_with(text.as_bytes()) {
                self.seq = self.seq.wrapping_add(text.len() as u32);
                return Ok(Some(again));
            }
            if self.is_reset {
                break;
            }
        }
        Ok(None)
    }

    /// Sends a segment from the host, whose kernel retransmits by itself. Returns the same as [`Self::client_repeats`].
    fn host_repeats(&mut self, text: &str, link: &mut ProberLink) -> Result<Option<usize>> {
        if self.stream.write_all(text.as_bytes()).is_err() {
            return Ok(None);
        }
        for (again, wait) in iter::once(Duration::ZERO).chain(WAITS).enumerate() {
            thread::sleep(wait);
            if self.hears(text, link)? {
                return Ok(Some(again));
            }
            if self.is_reset {
                break;
            }
        }
        Ok(None)
    }

    /// Closes it from both ends: FIN and ACK in each direction.
    pub(super) fn close(self, link: &mut ProberLink) -> Result<()> {
        let OpenSession { probe, stream, seq, ack, window, .. } = self;
        link.send(&probe.closing((seq, ack), window, &link.ends))?;
        link.fence(|_, _| Ok(()))?;
        // Closing the descriptor would not suffice: a child process that another thread is starting has the socket,
        // too, until its exec. An error means that the connection has ended already.
        let _ = stream.shutdown(Shutdown::Both);
        link.fence(|_, _| Ok(()))?;
        let next = (seq.wrapping_add(1), ack.wrapping_add(1));
        link.send(&probe.within_connection(next, window, &[], &link.ends))?;
        link.fence(|_, _| Ok(()))
    }
}
