//! `--pcap` of `scan` and `run`: every frame, in the order of time, each with its fate. tshark checks the file.

use std::process::Command;

use crate::support::binary::{Ended, ended, share_the_machine};
use tempfile::TempDir;

const RULES: &str = "*filter
:INPUT DROP [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 80 -j LOG --log-prefix \"<b>HTTP</b>: \"
-A INPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset
COMMIT
";

const SCENARIO: &str = "title = \"SSH is open\"
[ruleset]
v4 = \"rules.v4\"
[host]
listen = [22]
[[expect]]
scan = [\"syn\", \"connect\"]
ports = [22, 80]
family = \"ipv4\"
log = \"\"
[[expect]]
packet = \"udp to 53\"
family = \"ipv4\"
verdict = \"drop\"
";

/// Direction, flags, microseconds and comment, as tshark prints them.
struct Shown {
    direction: String,
    flags: String,
    comment: String,
}

fn shown(capture: &str) -> Vec<Shown> {
    let fields = ["frame.packet_flags_direction", "tcp.flags.str", "frame.time_epoch", "frame.comment"];
    let fields = fields.map(|field| ["-e", field]);
    let tshark = Command::new("tshark")
        .args(["-n", "-r", capture, "-T", "fields", "-E", "separator=|"])
        .args(fields.as_flattened())
        .output()
        .expect("tshark (hint: .ci/setup tests installs it)");
    assert!(tshark.status.success(), "{}", String::from_utf8_lossy(&tshark.stderr));
    let text = String::from_utf8(tshark.stdout).expect("UTF-8");
    let mut last = String::new();
    let line = |line: &str| {
        let columns: Vec<&str> = line.splitn(4, '|').collect();
        assert!(*columns[2] >= *last, "{line} is before {last}");
        last = columns[2].to_owned();
        let [direction, flags, comment] = [0, 1, 3].map(|column| columns[column].to_owned());
        Shown { direction, flags: flags.replace('·', ""), comment }
    };
    text.lines().map(line).collect()
}

/// Checks that there is such a frame: `1` is to the host, `2` from it.
#[track_caller]
fn assert_one(frames: &[Shown], direction: &str, flags: &str, comment: &[&str]) {
    let is_it = |frame: &&Shown| {
        frame.direction.ends_with(direction)
            && frame.flags == flags
            && comment.iter().all(|part| frame.comment.contains(part))
    };
    let all: Vec<&str> = frames.iter().map(|frame| &*frame.comment).collect();
    assert_eq!(frames.iter().filter(is_it).count(), 1, "{flags} {comment:?} in {all:#?}");
}

#[test]
fn a_capture_tells_what_became_of_every_frame() {
    let _machine = share_the_machine();
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("rules.v4"), RULES).expect("write the rules");
    std::fs::write(file("ssh.toml"), SCENARIO).expect("write the scenario");

    let capture = file("scan.pcapng");
    let scan = ["scan", "--rules", &file("rules.v4"), "--listen", "22", "-sS", "-sX", "-p", "22,80,81"];
    let ended = run(&[&scan[..], &["--pcap", &capture]].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let frames = shown(&capture);
    let ssh = "syn of port 22 (ipv4)";
    assert_one(&frames, "1", "S", &[ssh, ": open (syn-ack ttl 64)", "accepted by line 3  -A INPUT -p tcp --dport 22"]);
    assert_one(&frames, "2", "AS", &["the answer to", ssh]);
    assert_one(&frames, "1", "R", &["follows", ssh]);
    assert_one(&frames, "1", "S", &["syn of port 80", "filtered (no-response)", "log: <b>HTTP</b>: IN=eth0"]);
    assert_one(&frames, "1", "S", &["syn of port 81", "rejected by line 5"]);
    assert_one(&frames, "1", "UPF", &["xmas of port 80", "filter INPUT 2, line 4: continue"]);
    let fences = |direction: &str| {
        let is_fence = |frame: &&Shown| frame.direction.ends_with(direction) && frame.comment.contains("a fence");
        frames.iter().filter(is_fence).count()
    };
    assert!(fences("1") > 1 && fences("1") == fences("2"), "{} {}", fences("1"), fences("2"));
    assert!(frames.iter().any(|frame| frame.comment.contains("a canary")));

    let capture = file("run.pcapng");
    let ended = run(&["run", &file("ssh.toml"), "--pcap", &capture]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let frames = shown(&capture);
    assert_one(&frames, "1", "", &["packet row `udp to 53` (ipv4)", "dropped by line 2"]);
    let connect: Vec<&str> =
        frames.iter().filter(|frame| frame.comment.contains("connect of port 22")).map(|frame| &*frame.flags).collect();
    assert_eq!(connect, ["S", "AS", "A", "AR"]);
}

/// On a TUN there are no frames, but packets.
#[test]
fn a_capture_of_a_tun_has_packets() {
    let _machine = share_the_machine();
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("rules.v4"), RULES).expect("write the rules");
    let capture = file("tun.pcapng");
    let ended = run(&["scan", "--rules", &file("rules.v4"), "--link", "tun", "-p", "22-81", "-sN", "--pcap", &capture]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let frames = shown(&capture);
    let probes = frames.iter().filter(|frame| frame.comment.starts_with("null of port")).count();
    assert_eq!(probes, 60);
    assert!(frames.iter().any(|frame| frame.comment.contains("a fence")));
}

fn run(words: &[&str]) -> Ended {
    ended(Command::new(env!("CARGO_BIN_EXE_scanlab")).args(words).output().expect("scanlab starts"))
}
