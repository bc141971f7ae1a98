//! Questions to a person on a terminal.

use std::io::{self, BufRead, IsTerminal};

use super::services::KnownServices;
use crate::error::{Context, InputError, Result};
use crate::net::port::Port;
use crate::net::port_selection::{PortSelection, SelectedPorts};
use crate::text::escape::visible;

/// True if input and output are a terminal.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A line from the terminal; `None` at the end of the input.
pub fn answer() -> Result<Option<String>> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("read from standard input")?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

/// Asks until the answer is understood. An empty answer is `default`, which is shown.
///
/// # Errors
///
/// If the input ends, or if it cannot be read.
fn ask<T>(question: &str, default: &str, read: impl Fn(&str) -> std::result::Result<T, String>) -> Result<T> {
    loop {
        super::print(&format!("{question} [{default}]: "))?;
        let Some(text) = answer()? else {
            super::print("\n")?;
            return Err(
                InputError::new("the input ended before all questions were answered", "answer each of them").into()
            );
        };
        match read(if text.is_empty() { default } else { &text }) {
            Ok(value) => return Ok(value),
            Err(problem) => super::print(&format!("{}\n", visible(&problem)))?,
        }
    }
}

/// Asks for ports in nmap's syntax, of TCP unless they follow `U:`; `none` is no port.
pub fn ports(question: &str, default: &str) -> Result<SelectedPorts> {
    ask(question, default, read_ports)
}

/// Asks for TCP ports.
pub fn tcp_ports(question: &str, default: &str) -> Result<Vec<Port>> {
    ask(question, default, |text| {
        let ports = read_ports(text)?;
        if ports.udp.is_empty() { Ok(ports.tcp.iter().collect()) } else { Err("name TCP ports only".to_owned()) }
    })
}

/// Asks a question whose answer is yes or no.
pub fn yes(question: &str, default: &str) -> Result<bool> {
    ask(question, default, |text| match text.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("answer y or n".to_owned()),
    })
}

/// Ports as text that [`ports()`] reads.
pub fn ports_text(ports: &SelectedPorts) -> String {
    let tcp = (!ports.tcp.is_empty()).then(|| ports.tcp.to_string());
    let udp = (!ports.udp.is_empty()).then(|| format!("U:{}", ports.udp));
    let parts: Vec<String> = tcp.into_iter().chain(udp).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(",") }
}

/// Reads ports, of which there may be none.
pub fn read_ports(text: &str) -> std::result::Result<SelectedPorts, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(SelectedPorts::default());
    }
    let selection: PortSelection = text.parse().map_err(|error| format!("{error}"))?;
    let names = match selection.needs_names() {
        true => KnownServices::read().map_err(|error| error.to_string())?,
        false => KnownServices::default(),
    };
    let ports = selection.tcp_by_default().resolve(&names.file).map_err(|error| error.to_string())?;
    match ports.tcp.contains(Port(0)) || ports.udp.contains(Port(0)) {
        true => Err("port 0 is out of range: ports are 1 to 65535".to_owned()),
        false => Ok(ports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_back_as_they_are_shown() {
        for text in ["none", "22", "22,80-90", "U:53", "80,U:53,123"] {
            assert_eq!(read_ports(text).map(|ports| ports_text(&ports)).as_deref(), Ok(text));
        }
        for text in ["", "0", "U:0", "70000", "22;80"] {
            assert!(read_ports(text).is_err(), "{text}");
        }
    }
}
