//! `scanlab record`: writes the scenario that describes the current behaviour of a ruleset.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::atomic_file::AtomicFile;
use super::equipment::EquipmentArguments;
use super::no_clobber::spare;
use super::progress::StepBar;
use crate::commands::mutate::Progress;
use crate::commands::record::{self, NamedRuleset, RecordDepth, RecordRequest};
use crate::commands::run::Settings;
use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, LinkMode, WatchedEvents};
use crate::net::port::Port;
use crate::net::port_selection::PortSelection;
use crate::net::{Family, InterfaceName, Protocol};
use crate::sensor::{Host, SensorFile};
use crate::text::ci_escape::Inert;
use crate::text::escape::visible;

/// The options of `scanlab record`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RecordOptions {
    /// IPv4 ruleset, iptables-save text
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    /// A sensor file, for its [host]: MAC address, interface, addresses and listening ports
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// Listening TCP ports, in nmap's syntax
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    listen: Option<PortSelection>,
    /// The interface on which packets arrive, as the rules name it
    #[arg(long, value_name = "NAME")]
    interface: Option<InterfaceName>,
    /// Write the scenario to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// Also mutate the ruleset, and add a row for every mistake that the scenario does not notice (slower)
    #[arg(long)]
    thorough: bool,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// Maximum number of labs at a time; all runs of a user share the labs of the machine, whose number is the default
    #[arg(long, value_name = "N", default_value_t = super::run::default_jobs(), value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

const HELP: &str = "\
record measures what the rules do now, with nmap's techniques at every port that a rule names and at the ports next \
to those, and with packets that show what else the rules distinguish. `scanlab run` on the file exits with 0 as long \
as the ruleset does the same. `scanlab mutate` lists the mistakes that it does not notice; --thorough adds the rows \
for them.";

/// Records, and writes the scenario: as a whole or not at all.
pub fn record(options: RecordOptions) -> Result<ExitCode> {
    let mut recording = recording(&options)?;
    options.equipment.admit_sizes(recording.rulesets.iter().map(|ruleset| &ruleset.source))?;
    recording.check()?;
    let equipment = options.equipment.find_with(LinkMode::Tap, || Capture::Nflog)?.over(&recording.host.sysctls);
    recording.host.sysctls = equipment.sysctls.clone();
    let output = options.output.as_deref().filter(|path| path.as_os_str() != "-");
    spare(options.rules.iter().chain(&options.rules6).chain(&options.sensor).map(PathBuf::as_path), output)?;
    let draft = output.map(|path| draft(path, options.force)).transpose()?;
    super::warn_of_no_filter(recording.rulesets.iter().map(|ruleset| (ruleset.family, &ruleset.source)));
    warn_of_interfaces(&recording);
    let vendors = Arc::new(super::run::vendors(None)?);
    let settings = Settings { equipment, watch: WatchedEvents::Paths, jobs: usize::from(options.jobs), vendors };
    let depth = if options.thorough { RecordDepth::Thorough(bar()) } else { RecordDepth::Usual };
    let text = super::interruptible(record::record(recording, &settings, depth))?;
    match draft {
        None => super::print(&text)?,
        Some(mut draft) => {
            draft.write(Inert::new(&text).as_str())?;
            draft.allow(0o644);
            draft.keep()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bar() -> Arc<dyn Progress> {
    Arc::new(StepBar::new("mutants"))
}

fn draft(path: &Path, force: bool) -> Result<AtomicFile> {
    if !force && path.symlink_metadata().is_ok_and(|found| !found.file_type().is_char_device_or_pipe()) {
        let hint = "name another file with -o, or replace it with --force";
        return Err(InputError::new(format!("{} already exists", path.display()), hint).into());
    }
    AtomicFile::begin(path, "name a file in a folder that you may write to")
}

/// `/dev/stdout` and similar files always exist, and are never replaced.
trait OutputKind {
    fn is_char_device_or_pipe(&self) -> bool;
}

impl OutputKind for std::fs::FileType {
    fn is_char_device_or_pipe(&self) -> bool {
        use std::os::unix::fs::FileTypeExt;
        self.is_char_device() || self.is_fifo()
    }
}

fn recording(options: &RecordOptions) -> Result<RecordRequest> {
    let file = options.output.clone().unwrap_or_else(|| "recorded.toml".into());
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named = named.into_iter().filter_map(|(family, path)| Some((family, path.as_ref()?)));
    let rulesets: Vec<NamedRuleset> =
        named.map(|(family, path)| ruleset(family, path, &file)).collect::<Result<_>>()?;
    if rulesets.is_empty() {
        let hint = "add --rules FILE, --rules6 FILE, or both; those of a sensor are written by `scanlab generate SENSOR -o DIR`";
        return Err(InputError::new("no ruleset is given", hint).into());
    }
    Ok(RecordRequest { rulesets, host: host(options)?, file })
}

fn ruleset(family: Family, path: &Path, scenario: &Path) -> Result<NamedRuleset> {
    if path.as_os_str() == "-" {
        let hint = "save it to a file first: the scenario names the ruleset by its path";
        return Err(InputError::new("a scenario cannot name standard input", hint).into());
    }
    let source = Source::read(path)?;
    let name = from_folder_of(scenario, path);
    let Some(name) = name.to_str() else {
        let problem = format!("{} cannot be named in a scenario: it is not UTF-8", path.display());
        return Err(InputError::new(problem, "rename the file").into());
    };
    Ok(NamedRuleset { family, source, name: name.to_owned() })
}

/// The path from the folder of `scenario` to `path`; absolute paths stay absolute.
fn from_folder_of(scenario: &Path, path: &Path) -> PathBuf {
    let folder = scenario.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(folder) = folder.filter(|_| path.is_relative()) else { return path.to_owned() };
    match (folder.canonicalize(), path.canonicalize()) {
        (Ok(folder), Ok(path)) => relative(&folder, &path),
        _ => path.to_owned(),
    }
}

/// Both are absolute, and have no `..`.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let (mut from, mut to) = (folder.components().peekable(), path.components().peekable());
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let up = from.map(|_| Component::ParentDir);
    up.chain(to).collect()
}

fn host(options: &RecordOptions) -> Result<Host> {
    let of_sensor = options.sensor.as_deref().map(SensorFile::load).transpose()?;
    let mut host = of_sensor.map(|sensor| sensor.host).unwrap_or_default();
    if let Some(listen) = &options.listen {
        host.listen = listening(listen)?;
    }
    if let Some(interface) = &options.interface {
        host.interface = interface.clone();
    }
    Ok(host)
}

/// The TCP ports of `--listen`: a scenario has no UDP listeners by port.
fn listening(listen: &PortSelection) -> Result<Vec<Port>> {
    let services = super::listen::services(listen, |_| None)?;
    match services.iter().find(|service| service.protocol != Protocol::Tcp) {
        None => Ok(services.into_iter().map(|service| service.port).collect()),
        Some(service) => {
            let problem =
                format!("--listen: a scenario cannot have a listener on {} port {}", service.protocol, service.port);
            Err(InputError::new(problem, "name TCP ports only").into())
        }
    }
}

fn warn_of_interfaces(recording: &RecordRequest) {
    for (name, interfaces) in record::other_interfaces(&recording.rulesets, &recording.host) {
        let interfaces: Vec<String> = interfaces.iter().map(|name| visible(name)).collect();
        let over = recording.host.interface.as_str();
        super::eprint_notice(&format!(
            "warning: {} names {}, but only packets over {over} are recorded (hint: --interface records another)",
            visible(&name),
            interfaces.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruleset_is_named_from_the_folder_of_the_scenario() {
        for (folder, path, expected) in [
            ("/a/b", "/a/b/rules.v4", "rules.v4"),
            ("/a/b", "/a/rules.v4", "../rules.v4"),
            ("/a/b", "/c/d/rules.v4", "../../c/d/rules.v4"),
            ("/", "/a", "a"),
        ] {
            assert_eq!(relative(Path::new(folder), Path::new(path)), Path::new(expected));
        }
        assert_eq!(from_folder_of(Path::new("s.toml"), Path::new("x/rules.v4")), Path::new("x/rules.v4"));
        assert_eq!(from_folder_of(Path::new("y/s.toml"), Path::new("/x/rules.v4")), Path::new("/x/rules.v4"));
    }
}
