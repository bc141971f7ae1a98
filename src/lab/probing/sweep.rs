//! A sweep: thousands of packets of every kind, and the path of each. Verdicts and replies are not determined, only the
//! rules that matched.
//!
//! A packet is recognized by its headers and its tag (IP ID or flow label), the packets that it causes by its flow. No
//! flow occurs twice in a batch; before a flow is used again, the conntrack table is flushed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::exchange::BATCH;
use super::limit_override::{self, LimitOverride};
use super::sweep_log::{SweepLogReader, Witnesses};
use crate::error::{CannotMeasure, Result, Source};
use crate::lab::host::host_socket::HostSocket;
use crate::lab::host::link::ProberLink;
use crate::lab::host::netcfg;
use crate::lab::trace::lost;
use crate::lab::trace::paths::{Paths, Traced};
use crate::lab::trace::rule_index::RuleIndex;
use crate::lab::trace::x_tables::{self, KernelTable};
use crate::lab::{Backend, Lab};
use crate::net::Family;
use crate::probe::Ends;
use crate::probe::packet::{self, Journey, Numbers, Response, Stimulus, StimulusSender};
use crate::probe::path::Fate;
use crate::rules::iptables_save::Listing;
use crate::rules::sweep::SweepPlan;
use crate::wire::frame::Direction;
use crate::wire::frame::FramePart;
use crate::wire::headers::{Content, Headers};
use crate::wire::tcp_flags::TcpFlags;

impl Lab<'_> {
    /// Sends every stimulus, after the packets that it needs before it, and returns the responses in their order.
    /// Limits are changed to `limits` and stay so: later packets in the same lab meet a ruleset with other limits than
    /// the given one.
    ///
    /// # Errors
    ///
    /// If paths are not watched, or a stimulus left no trace.
    pub fn sweep(
        &mut self,
        stimuli: &[Stimulus],
        strangers: &[IpAddr],
        limits: LimitOverride,
    ) -> Result<Vec<Response>> {
        self.set_limits(limits)?;
        self.sweep_before(stimuli, strangers, Witnesses::Trace)
    }

    /// Sends all stimuli of `plan`: first those outside of connections, then those in the connections that these
    /// opened.
    ///
    /// # Errors
    ///
    /// As for [`Self::sweep`].
    pub fn sweep_all(&mut self, plan: &mut SweepPlan, limits: LimitOverride) -> Result<(Vec<Stimulus>, Vec<Response>)> {
        let mut stimuli = plan.stimuli();
        let mut responses = self.sweep(&stimuli, &plan.foreign_addresses(), limits)?;
        let more = plan.in_connections(&stimuli, &responses);
        responses.extend(self.sweep(&more, &[], limits)?);
        stimuli.extend(more);
        Ok((stimuli, responses))
    }

    /// Does the same for packets whose log lines matter, with limits that never apply: the kernel's log must have the
    /// lines that the trace shows.
    ///
    /// # Errors
    ///
    /// As for [`Self::sweep`], and if trace and log contradict each other.
    pub fn send_packets(&mut self, stimuli: &[Stimulus], strangers: &[IpAddr]) -> Result<Vec<Response>> {
        self.set_limits(LimitOverride::Wide)?;
        let mut responses = self.sweep_before(stimuli, strangers, Witnesses::TraceAndLog)?;
        let one = |lab: &mut Self, stimuli: &[Stimulus]| lab.sweep_before(stimuli, strangers, Witnesses::TraceAndLog);
        self.sweep_again(stimuli, &mut responses, one)?;
        Ok(responses)
    }

    /// Does the same with unchanged limits, and without the log: for a few packets of any protocol.
    ///
    /// # Errors
    ///
    /// As for [`Self::sweep`].
    pub fn send_any(&mut self, stimuli: &[Stimulus]) -> Result<Vec<Response>> {
        self.sweep_before(stimuli, &[], Witnesses::Trace)
    }

    fn sweep_before(
        &mut self,
        stimuli: &[Stimulus],
        strangers: &[IpAddr],
        witnesses: Witnesses,
    ) -> Result<Vec<Response>> {
        self.reach(strangers)?;
        self.conntrack.forget(&self.netlink)?;
        let host = HostSocket::open(self.isolated, &self.families)?;
        let mut tags = 1;
        let mut responses = Vec::with_capacity(stimuli.len());
        let at_once = self.paths.as_ref().map_or(BATCH, Paths::probes_at_once).min(BATCH);
        for batch in Batches::new(stimuli, at_once) {
            if batch.meets_an_old_flow {
                self.conntrack.forget(&self.netlink)?;
            }
            self.conntrack.flush_before(&self.netlink, 2 * batch.stimuli.len())?;
            responses.extend(self.sweep_batch(batch.stimuli, &host, tags, witnesses)?);
            tags = next_tags(tags);
            self.close_connections(witnesses)?;
        }
        Ok(responses)
    }

    /// Closes the open connections. Their last packets belong to no stimulus, but are part of the log.
    fn close_connections(&mut self, witnesses: Witnesses) -> Result<()> {
        let mut log_reader = SweepLogReader::new(self.log.lock()?, witnesses);
        self.services.close_accepted()?;
        self.link.fence(|_, _| Ok(()))?;
        log_reader.listen()?;
        self.paths.iter_mut().try_for_each(|paths| paths.discard().map(drop))
    }

    /// Changes the limits once for the whole sweep: the kernel needs ten milliseconds and more for it (an RCU grace
    /// period).
    pub(super) fn set_limits(&mut self, limits: LimitOverride) -> Result<()> {
        if self.limits == Some(limits) {
            return Ok(());
        }
        match self.spec.equipment.backend() {
            Backend::Nft => {
                let rules = limit_override::set(&self.netlink, self.rules()?, limits)?;
                self.rules_changed(rules)?;
            }
            Backend::Legacy => self.load_with(limits)?,
        }
        self.limits = Some(limits);
        Ok(())
    }

    /// Loads the rulesets with other limits, and checks that the kernel has the rules of the files again.
    fn load_with(&self, limits: LimitOverride) -> Result<()> {
        let has_limit = |listing: &&Listing| listing.rules().any(|rule| rule.limit().is_some());
        let other: Vec<(Family, Source)> = self
            .listings
            .iter()
            .filter(has_limit)
            .map(|listing| (listing.family, limit_override::rewritten(listing, limits)))
            .collect();
        self.load(&other.iter().map(|(family, source)| (*family, source)).collect::<Vec<_>>())?;
        let tables = KernelTable::list(self.isolated, &self.listings)?;
        RuleIndex::compile(&self.listings, x_tables::all_known(&tables)).map(drop)
    }

    /// Adds routes from the host to `strangers`, wherever they are, and to the machines to which nat leads.
    pub(crate) fn reach(&mut self, strangers: &[IpAddr]) -> Result<()> {
        let leads_away = |listing: &Listing| listing.has_target(&["DNAT", "NETMAP"]);
        // Without a route, nat drops a packet of the host itself (`nf_nat_ipv4_local_fn`), and nothing shows where it went.
        if strangers.is_empty() && !self.listings.iter().any(leads_away) {
            return Ok(());
        }
        netcfg::reach(self.isolated, &self.runtime, self.link_setup(), strangers)
    }

    /// Sends the openers, the handshakes and the stimuli of a batch.
    fn sweep_batch(
        &mut self,
        stimuli: &[Stimulus],
        host: &HostSocket,
        tags: u16,
        witnesses: Witnesses,
    ) -> Result<Vec<Response>> {
        let no_paths = || CannotMeasure::Blind {
            instrument: "rule trace",
            evidence: "a sweep needs the paths of packets, and they are not recorded".to_owned(),
        };
        // LOG rules print during a sweep as well: the reader of the kernel's log must not be overrun by it.
        let log_reader = SweepLogReader::new(self.log.lock()?, witnesses);
        let paths = self.paths.as_mut().ok_or_else(no_paths)?;
        let mut batch =
            SweepInstruments { link: &mut self.link, log_reader, paths, host, state: BatchState::new(stimuli, tags) };
        batch.send(PacketRole::Opener)?;
        batch.send(PacketRole::Handshake)?;
        batch.send(PacketRole::Stimulus)?;
        batch.wait_for_loopback()?;
        let mut responses = batch.state.close()?;
        for (index, frame) in batch.link.recorder.drain_claimed() {
            responses[index].frames.push(frame);
        }
        batch.log_reader.check_consistency(stimuli, &responses, |index| tag(tags, index, PacketRole::Stimulus))?;
        Ok(responses)
    }
}

/// Stimuli that can be sent together, with distinct flows.
struct StimulusBatch<'a> {
    stimuli: &'a [Stimulus],
    meets_an_old_flow: bool,
}

/// Divides a sweep into batches.
struct Batches<'a> {
    left: &'a [Stimulus],
    at_once: usize,
    used: HashSet<FlowKey>,
}

impl<'a> Batches<'a> {
    fn new(stimuli: &'a [Stimulus], at_once: usize) -> Batches<'a> {
        Batches { left: stimuli, at_once, used: HashSet::new() }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = StimulusBatch<'a>;

    fn next(&mut self) -> Option<StimulusBatch<'a>> {
        let first = FlowKey::from_headers(&self.left.first()?.headers);
        let meets_an_old_flow = self.used.contains(&first);
        if meets_an_old_flow {
            self.used.clear();
        }
        let used = &mut self.used;
        let fresh = self
            .left
            .iter()
            .take(self.at_once)
            .take_while(|next| used.insert(FlowKey::from_headers(&next.headers)))
            .count();
        let (stimuli, left) = self.left.split_at(fresh);
        self.left = left;
        Some(StimulusBatch { stimuli, meets_an_old_flow })
    }
}

/// The key by which conntrack distinguishes connections, the same for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FlowKey {
    protocol: u8,
    ends: [(IpAddr, u16); 2],
}

impl FlowKey {
    fn from_headers(headers: &Headers) -> FlowKey {
        let (source, destination) = match headers.content {
            Content::Tcp { source, destination, .. } | Content::Udp { source, destination } => {
                (source.0, destination.0)
            }
            Content::Icmp { kind, code } => (u16::from_be_bytes([kind, code]), 0),
            Content::Other => (0, 0),
        };
        let (one, other) = ((headers.source, source), (headers.destination, destination));
        FlowKey { protocol: headers.protocol, ends: if one <= other { [one, other] } else { [other, one] } }
    }
}

/// The role of a packet for its stimulus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketRole {
    Stimulus,
    Opener,
    Handshake,
}

/// The roles; every stimulus has a tag for each.
const ROLES: [PacketRole; 3] = [PacketRole::Stimulus, PacketRole::Opener, PacketRole::Handshake];

/// The tag of a packet of the batch whose first tag is `tags`.
fn tag(tags: u16, index: usize, role: PacketRole) -> u16 {
    tags + (index * ROLES.len()) as u16 + role as u16
}

/// The first tag of the batch after this one; 0 is not used as a tag.
fn next_tags(tags: u16) -> u16 {
    let used = (BATCH * ROLES.len()) as u16;
    tags.checked_add(2 * used).map_or(1, |_| tags + used)
}

/// The sequence numbers of the opener of every connection, and of its other end if unknown.
const OPENER_SEQ: u32 = 1_000;
const OTHER_SEQ: u32 = 5_000;

/// The instruments of a lab, for the time of a batch.
struct SweepInstruments<'a> {
    link: &'a mut ProberLink,
    log_reader: SweepLogReader<'a>,
    paths: &'a mut Paths,
    host: &'a HostSocket,
    state: BatchState<'a>,
}

impl SweepInstruments<'_> {
    /// Sends all packets of one role, waits until the kernel has processed them, and records the traced ones.
    fn send(&mut self, role: PacketRole) -> Result<()> {
        let mut sent = false;
        for index in 0..self.state.stimuli.len() {
            let Some((sender, packet, destination)) = self.state.packet(index, role) else { continue };
            sent = true;
            match sender {
                StimulusSender::Prober => {
                    self.link.send(&frame(&packet, &self.link.ends))?;
                    self.link.recorder.claim(index, part(role));
                }
                StimulusSender::Host => self.host.send(&packet, destination)?,
            }
        }
        if sent { self.settle() } else { Ok(()) }
    }

    fn settle(&mut self) -> Result<()> {
        self.link.fence(|_, _| Ok(()))?;
        self.log_reader.listen()?;
        self.state.enter(self.paths.read()?);
        self.log_reader.add(self.paths.take_lines());
        Ok(())
    }

    /// Waits for packets on the loopback interface. They arrive before the call that sent them returns, as on the link;
    /// no fence proves it there, so the lab waits a while for missing ones. Those that never arrive were dropped by the
    /// rules, or by routing.
    fn wait_for_loopback(&mut self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + PATIENCE;
        while self.state.is_something_on_loopback() && Instant::now() < deadline {
            thread::yield_now();
            self.settle()?;
        }
        Ok(())
    }
}

fn part(role: PacketRole) -> FramePart {
    match role {
        PacketRole::Stimulus => FramePart::Probe,
        PacketRole::Opener | PacketRole::Handshake => FramePart::Followup,
    }
}

fn frame(packet: &[u8], ends: &Ends) -> Vec<u8> {
    let ethertype: [u8; 2] =
        if packet.first().is_some_and(|byte| byte >> 4 == 6) { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&ends.host.0[..], &ends.prober.0[..], &ethertype[..], packet].concat()
}

/// The results so far for the stimuli of a batch.
struct BatchState<'a> {
    stimuli: &'a [Stimulus],
    /// The first tag.
    tags: u16,
    by_flow: HashMap<FlowKey, usize>,
    responses: Vec<Response>,
    /// The sequence number of the SYN/ACK to the opener.
    answered: Vec<Option<u32>>,
    /// The stimulus that the last packet belongs to.
    last: usize,
}

impl<'a> BatchState<'a> {
    fn new(stimuli: &'a [Stimulus], tags: u16) -> BatchState<'a> {
        let flow = |(index, stimulus): (usize, &Stimulus)| (FlowKey::from_headers(&stimulus.headers), index);
        BatchState {
            stimuli,
            tags,
            by_flow: stimuli.iter().enumerate().map(flow).collect(),
            responses: vec![
                Response { own: Vec::new(), answer: None, others: Vec::new(), frames: Vec::new() };
                stimuli.len()
            ],
            answered: vec![None; stimuli.len()],
            last: 0,
        }
    }

    /// The packet of a stimulus in one role: its sender, its bytes, and its destination.
    fn packet(&self, index: usize, role: PacketRole) -> Option<(StimulusSender, Vec<u8>, IpAddr)> {
        let stimulus = &self.stimuli[index];
        let (sender, headers) = of_role(stimulus, role)?;
        let quoted = headers.is_icmp_error().then(|| self.packet(index, PacketRole::Opener)).flatten();
        let quoted = quoted.as_ref().map(|(_, packet, _)| packet.as_slice());
        Some((sender, packet::bytes(&headers, self.numbers(index, role), quoted), headers.destination))
    }

    fn numbers(&self, index: usize, role: PacketRole) -> Numbers {
        let (echo, tag) = (tag(self.tags, index, PacketRole::Stimulus), tag(self.tags, index, role));
        let known = self.answered[index];
        let stimulus = &self.stimuli[index];
        let (seq, ack) = match (role, stimulus.lead) {
            (PacketRole::Opener, _) => (OPENER_SEQ, 0),
            (PacketRole::Handshake, _) => (OTHER_SEQ, OPENER_SEQ + 1),
            (PacketRole::Stimulus, packet::Lead::None) => (OPENER_SEQ, OTHER_SEQ),
            (PacketRole::Stimulus, packet::Lead::Forward) => {
                (OPENER_SEQ + 1, known.unwrap_or(OTHER_SEQ).wrapping_add(1))
            }
            (PacketRole::Stimulus, packet::Lead::Handshake) if stimulus.sender == StimulusSender::Host => {
                (OPENER_SEQ + 1, OTHER_SEQ + 1)
            }
            (PacketRole::Stimulus, packet::Lead::Handshake) => (OTHER_SEQ + 1, OPENER_SEQ + 1),
            (PacketRole::Stimulus, packet::Lead::Backward) => {
                (known.map_or(OTHER_SEQ, |seq| seq.wrapping_add(1)), OPENER_SEQ + 1)
            }
        };
        Numbers { tag, echo, seq, ack }
    }

    fn enter(&mut self, packets: Vec<Traced>) {
        for packet in packets {
            let headers = packet.sighting.headers;
            let journey = Journey { headers, direction: packet.direction, path: Arc::clone(&packet.path) };
            let own = self.by_tag(&packet);
            // A packet that belongs to no stimulus is counted for the one that was sent last.
            let index = own.map(|(index, _)| index).or_else(|| self.of_flow(&headers)).unwrap_or(self.last);
            self.last = index;
            let answers = own.is_none() && self.is_answer(index, &journey);
            let response = &mut self.responses[index];
            match own {
                Some((_, PacketRole::Stimulus)) => response.own.push(journey),
                _ if answers => response.answer = Some(journey),
                _ => response.others.push(journey),
            }
            if is_syn_ack(&headers) && own.is_none() {
                self.answered[index] = packet.sighting.seq;
            }
        }
    }

    /// The stimulus with this flow. ICMP has none: the host's answer to an echo request looks like the echo reply of
    /// another stimulus.
    fn of_flow(&self, headers: &Headers) -> Option<usize> {
        let has_flow = !matches!(headers.content, Content::Icmp { .. });
        self.by_flow.get(&FlowKey::from_headers(headers)).copied().filter(|_| has_flow)
    }

    /// The stimulus and the role of a packet. Its headers must match, because the tag alone may be a number that the
    /// kernel chose for another packet.
    fn by_tag(&self, packet: &Traced) -> Option<(usize, PacketRole)> {
        let place = usize::from(packet.sighting.tag.checked_sub(self.tags)?);
        let (index, role) = (place / ROLES.len(), ROLES[place % ROLES.len()]);
        let (_, headers) = of_role(self.stimuli.get(index)?, role)?;
        (headers == packet.sighting.headers).then_some((index, role))
    }

    /// True for the first packet of the host that goes back to the source of the stimulus: in its flow, or as ICMP,
    /// which has none.
    fn is_answer(&self, index: usize, journey: &Journey) -> bool {
        let (stimulus, response) = (&self.stimuli[index], &self.responses[index]);
        let (sent, answer) = (stimulus.headers, journey.headers);
        let is_first = response.answer.is_none() && !response.own.is_empty() && stimulus.lead == packet::Lead::None;
        let goes_back = (answer.source, answer.destination) == (sent.destination, sent.source);
        let in_flow = matches!(answer.content, Content::Icmp { .. })
            || FlowKey::from_headers(&answer) == FlowKey::from_headers(&sent);
        is_first && goes_back && in_flow && journey.direction == Direction::Out
    }

    fn is_something_on_loopback(&self) -> bool {
        let is_on_its_way = |(stimulus, response): (&Stimulus, &Response)| {
            let [only] = response.own.as_slice() else { return false };
            stimulus.is_loopback() && only.direction == Direction::Out && only.path.fate == Fate::Accepted
        };
        self.stimuli.iter().zip(&self.responses).any(is_on_its_way)
    }

    fn close(self) -> Result<Vec<Response>> {
        let untraced = |(_, response): &(&Stimulus, &Response)| response.own.is_empty();
        match self.stimuli.iter().zip(&self.responses).find(untraced) {
            Some((stimulus, _)) => Err(lost(format!("{stimulus} was not traced"))),
            None => Ok(self.responses),
        }
    }
}

fn of_role(stimulus: &Stimulus, role: PacketRole) -> Option<(StimulusSender, Headers)> {
    match role {
        PacketRole::Stimulus => Some((stimulus.sender, stimulus.headers)),
        PacketRole::Opener => stimulus.opener(),
        PacketRole::Handshake => stimulus.handshake().map(|headers| (StimulusSender::Prober, headers)),
    }
}

fn is_syn_ack(headers: &Headers) -> bool {
    matches!(headers.content, Content::Tcp { flags: TcpFlags::SYN_ACK, .. })
}
