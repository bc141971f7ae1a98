//! Finds the owner of an option: getopt_long(3), where each `-m` and `-j` adds the options of its extension.

use super::base::Base;
use super::extension::{ExtensionModule, known_match};

/// A match or target that the line has named so far.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// Its name; `None` for a target.
    pub module: Option<String>,
    /// Its options, if they are known.
    pub extension: Option<&'static ExtensionModule>,
}

/// The owner of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// iptables itself.
    Base(Base),
    /// The match of this name.
    Match(String),
    /// The target.
    Target,
    /// Unknown; the name is that of the last `-m`, if there is one.
    Nobody(Option<String>),
}

/// An option that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundOption {
    /// Its owner.
    pub owner: Owner,
    /// Its full name, without dashes.
    pub name: String,
    /// The number of its arguments; `None` if it is unknown.
    pub arguments: Option<usize>,
}

/// The matches and the target that a line has named so far, in this order.
#[derive(Debug, Default)]
pub(super) struct AllLoaded(Vec<Loaded>);

impl AllLoaded {
    /// Adds a match or a target; a match that is named again has its options looked up as the newest.
    pub fn load(&mut self, one: Loaded) {
        self.0.retain(|other| other.module != one.module);
        self.0.push(one);
    }

    /// Finds the option with this name, which may be abbreviated.
    ///
    /// 1. A full name has precedence over an abbreviation; of two equal names that of iptables itself, then that of the
    ///    last extension (`xtables_merge_options`).
    /// 2. An abbreviation of several names is unknown.
    /// 3. An unknown option makes iptables load the match of the protocol. So iptables 1.8.9 reads `-p tcp --sour` as
    ///    `--source`, and refuses `-p tcp -m tcp --sour`.
    pub fn find(&mut self, name: &str, protocol: Option<&str>) -> FoundOption {
        if let Some(found) = self.among(name) {
            return found;
        }
        let implied = protocol.filter(|implied| self.0.iter().all(|one| one.module.as_deref() != Some(implied)));
        let Some(module) = implied else { return self.unknown(name) };
        self.0.push(Loaded { module: Some(module.to_owned()), extension: known_match(module) });
        self.among(name).unwrap_or_else(|| {
            self.0.pop();
            self.unknown(name)
        })
    }

    fn among(&self, name: &str) -> Option<FoundOption> {
        if let Some(whole) = self.candidates().find(|candidate| candidate.name == name) {
            return Some(whole.found());
        }
        let mut begun = self.candidates().filter(|candidate| candidate.name.starts_with(name));
        let first = begun.next()?;
        begun.all(|other| first.means_the_same(&other)).then(|| first.found())
    }

    fn candidates(&self) -> impl Iterator<Item = OptionCandidate<'_>> {
        let base = |(name, base)| OptionCandidate { name, arguments: None, of: Of::Base(base) };
        Base::long_names().map(base).chain(self.0.iter().rev().flat_map(options))
    }

    /// An option that is not in the tables belongs to the last extension that is not in them either; after `-j`, to the
    /// target.
    fn unknown(&self, name: &str) -> FoundOption {
        let owner = match self.0.iter().rev().find(|one| one.extension.is_none()).or(self.0.last()) {
            Some(Loaded { module: None, .. }) => Owner::Target,
            Some(Loaded { module, .. }) => Owner::Nobody(module.clone()),
            None => Owner::Nobody(None),
        };
        FoundOption { owner, name: name.to_owned(), arguments: None }
    }
}

fn options(loaded: &Loaded) -> impl Iterator<Item = OptionCandidate<'_>> {
    let of = loaded.module.as_deref().map_or(Of::Target, Of::Match);
    let candidate = move |(name, arguments)| OptionCandidate { name, arguments: Some(arguments), of };
    loaded.extension.into_iter().flat_map(ExtensionModule::options).map(candidate)
}

/// An option that may be meant.
struct OptionCandidate<'a> {
    name: &'static str,
    arguments: Option<usize>,
    of: Of<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum Of<'a> {
    Base(Base),
    Match(&'a str),
    Target,
}

impl OptionCandidate<'_> {
    /// Two names of one of iptables' own options (`--proto`, `--protocol`) are the same option.
    fn means_the_same(&self, other: &OptionCandidate<'_>) -> bool {
        self.of == other.of && (self.name == other.name || matches!(self.of, Of::Base(_)))
    }

    fn found(&self) -> FoundOption {
        let owner = match self.of {
            Of::Base(base) => Owner::Base(base),
            Of::Match(module) => Owner::Match(module.to_owned()),
            Of::Target => Owner::Target,
        };
        FoundOption { owner, name: self.name.to_owned(), arguments: self.arguments }
    }
}
