//! Lists of addresses (`recent`) that keep a client out of SSH and that packets to other ports write: one connection to the
//! wrong port, or one packet with a false source address, and the administrator is on the list. Connections to SSH alone
//! (`endurance`) do not show it.

use super::counted::{Counted, is_of};
use super::{Assessment, Fact, Families, PredeploySubject, merge_families};
use crate::error::Result;
use crate::net::Family;
use crate::net::port::Port;
use crate::rules::iptables_save::{PlacedRule, Rule};
use crate::rules::space::Sets;
use crate::text::group::once;

/// A rule that keeps the addresses of a list out of SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanList {
    family: Family,
    port: Port,
    name: String,
    /// True if it also drops packets of open sessions.
    cuts_sessions: bool,
    /// The time for which an address is kept out, in words; `None` if no rule limits it.
    lasts: Option<String>,
    /// The rule, and the first of those that put addresses on the list, as `FILE:LINE: TEXT`.
    place: String,
    written_by: String,
}

/// All such rules in the rules of `subject`.
pub fn find(subject: &PredeploySubject) -> Result<Vec<BanList>> {
    subject.of_each_family(|sets| {
        let keeps_out = sets.listing.placed_rules().filter(|at| is_ban(at.rule));
        let found = keeps_out.flat_map(|ban| subject.sensor.ssh.iter().filter_map(move |port| of(sets, &ban, *port)));
        Ok(found.collect())
    })
}

fn of(sets: &Sets, ban: &PlacedRule, port: Port) -> Option<BanList> {
    let name = ban.rule.recent_list()?;
    let meets = |at: &PlacedRule, packets| {
        let arrivals = sets.arrivals(at.table, at.chain, at.number);
        arrivals.may_be(|hook, region| is_of(region, hook, port, packets))
    };
    let [keeps_out, cuts_sessions] = [Counted::Openings, Counted::Session].map(|packets| meets(ban, packets));
    let writes = |at: &PlacedRule| at.rule.recent_list() == Some(name) && at.rule.has_option("recent", "--set");
    let writer = sets.listing.placed_rules().find(|at| writes(at) && !meets(at, Counted::Openings))?;
    (keeps_out || cuts_sessions).then(|| BanList {
        family: sets.space.family,
        port,
        name: name.to_owned(),
        cuts_sessions,
        lasts: lasts(ban.rule),
        place: sets.listing.quoted(ban.rule),
        written_by: sets.listing.quoted(writer.rule),
    })
}

/// True if the rule drops or rejects the packets of the addresses on its list, or hands them to another chain.
fn is_ban(rule: &Rule) -> bool {
    let reads = ["--rcheck", "--update"].iter().any(|option| rule.has_option("recent", option));
    let passes_on = |name: &str| matches!(name, "ACCEPT" | "RETURN" | "LOG" | "NFLOG");
    reads && rule.target.as_ref().is_some_and(|target| !passes_on(&target.name))
}

fn lasts(rule: &Rule) -> Option<String> {
    let seconds = rule.argument("recent", "--seconds")?;
    let renewed = if rule.has_option("recent", "--update") { ", and each packet restarts them" } else { "" };
    Some(format!("{seconds} seconds{renewed}"))
}

/// One note for each rule.
pub fn facts(found: &[BanList]) -> Vec<Fact> {
    let by_family = found.iter().map(|ban| (ban.family, BanList { family: Family::Ipv4, ..ban.clone() }));
    let facts = merge_families(by_family.collect()).into_iter().map(|(families, ban)| ban.fact(&families));
    once(facts)
}

impl BanList {
    fn fact(&self, families: &Families) -> Fact {
        let BanList { port, name, place, written_by, .. } = self;
        let sessions = if self.cuts_sessions { "; its open sessions freeze" } else { "" };
        let lasts = self.lasts.as_deref().unwrap_or("no limited time: until the list is full or cleared");
        let text = format!(
            "an address on the list `{name}` may be kept out of SSH (port {port}, {families}) for {lasts}{sessions}: \
             {place}; packets that are not for SSH put addresses on it, and their source may be forged: {written_by}"
        );
        Fact::new(Assessment::Note, text)
    }
}
