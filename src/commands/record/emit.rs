//! A recording as text: TOML that people read and change, in sections, with the responsible rules.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::effect::{DecidingRuleText, RowEffect};
use super::facts::RecordedFacts;
use super::rows::{self, PacketRow, ScanRow, Topic};
use super::{NamedRuleset, Recorded, UnrecordedReason};
use crate::intent::scenario::{quoted, quoted_log};
use crate::net::port::{Port, PortSet};
use crate::net::rate::Rate;
use crate::net::{Addresses, Family, InterfaceName};
use crate::probe::scan::FilterVerdict;
use crate::sensor::Host;
use crate::text::escape::visible;
use crate::text::group::grouped;
use crate::text::schema_line;

/// The maximum width of a list on one line.
const WIDTH: usize = 100;

/// The maximum number of rules that are named for a row.
const NAMED: usize = 8;

/// The scenario.
pub fn scenario(recorded: &Recorded) -> String {
    let Recorded { rulesets, host, facts, known, left_out, gap } = recorded;
    let families: Vec<Family> = rulesets.iter().map(|ruleset| ruleset.family).collect();
    let text = Text { rulesets, families: &families, text: String::new() };
    text.head(*gap)
        .host(host)
        .scans(facts)
        .rates(facts)
        .packets(facts)
        .known(known)
        .beyond(&facts.beyond)
        .left_out(left_out)
}

struct Text<'a> {
    rulesets: &'a [NamedRuleset],
    families: &'a [Family],
    text: String,
}

impl Text<'_> {
    fn head(mut self, gap: Option<UnrecordedReason>) -> Self {
        let names: Vec<String> = self.rulesets.iter().map(NamedRuleset::short).collect();
        let does = if names.len() == 1 { "behaves as it did" } else { "behave as they did" };
        self.line(&schema_line::of("scenario"));
        self.line(
            "# Recorded by `scanlab record`: the measured behaviour of the ruleset, each row with the rules behind it.",
        );
        self.line(
            "# `scanlab run` compares the ruleset with it. Change a row to what you want, and the run fails until \
             the rules",
        );
        self.line(
            "# do it. Ports are those that rules name, and their neighbours: the rules treat all ports between the \
             same.",
        );
        match gap {
            None => {}
            Some(UnrecordedReason::TooMany) => {
                self.line("#");
                self.line(
                    "# INCOMPLETE: the ports, addresses and flags that the rules name combine to more packets \
                           than can be",
                );
                self.line(
                    "# sent. The effect of the rules on packets from other addresses, or of other protocols, \
                           may be missing.",
                );
            }
            Some(UnrecordedReason::Lists) => {
                self.line("#");
                self.line("# INCOMPLETE: the rules remember packets in lists (recent, hashlimit), so only scans are");
                self.line("# recorded.");
            }
        }
        let title = format!("{} {does} when recorded", names.join(" and "));
        self.line(&format!("title = {}\n\n[ruleset]", quoted(&title)));
        for ruleset in self.rulesets {
            let key = if ruleset.family == Family::Ipv4 { "v4" } else { "v6" };
            self.line(&format!("{key} = {}", quoted(&ruleset.name)));
        }
        self
    }

    fn host(mut self, host: &Host) -> Self {
        self.line("\n[host]");
        if let Some(mac) = host.mac {
            self.line(&format!("mac    = \"{mac}\""));
        }
        if let Some(vendor) = &host.vendor {
            self.line(&format!("vendor = {}", quoted(vendor)));
        }
        let listen: Vec<String> = host.listen.iter().map(Port::to_string).collect();
        self.line(&format!("listen = [{}]", listen.join(", ")));
        if host.interface != InterfaceName::default() {
            self.line(&format!("interface = {}", quoted(host.interface.as_str())));
        }
        let Addresses { v4, v6 } = &host.addresses;
        if host.addresses != Addresses::default() {
            let hosts = format!("v4 = \"{}/{}\", v6 = \"{}/{}\"", v4.host, v4.prefix_len, v6.host, v6.prefix_len);
            self.line(&format!("addresses = {{ {hosts} }}"));
            self.line(&format!("prober = {{ v4 = \"{}\", v6 = \"{}\" }}", v4.prober, v6.prober));
        }
        if !host.sysctls.is_empty() {
            let sysctls: Vec<String> =
                host.sysctls.iter().map(|(name, value)| format!("\"{name}\" = {value}")).collect();
            self.line(&format!("sysctls = {{ {} }}", sysctls.join(", ")));
        }
        self
    }

    fn scans(mut self, facts: &RecordedFacts) -> Self {
        let rows = rows::of_scans(facts, self.families);
        let sections = [
            (Some(FilterVerdict::Accept), "Scans: accepted"),
            (Some(FilterVerdict::Reject), "Scans: rejected"),
            (Some(FilterVerdict::Drop), "Scans: dropped"),
            (None, "Scans: other results"),
        ];
        for (verdict, heading) in sections {
            let rows: Vec<&ScanRow> = rows.iter().filter(|row| row.effect.verdict == verdict).collect();
            self.section(heading, !rows.is_empty());
            rows.into_iter().for_each(|row| self.scan(row));
        }
        self
    }

    fn rates(mut self, facts: &RecordedFacts) -> Self {
        let rows = rows::of_rates(facts, self.families);
        self.section("Rates of log lines", !(rows.is_empty() && facts.unsayable.is_empty()));
        rows.iter().for_each(|row| self.scan(row));
        for (family, doing, why) in &facts.unsayable {
            self.line(&format!("\n# {}\n# No row checks this limit: {why}.", self.deciding_rule(*family, doing)));
        }
        self
    }

    fn packets(mut self, facts: &RecordedFacts) -> Self {
        for topic in Topic::ALL {
            let rows = rows::of_packets(facts, self.families, topic);
            let heading = match topic {
                Topic::ToHost => "Other packets: flags that no scan sends, other messages and protocols",
                Topic::Strangers => "From other addresses",
                Topic::Connections => "Within a connection, and answers to the host",
                Topic::FromHost => "Packets of the host",
                Topic::Loopback => "Over loopback",
            };
            self.section(heading, !rows.is_empty());
            rows.iter().for_each(|row| self.packet(row));
        }
        self
    }

    fn known(mut self, known: &BTreeSet<&'static str>) -> Self {
        self.section("Unlike a usual host on a link", !known.is_empty());
        for scan in known {
            let because = "it was so when recorded";
            self.line(&format!("\n[[known]]\nscan    = \"{scan}\"\nbecause = \"{because}\""));
        }
        self
    }

    fn beyond(mut self, beyond: &BTreeSet<String>) -> Self {
        self.section("Not recorded: packets that leave the lab, or cannot reach the host", !beyond.is_empty());
        for one in beyond {
            self.line(&format!("# {}", visible(one)));
        }
        self
    }

    fn left_out(mut self, left_out: &BTreeSet<String>) -> String {
        self.section("Left out: results that differed the second time", !left_out.is_empty());
        for name in left_out {
            self.line(&format!("# {}", visible(name)));
        }
        self.text
    }

    fn section(&mut self, heading: &str, has_any: bool) {
        if has_any {
            self.line(&format!("\n# === {heading} ==="));
        }
    }

    fn scan(&mut self, row: &ScanRow) {
        self.deciding_rules(&row.doings);
        self.line("[[expect]]");
        let techniques: Vec<String> = row.techniques.iter().map(|technique| format!("\"{technique}\"")).collect();
        match techniques.as_slice() {
            [one] => self.line(&format!("scan    = {one}")),
            many => self.line(&format!("scan    = [{}]", many.join(", "))),
        }
        if !row.ports.is_empty() {
            self.line(&format!("ports   = {}", ports(&row.ports)));
        }
        self.effect(&row.families, &row.effect);
        if let Some(limit) = row.limit {
            let rate = Rate::new(limit.count.into(), limit.seconds.into()).map(|rate| rate.to_string());
            let rate = rate.unwrap_or_default();
            self.line(&format!("rate    = {{ rate = \"{rate}\", burst = {} }}", limit.burst));
        }
    }

    fn packet(&mut self, row: &PacketRow) {
        self.deciding_rules(&row.doings);
        self.line("[[expect]]");
        let packets: Vec<String> = row.packets.iter().map(|packet| format!("\"{packet}\"")).collect();
        let line = format!("packet  = [{}]", packets.join(", "));
        match packets.as_slice() {
            [one] => self.line(&format!("packet  = {one}")),
            _ if line.len() <= WIDTH => self.line(&line),
            many => {
                self.line("packet  = [");
                self.filled(many);
                self.line("]");
            }
        }
        self.effect(&row.families, &row.effect);
    }

    /// Adds a list, with as many items on a line as fit.
    fn filled(&mut self, words: &[String]) {
        let mut line = String::from("   ");
        for word in words {
            if line.len() + word.len() + 2 > WIDTH {
                let full = std::mem::replace(&mut line, String::from("   "));
                self.line(&full);
            }
            let _ = write!(line, " {word},");
        }
        self.line(&line);
    }

    fn effect(&mut self, families: &[Family], RowEffect { verdict, state, log }: &RowEffect) {
        if let [family] = families {
            self.line(&format!("family  = \"{family}\""));
        }
        if let Some(state) = state {
            self.line(&format!("state   = \"{state}\""));
        }
        self.line(&format!("log     = {}", quoted_log(log)));
        if let Some(verdict) = verdict {
            self.line(&format!("verdict = \"{verdict}\""));
        }
    }

    /// Names the rules of a row; the text of equal rules in both families is written once.
    fn deciding_rules(&mut self, doings: &BTreeSet<(Family, DecidingRuleText)>) {
        self.line("");
        let groups = grouped(doings.iter().map(|(family, (line, text))| (text, self.place(*family, *line))));
        for (text, places) in groups.iter().take(NAMED) {
            self.line(&visible(&format!("# {} {text}", places.join(", "))));
        }
        if groups.len() > NAMED {
            self.line(&format!("# and {} more", groups.len() - NAMED));
        }
    }

    /// `rules.v4:5 -A INPUT -j DROP`
    fn deciding_rule(&self, family: Family, (line, text): &DecidingRuleText) -> String {
        visible(&format!("{} {text}", self.place(family, *line)))
    }

    fn place(&self, family: Family, line: usize) -> String {
        let ruleset = self.rulesets.iter().find(|ruleset| ruleset.family == family);
        format!("{}:{line}", ruleset.map(NamedRuleset::short).unwrap_or_default())
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// A number, or a list with ranges in quotes.
fn ports(ports: &PortSet) -> String {
    if ports.len() == 1 { ports.to_string() } else { format!("\"{ports}\"") }
}
