//! Will I be locked out? New connections of the administrator, and the one that the rules are loaded over.

use std::iter;
use std::net::IpAddr;
use std::path::Path;

use super::blame::blame;
use super::endurance::connections;
use super::kept_out::KeptOut;
use super::reply_changes::ReplyChange;
use super::{
    Assessment, Before, Fact, Families, Measured, PredeployQuestion, PredeploySubject, QuestionAnswer, RelatedChecks,
    ban_list, beyond, endurance, merge_families, ssh_admins,
};
use crate::commands::live::Machine;
use crate::lab::{Attempt, DiscoveredMacs, FirstSpeaker, Lab, Opening, Session, Survival};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::Step;
use crate::sensor::SshServer;
use crate::text::group::{grouped, merged, once};

pub fn answer(subject: &PredeploySubject, measured: &Measured) -> QuestionAnswer {
    let mut facts = ssh_admins::meant(subject);
    facts.extend(openings(subject, measured));
    // The lab's client has the MAC address of the host, which a real neighbour could not find.
    let endured = if measured.is_hidden() { measured.endured.without(Family::Ipv6) } else { measured.endured.clone() };
    facts.extend(endurance::rows(subject, &endured));
    facts.extend(endurance::held(subject, &endured));
    facts.extend(endurance::sessions(subject, &endured));
    facts.extend(measured.kept_out.iter().map(KeptOut::fact));
    facts.extend(ban_list::facts(&measured.ban_lists));
    facts.extend(measured.reply_changes.iter().map(ReplyChange::fact));
    facts.extend(sessions(subject, measured));
    for (_, found) in &measured.sessions {
        let unseen = found.neighbourhood.as_ref().filter(|found| found.advertised.is_none() || !found.resolves);
        let is_there = Lab::families().contains(&Family::Ipv6);
        let unseen = unseen.filter(|_| is_there && subject.admins.iter().any(|admin| admin.is_ipv6()));
        facts.extend(unseen.map(|unseen| unseen_fact(subject, unseen)));
    }
    facts.extend(server(subject));
    facts.extend(beyond::other_firewalls(subject));
    let facts = once(facts);
    QuestionAnswer::new(PredeployQuestion::LockedOut, facts, ["Yes.", "No."])
}

fn unseen_fact(subject: &PredeploySubject, unseen: &DiscoveredMacs) -> Fact {
    let why = match &unseen.hidden {
        Some(hidden) => hidden.reason(file(subject, Family::Ipv6)),
        None => "neighbour discovery (ICMPv6 types 135 and 136) is dropped".to_owned(),
    };
    let text = format!("over IPv6 no machine on the same network can find this one: {why}");
    Fact::new(Assessment::Bad, text).about(&Family::Ipv6.into(), RelatedChecks::Neighbours)
}

fn file<'a>(subject: &PredeploySubject<'a>, family: Family) -> Option<&'a Path> {
    subject.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source.name.as_path())
}

/// The worst result for each port, under all rules that were there before. An opening over IPv6 is not reported if
/// neighbours cannot find the host, since the lab's client has its MAC address.
fn openings(subject: &PredeploySubject, measured: &Measured) -> Vec<Fact> {
    let hidden = measured.is_hidden();
    let found = measured.sessions.iter().flat_map(|(_, found)| &found.openings);
    let attempts = found.filter(|attempt| !(hidden && attempt.family == Family::Ipv6)).map(|attempt| {
        let opens = attempt.opening == Opening::Opens;
        let (blame, fix) = match opens {
            true => (Vec::new(), None),
            false => (blame(subject, attempt.family, &attempt.took), accepting_rule(subject, attempt)),
        };
        (attempt.family, (attempt.port, attempt.opening, blame, fix))
    });
    let attempts_by_family = merged(
        attempts,
        |(family, (port, ..)), (other, (others, ..))| (family, port) == (other, others),
        |known, other| {
            if known.1.1 == Opening::Opens {
                *known = other
            }
        },
    );
    let admins = |families: &Families| {
        let is_of = |admin: &&IpAddr| families.contains(Family::from_address(**admin));
        subject.admins.iter().filter(is_of).map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    let fact = |(families, (port, opening, blame, fix)): (Families, (Port, Opening, Vec<String>, Option<String>))| {
        let admins = admins(&families);
        let what = match opening {
            Opening::Opens => {
                let text = format!("a new SSH connection to port {port} opens, over {families} (from {admins})");
                return Fact::new(Assessment::Good, text);
            }
            Opening::Silent => "gets no answer",
            Opening::Refused => "is refused",
            Opening::HalfOpen => "cannot complete its handshake",
            Opening::Mute => "opens, but then no data gets through",
        };
        let text = format!("a new SSH connection to port {port} {what}, over {families} (from {admins})");
        let mut of_families = subject.admins.iter().filter(|admin| families.contains(Family::from_address(**admin)));
        let is_outside = of_families.all(|admin| !subject.sensor.ssh_from.contains(*admin));
        let fact = Fact::new(Assessment::Bad, text).by(blame);
        let fact = fix.filter(|_| !is_outside).into_iter().fold(fact, Fact::fixed_by);
        fact.about(&families, connections(port)).of_sensor(is_outside)
    };
    let mut facts: Vec<Fact> = merge_families(attempts_by_family).into_iter().map(fact).collect();
    if subject.sensor.ssh.is_empty() {
        facts.push(Fact::new(Assessment::Note, "the sensor serves no SSH: use the console of the machine"));
    }
    facts
}

/// The rule that lets the connection in; `None` if what keeps it out may be a ban, or is in another table, or if SSH is
/// for several networks.
fn accepting_rule(subject: &PredeploySubject, attempt: &Attempt) -> Option<String> {
    let is_plain = |step: &Step| {
        let mut matches = step.text.split("-m ").skip(1);
        step.table == "filter" && matches.all(|one| PLAIN.iter().any(|name| one.starts_with(name)))
    };
    let is_plain = matches!(attempt.opening, Opening::Silent | Opening::Refused)
        && !attempt.took.is_empty()
        && attempt.took.iter().all(is_plain);
    let source = match *subject.sensor.ssh_from.networks(attempt.family) {
        [network] if subject.sensor.ssh_from.is_said() => format!("-s {network} "),
        [_] => String::new(),
        _ => return None,
    };
    let rule = format!("-A INPUT {source}-p tcp --dport {} -j ACCEPT", attempt.port);
    is_plain.then(|| format!("accept connections to port {} before that: `{rule}`", attempt.port))
}

/// Matches that remember nothing of the packets before.
const PLAIN: [&str; 5] = ["tcp ", "multiport ", "conntrack ", "state ", "comment "];

/// The results for existing connections, merged over the previous rules and the families.
fn sessions(subject: &PredeploySubject, measured: &Measured) -> Vec<Fact> {
    let mut found: Vec<(LockoutResult, (Before, Family))> = Vec::new();
    let is_strict = subject.equipment.sysctls.get("net.netfilter.nf_conntrack_tcp_loose") == Some("0");
    for (before, of) in &measured.sessions {
        for (family, port, fate, took) in fates(&of.sessions) {
            let is_of_moment =
                |step: &Step| step.line.is_some_and(|line| measured.of_the_moment.contains(&(family, line)));
            let fate = match fate {
                SessionOutcome::Dies if took.iter().any(is_of_moment) => SessionOutcome::DiesByMoment,
                SessionOutcome::Dies if *before == Before::NoRules && is_strict => SessionOutcome::DiesUnseen,
                fate => fate,
            };
            found.push(((port, fate, blame(subject, family, &took)), (*before, family)));
        }
    }
    let fact = |((port, fate, blame), places): (LockoutResult, Places)| {
        let families = families(&places);
        let where_it_is = where_it_is(measured, &families, &places);
        fate.fact(port, &where_it_is, blame).about(&families, connections(port))
    };
    grouped(found).into_iter().map(fact).collect()
}

/// The port, the result of a connection to it, and the responsible rules.
type LockoutResult = (Port, SessionOutcome, Vec<String>);

/// The rules under which a connection was opened, and its family.
type Places = Vec<(Before, Family)>;

/// The result for each port; the rules are those that dropped packets of a dead connection.
fn fates(found: &[Session]) -> Vec<(Family, Port, SessionOutcome, Vec<Step>)> {
    let of = |first: FirstSpeaker| found.iter().filter(move |session| session.first == first);
    let fate = |(host, client): (&Session, &Session)| {
        let fate = match (host.survival, client.survival) {
            (Survival::NeverOpen, _) | (_, Survival::NeverOpen) => SessionOutcome::NeverOpen,
            (Survival::Dead, _) | (_, Survival::Dead) => SessionOutcome::Dies,
            (Survival::Stalls, _) => SessionOutcome::WaitsForYou,
            (_, Survival::Stalls) => SessionOutcome::WaitsForHost,
            (Survival::Alive, Survival::Alive) => SessionOutcome::Stays,
        };
        let dead = [host, client].into_iter().find(|session| session.survival == Survival::Dead);
        let took = dead.filter(|_| fate == SessionOutcome::Dies).map(|dead| dead.took.clone()).unwrap_or_default();
        (host.family, host.port, fate, took)
    };
    of(FirstSpeaker::Host).zip(of(FirstSpeaker::Client)).map(fate).collect()
}

/// `IPv4 and IPv6`, or `IPv4, on a machine without rules before`.
fn where_it_is(measured: &Measured, families: &Families, places: &[(Before, Family)]) -> String {
    let is_everywhere = measured.sessions.iter().all(|(before, _)| places.iter().any(|(other, _)| other == before));
    match places.first().filter(|_| !is_everywhere) {
        None => families.to_string(),
        Some((Before::NoRules, _)) => format!("{families}, on a machine that had no rules before"),
        Some((Before::Tracking, _)) => format!("{families}, on a machine that had such rules before"),
        Some((Before::ThisMachine, _)) => format!("{families}, on this machine"),
    }
}

fn families(places: &[(Before, Family)]) -> Families {
    let merged = merge_families(places.iter().map(|(_, family)| (*family, ())).collect());
    merged.into_iter().next().map(|(families, ())| families).unwrap_or_default()
}

/// The result of a connection over which the rules are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionOutcome {
    Stays,
    /// It hangs until the machine sends output, such as a shell prompt.
    WaitsForHost,
    /// It hangs until the user types.
    WaitsForYou,
    Dies,
    /// A time-dependent rule drops its packets.
    DiesByMoment,
    /// It is INVALID to a conntrack that has not seen its handshake and takes over no connections.
    DiesUnseen,
    NeverOpen,
}

impl SessionOutcome {
    fn fact(self, port: Port, places: &str, blame: Vec<String>) -> Fact {
        let open = format!("a connection to port {port} that is open while the rules are loaded");
        let (tone, text) = match self {
            SessionOutcome::Stays => (Assessment::Good, format!("{open} stays open ({places})")),
            SessionOutcome::WaitsForHost => {
                let but = "it may hang until the machine next sends output";
                (Assessment::Good, format!("{open} stays open ({places}): {but}"))
            }
            SessionOutcome::WaitsForYou => {
                (Assessment::Note, format!("{open} stays open ({places}), and waits until you type something"))
            }
            SessionOutcome::Dies => {
                let remedy = "add a rule before it that accepts established connections, in and out: `-A INPUT -m \
                              conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`";
                return Fact::new(Assessment::Bad, format!("{open} is cut ({places})")).by(blame).fixed_by(remedy);
            }
            SessionOutcome::DiesByMoment => {
                let why = "a rule that depends on the time also matches packets of open connections";
                (Assessment::Bad, format!("{open} is cut ({places}): {why}"))
            }
            SessionOutcome::DiesUnseen => {
                let why =
                    "with nf_conntrack_tcp_loose=0 conntrack picks up no connection whose handshake it did not see";
                (Assessment::Bad, format!("{open} is cut ({places}): {why}"))
            }
            SessionOutcome::NeverOpen => (
                Assessment::Note,
                format!("under the present rules no connection to port {port} opens ({places}): none can be lost"),
            ),
        };
        Fact::new(tone, text).by(blame)
    }
}

/// Compares the ports of this machine's SSH server with those of the sensor.
fn server(subject: &PredeploySubject) -> Vec<Fact> {
    let Some((machine, sshd)) = subject.machine.and_then(|machine| Some((machine, machine.ssh.as_ref()?))) else {
        return Vec::new();
    };
    let listens = sshd.ports();
    let missing: Vec<&Port> = listens.iter().filter(|port| !subject.sensor.ssh.contains(port)).collect();
    let list = |ports: &[&Port]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let serves = listens.iter().any(|port| subject.sensor.ssh.contains(port));
    let all = list(&listens.iter().collect::<Vec<_>>());
    let ports = match (serves, missing.is_empty()) {
        (true, true) => Fact::new(Assessment::Good, format!("the SSH server uses port {all}, as in the sensor file")),
        (true, false) => Fact::new(
            Assessment::Note,
            format!("the SSH server also uses port {}, which the sensor file does not name", list(&missing)),
        ),
        (false, _) => {
            let text = format!("the SSH server uses port {all} (sshd_config), but the sensor file names another");
            Fact::new(Assessment::Bad, text)
        }
    };
    iter::once(ports).chain(listen_addresses(subject, machine, sshd)).collect()
}

/// If the server listens at some addresses only, the rules may accept connections that it does not answer.
fn listen_addresses(subject: &PredeploySubject, machine: &Machine, sshd: &SshServer) -> Option<Fact> {
    let is_used = |family: &Family| !subject.sensor.ssh_from.networks(*family).is_empty();
    let used = Family::BOTH.into_iter().filter(is_used);
    let own: Vec<IpAddr> = used.filter_map(|family| Some(machine.address(family)?.0)).collect();
    let is_served = |address: &&IpAddr| sshd.listens_at(**address, &subject.sensor.ssh);
    let (served, missed): (Vec<&IpAddr>, Vec<&IpAddr>) = own.iter().partition(is_served);
    let list = |addresses: &[&IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let set = "according to sshd_config (ListenAddress, AddressFamily)";
    match (served.is_empty(), missed.is_empty()) {
        (_, true) => None,
        (true, false) => {
            let text = format!("the SSH server does not listen at {}, {set}", list(&missed));
            sshd.ports().iter().any(|port| subject.sensor.ssh.contains(port)).then(|| Fact::new(Assessment::Bad, text))
        }
        (false, false) => {
            let text = format!("the SSH server listens at {}, but not at {}, {set}", list(&served), list(&missed));
            Some(Fact::new(Assessment::Note, text))
        }
    }
}
