//! Paths of packets, made from trace events. The events of a packet have the same number, which a later packet may have
//! again; so a packet begins with the event of the lab's own chain, which comes first.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::ct_state::CtStateReader;
use super::legacy_trace::XTracer;
use super::lost;
use super::nft_rules::Renamed;
use super::nft_trace::{Code, Event, Tracer};
use super::own_table;
use super::rule_index::RuleIndex;
use crate::error::{CannotMeasure, Error, Result};
use crate::lab::fault::{Fault, Sabotage};
use crate::net::Addresses;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::probe::left_the_world::{LeftTheWorld, is_foreign};
use crate::probe::note::copy;
use crate::probe::path::{Fate, Path, Step, StepVerdict};
use crate::wire::frame::Direction;
use crate::wire::headers::TracedHeaders;
use crate::wire::packet_id::PacketId;

/// The source of the trace.
pub enum TraceWitness {
    /// nf_tables.
    NfTables(Tracer),
    /// x_tables.
    XTables(XTracer),
}

impl TraceWitness {
    fn drain(&mut self, each: impl FnMut(&Event) -> Result<()>) -> Result<()> {
        match self {
            TraceWitness::NfTables(tracer) => tracer.drain(each),
            TraceWitness::XTables(tracer) => tracer.drain(each),
        }
    }
}

/// Reads traces, and makes paths from them.
pub struct Paths {
    witness: TraceWitness,
    rules: RuleIndex,
    conntrack: CtStateReader,
    /// Every event so far, by its content; a path is a list of indices of `steps`.
    known: HashMap<Vec<u8>, Option<usize>>,
    steps: Vec<Step>,
    paths: HashMap<PacketTrail, Arc<Path>>,
    scratch: Vec<u8>,
    /// The ends of the link: packets to other addresses leave the modelled world.
    addresses: Addresses,
    /// A fault that hides the destinations at routing.
    withheld: Option<Arc<Sabotage>>,
}

/// A packet, and its path through the rules.
#[derive(Debug, Clone)]
pub struct Traced {
    /// Incoming if the host received it, outgoing if it sent it.
    pub direction: Direction,
    /// Its flow, if it has one.
    pub seen: Option<PacketId>,
    /// Its addresses, ports and numbers.
    pub sighting: TracedHeaders,
    /// The packet that the host had received last when this one began, by its index in this read: an ICMP error is sent
    /// while its cause is still being processed.
    pub during: Option<usize>,
    /// Its path.
    pub path: Arc<Path>,
}

/// The path of a packet so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PacketTrail {
    direction: Direction,
    steps: Vec<usize>,
    conntrack: Option<ConntrackState>,
    let_in: bool,
    /// True if it was traced at routing.
    routed: bool,
    /// Its destination, if it is another machine.
    gone_to: Option<AddressPort>,
}

/// An address, and a port for protocols that have ports.
type AddressPort = (IpAddr, Option<Port>);

impl Paths {
    /// Reads the traces of `witness`, and finds the rules in `rules`.
    pub fn new(witness: TraceWitness, rules: RuleIndex, conntrack: CtStateReader, addresses: Addresses) -> Paths {
        let (known, paths) = (HashMap::new(), HashMap::new());
        Paths {
            witness,
            rules,
            conntrack,
            known,
            steps: Vec::new(),
            paths,
            scratch: Vec::new(),
            addresses,
            withheld: None,
        }
    }

    /// Adds `fault`, if it concerns this reader.
    pub fn with(self, fault: Option<&Arc<Sabotage>>) -> Paths {
        let withheld = fault.filter(|sabotage| sabotage.fault == Fault::LostRouting).cloned();
        Paths { withheld, ..self }
    }

    /// The number of probes that may be sent before their paths are read.
    pub fn probes_at_once(&self) -> usize {
        match &self.witness {
            TraceWitness::NfTables(tracer) => tracer.probes_at_once(),
            TraceWitness::XTables(tracer) => tracer.probes_at_once(),
        }
    }

    /// Updates the handles of rules that are otherwise the same.
    pub fn rename(&mut self, renamed: &[Renamed]) {
        self.rules.rename(renamed);
        self.known.clear();
    }

    /// Replaces the rules.
    pub fn renew(&mut self, rules: RuleIndex) {
        self.rules = rules;
        self.known.clear();
    }

    /// Returns every packet since the last read, in the order in which they began. To be called when the fence has been
    /// answered: then every path is complete.
    pub fn read(&mut self) -> Result<Vec<Traced>> {
        let mut reading = Reading::default();
        self.read_on(&mut reading)?;
        self.close(reading)
    }

    /// Adds the events so far to a reading that stays open: packets may arrive while it is read.
    pub fn read_on(&mut self, reading: &mut Reading) -> Result<()> {
        let Paths { witness, rules, conntrack, known, steps, scratch, withheld, .. } = self;
        let mut unknown = Vec::new();
        let drained = witness.drain(|event| {
            if event.verdict == Code::Unknown {
                unknown.extend(rules.step(event)?);
                return Ok(());
            }
            if let Some(sabotage) = withheld.as_ref().filter(|_| is_routed(event)) {
                sabotage.plant(1);
                sabotage.meet();
                return Ok(());
            }
            if event.table == own_table::NAME.as_bytes() {
                return reading.own(event, conntrack.state(event));
            }
            write_key(scratch, event);
            let step = match known.get(scratch.as_slice()) {
                Some(step) => *step,
                None => {
                    let step = rules.step(event)?.map(|step| place_of(steps, step));
                    known.insert(scratch.clone(), step);
                    step
                }
            };
            reading.add(event, step, conntrack.state(event))
        });
        // What follows a copy cannot be read either.
        if unknown.is_empty() { drained } else { Err(not_traced(&unknown)) }
    }

    /// Returns every packet of a reading, in the order in which they began.
    ///
    /// # Errors
    ///
    /// If a rule of nat may have redirected a packet to another machine, and it was not traced at routing.
    pub fn close(&mut self, reading: Reading) -> Result<Vec<Traced>> {
        let addresses = self.addresses;
        reading.close(&addresses, |packet| self.path(packet))
    }

    /// Removes and returns the lines of NFLOG rules that came with the trace since the last call.
    pub fn take_lines(&mut self) -> Vec<String> {
        match &mut self.witness {
            TraceWitness::NfTables(_) => Vec::new(),
            TraceWitness::XTables(tracer) => tracer.take_lines(),
        }
    }

    /// Reads and discards all events; returns their number.
    pub fn discard(&mut self) -> Result<usize> {
        match &mut self.witness {
            TraceWitness::NfTables(tracer) => tracer.discard(),
            TraceWitness::XTables(tracer) => tracer.discard(),
        }
    }

    fn path(&mut self, packet: PacketTrail) -> Result<Arc<Path>> {
        if let Some(path) = self.paths.get(&packet) {
            return Ok(Arc::clone(path));
        }
        let steps: Vec<Step> = packet.steps.iter().map(|place| self.steps[*place].clone()).collect();
        if is_lost_before_routing(&packet, steps.last()) {
            return Err(lost("a packet left nat PREROUTING, and was not seen where routing sees it".to_owned()));
        }
        if is_lost_after_output(&packet, &steps) {
            return Err(lost("a packet left nat OUTPUT, and was not seen where it leaves the host".to_owned()));
        }
        let fate = if is_refused_by_nat(&packet, &steps) { Fate::Vanished } else { fate(&packet, steps.last()) };
        let conntrack = packet.conntrack.or(steps.iter().any(exempts).then_some(ConntrackState::Untracked));
        let path = Arc::new(Path { steps, conntrack, fate });
        self.paths.insert(packet, Arc::clone(&path));
        Ok(path)
    }
}

/// The error for rules of which x_tables does not trace which one dropped a packet, or if one did.
fn not_traced(rules: &[Step]) -> Error {
    let quoted = |steps: &[Step]| steps.iter().map(Step::quoted).collect::<Vec<_>>().join("; ");
    let why = match rules.iter().position(|step| copy(step).is_some()) {
        Some(at) => format!(
            "TEE sends a copy of a packet of the host, which iptables-legacy traces as the packet itself: {}",
            quoted(&rules[at..=at])
        ),
        None => format!(
            "a match dropped a packet by itself, and iptables-legacy does not trace which of these it was: {}",
            quoted(rules)
        ),
    };
    CannotMeasure::NoPaths { why }.into()
}

fn place_of(steps: &mut Vec<Step>, step: Step) -> usize {
    steps.iter().position(|known| *known == step).unwrap_or_else(|| {
        steps.push(step);
        steps.len() - 1
    })
}

/// The way in which a packet that was not accepted left the modelled world; `None` if it did not. A packet that routing
/// drops because the lab does not forward counts as forwarded: the rules do not show if the machine forwards.
fn left(packet: &PacketTrail, last: Option<&Step>) -> Option<LeftTheWorld> {
    if let Some(left) = last.filter(|_| !packet.let_in).and_then(Step::left_the_world) {
        return Some(left).filter(|_| !last.is_some_and(passes_unread));
    }
    let (to, port) = packet.gone_to.filter(|_| !packet.let_in && !last.is_some_and(keeps))?;
    Some(LeftTheWorld::Forwarded { to, port })
}

/// True if an event shows the packet at routing, or where it leaves the host.
fn is_routed(event: &Event) -> bool {
    let is_there = [own_table::ROUTED, own_table::LEAVES].iter().any(|chain| event.chain == chain.as_bytes());
    event.table == own_table::NAME.as_bytes() && is_there
}

/// True if a rule of nat decided last on an incoming packet, and no event shows the destination after it.
fn is_lost_before_routing(packet: &PacketTrail, last: Option<&Step>) -> bool {
    let is_at_nat = last.is_some_and(|step| step.table == "nat" && step.verdict != StepVerdict::Drop);
    packet.direction == Direction::In && !packet.let_in && !packet.routed && is_at_nat
}

/// True if a packet of the host passed nat OUTPUT, no rule kept it, and no event shows the destination after it.
fn is_lost_after_output(packet: &PacketTrail, steps: &[Step]) -> bool {
    let is_kept = steps.last().is_some_and(keeps);
    let was_at_nat = steps.iter().any(|step| step.table == "nat");
    let is_unseen = packet.direction == Direction::Out && !packet.routed;
    is_unseen && was_at_nat && !is_kept && !is_refused_by_nat(packet, steps)
}

/// True if nat OUTPUT itself dropped a packet: no route leads from its source to its new destination
/// (`nf_nat_ipv4_local_fn`). No event of a later chain follows then.
fn is_refused_by_nat(packet: &PacketTrail, steps: &[Step]) -> bool {
    let is_unseen = packet.direction == Direction::Out && !packet.routed;
    let ends_at_nat = steps.last().is_some_and(|step| step.table == "nat" && !keeps(step));
    is_unseen && ends_at_nat && steps.iter().all(|step| step.chain != "POSTROUTING")
}

/// True if a packet goes no further after this step.
fn keeps(step: &Step) -> bool {
    matches!(step.verdict, StepVerdict::Drop | StepVerdict::Reject | StepVerdict::Stolen)
}

/// The fate of a packet. An incoming packet must appear after all chains; an outgoing one is on the wire if no rule
/// decided on it.
fn fate(packet: &PacketTrail, last: Option<&Step>) -> Fate {
    if let Some(left) = left(packet, last) {
        return Fate::Left(left);
    }
    match last.map(|step| &step.verdict) {
        Some(StepVerdict::Drop) => Fate::Dropped,
        Some(StepVerdict::Reject) => Fate::Rejected,
        Some(StepVerdict::Stolen) if !packet.let_in && !last.is_some_and(passes_unread) => Fate::Stolen,
        _ if packet.let_in || packet.direction == Direction::Out => Fate::Accepted,
        _ => Fate::Vanished,
    }
}

/// True for `-j NFQUEUE --queue-bypass`: in a lab no program reads the queue, and the packet continues after the rule's
/// table (iptables-extensions(8)).
fn passes_unread(step: &Step) -> bool {
    step.text.split(' ').any(|word| word == "--queue-bypass")
}

/// True for `-j CT --notrack`, `-j NOTRACK`: if no other rule makes the kernel track connections, no event has a state.
fn exempts(step: &Step) -> bool {
    let has = |wanted: &str| step.text.split(' ').any(|word| word == wanted);
    step.table == "raw" && (has("--notrack") || has("NOTRACK"))
}

/// The packets of one read.
#[derive(Default)]
pub struct Reading {
    by_number: HashMap<u32, usize>,
    packets: Vec<(Option<PacketId>, TracedHeaders, Option<usize>, PacketTrail)>,
}

impl Reading {
    /// Adds an event of the lab's own chains: a packet begins, is at routing, or was accepted.
    fn own(&mut self, event: &Event, conntrack: Option<ConntrackState>) -> Result<()> {
        if event.chain == own_table::FENCES.as_bytes() {
            return Ok(());
        }
        if event.chain == own_table::LET_IN.as_bytes() {
            let Some(packet) = self.packet(event) else { return Ok(()) };
            packet.let_in = true;
            packet.conntrack = conntrack.or(packet.conntrack);
            return Ok(());
        }
        if is_routed(event) {
            let headers = event.network.zip(event.transport);
            let routed = headers.and_then(|(network, transport)| TracedHeaders::read(network, transport));
            let Some(packet) = self.packet(event) else { return Ok(()) };
            packet.routed = true;
            packet.conntrack = conntrack.or(packet.conntrack);
            // The last event of a chain has no headers.
            packet.gone_to = routed.as_ref().map(destination).or(packet.gone_to);
            return Ok(());
        }
        let direction = if event.chain == own_table::OUT.as_bytes() { Direction::Out } else { Direction::In };
        let (network, transport) = (event.network.unwrap_or_default(), event.transport.unwrap_or_default());
        let sighting = TracedHeaders::read(network, transport)
            .ok_or_else(|| lost("a trace began without the headers of its packet".to_owned()))?;
        let seen = PacketId::from_headers(&sighting, transport);
        let during = self.packets.iter().rposition(|(.., packet)| packet.direction == Direction::In);
        self.by_number.insert(event.packet, self.packets.len());
        let packet =
            PacketTrail { direction, steps: Vec::new(), conntrack: None, let_in: false, routed: false, gone_to: None };
        self.packets.push((seen, sighting, during, packet));
        Ok(())
    }

    fn add(&mut self, event: &Event, step: Option<usize>, conntrack: Option<ConntrackState>) -> Result<()> {
        let Some(packet) = self.packet(event) else { return Ok(()) };
        packet.steps.extend(step);
        packet.conntrack = conntrack.or(packet.conntrack);
        Ok(())
    }

    /// The packet of an event. `None` if its beginning was not traced: the kernel's timers may send packets at the time
    /// when the lab begins to read, or while it reads. Probes and their answers are complete once the fence is
    /// answered; one without a trace is a loss.
    fn packet(&mut self, event: &Event) -> Option<&mut PacketTrail> {
        self.by_number.get(&event.packet).map(|place| &mut self.packets[*place].3)
    }

    fn close(
        self,
        addresses: &Addresses,
        mut path: impl FnMut(PacketTrail) -> Result<Arc<Path>>,
    ) -> Result<Vec<Traced>> {
        let traced =
            |(seen, sighting, during, mut packet): (Option<PacketId>, TracedHeaders, Option<usize>, PacketTrail)| {
                let sent_to = destination(&sighting);
                let gone_to = packet.gone_to.unwrap_or(sent_to);
                // The host may send to another machine; what it sends to itself should come back.
                let should_arrive = match packet.direction {
                    Direction::In => !packet.let_in,
                    Direction::Out => !is_foreign(sent_to.0, addresses),
                };
                let is_gone = should_arrive && is_foreign(gone_to.0, addresses);
                packet.gone_to = is_gone.then_some(gone_to);
                Ok(Traced { direction: packet.direction, seen, sighting, during, path: path(packet)? })
            };
        self.packets.into_iter().map(traced).collect()
    }
}

/// The destination of a packet.
fn destination(seen: &TracedHeaders) -> AddressPort {
    (seen.headers.destination, seen.headers.content.destination_port())
}

/// Encodes an event as bytes; equal events have equal bytes.
fn write_key(key: &mut Vec<u8>, event: &Event) {
    key.clear();
    let (code, target): (u8, &[u8]) = match event.verdict {
        Code::Drop => (0, &[]),
        Code::Accept => (1, &[]),
        Code::Stolen => (2, &[]),
        Code::Continue => (3, &[]),
        Code::Return => (4, &[]),
        Code::Jump(chain) => (5, chain),
        Code::Goto(chain) => (6, chain),
        Code::Unknown => (7, &[]),
    };
    key.extend([event.family as u8, event.kind as u8, code]);
    key.extend(event.handle.unwrap_or(0).to_be_bytes());
    for name in [event.table, event.chain, target] {
        key.extend(name);
        key.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_packet_that_nat_saw_and_that_was_not_seen_leaving_is_lost() {
        let step = |table, verdict| Step::new((table, "OUTPUT"), [Some(1), Some(2)], "-A OUTPUT -p tcp", verdict);
        let is_lost = |routed, steps: &[Step]| {
            let (direction, conntrack, gone_to) = (Direction::Out, None, None);
            let packet = PacketTrail { direction, steps: Vec::new(), conntrack, let_in: false, routed, gone_to };
            is_lost_after_output(&packet, steps)
        };
        let [nat, filter, drop] =
            [step("nat", StepVerdict::Accept), step("filter", StepVerdict::Accept), step("filter", StepVerdict::Drop)];
        let later = Step { chain: "POSTROUTING".to_owned(), ..nat.clone() };
        assert!(is_lost(false, &[nat.clone(), filter.clone()]) && is_lost(false, &[nat.clone(), later]));
        assert!(!is_lost(true, &[nat.clone(), filter.clone()]) && !is_lost(false, std::slice::from_ref(&nat)));
        assert!(!is_lost(false, &[nat, drop]) && !is_lost(false, &[filter]));
    }
}
