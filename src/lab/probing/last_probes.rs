//! The last probes of a lab: its limits need not be renewed if each probe alone keeps within them. They are made
//! larger once, and all probes are sent together.

use super::limit_override::{LimitOverride, WIDE};
use crate::error::Result;
use crate::lab::Lab;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::rules::iptables_save::Listing;

impl Lab<'_> {
    /// Like [`Lab::send_with_fresh_limits`], for the last packets of a lab: its limits may be changed, and stay so.
    pub fn send_last_with_fresh_limits(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        if !self.keeps_within_limits(probes)? {
            return self.send_with_fresh_limits(probes);
        }
        self.set_limits(LimitOverride::Wide)?;
        self.send(probes)
    }

    /// True if no probe alone uses up a limit, nor all of them a limit that is made larger, and nothing else in the
    /// rules remembers packets.
    fn keeps_within_limits(&mut self, probes: &[Probe]) -> Result<bool> {
        if !self.listings.iter().all(Listing::meets_each_limit_once) {
            return Ok(false);
        }
        let mut all = 0;
        for probe in probes {
            if !self.spending(probe.family())?.allows(probe) {
                return Ok(false);
            }
            all += super::fresh_limits::packets(probe);
        }
        Ok(all <= WIDE)
    }
}
