//! Parses one line with a command: the command, and its rule.

use std::ops::Range;

use super::base::Base;
use super::command::ChainCommand;
use super::extension::{known_match, known_target};
use super::getopt::{AllLoaded, FoundOption, Loaded, Owner};
use super::{Clause, Match, Module, Prefix, Target, match_kind, protocol};
use crate::net::Family;
use crate::text::words::{Word, words};

/// The content of a line.
#[derive(Debug, Default)]
pub(super) struct ParsedLine {
    /// The command, if it is one that changes rules.
    pub command: Option<ChainCommand>,
    /// The clauses of the rule; for several addresses, with the first.
    pub clauses: Vec<Clause>,
    /// `-m NAME`, in the order of the text.
    pub modules: Vec<Module>,
    /// `-j NAME`
    pub target: Option<Target>,
    /// The addresses of `-s`, if there are several: the index of the clause, and all of them.
    pub sources: Option<(usize, Vec<Prefix>)>,
    /// The addresses of `-d`, if there are several.
    pub destinations: Option<(usize, Vec<Prefix>)>,
    /// True if the rule is for the other family only: `-6` in an IPv4 ruleset, `-4` in an IPv6 one. iptables-restore
    /// skips such a line silently.
    pub elsewhere: bool,
}

impl ParsedLine {
    /// Parses `text`, without counters before it and newline after it. Never fails.
    pub fn read(family: Family, text: &str) -> ParsedLine {
        let mut reader = LineReader {
            family,
            text,
            words: words(text),
            at: 0,
            start: 0,
            negated: false,
            loaded: AllLoaded::default(),
            protocol: None,
            line: ParsedLine::default(),
        };
        while reader.at < reader.words.len() {
            reader.step();
        }
        reader.line
    }
}

struct LineReader<'a> {
    family: Family,
    text: &'a str,
    words: Vec<Word>,
    /// The index of the next word.
    at: usize,
    /// The index of the current option, including its `!`.
    start: usize,
    /// True after a `!`.
    negated: bool,
    loaded: AllLoaded,
    /// The match that is implied by the rule's protocol.
    protocol: Option<&'static str>,
    line: ParsedLine,
}

impl LineReader<'_> {
    /// Reads a `!`, or an option with its arguments.
    fn step(&mut self) {
        let word = self.words[self.at].clone();
        self.at += 1;
        if !self.negated {
            self.start = word.span.start;
        }
        if word.text == "!" && !self.negated {
            self.negated = true;
            return;
        }
        match word.text.strip_prefix("--") {
            Some(long) if !long.is_empty() => self.long(long),
            _ => match word.text.strip_prefix('-') {
                Some(short) if !short.is_empty() => self.short(short),
                _ => self.keep(None),
            },
        }
        self.negated = false;
    }

    /// `--name`, `--name=value`
    fn long(&mut self, option: &str) {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let found = self.loaded.find(name, self.protocol);
        let value = value.map(str::to_owned);
        match found.owner {
            Owner::Base(base) => self.base(base, value),
            _ => self.extension(found, value),
        }
    }

    /// `-j`, `-jDROP`, `-vn`
    fn short(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let rest = &letters[at + letter.len_utf8()..];
            match Base::short(letter) {
                None => return self.keep(None),
                Some(base @ (Base::InInterface | Base::OutInterface)) if !rest.is_empty() => {
                    // iptables 1.8.9 does not separate the name from the letter here: it saves `-ieth0` as `-i -ieth0`.
                    return self.base(base, Some(format!("-{letters}")));
                }
                Some(base) if base.takes_argument() => {
                    return self.base(base, (!rest.is_empty()).then(|| rest.to_owned()));
                }
                Some(base) => self.base(base, None),
            }
        }
    }

    fn base(&mut self, base: Base, value: Option<String>) {
        match base {
            Base::Ipv4 => self.line.elsewhere |= self.family == Family::Ipv6,
            Base::Ipv6 => self.line.elsewhere |= self.family == Family::Ipv4,
            Base::Flag => {}
            Base::Fragment => self.keep(None),
            Base::Setting => drop(self.argument(value)),
            Base::Counters => {
                self.argument(value);
                self.argument(None);
            }
            Base::Source | Base::Destination => self.addresses(base, value),
            Base::Protocol | Base::InInterface | Base::OutInterface => self.common(base, value),
            Base::Module => self.module(value),
            Base::Jump | Base::Goto => self.target(base == Base::Goto, value),
            _ => self.command(base, value),
        }
    }

    fn command(&mut self, base: Base, value: Option<String>) {
        let first = match value {
            Some(value) => Some(value),
            None => self.optional_argument(),
        };
        let takes_two = matches!(
            base,
            Base::Insert | Base::Delete | Base::Replace | Base::Policy | Base::RenameChain | Base::Harmless
        );
        let second = if takes_two { self.optional_argument() } else { None };
        self.line.command = self.line.command.take().or(ChainCommand::new(base, first, second));
    }

    fn addresses(&mut self, base: Base, value: Option<String>) {
        let text = self.argument_or_negation(value);
        let Some(prefixes) = text.split(',').map(|one| Prefix::parse(one, self.family)).collect::<Option<Vec<_>>>()
        else {
            return self.keep(None);
        };
        let list = Some((self.line.clauses.len(), prefixes.clone())).filter(|(_, prefixes)| prefixes.len() > 1);
        // `split` returns at least one part.
        for first in prefixes.into_iter().take(1) {
            match base {
                Base::Source => self.keep(Some((Match::Source(first), None))),
                _ => self.keep(Some((Match::Destination(first), None))),
            }
        }
        match base {
            Base::Source => self.line.sources = list,
            _ => self.line.destinations = list,
        }
    }

    fn common(&mut self, base: Base, value: Option<String>) {
        let value = self.argument_or_negation(value);
        let ask = match base {
            Base::Protocol => self.protocol(&value),
            Base::InInterface => Some(Match::InInterface(value)),
            _ => Some(Match::OutInterface(value)),
        };
        self.keep(ask.map(|ask| (ask, None)));
    }

    fn protocol(&mut self, name: &str) -> Option<Match> {
        let number = protocol::parse(name)?;
        self.protocol = protocol::implied_match(number, self.family);
        Some(Match::Protocol(number))
    }

    fn module(&mut self, value: Option<String>) {
        let name = self.argument(value);
        self.loaded.load(Loaded { module: Some(name.clone()), extension: known_match(&name) });
        let span = self.span();
        self.line.modules.push(Module { name, span });
    }

    fn target(&mut self, goto: bool, value: Option<String>) {
        let name = self.argument(value);
        self.loaded.load(Loaded { module: None, extension: known_target(&name) });
        let span = self.span();
        self.line.target = Some(Target { name, goto, options: Vec::new(), span, apart: Vec::new() });
    }

    /// An option of a match or a target.
    fn extension(&mut self, found: FoundOption, value: Option<String>) {
        let arguments = match found.arguments {
            Some(0) => Vec::new(),
            Some(count) => self.arguments(count, value, may_be_negated_after(&found)),
            None => value.map_or_else(|| self.all_that_follows(), |value| vec![value]),
        };
        match found.owner {
            Owner::Target => self.target_option(found.name, &arguments),
            Owner::Match(module) => {
                let ask = match_kind::parse(self.family, &module, &found.name, &arguments);
                let ask = ask.unwrap_or_else(|| Match::Other(self.written()));
                self.keep(Some((ask, Some(module))));
            }
            Owner::Nobody(module) => self.keep(Some((Match::Other(self.written()), module))),
            Owner::Base(_) => {}
        }
    }

    fn target_option(&mut self, name: String, arguments: &[String]) {
        let span = self.span();
        let Some(target) = &mut self.line.target else { return };
        target.options.push((format!("--{name}"), arguments.join(" ")));
        if self.text[target.span.end..span.start].trim().is_empty() {
            target.span.end = span.end;
        } else {
            target.apart.push(span);
        }
    }

    fn arguments(&mut self, count: usize, value: Option<String>, may_be_negated: bool) -> Vec<String> {
        let first = if may_be_negated { self.argument_or_negation(value) } else { self.argument(value) };
        let mut arguments = vec![first];
        arguments.extend((1..count).map(|_| self.argument(None)));
        arguments
    }

    /// The argument: the value after `=`, or the next word, whatever it looks like.
    fn argument(&mut self, value: Option<String>) -> String {
        value.unwrap_or_else(|| {
            let word = self.words.get(self.at).map(|word| word.text.clone());
            self.at += usize::from(word.is_some());
            word.unwrap_or_default()
        })
    }

    /// The argument. Old versions of iptables accept a `!` before it, which old texts have; 1.8.9 refuses it (`invalid
    /// port/service `!' specified`).
    fn argument_or_negation(&mut self, value: Option<String>) -> String {
        let follows = |at: usize| self.words.get(at).map(|word| word.text.as_str());
        if value.is_none() && follows(self.at) == Some("!") && follows(self.at + 1).is_some() {
            self.at += 1;
            self.negated = true;
        }
        self.argument(value)
    }

    /// The next word, unless it begins an option (`xs_has_arg` in iptables/xshared.c).
    fn optional_argument(&mut self) -> Option<String> {
        let word = self.words.get(self.at).filter(|word| !word.text.starts_with(['-', '!']))?;
        self.at += 1;
        Some(word.text.clone())
    }

    /// All arguments of an unknown option, whose number is unknown.
    fn all_that_follows(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.optional_argument()).collect()
    }

    /// From the `!` or the option to the last word that was read.
    fn span(&self) -> Range<usize> {
        let end = self.words[..self.at].last().map_or(self.start, |word| word.span.end);
        self.start..end.max(self.start)
    }

    /// The option as written, without its `!`.
    fn written(&self) -> String {
        let text = &self.text[self.span()];
        text.strip_prefix('!').filter(|_| self.negated).unwrap_or(text).trim().to_owned()
    }

    /// Adds a clause; an unsupported match is kept as written.
    fn keep(&mut self, ask: Option<(Match, Option<String>)>) {
        let (ask, module) = ask.unwrap_or_else(|| (Match::Other(self.written()), None));
        let clause = Clause { ask, negated: self.negated, module, span: self.span() };
        self.line.clauses.push(clause);
    }
}

/// False for options whose argument may be `!` itself: only the old matches have a `!` after the option.
fn may_be_negated_after(found: &FoundOption) -> bool {
    matches!(&found.owner, Owner::Match(module) if module != "comment" && module != "string")
}
