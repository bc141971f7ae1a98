use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::error::{Result, Source};
use crate::net::Family;

fn parse(text: &str) -> Result<SensorFile> {
    SensorFile::parse(Source { name: "sensor.toml".into(), text: text.into() })
}

/// The complaint about each of `lines`, put into a sensor that is right without it.
fn complaints(lines: &[&str]) -> String {
    let complaint = |line: &&str| {
        let ssh = if line.starts_with("ssh =") { "" } else { "ssh = 32232\n" };
        complaint(&format!("[sensor]\n{ssh}{line}"))
    };
    lines.iter().map(complaint).collect::<Vec<_>>().join("\n")
}

fn host_complaints(lines: &[&str]) -> String {
    let complaint = |line: &&str| complaint(&format!("[sensor]\nssh = 32232\n[host]\n{line}"));
    lines.iter().map(complaint).collect::<Vec<_>>().join("\n")
}

fn complaint(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |file| format!("no complaint: {file:?}"))
}

fn services(services: &[Service]) -> String {
    let text =
        |service: &Service| format!("{} {:?}", service.name, service.ports.iter().map(|p| p.0).collect::<Vec<_>>());
    services.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_sensor_of_the_design_is_read() {
    let file = parse(include_str!("../../scenarios/sensor-hardened.toml").split_once("\n\n").unwrap().1).unwrap();
    let sensor = file.sensor;
    assert_eq!(sensor.ssh, [Port(32232)]);
    assert_eq!(services(&sensor.honeypot), "SSH [22]");
    assert_eq!(services(&sensor.watched), "HTTP [80], HTTPS [443], SMB [139, 445], ADB [5555]");
    assert_eq!(sensor.scans, Technique::LOGGED);
    assert_eq!(sensor.limit, SensorLimit { count: 5, per: TimeUnit::Minute, burst: 5 });
    assert_eq!((sensor.prefix.as_str(), sensor.deny, sensor.order), ("<IPT> ", Deny::Tcp, RuleOrder::Hardened));
    assert_eq!(file.host.mac.unwrap().to_string(), "00:0c:29:4f:8e:35");
    assert_eq!(file.host.vendor.as_deref(), Some("VMware"));
}

#[test]
fn only_ssh_has_no_default() {
    let SensorFile { sensor, host, .. } = parse("[sensor]\nssh = [32232, 2222]\nhoneypot = { SSH = 22 }").unwrap();
    assert_eq!(sensor.scans, Technique::LOGGED);
    assert_eq!(sensor.limit, SensorLimit::default());
    assert_eq!((sensor.prefix.as_str(), sensor.deny, sensor.order), ("<IPT> ", Deny::Tcp, RuleOrder::Hardened));
    assert_eq!(host.listen, [Port(22), Port(2222), Port(32232)]);
    assert_eq!((host.interface, host.addresses), (InterfaceName::default(), Addresses::default()));
}

#[test]
fn open_services_have_tcp_and_udp_ports_and_log_nothing_by_default() {
    let open = "open = { HTTP = 80, DNS = [53, \"udp/53\"], NTP = \"udp/123\", PROXY = \"tcp/8080\" }\n";
    let SensorFile { sensor, host, lines, .. } = parse(&format!("[sensor]\nssh = 22\n{open}")).unwrap();
    assert_eq!(sensor.open_tcp().map(|port| port.0).collect::<Vec<_>>(), [80, 53, 8080]);
    assert_eq!(sensor.open_udp().map(|port| port.0).collect::<Vec<_>>(), [53, 123]);
    assert_eq!(host.listen, [22, 53, 80, 8080].map(Port));
    assert!(sensor.is_ordinary() && sensor.scans.is_empty());
    assert_eq!(lines.line(SensorEntry::Port(Port(8080))), Some(3));
    for more in ["honeypot = { SSH = 23 }", "watched = { SSH = 23 }", "scans = [\"fin\"]"] {
        let sensor = parse(&format!("[sensor]\nssh = 22\n{open}{more}")).unwrap().sensor;
        assert!(!sensor.is_ordinary() && !sensor.scans.is_empty(), "{more}");
    }
}

#[test]
fn complaints_about_open_services() {
    assert_snapshot!(complaints(&[
        "open = { HTTP = \"80\" }",
        "open = { DNS = \"udp/0\" }",
        "open = { DNS = \"sctp/53\" }",
        "open = { DNS = [\"udp/53\", \"udp/53\"] }",
        "open = { SSH = 32232 }",
        "open = { HTTP = 80 }\nwatched = { WEB = 80 }",
        "open = { HTTP = [] }",
        "open = { \"a\\\"b\" = 80 }",
        "open = 80",
    ]), @r#"
    error: `80` is not a port
     --> sensor.toml:3:17
      |
    3 | open = { HTTP = "80" }
      |                 ^^^^
      |
      = help: write a TCP port as a number, like 80, and a UDP port as "udp/53"
    error: `udp/0` is not a port
     --> sensor.toml:3:16
      |
    3 | open = { DNS = "udp/0" }
      |                ^^^^^^^
      |
      = help: write a TCP port as a number, like 80, and a UDP port as "udp/53"
    error: `sctp/53` is not a port
     --> sensor.toml:3:16
      |
    3 | open = { DNS = "sctp/53" }
      |                ^^^^^^^^^
      |
      = help: write a TCP port as a number, like 80, and a UDP port as "udp/53"
    error: port 53 is listed twice
     --> sensor.toml:3:27
      |
    3 | open = { DNS = ["udp/53", "udp/53"] }
      |                           ^^^^^^^^
      |
      = help: name each port once
    error: port 32232 already belongs to ssh
     --> sensor.toml:3:16
      |
    3 | open = { SSH = 32232 }
      |                ^^^^^
      |
      = help: a port has one rule: keep it in one place
    error: port 80 already belongs to HTTP
     --> sensor.toml:4:19
      |
    4 | watched = { WEB = 80 }
      |                   ^^
      |
      = help: a port has one rule: keep it in one place
    error: HTTP has no port
     --> sensor.toml:3:17
      |
    3 | open = { HTTP = [] }
      |                 ^^
      |
      = help: name its port, or remove it
    error: `a\"b` cannot name a service
     --> sensor.toml:3:10
      |
    3 | open = { "a\"b" = 80 }
      |          ^^^^^^
      |
      = help: use letters, digits, spaces and . _ / + -
    error: `open` is a whole number
     --> sensor.toml:3:8
      |
    3 | open = 80
      |        ^^
      |
      = help: it must be a table
    "#);
}

#[test]
fn rates_are_read_as_the_limit_match_reads_them() {
    let limit = |text: &str| parse(&format!("[sensor]\nssh = 22\nlimit = {text}")).unwrap().sensor.limit;
    for (text, shown) in [("5/m", "5/min"), ("5/MINUTE", "5/min"), ("3/s", "3/sec"), ("3/second", "3/sec")] {
        assert_eq!(limit(&format!("{{ rate = {text:?} }}")).to_string(), shown);
    }
    assert_eq!(limit("{ rate = \"24/hour\", burst = 7 }"), SensorLimit { count: 24, per: TimeUnit::Hour, burst: 7 });
    assert_eq!(limit("{ burst = 1 }"), SensorLimit { burst: 1, ..SensorLimit::default() });
    assert_eq!(limit("\"5/d\"").per, TimeUnit::Day);
}

#[test]
fn ssh_from_lists_networks_or_is_everywhere() {
    let ssh_from = |text: &str| parse(&format!("[sensor]\nssh = 22\n{text}")).unwrap().sensor.ssh_from;
    assert_eq!(ssh_from(""), SshFrom::Everywhere);
    let from = ssh_from("ssh_from = [\"192.0.2.0/24\", \"198.51.100.7\"]");
    let networks =
        |from: &SshFrom, family| from.networks(family).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(networks(&from, Family::Ipv4), "192.0.2.0/24 198.51.100.7/32");
    assert_eq!(networks(&from, Family::Ipv6), "", "nobody");
    assert_eq!(networks(&SshFrom::Everywhere, Family::Ipv6), "::/0");
    let is_let_in = |text: &str| from.contains(text.parse().unwrap());
    assert!(is_let_in("192.0.2.255") && is_let_in("198.51.100.7"));
    assert!(!is_let_in("198.51.100.8") && !is_let_in("2001:db8::1"));
    assert_eq!(networks(&ssh_from("ssh_from = \"fe80::/10\""), Family::Ipv6), "fe80::/10");
}

#[test]
fn complaints_about_whence_ssh_is_reached() {
    assert_snapshot!(complaints(&[
        "ssh_from = 22",
        "ssh_from = [\"192.0.2.0/24\", 7]",
        "ssh_from = \"the office\"",
        "ssh_from = \"192.0.2.0/33\"",
        "ssh_from = \"192.0.2.0/255.255.255.0\"",
        "ssh_from = \"2001:db8::/129\"",
        "ssh_from = \"192.0.2.7/24\"",
        "ssh_from = []",
        "ssh = []\nssh_from = \"192.0.2.0/24\"",
        "ssh_from = [\"192.0.2.0/24\", \"192.0.2.0/24\"]",
        "ssh_from = [\"192.0.0.0/16\", \"192.0.2.7\"]",
        "ssh_from = [\"2001:db8:aaaa::/48\", \"::/0\"]",
        "ssh_from = \"::ffff:192.0.2.0/120\"",
        "ssh_from = \"224.0.0.0/24\"",
        "ssh_from = \"255.255.255.255\"",
        "ssh_from = \"ff02::/16\"",
        "ssh_from = \"127.0.0.1\"",
        "ssh_from = \"::1\"",
        "ssh_from = \"0.0.0.0\"",
    ]), @r#"
    error: `ssh_from` is a whole number
     --> sensor.toml:3:12
      |
    3 | ssh_from = 22
      |            ^^
      |
      = help: it must be a network like "192.0.2.0/24", an address, or a list of them
    error: `ssh_from` is a whole number
     --> sensor.toml:3:29
      |
    3 | ssh_from = ["192.0.2.0/24", 7]
      |                             ^
      |
      = help: it must be a network like "192.0.2.0/24", an address, or a list of them
    error: `the office` is neither an address nor a network
     --> sensor.toml:3:12
      |
    3 | ssh_from = "the office"
      |            ^^^^^^^^^^^^
      |
      = help: write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up
    error: `192.0.2.0/33` has no prefix length that ipv4 has
     --> sensor.toml:3:12
      |
    3 | ssh_from = "192.0.2.0/33"
      |            ^^^^^^^^^^^^^^
      |
      = help: a prefix length is a number from 0 to 32
    error: `192.0.2.0/255.255.255.0` has no prefix length that ipv4 has
     --> sensor.toml:3:12
      |
    3 | ssh_from = "192.0.2.0/255.255.255.0"
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a prefix length is a number from 0 to 32
    error: `2001:db8::/129` has no prefix length that ipv6 has
     --> sensor.toml:3:12
      |
    3 | ssh_from = "2001:db8::/129"
      |            ^^^^^^^^^^^^^^^^
      |
      = help: a prefix length is a number from 0 to 128
    error: 192.0.2.7 is not the first address of 192.0.2.0/24
     --> sensor.toml:3:12
      |
    3 | ssh_from = "192.0.2.7/24"
      |            ^^^^^^^^^^^^^^
      |
      = help: write 192.0.2.0/24 for the network, or 192.0.2.7 for this one address
    error: `ssh_from` is empty: you would be locked out
     --> sensor.toml:3:12
      |
    3 | ssh_from = []
      |            ^^
      |
      = help: name the network that you log in from; without `ssh_from` SSH is accepted from everywhere
    error: `ssh_from` limits where SSH is accepted from, and the sensor serves no SSH
     --> sensor.toml:3:12
      |
    3 | ssh_from = "192.0.2.0/24"
      |            ^^^^^^^^^^^^^^
      |
      = help: name the port of the management server in `ssh`, or remove `ssh_from`
    error: 192.0.2.0/24 is listed twice
     --> sensor.toml:3:29
      |
    3 | ssh_from = ["192.0.2.0/24", "192.0.2.0/24"]
      |                             ^^^^^^^^^^^^^^
      |
      = help: name each address once: keep the wider network
    error: 192.0.2.7/32 lies in 192.0.0.0/16, which is listed too
     --> sensor.toml:3:29
      |
    3 | ssh_from = ["192.0.0.0/16", "192.0.2.7"]
      |                             ^^^^^^^^^^^
      |
      = help: name each address once: keep the wider network
    error: 2001:db8:aaaa::/48, which is listed too, lies in ::/0
     --> sensor.toml:3:35
      |
    3 | ssh_from = ["2001:db8:aaaa::/48", "::/0"]
      |                                   ^^^^^^
      |
      = help: name each address once: keep the wider network
    error: no one can log in from ::ffff:192.0.2.0/120: it is IPv4-mapped
     --> sensor.toml:3:12
      |
    3 | ssh_from = "::ffff:192.0.2.0/120"
      |            ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: on the wire it is IPv4: write the IPv4 network
    error: no one can log in from 224.0.0.0/24: it is multicast
     --> sensor.toml:3:12
      |
    3 | ssh_from = "224.0.0.0/24"
      |            ^^^^^^^^^^^^^^
      |
      = help: name the addresses of the machines that you log in from
    error: no one can log in from 255.255.255.255/32: it is multicast or reserved (RFC 1112)
     --> sensor.toml:3:12
      |
    3 | ssh_from = "255.255.255.255"
      |            ^^^^^^^^^^^^^^^^^
      |
      = help: name the addresses of the machines that you log in from
    error: no one can log in from ff02::/16: it is multicast
     --> sensor.toml:3:12
      |
    3 | ssh_from = "ff02::/16"
      |            ^^^^^^^^^^^
      |
      = help: name the addresses of the machines that you log in from
    error: no one can log in from 127.0.0.1/32: it is the machine's own loopback
     --> sensor.toml:3:12
      |
    3 | ssh_from = "127.0.0.1"
      |            ^^^^^^^^^^^
      |
      = help: its own packets do not arrive over the network
    error: no one can log in from ::1/128: it is loopback, or an unused IPv6 form of IPv4 (RFC 4291)
     --> sensor.toml:3:12
      |
    3 | ssh_from = "::1"
      |            ^^^^^
      |
      = help: name the addresses of the machines that you log in from
    error: no one can log in from 0.0.0.0/32: it is "this network" (RFC 791)
     --> sensor.toml:3:12
      |
    3 | ssh_from = "0.0.0.0"
      |            ^^^^^^^^^
      |
      = help: name the addresses of the machines that you log in from
    "#);
}

#[test]
fn complaints_about_ports() {
    assert_snapshot!(complaints(&[
        "ssh = 0",
        "ssh = -22",
        "ssh = 65536",
        "ssh = 99999999999999999999",
        "ssh = \"32232\"",
        "ssh = 22.5",
        "ssh = [22, true]",
        "ssh = [22, 22]",
        "ssh = 22\nsshd_config = \"sshd_config\"",
        "honeypot = { SSH = 32232 }",
        "honeypot = { SSH = 22 }\nwatched = { HTTP = [80, 22] }",
        "watched = { HTTP = [] }",
        "watched = 80",
    ]), @r#"
    error: port 0 is out of range
     --> sensor.toml:2:7
      |
    2 | ssh = 0
      |       ^
      |
      = help: ports are 1 to 65535
    error: port -22 is out of range
     --> sensor.toml:2:7
      |
    2 | ssh = -22
      |       ^^^
      |
      = help: ports are 1 to 65535
    error: port 65536 is out of range
     --> sensor.toml:2:7
      |
    2 | ssh = 65536
      |       ^^^^^
      |
      = help: ports are 1 to 65535
    error: port 99999999999999999999 is out of range
     --> sensor.toml:2:7
      |
    2 | ssh = 99999999999999999999
      |       ^^^^^^^^^^^^^^^^^^^^
      |
      = help: ports are 1 to 65535
    error: `ssh` is a text
     --> sensor.toml:2:7
      |
    2 | ssh = "32232"
      |       ^^^^^^^
      |
      = help: it must be a port, a list of ports, or "auto"
    error: `ssh` is a number with a fraction
     --> sensor.toml:2:7
      |
    2 | ssh = 22.5
      |       ^^^^
      |
      = help: it must be a port: a whole number, 1 to 65535
    error: `ssh` is true or false
     --> sensor.toml:2:12
      |
    2 | ssh = [22, true]
      |            ^^^^
      |
      = help: it must be a port: a whole number, 1 to 65535
    error: port 22 is listed twice
     --> sensor.toml:2:12
      |
    2 | ssh = [22, 22]
      |            ^^
      |
      = help: name each port once
    error: `sshd_config` is not read when `ssh` names the port
     --> sensor.toml:3:15
      |
    3 | sshd_config = "sshd_config"
      |               ^^^^^^^^^^^^^
      |
      = help: write `ssh = "auto"` to read the port from there
    error: port 32232 already belongs to ssh
     --> sensor.toml:3:20
      |
    3 | honeypot = { SSH = 32232 }
      |                    ^^^^^
      |
      = help: a port has one rule: keep it in one place
    error: port 22 already belongs to SSH
     --> sensor.toml:4:25
      |
    4 | watched = { HTTP = [80, 22] }
      |                         ^^
      |
      = help: a port has one rule: keep it in one place
    error: HTTP has no port
     --> sensor.toml:3:20
      |
    3 | watched = { HTTP = [] }
      |                    ^^
      |
      = help: name its port, or remove it
    error: `watched` is a whole number
     --> sensor.toml:3:11
      |
    3 | watched = 80
      |           ^^
      |
      = help: it must be a table
    "#);
}

#[test]
fn complaints_about_names_and_prefixes() {
    assert_snapshot!(complaints(&[
        "honeypot = { SSH = 22 }\nwatched = { SSH = 80 }",
        "watched = { 'A\" -j ACCEPT' = 80 }",
        "watched = { \"A\\nB\" = 80 }",
        "watched = { \"\" = 80 }",
        "watched = { -A = 80 }",
        "watched = { ' A' = 80 }",
        "watched = { ElasticSearchTransport = 9300 }",
        "prefix = \"<IPT>\"",
        "prefix = \"\"",
        "prefix = '<\"> '",
        "prefix = 'a\\ '",
        "prefix = \"a\\n \"",
        "prefix = \"Käfer \"",
        "prefix = \"-t \"",
        "prefix = \"a much too long one \"",
    ]), @r#"
    error: SSH is both in `honeypot` and in `watched`
     --> sensor.toml:4:13
      |
    4 | watched = { SSH = 80 }
      |             ^^^
      |
      = help: their log lines could not be distinguished: give one another name
    error: `A\" -j ACCEPT` cannot name a service
     --> sensor.toml:3:13
      |
    3 | watched = { 'A" -j ACCEPT' = 80 }
      |             ^^^^^^^^^^^^^^
      |
      = help: use letters, digits, spaces and . _ / + -
    error: `A\nB` cannot name a service
     --> sensor.toml:3:13
      |
    3 | watched = { "A\nB" = 80 }
      |             ^^^^^^
      |
      = help: use letters, digits, spaces and . _ / + -
    error: `` cannot name a service
     --> sensor.toml:3:13
      |
    3 | watched = { "" = 80 }
      |             ^^
      |
      = help: use letters, digits, spaces and . _ / + -
    error: `-A` cannot name a service
     --> sensor.toml:3:13
      |
    3 | watched = { -A = 80 }
      |             ^^
      |
      = help: no dash or space at its start, no space at its end
    error: ` A` cannot name a service
     --> sensor.toml:3:13
      |
    3 | watched = { ' A' = 80 }
      |             ^^^^
      |
      = help: no dash or space at its start, no space at its end
    error: the log prefix "<IPT> ElasticSearchTransport port: " is 35 bytes long
     --> sensor.toml:3:13
      |
    3 | watched = { ElasticSearchTransport = 9300 }
      |             ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: LOG keeps 29 and silently cuts the rest: shorten it by 6
    error: the prefix does not end with a space
     --> sensor.toml:3:10
      |
    3 | prefix = "<IPT>"
      |          ^^^^^^^
      |
      = help: write "<IPT> ": iptables adds no space between the prefix and what follows it
    error: the prefix does not end with a space
     --> sensor.toml:3:10
      |
    3 | prefix = ""
      |          ^^
      |
      = help: write "<IPT> ": iptables adds no space between the prefix and what follows it
    error: a log prefix cannot hold '"'
     --> sensor.toml:3:10
      |
    3 | prefix = '<"> '
      |          ^^^^^^
      |
      = help: use printable ASCII, without quotes and backslashes, like "<IPT> "
    error: a log prefix cannot hold '\\'
     --> sensor.toml:3:10
      |
    3 | prefix = 'a\ '
      |          ^^^^^
      |
      = help: use printable ASCII, without quotes and backslashes, like "<IPT> "
    error: a log prefix cannot hold '\n'
     --> sensor.toml:3:10
      |
    3 | prefix = "a\n "
      |          ^^^^^^
      |
      = help: use printable ASCII, without quotes and backslashes, like "<IPT> "
    error: a log prefix cannot hold 'ä'
     --> sensor.toml:3:10
      |
    3 | prefix = "Käfer "
      |          ^^^^^^^^
      |
      = help: use printable ASCII, without quotes and backslashes, like "<IPT> "
    error: a prefix cannot start with a dash
     --> sensor.toml:3:10
      |
    3 | prefix = "-t "
      |          ^^^^^
      |
      = help: iptables-restore may read it as an option
    error: the log prefix "a much too long one Null scan: " is 31 bytes long
     --> sensor.toml:3:10
      |
    3 | prefix = "a much too long one "
      |          ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: LOG keeps 29 and silently cuts the rest: shorten it by 2
    "#);
}

#[test]
fn complaints_about_the_rest_of_the_sensor() {
    assert_snapshot!(complaints(&[
        "scans = [\"xmas\", \"xmas\"]",
        "scans = [\"connect\"]",
        "scans = [\"udp\"]",
        "scans = \"xmas\"",
        "limit = { rate = \"5\" }",
        "limit = { rate = \"5/week\" }",
        "limit = { rate = \"0/min\" }",
        "limit = { rate = \"10001/sec\" }",
        "limit = { rate = \"1/day\" }",
        "limit = { burst = 0 }",
        "limit = { rat = \"5/min\" }",
        "limit = 5",
        "deny = \"udp\"",
        "order = 1",
        "watchd = { HTTP = 80 }",
        "colour = 1",
    ]), @r#"
    error: xmas is listed twice
     --> sensor.toml:3:18
      |
    3 | scans = ["xmas", "xmas"]
      |                  ^^^^^^
      |
      = help: name each technique once
    error: a sensor cannot distinguish a connect from a SYN scan
     --> sensor.toml:3:10
      |
    3 | scans = ["connect"]
      |          ^^^^^^^^^
      |
      = help: its first packet is a SYN: `syn` logs it, and so does the rule of the port
    error: `udp` is not a scan that a sensor logs
     --> sensor.toml:3:10
      |
    3 | scans = ["udp"]
      |          ^^^^^
      |
      = help: use some of xmas, null, fin, syn, ack
    error: `scans` is a text
     --> sensor.toml:3:9
      |
    3 | scans = "xmas"
      |         ^^^^^^
      |
      = help: it must be a list
    error: `5` is not a rate
     --> sensor.toml:3:18
      |
    3 | limit = { rate = "5" }
      |                  ^^^
      |
      = help: write a number and a unit, like 5/min; the units are sec, min, hour and day
    error: `5/week` is not a rate
     --> sensor.toml:3:18
      |
    3 | limit = { rate = "5/week" }
      |                  ^^^^^^^^
      |
      = help: write a number and a unit, like 5/min; the units are sec, min, hour and day
    error: a rate of 0 never logs
     --> sensor.toml:3:18
      |
    3 | limit = { rate = "0/min" }
      |                  ^^^^^^^
      |
      = help: to log nothing of a technique, leave it out of `scans`
    error: 10001/sec is too fast for the limit match
     --> sensor.toml:3:18
      |
    3 | limit = { rate = "10001/sec" }
      |                  ^^^^^^^^^^^
      |
      = help: at most 10000/sec
    error: a burst of 5 at 1/day overflows the counter of iptables-legacy
     --> sensor.toml:3:18
      |
    3 | limit = { rate = "1/day" }
      |                  ^^^^^^^
      |
      = help: the burst may last for a day at most: here 1; set it with { rate = .., burst = 1 }
    error: burst 0 is out of range
     --> sensor.toml:3:19
      |
    3 | limit = { burst = 0 }
      |                   ^
      |
      = help: the burst is 1 to 10000
    error: unknown key `rat`
     --> sensor.toml:3:11
      |
    3 | limit = { rat = "5/min" }
      |           ^^^
      |
      = help: did you mean `rate`? known here: burst, rate
    error: `limit` is a whole number
     --> sensor.toml:3:9
      |
    3 | limit = 5
      |         ^
      |
      = help: it must be a rate like "5/min", or { rate = "5/min", burst = 5 }
    error: `udp` is not a value of `deny`
     --> sensor.toml:3:8
      |
    3 | deny = "udp"
      |        ^^^^^
      |
      = help: use "tcp" or "all"
    error: `order` is a whole number
     --> sensor.toml:3:9
      |
    3 | order = 1
      |         ^
      |
      = help: it must be a string in quotes
    error: unknown key `watchd`
     --> sensor.toml:3:1
      |
    3 | watchd = { HTTP = 80 }
      | ^^^^^^
      |
      = help: did you mean `watched`? known here: ssh, sshd_config, ssh_from, open, scans, prefix, honeypot, watched, limit, deny, order
    error: unknown key `colour`
    --> sensor.toml:3:1
     = note: line not shown: it does not look like a rule
     = help: known here: ssh, sshd_config, ssh_from, open, scans, prefix, honeypot, watched, limit, deny, order
    "#);
}

#[test]
fn complaints_about_the_file() {
    assert_snapshot!(["[sensor", "[sensor]\n", "[host]\n", "title = \"a\"\n[sensor]\nssh = 22", "[sensor]\nssh = 22\n[hots]", "sensor = 1", "[sensor]\nssh = 22\nssh = 23"].map(complaint).join("\n"), @r#"
    error: this is not TOML: unclosed table, expected `]`
     --> sensor.toml:1:8
      |
    1 | [sensor
      |        ^
      |
      = help: see https://toml.io for how it is written
    error: the sensor has no `ssh`
     --> sensor.toml:1:1
      |
    1 | [sensor]
      | ^^^^^^^^
      |
      = help: name the port of the management server, like `ssh = 22`, or use "auto"; `ssh = []` locks you out
    error: there is no [sensor] in this file
     --> sensor.toml:1:1
      |
    1 | [host]
      | ^
      |
      = help: begin it with [sensor]
    error: a sensor file has no title
     --> sensor.toml:1:9
      |
    1 | title = "a"
      |         ^^^
      |
      = help: a file with a title is a scenario: run it with `scanlab run`, or remove the title
    error: unknown key `hots`
     --> sensor.toml:3:2
      |
    3 | [hots]
      |  ^^^^
      |
      = help: did you mean `host`? known here: sensor, host
    error: `sensor` is a whole number
     --> sensor.toml:1:10
      |
    1 | sensor = 1
      |          ^
      |
      = help: it must be a table
    error: this is not TOML: duplicate key
     --> sensor.toml:3:1
      |
    3 | ssh = 23
      | ^^^
      |
      = help: see https://toml.io for how it is written
    "#);
}

#[test]
fn complaints_about_the_host() {
    assert_snapshot!(host_complaints(&[
        "mac = \"b8:27:eb\"",
        "mac = \"01:00:5e:00:00:01\"",
        "mac = \"00:00:00:00:00:00\"",
        "mac = \"00:0c:29:4f:8e:35\"\nlink = \"00-mac.link\"",
        "vendor = \" \"",
        "listen = [0]",
        "interface = \"lo\"",
        "addresses = { v4 = \"203.0.113.10\" }",
        "addresses = { v4 = \"203.0.113.10/32\" }",
        "addresses = { v4 = \"2001:db8::1/64\" }",
        "addresses = { v4 = \"127.0.0.1/8\" }",
        "addresses = { v4 = \"192.0.2.10/24\" }",
        "addresses = { v4 = \"203.0.113.0/24\" }",
        "addresses = { v6 = \"fe80::1/64\" }",
        "addresses = { v5 = \"203.0.113.10/24\" }",
        "prober = { v4 = \"203.0.113.10\" }",
        "prober = { v4 = \"203.0.113.255\" }",
        "prober = { v6 = \"2001:db8:114::66\" }",
    ]), @r#"
    error: `b8:27:eb` is not a MAC address
     --> sensor.toml:4:7
      |
    4 | mac = "b8:27:eb"
      |       ^^^^^^^^^^
      |
      = help: write six pairs of hexadecimal digits, like 00:0c:29:4f:8e:35
    error: no interface can have the address 01:00:5e:00:00:01
     --> sensor.toml:4:7
      |
    4 | mac = "01:00:5e:00:00:01"
      |       ^^^^^^^^^^^^^^^^^^^
      |
      = help: an interface's own address is neither multicast (odd first byte) nor all zero
    error: no interface can have the address 00:00:00:00:00:00
     --> sensor.toml:4:7
      |
    4 | mac = "00:00:00:00:00:00"
      |       ^^^^^^^^^^^^^^^^^^^
      |
      = help: an interface's own address is neither multicast (odd first byte) nor all zero
    error: `mac` and `link` both give the MAC address
     --> sensor.toml:5:8
      |
    5 | link = "00-mac.link"
      |        ^^^^^^^^^^^^^
      |
      = help: keep one of them
    error: `vendor` is empty
     --> sensor.toml:4:10
      |
    4 | vendor = " "
      |          ^^^
      |
      = help: name the vendor, like "VMware", or remove the key
    error: port 0 is out of range
     --> sensor.toml:4:11
      |
    4 | listen = [0]
      |           ^
      |
      = help: ports are 1 to 65535
    error: `lo` cannot name an interface: use 1 to 15 of the letters a to z and A to Z, digits and `_-.@`, with no dash at the start, and not lo, all or default
     --> sensor.toml:4:13
      |
    4 | interface = "lo"
      |             ^^^^
      |
      = help: name it as the rules do, like "eth0"
    error: `203.0.113.10` has no prefix length
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "203.0.113.10" }
      |                    ^^^^^^^^^^^^^^
      |
      = help: write it like 203.0.113.10/24
    error: `203.0.113.10/32` has a prefix length that leaves no room
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "203.0.113.10/32" }
      |                    ^^^^^^^^^^^^^^^^^
      |
      = help: write it like 203.0.113.10/24
    error: `2001:db8::1` is not an address of this family
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "2001:db8::1/64" }
      |                    ^^^^^^^^^^^^^^^^
      |
      = help: write it like 203.0.113.10
    error: 127.0.0.1 is not an address that a machine on a link can have
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "127.0.0.1/8" }
      |                    ^^^^^^^^^^^^^
      |
      = help: use a global or private unicast address
    error: the prober 203.0.113.66 is not in the network of the host 192.0.2.10/24
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "192.0.2.10/24" }
      |                    ^^^^^^^^^^^^^^^
      |
      = help: name one that is, with `prober = { v4 = "..", v6 = ".." }`
    error: 203.0.113.0 is the address of the whole network /24
     --> sensor.toml:4:20
      |
    4 | addresses = { v4 = "203.0.113.0/24" }
      |                    ^^^^^^^^^^^^^^^^
      |
      = help: use the address of one machine in it
    error: fe80::1 is not an address that a machine on a link can have
     --> sensor.toml:4:20
      |
    4 | addresses = { v6 = "fe80::1/64" }
      |                    ^^^^^^^^^^^^
      |
      = help: use a global or private unicast address
    error: unknown key `v5`
     --> sensor.toml:4:15
      |
    4 | addresses = { v5 = "203.0.113.10/24" }
      |               ^^
      |
      = help: did you mean `v4`? known here: v4, v6
    error: the host and the prober are both 203.0.113.10
     --> sensor.toml:4:17
      |
    4 | prober = { v4 = "203.0.113.10" }
      |                 ^^^^^^^^^^^^^^
      |
      = help: give them two addresses
    error: 203.0.113.255 is the address of the whole network /24
     --> sensor.toml:4:17
      |
    4 | prober = { v4 = "203.0.113.255" }
      |                 ^^^^^^^^^^^^^^^
      |
      = help: use the address of one machine in it
    error: the prober 2001:db8:114::66 is not in the network of the host 2001:db8:113::10/64
     --> sensor.toml:4:17
      |
    4 | prober = { v6 = "2001:db8:114::66" }
      |                 ^^^^^^^^^^^^^^^^^^
      |
      = help: name one that is, with `prober = { v4 = "..", v6 = ".." }`
    "#);
}

#[test]
fn the_host_can_be_elsewhere() {
    let text = "addresses = { v4 = \"192.0.2.1/28\", v6 = \"fd00::1/48\" }\nprober = { v4 = \"192.0.2.14\", v6 = \"fd00::2\" }";
    let addresses = parse(&format!("[sensor]\nssh = 22\n[host]\n{text}")).unwrap().host.addresses;
    assert_eq!((addresses.v4.prefix_len, addresses.v6.prefix_len), (28, 48));
    assert_eq!(addresses.prober(crate::net::Family::Ipv4).to_string(), "192.0.2.14");
    assert_eq!(addresses.host(crate::net::Family::Ipv6).to_string(), "fd00::1");
}

/// A folder with `files`, and a sensor file in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Folder(folder)
    }

    fn parse(&self, text: &str) -> Result<SensorFile> {
        SensorFile::parse(Source { name: self.0.path().join("sensor.toml"), text: text.into() })
    }

    /// The ports, or the complaint without the folder's own path.
    fn ssh(&self) -> String {
        match self.parse("[sensor]\nssh = \"auto\"\nsshd_config = \"sshd_config\"") {
            Ok(file) => format!("{:?}", file.sensor.ssh.iter().map(|port| port.0).collect::<Vec<_>>()),
            Err(error) => self.unnamed(&error.to_string()),
        }
    }

    fn mac(&self) -> String {
        match self.parse("[sensor]\nssh = 22\n[host]\nlink = \"00-mac.link\"") {
            Ok(file) => file.host.mac.unwrap().to_string(),
            Err(error) => self.unnamed(&error.to_string()),
        }
    }

    fn unnamed(&self, text: &str) -> String {
        text.replace(&format!("{}{}", self.0.path().display(), std::path::MAIN_SEPARATOR), "")
    }
}

#[test]
fn ssh_ports_are_read_as_sshd_reads_them() {
    let ssh = |text: &str| Folder::with(&[("sshd_config", text)]).ssh();
    assert_eq!(ssh(""), "[22]");
    assert_eq!(ssh("#Port 23\nPort 32232 # ours\n"), "[32232]");
    assert_eq!(ssh("port=2222\nPORT \"2200\"\nPort = 2201\r\n"), "[2200, 2201, 2222]");
    assert_eq!(ssh("ListenAddress 0.0.0.0:2222\n"), "[2222]");
    assert_eq!(ssh("ListenAddress [::]:2222\nListenAddress ::\nPort 2200\n"), "[2200, 2222]");
    assert_eq!(ssh("ListenAddress 192.0.2.1\n"), "[22]");
    assert_eq!(ssh("Port 2222\nMatch User pi\n  Port 1\n"), "[2222]");
}

#[test]
fn included_files_count_until_their_own_match() {
    let folder = Folder::with(&[
        ("sshd_config", "Include sshd_config.d/*.conf \"more of it.conf\" absent/*\nPort 22\n"),
        ("sshd_config.d/a.conf", "Port 2201\nMatch all\nPort 1\n"),
        ("sshd_config.d/b.conf", "Port 2202\n"),
        ("sshd_config.d/b.conf.bak", "Port 2\n"),
        ("more of it.conf", "Port 2203\n"),
    ]);
    assert_eq!(folder.ssh(), "[22, 2201, 2202, 2203]");
}

#[test]
fn patterns_of_includes_are_those_of_glob() {
    let ports = |folder: &str, include: &str| {
        let names = ["sshd_config", ".hidden.conf", "d/e.conf", "a.conf"].map(|name| format!("{folder}/{name}"));
        let texts = [include, "Port 1\n", "Port 2\n", "Port 3\n"];
        let files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(texts).collect();
        ports_of_sshd(&Folder::with(&files).0.path().join(&names[0])).unwrap()
    };
    // A leading dot has to be written, two asterisks are one, and the folder is no pattern.
    assert_eq!(ports("ssh", "Include *.conf\n"), [Port(3)]);
    assert_eq!(ports("ssh", "Include .*.conf\n"), [Port(1)]);
    assert_eq!(ports("ssh", "Include **/*.conf\n"), [Port(2)]);
    assert_eq!(ports("pi[1]", "Include a.conf\n"), [Port(3)]);
}

#[test]
fn files_that_include_each_other_again_and_again_come_to_an_end() {
    let files: Vec<(String, String)> =
        (1..16).map(|number| (format!("f{number}"), format!("Include f{}\n", number + 1).repeat(10))).collect();
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.extend([("f16", ""), ("sshd_config", "Include f1\n")]);
    let error = Folder::with(&files).ssh();
    assert!(error.contains("more than 256 files are included"), "{error}");
}

#[test]
fn a_file_that_a_file_names_is_no_pipe() {
    let folder = Folder::with(&[]);
    for name in ["sshd_config", "00-mac.link"] {
        nix::unistd::mkfifo(&folder.0.path().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    for error in [folder.ssh(), folder.mac()] {
        assert!(error.contains("it is a pipe or a device"), "{error}");
    }
}

#[test]
fn an_ssh_server_listens_where_it_is_told() {
    let listens = |text: &str, address: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sshd_config");
        std::fs::write(&path, text).unwrap();
        SshServer::read(&path).unwrap().listens_at(address.parse().unwrap(), &[Port(22)])
    };
    let (v4, v6) = ("192.0.2.10", "2001:db8::10");
    for (text, is_at_v4, is_at_v6) in [
        ("", true, true),
        ("Port 2222\n", false, false),
        ("AddressFamily inet\nAddressFamily any\n", true, false),
        ("ListenAddress 0.0.0.0\n", true, false),
        ("ListenAddress ::\n", false, true),
        ("ListenAddress [2001:db8::10]:22\nListenAddress 192.0.2.10:2222\n", false, true),
        ("ListenAddress 127.0.0.1\n", false, false),
        ("ListenAddress pi.example\n", true, true),
    ] {
        assert_eq!((listens(text, v4), listens(text, v6)), (is_at_v4, is_at_v6), "{text}");
    }
}

#[test]
fn complaints_about_sshd_config_name_its_line() {
    let ssh = |text: &str| Folder::with(&[("sshd_config", text)]).ssh();
    let texts = [
        "Port 22\nPort 0\n",
        "Port ssh\n",
        "Port\n",
        "ListenAddress host:99999\n",
        "Include sshd_config\n",
        "Include [\n",
    ];
    assert_snapshot!(texts.map(ssh).join("\n"), @r#"
    error: `0` is not a port
     --> sshd_config:2:1
      |
    2 | Port 0
      | ^^^^^^
      |
      = help: ports are 1 to 65535
    error: `ssh` is not a port
     --> sshd_config:1:1
      |
    1 | Port ssh
      | ^^^^^^^^
      |
      = help: ports are 1 to 65535
    error: no port is named
     --> sshd_config:1:1
      |
    1 | Port
      | ^^^^
      |
      = help: ports are 1 to 65535
    error: `99999` is not a port
     --> sshd_config:1:1
      |
    1 | ListenAddress host:99999
      | ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: ports are 1 to 65535
    error: Include goes deeper than 16 files
     --> sshd_config:1:1
      |
    1 | Include sshd_config
      | ^^^^^^^^^^^^^^^^^^^
      |
      = help: sshd gives up here too: does a file include itself?
    error: `[` is not a pattern: invalid range pattern
     --> sshd_config:1:1
      |
    1 | Include [
      | ^^^^^^^^^
      |
      = help: see glob(7)
    "#);
    assert_snapshot!(Folder::with(&[]).ssh(), @r#"
    error: cannot read sshd_config: No such file or directory (os error 2)
     |
     = help: check the path; it is relative to the current folder
    "#);
}

#[test]
fn the_mac_is_read_from_a_link_file() {
    let mac = |text: &str| Folder::with(&[("00-mac.link", text)]).mac();
    assert_eq!(
        mac("[Match]\nMACAddress=b8:27:eb:12:34:56\n[Link]\nMACAddress = 00:0c:29:4f:8e:35\n"),
        "00:0c:29:4f:8e:35"
    );
    assert_eq!(
        mac("[Link]\n#MACAddress=1\nMACAddress=00:0c:29:4f:8e:34\nMACAddress=00:0c:29:4f:8e:35"),
        "00:0c:29:4f:8e:35"
    );
    let texts = [
        "[Match]\nMACAddress=00:0c:29:4f:8e:35\n",
        "[Link]\nMACAddress=00:0c:29\n",
        "[Link]\nMACAddress=01:0c:29:4f:8e:35\n",
        "[Link]\nMACAddress=00:0c:29:4f:8e:35\nMACAddressPolicy=persistent\n",
    ];
    assert_snapshot!(texts.map(mac).join("\n"), @r#"
    error: there is no MACAddress= under [Link]
     --> 00-mac.link:1:1
      |
    1 | [Match]
      | ^
      |
      = help: add a line like MACAddress=00:0c:29:4f:8e:35 under [Link]; see systemd.link(5)
    error: `00:0c:29` is not a MAC address
     --> 00-mac.link:2:1
      |
    2 | MACAddress=00:0c:29
      | ^^^^^^^^^^^^^^^^^^^
      |
      = help: write it like 00:0c:29:4f:8e:35
    error: no interface can have the address 01:0c:29:4f:8e:35
     --> 00-mac.link:2:1
      |
    2 | MACAddress=01:0c:29:4f:8e:35
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write it like 00:0c:29:4f:8e:35
    error: MACAddressPolicy=persistent makes systemd ignore MACAddress=
     --> 00-mac.link:3:1
      |
    3 | MACAddressPolicy=persistent
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write MACAddressPolicy=none
    "#);
}

#[test]
fn a_relative_path_is_taken_from_the_folder_of_the_file() {
    let source = Source { name: "a/sensor.toml".into(), text: "".into() };
    assert_eq!(beside(&source, Path::new("b.link")), Path::new("a/b.link"));
    assert_eq!(beside(&source, Path::new("/b.link")), Path::new("/b.link"));
}

proptest! {
    #[test]
    fn the_scenario_reader_given_any_text_does_not_panic(text in "(\\[sensor\\]|\\[host\\]|ssh|mac|=|\\n|\"|[0-9]|\\PC){0,40}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn a_name_that_could_leave_its_quotes_is_refused(name in ".*[\"\\\\'`\\n\\r\\t\u{0}é$;].*") {
        let key = serde_json::to_string(&name).unwrap();
        let text = format!("[sensor]\nssh = 32232\nwatched = {{ {key} = 80 }}");
        prop_assert!(parse(&text).is_err());
    }
}

fn listed(ports: impl IntoIterator<Item = usize>) -> String {
    ports.into_iter().map(|port| port.to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_sensor_of_more_than_a_thousand_ports_is_refused_at_the_first_that_is_too_many() {
    let sensor = |ports: &str| parse(&format!("[sensor]\nssh = 22\nwatched = {{ ALL = [\n{ports}\n] }}\n"));
    assert!(sensor(&listed(1_001..2_000)).is_ok());
    let error = sensor(&listed(1_001..6_001)).unwrap_err().to_string();
    for part in ["the sensor names more than 1000 ports", "sensor.toml:4:", "each port is probed by itself"] {
        assert!(error.contains(part), "{error:.300}");
    }
    let start = std::time::Instant::now();
    assert!(
        sensor(&listed(std::iter::repeat_n(80, 200_000))).unwrap_err().to_string().contains("port 80 is listed twice")
    );
    let names: Vec<String> = (1_001..6_001).map(|port| format!("P{port} = {port}")).collect();
    let many = parse(&format!("[sensor]\nssh = 22\nwatched = {{ {} }}\n", names.join(", ")));
    assert!(many.unwrap_err().to_string().contains("the sensor names more than 1000 ports"));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn ports_that_listen_and_networks_of_ssh_are_bounded() {
    let host = |count: usize| parse(&format!("[sensor]\nssh = 22\n[host]\nlisten = [{}]\n", listed(1..count + 1)));
    assert!(host(1_000).is_ok());
    let error = host(60_000).unwrap_err().to_string();
    assert!(error.contains("`listen` names 60000 ports, but a lab listens on at most 1000"), "{error:.300}");
    let from = |ports: usize, count: usize| {
        let networks: Vec<String> = (0..count).map(|at| format!("\"10.{}.{}.1\"", at >> 8 & 255, at & 255)).collect();
        parse(&format!("[sensor]\nssh = [{}]\nssh_from = [{}]\n", listed(1..ports + 1), networks.join(",")))
    };
    assert!(from(2, 500).is_ok());
    for (ports, count) in [(2, 501), (1, 50_000)] {
        let error = from(ports, count).unwrap_err().to_string();
        assert!(error.contains(&format!("SSH has {count} networks for each of {ports} ports")), "{error:.300}");
    }
}
