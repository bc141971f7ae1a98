//! One batch of probes: frames out, replies in, log lines tied to the probe that caused them.
//!
//! Raw probes are sent together, since the packets that each one causes are recognized by their content: both ports,
//! and the IP ID. A connect is an exchange of several segments and is made alone, with a fence after every step.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;
use std::sync::Arc;

use super::attribution::{AttributedBatch, Attribution, PortMatch};
use super::witnesses;
use crate::error::Result;
use crate::lab::host::link::ProberLink;
use crate::lab::host::services::ListeningSockets;
use crate::lab::log::log_source::{LogSource, LogTurn};
use crate::lab::trace::paths::{Paths, Traced};
use crate::net::Protocol;
use crate::probe::Probe;
use crate::probe::observation::{ConnectProgress, LogRecord, Observation};
use crate::probe::path::Fate;
use crate::probe::scan::{self, FilterVerdict};
use crate::wire::frame::Direction;
use crate::wire::frame::FramePart;
use crate::wire::reply::{Body, Flow, Reply, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

/// The number of probes that are sent before replies and log are read: the interface queues about 1000 frames, and the
/// kernel's log holds about 600 lines. An overrun of either is noticed.
pub const BATCH: usize = 64;

/// The instruments of a lab, for the time of a batch.
pub struct Exchange<'a> {
    link: &'a mut ProberLink,
    turn: LogTurn<'a>,
    services: &'a ListeningSockets,
    paths: Option<&'a mut Paths>,
    ports: PortMatch,
    /// The number of retransmissions of the third segment of a handshake.
    retries: usize,
}

impl<'a> Exchange<'a> {
    /// Takes the lab's turn at the log.
    pub fn begin(
        link: &'a mut ProberLink,
        log: &'a mut LogSource,
        services: &'a ListeningSockets,
        paths: Option<&'a mut Paths>,
        ports: PortMatch,
    ) -> Result<Exchange<'a>> {
        Ok(Exchange { link, turn: log.lock()?, services, paths, ports, retries: 0 })
    }

    /// Sets the number of retransmissions of the third segment, for rules that drop packets by chance.
    pub fn with_retries(self, retries: usize) -> Exchange<'a> {
        Exchange { retries, ..self }
    }

    /// Sends the probes, and returns the observation of each, in their order.
    pub fn observe(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut ledger = Observations::new(probes, self.ports);
        for (index, probe) in probes.iter().enumerate() {
            match probe.technique.is_full_connect() {
                true => self.connect(index, &mut ledger)?,
                false => self.put(&probe.frame(&self.link.ends), index, FramePart::Probe)?,
            }
        }
        if probes.iter().any(|probe| probe.flow.protocol == Protocol::Udp) {
            self.services.answer()?;
        }
        self.settle(&mut ledger)?;
        if self.paths.is_some() {
            ledger.judge()?;
        }
        ledger.observed.iter_mut().for_each(Observation::add_notes);
        for (index, frame) in self.link.recorder.drain_claimed() {
            ledger.observed[index].frames.push(frame);
        }
        Ok(ledger.observed)
    }

    fn put(&self, frame: &[u8], index: usize, part: FramePart) -> Result<()> {
        self.link.send(frame)?;
        self.link.recorder.claim(index, part);
        Ok(())
    }

    /// Waits until the kernel has processed everything sent so far, and records the results.
    fn settle(&mut self, ledger: &mut Observations) -> Result<()> {
        let resets = ledger.resets;
        self.link.fence(|link, reply| ledger.record_reply(link, &reply))?;
        // RSTs that the prober sent in answer to replies come after the fence: they get one of their own.
        if ledger.resets != resets {
            self.link.fence(|link, reply| ledger.record_reply(link, &reply))?;
        }
        self.turn.drain(|line| ledger.record_line(line))?;
        match &mut self.paths {
            Some(paths) => {
                ledger.record_paths(paths.read()?)?;
                paths.take_lines().into_iter().for_each(|line| ledger.record_line(line));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Runs a connect: SYN, SYN/ACK, ACK, greeting, RST.
    fn connect(&mut self, index: usize, ledger: &mut Observations) -> Result<()> {
        let probe = ledger.probes[index];
        self.put(&probe.frame(&self.link.ends), index, FramePart::Probe)?;
        self.settle(ledger)?;
        let Some(syn_ack) = ledger.syn_ack.remove(&index) else { return Ok(()) };
        let mut accepted: Vec<TcpStream> = Vec::new();
        for _ in 0..=self.retries {
            self.put(&probe.handshake_ack(&syn_ack, &self.link.ends), index, FramePart::Followup)?;
            ledger.shaking_hands = Some(index);
            self.settle(ledger)?;
            ledger.shaking_hands = None;
            accepted = self.services.serve_client_of(probe.flow.port)?;
            if !accepted.is_empty() {
                break;
            }
        }
        self.settle(ledger)?;
        let greeting = ledger.greeting.remove(&index).unwrap_or_default();
        self.put(&probe.abort(&syn_ack, greeting.len(), &self.link.ends), index, FramePart::Followup)?;
        self.settle(ledger)?;
        ledger.observed[index].connection = Some(ConnectProgress {
            accepted: !accepted.is_empty(),
            greeting: String::from_utf8_lossy(&greeting).trim_end().to_owned(),
        });
        drop(accepted);
        self.settle(ledger)
    }
}

/// The observations so far of the probes of a batch.
struct Observations<'a> {
    probes: &'a [Probe],
    by_flow: HashMap<Flow, usize>,
    observed: Vec<Observation>,
    syn_ack: HashMap<usize, TcpSegment>,
    greeting: HashMap<usize, Vec<u8>>,
    answered: HashSet<usize>,
    resets: usize,
    /// The index of the connect whose third segment is being sent.
    shaking_hands: Option<usize>,
    ports: PortMatch,
}

impl<'a> Observations<'a> {
    fn new(probes: &'a [Probe], ports: PortMatch) -> Observations<'a> {
        Observations {
            probes,
            by_flow: probes.iter().enumerate().map(|(index, probe)| (probe.flow, index)).collect(),
            observed: probes.iter().map(|probe| Observation::silence(probe.technique)).collect(),
            syn_ack: HashMap::new(),
            greeting: HashMap::new(),
            answered: HashSet::new(),
            resets: 0,
            shaking_hands: None,
            ports,
        }
    }

    /// Sets the verdicts. Path, reply and log line are three witnesses; the path decides the verdict, once the others
    /// agree with it.
    fn judge(&mut self) -> Result<()> {
        for (index, (observation, probe)) in self.observed.iter_mut().zip(self.probes).enumerate() {
            witnesses::put_in_order(observation);
            let fate = witnesses::check_consistency(probe, observation, self.answered.contains(&index))?;
            observation.filter = FilterVerdict::from_fate(fate);
            if let Fate::Left(left) = fate {
                observation.verdict = scan::left(left);
            }
        }
        Ok(())
    }

    /// Records a reply. The first reply to a probe decides, as with nmap. A SYN/ACK to a raw SYN is answered at once
    /// with the RST that the scanner's kernel would send. An ICMP error about the third segment of a handshake replaces
    /// the result of the SYN/ACK: measured, `nmap -sT` reports the error.
    fn record_reply(&mut self, link: &ProberLink, reply: &Reply) -> Result<()> {
        let Some(&index) = reply.flow().and_then(|flow| self.by_flow.get(&flow)) else { return Ok(()) };
        let probe = &self.probes[index];
        if self.shaking_hands == Some(index) && probe.is_refused_later_by(reply) {
            link.recorder.claim(index, FramePart::Answer);
            self.observed[index].verdict = scan::no_response(probe.technique);
            self.decide(index, reply);
            return Ok(());
        }
        if !probe.is_answered_by(reply) {
            link.recorder.claim(index, FramePart::Followup);
            return Ok(());
        }
        let is_first = self.answered.insert(index);
        link.recorder.claim(index, if is_first { FramePart::Answer } else { FramePart::Followup });
        self.decide(index, reply);
        let Body::Tcp(segment) = &reply.body else { return Ok(()) };
        if is_syn_ack(segment) {
            match probe.technique.is_full_connect() {
                true => drop(self.syn_ack.insert(index, segment.clone())),
                false => {
                    link.send(&probe.reset_after(segment, &link.ends))?;
                    link.recorder.claim(index, FramePart::Followup);
                    self.resets += 1;
                }
            }
        }
        self.greeting.entry(index).or_default().extend(&segment.payload);
        Ok(())
    }

    fn decide(&mut self, index: usize, reply: &Reply) {
        let probe = &self.probes[index];
        let verdict = scan::interpret(probe.technique, probe.flow.host, reply);
        let observation = &mut self.observed[index];
        if observation.verdict == scan::no_response(probe.technique) {
            observation.verdict = verdict.unwrap_or(observation.verdict);
        }
    }

    fn record_line(&mut self, text: String) {
        let Some((line, cause)) = self.batch().cause_of_line(&text) else { return };
        let record = LogRecord { prefix: line.prefix, line: text };
        match cause {
            Attribution::Probe(index) => self.observed[index].log.push(record),
            Attribution::Followup(index) => self.observed[index].followup.push(record),
        }
    }

    /// Records the first packet that is the probe, and the first that answers it; the others are later packets of the
    /// exchange.
    fn record_paths(&mut self, packets: Vec<Traced>) -> Result<()> {
        let cause = |packet: &Traced| self.batch().cause_of_packet(packet.seen.as_ref()?, packet.direction);
        let causes: Vec<Option<Attribution>> = packets.iter().map(cause).collect();
        for (packet, cause) in packets.iter().zip(&causes) {
            let of_error =
                || causes.get(packet.during.filter(|_| packet.sighting.headers.is_icmp_error())?).copied().flatten();
            let Some(cause) = cause.or_else(of_error) else { continue };
            let observation = &mut self.observed[cause.probe()];
            let path = Arc::clone(&packet.path);
            match (cause, packet.direction) {
                (Attribution::Probe(_), Direction::In) if observation.path.is_none() => observation.path = Some(path),
                (Attribution::Probe(_), Direction::Out) if observation.answer_path.is_none() => {
                    observation.answer_path = Some(path);
                }
                _ => observation.followup_paths.push(path),
            }
        }
        Ok(())
    }

    fn batch(&self) -> AttributedBatch<'_> {
        AttributedBatch { probes: self.probes, by_flow: &self.by_flow, ports: self.ports }
    }
}

fn is_syn_ack(segment: &TcpSegment) -> bool {
    let wanted = TcpFlags::SYN_ACK;
    segment.flags & (wanted | TcpFlags::RST) == wanted
}
