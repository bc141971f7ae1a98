//! The lab for injected faults: a small ruleset and probes whose correct verdicts are known.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::error::{CannotMeasure, Error, Result, Source};
use crate::lab::{Fault, HostService, Lab, LabOptions, LabSpec, PinnedSysctls, Sabotage};
use crate::net::port::Port;
use crate::net::{Addresses, Family, InterfaceName, Protocol};
use crate::probe::Probe;
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::observation::Observation;
use crate::probe::scan::{PortState, Reason, Technique};
use crate::probe::scan_pass::{PassNumbering, SEED};

const PREFIX: &str = "scanlab selftest: ";

/// Port 80 is logged and dropped, everything else is accepted. The first rule makes conntrack track.
const RULESET: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j LOG --log-prefix \"scanlab selftest: \"
-A INPUT -p tcp -m tcp --dport 80 -j DROP
COMMIT
";

/// The extent of the world. With a nat table, probes are sent one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    /// No packet leaves.
    Whole,
    /// Port 81 goes to another machine.
    Left,
}

impl World {
    fn ruleset(self, family: Family) -> String {
        match self {
            World::Whole => RULESET.to_owned(),
            World::Left => format!(
                "{RULESET}*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 81 -j DNAT --to-destination \
                 {}\nCOMMIT\n",
                elsewhere(family)
            ),
        }
    }

    fn rows(self, family: Family) -> Vec<Row> {
        let left = LeftTheWorld::Forwarded { to: elsewhere(family), port: Some(FORWARDED) };
        let look = ProbeOutcome { state: PortState::Unknown, reason: Reason::Left(left), lines: 0 };
        let more = [Technique::Syn, Technique::Connect].map(|technique| (technique, FORWARDED, look));
        ROWS.into_iter().chain(more.into_iter().filter(|_| self == World::Left)).collect()
    }
}

const OPEN: Port = Port(22);
const CLOSED: Port = Port(23);
const DROPPED: Port = Port(80);
const FORWARDED: Port = Port(81);

/// An address of another machine.
fn elsewhere(family: Family) -> IpAddr {
    family.pick(Ipv4Addr::new(198, 51, 100, 7).into(), Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7).into())
}

/// A technique, a port, and the correct outcome.
type Row = (Technique, Port, ProbeOutcome);

/// The correct outcomes, in the order of the probes.
const ROWS: [Row; 9] = [
    (Technique::Syn, OPEN, ProbeOutcome { state: PortState::Open, reason: Reason::SynAck, lines: 0 }),
    (Technique::Syn, CLOSED, ProbeOutcome { state: PortState::Closed, reason: Reason::Reset, lines: 0 }),
    (Technique::Syn, DROPPED, FILTERED),
    (Technique::Connect, OPEN, ProbeOutcome { state: PortState::Open, reason: Reason::SynAck, lines: 0 }),
    (Technique::Connect, CLOSED, ProbeOutcome { state: PortState::Closed, reason: Reason::ConnRefused, lines: 0 }),
    (Technique::Connect, DROPPED, FILTERED),
    (Technique::Ack, OPEN, ProbeOutcome { state: PortState::Unfiltered, reason: Reason::Reset, lines: 0 }),
    (Technique::Ack, CLOSED, ProbeOutcome { state: PortState::Unfiltered, reason: Reason::Reset, lines: 0 }),
    (Technique::Ack, DROPPED, FILTERED),
];

const FILTERED: ProbeOutcome = ProbeOutcome { state: PortState::Filtered, reason: Reason::NoResponse, lines: 1 };

/// The outcome of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// The port state.
    pub state: PortState,
    /// The reason.
    pub reason: Reason,
    /// The number of lines of the LOG rule.
    pub lines: usize,
}

impl fmt::Display for ProbeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state, self.reason)?;
        match self.lines {
            0 => Ok(()),
            1 => write!(f, " and a line"),
            lines => write!(f, " and {lines} lines"),
        }
    }
}

impl From<&Observation> for ProbeOutcome {
    fn from(observation: &Observation) -> ProbeOutcome {
        let lines = observation.log.iter().filter(|record| record.prefix == PREFIX).count();
        ProbeOutcome { state: observation.verdict.state, reason: observation.verdict.reason, lines }
    }
}

/// A wrong verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongVerdict {
    /// Technique, port and family.
    pub probe: String,
    /// The correct outcome.
    pub expected: ProbeOutcome,
    /// The observed outcome.
    pub observed: ProbeOutcome,
}

impl fmt::Display for WrongVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongVerdict { probe, expected, observed } = self;
        write!(f, "{probe}: expected {expected}, observed {observed}")
    }
}

/// Measures without a fault: the mistakes, and the pinned sysctls.
pub fn control(equipment: &LabOptions) -> Result<(Vec<WrongVerdict>, PinnedSysctls)> {
    let (mut mistakes, pinned_sysctls) = measure(equipment, None, World::Whole)?;
    mistakes.extend(measure(equipment, None, World::Left)?.0);
    Ok((mistakes, pinned_sysctls))
}

/// Measures with a fault: the mistakes, or the lab's own error about a blind or lossy instrument. An error that the lab
/// cannot run at all is returned as such.
pub fn with(
    equipment: &LabOptions,
    sabotage: &Arc<Sabotage>,
) -> Result<std::result::Result<Vec<WrongVerdict>, CannotMeasure>> {
    let world = if sabotage.fault == Fault::LostRouting { World::Left } else { World::Whole };
    match measure(equipment, Some(sabotage.clone()), world) {
        Ok((mistakes, _)) => Ok(Ok(mistakes)),
        Err(Error::CannotMeasure(error)) if is_about(sabotage.fault, &error) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// True if the error is about the fault. The failure of a restore program is not, unless that is the fault.
fn is_about(fault: Fault, error: &CannotMeasure) -> bool {
    let is_planted = fault == Fault::NothingLoaded && matches!(error, CannotMeasure::ProgramFailed { .. });
    is_planted || is_about_instruments(error)
}

fn is_about_instruments(error: &CannotMeasure) -> bool {
    match error {
        CannotMeasure::Blind { .. }
        | CannotMeasure::Loss { .. }
        | CannotMeasure::Deadline { .. }
        | CannotMeasure::Disagreement(_) => true,
        CannotMeasure::NoPrivilege { .. }
        | CannotMeasure::NoUserNamespace { .. }
        | CannotMeasure::NoTun(_)
        | CannotMeasure::NoTable { .. }
        | CannotMeasure::NotPinned { .. }
        | CannotMeasure::NoSysctl { .. }
        | CannotMeasure::NoProgram { .. }
        | CannotMeasure::ProgramFailed { .. }
        | CannotMeasure::System { .. }
        | CannotMeasure::NotIsolated { .. }
        | CannotMeasure::NoPaths { .. }
        | CannotMeasure::CutShort { .. }
        | CannotMeasure::NoFamily { .. }
        | CannotMeasure::Interrupted(_) => false,
    }
}

fn measure(
    equipment: &LabOptions,
    fault: Option<Arc<Sabotage>>,
    world: World,
) -> Result<(Vec<WrongVerdict>, PinnedSysctls)> {
    let (interface, addresses) = (InterfaceName::default(), Addresses::default());
    let families = Lab::families();
    let source = |family: &Family| Source { name: "<selftest>".into(), text: world.ruleset(*family).into() };
    let sources: Vec<(Family, Source)> = families.iter().map(|family| (*family, source(family))).collect();
    let rulesets: Vec<(Family, &Source)> = sources.iter().map(|(family, source)| (*family, source)).collect();
    let spec = LabSpec {
        services: &[HostService { protocol: Protocol::Tcp, port: OPEN, greeting: None }],
        fault,
        ..LabSpec::new(equipment, &interface, &addresses, &rulesets)
    };
    let (probes, expected): (Vec<Probe>, Vec<ProbeOutcome>) = probes(&families, addresses, world).into_iter().unzip();
    let (observed, pinned_sysctls) = Lab::run(&spec, |lab| Ok((lab.send(&probes)?, lab.pinned_sysctls.clone())))?;
    Ok((mistakes(&probes, &expected, &observed), pinned_sysctls))
}

fn probes(families: &[Family], addresses: Addresses, world: World) -> Vec<(Probe, ProbeOutcome)> {
    let mut numbering = PassNumbering::new(SEED);
    let cells = families.iter().flat_map(|family| world.rows(*family).into_iter().map(|row| (*family, row)));
    cells
        .map(|(family, (technique, port, look))| (numbering.phase(technique, family, addresses).probe(port, 0), look))
        .collect()
}

/// The probes whose observation is not the expected one.
fn mistakes(probes: &[Probe], expected: &[ProbeOutcome], observed: &[Observation]) -> Vec<WrongVerdict> {
    let cells = probes.iter().zip(expected).zip(observed);
    cells.filter_map(|((probe, expected), observed)| mistake(probe, *expected, observed.into())).collect()
}

fn mistake(probe: &Probe, expected: ProbeOutcome, observed: ProbeOutcome) -> Option<WrongVerdict> {
    let name = || format!("{} {} {}", probe.family(), probe.technique, probe.flow.port);
    (expected != observed).then(|| WrongVerdict { probe: name(), expected, observed })
}

#[cfg(test)]
mod tests;
