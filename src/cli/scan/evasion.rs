//! The options of nmap's "Firewall/IDS evasion and spoofing" that change the fields of a probe: parsed and checked
//! here.

use std::net::IpAddr;

use clap::Args;

use crate::error::{InputError, Result as Outcome};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::ProbeOverrides;
use crate::probe::scan::Technique;
use crate::wire::tcp_flags::TcpFlags;

/// The fields of probes that differ from those of the technique.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct EvasionArguments {
    /// The TCP flags that are sent: names, like SYNFIN, or a number
    #[arg(long, value_name = "FLAGS", hide_short_help = true)]
    pub scanflags: Option<TcpFlags>,
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
}

impl EvasionArguments {
    /// The overrides of probe fields.
    pub fn craft(&self) -> ProbeOverrides {
        ProbeOverrides {
            scanflags: self.scanflags.map(|flags| flags.0),
            badsum: self.badsum,
            source_port: self.source_port,
            ttl: self.ttl,
            source: self.source_address,
        }
    }

    /// Fails for an address of a family that is not scanned: it would silently go unused.
    pub fn check_families(&self, families: &[Family]) -> Outcome<()> {
        let stray = self.source_address.filter(|source| !families.contains(&Family::from_address(*source)));
        let Some(stray) = stray else { return Ok(()) };
        let scanned = families.iter().map(Family::to_string).collect::<Vec<_>>().join(" and ");
        let hint = "name an address of the family that is scanned; -4 and -6 choose it";
        Err(InputError::new(format!("{stray} is not used in a scan over {scanned}"), hint).into())
    }

    /// Prints the options that a connect scan ignores. Its packets are the kernel's own (nmap reference guide, `-sT`),
    /// so only its addresses, its source port and its TTL can be set.
    pub fn say_what_a_connect_leaves_out(&self, techniques: &[Technique]) {
        let given = [("--scanflags", self.scanflags.is_some()), ("--badsum", self.badsum)];
        let without_effect: Vec<&str> =
            given.into_iter().filter_map(|(option, given)| given.then_some(option)).collect();
        if techniques.contains(&Technique::Connect) && !without_effect.is_empty() {
            crate::cli::eprint_notice(&format!("ignored for -sT: {}", without_effect.join(" ")));
        }
    }
}

fn parse_port(text: &str) -> Result<Port, String> {
    let parsed: Result<u16, _> = text.parse();
    parsed.map(Port).map_err(|_| format!("`{}` is not a port number", text.escape_debug()))
}
