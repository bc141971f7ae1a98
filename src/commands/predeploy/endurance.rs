//! Sessions with much traffic, and many connections in a row: the rules that cut an SSH session, or close the port
//! after a number of connections, and for how long.

use super::blame::blame;
use super::counted::{Counted, Counter, counters};
use super::{Assessment, Fact, Families, PredeploySubject, RelatedChecks, listener, merge_families};
use crate::error::Result;
use crate::lab::{
    ClientConnection, ConnectionRow, Cut, Endurance, Halt, Held, HostService, IN_A_ROW, Lab, LabSpec, ROUNDS,
    SourcePorts, SpentBy, Traffic, WatchedEvents,
};
use crate::net::Family;
use crate::net::port::Port;
use crate::net::rate::Rate;
use crate::probe::path::Step;
use crate::rules::iptables_save::{Listing, Match, PlacedRule, Rule, RuleLimit};

/// Measurements, each in labs whose rules had seen no packet before.
#[derive(Debug, Clone, Default)]
pub struct Endured {
    sessions: Vec<Endurance>,
    rows: Vec<ConnectionRow>,
    /// Connections of another client that keep a client out.
    held: Vec<Held>,
    /// Rules with a limit above the number of packets that were sent.
    unspent: Vec<(Family, Port, usize, Vec<Counter>)>,
}

/// The maximum number of segments in each direction, and of connections in a row, whatever the limits of the rules.
const MOST: (usize, u16) = (2_500, 256);

/// Measures connections to each SSH port.
pub fn measure(subject: &PredeploySubject) -> Result<Endured> {
    let mut found = Endured::default();
    for port in &subject.sensor.ssh {
        let of = |packets| {
            Lab::families().into_iter().map(move |family| (family, counters(subject, family, *port, packets)))
        };
        let session: Vec<(Family, Vec<Counter>)> = of(Counted::Session).collect();
        let rounds = enough(&session, ROUNDS).min(MOST.0);
        let sessions = explained(subject, |lab| lab.endure(subject.admins, *port, rounds))?;
        found.unspent.extend(unspent(&session, &sessions));
        found.sessions.extend(sessions);
        let openings: Vec<(Family, Vec<Counter>)> = of(Counted::Openings).collect();
        let tries = enough(&openings, IN_A_ROW.into()).min(MOST.1.into()) as u16;
        for row in explained(subject, |lab| lab.connect_in_a_row(subject.admins, *port, tries))? {
            found.rows.push(whose(subject, row)?);
        }
        if let Some(most) = counted_connections(subject) {
            found.held.extend(explained(subject, |lab| lab.hold(subject.admins, *port, most.min(MOST.1)))?);
        }
    }
    Ok(found)
}

/// One connection more than any rule permits at the same time; `None` if no rule counts them.
fn counted_connections(subject: &PredeploySubject) -> Option<u16> {
    let listings = subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let most = |rule: &Rule| {
        rule.modules.iter().find(|module| module.name == "connlimit")?;
        let count = ["--connlimit-above", "--connlimit-upto"].iter().find_map(|one| rule.argument("connlimit", one));
        Some(count.and_then(|count| count.parse().ok()).unwrap_or(u16::MAX - 1).saturating_add(1))
    };
    listings.filter_map(|listing| listing.rules().filter_map(&most).max()).max()
}

/// The number of packets that exceeds each limit, at least `least`.
fn enough(counters: &[(Family, Vec<Counter>)], least: usize) -> usize {
    let limits = counters.iter().flat_map(|(_, counters)| counters).filter_map(|counter| counter.limit);
    // A tenth more, since limits recover in the meantime.
    let enough = limits.map(|limit| usize::try_from(limit.burst).unwrap_or(usize::MAX));
    enough.map(|burst| burst.saturating_add(burst / 10 + 10)).max().unwrap_or(0).max(least)
}

/// The rules that did not see enough packets in sessions that were not cut.
fn unspent(counters: &[(Family, Vec<Counter>)], sessions: &[Endurance]) -> Vec<(Family, Port, usize, Vec<Counter>)> {
    let uncut = sessions.iter().filter(|session| session.cut.is_none());
    let of_session = |session: &Endurance| {
        let (_, counters) = counters.iter().find(|(family, _)| *family == session.family)?;
        let seconds = session.lasted.as_secs_f64();
        let unspent = counters.iter().filter(|counter| !counter.is_exceeded(session.rounds, seconds));
        Some((session.family, session.port, session.rounds, unspent.cloned().collect::<Vec<_>>()))
    };
    uncut.filter_map(of_session).filter(|(.., unspent)| !unspent.is_empty()).collect()
}

/// Measures with paths; if paths cannot be reported, the results have no rule names.
fn explained<T: Send>(subject: &PredeploySubject, work: impl Fn(&mut Lab) -> Result<T> + Send + Sync) -> Result<T> {
    in_lab(subject, WatchedEvents::Paths, &work).or_else(|_| in_lab(subject, WatchedEvents::Replies, &work))
}

/// Finds out who a limit counts: if another client does not get in after a row either, it counts all clients, unless
/// that client never gets in.
fn whose(subject: &PredeploySubject, row: ConnectionRow) -> Result<ConnectionRow> {
    let client = subject.admins.iter().find(|client| Family::from_address(**client) == row.family);
    let (Some(client), Some(_), SpentBy::Unknown) = (client, row.opened, row.spent_by) else { return Ok(row) };
    let gets_in = in_lab(subject, WatchedEvents::Replies, |lab| lab.accepts_other_address(*client, row.port))?;
    Ok(ConnectionRow { spent_by: if gets_in { SpentBy::Everybody } else { SpentBy::Unknown }, ..row })
}

fn in_lab<T: Send>(
    subject: &PredeploySubject,
    watch: WatchedEvents,
    work: impl FnOnce(&mut Lab) -> Result<T> + Send,
) -> Result<T> {
    let rulesets = subject.rules();
    let services: Vec<HostService> = subject.sensor.ssh.iter().map(|port| listener(*port)).collect();
    let spec = LabSpec { services: &services, watch, ..subject.spec(&rulesets) };
    Lab::run(&spec, work)
}

impl Endured {
    /// The measurements without those over `family`.
    pub fn without(&self, family: Family) -> Endured {
        let mut rest = self.clone();
        rest.sessions.retain(|one| one.family != family);
        rest.rows.retain(|row| row.family != family);
        rest.held.retain(|one| one.family != family);
        rest.unspent.retain(|(of, ..)| *of != family);
        rest
    }
}

/// The results of long sessions.
pub fn sessions(subject: &PredeploySubject, endured: &Endured) -> Vec<Fact> {
    let by_family = endured.sessions.iter().map(|one| {
        let cut = one.cut.as_ref().map(|cut| {
            let tone = if is_by_limit(endured, one, cut) { Assessment::Note } else { Assessment::Bad };
            (tone, end_of(cut, one.port), blame(subject, one.family, &cut.took))
        });
        (one.family, (one.port, one.rounds, cut))
    });
    type Found = (Port, usize, Option<EnduranceResult>);
    let fact = |(families, (port, rounds, cut)): (Families, Found)| match cut {
        None => {
            let sent = all_sent(rounds);
            Fact::new(Assessment::Good, format!("{sent} get through port {port}, over {families} ({HOW})"))
        }
        Some((tone, what, blame)) => {
            Fact::new(tone, format!("{what}, over {families}")).by(blame).about(&families, connections(port))
        }
    };
    merge_families(by_family.collect()).into_iter().map(fact).chain(endured.unspent.iter().flat_map(may_cut)).collect()
}

/// The assessment, the event, and the responsible rules.
type EnduranceResult = (Assessment, String, Vec<String>);

/// Checks of connections to `port`.
pub(super) fn connections(port: Port) -> RelatedChecks {
    RelatedChecks::Connections([port].into_iter().collect())
}

fn all_sent(rounds: usize) -> String {
    format!("an SSH session of {rounds} segments each way, a second one beside it and a reconnect")
}

/// Unknown facts, for each rule with a limit above the number of packets that were sent.
fn may_cut((family, port, rounds, unspent): &(Family, Port, usize, Vec<Counter>)) -> Vec<Fact> {
    let fact = |counter: &Counter| {
        let why = match counter.limit {
            Some(_) => "did not use up this limit",
            None => "may be fewer than this rule counts",
        };
        let text = format!(
            "a longer SSH session to port {port} may be cut over {}: {rounds} segments each way {why}",
            family.title()
        );
        Fact::new(Assessment::Unknown, text).by(vec![counter.place.clone()])
    };
    unspent.iter().map(fact).collect()
}

/// The properties of the segments, since rules can match others.
const HOW: &str = "Linux's TCP from ports above 50000; banners, key exchanges of 1500 to 2000 bytes, segments of 36 to \
                   1400 bytes, each TOS that OpenSSH sets";

fn end_of(cut: &Cut, port: Port) -> String {
    let session = match cut.attempt {
        ClientConnection::Session => format!("an SSH session to port {port}"),
        ClientConnection::Second => format!("a second SSH session to port {port}"),
        ClientConnection::Reconnect => format!("after an SSH session to port {port} a new one"),
    };
    let packets = cut.packets;
    let doing = cut.traffic.map(doing).unwrap_or_default();
    match (cut.halt, cut.attempt) {
        (Halt::Shut, ClientConnection::Second) => {
            format!("{session} does not open beside the first one: while one hangs, you cannot log in")
        }
        (Halt::Shut, _) => format!("{session} does not open"),
        (Halt::Freezes, _) => format!("{session} freezes after {packets} packets from the client{doing}"),
        (Halt::Crawls, _) => {
            format!("{session} loses so many segments that it was given up after {packets} packets from the client")
        }
    }
}

/// What a session was doing when it was cut.
fn doing(traffic: Traffic) -> String {
    match traffic {
        Traffic::Banner => ", with the banners (`SSH-2.0-..`)".to_owned(),
        Traffic::KeyExchange => ", in a key exchange".to_owned(),
        Traffic::Interactive(0) => String::new(),
        Traffic::Interactive(tos) => format!(", with TOS {tos:#04x}"),
    }
}

/// True if a limit on new connections, which is reported separately, explains why one did not open.
fn is_by_limit(endured: &Endured, one: &Endurance, cut: &Cut) -> bool {
    let connections = match cut.attempt {
        ClientConnection::Session => return false,
        ClientConnection::Second => 1,
        ClientConnection::Reconnect => 2,
    };
    let row = endured.rows.iter().find(|row| (row.family, row.port) == (one.family, one.port));
    cut.halt == Halt::Shut && row.and_then(|row| row.opened).is_some_and(|opened| opened <= connections)
}

/// The effect of a limit on many connections in a row: it keeps out clients that have used it up, which may be all
/// clients.
pub fn rows(subject: &PredeploySubject, endured: &Endured) -> Vec<Fact> {
    let by_family = endured.rows.iter().map(|row| {
        let blame = blame(subject, row.family, &row.took);
        let limit = DoorLimit {
            port: row.port,
            tries: row.tries,
            opened: row.opened,
            spent_by: row.spent_by,
            blame,
            wait: wait(subject, row),
        };
        (row.family, limit)
    });
    let rows = merge_families(by_family.collect()).into_iter().map(|(families, row)| row_in_words(&families, row));
    rows.chain(kept_out(subject, endured)).collect()
}

/// The source ports that are kept out; those that only root can use are of no common client.
fn kept_out(subject: &PredeploySubject, endured: &Endured) -> Vec<Fact> {
    let of_row = |row: &ConnectionRow| {
        let of = |(ports, took): &(SourcePorts, Vec<Step>)| {
            (row.family, (row.port, *ports, blame(subject, row.family, took)))
        };
        row.kept_out.iter().map(of).collect::<Vec<_>>()
    };
    let fact = |(families, (port, ports, blame)): (Families, (Port, SourcePorts, Vec<String>))| {
        let (tone, range) = match ports {
            SourcePorts::Usual => (Assessment::Bad, "32768 to 60999"),
            SourcePorts::High => (Assessment::Bad, "61000 to 65535"),
            SourcePorts::Low => (Assessment::Note, "1 to 1023"),
        };
        let text = format!("new connections to port {port} from source ports of {range} do not open, over {families}");
        Fact::new(tone, text).by(blame).about(&families, connections(port))
    };
    merge_families(endured.rows.iter().flat_map(of_row).collect()).into_iter().map(fact).collect()
}

/// Open connections of others that keep a client out.
pub fn held(subject: &PredeploySubject, endured: &Endured) -> Vec<Fact> {
    let by_family = endured.held.iter().map(|one| {
        let blame = blame(subject, one.family, &one.took);
        (one.family, (one.port, one.count, blame))
    });
    let fact = |(families, (port, count, blame)): (Families, (Port, usize, Vec<String>))| {
        let text =
            format!("a stranger who holds {count} connections to port {port} open keeps you out, over {families}");
        let fix = "with `--connlimit-mask` 32 for IPv4 and 128 for IPv6 each address is counted separately";
        Fact::new(Assessment::Bad, text).by(blame).fixed_by(fix).about(&families, connections(port))
    };
    merge_families(by_family.collect()).into_iter().map(fact).collect()
}

/// The effect of the rules on connections in a row, in words where there are some.
#[derive(PartialEq)]
struct DoorLimit {
    port: Port,
    tries: u16,
    /// The number of connections that opened before one did not; `None` if no limit kept one out.
    opened: Option<usize>,
    /// The addresses whose connections count.
    spent_by: SpentBy,
    /// The rules to blame.
    blame: Vec<String>,
    /// The time for which the port stays closed.
    wait: Option<String>,
}

fn row_in_words(families: &Families, limit: DoorLimit) -> Fact {
    let DoorLimit { port, tries, opened, spent_by, blame, wait } = limit;
    let in_a_row = match opened {
        None => {
            let text = format!("{tries} new connections to port {port} in a row open, over {families}");
            return Fact::new(Assessment::Good, text);
        }
        Some(1) => "a second one right after the first does not open".to_owned(),
        Some(opened) => format!("after {opened} in a row the next does not open"),
    };
    let wait = |before: &str| wait.map(|wait| format!("{before}{wait}")).unwrap_or_default();
    let limited = format!("new connections to port {port} are limited over {families}: {in_a_row}");
    match spent_by {
        SpentBy::Each => {
            let text = format!("{limited}, and you have to wait (each address separately{})", wait("; "));
            Fact::new(Assessment::Note, text).by(blame)
        }
        SpentBy::Unknown => {
            let text = format!("{limited}, and you have to wait{}; others may use up the limit, too", wait(": "));
            Fact::new(Assessment::Note, text).by(blame)
        }
        SpentBy::Everybody => {
            let text = format!(
                "{limited}, and all clients share the limit: a stranger who keeps connecting keeps you out{}",
                wait(": ")
            );
            let fix = "`-m hashlimit --hashlimit-mode srcip` counts each address separately";
            Fact::new(Assessment::Bad, text).by(blame).fixed_by(fix).about(families, connections(port))
        }
    }
}

/// The time for which the port is closed, from the rule that closed it, or else from the limits of a rule that accepts
/// and of the jumps to it.
fn wait(subject: &PredeploySubject, row: &ConnectionRow) -> Option<String> {
    row.opened?;
    let (_, source) = subject.rulesets.iter().find(|(family, _)| *family == row.family)?;
    let listing = subject.equipment.listing(row.family, source);
    let is_took = |rule: &&Rule| row.took.iter().any(|step| step.line == Some(rule.line));
    let accepting = || listing.placed_rules().filter(|at| at.table == "filter" && at.rule.accepts());
    let lets_in = |way: &Vec<&Rule>| way.iter().any(|rule| names(rule, row.port));
    let took = listing.rules().filter(is_took).find_map(|rule| shut_by(&[rule]));
    took.or_else(|| accepting().map(|at| way_to(&listing, at)).filter(lets_in).find_map(|way| shut_by(&way)))
}

/// A rule, and the jumps that lead to its chain.
fn way_to<'a>(listing: &'a Listing, at: PlacedRule<'a>) -> Vec<&'a Rule> {
    let (mut way, mut chains, mut next) = (vec![at.rule], vec![at.chain], 0);
    while let Some(chain) = chains.get(next).copied() {
        for jump in listing.jumps_to(at.table, chain) {
            way.push(jump.rule);
            if !chains.contains(&jump.chain) {
                chains.push(jump.chain);
            }
        }
        next += 1;
    }
    way
}

fn names(rule: &Rule, port: Port) -> bool {
    rule.clauses.iter().any(|clause| matches!(&clause.ask, Match::DestinationPorts(ports) if ports.contains(port)))
}

/// The time after which these rules, all of which a packet has to pass, let it through again.
fn shut_by(rules: &[&Rule]) -> Option<String> {
    if let Some((rule, seconds)) = rules.iter().find_map(|rule| Some((rule, rule.argument("recent", "--seconds")?))) {
        let renewed = rule.text.contains("--update");
        let more = if renewed { ", and each attempt restarts them" } else { "" };
        return Some(format!("{seconds} seconds{more}"));
    }
    let limits = rules.iter().flat_map(|rule| rule.packet_limits());
    let limit = RuleLimit::slowest(limits).or_else(|| rules.iter().find_map(|rule| rule.hash_above()))?;
    let rate = Rate::new(limit.count.into(), limit.seconds.into())?;
    Some(format!("the rule accepts {rate}"))
}
