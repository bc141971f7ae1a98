//! The lines that iptables would execute, and the number of rules that they make.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use super::naming::argument;
use super::{Limits, RAISE};
use crate::error::{InputError, Source};
use crate::net::Family;
use crate::rules::iptables_save::Listing;
use crate::text::words::{Word, without_counters, words};

/// A line with a command.
pub struct CommandLine<'a> {
    /// The whole ruleset.
    pub ruleset: &'a Source,
    /// Its number (1 is the first).
    pub number: usize,
    /// The chains that its table declares, before the line or after it.
    pub chains: Rc<HashSet<String>>,
    /// The offset of its words in the ruleset.
    start: usize,
    /// Its words.
    pub words: Vec<Word>,
    /// The number of rules that it makes: lists of addresses multiply.
    pub rules: usize,
}

impl CommandLine<'_> {
    /// An input error at `span` of the line.
    pub fn error(&self, span: Range<usize>, problem: String, hint: &str) -> InputError {
        self.ruleset.error(self.start + span.start..self.start + span.end, problem, hint)
    }

    /// The range of all words.
    pub fn span(&self) -> Range<usize> {
        0..self.words.last().map_or(0, |word| word.span.end)
    }

    /// The word that is this option, if there is one.
    fn command(&self, letter: char, long: &str, shortest: usize) -> Option<&Word> {
        self.words.iter().find(|word| argument(&word.text, letter, long, shortest).is_some())
    }

    fn adds(&self) -> bool {
        self.command('A', "append", 1).or(self.command('I', "insert", 2)).is_some()
    }

    /// `-D`, `-F`, `-X`
    fn deletion(&self) -> Option<&Word> {
        self.command('D', "delete-chain", 1).or(self.command('F', "flush", 1)).or(self.command('X', "delete-chain", 1))
    }

    /// The option `--long`, which may be abbreviated to `shortest` letters.
    pub fn option(&self, long: &str, shortest: usize) -> Option<&Word> {
        self.words.iter().find(|word| argument(&word.text, '\0', long, shortest).is_some())
    }

    /// The argument of the option, as a number.
    pub fn number(&self, long: &str, shortest: usize) -> Option<u64> {
        let at = self.words.iter().position(|word| argument(&word.text, '\0', long, shortest).is_some())?;
        let glued = argument(&self.words[at].text, '\0', long, shortest)?;
        number(glued.or(self.words.get(at + 1).map(|next| next.text.as_str()))?)
    }
}

/// Parses as strtoul(3) with base 0; text that is no number counts as the largest one.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text {
        hex if hex.starts_with("0x") || hex.starts_with("0X") => (&hex[2..], 16),
        octal if octal.len() > 1 && octal.starts_with('0') => (&octal[1..], 8),
        decimal => (decimal, 10),
    };
    Some(u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}

/// All lines with a command.
pub fn lines(ruleset: &Source) -> Vec<CommandLine<'_>> {
    let mut lines = Vec::new();
    let mut table: Vec<CommandLine<'_>> = Vec::new();
    let mut chains = HashSet::new();
    let mut start = 0;
    for (at, line) in ruleset.text.split_inclusive('\n').enumerate() {
        let text = line.trim_end_matches([' ', '\t', '\n']);
        match text.as_bytes().first() {
            None | Some(b'#') => {}
            Some(b'*') => close(&mut lines, &mut table, &mut chains),
            Some(b':') => chains.extend(text[1..].split([' ', '\t']).find(|word| !word.is_empty()).map(str::to_owned)),
            Some(_) => {
                let rule = without_counters(text);
                let words = words(rule);
                chains.extend(new_chain(&words));
                let rules = rules(&words);
                let start = start + text.len() - rule.len();
                table.push(CommandLine { ruleset, number: at + 1, chains: Rc::default(), start, words, rules });
            }
        }
        start += line.len();
    }
    close(&mut lines, &mut table, &mut chains);
    lines
}

fn close<'a>(lines: &mut Vec<CommandLine<'a>>, table: &mut Vec<CommandLine<'a>>, chains: &mut HashSet<String>) {
    let chains = Rc::new(std::mem::take(chains));
    lines.extend(table.drain(..).map(|line| CommandLine { chains: Rc::clone(&chains), ..line }));
}

fn new_chain(words: &[Word]) -> Option<String> {
    let at = words.iter().position(|word| argument(&word.text, 'N', "new-chain", 2).is_some())?;
    let glued = argument(&words[at].text, 'N', "new-chain", 2)?;
    glued.or(words.get(at + 1).map(|word| word.text.as_str())).map(str::to_owned)
}

/// The number of rules, at least as many as iptables makes: any word with a comma after `-s` or `-d` may be a list.
fn rules(words: &[Word]) -> usize {
    let is_address = |word: &str| {
        ["source", "src"].iter().any(|long| argument(word, 's', long, 1).is_some())
            || ["destination", "dst"].iter().any(|long| argument(word, 'd', long, 1).is_some())
    };
    let list = |at: usize| words.get(at).map_or(1, |word| 1 + word.text.matches(',').count());
    let lists = words.iter().enumerate().filter(|(_, word)| is_address(&word.text));
    lists
        .map(|(at, _)| list(at).max(list(at + 1)).max(list(at + 2).min(list_after_not(words, at))))
        .fold(1, usize::saturating_mul)
}

/// The list after `-s !`, which old versions of iptables accept.
fn list_after_not(words: &[Word], at: usize) -> usize {
    let is_not = words.get(at + 1).is_some_and(|word| word.text == "!");
    if is_not { usize::MAX } else { 1 }
}

/// Refuses too many rules, and commands after which the text does not show the resulting rules.
pub fn admit(limits: Limits, lines: &[CommandLine<'_>]) -> Result<(), InputError> {
    let mut rules = 0_usize;
    for line in lines {
        rules = rules.saturating_add(line.rules);
        unclear(line)?;
        if rules > limits.rules {
            let problem = format!("this ruleset makes more than {} rules", limits.rules);
            return Err(line.error(line.span(), problem, RAISE));
        }
    }
    Ok(())
}

fn unclear(line: &CommandLine<'_>) -> Result<(), InputError> {
    let renames = line.command('E', "rename-chain", 3).or(line.command('R', "replace", 3));
    let Some(word) = renames.or(line.deletion().filter(|_| line.adds())) else { return Ok(()) };
    let problem = format!("{} is refused here: the text would not show which rules are loaded", word.text);
    Err(line.error(word.span.clone(), problem, "write the final rules, as iptables-save does"))
}

/// A table up to the next one, parsed separately: iptables-restore empties a table that is declared again, but its
/// first content is loaded for a moment.
pub struct Section<'a> {
    ruleset: &'a Source,
    /// Its offset in the ruleset.
    start: usize,
    /// The number of lines before it.
    before: usize,
    /// Its rules before any deletion: only iptables knows which of two equal rules `-D` deletes.
    pub listing: Listing,
    /// The number of rules for each listed rule of a line, if it is more than one.
    pub repeats: HashMap<usize, usize>,
}

impl Section<'_> {
    /// An input error at `span` of the section.
    pub fn error(&self, span: Range<usize>, problem: String, hint: &str) -> InputError {
        self.ruleset.error(self.start + span.start..self.start + span.end, problem, hint)
    }

    /// An input error at a line of the section.
    pub fn error_at_line(&self, line: usize, problem: String, hint: &str) -> InputError {
        self.ruleset.error(self.ruleset.span_of_line(self.before + line), problem, hint)
    }
}

/// The sections in the order of the text, each parsed on demand: lists of addresses may be large.
pub fn sections<'a>(
    family: Family,
    ruleset: &'a Source,
    lines: &'a [CommandLine<'a>],
) -> impl Iterator<Item = Section<'a>> + 'a {
    let text = without_deletions(ruleset, lines);
    let starts = table_starts(&text);
    (0..starts.len()).map(move |at| {
        let (start, before) = starts[at];
        let (end, after) = starts.get(at + 1).copied().unwrap_or((text.len(), usize::MAX));
        let source = Source { name: ruleset.name.clone(), text: text[start..end].into() };
        let listing = Listing::parse(family, &source);
        let first = lines.partition_point(|line| line.number <= before);
        let own = lines[first..].iter().take_while(|line| line.number <= after);
        let repeats = repeats(&listing, own, before);
        Section { ruleset, start, before, listing, repeats }
    })
}

fn without_deletions(ruleset: &Source, lines: &[CommandLine<'_>]) -> String {
    let mut text = ruleset.text.as_bytes().to_vec();
    let deletions = lines.iter().filter(|line| line.deletion().is_some());
    deletions.for_each(|line| text[line.start..line.start + line.span().end].fill(b' '));
    String::from_utf8(text).expect("whole words of text became blanks")
}

/// The offsets of tables, and the number of lines before each.
fn table_starts(text: &str) -> Vec<(usize, usize)> {
    let mut start = 0;
    let mut starts = Vec::new();
    for (before, line) in text.split_inclusive('\n').enumerate() {
        if line.starts_with('*') {
            starts.push((start, before));
        }
        start += line.len();
    }
    starts
}

fn repeats<'a>(
    listing: &Listing,
    lines: impl Iterator<Item = &'a CommandLine<'a>>,
    before: usize,
) -> HashMap<usize, usize> {
    let mut listed = HashMap::<usize, usize>::new();
    listing.rules().for_each(|rule| *listed.entry(rule.line).or_default() += 1);
    let times = |line: &CommandLine<'_>| {
        Some((line.number - before, line.rules.div_ceil(*listed.get(&(line.number - before))?)))
    };
    lines.filter_map(times).filter(|(_, times)| *times > 1).collect()
}
