//! The rules that will be loaded, in a lab and as sets of packets.

use std::collections::BTreeMap;

use super::{PredeploySubject, fresh, listener};
use crate::error::{Result, Source};
use crate::lab::{HOST_MAC, HostService, Lab, LabSpec, LimitOverride};
use crate::net::{Family, InterfaceName};
use crate::probe::packet::{Response, Stimulus};
use crate::probe::path::Fate;
use crate::rules::space::{Sets, Space, WitnessPacket};
use crate::rules::sweep::foreign_addresses;

impl PredeploySubject<'_> {
    /// The rules, as a lab loads them.
    pub(super) fn rules(&self) -> Vec<(Family, &Source)> {
        self.rulesets.iter().map(|(family, source)| (*family, source)).collect()
    }

    /// A lab of the host without listeners, with paths.
    pub(super) fn spec<'b>(&'b self, rulesets: &'b [(Family, &'b Source)]) -> LabSpec<'b> {
        let host = &self.scenario.host;
        LabSpec {
            mac: host.mac.unwrap_or(HOST_MAC),
            ..LabSpec::new(self.equipment, &host.interface, &host.addresses, rulesets)
        }
    }

    /// The result of each packet, if there is one, with a listener on SSH and limits disabled.
    pub(super) fn fates(&self, packets: &[Option<WitnessPacket>]) -> Result<Vec<Option<Fate>>> {
        let mut fates = vec![None; packets.len()];
        let known = packets.iter().enumerate().filter_map(|(place, packet)| Some((place, packet.as_ref()?)));
        let mut over: BTreeMap<&str, Vec<(usize, Stimulus)>> = BTreeMap::new();
        known.for_each(|(place, packet)| over.entry(&packet.interface).or_default().push((place, packet.stimulus)));
        for (interface, packets) in over {
            let Ok(interface) = interface.parse::<InterfaceName>() else { continue };
            let (places, stimuli): (Vec<usize>, Vec<Stimulus>) = packets.into_iter().unzip();
            let found = self.sent_over(&interface, &stimuli)?;
            let fate = |response: &Response| response.own.last().map(|journey| journey.path.fate);
            places.iter().zip(&found).for_each(|(place, response)| fates[*place] = fate(response));
        }
        Ok(fates)
    }

    fn sent_over(&self, interface: &InterfaceName, stimuli: &[Stimulus]) -> Result<Vec<Response>> {
        let (rulesets, addresses) = (self.rules(), &self.scenario.host.addresses);
        let services: Vec<HostService> = self.sensor.ssh.iter().map(|port| listener(*port)).collect();
        let spec = LabSpec { interface, services: &services, ..self.spec(&rulesets) };
        fresh::answers(self, &spec, stimuli, |lab, some| {
            lab.sweep(some, &foreign_addresses(some, addresses), LimitOverride::Wide)
        })
    }

    /// The results of `find` for the rules of each family that this machine has.
    pub(super) fn of_each_family<T>(&self, find: impl Fn(&Sets) -> Result<Vec<T>>) -> Result<Vec<T>> {
        let here = self.rulesets.iter().filter(|(family, _)| Lab::families().contains(family));
        let found = here.map(|(family, source)| {
            let listing = self.equipment.listing(*family, source);
            find(&Sets::new(Space::new(&[&listing], &self.scenario.host.interface), &listing))
        });
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}
