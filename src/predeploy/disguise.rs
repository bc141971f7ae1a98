//! Does it still look like a Raspberry Pi? What the MAC address tells, an IPv6 address that was made of one, and whether
//! the `.link` file will take effect.

use std::net::{IpAddr, Ipv6Addr};

use super::{Answer, Fact, Question, Subject, Tone};
use crate::iptables_save::{Listing, Match};
use crate::lab::HOST_MAC;
use crate::net::Mac;
use crate::sensor::LinkFile;
use crate::vendor::Vendor;

pub fn answer(subject: &Subject) -> Answer {
    let mut facts = vec![mac(subject)];
    facts.extend(addresses(subject));
    if let Some(link) = subject.link {
        facts.extend(link_file(subject, link));
    }
    facts.extend(subject.machine.and_then(|machine| host_name(&machine.host_name)));
    let text = "not looked at: what services say of themselves, such as `Raspbian` in the greeting of an SSH server";
    facts.push(Fact::new(Tone::Note, text));
    Answer::new(Question::Disguise, facts, ["Yes, or it may.", "No."])
}

fn mac(subject: &Subject) -> Fact {
    let Some(mac) = subject.scenario.host.mac else {
        let text = "the sensor names no MAC address, so nothing hides the one of the hardware: add `mac` or `link` to \
                    [host], or --link FILE";
        return Fact::new(Tone::Note, text);
    };
    let vendor = subject.vendors.lookup(mac);
    let names = names(&vendor);
    if vendor.is_raspberry_pi() {
        return Fact::new(Tone::Bad, format!("the MAC address {mac} says Raspberry Pi ({names})"));
    }
    let wanted = subject.scenario.host.vendor.as_deref();
    let is_wanted = wanted.is_none_or(|wanted| says(&vendor, wanted));
    match wanted.filter(|_| !is_wanted) {
        Some(wanted) => Fact::new(Tone::Bad, format!("the MAC address {mac} does not say {wanted:?} ({names})")),
        None => Fact::new(Tone::Good, format!("the MAC address {mac}: {names}")),
    }
}

fn says(vendor: &Vendor, wanted: &str) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    vendor.nmap.iter().chain(&vendor.ieee).any(|name| name.to_ascii_lowercase().contains(&wanted))
}

fn names(vendor: &Vendor) -> String {
    let of = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".to_owned());
    format!("nmap prints {}, the IEEE has {}", of(&vendor.nmap), of(&vendor.ieee))
}

/// Those of the machine where it is asked, else the sensor's.
fn addresses(subject: &Subject) -> Vec<Fact> {
    let own = subject.machine.map(|machine| machine.addresses.clone());
    let own = own.unwrap_or_else(|| vec![subject.scenario.host.addresses.v6.host.into()]);
    let mac = subject.scenario.host.mac.unwrap_or(HOST_MAC);
    let made_of = own.into_iter().filter_map(|address| match address {
        IpAddr::V6(address) => Some((address, mac_in(address)?)),
        IpAddr::V4(_) => None,
    });
    made_of.filter_map(|(address, old)| of_address(subject, address, old, mac)).collect()
}

fn of_address(subject: &Subject, address: Ipv6Addr, old: Mac, mac: Mac) -> Option<Fact> {
    if subject.vendors.is_raspberry_pi(old) {
        let text = format!(
            "the IPv6 address {address} was made of the MAC address {old}, which says Raspberry Pi: whoever sees the \
             address sees that; a new MAC address does not change one that is set by hand"
        );
        return Some(Fact::new(Tone::Bad, text));
    }
    let text = format!("the IPv6 address {address} still holds another MAC address, {old}");
    (old != mac).then(|| Fact::new(Tone::Note, text))
}

/// The MAC address that an interface identifier was made of: `ff:fe` in its middle, and the U/L bit turned (RFC 4291,
/// appendix A). b8:27:eb:12:34:56 makes ba27:ebff:fe12:3456.
pub fn mac_in(address: Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, 0xff, 0xfe, d, e, f] = address.octets() else { return None };
    Some(Mac([a ^ 2, b, c, d, e, f]))
}

fn host_name(name: &str) -> Option<Fact> {
    let text = format!("the machine is called {name}: DHCP and mDNS tell that to the whole network");
    name.to_ascii_lowercase().contains("raspberry").then(|| Fact::new(Tone::Note, text))
}

/// 1. Another MAC address than the sensor's own is a slip of one of them: the sensor's `[host]` was set aside.
/// 2. Without a `[Match]` that says anything systemd takes the file for every interface.
/// 3. A match on the MAC address fails as soon as that is another one.
/// 4. On this machine: whether it takes the interface at all.
/// 5. A name policy may give the interface another name than the one that rules ask for.
fn link_file(subject: &Subject, link: &LinkFile) -> Vec<Fact> {
    let name = link.source.name.display().to_string();
    let mut facts = Vec::new();
    if link.matches.is_empty() {
        let text = format!(
            "{name}: [Match] says nothing, so every interface gets the same MAC address; write OriginalName=eth0 there"
        );
        facts.push(Fact::new(Tone::Bad, text));
    }
    if let Some(setting) = link.matching("MACAddress") {
        let line = setting.line;
        let text = match setting.value.parse::<Mac>().is_ok_and(|mac| mac == link.mac) {
            true => format!(
                "{name}:{line}: [Match] asks for the new MAC address, which no interface has before the file is applied"
            ),
            false => format!(
                "{name}:{line}: [Match] asks for the present MAC address, which is another one once the file was applied; PermanentMACAddress= asks for the one in the hardware"
            ),
        };
        let tone = if setting.value.parse::<Mac>().is_ok_and(|mac| mac == link.mac) { Tone::Bad } else { Tone::Note };
        facts.push(Fact::new(tone, text));
    }
    facts.extend(takes_interface(subject, link, &name));
    facts.extend(renames(subject, link, &name));
    if facts.iter().all(|fact| fact.tone != Tone::Bad) {
        facts.push(Fact::new(Tone::Good, format!("{name} gives {}, from the next boot on", link.mac)));
    }
    facts
}

fn takes_interface(subject: &Subject, link: &LinkFile, name: &str) -> Option<Fact> {
    let machine = subject.machine?;
    let is_one_of = |setting: &str, mac: Option<Mac>| {
        let setting = link.matching(setting)?;
        let named = setting.value.split_whitespace().any(|word| word.parse::<Mac>().ok() == mac && mac.is_some());
        (!named).then_some(setting)
    };
    let original = link.matching("OriginalName").filter(|setting| {
        let matches =
            |word: &str| glob::Pattern::new(word).is_ok_and(|pattern| pattern.matches(machine.interface.as_str()));
        !setting.value.split_whitespace().any(matches)
    });
    let failed = original
        .or_else(|| is_one_of("PermanentMACAddress", machine.permanent_mac.or(machine.mac)))
        .or_else(|| is_one_of("MACAddress", machine.permanent_mac.or(machine.mac)))?;
    let text = format!(
        "{name}:{}: {}={} is not {} of this machine, so the file will not be applied to it",
        failed.line, failed.key, failed.value, machine.interface
    );
    Some(Fact::new(Tone::Bad, text))
}

fn renames(subject: &Subject, link: &LinkFile, name: &str) -> Option<Fact> {
    let own = &subject.scenario.host.interface;
    let is_asked_for = |listing: &Listing| {
        listing.rules().flat_map(|(.., rule)| &rule.clauses).any(|clause| match &clause.ask {
            Match::InInterface(name) | Match::OutInterface(name) => name == own.as_str(),
            _ => false,
        })
    };
    let listings = subject.rulesets.iter().map(|(family, source)| Listing::parse(*family, source));
    if !listings.into_iter().any(|listing| is_asked_for(&listing)) {
        return None;
    }
    let setting = match (link.other("Name").filter(|setting| setting.value != own.as_str()), link.other("NamePolicy")) {
        (Some(setting), _) => setting,
        (None, Some(setting))
            if !matches!(setting.value.as_str(), "kernel" | "keep" | "keep kernel" | "kernel keep") =>
        {
            setting
        }
        (None, _) => return None,
    };
    let text = format!(
        "{name}:{}: {}={} may give {own} another name, and rules ask for {own}",
        setting.line, setting.key, setting.value
    );
    Some(Fact::new(Tone::Note, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_in_an_address_is_found() {
        let mac = |text: &str| mac_in(text.parse().unwrap()).map(|mac| mac.to_string());
        assert_eq!(mac("2001:db8:113::ba27:ebff:fe12:3456").as_deref(), Some("b8:27:eb:12:34:56"));
        assert_eq!(mac("2001:db8:113::10"), None);
    }
}
