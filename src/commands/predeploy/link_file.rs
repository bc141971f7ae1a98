//! Decides whether a `.link` file sets the MAC address of the interface at the next boot, as systemd.link(5) describes:
//! the name of the file, its order among other files, and the conditions of `[Match]`.

use std::path::Path;

use super::{Assessment, Fact, PredeploySubject};
use crate::net::Mac;
use crate::rules::iptables_save::{Listing, Match};
use crate::sensor::{Conditions, KeyValue, LinkFile};

/// The file of systemd that matches every interface.
const DEFAULT: &str = "99-default.link";

/// The file of Debian's udev that matches network adapters on USB.
const USB: &str = "73-usb-net-by-mac.link";

/// The result of comparing an interface with conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applies<'a> {
    Yes,
    /// It does not fulfil this one.
    No(&'a KeyValue),
    /// The facts for this one are not known here.
    Unknown(&'a KeyValue),
}

/// The facts about `link`, in this order: lines without effect, the name of the file, its order, its conditions, and
/// another name for the interface.
pub fn facts(subject: &PredeploySubject, link: &LinkFile) -> Vec<Fact> {
    let name = link.source.name.display().to_string();
    let mut facts: Vec<Fact> = link
        .ignored
        .iter()
        .map(|(line, why)| Fact::new(Assessment::Note, format!("{name}:{line}: {why}, so systemd ignores this line")))
        .collect();
    facts.extend(suffix(&name));
    facts.extend(order(subject, &name));
    facts.extend(conditions(subject, link, &name));
    facts.extend(renames(subject, link, &name));
    if facts.iter().all(|fact| !matches!(fact.tone, Assessment::Bad | Assessment::Unknown)) {
        facts.push(Fact::new(Assessment::Good, format!("{name} gives {}, from the next boot on", link.mac)));
    }
    facts
}

fn suffix(name: &str) -> Option<Fact> {
    let text = format!("{name}: systemd reads only files whose names end in .link");
    (!name.ends_with(".link")).then(|| Fact::new(Assessment::Bad, text))
}

/// "The first (in alphanumeric order) of the link files that matches a given network interface is applied, all later
/// files are ignored", systemd.link(5).
fn order(subject: &PredeploySubject, name: &str) -> Option<Fact> {
    let file = file_name(name);
    let rename = "rename it, for example to 10-mac.link";
    if file > DEFAULT {
        let text = format!("{name} sorts after systemd's own {DEFAULT}, which matches every interface: {rename}");
        return Some(Fact::new(Assessment::Bad, text));
    }
    let Some(machine) = subject.machine else {
        let text = format!("{name} sorts after Debian's {USB}, which matches network adapters on USB: {rename}");
        return (file > USB).then(|| Fact::new(Assessment::Note, text));
    };
    let earlier = machine.link_files.iter().take_while(|other| file_name_of(&other.name) < file);
    let facts = earlier.filter_map(|other| {
        let shown = other.name.display();
        let conditions = Conditions::parse(other);
        if conditions.0.is_empty() {
            let text = format!(
                "{shown} sorts before {name}, and has no condition: depending on its version, systemd ignores it"
            );
            return Some(Fact::new(Assessment::Unknown, text));
        }
        match applies(subject, &conditions) {
            Applies::Yes => Some(Fact::new(
                Assessment::Bad,
                format!("{shown} sorts before {name} and matches the interface: {rename}"),
            )),
            Applies::Unknown(setting) => {
                let text = format!(
                    "{shown} sorts before {name}, and whether its {}={} matches the interface is not known here",
                    setting.key, setting.value
                );
                Some(Fact::new(Assessment::Unknown, text))
            }
            Applies::No(_) => None,
        }
    });
    facts.min_by_key(|fact| fact.tone)
}

fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn file_name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn conditions(subject: &PredeploySubject, link: &LinkFile, name: &str) -> Vec<Fact> {
    if link.conditions.0.is_empty() {
        let text = format!(
            "{name}: [Match] has no valid condition: depending on its version, systemd applies the file to every \
             interface or to none; add OriginalName={} there",
            subject.scenario.host.interface
        );
        return vec![Fact::new(Assessment::Bad, text)];
    }
    let fact = match applies(subject, &link.conditions) {
        Applies::Yes => None,
        Applies::No(setting) => Some(not_applied(subject, setting, name)),
        Applies::Unknown(setting) => Some(not_known(subject, setting, name)),
    };
    fact.into_iter().chain(match_on_mac(link, name)).collect()
}

fn not_applied(subject: &PredeploySubject, setting: &KeyValue, name: &str) -> Fact {
    let owner = if subject.machine.is_some() { " of this machine" } else { "" };
    let interface = &subject.scenario.host.interface;
    let KeyValue { key, value, line } = setting;
    let text =
        format!("{name}:{line}: {key}={value} does not match {interface}{owner}, so the file is not applied to it");
    Fact::new(Assessment::Bad, text)
}

/// The fact for a condition that cannot be checked here; for the MAC address of another machine the user has to check
/// it.
fn not_known(subject: &PredeploySubject, setting: &KeyValue, name: &str) -> Fact {
    let KeyValue { key, value, line } = setting;
    let interface = &subject.scenario.host.interface;
    if key.ends_with("MACAddress") {
        return Fact::new(
            Assessment::Note,
            format!("{name}:{line}: applies if {value} is the MAC address of {interface}"),
        );
    }
    let advice = if subject.machine.is_some() { "" } else { " (check it on the machine, with --live)" };
    let text = format!("{name}:{line}: whether {key}={value} matches {interface} is not known here{advice}");
    Fact::new(Assessment::Unknown, text)
}

/// A match on the MAC address fails once the interface has another one.
fn match_on_mac(link: &LinkFile, name: &str) -> Option<Fact> {
    let KeyValue { line, value, .. } = link.conditions.get("MACAddress")?;
    let is_new = value.split_whitespace().all(|word| word.parse::<Mac>().is_ok_and(|mac| mac == link.mac));
    let (tone, text) = if is_new {
        (Assessment::Bad, "matches the new MAC address, which no interface has before the file is applied")
    } else {
        (
            Assessment::Note,
            "matches the present MAC address, and no longer once the file is applied; PermanentMACAddress= matches the \
             one of the hardware",
        )
    };
    Some(Fact::new(tone, format!("{name}:{line}: {text}")))
}

fn applies<'a>(subject: &PredeploySubject, conditions: &'a Conditions) -> Applies<'a> {
    let decided: Vec<Applies> = conditions
        .0
        .iter()
        .map(|setting| match fulfils(subject, setting) {
            Some(true) => Applies::Yes,
            Some(false) => Applies::No(setting),
            None => Applies::Unknown(setting),
        })
        .collect();
    let is_no = |one: &&Applies| matches!(one, Applies::No(_));
    let is_unknown = |one: &&Applies| matches!(one, Applies::Unknown(_));
    *decided.iter().find(is_no).or_else(|| decided.iter().find(is_unknown)).unwrap_or(&Applies::Yes)
}

/// True if the interface fulfils one condition; `None` if the property is not known.
fn fulfils(subject: &PredeploySubject, setting: &KeyValue) -> Option<bool> {
    let machine = subject.machine;
    let mac = machine.and_then(|machine| machine.permanent_mac.or(machine.mac));
    let device = machine.map(|machine| &machine.device);
    match setting.key.as_str() {
        "OriginalName" => Some(globs(setting, subject.scenario.host.interface.as_str())),
        "MACAddress" | "PermanentMACAddress" => {
            let mac = mac?;
            Some(setting.value.split_whitespace().any(|word| word.parse() == Ok(mac)))
        }
        "Driver" => Some(globs(setting, device?.driver.as_deref()?)),
        "Path" => Some(globs(setting, device?.path.as_deref()?)),
        "Type" => Some(globs(setting, device?.kind.as_deref()?)),
        _ => None,
    }
}

/// "If the list is prefixed with a "!", the test is inverted", systemd.link(5).
fn globs(setting: &KeyValue, name: &str) -> bool {
    let (is_inverted, patterns) = match setting.value.strip_prefix('!') {
        Some(patterns) => (true, patterns),
        None => (false, setting.value.as_str()),
    };
    let matches = |word: &str| glob::Pattern::new(word).is_ok_and(|pattern| pattern.matches(name));
    patterns.split_whitespace().any(matches) != is_inverted
}

/// A name policy may give the interface another name than the one that the rules use.
fn renames(subject: &PredeploySubject, link: &LinkFile, name: &str) -> Option<Fact> {
    let own = &subject.scenario.host.interface;
    let is_named = |listing: &Listing| {
        listing.rules().flat_map(|rule| &rule.clauses).any(|clause| match &clause.ask {
            Match::InInterface(name) | Match::OutInterface(name) => name == own.as_str(),
            _ => false,
        })
    };
    let listings = subject.rulesets.iter().map(|(family, source)| Listing::parse(*family, source));
    if !listings.into_iter().any(|listing| is_named(&listing)) {
        return None;
    }
    let keeps =
        |setting: &KeyValue| matches!(setting.value.as_str(), "kernel" | "keep" | "keep kernel" | "kernel keep");
    let by_name = link.other("Name").filter(|setting| setting.value != own.as_str());
    let by_policy = || link.other("NamePolicy").filter(|setting| !keeps(setting));
    let KeyValue { key, value, line } = by_name.or_else(by_policy)?;
    let text = format!("{name}:{line}: {key}={value} may give {own} another name, and rules name {own}");
    Some(Fact::new(Assessment::Note, text))
}
