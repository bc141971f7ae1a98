//! The attacks, by kind.

use crate::witness::PATH;

/// Text that no attack may bring into the machine's log.
pub const MARK: &str = "scanlab-hostile-mark ";

/// Files and a command line.
pub struct Attack {
    pub name: &'static str,
    pub files: Vec<(&'static str, String)>,
    pub arguments: Vec<&'static str>,
    /// True if the command has the option `--iptables`.
    pub loads_rules: bool,
    /// The expected exit statuses.
    pub status: &'static [i32],
    /// Texts that must be in the output.
    pub says: Vec<&'static str>,
    /// Texts that must not be in the output.
    pub never: Vec<&'static str>,
}

const SCAN: [&str; 5] = ["scan", "--rules", "rules.v4", "-p", "22,80"];

pub fn all() -> Vec<Attack> {
    let kinds = [programs(), early_ends(), resources(), shared_state(), files(), output()];
    kinds.into_iter().flatten().collect()
}

/// A scan of this ruleset, which must be refused with `says`.
fn refused(name: &'static str, rules: String, says: &'static str) -> Attack {
    let says = vec![says, "rules.v4:"];
    Attack { status: &[2], says, ..scanned(name, rules) }
}

fn scanned(name: &'static str, rules: String) -> Attack {
    Attack {
        name,
        files: vec![("rules.v4", rules)],
        arguments: SCAN.to_vec(),
        loads_rules: true,
        status: &[0],
        says: Vec::new(),
        never: vec!["panicked"],
    }
}

fn filter(rules: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n")
}

/// iptables runs a program that the ruleset names.
fn programs() -> Vec<Attack> {
    let spellings = [
        ("modprobe after counters", format!("[0:0]--modprobe={PATH} -A INPUT -p tcp --dport 22 -j ACCEPT")),
        ("modprobe after a quote", format!("-A INPUT -i \"eth0\"--modprobe={PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe as an option", format!("-A INPUT --modprobe={PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe in two words", format!("-A INPUT --modprobe {PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe by its letter", format!("-A INPUT -M {PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe by its letter, glued", format!("-A INPUT -M{PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe abbreviated", format!("-A INPUT --modp {PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe in quotes", format!("-A INPUT \"--modprobe={PATH}\" -p tcp --dport 22 -j ACCEPT")),
        ("modprobe after tabs", format!("-A INPUT\t\t--modprobe={PATH} -p tcp --dport 22 -j ACCEPT")),
        ("modprobe after counters and a quote", format!("[0:0]\"-A\"\"INPUT\"--modprobe={PATH} -j ACCEPT")),
    ];
    spellings.into_iter().map(|(name, rule)| refused(name, filter(&rule), "modprobe")).collect()
}

/// iptables ends before it loads anything.
fn early_ends() -> Vec<Attack> {
    let spellings = [
        ("help in a rule", "-A INPUT -p tcp -h -j ACCEPT"),
        ("help in a bundle", "-A INPUT -p tcp -vh -j ACCEPT"),
        ("version in a rule", "-A INPUT -V -j ACCEPT"),
        ("version abbreviated", "-A INPUT --vers -j ACCEPT"),
    ];
    let rules = |rule| filter(&format!("-A INPUT -p tcp --dport 1 -j DROP\n{rule}\n-A INPUT -j DROP"));
    let attack =
        |(name, rule)| Attack { says: vec!["help or version", "rules.v4:4:"], ..refused(name, rules(rule), "") };
    spellings.map(attack).into()
}

/// A ruleset needs much of the machine's time or memory.
fn resources() -> Vec<Attack> {
    let mut nested = String::from("*filter\n:INPUT ACCEPT [0:0]\n");
    let chains = 13;
    (0..chains).for_each(|number| nested.push_str(&format!(":c{number} - [0:0]\n")));
    for number in 0..chains - 1 {
        (0..4).for_each(|_| nested.push_str(&format!("-A c{number} -j c{}\n", number + 1)));
    }
    nested.push_str("-A INPUT -j c0\nCOMMIT\n");
    let hash = |number: u32| {
        format!(
            "-A INPUT -m hashlimit --hashlimit-upto 5/min --hashlimit-mode srcip --hashlimit-name h{number} \
             --hashlimit-htable-size 1048576 -j ACCEPT"
        )
    };
    let hashes: Vec<String> = (0..100).map(hash).collect();
    let mut chains = String::from("*filter\n:INPUT ACCEPT [0:0]\n");
    (0..100_000).for_each(|number| chains.push_str(&format!(":chain{number} - [0:0]\n")));
    chains.push_str("COMMIT\n");
    let rules = filter(&"-A INPUT -j ACCEPT\n".repeat(350_000));
    let million = filter(&"-A INPUT -j ACCEPT\n".repeat(1_000_000));
    vec![
        refused("nested jumps", nested, "--allow-large"),
        refused("large hash tables", filter(&hashes.join("\n")), "--allow-large"),
        Attack { status: &[0, 2], ..scanned("100,000 chains", chains) },
        refused("350,000 rules", rules, "more than 100000 rules"),
        many_ports("every port in a row of a scenario", "[ruleset]\nv4 = \"rules.v4\"", "\"-\""),
        many_ports("a sensor that watches 50 ports", &watching(50), "1000"),
        Attack { says: vec!["rules.v4 is larger than 8 MiB", "no option"], ..refused("1,000,000 rules", million, "") },
    ]
}

/// A scenario over IPv4 with many probes. The largest one that is accepted ends in time.
fn many_ports(name: &'static str, tested: &str, ports: &str) -> Attack {
    let expected = format!("[[expect]]\nscan = \"syn\"\nfamily = \"ipv4\"\nports = {ports}\nstate = \"filtered\"\n");
    let files = vec![
        ("rules.v4", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n".to_owned()),
        ("s.toml", format!("title = \"t\"\n{tested}\n{expected}")),
    ];
    let arguments = vec!["run", "s.toml"];
    Attack {
        name,
        files,
        arguments,
        loads_rules: true,
        status: &[0],
        says: vec!["1 scenario passed"],
        never: vec!["panicked"],
    }
}

fn watching(count: usize) -> String {
    let ports: Vec<String> = (1000..1000 + count).map(|port| port.to_string()).collect();
    format!("[sensor]\nssh = 22\nwatched = {{ A = [{}] }}\ndeny = \"tcp\"\n", ports.join(", "))
}

/// A ruleset of too many rules, for every command that reads one.
pub fn too_many_rules() -> Vec<Attack> {
    let rules = filter(&"-A INPUT -j ACCEPT\n".repeat(350_000));
    let scenario =
        "title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\nscan = \"syn\"\nports = 22\nstate = \"open\"\n";
    let sensor = "[sensor]\nssh = 22\n";
    let commands: [(&str, &[&str]); 8] = [
        ("scan", &["scan", "--rules", "rules.v4"]),
        ("run", &["run", "s.toml"]),
        ("mutate", &["mutate", "s.toml"]),
        ("check", &["check", "--sensor", "sensor.toml", "--rules", "rules.v4"]),
        ("diff", &["diff", "rules.v4", "rules.v4"]),
        ("record", &["record", "--rules", "rules.v4", "-o", "-"]),
        ("exec", &["exec", "--rules", "rules.v4", "--", "true"]),
        ("teach", &["teach", "xmas", "--rules", "rules.v4"]),
    ];
    let attack = |(name, arguments): (&'static str, &[&'static str])| Attack {
        files: vec![("rules.v4", rules.clone()), ("s.toml", scenario.to_owned()), ("sensor.toml", sensor.to_owned())],
        arguments: arguments.to_vec(),
        loads_rules: false,
        ..refused(name, String::new(), "more than 100000 rules")
    };
    commands.into_iter().map(attack).collect()
}

/// State that all network namespaces share.
fn shared_state() -> Vec<Attack> {
    vec![
        refused("IDLETIMER", filter("-A INPUT -j IDLETIMER --timeout 10 --label hostile"), "IDLETIMER"),
        refused("LED", filter("-A INPUT -j LED --led-trigger-id hostile"), "LED"),
        refused(
            "CT --timeout",
            format!("*raw\n-A PREROUTING -p tcp -j CT --timeout \"{MARK}\"\nCOMMIT\n"),
            "--timeout",
        ),
        refused("a host's name", filter("-A INPUT -s host.invalid -j ACCEPT"), "host.invalid"),
    ]
}

/// Paths that are no files, and files that the user must not read.
fn files() -> Vec<Attack> {
    let scenario = |ruleset: &str| {
        format!(
            "title = \"t\"\n[ruleset]\nv4 = \"{ruleset}\"\n[[expect]]\nscan = \"syn\"\nports = 22\nstate = \"open\"\n"
        )
    };
    let named = |name: &'static str, file: &str| Attack {
        name,
        files: vec![("s.toml", scenario(file))],
        arguments: vec!["run", "s.toml"],
        loads_rules: true,
        status: &[2],
        says: Vec::new(),
        never: vec!["panicked", "root:", "daemon:"],
    };
    let listed = |name, file| Attack { arguments: vec!["scan", "--rules", file], ..named(name, "rules.v4") };
    vec![
        named("a scenario names /etc/shadow", "/etc/shadow"),
        named("a scenario names /etc/passwd", "/etc/passwd"),
        named("a scenario names the kernel's log", "/proc/kmsg"),
        named("a scenario names a device without an end", "/dev/zero"),
        named("a scenario names a terminal", "/dev/tty"),
        named("a scenario names a folder", "/etc"),
        listed("the command line names the kernel's log", "/proc/kmsg"),
        listed("the command line names a device", "/dev/zero"),
        listed("the command line names a folder", "/etc"),
    ]
}

/// Text that controls the reader of the output.
fn output() -> Vec<Attack> {
    let prefix = filter("-A INPUT -p tcp --dport 80 -j LOG --log-prefix \"::error::forged \"");
    vec![Attack { never: vec!["\n::error", "panicked"], ..scanned("a prefix that GitHub would obey", prefix) }]
}
