//! Connections of an administrator while rules are loaded: does a new one open, and does the open one survive?
//!
//! Nothing is concluded from a rule: the connection is opened under the old rules, the new ones are loaded into the
//! same namespace, with the same conntrack table, and then both ends send. It matters which end sends first: for a
//! conntrack that does not know the connection yet (a machine without rules has none), its next segment is the first
//! one and, as `nf_conntrack_tcp_loose` is set, NEW. So each connection is tried both ways.

mod endurance;
mod held;
mod row;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::retransmission::TCP_RETRIES;
use crate::error::{CannotMeasure, Context, Result, Source};
use crate::lab::host::link::ProberLink;
use crate::lab::host::loading;
use crate::lab::host::neighbours::{self, DiscoveredMacs};
use crate::lab::host::services::ListeningSockets;
use crate::lab::log::nflog_copy::NflogCopies;
use crate::lab::trace::paths::Traced;
use crate::lab::{Capture, Lab, WatchedEvents, watch_paths};
use crate::net::port::Port;
use crate::net::{Addresses, Family, Protocol};
use crate::probe::path::{Fate, Step};
use crate::probe::scan::Technique;
use crate::probe::{Probe, ProbeOverrides, connected_window};
use crate::wire::frame::Direction;
use crate::wire::packet_id::PacketId;
use crate::wire::reply::{Body, Flow, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

pub use endurance::{ClientConnection, Cut, Endurance, Halt, ROUNDS};
pub use held::Held;
pub use row::{ConnectionRow, IN_A_ROW, SpentBy};

/// The end that sends first after the new rules are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FirstSpeaker {
    /// The host: a shell prints its prompt when the load is done.
    Host,
    /// The client: the user types.
    Client,
}

/// The time when a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Before the rules are loaded; with the end that sends first afterwards.
    Before(FirstSpeaker),
    /// After the rules are loaded.
    After,
}

impl Timing {
    /// All that are tested for a port.
    pub const ALL: [Timing; 3] =
        [Timing::Before(FirstSpeaker::Host), Timing::Before(FirstSpeaker::Client), Timing::After];
}

/// A connection that was open when the rules were loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its family.
    pub family: Family,
    /// Its destination port.
    pub port: Port,
    /// The end that sent first after the load.
    pub first: FirstSpeaker,
    /// The state of the connection afterwards.
    pub survival: Survival,
    /// The rules that decided on packets of it, if paths are watched.
    pub took: Vec<Step>,
}

/// A connection that was opened after the rules were loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its family.
    pub family: Family,
    /// Its destination port.
    pub port: Port,
    /// The result of the attempt.
    pub opening: Opening,
    /// The rules that decided on packets of it, or redirected it, if paths are watched.
    pub took: Vec<Step>,
}

/// The state of a connection after the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// It was never open: it does not open under the old rules either.
    NeverOpen,
    /// All data was delivered, in both directions.
    Alive,
    /// The first data did not arrive; once the other end had sent, all of it did.
    Stalls,
    /// It is dead.
    Dead,
}

/// The result of an attempt to open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It opens, and both ends receive each other's data.
    Opens,
    /// No answer.
    Silent,
    /// A RST, or an ICMP error.
    Refused,
    /// The handshake began, and was not finished.
    HalfOpen,
    /// It opens, and then the data of one end does not reach the other.
    Mute,
}

/// The findings after the rules were loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfterLoad {
    /// Every connection that was open before.
    pub sessions: Vec<Session>,
    /// The result of a new connection to each port, in each family.
    pub openings: Vec<Attempt>,
    /// The results of neighbour discovery.
    pub neighbourhood: Option<DiscoveredMacs>,
}

impl AfterLoad {
    /// The findings of this lab and of another one with the same rules.
    pub fn and(mut self, other: AfterLoad) -> AfterLoad {
        self.sessions.extend(other.sessions);
        self.openings.extend(other.openings);
        AfterLoad { neighbourhood: self.neighbourhood.or(other.neighbourhood), ..self }
    }
}

/// The pause before the next connection: for one tick of its clock the kernel still counts closed connections, and for
/// two those that were dropped (`last_gc` and `find_or_evict` in net/netfilter/nf_conncount.c). A tick is 10 ms at
/// most.
const PAUSE: Duration = Duration::from_millis(30);

/// Waits for a retransmission by the host's kernel, with shortened timers: each wait is twice as long as the one
/// before, and their sum exceeds the 3 s of a connection whose handshake measured no round trip
/// (`TCP_TIMEOUT_FALLBACK`).
const TIMER_WAITS: [Duration; 9] = {
    let mut waits = [Duration::from_millis(16); 9];
    let mut number = 1;
    while number < waits.len() {
        waits[number] = Duration::from_millis(16 << number);
        number += 1;
    }
    waits
};

/// The first source port, above those of nmap's numbering in the phases of a scan; the lab has no other probes.
const FIRST_PORT: u16 = 50_001;

impl Lab<'_> {
    /// Opens the connections of `questions` that are to be open before from each of `clients` (one address for each
    /// family that has one), replaces the lab's rules by `rulesets`, and tests them; then opens the new ones.
    ///
    /// # Errors
    ///
    /// If the rulesets are refused, or the lab cannot measure.
    pub fn load_under_sessions(
        &mut self,
        clients: &[IpAddr],
        questions: &[(Port, Timing)],
        rulesets: &[(Family, &Source)],
    ) -> Result<AfterLoad> {
        let clients = self.reachable(clients)?;
        let each =
            clients.iter().flat_map(|client| questions.iter().map(move |(port, timing)| (*client, *port, *timing)));
        let probe = |number, client, port| opener(self.spec.addresses, client, port, number);
        let all: Vec<(Probe, Timing)> =
            (0..).zip(each).map(|(number, (client, port, timing))| (probe(number, client, port), timing)).collect();
        let plans = all.iter().filter_map(|(probe, timing)| match timing {
            Timing::Before(first) => Some((*probe, *first)),
            Timing::After => None,
        });

        let mut open = Vec::new();
        for (probe, first) in plans {
            let mut found = self.connect(probe)?;
            if let Ok(connection) = &mut found {
                // They must work under the old rules, or nothing can be concluded about the new ones. The host sends
                // last, so that no data is left to acknowledge: its kernel would do that 40 ms later, while or after
                // the rules are loaded, and thereby send first.
                let talk = connection.talk(FirstSpeaker::Client, &mut self.link)?;
                if talk != Survival::Alive {
                    found = Err(Opening::Mute);
                }
            }
            open.push((probe, first, found));
        }
        self.load_in_place(rulesets)?;
        self.shorten_timers(&clients)?;

        let mut sessions = Vec::new();
        for (probe, first, mut found) in open {
            let survival = match &mut found {
                Ok(connection) => {
                    connection.retries = self.retries();
                    connection.talk(first, &mut self.link)?
                }
                Err(_) => Survival::NeverOpen,
            };
            let took = self.deciding_rules(&probe)?;
            sessions.push(Session { family: probe.family(), port: probe.flow.port, first, survival, took });
        }
        let mut openings = Vec::new();
        for (probe, _) in all.iter().filter(|(_, timing)| *timing == Timing::After) {
            openings.push(self.attempt(*probe)?);
        }
        let has_macs = self.spec.equipment.link.has_macs();
        let neighbourhood = has_macs
            .then(|| neighbours::explore(&mut self.link, self.paths.as_mut(), self.spec.addresses, &self.families))
            .transpose()?;
        Ok(AfterLoad { sessions, openings, neighbourhood })
    }

    /// Those of `clients` whose family the lab has; the host has routes to them from now on.
    fn reachable(&mut self, clients: &[IpAddr]) -> Result<Vec<IpAddr>> {
        let clients: Vec<IpAddr> =
            clients.iter().copied().filter(|client| self.families.contains(&Family::from_address(*client))).collect();
        self.reach(&clients)?;
        self.shorten_timers(&clients)?;
        Ok(clients)
    }

    fn connect(&mut self, probe: Probe) -> Result<std::result::Result<OpenSession, Opening>> {
        let retries = self.retries();
        OpenSession::open(probe, retries, &mut self.link, &self.services)
    }

    /// The number of immediate retransmissions of a client.
    fn retries(&self) -> usize {
        if self.has_chance() { TCP_RETRIES } else { 0 }
    }

    fn attempt(&mut self, probe: Probe) -> Result<Attempt> {
        let opening = match self.connect(probe)? {
            Ok(mut connection) => match connection.talk(FirstSpeaker::Host, &mut self.link)? {
                Survival::Alive => Opening::Opens,
                Survival::Stalls | Survival::Dead | Survival::NeverOpen => Opening::Mute,
            },
            Err(opening) => opening,
        };
        let took = self.deciding_rules(&probe)?;
        Ok(Attempt { family: probe.family(), port: probe.flow.port, opening, took })
    }

    /// The rules that decided on packets of a connection since the last call; if none did, the one that redirected it.
    /// Its packets are recognized by the client's address and port: the host's port differs if a rule of the nat table
    /// redirects.
    fn deciding_rules(&mut self, probe: &Probe) -> Result<Vec<Step>> {
        let Some(paths) = &mut self.paths else { return Ok(Vec::new()) };
        let flow = probe.flow;
        let is_ours = |packet: &&Traced| {
            let Some(PacketId { flow: seen, .. }) = packet.seen else { return false };
            let of_client = if packet.direction == Direction::In { seen } else { seen.reversed() };
            (of_client.prober, of_client.prober_port) == (flow.prober, flow.prober_port)
        };
        let traced = paths.read()?;
        let own: Vec<&Traced> = traced.iter().filter(is_ours).collect();
        // SYNPROXY keeps the segments of a handshake that it answers; a rule that drops a later one decides.
        let with = |fates: &[Fate]| -> Vec<&Step> {
            let packets = own.iter().filter(|packet| fates.contains(&packet.path.fate));
            packets.filter_map(|packet| packet.path.last()).collect()
        };
        let dropped = with(&[Fate::Dropped, Fate::Rejected]);
        let taken = if dropped.is_empty() { with(&[Fate::Stolen]) } else { dropped };
        let mut took: Vec<Step> = Vec::new();
        for step in taken {
            if !took.contains(step) {
                took.push(step.clone());
            }
        }
        if took.is_empty() {
            let steps = own.iter().flat_map(|packet| &packet.path.steps);
            took.extend(steps.rev().find(|step| step.table == "nat" && step.rule.is_some()).cloned());
        }
        Ok(took)
    }

    /// Replaces the loaded rules, as `iptables-restore` does on a running machine. Paths refer to the new rules from
    /// now on; limits are not used after this.
    fn load_in_place(&mut self, rulesets: &[(Family, &Source)]) -> Result<()> {
        let here: Vec<(Family, &Source)> =
            rulesets.iter().copied().filter(|(family, _)| self.families.contains(family)).collect();
        let copies = match self.spec.equipment.capture {
            Capture::Kmsg => None,
            Capture::Nflog => Some(NflogCopies::new(&here)?),
        };
        // A log group must be left by its listener before it can get another one.
        self.paths = None;
        loading::load(&self.spec.equipment.iptables, self.isolated, &self.runtime, &here, copies.as_ref())?;
        // A family without new rules keeps the old ones.
        self.listings.retain(|listing| here.iter().all(|(family, _)| *family != listing.family));
        let equipment = self.spec.equipment;
        self.listings.extend(here.iter().map(|(family, source)| equipment.listing(*family, source)));
        self.limit_uses.clear();
        // The lab's own table was made for the old rules.
        let traced = self.spec.watch != WatchedEvents::Replies;
        (self.paths, self.rules) =
            watch_paths(self.isolated, self.spec, &self.netlink, &self.families, &self.listings, traced)?;
        Ok(())
    }
}

/// The SYN of a client's connection; each `number` gives another source port.
fn opener(addresses: &Addresses, client: IpAddr, port: Port, number: u16) -> Probe {
    let own = FIRST_PORT + number;
    let host = addresses.host(Family::from_address(client));
    let seq = 1_000_000 + u32::from(own);
    Probe {
        technique: Technique::Connect,
        flow: Flow { protocol: Protocol::Tcp, prober: client, prober_port: Port(own), host, port },
        seq,
        ack: 0,
        ttl: 64,
        ip_id: number,
        flow_label: 1,
        craft: ProbeOverrides::default(),
    }
}

/// An open connection: the client's sequence numbers, and the server's socket.
struct OpenSession {
    probe: Probe,
    stream: TcpStream,
    /// The sequence number of the client's next byte.
    seq: u32,
    /// The sequence number of the next byte that the client expects.
    ack: u32,
    /// The number of texts that were sent.
    said: u32,
    /// The client's data that the host has not read.
    unheard: Vec<u8>,
    /// The number of immediate retransmissions of the client.
    retries: usize,
    /// The client's receive window, as its segments have it.
    window: u16,
    /// True if the client received a RST.
    is_reset: bool,
}

impl OpenSession {
    /// Opens a connection, or returns how far that succeeded.
    fn open(
        probe: Probe,
        retries: usize,
        link: &mut ProberLink,
        services: &ListeningSockets,
    ) -> Result<std::result::Result<OpenSession, Opening>> {
        let mut answer = Err(Opening::Silent);
        for _ in 0..=retries {
            link.send(&probe.frame(&link.ends))?;
            link.fence(|_, reply| {
                if answer.is_err() && probe.is_answered_by(&reply) {
                    answer = syn_ack(reply.body).ok_or(Opening::Refused);
                }
                Ok(())
            })?;
            if !matches!(answer, Err(Opening::Silent)) {
                break;
            }
        }
        let syn_ack = match answer {
            Ok(syn_ack) => syn_ack,
            Err(opening) => return Ok(Err(opening)),
        };
        for _ in 0..=retries {
            link.send(&probe.handshake_ack(&syn_ack, &link.ends))?;
            link.fence(|_, _| Ok(()))?;
            if let Some(stream) = services.serve_client_of(probe.flow.port)?.pop() {
                stream.set_nonblocking(true).context("work over a connection")?;
                let (seq, ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
                let (said, unheard, is_reset, window) = (0, Vec::new(), false, connected_window(&syn_ack));
                return Ok(Ok(OpenSession { probe, stream, seq, ack, window, said, unheard, retries, is_reset }));
            }
        }
        Ok(Err(Opening::HalfOpen))
    }

    /// Makes both ends send in turn, twice.
    fn talk(&mut self, first: FirstSpeaker, link: &mut ProberLink) -> Result<Survival> {
        let mut heard = Vec::new();
        let mut turn = first;
        for _ in 0..4 {
            heard.push(match turn {
                FirstSpeaker::Host => self.host_says(link)?,
                FirstSpeaker::Client => self.client_says(link)?,
            });
            turn = match turn {
                FirstSpeaker::Host => FirstSpeaker::Client,
                FirstSpeaker::Client => FirstSpeaker::Host,
            };
        }
        Ok(match heard.as_slice() {
            [true, true, true, true] => Survival::Alive,
            [_, _, true, true] => Survival::Stalls,
            _ => Survival::Dead,
        })
    }

    /// Sends a text from the client. Earlier data that did not arrive is sent again with it, as TCP does.
    fn client_says(&mut self, link: &mut ProberLink) -> Result<bool> {
        let text = self.text();
        self.unheard.extend(text.as_bytes());
        let segment = self.probe.within_connection((self.seq, self.ack), self.window, &self.unheard, &link.ends);
        for _ in 0..=self.retries {
            link.send(&segment)?;
            self.listen(link)?;
            if self.read()?.ends_with(text.as_bytes()) {
                self.seq = self.seq.wrapping_add(self.unheard.len() as u32);
                self.unheard.clear();
                return Ok(true);
            }
            if self.is_reset {
                break;
            }
        }
        Ok(false)
    }

    fn host_says(&mut self, link: &mut ProberLink) -> Result<bool> {
        let text = self.text();
        // If the host's kernel has given up the connection, writing fails: the connection is dead, and that is no
        // error.
        if self.stream.write_all(text.as_bytes()).is_err() {
            return Ok(false);
        }
        let waits = if self.retries > 0 { TIMER_WAITS.as_slice() } else { &[] };
        for wait in [Duration::ZERO].iter().chain(waits) {
            thread::sleep(*wait);
            if self.hears(&text, link)? {
                return Ok(true);
            }
            if self.is_reset {
                break;
            }
        }
        Ok(false)
    }

    /// True if the client has received this text, which it then acknowledges. The host's kernel may retransmit it
    /// meanwhile.
    fn hears(&mut self, text: &str, link: &mut ProberLink) -> Result<bool> {
        let is_there = |heard: Vec<Vec<u8>>| heard.iter().any(|payload| payload.ends_with(text.as_bytes()));
        let at_once = is_there(self.listen(link)?);
        let later = self.acknowledge(link).map(is_there)?;
        if later {
            self.acknowledge(link)?;
        }
        Ok(at_once || later)
    }

    fn acknowledge(&mut self, link: &mut ProberLink) -> Result<Vec<Vec<u8>>> {
        link.send(&self.probe.within_connection((self.seq, self.ack), self.window, &[], &link.ends))?;
        self.listen(link)
    }

    /// A new text each time, so that a retransmission cannot be mistaken for new data.
    fn text(&mut self) -> String {
        self.said += 1;
        format!("[{}]", self.said)
    }

    /// The data that the host has sent since.
    fn listen(&mut self, link: &mut ProberLink) -> Result<Vec<Vec<u8>>> {
        let (flow, mut heard, mut next, mut is_reset) = (self.probe.flow, Vec::new(), self.ack, self.is_reset);
        link.fence(|_, reply| {
            let is_ours = reply.flow() == Some(flow);
            if let Body::Tcp(segment) = reply.body
                && is_ours
            {
                is_reset |= segment.flags & TcpFlags::RST != 0;
                if segment.seq == next {
                    next = next.wrapping_add(segment.payload.len() as u32);
                }
                heard.extend(Some(segment.payload).filter(|payload| !payload.is_empty()));
            }
            Ok(())
        })?;
        (self.ack, self.is_reset) = (next, is_reset);
        Ok(heard)
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(length) => bytes.truncate(length),
            // There is no data, or the connection was reset.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => bytes.clear(),
            Err(error) => {
                let operation = "read from a connection".to_owned();
                return Err(CannotMeasure::System { operation, source: error }.into());
            }
        }
        Ok(bytes)
    }
}

fn syn_ack(body: Body) -> Option<TcpSegment> {
    const WANTED: u8 = TcpFlags::SYN_ACK;
    match body {
        Body::Tcp(segment) if segment.flags & (WANTED | TcpFlags::RST) == WANTED => Some(segment),
        _ => None,
    }
}
