//! nmap's numbering: the source port, sequence number, TTL and IP ID of the probes of one pass. A *pass* is one
//! technique in one family; nmap gives each its own source port and its own 32-bit mask.
//!
//! The random numbers come from a seeded generator, so that two runs of the same inputs send the same bytes.

use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family, Protocol};
use crate::probe::scan::Technique;
use crate::probe::{Probe, ProbeOverrides};
use crate::wire::reply::Flow;
use crate::wire::tcp_flags::TcpFlags;

/// The lowest source port that nmap picks.
const LOWEST_BASE: u16 = 33000;

/// The number of base ports that nmap picks from.
const BASES: u16 = 32261;

/// The distance of the base ports of consecutive passes.
const PHASE_STEP: u16 = 256;

/// The seed of every scan: all labs number their probes equally, so that two runs of the same inputs give the same
/// report.
pub const SEED: u64 = 0x5ca1_1ab5;

/// Numbers the passes of one scan, as one run of nmap would.
#[derive(Debug, Clone)]
pub struct PassNumbering {
    random: Random,
    first_base: u16,
    phases: u16,
}

impl PassNumbering {
    /// The numbering of a scan; the same seed gives the same numbers.
    pub fn new(seed: u64) -> PassNumbering {
        let mut random = Random(seed);
        let first_base = random.below(u32::from(BASES)) as u16;
        PassNumbering { random, first_base, phases: 0 }
    }

    /// The next pass.
    pub fn phase(&mut self, technique: Technique, family: Family, addresses: Addresses) -> ScanPass {
        let moved = u32::from(self.first_base) + u32::from(self.phases) * u32::from(PHASE_STEP);
        self.phases += 1;
        ScanPass {
            technique,
            family,
            addresses,
            base: LOWEST_BASE + (moved % u32::from(BASES)) as u16,
            mask: self.random.next() as u32,
            random: Random(self.random.next()),
            craft: ProbeOverrides::default(),
        }
    }
}

/// One technique in one family: a source port and a mask.
#[derive(Debug, Clone)]
pub struct ScanPass {
    technique: Technique,
    family: Family,
    addresses: Addresses,
    base: u16,
    mask: u32,
    random: Random,
    craft: ProbeOverrides,
}

impl ScanPass {
    /// The family that it is sent in.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The same pass, with the overrides of `craft`.
    pub fn crafted(self, craft: ProbeOverrides) -> ScanPass {
        ScanPass { craft, ..self }
    }

    /// The first try of every port; one probe if the technique has no ports.
    pub fn probes<'a>(&'a mut self, ports: &'a PortSet) -> impl Iterator<Item = Probe> + 'a {
        let has_ports = self.technique.has_ports();
        let lone = (!has_ports).then(|| self.echo());
        let of_ports = ports.iter().filter(move |_| has_ports).map(|port| self.probe(port, 0));
        lone.into_iter().chain(of_ports)
    }

    /// The probe of `port`, at try number `attempt` (0 first). The source port moves by two with every try, and the
    /// mask is XORed with the same number in both halves; it is in the sequence number, or in the acknowledgment number
    /// of a probe with ACK set.
    ///
    /// A datagram has no field for the mask. An echo request has no port, whatever `port` is: see [`Flow`].
    pub fn probe(&mut self, port: Port, attempt: u16) -> Probe {
        if !self.technique.has_ports() {
            return self.echo();
        }
        let step = 2 * attempt;
        let tag = self.mask ^ (u32::from(step) << 16 | u32::from(step));
        let probe = self.unnumbered(Port(self.source_port(step)), port);
        let has = |flag| probe.flags() & flag != 0;
        let (seq, ack) = match (probe.flow.protocol, has(TcpFlags::ACK)) {
            (Protocol::Tcp, false) => (tag, 0),
            // nmap fills in a sequence number if `--scanflags` has SYN and ACK.
            (Protocol::Tcp, true) if has(TcpFlags::SYN) => (self.random.next() as u32, tag),
            (Protocol::Tcp, true) => (0, tag),
            (Protocol::Udp | Protocol::Icmp, _) => (0, 0),
        };
        Probe { seq, ack, ..probe }
    }

    /// An echo request: the identifier, in place of the source port, is random and never 0; the sequence number is 0.
    fn echo(&mut self) -> Probe {
        let id = 1 + self.random.below(0xffff) as u16;
        self.unnumbered(Port(id), Port(0))
    }

    fn unnumbered(&mut self, prober_port: Port, port: Port) -> Probe {
        let source = self.craft.source.filter(|source| Family::from_address(*source) == self.family);
        Probe {
            technique: self.technique,
            flow: Flow {
                protocol: self.technique.protocol(),
                prober: source.unwrap_or_else(|| self.addresses.prober(self.family)),
                prober_port,
                host: self.addresses.host(self.family),
                port,
            },
            seq: 0,
            ack: 0,
            ttl: self.ttl(),
            ip_id: 1 + self.random.below(0xffff) as u16,
            flow_label: self.random.below(1 << 20),
            craft: self.craft,
        }
    }

    /// The source port of a try, always above the usual ports of a lab's listeners, whatever the base. A connect uses
    /// its kernel's port, whatever `-g` says.
    fn source_port(&self, step: u16) -> u16 {
        let fixed = self.craft.source_port.filter(|_| !self.technique.is_full_connect());
        fixed.map(|port| port.0).unwrap_or_else(|| self.scheduled_port(step))
    }

    fn scheduled_port(&self, step: u16) -> u16 {
        self.base.checked_add(step).unwrap_or(LOWEST_BASE + step)
    }

    fn ttl(&mut self) -> u8 {
        let own = self.random.ttl(self.family);
        self.craft.ttl.unwrap_or(own)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough for header fields. Not for secrets.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    /// The next 64 bits.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// nmap's TTL. IPv4: uniform in 37 to 59. IPv6: always 255, since nmap cuts its "random" -1 to eight bits.
    fn ttl(&mut self, family: Family) -> u8 {
        match family {
            Family::Ipv4 => 37 + self.below(23) as u8,
            Family::Ipv6 => 255,
        }
    }

    /// Uniform in `0..bound` (Lemire's multiplication; the bias is under 2^-32 for the bounds used here).
    fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests;
