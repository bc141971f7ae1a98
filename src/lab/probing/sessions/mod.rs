//! Connections of an administrator while rules are loaded: does a new one open, and does the open one survive?
//!
//! Nothing is concluded from a rule: the connection is opened under the old rules, the new ones are loaded into the
//! same namespace, with the same conntrack table, and then both ends send. It matters which end sends first: for a
//! conntrack that does not know the connection yet (a machine without rules has none), its next segment is the first
//! one and, as `nf_conntrack_tcp_loose` is set, NEW. So each connection is tried both ways.

mod client;
mod endurance;
mod held;
mod row;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use self::client::{ClientKernel, Delivery, End, OpenSession, QUICK};
use crate::error::{Result, Source};
use crate::lab::host::neighbours::{self, DiscoveredMacs};
use crate::lab::host::{loading, netcfg};
use crate::lab::log::nflog_copy::NflogCopies;
use crate::lab::trace::paths::Traced;
use crate::lab::{Capture, Lab, WatchedEvents, watch_paths};
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::probe::path::{Fate, Step};
use crate::wire::frame::Direction;
use crate::wire::packet_id::PacketId;
use crate::wire::reply::Flow;

pub use endurance::{ClientConnection, Cut, Endurance, Halt, ROUNDS, Traffic};
pub use held::Held;
pub use row::{ConnectionRow, IN_A_ROW, SourcePorts, SpentBy};

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

/// The time in which a segment that was dropped arrives by a retransmission, whose timer is 200 ms at first
/// (`TCP_RTO_MIN`).
const PATIENCE: Duration = Duration::from_millis(500);

/// The first source port: in the middle of those that Linux gives to clients (`net.ipv4.ip_local_port_range`).
const FIRST_PORT: u16 = 50_001;

impl<'a> Lab<'a> {
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
        let mut labs = self.with_clients(clients)?;
        let each = labs
            .clients
            .iter()
            .flat_map(|client| questions.iter().map(move |(port, timing)| (*client, *port, *timing)));
        let flow = |number, client, port| labs.flow(client, port, FIRST_PORT + number);
        let all: Vec<(Flow, Timing)> =
            (0..).zip(each).map(|(number, (client, port, timing))| (flow(number, client, port), timing)).collect();
        let plans = all.iter().filter_map(|(flow, timing)| match timing {
            Timing::Before(first) => Some((*flow, *first)),
            Timing::After => None,
        });

        let mut open = Vec::new();
        for (flow, first) in plans {
            let mut found = labs.open(flow)?;
            if let Ok(connection) = &mut found {
                // They must work under the old rules, or nothing can be concluded about the new ones.
                let talk = labs.talk(connection, FirstSpeaker::Client)?;
                if talk != Survival::Alive {
                    found = Err(Opening::Mute);
                }
            }
            open.push((flow, first, found));
        }
        labs.lab.load_in_place(rulesets)?;

        let mut sessions = Vec::new();
        for (flow, first, mut found) in open {
            let survival = match &mut found {
                Ok(connection) => labs.talk(connection, first)?,
                Err(_) => Survival::NeverOpen,
            };
            let took = labs.deciding_rules(&flow)?;
            sessions.push(Session { family: flow.family(), port: flow.port, first, survival, took });
        }
        let mut openings = Vec::new();
        for (flow, _) in all.iter().filter(|(_, timing)| *timing == Timing::After) {
            openings.push(labs.attempt(*flow)?);
        }
        let has_macs = self.spec.equipment.link.has_macs();
        let neighbourhood = has_macs
            .then(|| neighbours::explore(&mut self.link, self.paths.as_mut(), self.spec.addresses, &self.families))
            .transpose()?;
        Ok(AfterLoad { sessions, openings, neighbourhood })
    }

    /// The lab with those of `clients` whose family it has, to which the host has routes from now on, and with another
    /// address for each.
    fn with_clients_and_others(&mut self, clients: &[IpAddr]) -> Result<ClientLab<'_, 'a>> {
        let others = clients.iter().filter_map(|client| self.other_address(*client));
        let all: Vec<IpAddr> = clients.iter().copied().chain(others).collect();
        let mut labs = self.with_clients(&all)?;
        labs.clients.retain(|client| clients.contains(client));
        Ok(labs)
    }

    /// The lab with those of `clients` whose family it has, to which the host has routes from now on.
    fn with_clients(&mut self, clients: &[IpAddr]) -> Result<ClientLab<'_, 'a>> {
        let clients: Vec<IpAddr> =
            clients.iter().copied().filter(|client| self.families.contains(&Family::from_address(*client))).collect();
        self.reach(&clients)?;
        netcfg::acknowledge_at_once(self.isolated, &self.runtime, self.link_setup(), &clients)?;
        let kernel = ClientKernel::start(self.link_setup(), &clients)?;
        Ok(ClientLab { lab: self, kernel, clients })
    }

    /// Another address on the link.
    fn other_address(&self, client: IpAddr) -> Option<IpAddr> {
        let near = |step: u8| match self.spec.addresses.prober(Family::from_address(client)) {
            IpAddr::V4(prober) => IpAddr::from(Ipv4Addr::from_bits(prober.to_bits() ^ u32::from(step))),
            IpAddr::V6(prober) => IpAddr::from(Ipv6Addr::from_bits(prober.to_bits() ^ u128::from(step))),
        };
        let is_another = |address: &IpAddr| *address != client && self.spec.addresses.is_on_link(*address);
        (1..8).map(near).find(is_another)
    }

    /// The packets of a connection since the last call. They are recognized by the client's address and port: the host's
    /// port differs if a rule of the nat table redirects.
    fn look(&mut self, flow: &Flow) -> Result<Seen> {
        let Some(paths) = &mut self.paths else { return Ok(Seen::default()) };
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
        let has_arrived = |packet: &&&Traced| {
            packet.direction == Direction::In && !matches!(packet.path.fate, Fate::Dropped | Fate::Rejected)
        };
        let mut seen = Seen { arrived: own.iter().filter(has_arrived).count(), took: Vec::new() };
        for step in taken {
            if !seen.took.contains(step) {
                seen.took.push(step.clone());
            }
        }
        if seen.took.is_empty() {
            let steps = own.iter().flat_map(|packet| &packet.path.steps);
            seen.took.extend(steps.rev().find(|step| step.table == "nat" && step.rule.is_some()).cloned());
        }
        Ok(seen)
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

/// Packets of a connection, if paths are watched.
#[derive(Debug, Default)]
struct Seen {
    /// The number of those of the client that no rule dropped.
    arrived: usize,
    /// The rules that decided on packets, or redirected the connection.
    took: Vec<Step>,
}

/// A lab, and the kernel of its clients.
struct ClientLab<'l, 's> {
    lab: &'l mut Lab<'s>,
    kernel: ClientKernel,
    clients: Vec<IpAddr>,
}

impl ClientLab<'_, '_> {
    fn flow(&self, client: IpAddr, port: Port, own: u16) -> Flow {
        let host = self.lab.spec.addresses.host(Family::from_address(client));
        Flow { protocol: Protocol::Tcp, prober: client, prober_port: Port(own), host, port }
    }

    fn open(&mut self, flow: Flow) -> Result<std::result::Result<OpenSession, Opening>> {
        self.kernel.open(flow, &mut self.lab.link, &self.lab.services)
    }

    fn send(&mut self, session: &mut OpenSession, from: End, data: &[u8], patience: Duration) -> Result<Delivery> {
        session.send(from, data, patience, &mut self.kernel, &mut self.lab.link)
    }

    fn close(&mut self, session: OpenSession) -> Result<()> {
        session.close(&mut self.kernel, &mut self.lab.link)
    }

    /// Makes both ends send in turn, twice. The first time nobody waits for a retransmission: it matters if a segment
    /// of the other end is needed before one arrives.
    fn talk(&mut self, session: &mut OpenSession, first: FirstSpeaker) -> Result<Survival> {
        let turns = match first {
            FirstSpeaker::Host => [End::Host, End::Client],
            FirstSpeaker::Client => [End::Client, End::Host],
        };
        let mut is_alive = true;
        for from in turns {
            is_alive &= self.send(session, from, b"[1]", QUICK)? != Delivery::Never;
        }
        for from in turns {
            if self.send(session, from, b"[2]", PATIENCE)? == Delivery::Never {
                return Ok(Survival::Dead);
            }
        }
        Ok(if is_alive { Survival::Alive } else { Survival::Stalls })
    }

    /// True if both ends receive each other's data, the host's first.
    fn works(&mut self, session: &mut OpenSession) -> Result<bool> {
        Ok(self.talk(session, FirstSpeaker::Host)? == Survival::Alive)
    }

    fn attempt(&mut self, flow: Flow) -> Result<Attempt> {
        let opening = match self.open(flow)? {
            Ok(mut connection) => match self.works(&mut connection)? {
                true => Opening::Opens,
                false => Opening::Mute,
            },
            Err(opening) => opening,
        };
        let took = self.deciding_rules(&flow)?;
        Ok(Attempt { family: flow.family(), port: flow.port, opening, took })
    }

    /// The rules that decided on packets of a connection since the last call; if none did, the one that redirected it.
    fn deciding_rules(&mut self, flow: &Flow) -> Result<Vec<Step>> {
        Ok(self.lab.look(flow)?.took)
    }
}
