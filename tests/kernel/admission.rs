//! The extensions that a ruleset may use: each admitted one is loaded, and the machine does not change; a refused one
//! is refused before iptables parses it. Needs root.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::binary::{Ended, ended, have_the_machine_alone, share_the_machine};
use scanlab::rules::admission::extension::{MATCHES, REFUSED, REFUSED_OPTIONS, TARGETS};

/// A rule for each extension: families, flavours that have it on every machine (`-` for none), table, rule; `\n`
/// separates rules.
const RULES: &str = include_str!("../cases/admitted.txt");

struct Case<'a> {
    families: &'a str,
    flavours: &'a str,
    table: &'a str,
    rule: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let case = |line: &'static str| {
        let mut words = line.splitn(4, ' ');
        let mut next = || words.next().expect("four parts");
        Case { families: next(), flavours: next(), table: next(), rule: next() }
    };
    RULES.lines().filter(|line| !line.starts_with('#')).map(case).collect()
}

/// The names of the extensions in the rules.
fn names(cases: &[Case], option: &str) -> BTreeSet<String> {
    let words: Vec<&str> = cases.iter().flat_map(|case| case.rule.split([' ', '\\'])).collect();
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].to_owned()).collect()
}

#[test]
fn every_admitted_extension_has_a_rule_that_is_tried() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&cases(), "-m"), set(MATCHES));
    assert_eq!(names(&cases(), "-j"), set(TARGETS));
}

/// The state of the host that an extension could change, without the parts that change on a busy machine.
fn host() -> BTreeSet<String> {
    let mut host = BTreeSet::new();
    for folder in ["/proc/sys/net", "/proc/sys/kernel", "/sys/class/xt_idletimer/timers"] {
        files(Path::new(folder), &mut host);
    }
    for folder in ["/proc/net", "/proc/net/xt_recent", "/proc/net/ipt_hashlimit", "/proc/net/ip6t_hashlimit"] {
        host.extend(
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().display().to_string()),
        );
    }
    for file in ["/proc/modules", "/proc/net/netfilter/nf_log", "/proc/net/netfilter/nfnetlink_queue"] {
        host.insert(format!("{file} {}", fs::read_to_string(file).unwrap_or_default()));
    }
    for program in ["iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"] {
        let printed = Command::new(program).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let lines = String::from_utf8_lossy(&printed.stdout).into_owned();
        host.extend(lines.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{program} {line}")));
    }
    host
}

/// Files with their content. Reading has effects below /sys (`zram-control/hot_add` creates a device), so only the
/// timers are read there. Another lab may change `nf_log_all_netns` at any time; the other exceptions change by
/// themselves.
fn files(folder: &Path, found: &mut BTreeSet<String>) {
    const RESTLESS: [&str; 8] =
        ["random", "nf_log_all_netns", "ns_last_pid", "nf_conntrack_count", "pty", "neigh", "conf", "seccomp"];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if RESTLESS.iter().any(|restless| name.to_str() == Some(restless)) {
            continue;
        }
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => files(&path, found),
            false => drop(found.insert(format!("{} {:?}", path.display(), fs::read(&path).ok()))),
        }
    }
}

/// Lines of the kernel's log about an extension. Labs of other programs log packets.
fn log() -> Vec<String> {
    let printed = Command::new("dmesg").output().expect("dmesg");
    let lines = String::from_utf8_lossy(&printed.stdout).into_owned();
    let of_packet = |line: &&str| line.contains(" SRC=") || line.contains("MAC=");
    lines.lines().filter(|line| !of_packet(line)).map(str::to_owned).collect()
}

/// Loads the rule in a network namespace of its own, and reads the state of the host meanwhile.
fn loaded(program: &str, case: &Case<'_>) -> Result<BTreeSet<String>, String> {
    let script = format!(
        "ip link set lo up; echo 1 > /proc/sys/net/netfilter/nf_conntrack_acct; {program} && echo loaded && exec sleep 60"
    );
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", &script]).env("XTABLES_LOCKFILE", "/dev/null");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unshare");
    let text = format!("*{}\n{}\nCOMMIT\n", case.table, case.rule.replace("\\n", "\n"));
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("write the rule");
    let mut answer = [0; 7];
    let is_loaded = child.stdout.take().expect("a pipe").read_exact(&mut answer).is_ok();
    let seen = is_loaded.then(host);
    let _ = child.kill();
    let output = child.wait_with_output().expect("it ends");
    seen.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn programs(case: &Case<'_>) -> Vec<String> {
    let family = |digit: char| if digit == '4' { "iptables" } else { "ip6tables" };
    let flavours: Vec<&str> = case.flavours.split(',').filter(|flavour| *flavour != "-").collect();
    case.families
        .chars()
        .flat_map(|digit| flavours.iter().map(move |flavour| format!("{}-{flavour}-restore", family(digit))))
        .collect()
}

fn scan(rules: &str, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), rules).expect("write the rules");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["scan", "-p", "80", "--rules", "rules.v4"]).args(more).current_dir(folder.path());
    ended(command.output().expect("the program starts"))
}

#[test]
fn an_excessive_ruleset_is_refused_at_its_line_within_seconds() {
    let _machine = share_the_machine();
    let before = log();
    let chains: String = (0..10).map(|at| format!(":c{at} - [0:0]\n")).collect();
    let jumps: String = (1..10).map(|at| format!("-A c{} -p tcp -j c{at}\n", at - 1).repeat(10)).collect();
    let hashlimit: String = (0..40)
        .map(|at| {
            format!(
                "-A INPUT -m hashlimit --hashlimit-upto 1/s --hashlimit-name h{at} --hashlimit-htable-size 1048576\n"
            )
        })
        .collect();
    for (rules, said) in [
        (format!("{chains}{jumps}-A INPUT -j c0\n"), "is entered up to 1000000000 times by one packet"),
        (hashlimit, "MiB of kernel memory"),
        ("-A INPUT -j IDLETIMER --timeout 9 --label x\n".to_owned(), "-j IDLETIMER is refused"),
        ("-A INPUT -p tcp -j CT --timeout \"OOM-killer: x\"\n".to_owned(), "--timeout of CT is refused"),
        ("-A INPUT -m cgroup --path /x\n".to_owned(), "--path of cgroup is refused"),
        ("-A INPUT -s example.org -j DROP\n".to_owned(), "names of hosts and networks are refused"),
    ] {
        for flavour in ["nft", "legacy"] {
            let start = Instant::now();
            let ended = scan(&format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n"), &["--iptables", flavour]);
            assert_eq!(ended.status, Some(2), "{said}: {}", ended.stderr);
            assert!(ended.stderr.contains(said) && ended.stderr.contains(" --> rules.v4:"), "{}", ended.stderr);
            assert!(start.elapsed() < Duration::from_secs(10), "{said}");
        }
    }
    let written = |line: &&String| !before.contains(*line) && (line.contains("OOM") || line.contains("xt_"));
    assert_eq!(log().iter().find(written), None);
}

fn new_lines(before: &[u8], after: &[u8]) -> Vec<String> {
    let before: BTreeSet<&[u8]> = before.split(|byte| *byte == b'\n').collect();
    let new = after.split(|byte| *byte == b'\n').filter(|line| !before.contains(line));
    new.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[test]
fn a_trusted_large_ruleset_is_loaded_when_asked_for() {
    let _machine = share_the_machine();
    let rules = "-A INPUT -p tcp --dport 1 -m string --algo bm --string x -j DROP\n".repeat(3_000);
    let rules = format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n");
    let refused = scan(&rules, &[]);
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow-large"), "{}", refused.stderr);
    let loaded = scan(&rules, &["--allow-large"]);
    assert_eq!(loaded.status, Some(0), "{}", loaded.stderr);
}

#[test]
fn the_table_of_the_manual_names_what_is_admitted_and_what_is_refused() {
    let page = fs::read_to_string("docs/limits.md").expect("docs/limits.md");
    let row = |first: &str| {
        let line =
            page.lines().find(|line| line.starts_with(&format!("| {first} |"))).unwrap_or_else(|| panic!("{first}"));
        let names = line.split('|').nth(2).expect("a cell").split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(row("matches, admitted"), set(MATCHES));
    assert_eq!(row("targets, admitted"), set(TARGETS));
    for (name, reason) in REFUSED {
        assert!(page.contains(&format!("| refused | `{name}` | {reason} |")), "{name}");
    }
    for (name, option, _, reason) in REFUSED_OPTIONS {
        assert!(page.contains(&format!("| refused | `{name} --{option}` | {reason} |")), "{name}");
    }
    let refused = page.lines().filter(|line| line.starts_with("| refused |")).count();
    assert_eq!(refused, REFUSED.len() + REFUSED_OPTIONS.len());
}

mod alone {
    use super::*;

    #[test]
    fn an_admitted_extension_changes_nothing_on_the_host() {
        let _machine = have_the_machine_alone();
        let (before, logged) = (host(), log());
        for case in &cases() {
            for program in programs(case) {
                let during = loaded(&program, case).unwrap_or_else(|error| panic!("{program}: {}: {error}", case.rule));
                let changed: Vec<&String> = during.symmetric_difference(&before).collect();
                assert!(changed.is_empty(), "{program}: {}: {changed:?}", case.rule);
            }
        }
        let new: Vec<String> = log().into_iter().filter(|line| !logged.contains(line)).collect();
        assert!(new.is_empty(), "{new:?}");
    }

    /// A rule for each extension that may be used without other rules, loaded by the program itself: a probe passes all
    /// of them.
    #[test]
    fn a_run_that_reads_nflog_writes_nothing_to_the_log_of_the_machine() {
        let _machine = have_the_machine_alone();
        let rules = |case: &Case<'_>| {
            case.table == "filter" && case.rule.starts_with("-A INPUT") && case.families.contains('4')
        };
        let rules: Vec<String> = cases()
            .iter()
            .filter(|case| rules(case))
            .filter(|case| case.flavours == "nft,legacy")
            .map(|case| case.rule.replace("\\n", "\n").replace("-j DROP", "-j LOG"))
            .collect();
        let text = format!("*filter\n-A INPUT -j LOG --log-prefix \"scanlab-test \"\n{}\nCOMMIT\n", rules.join("\n"));
        assert!(text.contains("connbytes") && text.contains("-j LOG\n"));
        for flavour in ["nft", "legacy"] {
            let before = Command::new("dmesg").output().expect("dmesg").stdout;
            let ended = scan(&text, &["--iptables", flavour, "--capture", "nflog", "-sS"]);
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            let after = Command::new("dmesg").output().expect("dmesg").stdout;
            assert_eq!(new_lines(&before, &after), Vec::<String>::new(), "{flavour}");
        }
    }
}
