//! `scanlab scan` with nmap's arguments: the same ruleset, scanned by scanlab in its lab and by real nmap over a cable,
//! gives the same normal output, XML and grepable output, byte for byte, and the programs that read nmap's files accept
//! them.
//!
//! Needs root, nmap, ndiff, xmllint, python3-libnmap and iptables, see `.ci/setup tests`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::hosts::Hosts;
use crate::{REJECTS_V4, REJECTS_V6};
use scanlab::net::Family;
use tempfile::TempDir;

const LISTEN: [u16; 3] = [22, 80, 443];

/// 25: refused; 201 to 230: silent; 1001 to 1091: thirteen ports of each kind of refusal, so that nmap has to order
/// reasons with equal numbers of ports.
fn ruleset(rejects: &[&str]) -> String {
    let refused = rejects
        .iter()
        .zip((1001..).step_by(13))
        .map(|(kind, port)| format!("-A INPUT -p tcp --dport {port}:{} -j REJECT --reject-with {kind}\n", port + 12));
    let refused: String = refused.collect();
    let first = rejects[1];
    format!(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 25 -j REJECT --reject-with {first}\n\
         -A INPUT -p tcp --dport 201:230 -j DROP\n{refused}COMMIT\n"
    )
}

/// The arguments for both. Each combination groups, counts or omits ports in its own way.
const WORDS: [&str; 16] = [
    "-sS -p 20-30 --reason",
    "-sS -p 1-26,200-231 --reason",
    "-sS -p 1-25",
    "-sX -p 22,300-328,201-230,443",
    "-sS -p 990-1100 --reason",
    "-sA -p 20-50,1001-1091 --open",
    "-sX -p 22,25,26 --open",
    "-sS -p 25,26 --open",
    "-sX -p 22,80,443,201-230,300-332,1027-1052",
    "-sT -p 22,25,26,36 --reason",
    "-sN -p 300-350 -v",
    "-sF -p 301-350 -v",
    "-sS -p 22-72 -vv",
    "-sS -p 201-203 -Pn --disable-arp-ping --reason",
    "-sS -p http*,[20-30],T:36,0 --exclude-ports 25,https",
    "-sS -F -n -r -T3",
];

/// The three files of one scan.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn base(&self) -> String {
        self.path("scan").display().to_string()
    }

    fn read(&self, suffix: &str) -> String {
        let path = self.path(&format!("scan.{suffix}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

struct Subject {
    folder: TempDir,
    hosts: Hosts,
}

impl Subject {
    fn start() -> Subject {
        let rulesets = [&REJECTS_V4[..7], &REJECTS_V6].map(ruleset);
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in ["rules.v4", "rules.v6"].iter().zip(&rulesets) {
            fs::write(folder.path().join(name), text).expect("write the ruleset");
        }
        let texts = [&*rulesets[0], &*rulesets[1]];
        let hosts = Hosts::start(["iptables-restore", "ip6tables-restore"], texts, &LISTEN);
        Subject { folder, hosts }
    }

    /// The output of nmap, and its files. One retry, with generous time limits, since the machine may be busy; for a
    /// connect they leave room for a second SYN, since the first ICMPv6 error can be lost to a race in connect().
    fn nmap(&self, words: &str, family: Family) -> (String, Files) {
        let files = Files::new();
        let base = files.base();
        let mut all: Vec<&str> =
            words.split(' ').chain(["-n", "--max-retries", "1", "--min-parallelism", "100"]).collect();
        let timeout = if words.starts_with("-sT") { "3s" } else { "500ms" };
        all.extend(["--min-rtt-timeout", timeout, "--initial-rtt-timeout", timeout, "--max-rtt-timeout", "5s"]);
        all.extend(["-oA", &base]);
        (self.hosts.nmap_in_words(&all, family), files)
    }

    fn scanlab(&self, words: &str, family: Family) -> (String, Files) {
        let files = Files::new();
        let mut all: Vec<String> = words.split(' ').map(str::to_owned).collect();
        all.extend(["--format", "nmap", "-oA", &files.base()].map(str::to_owned));
        if family == Family::Ipv6 {
            all.push("-6".to_owned());
        }
        let output = self.run(&all);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scanlab {words}: {talk}");
        (String::from_utf8(output.stdout).expect("text"), files)
    }

    fn run(&self, words: &[String]) -> Output {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        scan.arg("scan").current_dir(self.folder.path());
        scan.args(["--rules", "rules.v4", "--rules6", "rules.v6", "--listen", "22,80,443"]);
        scan.args(words).output().expect("run scanlab")
    }
}

#[test]
fn every_byte_is_as_nmap_writes_it() {
    let subject = Subject::start();
    let mut differences = String::new();
    for words in WORDS {
        for family in Family::BOTH {
            let (expected_print, expected) = subject.nmap(words, family);
            let (observed_print, observed) = subject.scanlab(words, family);
            let [expected_xml, observed_xml] = [&expected, &observed].map(|files| files.path("scan.xml"));
            let mut compare = |what: &str, expected: &str, observed: &str| {
                if expected != observed {
                    let both = format!("=== nmap\n{expected}\n=== scanlab\n{observed}\n");
                    differences.push_str(&format!("{words} {family}, {what}\n{both}"));
                }
            };
            for suffix in ["nmap", "gnmap", "xml"] {
                compare(suffix, &comparable(&expected.read(suffix)), &comparable(&observed.read(suffix)));
            }
            if !words.contains("-v") {
                compare("terminal", &comparable(&expected_print), &comparable(&observed_print));
            }
            compare("libnmap", &libnmap(&expected_xml), &libnmap(&observed_xml));
            compare("ndiff", "Some(0)", &format!("{:?}", ndiff(&expected_xml, &observed_xml)));
            validate(&observed_xml);
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// The text without the parts that differ from run to run: times, durations, command line; and without those that
/// scanlab does not write, see `report::nmap`.
fn comparable(text: &str) -> String {
    const NOT_SAID: [&str; 4] =
        ["<times ", "<?xml-stylesheet ", "Some closed ports may be reported as filtered", "<!-- "];
    const OF_ONE_RUN: [&str; 8] = ["args", "start", "startstr", "time", "timestr", "summary", "elapsed", "starttime"];
    let lines = text.lines().filter(|line| !NOT_SAID.iter().any(|start| line.starts_with(start)));
    let mut kept: Vec<String> = lines.map(without_times).collect();
    for attribute in OF_ONE_RUN.iter().chain(&["endtime"]) {
        for line in &mut kept {
            *line = without_value(line, attribute);
        }
    }
    kept.join("\n")
}

fn without_times(line: &str) -> String {
    for start in [
        "Starting ",
        "# Nmap 7.93 scan initiated ",
        "# Nmap done at ",
        "Nmap done: ",
        "Scanned at ",
        "Read data files from: ",
    ] {
        if line.starts_with(start) {
            return start.to_owned();
        }
    }
    match (line.starts_with("Host is up"), line.find(" (")) {
        (true, Some(latency)) => format!("{}.", &line[..latency]),
        _ => line.to_owned(),
    }
}

fn without_value(line: &str, attribute: &str) -> String {
    let start = format!(" {attribute}=\"");
    let Some((before, rest)) = line.split_once(&start) else { return line.to_owned() };
    let (_, after) = rest.split_once('"').expect("a closing quote");
    format!("{before}{start}\"{after}")
}

/// If the masked comparison accepted any text, it would prove nothing.
#[test]
fn a_difference_is_seen() {
    let xml = "<host starttime=\"1\" endtime=\"2\"><status state=\"up\" reason=\"arp-response\"/>\nHost is up (0.1s latency).";
    for (part, other) in [("up\" ", "down\" "), ("arp", "nd"), ("is up", "is down")] {
        assert_ne!(comparable(xml), comparable(&xml.replace(part, other)));
    }
    assert_eq!(comparable(xml), comparable(&xml.replace("\"1\"", "\"3\"").replace("0.1s", "0.2s")));
}

fn validate(xml: &Path) {
    let output = xmllint(xml);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn xmllint(xml: &Path) -> Output {
    let mut lint = Command::new("xmllint");
    lint.args(["--noout", "--nonet", "--dtdvalid", "/usr/share/nmap/nmap.dtd"]).arg(xml);
    lint.output().expect("run xmllint (hint: .ci/setup installs what the tests run)")
}

/// The exit status of ndiff: 0 without a difference, 1 with differences.
fn ndiff(expected: &Path, observed: &Path) -> Option<i32> {
    let output =
        Command::new("ndiff").arg(expected).arg(observed).output().expect("run ndiff (hint: see .ci/setup tests)");
    output.status.code()
}

/// The content of a report according to python-libnmap.
fn libnmap(xml: &Path) -> String {
    const READ: &str = "
import sys
from libnmap.parser import NmapParser
report = NmapParser.parse_fromfile(sys.argv[1])
print(report.scan_type, report.hosts_up, report.hosts_total, report.version)
for host in report.hosts:
    print(host.address, host.mac, host.status, host.scripts_results, host.extraports_state)
    for service in host.services:
        print(service.port, service.protocol, service.state, service.reason, service.reason_ttl, service.service)
";
    let output = Command::new("/usr/bin/python3").args(["-c", READ]).arg(xml).output().expect("run python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The readers detect errors.
#[test]
fn the_readers_of_nmaps_xml_see_a_fault() {
    let subject = Subject::start();
    let (_, files) = subject.scanlab("-sS -p 22,25", Family::Ipv4);
    let (good, bad) = (files.path("scan.xml"), files.path("bad.xml"));
    let xml = files.read("xml");
    fs::write(&bad, xml.replace("\"syn-ack\"", "\"syn-ack\" bold=\"yes\"")).expect("write");
    assert!(!xmllint(&bad).status.success(), "an attribute that the DTD does not have");
    fs::write(&bad, xml.replace("\"open\"", "\"closed\"")).expect("write");
    assert_eq!((ndiff(&good, &good), ndiff(&good, &bad)), (Some(0), Some(1)));
    assert_ne!(libnmap(&good), libnmap(&bad));
}

/// Needs no root: arguments are checked before a lab is built.
#[test]
fn words_that_cannot_be_kept_to() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), "*filter\n:INPUT DROP [0:0]\nCOMMIT\n").expect("write");
    let mut said = String::new();
    for words in [
        "-sV",
        "-sn",
        "-A",
        "-O",
        "--script default",
        "-iL hosts",
        "-f",
        "-b ftp",
        "--data 00",
        "-oS x",
        "-T 9",
        "-oX",
        "localhost",
        "192.0.2.1",
        "203.0.113.10 -sSX -oX -",
        "-sSX --format grepable",
        "-oX - -oG -",
        "-oX - --format json",
        "-oX no/such/folder/a.xml",
        "-oN .",
        "-oA -",
        "-p U:53",
        "-p S:9",
        "-p no-such-service",
        "-F -p 80",
        "--top-ports 0",
        "-p 22 --exclude-ports 22",
        "--ttl 300",
        "-D ME,203.0.113.70",
        "-sI 203.0.113.70",
        "-sO",
        "-S 198.51.100.7",
        "-4 -6 --rules6 rules.v4 -oX -",
        "--scanflags SYNFOO",
        "-S example.org",
        "-S 2001:db8:113::77",
        "--decoys ME",
        "--listen 0",
        "--listen T:22,U:0",
        "--listen X:22",
        "--host-addr 203.0.113.10/0",
        "--host-addr 203.0.113.255/24",
        "--host-addr 203.0.113.0/24",
        "--prober-addr 203.0.113.255",
        "--prober-addr ::1",
        "--host-addr 0.0.0.1/24 --prober-addr 0.0.0.2",
        "-6 --rules6 rules.v4 --host-addr ::ffff:203.0.113.10/120 --prober-addr ::ffff:203.0.113.66",
    ] {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        scan.args(["scan", "--rules", "rules.v4"]).args(words.split(' ')).env("COLUMNS", "100");
        let output = scan.current_dir(folder.path()).output().expect("run scanlab");
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{words}");
        said.push_str(&format!("$ scanlab scan {words}\n{}\n", String::from_utf8_lossy(&output.stderr)));
    }
    insta::assert_snapshot!(said);
    let left: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["rules.v4"], "a draft is left behind");
}

#[test]
fn nmap_options_without_effect_are_listed_in_one_line() {
    let subject = Subject::start();
    let words = "-n -Pn -T4 --max-retries 1 -PE --min-rate=100 -p 22 -oG - 203.0.113.10";
    let output = subject.run(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let (print, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(talk, "ignored, without effect here: -T4 --max-retries -PE --min-rate\n");
    assert!(print.contains("\tPorts: 22/open/tcp//ssh///\n"), "{print}");
}

#[test]
fn nmap_options_without_effect_on_a_connect_are_reported() {
    let subject = Subject::start();
    let words = "-sT --badsum --scanflags 0 -p 22 -oG - 203.0.113.10";
    let output = subject.run(&words.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(talk, "ignored for -sT: --scanflags --badsum\n");
}

/// `-oG /dev/stdout >> file`: the file exists already, and is not replaced.
#[test]
fn a_redirected_standard_output_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").expect("write");
    let path = folder.path().join("out");
    fs::write(&path, "before\n").expect("write");
    let out = fs::File::options().append(true).open(&path).expect("open");
    let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scan.args(["scan", "--rules", "rules.v4", "-p", "9", "-oG", "/dev/stdout"]).current_dir(folder.path());
    assert!(scan.stdout(out).status().expect("run scanlab").success());
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.starts_with("before\n# Nmap 7.93 scan initiated ") && text.contains("Scan of 203.0.113.10"), "{text}");
}

#[test]
fn a_given_time_makes_a_report_that_can_be_made_again() {
    let subject = Subject::start();
    let run = || {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        scan.args(["scan", "--rules", "rules.v4", "-p", "22-25", "-oX", "-"]).current_dir(subject.folder.path());
        scan.env("SOURCE_DATE_EPOCH", "1795450357").output().expect("run scanlab").stdout
    };
    let (first, second) = (run(), run());
    assert!(String::from_utf8_lossy(&first).contains("startstr=\"Mon Nov 23 16:12:37 2026\""));
    assert_eq!(first, second);
}
