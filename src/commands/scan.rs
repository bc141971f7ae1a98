//! A whole scan without expectations: every technique on every port, each family in a lab of its own, in parallel if
//! there are processors for it. Probes are made as they are sent and reported as they are answered, so a scan of all
//! ports needs no more memory than one of a few.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::thread;

use crate::commands::parallel;
use crate::error::{Result, Source};
use crate::lab::{Capture, HostService, Lab, LabOptions, LabSpec, PinnedSysctls, Rest, WatchedEvents};
use crate::net::port::PortSet;
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::probe::Probe;
use crate::probe::hidden::Hidden;
use crate::probe::observation::Observation;
use crate::probe::probe_group::{ProbeGroup, ProbeGrouper};
use crate::probe::scan_pass::ScanPass;
use crate::rules::iptables_save::keeps_lists;
use crate::text::group::once;

/// The targets and options of a scan.
#[derive(Debug, Clone)]
pub struct PortScan {
    /// The options of the labs.
    pub equipment: LabOptions,
    /// The interface that the rules name.
    pub interface: InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Addresses of both ends.
    pub addresses: Addresses,
    /// The services of the host.
    pub services: Vec<HostService>,
    /// The ruleset of each family that has one.
    pub rulesets: Vec<(Family, Source)>,
    /// The events to record.
    pub watch: WatchedEvents,
    /// The time at which a family's lab begins.
    pub order: LabOrder,
    /// The probes that get fresh limits.
    pub fresh: Fresh,
    /// The host discovery before a scan over IPv6; `None` if its MAC address is known already.
    pub discovery: Option<Discovery>,
    /// The passes, in the order of the report, each with its ports.
    pub phases: Vec<(ScanPass, PortSet)>,
}

/// A neighbour solicitation before a scan over IPv6, as nmap sends it to a host on its own link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// The source address of the solicitation.
    pub source: Ipv6Addr,
    /// The treatment of probes if the host does not answer.
    pub unanswered: Unanswered,
}

/// The treatment of probes to a host that does not answer a neighbour solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The host is down, and not scanned.
    NotScanned,
    /// They cannot be sent, since the prober has no MAC address for them: none is answered or logged.
    Silent,
}

/// The time at which the lab of each family begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabOrder {
    /// All at once.
    SideBySide,
    /// After the lab before it has ended, so that all probes arrive in order.
    InTurn,
}

/// The probes that get limits without earlier packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// The first one only, as in a scan by nmap.
    First,
    /// The first one of each pass.
    EachPhase,
    /// Every one.
    EachProbe,
}

/// The result of a scan.
#[derive(Debug, Clone)]
pub struct PortScanResult {
    /// The groups of probes, in the order of the passes.
    pub groups: Vec<ProbeGroup>,
    /// The rule that hides the host from its neighbours over IPv6; `None` if it was found, or there was no discovery.
    pub hidden: Option<Hidden>,
    /// The sysctls that were pinned.
    pub pinned_sysctls: PinnedSysctls,
}

/// An observer of a running scan.
pub trait ScanObserver: Sync {
    /// Called for each answered probe. Probes of one family come in order.
    fn probe(&self, probe: &Probe, observation: &Observation) -> Result<()>;

    /// Called with the frames that belong to no probe, with [`WatchedEvents::Frames`], and with all log lines.
    fn rest(&self, family: Family, rest: Rest) -> Result<()>;
}

/// An observer that ignores everything.
pub struct NoObserver;

impl ScanObserver for NoObserver {
    fn probe(&self, _: &Probe, _: &Observation) -> Result<()> {
        Ok(())
    }

    fn rest(&self, _: Family, _: Rest) -> Result<()> {
        Ok(())
    }
}

/// The number of probes above which equal ones are merged.
const SINGLY: usize = 512;

impl PortScan {
    /// The number of probes.
    pub fn probes(&self) -> usize {
        self.phases.iter().map(|(_, ports)| ports.len()).sum()
    }

    /// Scans.
    ///
    /// # Errors
    ///
    /// If a ruleset is refused, or a lab cannot measure; of two failures that of the first family.
    pub fn perform(&self, audience: &impl ScanObserver) -> Result<PortScanResult> {
        let families = self.families();
        // Labs that read the kernel's log would only wait for each other.
        let order = if self.equipment.capture == Capture::Kmsg { LabOrder::InTurn } else { self.order };
        let mut found: Vec<FamilyScan> = match order {
            LabOrder::InTurn => {
                families.iter().map(|family| self.perform_in(*family, audience)).collect::<Result<_>>()?
            }
            LabOrder::SideBySide => thread::scope(|scope| {
                let labs = families.iter().map(|family| parallel::begin(scope, || self.perform_in(*family, audience)));
                let labs: Vec<_> = labs.collect::<Result<_>>()?;
                labs.into_iter().map(parallel::end).collect::<Result<_>>()
            })?,
        };
        let pinned_sysctls = found.first().map(|found| found.pinned_sysctls.clone()).unwrap_or_default();
        let hidden = found.iter_mut().find_map(|found| found.hidden.take());
        let of_phases = self.phases.iter().map(|(phase, _)| {
            let of_family = found.iter_mut().find(|found| found.family == phase.family());
            of_family.and_then(|found| found.phases.pop_front()).unwrap_or_default()
        });
        Ok(PortScanResult { groups: of_phases.flatten().collect(), hidden, pinned_sysctls })
    }

    /// The families that are scanned, in the order of first appearance.
    fn families(&self) -> Vec<Family> {
        once(self.phases.iter().map(|(phase, _)| phase.family()))
    }

    fn perform_in(&self, family: Family, audience: &impl ScanObserver) -> Result<FamilyScan> {
        let mut found = FamilyScan::default_of(family);
        for phases in self.labs(family) {
            let sources = self.sources();
            let ((of_lab, hidden), rest) = Lab::run_recorded(&self.spec(&sources), |lab| {
                let hidden = self.hidden(lab, family)?;
                let of_phases = phases.iter().enumerate().map(|(number, (place, phase, ports))| {
                    if number != 0 && self.fresh != Fresh::First {
                        lab.renew_limits()?;
                    }
                    let groups = match &hidden {
                        None => self.perform_phase(lab, phase.clone(), ports, audience)?,
                        Some(_) => self.without_answers(phase.clone(), ports, audience)?,
                    };
                    Ok((*place, groups))
                });
                Ok(((of_phases.collect::<Result<Vec<_>>>()?, lab.pinned_sysctls.clone()), hidden))
            })?;
            audience.rest(family, rest)?;
            found.add(of_lab);
            found.hidden = hidden.map(|hidden| self.blamed(hidden, &sources)).transpose()?;
        }
        Ok(found)
    }

    /// The passes of a family, grouped by lab, each with its index. Lists of a ruleset survive the renewal of its
    /// limits: if they have to be empty, each pass or each probe has a lab of its own.
    fn labs(&self, family: Family) -> Vec<Vec<Piece>> {
        let phases = self.phases.iter().filter(|(phase, _)| phase.family() == family).enumerate();
        let whole = phases.map(|(place, (phase, ports))| (place, phase.clone(), ports.clone()));
        let keeps_lists = self.rulesets.iter().any(|(of, source)| *of == family && keeps_lists(source));
        match self.fresh {
            Fresh::EachPhase if keeps_lists => whole.map(|piece| vec![piece]).collect(),
            Fresh::EachProbe if keeps_lists => whole.flat_map(by_port).map(|piece| vec![piece]).collect(),
            _ => vec![whole.collect()],
        }
    }

    fn sources(&self) -> Vec<(Family, &Source)> {
        self.rulesets.iter().map(|(family, source)| (*family, source)).collect()
    }

    fn spec<'a>(&'a self, rulesets: &'a [(Family, &'a Source)]) -> LabSpec<'a> {
        LabSpec {
            mac: self.mac,
            services: &self.services,
            watch: self.watch,
            ..LabSpec::new(&self.equipment, &self.interface, &self.addresses, rulesets)
        }
    }

    fn hidden(&self, lab: &mut Lab, family: Family) -> Result<Option<Hidden>> {
        match self.discovery.filter(|_| family == Family::Ipv6) {
            Some(Discovery { source, .. }) => lab.hidden_from(source),
            None => Ok(None),
        }
    }

    /// The same with the rule or policy that drops the message, which only a lab with paths reports.
    fn blamed(&self, hidden: Hidden, sources: &[(Family, &Source)]) -> Result<Hidden> {
        let Some(Discovery { source, .. }) = self.discovery.filter(|_| hidden.by.is_none()) else { return Ok(hidden) };
        let spec = LabSpec { watch: WatchedEvents::Paths, ..self.spec(sources) };
        Ok(Lab::run(&spec, |lab| lab.hidden_from(source))?.unwrap_or(hidden))
    }

    /// The results of a pass whose probes cannot be sent, since the host is hidden.
    fn without_answers(
        &self,
        mut phase: ScanPass,
        ports: &PortSet,
        audience: &impl ScanObserver,
    ) -> Result<Vec<ProbeGroup>> {
        if self.discovery.is_none_or(|discovery| discovery.unanswered == Unanswered::NotScanned) {
            return Ok(Vec::new());
        }
        let mut gathering = ProbeGrouper::default();
        for probe in phase.probes(ports) {
            let silence = Observation::silence(probe.technique);
            audience.probe(&probe, &silence)?;
            gathering.take(&probe, silence);
        }
        Ok(gathering.into_groups())
    }

    fn perform_phase(
        &self,
        lab: &mut Lab,
        mut phase: ScanPass,
        ports: &PortSet,
        audience: &impl ScanObserver,
    ) -> Result<Vec<ProbeGroup>> {
        let singly = self.probes() <= SINGLY;
        let (mut gathering, mut single) = (ProbeGrouper::default(), Vec::new());
        let family = phase.family();
        let mut each = |probe: &Probe, observation: Observation| {
            audience.probe(probe, &observation)?;
            match singly {
                true => single.push(ProbeGroup::alone(*probe, observation)),
                false => gathering.take(probe, observation),
            }
            Ok(())
        };
        match self.fresh {
            Fresh::EachProbe => {
                let probes: Vec<Probe> = phase.probes(ports).collect();
                let found = lab.send_with_fresh_limits(&probes)?;
                probes.iter().zip(found).try_for_each(|(probe, observation)| each(probe, observation))?;
            }
            Fresh::First | Fresh::EachPhase => {
                lab.scan(phase.probes(ports), each, |rest| audience.rest(family, rest))?;
            }
        }
        Ok(if singly { single } else { gathering.into_groups() })
    }
}

/// A pass with its index among those of its family, and all or some of its ports.
type Piece = (usize, ScanPass, PortSet);

fn by_port((place, phase, ports): Piece) -> Vec<Piece> {
    ports.iter().map(|port| (place, phase.clone(), [port].into_iter().collect())).collect()
}

/// The results of the labs of a family.
struct FamilyScan {
    family: Family,
    phases: VecDeque<Vec<ProbeGroup>>,
    hidden: Option<Hidden>,
    pinned_sysctls: PinnedSysctls,
}

impl FamilyScan {
    fn default_of(family: Family) -> FamilyScan {
        FamilyScan { family, phases: VecDeque::new(), hidden: None, pinned_sysctls: PinnedSysctls::default() }
    }

    /// Adds the results of one lab, passes by their indices.
    fn add(&mut self, (of_lab, pinned_sysctls): (Vec<(usize, Vec<ProbeGroup>)>, PinnedSysctls)) {
        for (place, groups) in of_lab {
            if self.phases.len() <= place {
                self.phases.resize_with(place + 1, Vec::new);
            }
            self.phases[place].extend(groups);
        }
        self.pinned_sysctls = pinned_sysctls;
    }
}
