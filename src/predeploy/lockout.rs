//! Will I be locked out? New connections of the administrator, and the one that the rules are loaded over.

use super::{Answer, Before, Fact, Measured, Question, Subject, Tone, name, told_once};
use crate::check::{Check, Outcome};
use crate::lab::{First, Opening, Session, Survival};
use crate::net::Family;
use crate::port::Port;
use crate::run::ScenarioReport;
use crate::scan::Technique;

pub fn answer(subject: &Subject, measured: &Measured, report: &ScenarioReport) -> Answer {
    let mut facts = openings(subject, measured, report);
    facts.extend(sessions(measured));
    for (_, found) in &measured.sessions {
        let unseen = found.neighbourhood.is_some_and(|found| found.advertised.is_none() || !found.resolves);
        if unseen && subject.admins.iter().any(|admin| admin.is_ipv6()) {
            let text = "over IPv6 nobody on the same network finds the machine any more: neighbour discovery (ICMPv6 \
                        types 135 and 136) is dropped";
            facts.push(Fact::new(Tone::Bad, text));
        }
    }
    facts.extend(server(subject));
    let warnings = subject.machine.into_iter().flat_map(|machine| &machine.warnings);
    facts.extend(warnings.map(|warning| Fact::new(Tone::Note, warning.clone())));
    let mut once: Vec<Fact> = Vec::new();
    facts.into_iter().for_each(|fact| {
        if !once.contains(&fact) {
            once.push(fact)
        }
    });
    Answer::new(Question::LockedOut, once, ["Yes.", "No."])
}

/// The same under whatever rules were there before; the worst counts.
fn openings(subject: &Subject, measured: &Measured, report: &ScenarioReport) -> Vec<Fact> {
    let mut worst: Vec<((Family, Port), Opening)> = Vec::new();
    for (family, port, opening) in measured.sessions.iter().flat_map(|(_, found)| &found.openings) {
        match worst.iter_mut().find(|(key, _)| *key == (*family, *port)) {
            Some((_, known)) if *known == Opening::Opens => *known = *opening,
            Some(_) => {}
            None => worst.push(((*family, *port), *opening)),
        }
    }
    let told =
        worst.into_iter().map(|((family, port), opening)| (family, (port, opening, blame(report, family, port))));
    let admins = |families: &str| {
        let is_of = |admin: &&std::net::IpAddr| families.contains(name(Family::of(**admin)));
        subject.admins.iter().filter(is_of).map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    };
    let fact = |(families, (port, opening, blame)): (String, (Port, Opening, Option<String>))| {
        let admins = admins(&families);
        let what = match opening {
            Opening::Opens => {
                let text = format!("a new SSH connection to port {port} opens, over {families} (from {admins})");
                return Fact::new(Tone::Good, text);
            }
            Opening::Silent => "gets no answer",
            Opening::Refused => "is refused",
            Opening::HalfOpen => "is not finished: the handshake breaks off",
            Opening::Mute => "opens, and then nothing gets through",
        };
        let blame = blame.map(|rule| format!("; the rule is {rule}")).unwrap_or_default();
        let text = format!("a new SSH connection to port {port} {what}, over {families} (from {admins}){blame}");
        Fact::new(Tone::Bad, text)
    };
    let mut facts: Vec<Fact> = told_once(told.collect()).into_iter().map(fact).collect();
    if subject.sensor.ssh.is_empty() {
        facts.push(Fact::new(Tone::Note, "the sensor serves no SSH: the machine is reached at its console only"));
    }
    facts
}

/// The rule that took a connection to the port, as the run explained it.
fn blame(report: &ScenarioReport, family: Family, port: Port) -> Option<String> {
    let is_it = |check: &&Check| {
        let is_of_port = check.family == Some(family) && check.port == Some(port) && check.burst_of.is_none();
        let opens = matches!(check.subject.technique(), Some(Technique::Syn | Technique::Connect));
        is_of_port && opens && check.outcome == Outcome::Mismatched
    };
    let place = report.checks.iter().filter(is_it).find_map(|check| check.explanation.as_ref()?.took.as_ref())?;
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    Some(format!("{}{line}: {}", place.file.display(), place.text))
}

/// What is the same under whatever rules were there before, and in both families, is told once.
fn sessions(measured: &Measured) -> Vec<Fact> {
    let mut told: Vec<(Port, Fate, Places)> = Vec::new();
    for (before, found) in &measured.sessions {
        for (family, port, fate) in fates(&found.sessions) {
            match told.iter_mut().find(|(of, what, _)| (*of, *what) == (port, fate)) {
                Some((.., places)) => places.push((*before, family)),
                None => told.push((port, fate, vec![(*before, family)])),
            }
        }
    }
    told.into_iter().map(|(port, fate, places)| fate.fact(port, &where_it_is(measured, &places))).collect()
}

/// Under which rules a connection was opened, and in which family.
type Places = Vec<(Before, Family)>;

fn fates(found: &[Session]) -> Vec<(Family, Port, Fate)> {
    let of = |first: First| found.iter().filter(move |session| session.first == first);
    let fate = |(host, client): (&Session, &Session)| {
        let fate = match (host.survival, client.survival) {
            (Survival::NeverOpen, _) | (_, Survival::NeverOpen) => Fate::NeverOpen,
            (Survival::Dead, _) | (_, Survival::Dead) => Fate::Dies,
            (Survival::Stalls, _) => Fate::WaitsForYou,
            (_, Survival::Stalls) => Fate::WaitsForHost,
            (Survival::Alive, Survival::Alive) => Fate::Stays,
        };
        (host.family, host.port, fate)
    };
    of(First::Host).zip(of(First::Client)).map(fate).collect()
}

/// `IPv4 and IPv6`, or `IPv4, on a machine without rules before`.
fn where_it_is(measured: &Measured, places: &[(Before, Family)]) -> String {
    let told = told_once(places.iter().map(|(_, family)| (*family, ())).collect());
    let families = told.first().map(|(families, ())| families.clone()).unwrap_or_default();
    let is_everywhere = measured.sessions.iter().all(|(before, _)| places.iter().any(|(other, _)| other == before));
    match places.first().filter(|_| !is_everywhere) {
        None => families,
        Some((Before::NoRules, _)) => format!("{families}, on a machine that had no rules before"),
        Some((Before::Tracking, _)) => format!("{families}, on a machine that had such rules before"),
        Some((Before::ThisMachine, _)) => format!("{families}, on this machine"),
    }
}

/// What becomes of the connection that the rules are loaded over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It stands still until the machine says something, as a shell does with its prompt.
    WaitsForHost,
    /// It stands still until somebody types.
    WaitsForYou,
    Dies,
    NeverOpen,
}

impl Fate {
    fn fact(self, port: Port, places: &str) -> Fact {
        let open = format!("a connection to port {port} that is open while the rules are loaded");
        let (tone, text) = match self {
            Fate::Stays => (Tone::Good, format!("{open} stays open ({places})")),
            Fate::WaitsForHost => {
                let but = "what you type arrives once the machine has printed something, such as a prompt";
                (Tone::Good, format!("{open} stays open ({places}): {but}"))
            }
            Fate::WaitsForYou => {
                (Tone::Note, format!("{open} stays open ({places}), and waits until you type something"))
            }
            Fate::Dies => {
                let why = "nothing lets go on what is established, as `-A INPUT -m conntrack --ctstate \
                           RELATED,ESTABLISHED -j ACCEPT` does in front of what drops";
                (Tone::Bad, format!("{open} dies ({places}): {why}"))
            }
            Fate::NeverOpen => (
                Tone::Note,
                format!("under the rules of now no connection to port {port} opens ({places}): none can be lost"),
            ),
        };
        Fact::new(tone, text)
    }
}

/// Whether the SSH server of this machine listens where the sensor lets it.
fn server(subject: &Subject) -> Option<Fact> {
    let listens = subject.machine?.ssh.as_ref()?;
    let missing: Vec<&Port> = listens.iter().filter(|port| !subject.sensor.ssh.contains(port)).collect();
    let list = |ports: &[&Port]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let serves = listens.iter().any(|port| subject.sensor.ssh.contains(port));
    let all = list(&listens.iter().collect::<Vec<_>>());
    Some(match (serves, missing.is_empty()) {
        (true, true) => Fact::new(Tone::Good, format!("the SSH server is set up for port {all}, as in the sensor")),
        (true, false) => Fact::new(
            Tone::Note,
            format!("the SSH server is set up for port {} too, which the sensor does not name", list(&missing)),
        ),
        (false, _) => {
            let text = format!("the SSH server is set up for port {all} (sshd_config), and the sensor lets in another");
            Fact::new(Tone::Bad, text)
        }
    })
}
