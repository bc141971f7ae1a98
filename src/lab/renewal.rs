//! Watches the limits of the ruleset, and renews them before a probe could meet a used-up one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::probing::exchange::BATCH;
use super::probing::fresh_limits::{LimitUse, Spending};
use super::trace::x_tables::KernelTable;
use super::{Backend, Lab, host, probing, trace};
use crate::error::{Result, Source};
use crate::net::Family;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::rules::iptables_save::Listing;

impl Lab<'_> {
    /// Like [`Lab::send`], but with limits that have not seen a packet yet for every probe.
    pub fn send_with_fresh_limits(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut observations = Vec::with_capacity(probes.len());
        self.send_each_afresh_while(probes, |_, observation| {
            observations.push(observation.clone());
            ControlFlow::Continue(())
        })?;
        Ok(observations)
    }

    /// Like [`Lab::send_with_fresh_limits`], but calls `each` with each observation and the index of its probe, until
    /// `each` returns that it needs no more. The lab's limits must not have seen a packet yet.
    pub fn send_each_afresh_while(
        &mut self,
        probes: &[Probe],
        mut each: impl FnMut(usize, &Observation) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut spent: BTreeMap<Family, LimitUse> = BTreeMap::new();
        let at_once = if self.counts_packets(probes)? { 1 } else { BATCH };
        for (batch, index) in probes.chunks(at_once).zip((0..).step_by(at_once)) {
            let (family, first) = (batch[0].family(), &batch[0]);
            if spent.entry(family).or_default().would_exceed(self.spending(family)?, first) {
                self.renew_limits()?;
                spent.clear();
            }
            let mut observed = self.send(batch)?;
            self.send_again(batch, &mut observed)?;
            let spent = spent.entry(family).or_default();
            for ((index, probe), observation) in (index..).zip(batch).zip(&observed) {
                spent.record(probe, observation);
                if each(index, observation).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// True if a rule that such a probe may reach counts packets: then each probe is sent by itself.
    fn counts_packets(&mut self, probes: &[Probe]) -> Result<bool> {
        let families: BTreeSet<Family> = probes.iter().map(Probe::family).collect();
        let limit_uses = families.into_iter().map(|family| self.spending(family)).collect::<Result<Vec<_>>>()?;
        Ok(limit_uses.iter().any(|spending| *spending != Spending::Never))
    }

    /// The kind of events that use up the limits of a family's rules.
    pub(super) fn spending(&mut self, family: Family) -> Result<Spending> {
        if let Some(spending) = self.limit_uses.get(&family) {
            return Ok(*spending);
        }
        let spending = match self.spec.equipment.backend() {
            Backend::Nft => {
                self.rules()?.iter().find(|rules| rules.family == family).map_or(Spending::Never, Spending::new)
            }
            Backend::Legacy => {
                let tables = KernelTable::list(self.isolated, &self.listings)?;
                let of_family = tables.iter().filter(|table| table.family == family);
                of_family.map(KernelTable::spending).fold(Spending::Never, Spending::and)
            }
        };
        let visits = self.listings.iter().map(Listing::limit_visits).max().unwrap_or(1);
        let spending = spending.for_visits(visits);
        self.limit_uses.insert(family, spending);
        Ok(spending)
    }

    /// Resets every limit of the ruleset, so that the next probe finds it as the first one would.
    pub fn renew_limits(&mut self) -> Result<()> {
        match self.spec.equipment.backend() {
            Backend::Nft => self.renew_rules(),
            Backend::Legacy => {
                let rulesets = self.listings.iter().map(|listing| (listing.family, &listing.source));
                self.load(&rulesets.collect::<Vec<_>>())
            }
        }
    }

    /// Replaces the loaded rulesets; if log lines are read through NFLOG, by their copies.
    pub(super) fn load(&self, rulesets: &[(Family, &Source)]) -> Result<()> {
        let iptables = &self.spec.equipment.iptables;
        host::loading::reload(iptables, self.isolated, &self.runtime, rulesets, self.copies.as_ref())
    }

    fn renew_rules(&mut self) -> Result<()> {
        let before = self.rules()?;
        let Some(after) = probing::fresh_limits::renew(&self.netlink, before)? else { return Ok(()) };
        let renamed = trace::nft_rules::renamed(before, &after);
        if let Some(paths) = &mut self.paths {
            paths.rename(&renamed);
        }
        self.rules = after.into();
        Ok(())
    }
}
