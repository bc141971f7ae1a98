//! `ssh_from`: the networks from which the management SSH server is reachable. Most people accept SSH only from the
//! network that they work in.

use std::net::IpAddr;

use super::table::{TomlTable, Value};
use crate::error::Result;
use crate::net::port::Port;
use crate::net::{Addresses, Family, Network, NetworkError};

/// The sources from which SSH is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshFrom {
    /// From every address of both families.
    Everywhere,
    /// From these networks, none of which contains another. A family without networks is closed.
    Networks(Vec<Network>),
}

impl SshFrom {
    /// True if SSH is accepted from `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks(Family::from_address(address)).iter().any(|network| network.contains(address))
    }

    /// The networks of `family`, in the order of the file; *everywhere* is a network too.
    pub fn networks(&self, family: Family) -> Vec<Network> {
        match self {
            SshFrom::Everywhere => vec![Network::everything(family)],
            SshFrom::Networks(networks) => networks.iter().copied().filter(|of| of.family() == family).collect(),
        }
    }

    /// Source addresses of `family` that may log in: that of the prober if SSH is accepted from it, then some of each
    /// network.
    pub fn clients(&self, addresses: &Addresses, family: Family) -> Vec<IpAddr> {
        let prober = Some(addresses.prober(family)).filter(|prober| self.contains(*prober));
        let networks = self.networks(family);
        let others = networks.iter().flat_map(Network::first_machines).filter(|one| addresses.may_send(*one));
        prober.into_iter().chain(others).collect()
    }

    /// True if the sensor names networks.
    pub fn is_said(&self) -> bool {
        match self {
            SshFrom::Everywhere => false,
            SshFrom::Networks(_) => true,
        }
    }
}

/// Reads `ssh_from`, which applies to the ports of `ssh`.
pub fn read_ssh_from(table: &mut TomlTable<'_>, ssh: &[Port]) -> Result<SshFrom> {
    let Some(value) = table.take("ssh_from") else { return Ok(SshFrom::Everywhere) };
    if ssh.is_empty() {
        let hint = "name the port of the management server in `ssh`, or remove `ssh_from`";
        return Err(value
            .error("`ssh_from` limits where SSH is accepted from, and the sensor serves no SSH", hint)
            .into());
    }
    let spot = value.spot();
    let listed = value.into_one_or_many();
    if listed.len().saturating_mul(ssh.len()) > MOST_RULES {
        let problem = format!(
            "SSH has {} networks for each of {} ports, which needs more than {MOST_RULES} rules",
            listed.len(),
            ssh.len()
        );
        return Err(spot.error(problem, "name wider networks, or fewer ports in `ssh`").into());
    }
    let mut networks = Vec::new();
    for value in listed {
        let network = read_network(&value)?;
        apart(&value, network, &networks)?;
        networks.push(network);
    }
    if networks.is_empty() {
        let hint = "name the network that you log in from; without `ssh_from` SSH is accepted from everywhere";
        return Err(spot.error("`ssh_from` is empty: you would be locked out", hint).into());
    }
    Ok(SshFrom::Networks(networks))
}

/// Each network has a rule for each port of `ssh`, and clients that are tried.
const MOST_RULES: usize = 1_000;

fn read_network(value: &Value<'_>) -> Result<Network> {
    if value.as_text().is_none() {
        return value.wrong_type("a network like \"192.0.2.0/24\", an address, or a list of them");
    }
    let network: Network = value.text()?.parse().map_err(|error: NetworkError| {
        let hint = error.hint();
        value.error(error, hint)
    })?;
    of_machines(value, network)?;
    Ok(network)
}

/// Networks that packets never come from, so that a rule for them would accept nothing.
const OF_NOBODY: [(&str, &str, &str); 7] = [
    ("0.0.0.0/8", "\"this network\" (RFC 791)", UNICAST),
    ("127.0.0.0/8", "the machine's own loopback", "its own packets do not arrive over the network"),
    ("224.0.0.0/4", "multicast", UNICAST),
    ("224.0.0.0/3", "multicast or reserved (RFC 1112)", UNICAST),
    ("::ffff:0:0/96", "IPv4-mapped", "on the wire it is IPv4: write the IPv4 network"),
    ("::/96", "loopback, or an unused IPv6 form of IPv4 (RFC 4291)", UNICAST),
    ("ff00::/8", "multicast", UNICAST),
];

const UNICAST: &str = "name the addresses of the machines that you log in from";

fn of_machines(value: &Value<'_>, network: Network) -> Result<()> {
    let holds = |text: &str| text.parse().is_ok_and(|nobodys: Network| nobodys.covers(&network));
    match OF_NOBODY.into_iter().find(|(text, ..)| holds(text)) {
        None => Ok(()),
        Some((_, what, hint)) => {
            Err(value.error(format!("no one can log in from {network}: it is {what}"), hint).into())
        }
    }
}

/// Refuses overlapping networks: after one of two rules for the same address is removed, SSH would unexpectedly stay
/// open.
fn apart(value: &Value<'_>, network: Network, others: &[Network]) -> Result<()> {
    let problem = match others.iter().find(|other| other.covers(&network) || network.covers(other)) {
        None => return Ok(()),
        Some(other) if *other == network => format!("{network} is listed twice"),
        Some(other) if other.covers(&network) => format!("{network} lies in {other}, which is listed too"),
        Some(other) => format!("{other}, which is listed too, lies in {network}"),
    };
    Err(value.error(problem, "name each address once: keep the wider network").into())
}
