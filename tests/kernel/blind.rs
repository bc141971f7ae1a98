//! A blind instrument is an error of its own: exit status 3, never a mismatch. Needs root.

use crate::support::binary;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::binary::{HARDENED, NF_LOG_ALL_NETNS, have_the_machine_alone, run, share_the_machine};
use scanlab::error::{CannotMeasure, Error};
use scanlab::intent::scenario::Scenario;
use scanlab::lab::{Fault, Flavour, Lab, LabOptions, LabSpec, Sabotage};

#[test]
fn a_namespace_without_loggers_cannot_measure() {
    let _machine = share_the_machine();
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    let equipment = LabOptions::usual(Flavour::Auto, &std::env::var("PATH").unwrap_or_default()).expect("iptables");
    let host = Scenario::load(HARDENED.as_ref()).expect("a scenario").host;
    let spec = LabSpec {
        watch: scanlab::lab::WatchedEvents::Replies,
        ..LabSpec::new(&equipment, &host.interface, &host.addresses, &[])
    };
    Lab::run(&spec, |_| Ok(())).expect("without the fault it measures");
    let blind = LabSpec { fault: Some(Sabotage::new(Fault::BlindLog)), ..spec };
    let error = Lab::run(&blind, |_| Ok(())).expect_err("nothing is logged");
    assert!(matches!(error, Error::CannotMeasure(CannotMeasure::Blind { .. })), "{error}");
    assert_eq!(error.exit_status(), 3);
}

/// Containers mount other files over `/dev/kmsg`: one that is at its end at once, one that never ends, one that is no
/// device.
#[test]
fn another_device_in_the_place_of_the_kernels_log_is_blind_at_once() {
    let _machine = share_the_machine();
    let with = |other: &str, capture: &str| {
        let script = format!("mount --bind {other} /dev/kmsg && exec timeout 60 \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_scanlab"), "run", PLAIN]);
        command.args(["--quiet", "--capture", capture]).current_dir(env!("CARGO_MANIFEST_DIR"));
        binary::ended(command.output().expect("unshare"))
    };
    for other in ["/dev/null", "/dev/zero", "/etc/hostname"] {
        let ended = with(other, "kmsg");
        assert_eq!(ended.status, Some(3), "{other}: {}", ended.stderr);
        assert!(ended.stderr.contains("kernel log is blind") && ended.stderr.contains("--capture nflog"), "{ended:?}");
    }
    let ended = with("/dev/null", "auto");
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "what nobody asked for is chosen by what there is");
}

const PLAIN: &str = "scenarios/own-ruleset.toml";

const REJECTS: &str = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 23 -j REJECT\nCOMMIT\n";

mod alone {
    use super::*;

    /// Another program disables LOG rules. A run that is affected reports it; one that is not has the right results.
    #[test]
    fn a_kernel_that_is_told_to_log_nothing_is_an_error_and_no_mismatch() {
        let _machine = have_the_machine_alone();
        let healthy = run(&[HARDENED]);
        assert_eq!(healthy.status, Some(0), "{}", healthy.stderr);
        let before = fs::read_to_string(NF_LOG_ALL_NETNS).expect("this needs root");
        let done = AtomicBool::new(false);
        let harmed: Vec<_> = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::write(NF_LOG_ALL_NETNS, "0").expect("write the sysctl");
                }
            });
            let harmed = (0..5).map(|_| run(&[HARDENED])).collect();
            done.store(true, Ordering::Relaxed);
            harmed
        });
        fs::write(NF_LOG_ALL_NETNS, before.trim()).expect("write the sysctl");
        assert!(harmed.iter().any(|ended| ended.status == Some(3)), "nothing was harmed");
        for ended in harmed {
            match ended.status {
                Some(3) => assert!(ended.stderr.contains("could not measure"), "{}", ended.stderr),
                Some(0) => assert_eq!(ended.stdout, healthy.stdout),
                status => panic!("status {status:?}: {}\n{:?}", ended.stderr, ended.not_matched()),
            }
        }
    }

    /// Found by `just soak`: ICMPv6 errors of other programs left no room for those of the lab, and rejecting ports,
    /// and closed UDP ports, were reported as silent.
    #[test]
    fn errors_that_the_host_cannot_send_are_no_silence() {
        let _machine = have_the_machine_alone();
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("rules.v6"), REJECTS).expect("write the rules");
        let fills = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/full_icmp_socket.py");
        let mut command = Command::new("unshare");
        command.args(["--net", "python3"]).arg(fills).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut filler = command.spawn().expect("this needs root and python3 (hint: see .ci/setup tests)");
        let mut processor = String::new();
        let mut said = BufReader::new(filler.stdout.take().expect("a pipe"));
        said.read_line(&mut processor).expect("the filler says when it is done");
        let scan = |technique: &str| {
            let mut scan = Command::new("taskset");
            scan.args([
                "--cpu-list",
                processor.trim(),
                env!("CARGO_BIN_EXE_scanlab"),
                "scan",
                "-6",
                "--rules6",
                "rules.v6",
            ]);
            scan.args(["--scan", technique, "-p", "23"]).current_dir(&folder);
            binary::ended(scan.output().expect("taskset"))
        };
        let while_full = ["syn", "udp"].map(scan);
        drop(filler.stdin.take());
        assert!(filler.wait().expect("the filler ends").success());
        for ended in while_full {
            assert_eq!(ended.status, Some(3), "{}{}", ended.stdout, ended.stderr);
            assert!(ended.stderr.contains("1 of the host's errors could not be sent"), "{}", ended.stderr);
        }
        let [syn, udp] = ["syn", "udp"].map(scan);
        assert!(syn.stdout.contains("port-unreach") && udp.stdout.contains("closed"), "{}{}", syn.stdout, udp.stdout);
    }
}
