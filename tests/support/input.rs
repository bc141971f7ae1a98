//! Bad input, and the complete result: exit status, stdout and stderr, and an unchanged machine.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::binary::share_the_machine;

/// A folder of input, in which scanlab is run, and the output so far. Each run checks that it leaves nothing on the
/// machine.
pub struct Input {
    pub folder: TempDir,
    pub said: String,
}

impl Input {
    pub fn new(files: &[(&str, &[u8])]) -> Input {
        let folder = tempfile::tempdir().expect("a folder");
        // Another user needs access, too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set permissions");
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("write the input");
        }
        Input { folder, said: String::new() }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(arguments).current_dir(self.folder.path()).env("COLUMNS", "100");
        command
    }

    /// Runs it, and adds its output to the transcript.
    pub fn run(&mut self, arguments: &[&str]) -> &mut Input {
        self.run_with(arguments, b"")
    }

    pub fn run_with(&mut self, arguments: &[&str], stdin: &[u8]) -> &mut Input {
        let output = untouched(|| finish(&mut self.command(arguments), stdin));
        self.said.push_str(&format!("$ scanlab {}\n{}\n", arguments.join(" "), transcript(&output)));
        self
    }

    /// Checks that every file is refused as a sensor; returns the outputs.
    pub fn generate_from_each(files: &[(&str, &str)]) -> String {
        let bytes: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let mut input = Input::new(&bytes);
        for (name, _) in files {
            input.run(&["generate", name]);
        }
        input.said
    }

    /// Checks that every flavour of iptables refuses this ruleset; returns the outputs.
    pub fn refused_by_each_flavour(ruleset: &str, culprit: &str) -> String {
        let mut input = Input::new(&[("rules.v4", ruleset.as_bytes())]);
        for flavour in ["nft", "legacy"] {
            input.run(&["scan", "--rules", "rules.v4", "-p", "1", "--iptables", flavour]);
        }
        without_the_words_of_iptables(&input.said, culprit)
    }
}

fn finish(command: &mut Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("run scanlab");
    // It may have ended without reading all of its input.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin);
    child.wait_with_output().expect("wait for scanlab")
}

fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let status = output.status.code().expect("an exit status");
    format!("stdout:\n{}stderr:\n{}status: {status}\n", text(&output.stdout), text(&output.stderr))
}

/// Removes the texts of iptables, which differ between its versions, after a check that they name the culprit.
fn without_the_words_of_iptables(said: &str, culprit: &str) -> String {
    const BEFORE: &str = " refuses this ruleset: ";
    let shorten = |line: &str| match line.split_once(BEFORE) {
        Some((program, message)) => {
            assert!(message.contains(culprit), "{culprit} in: {message}");
            let program = program.rsplit_once(' ').expect("a version").0;
            format!("{program} VERSION{BEFORE}MESSAGE\n")
        }
        None => format!("{line}\n"),
    };
    said.lines().map(shorten).collect()
}

/// The state that a lab could change on the machine.
fn traces() -> (String, Vec<String>) {
    let setting = fs::read_to_string("/proc/sys/net/netfilter/nf_log_all_netns").unwrap_or_default();
    let devices = fs::read_to_string("/proc/net/dev").expect("procfs");
    let names = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    (setting.trim().to_owned(), names)
}

/// Checks that `work` changes nothing. One at a time, and with a deadline: labs of other programs may come and go
/// meanwhile.
fn untouched<T>(work: impl FnOnce() -> T) -> T {
    let _machine = share_the_machine();
    static TURN: Mutex<()> = Mutex::new(());
    const OURS: &str = "7226";
    let turn = TURN.lock();
    let before = traces();
    let done = work();
    let deadline = Instant::now() + Duration::from_secs(30);
    // The last lab resets the setting, and removes the folder of the locks.
    let is_held = |setting: &str| setting == OURS && Path::new("/run/scanlab").exists();
    let restored = |(setting, names): (String, Vec<String>)| {
        names == before.1 && (setting == before.0 || (before.0 == OURS && setting == "0") || is_held(&setting))
    };
    while !restored(traces()) {
        assert!(Instant::now() < deadline, "before: {before:?}, after: {:?}", traces());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(turn);
    done
}
