//! Probes per second, compared in one run with a bare write/read loop through the same interface and the same rules;
//! and the wall time of the whole default run. `cargo bench` as root; `cargo bench -- --link tun` for a TUN. Labs that
//! read the kernel's log wait for those of other programs: the machine should be idle.

use std::process::Command;
use std::time::{Duration, Instant};

use scanlab::error::{Result, Source};
use scanlab::lab::{
    Capture, Flavour, HOST_MAC, HostService, Lab, LabOptions, LabSpec, LinkMode, PROBER_MAC, WatchedEvents,
};
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName, Protocol};
use scanlab::probe::scan::Technique;
use scanlab::probe::scan_pass::PassNumbering;
use scanlab::probe::{Ends, Probe};
use scanlab::rules::generate;
use scanlab::rules::iptables_save::Listing;
use scanlab::sensor::SensorFile;

const SENSOR: &str = "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\n\
    watched = { HTTP = 80, HTTPS = 443, SMB = [139, 445], ADB = 5555 }\n";

/// Rounds of each, in turn, so that a change of the machine's speed affects both.
const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let source = Source { name: "<bench>".into(), text: SENSOR.into() };
    let generated = generate::generate(&SensorFile::parse(source)?.sensor);
    let rules = Source { name: "rules.v4".into(), text: generated.v4.into() };
    let open = Source { name: "open.v4".into(), text: "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n".into() };
    let link = if std::env::args().any(|word| word == "tun") { LinkMode::Tun } else { LinkMode::Tap };
    println!("{:<34} {:>12} {:>12} {:>7}", format!("65535 ports, {link:?}"), "scanlab/s", "bare/s", "ratio");
    let usual = LabOptions { link, ..LabOptions::usual(Flavour::Auto, "")? };
    for technique in [Technique::Xmas, Technique::Ack, Technique::Syn] {
        compare(&format!("{technique}, the sensor's ruleset"), technique, &rules, WatchedEvents::Replies, &usual)?;
        compare(&format!("{technique}, no rules (all answered)"), technique, &open, WatchedEvents::Replies, &usual)?;
        compare(&format!("{technique}, the sensor's rules, path"), technique, &rules, WatchedEvents::Paths, &usual)?;
        compare(&format!("{technique}, no rules, path"), technique, &open, WatchedEvents::Paths, &usual)?;
    }
    let logged = Source { name: "log.v4".into(), text: "*filter\n-A INPUT -j LOG\nCOMMIT\n".into() };
    for capture in [Capture::Kmsg, Capture::Nflog] {
        let equipment = LabOptions { capture, ..usual.clone() };
        compare(&format!("syn, all logged, {capture:?}"), Technique::Syn, &logged, WatchedEvents::Replies, &equipment)?;
    }
    let legacy = LabOptions { link, ..LabOptions::usual(Flavour::Legacy, "")? };
    compare("syn, legacy, the sensor's ruleset", Technique::Syn, &rules, WatchedEvents::Replies, &legacy)?;
    compare("syn, legacy, its rules, path", Technique::Syn, &rules, WatchedEvents::Paths, &legacy)?;
    default_run(link);
    growth();
    Ok(())
}

/// The time for each line of rulesets that grow tenfold: the ratio to the smallest stays near 1 if reading is linear.
fn growth() {
    println!("{:<34} {:>12} {:>12} {:>7}", "reading", "lines", "ns/line", "ratio");
    for (name, line) in [
        (
            "rules",
            (|at: usize| format!("-A INPUT -s 10.{}.{}.1 -j DROP\n", at >> 8 & 255, at & 255)) as fn(usize) -> String,
        ),
        ("chains", |at: usize| format!(":c{at} - [0:0]\n")),
        ("rules at the top", |_: usize| "-I INPUT -p tcp --dport 22 -j DROP\n".to_owned()),
    ] {
        let mut smallest = None;
        for count in [1_000, 10_000, 100_000] {
            let lines: String = (0..count).map(line).collect();
            let source = Source { name: "rules.v4".into(), text: format!("*filter\n{lines}COMMIT\n").into() };
            let start = Instant::now();
            std::hint::black_box(Listing::parse(Family::Ipv4, &source));
            let each = start.elapsed().as_secs_f64() / count as f64;
            let ratio = each / *smallest.get_or_insert(each);
            println!("{name:<34} {count:>12} {:>12.0} {ratio:>7.2}", each * 1e9);
        }
    }
}

fn compare(
    name: &str,
    technique: Technique,
    rules: &Source,
    watch: WatchedEvents,
    equipment: &LabOptions,
) -> Result<()> {
    let (interface, addresses) = (InterfaceName::default(), Addresses::default());
    let services = [HostService { protocol: Protocol::Tcp, port: Port(22), greeting: None }];
    let rulesets = [(Family::Ipv4, rules)];
    let blueprint =
        LabSpec { services: &services, watch, ..LabSpec::new(equipment, &interface, &addresses, &rulesets) };
    let mut numbering = PassNumbering::new(1);
    let mut phase = numbering.phase(technique, Family::Ipv4, addresses);
    let probes: Vec<Probe> = (1..=u16::MAX).map(|port| phase.probe(Port(port), 0)).collect();
    let ends = Ends { prober: PROBER_MAC, host: HOST_MAC };
    let frames: Vec<Vec<u8>> = probes.iter().map(|probe| probe.frame(&ends)).collect();
    let mut times: Vec<(Duration, Duration)> = Lab::run(&blueprint, |lab| {
        (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                lab.send(&probes)?;
                let ours = start.elapsed();
                let start = Instant::now();
                lab.bare_loop(&frames)?;
                Ok((ours, start.elapsed()))
            })
            .collect::<Result<_>>()
    })?;
    times.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let median = times[times.len() / 2];
    let rate = |time: Duration| probes.len() as f64 / time.as_secs_f64();
    println!("{name:<34} {:>12.0} {:>12.0} {:>7.2}", rate(median.0), rate(median.1), ratio(&median));
    Ok(())
}

/// The speed of probes relative to the bare loop.
fn ratio((ours, bare): &(Duration, Duration)) -> f64 {
    bare.as_secs_f64() / ours.as_secs_f64()
}

fn default_run(link: LinkMode) {
    let link = if link == LinkMode::Tun { "tun" } else { "tap" };
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let run = Command::new(env!("CARGO_BIN_EXE_scanlab"))
                .args(["demo", "--link", link])
                .output()
                .expect("scanlab runs");
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "the whole default run, wall time: median {:?}, of {ROUNDS} from {:?} to {:?}",
        times[ROUNDS / 2],
        times[0],
        times[ROUNDS - 1]
    );
}
