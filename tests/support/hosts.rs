//! Two hosts for real nmap, the reference: temporary network namespaces joined by a veth pair, a ruleset and listeners
//! in one, nmap in the other. Nothing is mounted on the machine: each namespace lasts as long as its thread.

mod monitor;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::Flock;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use scanlab::net::port::PortSet;
use scanlab::net::{Family, Mac};
use scanlab::probe::Ends;

use super::binary::share_the_machine;

const TARGET_MAC: &str = "02:00:5e:10:00:10";
const SCANNER_MAC: &str = "02:00:5e:10:00:66";
const TARGET: Addresses = ("203.0.113.10", "2001:db8:113::10");
const SCANNER: Addresses = ("203.0.113.66", "2001:db8:113::66");

/// The target's end of the cable to a machine behind it.
const ROUTER_MAC: &str = "02:00:5e:10:01:01";
const ROUTER: Addresses = ("198.51.100.1", "2001:db8:9::1");
const MACHINE_MAC: &str = "02:00:5e:10:01:07";

/// IPv4 and IPv6.
type Addresses = (&'static str, &'static str);

/// Without these, the target's ICMP limiter, and not the ruleset, decides between filtered and open|filtered.
const UNLIMITED: [(&str, &str); 5] = [
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_msgs_per_sec", "1000000000"),
    ("net/ipv4/icmp_msgs_burst", "1000000000"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

/// The results of nmap by port: state and reason.
pub type Seen = BTreeMap<u16, (String, String)>;

/// Scans `ports` of a host with both rulesets (iptables-save format; empty for none) and listeners on `listen`.
/// `technique` is nmap's option, such as `-sX`.
pub fn nmap_scan(
    ruleset_v4: &str,
    ruleset_v6: &str,
    listen: &[u16],
    technique: &str,
    family: Family,
    ports: &str,
) -> Seen {
    let hosts = Hosts::start(["iptables-restore", "ip6tables-restore"], [ruleset_v4, ruleset_v6], listen);
    read_xml(&hosts.nmap(technique, family, ports))
}

/// A target and a scanner, joined by a cable.
pub struct Hosts {
    target: Namespace,
    scanner: Namespace,
    _listeners: Vec<TcpListener>,
    behind: Option<(Namespace, Vec<TcpListener>)>,
    _machine: Flock<File>,
}

impl Hosts {
    /// Starts a target with `rulesets`, loaded by `programs`, which may have options (IPv4 first; empty for none), and
    /// listeners on `listen`.
    pub fn start(programs: [&'static str; 2], rulesets: [&str; 2], listen: &[u16]) -> Hosts {
        let machine = share_the_machine();
        let (target, scanner) = (Namespace::start(), Namespace::start());
        join(&target, &scanner);
        let (rulesets, listen) = (rulesets.map(str::to_owned), listen.to_vec());
        let listeners = target.run(move || {
            for (name, value) in UNLIMITED {
                // Some of them exist in the first namespace only, on older kernels.
                let _ = fs::write(format!("/proc/sys/{name}"), value);
            }
            for (program, ruleset) in programs.iter().zip(&rulesets).filter(|(_, ruleset)| !ruleset.is_empty()) {
                run(&words(program, &[]), &silent(ruleset));
            }
            listen_on(&listen)
        });
        Hosts { target, scanner, _listeners: listeners, behind: None, _machine: machine }
    }

    /// Makes the target a router, with a machine behind it that has these addresses and listeners on these ports.
    pub fn with_machine_behind(mut self, addresses: Addresses, listen: &[u16]) -> Hosts {
        let machine = Namespace::start();
        let peer = machine.thread_id.clone();
        self.target.run(move || {
            run(&words("ip link add eth1 type veth peer name eth0 netns", &[&peer]), "");
            bring_up("eth1", ROUTER_MAC);
            for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/{name}"), "1").expect("a router");
            }
        });
        machine.run(|| bring_up("eth0", MACHINE_MAC));
        self.target.run(move || configure("eth1", ROUTER, MACHINE_MAC, addresses));
        let listen = listen.to_vec();
        let listeners = machine.run(move || {
            configure("eth0", addresses, ROUTER_MAC, ROUTER);
            run(&words("ip -4 route add default via", &[ROUTER.0]), "");
            run(&words("ip -6 route add default via", &[ROUTER.1]), "");
            listen_on(&listen)
        });
        self.behind = Some((machine, listeners));
        self
    }

    /// Removes the permanent neighbours, so that both ends have to find each other by ARP and NDP, as far as the rules
    /// allow.
    pub fn forget_neighbours(&self) {
        self.target.run(|| forget(SCANNER));
        self.scanner.run(|| forget(TARGET));
    }

    /// Runs nmap on the scanner with these arguments and the target's address, and returns its output.
    pub fn nmap_in_words(&self, words: &[&str], family: Family) -> String {
        let target = family.pick(vec![TARGET.0], vec!["-6", TARGET.1]);
        let command: Vec<String> = [&["nmap"], words, &target].concat().into_iter().map(str::to_owned).collect();
        self.scanner.run(move || run(&command, ""))
    }

    /// Runs nmap on the scanner, and returns its XML output.
    pub fn nmap(&self, technique: &str, family: Family, ports: &str) -> String {
        let command = nmap_command(technique, family, ports);
        self.scanner.run(move || run(&command, ""))
    }

    /// Does the same with more options, and returns the frames that the scanner sent as well.
    pub fn nmap_on_the_wire(
        &self,
        technique: &str,
        options: &[&str],
        family: Family,
        ports: &str,
    ) -> (String, Vec<Vec<u8>>) {
        let mut command = nmap_command(technique, family, ports);
        command.extend(options.iter().map(|option| (*option).to_owned()));
        if technique == "-PE" {
            // An echo request tests the host, and none of its ports.
            command.retain(|word| !["-Pn", "-p", ports].contains(&word.as_str()));
            command.push("-sn".to_owned());
        }
        self.scanner.run(move || {
            let wire = Wire::open();
            let xml = run(&command, "");
            (xml, wire.sent())
        })
    }

    /// Starts a UDP service on the target: it answers every datagram with `answer`, or not at all.
    pub fn serve_udp(&self, port: u16, answer: Option<&'static str>) {
        self.target.run(move || {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a UDP socket on the target");
            // No test takes longer than that; the thread keeps the namespace alive.
            socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket option");
            thread::spawn(move || {
                while let Ok((_, sender)) = socket.recv_from(&mut [0; 64]) {
                    answer.map(|answer| socket.send_to(answer.as_bytes(), sender).expect("answer a datagram"));
                }
            });
        });
    }
}

/// Replaces LOG by NFLOG: both continue with the next rule, and no program reads the groups. The kernel's log is for
/// labs, which take turns; a line of these hosts, which have the addresses of a lab, would be attributed to that lab.
pub fn silent(ruleset: &str) -> String {
    let words = ruleset.split_inclusive([' ', '\n']);
    let mut silent = String::new();
    let mut is_level = false;
    for word in words {
        match word.trim_end() {
            _ if is_level => {
                is_level = false;
                silent.extend(word.ends_with('\n').then_some('\n'));
            }
            "LOG" if silent.ends_with("-j ") => silent += &word.replace("LOG", "NFLOG"),
            "--log-prefix" => silent += "--nflog-prefix ",
            "--log-level" => is_level = true,
            "--log-tcp-options" | "--log-ip-options" | "--log-tcp-sequence" | "--log-uid" | "--log-macdecode" => {
                silent.extend(word.ends_with('\n').then_some('\n'));
            }
            _ => silent += word,
        }
    }
    silent
}

/// Every frame of the namespace in which the socket was created, see packet(7).
struct Wire(OwnedFd);

impl Wire {
    fn open() -> Wire {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_NONBLOCK);
        let socket = socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll).expect("a packet socket");
        Wire(socket)
    }

    /// The frames that the scanner has sent since, except ARP and the neighbour discovery of its kernel.
    fn sent(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut frame = [0; 2048];
        while let Ok(length) = recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            let frame = &frame[..length];
            let is_probe = frame[..6] == mac(TARGET_MAC) && frame[6..12] == mac(SCANNER_MAC) && frame[12..14] != [8, 6];
            let is_neighbour = frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && (133..=137).contains(&frame[54]);
            if is_probe && !is_neighbour {
                frames.push(frame.to_vec());
            }
        }
        frames
    }
}

/// The MAC addresses of scanner and target.
pub fn ends() -> Ends {
    let [prober, host] = [SCANNER_MAC, TARGET_MAC].map(|address| address.parse().expect("a MAC address"));
    Ends { prober, host }
}

fn mac(text: &str) -> [u8; 6] {
    text.parse::<Mac>().expect("a MAC address").0
}

/// No discovery, one retry. The time limits are generous, since the machine may be busy; for a connect they leave room
/// for the SYN that the kernel retransmits after a second: the first ICMPv6 error can be lost to a race in connect().
pub fn nmap_command(technique: &str, family: Family, ports: &str) -> Vec<String> {
    let timeout = if technique == "-sT" { "3s" } else { "500ms" };
    let mut words = vec!["nmap", "-n", "-Pn", "--disable-arp-ping", technique, "-p", ports, "-oX", "-"];
    words.extend(["--max-retries", "1", "--min-parallelism", "100", "--max-rtt-timeout", "5s"]);
    words.extend(["--min-rtt-timeout", timeout, "--initial-rtt-timeout", timeout]);
    words.extend(family.pick(vec![TARGET.0], vec!["-6", TARGET.1]));
    words.into_iter().map(str::to_owned).collect()
}

/// One veth pair, `eth0` on both sides; addresses without duplicate detection, and permanent neighbours.
fn join(target: &Namespace, scanner: &Namespace) {
    let peer = scanner.thread_id.clone();
    target.run(move || {
        run(&words("ip link add eth0 type veth peer name eth0 netns", &[&peer]), "");
        bring_up("eth0", TARGET_MAC);
    });
    // Addresses are added last, when both ends are up: an IPv6 address without a carrier is not used yet.
    scanner.run(|| bring_up("eth0", SCANNER_MAC));
    target.run(|| configure("eth0", TARGET, SCANNER_MAC, SCANNER));
    scanner.run(|| configure("eth0", SCANNER, TARGET_MAC, TARGET));
}

fn bring_up(link: &str, mac: &str) {
    run(&words("ip link set lo up", &[]), "");
    run(&words("ip link set up", &[link, "address", mac]), "");
}

fn configure(link: &str, (v4, v6): Addresses, peer_mac: &str, (peer_v4, peer_v6): Addresses) {
    run(&words("ip address add dev", &[link, &format!("{v4}/24")]), "");
    run(&words("ip address add dev", &[link, &format!("{v6}/64"), "nodad"]), "");
    for peer in [peer_v4, peer_v6] {
        run(&words("ip neighbour replace nud permanent dev", &[link, "lladdr", peer_mac, "to", peer]), "");
    }
}

/// The kernel completes handshakes by itself: accept(2) is not needed.
fn listen_on(ports: &[u16]) -> Vec<TcpListener> {
    let bind = |port: &u16| TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).expect("listen");
    ports.iter().map(bind).collect()
}

fn forget((v4, v6): Addresses) {
    for peer in [v4, v6] {
        run(&words("ip neighbour del dev eth0 to", &[peer]), "");
    }
}

fn words(command: &str, more: &[&str]) -> Vec<String> {
    command.split(' ').chain(more.iter().copied()).map(str::to_owned).collect()
}

/// Runs a program to its end, and returns its output.
fn run<S: AsRef<str>>(command: &[S], input: &str) -> String {
    let line = command.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
    let mut child = Command::new(command[0].as_ref())
        .args(command[1..].iter().map(AsRef::as_ref))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run `{line}`: {error} (hint: .ci/setup installs what the tests run)"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("write the input");
    let output = child.wait_with_output().expect("wait for the program");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}` ended with {}: {talk}\n{input}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: a thread that has entered a fresh one, and runs jobs there. Its children inherit it.
struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    thread_id: String,
}

impl Namespace {
    fn start() -> Namespace {
        let (jobs, todo) = mpsc::channel::<Job>();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (hint: this test needs root)");
            todo.into_iter().for_each(|job| job());
        });
        let mut namespace = Namespace { jobs: Some(jobs), thread: Some(thread), thread_id: String::new() };
        // `/proc/thread-self` is a link to `PID/task/TID`.
        let link = namespace.run(|| fs::read_link("/proc/thread-self").expect("procfs"));
        namespace.thread_id = link.file_name().expect("a thread id").to_string_lossy().into_owned();
        namespace
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move || done.send(work()).expect("somebody waits for the result"));
        self.jobs.as_ref().expect("a live namespace").send(job).expect("the thread of the namespace has died");
        result.recv().expect("the thread of the namespace has died, see its panic above")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // A panic of the thread was reported when it happened.
        let _ = self.thread.take().expect("a thread").join();
    }
}

/// Parses the XML. nmap lists a port on its own, or, if more than 25 have the same result, in the `ports` of
/// `extrareasons`.
pub fn read_xml(xml: &str) -> Seen {
    let mut seen = Seen::new();
    let mut port = 0;
    let mut collapsed = String::new();
    for element in xml.split('<') {
        match element.split([' ', '>']).next() {
            Some("port") => port = attribute(element, "portid").parse().expect("a port"),
            Some("state") => drop(seen.insert(port, (attribute(element, "state"), attribute(element, "reason")))),
            Some("extraports") => collapsed = attribute(element, "state"),
            Some("extrareasons") => {
                let ports: PortSet = attribute(element, "ports").parse().expect("ports");
                let reason = attribute(element, "reason");
                seen.extend(ports.iter().map(|port| (port.0, (collapsed.clone(), reason.clone()))));
            }
            _ => {}
        }
    }
    seen
}

/// The value of an attribute of an element, which is the text between `<` and the next one.
pub fn attribute(element: &str, name: &str) -> String {
    let (_, value) = element.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in <{element}"));
    value.split('"').next().expect("a closing quote").to_owned()
}
