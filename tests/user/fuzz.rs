//! All parsers of external bytes, with damaged examples: bits flipped, pieces removed, doubled, or inserted from other
//! examples. No parser panics or hangs, and its statements about the input are true.
//!
//! `PROPTEST_CASES=100000 cargo test --release --test user fuzz` is a long run. A failure prints the smallest input
//! that shows it, as the list of changes to an example; `PROPTEST_RNG_SEED` repeats the same inputs.

use std::fmt::Debug;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use proptest::prelude::*;
use proptest::sample::Index;
use scanlab::error::{Error, Source};
use scanlab::intent::scenario::{Packet, Scenario};
use scanlab::log_line::LogLine;
use scanlab::log_line::kmsg::KmsgRecord;
use scanlab::log_line::syslog::SyslogLine;
use scanlab::net::port::{Port, PortSet};
use scanlab::net::{Addresses, Family, InterfaceName, Mac};
use scanlab::probe::Ends;
use scanlab::probe::scan::Technique;
use scanlab::probe::scan_pass::{PassNumbering, SEED};
use scanlab::rules::iptables_save::{self, Edit, Listing};
use scanlab::rules::{generate, lint, mutant};
use scanlab::sensor::SensorFile;
use scanlab::sensor::mac_vendor::VendorDb;
use scanlab::text::escape;
use scanlab::wire::reply::Reply;

/// The time limit of a parser for a few kilobytes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest input, in bytes.
const LONGEST: usize = 16 << 10;

/// A change of bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: Index, bit: u8 },
    Set { at: Index, byte: u8 },
    Cut { at: Index },
    Remove { at: Index, length: usize },
    Insert { at: Index, bytes: Vec<u8> },
    Repeat { at: Index, length: usize, times: usize },
    Splice { at: Index, example: Index, from: Index, length: usize },
}

impl Damage {
    fn any() -> impl Strategy<Value = Damage> {
        let at = any::<Index>;
        prop_oneof![
            (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
            (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set { at, byte }),
            at().prop_map(|at| Damage::Cut { at }),
            (at(), 1usize..40).prop_map(|(at, length)| Damage::Remove { at, length }),
            (at(), piece()).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
            (at(), 1usize..40, 1usize..60).prop_map(|(at, length, times)| Damage::Repeat { at, length, times }),
            (at(), at(), at(), 1usize..80).prop_map(|(at, example, from, length)| Damage::Splice {
                at,
                example,
                from,
                length
            }),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>, examples: &[Vec<u8>]) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        let piece = |from: usize, length: usize| from..(from + length).min(bytes.len());
        match self {
            Damage::Flip { at, bit } => bytes.get_mut(at.index(LONGEST)).into_iter().for_each(|byte| *byte ^= 1 << bit),
            Damage::Set { at, byte } => bytes.get_mut(at.index(LONGEST)).into_iter().for_each(|old| *old = *byte),
            Damage::Cut { at } => bytes.truncate(place(at)),
            Damage::Remove { at, length } => drop(bytes.drain(piece(place(at), *length))),
            Damage::Insert { at, bytes: new } => {
                let at = place(at);
                drop(bytes.splice(at..at, new.iter().copied()));
            }
            Damage::Repeat { at, length, times } => {
                let at = place(at);
                let doubled = bytes[piece(at, *length)].repeat(*times);
                drop(bytes.splice(at..at, doubled));
            }
            Damage::Splice { at, example, from, length } => {
                let other = example.get(examples);
                let from = from.index(other.len() + 1);
                let at = place(at);
                drop(bytes.splice(at..at, other[from..(from + length).min(other.len())].iter().copied()));
            }
        }
        bytes.truncate(LONGEST);
    }
}

/// Random bytes, and words that are special to the parsers.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\n",
        "\r\n",
        " ",
        "\t",
        "\"",
        "\\",
        "'",
        "=",
        ":",
        ",",
        "-",
        "!",
        "[",
        "]",
        "#",
        "\0",
        "\u{1b}[31m",
        "é",
        "\u{202e}",
        "0",
        "-1",
        "65536",
        "4294967296",
        "99999999999999999999",
        "IN=",
        "OUT= ",
        "-A INPUT ",
        "-m ",
        "-j ",
        "COMMIT\n",
        "*filter\n",
        "\\x",
        "0x",
        "::",
        "ff:",
        "[[expect]]\n",
        "[sensor]\n",
        "Port ",
        "[Link]\n",
    ];
    prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..8),
    ]
}

/// One of the examples, damaged up to eight times, or not at all.
fn damaged(examples: &'static [Vec<u8>]) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), proptest::collection::vec(Damage::any(), 0..8)).prop_map(move |(which, damage)| {
        let mut bytes = which.get(examples).clone();
        damage.iter().for_each(|damage| damage.apply(&mut bytes, examples));
        bytes
    })
}

/// A damaged example as a text.
fn damaged_text(examples: &'static [Vec<u8>]) -> impl Strategy<Value = String> {
    damaged(examples).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The result of `work`; a panic is passed on, and a hang causes one.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || drop(done.send(work())));
    match result.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: no result within {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().expect_err("it panicked")),
    }
}

fn source(text: &str) -> Source {
    Source { name: "fuzz/input".into(), text: Arc::from(text) }
}

fn lines(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The files of the project that match these patterns.
fn files(patterns: &[&str]) -> Vec<Vec<u8>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let paths = patterns.iter().flat_map(|pattern| glob::glob(&format!("{root}/{pattern}")).expect("a pattern"));
    let mut paths: Vec<PathBuf> = paths.map(|path| path.expect("a readable folder")).collect();
    paths.sort();
    let read = paths.iter().map(|path| fs::read(path).expect("a file"));
    let examples: Vec<Vec<u8>> = read.filter(|bytes| bytes.len() <= LONGEST).collect();
    assert!(!examples.is_empty(), "{patterns:?}");
    examples
}

const RECORDS: &str = include_str!("../../src/log_line/captured-6.18.kmsg");

static KMSG: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| lines(RECORDS));
static LOG: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let text = |record: &[u8]| KmsgRecord::parse(record).expect("a captured record").text;
    let headers = ["", "Nov 23 16:01:30 sensor kernel: [  123.456789] ", "2026-11-23T16:01:30.1+00:00 sensor kernel: "];
    KMSG.iter().flat_map(|record| headers.map(|header| format!("{header}{}", text(record)).into_bytes())).collect()
});
static RULESETS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| files(&["tests/explanations/*.v[46]", "tests/paths/*.v[46]"]));
static SCENARIOS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| files(&["scenarios/**/*.toml", "tests/explanations/*.toml"]));
static SENSORS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    texts(&[
        "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nwatched = { HTTP = 80, SMB = [139, 445] }\nscans = [\"xmas\", \"null\"]\n\
         limit = { rate = \"5/min\", burst = 5 }\nprefix = \"<IPT> \"\ndeny = \"tcp\"\norder = \"hardened\"\n\n[host]\n\
         mac = \"00:0c:29:4f:8e:35\"\nvendor = \"VMware\"\nlisten = [22, 32232]\n",
        "[sensor]\nssh = [22, 2222]\nssh_from = [\"192.0.2.0/24\", \"2001:db8::/48\"]\ndeny = \"all\"\norder = \"article\"\n",
    ])
});
static LINKS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    texts(&[
        "# eth0\n[Match]\nOriginalName=eth0\n\n[Link]\nMACAddressPolicy=none\nMACAddress=00:0c:29:4f:8e:35\n",
        "[Link]\r\nMACAddress=\r\nMACAddress = 02:00:00:00:00:01\r\n; end",
    ])
});
static SSHD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    texts(&[
        "# comment\nPort 32232\nPort=\"22\"\nListenAddress 0.0.0.0:2222\nListenAddress [::]:2222\nMatch User x\nPort 1\n",
        "ListenAddress 203.0.113.10\nInclude none/*.conf\nAddressFamily any\n",
    ])
});
static PORTS: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| texts(&["22", "80-90", "-100", "60000-", "-", "1-21, 23,80-90,443"]));
static PACKETS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    texts(&[
        "tcp SYN to 80",
        "tcp FIN,PSH to 22",
        "tcp NONE to 1",
        "tcp ACK from 20 to 22",
        "tcp ACK to 40000 established by host",
        "udp to 53 from host to 192.0.2.1 established",
        "tcp SYN to 22 from host over lo",
    ])
});
static NAMES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| texts(&["eth0", "wlan0.7", "00:0c:29:4f:8e:35", "00-0C-29-4F-8E-35", "xmas", "ipv4"]));
static VENDORS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    texts(&[
        "OUI/MA-L                                                    Organization\ncompany_id\n\n\
         02-11-22   (hex)\t\tExample Works\n021122     (base 16)\t\tExample Works\n\t\t\t\t1 Road\n\n",
        "Registry,Assignment,Organization Name,Organization Address\nMA-L,021122,\"Example, Works\",\"1 Road\"\n",
        "# a comment\n021122 Example Works\n0211223 Smaller\n021122334 Smallest\n",
    ])
});

/// Probes of every technique in both families, and possible answers.
static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (prober, host) = ([2, 0, 0x5e, 0x10, 0, 0x66], [2, 0, 0x5e, 0x10, 0, 0x10]);
    let ends = Ends { prober: Mac(prober), host: Mac(host) };
    let (addresses, mut numbering) = (Addresses::default(), PassNumbering::new(SEED));
    let mut frames = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for technique in Technique::ALL {
            frames.push(numbering.phase(technique, family, addresses).probe(Port(80), 0).frame(&ends));
        }
    }
    let probes = frames.clone();
    let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(etherparse::icmpv4::DestUnreachableHeader::Port);
    let v4 = PacketBuilder::ethernet2(host, prober).ipv4([203, 0, 113, 10], [203, 0, 113, 66], 64);
    let mut frame = Vec::new();
    v4.icmpv4(unreachable).write(&mut frame, &probes[0][14..]).expect("a frame");
    frames.push(frame);
    let (v6_host, v6_prober) = (octets(addresses.host(Family::Ipv6)), octets(addresses.prober(Family::Ipv6)));
    let unreachable =
        etherparse::Icmpv6Type::DestinationUnreachable(etherparse::icmpv6::DestUnreachableCode::Prohibited);
    let mut frame = Vec::new();
    let v6 = PacketBuilder::ethernet2(host, prober).ipv6(v6_host, v6_prober, 64);
    v6.icmpv6(unreachable).write(&mut frame, &probes[Technique::ALL.len()][14..]).expect("a frame");
    frames.push(frame);
    let mut arp = [&prober[..], &host, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &host, &[203, 0, 113, 10], &prober].concat();
    arp.extend([203, 0, 113, 66]);
    frames.push(arp);
    frames
});

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Checks that an input error has a location within the text, and that nothing in it controls the terminal.
fn assert_fit_to_print<T: Debug>(result: Result<T, Error>) {
    let Err(Error::Input(error)) = result else { return };
    if let Some(place) = &error.place {
        let lines = place.source.text.lines().count().max(1);
        let length = place.source.text.len();
        assert!(place.source.line_of(place.span.start) <= lines + 1, "{error:?}");
        assert!(place.span.start <= length && place.span.end <= length, "{error:?}");
        assert!(place.span.start <= place.span.end, "{error:?}");
    }
    let shown = error.to_string();
    assert!(!shown.contains(|c| escape::is_terminal_control(c) && c != '\n'), "{shown:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames(frame in damaged(&FRAMES)) {
        in_time(move || {
            let reply = Reply::from_ethernet(&frame);
            let is_ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
            if is_ip {
                let mac = reply.as_ref().and_then(|reply| reply.mac);
                assert_eq!(reply, Reply::from_ip(&frame[14..]).map(|reply| Reply { mac, ..reply }));
            }
            assert_eq!(reply, Reply::from_ethernet(&frame), "it remembers");
            if let Some(flow) = reply.as_ref().and_then(Reply::flow) {
                let _ = reply.as_ref().is_some_and(|reply| reply.answers(&flow, 0));
            }
        });
    }

    #[test]
    fn log_lines(text in damaged_text(&LOG)) {
        in_time(move || {
            let Some(line) = LogLine::parse(&text) else { return };
            assert_eq!(line.to_string().trim_end(), text.trim_end());
            assert_eq!(LogLine::parse(&line.to_string()).as_ref(), Some(&line));
        });
    }

    #[test]
    fn lines_of_log_files(text in damaged_text(&LOG)) {
        in_time(move || {
            let read = SyslogLine::parse(&text);
            assert!(read.is_some() || LogLine::parse(&text).is_none(), "a header must not hide a line");
            let Some(read) = read else { return };
            assert!(read.header.host.as_ref().is_none_or(|host| read.header.text.contains(host)));
            assert!(read.header.time.as_ref().is_none_or(|time| read.header.text.contains(time)));
        });
    }

    #[test]
    fn kernel_log_records(record in damaged(&KMSG)) {
        in_time(move || {
            let Some(read) = KmsgRecord::parse(&record) else { return };
            assert_eq!(read.facility * 8 + u16::from(read.level), read.priority);
            let escape = |byte: u8| if (b' '..=b'~').contains(&byte) && byte != b'\\' { char::from(byte).to_string() } else { format!("\\x{byte:02x}") };
            let text: String = read.text.bytes().map(escape).collect();
            let again = format!("{},{},{},-;{text}\n", read.priority, read.sequence, read.timestamp_us);
            assert_eq!(KmsgRecord::parse(again.as_bytes()), Some(read));
        });
    }

    #[test]
    fn rulesets(text in damaged_text(&RULESETS), family in prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]) {
        in_time(move || {
            let listing = Listing::parse(family, &source(&text));
            let count = text.lines().count();
            for chain in listing.tables.iter().flat_map(|table| &table.chains) {
                assert!(chain.line.is_none_or(|line| (1..=count).contains(&line)), "{chain:?}");
            }
            for rule in listing.rules() {
                assert!((1..=count).contains(&rule.line), "{rule:?}");
                assert_eq!(text.get(rule.span.clone()), Some(rule.text.as_str()));
                for clause in &rule.clauses {
                    let own = rule.text.get(clause.span.clone()).expect("a clause of the rule's text");
                    let _ = (rule.without(clause), rule.negating(clause));
                    // A clause that is replaced by itself changes only blanks.
                    let squeezed = |text: &str| text.split_whitespace().map(str::to_owned).collect::<String>();
                    assert_eq!(squeezed(&rule.with(clause, own)), squeezed(&rule.text));
                }
                let _ = (rule.with_target(""), rule.log_prefix(), rule.limit(), rule.is_terminal());
            }
            assert_eq!(iptables_save::apply(&listing.source, &[]), listing.source);
        });
    }

    #[test]
    fn edits(text in damaged_text(&RULESETS), edits in proptest::collection::vec(edit(), 0..6)) {
        in_time(move || {
            let original = source(&text);
            let changed = iptables_save::apply(&original, &edits);
            let added = edits.iter().map(|edit| match edit {
                Edit::Replace { text, .. } | Edit::InsertBefore { text, .. } => text.split('\n').count(),
                Edit::Delete { .. } | Edit::Move { .. } => 0,
            });
            assert!(changed.text.lines().count() <= text.lines().count() + added.sum::<usize>());
            let _ = iptables_save::unified(&original, &edits);
            let _ = Listing::parse(Family::Ipv4, &changed);
        });
    }

    #[test]
    fn findings_of_rulesets(text in damaged_text(&RULESETS)) {
        in_time(move || {
            let text: String = text.chars().take(1200).collect();
            let listing = Listing::parse(Family::Ipv4, &source(&text));
            let count = text.lines().count().max(1);
            for finding in lint::lint(Some(&listing), Some(&listing)) {
                assert!((1..=count).contains(&finding.line), "{finding:?}");
            }
            for mutant in mutant::mutants(&listing) {
                assert_ne!(mutant.apply(&listing.source), listing.source, "{mutant:?}");
            }
        });
    }

    #[test]
    fn scenarios(text in damaged_text(&SCENARIOS)) {
        in_time(move || assert_fit_to_print(Scenario::parse_with(source(&text), &|_: &Path| Ok(source("*filter\nCOMMIT\n")))));
    }

    #[test]
    fn sensors(text in damaged_text(&SENSORS)) {
        in_time(move || {
            let read = SensorFile::parse(source(&text));
            if let Ok(SensorFile { sensor, .. }) = &read {
                let generated = generate::generate(sensor);
                for (family, text) in [(Family::Ipv4, generated.v4), (Family::Ipv6, generated.v6)] {
                    let listing = Listing::parse(family, &source(&text));
                    let prefixes: Vec<String> = listing.rules().filter_map(|rule| rule.log_prefix()).collect();
                    assert!(prefixes.iter().all(|prefix| prefix.starts_with(&sensor.prefix)), "{prefixes:?}");
                    // No name can insert a rule.
                    assert_eq!(text.matches("-j LOG").count(), prefixes.len(), "{text}");
                }
            }
            assert_fit_to_print(read);
        });
    }

    #[test]
    fn link_files(text in damaged_text(&LINKS)) {
        in_time(move || {
            let scenario = "title = \"t\"\n[sensor]\nssh = 22\n[host]\nlink = \"x.link\"\n";
            let read = Scenario::parse_with(source(scenario), &|_: &Path| Ok(source(&text)));
            let mac = read.as_ref().ok().and_then(|scenario| scenario.host.mac);
            assert!(mac.is_none_or(Mac::is_assignable));
            assert_fit_to_print(read);
        });
    }

    #[test]
    fn configurations_of_sshd(text in damaged_text(&SSHD)) {
        in_time(move || {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("sshd_config");
            fs::write(&path, text).expect("write the file");
            let sensor = format!("[sensor]\nssh = \"auto\"\nsshd_config = {:?}\n", path.to_str().expect("UTF-8"));
            let read = SensorFile::parse(source(&sensor));
            assert!(read.as_ref().is_ok_and(|file| !file.sensor.ssh.is_empty()) || read.is_err());
            assert_fit_to_print(read);
        });
    }

    #[test]
    fn sets_of_ports(text in damaged_text(&PORTS)) {
        in_time(move || {
            let Ok(set) = text.parse::<PortSet>() else { return };
            assert!(!set.is_empty());
            assert_eq!(set.to_string().parse::<PortSet>().as_ref(), Ok(&set));
            assert_eq!(set.iter().count(), set.len());
        });
    }

    #[test]
    fn packets(text in damaged_text(&PACKETS)) {
        in_time(move || {
            let Ok(packet) = text.parse::<Packet>() else { return };
            assert_eq!(packet.to_string().parse::<Packet>().ok(), Some(packet), "{text:?}");
        });
    }

    #[test]
    fn names(text in damaged_text(&NAMES)) {
        in_time(move || {
            if let Ok(mac) = text.parse::<Mac>() {
                assert_eq!(mac.to_string().parse::<Mac>().ok(), Some(mac));
            }
            if let Ok(name) = text.parse::<InterfaceName>() {
                assert!(!name.as_str().contains(['/', ' ']) && name.as_str().len() <= 15);
            }
            let _ = text.parse::<Technique>();
        });
    }

    #[test]
    fn files_of_vendors(text in damaged_text(&VENDORS)) {
        in_time(move || {
            let read = VendorDb::from_file(&source(&text));
            if let Ok(vendors) = &read {
                let _ = vendors.lookup(Mac([0x02, 0x11, 0x22, 0x33, 0x44, 0x66]));
            }
            assert_fit_to_print(read);
        });
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let line = || prop_oneof![0usize..30, Just(usize::MAX)];
    let text = || "(-A INPUT -j DROP|\\n|\\r\\n|# x|é){0,3}";
    prop_oneof![
        line().prop_map(|line| Edit::Delete { line }),
        (line(), text()).prop_map(|(line, text)| Edit::Replace { line, text }),
        (line(), text()).prop_map(|(line, text)| Edit::InsertBefore { line, text }),
        (line(), line()).prop_map(|(line, before)| Edit::Move { line, before }),
    ]
}

/// The examples are accepted without damage: a parser that refuses all input would prove nothing.
#[test]
fn undamaged_examples_are_read() {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("UTF-8");
    assert!(FRAMES.iter().all(|frame| Reply::from_ethernet(frame).is_some()));
    assert!(LOG.iter().map(text).all(|line| LogLine::parse(&line).is_some() && SyslogLine::parse(&line).is_some()));
    assert!(
        RULESETS.iter().map(text).all(|ruleset| Listing::parse(Family::Ipv4, &source(&ruleset)).rules().count() > 0)
    );
    assert!(SENSORS.iter().map(text).all(|sensor| SensorFile::parse(source(&sensor)).is_ok()));
    let rules = |_: &Path| Ok(source("*filter\nCOMMIT\n"));
    let scenarios: Vec<bool> =
        SCENARIOS.iter().map(text).map(|one| Scenario::parse_with(source(&one), &rules).is_ok()).collect();
    assert!(scenarios.iter().filter(|good| **good).count() * 2 > scenarios.len(), "{scenarios:?}");
    assert!(PORTS.iter().map(text).all(|ports| ports.parse::<PortSet>().is_ok()));
    assert!(PACKETS.iter().map(text).all(|packet| packet.parse::<Packet>().is_ok()));
    for vendors in VENDORS.iter().map(text) {
        let vendor = VendorDb::from_file(&source(&vendors)).expect("a file").lookup(Mac([2, 0x11, 0x22, 0, 0, 1]));
        assert!(format!("{vendor:?}").contains("Example"), "{vendor:?}");
    }
}

#[test]
#[should_panic(expected = "planted")]
fn a_panic_is_noticed() {
    in_time(|| panic!("planted"));
}
