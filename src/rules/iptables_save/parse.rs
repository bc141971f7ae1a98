//! Parses a whole ruleset, line by line, and executes the lines.

use std::collections::HashMap;

use super::command::OpenTable;
use super::line::ParsedLine;
use super::{Backend, Clause, Listing, Match, Policy, Prefix, Rule};
use crate::error::Source;
use crate::net::Family;
use crate::text::words::without_counters;

impl Listing {
    /// Parses `source` as iptables-restore does (iptables/iptables-restore.c, `iptables_restore_main`), but without
    /// refusing anything: an invalid line has no effect, and a COMMIT is implied at the end of the text.
    ///
    /// A table that is declared a second time starts again without rules and chains. This reads policies as
    /// iptables-nft-restore does; see [`Listing::parse_for`].
    pub fn parse(family: Family, source: &Source) -> Listing {
        Listing::parse_for(Backend::Nft, family, source)
    }

    /// Reads `source` as the iptables-restore of a flavour would. For a table that is declared a second time,
    /// iptables-legacy-restore keeps the policies of the earlier declaration, and iptables-nft-restore sets them to
    /// ACCEPT (measured with 1.8.9).
    pub fn parse_for(backend: Backend, family: Family, source: &Source) -> Listing {
        let (tables, numbers) = (Vec::new(), HashMap::new());
        let mut reader = ListingReader { family, backend, tables, numbers, in_table: false, spare: MOST_FROM_LISTS };
        let mut start = 0;
        for (number, line) in source.text.split_inclusive('\n').enumerate() {
            reader.line(number + 1, start, line.trim_end_matches([' ', '\t', '\n']));
            start += line.len();
        }
        Listing {
            family,
            backend,
            source: source.clone(),
            tables: reader.tables.into_iter().flatten().map(Into::into).collect(),
        }
    }
}

/// The maximum number of bytes of rules from lists of addresses, beyond one rule a line. `-s` and `-d` multiply: a text
/// of a few kilobytes could make millions. A line beyond it makes rules with the first address only.
const MOST_FROM_LISTS: usize = 64 << 20;

/// The size of a rule without its text.
const RULE_SIZE: usize = 1 << 10;

struct ListingReader {
    family: Family,
    backend: Backend,
    /// In the order of the text; `None` for one that is declared again later.
    tables: Vec<Option<OpenTable>>,
    numbers: HashMap<String, usize>,
    /// True between `*table` and COMMIT; the table is the last one.
    in_table: bool,
    spare: usize,
}

impl ListingReader {
    /// Parses line `number`, which begins at byte `start` of the text, and has no blanks at its end. A carriage return
    /// is part of the last word, as in iptables.
    fn line(&mut self, number: usize, start: usize, line: &str) {
        match line.as_bytes().first() {
            None | Some(b'#') => {}
            Some(b'*') => self.start_table(number, &line[1..]),
            Some(b':') => self.declare_chain(number, &line[1..]),
            Some(_) if line == "COMMIT" => self.in_table = false,
            Some(_) => self.command(number, start, line),
        }
    }

    fn start_table(&mut self, line: usize, text: &str) {
        let name = blank_separated(text).next().unwrap_or_default().to_owned();
        let earlier = self.numbers.insert(name.clone(), self.tables.len());
        let earlier = earlier.and_then(|number| self.tables[number].take());
        let mut table = OpenTable::new(name, line);
        if let (Some(earlier), Backend::Legacy) = (earlier, self.backend) {
            table.keep_policies(earlier);
        }
        self.tables.push(Some(table));
        self.in_table = true;
    }

    fn table(&mut self) -> Option<&mut OpenTable> {
        self.tables.last_mut().filter(|_| self.in_table)?.as_mut()
    }

    fn declare_chain(&mut self, line: usize, text: &str) {
        let mut words = blank_separated(text);
        let (Some(name), Some(table)) = (words.next(), self.table()) else { return };
        table.declare(name, line, words.next().and_then(Policy::parse));
    }

    fn command(&mut self, number: usize, start: usize, line: &str) {
        let text = without_counters(line).trim_start_matches([' ', '\t']);
        let start = start + line.len() - text.len();
        let mut read = ParsedLine::read(self.family, text);
        let Some(command) = read.command.take().filter(|_| !read.elsewhere && self.in_table) else { return };
        let rules = self.rules(number, start, text, read);
        if let Some(table) = self.table() {
            command.apply(table, number, rules);
        }
    }

    /// A rule for each pair of a source and a destination; iptables puts the sources outside.
    fn rules(&mut self, line: usize, start: usize, text: &str, read: ParsedLine) -> Vec<Rule> {
        let rule = Rule {
            line,
            span: start..start + text.len(),
            text: text.to_owned(),
            clauses: read.clauses,
            modules: read.modules,
            target: read.target,
        };
        let by_source = self.spread(vec![rule], read.sources, Match::Source);
        self.spread(by_source, read.destinations, Match::Destination)
    }

    fn spread(&mut self, rules: Vec<Rule>, list: Option<(usize, Vec<Prefix>)>, ask: fn(Prefix) -> Match) -> Vec<Rule> {
        let Some((clause, prefixes)) = list else { return rules };
        let size = rules.iter().map(|rule| rule.text.len() + RULE_SIZE).sum::<usize>();
        let wanted = size.saturating_mul(prefixes.len() - 1);
        if wanted > self.spare {
            return rules;
        }
        self.spare -= wanted;
        let with = |rule: &Rule, prefix| {
            let mut rule = rule.clone();
            if let Some(Clause { ask: asked, .. }) = rule.clauses.get_mut(clause) {
                *asked = ask(prefix);
            }
            rule
        };
        rules.iter().flat_map(|rule| prefixes.iter().map(move |prefix| with(rule, *prefix))).collect()
    }
}

/// The words of a line that names a table or a chain, where quotes have no meaning: strtok(3) with blanks and tabs.
fn blank_separated(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}
