//! Finds the scenarios that a command line names: files, and folders with everything below them.

use std::path::{Path, PathBuf};

use super::Scenario;
use crate::error::{InputError, Result, Source};
use crate::sensor::{SensorFile, TomlTable};

/// Reads all scenarios in `paths`, in the order of the paths and, within a folder, of the names. A file that is named
/// directly must be a scenario; a sensor file in a folder is skipped.
///
/// # Errors
///
/// The first one of [`discover_each`].
pub fn discover(paths: &[PathBuf]) -> Result<Vec<Scenario>> {
    discover_each(paths).into_iter().map(|(_, scenario)| scenario).collect()
}

/// The files of [`discover`], each with its scenario, or the error that it has. A folder that cannot be read, or has no
/// scenario, is an error.
pub fn discover_each(paths: &[PathBuf]) -> Vec<(PathBuf, Result<Scenario>)> {
    let of = |path: &PathBuf| match path.is_dir() {
        true => in_folder(path).unwrap_or_else(|error| vec![(path.clone(), Err(error))]),
        false => vec![(path.clone(), Scenario::load(path))],
    };
    paths.iter().flat_map(of).collect()
}

/// As [`discover_each`], of folders that need not have a scenario.
pub fn discover_below(folders: &[PathBuf]) -> Vec<(PathBuf, Result<Scenario>)> {
    let of = |folder: &PathBuf| below(folder).unwrap_or_else(|error| vec![(folder.clone(), Err(error))]);
    folders.iter().flat_map(of).collect()
}

fn in_folder(folder: &Path) -> Result<Vec<(PathBuf, Result<Scenario>)>> {
    let scenarios = below(folder)?;
    if scenarios.is_empty() {
        let hint = "scenarios are .toml files with a title; see the folder `scenarios` of scanlab for some";
        return Err(InputError::new(format!("no scenario in {}", folder.display()), hint).into());
    }
    Ok(scenarios)
}

fn below(folder: &Path) -> Result<Vec<(PathBuf, Result<Scenario>)>> {
    let mut files = Vec::new();
    toml_files(folder, &mut files)?;
    let read = |file: PathBuf| {
        let scenario = Source::read_regular(&file).and_then(unless_sensor_file).transpose()?;
        Some((file, scenario))
    };
    Ok(files.into_iter().filter_map(read).collect())
}

/// Does not follow links to folders: they could be circular.
fn toml_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |error| InputError::new(format!("cannot read {}: {error}", folder.display()), "");
    let entries =
        std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            toml_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn unless_sensor_file(source: Source) -> Result<Option<Scenario>> {
    if !is_sensor_file(&source)? {
        return Scenario::parse(source).map(Some);
    }
    SensorFile::parse(source).map(|_| None)
}

fn is_sensor_file(source: &Source) -> Result<bool> {
    let file = TomlTable::parse(source)?;
    let has_sensor = file.has("sensor");
    let mut keys = file.into_entries();
    Ok(has_sensor && keys.all(|value| ["sensor", "host"].contains(&value.key.name.as_str())))
}
