//! The rules that are about to be loaded, in a lab and as sets of packets.

use super::Subject;
use crate::error::{Result, Source};
use crate::iptables_save::Listing;
use crate::lab::{Blueprint, HOST_MAC, Lab, Watch};
use crate::net::Family;
use crate::space::{Sets, Space};

impl Subject<'_> {
    /// The rules, as a lab loads them.
    pub(super) fn rules(&self) -> Vec<(Family, &Source)> {
        self.rulesets.iter().map(|(family, source)| (*family, source)).collect()
    }

    /// A lab of the host in which nothing listens and paths are watched.
    pub(super) fn blueprint<'b>(&'b self, rulesets: &'b [(Family, &'b Source)]) -> Blueprint<'b> {
        let host = &self.scenario.host;
        Blueprint {
            equipment: self.equipment,
            interface: &host.interface,
            mac: host.mac.unwrap_or(HOST_MAC),
            addresses: &host.addresses,
            services: &[],
            rulesets,
            watch: Watch::Paths,
            fault: None,
        }
    }

    /// What `find` finds in the rules of each family that this machine has.
    pub(super) fn of_each_family<T>(&self, find: impl Fn(&Sets) -> Result<Vec<T>>) -> Result<Vec<T>> {
        let here = self.rulesets.iter().filter(|(family, _)| Lab::families().contains(family));
        let found = here.map(|(family, source)| {
            let listing = Listing::parse(*family, source);
            find(&Sets::of(Space::of(&[&listing], &self.scenario.host.interface), &listing))
        });
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}
