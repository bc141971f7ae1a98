//! Reads the ports that are served and watched: `ssh`, `open`, `honeypot` and `watched`. A port may be in one of them only, or
//! the rule that comes first would silently win.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::prefix::{check_name, check_service_name};
use super::sshd_config::ports_of_sshd;
use super::table::{TomlTable, Value};
use super::{OpenService, Service};
use crate::error::{InputError, Result, Source};
use crate::net::Protocol;
use crate::net::port::Port;

/// The default configuration file of sshd, see sshd(8).
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";

/// The maximum number of ports in a sensor, and of listeners of a host: each port has rules, probes and bursts of its
/// own.
pub const MOST_PORTS: usize = 1_000;

/// Ports and names that are already assigned to a service.
#[derive(Default)]
pub struct UsedNames {
    ports: HashMap<(Protocol, Port), String>,
    names: HashSet<String>,
}

impl UsedNames {
    fn claim(&mut self, value: &Value<'_>, (protocol, port): (Protocol, Port), owner: &str) -> Result<()> {
        if self.ports.len() >= MOST_PORTS && !self.ports.contains_key(&(protocol, port)) {
            let problem = format!("the sensor names more than {MOST_PORTS} ports");
            return Err(value.error(problem, "each port is probed by itself: keep a few of them").into());
        }
        match self.ports.insert((protocol, port), owner.to_owned()) {
            None => Ok(()),
            Some(first) if first == owner => {
                Err(value.error(format!("port {port} is listed twice"), "name each port once").into())
            }
            Some(first) => {
                let hint = "a port has one rule: keep it in one place";
                Err(value.error(format!("port {port} already belongs to {first}"), hint).into())
            }
        }
    }
}

/// Reads `ssh` and `sshd_config`.
pub fn read_ssh(table: &mut TomlTable<'_>, claims: &mut UsedNames) -> Result<Vec<Port>> {
    let (ssh, config) = (table.take("ssh"), table.take("sshd_config"));
    let Some(ssh) = ssh else {
        let hint = "name the port of the management server, like `ssh = 22`, or use \"auto\"; `ssh = []` locks you out";
        return Err(table.error("the sensor has no `ssh`", hint).into());
    };
    match (ssh.as_text(), config) {
        (Some("auto"), config) => auto(table.source, &ssh, config, claims),
        (Some(_), _) => ssh.wrong_type("a port, a list of ports, or \"auto\""),
        (None, Some(config)) => {
            let hint = "write `ssh = \"auto\"` to read the port from there";
            Err(config.error("`sshd_config` is not read when `ssh` names the port", hint).into())
        }
        (None, None) => claimed_ports(ssh, "ssh", claims),
    }
}

fn auto(source: &Source, ssh: &Value<'_>, config: Option<Value<'_>>, claims: &mut UsedNames) -> Result<Vec<Port>> {
    let path = match &config {
        Some(config) => beside(source, Path::new(config.text()?)),
        None => PathBuf::from(SSHD_CONFIG),
    };
    let ports = ports_of_sshd(&path)?;
    for port in &ports {
        claims.claim(ssh, (Protocol::Tcp, *port), "ssh")?;
    }
    Ok(ports)
}

/// `path`, relative to the folder of `source` unless it is absolute.
pub fn beside(source: &Source, path: &Path) -> PathBuf {
    source.name.parent().unwrap_or(Path::new("")).join(path)
}

/// Reads `honeypot` or `watched`: names with a port or a list of ports, in the order of the file.
pub fn read_services(table: Option<TomlTable<'_>>, prefix: &str, claims: &mut UsedNames) -> Result<Vec<Service>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let source = table.source;
    table.into_entries().map(|value| read_service(source, value, prefix, claims)).collect()
}

fn read_service(source: &Source, value: Value<'_>, prefix: &str, claims: &mut UsedNames) -> Result<Service> {
    check_service_name(source, &value.key, prefix)?;
    let name = value.key.name.clone();
    if !claims.names.insert(name.clone()) {
        return Err(same_prefix(source, &value).into());
    }
    let spot = value.spot();
    let ports = claimed_ports(value, &name, claims)?;
    if ports.is_empty() {
        return Err(spot.error(format!("{name} has no port"), "name its port, or remove it").into());
    }
    Ok(Service { name, ports })
}

fn same_prefix(source: &Source, value: &Value<'_>) -> InputError {
    let problem = format!("{} is both in `honeypot` and in `watched`", value.key.name);
    source.error(value.key.span.clone(), problem, "their log lines could not be distinguished: give one another name")
}

fn claimed_ports(value: Value<'_>, owner: &str, claims: &mut UsedNames) -> Result<Vec<Port>> {
    let claimed = |value: Value<'_>| {
        let port = read_port(&value)?;
        claims.claim(&value, (Protocol::Tcp, port), owner)?;
        Ok(port)
    };
    value.into_one_or_many().into_iter().map(claimed).collect()
}

/// Reads `open`: names with a port or a list of ports, in the order of the file.
pub fn read_open(table: Option<TomlTable<'_>>, claims: &mut UsedNames) -> Result<Vec<OpenService>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let source = table.source;
    table.into_entries().map(|value| read_open_service(source, value, claims)).collect()
}

fn read_open_service(source: &Source, value: Value<'_>, claims: &mut UsedNames) -> Result<OpenService> {
    check_name(source, &value.key)?;
    let (name, spot) = (value.key.name.clone(), value.spot());
    let mut service = OpenService { name, tcp: Vec::new(), udp: Vec::new() };
    for value in value.into_one_or_many() {
        let (protocol, port) = read_protocol_and_port(&value)?;
        claims.claim(&value, (protocol, port), &service.name)?;
        if protocol == Protocol::Udp { service.udp.push(port) } else { service.tcp.push(port) }
    }
    match service.tcp.is_empty() && service.udp.is_empty() {
        true => Err(spot.error(format!("{} has no port", service.name), "name its port, or remove it").into()),
        false => Ok(service),
    }
}

/// Reads a port of TCP, `80` or `"tcp/80"`, or one of UDP, `"udp/53"`.
pub fn read_protocol_and_port(value: &Value<'_>) -> Result<(Protocol, Port)> {
    const HINT: &str = "write a TCP port as a number, like 80, and a UDP port as \"udp/53\"";
    let Some(text) = value.as_text() else { return Ok((Protocol::Tcp, read_port(value)?)) };
    let (protocol, number) = match text.split_once('/') {
        Some(("tcp", number)) => (Protocol::Tcp, number),
        Some(("udp", number)) => (Protocol::Udp, number),
        _ => return Err(value.error(format!("`{}` is not a port", text.escape_debug()), HINT).into()),
    };
    let port = number.parse().ok().and_then(|number| Port::service(number).ok());
    let port = port.ok_or_else(|| value.error(format!("`{}` is not a port", text.escape_debug()), HINT))?;
    Ok((protocol, port))
}

/// Reads one port: 1 to 65535.
pub fn read_port(value: &Value<'_>) -> Result<Port> {
    if !value.is_number() {
        return value.wrong_type("a port: a whole number, 1 to 65535");
    }
    Port::service(value.number()?)
        .map_err(|_| value.error(format!("port {} is out of range", value.written()), "ports are 1 to 65535").into())
}
