//! The options of nmap's "Firewall/IDS evasion and spoofing" that change what a probe looks like: read and checked here.

use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;

use crate::port::Port;
use crate::scan::TcpFlagsOctet;

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
    /// The names of the options that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let EvasionArguments { scanflags, badsum, source_port, ttl, source_address, decoys } = self;
        let given = [
            ("--scanflags", scanflags.is_some()),
            ("--badsum", *badsum),
            ("--source-port", source_port.is_some()),
            ("--ttl", ttl.is_some()),
            ("-S", source_address.is_some()),
            ("-D", decoys.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
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
