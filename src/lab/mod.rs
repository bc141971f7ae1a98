//! The lab: a throw-away network namespace with the ruleset under test on one end of a TAP interface and the prober on
//! the other. Everything in here is the real kernel; processes, sockets and files of a run live in this row only.
//!
//! The order of [`Lab::run`] is the order of the modules: `nf_log_netns` lets LOG rules print, `namespace` makes the
//! namespace and proves it, `weather` pins its sysctls, `tap` and `netcfg` make the link, `services` listen, `readiness`
//! waits for the host's addresses, `own_table` catches canaries, `iptables` loads the ruleset as given, `canaries` prove
//! the instruments, `exchange` sends probes and ties to each what it caused (`paths` from the trace, read by the
//! `rulebook`; the `witnesses` must agree), and `neighbours` asks who is there. `conntrack_watch` keeps conntrack's table
//! from filling up. `sweep` sends everything that a ruleset tells apart, with limits set aside by `wide_limits`. `relay` puts a real `tool` on the
//! other end of the link, in a namespace of its own (`tool_side`). `fault` is for the self-test only: it harms the others on purpose.

mod attribution;
mod canaries;
mod conntrack_watch;
mod equipment;
mod exchange;
mod fault;
mod fresh_limits;
mod host_socket;
mod iptables;
mod kernel_log;
mod link;
mod namespace;
mod neighbours;
mod netcfg;
mod nf_log_netns;
mod nflog;
mod nfnetlink;
mod nft_rules;
mod own_table;
mod paths;
mod queue;
mod readiness;
mod relay;
mod relay_ties;
mod rulebook;
mod seen;
mod services;
mod sighting;
mod sweep;
mod sweep_log;
mod tap;
mod told_by_conntrack;
mod tool;
mod tool_side;
mod trace;
mod weather;
mod wide_limits;
mod witnesses;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::runtime::{self, Runtime};

pub use equipment::{Capture, Equipment, LinkMode};
pub use fault::{Fault, Sabotage};
pub use iptables::{Backend, Flavour, Iptables};
pub use neighbours::Neighbourhood;
pub use nf_log_netns::NfLogAllNetns;
pub use own_table::Watch;
pub use services::Service;
pub use tool::{Stop, StopOnDrop, ToolCommand, ToolOutput};
pub use weather::Weather;
pub use wide_limits::Limits;

use self::attribution::Ports;
use self::canaries::Canaries;
use self::conntrack_watch::ConntrackWatch;
use self::exchange::{BATCH, Exchange};
use self::fault::Saboteur;
use self::fresh_limits::{Spending, Spent};
use self::kernel_log::KernelLog;
use self::link::Link;
use self::namespace::{Isolated, in_fresh_namespace};
use self::netcfg::LinkSetup;
use self::nfnetlink::Nfnetlink;
use self::nft_rules::Rules;
use self::paths::Paths;
use self::rulebook::Rulebook;
use self::services::Services;
use self::tap::Tap;
use self::told_by_conntrack::ToldByConntrack;
use self::trace::Tracer;
use crate::error::{Doing, Result, Source};
use crate::iptables_save::Listing;
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::observation::Observation;
use crate::probe::{Ends, Probe};

/// The prober's MAC address: locally administered, so that it is nobody's.
pub const PROBER_MAC: Mac = Mac([0x02, 0x00, 0x5e, 0x10, 0x00, 0x66]);

/// The host's MAC address when nobody cares.
pub const HOST_MAC: Mac = Mac([0x02, 0x00, 0x5e, 0x10, 0x00, 0x10]);

/// What stands in the lab.
#[derive(Debug, Clone)]
pub struct Blueprint<'a> {
    /// What the lab is made with.
    pub equipment: &'a Equipment,
    /// The interface that the rules speak of.
    pub interface: &'a InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Addresses of both ends.
    pub addresses: &'a Addresses,
    /// What listens on the host.
    pub services: &'a [Service],
    /// iptables-save text, one for each family that has any.
    pub rulesets: &'a [(Family, &'a Source)],
    /// What is watched besides replies and log lines.
    pub watch: Watch,
    /// A fault planted on purpose, to see that the lab notices it; see [`Fault`].
    pub fault: Option<Arc<Sabotage>>,
}

/// A lab that stands: its ruleset is loaded, and its instruments have proved themselves.
pub struct Lab<'a> {
    isolated: &'a Isolated,
    blueprint: &'a Blueprint<'a>,
    runtime: Runtime,
    link: Link,
    log: KernelLog,
    services: Services,
    netlink: Nfnetlink,
    listings: Vec<Listing>,
    /// The kernel's rules, once they have been asked for.
    rules: OnceCell<Vec<Rules>>,
    paths: Option<Paths>,
    families: Vec<Family>,
    /// What was pinned, and how it reads.
    pub weather: Weather,
    /// Probes that may be sent together.
    batch: usize,
    ports: Ports,
    conntrack: ConntrackWatch,
    spendings: BTreeMap<Family, Spending>,
    /// What a sweep has made of the ruleset's limits; none as long as they are as given.
    limits: Option<Limits>,
}

impl<'a> Lab<'a> {
    /// Builds a lab, hands it to `work`, and tears it down. What `work` found counts only if the canaries after it are
    /// seen as well as those before it, and nothing was lost in between.
    pub fn run<T: Send>(blueprint: &Blueprint, work: impl FnOnce(&mut Lab) -> Result<T> + Send) -> Result<T> {
        let printing = NfLogAllNetns::enable()?;
        let found = in_fresh_namespace(|isolated| {
            let mut lab = Lab::build(isolated, blueprint)?;
            let mut canaries = Canaries::new();
            lab.prove(&mut canaries)?;
            let found = work(&mut lab)?;
            lab.prove(&mut canaries)?;
            lab.link.assert_no_overrun()?;
            lab.conntrack.assert_no_loss()?;
            Ok(found)
        });
        let restored = printing.disable();
        let found = found?;
        restored.map(|()| found)
    }

    /// The families that this machine has, IPv4 first.
    pub fn families() -> Vec<Family> {
        Family::BOTH.into_iter().filter(|family| *family == Family::Ipv4 || weather::has_ipv6()).collect()
    }

    fn build(isolated: &'a Isolated, blueprint: &'a Blueprint) -> Result<Lab<'a>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().doing("start the lab's runtime")?;
        let families = Lab::families();
        let ends = Ends { prober: PROBER_MAC, host: blueprint.mac };
        let mut log = KernelLog::open()?;
        weather::pin(isolated)?;
        let tap = Tap::create(isolated, blueprint.interface)?;
        let setup = LinkSetup {
            interface: blueprint.interface,
            host: ends.host,
            prober: ends.prober,
            addresses: blueprint.addresses,
            families: &families,
        };
        netcfg::set_up(isolated, &runtime, setup)?;
        let services = Services::start(isolated, blueprint.services)?;
        let mut link = Link::new(tap, ends, blueprint.addresses.v4.host);
        readiness::wait(&mut link, blueprint.addresses, &families)?;
        let netlink = Nfnetlink::open(isolated)?;
        own_table::install(isolated, &netlink, &families, blueprint.addresses, blueprint.watch)?;
        let is_here = |(family, _): &(Family, &Source)| families.contains(family);
        let rulesets: Vec<(Family, &Source)> = blueprint.rulesets.iter().copied().filter(is_here).collect();
        runtime.block_on(blueprint.equipment.iptables.load(isolated, &rulesets))?;
        // Once more: some sysctls appear only when a rule asks for conntrack.
        let weather = weather::pin(isolated)?;
        if let Some(sabotage) = &blueprint.fault {
            plant(isolated, sabotage, blueprint.interface, &mut link, &mut log)?;
        }
        let ports = ports(&rulesets);
        let listings: Vec<Listing> = rulesets.iter().map(|(family, text)| Listing::parse(*family, text)).collect();
        let mut rules = OnceCell::new();
        let paths = match blueprint.watch {
            Watch::Paths => {
                let tracer = Tracer::open(isolated, blueprint.fault.as_ref())?;
                let listed = nft_rules::list_all(&netlink, &families)?;
                let book = Rulebook::compile(&listings, &listed)?;
                rules = listed.into();
                Some(Paths::new(tracer, book, ToldByConntrack::of(&listings)))
            }
            Watch::Replies | Watch::Verdicts => None,
        };
        Ok(Lab {
            isolated,
            blueprint,
            runtime,
            link,
            log,
            services,
            netlink,
            listings,
            rules,
            paths,
            families,
            weather,
            batch: batch(&rulesets, ports),
            ports,
            conntrack: ConntrackWatch::new(),
            spendings: BTreeMap::new(),
            limits: None,
        })
    }

    /// Sends the probes, and tells in their order what each brought to light. *No reply* is a fact: when the fence
    /// behind a probe is answered, the kernel has dealt with the probe.
    pub fn send(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut observations = Vec::with_capacity(probes.len());
        for batch in probes.chunks(self.batch) {
            self.conntrack.make_room(&self.netlink, batch.len())?;
            let (link, log, paths) = (&mut self.link, &mut self.log, self.paths.as_mut());
            let mut exchange = Exchange::begin(link, log, &self.services, paths, self.blueprint.watch, self.ports)?;
            let observed = exchange.observe(batch);
            if observed.is_err() {
                // A full table makes probes vanish: that is the better explanation.
                self.conntrack.assert_no_loss()?;
            }
            observations.extend(observed?);
        }
        Ok(observations)
    }

    /// As [`Lab::send`], but every probe meets limits that have not seen a packet yet.
    pub fn send_each_afresh(&mut self, probes: &[Probe]) -> Result<Vec<Observation>> {
        let mut observations = Vec::with_capacity(probes.len());
        self.send_each_afresh_while(probes, |_, observation| {
            observations.push(observation.clone());
            ControlFlow::Continue(())
        })?;
        Ok(observations)
    }

    /// As [`Lab::send_each_afresh`], handing each observation to `each` with the place of its probe, until that has seen
    /// enough. The lab's limits must not have seen a packet yet.
    pub fn send_each_afresh_while(
        &mut self,
        probes: &[Probe],
        mut each: impl FnMut(usize, &Observation) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut spent: BTreeMap<Family, Spent> = BTreeMap::new();
        for (index, probe) in probes.iter().enumerate() {
            let spending = self.spending(probe.family())?;
            if spent.entry(probe.family()).or_default().is_too_much(spending, probe) {
                self.renew_limits()?;
                spent.clear();
            }
            let observed = self.send(std::slice::from_ref(probe))?;
            let spent = spent.entry(probe.family()).or_default();
            observed.iter().for_each(|observation| spent.book(probe, observation));
            if observed.iter().any(|observation| each(index, observation).is_break()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The yardstick of the benchmark: frames out, replies and traces read and thrown away, nothing else. Tells how many
    /// of either there were.
    pub fn bare_loop(&mut self, frames: &[Vec<u8>]) -> Result<usize> {
        let mut read = 0;
        for batch in frames.chunks(BATCH) {
            read += self.link.bare_loop(batch)?;
            if let Some(paths) = &mut self.paths {
                read += paths.discard()?;
            }
        }
        Ok(read)
    }

    /// What uses up the limits of a family's rules. x_tables tells nothing of its rules in terms that could be read here.
    fn spending(&mut self, family: Family) -> Result<Spending> {
        if let Some(spending) = self.spendings.get(&family) {
            return Ok(*spending);
        }
        let spending = match self.blueprint.equipment.backend() {
            Backend::Nft => {
                self.rules()?.iter().find(|rules| rules.family == family).map_or(Spending::Never, Spending::of)
            }
            Backend::Legacy => Spending::Packets { burst: 1 },
        };
        self.spendings.insert(family, spending);
        Ok(spending)
    }

    /// Gives every limit of the ruleset a fresh start, so that the next probe meets it as the first one would.
    pub fn renew_limits(&mut self) -> Result<()> {
        match self.blueprint.equipment.backend() {
            Backend::Nft => self.renew_rules(),
            Backend::Legacy => {
                let is_here = |(family, _): &(Family, &Source)| self.families.contains(family);
                let rulesets: Vec<_> = self.blueprint.rulesets.iter().copied().filter(is_here).collect();
                self.runtime.block_on(self.blueprint.equipment.iptables.load(self.isolated, &rulesets))
            }
        }
    }

    fn renew_rules(&mut self) -> Result<()> {
        let rules = fresh_limits::renew(&self.netlink, self.rules()?)?;
        self.rules_changed(rules)
    }

    /// The rules as the kernel listed them last; nobody but the lab changes them.
    fn rules(&self) -> Result<&[Rules]> {
        match self.rules.get() {
            Some(rules) => Ok(rules),
            None => {
                let rules = nft_rules::list_all(&self.netlink, &self.families)?;
                Ok(self.rules.get_or_init(|| rules))
            }
        }
    }

    /// A rule that was put in its own place has a new handle.
    fn rules_changed(&mut self, rules: Option<Vec<Rules>>) -> Result<()> {
        let Some(rules) = rules else { return Ok(()) };
        if let Some(paths) = &mut self.paths {
            paths.renew(Rulebook::compile(&self.listings, &rules)?);
        }
        self.rules = rules.into();
        Ok(())
    }

    /// Who answers for the host's addresses, and whether the host finds its neighbours.
    pub fn neighbourhood(&mut self) -> Result<Neighbourhood> {
        neighbours::explore(&mut self.link, self.blueprint.addresses, &self.families)
    }

    fn prove(&mut self, canaries: &mut Canaries) -> Result<()> {
        let paths = self.paths.as_mut();
        canaries.prove(&mut self.link, &mut self.log, paths, self.blueprint.addresses, &self.families)
    }
}

/// Plants a fault where it belongs.
fn plant(
    isolated: &Isolated,
    sabotage: &Arc<Sabotage>,
    interface: &InterfaceName,
    link: &mut Link,
    log: &mut KernelLog,
) -> Result<()> {
    match sabotage.fault {
        Fault::BlindLog => log.deafen(sabotage.clone()),
        Fault::FullConntrack => fault::fill_conntrack_table(isolated, sabotage)?,
        // The tracer's own, see `Tracer::open`.
        Fault::LostTrace => {}
        Fault::StaleReply
        | Fault::WrongFence
        | Fault::ResetOfAStranger
        | Fault::ResetOutOfWindow
        | Fault::LogOverrun => link.sabotage(Saboteur::new(isolated, interface, sabotage.clone())?),
    }
    Ok(())
}

/// How many probes may be sent together: so many that the kernel's log, of about 600 lines, holds what all LOG rules
/// could say of them.
fn batch(rulesets: &[(Family, &Source)], ports: Ports) -> usize {
    const LINES: usize = 256;
    if ports == Ports::MayBeRewritten {
        return 1;
    }
    let log_rules = |(_, ruleset): &(Family, &Source)| ruleset.text.matches("LOG").count();
    let most = rulesets.iter().map(log_rules).max().unwrap_or(0).max(1);
    (LINES / most).clamp(1, BATCH)
}

/// Whether a log line may show another port than the probe had on the wire.
fn ports(rulesets: &[(Family, &Source)]) -> Ports {
    let has_nat =
        |(_, ruleset): &(Family, &Source)| ruleset.text.lines().any(|line| line.trim_start().starts_with("*nat"));
    if rulesets.iter().any(has_nat) { Ports::MayBeRewritten } else { Ports::AsSent }
}
