//! Tests with the kernel, which need root and iptables. Tests in a module `alone` need the machine for themselves.

#[path = "../support/mod.rs"]
mod support;

mod admission;
mod alone;
mod blind;
mod capture;
mod check_text;
mod ci_commands;
mod cli;
mod conntrack;
mod diff_formats;
mod diff_git;
mod exec;
mod explanations;
mod failures;
mod faults;
mod findings;
mod frames;
mod hostile_text;
mod init;
mod iptables_fails;
mod large;
mod legacy;
mod limited_diff;
mod limits;
mod lines;
mod matrix;
mod mutants;
mod mutate;
mod nat;
mod packets;
mod record;
mod rootless;
mod scan_notes;
mod scenarios;
mod second_user;
mod sets;
mod signals;
mod syslog;
mod tun;
mod without_ipv6;
mod words;
