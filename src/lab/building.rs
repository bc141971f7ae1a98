//! Builds a lab: its namespace gets link, services and rules, and its instruments are opened.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime;

use super::fault::FaultInjector;
use super::host::conntrack_watch::ConntrackWatch;
use super::host::icmp_watch::IcmpWatch;
use super::host::interface::Interface;
use super::host::link::{FenceKind, ProberLink};
use super::host::namespace::Isolated;
use super::host::services::ListeningSockets;
use super::log::log_source::LogSource;
use super::log::nflog::Nflog;
use super::log::nflog_copy::NflogCopies;
use super::probing::attribution::PortMatch;
use super::probing::exchange::BATCH;
use super::probing::flows::Flows;
use super::trace::ct_state::CtStateReader;
use super::trace::legacy_trace::XTracer;
use super::trace::nfnetlink::Nfnetlink;
use super::trace::nft_rules::Rules;
use super::trace::nft_trace::Tracer;
use super::trace::own_table::{Logger, Tracing};
use super::trace::paths::{Paths, TraceWitness};
use super::trace::rule_index::RuleIndex;
use super::trace::x_tables::KernelTable;
use super::{Backend, Capture, Fault, Lab, LabSpec, LinkMode, PROBER_MAC, Sabotage, WatchedEvents, fault, host, trace};
use crate::error::{Context, Result, Source};
use crate::log_line::is_of_the_lab;
use crate::net::Family;
use crate::probe::Ends;
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::note::Note;
use crate::rules::iptables_save::Listing;

impl<'a> Lab<'a> {
    /// Builds the lab of `spec`, in the order of the table in [`lab`](super).
    pub(super) fn build(isolated: &'a Isolated, spec: &'a LabSpec) -> Result<Lab<'a>> {
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
        let setup = spec.link_setup(&families);
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
pub(super) fn watch_paths(
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
