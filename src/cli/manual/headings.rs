//! The heading of each option in `--help`. There is one table, since an option has the same meaning in every command.

use clap::Arg;

const WHAT: &str = "What to scan";
const PROBES: &str = "How probes look";
const HOST: &str = "The host";
const LAB: &str = "The lab";
const REPORT: &str = "Report";

/// Every option that commands with a lab have, by its name in the code.
const OPTIONS: [(&str, &[&str]); 5] = [
    (
        WHAT,
        &[
            "sensor",
            "rules",
            "git",
            "rules6",
            "filter",
            "tag",
            "exclude",
            "list",
            "scan",
            "nmap",
            "ports",
            "exclude_ports",
            "fast",
            "top_ports",
            "ipv4",
            "ipv6",
            "listen",
            "live",
            "every_port",
            "exercise",
            "v6",
        ],
    ),
    (PROBES, &["scanflags", "badsum", "source_port", "ttl", "source_address"]),
    (
        HOST,
        &["interface", "host_addr", "prober_addr", "mac", "static_neighbour", "no_ping", "link_file", "admin", "ssh"],
    ),
    (
        LAB,
        &[
            "iptables",
            "capture",
            "sysctl",
            "allow_large",
            "link",
            "jobs",
            "timeout",
            "whole_sweeps",
            "shard",
            "fail_fast",
            "thorough",
            "writable",
            "unconfined",
        ],
    ),
    (
        REPORT,
        &[
            "format",
            "destinations",
            "output",
            "output_normal",
            "output_xml",
            "output_grepable",
            "output_all",
            "open",
            "reason",
            "verbosity",
            "disable_arp_ping",
            "send_ip",
            "trace",
            "pcap",
            "syslog",
            "min_coverage",
            "min_score",
            "oui_file",
            "quiet",
            "verbose",
            "force",
            "html",
        ],
    ),
];

/// The option with its heading; an option that is not in the table stays under clap's own.
pub fn under_heading(argument: Arg) -> Arg {
    match heading(argument.get_id().as_str()) {
        Some(heading) if !argument.is_positional() => argument.help_heading(heading),
        _ => argument,
    }
}

/// The heading of the option with this name.
pub fn heading(name: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(_, names)| names.contains(&name)).map(|(heading, _)| *heading)
}
