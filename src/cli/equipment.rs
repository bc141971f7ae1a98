//! The options for labs, shared by every command that builds one.

use clap::{Args, ValueEnum};

use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, Flavour, LabOptions, LinkMode};
use crate::net::sysctl::Sysctls;
use crate::rules::admission::Limits;

/// The options of labs.
#[derive(Debug, Clone, Args)]
pub struct EquipmentArguments {
    /// Which of the installed iptables to use
    #[arg(long, value_enum, default_value_t = FlavourArgument::Auto)]
    pub iptables: FlavourArgument,
    /// How log lines are read: from the kernel's own log, or through NFLOG
    #[arg(long, value_enum, default_value_t = CaptureArgument::Auto)]
    pub capture: CaptureArgument,
    /// Set a sysctl of the lab, such as net.ipv4.conf.all.rp_filter=1; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl: Vec<String>,
    /// Load rulesets that need more memory, or more time for a packet, than usual
    #[arg(long)]
    pub allow_large: bool,
}

/// Which of the installed iptables to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FlavourArgument {
    /// The one that iptables-restore is on this machine
    Auto,
    /// iptables-nft-restore
    Nft,
    /// iptables-legacy-restore
    Legacy,
    /// Both, one after the other; any difference is a mismatch
    Both,
}

/// The kind of link between prober and host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LinkArgument {
    /// Ethernet frames
    Tap,
    /// IP packets
    Tun,
}

/// The source of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CaptureArgument {
    /// nflog for `check`, `record`, `diff` and `teach`; otherwise kmsg if it can be read and LOG rules can be made to
    /// print, else nflog
    Auto,
    /// /dev/kmsg
    Kmsg,
    /// A copy of the ruleset with NFLOG in place of LOG
    Nflog,
}

impl EquipmentArguments {
    /// Finds the requested flavour on this machine; `both` is an error.
    pub fn find(&self, link: LinkMode) -> Result<LabOptions> {
        self.find_with(link, Capture::usual)
    }

    /// As [`Self::find`]; `otherwise` returns the capture if no option sets one.
    pub fn find_with(&self, link: LinkMode, otherwise: fn() -> Capture) -> Result<LabOptions> {
        if self.iptables == FlavourArgument::Both {
            let hint = "run it once with nft and once with legacy";
            return Err(InputError::new("`--iptables both` is for run, check and scan", hint).into());
        }
        self.options(self.iptables, link, otherwise)
    }

    /// Finds the requested flavours on this machine, one or both; `otherwise` returns the capture if no option sets
    /// one.
    pub fn find_all(&self, link: LinkMode, otherwise: fn() -> Capture) -> Result<Vec<LabOptions>> {
        let flavours = match self.iptables {
            FlavourArgument::Both => vec![FlavourArgument::Nft, FlavourArgument::Legacy],
            one => vec![one],
        };
        flavours.into_iter().map(|flavour| self.options(flavour, link, otherwise)).collect()
    }

    fn options(&self, flavour: FlavourArgument, link: LinkMode, otherwise: fn() -> Capture) -> Result<LabOptions> {
        let capture = match self.capture {
            CaptureArgument::Auto => otherwise(),
            CaptureArgument::Kmsg => Capture::Kmsg,
            CaptureArgument::Nflog => Capture::Nflog,
        };
        let mut equipment = LabOptions { link, capture, sysctls: self.sysctls()?, ..usual(flavour)? };
        equipment.iptables.terms.limits = self.limits();
        Ok(equipment)
    }

    const fn limits(&self) -> Limits {
        if self.allow_large { Limits::LARGE } else { Limits::USUAL }
    }

    /// Refuses rulesets with too many lines. Every command does so before any other code reads a ruleset.
    pub fn admit_sizes<'a>(&self, mut rulesets: impl Iterator<Item = &'a Source>) -> Result<()> {
        Ok(rulesets.try_for_each(|ruleset| self.limits().admit_size(ruleset))?)
    }

    fn sysctls(&self) -> Result<Sysctls> {
        let mut sysctls = Sysctls::default();
        for text in &self.sysctl {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let set = sysctls.set(name.trim(), value.trim(), "--sysctl");
            set.map_err(|(problem, hint)| InputError::new(format!("--sysctl: {problem}"), hint))?;
        }
        Ok(sysctls)
    }
}

/// A TAP and the kernel's own log, with the iptables found in PATH.
pub fn usual(flavour: FlavourArgument) -> Result<LabOptions> {
    LabOptions::usual(flavour.into(), &std::env::var("PATH").unwrap_or_default())
}

impl From<FlavourArgument> for Flavour {
    fn from(argument: FlavourArgument) -> Flavour {
        match argument {
            FlavourArgument::Auto | FlavourArgument::Both => Flavour::Auto,
            FlavourArgument::Nft => Flavour::Nft,
            FlavourArgument::Legacy => Flavour::Legacy,
        }
    }
}

impl From<LinkArgument> for LinkMode {
    fn from(argument: LinkArgument) -> LinkMode {
        match argument {
            LinkArgument::Tap => LinkMode::Tap,
            LinkArgument::Tun => LinkMode::Tun,
        }
    }
}
