//! A chapter for every command. Examples build on each other: a later one reads the files that an earlier one wrote.

use super::chapter::{Chapter, Example};

/// In the order in which a reader may try them.
pub const CHAPTERS: [Chapter; 18] = [
    Chapter {
        command: "",
        examples: &[
            Example { purpose: "Can this machine run the lab?", command: "scanlab doctor" },
            Example { purpose: "Run the built-in scenarios", command: "scanlab demo" },
            Example { purpose: "Describe a sensor and generate its rules", command: SENSOR },
            Example { purpose: "Check the rules against the sensor file", command: CHECK },
        ],
        statuses: STATUSES,
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "generate",
        examples: &[
            Example {
                purpose: "Describe a sensor and print its rules",
                command: "printf '[sensor]\\nssh = 32232\\nhoneypot = { SSH = 22 }\\n' > sensor.toml\n\
                          scanlab generate sensor.toml",
            },
            Example {
                purpose: "Write all files for the Pi, with a README of commands to copy",
                command: "scanlab generate sensor.toml -o out --force",
            },
        ],
        statuses: WRITER,
        files: &[
            ("DIR/README.md", "how to test the rules with a rollback timer, keep them after a reboot, remove them"),
            ("DIR/rules.v4, DIR/rules.v6", "for iptables-restore and ip6tables-restore"),
            ("DIR/etc/network/if-pre-up.d/iptables", "loads both where ifupdown brings up the network"),
            ("DIR/etc/systemd/network/00-mac.link", "the MAC address, if the sensor file has one"),
        ],
        see_also: &["iptables-restore(8)", "iptables-apply(8)", "interfaces(5)", "systemd.link(5)"],
    },
    Chapter {
        command: "init",
        examples: &[
            Example {
                purpose: "Describe what rules do, as a sensor file to correct and to check",
                command: "scanlab init --rules out/rules.v4 --ssh 32232 -o mine.toml",
            },
            Example { purpose: "Print it instead", command: "scanlab init --rules out/rules.v4 --ssh 32232 -o -" },
        ],
        statuses: &[
            ("0", "written"),
            ("2", "bad input, nothing to describe, or a file that is already there"),
            ("3", "could not measure"),
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "check",
        examples: &[
            Example { purpose: "The rules that the sensor generates", command: "scanlab check sensor.toml" },
            Example { purpose: "Rules that you want to deploy", command: CHECK },
            Example {
                purpose: "Every check, unreachable rules and lint findings",
                command: "scanlab check sensor.toml --verbose",
            },
        ],
        statuses: &[
            ("0", "safe to deploy"),
            ("1", "do not deploy: at least one reason"),
            ("2", "bad input: usage, sensor, .link file, or a ruleset that iptables refuses"),
            ("3", "cannot tell: no problem was found, but not everything could be checked; or could not measure"),
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "demo",
        examples: &[
            Example { purpose: "All built-in scenarios", command: "scanlab demo" },
            Example {
                purpose: "Scenarios with MAC address in the title, with every check",
                command: "scanlab demo --filter 'MAC address' --verbose",
            },
        ],
        statuses: STATUSES,
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "run",
        examples: &[
            Example {
                purpose: "Write a scenario (a title, and a sensor or a ruleset), and run it",
                command: "printf 'title = \"SSH only\"\\n[sensor]\\nssh = 32232\\n' > scenario.toml\n\
                          scanlab run scenario.toml",
            },
            Example {
                purpose: "In CI: fail below 90 % coverage, and write reports",
                command: "scanlab run scenario.toml --min-coverage 90 --report junit=scanlab.xml",
            },
        ],
        statuses: STATUSES,
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "scan",
        examples: &[
            Example {
                purpose: "A SYN scan and an Xmas scan",
                command: "scanlab scan --rules out/rules.v4 -sS -sX -p 22,80,443 --listen 22",
            },
            Example {
                purpose: "The rules of this machine",
                command: "iptables-save | scanlab scan --rules - -p 1-1024",
            },
            Example {
                purpose: "The output of nmap, and its XML in a file",
                command: "scanlab scan --rules out/rules.v4 -sS -p 22,80 --format nmap -oX scan.xml",
            },
            Example {
                purpose: "Unreachable rules, also as a page and for code scanning",
                command: "scanlab scan --rules out/rules.v4 -p 22 --trace \\\n\
                          \x20   --report html=scan.html --report sarif=scan.sarif",
            },
        ],
        statuses: &[
            ("0", "the scan was made, whatever its results"),
            ("1", "--iptables both: the two flavours differ"),
            BAD_INPUT,
            NOT_MEASURED,
        ],
        files: SCANS,
        see_also: NETFILTER,
    },
    Chapter {
        command: "exec",
        examples: &[
            Example {
                purpose: "Run nmap, and show how each of its frames was treated",
                command: "scanlab exec --rules out/rules.v4 -- nmap -n -sX -p 22,80 203.0.113.10",
            },
            Example {
                purpose: "Run curl, and write every frame to a file for Wireshark",
                command: "scanlab exec --sensor sensor.toml --pcap visit.pcapng -- \\\n\
                          \x20   curl -s --max-time 1 http://203.0.113.10",
            },
        ],
        statuses: &[("0", "the tool was observed; its own status is in the report"), BAD_INPUT, NOT_MEASURED],
        files: SCANS,
        see_also: NETFILTER,
    },
    Chapter {
        command: "mutate",
        examples: &[
            Example { purpose: "List the mistakes that a scenario does not notice", command: MUTATE },
            Example {
                purpose: "In CI: fail if it notices less than half of them",
                command: "scanlab mutate ssh.toml --min-score 50 --format json > mutants.json",
            },
        ],
        statuses: &[
            ("0", "done; with --min-score: the score is high enough"),
            ("1", "the score is lower than --min-score"),
            BAD_INPUT,
            ("3", "could not measure, or mutants that were not judged leave the score open"),
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "record",
        examples: &[
            Example {
                purpose: "Record what these rules do today, and test it",
                command: "scanlab record --rules out/rules.v4 --rules6 out/rules.v6 \\\n\
                          \x20   --listen 22,32232 -o today.toml --force\n\
                          scanlab run today.toml",
            },
            Example { purpose: "Print the scenario", command: "scanlab record --rules ssh.v4 --listen 22" },
        ],
        statuses: &[("0", "the scenario was written, and was run once"), BAD_INPUT, NOT_MEASURED],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "diff",
        examples: &[
            Example {
                purpose: "Compare two rulesets",
                command: "sed 's/--dport 22/--dport 23/' ssh.v4 > new.v4\n\
                          scanlab diff ssh.v4 new.v4",
            },
            Example {
                purpose: "Both families of two folders, as JSON",
                command: "scanlab diff out out --format json > difference.json",
            },
            Example {
                purpose: "What does this branch change?",
                command: "scanlab diff --git HEAD ssh.v4 --format markdown > comment.md",
            },
        ],
        statuses: &[
            ("0", "no packet is treated differently"),
            ("1", "there is a difference"),
            BAD_INPUT,
            ("3", "could not measure, or packets that were not tried may be treated differently"),
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "teach",
        examples: &[
            Example { purpose: "What is an Xmas scan?", command: "scanlab teach xmas" },
            Example { purpose: "The same over IPv6, with your own rules", command: TEACH },
            Example { purpose: "Find the mistake in a ruleset", command: "scanlab teach --exercise 1 < /dev/null" },
        ],
        statuses: &[
            ("0", "success"),
            ("2", "bad input: usage, technique, exercise, sensor, or a ruleset that iptables refuses"),
            NOT_MEASURED,
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "schema",
        examples: &[
            Example {
                purpose: "For an editor that completes scenarios, next to the files",
                command: "scanlab schema scenario > scenario.schema.json",
            },
            Example {
                purpose: "For programs that read results",
                command: "scanlab schema result > result.schema.json",
            },
        ],
        statuses: WRITER,
        files: &[],
        see_also: &[],
    },
    Chapter {
        command: "doctor",
        examples: &[
            Example { purpose: "List what is missing, with the command that fixes it", command: "scanlab doctor" },
            Example {
                purpose: "As the first step of a script",
                command: "scanlab doctor > doctor.txt || cat doctor.txt",
            },
        ],
        statuses: &[("0", "this machine can run the lab"), ("3", "it cannot; the output lists what is missing")],
        files: LAB,
        see_also: &["capabilities(7)", "user_namespaces(7)", "iptables(8)"],
    },
    Chapter {
        command: "selftest",
        examples: &[
            Example { purpose: "Inject faults into the lab of this machine", command: "scanlab selftest" },
            Example {
                purpose: "The same without the kernel's log, as JSON",
                command: "scanlab selftest --capture nflog --format json",
            },
        ],
        statuses: &[
            ("0", "every fault was caught, or changed no verdict"),
            ("1", "a fault went unnoticed, or the lab never met a fault that was planted"),
            ("3", "could not measure: no lab here, or a fault cannot be planted here"),
        ],
        files: LAB,
        see_also: NETFILTER,
    },
    Chapter {
        command: "vendor",
        examples: &[
            Example { purpose: "Look up one MAC address", command: "scanlab vendor b8:27:eb:12:34:56" },
            Example {
                purpose: "All MAC addresses of this machine",
                command: "cat /sys/class/net/*/address | xargs scanlab vendor",
            },
        ],
        statuses: WRITER,
        files: &[("/sys/class/net/NAME/address", "the MAC address of each interface")],
        see_also: &["nmap(1)", "systemd.link(5)"],
    },
    Chapter {
        command: "man",
        examples: &[
            Example { purpose: "Read the page of a command", command: "scanlab man run > run.1 && man ./run.1" },
            Example { purpose: "Install all pages for your user", command: "scanlab man -o ~/.local/share/man/man1" },
        ],
        statuses: WRITER,
        files: &[("DIR/scanlab.1, DIR/scanlab-COMMAND.1", "a page for the program, and one for each command")],
        see_also: &["man(1)", "manpath(1)"],
    },
    Chapter {
        command: "completions",
        examples: &[
            Example { purpose: "In this bash", command: "eval \"$(scanlab completions bash)\"" },
            Example {
                purpose: "In every bash session",
                command: "echo 'eval \"$(scanlab completions bash)\"' >> ~/.bashrc",
            },
            Example {
                purpose: "In fish",
                command: "mkdir -p ~/.config/fish/completions\n\
                          scanlab completions fish > ~/.config/fish/completions/scanlab.fish",
            },
            Example {
                purpose: "In zsh, for all users (as root)",
                command: "mkdir -p /usr/local/share/zsh/site-functions\n\
                          scanlab completions zsh > /usr/local/share/zsh/site-functions/_scanlab",
            },
        ],
        statuses: WRITER,
        files: &[],
        see_also: &["bash(1)", "zshcompsys(1)", "fish-completions(1)"],
    },
];

const SENSOR: &str = "printf '[sensor]\\nssh = 32232\\nhoneypot = { SSH = 22 }\\n' > sensor.toml\n\
                      scanlab generate sensor.toml -o out";

const MUTATE: &str = r#"printf '%s\n' '*filter' '-A INPUT -p tcp --dport 22 -j DROP' COMMIT >ssh.v4
printf 'title = "no SSH"\n[ruleset]\nv4 = "ssh.v4"\n' > ssh.toml
printf '[[expect]]\nscan = "syn"\nports = 22\n' >> ssh.toml
printf 'family = "ipv4"\nstate = "filtered"\n' >> ssh.toml
scanlab mutate ssh.toml"#;

const CHECK: &str = "scanlab check --sensor sensor.toml \\\n\
                     \x20   --rules out/rules.v4 --rules6 out/rules.v6";

const TEACH: &str = "scanlab teach syn -6 --rules6 out/rules.v6";

const BAD_INPUT: (&str, &str) = ("2", "bad input: usage, scenario, sensor, or a ruleset that iptables refuses");

const NOT_MEASURED: (&str, &str) = ("3", "could not measure: privilege, TUN or iptables missing, or data lost");

/// The exit statuses of most commands.
const STATUSES: &[(&str, &str)] = &[("0", "all as expected"), ("1", "at least one mismatch"), BAD_INPUT, NOT_MEASURED];

/// The exit statuses of commands that build no lab.
const WRITER: &[(&str, &str)] = &[("0", "done"), ("2", "bad input, or a file that cannot be read or written")];

/// The files that a lab uses.
const LAB: &[(&str, &str)] = &[
    ("/dev/net/tun", "the device of the lab's interface"),
    ("/dev/kmsg", "the kernel's log, read with --capture kmsg"),
    (
        "/proc/sys/net/netfilter/nf_log_all_netns",
        "lets namespaces write to that log; on while a lab reads it, then restored",
    ),
];

/// Those of a lab, and the files with names of ports.
const SCANS: &[(&str, &str)] = &[
    LAB[0],
    LAB[1],
    LAB[2],
    ("/usr/share/nmap/nmap-services, /etc/services", "the names of ports, and how often they are open"),
];

const NETFILTER: &[&str] = &["iptables-save(8)", "iptables-restore(8)", "iptables-extensions(8)", "nmap(1)"];
