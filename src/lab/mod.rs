//! The lab: a temporary network namespace of the running kernel, with the ruleset under test at one end of a TAP or TUN
//! interface and the prober at the other. Processes, sockets and namespaces are in this room only.
//!
//! [`Lab::run`] takes these steps in this order; `building` has those from the source of log lines to the rule trace:
//!
//! | step | modules |
//! | --- | --- |
//! | let LOG rules print in every namespace | `log::nf_log_netns` |
//! | enter a new network namespace, and prove it | `host::namespace` |
//! | open the source of log lines | `log::log_source`: `log::kernel_log` or `log::nflog_lines` |
//! | pin sysctls | `host::pinned_sysctls` |
//! | make the link | `host::interface`, `host::netcfg`, `host::link`; `host::fence` where there is no ARP |
//! | listen | `host::services` |
//! | wait for the host's addresses | `host::readiness` |
//! | load the lab's own table, which catches canaries | `trace::own_table` |
//! | load the ruleset as given; with NFLOG capture, a copy, too | `host::loading`, `host::iptables`, `host::confined` |
//! | read the rule trace | `trace::paths`, `trace::rule_index` |
//! | send canaries, which prove that log and trace are read | `probing::canaries` |
//! | send probes, and assign replies, lines and paths to them | `probing::exchange`, `probing::attribution`, `probing::flows` |
//! | compare what reply, log and trace say | `probing::witnesses` |
//! | send canaries again; assert that nothing was lost | `probing::canaries`, `host::conntrack_watch`, `host::icmp_watch` |
//!
//! The other modules:
//!
//! - `host::user_namespace` gives an ordinary user a lab. `host::lock_folder` has the locks that keep labs of several runs
//!   apart, `probing::tokens` limits how many labs the machine has at a time, `host::notice` says what a run waits for.
//! - `log::nflog_copy` makes the copy for NFLOG capture, with NFLOG in place of LOG.
//! - `host::neighbours` asks for the host's MAC address by ARP and neighbour discovery.
//! - `renewal` renews the limits of the ruleset before a probe could meet a used-up one, with `probing::fresh_limits`.
//! - `probing::sweep` sends every packet that a ruleset distinguishes, with limits removed by `probing::limit_override`.
//! - `probing::sessions` holds connections while rules are loaded; their client is a kernel of its own.
//! - `host::other_end` makes the namespace of such a client, and of a tool, at the other end of the link.
//! - `tool::relay` puts a real tool (`tool::running_tool`) in the place of the prober, in a namespace of its own
//!   (`tool::tool_side`).
//! - `git` reads files at a revision of a repository.
//! - `fault` is for the self-test only: it makes one of the other modules fail on purpose.

mod building;
mod fault;
mod git;
mod host;
mod log;
mod probing;
mod renewal;
mod tool;
mod trace;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio::runtime::Runtime;

pub use fault::{Fault, Sabotage};
pub use git::Revision;
pub use host::confined::Walls;
pub use host::files::assert_room_for_files;
pub use host::interface::DEVICE as TUN_DEVICE;
pub use host::iptables::{Backend, Flavour, Iptables, list_rules};
pub use host::lab_options::{Capture, LabOptions, LinkMode};
pub use host::lock_folder::use_runtime_folder;
pub use host::neighbours::DiscoveredMacs;
pub use host::notice::pass_notices_to;
pub use host::pinned_sysctls::PinnedSysctls;
pub use host::services::HostService;
pub use host::user_namespace::{Privilege, enter_if_needed as enter_user_namespace};
pub use log::nf_log_netns::{NfLogAllNetns, give_back as give_back_the_settings};
pub use probing::limit_override::LimitOverride;
pub use probing::sessions::{
    AfterLoad, Attempt, ClientConnection, ConnectionRow, Cut, Endurance, FirstSpeaker, Halt, Held, IN_A_ROW, Opening,
    ROUNDS, Session, SourcePorts, SpentBy, Survival, Timing, Traffic,
};
pub use probing::tokens::Token;
pub use tool::running_tool::{Privileges, Stop, StopOnDrop, ToolCommand, ToolOutput};
pub use trace::own_table::WatchedEvents;

use self::building::watch_paths;
use self::host::conntrack_watch::ConntrackWatch;
use self::host::icmp_watch::IcmpWatch;
use self::host::link::ProberLink;
use self::host::namespace::{Isolated, in_fresh_namespace};
use self::host::netcfg::LinkSetup;
use self::host::services::ListeningSockets;
use self::log::log_source::LogSource;
use self::log::nflog_copy::NflogCopies;
use self::probing::attribution::PortMatch;
use self::probing::canaries::Canaries;
use self::probing::exchange::{BATCH, Exchange};
use self::probing::flows::{Flows, ProbeBatch};
use self::probing::fresh_limits::Spending;
use self::probing::retransmission::PROBE_RETRIES;
use self::trace::nfnetlink::Nfnetlink;
use self::trace::nft_rules::Rules;
use self::trace::paths::Paths;
use self::trace::rule_index::RuleIndex;
use crate::error::{InputError, Result, Source};
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::probe::Probe;
use crate::probe::hidden::Hidden;
use crate::probe::observation::Observation;
use crate::rules::iptables_save::Listing;
use crate::wire::frame::Frame;

/// The prober's MAC address: locally administered, so that no manufacturer assigns it.
pub const PROBER_MAC: Mac = Mac([0x02, 0x00, 0x5e, 0x10, 0x00, 0x66]);

/// The host's MAC address if none is given.
pub const HOST_MAC: Mac = Mac([0x02, 0x00, 0x5e, 0x10, 0x00, 0x10]);

/// The specification of a lab.
#[derive(Debug, Clone)]
pub struct LabSpec<'a> {
    /// The options of the lab.
    pub equipment: &'a LabOptions,
    /// The interface that the rules use.
    pub interface: &'a InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Addresses of both ends.
    pub addresses: &'a Addresses,
    /// The services of the host.
    pub services: &'a [HostService],
    /// The rulesets in iptables-save format, at most one for each family.
    pub rulesets: &'a [(Family, &'a Source)],
    /// The events that are watched besides replies and log lines.
    pub watch: WatchedEvents,
    /// A fault planted on purpose, to see that the lab notices it; see [`Fault`].
    pub fault: Option<Arc<Sabotage>>,
}

impl<'a> LabSpec<'a> {
    /// A host with [`HOST_MAC`] and without services; the paths of packets are watched.
    pub fn new(
        equipment: &'a LabOptions,
        interface: &'a InterfaceName,
        addresses: &'a Addresses,
        rulesets: &'a [(Family, &'a Source)],
    ) -> LabSpec<'a> {
        let watch = WatchedEvents::Paths;
        LabSpec { equipment, interface, mac: HOST_MAC, addresses, services: &[], rulesets, watch, fault: None }
    }

    /// The link of the host, for these families.
    fn link_setup<'b>(&'b self, families: &'b [Family]) -> LinkSetup<'b> {
        let LabSpec { equipment, interface, mac, addresses, .. } = self;
        LinkSetup { interface, mode: equipment.link, host: *mac, prober: PROBER_MAC, addresses, families }
    }
}

/// The records of a lab besides observations.
#[derive(Debug, Default)]
pub struct Rest {
    /// The frames that belong to no [`Observation`]: the lab's own, and those that the host sent by itself. Empty
    /// unless the lab watches [`WatchedEvents::Frames`].
    pub frames: Vec<Frame>,
    /// Every line that LOG rules have written, in the order of the log, including those of observations.
    pub lines: Vec<String>,
}

/// A running lab: its ruleset is loaded, and its instruments are proved.
pub struct Lab<'a> {
    isolated: &'a Isolated,
    spec: &'a LabSpec<'a>,
    runtime: Runtime,
    link: ProberLink,
    log: LogSource,
    services: ListeningSockets,
    netlink: Nfnetlink,
    listings: Vec<Listing>,
    /// The copies that are loaded in place of the rulesets; `None` if the kernel's log is read.
    copies: Option<NflogCopies>,
    /// The kernel's rules, once they have been listed.
    rules: OnceCell<Vec<Rules>>,
    paths: Option<Paths>,
    families: Vec<Family>,
    /// The pinned sysctls and their values.
    pub pinned_sysctls: PinnedSysctls,
    /// The largest number of probes in a batch.
    batch: usize,
    ports: PortMatch,
    conntrack: ConntrackWatch,
    icmp: IcmpWatch,
    flows: Flows,
    /// The neighbours that the host knows.
    neighbours: BTreeSet<IpAddr>,
    limit_uses: BTreeMap<Family, Spending>,
    /// The change of the ruleset's limits for a sweep; `None` if they are unchanged.
    limits: Option<LimitOverride>,
}

impl<'a> Lab<'a> {
    /// Builds a lab, calls `work` with it, and tears it down. The result of `work` is valid only if the canaries after
    /// it are seen as well as those before it, and nothing was lost in between.
    pub fn run<T: Send>(spec: &LabSpec, work: impl FnOnce(&mut Lab) -> Result<T> + Send) -> Result<T> {
        Lab::run_recorded(spec, work).map(|(found, _)| found)
    }

    /// Like [`Self::run`], and returns the records that belong to no [`Observation`] as well.
    pub fn run_recorded<T: Send>(spec: &LabSpec, work: impl FnOnce(&mut Lab) -> Result<T> + Send) -> Result<(T, Rest)> {
        let printing = match spec.equipment.capture {
            Capture::Kmsg => Some(NfLogAllNetns::enable()?),
            Capture::Nflog => None,
        };
        let found = in_fresh_namespace(|isolated| {
            let mut lab = Lab::build(isolated, spec)?;
            let mut canaries = Canaries::new();
            lab.prove(&mut canaries)?;
            let found = work(&mut lab)?;
            lab.prove(&mut canaries)?;
            lab.link.assert_no_overrun()?;
            lab.conntrack.assert_no_loss()?;
            lab.icmp.assert_no_loss()?;
            Ok((found, lab.drain_rest()))
        });
        let restored = printing.map_or(Ok(()), NfLogAllNetns::disable);
        let found = found?;
        restored.map(|()| found)
    }

    /// The families that this machine has, IPv4 first.
    pub fn families() -> Vec<Family> {
        Family::BOTH.into_iter().filter(|family| *family == Family::Ipv4 || host::pinned_sysctls::has_ipv6()).collect()
    }

    /// Sends the probes, and returns the observation of each, in their order. *No reply* is a fact: when the fence
    /// after a probe is answered, the kernel has processed the probe.
    pub fn send(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut observations = Vec::with_capacity(probes.len());
        let mut left = probes;
        while !left.is_empty() {
            let ProbeBatch { count, meets_an_old_flow } = self.flows.together(&left[..self.batch.min(left.len())]);
            if meets_an_old_flow {
                self.conntrack.forget(&self.netlink)?;
            }
            let (batch, rest) = left.split_at(count);
            observations.extend(self.send_batch(batch)?);
            left = rest;
        }
        Ok(observations)
    }

    /// Like [`Lab::send`], for more probes than fit into memory: each is made when it is sent, and passed to `each`
    /// when its observation is complete. `rest` gets the records of [`Lab::run_recorded`] after each batch.
    pub fn scan(
        &mut self,
        probes: impl Iterator<Item = Probe>,
        mut each: impl FnMut(&Probe, Observation) -> Result<()>,
        mut rest: impl FnMut(Rest) -> Result<()>,
    ) -> Result<()> {
        let mut probes = probes.peekable();
        let mut batch = Vec::with_capacity(self.batch);
        while probes.peek().is_some() {
            batch.clear();
            batch.extend(probes.by_ref().take(self.batch));
            let mut observed = self.send(&batch)?;
            self.send_again(&batch, &mut observed)?;
            batch.iter().zip(observed).try_for_each(|(probe, observation)| each(probe, observation))?;
            rest(self.drain_rest())?;
        }
        Ok(())
    }

    fn drain_rest(&mut self) -> Rest {
        let LabSpec { addresses, interface, .. } = self.spec;
        let mut lines = self.log.take_journal();
        lines.retain(|line| log::journal::is_of_ruleset(line, addresses, interface));
        Rest { frames: self.link.recorder.drain_unclaimed(), lines }
    }

    fn send_batch(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        self.add_permanent_neighbours(probes.iter().map(|probe| probe.flow.prober).collect())?;
        self.conntrack.flush_before(&self.netlink, probes.len())?;
        let retries = if self.has_chance() { PROBE_RETRIES } else { 0 };
        let (link, log, paths) = (&mut self.link, &mut self.log, self.paths.as_mut());
        let exchange = Exchange::begin(link, log, &self.services, paths, self.ports)?;
        let mut exchange = exchange.with_retries(retries);
        let observed = exchange.observe(probes);
        if observed.is_err() {
            // A full table drops probes, and a full socket answers; the loss explains more than the error of the
            // observation.
            self.conntrack.assert_no_loss()?;
            self.icmp.assert_no_loss()?;
        }
        let mut observed = observed?;
        if self.spec.watch == WatchedEvents::Replies {
            observed.iter_mut().for_each(Observation::without_paths);
        }
        Ok(observed)
    }

    /// Makes every source a neighbour, so that the host answers a spoofed source without discovery.
    fn add_permanent_neighbours(&mut self, sources: BTreeSet<IpAddr>) -> Result<()> {
        let strangers: Vec<IpAddr> = sources.difference(&self.neighbours).copied().collect();
        if let Some(far) = strangers.iter().find(|source| !self.spec.addresses.is_on_link(**source)) {
            let host = self.spec.addresses.host(Family::from_address(*far));
            let hint = "a spoofed source is a unicast address in the network of the host";
            return Err(InputError::new(format!("{far} is not a neighbour of {host}"), hint).into());
        }
        if !strangers.is_empty() {
            host::netcfg::add_permanent_neighbours(self.isolated, &self.runtime, self.link_setup(), &strangers)?;
            self.neighbours.extend(strangers);
        }
        Ok(())
    }

    fn link_setup(&self) -> LinkSetup<'_> {
        self.spec.link_setup(&self.families)
    }

    /// The reference of the benchmark: sends frames, and reads and discards replies and traces. Returns the number of
    /// replies and traces.
    pub fn bare_loop(&mut self, frames: &[Vec<u8>]) -> Result<usize> {
        let mut read = 0;
        for batch in frames.chunks(BATCH) {
            read += self.link.bare_loop(batch)?;
            if let Some(paths) = &mut self.paths {
                read += paths.discard()?;
            }
            // Logged lines must be read, too, or a full socket would make the loop faster than it is.
            drop(self.log.lock()?);
        }
        Ok(read)
    }

    /// The rules as the kernel listed them last; only the lab changes them.
    fn rules(&self) -> Result<&[Rules]> {
        match self.rules.get() {
            Some(rules) => Ok(rules),
            None => {
                let rules = trace::nft_rules::list_all(&self.netlink, &self.families)?;
                Ok(self.rules.get_or_init(|| rules))
            }
        }
    }

    /// Updates the rules after a replacement: a replaced rule has a new handle.
    fn rules_changed(&mut self, rules: Option<Vec<Rules>>) -> Result<()> {
        let Some(rules) = rules else { return Ok(()) };
        if let Some(paths) = &mut self.paths {
            paths.renew(RuleIndex::compile(&self.listings, trace::nft_rules::all_known(&rules)?)?);
        }
        self.rules = rules.into();
        Ok(())
    }

    /// The results of neighbour discovery, in both directions.
    pub fn neighbourhood(&mut self) -> Result<DiscoveredMacs> {
        let mut turn = self.log.lock()?;
        let found =
            host::neighbours::explore(&mut self.link, self.paths.as_mut(), self.spec.addresses, &self.families)?;
        turn.drain(drop)?;
        Ok(found)
    }

    /// The reason why the host is hidden from a neighbour with the IPv6 address `source`; `None` if it answers, or on a
    /// link without neighbours. Only a lab that watches paths can name the rule.
    pub fn hidden_from(&mut self, source: Ipv6Addr) -> Result<Option<Hidden>> {
        if !self.spec.equipment.link.has_macs() {
            return Ok(None);
        }
        let host = self.spec.addresses.v6.host;
        let mut turn = self.log.lock()?;
        let found = host::neighbours::solicit(&mut self.link, self.paths.as_mut(), source, host)?;
        turn.drain(drop)?;
        Ok(found.1)
    }

    fn prove(&mut self, canaries: &mut Canaries) -> Result<()> {
        let paths = self.paths.as_mut();
        canaries.prove(&mut self.link, &mut self.log, paths, self.spec.addresses, &self.families)
    }
}
