//! The instruments prove themselves: a canary that must be logged, in each family, before and after every use. The one
//! that must be answered is the fence.

use super::attribution;
use super::kernel_log::KernelLog;
use super::link::Link;
use crate::canary;
use crate::error::{CannotMeasure, Result};
use crate::log_line::LogLine;
use crate::net::{Addresses, Family};

/// Numbers the canaries of a lab: no two are alike, so that an old one cannot stand in for a new one.
pub struct Canaries {
    last: u32,
}

impl Canaries {
    /// No canary was sent yet.
    pub fn new() -> Canaries {
        Canaries { last: 0 }
    }

    /// Sends one canary in each family, and fails unless every one is logged.
    pub fn prove(
        &mut self,
        link: &mut Link,
        log: &mut KernelLog,
        addresses: &Addresses,
        families: &[Family],
    ) -> Result<()> {
        let mut turn = log.take_turn()?;
        let mut missing = Vec::new();
        for family in families {
            self.last += 1;
            let flow = canary::flow(*family, addresses.host(*family), self.last);
            link.send(&canary::frame(flow, &link.ends))?;
            missing.push((*family, flow));
        }
        link.fence(|_, _| Ok(()))?;
        turn.drain(|record| {
            let line = LogLine::parse(&record.text).filter(|line| line.prefix == canary::PREFIX);
            let flow = line.as_ref().and_then(attribution::flow_from_prober);
            missing.retain(|(_, expected)| Some(*expected) != flow);
        })?;
        match missing.first() {
            None => Ok(()),
            Some((family, _)) => {
                let evidence = format!("a canary that is logged before any rule ({family}) left no line");
                Err(CannotMeasure::Blind { instrument: "kernel log", evidence }.into())
            }
        }
    }
}
