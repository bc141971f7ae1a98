//! The file that `--syslog` writes is as rsyslogd writes it, and psad and fail2ban parse all of it.
//!
//! Needs root, and the programs themselves: see `.ci/setup tests`. psad runs in namespaces of its own, in which only
//! the test's folder is writable, and which have no network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::{Ended, HARDENED, ended, run, share_the_machine};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use tempfile::TempDir;

/// A generous time limit for short operations.
const PATIENCE: Duration = Duration::from_secs(60);

/// Monday 23 November 2026, 16:01:30 UTC.
const EPOCH: &str = "1795449690";

const SENSOR: &str = r#"[sensor]
ssh      = 32232
honeypot = { SSH = 22 }
watched  = { HTTP = 80 }
scans    = ["xmas", "null", "fin", "syn", "ack"]
limit    = { rate = "5/min", burst = 5 }
prefix   = "<IPT> "
"#;

/// A folder with the rulesets of the sensor.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("sensor.toml"), SENSOR).expect("write the sensor");
    let ended = scanlab(folder.path(), &["generate", "sensor.toml", "-o", "."]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    folder
}

/// Runs the program in `folder`, at a fixed time.
fn scanlab(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(folder).env("SOURCE_DATE_EPOCH", EPOCH);
    ended(command.output().expect("the program starts"))
}

const V4: [&str; 2] = ["--rules", "rules.v4"];
const V6: [&str; 3] = ["-6", "--rules6", "rules.v6"];

/// Makes every technique leave lines in `kern.log`.
fn scan(folder: &Path, family: &[&str]) -> String {
    let techniques = ["scan", "--scan", "xmas,null,fin,syn,ack", "-p", "1-100", "--syslog", "kern.log"];
    let ended = scanlab(folder, &[&techniques, family].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let text = fs::read_to_string(folder.join("kern.log")).expect("the file");
    assert!(text.lines().count() >= 27, "{text}");
    text
}

fn run_in(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("TZ", "UTC");
    let output =
        command.output().unwrap_or_else(|error| panic!("cannot run {program}: {error} (hint: see .ci/setup tests)"));
    let ended = ended(output);
    assert_eq!(ended.status, Some(0), "{program} {arguments:?}: {}\n{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// Runs psad with its own settings in the folder; no lines are ignored, as an ACK is by default.
fn psad(folder: &Path, arguments: &[&str]) -> String {
    let place = folder.to_str().expect("UTF-8");
    let settings = ["PSAD_DIR", "PSAD_RUN_DIR", "PSAD_FIFO_DIR", "CONF_ARCHIVE_DIR"];
    let mut text: String = settings.map(|name| format!("{name} {place}/psad/{name};\n")).concat();
    text.push_str("HOSTNAME sensor;\nHOME_NET any;\nENABLE_DNS_LOOKUPS N;\nENABLE_WHOIS_LOOKUPS N;\n");
    text.push_str("ALERTING_METHODS noemail;\nIGNORE_CONNTRACK_BUG_PKTS N;\n");
    fs::write(folder.join("psad.conf"), text).expect("write the settings");
    for name in settings {
        fs::create_dir_all(folder.join("psad").join(name)).expect("a folder");
    }
    let alone = "set -e
        for folder in /etc /var /run /root /home /usr; do mount --bind $folder $folder; mount -o remount,bind,ro $folder; done
        exec psad --messages-file kern.log --Override-config psad.conf --no-rdns --no-whois \"$@\"";
    let words = ["--net", "--mount", "sh", "-c", alone, "psad"];
    run_in(folder, "unshare", &[&words, arguments].concat())
}

/// The source and the flags of each line according to psad.
fn psad_lines(folder: &Path) -> Vec<(String, String)> {
    let csv = psad(folder, &["--CSV", "--CSV-fields", "src flags"]);
    let pair = |line: &str| line.split_once(", ").map(|(source, flags)| (source.to_owned(), flags.to_owned()));
    csv.lines().filter_map(pair).collect()
}

/// A filter like those of fail2ban, none of which is for the kernel's lines.
const FILTER: &str = r"[INCLUDES]
before = /etc/fail2ban/filter.d/common.conf

[Definition]
failregex = ^%(__prefix_line)s[<]IPT> (?:\S+ )+(?:port|scan): IN=eth0 OUT= .*\bSRC=<HOST> DST=
";

/// The address to ban and the second of each line according to fail2ban.
fn fail2ban_lines(folder: &Path) -> Vec<(String, String)> {
    let filter = folder.join("filter.conf");
    fs::write(&filter, FILTER).expect("write the filter");
    let rows = run_in(folder, "fail2ban-regex", &["--out", "<ip> <time>", "kern.log", filter.to_str().expect("UTF-8")]);
    let pair = |line: &str| line.split_once(' ').map(|(ip, time)| (ip.to_owned(), time.to_owned()));
    rows.lines().filter_map(pair).collect()
}

/// The number of lines by flags.
fn count(lines: &[(String, String)]) -> BTreeMap<&str, usize> {
    lines.iter().fold(BTreeMap::new(), |mut counts, (_, flags)| {
        *counts.entry(flags.as_str()).or_default() += 1;
        counts
    })
}

#[test]
fn psad_reports_the_scans_and_who_made_them() {
    let _machine = share_the_machine();
    let folder = folder();
    scan(folder.path(), &V4);
    let seen = psad_lines(folder.path());
    assert!(seen.iter().all(|(source, _)| source == "203.0.113.66"), "{seen:?}");
    // The limit lets five lines pass; the SYN scan also reaches the honeypot and a watched port.
    let expected = [("ACK", 5), ("FIN", 5), ("NULL", 5), ("SYN", 7), ("URG PSH FIN", 5)];
    assert_eq!(count(&seen), BTreeMap::from(expected));

    let analysis = psad(folder.path(), &["--Analyze-msgs"]);
    let words = ["Found 27 iptables log messages out of 27 total lines", "SCAN nmap XMAS", "SCAN FIN"];
    let prefixes = ["<IPT> Xmas scan:", "<IPT> Null scan:", "<IPT> FIN scan:", "<IPT> SYN scan:", "<IPT> ACK scan:"];
    for word in words.iter().chain(&prefixes).chain(&["SRC:  203.0.113.66, DL: 2, Dsts: 1, Pkts: 27"]) {
        assert!(analysis.contains(word), "{word}: {analysis}");
    }
}

#[test]
fn psad_reads_ipv6_as_well() {
    let _machine = share_the_machine();
    let folder = folder();
    let text = scan(folder.path(), &V6);
    let seen = psad_lines(folder.path());
    assert_eq!(seen.len(), text.lines().count(), "{seen:?}");
    let sources: BTreeSet<&str> = seen.iter().map(|(source, _)| source.as_str()).collect();
    assert_eq!(sources, BTreeSet::from(["2001:0db8:0113:0000:0000:0000:0000:0066"]));
}

#[test]
fn fail2ban_matches_every_line_and_finds_whom_to_ban_and_when() {
    let _machine = share_the_machine();
    let folder = folder();
    for (family, prober) in [(&V4[..], "203.0.113.66"), (&V6[..], "2001:db8:113::66")] {
        let text = scan(folder.path(), family);
        let seen = fail2ban_lines(folder.path());
        assert_eq!(seen.len(), text.lines().count(), "{seen:?}");
        let one = (prober.to_owned(), format!("{EPOCH}.0"));
        assert!(seen.iter().all(|line| *line == one), "{seen:?}");
    }
}

/// A fault that both must notice: truncated lines are not counted.
#[test]
fn a_line_that_is_cut_is_counted_by_neither() {
    let _machine = share_the_machine();
    let folder = folder();
    let text = scan(folder.path(), &V4);
    fs::write(folder.path().join("kern.log"), text.replacen("SRC=", "", 2)).expect("write the file");
    let whole = text.lines().count();
    assert_eq!(psad_lines(folder.path()).len(), whole - 2);
    assert_eq!(fail2ban_lines(folder.path()).len(), whole - 2);
}

#[test]
fn rsyslogd_writes_the_same_bytes() {
    let _machine = share_the_machine();
    let folder = folder();
    let text = scan(folder.path(), &V4);
    let kernel: Vec<&str> = text.lines().map(|line| line.split_once(" kernel: ").expect("the tag").1).collect();
    let written = rsyslogd(folder.path(), &kernel);
    // rsyslogd uses the real time.
    let timeless = |text: &str| text.lines().map(|line| line[15..].to_owned()).collect::<Vec<_>>();
    assert_eq!(timeless(&written), timeless(&text));
    assert!(text.lines().all(|line| line.starts_with("Nov 23 16:01:30 ")), "{text}");
}

/// Runs an rsyslogd that reads these lines as if the kernel had written them.
fn rsyslogd(folder: &Path, lines: &[&str]) -> String {
    let place = folder.to_str().expect("UTF-8");
    let settings = format!(
        "global(workDirectory=\"{place}\")
         module(load=\"imklog\" LogPath=\"{place}/kmsg\")
         module(load=\"builtin:omfile\" Template=\"RSYSLOG_TraditionalFileFormat\")
         kern.* action(type=\"omfile\" file=\"{place}/rsyslogd.log\")\n"
    );
    fs::write(folder.join("rsyslog.conf"), settings).expect("write the settings");
    let (pipe, log) = (folder.join("kmsg"), folder.join("rsyslogd.log"));
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-f", "rsyslog.conf", "-i", &format!("{place}/pid")]).current_dir(folder);
    let mut daemon =
        command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("rsyslogd (hint: see .ci/setup tests)");
    // Opening for both never blocks, so a daemon that has died cannot block the test.
    let mut kernel = OpenOptions::new().read(true).write(true).open(&pipe).expect("open the pipe");
    kernel.write_all(lines.iter().map(|line| format!("<4>{line}\n")).collect::<String>().as_bytes()).expect("write");
    let start = Instant::now();
    let written = loop {
        let written = fs::read_to_string(&log).unwrap_or_default();
        if written.lines().count() >= lines.len() || start.elapsed() > PATIENCE {
            break written;
        }
        thread::sleep(Duration::from_millis(20));
    };
    daemon.kill().expect("end the daemon");
    daemon.wait().expect("the daemon has ended");
    written
}

#[test]
fn two_scans_write_the_same_file() {
    let _machine = share_the_machine();
    let folder = folder();
    assert_eq!(scan(folder.path(), &V4), scan(folder.path(), &V4));
}

#[test]
fn a_run_writes_the_lines_of_its_report_and_of_all_else() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kern.log");
    let ended = run(&[HARDENED, "--syslog", file.to_str().expect("UTF-8")]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let report = ended.report();
    let records = |probe: &Value, key: &str| probe[key].as_array().expect("records").clone();
    let probes = report["probes"].as_array().expect("probes").iter();
    let records = probes.flat_map(|probe| [records(probe, "log"), records(probe, "followup")].concat());
    let reported: Vec<String> = records.map(|record| record["line"].as_str().expect("a line").to_owned()).collect();
    let text = fs::read_to_string(file).expect("the file");
    let written: Vec<&str> = text.lines().map(|line| line.split_once("] ").expect("a time stamp").1).collect();
    assert!(reported.len() > 20, "{reported:?}");
    let mut left = written.clone();
    for line in &reported {
        let place = left.iter().position(|other| other == line).unwrap_or_else(|| panic!("{line} is not in {text}"));
        left.remove(place);
    }
    // The lines of bursts and of packet rows.
    assert!(!left.is_empty() && left.iter().all(|line| line.starts_with("<IPT> ")), "{left:?}");
}

#[test]
fn an_unwritable_syslog_path_is_refused_before_the_measurement() {
    let _machine = share_the_machine();
    let folder = folder();
    for (path, why) in [("missing/kern.log", "No such file"), (".", "Is a directory")] {
        let ended = scanlab(folder.path(), &["scan", "--rules", "rules.v4", "--syslog", path]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
}

#[test]
fn a_scan_that_fails_leaves_no_file() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), "*filter\n-A INPUT -j NOWHERE\nCOMMIT\n").expect("write the rules");
    let ended = scanlab(folder.path(), &["scan", "--rules", "rules.v4", "--syslog", "kern.log"]);
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    let names: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(names, ["rules.v4"]);
}
