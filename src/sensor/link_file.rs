//! Reads the MAC address that a systemd `.link` file gives to an interface: systemd.link(5).

use crate::error::{InputError, Result, Source};
use crate::net::Mac;

/// The `MACAddress=` of `[Link]`; the last one counts, and an empty one takes back what was set.
pub fn mac_of_link(source: &Source) -> Result<Mac> {
    let mut section = "";
    let (mut mac, mut policy) = (None, None);
    for (line, number) in source.text.lines().zip(1..) {
        let line = line.trim();
        match line.split_once('=') {
            _ if line.starts_with(['#', ';']) => {}
            _ if line.starts_with('[') => section = line,
            Some((key, value)) if section == "[Link]" => match key.trim_end() {
                "MACAddress" => mac = Some((number, value.trim())).filter(|(_, value)| !value.is_empty()),
                "MACAddressPolicy" => policy = Some((number, value.trim())),
                _ => {}
            },
            _ => {}
        }
    }
    if let Some((number, policy)) = policy.filter(|(_, policy)| !["none", ""].contains(policy)) {
        return Err(ignored(source, number, policy).into());
    }
    let Some((number, text)) = mac else { return Err(missing(source).into()) };
    let at = |problem: String| source.error(source.span_of_line(number), problem, "write it like 00:0c:29:4f:8e:35");
    let mac: Mac = text.parse().map_err(|_| at(format!("`{}` is not a MAC address", text.escape_debug())))?;
    if mac.is_assignable() { Ok(mac) } else { Err(at(format!("no interface can have the address {mac}")).into()) }
}

/// "MACAddress=: The interface identifier to use if MACAddressPolicy=none", systemd.link(5).
fn ignored(source: &Source, number: usize, policy: &str) -> InputError {
    let problem = format!("MACAddressPolicy={} makes systemd ignore MACAddress=", policy.escape_debug());
    source.error(source.span_of_line(number), problem, "write MACAddressPolicy=none")
}

fn missing(source: &Source) -> InputError {
    let hint = "add a line like MACAddress=00:0c:29:4f:8e:35 under [Link]; see systemd.link(5)";
    source.error(0..0, "there is no MACAddress= under [Link]", hint)
}
