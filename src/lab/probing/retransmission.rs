//! Packets that a rule drops by chance (`-m statistic`) are sent again, as a client and nmap do. Such a rule counts packets
//! and no time, so nothing waits in between.

use std::net::IpAddr;

use crate::error::Result;
use crate::lab::Lab;
use crate::lab::host::netcfg;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::{Response, Stimulus};
use crate::probe::path::{Fate, Step};
use crate::probe::scan;
use crate::rules::iptables_save::{Listing, Rule};

/// How often a segment is sent again (`tcp_retries2` in ip-sysctl.rst). A client gives up after 6 SYNs, and its user tries
/// again.
pub const TCP_RETRIES: usize = 15;

/// How often a probe is sent again, as by nmap (`--max-retries`).
pub const PROBE_RETRIES: usize = 10;

impl Lab<'_> {
    /// Whether a rule of the lab matches by chance.
    pub(in crate::lab) fn has_chance(&self) -> bool {
        self.listings.iter().flat_map(Listing::rules).any(Rule::is_by_chance)
    }

    /// Whether a rule that matches by chance decided on a packet.
    pub(super) fn is_by_chance(&self, step: &Step) -> bool {
        let mut rules = self.listings.iter().flat_map(Listing::rules);
        rules.any(|rule| rule.is_by_chance() && Some(rule.line) == step.line && rule.text == step.text)
    }

    /// Where packets are dropped by chance, the host's kernel sends again after milliseconds what these do not acknowledge.
    pub(super) fn shorten_timers(&self, clients: &[IpAddr]) -> Result<()> {
        if !self.has_chance() {
            return Ok(());
        }
        netcfg::shorten_timers(self.isolated, &self.runtime, self.link_setup(), clients)
    }

    /// Sends again each of `probes` that brought no answer, where packets are dropped by chance: the first answer counts.
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

    /// Sends again each of `stimuli` that was dropped, or whose connection did not open, where packets are dropped by chance.
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

/// Whether a packet, or one of those before it, was dropped. A rule that lets in by chance leaves the rest to a policy.
fn is_dropped(response: &Response) -> bool {
    let journeys = response.own.iter().chain(&response.answer).chain(&response.others);
    journeys.into_iter().any(|journey| journey.path.fate == Fate::Dropped)
}

/// Whether an answer came to a probe, and to a connect all that belongs to a connection.
fn is_answered(probe: &Probe, observation: &Observation) -> bool {
    let is_whole = || observation.connection.as_ref().is_none_or(|found| found.accepted && !found.greeting.is_empty());
    observation.verdict != scan::no_response(probe.technique) && is_whole()
}
