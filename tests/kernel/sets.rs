//! Random rulesets and packets: the sets of packets (`rules::space`) agree with the kernel, rule by rule.
//!
//! A rule that the kernel matched is one that the sets allow, and a rule that the sets demand is one that the kernel
//! matched. Every rule is attacked with packets from its own match, above all those that no packet can reach; and every
//! mutant without a difference is loaded and gets the same packets as the original. The seed of each ruleset is
//! printed; CI tries the same few every time, `.ci/soak` others: `SCANLAB_SEED=7 SCANLAB_SECONDS=0` tries one,
//! `SCANLAB_SECONDS=600` goes on with the next ones, and `SCANLAB_PACKETS` is the number of packets for each rule that
//! is called dead. Needs root.

use std::collections::HashSet;
use std::env;
use std::fmt::Write;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::support::binary::share_the_machine;
use crate::support::random_rulesets::{Random, Ruleset};
use scanlab::error::{Error, Result, Source};
use scanlab::lab::{Flavour, HostService, Lab, LabOptions, LabSpec, LimitOverride};
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName, Protocol, number};
use scanlab::probe::packet::{Journey, Lead, Response, Stimulus, StimulusSender};
use scanlab::probe::path::{Fate, Step};
use scanlab::rules::iptables_save::{HOOKS, Listing, Match, Packet, PlacedRule};
use scanlab::rules::mutant::mutants;
use scanlab::rules::space::{PacketField, Region, Sets, Space, Values, compare, state_places};
use scanlab::rules::sweep::{SweepPlan, foreign_addresses};
use scanlab::wire::headers::{Content, Headers};

/// The number of rulesets of each family, unless `SCANLAB_SECONDS` limits the time in which new ones are begun.
const RULESETS: u64 = 4;
/// The first of the seeds that are the same in every run.
const FIXED: u64 = 1;
/// Packets of any kind for each ruleset.
const ANY: usize = 400;
/// Packets from the match of each rule that is reached, and of each that is not.
const OF_A_RULE: usize = 20;
const OF_A_DEAD_RULE: usize = 500;
/// Mutants without a difference that are loaded for each ruleset.
const EQUAL: usize = 2;

/// A ruleset with its packets.
struct Case<'a> {
    family: Family,
    flavour: Flavour,
    listing: &'a Listing,
    stimuli: Vec<Stimulus>,
}

/// Counts of the claims that were tried.
#[derive(Debug, Default)]
struct Tried {
    rulesets: usize,
    packets: usize,
    dead: usize,
    equal: usize,
    /// Rulesets without a verdict, since the lab could not measure: with iptables-legacy, a match that drops a packet by
    /// itself is not always traced.
    unmeasured: usize,
}

#[test]
fn random_packets_match_the_rules_that_the_sets_say() {
    let _machine = share_the_machine();
    let first = variable("SCANLAB_SEED").unwrap_or(FIXED);
    let seconds = variable("SCANLAB_SECONDS").map(Duration::from_secs);
    println!("seeds from {first} on");
    let (start, mut tried, mut wrong) = (Instant::now(), Tried::default(), Vec::new());
    for seed in first.. {
        let is_over = match seconds {
            Some(seconds) => seed > first && start.elapsed() >= seconds,
            None => seed >= first + RULESETS,
        };
        if is_over {
            break;
        }
        for family in Family::BOTH {
            let result = catch_unwind(AssertUnwindSafe(|| try_seed(seed, family, &mut tried)));
            let what = result.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
            if let Err(what) = what {
                println!("seed {seed}, {family}: {what}");
                wrong.push((seed, family));
            }
        }
    }
    println!("{tried:?} in {:?}", start.elapsed());
    assert!(wrong.is_empty(), "the sets and the kernel disagree, see above: {wrong:?}");
    assert!(tried.rulesets > 10 * tried.unmeasured && tried.packets > 100, "{tried:?}");
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn try_seed(seed: u64, family: Family, tried: &mut Tried) -> std::result::Result<(), String> {
    let mut random = Random(seed ^ if family == Family::Ipv6 { 1 << 63 } else { 0 });
    let ruleset = Ruleset::draw_of_all_fields(&mut random, family);
    let flavour = random.one_of(&[Flavour::Nft, Flavour::Legacy]);
    let listing = listing(family, &ruleset.to_string());
    let sets = sets_of(&listing);
    let dead = unreached(&sets);
    let equal = equal_mutants(&mut random, &listing);
    let stimuli = Draw::new(&mut random, &listing, &equal).stimuli(&sets, &dead, &equal);
    let case = Case { family, flavour, listing: &listing, stimuli };
    let told = |what: String| format!("{what}\n{flavour:?}\n{ruleset}");
    for limits in [LimitOverride::Wide, LimitOverride::Dry] {
        let found = match case.send(&case.listing.source, limits) {
            Err(error @ Error::CannotMeasure(_)) => {
                println!("seed {seed}, {family}, not measured: {error}");
                tried.unmeasured += 1;
                return Ok(());
            }
            found => found.map_err(|error| told(error.to_string()))?,
        };
        // iptables refuses a few random rulesets; those prove nothing.
        let Some(responses) = found else { return Ok(()) };
        if let Some(what) = disagreement(&sets, &responses) {
            return Err(told(what));
        }
        tried.packets += responses.len();
        for (mutant, description) in equal.iter().filter(|_| limits == LimitOverride::Wide) {
            let found = case.send(&mutant.source, limits).map_err(|error| told(error.to_string()))?;
            let Some(others) = found else { continue };
            if let Some(what) = difference(&case, &responses, mutant, &others) {
                return Err(told(format!("no difference, the sets say, in {description}: {what}")));
            }
            tried.equal += 1;
        }
    }
    tried.rulesets += 1;
    tried.dead += dead.len();
    Ok(())
}

fn listing(family: Family, text: &str) -> Listing {
    Listing::parse(family, &Source { name: format!("rules.{family}").into(), text: text.into() })
}

fn sets_of(listing: &Listing) -> Sets<'_> {
    Sets::new(Space::new(&[listing], &InterfaceName::default()), listing)
}

/// The table, the chain and the number of every rule that no packet can reach and match.
fn unreached(sets: &Sets) -> HashSet<(String, String, usize)> {
    let is_dead = |at: &PlacedRule| {
        let arrivals = sets.arrivals(at.table, at.chain, at.number);
        arrivals.is_all && arrivals.found.is_empty()
    };
    sets.listing.placed_rules().filter(is_dead).map(|at| key(&at)).collect()
}

fn key(at: &PlacedRule) -> (String, String, usize) {
    (at.table.to_owned(), at.chain.to_owned(), at.number)
}

/// A few mutants without a difference, with their descriptions.
fn equal_mutants(random: &mut Random, original: &Listing) -> Vec<(Listing, String)> {
    let mut all = mutants(original);
    let mut equal = Vec::new();
    while equal.len() < EQUAL && !all.is_empty() {
        let mutant = all.swap_remove(random.below(all.len()));
        let other = Listing::parse(original.family, &mutant.apply(&original.source));
        let space = Space::new(&[original, &other], &InterfaceName::default());
        if compare(&space, [original, &other]).is_ok_and(|gaps| gaps.is_empty()) {
            equal.push((other, mutant.description));
        }
    }
    equal
}

impl Case<'_> {
    /// Sends its packets to `source`; `None` if iptables refuses the ruleset.
    fn send(&self, source: &Source, limits: LimitOverride) -> Result<Option<Vec<Response>>> {
        let path = env::var("PATH").unwrap_or_default();
        let equipment = LabOptions::usual(self.flavour, &path)?;
        let (addresses, interface) = (Addresses::default(), InterfaceName::default());
        let services = [22, 80].map(|port| HostService { protocol: Protocol::Tcp, port: Port(port), greeting: None });
        let rulesets = [(self.family, source)];
        let spec = LabSpec { services: &services, ..LabSpec::new(&equipment, &interface, &addresses, &rulesets) };
        let strangers = foreign_addresses(&self.stimuli, &addresses);
        match Lab::run(&spec, |lab| lab.sweep(&self.stimuli, &strangers, limits)) {
            Ok(responses) => Ok(Some(responses)),
            Err(Error::Input(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The first rule that the kernel matched and the sets do not allow, or that the sets demand and the kernel did not
/// match.
fn disagreement(sets: &Sets, responses: &[Response]) -> Option<String> {
    let rules: Vec<_> = sets.listing.placed_rules().collect();
    let arrivals: Vec<_> = rules.iter().map(|at| sets.arrivals(at.table, at.chain, at.number)).collect();
    // The headers of a packet with IPv6 options are those of its options.
    let is_read = |journey: &Journey| journey.headers.family() == sets.listing.family && journey.headers.protocol != 0;
    let all = responses.iter().flat_map(|one| {
        let own = one.own.iter().chain(&one.answer).map(|journey| (journey, true));
        own.chain(one.others.iter().map(|journey| (journey, false)))
    });
    for (journey, is_own) in all.filter(|(journey, _)| is_read(journey)) {
        let mut known: Vec<(&str, Region)> = Vec::new();
        for (at, arrivals) in rules.iter().zip(&arrivals).filter(|(_, arrivals)| arrivals.is_all) {
            if !known.iter().any(|(table, _)| *table == at.table) {
                known.push((at.table, point(sets, at.table, journey, is_own)));
            }
            let (_, packet) = known.iter().find(|(table, _)| *table == at.table).expect("it is there");
            let matched = journey.path.steps.iter().any(|step| at.is(step));
            let of_way = |hook: &str| hooks(journey).contains(&hook);
            let may = || arrivals.found.iter().any(|(hook, set)| of_way(hook) && set.intersection(packet).is_some());
            if matched && !may() {
                return Some(told("the kernel matches what no set has", at, sets, packet, journey));
            }
            if !matched && is_modelled(at) && must(at.table, &arrivals.found, packet, journey) {
                return Some(told("the kernel does not match what a set has", at, sets, packet, journey));
            }
        }
    }
    None
}

/// True if fields alone decide whether a packet matches the rule.
fn is_modelled(at: &PlacedRule) -> bool {
    at.rule.limit().is_none() && !at.rule.clauses.iter().any(|clause| matches!(clause.ask, Match::Other(_)))
}

/// True if every packet of `packet` is in a set that depends on nothing else, of a chain that the journey passed.
fn must(table: &str, found: &[(&str, Region)], packet: &Region, journey: &Journey) -> bool {
    hooks(journey).iter().filter(|hook| journey.path.steps.iter().any(|step| step.is_in(table, hook))).any(|hook| {
        let sure = found.iter().filter(|(of, set)| of == hook && set.answers().next().is_none());
        let cut = |left: Vec<Region>, (_, set): &(&str, Region)| {
            left.iter().flat_map(|region| region.difference(set)).collect::<Vec<_>>()
        };
        sure.fold(vec![packet.clone()], cut).is_empty()
    })
}

fn told(what: &str, at: &PlacedRule, sets: &Sets, packet: &Region, journey: &Journey) -> String {
    let mut text = format!("{what}: table {}, {} {}: {}\n", at.table, at.chain, at.number, at.rule.text);
    writeln!(text, "{} ({:?}), in the sets {}", journey.headers, journey.direction, sets.space.describe(packet))
        .unwrap();
    writeln!(text, "conntrack {:?}, {:?}", journey.path.conntrack, journey.path.fate).unwrap();
    let steps = journey.path.steps.iter();
    steps.for_each(|step| writeln!(text, "  {} {:?} {}", step.table, step.verdict, step.text).unwrap());
    text
}

fn hooks(journey: &Journey) -> [&'static str; 2] {
    let is_received = seen(journey).in_interface.is_some();
    if is_received { ["PREROUTING", "INPUT"] } else { ["OUTPUT", "POSTROUTING"] }
}

fn seen(journey: &Journey) -> Packet {
    let host = Addresses::default().host(journey.headers.family());
    Packet::from_journey(journey, InterfaceName::default().as_str(), host)
}

/// The packet of a journey as a set: one value for each field that is known. The interface of a received packet is known
/// of the stimuli only: REJECT answers a packet of the host over loopback, in the name of another machine.
fn point(sets: &Sets, table: &str, journey: &Journey, is_own: bool) -> Region {
    let (space, packet) = (&sets.space, seen(journey));
    let one = |value: u128| Values::these([value]);
    let mut known = vec![
        (PacketField::Protocol, one(packet.protocol.into())),
        (PacketField::Source, one(number(packet.source))),
        (PacketField::Destination, one(number(packet.destination))),
        (PacketField::Whole, one(1)),
    ];
    known.extend(packet.in_interface.filter(|_| is_own).map(|name| (PacketField::In, space.meant(&name))));
    known.extend(packet.out_interface.as_ref().map(|name| (PacketField::Out, space.meant(name))));
    match packet.content {
        Content::Tcp { source, destination, flags } => known.extend([
            (PacketField::SourcePort, one(source.0.into())),
            (PacketField::DestinationPort, one(destination.0.into())),
            (PacketField::Flags, one(u128::from(flags & 63))),
        ]),
        Content::Udp { source, destination } => known.extend([
            (PacketField::SourcePort, one(source.0.into())),
            (PacketField::DestinationPort, one(destination.0.into())),
        ]),
        Content::Icmp { kind, code } => {
            known.push((PacketField::Message, one(u128::from(kind) * 256 + u128::from(code))));
        }
        Content::Other => {}
    }
    // The raw table comes before conntrack.
    let state = packet.conntrack.filter(|_| table != "raw");
    known.extend(state.map(|state| (PacketField::State, state_places(&[state]))));
    let narrowed = |region: Region, (field, values): (PacketField, Values)| {
        region.with(field, &values).unwrap_or_else(|| panic!("no value of {field:?}: {journey:?}"))
    };
    known.into_iter().fold(space.everything.clone(), narrowed)
}

/// The first packet with different effects.
fn difference(case: &Case, one: &[Response], mutant: &Listing, other: &[Response]) -> Option<String> {
    let all = case.stimuli.iter().zip(one.iter().zip(other));
    let mut differing = all.filter_map(|(stimulus, (one, other))| {
        let (one, other) = (effects(one, case.listing), effects(other, mutant));
        (one != other).then(|| format!("{stimulus}\n{one:?}\n{other:?}\n"))
    });
    differing.next()
}

/// The end of each path of a packet, with its log lines, its limits and the type of a REJECT.
fn effects(response: &Response, listing: &Listing) -> Vec<(Fate, Vec<String>)> {
    let shows = |journey: &Journey, step: &Step| {
        let is_reject = journey.path.fate == Fate::Rejected && journey.path.steps.last() == Some(step);
        let rule = listing.rule_of(step).filter(|_| is_reject || step.log_prefix.is_some())?;
        Some(format!("{} {:?}", rule.target.as_ref()?.canonical(listing.family), rule.limit()))
    };
    let effect = |own: &Journey| (own.path.fate, own.path.steps.iter().filter_map(|step| shows(own, step)).collect());
    response.own.iter().map(effect).collect()
}

/// Draws packets.
struct Draw<'a> {
    random: &'a mut Random,
    family: Family,
    /// Addresses on both sides of every prefix, and others.
    strangers: Vec<IpAddr>,
    ports: Vec<u16>,
    flows: HashSet<String>,
    stimuli: Vec<Stimulus>,
}

impl<'a> Draw<'a> {
    fn new(random: &'a mut Random, listing: &Listing, others: &[(Listing, String)]) -> Draw<'a> {
        let family = listing.family;
        let all: Vec<&Listing> = [listing].into_iter().chain(others.iter().map(|(other, _)| other)).collect();
        let plan = SweepPlan::of_all(family, &all, &Addresses::default());
        let mut strangers = plan.foreign_addresses();
        let others = match family {
            Family::Ipv4 => ["192.0.2.9", "203.0.113.63", "203.0.113.70", "10.1.2.3"],
            Family::Ipv6 => ["2001:db8:2::9", "2001:db8:113::5f", "2001:db8:113::70", "2001:db8:113:1::1"],
        };
        strangers.extend(others.map(|address| address.parse::<IpAddr>().expect("an address")));
        strangers.retain(|address| Addresses::default().may_send(*address));
        let ports = plan.services().iter().map(|port| port.0).collect();
        Draw { random, family, strangers, ports, flows: HashSet::new(), stimuli: Vec::new() }
    }

    /// Packets of any kind, then some from the match of every rule, and more of those that none reaches.
    fn stimuli(
        mut self,
        sets: &Sets,
        dead: &HashSet<(String, String, usize)>,
        others: &[(Listing, String)],
    ) -> Vec<Stimulus> {
        let attack = variable("SCANLAB_PACKETS").map_or(OF_A_DEAD_RULE, |packets| packets as usize);
        let hooks = HOOKS.into_iter().filter(|hook| *hook != "FORWARD");
        let everything: Vec<_> = hooks.map(|hook| (hook, sets.space.everything.clone())).collect();
        self.add(&everything, ANY);
        for at in sets.listing.placed_rules() {
            let count = if dead.contains(&key(&at)) { attack } else { OF_A_RULE };
            self.add(&own_match(&sets.space, &at), count);
        }
        for other in others.iter().flat_map(|(other, _)| other.placed_rules()) {
            if !sets.listing.rules().any(|rule| rule.text == other.rule.text) {
                self.add(&own_match(&sets.space, &other), OF_A_RULE);
            }
        }
        self.stimuli
    }

    /// Adds `count` packets of `parts`, or fewer if they are hard to find.
    fn add(&mut self, parts: &[(&'static str, Region)], count: usize) {
        let wanted = self.stimuli.len() + count;
        for _ in 0..2 * count {
            if parts.is_empty() || self.stimuli.len() >= wanted {
                return;
            }
            let (hook, part) = &parts[self.random.below(parts.len())];
            let packet = self.packet(hook, part);
            self.stimuli.extend(packet);
        }
    }

    /// A packet of `part`; `None` for one that the lab cannot send, or whose flow is taken.
    fn packet(&mut self, hook: &str, part: &Region) -> Option<Stimulus> {
        let addresses = Addresses::default();
        let (host, prober) = (addresses.host(self.family), addresses.prober(self.family));
        let is_received = matches!(hook, "PREROUTING" | "INPUT");
        let loopback = self.random.once_in(8).then(|| self.random.one_of(&[host, self.family.loopback()]));
        let stranger = self.strangers[self.random.below(self.strangers.len())];
        let other = if self.random.once_in(3) { stranger } else { prober };
        let (source, destination) = match (loopback, is_received) {
            (Some(own), _) => (own, own),
            (None, true) => (other, host),
            (None, false) => (host, other),
        };
        let has = |field, address| part.values(field).contains(number(address));
        if !has(PacketField::Source, source) || !has(PacketField::Destination, destination) {
            return None;
        }
        let (protocol, content) = self.content(part)?;
        let headers = Headers { source, destination, protocol, content };
        let sender = if loopback.is_none() && is_received { StimulusSender::Prober } else { StimulusSender::Host };
        let leads: &[Lead] = match (content, sender) {
            (Content::Icmp { .. } | Content::Other, _) => &[Lead::None],
            _ if loopback.is_some() => &[Lead::None],
            _ if other != prober => &[Lead::None, Lead::Backward],
            (Content::Tcp { .. }, _) => &[Lead::None, Lead::None, Lead::Forward, Lead::Backward, Lead::Handshake],
            _ => &[Lead::None, Lead::Forward, Lead::Backward],
        };
        let lead = self.random.one_of(leads);
        self.is_new_flow(&headers).then_some(Stimulus { sender, lead, headers })
    }

    fn content(&mut self, part: &Region) -> Option<(u8, Content)> {
        let v6 = self.family == Family::Ipv6;
        let icmp = if v6 { 58 } else { 1 };
        let protocols: Vec<u8> = [6, 6, 6, 6, 17, 17, icmp, 47, 132, 136]
            .into_iter()
            .filter(|protocol| part.values(PacketField::Protocol).contains(u128::from(*protocol)))
            .collect();
        let protocol = if protocols.is_empty() { return None } else { self.random.one_of(&protocols) };
        let content = match protocol {
            6 => Content::Tcp {
                source: self.port(part.values(PacketField::SourcePort)),
                destination: self.port(part.values(PacketField::DestinationPort)),
                flags: self.flags(part.values(PacketField::Flags))?,
            },
            17 => Content::Udp {
                source: self.port(part.values(PacketField::SourcePort)),
                destination: self.port(part.values(PacketField::DestinationPort)),
            },
            _ if protocol == icmp => {
                let kinds: &[u8] = if v6 { &[1, 2, 3, 4, 128, 129] } else { &[0, 3, 5, 8, 11, 12, 13, 17] };
                let (kind, code) = (self.random.one_of(kinds), self.random.below(5) as u8);
                let is_in = part.values(PacketField::Message).contains(u128::from(kind) * 256 + u128::from(code));
                is_in.then_some(Content::Icmp { kind, code })?
            }
            _ => Content::Other,
        };
        Some((protocol, content))
    }

    /// A port that rules name, or the end of a range, or any.
    fn port(&mut self, values: &Values) -> Port {
        let ranges: Vec<_> = values.ranges().collect();
        let range = &ranges[self.random.below(ranges.len())];
        let named = self.ports.get(self.random.below(self.ports.len().max(1))).copied().map(u128::from);
        let any = range.start() + u128::from(self.random.next()) % (range.end() - range.start() + 1);
        let port = match self.random.below(6) {
            0 => *range.start(),
            1 => *range.end(),
            2 | 3 => named.filter(|port| values.contains(*port)).unwrap_or(any),
            _ => any,
        };
        Port(port as u16)
    }

    /// Usual flags more often than others.
    fn flags(&mut self, values: &Values) -> Option<u8> {
        let all: Vec<u8> = (0..64).filter(|flags| values.contains(u128::from(*flags))).collect();
        let usual: Vec<u8> = [2, 16, 17, 18, 24, 4].into_iter().filter(|flags| all.contains(flags)).collect();
        match (all.is_empty(), usual.is_empty() || self.random.once_in(3)) {
            (true, _) => None,
            (_, true) => Some(self.random.one_of(&all)),
            (_, false) => Some(self.random.one_of(&usual)),
        }
    }

    /// Conntrack keeps one entry for both directions: every flow is sent once.
    fn is_new_flow(&mut self, headers: &Headers) -> bool {
        let plain = |headers: &Headers| format!("{}", headers.with_flags(0));
        let (one, other) = (plain(headers), plain(&headers.reversed()));
        self.flows.insert(one.clone()) & (one == other || self.flows.insert(other))
    }
}

/// The packets that match a rule alone, with the chains at which they can begin.
fn own_match(space: &Space, at: &PlacedRule) -> Vec<(&'static str, Region)> {
    let hooks: Vec<&str> = HOOKS.into_iter().filter(|hook| *hook == at.chain).collect();
    let hooks = if hooks.is_empty() { vec!["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"] } else { hooks };
    let of_hook = |hook: &&str| {
        let rule = at.rule.text.replacen(&format!("-A {}", at.chain), &format!("-A {hook}"), 1);
        let alone = listing(space.family, &format!("*{}\n:{hook} ACCEPT [0:0]\n{rule}\nCOMMIT\n", at.table));
        Sets::new(space.clone(), &alone).arrivals(at.table, hook, 1).found.clone()
    };
    hooks.iter().flat_map(of_hook).collect()
}

/// Rules with one match each. A planted fault: the sets are made of rules of which one match is negated.
#[test]
fn a_match_whose_set_is_wrong_is_noticed() {
    let _machine = share_the_machine();
    let rules = [
        "-p udp -j LOG",
        "-s 203.0.113.64/28 -j LOG",
        "-d 203.0.113.10/32 -j LOG",
        "-i lo -j LOG",
        "-p tcp --sport 1024:65535 -j LOG",
        "-p tcp --dport 22 -j LOG",
        "-p tcp -m multiport --dports 80,443 -j LOG",
        "-p tcp --tcp-flags FIN,SYN,RST,ACK SYN -j LOG",
        "-p icmp --icmp-type 8 -j LOG",
        "-m conntrack --ctstate NEW -j LOG",
        "-m conntrack --ctstate INVALID -j DROP",
        "-p tcp --dport 0:1023 -j DROP",
    ];
    let text = |rules: &[String]| format!("*filter\n:INPUT ACCEPT [0:0]\n{}\nCOMMIT\n", rules.join("\n"));
    let rules: Vec<String> = rules.iter().map(|rule| format!("-A INPUT {rule}")).collect();
    let right = listing(Family::Ipv4, &text(&rules));
    let mut random = Random(FIXED);
    let stimuli = Draw::new(&mut random, &right, &[]).stimuli(&sets_of(&right), &HashSet::new(), &[]);
    let case = Case { family: Family::Ipv4, flavour: Flavour::Nft, listing: &right, stimuli };
    let responses = case.send(&case.listing.source, LimitOverride::Wide).expect("a lab").expect("good rules");
    assert_eq!(disagreement(&sets_of(&right), &responses), None);
    for place in 0..rules.len() {
        let options =
            ["-s ", "-d ", "-i ", "--sport ", "--dport ", "--dports ", "--tcp-flags ", "--icmp-type ", "--ctstate "];
        let option = options.into_iter().find(|option| rules[place].contains(option)).unwrap_or("-p ");
        let mut planted = rules.clone();
        planted[place] = rules[place].replacen(option, &format!("! {option}"), 1);
        let planted = listing(Family::Ipv4, &text(&planted));
        assert_ne!(disagreement(&sets_of(&planted), &responses), None, "{}", rules[place]);
    }
}
