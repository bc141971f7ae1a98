//! A copy of a ruleset with NFLOG in place of LOG, which sends to a program what the ruleset itself would write to the
//! kernel's log.
//!
//! Nothing else changes: every rule keeps its line, so reports about a line are true of both. The group of a copied
//! rule encodes the options of its LOG (`--log-uid`, ...), since NFLOG has none of them.

use std::collections::BTreeSet;

use super::line::ParsedLine;
use super::{LOG_PREFIX, Rule, Target};
use crate::error::Source;
use crate::log_line::LogFlags;
use crate::log_line::is_of_the_lab;
use crate::net::Family;
use crate::text::words::without_counters;

/// The NFLOG groups in place of LOG: a block of 256, with one group for each level and each set of flags. (The level is
/// in no line; but two rules that differ only in it must not become equal, since `-D` deletes an equal rule.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    first: u16,
}

/// A ruleset with NFLOG in place of LOG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its text, line for line that of the original.
    pub source: Source,
    /// The groups of its rules that replace LOG.
    pub groups: BTreeSet<u16>,
}

impl Groups {
    /// The highest block that no NFLOG rule of these rulesets uses; `None` if there is none left.
    pub fn beside<'a>(rulesets: impl IntoIterator<Item = (Family, &'a Source)>) -> Option<Groups> {
        let used =
            |(family, source): (Family, &'a Source)| lines(&source.text).filter_map(move |line| group(family, line));
        let used: BTreeSet<u8> = rulesets.into_iter().flat_map(used).map(|group| group.to_be_bytes()[0]).collect();
        let free = (0..=u8::MAX)
            .rev()
            .find(|block| !is_of_the_lab(u16::from_be_bytes([*block, 0])) && !used.contains(block))?;
        Some(Groups { first: u16::from(free) << 8 })
    }

    /// The group for a LOG without options.
    pub fn plain(&self) -> u16 {
        self.first
    }

    /// The options of the LOG that `group` replaces; `None` if it is none of these groups.
    pub fn flags(&self, group: u16) -> Option<LogFlags> {
        (group & 0xff00 == self.first).then(|| LogFlags::from_bits(group as u8))
    }

    fn group(&self, log: &Target) -> u16 {
        let given = LogFlags::OPTIONS.into_iter().filter(|(option, _)| log.option(option).is_some());
        let flags = given.fold(LogFlags::NONE, |all, (_, flag)| all.and(flag));
        self.first + u16::from(level(log) * LogFlags::COUNT + flags.bits())
    }
}

impl Copy {
    /// Copies `source`, a ruleset that iptables accepts.
    pub fn new(family: Family, source: &Source, groups: &Groups) -> Copy {
        let mut used = BTreeSet::new();
        let copied = lines(&source.text).map(|line| match copied(family, line, groups) {
            Some((text, group)) => {
                used.insert(group);
                text
            }
            None => line.to_owned(),
        });
        let text: String = copied.collect();
        Copy { source: Source { name: source.name.clone(), text: text.into() }, groups: used }
    }
}

impl Rule {
    /// The group and the prefix of an NFLOG rule; iptables-extensions(8): the default group is 0.
    pub fn nflog(&self) -> Option<(u16, &str)> {
        let nflog = self.target.as_ref().filter(|target| target.name == "NFLOG")?;
        let group = nflog.option("--nflog-group").map_or(0, number);
        Some((group, nflog.option("--nflog-prefix").unwrap_or_default()))
    }
}

/// The lines with their ends.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

/// The group of an NFLOG rule; 0 by default (iptables-extensions(8)).
fn group(family: Family, line: &str) -> Option<u16> {
    rule(family, line)?.nflog().map(|(group, _)| group)
}

/// Parses as strtoul(3) with base 0. iptables refuses other texts.
fn number(text: &str) -> u16 {
    let (digits, radix) = match (text.strip_prefix("0x").or(text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    u16::from_str_radix(digits, radix).unwrap_or(0)
}

/// The line with NFLOG in place of LOG, and its group; `None` for any other line.
fn copied(family: Family, line: &str, groups: &Groups) -> Option<(String, u16)> {
    let rule = rule(family, line)?;
    let log = rule.target.as_ref().filter(|target| target.name == "LOG" && !target.goto)?;
    let group = groups.group(log);
    let prefix = kept(log.option("--log-prefix").unwrap_or_default());
    let target = match prefix {
        // iptables refuses an empty prefix, so a rule without a prefix gets none.
        "" => format!("-j NFLOG --nflog-group {group}"),
        prefix => format!("-j NFLOG --nflog-group {group} --nflog-prefix {}", quoted(prefix)),
    };
    let (before, after) = line.split_at(line.trim_end_matches([' ', '\t', '\n']).len());
    let before = &before[..before.len() - rule.text.len()];
    Some((format!("{before}{}{after}", rule.with_target(&target)), group))
}

/// The rule of a line, whatever its command; `None` if it is no command, or for the other family.
fn rule(family: Family, line: &str) -> Option<Rule> {
    let line = line.trim_end_matches([' ', '\t', '\n']);
    let is_command = !line.is_empty() && !line.starts_with(['#', '*', ':']) && line != "COMMIT";
    let text = without_counters(line).trim_start_matches([' ', '\t']);
    let read = Some(ParsedLine::read(family, text)).filter(|read| is_command && !read.elsewhere)?;
    Some(Rule {
        line: 0,
        span: 0..text.len(),
        text: text.to_owned(),
        clauses: read.clauses,
        modules: read.modules,
        target: read.target,
    })
}

/// The part of a prefix that LOG keeps, extended to the end of its last character: the renderer of the line cuts it to
/// the byte.
fn kept(prefix: &str) -> &str {
    let ends = prefix.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.into_iter().find(|end| *end >= LOG_PREFIX).unwrap_or(prefix.len());
    &prefix[..end]
}

/// Quotes a text so that `words` parses it back.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The level, syslog(3); 4 (warning) by default.
fn level(log: &Target) -> u8 {
    const NAMES: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];
    match log.option("--log-level") {
        None => 4,
        Some("panic") => 0,
        Some(level) => {
            let named = NAMES.iter().position(|name| *name == level).map(|number| number as u16);
            named.unwrap_or_else(|| number(level)).min(7) as u8
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::iptables_save::Listing;

    fn source(text: &str) -> Source {
        Source { name: "rules.v4".into(), text: text.into() }
    }

    fn copy(text: &str) -> String {
        let source = source(text);
        let groups = Groups::beside([(Family::Ipv4, &source)]).expect("a block");
        Copy::new(Family::Ipv4, &source, &groups).source.text.to_string()
    }

    /// The copy of one rule. Warning, no flags: 0xff00 + 4 * 32.
    fn rule_copied(rule: &str) -> String {
        copy(rule)
    }

    #[test]
    fn log_becomes_nflog_and_all_else_stays() {
        for (given, expected) in [
            ("-A INPUT -j LOG", "-A INPUT -j NFLOG --nflog-group 65408"),
            ("-A INPUT -j LOG --log-prefix \"\"", "-A INPUT -j NFLOG --nflog-group 65408"),
            (
                "[1:2] -A INPUT -j LOG --log-prefix \"a \\\"b\\\\ \" -i lo",
                "[1:2] -A INPUT -j NFLOG --nflog-group 65408 --nflog-prefix \"a \\\"b\\\\ \" -i lo",
            ),
            (
                "-I x 3 ! -i lo --jump LOG -p tcp --log-pre=x --log-uid",
                "-I x 3 ! -i lo -j NFLOG --nflog-group 65416 --nflog-prefix \"x\" -p tcp",
            ),
            (
                "-D INPUT -jLOG --log-level 7 --log-tcp-options --log-ip-options  ",
                "-D INPUT -j NFLOG --nflog-group 65510  ",
            ),
            ("-A INPUT -j LOG --log-level debug", "-A INPUT -j NFLOG --nflog-group 65504"),
            ("-A INPUT -g LOG", "-A INPUT -g LOG"),
            ("-A INPUT -j LOGS", "-A INPUT -j LOGS"),
            ("-A INPUT -m comment --comment \"-j LOG\" -j DROP", "-A INPUT -m comment --comment \"-j LOG\" -j DROP"),
            ("-A INPUT -6 -j LOG", "-A INPUT -6 -j LOG"),
            ("# -A INPUT -j LOG", "# -A INPUT -j LOG"),
            (":LOG - [0:0]", ":LOG - [0:0]"),
            ("-A INPUT -j NFLOG --nflog-group 5", "-A INPUT -j NFLOG --nflog-group 5"),
        ] {
            assert_eq!(rule_copied(given), expected);
        }
    }

    #[test]
    fn a_long_prefix_is_kept_as_far_as_log_keeps_it() {
        let copied = |prefix: &str| rule_copied(&format!("-A INPUT -j LOG --log-prefix \"{prefix}\""));
        assert!(copied(&"x".repeat(40)).ends_with(&format!(" \"{}\"", "x".repeat(29))));
        // The 29th byte is the second of three: LOG cuts the character, so its rest must arrive to be cut.
        let cut = format!("{}\u{20ac}", "x".repeat(27));
        assert!(copied(&format!("{cut}yy")).ends_with(&format!(" \"{cut}\"")));
    }

    #[test]
    fn the_users_own_groups_are_left_alone() {
        let groups = |text: &str| Groups::beside([(Family::Ipv4, &source(text))]).map(|groups| groups.plain());
        assert_eq!(groups("-A INPUT -j NFLOG --nflog-group 65279\n"), Some(0xff00));
        assert_eq!(groups("-A INPUT -j NFLOG --nflog-group 0xff01\n"), Some(0xfd00));
        assert_eq!(groups("-A INPUT -j NFLOG --nflog-group 0177777\n"), Some(0xfd00));
        let all: String = (0..256).map(|block| format!("-A INPUT -j NFLOG --nflog-group {}\n", block * 256)).collect();
        assert_eq!(groups(&all), None);
    }

    #[test]
    fn a_group_tells_the_flags_and_no_other_does() {
        let groups = Groups { first: 0xff00 };
        assert_eq!(groups.flags(0xff00 + 4 * 32 + 8), Some(LogFlags::UID));
        assert_eq!(groups.flags(0xfeff), None);
    }

    #[test]
    fn rules_that_differ_in_level_or_flags_stay_apart() {
        let rules = ["", " --log-level 7", " --log-uid", " --log-tcp-sequence", " --log-macdecode"];
        let copies: BTreeSet<String> =
            rules.iter().map(|rule| rule_copied(&format!("-A INPUT -j LOG{rule}"))).collect();
        assert_eq!(copies.len(), rules.len());
    }

    fn line() -> impl Strategy<Value = String> {
        let words = [
            "-A",
            "INPUT",
            "-j",
            "LOG",
            "--log-prefix",
            "\"a b\"",
            "!",
            "-p",
            "tcp",
            "--log-uid",
            "-D",
            "\"",
            "-m",
            "limit",
        ];
        // iptables refuses a line with two commands, and no copy is made of such a ruleset.
        let is_one_command = |words: &Vec<&str>| words.iter().filter(|word| ["-A", "-D"].contains(word)).count() < 2;
        let made = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..12);
        let made = made.prop_filter("two commands", is_one_command);
        prop_oneof![made.prop_map(|words| words.join(" ")), "\\PC{0,40}"]
    }

    proptest! {
        #[test]
        fn every_rule_stays_in_its_line_and_asks_the_same(lines in proptest::collection::vec(line(), 0..8)) {
            let text = format!("*filter\n{}\nCOMMIT\n", lines.join("\n"));
            let (before, after) = (Listing::parse(Family::Ipv4, &source(&text)), Listing::parse(Family::Ipv4, &source(&copy(&text))));
            prop_assert_eq!(text.lines().count(), copy(&text).lines().count());
            let shapes = |listing: &Listing| listing.placed_rules().map(|at| (at.table.to_owned(), at.chain.to_owned(), at.number, at.rule.line)).collect::<Vec<_>>();
            prop_assert_eq!(shapes(&before), shapes(&after));
            for (one, other) in before.rules().zip(after.rules()) {
                prop_assert!(one.same_matches(other), "{} {}", one.text, other.text);
                prop_assert!(other.target.as_ref().is_none_or(|target| target.name != "LOG" || target.goto), "{}", other.text);
            }
        }
    }
}
