//! The question of whether it still looks like a Raspberry Pi: the vendor of the MAC address, an IPv6 address that was
//! derived from one, and the effect of the `.link` file.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    Assessment, Fact, Families, PredeployQuestion, PredeploySubject, QuestionAnswer, RelatedChecks, link_file,
};
use crate::lab::HOST_MAC;
use crate::net::Mac;
use crate::sensor::mac_vendor::Vendor;

pub fn answer(subject: &PredeploySubject) -> QuestionAnswer {
    let mut facts = vec![mac(subject)];
    facts.extend(addresses(subject));
    facts.extend(subject.link.map(|link| link_file::facts(subject, link)).unwrap_or_default());
    facts.extend(subject.machine.and_then(|machine| host_name(&machine.host_name)));
    let text = "not checked: service banners, such as `Raspbian` in that of an SSH server";
    facts.push(Fact::new(Assessment::Note, text));
    let good = if subject.scenario.host.mac.is_some() { "Not by its addresses." } else { "Not checked." };
    QuestionAnswer::new(PredeployQuestion::Disguise, facts, ["Possibly.", good])
}

fn mac(subject: &PredeploySubject) -> Fact {
    let Some(mac) = subject.scenario.host.mac else {
        let text = "not checked: no MAC is set; a Raspberry Pi shows its own (to set one, add `mac` or `link` to [host], \
                    or --link FILE)";
        return Fact::new(Assessment::Note, text);
    };
    let vendor = subject.vendors.lookup(mac);
    let names = names(&vendor);
    if vendor.is_raspberry_pi() {
        let text = format!("the MAC address {mac} identifies a Raspberry Pi ({names})");
        return Fact::new(Assessment::Bad, text).fixed_by(ANOTHER_MAC).about(&Families::default(), RelatedChecks::Mac);
    }
    let wanted = subject.scenario.host.vendor.as_deref();
    let is_wanted = wanted.is_none_or(|wanted| says(&vendor, wanted));
    match wanted.filter(|_| !is_wanted) {
        Some(wanted) => Fact::new(Assessment::Bad, format!("the MAC address {mac} is not of {wanted:?} ({names})"))
            .about(&Families::default(), RelatedChecks::Mac),
        None => Fact::new(Assessment::Good, format!("the MAC address {mac}: {names}")),
    }
}

const ANOTHER_MAC: &str = "set `mac` in [host] of the sensor to an address of another vendor; `scanlab generate` writes \
                           the .link file that applies it";

fn says(vendor: &Vendor, wanted: &str) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    vendor.nmap.iter().chain(&vendor.ieee).any(|name| name.to_ascii_lowercase().contains(&wanted))
}

fn names(vendor: &Vendor) -> String {
    let of = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".to_owned());
    format!("nmap prints {}, the IEEE has {}", of(&vendor.nmap), of(&vendor.ieee))
}

/// The addresses of the machine with --live, else those of the sensor.
fn addresses(subject: &PredeploySubject) -> Vec<Fact> {
    let own = subject.machine.map(|machine| machine.addresses.clone());
    let own = own.unwrap_or_else(|| vec![subject.scenario.host.addresses.v6.host.into()]);
    let mac = subject.scenario.host.mac.unwrap_or(HOST_MAC);
    let made_of = own.into_iter().filter_map(|address| match address {
        IpAddr::V6(address) => Some((address, mac_in(address)?)),
        IpAddr::V4(_) => None,
    });
    made_of.filter_map(|(address, old)| of_address(subject, address, old, mac)).collect()
}

fn of_address(subject: &PredeploySubject, address: Ipv6Addr, old: Mac, mac: Mac) -> Option<Fact> {
    if subject.vendors.is_raspberry_pi(old) {
        let text = format!(
            "the IPv6 address {address} is derived from the MAC address {old}, which identifies a Raspberry Pi; a \
             new MAC address does not change an IPv6 address that is set by hand"
        );
        return Some(Fact::new(Assessment::Bad, text));
    }
    let text = format!("the IPv6 address {address} still contains another MAC address, {old}");
    (old != mac).then(|| Fact::new(Assessment::Note, text))
}

/// The MAC address from which an interface identifier was derived: `ff:fe` in its middle, and the U/L bit flipped (RFC
/// 4291, appendix A). b8:27:eb:12:34:56 becomes ba27:ebff:fe12:3456.
pub fn mac_in(address: Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, 0xff, 0xfe, d, e, f] = address.octets() else { return None };
    Some(Mac([a ^ 2, b, c, d, e, f]))
}

fn host_name(name: &str) -> Option<Fact> {
    let text = format!("the machine is called {name}: DHCP and mDNS announce that to the whole network");
    name.to_ascii_lowercase().contains("raspberry").then(|| Fact::new(Assessment::Note, text))
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
