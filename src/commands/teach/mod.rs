//! A lesson: one scan technique, measured live with a sensor's firewall and without, with everything that can be
//! observed: the frames, the path through the rules, the log lines, nmap's interpretation of the answer.
//!
//! Facts only; `report` prints them on a terminal or a page. The requirements of standards come from `technique_facts`;
//! everything else is measured.

pub(crate) mod exercise;
mod logged;
mod rule_trace;
mod technique_facts;

use serde::Serialize;

use crate::error::{Result, Source};
use crate::lab::{Capture, HOST_MAC, HostService, Lab, LabOptions, LabSpec, LinkMode, WatchedEvents};
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::path::{Fate, Path};
use crate::probe::scan::{Technique, Verdict};
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::rules::iptables_save::Listing;
use crate::sensor::{Host, Sensor};
use crate::wire::dissect::{Layer, LinkKind, dissect};
use crate::wire::frame::Direction;
use crate::wire::frame::{Frame, FramePart};

pub use logged::LoggedLine;
pub use rule_trace::RuleVisit;
pub use technique_facts::{TechniqueFacts, facts as technique_facts_of};

/// The inputs of a lesson.
#[derive(Debug, Clone)]
pub struct LessonSetup {
    /// The options of the labs.
    pub equipment: LabOptions,
    /// The sensor, which defines the roles of ports.
    pub sensor: Sensor,
    /// The machine under test.
    pub host: Host,
    /// The firewall.
    pub rulesets: Vec<(Family, Source)>,
}

/// A lesson about one technique in one family.
#[derive(Debug, Clone, Serialize)]
pub struct Lesson {
    /// The technique.
    pub technique: Technique,
    /// Its usual name.
    pub title: &'static str,
    /// nmap's option.
    pub nmap: &'static str,
    /// The protocol of its packets.
    pub protocol: Protocol,
    /// The family of the lesson.
    pub family: Family,
    /// The TCP flags octet; `None` without TCP.
    pub flags: Option<u8>,
    /// The technique, and the requirements of the standards.
    pub doctrine: TechniqueFacts,
    /// The way log lines were read.
    pub capture: Capture,
    /// The file of the firewall.
    pub ruleset: String,
    /// One for each port that was probed.
    pub scenes: Vec<PortScene>,
}

/// The results of one port.
#[derive(Debug, Clone, Serialize)]
pub struct PortScene {
    /// The role of this port.
    pub role: LessonRole,
    /// The port; `None` for a technique that probes the host.
    pub port: Option<Port>,
    /// True if the port has a listener.
    pub is_listening: bool,
    /// With the firewall.
    pub with_firewall: ProbeResult,
    /// Without a rule.
    pub without: ProbeResult,
}

/// The role of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LessonRole {
    /// Logged and accepted.
    Honeypot,
    /// Logged and dropped.
    Watched,
    /// Not in the sensor.
    Unnamed,
    /// Not in the sensor, and a service answers.
    Service,
    /// The host itself.
    Host,
}

impl LessonRole {
    /// In plain words.
    pub const fn as_str(self) -> &'static str {
        match self {
            LessonRole::Honeypot => "a honeypot port: connections are logged and accepted",
            LessonRole::Watched => "a watched port: connections are logged and dropped",
            LessonRole::Unnamed => "a port that the sensor file does not name",
            LessonRole::Service => "a service that the sensor file does not name",
            LessonRole::Host => "ping",
        }
    }
}

/// The observations of one probe.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeResult {
    /// nmap's verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Every frame of it, in order.
    pub frames: Vec<ShownFrame>,
    /// The conntrack state of the probe; `None` if no rule uses conntrack, or the kernel does not report it.
    pub conntrack: Option<ConntrackState>,
    /// Every rule that was evaluated for the probe, with the result.
    pub trail: Vec<RuleVisit>,
    /// The end of the probe's path.
    pub fate: Option<Fate>,
    /// The rules that were evaluated for the answer.
    pub answer_trail: Vec<RuleVisit>,
    /// The log lines of the probe.
    pub log: Vec<LoggedLine>,
    /// The log lines of later packets.
    pub followup: Vec<LoggedLine>,
}

/// A frame.
#[derive(Debug, Clone, Serialize)]
pub struct ShownFrame {
    /// Its role for the probe.
    pub part: &'static str,
    /// The direction: `in` if the host received it, `out` if it sent it.
    pub direction: &'static str,
    /// The whole frame.
    pub bytes: Vec<u8>,
    /// Its bytes, dissected.
    pub layers: Vec<Layer>,
}

impl ProbeResult {
    /// The probe itself.
    pub fn probe(&self) -> Option<&ShownFrame> {
        self.frames.iter().find(|frame| frame.part == "probe")
    }

    /// The decisive reply.
    pub fn answer(&self) -> Option<&ShownFrame> {
        self.frames.iter().find(|frame| frame.part == "answer")
    }
}

/// Measures the lessons, one after the other, in two labs: one with the firewall and one without rules.
///
/// # Errors
///
/// If a ruleset is refused, or a lab cannot measure.
pub fn hold(setting: &LessonSetup, techniques: &[Technique], family: Family) -> Result<Vec<Lesson>> {
    let nothing = no_rules();
    let firewall: Vec<(Family, &Source)> = setting.rulesets.iter().map(|(family, source)| (*family, source)).collect();
    let bare: Vec<(Family, &Source)> = Family::BOTH.into_iter().map(|family| (family, &nothing)).collect();
    let with_firewall = setting.observe(&firewall, techniques, family)?;
    let without = setting.observe(&bare, techniques, family)?;
    let listing = |rulesets: &[(Family, &Source)]| {
        let of_family = rulesets.iter().find(|(of, _)| *of == family);
        of_family.map(|(family, source)| setting.equipment.listing(*family, source))
    };
    let (rules, no_rules) = (listing(&firewall), listing(&bare));
    let mut seen = with_firewall.into_iter().zip(without);
    let lesson = |technique: &Technique| {
        let probed = setting.probed_ports(*technique);
        let scenes = probed.into_iter().zip(seen.by_ref()).map(|(probed, ((probe, on), (_, off)))| PortScene {
            role: probed.role,
            port: technique.has_ports().then_some(probed.port),
            is_listening: probed.is_listening,
            with_firewall: setting.seen(&probe, on, rules.as_ref()),
            without: setting.seen(&probe, off, no_rules.as_ref()),
        });
        setting.lesson(*technique, family, scenes.collect())
    };
    Ok(techniques.iter().map(lesson).collect())
}

/// A ruleset without rules, which accepts everything.
fn no_rules() -> Source {
    const TEXT: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    Source { name: "<no rules>".into(), text: TEXT.into() }
}

/// A port to probe.
struct ProbedPort {
    role: LessonRole,
    port: Port,
    is_listening: bool,
}

/// The port of a lesson's UDP service; see RFC 1035, section 4.2.1.
const UDP_SERVICE: Port = Port(53);

/// Ports without a usual service, of which the first is used that the sensor does not name.
const UNNAMED: [Port; 4] = [Port(8080), Port(4444), Port(31337), Port(60000)];

impl LessonSetup {
    /// The ports to probe, with their roles.
    fn probed_ports(&self, technique: Technique) -> Vec<ProbedPort> {
        if !technique.has_ports() {
            return vec![ProbedPort { role: LessonRole::Host, port: Port(0), is_listening: true }];
        }
        let is_udp = technique.protocol() == Protocol::Udp;
        let probed = |role, port| ProbedPort { role, port, is_listening: !is_udp && self.host.listen.contains(&port) };
        let honeypot = self.sensor.honeypot.iter().flat_map(|service| &service.ports).next();
        // The ports in a sensor are TCP.
        let watched = self.sensor.watched.iter().flat_map(|service| &service.ports).next().filter(|_| !is_udp);
        let unnamed = UNNAMED.into_iter().find(|port| !self.names(*port));
        let service = ProbedPort { role: LessonRole::Service, port: UDP_SERVICE, is_listening: true };
        let first = if is_udp { Some(service) } else { honeypot.map(|port| probed(LessonRole::Honeypot, *port)) };
        let others = [
            watched.map(|port| probed(LessonRole::Watched, *port)),
            unnamed.map(|port| probed(LessonRole::Unnamed, port)),
        ];
        first.into_iter().chain(others.into_iter().flatten()).collect()
    }

    fn names(&self, port: Port) -> bool {
        let services = self.sensor.honeypot.iter().chain(&self.sensor.watched).flat_map(|service| &service.ports);
        services.chain(&self.sensor.ssh).chain(&self.host.listen).any(|named| *named == port)
    }

    fn services(&self) -> Vec<HostService> {
        let tcp =
            self.host.listen.iter().map(|port| HostService { protocol: Protocol::Tcp, port: *port, greeting: None });
        let udp = HostService { protocol: Protocol::Udp, port: UDP_SERVICE, greeting: Some("hello") };
        tcp.chain([udp]).collect()
    }

    /// Sends each probe with fresh limits.
    fn observe(
        &self,
        rulesets: &[(Family, &Source)],
        techniques: &[Technique],
        family: Family,
    ) -> Result<Vec<(Probe, Observation)>> {
        let services = self.services();
        let spec = LabSpec {
            mac: self.host.mac.unwrap_or(HOST_MAC),
            services: &services,
            watch: WatchedEvents::Frames,
            ..LabSpec::new(&self.equipment, &self.host.interface, &self.host.addresses, rulesets)
        };
        let mut numbering = PassNumbering::new(SEED);
        let probes = techniques.iter().flat_map(|technique| {
            let mut phase = numbering.phase(*technique, family, self.host.addresses);
            let ports = self.probed_ports(*technique);
            ports.into_iter().map(|ports| phase.probe(ports.port, 0)).collect::<Vec<_>>()
        });
        let probes: Vec<Probe> = probes.collect();
        let observed = Lab::run(&spec, |lab| lab.send_with_fresh_limits(&probes))?;
        Ok(probes.into_iter().zip(observed).collect())
    }

    fn lesson(&self, technique: Technique, family: Family, scenes: Vec<PortScene>) -> Lesson {
        let profile = technique.profile();
        let ruleset = self.rulesets.iter().find(|(of, _)| *of == family);
        Lesson {
            technique,
            title: profile.title,
            nmap: profile.nmap,
            protocol: profile.protocol,
            family,
            flags: (profile.protocol == Protocol::Tcp).then_some(profile.flags),
            doctrine: technique_facts::facts(technique, family),
            capture: self.equipment.capture,
            ruleset: ruleset.map(|(_, source)| source.name.display().to_string()).unwrap_or_default(),
            scenes,
        }
    }

    fn seen(&self, probe: &Probe, observation: Observation, listing: Option<&Listing>) -> ProbeResult {
        let interface = self.host.interface.as_str();
        let trail = |path: Option<&Path>, incoming| {
            let path = path?;
            Some(rule_trace::visits(path, listing, &rule_trace::packet(probe, path, interface, incoming)))
        };
        ProbeResult {
            verdict: observation.verdict,
            frames: observation.frames.iter().map(|frame| self.shown(frame)).collect(),
            conntrack: observation.path.as_ref().and_then(|path| path.conntrack),
            trail: trail(observation.path.as_deref(), Direction::In).unwrap_or_default(),
            fate: observation.path.as_ref().map(|path| path.fate),
            answer_trail: trail(observation.answer_path.as_deref(), Direction::Out).unwrap_or_default(),
            log: observation.log.iter().map(LoggedLine::new).collect(),
            followup: observation.followup.iter().map(LoggedLine::new).collect(),
        }
    }

    fn shown(&self, frame: &Frame) -> ShownFrame {
        let link = match self.equipment.link {
            LinkMode::Tap => LinkKind::Ethernet,
            LinkMode::Tun => LinkKind::Ip,
        };
        let part = match frame.part {
            FramePart::Probe => "probe",
            FramePart::Answer => "answer",
            FramePart::Followup => "followup",
            FramePart::Fence => "fence",
            FramePart::Other => "other",
        };
        let direction = match frame.direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        ShownFrame { part, direction, bytes: frame.bytes.clone(), layers: dissect(&frame.bytes, link) }
    }
}
