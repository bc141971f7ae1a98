//! The input files of `check`, from options and from positional arguments: a sensor, then rulesets, or a folder with
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{InputError, Result, Source};
use crate::net::Family;

/// The arguments that name input files.
#[derive(Debug, Args)]
pub struct CheckFileArguments {
    /// The sensor file: the intent
    #[arg(value_name = "SENSOR")]
    first: Option<PathBuf>,
    /// Rulesets for IPv4 and IPv6, or a folder with rules.v4 and rules.v6; without any, the one that the sensor generates
    #[arg(value_name = "RULES")]
    others: Vec<PathBuf>,
    /// The same as SENSOR
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// IPv4 ruleset, iptables-save text
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    /// The systemd .link file that gives the interface its MAC address
    #[arg(long, value_name = "FILE.link")]
    link: Option<PathBuf>,
}

/// The input files of `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFiles {
    /// The sensor file; `None` if its content is asked for on the terminal.
    pub sensor: Option<PathBuf>,
    /// The IPv4 ruleset.
    pub rules: Option<PathBuf>,
    /// The IPv6 ruleset.
    pub rules6: Option<PathBuf>,
    /// The `.link` file.
    pub link: Option<PathBuf>,
}

impl CheckFileArguments {
    /// The paths as given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let options = [&self.sensor, &self.rules, &self.rules6, &self.link];
        options.into_iter().flatten().chain(&self.first).chain(&self.others).map(PathBuf::as_path)
    }

    /// The files, with those in folders.
    ///
    /// # Errors
    ///
    /// If there is no sensor and `can_ask` is false, two files for one purpose, or a ruleset of an unknown family.
    pub fn resolve(&self, is_live: bool, can_ask: bool) -> Result<CheckFiles> {
        if self.paths().next().is_none() && can_ask {
            return Ok(CheckFiles { sensor: None, rules: None, rules6: None, link: None });
        }
        let mut positional = self.first.iter().chain(&self.others);
        let sensor = self.sensor.as_ref().or_else(|| positional.next()).ok_or_else(|| no_sensor(is_live))?;
        if sensor.is_dir() {
            let problem = format!("{} is a folder, but the first argument is the sensor file", sensor.display());
            return Err(InputError::new(problem, "scanlab check sensor.toml FOLDER").into());
        }
        let mut files = CheckFiles {
            sensor: Some(sensor.clone()),
            rules: self.rules.clone(),
            rules6: self.rules6.clone(),
            link: self.link.clone(),
        };
        for path in positional {
            if path.is_dir() { files.add_folder(path)? } else { files.add_file(path)? }
        }
        Ok(files)
    }
}

impl CheckFiles {
    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [self.sensor.as_ref(), self.rules.as_ref(), self.rules6.as_ref(), self.link.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Adds `rules.v4`, `rules.v6` and the `.link` file of a folder, such as that of `scanlab generate`. A `.link` file that
    /// was named is used instead of that of the folder.
    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let rules: Vec<PathBuf> =
            ["rules.v4", "rules.v6"].map(|name| folder.join(name)).into_iter().filter(|path| path.exists()).collect();
        if rules.is_empty() {
            let problem = format!("{} has neither rules.v4 nor rules.v6", folder.display());
            return Err(InputError::new(problem, "name the files with --rules and --rules6").into());
        }
        rules.iter().try_for_each(|path| self.add_file(path))?;
        if self.link.is_some() {
            return Ok(());
        }
        match link_files(folder).as_slice() {
            [] => Ok(()),
            [only] => self.add_file(only),
            [first, second, ..] => {
                let (first, second) = (first.display(), second.display());
                let problem = format!("{} has two .link files: {first} and {second}", folder.display());
                Err(InputError::new(problem, "name one with --link").into())
            }
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let (slot, flag) = if path.extension().is_some_and(|end| end == "link") {
            (&mut self.link, "--link")
        } else {
            match family(path)? {
                Family::Ipv4 => (&mut self.rules, "--rules"),
                Family::Ipv6 => (&mut self.rules6, "--rules6"),
            }
        };
        if let Some(other) = slot {
            let problem = format!("{} and {} are both for {flag}", other.display(), path.display());
            return Err(
                InputError::new(problem, "name one file for IPv4 with --rules and one for IPv6 with --rules6").into()
            );
        }
        *slot = Some(path.to_owned());
        Ok(())
    }
}

/// The `.link` files in a folder, and where `scanlab generate` writes them.
fn link_files(folder: &Path) -> Vec<PathBuf> {
    let folders = [folder.to_owned(), folder.join("etc/systemd/network")];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "link")).collect();
    found.sort();
    found
}

/// The family of a ruleset: by its name (`rules.v6`), else by words that only one family has.
fn family(path: &Path) -> Result<Family> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if let Some(family) = one([&["v4", "ipv4"], &["v6", "ip6"]], &name) {
        return Ok(family);
    }
    // A pipe can be read only once.
    let text = if path.is_file() || !path.exists() { Source::read(path)?.text } else { Default::default() };
    one(
        [&["by iptables-save", "icmp-port-unreachable", "-p icmp "], &["by ip6tables-save", "icmp6-", "-p ipv6-icmp"]],
        &text,
    )
    .ok_or_else(|| {
        let problem = format!("cannot see whether {} is for IPv4 or IPv6", path.display());
        InputError::new(problem, "name it with --rules (IPv4) or --rules6 (IPv6)").into()
    })
}

/// The family with one of its words in `text`; `None` if neither or both have one.
fn one([v4, v6]: [&[&str]; 2], text: &str) -> Option<Family> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match (has(v4), has(v6)) {
        (true, false) => Some(Family::Ipv4),
        (false, true) => Some(Family::Ipv6),
        _ => None,
    }
}

fn no_sensor(is_live: bool) -> Box<InputError> {
    let hint = match is_live {
        true => {
            "scanlab check --live sensor.toml: the machine has the rules, but only a sensor file says which ports are \
                 meant to be open; `scanlab init --live` writes one, and on a terminal `scanlab check` asks"
        }
        false => {
            "scanlab check sensor.toml checks the rules of a sensor, scanlab check sensor.toml FOLDER your own, and \
                  with --live those of this machine; `scanlab init` writes a sensor file, and on a terminal `scanlab \
                  check` asks"
        }
    };
    InputError::new("no sensor file is given", hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(files: &[&Path], change: impl FnOnce(&mut CheckFileArguments)) -> Result<CheckFiles> {
        let mut files = files.iter().map(|path| path.to_path_buf());
        let (first, others) = (files.next(), files.collect());
        let mut arguments = CheckFileArguments { first, others, sensor: None, rules: None, rules6: None, link: None };
        change(&mut arguments);
        arguments.resolve(false, false)
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("write a file");
        }
        folder
    }

    fn problem(found: Result<CheckFiles>) -> String {
        found.expect_err("an error").to_string()
    }

    #[test]
    fn a_folder_has_both_rulesets_and_the_link_file() {
        let out = folder(&[("rules.v4", ""), ("rules.v6", ""), ("etc/systemd/network/00-mac.link", "")]);
        let found = resolve(&[Path::new("s.toml"), out.path()], |_| ()).expect("files");
        assert_eq!(found.sensor, Some("s.toml".into()));
        assert_eq!(found.rules, Some(out.path().join("rules.v4")));
        assert_eq!(found.rules6, Some(out.path().join("rules.v6")));
        assert_eq!(found.link, Some(out.path().join("etc/systemd/network/00-mac.link")));
        let named = resolve(&[Path::new("s.toml"), out.path()], |options| options.link = Some("my.link".into()));
        assert_eq!(named.expect("files").link, Some("my.link".into()));
    }

    #[test]
    fn a_file_is_of_the_family_of_its_name_or_else_of_its_text() {
        let out = folder(&[
            ("a", "# Generated by ip6tables-save v1.8.9\n"),
            ("b", "-A INPUT -p icmp -j ACCEPT\n"),
            ("c", "*filter\nCOMMIT\n"),
            ("rules.v6", "# Generated by iptables-save v1.8.9\n"),
        ]);
        let at = |name: &str| out.path().join(name);
        let found = resolve(&[Path::new("s.toml"), &at("a"), &at("b")], |_| ()).expect("files");
        assert_eq!((found.rules, found.rules6), (Some(at("b")), Some(at("a"))));
        assert_eq!(
            resolve(&[Path::new("s.toml"), &at("rules.v6")], |_| ()).expect("files").rules6,
            Some(at("rules.v6"))
        );
        let unclear = resolve(&[Path::new("s.toml"), &at("c")], |_| ());
        assert!(problem(unclear).contains("--rules6"));
    }

    #[test]
    fn all_positional_arguments_after_a_named_sensor_are_rulesets() {
        let found = resolve(&[Path::new("x.v4")], |options| options.sensor = Some("s.toml".into())).expect("files");
        assert_eq!((found.sensor, found.rules), (Some("s.toml".into()), Some("x.v4".into())));
    }

    #[test]
    fn missing_and_repeated_files_are_errors() {
        assert!(problem(resolve(&[], |_| ())).contains("no sensor file is given"));
        let twice = resolve(&["s.toml", "a.v4", "b.v4"].map(Path::new), |_| ());
        assert!(problem(twice).contains("a.v4 and b.v4 are both for --rules"));
        let named = resolve(&["s.toml", "a.v4"].map(Path::new), |options| options.rules = Some("b.v4".into()));
        assert!(problem(named).contains("both for --rules"));
        let (empty, links) = (folder(&[]), folder(&[("rules.v4", ""), ("a.link", ""), ("b.link", "")]));
        assert!(
            problem(resolve(&[Path::new("s.toml"), empty.path()], |_| ())).contains("neither rules.v4 nor rules.v6")
        );
        assert!(problem(resolve(&[Path::new("s.toml"), links.path()], |_| ())).contains("two .link files"));
        assert!(problem(resolve(&[links.path()], |_| ())).contains("is a folder"));
    }
}
