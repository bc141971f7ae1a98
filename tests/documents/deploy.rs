//! The README that `scanlab generate -o` writes: its commands are run, in namespaces that the test makes, with an /etc and a
//! /root of their own. Those that would change the machine are listed, each with the reason.
//!
//! Needs root, iptables (nft), nft, nmap and unshare, see `.ci/setup tests`.

use crate::support::binary::share_the_machine;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const SENSOR: &str = "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nwatched = { HTTP = 80 }\n\
                      scans = [\"xmas\", \"null\"]\nprefix = \"<IPT> \"\n\n\
                      [host]\nmac = \"00:0c:29:4f:8e:35\"\nlisten = [22, 32232]\n";

/// Commands that are not run here, by their beginning.
const NOT_RUN: [(&str, &str); 11] = [
    ("sudo systemd-run ", "there is no systemd in the namespace; what the timer does is run"),
    ("sudo systemctl ", "the same"),
    ("systemctl ", "the same"),
    ("ssh ", "needs a Pi"),
    ("sudo nmap ", "run by a test of its own, against a lab"),
    (
        "sudo journalctl ",
        "the lines of a namespace are not in the machine's journal; its filter is run on a lab's lines",
    ),
    ("sudo grep ", "the same, for rsyslog's file"),
    ("sudo apt ", "would install something"),
    ("sudo update-initramfs ", "would write to /boot"),
    ("sudo reboot", "would"),
    ("udevadm ", "asks the machine's udev, where there is one"),
];

/// A generated folder, and its README.
struct Deployment {
    folder: TempDir,
    readme: String,
}

impl Deployment {
    fn new() -> Deployment {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes namespaces and needs root (hint: see .ci/setup tests)"
        );
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("sensor.toml"), SENSOR).expect("write the sensor");
        let mut scanlab = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        let status = scanlab.args(["generate", "sensor.toml", "-o", "out"]).current_dir(folder.path()).status();
        assert!(status.expect("run scanlab").success());
        let readme = fs::read_to_string(folder.path().join("out/README.md")).expect("the README");
        Deployment { folder, readme }
    }

    fn out(&self) -> std::path::PathBuf {
        self.folder.path().join("out")
    }

    /// Every command: an indented block of four or more spaces, with continued lines joined.
    fn commands(&self) -> Vec<String> {
        let joined = self.readme.replace("\\\n", " ");
        let indented = joined.lines().filter_map(|line| line.strip_prefix("    "));
        indented.map(|line| line.trim().split("    #").next().expect("a command").to_owned()).collect()
    }

    /// The command with this beginning.
    fn command(&self, beginning: &str) -> String {
        let mut found = self.commands().into_iter().filter(|command| command.starts_with(beginning));
        found.next().unwrap_or_else(|| panic!("no `{beginning}` in {}", self.readme))
    }

    /// Runs a script in the folder, in new network and mount namespaces, and returns its output.
    fn session(&self, script: &str) -> String {
        let _machine = share_the_machine();
        const SET_UP: &str = r#"
            sudo() { "$@"; }
            # iptables-apply would stop a fail2ban of the machine.
            cp -a /etc "$0/etc"; rm -f "$0/etc/init.d/fail2ban"; mount --bind "$0/etc" /etc; mount -t tmpfs tmpfs /root
        "#;
        let own = tempfile::tempdir().expect("a folder");
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "bash", "-ec", &format!("{SET_UP}\n{script}")]).arg(own.path());
        let output = unshare.current_dir(self.out()).output().expect("run unshare");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }
}

/// The rules of a file, or of iptables-save.
fn rules(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("-A ")).collect()
}

#[test]
fn every_command_is_run_or_its_reason_is_given() {
    let deployment = Deployment::new();
    // The tests below contain the commands that they run: `.command("beginning")`.
    let run: Vec<&str> =
        include_str!("deploy.rs").split(".command(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let run: Vec<&str> =
        run.into_iter().filter(|run| !NOT_RUN.iter().any(|(beginning, _)| run.starts_with(beginning.trim()))).collect();
    for command in deployment.commands() {
        let run = run.iter().any(|beginning| command.starts_with(beginning));
        let not_run = NOT_RUN.iter().any(|(beginning, _)| command.starts_with(beginning));
        assert!(run != not_run, "`{command}`: run {run}, not run {not_run}");
    }
}

#[test]
fn rules_are_tested_and_loaded_and_the_timer_brings_back_what_was() {
    let deployment = Deployment::new();
    let file = fs::read_to_string(deployment.out().join("rules.v4")).expect("rules.v4");
    let tested = deployment.session(&format!(
        "{}\n{}",
        deployment.command("sudo iptables-restore --test"),
        deployment.command("sudo ip6tables-restore --test")
    ));
    assert_eq!(tested, "", "no output is good news");

    let timer = deployment.command("sudo systemd-run");
    let (_, rollback) = timer.split_once(" sh -c ").expect("what the timer runs");
    let printed = deployment.session(&format!(
        "iptables-save; {}\n{}\n{}\n{}\nsh -c {rollback}\necho rolled back\n{}",
        deployment.command("sudo sh -c 'iptables-save"),
        deployment.command("sudo iptables-restore <"),
        deployment.command("sudo ip6tables-restore <"),
        deployment.command("sudo iptables-save -t"),
        "iptables-save; ip6tables-save",
    ));
    let (loaded, after) = printed.split_once("rolled back\n").expect("both");
    assert_eq!(rules(loaded), rules(&file));
    assert_eq!(rules(after), Vec::<&str>::new(), "{after}");
}

/// The reason why the README saves the tables by name, and sets a policy before iptables-apply: an empty save restores
/// nothing.
#[test]
fn without_a_table_there_is_nothing_to_go_back_to() {
    let deployment = Deployment::new();
    let printed = deployment
        .session("iptables-save > before; iptables-restore < rules.v4; iptables-restore < before; iptables-save");
    assert!(rules(&printed).len() > 5, "{printed}");
    let apply = deployment.command("sudo iptables-apply");
    let printed = deployment.session(&format!("echo n | {apply} || true; echo; iptables-save"));
    assert!(rules(&printed).len() > 5, "{printed}");
}

#[test]
fn iptables_apply_keeps_what_is_confirmed_and_takes_back_what_is_not() {
    let deployment = Deployment::new();
    let (v4, v6) = (deployment.command("sudo iptables-apply"), deployment.command("sudo ip6tables-apply"));
    let policies =
        [deployment.command("sudo iptables -t filter"), deployment.command("sudo ip6tables -t filter")].join("\n");
    let refused = deployment.session(&format!(
        "{policies}\necho n | {v4} || echo refused; echo n | {v6} || echo refused; iptables-save; ip6tables-save"
    ));
    assert!(refused.matches("refused\n").count() == 2 && rules(&refused).is_empty(), "{refused}");
    let confirmed = deployment.session(&format!("{policies}\necho y | {v4}; echo y | {v6}; echo; iptables-save"));
    let file = fs::read_to_string(deployment.out().join("rules.v4")).expect("rules.v4");
    assert_eq!(rules(&confirmed), rules(&file));
}

#[test]
fn the_script_loads_the_installed_files_and_undo_takes_all_of_it_away() {
    let deployment = Deployment::new();
    let install = [
        deployment.command("sudo install -D -m 644 rules.v4"),
        deployment.command("sudo install -D -m 644 rules.v6"),
        deployment.command("sudo install -D -m 755 etc/network/if-pre-up.d/iptables"),
        deployment.command("sudo install -D -m 644 etc/systemd/network/00-mac.link"),
    ];
    let printed = deployment.session(&format!(
        "{}\n{}\nIFACE=lo /etc/network/if-pre-up.d/iptables; iptables-save; echo boot\n\
         IFACE=--all /etc/network/if-pre-up.d/iptables; iptables-save; echo undo\n{}\n{}\n\
         iptables-save; ls /etc/iptables /etc/network/if-pre-up.d",
        deployment.command("sudo sh -c 'iptables-save"),
        install.join("\n"),
        deployment.command("sudo sh -c 'iptables-restore"),
        deployment.command("sudo rm -f"),
    ));
    let (before, rest) = printed.split_once("boot\n").expect("both");
    let (booted, after) = rest.split_once("undo\n").expect("all");
    let file = fs::read_to_string(deployment.out().join("rules.v4")).expect("rules.v4");
    assert_eq!((rules(before).len(), rules(booted), rules(after).len()), (0, rules(&file), 0));
    let (_, left) = after.rsplit_once("/etc/iptables:\n").expect("a list");
    assert!(!left.contains("rules.v") && !left.lines().any(|line| line == "iptables"), "{after}");
}

/// The reason why `nftables.service` has to be disabled: its unit runs this command when it stops, and its
/// configuration begins with it.
#[test]
fn flushing_nftables_takes_the_rules_of_iptables_along() {
    let deployment = Deployment::new();
    let printed =
        deployment.session("iptables-restore < rules.v4; iptables-save; echo flush; nft flush ruleset; iptables-save");
    let (before, after) = printed.split_once("flush\n").expect("both");
    assert!(rules(before).len() > 5 && rules(after).is_empty(), "{printed}");
}

/// The nmap commands against the sensor in a lab; the filter for the log finds its lines, and no line of the sample.
#[test]
fn the_scans_of_the_readme_leave_the_lines_that_its_filter_finds() {
    let deployment = Deployment::new();
    let scans: Vec<String> =
        deployment.commands().into_iter().filter(|command| command.starts_with("sudo nmap ")).collect();
    assert_eq!(scans.len(), 3, "SYN, Xmas, NULL: {scans:?}");
    assert!(scans.iter().all(|scan| scan.contains(" -p 1,22,80,32232 ")), "{scans:?}");
    let script = scans.join("; ").replace("sudo ", "").replace(" PI", " 203.0.113.10");
    let mut scanlab = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scanlab.args(["exec", "--sensor", "sensor.toml", "--output", "report", "--", "sh", "-c", &script]);
    let output = scanlab.current_dir(deployment.folder.path()).output().expect("run scanlab");
    assert!(output.status.success(), "{output:?}");
    let journal = deployment.command("sudo journalctl");
    let (_, filter) = journal.split_once("| ").expect("a filter");
    assert!(deployment.command("sudo grep").contains(filter.trim_start_matches("grep ")));
    let found = |file: &Path| {
        let shell = Command::new("sh").args(["-c", &format!("{filter} < {}", file.display())]).output();
        String::from_utf8(shell.expect("run sh").stdout).expect("UTF-8")
    };
    let lines = found(&deployment.folder.path().join("report"));
    for prefix in ["<IPT> SSH port: ", "<IPT> HTTP port: ", "<IPT> Xmas scan: ", "<IPT> Null scan: "] {
        assert!(lines.contains(prefix), "{prefix} in {lines}");
    }
    assert_eq!(
        found(&deployment.folder.path().join("sensor.toml")).lines().count(),
        1,
        "the prefix itself, and no more"
    );
}
