//! Reads a systemd `.link` file: which interface it takes, and the MAC address that it gives it. systemd.link(5), and the
//! syntax of systemd.syntax(7).

use std::collections::HashSet;
use std::ops::Range;

use crate::error::{InputError, Result, Source};
use crate::net::Mac;

/// A `.link` file that gives an interface a MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFile {
    /// The file.
    pub source: Source,
    /// The `MACAddress=` of `[Link]`.
    pub mac: Mac,
    /// What an interface has to fulfil, all of it: the settings of `[Match]`, in their order.
    pub matches: Vec<Setting>,
    /// The other settings of `[Link]`.
    pub others: Vec<Setting>,
}

/// `Key=value`, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What stands before the `=`.
    pub key: String,
    /// What stands behind it, without blanks at either end; never empty.
    pub value: String,
    /// Its line (1 is the first).
    pub line: usize,
}

impl LinkFile {
    /// Reads the text. Of two settings of the same name in `[Link]` the last one counts, and an empty one takes back what
    /// was set.
    ///
    /// # Errors
    /// 1. A control character: systemd cuts the line there, or takes it for something else.
    /// 2. A `MACAddress=` before any section: systemd passes it over.
    /// 3. A MACAddressPolicy that makes systemd pass over the address.
    /// 4. No `MACAddress=` under `[Link]`, or one that no interface can have.
    pub fn parse(source: &Source) -> Result<LinkFile> {
        let (mut matches, mut link): (Vec<Setting>, Vec<Setting>) = (Vec::new(), Vec::new());
        let mut section: Option<String> = None;
        for (number, text) in joined_lines(&source.text) {
            if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
                let start = source.span_of_line(number).start + at;
                return Err(control_character(source, start..start + 1).into());
            }
            let text = text.trim();
            if text.starts_with('[') {
                section = Some(text.to_owned());
                continue;
            }
            let Some((key, value)) = text.split_once('=').filter(|_| !text.starts_with(['#', ';'])) else { continue };
            let setting = Setting { key: key.trim_end().to_owned(), value: value.trim().to_owned(), line: number };
            match section.as_deref() {
                Some("[Match]") => matches.push(setting),
                Some("[Link]") => link.push(setting),
                None if setting.key == "MACAddress" => return Err(without_section(source, number).into()),
                _ => {}
            }
        }
        let (matches, mut link) = (that_count(matches), that_count(link));
        refuse_policy(source, &link)?;
        let mac = link.iter().rposition(|setting| setting.key == "MACAddress").ok_or_else(|| missing(source))?;
        let mac = read_mac(source, &link.remove(mac))?;
        Ok(LinkFile { source: source.clone(), mac, matches, others: link })
    }

    /// The setting of `[Match]` with this name.
    pub fn matching(&self, key: &str) -> Option<&Setting> {
        self.matches.iter().find(|setting| setting.key == key)
    }

    /// The other setting of `[Link]` with this name.
    pub fn other(&self, key: &str) -> Option<&Setting> {
        self.others.iter().find(|setting| setting.key == key)
    }
}

/// The `MACAddress=` of `[Link]`.
pub fn mac_of_link(source: &Source) -> Result<Mac> {
    LinkFile::parse(source).map(|file| file.mac)
}

/// The last setting of each name, unless it is empty.
fn that_count(mut settings: Vec<Setting>) -> Vec<Setting> {
    let mut names = HashSet::new();
    settings.reverse();
    settings.retain(|setting| names.insert(setting.key.clone()) && !setting.value.is_empty());
    settings.reverse();
    settings
}

/// "Lines ending in a backslash are concatenated with the following non-comment line while reading and the backslash is
/// replaced by a space character", systemd.syntax(7). Each with the number of its first line.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        if goes_on && is_comment {
            continue;
        }
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) if !is_comment => (format!("{part} "), true),
            _ => (line.to_owned(), false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(&part),
            None => lines.push((number, part)),
        }
        goes_on = more;
    }
    lines
}

fn read_mac(source: &Source, setting: &Setting) -> Result<Mac> {
    let span = source.span_of_line(setting.line);
    let at = |problem: String| source.error(span, problem, "write it like 00:0c:29:4f:8e:35");
    let text = &setting.value;
    let Ok(mac) = text.parse::<Mac>() else {
        return Err(at(format!("`{}` is not a MAC address", text.escape_debug())).into());
    };
    if mac.is_assignable() { Ok(mac) } else { Err(at(format!("no interface can have the address {mac}")).into()) }
}

/// "MACAddress=: The interface identifier to use if MACAddressPolicy=none", systemd.link(5).
fn refuse_policy(source: &Source, link: &[Setting]) -> Result<()> {
    let policy = link.iter().find(|setting| setting.key == "MACAddressPolicy" && setting.value != "none");
    let Some(Setting { value, line, .. }) = policy else { return Ok(()) };
    let problem = format!("MACAddressPolicy={} makes systemd ignore MACAddress=", value.escape_debug());
    Err(source.error(source.span_of_line(*line), problem, "write MACAddressPolicy=none").into())
}

fn missing(source: &Source) -> InputError {
    let hint = "add a line like MACAddress=00:0c:29:4f:8e:35 under [Link]; see systemd.link(5)";
    source.error(0..0, "there is no MACAddress= under [Link]", hint)
}

fn without_section(source: &Source, line: usize) -> InputError {
    let hint = "put it under a line that says [Link]; what stands before any section is passed over by systemd";
    source.error(source.span_of_line(line), "this MACAddress= stands in no section", hint)
}

fn control_character(source: &Source, span: Range<usize>) -> InputError {
    source.error(span, "there is a control character in this line", "write the file anew: it is plain text")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn parse(text: &str) -> Result<LinkFile> {
        LinkFile::parse(&Source { name: "00-mac.link".into(), text: text.into() })
    }

    #[test]
    fn what_an_interface_has_to_fulfil_is_read() {
        let file = parse("[Match]\r\nOriginalName=eth0 \\\r\n\r\n").unwrap_err().to_string();
        assert!(file.contains("there is no MACAddress="), "{file}");
        let file = parse(
            "[Match]\nDriver=x\nOriginalName = eth0 \\\n# a comment\n  wlan0\n[Link]\nName=\nMACAddress=00:0c:29:4f:8e:35\n",
        );
        let file = file.unwrap();
        let original = file.matching("OriginalName").unwrap();
        assert_eq!((original.value.as_str(), original.line), ("eth0    wlan0", 3));
        assert_eq!((file.other("Name"), file.mac.to_string().as_str()), (None, "00:0c:29:4f:8e:35"));
    }

    #[test]
    fn many_settings_take_no_longer_than_their_bytes() {
        let many: String = (0..100_000).map(|number| format!("K{number}=1\n")).collect();
        let started = Instant::now();
        let file = parse(&format!("[Match]\n{many}[Link]\n{many}MACAddress=00:0c:29:4f:8e:35\n")).unwrap();
        assert_eq!((file.matches.len(), file.others.len()), (100_000, 100_000));
        // One look at each for each of them took over a minute.
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_systemd_would_pass_over_is_refused_where_it_stands() {
        for (text, says) in [
            ("MACAddress=00:0c:29:4f:8e:35\n", "00-mac.link:1:1"),
            ("[Link]\nMACAddress=00:0c:29:4f:8e:35\n[Match]\nName=\u{1b}[2J\n", "00-mac.link:4:6"),
            ("[Link]\nMACAddress=00:0c:29:4f:8e:35\nMACAddress=\n", "there is no MACAddress="),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
    }
}
