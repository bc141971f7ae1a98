//! The text of a sensor file.

use super::SensorDraft;
use crate::intent::scenario::quoted;
use crate::net::port::Port;
use crate::probe::scan::Technique;
use crate::sensor::{Deny, Host, OpenService, Sensor, SensorLimit, Service, SshFrom};
use crate::text::escape::visible;
use crate::text::schema_line;
use crate::text::wrap::hanging;

/// The width of comments.
const WIDTH: usize = 110;

/// The file.
pub fn text(draft: &SensorDraft) -> String {
    let mut lines = vec![schema_line::of("sensor")];
    for note in &draft.notes {
        lines.extend(hanging("", 0, &visible(note), WIDTH).lines().map(|line| format!("# {line}")));
    }
    lines.push(String::new());
    lines.extend(of_sensor(&draft.sensor));
    lines.extend(of_host(&draft.host));
    lines.join("\n") + "\n"
}

fn of_sensor(sensor: &Sensor) -> Vec<String> {
    let Sensor { ssh, ssh_from, open, honeypot, watched, scans, limit, prefix, deny, order: _ } = sensor;
    let mut lines =
        vec!["[sensor]".to_owned(), "# The ports of your own SSH server: accepted, never logged.".to_owned()];
    lines.push(format!("ssh = {}", one_or_many(ssh.iter().map(Port::to_string).collect())));
    if let SshFrom::Networks(networks) = ssh_from {
        let networks: Vec<String> = networks.iter().map(|network| quoted(&network.to_string())).collect();
        lines.push(format!("ssh_from = [{}]", networks.join(", ")));
    }
    if !open.is_empty() {
        lines.push("# Services of an ordinary server: accepted, not logged.".to_owned());
        lines.push(format!("open = {{ {} }}", open.iter().map(of_open).collect::<Vec<_>>().join(", ")));
    }
    for (key, what, services) in [("honeypot", "accepted", honeypot), ("watched", "dropped", watched)] {
        if !services.is_empty() {
            lines.push(format!("# Logged, then {what}."));
            lines.push(format!("{key} = {{ {} }}", services.iter().map(of_service).collect::<Vec<_>>().join(", ")));
        }
    }
    lines.push("# Scans that are logged by name.".to_owned());
    let scans: Vec<String> = scans.iter().map(|scan: &Technique| quoted(scan.name())).collect();
    lines.push(format!("scans = [{}]", scans.join(", ")));
    if !sensor.is_ordinary() {
        lines.push("# The rate of each LOG rule, and the beginning of each log prefix.".to_owned());
        lines.push(format!("limit = {}", of_limit(*limit)));
        lines.push(format!("prefix = {}", quoted(prefix)));
    }
    lines.push("# What is denied by default: TCP only (\"tcp\"), or every protocol (\"all\").".to_owned());
    lines.push(format!("deny = {}", if *deny == Deny::All { "\"all\"" } else { "\"tcp\"" }));
    lines
}

fn of_host(host: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(host.mac.map(|mac| format!("mac = {}", quoted(&mac.to_string()))));
    if host.interface != crate::net::InterfaceName::default() {
        lines.push(format!("interface = {}", quoted(host.interface.as_str())));
    }
    if !lines.is_empty() {
        lines.insert(0, "\n[host]".to_owned());
    }
    lines
}

fn of_open(service: &OpenService) -> String {
    let tcp = service.tcp.iter().map(Port::to_string);
    let udp = service.udp.iter().map(|port| format!("\"udp/{port}\""));
    format!("{} = {}", key(&service.name), one_or_many(tcp.chain(udp).collect()))
}

fn of_service(service: &Service) -> String {
    format!("{} = {}", key(&service.name), one_or_many(service.ports.iter().map(Port::to_string).collect()))
}

fn of_limit(limit: SensorLimit) -> String {
    if limit.burst == SensorLimit::default().burst {
        return quoted(&limit.to_string());
    }
    format!("{{ rate = {}, burst = {} }}", quoted(&limit.to_string()), limit.burst)
}

/// A bare key if the name permits it (TOML v1.0.0, "Keys").
fn key(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare && !name.is_empty() { name.to_owned() } else { quoted(name) }
}

fn one_or_many(values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
