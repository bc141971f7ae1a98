//! Refuses to write a report over an input file.

use std::path::{Path, PathBuf};

use crate::error::{InputError, Result, Source};
use crate::intent::scenario::Scenario;

/// Refuses to write to a file that is read. A device or a pipe may be both.
pub fn spare<'a>(
    read: impl IntoIterator<Item = &'a (impl AsRef<Path> + ?Sized + 'a)>,
    written: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Result<()> {
    let file = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    let read: Vec<PathBuf> = read.into_iter().filter_map(|path| file(path.as_ref())).collect();
    for path in written {
        let path = path.as_ref();
        if file(path).is_some_and(|path| read.contains(&path)) {
            let message = format!("{} is an input, and would be overwritten", path.display());
            return Err(InputError::new(message, "name another file").into());
        }
    }
    Ok(())
}

/// The files that a scenario with an error may mean to read: its own file, and those that a text between quotes names.
pub fn quoted_files(scenario: &Path) -> Vec<PathBuf> {
    let text = Source::read_regular(scenario).map(|source| source.text).unwrap_or_default();
    let quoted = text.split(['"', '\'']).map(|name| scenario.with_file_name(".").join(name));
    std::iter::once(scenario.to_owned()).chain(quoted.filter(|path| path.is_file())).collect()
}

/// The files that a scenario was read from: its own file, and its rulesets.
pub fn files_of(scenario: &Scenario) -> impl Iterator<Item = &Path> {
    let rulesets = scenario.ruleset.iter().flat_map(|files| [&files.v4, &files.v6]).flatten();
    std::iter::once(&scenario.source).chain(rulesets).map(|source| source.name.as_path())
}
