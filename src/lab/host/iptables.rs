//! The `iptables-restore` and `ip6tables-restore` of this machine, and the loading of a ruleset with them: unchanged,
//! and into the lab's namespace only.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::confined::{Confined, PATIENCE};
use super::namespace::Isolated;
use super::pinned_sysctls;
use super::private_lock::PrivateLock;
use super::x_tables_module;
use crate::error::{CannotMeasure, Context, Error, Result, Source};
use crate::lab::log::nflog_copy::INSTRUMENT;
use crate::net::Family;
use crate::rules::admission::Terms;
pub use crate::rules::iptables_save::Backend;
use crate::rules::iptables_save::wrong_format;
use crate::rules::unsafe_options;

/// The installed flavour to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The flavour that `iptables-restore` is on this machine.
    Auto,
    /// `iptables-nft-restore`.
    Nft,
    /// `iptables-legacy-restore`.
    Legacy,
}

/// The restore programs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Iptables {
    v4: PathBuf,
    v6: PathBuf,
    /// The backend that they write to.
    pub backend: Backend,
    /// Such as `1.8.9`.
    pub version: String,
    /// The extensions that a ruleset may use.
    pub terms: Terms,
}

/// Folders that are missing from an ordinary user's PATH.
const SYSTEM_FOLDERS: &str = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin";

impl Iptables {
    /// Finds the programs in `path`, the value of PATH, and reads their version.
    pub fn find(flavour: Flavour, path: &str) -> Result<Iptables> {
        let infix = match flavour {
            Flavour::Auto => "",
            Flavour::Nft => "-nft",
            Flavour::Legacy => "-legacy",
        };
        let v4 = find_program(&format!("iptables{infix}-restore"), path)?;
        let v6 = find_program(&format!("ip6tables{infix}-restore"), path)?;
        let output = Confined::new(&v4).arg("--version").output_blocking()?;
        let found = Some(String::from_utf8_lossy(&output.stdout)).filter(|_| output.status.success());
        let (version, backend) = found
            .and_then(|text| read_version(&text))
            .ok_or_else(|| failed(&v4, format!("--version ended with {}, and names no version", output.status)))?;
        Ok(Iptables { v4, v6, backend, version, terms: Terms::of_this_machine() })
    }

    /// Loads the rulesets, IPv4 before IPv6, as machines do: both share the tables of `-m recent`, and the one that is
    /// loaded first creates them. A refusal by iptables is an input error at the line that it reports.
    pub async fn load(&self, isolated: &Isolated, rulesets: &[(Family, &Source)]) -> Result<()> {
        for (family, ruleset) in rulesets {
            unsafe_options::refuse(ruleset)?;
            self.terms.admit(*family, ruleset)?;
        }
        isolated.assert("iptables-restore")?;
        if rulesets.iter().any(|(_, ruleset)| ruleset.text.contains("connbytes")) {
            pinned_sysctls::count_packets(isolated)?;
        }
        if self.backend == Backend::Legacy {
            let families = rulesets.iter().map(|(family, _)| *family);
            futures_util::future::join_all(families.map(x_tables_module::load)).await;
        }
        let mut in_order = rulesets.to_vec();
        in_order.sort_by_key(|(family, _)| *family);
        for (family, ruleset) in in_order {
            self.load_one(family, ruleset).await?;
        }
        Ok(())
    }

    /// Replaces rulesets that were loaded unchanged by copies. If iptables accepted the original and refuses the copy,
    /// the ruleset is not at fault.
    pub async fn load_copy(&self, isolated: &Isolated, copies: &[(Family, &Source)]) -> Result<()> {
        self.load(isolated, copies).await.map_err(|error| match error {
            Error::Input(refused) => {
                let evidence = format!("with NFLOG in place of LOG the ruleset is refused: {}", refused.problem);
                CannotMeasure::Blind { instrument: INSTRUMENT, evidence }.into()
            }
            error => error,
        })
    }

    /// The output of `iptables-save` (or `ip6tables-save`) of the same flavour for the rules of this thread's
    /// namespace. It only reads, and takes no lock.
    pub fn save(&self, family: Family) -> Result<String> {
        let restore = self.program(family);
        let name = restore.file_name().unwrap_or_default().to_string_lossy().replace("-restore", "-save");
        listed(&restore.with_file_name(name), &[])
    }

    async fn load_one(&self, family: Family, ruleset: &Source) -> Result<()> {
        let output = self.restore(family, &ruleset.text).await?;
        if output.status.success() {
            return self.assert_read_to_the_end(family, ruleset, &output).await;
        }
        let complaint = self.complaint(family, &output, &ruleset.text)?;
        if self.backend == Backend::Legacy {
            no_table(family, &complaint.message)?;
        }
        let line = self.culprit(family, &ruleset.text, complaint.line).await?;
        let name = self.program(family).file_name().unwrap_or_default().to_string_lossy();
        let problem = format!("{name} {} refuses this ruleset: {}", self.version, complaint.message);
        let hint = wrong_format::hint(&ruleset.text)
            .unwrap_or("nothing was loaded on this machine; the rule was tried in a namespace of its own");
        Err(ruleset.error(ruleset.span_of_line(line), problem, hint).into())
    }

    async fn restore(&self, family: Family, ruleset: &str) -> Result<Output> {
        Confined::new(self.program(family)).lock(PrivateLock::new()?).output(ruleset).await
    }

    /// The reason why the program refuses a ruleset.
    ///
    /// # Errors
    ///
    /// If it failed for a reason of its own.
    fn complaint(&self, family: Family, output: &Output, ruleset: &str) -> Result<Complaint> {
        let said = String::from_utf8_lossy(&output.stderr);
        Complaint::read(output.status, &said, ruleset).map_err(|problem| failed(self.program(family), problem))
    }

    /// Refuses a ruleset with `-h` or `-V` in a rule: they print help or version, and end the program without an error;
    /// nothing of the table is loaded.
    async fn assert_read_to_the_end(&self, family: Family, ruleset: &Source, output: &Output) -> Result<()> {
        if !names_itself(output) {
            return Ok(());
        }
        let lines: Vec<&str> = ruleset.text.lines().collect();
        let fewest = self.fewest(family, PATIENCE, &lines, |output, _| Ok(names_itself(output))).await?;
        // If no line causes it, it is the program itself, and the lab notices that the rules are missing.
        let Some(line) = fewest.filter(|line| *line > 0) else { return Ok(()) };
        let name = self.program(family).file_name().unwrap_or_default().to_string_lossy();
        let problem = format!("{name} {} prints its help or version at this line, and loads nothing", self.version);
        let hint = "remove -h, --help, -V or --version: a ruleset has rules only";
        Err(ruleset.error(ruleset.span_of_line(line), problem, hint).into())
    }

    /// Finds the line to blame. A refusal by the kernel is reported at COMMIT, for the table as a whole. The culprit is
    /// the rule with which the rules before it are refused for the first time.
    async fn culprit(&self, family: Family, ruleset: &str, reported: usize) -> Result<usize> {
        let lines: Vec<&str> = ruleset.lines().collect();
        if lines.get(reported.saturating_sub(1)).is_none_or(|line| line.trim() != "COMMIT") {
            return Ok(reported);
        }
        let start = lines[..reported - 1].iter().rposition(|line| line.starts_with('*')).unwrap_or(0);
        let is_refused = |output: &Output, ruleset: &str| match output.status.success() {
            true => Ok(false),
            false => self.complaint(family, output, ruleset).map(|_| true),
        };
        let fewest = self.fewest(family, PATIENCE, &lines[start..reported - 1], is_refused).await?;
        Ok(fewest.filter(|lines| *lines > 1).map_or(reported, |lines| start + lines))
    }

    /// The smallest number of `lines`, counted from the first, that make a ruleset that `fits`. All of them do, and so
    /// does every larger number. The chains of all lines are always declared. `None` if it is not found in time.
    async fn fewest(
        &self,
        family: Family,
        time: Duration,
        lines: &[&str],
        fits: impl Fn(&Output, &str) -> Result<bool>,
    ) -> Result<Option<usize>> {
        let search = async {
            let (mut low, mut high) = (0, lines.len());
            while low < high {
                let middle = low + (high - low) / 2;
                let (kept, rest) = lines.split_at(middle);
                let declared = rest.iter().filter(|line| line.starts_with(':'));
                let text: Vec<&str> = kept.iter().chain(declared).copied().chain(["COMMIT\n"]).collect();
                let text = text.join("\n");
                let output = self.restore(family, &text).await?;
                if fits(&output, &text)? { high = middle } else { low = middle + 1 }
            }
            Ok(high)
        };
        tokio::time::timeout(time, search).await.ok().transpose()
    }

    fn program(&self, family: Family) -> &Path {
        family.pick(&self.v4, &self.v6)
    }
}

/// The output of `program`, which prints rules of this thread's namespace, run in the same way as by
/// [`Iptables::save`].
pub fn list_rules(program: &str, arguments: &[&str]) -> Result<String> {
    listed(&find_program(program, "")?, arguments)
}

fn listed(program: &Path, arguments: &[&str]) -> Result<String> {
    let confined = arguments.iter().fold(Confined::new(program), |confined, argument| confined.arg(argument));
    let output = confined.output_blocking()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = std::io::Error::other(format!("{said} (hint: only root may read the rules of a machine)"));
    Err(said).context(format!("read the rules of this machine with {}", program.display()))
}

/// The tables of x_tables; any other name is a typing mistake of the ruleset.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// Checks that no table is missing. A table comes with a kernel module. iptables loads that if it may, which it may not
/// in a user namespace.
///
/// # Errors
///
/// If a table is missing: then the machine cannot measure, and the ruleset is not at fault.
fn no_table(family: Family, said: &str) -> Result<()> {
    let missing = TABLES.iter().find(|table| {
        said.contains(&format!("nable to initialize table '{table}'"))
            || said.contains(&format!("an't initialize iptables table `{table}'"))
            || said.contains(&format!("an't initialize ip6tables table `{table}'"))
    });
    let Some(table) = missing else { return Ok(()) };
    let prefix = family.pick("iptable", "ip6table");
    let (table, module) = ((*table).to_owned(), format!("{prefix}_{table}"));
    Err(CannotMeasure::NoTable { table, module, said: said.to_owned() }.into())
}

/// The message of a restore program, and the line that it reports.
struct Complaint {
    message: String,
    line: usize,
}

impl Complaint {
    /// Parses a refusal, which always has a line number. A message without one is the program's own failure: it was
    /// killed, could not lock, or is not iptables.
    fn read(status: ExitStatus, text: &str, ruleset: &str) -> std::result::Result<Complaint, String> {
        if let Some(signal) = status.signal() {
            let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
            return Err(format!("it was killed by {name}"));
        }
        let said: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_boilerplate(line)).collect();
        let message = if said.is_empty() { status.to_string() } else { said.join("; ") };
        // A missing COMMIT is reported one line after the last.
        let line = text.lines().find_map(line_number).filter(|line| (1..=ruleset.lines().count() + 1).contains(line));
        match line {
            Some(line) if !said.iter().any(|line| lacks_memory(line)) => Ok(Complaint { message, line }),
            _ => Err(format!("{message} ({status})")),
        }
    }
}

/// True for `line 2: RULE_APPEND failed (Cannot allocate memory): rule in chain INPUT` and `iptables-restore: line 2
/// failed: Memory allocation problem.` Words of the ruleset come after the reason only.
fn lacks_memory(said: &str) -> bool {
    const REASONS: [&str; 6] = [
        "(Cannot allocate memory)",
        "(No buffer space available)",
        "(Message too long)",
        "(Too many open files in system)",
        ": Memory allocation problem.",
        ": Cannot allocate memory.",
    ];
    let Some((before, after)) = said.split_once(" failed") else { return false };
    let is_own = before.split_whitespace().count() <= 3 && line_number(before).is_some();
    is_own && REASONS.iter().any(|reason| after.trim_start().starts_with(reason))
}

/// True if it printed its version, as `-V` and `-h` make it do.
fn names_itself(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stdout).lines().any(|line| read_version(line).is_some())
}

/// The error for a program that failed for a reason of its own.
fn failed(program: &Path, problem: String) -> Error {
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    CannotMeasure::ProgramFailed { program, problem }.into()
}

/// True for a line that is the same for every ruleset: `iptables-restore v1.8.9 (nf_tables):` before the message, and
/// ``Try `iptables-restore -h' ...`` after it.
fn is_boilerplate(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("Try `")
        || line.starts_with("Error occurred at line")
        || line.ends_with("(nf_tables):")
}

/// Parses the line number of `Error occurred at line: 9`, `line 5: RULE_APPEND failed`, `iptables-restore: line 7
/// failed`.
fn line_number(text: &str) -> Option<usize> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[0] == "line").and_then(|pair| pair[1].parse().ok())
}

fn find_program(name: &str, path: &str) -> Result<PathBuf> {
    let folders = path.split(':').chain(SYSTEM_FOLDERS.split(':')).filter(|folder| folder.starts_with('/'));
    let found = folders.map(|folder| Path::new(folder).join(name)).find(|candidate| candidate.is_file());
    found.ok_or_else(|| CannotMeasure::NoProgram { program: name.to_owned(), package: "iptables" }.into())
}

/// Parses `iptables-restore v1.8.9 (nf_tables)`; before 1.8 there was one flavour, and no parenthesis. `None` for any
/// other text.
fn read_version(text: &str) -> Option<(String, Backend)> {
    let mut words = text.split_whitespace();
    let is_iptables = words.next().is_some_and(|name| name.contains("tables"));
    let version = words.next()?.strip_prefix('v').filter(|_| is_iptables)?;
    let backend = match words.next() {
        Some("(nf_tables)") => Backend::Nft,
        Some("(legacy)") | None => Backend::Legacy,
        Some(_) => return None,
    };
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| (version.to_owned(), backend))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::time::Instant;

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use tokio::runtime::Builder;

    use super::super::namespace::in_fresh_namespace;
    use super::*;

    /// Hides x_tables from this thread's children: iptables-legacy then runs `--modprobe` (`xtables_load_ko` of
    /// libxtables/xtables.c).
    fn hide_x_tables() {
        unshare(CloneFlags::CLONE_NEWNS).expect("root may");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).expect("root may");
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), Some("subset=pid")).expect("root may");
    }

    /// A program that creates a file when it runs, and a ruleset that makes iptables run it.
    fn planted(folder: &Path) -> (String, PathBuf) {
        let (program, mark) = (folder.join("program"), folder.join("mark"));
        fs::write(&program, format!("#!/bin/sh\n: > {}\n", mark.display())).expect("write it");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it a program");
        let option = format!("--modprobe={}", program.display());
        (format!("*filter\n-A INPUT {option} -p tcp -m tcp --dport 1 -j DROP\nCOMMIT\n"), mark)
    }

    /// Skips the check of the option, so that only the confinement prevents it.
    #[test]
    #[ignore = "needs root and iptables: cargo test -- --ignored"]
    fn a_ruleset_that_names_a_program_does_not_run_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ruleset, mark) = planted(folder.path());
        let has_run = |flavour, is_confined: bool| {
            let _ = fs::remove_file(&mark);
            let iptables = Iptables::find(flavour, "").expect("iptables is there");
            let load = |_: &Isolated| {
                hide_x_tables();
                if is_confined {
                    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
                    return runtime.block_on(iptables.restore(Family::Ipv4, &ruleset)).map(drop);
                }
                let file = folder.path().join("rules");
                fs::write(&file, &ruleset).expect("write the rules");
                Command::new(&iptables.v4).arg(file).output().map(drop).context("run iptables")
            };
            in_fresh_namespace(load).expect("it ends");
            mark.exists()
        };
        assert!(has_run(Flavour::Legacy, false), "the planted ruleset harms nobody");
        for flavour in [Flavour::Nft, Flavour::Legacy] {
            assert!(!has_run(flavour, true), "{flavour:?}");
        }
    }

    /// A program in place of both restore programs.
    fn fake(folder: &Path, body: &str) -> Iptables {
        let program = folder.join("restore");
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).expect("write it");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it a program");
        let (version, terms) = ("1.8.9".to_owned(), Terms::of_this_machine());
        Iptables { v4: program.clone(), v6: program, backend: Backend::Nft, version, terms }
    }

    #[test]
    #[ignore = "needs root: cargo test -- --ignored"]
    fn the_search_for_a_line_finds_the_first_one_and_ends_in_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = ["*filter", "-A INPUT -j good", "-A INPUT -j bad", "-A INPUT -j good", "-A INPUT -j bad"];
        let search = |body: &str, time| {
            let iptables = fake(folder.path(), body);
            let is_refused = |output: &Output, _: &str| Ok(!output.status.success());
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(iptables.fewest(Family::Ipv4, time, &lines, is_refused)).expect("it runs")
        };
        let refuses_bad = "while read line; do case $line in *bad) exit 1;; esac; done";
        assert_eq!(search(refuses_bad, PATIENCE), Some(3));
        let start = Instant::now();
        assert_eq!(search("while :; do :; done", Duration::from_millis(200)), None);
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_table_whose_module_is_not_loaded_is_not_the_rulesets_fault() {
        // iptables/iptables-restore.c and libiptc.c of iptables 1.8.9 and 1.6.
        for said in [
            "iptables-restore: unable to initialize table 'nat'",
            "can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
        ] {
            let error = no_table(Family::Ipv4, said).unwrap_err();
            assert_eq!(error.exit_status(), 3);
            assert!(error.to_string().contains("modprobe iptable_nat"), "{error}");
        }
        assert!(no_table(Family::Ipv6, "iptables-restore: unable to initialize table 'nut'").is_ok());
    }

    #[test]
    fn lack_of_memory_is_not_the_rulesets_fault() {
        let read = |text: &str| Complaint::read(ExitStatus::from_raw(4 << 8), text, "*filter\n-A INPUT\nCOMMIT\n");
        for text in [
            "iptables-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (Cannot allocate memory): rule in chain INPUT",
            "line 3: RULE_APPEND failed (No buffer space available): rule in chain INPUT",
            "iptables-restore: line 3 failed: Memory allocation problem.",
            "Fatal: can't open lock file /x: No such file or directory",
            "Another app is currently holding the xtables lock.",
            "line 99 is garbage",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in [
            "line 3: RULE_APPEND failed (Invalid argument): rule in chain INPUT",
            "line 3: CHAIN_ADD failed (File exists): chain (Cannot allocate memory)",
            "iptables-restore v1.8.9 (legacy): Bad argument ` failed (Cannot allocate memory)'\nError occurred at line: 2",
            "iptables-restore: COMMIT expected at line 4",
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
        assert!(
            Complaint::read(ExitStatus::from_raw(9), "line 2 failed", "*filter\n")
                .is_err_and(|why| why.contains("SIGKILL"))
        );
    }

    #[test]
    fn the_line_is_found_in_every_wording() {
        for (text, line) in [
            ("Error occurred at line: 9", 9),
            ("line 5: RULE_APPEND failed (No such file or directory): rule in chain INPUT", 5),
            ("iptables-restore: line 7 failed", 7),
        ] {
            assert_eq!(line_number(text), Some(line), "{text}");
        }
        assert_eq!(line_number("nothing of the kind: online 3x"), None);
    }

    #[test]
    fn the_flavour_is_told_by_the_version() {
        assert_eq!(read_version("iptables-restore v1.8.9 (nf_tables)\n"), Some(("1.8.9".to_owned(), Backend::Nft)));
        assert_eq!(read_version("iptables-restore v1.8.9 (legacy)\n"), Some(("1.8.9".to_owned(), Backend::Legacy)));
        assert_eq!(read_version("iptables-restore v1.6.0\n"), Some(("1.6.0".to_owned(), Backend::Legacy)));
        for text in
            ["", "usage: x", "iptables-restore", "iptables-restore vx", "nft v1.0.6 (Lester)", "iptables v1.8 (x)"]
        {
            assert_eq!(read_version(text), None, "{text}");
        }
    }
}
