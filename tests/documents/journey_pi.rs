//! The work of a user with a Raspberry Pi who is about to deploy a ruleset: one story with the built program, and every
//! fault in it with the answer that turns red. Needs root, like all tests with the real kernel.

use crate::support::binary;
use crate::support::machine;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A prefix that no other test has, since the kernel's log is shared.
const SENSOR: &str = r#"
[sensor]
ssh      = 32232
honeypot = { SSH = 22 }
watched  = { HTTP = 80, ADB = 5555 }
prefix   = "<PRE> "
[host]
mac    = "00:0c:29:4f:8e:35"
vendor = "VMware"
"#;

const LINK: &str = "[Match]\nOriginalName=eth0\n[Link]\nMACAddress=00:0c:29:4f:8e:35\nNamePolicy=kernel\n";

/// A folder with the sensor and the rules that scanlab generates for it.
struct Desk {
    folder: tempfile::TempDir,
}

#[derive(Clone)]
struct Said {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Desk {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root (hint: see .ci/setup tests)");
        let desk = Desk { folder: tempfile::tempdir().expect("a folder") };
        desk.write("sensor.toml", SENSOR);
        desk.write("00-mac.link", LINK);
        assert_eq!(desk.scanlab(&["generate", "sensor.toml", "-o", "."]).status, Some(0));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file");
    }

    /// The generated file, changed line by line, under another name.
    fn changed(&self, from: &str, to: &str, change: impl Fn(&str) -> Option<String>) {
        let text = fs::read_to_string(self.path(from)).expect("a generated file");
        let lines: Vec<String> = text.lines().filter_map(change).collect();
        assert_ne!(lines.join("\n"), text.trim_end(), "the planted fault changes nothing");
        self.write(to, &(lines.join("\n") + "\n"));
    }

    fn scanlab(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(arguments).current_dir(self.folder.path()).env("COLUMNS", "80").env_remove("SSH_CONNECTION");
        said(&mut command)
    }

    fn check(&self, arguments: &[&str]) -> Said {
        self.scanlab(&[&["check", "--sensor", "sensor.toml"], arguments].concat())
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Said {
    /// The questions whose answers are reasons not to deploy: first those of the problems, in order.
    fn red(&self) -> Vec<String> {
        let mut red: Vec<String> = Vec::new();
        for line in self.stdout.lines() {
            let heading = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
            let rest = || Some(line).filter(|line| !line.starts_with(' ') && line.contains(" (see "));
            let asked = heading.map(|(_, question)| question).or_else(rest).and_then(|line| line.split_once('?'));
            red.extend(asked.map(|(question, _)| question.to_owned()).filter(|question| !red.contains(question)));
        }
        red
    }

    fn verdict(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default()
    }

    /// All words in one line, independent of the line breaks.
    fn words(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

const LOCKED_OUT: &str = "Will I be locked out";
const LINES: &str = "Will scans be logged";
const DISGUISE: &str = "Can it be identified as a Raspberry Pi";
const UNASKED: &str = "Is anything open that should not be";
const OTHERS: &str = "Does anything else differ from the sensor file";

const GOOD: [&str; 4] = ["--rules", "rules.v4", "--rules6", "rules.v6"];

/// The options for both families, since either may have the fault.
fn with_rules<'a>(v4: &'a str, v6: &'a str) -> [&'a str; 4] {
    ["--rules", v4, "--rules6", v6]
}

/// Two checks at a time: a check mostly waits for the kernel.
#[test]
fn every_planted_fault_turns_its_answer_red() {
    let _machine = binary::share_the_machine();
    let desk = Desk::new();
    let without = |what: &'static str| move |line: &str| (!line.contains(what)).then(|| line.to_owned());
    let first_rules = |rules: &'static str| {
        move |line: &str| {
            let first = if line.starts_with(":OUTPUT") { rules } else { "" };
            Some(format!("{line}{first}"))
        }
    };
    desk.changed("rules.v4", "no-ssh.v4", without("--dport 32232"));
    for family in ["v4", "v6"] {
        desk.changed(&format!("rules.{family}"), &format!("dies.{family}"), without("ESTABLISHED"));
    }
    // The first connection can still be opened: only open ones are cut.
    const KILLS: &str =
        "\n-A INPUT -p tcp --tcp-flags SYN NONE -m conntrack --ctstate ESTABLISHED --ctstatus ASSURED -j DROP";
    desk.changed("rules.v4", "kills.v4", first_rules(KILLS));
    desk.changed("rules.v4", "no-xmas.v4", without("Xmas scan"));
    desk.changed("rules.v6", "open.v6", first_rules("\n-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT"));
    // Three connections a minute for all addresses together; and the same for each address.
    for (name, limit) in [
        ("limit", "-m limit --limit 3/min --limit-burst 3"),
        (
            "hashlimit",
            "-m hashlimit --hashlimit-upto 3/min --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name ssh",
        ),
    ] {
        desk.changed("rules.v4", &format!("{name}.v4"), |line| {
            let at = if line.contains("--dport 32232") { "-j ACCEPT" } else { "\n" };
            Some(line.replace(at, &format!("{limit} {at}")))
        });
    }
    // Rules that depend on the date: one matches from 2020, the other until 2020.
    desk.changed("rules.v4", "today.v4", |line| {
        let is_ssh = line.contains("--dport 32232");
        Some(if is_ssh { line.replace("-j ACCEPT", "-m time --datestart 2020-01-01 -j ACCEPT") } else { line.into() })
    });
    desk.changed(
        "rules.v4",
        "once.v4",
        first_rules("\n-A INPUT -p tcp --dport 8080 -m time --datestop 2020-01-01 -j ACCEPT"),
    );
    desk.changed("rules.v4", "redirected.v4", |line| {
        let nat = "\n*nat\n-A PREROUTING -p tcp -m tcp --dport 32232 -j REDIRECT --to-ports 22\nCOMMIT";
        Some(format!("{line}{}", if line == "COMMIT" { nat } else { "" }))
    });
    desk.write("all.toml", &SENSOR.replace("prefix", "deny = \"all\"\nprefix"));
    desk.write(
        "all.v4",
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p icmp -j ACCEPT\nCOMMIT\n",
    );

    let checks: Vec<Vec<&str>> = vec![
        with_rules("no-ssh.v4", "rules.v6").to_vec(),
        [&with_rules("dies.v4", "dies.v6")[..], &["--iptables", "nft"]].concat(),
        [&with_rules("dies.v4", "dies.v6")[..], &["--iptables", "legacy"]].concat(),
        with_rules("kills.v4", "rules.v6").to_vec(),
        vec!["--rules", "rules.v4"],
        with_rules("no-xmas.v4", "rules.v6").to_vec(),
        [&with_rules("rules.v4", "open.v6")[..], &["--format", "json"]].concat(),
        with_rules("limit.v4", "rules.v6").to_vec(),
        [&with_rules("hashlimit.v4", "rules.v6")[..], &["-v"]].concat(),
        with_rules("redirected.v4", "rules.v6").to_vec(),
        with_rules("today.v4", "rules.v6").to_vec(),
        with_rules("once.v4", "rules.v6").to_vec(),
    ];
    let (found, deny_all) = std::thread::scope(|scope| {
        let (some, others) = checks.split_at(6);
        let all = |checks: &[Vec<&str>]| checks.iter().map(|arguments| desk.check(arguments)).collect::<Vec<_>>();
        let some = scope.spawn(move || all(some));
        let others = all(others);
        let deny_all = desk.scanlab(&["check", "--sensor", "all.toml", "--rules", "all.v4"]);
        ([some.join().expect("checks"), others].concat(), deny_all)
    });
    let found: [Said; 12] = found.try_into().unwrap_or_else(|_| panic!("one for each"));
    let [no_ssh, dies_nft, dies_legacy, kills, only_v4, no_xmas, open, limit, hashlimit, redirected, today, once] =
        found;

    assert_eq!(
        (no_ssh.status, no_ssh.red()),
        (Some(1), vec![LOCKED_OUT.to_owned(), OTHERS.to_owned()]),
        "{}",
        no_ssh.stdout
    );
    let words = no_ssh.words();
    assert!(words.contains("a new SSH connection to port 32232 gets no answer, over IPv4"), "{words}");
    assert!(words.contains("rule no-ssh.v4:24: -A INPUT -p tcp -j DROP"), "{words}");
    assert_eq!(no_ssh.verdict(), "DO NOT DEPLOY: 1 reason");

    for found in [dies_nft, dies_legacy] {
        assert_eq!(found.red()[0], LOCKED_OUT, "{}", found.stdout);
        for fact in
            ["a connection to port 32232 that is open while the rules are loaded is cut (IPv4)", "rule dies.v4:15:"]
        {
            assert!(found.words().contains(fact), "{fact}: {}", found.stdout);
        }
    }
    assert_eq!((kills.status, kills.red()[0].as_str()), (Some(1), LOCKED_OUT), "{}", kills.stdout);
    for fact in
        ["open while the rules are loaded is cut (IPv4)", "rule kills.v4:7: -A INPUT -p tcp --tcp-flags SYN NONE"]
    {
        assert!(kills.words().contains(fact), "{fact}: {}", kills.stdout);
    }

    assert_eq!(only_v4.red(), [UNASKED, LINES], "{}", only_v4.stdout);
    assert!(only_v4.words().contains("everything, over IPv6: there are no rules for it"), "{}", only_v4.stdout);

    assert_eq!(no_xmas.red(), [LINES], "{}", no_xmas.stdout);
    let line = "Xmas scan: no line at all, but the sensor file asks for one (IPv4)";
    assert!(no_xmas.words().contains(line), "{}", no_xmas.stdout);

    let report: Value = serde_json::from_str(&open.stdout).unwrap_or_else(|_| panic!("JSON: {}", open.stderr));
    let first = &report["answers"][0];
    assert_eq!((first["question"].as_str(), first["tone"].as_str()), (Some("unasked"), Some("bad")), "{first}");
    assert!(first["facts"][0]["text"].as_str().expect("a text").starts_with("TCP port 8080 over IPv6"), "{first}");
    assert_eq!(open.status, Some(1));
    assert!(report["findings"].is_object(), "what programs read has all that it had");

    assert_eq!((limit.status, limit.red()), (Some(1), vec![LOCKED_OUT.to_owned()]), "{}", limit.stdout);
    let everybody = "does not open, and all clients share the limit: a stranger who keeps connecting keeps you out";
    assert!(limit.words().contains(everybody), "{}", limit.stdout);
    assert_eq!(hashlimit.status, Some(0), "{}", hashlimit.stdout);
    let each =
        "limited over IPv4: after 3 in a row the next does not open, and you have to wait (each address separately; ";
    assert!(hashlimit.words().contains(each), "{}", hashlimit.stdout);

    let words = redirected.words();
    assert!(words.contains("32232 is refused, over IPv4") && words.contains("--dport 32232 -j REDIRECT"), "{words}");

    assert_eq!((today.status, today.red()), (Some(1), vec![LOCKED_OUT.to_owned()]), "{}", today.stdout);
    let then =
        "gets no answer, over IPv4 (from 203.0.113.66) (while today.v4:17 does not apply: -m time) rule today.v4:25";
    assert!(today.words().contains(then), "{}", today.stdout);
    assert_eq!((once.status, once.red()), (Some(1), vec![UNASKED.to_owned()]), "{}", once.stdout);
    let then = "TCP port 8080 over IPv4: accepted, but the sensor serves nothing there (while once.v4:";
    assert!(once.words().contains(then) && once.words().contains("applies: -m time)"), "{}", once.stdout);

    let words = deny_all.words();
    assert!(words.contains("other protocols over IPv4: ping accepted, but the sensor denies all"), "{words}");
    assert!(words.contains("other protocols over IPv6: ping, GRE, ESP accepted, but the sensor denies all"), "{words}");
}

/// The answers about SSH hold for every source: for the administrator on another network, and for all others.
#[test]
fn ssh_from_is_checked_for_each_source() {
    let _machine = binary::share_the_machine();
    let desk = Desk::new();
    let from = |networks: &str| SENSOR.replace("32232\n", &format!("32232\nssh_from = {networks}\n"));
    desk.write("far.toml", &from("[\"192.0.2.0/24\", \"2001:db8:aaaa::/48\"]"));
    desk.write("far-v4.toml", &from("\"192.0.2.0/24\""));
    desk.write("near.toml", &from("[\"203.0.113.0/24\", \"2001:db8:113::/64\"]"));
    assert_eq!(desk.scanlab(&["generate", "far-v4.toml", "-o", "far-v4"]).status, Some(0));
    let restricted = with_rules("far-v4/rules.v4", "far-v4/rules.v6");
    let check = |sensor: &str, rest: &[&str]| desk.scanlab(&[&["check", "--sensor", sensor], rest].concat());
    // Two at a time, as above.
    let ((far, outside), (v4, open, unsaid)) = std::thread::scope(|scope| {
        let some = scope.spawn(|| (check("far.toml", &["-v"]), check("far.toml", &["--admin", "198.51.100.7"])));
        let others = (
            check("far-v4.toml", &[&restricted[..], &["-v"]].concat()),
            check("near.toml", &[&GOOD[..], &["-v"]].concat()),
            check("sensor.toml", &[&restricted[..], &["--admin", "192.0.2.7"]].concat()),
        );
        (some.join().expect("checks"), others)
    });

    assert_eq!(far.status, Some(0), "{}{}", far.stdout, far.stderr);
    for fact in [
        "a new SSH connection to port 32232 opens, over IPv4 and IPv6 (from 192.0.2.1 and 2001:db8:aaaa::1)",
        "open while the rules are loaded stays open (IPv4 and IPv6, on a machine that had such rules before)",
        "22 open; 1006 others filtered (IPv4 and IPv6)",
        "over IPv4 seen from 203.0.113.66, which `ssh_from` does not name",
        "SSH (port 32232): only addresses in `ssh_from` are accepted; 8 others were tested",
    ] {
        assert!(far.words().contains(fact), "{fact}: {}", far.stdout);
    }

    assert_eq!(
        (outside.status, outside.red()),
        (Some(1), vec![LOCKED_OUT.to_owned()]),
        "{}{}",
        outside.stdout,
        outside.stderr
    );
    let told = "you log in from 198.51.100.7, but the sensor file does not accept SSH from there: its `ssh_from` names \
                192.0.2.0/24 only";
    assert!(outside.words().contains(told), "{}", outside.stdout);
    assert!(outside.words().contains("gets no answer, over IPv4 (from 198.51.100.7)"), "{}", outside.stdout);

    assert_eq!(v4.status, Some(0), "{}{}", v4.stdout, v4.stderr);
    for fact in [
        "Will I be locked out? No. note SSH is reached over IPv4 only: `ssh_from` names no IPv6 network",
        "opens, over IPv4 (from 192.0.2.1)",
    ] {
        assert!(v4.words().contains(fact), "{fact}: {}", v4.stdout);
    }

    // The prober is in the allowed network: its results do not show that all others can connect, too.
    assert_eq!(open.red(), [UNASKED, OTHERS], "{}{}", open.stdout, open.stderr);
    assert_eq!(open.status, Some(1), "{}", open.stdout);
    let told = "SSH (port 32232) accepts 198.51.100.77, 203.0.112.254, 203.0.114.1,";
    assert!(open.words().contains(told), "{}", open.stdout);
    let seen = "over IPv4 seen from 203.0.113.66, which `ssh_from` names ok over IPv6";
    assert!(open.words().contains(seen), "{}", open.stdout);

    assert_eq!(unsaid.red(), [LOCKED_OUT, OTHERS], "{}{}", unsaid.stdout, unsaid.stderr);
    let way_out = "fix if the rules are right, set `ssh_from = [\"192.0.2.0/24\"]` in the sensor file";
    assert!(unsaid.words().contains(way_out), "{}", unsaid.stdout);
}

#[test]
fn traces_of_the_pi_vendor_are_reported() {
    let _machine = binary::share_the_machine();
    let desk = Desk::new();
    desk.write("pi.link", &LINK.replace("00:0c:29:4f:8e:35", "b8:27:eb:12:34:56").replace("OriginalName=eth0\n", ""));
    desk.write("eui.toml", &format!("{SENSOR}addresses = {{ v6 = \"2001:db8:113::ba27:ebff:fe12:3456/64\" }}\n"));
    let found = desk.scanlab(&[&["check", "--sensor", "eui.toml", "--link", "pi.link"], &GOOD[..]].concat());
    let words = found.words();
    for fact in [
        "the MAC address b8:27:eb:12:34:56 identifies a Raspberry Pi",
        "the IPv6 address 2001:db8:113:0:ba27:ebff:fe12:3456 is derived from the MAC address b8:27:eb:12:34:56",
        "pi.link: [Match] has no valid condition: depending on its version, systemd applies the file to every interface or to none",
    ] {
        assert!(words.contains(fact), "{fact}: {}", found.stdout);
    }
    assert_eq!((found.status, found.red()[0].as_str()), (Some(1), DISGUISE), "{}", found.stdout);
    // The article's own file as printed today: the section headers are missing.
    desk.write("lost.link", "MACAddress=00:0c:29:4f:8e:35\nNamePolicy=kernel database onboard slot path\n");
    let found = desk.check(&["--link", "lost.link"]);
    assert_eq!(found.status, Some(2));
    assert!(found.stderr.contains("this MACAddress= is in no section"), "{}", found.stderr);
    assert!(found.stderr.contains("lost.link:1:1"), "{}", found.stderr);
}

/// A Pi that is none: a network namespace with its own rules, address and SSH configuration. It prints its state, checks
/// itself, and prints its state again.
const PI: &str = r#"
set -e
mount --bind ssh /etc/ssh
if [ -e network ]; then mount -t tmpfs none /run; mkdir -p /run/systemd; ln -s "$PWD/network" /run/systemd/network; fi
# Nothing of the kernel's own comes to life between the two looks.
echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
ip link add eth0 type veth peer name cable
ip link set eth0 address b8:27:eb:12:34:56
ip link set lo up; ip link set cable up; ip link set eth0 up
ip address add 192.0.2.10/24 dev eth0
ip -6 address add 2001:db8:5::ba27:ebff:fe12:3456/64 dev eth0 nodad
ip route add default via 192.0.2.1
if [ -e disguised ]; then
    ip link set eth0 address 00:0c:29:4f:8e:35
    ip -6 address flush dev eth0 scope global; ip -6 address add 2001:db8:5::10/64 dev eth0 nodad
fi
if [ -e native.nft ]; then nft -f native.nft; fi
iptables-nft-restore < live.v4
ip6tables-nft-restore < live.v6
if [ -e strict ]; then echo 0 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose; fi
if [ -e legacy.v4 ]; then iptables-legacy-restore < legacy.v4; fi
state() {
    (iptables-nft-save; ip6tables-nft-save) | sed '/^#/d; s, \[.*,,'; nft -s list ruleset
    ip -o link; ip -o address | sed 's/valid_lft.*//'; ip route; ip -6 route; ip rule; ip neighbour show nud permanent
    cat /proc/net/nf_conntrack 2>/dev/null | wc -l
    find /proc/sys/net -type f ! -name '*count*' ! -name netdev_rss_key -exec grep -H . {} + 2>/dev/null | sort
}
state > before
if [ -e unreadable ]; then mount --bind /bin/false "$(command -v nft)"; fi
status=0
"$@" > said 2> talk || status=$?
if [ -e unreadable ]; then umount "$(command -v nft)"; fi
state > after
exit $status
"#;

/// Runs `arguments` on that Pi, which must be unchanged afterwards.
fn on_a_pi(desk: &Desk, arguments: &[&str]) -> Said {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", PI, "sh", env!("CARGO_BIN_EXE_scanlab")]).args(arguments);
    command
        .current_dir(desk.folder.path())
        .env("COLUMNS", "80")
        .env("SSH_CONNECTION", "192.0.2.77 51000 192.0.2.10 32232");
    let outer = said(&mut command);
    let read = |name: &str| fs::read_to_string(desk.path(name)).unwrap_or_else(|_| panic!("no Pi: {}", outer.stderr));
    let (before, after) = (read("before"), read("after"));
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    assert!(before == after, "the machine was changed: {changed:#?}");
    assert!(Path::new(&desk.path("before")).metadata().expect("a file").len() > 1000);
    Said { status: outer.status, stdout: read("said"), stderr: read("talk") }
}

#[test]
fn a_machine_is_checked_as_it_stands_and_stays_as_it_is() {
    let _machine = binary::share_the_machine();
    let desk = Desk::new();
    fs::create_dir(desk.path("ssh")).expect("a folder");
    desk.write("ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nMatch User pi\n  Port 1\n");
    fs::create_dir(desk.path("ssh/sshd_config.d")).expect("a folder");
    desk.write("ssh/sshd_config.d/port.conf", "Port 32232\n");
    fs::copy(desk.path("rules.v4"), desk.path("live.v4")).expect("a copy");
    fs::copy(desk.path("rules.v6"), desk.path("live.v6")).expect("a copy");

    let found = on_a_pi(&desk, &["check", "--sensor", "sensor.toml", "--live", "-v"]);
    let words = found.words();
    for fact in [
        "the SSH server uses port 32232, as in the sensor file",
        "opens, over IPv4 and IPv6 (from 192.0.2.77 and 2001:db8:5:",
        "the MAC address b8:27:eb:12:34:56 identifies a Raspberry Pi",
        "the IPv6 address 2001:db8:5:0:ba27:ebff:fe12:3456 is derived from the MAC address b8:27:eb:12:34:56",
        "DST=192.0.2.10",
    ] {
        assert!(words.contains(fact), "{fact}: {}{}", found.stdout, found.stderr);
    }
    assert_eq!((found.status, found.red()[0].as_str()), (Some(1), DISGUISE), "{}", found.stdout);

    // A sysctl of the machine is set in the lab.
    desk.write("strict", "");
    let found = on_a_pi(&desk, &["check", "--sensor", "sensor.toml", "--live"]);
    let set = "net.netfilter.nf_conntrack_tcp_loose = 0 (this machine; otherwise 1), decides";
    assert!(found.words().contains(set), "{}{}", found.stdout, found.stderr);
    fs::remove_file(desk.path("strict")).expect("a file");

    // Another .link file of the machine comes first, and matches.
    fs::create_dir(desk.path("network")).expect("a folder");
    desk.write("network/00-first.link", "[Match]\nOriginalName=!wlan*\n[Link]\nWakeOnLan=off\n");
    let found =
        on_a_pi(&desk, &[&["check", "--sensor", "sensor.toml", "--live", "--link", "00-mac.link"], &GOOD[..]].concat());
    let fact = "/run/systemd/network/00-first.link sorts before 00-mac.link and matches the interface";
    assert!(found.words().contains(fact), "{}{}", found.stdout, found.stderr);
    fs::remove_dir_all(desk.path("network")).expect("a folder");

    // The rules of a machine that has none yet, an SSH server on another port, and a .link file for another interface.
    desk.write("live.v4", "*filter\nCOMMIT\n");
    desk.write("live.v6", "*filter\nCOMMIT\n");
    desk.write("ssh/sshd_config.d/port.conf", "Port 2222\nListenAddress 192.0.2.10\nListenAddress 192.0.2.10:32232\n");
    desk.write("legacy.v4", "*filter\n-A INPUT -p tcp --dport 9 -j DROP\nCOMMIT\n");
    desk.write("wlan.link", &LINK.replace("eth0", "wlan*"));
    let new = ["check", "--sensor", "sensor.toml", "--live", "--link", "wlan.link", "--iptables", "nft", "-v"];
    let found = on_a_pi(&desk, &[&new[..], &GOOD[..]].concat());
    let words = found.words();
    for fact in [
        "the SSH server also uses port 2222, which the sensor file does not name",
        "the SSH server listens at 192.0.2.10, but not at 2001:db8:5:0:ba27:ebff:fe12:3456, according to sshd_config",
        "another firewall filters on this machine: IPv4 has legacy tables (filter) beside those of nf_tables",
        "stays open (IPv4 and IPv6): it may hang until the machine next sends output",
        "wlan.link:2: OriginalName=wlan* does not match eth0 of this machine, so the file is not applied to it",
    ] {
        assert!(words.contains(fact), "{fact}: {}{}", found.stdout, found.stderr);
    }
    assert_eq!((found.status, found.red()), (Some(1), vec![DISGUISE.to_owned()]), "{}", found.stdout);

    // SSH is not accepted over IPv6, so it does not matter that the server does not listen there; and the current
    // client is kept out.
    desk.write("far.toml", &SENSOR.replace("32232\n", "32232\nssh_from = \"198.51.100.0/24\"\n"));
    let found = on_a_pi(&desk, &["check", "--sensor", "far.toml", "--live", "--iptables", "nft"]);
    let kept_out =
        "you log in from 192.0.2.77, but the sensor file does not accept SSH from there: its `ssh_from` names 198.51";
    assert!(found.words().contains(kept_out), "{}{}", found.stdout, found.stderr);
    assert!(!found.words().contains("the SSH server listens at 192.0.2.10, but not at"), "{}", found.stdout);

    // The server listens on another port and address.
    fs::remove_file(desk.path("legacy.v4")).expect("a file");
    desk.write("ssh/sshd_config.d/port.conf", "Port 2222\n");
    let found = on_a_pi(&desk, &[&new[..], &GOOD[..]].concat());
    let elsewhere = "the SSH server uses port 2222 (sshd_config), but the sensor file names another";
    assert!(found.words().contains(elsewhere), "{}{}", found.stdout, found.stderr);
    assert_eq!(found.red()[0], LOCKED_OUT, "{}", found.stdout);
}

/// A ruleset of nftables.service in addition to that of iptables.
const NATIVE: &str = r#"
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state invalid drop
    iif "lo" accept
    ct state established,related accept
    ip saddr 192.168.7.0/24 tcp dport 22 accept
    counter log prefix "nft-input-drop: "
  }
}
"#;

#[test]
fn a_machine_with_another_firewall_is_never_called_safe() {
    let _machine = binary::share_the_machine();
    let desk = Desk::new();
    fs::create_dir(desk.path("ssh")).expect("a folder");
    desk.write("ssh/sshd_config", "Port 32232\n");
    desk.write("disguised", "");
    fs::copy(desk.path("rules.v4"), desk.path("live.v4")).expect("a copy");
    fs::copy(desk.path("rules.v6"), desk.path("live.v6")).expect("a copy");
    let check = || on_a_pi(&desk, &["check", "--sensor", "sensor.toml", "--live", "--iptables", "nft"]);
    let cannot_tell = |found: &Said, why: &str| {
        assert_eq!(found.status, Some(3), "{}{}", found.stdout, found.stderr);
        assert!(found.verdict().starts_with("CANNOT TELL"), "{}", found.stdout);
        assert!(found.words().contains(why), "{}", found.stdout);
        for question in [LOCKED_OUT, UNASKED] {
            assert!(found.words().contains(&format!("{question}? Not known.")), "{}", found.stdout);
        }
    };

    let alone = check();
    assert_eq!((alone.status, alone.verdict()), (Some(0), "SAFE TO DEPLOY"), "{}{}", alone.stdout, alone.stderr);

    desk.write("native.nft", "table inet t { chain c { type filter hook input priority 0; policy accept; }; }\n");
    let idle = on_a_pi(&desk, &["check", "--sensor", "sensor.toml", "--live", "--iptables", "nft", "-v"]);
    assert_eq!((idle.status, idle.verdict()), (Some(0), "SAFE TO DEPLOY"), "{}{}", idle.stdout, idle.stderr);
    assert!(idle.words().contains("is not part of iptables, and has no rule"), "{}", idle.stdout);

    desk.write("native.nft", NATIVE);
    let names = "the chain `input` in table `inet filter` of nf_tables (hook input, priority 0, policy drop)";
    cannot_tell(&check(), names);

    fs::remove_file(desk.path("native.nft")).expect("a file");
    desk.write("legacy.v4", "*filter\n-A INPUT -p tcp --dport 9 -j DROP\nCOMMIT\n");
    cannot_tell(&check(), "IPv4 has legacy tables (filter) beside those of nf_tables");

    fs::remove_file(desk.path("legacy.v4")).expect("a file");
    desk.write("unreadable", "");
    cannot_tell(&check(), "other tables of nf_tables were not read");
}

mod alone {
    use super::*;

    #[test]
    fn a_good_ruleset_is_safe_to_deploy_and_leaves_nothing() {
        let _machine = binary::have_the_machine_alone();
        let (desk, private) = (Desk::new(), tempfile::tempdir().expect("a folder"));
        let files = machine::names(desk.folder.path());
        // A run that was killed may have left the folder of locks.
        said(Command::new(env!("CARGO_BIN_EXE_scanlab")).arg("doctor"));
        let before = machine::machine(private.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command
            .args(["check", "--sensor", "sensor.toml", "--link", "00-mac.link", "--admin", "192.0.2.7", "-v"])
            .args(GOOD);
        command.current_dir(desk.folder.path()).env("TMPDIR", private.path()).env("COLUMNS", "80");
        let found = said(&mut command);
        assert_eq!((found.status, found.verdict()), (Some(0), "SAFE TO DEPLOY"), "{}{}", found.stdout, found.stderr);
        assert_eq!(found.red(), [""; 0]);
        let words = found.words();
        for fact in [
            "a new SSH connection to port 32232 opens, over IPv4 and IPv6 (from 192.0.2.7 and 2001:db8:113::66)",
            "it may hang until the machine next sends output",
            "that is open while the rules are loaded stays open (IPv4 and IPv6, on a machine that had such rules before)",
            "Xmas scan: 5 lines, \"<PRE> Xmas scan: \" (IPv4 and IPv6)",
            "22, 32232 open; 1005 others filtered (IPv4 and IPv6)",
            "the MAC address 00:0c:29:4f:8e:35: nmap prints VMware, the IEEE has VMware, Inc.",
            "TCP over IPv4 and IPv6: only what the sensor serves is accepted",
        ] {
            assert!(words.contains(fact), "{fact}: {}", found.stdout);
        }

        machine::assert_untouched(&before, private.path());
        assert_eq!(machine::names(desk.folder.path()), files);
        let log = Command::new("dmesg").output().expect("the kernel's log");
        assert!(log.status.success(), "{log:?}");
        assert!(!String::from_utf8_lossy(&log.stdout).contains("<PRE> "), "a line of the check is in the log");
    }
}
