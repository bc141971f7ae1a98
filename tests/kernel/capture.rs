//! The two captures side by side: the kernel's own log, and lines rendered from NFLOG. The same packets meet the same
//! rules, and every line is the same to the byte. Needs root.

use std::fs;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::binary::{
    Ended, HARDENED, NF_LOG_ALL_NETNS, ended, have_the_machine_alone, run, share_the_machine,
};
use scanlab::error::{CannotMeasure, Error, Source};
use scanlab::lab::{
    Capture, Fault, Flavour, HOST_MAC, HostService, Lab, LabOptions, LabSpec, PROBER_MAC, Sabotage, WatchedEvents,
};
use scanlab::log_line::{LogFlags, LogLine};
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName, Protocol};
use scanlab::probe::Ends;
use scanlab::probe::scan::Technique;
use scanlab::probe::scan_pass::{PassNumbering, SEED};
use serde_json::Value;

const OPEN: Port = Port(22);

fn equipment(flavour: Flavour, capture: Capture) -> LabOptions {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    let path = std::env::var("PATH").unwrap_or_default();
    LabOptions { capture, ..LabOptions::usual(flavour, &path).expect("iptables") }
}

fn in_a_lab<T: Send>(
    equipment: &LabOptions,
    ruleset: &str,
    fault: Option<std::sync::Arc<Sabotage>>,
    work: impl FnOnce(&mut Lab) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let ruleset = Source { name: "<test>".into(), text: ruleset.into() };
    let (interface, addresses) = (InterfaceName::default(), Addresses::default());
    let rulesets = [(Family::Ipv4, &ruleset), (Family::Ipv6, &ruleset)];
    let spec = LabSpec {
        services: &[HostService { protocol: Protocol::Tcp, port: OPEN, greeting: None }],
        watch: WatchedEvents::Replies,
        fault,
        ..LabSpec::new(equipment, &interface, &addresses, &rulesets)
    };
    Lab::run(&spec, work)
}

/// The beginning of every line of these rules.
const MARKER: &str = "capture \\\"q\\\\ ";
const MARKER_PRINTED: &str = "capture \"q\\ ";

fn log(number: u8, flags: u8) -> String {
    let flags = LogFlags::from_bits(flags);
    let given = LogFlags::OPTIONS.into_iter().filter(|(_, flag)| flags.has(*flag));
    let given: Vec<&str> = given.map(|(option, _)| option).collect();
    format!("-j LOG --log-level 7 --log-prefix \"{MARKER}{number}: \" {}", given.join(" "))
}

/// Every set of options in INPUT and OUTPUT; marks; the tables before and after. All packets are accepted.
fn ruleset() -> String {
    let each =
        |chain: &str| (0..LogFlags::COUNT).map(|bits| format!("-A {chain} {}\n", log(bits, bits))).collect::<String>();
    let all = LogFlags::COUNT - 1;
    [
        format!(
            "*raw\n-A PREROUTING {}\n-A OUTPUT -j LOG --log-prefix \"{MARKER}30 bytes and more: \"\nCOMMIT\n",
            log(90, all)
        ),
        format!("*mangle\n-A PREROUTING -j MARK --set-mark 0xffffffff\n-A PREROUTING {}\n", log(91, 0)),
        format!("-A OUTPUT -j MARK --set-mark 0x2a\n-A POSTROUTING {}\nCOMMIT\n", log(92, all)),
        format!("*filter\n{}{}COMMIT\n", each("INPUT"), each("OUTPUT")),
    ]
    .concat()
}

fn ends() -> Ends {
    Ends { prober: PROBER_MAC, host: HOST_MAC }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet; `fragment` is the whole field, `options` are padded.
fn ipv4(ends: (IpAddr, IpAddr), fragment: u16, options: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header_length = 20 + options.len();
    let length = ((header_length + payload.len()) as u16).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let first = 0x40 | (header_length / 4) as u8;
    let mut header = vec![first, 0xff, length[0], length[1], 0x12, 0x34, fragment[0], fragment[1], 57, protocol, 0, 0];
    header.extend(octets(ends.0));
    header.extend(octets(ends.1));
    header.extend(options);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

fn ipv6(ends: (IpAddr, IpAddr), next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let header = [0x6a, 0xbc, 0xde, 0xf1, length[0], length[1], next, 57];
    [&header[..], &octets(ends.0), &octets(ends.1), payload].concat()
}

fn ip(ends: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Vec<u8> {
    if ends.0.is_ipv4() { ipv4(ends, 0, &[], protocol, payload) } else { ipv6(ends, protocol, payload) }
}

/// Returns the payload with its checksum at byte `at`.
fn summed(ends: (IpAddr, IpAddr), protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let pseudo = [&octets(ends.0)[..], &octets(ends.1), &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat();
    let is_icmp = protocol == 1;
    let sum = checksum(&[if is_icmp { &[] } else { &pseudo }, &payload]);
    payload[at..at + 2].copy_from_slice(&sum);
    payload
}

fn tcp(ends: (IpAddr, IpAddr), port: u16, reserved: u8, flags: u8, options: &[u8]) -> Vec<u8> {
    let port = port.to_be_bytes();
    let offset = ((20 + options.len()) / 4) as u8;
    let header =
        [0x9c, 0x40, port[0], port[1], 255, 255, 255, 254, 1, 2, 3, 4, offset << 4 | reserved, flags, 4, 0, 0, 0, 0, 7];
    summed(ends, 6, [&header[..], options].concat(), 16)
}

fn udp(ends: (IpAddr, IpAddr), protocol: u8, port: u16) -> Vec<u8> {
    let port = port.to_be_bytes();
    summed(ends, protocol, vec![0x9c, 0x41, port[0], port[1], 0, 12, 0, 0, 1, 2, 3, 4], 6)
}

fn icmp(ends: (IpAddr, IpAddr), kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let protocol = if ends.0.is_ipv4() { 1 } else { 58 };
    summed(ends, protocol, [&[kind, code, 0, 0], &rest[..], quoted].concat(), 2)
}

/// The transports of both families.
fn transports(ends: (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
    let icmp_protocol = if ends.0.is_ipv4() { 1 } else { 58 };
    let mss = [2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 1, 1];
    let mut packets = vec![
        ip(ends, 6, &tcp(ends, 22, 0, 2, &mss)),
        ip(ends, 6, &tcp(ends, 23, 0, 2, &mss)),
        ip(ends, 6, &tcp(ends, 23, 0, 0, &[])),
        ip(ends, 6, &tcp(ends, 23, 1, 0x29, &[])),
        ip(ends, 6, &tcp(ends, 23, 15, 0xff, &[])),
        ip(ends, 6, &tcp(ends, 23, 0, 2, &[])[..10]),
        ip(ends, 6, &[&tcp(ends, 23, 0, 2, &[1; 40])[..], b"payload"].concat()),
        // A header whose length field exceeds the packet.
        ip(ends, 6, &[&tcp(ends, 23, 0, 2, &[])[..12], &[0xf0, 2, 4, 0, 0, 0, 0, 0, 9, 9]].concat()),
        ip(ends, 17, &udp(ends, 17, 9)),
        ip(ends, 17, &udp(ends, 17, 9)[..3]),
        ip(ends, 136, &udp(ends, 136, 9)),
        ip(ends, 136, &[]),
        ip(ends, 51, &[6, 4, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ip(ends, 51, &[6, 4, 0, 0, 0x12]),
        ip(ends, 50, &[0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 9, 9]),
        ip(ends, 50, &[0x12, 0x34]),
        ip(ends, 47, &[0; 8]),
        ip(ends, 132, &[0; 16]),
        ip(ends, 255, &[]),
        ip(ends, icmp_protocol, &[8, 0, 0]),
        ip(ends, icmp_protocol, &[]),
    ];
    let back = (ends.1, ends.0);
    let quotes = [
        ip(back, 6, &tcp(back, 80, 0, 2, &mss)),
        ip(back, 17, &udp(back, 17, 53)),
        ip(back, icmp_protocol, &icmp(back, 3, 4, [0, 0, 5, 0x78], &[0x45; 60])),
        ip(back, 6, &tcp(back, 80, 0, 2, &[])[..9]),
        vec![0x45; 19],
        vec![0x40; 28],
        vec![0x4f; 70],
        vec![0x60; 39],
        Vec::new(),
    ];
    for kind in [0, 1, 2, 3, 4, 5, 8, 9, 11, 12, 13, 14, 17, 18, 19, 40, 128, 129, 130, 133, 135, 136, 200, 255] {
        for quoted in &quotes {
            packets.push(ip(ends, icmp_protocol, &icmp(ends, kind, 4, [10, 0, 5, 0x78], quoted)));
        }
    }
    packets
}

fn ipv4_only(ends: (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
    let segment = tcp(ends, 23, 0, 2, &[]);
    let mut packets = Vec::new();
    for fragment in [0x8000, 0x4000, 0x2000, 0x2003, 0x1fff, 0xe001] {
        for protocol in [1, 6, 17, 50, 51, 136, 47] {
            packets.push(ipv4(ends, fragment, &[], protocol, &segment));
        }
    }
    packets.push(ipv4(ends, 0, &[0x94, 4, 0, 0], 6, &segment));
    packets.push(ipv4(ends, 0, &[1; 40], 6, &segment));
    packets
}

fn ipv6_only(ends: (IpAddr, IpAddr)) -> Vec<Vec<u8>> {
    let segment = tcp(ends, 23, 0, 2, &[]);
    let pad = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next: u8, field: u16| {
        let [high, low] = field.to_be_bytes();
        vec![next, 0, high, low, 0xde, 0xad, 0xbe, 0xef]
    };
    let ah = |next: u8| vec![next, 4, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let routing = |next: u8| vec![next, 0, 4, 0, 0, 0, 0, 0];
    let chains: [(u8, Vec<Vec<u8>>); 22] = [
        (0, vec![pad(6), segment.clone()]),
        (60, vec![pad(6), segment.clone()]),
        (43, vec![routing(6), segment.clone()]),
        (0, vec![pad(43), routing(60), pad(6), segment.clone()]),
        (44, vec![fragment(6, 1), segment.clone()]),
        (44, vec![fragment(6, 8), segment.clone()]),
        (44, vec![fragment(6, 0xfff9), segment.clone()]),
        (44, vec![fragment(60, 8), pad(6)]),
        (44, vec![fragment(58, 8), vec![1; 8]]),
        (44, vec![fragment(17, 8), vec![1; 8]]),
        (44, vec![fragment(51, 8), ah(6)]),
        (44, vec![fragment(50, 8), vec![1; 8]]),
        (44, vec![vec![6, 0, 0]]),
        (51, vec![ah(6), segment.clone()]),
        (51, vec![vec![6, 4, 0, 0]]),
        (50, vec![vec![0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1]]),
        (50, vec![vec![0x12, 0x34, 0x56]]),
        (60, vec![vec![6]]),
        (60, vec![pad(59), vec![1, 2]]),
        (59, vec![segment.clone()]),
        // Lengths beyond the end of the packet.
        (60, vec![vec![6, 200, 1, 4, 0, 0, 0, 0]]),
        // The last one does not fit into the kernel's buffer for a line.
        (60, (0..160).map(|_| pad(60)).collect()),
    ];
    let chains = chains.into_iter().take(if printk_holds_the_whole_buffer() { 22 } else { 21 });
    chains.map(|(next, headers)| ipv6(ends, next, &headers.concat())).collect()
}

/// Before Linux 6.3 printk has less room for a line than netfilter (`LOG_LINE_MAX` in kernel/printk/printk.c, 992 bytes
/// with the level). It cuts off the end of the line, so that the log has no such record before the next one is printed,
/// and the record would be read as a line of the next packet.
fn printk_holds_the_whole_buffer() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().expect("a number"));
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&HOST_MAC.0[..], &PROBER_MAC.0, &ethertype, packet].concat()
}

fn probes() -> Vec<Vec<u8>> {
    let mut numbering = PassNumbering::new(SEED);
    let mut frames = Vec::new();
    for family in Family::BOTH {
        for technique in Technique::ALL {
            let mut phase = numbering.phase(technique, family, Addresses::default());
            frames.extend([OPEN, Port(23)].map(|port| phase.probe(port, 0).frame(&ends())));
        }
    }
    frames
}

/// Frames that are sent on the link, and packets that the host itself sends, each with its destination.
type Stimuli = (Vec<Vec<u8>>, Vec<(Vec<u8>, IpAddr)>);

fn stimuli() -> Vec<Stimuli> {
    let addresses = Addresses::default();
    let mut arriving = probes();
    let mut sent = Vec::new();
    for family in Family::BOTH {
        let (host, prober) = (addresses.host(family), addresses.prober(family));
        let special = family.pick(ipv4_only((prober, host)), ipv6_only((prober, host)));
        arriving.extend(transports((prober, host)).iter().chain(&special).map(|packet| frame(packet)));
        let loopback: IpAddr =
            if family == Family::Ipv4 { "127.0.0.1".parse() } else { "::1".parse() }.expect("an address");
        for destination in [prober, loopback, host] {
            let ends = (if destination == prober { host } else { destination }, destination);
            let packets = [ip(ends, 17, &udp(ends, 17, 9)), ip(ends, 6, &tcp(ends, 23, 0, 2, &[2, 4, 5, 0xb4]))];
            sent.extend(packets.map(|packet| (packet, destination)));
        }
    }
    // The host receives its own multicast packets.
    let everybody: (IpAddr, IpAddr) = (addresses.v6.host.into(), "ff02::1".parse().expect("an address"));
    sent.push((ip(everybody, 17, &udp(everybody, 17, 9)), everybody.1));
    // One by one: each causes a hundred lines, and the kernel's log holds about 600.
    let arriving = arriving.into_iter().map(|frame| (vec![frame], Vec::new()));
    arriving.chain(sent.into_iter().map(|packet| (Vec::new(), vec![packet]))).collect()
}

fn lines(flavour: Flavour, capture: Capture, stimuli: &[Stimuli]) -> Vec<Vec<String>> {
    let of_each = |lab: &mut Lab| stimuli.iter().map(|(frames, packets)| lab.lines_of(frames, packets)).collect();
    let lines: Vec<Vec<String>> = in_a_lab(&equipment(flavour, capture), &ruleset(), None, of_each).expect("a lab");
    // The kernel reports its IPv6 groups (MLD) at any time.
    let ours = |line: &String| line.starts_with(MARKER_PRINTED) && !line.contains(" TYPE=143 ");
    lines.into_iter().map(|lines| lines.into_iter().filter(ours).map(|line| without_chance(&line)).collect()).collect()
}

/// Masks the random numbers of the host, which differ from lab to lab: the sequence number of its SYN/ACK, the
/// identification of an ICMP message, the flow label of its packets (a hash with a secret).
fn without_chance(line: &str) -> String {
    let is_sent = line.contains("IN= OUT=") || line.contains("IN=lo ");
    if !is_sent { line.to_owned() } else { masked(masked(masked(line.to_owned(), " SEQ="), " ID="), " FLOWLBL=") }
}

/// Masks the first value of `key`.
fn masked(line: String, key: &str) -> String {
    let Some((before, after)) = line.split_once(key) else { return line };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{key}?{after}")
}

/// Checks that the lines contain all this, or the comparison would prove nothing.
fn assert_covers(lines: &[String]) {
    for part in [
        "IN=lo OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00 ",
        "MACPROTO=86dd",
        "IN=eth0 OUT= MAC= SRC=2001:0db8:0113:0000:0000:0000:0000:0010 DST=ff02:",
        "IN=eth0 OUT= SRC=2001:0db8:0113:0000:0000:0000:0000:0010 DST=ff02:",
        "IN= OUT=eth0",
        "OPT (020405B4",
        "OPT (TRUNCATED)",
        "RES=0x38 AE CWR ECE URG ACK PSH RST SYN FIN",
        "SEQ=4294967294 ACK=16909060",
        "UID=0 GID=0",
        "MARK=0xffffffff",
        "MARK=0x2a",
        "CE DF MF FRAG:1",
        "GATEWAY=10.0.5.120",
        "PARAMETER=10",
        "MTU=1400",
        "POINTER=0a000578",
        "[TRUNCATED] ",
        "[SRC=",
        "PROTO=AH SPI=0x12345678",
        "PROTO=UDPLITE INCOMPLETE [0 bytes]",
        "OPT ( FRAG:65528 INCOMPLETE ID:deadbeef )",
        "OPT ( AH SPI=0x12345678 )",
        "OPT ( ESP INCOMPLETE [3 bytes] )",
        "TC=171 HOPLIMIT=57 FLOWLBL=843505",
        "30 bytes and moreIN=",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "no line holds {part:?}");
    }
    assert!(lines.iter().all(|line| LogLine::parse(line).is_some()));
}

/// The kernel's log from now on.
struct Log(fs::File);

impl Log {
    fn open() -> Log {
        const NONBLOCKING: i32 = 0o4000;
        let mut file = fs::OpenOptions::new().read(true).custom_flags(NONBLOCKING).open("/dev/kmsg").expect("root");
        file.seek(SeekFrom::End(0)).expect("the end of the log");
        Log(file)
    }

    /// The number of lines since then that contain `part`.
    fn count(&mut self, part: &str) -> usize {
        let (mut count, mut buffer) = (0, vec![0; 16 << 10]);
        loop {
            match self.0.read(&mut buffer) {
                Ok(length) => count += usize::from(String::from_utf8_lossy(&buffer[..length]).contains(part)),
                // Overwritten lines are unknown: the lab under test has ended by then, or logs other text.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A host that no other lab of this machine has, so that its lines can be distinguished.
const OWN_HOST: &str = "addresses = { v4 = \"198.51.100.77/24\", v6 = \"2001:db8:77::77/64\" }\nprober = { v4 = \"198.51.100.78\", v6 = \"2001:db8:77::78\" }\n";
const OWN_ADDRESS: &str = "DST=198.51.100.77 ";

/// Runs scanlab with a private file in place of the sysctl that enables LOG rules. Returns true if the file was
/// written.
fn with_a_sysctl_of_its_own(arguments: &[&str]) -> (Ended, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let sysctl = folder.path().join("nf_log_all_netns");
    fs::write(&sysctl, "0\n").expect("write the file");
    let written = || fs::metadata(&sysctl).expect("the file").modified().expect("a time");
    let before = written();
    let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(&sysctl).arg(NF_LOG_ALL_NETNS);
    command.arg(env!("CARGO_BIN_EXE_scanlab")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let ended = ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("unshare(1)"));
    (ended, written() != before)
}

/// The hardened scenario with these keys added to its host.
fn scenario(folder: &Path, host: &str) -> String {
    let path = folder.join("s.toml");
    fs::write(&path, format!("{}{host}", fs::read_to_string(HARDENED).expect("a scenario"))).expect("write the file");
    path.to_str().expect("UTF-8").to_owned()
}

/// The sensor of that scenario, as `check` reads it.
fn sensor(folder: &Path, host: &str) -> String {
    let scenario = scenario(folder, host);
    let text = fs::read_to_string(&scenario).expect("the scenario");
    fs::write(&scenario, text.lines().filter(|line| !line.starts_with("title")).collect::<Vec<_>>().join("\n"))
        .expect("write the file");
    scenario
}

#[test]
fn the_hosts_log_gets_no_line_and_its_sysctl_is_not_written() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let scenario_file = scenario(folder.path(), OWN_HOST);
    let mut log = Log::open();
    let (kmsg, written) = with_a_sysctl_of_its_own(&["run", "--capture", "kmsg", &scenario_file]);
    assert!(written, "with kmsg the sysctl is written: {}", kmsg.stderr);
    let with_kmsg = run(&[scenario_file.as_str(), "--capture", "kmsg"]);
    assert_eq!(with_kmsg.status, Some(0), "{}", with_kmsg.stderr);
    assert!(log.count(OWN_ADDRESS) > 0, "with kmsg there are lines");
    let (with_nflog, written) = with_a_sysctl_of_its_own(&["run", "--capture", "nflog", &scenario_file]);
    assert_eq!((with_nflog.status, written), (Some(0), false), "{}", with_nflog.stderr);
    assert_eq!(log.count(OWN_ADDRESS), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let (checked, written) =
        with_a_sysctl_of_its_own(&["check", "--sensor", &sensor(folder.path(), OWN_HOST), "--verbose"]);
    assert_eq!((checked.status, written), (Some(0), false), "{}", checked.stderr);
    assert_eq!(log.count(OWN_ADDRESS), 0);
    let said = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("a copy with NFLOG in place of LOG"), "{}", checked.stdout);
}

#[test]
fn both_captures_make_the_same_report() {
    let _machine = share_the_machine();
    for flavour in ["nft", "legacy"] {
        let report = |capture| {
            let ended = run(&["--iptables", flavour, "--capture", capture, "scenarios"]);
            assert_eq!(ended.report()["environment"]["capture"], capture);
            let mut report = ended.report();
            report["environment"]["capture"] = "either".into();
            (ended.status, report)
        };
        let (kmsg, nflog) = (report("kmsg"), report("nflog"));
        assert_eq!(kmsg.0, nflog.0);
        assert_same(&kmsg.1, &nflog.1, flavour);
    }
}

/// Compares reports, and shows where they differ, because they are long.
fn assert_same(one: &Value, other: &Value, path: &str) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{path}");
            one.iter().for_each(|(key, value)| assert_same(value, &other[key], &format!("{path}.{key}")));
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            let pairs = one.iter().zip(other).enumerate();
            pairs.for_each(|(index, (one, other))| assert_same(one, other, &format!("{path}[{index}]")));
        }
        _ => assert_eq!(one, other, "{path}"),
    }
}

#[test]
fn a_deaf_reader_and_a_socket_too_small_are_noticed() {
    let _machine = share_the_machine();
    for flavour in [Flavour::Nft, Flavour::Legacy] {
        let equipment = equipment(flavour, Capture::Nflog);
        in_a_lab(&equipment, &ruleset(), None, |_| Ok(())).expect("without a fault it measures");
        let sabotage = Sabotage::new(Fault::BlindLog);
        let found = in_a_lab(&equipment, &ruleset(), Some(sabotage.clone()), |_| Ok(()));
        let is_blind =
            matches!(found, Err(Error::CannotMeasure(CannotMeasure::Blind { instrument: "NFLOG socket", .. })));
        assert!(is_blind && sabotage.met() > 0, "{found:?}");
        let sabotage = Sabotage::new(Fault::LogOverrun);
        let send = |lab: &mut Lab| lab.lines_of(&probes(), &[]).map(drop);
        let found = in_a_lab(&equipment, &ruleset(), Some(sabotage.clone()), send);
        let is_lost =
            matches!(found, Err(Error::CannotMeasure(CannotMeasure::Loss { instrument: "NFLOG socket", .. })));
        assert!(is_lost && sabotage.met() > 0, "{found:?}");
    }
}

/// A packet that the ruleset itself logs to a group is no line of LOG, whatever groups the lab uses for its own.
#[test]
fn the_rulesets_own_groups_are_told_from_log() {
    let _machine = share_the_machine();
    let ruleset = "*filter\n-A INPUT -j NFLOG --nflog-group 65408 --nflog-prefix \"mine: \"\n-A INPUT -j LOG --log-prefix \"ours: \"\nCOMMIT\n";
    let lines =
        in_a_lab(&equipment(Flavour::Auto, Capture::Nflog), ruleset, None, |lab| lab.lines_of(&probes()[..1], &[]));
    let lines = lines.expect("a lab");
    let is_of_log = |line: &&String| line.starts_with("ours: ");
    let (ours, mine): (Vec<&String>, Vec<&String>) = lines.iter().partition(is_of_log);
    assert!(!ours.is_empty() && ours.len() == mine.len(), "{lines:?}");
    assert!(mine.iter().all(|line| line.starts_with("nflog:65408 mine: IN=")), "{lines:?}");
}

/// A refusal by iptables has the line of the user's file, since the copy is made later.
#[test]
fn a_ruleset_that_is_refused_is_refused_with_the_users_own_line() {
    let _machine = share_the_machine();
    let ruleset = "*filter\n-A INPUT -j LOG --log-prefix \"x\" --log-nothing\nCOMMIT\n";
    let equipment = equipment(Flavour::Auto, Capture::Nflog);
    // No lab of this process has the result of another one that the ruleset was accepted.
    for _ in 0..2 {
        let refused = in_a_lab(&equipment, ruleset, None, |_| Ok(())).expect_err("refused");
        let text = refused.to_string();
        assert!(matches!(refused, Error::Input(_)) && text.contains("<test>:2") && !text.contains("NFLOG"), "{text}");
    }
}

mod alone {
    use super::*;

    #[test]
    fn both_captures_say_the_same_to_the_byte() {
        // It logs so much to the kernel's log that other labs would wait too long for their turn.
        let _machine = have_the_machine_alone();
        let stimuli = stimuli();
        for flavour in [Flavour::Nft, Flavour::Legacy] {
            let (printed, rendered) =
                (lines(flavour, Capture::Kmsg, &stimuli), lines(flavour, Capture::Nflog, &stimuli));
            let mut different = Vec::new();
            for ((stimulus, printed), rendered) in stimuli.iter().zip(&printed).zip(&rendered) {
                for place in 0..printed.len().max(rendered.len()) {
                    let (one, other) = (printed.get(place), rendered.get(place));
                    if one != other {
                        different.push(format!("{stimulus:02x?}\n  printed  {one:?}\n  rendered {other:?}"));
                        break;
                    }
                }
            }
            let count = printed.iter().flatten().count();
            assert!(
                different.is_empty(),
                "{flavour:?}: {} of {}: {}",
                different.len(),
                stimuli.len(),
                different.join("\n")
            );
            assert!(count > 10_000, "{flavour:?}: only {count} lines");
            assert_covers(&printed.concat());
        }
    }
}
