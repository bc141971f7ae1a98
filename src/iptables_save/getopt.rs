//! Whose option a word is: getopt_long(3), with the options of each `-m` and `-j` added when it is read.

use super::base::Base;
use super::extension::{Extension, known_match};

/// A match or target that a line has named so far.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// Its name; none for a target.
    pub module: Option<String>,
    /// Its options, where they are known.
    pub extension: Option<&'static Extension>,
}

/// Whose option it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// iptables itself.
    Base(Base),
    /// The match of this name.
    Match(String),
    /// The target.
    Target,
    /// Nobody known: the last `-m`, if there is one.
    Nobody(Option<String>),
}

/// An option that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Whose it is.
    pub owner: Owner,
    /// Its full name, without dashes.
    pub name: String,
    /// How many arguments there are to it; none when that is not known.
    pub arguments: Option<usize>,
}

/// Finds the option that `name` stands for, the beginning of a name included.
///
/// 1. A whole name is taken before the beginning of one; of two equal names the one of iptables itself is, then the one
///    that was loaded last (`xtables_merge_options`).
/// 2. The beginning of more than one name is nobody's.
/// 3. What nobody owns makes iptables load the match of the protocol. iptables 1.8.9 hence reads `-p tcp --sour` as
///    `--source`, and `-p tcp -m tcp --sour` not at all.
pub(super) fn find(name: &str, loaded: &mut Vec<Loaded>, protocol: Option<&str>) -> Found {
    if let Some(found) = among(name, loaded) {
        return found;
    }
    let implied = protocol.filter(|implied| loaded.iter().all(|one| one.module.as_deref() != Some(implied)));
    if let Some(module) = implied {
        loaded.push(Loaded { module: Some(module.to_owned()), extension: known_match(module) });
        if let Some(found) = among(name, loaded) {
            return found;
        }
        loaded.pop();
    }
    unknown(name, loaded)
}

fn among(name: &str, loaded: &[Loaded]) -> Option<Found> {
    let candidates = || base().chain(loaded.iter().rev().flat_map(options));
    if let Some(whole) = candidates().find(|found| found.name == name) {
        return Some(whole);
    }
    let mut begun = candidates().filter(|found| found.name.starts_with(name));
    let first = begun.next()?;
    begun.all(|other| means_the_same(&first, &other)).then_some(first)
}

fn means_the_same(a: &Found, b: &Found) -> bool {
    a.owner == b.owner && (a.name == b.name || matches!(a.owner, Owner::Base(_)))
}

fn base() -> impl Iterator<Item = Found> {
    Base::long_names().map(|(name, base)| Found { owner: Owner::Base(base), name: name.to_owned(), arguments: None })
}

fn options(loaded: &Loaded) -> impl Iterator<Item = Found> {
    let owner = match &loaded.module {
        Some(module) => Owner::Match(module.clone()),
        None => Owner::Target,
    };
    let found = move |(name, arguments): (&str, usize)| Found {
        owner: owner.clone(),
        name: name.to_owned(),
        arguments: Some(arguments),
    };
    loaded.extension.into_iter().flat_map(Extension::options).map(found)
}

/// What is not in the tables belongs to the last extension that is not in them either; after `-j`, to the target.
fn unknown(name: &str, loaded: &[Loaded]) -> Found {
    let owner = match loaded.iter().rev().find(|one| one.extension.is_none()).or(loaded.last()) {
        Some(Loaded { module: None, .. }) => Owner::Target,
        Some(Loaded { module, .. }) => Owner::Nobody(module.clone()),
        None => Owner::Nobody(None),
    };
    Found { owner, name: name.to_owned(), arguments: None }
}
