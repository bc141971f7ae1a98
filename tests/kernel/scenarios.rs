//! Every committed scenario ends as expected, and always with the same output, alone or beside others. Needs root.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::binary::{HARDENED, command, ended, run, run_files, share_the_machine};
use nix::sched::{CloneFlags, unshare};
use scanlab::intent::scenario::Scenario;
use scanlab::rules::generate;

fn assert_green(arguments: &[&str]) {
    let ended = run(arguments);
    assert_eq!(ended.status, Some(0), "{arguments:?}: {}\n{:?}", ended.stderr, ended.not_matched());
    let summary = &ended.report()["summary"];
    assert_eq!((&summary["not_run"], &summary["mismatched"]), (&0.into(), &0.into()), "{arguments:?}");
}

#[test]
fn every_scenario_ends_with_0() {
    let _machine = share_the_machine();
    let files = scenarios(Path::new("scenarios"));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        assert_green(&[file.to_str().expect("UTF-8")]);
    }
}

#[test]
fn the_built_in_scenarios_end_with_0() {
    let _machine = share_the_machine();
    assert_green(&[]);
}

#[test]
fn the_hardened_sensor_is_the_same_to_legacy() {
    let _machine = share_the_machine();
    assert_green(&[HARDENED, "--iptables", "legacy"]);
}

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = entries.flat_map(|path| if path.is_dir() { scenarios(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

#[test]
fn two_runs_say_the_same_with_any_number_of_jobs() {
    let _machine = share_the_machine();
    let once = run(&["scenarios"]);
    assert!(once.stdout.starts_with('{'), "{}", once.stderr);
    for jobs in ["1", "1", "8", "256"] {
        assert_eq!(run(&["scenarios", "--jobs", jobs]).stdout, once.stdout, "--jobs {jobs}");
    }
}

#[test]
fn eight_runs_at_once_say_what_one_says_alone() {
    let _machine = share_the_machine();
    let alone = run(&[HARDENED]);
    let start = |_| command(&[HARDENED]).spawn().expect("the program starts");
    let together: Vec<_> = (0..8).map(start).collect();
    // The output of each has to be read while it runs.
    let readers: Vec<_> = together
        .into_iter()
        .map(|run| thread::spawn(move || ended(run.wait_with_output().expect("it ends"))))
        .collect();
    for reader in readers {
        let ended = reader.join().expect("a reader");
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, alone.stdout);
    }
}

/// Any program that may write to `/dev/kmsg` can write a line that looks like a LOG rule's.
#[test]
fn lookalike_lines_of_a_program_change_nothing() {
    let _machine = share_the_machine();
    let quiet = run(&[HARDENED]);
    let report = quiet.report();
    let lines: Vec<String> = report["probes"].as_array().expect("probes").iter().filter_map(first_line).collect();
    assert!(lines.len() > 50, "{} lines", lines.len());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for line in lines.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                // Opened again for each line: the kernel limits the rate for each open file.
                let mut kmsg = OpenOptions::new().write(true).open("/dev/kmsg").expect("open /dev/kmsg");
                kmsg.write_all(format!("<4>{line}").as_bytes()).expect("write to /dev/kmsg");
                thread::sleep(Duration::from_micros(500));
            }
        });
        let noisy: Vec<_> = (0..3).map(|_| run(&[HARDENED])).collect();
        done.store(true, Ordering::Relaxed);
        for ended in noisy {
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            assert_eq!(ended.stdout, quiet.stdout);
        }
    });
}

fn first_line(probe: &serde_json::Value) -> Option<String> {
    probe["log"][0]["line"].as_str().map(str::to_owned)
}

const ARTICLE: &str = "scenarios/article-order.toml";

/// Networks of the administrators: distant ones only; and the prober's own network with distant ones.
const FAR: &str = r#"ssh_from = ["192.0.2.0/24", "2001:db8:aaaa::/48"]"#;
const NEAR: &str = r#"ssh_from = ["203.0.113.0/24", "198.51.100.7", "2001:db8:113::/64", "2001:db8:aaaa::/48"]"#;

fn managed_from(scenario: &str, whence: &str) -> String {
    let text = fs::read_to_string(scenario).expect("a scenario");
    text.replace("ssh      = 32232\n", &format!("ssh = 32232\n{whence}\n"))
}

/// In parallel: a run mostly waits for the kernel.
#[test]
fn ssh_is_let_in_from_its_networks_only() {
    let _machine = share_the_machine();
    let green = |scenario: &str, whence: &str, flavour: &str| {
        let text = managed_from(scenario, whence);
        let ended = run_files(&[("from.toml", &text)], &["--iptables", flavour]);
        assert_eq!(ended.status, Some(0), "{scenario} {whence} {flavour}: {:?}", ended.not_matched());
        let asked = ended.packets();
        assert!(asked.contains("ipv6 tcp SYN to 32232 from 2001:db8:aaab::"), "{asked:?}");
    };
    thread::scope(|scope| {
        for (scenario, whence) in [(HARDENED, FAR), (ARTICLE, NEAR)] {
            for flavour in ["nft", "legacy"] {
                scope.spawn(move || green(scenario, whence, flavour));
            }
        }
    });
}

/// Each fault in the rule of IPv4, and the checks that notice it. In parallel, too.
#[test]
fn rules_that_let_in_ssh_from_elsewhere_are_not_as_expected() {
    let _machine = share_the_machine();
    let text = managed_from(HARDENED, FAR);
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    fs::write(file.path(), &text).expect("write the scenario");
    let right = generate::generate(&Scenario::load(file.path()).expect("a scenario").sensor.expect("a sensor"));
    let with_rules = text.replace("[host]", "[ruleset]\nv4 = \"v4\"\nv6 = \"v6\"\n[host]");
    let prober = ["ipv4 syn 32232", "ipv4 connect 32232"];
    let beside = ["ipv4 tcp SYN to 32232 from 192.0.1.254", "ipv4 tcp SYN to 32232 from 192.0.3.1"];
    let inside = ["ipv4 tcp SYN to 32232 from 192.0.2.1", "ipv4 tcp SYN to 32232 from 192.0.2.254"];
    let connected = ["ACK", "PSH,ACK"].map(|flags| format!("ipv4 tcp {flags} to 32232 from 192.0.2.1 established"));
    let connected = [connected[0].as_str(), connected[1].as_str()];
    let faults = [
        ("everybody", "", [prober, beside].concat()),
        ("another network", "-s 198.51.100.0/24 ", [inside, connected].concat()),
        ("a network twice as large", "-s 192.0.2.0/23 ", vec![beside[1]]),
        ("half of the network", "-s 192.0.2.0/25 ", vec![inside[1]]),
    ];
    let is_seen = |of: &str, planted: &str, seen: &[&str]| {
        let faulty = right.v4.replace("-s 192.0.2.0/24 ", planted);
        assert_ne!(faulty, right.v4, "the planted fault changes nothing");
        let ended = run_files(&[("from.toml", &with_rules), ("v4", &faulty), ("v6", &right.v6)], &[]);
        let seen = seen.iter().map(|check| (*check).to_owned()).collect();
        assert_eq!((ended.status, ended.not_matched()), (Some(1), seen), "{of}: {}", ended.stderr);
    };
    thread::scope(|scope| {
        for (of, planted, seen) in &faults {
            scope.spawn(|| is_seen(of, planted, seen));
        }
    });
}

#[test]
fn deny_tcp_leaves_loopback_and_neighbours_alive() {
    assert_alive("tcp");
}

#[test]
fn deny_all_leaves_loopback_and_neighbours_alive() {
    assert_alive("all");
}

fn assert_alive(deny: &str) {
    let _machine = share_the_machine();
    let text = fs::read_to_string(HARDENED).expect("a scenario");
    let text = text.replace("deny     = \"tcp\"", &format!("deny = \"{deny}\""));
    assert!(text.contains(&format!("deny = \"{deny}\"")));
    let ended = run_files(&[("deny.toml", &text)], &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let report = ended.report();
    let mut checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    let ndp = checks.find(|check| check["scan"] == "ndp").expect("a check of NDP");
    assert_eq!(ndp["observed"]["resolves"], true);
    assert_loopback_lives(&text);
}

/// Loads the rules of the scenario's sensor in a namespace of its own, and connects to itself there.
fn assert_loopback_lives(scenario: &str) {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.toml");
    fs::write(&path, scenario).expect("write the scenario");
    let sensor = Scenario::load(&path).expect("a scenario").sensor.expect("a sensor");
    let generated = generate::generate(&sensor);
    let host = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (hint: this test needs root)");
        feed(&["ip", "link", "set", "lo", "up"], "");
        feed(&["iptables-restore"], &generated.v4);
        feed(&["ip6tables-restore"], &generated.v6);
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let listener = TcpListener::bind(SocketAddr::new(address, 0)).expect("listen on loopback");
            let to = listener.local_addr().expect("an address");
            let connected = TcpStream::connect_timeout(&to, Duration::from_secs(3));
            connected.unwrap_or_else(|error| panic!("loopback is dead at {to}: {error}"));
        }
    });
    host.join().expect("loopback lives");
}

fn feed(words: &[&str], input: &str) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("XTABLES_LOCKFILE", "/dev/null").stdin(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("write the input");
    assert!(child.wait().expect("it ends").success(), "{words:?}");
}
