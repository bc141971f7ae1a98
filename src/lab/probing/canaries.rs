//! The proof of the instruments: a canary that must be logged, and traced if paths are watched, in each family, before
//! and after every use. The packet that must be answered is the fence.

use crate::error::{CannotMeasure, Result};
use crate::lab::host::link::ProberLink;
use crate::lab::log::log_source::LogSource;
use crate::lab::trace::paths::Paths;
use crate::log_line::LogLine;
use crate::net::{Addresses, Family};
use crate::probe::canary;
use crate::wire::packet_id::PacketId;
use crate::wire::reply::Flow;

/// Numbers the canaries of a lab: each has a new number, so that an earlier one cannot be mistaken for it.
pub struct Canaries {
    last: u32,
}

impl Canaries {
    /// Starts before the first canary.
    pub fn new() -> Canaries {
        Canaries { last: 0 }
    }

    /// Sends one canary in each family.
    ///
    /// # Errors
    ///
    /// If one is not logged, or not traced.
    pub fn prove(
        &mut self,
        link: &mut ProberLink,
        log: &mut LogSource,
        paths: Option<&mut Paths>,
        addresses: &Addresses,
        families: &[Family],
    ) -> Result<()> {
        let mut turn = log.lock()?;
        let mut sent = Vec::new();
        for family in families {
            self.last += 1;
            let flow = canary::flow(*family, addresses.host(*family), self.last);
            link.send(&canary::frame(flow, &link.ends))?;
            sent.push((*family, flow));
        }
        link.fence(|_, _| Ok(()))?;
        let mut logged = Vec::new();
        turn.drain(|text| {
            let line = LogLine::parse(&text).filter(|line| line.prefix == canary::PREFIX);
            let seen = line.and_then(|line| PacketId::from_line(line.network.as_ref()?));
            logged.extend(seen.map(|seen| seen.flow));
        })?;
        all_seen(&sent, &logged, turn.instrument(), "is logged before any rule", "left no line")?;
        let Some(paths) = paths else { return Ok(()) };
        let traced: Vec<Flow> = paths.read()?.iter().filter_map(|packet| packet.seen.map(|seen| seen.flow)).collect();
        all_seen(&sent, &traced, "rule trace", "is traced before any rule", "left no trace")
    }
}

fn all_seen(sent: &[(Family, Flow)], seen: &[Flow], instrument: &'static str, what: &str, not: &str) -> Result<()> {
    match sent.iter().find(|(_, flow)| !seen.contains(flow)) {
        None => Ok(()),
        Some((family, _)) => {
            let evidence = format!("a canary that {what} ({family}) {not}");
            Err(CannotMeasure::Blind { instrument, evidence }.into())
        }
    }
}
