//! Retransmission of packets that a rule drops by chance (`-m statistic`), as by nmap. Such a rule depends on
//! packets and not on time, so there is no wait before a retransmission.

use crate::error::Result;
use crate::lab::Lab;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::{Response, Stimulus};
use crate::probe::path::Fate;
use crate::probe::scan;
use crate::rules::iptables_save::{Listing, Rule};

/// The number of retransmissions of a probe, as by nmap (`--max-retries`).
pub const PROBE_RETRIES: usize = 10;

impl Lab<'_> {
    /// True if a rule of the lab matches by chance.
    pub(in crate::lab) fn has_chance(&self) -> bool {
        self.listings.iter().flat_map(Listing::rules).any(Rule::is_by_chance)
    }

    /// If a rule matches by chance, sends each of `probes` without an answer again. The first answer counts.
    pub(in crate::lab) fn send_again(&mut self, probes: &[Probe], observed: &mut [Observation]) -> Result<()> {
        if !self.has_chance() {
            return Ok(());
        }
        for (probe, observation) in probes.iter().zip(observed) {
            for _ in 0..PROBE_RETRIES {
                if is_answered(probe, observation) {
                    break;
                }
                let again = self.send(&[*probe])?.remove(0);
                if is_answered(probe, &again) {
                    *observation = again;
                }
            }
        }
        Ok(())
    }

    /// If a rule matches by chance, sends each of `stimuli` that was dropped, or whose connection did not open, again.
    pub(super) fn sweep_again(
        &mut self,
        stimuli: &[Stimulus],
        responses: &mut [Response],
        mut sweep: impl FnMut(&mut Self, &[Stimulus]) -> Result<Vec<Response>>,
    ) -> Result<()> {
        if !self.has_chance() {
            return Ok(());
        }
        for (stimulus, response) in stimuli.iter().zip(responses) {
            for _ in 0..PROBE_RETRIES {
                if !is_dropped(response) {
                    break;
                }
                *response = sweep(self, &[*stimulus])?.remove(0);
            }
        }
        Ok(())
    }
}

/// True if a packet, or one of those before it, was dropped. A rule that accepts by chance leaves the other packets to
/// a policy.
fn is_dropped(response: &Response) -> bool {
    let journeys = response.own.iter().chain(&response.answer).chain(&response.others);
    journeys.into_iter().any(|journey| journey.path.fate == Fate::Dropped)
}

/// True if the probe was answered; for a connect, if it was accepted and got a greeting.
fn is_answered(probe: &Probe, observation: &Observation) -> bool {
    let is_whole = || observation.connection.as_ref().is_none_or(|found| found.accepted && !found.greeting.is_empty());
    observation.verdict != scan::no_response(probe.technique) && is_whole()
}
