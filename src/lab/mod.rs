//! The lab: a temporary network namespace of the running kernel, with the ruleset under test at one end of a TAP or TUN
//! interface and the prober at the other. Processes, sockets and namespaces are in this room only.
//!
//! [`Lab::run`] takes these steps in this order:
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
//! - `probing::sweep` sends every packet that a ruleset distinguishes, with limits removed by `probing::limit_override`.
//! - `probing::sessions` holds connections while rules are loaded.
//! - `tool::relay` puts a real tool (`tool::running_tool`) in the place of the prober, in a namespace of its own
//!   (`tool::tool_side`).
//! - `fault` is for the self-test only: it makes one of the other modules fail on purpose.

mod fault;
mod host;
mod log;
mod probing;
mod tool;
mod trace;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::runtime::{self, Runtime};

pub use fault::{Fault, Sabotage};
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
    AfterLoad, Attempt, ClientConnection, ConnectionRow, Cut, Endurance, FirstSpeaker, Halt, Held, IN_A_ROW, Lost,
    Opening, ROUNDS, Session, SpentBy, Survival, Timing,
};
pub use probing::tokens::Token;
pub use tool::running_tool::{Privileges, Stop, StopOnDrop, ToolCommand, ToolOutput};
pub use trace::own_table::WatchedEvents;

use self::fault::FaultInjector;
use self::host::conntrack_watch::ConntrackWatch;
use self::host::icmp_watch::IcmpWatch;
use self::host::interface::Interface;
use self::host::link::{FenceKind, ProberLink};
use self::host::namespace::{Isolated, in_fresh_namespace};
use self::host::netcfg::LinkSetup;
use self::host::services::ListeningSockets;
use self::log::log_source::LogSource;
use self::log::nflog::Nflog;
use self::log::nflog_copy::NflogCopies;
use self::probing::attribution::PortMatch;
use self::probing::canaries::Canaries;
use self::probing::exchange::{BATCH, Exchange};
use self::probing::flows::{Flows, ProbeBatch};
use self::probing::fresh_limits::{LimitUse, Spending};
use self::probing::retransmission::PROBE_RETRIES;
use self::trace::ct_state::CtStateReader;
use self::trace::legacy_trace::XTracer;
use self::trace::nfnetlink::Nfnetlink;
use self::trace::nft_rules::Rules;
use self::trace::nft_trace::Tracer;
use self::trace::own_table::{Logger, Tracing};
use self::trace::paths::{Paths, TraceWitness};
use self::trace::rule_index::RuleIndex;
use self::trace::x_tables::KernelTable;
use crate::error::{Context, InputError, Result, Source};
use crate::log_line::is_of_the_lab;
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::probe::hidden::Hidden;
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::note::Note;
use crate::probe::observation::Observation;
use crate::probe::{Ends, Probe};
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

    fn build(isolated: &'a Isolated, spec: &'a LabSpec) -> Result<Lab<'a>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("start the lab's runtime")?;
        let families = Lab::families();
        let ends = Ends { prober: PROBER_MAC, host: spec.mac };
        let is_here = |(family, _): &(Family, &Source)| families.contains(family);
        let rulesets: Vec<(Family, &Source)> = spec.rulesets.iter().copied().filter(is_here).collect();
        let copies = match spec.equipment.capture {
            Capture::Kmsg => None,
            Capture::Nflog => Some(NflogCopies::new(&rulesets)?),
        };
        let listings: Vec<Listing> =
            rulesets.iter().map(|(family, text)| spec.equipment.listing(*family, text)).collect();
        let own_groups = own_groups(spec, &listings);
        let mut log = LogSource::open(isolated, copies.as_ref(), &own_groups, spec.fault.as_ref())?;
        let sysctls = &spec.equipment.sysctls;
        let mut pinned_sysctls = host::pinned_sysctls::pin(isolated, sysctls)?;
        let mode = spec.equipment.link;
        let interface = Interface::create(isolated, spec.interface, mode)?;
        let setup = LinkSetup {
            interface: spec.interface,
            mode,
            host: ends.host,
            prober: ends.prober,
            addresses: spec.addresses,
            families: &families,
        };
        host::netcfg::set_up(isolated, &runtime, setup)?;
        // A real machine has a default route, by which it answers a sender that nat INPUT has put in; nat OUTPUT then
        // restores the real one in the answer.
        let senders: Vec<IpAddr> = listings.iter().flat_map(Listing::new_senders).collect();
        if !senders.is_empty() {
            host::netcfg::reach(isolated, &runtime, setup, &senders)?;
        }
        let services = ListeningSockets::start(isolated, spec.services)?;
        let netlink = Nfnetlink::open(isolated)?;
        let mut link = ProberLink::new(interface, gate(isolated, &netlink, mode)?, ends, spec.addresses.v4.host);
        if spec.watch == WatchedEvents::Frames {
            link.recorder.start();
        }
        host::readiness::wait(&mut link, spec.addresses, &families)?;
        let logger = copies.as_ref().map_or(Logger::Kernel, |copies| Logger::Group(copies.groups.plain()));
        trace::own_table::install(isolated, &netlink, &families, logger, |family| tracing(spec, &listings, family))?;
        let iptables = &spec.equipment.iptables;
        match spec.fault.as_ref().filter(|sabotage| sabotage.fault == Fault::NothingLoaded) {
            None => host::loading::load(iptables, isolated, &runtime, &rulesets, copies.as_ref())?,
            Some(sabotage) => sabotage.plant(1),
        }
        host::pinned_sysctls::pin_late(isolated, sysctls, &mut pinned_sysctls)?;
        if let Some(sabotage) = &spec.fault {
            plant(isolated, sabotage, spec, &mut link, &mut log)?;
        }
        let ports = ports(&rulesets);
        let (paths, rules) = watch_paths(isolated, spec, &netlink, &families, &listings, is_traced(spec, &listings))?;
        let at_once = paths.as_ref().map_or(BATCH, Paths::probes_at_once);
        let batch = batch(&rulesets, ports, log.lines_at_once()).min(at_once);
        Ok(Lab {
            isolated,
            spec,
            runtime,
            link,
            log,
            services,
            netlink,
            listings,
            copies,
            rules,
            paths,
            pinned_sysctls,
            batch,
            ports,
            conntrack: ConntrackWatch::new(),
            icmp: IcmpWatch::new(),
            flows: Flows::default(),
            neighbours: families.iter().map(|family| spec.addresses.prober(*family)).collect(),
            families,
            limit_uses: BTreeMap::new(),
            limits: None,
        })
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
            return Err(InputError::new(format!("{far} is no neighbour of {host}"), hint).into());
        }
        if !strangers.is_empty() {
            host::netcfg::add_permanent_neighbours(self.isolated, &self.runtime, self.link_setup(), &strangers)?;
            self.neighbours.extend(strangers);
        }
        Ok(())
    }

    fn link_setup(&self) -> LinkSetup<'_> {
        LinkSetup {
            interface: self.spec.interface,
            mode: self.spec.equipment.link,
            host: self.spec.mac,
            prober: PROBER_MAC,
            addresses: self.spec.addresses,
            families: &self.families,
        }
    }

    /// Like [`Lab::send`], but with limits that have not seen a packet yet for every probe.
    pub fn send_with_fresh_limits(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut observations = Vec::with_capacity(probes.len());
        self.send_each_afresh_while(probes, |_, observation| {
            observations.push(observation.clone());
            ControlFlow::Continue(())
        })?;
        Ok(observations)
    }

    /// Like [`Lab::send_with_fresh_limits`], but calls `each` with each observation and the index of its probe, until
    /// `each` returns that it needs no more. The lab's limits must not have seen a packet yet.
    pub fn send_each_afresh_while(
        &mut self,
        probes: &[Probe],
        mut each: impl FnMut(usize, &Observation) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut spent: BTreeMap<Family, LimitUse> = BTreeMap::new();
        let at_once = if self.counts_packets(probes)? { 1 } else { BATCH };
        for (batch, index) in probes.chunks(at_once).zip((0..).step_by(at_once)) {
            let (family, first) = (batch[0].family(), &batch[0]);
            if spent.entry(family).or_default().would_exceed(self.spending(family)?, first) {
                self.renew_limits()?;
                spent.clear();
            }
            let mut observed = self.send(batch)?;
            self.send_again(batch, &mut observed)?;
            let spent = spent.entry(family).or_default();
            for ((index, probe), observation) in (index..).zip(batch).zip(&observed) {
                spent.record(probe, observation);
                if each(index, observation).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// True if a rule that such a probe may reach counts packets: then each probe is sent by itself.
    fn counts_packets(&mut self, probes: &[Probe]) -> Result<bool> {
        let families: BTreeSet<Family> = probes.iter().map(Probe::family).collect();
        let limit_uses = families.into_iter().map(|family| self.spending(family)).collect::<Result<Vec<_>>>()?;
        Ok(limit_uses.iter().any(|spending| *spending != Spending::Never))
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

    /// The kind of events that use up the limits of a family's rules.
    fn spending(&mut self, family: Family) -> Result<Spending> {
        if let Some(spending) = self.limit_uses.get(&family) {
            return Ok(*spending);
        }
        let spending = match self.spec.equipment.backend() {
            Backend::Nft => {
                self.rules()?.iter().find(|rules| rules.family == family).map_or(Spending::Never, Spending::new)
            }
            Backend::Legacy => {
                let tables = KernelTable::list(self.isolated, &self.listings)?;
                let of_family = tables.iter().filter(|table| table.family == family);
                of_family.map(KernelTable::spending).fold(Spending::Never, Spending::and)
            }
        };
        self.limit_uses.insert(family, spending);
        Ok(spending)
    }

    /// Resets every limit of the ruleset, so that the next probe finds it as the first one would.
    pub fn renew_limits(&mut self) -> Result<()> {
        match self.spec.equipment.backend() {
            Backend::Nft => self.renew_rules(),
            Backend::Legacy => {
                let rulesets = self.listings.iter().map(|listing| (listing.family, &listing.source));
                self.load(&rulesets.collect::<Vec<_>>())
            }
        }
    }

    /// Replaces the loaded rulesets; if log lines are read through NFLOG, by their copies.
    fn load(&self, rulesets: &[(Family, &Source)]) -> Result<()> {
        let iptables = &self.spec.equipment.iptables;
        host::loading::reload(iptables, self.isolated, &self.runtime, rulesets, self.copies.as_ref())
    }

    fn renew_rules(&mut self) -> Result<()> {
        let before = self.rules()?;
        let Some(after) = probing::fresh_limits::renew(&self.netlink, before)? else { return Ok(()) };
        let renamed = trace::nft_rules::renamed(before, &after);
        if let Some(paths) = &mut self.paths {
            paths.rename(&renamed);
        }
        self.rules = after.into();
        Ok(())
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

/// The kind of fence for a link.
fn gate(isolated: &Isolated, netlink: &Nfnetlink, mode: LinkMode) -> Result<FenceKind> {
    match mode {
        LinkMode::Tap => Ok(FenceKind::Arp),
        LinkMode::Tun => {
            let log = Nflog::open(isolated, [host::fence::GROUP], "fence")?;
            trace::own_table::catch_fences(isolated, netlink)?;
            Ok(FenceKind::Log(log))
        }
    }
}

/// True if packets are traced: if paths are watched, if only a path can distinguish a packet that left the lab from a
/// dropped one, or show a copy of it, or if lines come from two sources, whose order only a path can show.
fn is_traced(spec: &LabSpec, listings: &[Listing]) -> bool {
    let has_two_sources = spec.equipment.capture == Capture::Kmsg && nflog_groups(listings).next().is_some();
    let needs_path = [&LeftTheWorld::TARGETS[..], &Note::TARGETS].concat();
    spec.watch != WatchedEvents::Replies
        || has_two_sources
        || listings.iter().any(|listing| listing.has_target(&needs_path))
}

/// The groups of the NFLOG rules, except those in the lab's own block.
fn nflog_groups(listings: &[Listing]) -> impl Iterator<Item = u16> {
    let rules = listings.iter().flat_map(Listing::rules);
    rules.filter_map(|rule| rule.nflog()).map(|(group, _)| group).filter(|group| !is_of_the_lab(*group))
}

/// The groups of the ruleset to which the log source binds. Packets for the group of the x_tables trace are delivered
/// with the trace.
fn own_groups(spec: &LabSpec, listings: &[Listing]) -> BTreeSet<u16> {
    let has_x_trace = spec.equipment.backend() == Backend::Legacy && is_traced(spec, listings);
    nflog_groups(listings).filter(|group| !has_x_trace || *group != trace::legacy_trace::TRACE_GROUP).collect()
}

/// The way to trace a family's packets; `None` if they are not traced.
fn tracing(spec: &LabSpec, listings: &[Listing], family: Family) -> Option<Tracing> {
    let of_family = listings.iter().filter(|listing| listing.family == family);
    let has_conntrack = of_family.clone().flat_map(Listing::rules).any(|rule| rule.uses_conntrack());
    let has_nat = of_family.flat_map(|listing| &listing.tables).any(|table| table.name == "nat");
    let tracing = Tracing { backend: spec.equipment.backend(), has_conntrack, has_nat };
    is_traced(spec, listings).then_some(tracing)
}

/// Opens the reader of paths for the rules that are loaded now. Returns those rules as well, if they had to be listed.
fn watch_paths(
    isolated: &Isolated,
    spec: &LabSpec,
    netlink: &Nfnetlink,
    families: &[Family],
    listings: &[Listing],
    traced: bool,
) -> Result<(Option<Paths>, OnceCell<Vec<Rules>>)> {
    match (traced, spec.equipment.backend()) {
        (false, Backend::Nft) => {
            let listed = trace::nft_rules::list_all(netlink, families)?;
            RuleIndex::assert_loaded(listings, &trace::nft_rules::all_known(&listed)?)?;
            Ok((None, listed.into()))
        }
        (false, Backend::Legacy) => {
            RuleIndex::assert_loaded(listings, &trace::x_tables::all_known(&KernelTable::list(isolated, listings)?))?;
            Ok((None, OnceCell::new()))
        }
        (true, Backend::Nft) => {
            let tracer = Tracer::open(isolated, spec.fault.as_ref())?;
            let listed = trace::nft_rules::list_all(netlink, families)?;
            let known = trace::nft_rules::all_known(&listed)?;
            RuleIndex::assert_loaded(listings, &known)?;
            let index = RuleIndex::compile(listings, known)?;
            let paths =
                Paths::new(TraceWitness::NfTables(tracer), index, CtStateReader::new(listings), *spec.addresses)
                    .with(spec.fault.as_ref());
            Ok((Some(paths), listed.into()))
        }
        (true, Backend::Legacy) => {
            trace::forged_trace::check(listings)?;
            let tables = KernelTable::list(isolated, listings)?;
            let known = trace::x_tables::all_known(&tables);
            RuleIndex::assert_loaded(listings, &known)?;
            let index = RuleIndex::compile(listings, known)?;
            let has_conntrack = listings.iter().flat_map(Listing::rules).any(|rule| rule.uses_conntrack());
            let tracer = XTracer::open(isolated, tables, has_conntrack, spec.fault.as_ref())?;
            let paths = Paths::new(TraceWitness::XTables(tracer), index, CtStateReader::outright(), *spec.addresses)
                .with(spec.fault.as_ref());
            Ok((Some(paths), OnceCell::new()))
        }
    }
}

/// Plants a fault that concerns the log or conntrack.
fn plant(
    isolated: &Isolated,
    sabotage: &Arc<Sabotage>,
    spec: &LabSpec,
    link: &mut ProberLink,
    log: &mut LogSource,
) -> Result<()> {
    match sabotage.fault {
        Fault::BlindLog => log.disable_log(sabotage.clone()),
        Fault::FullConntrack => fault::fill_conntrack_table(isolated, sabotage)?,
        // Planted by the tracer, see `Tracer::open` and `Paths::read_on`.
        Fault::LostTrace | Fault::LostRouting => {}
        // The rules are listed next, and found to be missing.
        Fault::NothingLoaded => sabotage.meet(),
        Fault::StaleReply
        | Fault::WrongFence
        | Fault::ResetOfAStranger
        | Fault::ResetOutOfWindow
        | Fault::LogOverrun => {
            link.sabotage(FaultInjector::new(isolated, spec.interface, spec.equipment, sabotage.clone())?);
        }
    }
    Ok(())
}

/// The number of probes in a batch: so few that the log holds the lines of all LOG rules for them.
fn batch(rulesets: &[(Family, &Source)], ports: PortMatch, lines: usize) -> usize {
    if ports == PortMatch::MayBeRewritten {
        return 1;
    }
    let log_rules = |(_, ruleset): &(Family, &Source)| ruleset.text.matches("LOG").count();
    let most = rulesets.iter().map(log_rules).max().unwrap_or(0).max(1);
    (lines / most).clamp(1, BATCH)
}

/// Tells if a log line may show another port than the probe had on the wire.
fn ports(rulesets: &[(Family, &Source)]) -> PortMatch {
    let has_nat =
        |(_, ruleset): &(Family, &Source)| ruleset.text.lines().any(|line| line.trim_start().starts_with("*nat"));
    if rulesets.iter().any(has_nat) { PortMatch::MayBeRewritten } else { PortMatch::AsSent }
}
