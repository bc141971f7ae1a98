//! The options of nmap's "Firewall/IDS evasion and spoofing" that change what a probe looks like: read and checked here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use clap::Args;

use crate::error::{InputError, Result as Outcome};
use crate::net::{Addresses, Family};
use crate::phase::{self, Random, SEED};
use crate::port::Port;
use crate::probe::Craft;
use crate::scan::{TcpFlagsOctet, Technique};

/// What a probe is to look like, where it is not the technique's own look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct EvasionArguments {
    /// The TCP flags that are sent: names, like SYNFIN, or a number
    #[arg(long, value_name = "FLAGS", hide_short_help = true)]
    pub scanflags: Option<TcpFlagsOctet>,
    /// Send a wrong checksum
    #[arg(long, hide_short_help = true)]
    pub badsum: bool,
    /// The source port of every probe; also -g PORT
    #[arg(long, value_name = "PORT", value_parser = parse_port, hide_short_help = true)]
    pub source_port: Option<Port>,
    /// The TTL, or hop limit, of every probe
    #[arg(long, value_name = "TTL", hide_short_help = true)]
    pub ttl: Option<u8>,
    /// The source address of every probe; also -S ADDRESS
    #[arg(long, value_name = "ADDRESS", hide_short_help = true)]
    pub source_address: Option<IpAddr>,
    /// Addresses that seem to scan as well, and where among them ME stands; also -D LIST
    #[arg(long, value_name = "LIST", hide_short_help = true)]
    pub decoys: Option<Decoys>,
}

impl EvasionArguments {
    /// How the probes are to be made.
    pub fn craft(&self) -> Craft {
        Craft {
            scanflags: self.scanflags.map(|flags| flags.0),
            badsum: self.badsum,
            source_port: self.source_port,
            ttl: self.ttl,
            source: self.source_address,
        }
    }

    /// Fails for an address of a family in which nothing is scanned: it would go unused, and nobody would know.
    pub fn check_families(&self, families: &[Family]) -> Outcome<()> {
        let decoys = self.decoys.iter().flat_map(|Decoys(decoys)| decoys).filter_map(|decoy| match decoy {
            Decoy::Address(address) => Some(*address),
            Decoy::Me | Decoy::Random(_) => None,
        });
        let stray = self.source_address.into_iter().chain(decoys).find(|one| !families.contains(&Family::of(*one)));
        let Some(stray) = stray else { return Ok(()) };
        let scanned = families.iter().map(Family::to_string).collect::<Vec<_>>().join(" and ");
        let hint = "name an address of the family that is scanned; -4 and -6 choose it";
        Err(InputError::new(format!("{stray} takes no part in a scan over {scanned}"), hint).into())
    }

    /// A connect is the kernel's own (nmap reference guide, `-sT`): only its addresses, its source port and its TTL can be
    /// chosen.
    pub fn say_what_a_connect_leaves_out(&self, techniques: &[Technique]) {
        let given =
            [("--scanflags", self.scanflags.is_some()), ("--badsum", self.badsum), ("--decoys", self.decoys.is_some())];
        let without_effect: Vec<&str> =
            given.into_iter().filter_map(|(option, given)| given.then_some(option)).collect();
        if techniques.contains(&Technique::Connect) && !without_effect.is_empty() {
            crate::cli::say(&format!("without a meaning for -sT, and left out there: {}", without_effect.join(" ")));
        }
    }

    /// Who else seems to scan; addresses by chance are those of the lab's networks.
    ///
    /// # Errors
    /// When a network has not so many addresses.
    pub fn decoys(&self, addresses: &Addresses, families: &[Family]) -> Outcome<phase::Decoys> {
        let mut decoys = phase::Decoys::default();
        let Some(Decoys(given)) = &self.decoys else { return Ok(decoys) };
        let mut chance = Chance::new(addresses);
        let mut has_passed_me = false;
        for decoy in given {
            let drawn = match decoy {
                Decoy::Me => {
                    has_passed_me = true;
                    Vec::new()
                }
                Decoy::Address(address) => vec![*address],
                Decoy::Random(count) => chance.draw(usize::from(*count), families)?,
            };
            if has_passed_me { decoys.after.extend(drawn) } else { decoys.before.extend(drawn) }
        }
        Ok(decoys)
    }
}

/// Draws neighbours of the host: the same ones each time, since two runs of the same inputs send the same bytes.
struct Chance<'a> {
    addresses: &'a Addresses,
    random: Random,
    drawn: Vec<IpAddr>,
}

impl Chance<'_> {
    fn new(addresses: &Addresses) -> Chance<'_> {
        Chance { addresses, random: Random(SEED), drawn: Vec::new() }
    }

    /// So many in each of the families.
    fn draw(&mut self, count: usize, families: &[Family]) -> Outcome<Vec<IpAddr>> {
        const TRIES: usize = 10_000;
        let mut found = Vec::new();
        for family in families {
            let wanted = found.len() + count;
            let tries = std::iter::repeat_with(|| self.neighbour(*family)).take(TRIES).collect::<Vec<_>>();
            for address in tries {
                if found.len() < wanted && self.is_free(address) {
                    self.drawn.push(address);
                    found.push(address);
                }
            }
            if found.len() < wanted {
                let problem = format!("the {family} network of the host has no {count} free addresses for decoys");
                return Err(InputError::new(problem, "choose a larger one with --host-addr ADDRESS/LEN").into());
            }
        }
        Ok(found)
    }

    /// The host's address with other low bits, as many as its network has and eight at most.
    fn neighbour(&mut self, family: Family) -> IpAddr {
        let low = |prefix_len: u8, width: u8| 1u32 << (width.saturating_sub(prefix_len)).min(8);
        match family {
            Family::Ipv4 => {
                let bits = low(self.addresses.v4.prefix_len, 32);
                let host = self.addresses.v4.host.to_bits();
                IpAddr::V4(Ipv4Addr::from_bits(host & !(bits - 1) | self.random.below(bits)))
            }
            Family::Ipv6 => {
                let bits = low(self.addresses.v6.prefix_len, 128);
                let host = self.addresses.v6.host.to_bits();
                IpAddr::V6(Ipv6Addr::from_bits(host & !u128::from(bits - 1) | u128::from(self.random.below(bits))))
            }
        }
    }

    /// Neither one of the two ends, nor the network itself or its broadcast address.
    fn is_free(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        let ends = [self.addresses.host(family), self.addresses.prober(family)];
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        !ends.contains(&address) && !self.drawn.contains(&address) && !matches!(last, 0 | 255)
    }
}

/// Who seems to scan, in the order in which they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoys(pub Vec<Decoy>);

/// One of those who seem to scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoy {
    /// The prober itself.
    Me,
    /// Somebody else.
    Address(IpAddr),
    /// So many addresses, drawn by chance.
    Random(u8),
}

/// The text is no list of decoys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no decoy: write addresses, ME, or RND:NUMBER, with commas between", .0.escape_debug())]
pub struct DecoyError(pub String);

impl FromStr for Decoys {
    type Err = DecoyError;

    /// Without ME the prober comes last (nmap puts it anywhere).
    fn from_str(text: &str) -> Result<Self, DecoyError> {
        let mut decoys = text.split(',').map(str::parse).collect::<Result<Vec<Decoy>, _>>()?;
        let twice = decoys.iter().filter(|decoy| **decoy == Decoy::Me).count() > 1;
        if twice {
            return Err(DecoyError(text.to_owned()));
        }
        if !decoys.contains(&Decoy::Me) {
            decoys.push(Decoy::Me);
        }
        Ok(Decoys(decoys))
    }
}

impl FromStr for Decoy {
    type Err = DecoyError;

    fn from_str(text: &str) -> Result<Self, DecoyError> {
        let upper = text.to_ascii_uppercase();
        let decoy = match upper.as_str() {
            "ME" => Some(Decoy::Me),
            "RND" => Some(Decoy::Random(1)),
            upper => match upper.strip_prefix("RND:") {
                Some(count) => count.parse().ok().filter(|count| (1..=127).contains(count)).map(Decoy::Random),
                None => text.parse().ok().map(Decoy::Address),
            },
        };
        decoy.ok_or_else(|| DecoyError(text.to_owned()))
    }
}

fn parse_port(text: &str) -> Result<Port, String> {
    let parsed: Result<u16, _> = text.parse();
    parsed.map(Port).map_err(|_| format!("`{}` is no port number", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoys_are_read() {
        let address = |text: &str| Decoy::Address(text.parse().unwrap());
        for (text, decoys) in [
            ("192.0.2.1,ME,2001:db8::1", vec![address("192.0.2.1"), Decoy::Me, address("2001:db8::1")]),
            ("192.0.2.1", vec![address("192.0.2.1"), Decoy::Me]),
            ("rnd:5,me", vec![Decoy::Random(5), Decoy::Me]),
        ] {
            assert_eq!(text.parse(), Ok(Decoys(decoys)), "{text}");
        }
        for text in ["", "ME,ME", "RND:0", "RND:128", "example.org", "192.0.2.1,,ME"] {
            assert!(text.parse::<Decoys>().is_err(), "{text}");
        }
    }
}
