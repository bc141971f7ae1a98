//! The intended access of administrators: compares `ssh_from` with the addresses that they work from, and with families
//! without an administrator.

use super::{Assessment, Fact, PredeploySubject};
use crate::lab::Lab;
use crate::net::{Family, Network};
use crate::sensor::SshFrom;

/// The facts; empty if SSH is accepted from everywhere.
pub fn meant(subject: &PredeploySubject) -> Vec<Fact> {
    let SshFrom::Networks(networks) = &subject.sensor.ssh_from else { return Vec::new() };
    let is_missing = |family: &Family| !subject.admins.iter().any(|admin| Family::from_address(*admin) == *family);
    let unused = Lab::families().into_iter().filter(is_missing).map(|family| without_admin(networks, family));
    let outside = subject.admins.iter().filter(|admin| !subject.sensor.ssh_from.contains(**admin));
    let kept_out = outside.map(|admin| {
        let text = format!(
            "you log in from {admin}, but the sensor file does not accept SSH from there: its `ssh_from` names {}",
            of_family(networks, Family::from_address(*admin))
        );
        Fact::new(Assessment::Bad, text).fixed_by("add the address that you log in from to `ssh_from`").of_sensor(true)
    });
    kept_out.chain(unused).collect()
}

fn of_family(networks: &[Network], family: Family) -> String {
    let named: Vec<String> =
        networks.iter().filter(|network| network.family() == family).map(Network::to_string).collect();
    match named.is_empty() {
        true => format!("no {} network", family.title()),
        false => format!("{} only", named.join(" and ")),
    }
}

fn without_admin(networks: &[Network], family: Family) -> Fact {
    let over = family.title();
    if networks.iter().any(|network| network.family() == family) {
        let why = "no address in `ssh_from` can be tested: name the address that you log in from with --admin";
        return Fact::new(Assessment::Bad, format!("whether you can log in over {over} is not known: {why}"));
    }
    let other = Family::BOTH.into_iter().find(|other| *other != family).map_or("none", Family::title);
    Fact::new(Assessment::Note, format!("SSH is reached over {other} only: `ssh_from` names no {over} network"))
}
