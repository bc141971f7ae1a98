//! Finds the scenarios that a command line names: files, and folders with everything below them.

use std::path::{Path, PathBuf};

use super::Scenario;
use crate::error::{InputError, Result, Source};
use crate::sensor::{SensorFile, TomlTable};

/// Reads all scenarios in `paths`, in the order of the paths and, within a folder, of the names. A file that is named
/// directly must be a scenario; a sensor file in a folder is skipped.
pub fn discover(paths: &[PathBuf]) -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for path in paths {
        if path.is_dir() {
            scenarios.extend(in_folder(path)?);
        } else {
            scenarios.push(Scenario::load(path)?);
        }
    }
    Ok(scenarios)
}

fn in_folder(folder: &Path) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    toml_files(folder, &mut files)?;
    let mut scenarios = Vec::new();
    for file in files {
        scenarios.extend(unless_sensor_file(Source::read_regular(&file)?)?);
    }
    if scenarios.is_empty() {
        let hint = "scenarios are .toml files with a title; see the folder `scenarios` of scanlab for some";
        return Err(InputError::new(format!("no scenario in {}", folder.display()), hint).into());
    }
    Ok(scenarios)
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
