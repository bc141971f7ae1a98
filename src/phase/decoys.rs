//! `-D`: who else seems to scan.

use std::net::IpAddr;

use super::Random;
use crate::net::Family;
use crate::probe::Probe;

/// Addresses in the lab's subnet that seem to send the same probes, some of them before the real one (nmap's `-D
/// BEFORE,ME,AFTER`). What is seen of a host comes from the answer to the real one only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoys {
    /// Those whose probes come before the real one.
    pub before: Vec<IpAddr>,
    /// Those whose probes come after it.
    pub after: Vec<IpAddr>,
}

/// A probe among its decoys, in the order in which they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// All of them.
    pub probes: Vec<Probe>,
    /// The place of the real one.
    pub real: usize,
}

impl Decoys {
    /// The probe among its decoys; those of the other family keep out of it. A connect goes alone, as `nmap -sT` does.
    pub fn around(&self, probe: &Probe) -> Company {
        let of_family = |decoy: &&IpAddr| {
            Family::of(**decoy) == probe.family() && **decoy != probe.flow.prober && !probe.technique.is_conversation()
        };
        let [before, after] = [&self.before, &self.after].map(|decoys| decoys.iter().filter(of_family).copied());
        let before: Vec<Probe> = before.map(|decoy| disguised(probe, decoy)).collect();
        let real = before.len();
        let after = after.map(|decoy| disguised(probe, decoy));
        Company { probes: before.into_iter().chain([*probe]).chain(after).collect(), real }
    }
}

/// All numbers are the same, IP ID included, but for the TTL, which nmap draws for each packet.
fn disguised(probe: &Probe, decoy: IpAddr) -> Probe {
    let last = match decoy {
        IpAddr::V4(decoy) => u64::from(u32::from(decoy)),
        IpAddr::V6(decoy) => u128::from(decoy) as u64,
    };
    let mut random = Random(last << 16 ^ u64::from(probe.ip_id));
    let ttl = probe.craft.ttl.unwrap_or_else(|| random.ttl(probe.family()));
    Probe { ttl, ..probe.from_source(decoy) }
}
