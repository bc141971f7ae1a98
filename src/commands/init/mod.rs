//! `scanlab init`: a sensor file that describes what rules do, measured, or what its owner answered.
//!
//! A sensor written from rules says what the rules *do*; whether that is meant, its owner has to decide. So the notes of
//! a draft name all that a sensor cannot say.

mod emit;
mod prefixes;

use std::collections::{BTreeMap, BTreeSet};

use self::prefixes::LogScheme;
use crate::commands::predeploy::{Discovered, PredeploySubject, ScannedPorts, discover};
use crate::error::{InputError, Result, Source};
use crate::intent::scenario::Scenario;
use crate::lab::LabOptions;
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family, InterfaceName, Mac, Network, Protocol};
use crate::probe::scan::{FilterVerdict, Technique};
use crate::rules::iptables_save::{Match, RuleLimit};
use crate::sensor::mac_vendor::VendorDb;
use crate::sensor::{
    Deny, EntryLines, Host, MOST_PORTS, OpenService, RuleOrder, Sensor, SensorLimit, Service, SshFrom, TimeUnit,
};

/// The rules to describe, and known facts of their machine.
pub struct InitRequest<'a> {
    /// The options of the labs.
    pub equipment: &'a LabOptions,
    /// The rules.
    pub rulesets: &'a [(Family, Source)],
    /// The SSH ports, if they are known.
    pub ssh: Option<Vec<Port>>,
    /// The interface of the machine; `None` for the one that the rules name.
    pub interface: Option<InterfaceName>,
    /// The addresses of the machine.
    pub addresses: Addresses,
    /// The MAC address of the machine.
    pub mac: Option<Mac>,
    /// The vendor table.
    pub vendors: &'a VendorDb,
    /// The name of a service.
    pub name: &'a dyn Fn(Protocol, Port) -> Option<String>,
}

/// A sensor file before it is written.
#[derive(Debug, Clone)]
pub struct SensorDraft {
    /// Its `[sensor]`.
    pub sensor: Sensor,
    /// Its `[host]`, of which the interface and the MAC address are written.
    pub host: Host,
    /// Comments: the origin, and facts that a sensor cannot express.
    pub notes: Vec<String>,
}

/// The result of a description.
pub enum Described {
    /// A sensor.
    Sensor(Box<SensorDraft>),
    /// It is not clear which of these ports is that of the SSH server.
    WhichIsSsh(PortSet),
    /// The rules accept every TCP port in each family.
    EveryPort,
}

/// The port of an SSH server of which nothing is known.
const USUAL_SSH: Port = Port(22);

/// Describes the rules.
///
/// # Errors
///
/// If a ruleset cannot be loaded or measured, or if the rules accept more ports than a sensor can name.
pub fn describe(request: &InitRequest) -> Result<Described> {
    let assumed = request.ssh.clone().unwrap_or_else(|| vec![USUAL_SSH]);
    let found = measure(request, &assumed)?;
    let behaviour = Behaviour::new(request, &found);
    if behaviour.filtering.is_empty() {
        return Ok(Described::EveryPort);
    }
    let plain = behaviour.plain();
    let is_reached = plain.contains(USUAL_SSH) || !found.ssh_from.is_empty();
    let candidates: Vec<Port> = plain.iter().collect();
    let (ssh, found, guess) = match (&request.ssh, candidates.as_slice()) {
        (Some(ssh), _) => (ssh.clone(), found, None),
        (None, _) if is_reached => (assumed, found, None),
        (None, [only]) if behaviour.has_honeypot() => {
            let guess = "`ssh` is the only port that is accepted and not logged: is it that of the SSH server?";
            (vec![*only], measure(request, &[*only])?, Some(guess.to_owned()))
        }
        (None, _) => return Ok(Described::WhichIsSsh(plain)),
    };
    let behaviour = Behaviour::new(request, &found);
    let mut draft = behaviour.draft(request, ssh, &found)?;
    draft.notes.extend(guess);
    Ok(Described::Sensor(Box::new(draft)))
}

impl SensorDraft {
    /// Its text, which `SensorFile::parse` reads back as the same sensor.
    pub fn text(&self) -> String {
        emit::text(self)
    }

    /// A sensor of these services.
    pub fn new(ssh: Vec<Port>, open: Vec<OpenService>, honeypot: Vec<Service>, scans: Vec<Technique>) -> SensorDraft {
        let sensor = Sensor { open, honeypot, scans, deny: Deny::All, ..with_ssh(ssh) };
        SensorDraft { sensor, host: Host::default(), notes: Vec::new() }
    }
}

/// Services with the names of their ports.
pub fn open_services(
    tcp: &PortSet,
    udp: &PortSet,
    name: &dyn Fn(Protocol, Port) -> Option<String>,
) -> Vec<OpenService> {
    let mut services: BTreeMap<String, OpenService> = BTreeMap::new();
    for (protocol, ports) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
        for port in ports.iter() {
            let name = name(protocol, port).unwrap_or_else(|| format!("port-{port}"));
            let new = || OpenService { name: name.clone(), tcp: Vec::new(), udp: Vec::new() };
            let service = services.entry(name.clone()).or_insert_with(new);
            if protocol == Protocol::Udp { service.udp.push(port) } else { service.tcp.push(port) }
        }
    }
    services.into_values().collect()
}

/// A sensor with SSH and nothing else.
fn with_ssh(ssh: Vec<Port>) -> Sensor {
    Sensor {
        ssh,
        ssh_from: SshFrom::Everywhere,
        open: Vec::new(),
        honeypot: Vec::new(),
        watched: Vec::new(),
        scans: Vec::new(),
        limit: SensorLimit::default(),
        prefix: "<IPT> ".to_owned(),
        deny: Deny::Tcp,
        order: RuleOrder::Hardened,
    }
}

fn measure(request: &InitRequest, ssh: &[Port]) -> Result<Discovered> {
    let sensor = with_ssh(ssh.to_vec());
    let scenario = Scenario {
        source: Source { name: "<init>".into(), text: "".into() },
        title: String::new(),
        tags: Vec::new(),
        sensor: Some(sensor.clone()),
        ruleset: None,
        host: host(request),
        lines: EntryLines::default(),
        expect: Vec::new(),
        known: Vec::new(),
    };
    discover(&PredeploySubject {
        equipment: request.equipment,
        scenario: &scenario,
        sensor: &sensor,
        rulesets: request.rulesets,
        machine: None,
        admins: &[],
        link: None,
        vendors: request.vendors,
        ports: ScannedPorts::ThatRulesTellApart,
    })
}

fn host(request: &InitRequest) -> Host {
    let interface = request.interface.clone().or_else(|| named_interface(request)).unwrap_or_default();
    Host { interface, mac: request.mac, addresses: request.addresses, ..Host::default() }
}

/// The only interface but `lo` that rules name as the input; `None` if there are several or none.
fn named_interface(request: &InitRequest) -> Option<InterfaceName> {
    let listings = request.rulesets.iter().map(|(family, source)| request.equipment.listing(*family, source));
    let names: BTreeSet<String> = listings
        .flat_map(|listing| {
            let clauses = listing.rules().flat_map(|rule| rule.clauses.iter().filter(|clause| !clause.negated));
            let names = clauses.filter_map(|clause| match &clause.ask {
                Match::InInterface(name) if name != "lo" => Some(name.clone()),
                _ => None,
            });
            names.collect::<Vec<_>>()
        })
        .collect();
    let mut names = names.into_iter();
    match (names.next(), names.next()) {
        (Some(only), None) => only.parse().ok(),
        _ => None,
    }
}

/// What the rules do to a SYN or a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Treatment {
    is_accepted: bool,
    log: Vec<String>,
}

/// The behaviour of the rules in the families that they filter.
struct Behaviour {
    /// The families in which some TCP port is not accepted.
    filtering: Vec<Family>,
    tcp: BTreeMap<Family, BTreeMap<Port, Treatment>>,
    udp: BTreeMap<Family, BTreeMap<Port, Treatment>>,
    scheme: LogScheme,
}

impl Behaviour {
    fn new(request: &InitRequest, found: &Discovered) -> Behaviour {
        let families: Vec<Family> = request.rulesets.iter().map(|(family, _)| *family).collect();
        let of = |technique| {
            let each = families.iter().map(|family| (*family, treatments(found, technique, *family)));
            each.collect::<BTreeMap<_, _>>()
        };
        let (tcp, udp) = (of(Technique::Syn), of(Technique::Udp));
        let is_filtering = |family: &Family| tcp[family].values().any(|treatment: &Treatment| !treatment.is_accepted);
        let filtering: Vec<Family> = families.iter().copied().filter(is_filtering).collect();
        let ports = tcp.values().flat_map(BTreeMap::values).flat_map(|treatment| &treatment.log);
        let scheme = LogScheme::new(&scan_lines(found), ports);
        Behaviour { filtering, tcp, udp, scheme }
    }

    /// The ports of one family for which `wants` is true.
    fn of_family(&self, tcp: bool, family: Family, wants: &dyn Fn(&Treatment) -> bool) -> PortSet {
        let treatments = if tcp { &self.tcp[&family] } else { &self.udp[&family] };
        filled(treatments, wants)
    }

    /// The ports of all filtering families for which `wants` is true.
    fn ports(&self, tcp: bool, wants: &dyn Fn(&Treatment) -> bool) -> PortSet {
        self.filtering
            .iter()
            .flat_map(|family| self.of_family(tcp, *family, wants).ranges().collect::<Vec<_>>())
            .collect()
    }

    /// The TCP ports that are accepted and have no log line of their own.
    fn plain(&self) -> PortSet {
        self.ports(true, &|treatment| treatment.is_accepted && self.scheme.name(&treatment.log).is_none())
    }

    fn has_honeypot(&self) -> bool {
        !self.services(true).is_empty()
    }

    /// The ports with a log line of their own, by the name in it.
    fn services(&self, is_accepted: bool) -> Vec<Service> {
        let treatments = self.filtering.iter().flat_map(|family| self.tcp[family].values());
        let names: BTreeSet<&str> = treatments.filter_map(|treatment| self.scheme.name(&treatment.log)).collect();
        let of = |name: &str| {
            let wants = |one: &Treatment| one.is_accepted == is_accepted && self.scheme.name(&one.log) == Some(name);
            Service { name: name.to_owned(), ports: self.ports(true, &wants).iter().collect() }
        };
        names.into_iter().map(of).filter(|service| !service.ports.is_empty()).collect()
    }

    fn draft(&self, request: &InitRequest, ssh: Vec<Port>, found: &Discovered) -> Result<SensorDraft> {
        let own: PortSet = ssh.iter().copied().collect();
        let tcp = self.plain().difference(&own);
        let default = Port(40_000);
        let is_udp_open = self.filtering.iter().any(|family| self.udp[family][&default].is_accepted);
        let udp = if is_udp_open { PortSet::EMPTY } else { self.ports(false, &|treatment| treatment.is_accepted) };
        let others = self.others(found);
        let deny = if is_udp_open || !others.is_empty() { Deny::Tcp } else { Deny::All };
        let (honeypot, watched) = (self.services(true), self.services(false));
        let count = tcp.len() + udp.len() + ssh.len() + ports_of(&honeypot) + ports_of(&watched);
        if count > MOST_PORTS {
            let problem = format!("the rules accept {count} ports, and a sensor names at most {MOST_PORTS}");
            let hint = "write the sensor file by hand, with the ports that are meant to be open";
            return Err(InputError::new(problem, hint).into());
        }
        let is_filtered = |network: &&Network| self.filtering.contains(&network.family());
        let networks: Vec<Network> = found.ssh_from.iter().filter(is_filtered).copied().collect();
        let ssh_from = match networks.as_slice() {
            [] => SshFrom::Everywhere,
            all if all.iter().all(|network| network.is_everything()) => SshFrom::Everywhere,
            some => SshFrom::Networks(some.to_vec()),
        };
        let sensor = Sensor {
            ssh_from: if ssh.is_empty() { SshFrom::Everywhere } else { ssh_from },
            open: open_services(&tcp, &udp, request.name),
            honeypot,
            watched,
            scans: self.scheme.scans.clone(),
            limit: limit(request).unwrap_or_default(),
            prefix: self.scheme.prefix.clone().unwrap_or_else(|| "<IPT> ".to_owned()),
            deny,
            ..with_ssh(ssh)
        };
        Ok(SensorDraft { notes: self.notes(is_udp_open, &others), sensor, host: host(request) })
    }

    /// The other protocols that a filtering family accepts.
    fn others(&self, found: &Discovered) -> BTreeSet<&'static str> {
        let of = found.others.iter().filter(|(family, _)| self.filtering.contains(family));
        of.flat_map(|(_, names)| names.iter().copied()).collect()
    }

    fn notes(&self, is_udp_open: bool, others: &BTreeSet<&str>) -> Vec<String> {
        let mut notes = Vec::new();
        for family in self.tcp.keys().filter(|family| !self.filtering.contains(family)) {
            notes.push(format!(
                "Over {} the rules accept every TCP port. Ports below are those of the other family.",
                family.title()
            ));
        }
        if let [v4, v6] = self.filtering.as_slice() {
            let accepted = |family: &Family| self.of_family(true, *family, &|treatment| treatment.is_accepted);
            for (one, other) in [(v4, v6), (v6, v4)] {
                let only = accepted(one).difference(&accepted(other));
                if !only.is_empty() {
                    notes.push(format!("Accepted over {} only: TCP {only}.", one.title()));
                }
            }
        }
        match (is_udp_open, others.is_empty()) {
            (true, _) => notes.push("The rules accept UDP on ports that no rule names.".to_owned()),
            (false, false) => {
                let names: Vec<&str> = others.iter().copied().collect();
                notes.push(format!(
                    "The rules accept {}, which `deny = \"all\"` forbids. UDP ports are not judged with `deny = \"tcp\"`.",
                    names.join(", ")
                ));
            }
            (false, true) => {}
        }
        let unread = self.scheme.unread.iter().map(|prefix| format!("{prefix:?}")).collect::<Vec<_>>();
        if !unread.is_empty() {
            notes.push(format!("Not described: log lines that begin with {}.", unread.join(", ")));
        }
        notes
    }
}

fn ports_of(services: &[Service]) -> usize {
    services.iter().map(|service| service.ports.len()).sum()
}

fn treatments(found: &Discovered, technique: Technique, family: Family) -> BTreeMap<Port, Treatment> {
    let of = |technique| {
        let groups = found.groups.iter().filter(move |group| group.first.technique == technique);
        groups.filter(|group| group.first.family() == family && group.observation.path.is_some())
    };
    let each = of(technique).flat_map(|group| {
        let log = group.observation.log.iter().map(|record| record.prefix.clone()).collect();
        let is_accepted = group.observation.filter == Some(FilterVerdict::Accept);
        let treatment = Treatment { is_accepted, log };
        group.ports().iter().map(|port| (port, treatment.clone())).collect::<Vec<_>>()
    });
    each.collect()
}

/// The ports for which `wants` is true, with those between two equal neighbours: no rule distinguishes them.
fn filled(treatments: &BTreeMap<Port, Treatment>, wants: &dyn Fn(&Treatment) -> bool) -> PortSet {
    let mut ranges = Vec::new();
    let mut last: Option<(Port, &Treatment)> = None;
    for (port, treatment) in treatments.iter() {
        if wants(treatment) {
            let start = match last {
                Some((before, same)) if same == treatment => before,
                _ => *port,
            };
            ranges.push(start.0..=port.0);
        }
        last = Some((*port, treatment));
    }
    ranges.into_iter().collect()
}

/// The log prefixes of each technique at an unnamed port.
fn scan_lines(found: &Discovered) -> Vec<(Technique, Vec<String>)> {
    let scans = found.groups.iter().filter(|group| group.observation.path.is_none());
    let lines = scans.map(|group| {
        let prefixes = group.observation.log.iter().map(|record| record.prefix.clone()).collect();
        (group.first.technique, prefixes)
    });
    lines.collect()
}

/// The limit of all LOG rules, if it is the same and a sensor can have it.
fn limit(request: &InitRequest) -> Option<SensorLimit> {
    let listings = request.rulesets.iter().map(|(family, source)| request.equipment.listing(*family, source));
    let limits: Vec<RuleLimit> = listings
        .flat_map(|listing| {
            let log = listing.rules().filter(|rule| rule.log_prefix().is_some());
            log.filter_map(|rule| rule.limit()).collect::<Vec<_>>()
        })
        .collect();
    let first = *limits.first()?;
    let per = [TimeUnit::Second, TimeUnit::Minute, TimeUnit::Hour, TimeUnit::Day];
    let per = per.into_iter().find(|unit| unit.seconds() == first.seconds)?;
    let is_same = limits.iter().all(|limit| *limit == first);
    is_same.then_some(SensorLimit { count: first.count, per, burst: first.burst })
}
