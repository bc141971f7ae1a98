//! The options of a lab, independent of the ruleset.

use schemars::JsonSchema;
use serde::Serialize;

use super::iptables::{Backend, Flavour, Iptables};
use crate::error::{Result, Source};
use crate::lab::log::kernel_log::KernelLog;
use crate::lab::log::nf_log_netns::NfLogAllNetns;
use crate::net::Family;
use crate::net::sysctl::Sysctls;
use crate::probe::ETHERNET_HEADER;
use crate::rules::iptables_save::Listing;

/// The options of a lab: chosen once on the command line, and the same for every lab of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabOptions {
    /// The programs that load the ruleset.
    pub iptables: Iptables,
    /// The kind of link between prober and host.
    pub link: LinkMode,
    /// The source of log lines.
    pub capture: Capture,
    /// Sysctls that the user set.
    pub sysctls: Sysctls,
}

/// The kind of link between prober and host (Documentation/networking/tuntap.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkMode {
    /// Ethernet frames: MAC addresses, ARP, neighbour discovery.
    #[default]
    Tap,
    /// IP packets, without MAC addresses, ARP and neighbour discovery.
    Tun,
}

impl LinkMode {
    /// The part of an Ethernet frame that travels on the link: on a TUN, the packet alone.
    pub fn carried(self, frame: &[u8]) -> &[u8] {
        match self {
            LinkMode::Tap => frame,
            LinkMode::Tun => &frame[ETHERNET_HEADER..],
        }
    }

    /// True if the ends of the link have MAC addresses, by which they find each other.
    pub fn has_macs(self) -> bool {
        self == LinkMode::Tap
    }
}

/// The source of the lines of LOG rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// The kernel's log, `/dev/kmsg`.
    #[default]
    Kmsg,
    /// A copy of the ruleset with NFLOG in place of LOG: each line is rendered as the kernel would print it.
    Nflog,
}

impl Capture {
    /// The kernel's own log if this user may read it and let LOG rules print, else NFLOG. Nothing is changed.
    pub fn usual() -> Capture {
        let may = KernelLog::is_readable() && NfLogAllNetns::is_writable();
        if may { Capture::Kmsg } else { Capture::Nflog }
    }
}

impl LabOptions {
    /// A TAP and the usual capture, with the iptables found in `path`, the value of PATH.
    pub fn usual(flavour: Flavour, path: &str) -> Result<LabOptions> {
        let iptables = Iptables::find(flavour, path)?;
        Ok(LabOptions { iptables, link: LinkMode::default(), capture: Capture::usual(), sysctls: Sysctls::default() })
    }

    /// The same options, with `sysctls` added; its own take precedence.
    pub fn over(self, sysctls: &Sysctls) -> LabOptions {
        LabOptions { sysctls: sysctls.clone().with(&self.sysctls), ..self }
    }

    /// The rules of `source`, read as the iptables-restore in use loads them.
    pub fn listing(&self, family: Family, source: &Source) -> Listing {
        Listing::parse_for(self.backend(), family, source)
    }

    /// The kernel interface that the rules are written to.
    pub fn backend(&self) -> Backend {
        self.iptables.backend
    }
}
