//! `--git REV`: files at a revision of their git repository, and as they are.

use std::path::{Path, PathBuf};

use super::{empty, files_of, of_file};
use crate::commands::diff::Side;
use crate::error::{InputError, Result, Source};
use crate::lab::Revision;
use crate::net::Family;

/// Both sides of these files.
pub fn sides<'a>(revision: &str, paths: impl Iterator<Item = &'a PathBuf>) -> Result<[Side; 2]> {
    let [mut before, mut after] = [(), ()].map(|()| Side { name: String::new(), rulesets: Vec::new() });
    for path in paths {
        add(&mut after, path, super::rulesets(path)?)?;
        add(&mut before, &at(revision, path), rulesets_at(revision, path)?)?;
    }
    Ok([before, after])
}

fn add(side: &mut Side, path: &Path, rulesets: Vec<(Family, Source)>) -> Result<()> {
    let has = |family: &Family| side.rulesets.iter().any(|(of, _)| of == family);
    if let Some((family, _)) = rulesets.iter().find(|(family, _)| has(family)) {
        let problem = format!("{} is a second ruleset for {}", path.display(), family.title());
        return Err(InputError::new(problem, "with --git, name one file for each family, or their folder").into());
    }
    side.rulesets.extend(rulesets);
    side.name += &format!("{}{}", if side.name.is_empty() { "" } else { " " }, path.display());
    Ok(())
}

/// `HEAD:rules.v4`, as git writes it.
fn at(revision: &str, path: &Path) -> PathBuf {
    format!("{revision}:{}", path.display()).into()
}

fn rulesets_at(revision: &str, path: &Path) -> Result<Vec<(Family, Source)>> {
    if path.is_dir() {
        return of_folder_at(revision, path);
    }
    let found = Revision::find(path.parent().unwrap_or(path), revision)?.read(path)?;
    let missing = || {
        let problem = format!("{} is not in revision `{revision}`", path.display());
        InputError::new(problem, "a new file has nothing to be compared with; name a later revision")
    };
    of_file(found.ok_or_else(missing)?)
}

fn of_folder_at(revision: &str, folder: &Path) -> Result<Vec<(Family, Source)>> {
    let found = Revision::find(folder, revision)?;
    let mut rulesets = Vec::new();
    for (family, path) in files_of(folder) {
        rulesets.extend(found.read(&path)?.map(|source| (family, source)));
    }
    if rulesets.is_empty() { Err(empty(&at(revision, folder)).into()) } else { Ok(rulesets) }
}
