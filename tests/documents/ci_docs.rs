//! The snippets of `docs/ci.md` work: their commands are read from the page and run, each job in a clean folder with a
//! repository's `firewall`, as the user of the job. Needs root.
//!
//! The steps named *Install*, and those that need a CI system or a container engine, are left out; the page says so.

use crate::support::binary;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/ci.md");

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

/// A user ID that no other test uses.
const USER: &str = "64740";

/// The capabilities that Docker leaves to root in a container.
const DOCKER: &str = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,\
                      mknod,audit_write,setfcap";

/// The machine of a job.
struct Runner {
    folder: TempDir,
}

/// The user of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Root,
    Anybody,
}

impl Runner {
    /// A checkout with two scenarios, and the programs of the runner; `sudo` does nothing.
    fn new() -> Runner {
        let runner = Runner { folder: tempfile::tempdir().expect("a folder") };
        fs::set_permissions(runner.folder.path(), PermissionsExt::from_mode(0o777)).expect("open the folder");
        for folder in ["bin", "firewall"] {
            fs::create_dir(runner.folder.path().join(folder)).expect("a folder");
        }
        // A copy by this process would be open for writing in a child of another thread as well until its exec, and
        // could not be run meanwhile (ETXTBSY, execve(2)).
        let bin = runner.folder.path().join("bin");
        let copy = Command::new("cp").arg(env!("CARGO_BIN_EXE_scanlab")).arg(bin.join("scanlab")).status();
        assert!(copy.expect("cp").success(), "scanlab is copied");
        symlink("/usr/bin/env", bin.join("sudo")).expect("a link");
        runner.put("firewall/rules.v4", RULES);
        for (name, port, state) in [("ssh", 22, "closed"), ("telnet", 23, "filtered")] {
            let row = format!("[[expect]]\nscan = \"syn\"\nports = {port}\nfamily = \"ipv4\"\nstate = \"{state}\"\n");
            runner.put(
                &format!("firewall/{name}.toml"),
                &format!("title = \"{name}\"\n[ruleset]\nv4 = \"rules.v4\"\n{row}"),
            );
        }
        runner
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("write");
    }

    /// Runs a script as CI systems do: `bash -e`, and the first failure ends it.
    fn run(&self, whom: As, script: &str, variables: &[(&str, &str)]) -> Output {
        let become_user = match whom {
            As::Root => String::new(),
            As::Anybody => {
                format!("setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs --bounding-set=-all ")
            }
        };
        let begin = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec ";
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            &format!("{begin}{become_user}bash -e -o pipefail -c \"$1\""),
            "sh",
            script,
        ]);
        self.at_home(command).envs(variables.iter().copied()).output().expect("unshare")
    }

    fn at_home(&self, mut command: Command) -> Command {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test asks the real kernel and needs root (hint: see .ci/setup tests)"
        );
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.folder.path().join("bin").display());
        command.current_dir(self.folder.path()).env("PATH", path).stdin(Stdio::null());
        command
    }

    fn has(&self, name: &str, words: &str) {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(words), "{name}: {text}");
    }
}

fn assert_well(output: &Output, script: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {said}");
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("\n```").next().expect("the end of the block")).collect()
}

/// Parses YAML with a real parser. `on` is a truth value in YAML 1.1; no step is in it.
fn yaml(text: &str) -> Value {
    let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.argv[1]), skipkeys=True))";
    let output =
        Command::new("/usr/bin/python3").args(["-c", program, text]).output().expect("python3 (hint: .ci/setup)");
    assert_well(&output, text);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_jobs_of_github_do_what_they_say() {
    let _machine = binary::share_the_machine();
    let [privileged, rootless, _] = blocks("yaml")[..] else { panic!("three blocks of YAML") };
    for (workflow, job, whom, shards) in
        [(privileged, "scanlab", As::Root, vec!["1", "2"]), (rootless, "rootless", As::Anybody, vec![""])]
    {
        let job = yaml(workflow)["jobs"][job].clone();
        for shard in shards {
            let runner = Runner::new();
            let steps = job["steps"].as_array().expect("steps").iter().filter(|step| step["name"] != "Install");
            let mut count = 0;
            for script in steps.filter_map(|step| step["run"].as_str()) {
                let script = script.replace("${{ matrix.shard }}", shard);
                assert!(!script.contains("${{"), "an expression that nobody fills in: {script}");
                assert_well(&runner.run(whom, &script, &[("GITHUB_STEP_SUMMARY", "summary.md")]), &script);
                count += 1;
            }
            assert_eq!(count, 3, "doctor, run, summary");
            runner.has("summary.md", "0 mismatched");
            runner.has("scanlab.xml", if shard == "2" { "name=\"telnet\"" } else { "name=\"ssh\"" });
        }
    }
}

#[test]
fn the_jobs_of_gitlab_do_what_they_say() {
    let _machine = binary::share_the_machine();
    let jobs = yaml(blocks("yaml")[2]);
    for (name, whom, index) in [("scanlab", As::Root, "1"), ("scanlab", As::Root, "2"), ("rootless", As::Anybody, "")] {
        let runner = Runner::new();
        let job = &jobs[name];
        let total = job["parallel"].to_string();
        for script in job["script"].as_array().expect("a script") {
            let script = script.as_str().expect("a command");
            let output = runner.run(whom, script, &[("CI_NODE_INDEX", index), ("CI_NODE_TOTAL", &total)]);
            assert_well(&output, script);
            assert!(script.contains("doctor") || output.stdout.is_empty(), "--quiet");
        }
        runner.has(job["artifacts"]["reports"]["junit"].as_str().expect("a file"), "failures=\"0\"");
    }
}

/// A job fails if the ruleset is wrong: otherwise the two tests above would prove nothing.
#[test]
fn a_broken_ruleset_makes_the_jobs_red() {
    let _machine = binary::share_the_machine();
    let job = yaml(blocks("yaml")[1])["jobs"]["rootless"].clone();
    let steps = job["steps"].as_array().expect("steps");
    let run = steps.iter().find(|step| step["name"] == "Test the firewall").expect("the step")["run"]
        .as_str()
        .expect("a script");
    let runner = Runner::new();
    runner.put("firewall/rules.v4", &RULES.replace("--dport 22", "--dport 23"));
    let output = runner.run(As::Anybody, run, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("::error file=firewall/"), "{output:?}");
}

#[test]
fn the_containerfile_is_the_one_of_the_page() {
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Containerfile")).expect("Containerfile");
    assert_eq!(blocks("dockerfile"), [file.trim_end()]);
}

/// The command of the page, with the capabilities that it requires and the `/dev` of a container, but without an
/// engine.
#[test]
fn the_lab_needs_of_a_container_what_the_page_says() {
    let _machine = binary::share_the_machine();
    let [command] = blocks("sh")[..] else { panic!("one block of sh") };
    let added = command.split("--cap-add ").skip(1).filter_map(|rest| rest.split(' ').next());
    let added: Vec<String> = added.map(str::to_lowercase).collect();
    assert_eq!(added, ["net_admin", "sys_admin"]);
    let (_, arguments) = command.rsplit_once("\n  scanlab ").expect("the last line is the command");
    let runner = Runner::new();
    let run = |capabilities: &[String], begin: &str| {
        let bounding = DOCKER.split(',').chain(capabilities.iter().map(String::as_str)).map(|one| format!(",+{one}"));
        let bounding: String = bounding.collect();
        let script = format!(
            "{begin} mount -t tmpfs none /dev && mkdir /dev/net && mknod -m 600 /dev/net/tun c 10 200 && \
             mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && \
             exec setpriv --inh-caps=-all --bounding-set=-all{bounding} scanlab {arguments}"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        runner.at_home(command).output().expect("unshare").status.code()
    };
    assert_eq!(run(&added, ""), Some(0));
    assert_eq!(run(&added[..1], ""), Some(3), "without SYS_ADMIN");
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys &&";
    assert_eq!(run(&added, read_only), Some(3), "without systempaths=unconfined");
}
